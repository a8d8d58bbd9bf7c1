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

static void write_entry(struct json_writer *json, const struct entry *e)
{
	const struct dispatch_status *s = &e->trouble.status;
	json_open_object(json, NULL);
	uuid_write(json, "webhook_id", &e->hook->id);
	json_write_cstr(json, "session_id", e->hook->session);
	json_write_cstr(json, "url", e->hook->url);
	json_write_bool(json, "enabled", e->hook->enabled);
	json_write_cstr(json, "circuit", s->circuit);
	json_write_u64(json, "waiting", e->waiting);
	json_write_u64(json, "in_flight", s->in_flight);
	json_write_u64(json, "consecutive_failures", s->failures);
	json_write_time_or_null(json, "failing_since", s->failing_since_ms);
	json_write_cstr(json, "disabled_reason", e->hook->disabled_reason);
	if (e->trouble.last_status == 0)
		json_write_null(json, "last_status");
	else
		json_write_i64(json, "last_status", e->trouble.last_status);
	json_write_cstr(json, "last_error", e->trouble.last_error);
	json_close(json);
}

static void write_top(const struct api *api, size_t max, struct json_writer *json)
{
	struct top *top = mem_new(sizeof(*top));
	top->api = api;
	top->max = max;
	dispatch_each(api->conf.dispatch, consider, top);
	json_open_array(json, "top");
	for (size_t i = 0; i < top->count; i++)
		write_entry(json, &top->list[i]);
	json_close(json);
	free(top);
}

static void write_history(const struct samples *h, struct json_writer *json)
{
	json_open_array(json, "history");
	for (size_t i = 0; i < samples_count(h); i++) {
		const struct samples_entry *s = samples_get(h, i);
		json_open_object(json, NULL);
		json_write_time(json, "at", s->at_ms);
		json_write_u64(json, "published", s->published);
		json_write_u64(json, "delivered", s->delivered);
		json_write_u64(json, "failed", s->failed);
		json_write_u64(json, "dead", s->dead);
		json_write_u64(json, "waiting", s->waiting);
		json_write_thousandths(json, "receipt_p50_ms", s->receipt_p50_us / 1000);
		json_write_thousandths(json, "receipt_p99_ms", s->receipt_p99_us / 1000);
		json_close(json);
	}
	json_close(json);
}

static void write_latency(struct json_writer *json, const char *name, const struct histogram *h)
{
	json_open_object(json, name);
	json_write_thousandths(json, "p50", histogram_quantile(h, 0.5) / 1000);
	json_write_thousandths(json, "p90", histogram_quantile(h, 0.9) / 1000);
	json_write_thousandths(json, "p99", histogram_quantile(h, 0.99) / 1000);
	json_close(json);
}

static void write_latencies(const struct api *api, const struct dispatch_figures *f,
    struct json_writer *json)
{
	json_open_object(json, "latency_ms");
	write_latency(json, "receipt", &f->receipt);
	write_latency(json, "attempt", &f->attempt);
	write_latency(json, "commit", &turn_figures(api->conf.turn)->commit);
	write_latency(json, "turn", api->conf.turns);
	json_close(json);
}

static void write_traffic(const struct api *api, const struct dispatch_figures *f,
    struct json_writer *json)
{
	int64_t oldest_ms = 0;
	bool known = oldest_created(api->conf.oldest, &oldest_ms);
	int64_t age_ms = oldest_ms == 0 ? 0 : clock_wall_ms() - oldest_ms;
	json_open_object(json, "events");
	json_write_u64(json, "published", api->counts.events);
	json_write_u64(json, "repeated", api->counts.repeats);
	json_write_u64(json, "bytes", api->counts.bytes);
	json_close(json);
	json_open_object(json, "deliveries");
	json_write_u64(json, "delivered", f->delivered);
	json_write_u64(json, "retried", f->retried);
	json_write_u64(json, "dead", f->dead);
	json_write_u64(json, "expired", f->expired);
	json_write_u64(json, "cancelled", metrics_cancelled(api));
	json_write_u64(json, "in_flight", f->in_flight);
	json_write_u64(json, "waiting", backlog_total(api->conf.quota.backlog));
	if (known)
		json_write_thousandths(json, "oldest_waiting_seconds",
		    age_ms > 0 ? (double)age_ms / 1000 : 0);
	else
		json_write_null(json, "oldest_waiting_seconds");
	json_close(json);
}

static void write_store(const struct db_usage *u, struct json_writer *json)
{
	json_open_object(json, "store");
	json_write_u64(json, "used_bytes", u->used_bytes);
	json_write_u64(json, "max_bytes", u->max_bytes);
	json_write_u64(json, "file_bytes", u->file_bytes);
	json_write_u64(json, "disk_free_bytes", u->disk_free_bytes);
	json_close(json);
}

static void write_webhooks(const struct api *api, const struct dispatch_figures *f,
    struct json_writer *json)
{
	struct registry_figures hooks = registry_figures(api->conf.registry);
	uint64_t all = hooks.enabled + hooks.disabled;
	uint64_t troubled = f->open + f->half_open;
	json_open_object(json, "circuits");
	json_write_u64(json, "closed", all > troubled ? all - troubled : 0);
	json_write_u64(json, "open", f->open);
	json_write_u64(json, "half_open", f->half_open);
	json_close(json);
	json_open_object(json, "webhooks");
	json_write_u64(json, "count", all);
	json_write_u64(json, "enabled", hooks.enabled);
	json_write_u64(json, "disabled", hooks.disabled);
	json_close(json);
}

static void write_head(const struct api *api, struct json_writer *json)
{
	json_write_cstr(json, "version", WAYBILL_VERSION);
	json_write_thousandths(json, "uptime_seconds",
	    (double)(clock_mono_ms() - api->conf.started_mono_ms) / 1000);
	json_write_time(json, "now", clock_wall_ms());
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
	struct buf text = BUF_INIT(STATS_MAX);
	struct json_writer json = JSON_WRITER(&text);
	dispatch_figures(api->conf.dispatch, &f);
	http_figures(api->http, &http);
	json_open_object(&json, NULL);
	write_head(api, &json);
	write_traffic(api, &f, &json);
	write_latencies(api, &f, &json);
	write_store(&u, &json);
	write_webhooks(api, &f, &json);
	json_write_u64(&json, "dead_letters", dead);
	json_write_u64(&json, "connections", http.connections);
	write_history(api->samples, &json);
	write_top(api, (size_t)top, &json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}
