"""Uses the client that openapi-python-client has made: use_….py URL TOKEN RECEIVER SESSION."""

import sys
import time

from waybill_client import AuthenticatedClient
from waybill_client.api.deliveries import list_deliveries
from waybill_client.api.events import publish, publish_any
from waybill_client.api.gateway import show_stats
from waybill_client.api.webhooks import list_webhooks, register_webhook, show_webhook
from waybill_client.models import Envelope, Error, EventGiven, WebhookGiven

url, token, receiver, session = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)

made = register_webhook.sync(session, client=client, body=WebhookGiven(url=receiver))
accepted = publish.sync(
    session,
    client=client,
    body=EventGiven(event="message", timestamp=2**33, data={"n": 2**33}),
    idempotency_key="once",
)
assert accepted.deliveries == 1 and accepted.timestamp == 2**33, accepted
batch = publish_any.sync(
    client=client, body=[Envelope(event="message", session_id=session) for _ in range(2)]
)
assert batch.accepted == 2, batch
hooks = list_webhooks.sync(session, client=client)
assert [w.id for w in hooks.webhooks] == [made.id], hooks
until = time.monotonic() + 20
while True:
    shown = list_deliveries.sync(session, client=client).deliveries
    if [str(d.status) for d in shown] == ["delivered"] * 3:
        break
    assert time.monotonic() < until, shown
    time.sleep(0.05)
assert shown[0].attempts[0].status == 200
stats = show_stats.sync(client=client)
assert stats.events.published >= 3 and stats.store.max_bytes > 2**31, stats
missing = show_webhook.sync(session, "b807d7e0-f783-4252-9d6d-76f50e2e8348", client=client)
assert isinstance(missing, Error) and missing.error.code == 404, missing
