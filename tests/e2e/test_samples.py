"""
The published verification samples against real deliveries of awkward data. The Node.js one
signs JSON.stringify(JSON.parse(body)), so the bytes of a delivery have to be what JavaScript
would print (section 4); the one exception, numbers that JavaScript would change, is tested for
its own sake.
"""

import json
import pathlib
import shutil
import sys

import pytest

from harness import wait_until

HERE = pathlib.Path(__file__).resolve().parent
NODE = shutil.which("node") or shutil.which("nodejs")
SECRET = "s3cret-\u00e9"

CANONICAL = {  # data as it is published -> as it is delivered
    # white space and order
    ' { "b" : [ 1 , 2 ] ,\r\n\t"a" : { } } ': '{"b":[1,2],"a":{}}',
    '{"b":1,"2":2,"10":3,"1":4,"a":5}': '{"1":4,"2":2,"10":3,"b":1,"a":5}',
    '{"01":1,"-1":2,"1.0":3,"1e1":4,"0":5," 3":6}':
        '{"0":5,"01":1,"-1":2,"1.0":3,"1e1":4," 3":6}',
    '{"4294967295":1,"4294967294":2,"x":3}': '{"4294967294":2,"4294967295":1,"x":3}',
    '{"x":{"3":{"b":1,"1":2},"2":0}}': '{"x":{"2":0,"3":{"1":2,"b":1}}}',
    '{"a":1,"b":2,"a":3}': '{"a":3,"b":2}',
    '{"a":1,"\\u0061":2,"b":0,"a":{"c":1,"c":2}}': '{"a":{"c":2},"b":0}',
    '{"":1,"\\u0000":2,"__proto__":3,"constructor":4}':
        '{"":1,"\\u0000":2,"__proto__":3,"constructor":4}',
    "[[],[[]],{},[{}],[[[[[]]]]]]": "[[],[[]],{},[{}],[[[[[]]]]]]",
    "[null,true,false,\"\"]": '[null,true,false,""]',
    # strings
    '"\\u0041\\/\\u00e9\\u20AC"': '"A/\u00e9\u20ac"',
    '"\\"\\\\\\b\\f\\n\\r\\t"': '"\\"\\\\\\b\\f\\n\\r\\t"',
    '"\\u0008\\u000C\\u000a\\u000D\\u0009\\u0022\\u005C"': '"\\b\\f\\n\\r\\t\\"\\\\"',
    '"\\u0000\\u001F\\u000B\\u007F"': '"\\u0000\\u001f\\u000b\x7f"',
    '"\\u2028\\u2029\u2028\u2029"': '"\u2028\u2029\u2028\u2029"',
    '"\\uD83D\\uDE00\U0001f600\\ud83d\\udc69\u200d\U0001f4bb"':
        '"\U0001f600\U0001f600\U0001f469\u200d\U0001f4bb"',
    '"\\uD800"': '"\\ud800"',
    '"\\uDFFF\\uD800x\\uDBFF\\uDBFF\\uDC00"': '"\\udfff\\ud800x\\udbff\U0010fc00"',
    '"\\uFFFF\\uFEFF\\u0085\\u00ad"': '"\uffff\ufeff\u0085\u00ad"',
    '"\u00e9 e\u0301 \u0430\u0431\u0432 \u4e2d\u6587"':
        '"\u00e9 e\u0301 \u0430\u0431\u0432 \u4e2d\u6587"',
    '{"\\u006b\\uD83D\\uDE00\\u0001":"</script>\'"}': '{"k\U0001f600\\u0001":"</script>\'"}',
    # numbers
    "[1.0,1.50,-1.0,10e-1,0.10]": "[1,1.5,-1,1,0.1]",
    "[0,-0,0.0,-0.0,0e5,0E-7,-0e+9]": "[0,0,0,0,0,0,0]",
    "[1e5,1E5,1e+5,1.5e3,100000e0]": "[100000,100000,100000,1500,100000]",
    "[1e20,1e21,-1e21,123e21]": "[100000000000000000000,1e+21,-1e+21,1.23e+23]",
    "[1e-6,1e-7,-0.0000001,0.000001]": "[0.000001,1e-7,-1e-7,0.000001]",
    "[9007199254740991,9007199254740992,-9007199254740991]":
        "[9007199254740991,9007199254740992,-9007199254740991]",
    "[1767143203123,2251799813685248.5]": "[1767143203123,2251799813685248.5]",
    "[0.1,0.2,0.3,3.141592653589793,1.7976931348623157e308,5e-324]":
        "[0.1,0.2,0.3,3.141592653589793,1.7976931348623157e+308,5e-324]",
    "[18014398509481984,1152921504606847000]": "[18014398509481984,1152921504606847000]",
}

