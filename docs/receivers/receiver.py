"""
A receiver of waybill's deliveries: Python 3.9 or later, the standard library alone; to verify
what a key pair has signed, the package cryptography (python3-cryptography) too.
SECRET=… [SCHEME=standard|v1|v2|ed25519|rfc9421] [ORIGIN=https://…] [PORT=9000] python3 receiver.py
"""

import base64, collections, hashlib, hmac, os, re, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("SECRET", "")
IS_PAIR = SECRET.startswith("whpk_")  # SECRET is then the webhook's public key
SCHEME = os.environ.get("SCHEME") or ("ed25519" if IS_PAIR else "standard")
ORIGIN = os.environ.get("ORIGIN")  # of the webhook's URL, for rfc9421: what it is called outside
BODY_MAX = 17 << 20  # over waybill's longest event in canonical form
TOLERANCE_S = 300
SEEN_MAX = 100000


def read_key():
    """The key. Without one that is good nothing starts: by an empty one anybody can sign."""
    key = os.fsencode(SECRET)
    if SECRET.startswith(("whsec_", "whpk_")):
        text = SECRET.split("_", 1)[1]
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
    if not key or SECRET.startswith("whsk_") or IS_PAIR and len(key) != 32:
        sys.exit("SECRET must be the webhook's secret, or its public_key")
    if SCHEME not in (("ed25519", "rfc9421") if IS_PAIR else ("standard", "v1", "v2", "rfc9421")):
        sys.exit("SCHEME must be standard, v1, v2 or rfc9421; of a public key ed25519 or rfc9421")
    return key


KEY = read_key()
if IS_PAIR:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# What was handled, in memory and bounded: after a restart a duplicate passes. To be safe from
# that, write the id in the same transaction as what the event changes, under a unique key.
seen = collections.OrderedDict()
lock = threading.Lock()


def one(headers, name):
    """The header's value; "" without one, or with two: which of them would be signed?"""
    values = headers.get_all(name, [])
    return values[0].strip() if len(values) == 1 else ""


def is_fresh(at):
    return re.fullmatch("[0-9]{1,12}", at) and abs(time.time() - int(at)) <= TOLERANCE_S


def code(key, message):
    return hmac.new(key, message, hashlib.sha256)


def is_by_key(given, message):
    """Whether the signature, base64, is by the secret or the key pair."""
    try:
        given = base64.b64decode(given, validate=True)
        if not IS_PAIR:
            return hmac.compare_digest(given, code(KEY, message).digest())
        Ed25519PublicKey.from_public_bytes(KEY).verify(given, message)
        return True
    except (ValueError, InvalidSignature if IS_PAIR else ValueError):
        return False


def is_signed_body(headers, body):
    """v1: over the body, and nothing else; v2: over the time too."""
    if SCHEME == "v2":
        at = one(headers, "X-Webhook-Timestamp")
        if not is_fresh(at):
            return False
        body = at.encode() + b"." + body
    wanted = b"sha256=" + code(os.fsencode(SECRET), body).hexdigest().encode()
    return hmac.compare_digest(one(headers, "X-Webhook-Signature").encode("latin-1"), wanted)


def is_standard(headers, body):
    """Standard Webhooks: over the id and the time too, so that neither can be changed or be old."""
    event_id, at = one(headers, "webhook-id"), one(headers, "webhook-timestamp")
    message = f"{event_id}.{at}.".encode("latin-1") + body
    version = "v1a," if SCHEME == "ed25519" else "v1,"
    given = one(headers, "webhook-signature").split()  # two in a rotation
    return is_fresh(at) and any(
        text.startswith(version) and is_by_key(text[len(version):], message) for text in given
    )


NAMES = r'\(("[^"]+"(?: "[^"]+")*)\)'
INPUT = re.compile(rf'([a-z][a-z0-9]*)=({NAMES}((?:;[a-z]+=(?:[0-9]+|"[^"\\]*"))*))(?:, *|$)')
SIGNATURE = re.compile(r"([a-z][a-z0-9]*)=:([A-Za-z0-9+/=]+):(?:, *|$)")
COVERED = {"@method", "@target-uri", "content-digest", "webhook-id"}  # these at least


def members(pattern, text):
    """The labels of a header; none where anything is not of the form, or a label is there twice."""
    found = {}
    while text:
        match = pattern.match(text)
        if not match or match[1] in found:
            return {}
        found[match[1]] = match
        text = text[match.end():]
    return found


def is_message_signed(target, headers, body):
    """HTTP Message Signatures, RFC 9421: over what Signature-Input lists."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if one(headers, "Content-Digest") != f"sha-256=:{digest}:":
        return False
    origin = ORIGIN or "http://" + one(headers, "Host")
    signatures = members(SIGNATURE, one(headers, "Signature"))
    for label, found in members(INPUT, one(headers, "Signature-Input")).items():
        names = found[3][1:-1].split('" "')
        params = dict(re.findall(r';([a-z]+)=([0-9]+|"[^"\\]*")', found[4]))
        derived = {"@method": "POST", "@target-uri": origin + target}
        values = [derived.get(name) or one(headers, name) for name in names]
        lines = [f'"{name}": {value}\n' for name, value in zip(names, values)]
        base = "".join(lines) + f'"@signature-params": {found[2]}'
        if (
            params.get("alg") == ('"ed25519"' if IS_PAIR else '"hmac-sha256"')
            and is_fresh(params.get("created", "")) and COVERED <= set(names) and all(values)
            and label in signatures and is_by_key(signatures[label][2], base.encode("latin-1"))
        ):
            return True
    return False


def is_signed(target, headers, body):
    if not one(headers, "webhook-id") or one(headers, "webhook-id") != one(headers, "X-Webhook-Id"):
        return False
    if SCHEME == "rfc9421":
        return is_message_signed(target, headers, body)
    return (is_signed_body if SCHEME in ("v1", "v2") else is_standard)(headers, body)


def handle(event_id, event, body):
    with lock:
        if event_id in seen:
            return
        print(event, event_id, len(body), flush=True)  # your work: store it, or raise
        seen[event_id] = True
        if len(seen) > SEEN_MAX:
            seen.popitem(last=False)  # the oldest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection on which nothing comes

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_MAX:
            self.close_connection = True
            return self.answer(413 if length.isdigit() else 411)
        body = self.rfile.read(int(length))
        if len(body) < int(length) or not is_signed(self.path, self.headers, body):
            return self.answer(401)
        try:
            handle(self.headers["X-Webhook-Id"], self.headers["X-Webhook-Event"], body)
        except Exception:
            return self.answer(500)
        self.answer(204)  # only now: after anything else it is sent again

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", 9000))), Handler)
print("listening on http://%s:%d/" % server.server_address[:2], flush=True)
server.serve_forever()
