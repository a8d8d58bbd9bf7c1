/* Deliveries as JSON; see delivery_json.h. */
#include "api/delivery_json.h"

#include <stdlib.h>

#include "base/mem.h"
#include "domain/attachment.h"
#include "domain/webhook_mask.h"
#include "store/attempts.h"

static const char *const STATUS_NAMES[] = {
    [DELIVERY_WAITING] = "pending",
    [DELIVERY_DEAD] = "dead",
    [DELIVERY_DELIVERED] = "delivered",
    [DELIVERY_EXPIRED] = "expired",
    [DELIVERY_CANCELLED] = "cancelled",
};

/* What the last attempt of a delivery knew of its webhook. */
struct last {
	struct uuid webhook_id;
	struct buf url;
};

const char *delivery_status_name(enum delivery_status status)
{
	return STATUS_NAMES[status];
}

bool delivery_status_parse(struct slice name, enum delivery_status *out)
{
	for (int s = DELIVERY_WAITING; s <= DELIVERY_CANCELLED; s++) {
		if (slice_eq(name, slice_of(STATUS_NAMES[s]))) {
			*out = (enum delivery_status)s;
			return true;
		}
	}
	return false;
}

static void write_ms(struct json_writer *json, const char *name, int64_t us)
{
	json_write_thousandths(json, name, (double)us / 1000);
}

/* Headers by name and value, in their order; a name may come twice. */
static void write_headers(struct json_writer *json, const char *key, struct slice lines)
{
	struct slice name;
	struct slice value;
	json_open_array(json, key);
	while (attempt_next_header(&lines, &name, &value)) {
		json_open_object(json, NULL);
		json_write_bytes(json, "name", name);
		json_write_bytes(json, "value", value);
		json_close(json);
	}
	json_close(json);
}

static void write_certificate(struct json_writer *json, const struct attempt_exchange *x)
{
	if (x->subject.len == 0 && x->expires_ms == INT64_MIN) {
		json_write_null(json, "certificate");
		return;
	}
	json_open_object(json, "certificate");
	json_write_bytes(json, "subject", x->subject);
	if (x->expires_ms == INT64_MIN)
		json_write_null(json, "expires_at");
	else
		json_write_time(json, "expires_at", x->expires_ms);
	json_close(json);
}

static const char *http_name(uint16_t version)
{
	switch (version) {
	case 10:
		return "1.0";
	case 11:
		return "1.1";
	case 20:
		return "2";
	default:
		return NULL;
	}
}

/* Writes what was said on the wire; nulls where it was not kept. */
static void write_exchange(struct json_writer *json, const struct attempt_record *a)
{
	const struct attempt_exchange *x = &a->exchange;
	json_write_cstr(json, "http_version", http_name(x->http_version));
	json_write_bytes_or_null(json, "tls_version", x->tls);
	if (!a->has_exchange) {
		json_write_null(json, "certificate");
		json_write_null(json, "request_headers");
		json_write_null(json, "response_headers");
		return;
	}
	write_certificate(json, x);
	write_headers(json, "request_headers", x->sent);
	if (a->status != 0)
		write_headers(json, "response_headers", x->answered);
	else
		json_write_null(json, "response_headers");
}

static void write_attempt(struct json_writer *json, uint32_t number,
    const struct attempt_record *a, bool whole)
{
	json_open_object(json, NULL);
	json_write_u64(json, "number", number);
	json_write_time(json, "at", a->at_ms);
	write_ms(json, "duration_ms", a->duration_us);
	write_ms(json, "dns_ms", a->dns_us);
	write_ms(json, "connect_ms", a->connect_us);
	write_ms(json, "tls_ms", a->tls_us);
	write_ms(json, "first_byte_ms", a->first_byte_us);
	json_write_bytes_or_null(json, "url", a->url);
	json_write_bytes_or_null(json, "address", a->address);
	if (a->status != 0)
		json_write_i64(json, "status", a->status);
	else
		json_write_null(json, "status");
	json_write_bytes_or_null(json, "error", a->error);
	if (a->status != 0)
		json_write_bytes(json, "response", a->answer);
	else
		json_write_null(json, "response");
	if (whole)
		write_exchange(json, a);
	json_close(json);
}

static bool on_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	write_attempt(arg, number, a, false);
	return true;
}

static bool on_whole_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	write_attempt(arg, number, a, true);
	return true;
}

static bool take_last(void *arg, uint32_t number, const struct attempt_record *a)
{
	struct last *last = arg;
	(void)number;
	last->webhook_id = a->webhook_id;
	buf_reset(&last->url);
	buf_slice(&last->url, a->url);
	return true;
}

static bool take_webhook(void *arg, uint32_t number, const struct attempt_record *a)
{
	(void)number;
	*(struct uuid *)arg = a->webhook_id;
	return true;
}

enum err delivery_find_webhook(const struct api_conf *conf, struct db_txn *txn,
    const struct delivery *d, struct uuid *id)
{
	const struct webhook *w = registry_get(conf->registry, d->webhook);
	memset(id, 0, sizeof(*id));
	if (w != NULL)
		*id = w->id;
	if (w != NULL || d->attempts == 0)
		return OK;
	return attempts_each(txn, &d->id, d->attempts, 1, take_webhook, id);
}

