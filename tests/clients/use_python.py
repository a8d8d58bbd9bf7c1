"""Uses the client that openapi-generator has made for Python: use_….py URL TOKEN RECEIVER SESSION."""

import sys
import time

import openapi_client as made_client

url, token, receiver, session = sys.argv[1:]
api = made_client.ApiClient(made_client.Configuration(host=url, access_token=token))
webhooks = made_client.WebhooksApi(api)
events = made_client.EventsApi(api)

made = webhooks.register_webhook(session, made_client.WebhookNew(url=receiver))
accepted = events.publish(
    session,
    made_client.EventGiven(event="message", timestamp=2**33, data={"n": 2**33}),
    idempotency_key="once",
)
assert accepted.deliveries == 1 and accepted.timestamp == 2**33, accepted
batch = events.publish_any(
    [made_client.Envelope(event="message", session_id=session) for _ in range(2)]
)
assert batch.accepted == 2, batch
assert [w.id for w in webhooks.list_webhooks(session).webhooks] == [made.id]
until = time.monotonic() + 20
while True:
    shown = made_client.DeliveriesApi(api).list_deliveries(session).deliveries
    if [d.status.value for d in shown] == ["delivered"] * 3:
        break
    assert time.monotonic() < until, shown
    time.sleep(0.05)
assert shown[0].attempts[0].status == 200
stats = made_client.GatewayApi(api).show_stats()
assert stats.events.published >= 3 and stats.store.max_bytes > 2**31, stats
try:
    webhooks.show_webhook(session, "b807d7e0-f783-4252-9d6d-76f50e2e8348")
    raise AssertionError("a webhook that is not there")
except made_client.exceptions.NotFoundException as error:
    assert error.data.error.code == 404, error
