/*
 * GET /api/v1/stats: the figures of now, the last hour, and the webhooks that hurt most. Those
 * are looked for among the endpoints in memory, webhooks with work and some that had some
 * lately: a step each, and a place in a list of at most TOP_MAX. The list is kept for
 * TOP_KEPT_MS: who asks all the time has it looked for once a second.
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
#define TOP_KEPT_MS 1000

/* A webhook, and what its place in the list is by. */
struct rank {
	uint64_t webhook;
	uint64_t waiting;
	bool fails;
};

/* Those that hurt most, as they were found; what is shown of them is their present state. */
struct troubles {
	struct rank list[TOP_MAX]; /* what hurts most first */
	size_t count;
	int64_t until_mono_ms; /* when they are looked for anew */
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

struct troubles *troubles_new(void)
{
	return mem_new(sizeof(struct troubles));
}

void troubles_free(struct troubles *t)
{
	free(t);
}

/* Whether `a` hurts more than `b`: failing ones first, then those with more waiting. */
static bool is_worse(const struct rank *a, const struct rank *b)
{
	if (a->fails != b->fails)
		return a->fails;
	if (a->waiting != b->waiting)
		return a->waiting > b->waiting;
	return a->webhook < b->webhook;
}

/* Finds the webhook of `t` and how many wait for it; NULL where it does not hurt. */
static const struct webhook *find_hurt(const struct api *api, const struct dispatch_trouble *t,
    uint64_t *waiting)
{
	const struct webhook *w = registry_get(api->conf.registry, t->webhook);
	*waiting = backlog_of(api->conf.quota.backlog, t->webhook);
	bool hurts = *waiting > 0 || t->status.failing_since_ms != 0 ||
	    (w != NULL && !w->enabled);
	return w != NULL && !w->deleted && hurts ? w : NULL;
}

static void consider(void *arg, const struct dispatch_trouble *t)
{
	const struct api *api = arg;
	struct troubles *top = api->troubles;
	struct rank r = {.webhook = t->webhook, .fails = t->status.failing_since_ms != 0};
	if (find_hurt(api, t, &r.waiting) == NULL)
		return;
	if (top->count == TOP_MAX && !is_worse(&r, &top->list[TOP_MAX - 1]))
		return;
	size_t at = top->count < TOP_MAX ? top->count++ : TOP_MAX - 1;
	for (; at > 0 && is_worse(&r, &top->list[at - 1]); at--)
		top->list[at] = top->list[at - 1];
	top->list[at] = r;
}

/* Looks for those that hurt most, if that is not just done. */
static void find_troubles(struct api *api)
{
	int64_t now_ms = clock_mono_ms();
	if (now_ms < api->troubles->until_mono_ms)
		return;
	api->troubles->count = 0;
	api->troubles->until_mono_ms = now_ms + TOP_KEPT_MS;
	dispatch_each(api->conf.dispatch, consider, api);
}

static void write_entry(struct json_writer *json, const struct webhook *w, uint64_t waiting,
    const struct dispatch_trouble *t)
{
	json_open_object(json, NULL);
	uuid_write(json, "webhook_id", &w->id);
	json_write_cstr(json, "session_id", w->session);
	json_write_cstr(json, "url", w->url);
	json_write_bool(json, "enabled", w->enabled);
	json_write_cstr(json, "state", webhook_view_state(w, &t->status));
	json_write_cstr(json, "circuit", t->status.circuit);
	json_write_u64(json, "waiting", waiting);
	json_write_u64(json, "in_flight", t->status.in_flight);
	json_write_u64(json, "consecutive_failures", t->status.failures);
	json_write_time_or_null(json, "failing_since", t->status.failing_since_ms);
	json_write_cstr(json, "disabled_reason", w->disabled_reason);
	if (t->last_status == 0)
		json_write_null(json, "last_status");
	else
		json_write_i64(json, "last_status", t->last_status);
	json_write_cstr(json, "last_error", t->last_error);
	json_close(json);
}

static void write_top(struct api *api, size_t max, struct json_writer *json)
{
	size_t shown = 0;
	find_troubles(api);
	json_open_array(json, "top");
	for (size_t i = 0; i < api->troubles->count && shown < max; i++) {
		struct dispatch_trouble t;
		uint64_t waiting = 0;
		uint64_t webhook = api->troubles->list[i].webhook;
		if (!dispatch_trouble(api->conf.dispatch, webhook, &t))
			continue;
		const struct webhook *w = find_hurt(api, &t, &waiting);
		if (w == NULL)
			continue;
		write_entry(json, w, waiting, &t);
		shown++;
	}
	json_close(json);
}

static void write_samples(const struct samples *h, struct json_writer *json)
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
	write_samples(api->samples, &json);
	write_top(api, (size_t)top, &json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}
