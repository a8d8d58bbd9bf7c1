"""
Says whether PyPI's http-message-signatures takes the delivery that comes as JSON on standard
input. A process of its own, as for verify.py.
usage: verify_rfc9421.py FOLDER, where it is installed
"""

import base64
import json
import sys

sys.path.insert(0, sys.argv[1])
import requests  # noqa: E402
from http_message_signatures import (  # noqa: E402  (from that folder)
    HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException  # noqa: E402

given = json.load(sys.stdin)
by_pair = given["secret"].startswith("whpk_")


class Resolver(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        key = given["secret"].encode()
        if by_pair or key.startswith(b"whsec_"):
            key = base64.b64decode(key.split(b"_", 1)[1])
        if not by_pair:
            return key
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(key)

    resolve_private_key = resolve_public_key


request = requests.Request(
    "POST", given["url"], data=given["body"].encode(), headers=given["headers"]
).prepare()
request.headers.update(given["headers"])
verifier = HTTPMessageVerifier(
    signature_algorithm=algorithms.ED25519 if by_pair else algorithms.HMAC_SHA256,
    key_resolver=Resolver(),
)
WANTED = ("@method", "@target-uri", "content-digest", "content-type", "webhook-id")
try:
    verifier.verify(
        request, require_components=[f'"{name}"' for name in WANTED], body=given["body"].encode()
    )
except (HTTPMessageSignaturesException, ValueError) as error:
    print(f"bad: {error!r}")
else:
    print("good")
