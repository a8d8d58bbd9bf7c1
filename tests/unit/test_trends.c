/*
 * Figures of webhooks' attempts: by hour against a model over random attempts, voided
 * transactions and reopening; the last hundred; what is damaged, too old or gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rnd.h"
#include "store/trends.h"
#include "store/webhooks.h"
#include "support.h"

#define HOUR_MS INT64_C(3600000)
#define START_HOUR INT64_C(490000)
#define HOOKS 3
#define HOURS 300
#define STEPS 4000

static void add_hook(struct registry *reg, uint64_t number)
{
	registry_set(reg, make_webhook(number, "s", "http://a/"));
}

static void note(struct trends *t, uint64_t webhook, int64_t hour, int status, int64_t us)
{
	struct trend_last last = {.at_ms = hour * HOUR_MS + 7, .status = status};
	if (status == 0)
		(void)snprintf(last.error, sizeof(last.error), "timeout");
	trends_note(t, webhook, &last, status / 100 == 2, us);
}

static void write_all(struct store *s, struct trends *t, const struct registry *reg)
{
	struct db_txn *txn = store_begin(s);
	assert_int_equal(trends_write(t, txn, reg, SIZE_MAX), OK);
	store_commit(txn);
	trends_written(t);
}

/* What must be read. */
struct model {
	uint32_t succeeded[HOURS];
	uint32_t failed[HOURS];
	uint64_t answered[HOURS];
	uint8_t outcomes[STEPS];
	size_t count;
	int last_status;
};

static void model_note(struct model *m, size_t hour, int status)
{
	*(status / 100 == 2 ? &m->succeeded[hour] : &m->failed[hour]) += 1;
	m->answered[hour] += status != 0 ? 1 : 0;
	m->outcomes[m->count++] = (uint8_t)(status / 100);
	m->last_status = status;
}

static void expect_hours(const struct model *m, const struct trend *t, size_t from)
{
	size_t at = 0;
	for (size_t hour = from; hour < HOURS; hour++) {
		if (m->succeeded[hour] + m->failed[hour] == 0)
			continue;
		assert_true(at < t->hour_count);
		const struct trend_hour *h = &t->hours[at++];
		assert_true(h->hour == START_HOUR + (int64_t)hour);
		assert_int_equal(h->succeeded, m->succeeded[hour]);
		assert_int_equal(h->failed, m->failed[hour]);
		assert_true(histogram_count(&h->answers) == m->answered[hour]);
	}
	assert_int_equal(at, t->hour_count);
}

static void expect_all(struct store *s, const struct trends *t, const struct model *m,
    uint64_t webhook, size_t now)
{
	size_t from = now < 24 * (TREND_DAYS - 1) ? 0 : now - 24 * (TREND_DAYS - 1);
	struct trend got;
	struct trend_last last;
	struct db_txn *txn = store_read(s);
	assert_int_equal(trends_read(t, txn, webhook, START_HOUR + (int64_t)from, &got), OK);
	assert_int_equal(trends_last(t, txn, webhook, &last), OK);
	db_read_end(txn);
	expect_hours(m, &got, from);
	size_t shown = m->count < TREND_LAST_MAX ? m->count : TREND_LAST_MAX;
	assert_int_equal(got.outcome_count, shown);
	assert_memory_equal(got.outcomes, m->outcomes + m->count - shown, shown);
	assert_int_equal(last.status, m->last_status);
	assert_int_equal(last.at_ms != 0, m->count > 0);
	trend_fini(&got);
}

/* Begins the writing of some, and voids it, or commits it behind what is counted meanwhile. */
static void write_some(struct store *s, struct trends *t, const struct registry *reg,
    struct rnd *rnd, struct model *m, size_t hour)
{
	bool voided = rnd_next(rnd) % 3 == 0;
	uint64_t webhook = 1 + rnd_next(rnd) % HOOKS;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(trends_write(t, txn, reg, 1 + rnd_next(rnd) % HOOKS), OK);
	note(t, webhook, START_HOUR + (int64_t)hour, 200, 10);
	model_note(&m[webhook - 1], hour, 200);
	if (voided) {
		db_abort(txn);
		return;
	}
	store_commit(txn);
	trends_written(t);
}

