"""Compares waybill's canonical JSON with what Node.js prints for the same texts.

usage: json_differential.py CANON [SEED [FOLDER…]]

CANON is the program made from canon_main.c. The texts are random ones, those of the corpus of
the fuzz harness `json`, and the files of the folders. Expected is JSON.stringify(JSON.parse(x)),
except for numbers whose form in JavaScript is another decimal value (decided with
Python's decimal): these keep their literal. Both must refuse the same texts.
The seed is printed; giving it again repeats a run.
"""

import base64
import decimal
import math
import pathlib
import random
import re
import shutil
import subprocess
import sys

NODE = r"""
const lines = require('fs').readFileSync(0, 'latin1').split('\n');
lines.pop();
const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
for (const line of lines) {
  let out;
  try {
    out = '= ' + JSON.stringify(JSON.parse(utf8.decode(Buffer.from(line, 'base64'))));
  } catch (e) {
    out = '!';
  }
  process.stdout.write(out + '\n');
}
"""

# In a text that Node.js has accepted, this finds every string and every number.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?', re.DOTALL)
KEPT = re.compile(rb'"@kept:([^"]*)@"')

CORPUS = pathlib.Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "json"
DEPTH_MAX = 64
SHOWN = 10


def run(command, data):
    """Returns the lines that a program prints for `data`."""
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout.split(b"\n")[:-1]


def run_node(texts):
    lines = b"".join(base64.b64encode(t) + b"\n" for t in texts)
    return run(["node", "-e", NODE], lines)


def run_canon(program, texts):
    return run([program], b"".join(b"%d\n%s\n" % (len(t), t) for t in texts))


def same_decimal(literal, printed):
    """Whether a number literal and what JavaScript prints for it are the same decimal value."""
    if not re.search(r"[1-9]", re.split("[eE]", literal)[0]):
        return True  # a zero of any spelling
    if printed == "null":
        return False  # Infinity
    try:
        return decimal.Decimal(literal) == decimal.Decimal(printed)
    except decimal.InvalidOperation:
        return False  # an exponent beyond what the module can hold


def expect(texts):
    """Returns the right line for each text, '= canonical' or '!', and how many literals are kept."""
    accepted = [line != b"!" for line in run_node(texts)]
    literals = set()
    for text, ok in zip(texts, accepted):
        if ok:
            literals.update(t for t in TOKEN.findall(text) if t[:1] != b'"')
    literals = sorted(literals)
    kept = {
        literal
        for literal, line in zip(literals, run_node(literals))
        if not same_decimal(literal.decode(), line[2:].decode())
    }

    def hide(match):
        token = match.group()
        return b'"@kept:%s@"' % token if token in kept else token

    hidden = [TOKEN.sub(hide, t) if ok else t for t, ok in zip(texts, accepted)]
    return [KEPT.sub(rb"\1", line) for line in run_node(hidden)], len(kept)


def numbers(rnd):
    """Yields number literals: the edges of doubles, and every length of digits around 17."""
    doubles = [2.0**e for e in range(-1074, 1024)]
    doubles += [math.nextafter(x, 0) for x in doubles] + [math.nextafter(x, math.inf) for x in doubles]
    doubles += [10.0**e for e in range(-323, 309)]
    doubles += [math.ldexp(rnd.random(), rnd.randint(-1074, 1024)) for _ in range(1500)]
    doubles += [rnd.randrange(1, 1 << rnd.randint(1, 52)) * 5e-324 for _ in range(500)]
    for x in doubles:
        if math.isinf(x):
            continue
        yield repr(x)
        yield "%.*e" % (rnd.choice([14, 15, 16, 16, 17, 18, 20]), x)
    for n in (2**53, 2**54, 2**63, 2**64, 10**15, 10**16, 10**17, 10**20, 10**21, 10**22):
        for d in range(-3, 4):
            yield str(n + d)
            yield str(-n - d)
    for _ in range(4000):
        digits = str(rnd.randrange(10 ** rnd.randint(1, 20)))
        point = rnd.randint(0, len(digits))
        literal = rnd.choice(["", "-"]) + (digits[:point].lstrip("0") or "0")
        if point < len(digits):
            literal += "." + digits[point:]
        literal += rnd.choice(["", "", "0" * rnd.randint(0, 9)]) if "." in literal else ""
        if rnd.random() < 0.6:
            exponent = rnd.choice([3, 10, 25, 330, 400])
            literal += rnd.choice("eE") + rnd.choice(["", "+", "-"])
            literal += rnd.choice(["", "0", "00"]) + str(rnd.randint(0, exponent))
        yield literal
    zeros = "0" * 400
    yield from ["0", "-0", "0.0", "-0.0", "0e400", "-0E-400", "0e" + "9" * 30, "1e400", "-1e400"]
    yield from ["1e" + "9" * 30, "1e-" + "9" * 30, "1" + zeros + "e-400", "0." + zeros + "1e401"]
    yield from ["1" + zeros, "0." + zeros + "1", "5e-324", "3e-324", "2e-324", "2.47e-324"]
    yield from ["1.7976931348623157e308", "1.7976931348623158e308", "1.797693134862315807e308"]
    yield from ["1.7976931348623159e308", "2.2250738585072014e-308", "2.2250738585072011e-308"]


