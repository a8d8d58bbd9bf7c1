/*
 * GET /api/v1/stats: the figures of now, the last hour, and the webhooks that hurt most. Those
 * are looked for among the endpoints in memory, webhooks with work and some that had some
 * lately: a step each, and a place in a list of at most TOP_MAX.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/query.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/queue.h"

#define STATS_MAX (2u << 20) /* bytes: the hour, and TOP_MAX webhooks with their URLs */
#define TOP_DEFAULT 20
#define TOP_MAX 100

struct entry {
	struct dispatch_trouble trouble;
	uint64_t waiting;
	const struct webhook *hook;
};

struct top {
	const struct api *api;
	struct entry list[TOP_MAX]; /* what hurts most first */
	size_t count;
	size_t max;
};

static uint64_t attempts_failed(const struct dispatch_figures *f)
{
	return f->attempts[0] + f->attempts[3] + f->attempts[4] + f->attempts[5];
}

void metrics_totals(void *arg, struct samples_totals *out)
{
	const struct api *api = arg;
	struct dispatch_figures f;
	dispatch_figures(api->conf.dispatch, &f);
	*out = (struct samples_totals){.published = api->counts.events,
	    .delivered = f.delivered,
	    .failed = attempts_failed(&f),
	    .dead = f.dead,
	    .waiting = backlog_total(api->conf.quota.backlog),
	    .receipt = f.receipt};
}

/* Whether `a` hurts more than `b`: failing ones first, then those with more waiting. */
static bool is_worse(const struct entry *a, const struct entry *b)
{
	bool a_fails = a->trouble.status.failing_since_ms != 0;
	bool b_fails = b->trouble.status.failing_since_ms != 0;
	if (a_fails != b_fails)
		return a_fails;
	if (a->waiting != b->waiting)
		return a->waiting > b->waiting;
	return a->trouble.webhook < b->trouble.webhook;
}

static void consider(void *arg, const struct dispatch_trouble *t)
{
	struct top *top = arg;
	struct entry e = {.trouble = *t,
	    .waiting = backlog_of(top->api->conf.quota.backlog, t->webhook),
	    .hook = registry_get(top->api->conf.registry, t->webhook)};
	if (e.hook == NULL || e.hook->deleted ||
	    (e.waiting == 0 && t->status.failing_since_ms == 0 && e.hook->enabled))
		return;
	if (top->count == top->max && !is_worse(&e, &top->list[top->count - 1]))
		return;
	size_t at = top->count < top->max ? top->count++ : top->count - 1;
	for (; at > 0 && is_worse(&e, &top->list[at - 1]); at--)
		top->list[at] = top->list[at - 1];
	top->list[at] = e;
}

static void put_member(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, ",\"%s\":", key);
	if (text == NULL)
		buf_puts(out, "null");
	else
		buf_json(out, slice_of(text));
}

static void put_time(struct buf *out, const char *key, int64_t at_ms)
{
	char stamp[STR_TIME_SIZE];
	str_time(at_ms, stamp);
	put_member(out, key, at_ms == 0 ? NULL : stamp);
}

static void put_entry(struct buf *out, const struct entry *e)
{
	char id[UUID_TEXT_SIZE];
	const struct dispatch_status *s = &e->trouble.status;
	uuid_format(&e->hook->id, id);
	buf_printf(out, "{\"webhook_id\":\"%s\"", id);
	put_member(out, "session_id", e->hook->session);
	put_member(out, "url", e->hook->url);
	buf_printf(out,
	    ",\"enabled\":%s,\"circuit\":\"%s\",\"waiting\":%llu,\"in_flight\":%u,"
	    "\"consecutive_failures\":%u",
	    e->hook->enabled ? "true" : "false", s->circuit, (unsigned long long)e->waiting,
	    s->in_flight, s->failures);
	put_time(out, "failing_since", s->failing_since_ms);
	put_member(out, "disabled_reason", e->hook->disabled_reason);
	if (e->trouble.last_status == 0)
		buf_puts(out, ",\"last_status\":null");
	else
		buf_printf(out, ",\"last_status\":%d", e->trouble.last_status);
	put_member(out, "last_error", e->trouble.last_error);
	buf_putc(out, '}');
}

static void put_top(const struct api *api, size_t max, struct buf *out)
{
	struct top *top = mem_new(sizeof(*top));
	top->api = api;
	top->max = max;
	dispatch_each(api->conf.dispatch, consider, top);
	buf_puts(out, ",\"top\":[");
	for (size_t i = 0; i < top->count; i++) {
		buf_puts(out, i == 0 ? "" : ",");
		put_entry(out, &top->list[i]);
	}
	buf_puts(out, "]}");
	free(top);
}

static void put_history(const struct samples *h, struct buf *out)
{
	char stamp[STR_TIME_SIZE];
	buf_puts(out, ",\"history\":[");
	for (size_t i = 0; i < samples_count(h); i++) {
		const struct samples_entry *s = samples_get(h, i);
		str_time(s->at_ms, stamp);
		buf_printf(out,
		    "%s{\"at\":\"%s\",\"published\":%llu,\"delivered\":%llu,\"failed\":%llu,"
		    "\"dead\":%llu,\"waiting\":%llu,\"receipt_p50_ms\":%.3f,"
		    "\"receipt_p99_ms\":%.3f}",
		    i == 0 ? "" : ",", stamp, (unsigned long long)s->published,
		    (unsigned long long)s->delivered, (unsigned long long)s->failed,
		    (unsigned long long)s->dead, (unsigned long long)s->waiting,
		    s->receipt_p50_us / 1000, s->receipt_p99_us / 1000);
	}
	buf_putc(out, ']');
}

