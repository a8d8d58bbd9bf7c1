"""
A receiver as a Python sample has it: the standard library alone, the signature checked over the
bytes that came (json.dumps(json.loads(body)) would not give them back), Standard Webhooks' too.
One line of JSON on standard output for each request.

Usage: verify_python.py SECRET
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys

SECRET = sys.argv[1].encode()


def digest(data):
    return hmac.new(SECRET, data, hashlib.sha256)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = "sha256=" + digest(body).hexdigest()
        sent_id, sent_at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = f"{sent_id}.{sent_at}.".encode() + body
        standard = "v1," + base64.b64encode(digest(signed).digest()).decode()
        verdict = {
            "id": self.headers["X-Webhook-Id"],
            "raw": hmac.compare_digest(signature, self.headers["X-Webhook-Signature"]),
            "standard": hmac.compare_digest(standard, self.headers["webhook-signature"]),
            "body": body.decode(),
        }
        json.loads(body)  # it is JSON to Python, too
        sys.stdout.write(json.dumps(verdict) + "\n")  # in one piece: print() makes it two
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass  # standard error is for errors


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
