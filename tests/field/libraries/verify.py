"""
Says whether PyPI's svix takes the delivery that comes as JSON on standard input. A process of its
own: what the library needs is other versions than those of Debian.
usage: verify.py FOLDER, where it is installed
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
from svix.webhooks import Webhook, WebhookVerificationError  # noqa: E402  (from that folder)

given = json.load(sys.stdin)
secret = given["secret"].encode() if given["raw"] else given["secret"]
try:
    Webhook(secret).verify(given["body"], given["headers"])
except (WebhookVerificationError, ValueError) as error:
    print(f"bad: {error}")
else:
    print("good")