/* Whether an attempt of it is under way; what is not waiting on disk is over. */
static bool is_in_flight(const struct api_conf *conf, const struct delivery *d)
{
	return d->status == DELIVERY_WAITING &&
	    dispatch_is_in_flight(conf->dispatch, d->webhook, &d->id);
}

/* Writes which webhook it is for: `w`, or where that is gone what the last attempt had. */
static void write_webhook(const struct webhook *w, const struct last *last,
    struct json_writer *json)
{
	if (w != NULL)
		uuid_write(json, "webhook_id", &w->id);
	else if (last->url.len > 0)
		uuid_write(json, "webhook_id", &last->webhook_id);
	else
		json_write_null(json, "webhook_id");
	json_write_bytes_or_null(json, "url",
	    w != NULL ? slice_of(w->url) : buf_view(&last->url));
}

/* What holds it beyond its time; nothing, where it waits for its turn or is over. */
static struct dispatch_hold hold_of(const struct api_conf *conf, const struct delivery *d)
{
	struct dispatch_hold hold = {0};
	if (d->status == DELIVERY_WAITING && !is_in_flight(conf, d))
		dispatch_find_hold(conf->dispatch, d->webhook, d->due_ms, &hold);
	return hold;
}

static void write_head(const struct api_conf *conf, const struct event *e,
    const struct delivery *d, const struct last *last, struct json_writer *json)
{
	uuid_write(json, "id", &d->id);
	uuid_write(json, "event_id", &d->event_id);
	write_webhook(registry_get(conf->registry, d->webhook), last, json);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	json_write_cstr(json, "status", delivery_status_name(d->status));
	json_write_bool(json, "in_flight", is_in_flight(conf, d));
	json_write_u64(json, "attempt_count", d->attempts);
	if (d->status == DELIVERY_WAITING)
		json_write_time(json, "next_attempt_at", d->due_ms);
	else
		json_write_null(json, "next_attempt_at");
	struct dispatch_hold hold = hold_of(conf, d);
	call_write_hold(json, &hold);
	json_write_time(json, "created_at", d->created_ms);
}

static void write_attachment(const struct attachment *a, size_t bytes, struct json_writer *json)
{
	json_open_object(json, "raw");
	json_write_bytes(json, "content_type", a->type);
	json_write_u64(json, "bytes", bytes);
	json_open_object(json, "headers");
	for (size_t i = 0; i < a->header_count; i++) {
		const struct attachment_header *h = &a->headers[i];
		json_write_name(json, h->name); /* a token: nothing in it is to be escaped */
		json_write_bytes(json, NULL, h->is_secret ? SLICE(WEBHOOK_MASK) : h->value);
	}
	json_close(json);
	json_close(json);
}

enum err delivery_write_raw(struct db_txn *txn, const struct event *e, struct json_writer *json)
{
	struct attachment a;
	size_t n = 0;
	if (e->attached_bytes == 0)
		return OK;
	char *front = mem_array(ATTACHMENT_FRONT_MAX, 1);
	enum err err = events_read_body(txn, &e->id, e->body_bytes, front, ATTACHMENT_FRONT_MAX,
	    &n);
	if (err == OK)
		err = attachment_decode((struct slice){front, n}, &a);
	if (err == OK)
		write_attachment(&a, e->attached_bytes - (n - a.body.len), json);
	free(front);
	return err;
}

/* Whether the sender's bytes are what goes to its webhook; of one that is gone they may be. */
static bool sends_raw(const struct api_conf *conf, const struct delivery *d)
{
	const struct webhook *w = registry_get(conf->registry, d->webhook);
	return w == NULL || w->payload == PAYLOAD_ENVELOPE;
}

enum err delivery_write(const struct api_conf *conf, struct db_txn *txn, const struct event *e,
    const struct delivery *d, bool whole, struct json_writer *json)
{
	struct last last = {.url = BUF_INIT(URL_MAX)};
	uint32_t first = d->attempts > DELIVERY_ATTEMPTS_MAX
	    ? d->attempts - DELIVERY_ATTEMPTS_MAX + 1
	    : 0;
	enum err err = OK;
	if (registry_get(conf->registry, d->webhook) == NULL)
		err = attempts_each(txn, &d->id, first, DELIVERY_ATTEMPTS_MAX, take_last,
		    &last);
	if (err == OK) {
		json_open_object(json, NULL);
		write_head(conf, e, d, &last, json);
		if (sends_raw(conf, d))
			err = delivery_write_raw(txn, e, json);
	}
	if (err == OK) {
		json_open_array(json, "attempts");
		err = attempts_each(txn, &d->id, first, DELIVERY_ATTEMPTS_MAX,
		    whole ? on_whole_attempt : on_attempt, json);
		json_close(json);
		json_close(json);
	}
	buf_fini(&last.url);
	return err;
}