static void test_model(void **state)
{
	static struct model m[HOOKS];
	static const int STATUSES[] = {200, 204, 500, 302, 0, 404, 200};
	struct store *s = *state;
	struct trends *t = trends_new();
	struct registry *reg = registry_new();
	struct rnd rnd;
	size_t hour = 0;
	rnd_seed(&rnd, 5);
	memset(m, 0, sizeof(m));
	for (uint64_t n = 1; n <= HOOKS; n++)
		add_hook(reg, n);
	for (int step = 0; step < STEPS / 2; step++) {
		uint64_t webhook = 1 + rnd_next(&rnd) % HOOKS;
		int status = STATUSES[rnd_next(&rnd) % COUNT(STATUSES)];
		note(t, webhook, START_HOUR + (int64_t)hour, status,
		    (int64_t)(rnd_next(&rnd) % 1000000));
		model_note(&m[webhook - 1], hour, status);
		if (rnd_next(&rnd) % 4 == 0)
			write_some(s, t, reg, &rnd, m, hour);
		if (rnd_next(&rnd) % 8 == 0 && hour + 1 < HOURS) {
			write_all(s, t, reg); /* never more hours wait than are kept apart */
			hour++;
		}
		for (uint64_t n = 1; n <= HOOKS && step % 10 == 0; n++)
			expect_all(s, t, &m[n - 1], n, hour);
	}
	write_all(s, t, reg);
	trends_free(t);
	store_reopen(s);
	t = trends_new();
	for (uint64_t n = 1; n <= HOOKS; n++)
		expect_all(s, t, &m[n - 1], n, hour);
	assert_true(store_count(s, DB_TRENDS) <= HOOKS * (TREND_DAYS + 1));
	trends_free(t);
	registry_free(reg);
}

/* The fullest day stays in its page; counts larger than their bytes keep their shape. */
static void test_large_counts(void **state)
{
	struct store *s = *state;
	struct trends *t = trends_new();
	struct registry *reg = registry_new();
	struct trend got;
	add_hook(reg, 1);
	for (int64_t hour = 0; hour < 24; hour++) {
		for (int i = 0; i < 100000; i++)
			note(t, 1, START_HOUR / 24 * 24 + hour, 200,
			    i % 4 == 0 ? 900000 : 4000);
		write_all(s, t, reg);
	}
	struct db_txn *txn = store_read(s);
	assert_int_equal(trends_read(t, txn, 1, START_HOUR / 24 * 24, &got), OK);
	struct slice key;
	struct slice value;
	assert_int_equal(db_first(txn, DB_TRENDS, &key, &value), OK);
	assert_true(value.len < 2000);
	db_read_end(txn);
	assert_int_equal(got.hour_count, 24);
	for (size_t i = 0; i < got.hour_count; i++) {
		assert_int_equal(got.hours[i].succeeded, 100000);
		double p50 = histogram_quantile(&got.hours[i].answers, 0.5);
		double p95 = histogram_quantile(&got.hours[i].answers, 0.95);
		assert_true(p50 > 2000 && p50 <= 5000);
		assert_true(p95 > 500000 && p95 <= 1000000);
	}
	trend_fini(&got);
	trends_free(t);
	registry_free(reg);
}

/* What an outcome is follows what was taken, not the status alone. */
static void test_outcomes(void **state)
{
	static const struct {
		int status;
		bool succeeded;
		uint8_t outcome;
	} ROWS[] = {{200, true, 2}, {302, true, 2}, {200, false, 1}, {302, false, 3},
	    {503, false, 5}, {0, false, 0}};
	struct store *s = *state;
	struct trends *t = trends_new();
	struct trend got;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct trend_last last = {.at_ms = START_HOUR * HOUR_MS,
		    .status = ROWS[i].status};
		trends_note(t, 1, &last, ROWS[i].succeeded, 1);
	}
	struct db_txn *txn = store_read(s);
	assert_int_equal(trends_read(t, txn, 1, START_HOUR, &got), OK);
	db_read_end(txn);
	assert_int_equal(got.outcome_count, COUNT(ROWS));
	for (size_t i = 0; i < COUNT(ROWS); i++)
		assert_int_equal(got.outcomes[i], ROWS[i].outcome);
	trend_fini(&got);
	trends_free(t);
}