static void put_latency(struct buf *out, const char *name, const struct histogram *h)
{
	buf_printf(out, "\"%s\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f}", name,
	    histogram_quantile(h, 0.5) / 1000, histogram_quantile(h, 0.9) / 1000,
	    histogram_quantile(h, 0.99) / 1000);
}

static void put_latencies(const struct api *api, const struct dispatch_figures *f,
    struct buf *out)
{
	buf_puts(out, ",\"latency_ms\":{");
	put_latency(out, "receipt", &f->receipt);
	buf_putc(out, ',');
	put_latency(out, "attempt", &f->attempt);
	buf_putc(out, ',');
	put_latency(out, "commit", &turn_figures(api->conf.turn)->commit);
	buf_putc(out, ',');
	put_latency(out, "turn", api->conf.turns);
	buf_putc(out, '}');
}

static void put_traffic(const struct api *api, const struct dispatch_figures *f,
    struct buf *out)
{
	int64_t oldest_ms = 0;
	buf_printf(out,
	    ",\"events\":{\"published\":%llu,\"repeated\":%llu,\"bytes\":%llu},"
	    "\"deliveries\":{\"delivered\":%llu,\"retried\":%llu,\"dead\":%llu,"
	    "\"expired\":%llu,\"cancelled\":%llu,\"in_flight\":%u,\"waiting\":%llu,"
	    "\"oldest_waiting_seconds\":",
	    (unsigned long long)api->counts.events, (unsigned long long)api->counts.repeats,
	    (unsigned long long)api->counts.bytes, (unsigned long long)f->delivered,
	    (unsigned long long)f->retried, (unsigned long long)f->dead,
	    (unsigned long long)f->expired, (unsigned long long)metrics_cancelled(api),
	    f->in_flight, (unsigned long long)backlog_total(api->conf.quota.backlog));
	bool known = oldest_created(api->conf.oldest, &oldest_ms);
	int64_t age_ms = oldest_ms == 0 ? 0 : clock_wall_ms() - oldest_ms;
	if (known)
		buf_printf(out, "%.3f}", age_ms > 0 ? (double)age_ms / 1000 : 0);
	else
		buf_puts(out, "null}");
}

static void put_store(const struct db_usage *u, struct buf *out)
{
	buf_printf(out,
	    ",\"store\":{\"used_bytes\":%llu,\"max_bytes\":%llu,\"file_bytes\":%llu,"
	    "\"disk_free_bytes\":%llu}",
	    (unsigned long long)u->used_bytes, (unsigned long long)u->max_bytes,
	    (unsigned long long)u->file_bytes, (unsigned long long)u->disk_free_bytes);
}

static void put_webhooks(const struct api *api, const struct dispatch_figures *f,
    struct buf *out)
{
	struct registry_figures hooks = registry_figures(api->conf.registry);
	uint64_t all = hooks.enabled + hooks.disabled;
	uint64_t troubled = f->open + f->half_open;
	buf_printf(out,
	    ",\"circuits\":{\"closed\":%llu,\"open\":%u,\"half_open\":%u},"
	    "\"webhooks\":{\"count\":%llu,\"enabled\":%llu,\"disabled\":%llu}",
	    (unsigned long long)(all > troubled ? all - troubled : 0), f->open, f->half_open,
	    (unsigned long long)all, (unsigned long long)hooks.enabled,
	    (unsigned long long)hooks.disabled);
}

static void put_head(const struct api *api, struct buf *out)
{
	char stamp[STR_TIME_SIZE];
	str_time(clock_wall_ms(), stamp);
	buf_printf(out,
	    "{\"version\":\"" WAYBILL_VERSION "\",\"uptime_seconds\":%.3f,\"now\":\"%s\"",
	    (double)(clock_mono_ms() - api->conf.started_mono_ms) / 1000, stamp);
}

/* Reads what the store says. */
static enum err measure(struct db *db, struct db_usage *u, uint64_t *dead)
{
	struct db_txn *txn = NULL;
	enum err err = db_usage(db, u);
	if (err == OK)
		err = db_read(db, &txn);
	if (err != OK)
		return err;
	err = db_rows(txn, DB_DEAD, dead);
	db_read_end(txn);
	return err;
}

void handle_stats(struct call *c)
{
	struct api *api = c->api;
	struct dispatch_figures f;
	struct http_figures http;
	struct db_usage u;
	uint64_t dead = 0;
	uint64_t top = TOP_DEFAULT;
	struct query q = {.call = c};
	if (c->token != NULL) {
		call_fail(c, 403, "",
		    "statistics are of all sessions: they need a token for all");
		return;
	}
	(void)query_number(&q, "top", 1, TOP_MAX, &top);
	if (q.answered)
		return;
	enum err err = measure(api->conf.db, &u, &dead);
	if (err != OK) {
		call_fail_err(c, err);
		return;
	}
	struct buf out = BUF_INIT(STATS_MAX);
	dispatch_figures(api->conf.dispatch, &f);
	http_figures(api->http, &http);
	put_head(api, &out);
	put_traffic(api, &f, &out);
	put_latencies(api, &f, &out);
	put_store(&u, &out);
	put_webhooks(api, &f, &out);
	buf_printf(&out, ",\"dead_letters\":%llu,\"connections\":%u", (unsigned long long)dead,
	    http.connections);
	put_history(api->samples, &out);
	put_top(api, (size_t)top, &out);
	call_reply(c, 200, &out);
	buf_fini(&out);
}
