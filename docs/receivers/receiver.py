"""
A receiver of waybill's deliveries: Python 3.9 or later, the standard library alone.
SECRET=… [PORT=9000] python3 receiver.py
"""

import base64, collections, hashlib, hmac, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environb[b"SECRET"]
BODY_MAX = 17 << 20  # over waybill's longest event in canonical form
TOLERANCE_S = 300
SEEN_MAX = 100000

# What was handled, in memory and bounded: after a restart a duplicate passes. To be safe from
# that, write the id in the same transaction as what the event changes, under a unique key.
seen = collections.OrderedDict()
lock = threading.Lock()


def is_signed(headers, body):
    """Standard Webhooks: over the id and the time too, so that neither can be changed or be old."""
    sent_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_id or sent_id != headers.get("X-Webhook-Id") or not (at.isascii() and at.isdigit()):
        return False
    if len(at) > 12 or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    key = base64.b64decode(SECRET[6:]) if SECRET.startswith(b"whsec_") else SECRET
    mac = hmac.new(key, f"{sent_id}.{at}.".encode("latin-1") + body, hashlib.sha256)
    wanted = b"v1," + base64.b64encode(mac.digest())
    given = headers.get("webhook-signature", "").encode("latin-1").split()  # two in a rotation
    return any(hmac.compare_digest(one, wanted) for one in given)


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
        if len(body) < int(length) or not is_signed(self.headers, body):
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