/* What was counted of a webhook that is gone, or retired, is written nowhere. */
static void test_gone(void **state)
{
	struct store *s = *state;
	struct trends *t = trends_new();
	struct registry *reg = registry_new();
	for (uint64_t n = 1; n <= 3; n++) {
		add_hook(reg, n);
		note(t, n, START_HOUR, 200, 1);
	}
	struct webhook *retired = make_webhook(2, "s", "http://a/");
	retired->deleted = true;
	registry_set(reg, retired);
	registry_drop(reg, 3);
	write_all(s, t, reg);
	assert_int_equal(store_count(s, DB_TRENDS),
	    2); /* a day and the last of the first one */
	assert_false(trends_wait(t, INT64_MAX));
	struct db_txn *txn = store_begin(s);
	assert_int_equal(trends_drop(txn, 2), OK);
	assert_int_equal(trends_drop(txn, 1), OK);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_TRENDS), 0);
	trends_free(t);
	registry_free(reg);
}

/* Whoever erases a webhook's record erases its rows, and no other's. */
static void test_erased(void **state)
{
	struct store *s = *state;
	struct trends *t = trends_new();
	struct registry *reg = registry_new();
	struct trend_last last;
	for (uint64_t n = 1; n <= 2; n++) {
		add_hook(reg, n);
		note(t, n, START_HOUR, 200, 1);
	}
	write_all(s, t, reg);
	assert_int_equal(store_count(s, DB_TRENDS), 4);
	struct db_txn *txn = store_begin(s);
	struct webhook *w = make_webhook(1, "s", "http://a/");
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	webhook_free(w);
	assert_int_equal(webhooks_erase(txn, 1), OK);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_TRENDS), 2);
	txn = store_begin(s);
	assert_int_equal(trends_last(t, txn, 2, &last), OK);
	assert_int_equal(last.status, 200);
	store_commit(txn);
	trends_free(t);
	registry_free(reg);
}

/* A row that cannot be read is as good as none, and told by fsck. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct trends *t = trends_new();
	struct registry *reg = registry_new();
	struct slice key;
	struct slice value;
	struct trend got;
	uint64_t webhook = 0;
	add_hook(reg, 1);
	note(t, 1, START_HOUR, 500, 1);
	write_all(s, t, reg);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_first(txn, DB_TRENDS, &key, &value), OK);
	assert_int_equal(trends_check(key, value, &webhook), OK);
	assert_true(webhook == 1);
	char copy[16];
	assert_int_equal(key.len, 10);
	memcpy(copy, key.ptr, key.len);
	key.ptr = copy;
	assert_int_equal(trends_check((struct slice){copy, 9}, value, &webhook), ERR_CORRUPT);
	assert_int_equal(db_put(txn, DB_TRENDS, key, SLICE("damaged")), OK);
	assert_int_equal(trends_check(key, SLICE("damaged"), &webhook), ERR_CORRUPT);
	store_commit(txn);
	txn = store_read(s);
	assert_int_equal(trends_read(t, txn, 1, START_HOUR, &got), OK);
	db_read_end(txn);
	assert_int_equal(got.hour_count, 0);
	assert_int_equal(got.outcome_count, 1);
	trend_fini(&got);
	note(t, 1, START_HOUR, 200, 1);
	write_all(s, t, reg);
	txn = store_read(s);
	assert_int_equal(trends_read(t, txn, 1, START_HOUR, &got), OK);
	db_read_end(txn);
	assert_int_equal(got.hour_count, 1);
	assert_int_equal(got.outcome_count, 2);
	trend_fini(&got);
	trends_free(t);
	registry_free(reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_model),
	    STORE_TEST(test_large_counts),
	    STORE_TEST(test_outcomes),
	    STORE_TEST(test_gone),
	    STORE_TEST(test_erased),
	    STORE_TEST(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
