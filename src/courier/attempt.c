/* Request headers of an attempt; see attempt.h. Names and order are the contract's. */
#include "courier/attempt.h"

#include "base/percent.h"
#include "base/str.h"

static void put_number(struct client_request *q, struct slice name, int64_t n)
{
	char text[STR_I64_SIZE];
	client_own_header(q, name, str_put_i64(n, text));
}

/* A name may hold any byte of UTF-8, a header's value ASCII. */
static void put_session(struct client_request *q, struct slice session)
{
	struct buf text = BUF_INIT(PERCENT_GROWTH * session.len);
	if (!percent_is_visible(session)) { /* most are */
		percent_put_visible(&text, session);
		session = buf_view(&text);
	}
	client_own_header(q, SLICE("X-Webhook-Session"), session);
	buf_fini(&text);
}

static void put_header(void *arg, struct slice name, struct slice value)
{
	client_own_header(arg, name, value);
}

void attempt_send(struct client *c, const struct attempt *a, client_done_fn done, void *arg)
{
	struct client_request *q = client_open(c);
	int64_t now_s = a->now_ms / 1000;
	char event_id[UUID_TEXT_SIZE];
	char delivery_id[UUID_TEXT_SIZE];
	uuid_format(&a->delivery->event_id, event_id);
	uuid_format(&a->delivery->id, delivery_id);
	client_header(q, SLICE("Content-Type"), slice_of(PAYLOAD_TYPES[a->webhook->payload]));
	client_own_header(q, SLICE("X-Webhook-Event"), a->event);
	put_session(q, a->session);
	client_own_header(q, SLICE("X-Webhook-Id"), slice_of(event_id));
	client_own_header(q, SLICE("X-Webhook-Delivery"), slice_of(delivery_id));
	put_number(q, SLICE("X-Webhook-Attempt"), (int64_t)a->delivery->attempts + 1);
	put_number(q, SLICE("X-Webhook-Timestamp"), now_s);
	if (a->key != NULL || a->pair != NULL) {
		const struct sign_message m = {.schemes = a->webhook->signature,
		    .key = a->key,
		    .previous_key = a->previous_key,
		    .pair = a->pair,
		    .previous_pair = a->previous_pair,
		    .event_id = slice_of(event_id),
		    .timestamp_s = now_s,
		    .body = a->body,
		    .url = slice_of(a->webhook->url),
		    .content_type = slice_of(PAYLOAD_TYPES[a->webhook->payload])};
		sign_put_headers(&m, put_header, q);
	}
	for (size_t i = 0; i < a->webhook->header_count; i++) {
		const struct webhook_header *h = &a->webhook->headers[i];
		client_header(q, slice_of(h->name), slice_of(h->value));
	}
	client_taker(q, slice_of(a->webhook->session));
	client_tls(q, a->webhook->ca_pem, a->webhook->tls_insecure);
	const struct client_body body = {.text = a->body, .read = a->read};
	client_send(q, a->webhook->url, &body, a->webhook->timeout_ms, done, arg);
}