LITERAL = [  # numbers that a double can't hold: they stay as they came, or an id would change
    "9007199254740993", "-9007199254740993", "12345678901234567890", "18446744073709551615",
    "123456789012345678901234567890", "0.1234567890123456789", "1e400", "-1E400", "1e-400",
    "9007199254740993.0", "3.14159265358979323846", "4503599627370496.5",
]


def collect(gateway, process, published):
    """Publishes each text and returns the receiver's verdicts in the same order."""
    gateway.register("s1", process.line(0), secret=SECRET)
    ids = [gateway.publish_text("s1", data)["id"] for data in published]
    wait_until(lambda: len(process.lines) > len(ids), what="a verdict for each event")
    verdicts = {v["id"]: v for v in map(json.loads, process.lines[1:])}
    return [verdicts[event_id] for event_id in ids]


def data_of(verdict):
    """The text of a delivery's data, the last member."""
    return verdict["body"].split(',"data":', 1)[1][:-1]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_node_sample_verifies_what_javascript_would_print(gateway, start_process):
    process = start_process(NODE, HERE / "verify_node.js", SECRET)
    verdicts = collect(gateway, process, CANONICAL)
    assert [data_of(v) for v in verdicts] == list(CANONICAL.values())
    assert [v["body"] for v in verdicts if not v["sample"]] == []
    assert [v["body"] for v in verdicts if not v["raw"]] == []


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_number_that_javascript_would_change_stays_and_its_bytes_verify(gateway, start_process):
    process = start_process(NODE, HERE / "verify_node.js", SECRET)
    verdicts = collect(gateway, process, [f'{{"id":{n} ,"b":[{n}]}}' for n in LITERAL])
    assert [data_of(v) for v in verdicts] == [f'{{"id":{n},"b":[{n}]}}' for n in LITERAL]
    assert [v["body"] for v in verdicts if not v["raw"]] == []


def test_python_sample_verifies(gateway, start_process):
    process = start_process(sys.executable, HERE / "verify_python.py", SECRET)
    verdicts = collect(gateway, process, [*CANONICAL, *LITERAL])
    assert [data_of(v) for v in verdicts] == [*CANONICAL.values(), *LITERAL]
    assert [v["body"] for v in verdicts if not v["raw"]] == []
    assert [v["body"] for v in verdicts if not v["standard"]] == []


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_unknown_members_are_canonical_too(gateway, start_process):
    """Array-index names come even before session_id: JavaScript prints them so."""
    process = start_process(NODE, HERE / "verify_node.js", SECRET)
    gateway.register("s1", process.line(0), secret=SECRET)
    envelope = (
        '{"zz":1.0,"event":"message","timestamp":5,"\\u00e9":"\\/","7":[-0],"data":{},"3":null,'
        '"zz":2}'
    )
    answer = gateway.api("POST", "/sessions/s1/events", body=envelope.encode())
    assert answer.status_code == 202, answer.text
    verdict = json.loads(process.line(1))
    assert verdict["body"] == (
        '{"3":null,"7":[0],"session_id":"s1","event":"message","timestamp":5,"zz":2,'
        '"\u00e9":"/","data":{}}'
    )
    assert verdict["sample"] and verdict["raw"]
