/* Deliveries as JSON; see delivery_json.h. */
#include "api/delivery_json.h"

#include "api/member.h"
#include "domain/json.h"
#include "store/attempts.h"

static const char *const STATUS_NAMES[] = {
    [DELIVERY_WAITING] = "pending",
    [DELIVERY_DEAD] = "dead",
    [DELIVERY_DELIVERED] = "delivered",
    [DELIVERY_EXPIRED] = "expired",
    [DELIVERY_CANCELLED] = "cancelled",
};

/* The attempts of a delivery on their way to JSON, and what the last of them knew. */
struct attempts {
	struct buf json;
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

static void put_us(struct buf *out, const char *key, int64_t us)
{
	buf_printf(out, "\"%s\":%lld.%03lld,", key, (long long)(us / 1000),
	    (long long)(us % 1000));
}

static bool put_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	struct attempts *list = arg;
	struct buf *out = &list->json;
	buf_printf(out, "%s{\"number\":%u,", out->len == 0 ? "" : ",", number);
	member_put_time(out, "at", a->at_ms);
	put_us(out, "duration_ms", a->duration_us);
	put_us(out, "dns_ms", a->dns_us);
	put_us(out, "connect_ms", a->connect_us);
	put_us(out, "tls_ms", a->tls_us);
	put_us(out, "first_byte_ms", a->first_byte_us);
	member_put_text(out, "url", a->url);
	member_put_text(out, "address", a->address);
	if (a->status != 0)
		buf_printf(out, "\"status\":%d,", a->status);
	else
		buf_puts(out, "\"status\":null,");
	member_put_text(out, "error", a->error);
	buf_puts(out, "\"response\":");
	if (a->status != 0)
		json_put_lossy(a->answer, out);
	else
		buf_puts(out, "null");
	buf_putc(out, '}');
	list->webhook_id = a->webhook_id;
	buf_reset(&list->url);
	buf_slice(&list->url, a->url);
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

/* Appends which webhook it is for: as it is, or where it is gone as the attempts had it. */
static void put_webhook(const struct api_conf *conf, const struct delivery *d,
    const struct attempts *list, struct buf *out)
{
	const struct webhook *w = registry_get(conf->registry, d->webhook);
	if (w != NULL)
		member_put_id(out, "webhook_id", &w->id);
	else if (list->url.len > 0)
		member_put_id(out, "webhook_id", &list->webhook_id);
	else
		buf_puts(out, "\"webhook_id\":null,");
	member_put_text(out, "url", w != NULL ? slice_of(w->url) : buf_view(&list->url));
}

/* Whether an attempt of it is under way; what is not waiting on disk is over. */
static bool is_in_flight(const struct api_conf *conf, const struct delivery *d)
{
	return d->status == DELIVERY_WAITING &&
	    dispatch_is_in_flight(conf->dispatch, d->webhook, &d->id);
}

static void put_head(const struct api_conf *conf, const struct event *e,
    const struct delivery *d, const struct attempts *list, struct buf *out)
{
	buf_putc(out, '{');
	member_put_id(out, "id", &d->id);
	member_put_id(out, "event_id", &d->event_id);
	put_webhook(conf, d, list, out);
	member_put_text(out, "session_id", slice_of(e->session));
	member_put_text(out, "event", slice_of(e->name));
	buf_printf(out, "\"status\":\"%s\",\"in_flight\":%s,\"attempt_count\":%u,",
	    delivery_status_name(d->status), is_in_flight(conf, d) ? "true" : "false",
	    d->attempts);
	if (d->status == DELIVERY_WAITING)
		member_put_time(out, "next_attempt_at", d->due_ms);
	else
		buf_puts(out, "\"next_attempt_at\":null,");
	member_put_time(out, "created_at", d->created_ms);
}

enum err delivery_put_json(const struct api_conf *conf, struct db_txn *txn,
    const struct event *e, const struct delivery *d, struct buf *out)
{
	struct attempts list = {.json = BUF_INIT(DELIVERY_JSON_MAX), .url = BUF_INIT(URL_MAX)};
	uint32_t first = d->attempts > DELIVERY_ATTEMPTS_MAX
	    ? d->attempts - DELIVERY_ATTEMPTS_MAX + 1
	    : 0;
	enum err err = attempts_each(txn, &d->id, first, DELIVERY_ATTEMPTS_MAX, put_attempt,
	    &list);
	if (err == OK) {
		put_head(conf, e, d, &list, out);
		buf_puts(out, "\"attempts\":[");
		buf_slice(out, buf_view(&list.json));
		buf_puts(out, "]}");
	}
	buf_fini(&list.json);
	buf_fini(&list.url);
	return err;
}
