/* Request headers of an attempt; see attempt.h. Names and order are the contract's. */
#include "courier/attempt.h"

#include <string.h>
#include <strings.h>

#include "base/percent.h"
#include "base/str.h"
#include "domain/trace.h"

#define OWN_MAX                                                                                \
	8192 /* bytes of headers that no webhook and no sender has made: ids, signatures */

/* What a webhook and a sender may have made long, all at once, has to find room. */
_Static_assert(WEBHOOK_HEADERS_BYTES_MAX + WEBHOOK_HEADERS_MAX * sizeof(": \r\n") +
	    ATTACHMENT_FRONT_MAX + AUTH_HEADER_MAX + TRACE_MAX + OPTIONS_AGENT_MAX + OWN_MAX <=
	CLIENT_LINES_MAX,
    "bytes of headers");
/* Content-Type, Content-Encoding, ours, two of a trace, Authorization, User-Agent, Expect */
_Static_assert(WEBHOOK_HEADERS_MAX + ATTACHMENT_HEADERS_MAX + 8 <= CLIENT_HEADERS_MAX,
    "lines of headers");

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

/* Whether the webhook, or what it passes on of the sender's, has a header of this name. */
static bool is_set(const struct attempt *a, struct slice name)
{
	if (has_header(a->webhook, name))
		return true;
	for (size_t i = 0; a->raw != NULL && i < a->raw->header_count; i++) {
		struct slice sent = a->raw->headers[i].name;
		if (sent.len == name.len && strncasecmp(sent.ptr, name.ptr, name.len) == 0)
			return true;
	}
	return false;
}

/* The publisher's trace, unless the webhook or what it passes on says another. */
static void put_trace(struct client_request *q, const struct attempt *a)
{
	struct slice parent;
	struct slice state;
	if (a->trace.len == 0 || is_set(a, SLICE("traceparent")))
		return;
	trace_split(a->trace, &parent, &state);
	client_header(q, SLICE("traceparent"), parent);
	if (state.len > 0 && !is_set(a, SLICE("tracestate")))
		client_header(q, SLICE("tracestate"), state);
}

static struct slice type_of(const struct attempt *a)
{
	enum payload form = a->question == NULL ? a->webhook->payload : PAYLOAD_ENVELOPE;
	return a->raw != NULL ? a->raw->type : slice_of(PAYLOAD_TYPES[form]);
}

/* How the webhook wants its requests to be sent. */
static void put_options(struct client_request *q, const struct webhook_options *o)
{
	if (o->user_agent != NULL)
		client_header(q, SLICE("User-Agent"), slice_of(o->user_agent));
	if (!proxy_is_default(&o->proxy))
		client_proxy(q, &o->proxy);
	if (o->http2)
		client_http2(q);
}

/* For whom it is sent, whom it trusts, and how it goes. */
static void put_way(struct client_request *q, const struct webhook *w)
{
	client_taker(q, slice_of(w->session));
	client_tls(q, w->ca_pem, w->tls_insecure);
	if (w->client_cert_pem != NULL)
		client_identity(q, w->client_cert_pem, w->client_key_pem);
	if (w->options != NULL)
		put_options(q, w->options);
}

struct client_request *attempt_send(struct client *c, const struct attempt *a,
    client_done_fn done, void *arg)
{
	struct client_request *q = client_open(c);
	const struct attempt_question *ask = a->question;
	const char *url = ask == NULL ? a->url : ask->url;
	int64_t now_s = a->now_ms / 1000;
	char event_id[UUID_TEXT_SIZE];
	char delivery_id[UUID_TEXT_SIZE];
	uuid_format(&a->delivery->event_id, event_id);
	uuid_format(&a->delivery->id, delivery_id);
	client_header(q, SLICE("Content-Type"), type_of(a));
	if (a->packed.len > 0)
		client_header(q, SLICE("Content-Encoding"), SLICE("gzip"));
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
		    .content = a->packed,
		    .method = slice_of(ask == NULL ? NULL : ask->method),
		    .url = slice_of(url),
		    .content_type = type_of(a)};
		sign_put_headers(&m, put_header, q);
	}
	put_raw_headers(q, a);
	put_trace(q, a);
	for (size_t i = 0; i < a->webhook->header_count; i++) {
		const struct webhook_header *h = &a->webhook->headers[i];
		client_secret_header(q, slice_of(h->name), slice_of(h->value));
	}
	if (a->authorization != NULL)
		client_secret_header(q, SLICE("Authorization"), slice_of(a->authorization));
	put_way(q, a->webhook);
	if (ask != NULL) {
		client_call(q, ask->method, url, a->body, a->webhook->timeout_ms, ask->data,
		    done, arg);
		return q;
	}
	if (a->webhook->success != NULL)
		client_look(q, success_reads(a->webhook->success));
	const struct client_body body = {.text = a->packed.len > 0 ? a->packed : a->body,
	    .read = a->read};
	client_send(q, url, &body, a->webhook->timeout_ms, done, arg);
	return q;
}
