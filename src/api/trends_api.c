/* How the attempts of a webhook went, by hour for a week, and the last hundred one by one. */
#include "api/handlers.h"
#include "api/query.h"
#include "base/clock.h"

#define HOUR_MS INT64_C(3600000)
#define HOURS_MAX 168          /* that are shown: a week */
#define ANSWER_MAX (64u << 10) /* bytes of JSON */

struct sum {
	uint64_t succeeded;
	uint64_t failed;
};

/* The share that succeeded; null where there was no attempt. */
static void write_rate(struct json_writer *json, const struct sum *s)
{
	uint64_t all = s->succeeded + s->failed;
	if (all == 0)
		json_write_null(json, "success_rate");
	else
		json_write_thousandths(json, "success_rate",
		    (double)s->succeeded / (double)all);
}

/* A quantile of how long answers took; null where none came. */
static void write_quantile(struct json_writer *json, const char *name,
    const struct histogram *h, double q)
{
	if (histogram_count(h) == 0)
		json_write_null(json, name);
	else
		json_write_thousandths(json, name, histogram_quantile(h, q) / 1000);
}

static void write_hours(const struct trend *t, struct sum *sum, struct json_writer *json)
{
	json_open_array(json, "hours");
	for (size_t i = 0; i < t->hour_count; i++) {
		const struct trend_hour *h = &t->hours[i];
		sum->succeeded += h->succeeded;
		sum->failed += h->failed;
		json_open_object(json, NULL);
		json_write_time(json, "at", h->hour * HOUR_MS);
		json_write_u64(json, "succeeded", h->succeeded);
		json_write_u64(json, "failed", h->failed);
		write_quantile(json, "p50_ms", &h->answers, 0.5);
		write_quantile(json, "p95_ms", &h->answers, 0.95);
		json_close(json);
	}
	json_close(json);
}

static void write_outcomes(const struct trend *t, struct json_writer *json)
{
	json_open_array(json, "last_outcomes");
	for (size_t i = 0; i < t->outcome_count; i++)
		json_write_u64(json, NULL, t->outcomes[i]);
	json_close(json);
}

static void answer(struct call *c, const struct webhook *w, const struct trend *t)
{
	struct sum sum = {0};
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	uuid_write(&json, "webhook_id", &w->id);
	write_hours(t, &sum, &json);
	json_write_u64(&json, "succeeded", sum.succeeded);
	json_write_u64(&json, "failed", sum.failed);
	write_rate(&json, &sum);
	write_outcomes(t, &json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_webhook_stats(struct call *c)
{
	uint64_t hours = HOURS_MAX;
	struct db_txn *txn = NULL;
	struct trend t = {0};
	struct query q = {.call = c};
	(void)query_number(&q, "hours", 1, HOURS_MAX, &hours);
	const struct webhook *w = q.answered ? NULL : call_find_webhook(c);
	if (w == NULL)
		return;
	int64_t since = clock_wall_ms() / HOUR_MS - (int64_t)hours + 1;
	enum err err = db_read(c->api->conf.db, &txn);
	if (err == OK) {
		err = trends_read(c->api->conf.trends, txn, w->number, since, &t);
		db_read_end(txn);
	}
	if (err == OK)
		answer(c, w, &t);
	else
		call_fail_err(c, err);
	trend_fini(&t);
}
