/* Request headers of an attempt; see attempt.h. Names and order are the contract's. */
#include "courier/attempt.h"

#include <string.h>
#include <strings.h>

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

/* Whether the webhook has a header of this name itself. */
static bool has_header(const struct webhook *w, struct slice name)
{
	for (size_t i = 0; i < w->header_count; i++) {
		const char *own = w->headers[i].name;
		if (strlen(own) == name.len && strncasecmp(own, name.ptr, name.len) == 0)
			return true;
	}
	return false;
}

/* The sender's headers, but for those that the webhook sets. */
static void put_raw_headers(struct client_request *q, const struct attempt *a)
{
	for (size_t i = 0; a->raw != NULL && i < a->raw->header_count; i++) {
		const struct attachment_header *h = &a->raw->headers[i];
		if (has_header(a->webhook, h->name))
			continue;
		if (h->is_secret)
			client_secret_header(q, h->name, h->value);
		else
			client_header(q, h->name, h->value);
	}
}

static struct slice type_of(const struct attempt *a)
{
	return a->raw != NULL ? a->raw->type : slice_of(PAYLOAD_TYPES[a->webhook->payload]);
}

void attempt_send(struct client *c, const struct attempt *a, client_done_fn done, void *arg)
{
	struct client_request *q = client_open(c);
	int64_t now_s = a->now_ms / 1000;
	char event_id[UUID_TEXT_SIZE];
	char delivery_id[UUID_TEXT_SIZE];
	uuid_format(&a->delivery->event_id, event_id);
	uuid_format(&a->delivery->id, delivery_id);
	client_header(q, SLICE("Content-Type"), type_of(a));
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
	put_raw_headers(q, a);
	for (size_t i = 0; i < a->webhook->header_count; i++) {
		const struct webhook_header *h = &a->webhook->headers[i];
		client_secret_header(q, slice_of(h->name), slice_of(h->value));
	}
	if (a->authorization != NULL)
		client_secret_header(q, SLICE("Authorization"), slice_of(a->authorization));
	client_taker(q, slice_of(a->webhook->session));
	client_tls(q, a->webhook->ca_pem, a->webhook->tls_insecure);
	if (a->webhook->client_cert_pem != NULL)
		client_identity(q, a->webhook->client_cert_pem, a->webhook->client_key_pem);
	const struct client_body body = {.text = a->body, .read = a->read};
	client_send(q, a->webhook->url, &body, a->webhook->timeout_ms, done, arg);
}