PIECES = (
    [r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", "/", "\x7f", "é", "€", "😀", "\u2028"]
    + ["\u2029", "\ufeff", "\ufffd", "\uffff", "\U0010ffff", "a", "b", "0", " ", "plain text, longer"]
    + [r"\u0022", r"\u005c", r"\u002F", r"\u0041", r"\u00e9", r"\u20AC", r"\u2028", r"\uFFFF"]
    + [r"\ud83d\ude00", r"\uD83D\uDE00", r"\ud83d", r"\uDE00", r"\ud800\ud800\udc00", r"\uDBFF\uDFFF"]
    + [r"\udc00\ud800", r"\ud83dx", "\\ud83d\\n"]
)
KEYS = (
    ["0", "1", "2", "9", "10", "01", "00", "-1", "1.0", "1e3", " 1", "4294967293", "4294967294"]
    + ["4294967295", "4294967296", "9999999999", "99999999999", "__proto__", "constructor", "toString"]
    + ["length", "a", "b", "", r"\u0061", r"\u0031", r"__proto\u005f_", "toJSON", r"\ud800"]
)


def string(rnd):
    if rnd.random() < 0.2:
        return '"' + r"\u%04x" % rnd.choice([rnd.randrange(0x100), rnd.randrange(0x10000)]) + '"'
    return '"' + "".join(rnd.choice(PIECES) for _ in range(rnd.randint(0, 12))) + '"'


def key(rnd):
    pick = rnd.random()
    if pick < 0.6:
        return '"' + rnd.choice(KEYS) + '"'
    return '"%d"' % rnd.randrange(60) if pick < 0.8 else string(rnd)


def value(rnd, pool, depth):
    """Returns a random value, nested up to `depth`, with numbers out of `pool`."""
    space = rnd.choice(["", "", " ", "\n\t", " \r\n "])
    pick = rnd.random()
    if depth <= 0 or pick < 0.3:
        simple = [rnd.choice(pool), rnd.choice(pool), string(rnd), "true", "false", "null", "{}", "[ ]"]
        return space + rnd.choice(simple) + space
    n = rnd.choice([0, 1, 2, 3, 5, 8, 40]) if depth == 1 else rnd.choice([1, 2, 3])
    if pick < 0.5:
        return space + "[" + ",".join(value(rnd, pool, depth - 1) for _ in range(n)) + space + "]"
    members = (key(rnd) + space + ":" + value(rnd, pool, depth - 1) for _ in range(n))
    return space + "{" + ",".join(members) + space + "}"


def damage(rnd, text):
    """Returns `text` with one byte changed, added or taken away, or cut short."""
    text = bytearray(text)
    at = rnd.randrange(len(text))
    byte = rnd.choice(b'{}[]",:\\eE+-.0 1u\t\n\x00\x1f\x7f\x80\xc0\xc3\xe2\xed\xf0\xf4\xff')
    pick = rnd.randrange(4)
    if pick == 0:
        text[at] = byte
    elif pick == 1:
        text.insert(at, byte)
    elif pick == 2:
        del text[at]
    else:
        del text[at:]
    return bytes(text)


def nested(text):
    """Returns how deep a text's brackets nest; 0 where they are too few to nest too deep."""
    if text.count(b"[") + text.count(b"{") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for c in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text, flags=re.DOTALL):
        depth += (c in b"[{") - (c in b"]}")
        deepest = max(deepest, depth)
    return deepest


def make_texts(rnd):
    pool = list(numbers(rnd))
    texts = [n.encode() for n in pool]
    few = rnd.sample(pool, 500) + ["1", "2", "3"] * 100
    values = [value(rnd, few, rnd.choice([1, 1, 2, 3, 5])).encode() for _ in range(3000)]
    values += [b'["' + bytes([a, b, c]) + b'"]' for a in range(0x70, 256, 5) for b in range(0x70, 256, 9)
               for c in (0x22, 0x7F, 0x80, 0xBF, 0xC0)]
    values += [b'"\\%c"' % c for c in range(256)] + [b'"%c"' % c for c in range(256)]
    values += [b"[" * 64 + b"]" * 64, b'{"a":' * 63 + b"[]" + b"}" * 63, b"\xef\xbb\xbf1", b""]
    texts += values
    small = [v for v in values if 0 < len(v) < 300]
    texts += [damage(rnd, rnd.choice(small)) for _ in range(4000)]
    texts += [damage(rnd, n.encode()) for n in rnd.sample(pool, 1000)]
    return [t for t in texts if nested(t) <= DEPTH_MAX]


def files(folder):
    """The texts that lie in a folder, such as what fuzzing has found."""
    texts = [path.read_bytes() for path in sorted(pathlib.Path(folder).iterdir())]
    if not texts:
        sys.exit("json_differential: nothing lies in %s" % folder)
    return [text for text in texts if nested(text) <= DEPTH_MAX]


def main():
    if len(sys.argv) < 2 or shutil.which("node") is None:
        sys.exit(__doc__ + "Needs node (Debian: nodejs).")
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print("json_differential: seed", seed, flush=True)
    texts = make_texts(random.Random(seed))
    for folder in [CORPUS, *sys.argv[3:]]:
        texts += files(folder)
    expected, kept = expect(texts)
    got = run_canon(program, texts)
    refused = sum(line == b"!" for line in expected)
    if len(got) != len(texts) or len(expected) != len(texts) or refused == 0 or kept == 0:
        sys.exit("json_differential: %d texts, %d answers of Node.js, %d of waybill, %d refused, %d kept"
                 % (len(texts), len(expected), len(got), refused, kept))
    wrong = []
    for text, want, have in zip(texts, expected, got):
        if have[:1] == b"!":
            offset = int(have.split(b" ", 2)[1])
            if want != b"!" or not 0 <= offset <= len(text):
                wrong.append((text, want, have))
        elif want != have:
            wrong.append((text, want, have))
    for text, want, have in wrong[:SHOWN]:
        print("text     %r\nexpected %r\nwaybill  %r\n" % (text, want, have))
    print("json_differential: %d texts, %d refused, %d kinds of literals kept, %d wrong"
          % (len(texts), refused, kept, len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
