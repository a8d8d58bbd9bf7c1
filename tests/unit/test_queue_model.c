/*
 * The queue against a naive model, under random operations: what claims find, and how many
 * wait, over commits, aborted transactions and reopening.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/rnd.h"
#include "store/queue.h"
#include "support.h"

#define OUT_MAX 8 /* deliveries of one claim */

/* What the model knows of a delivery of webhook 1. */
struct row {
	struct delivery d;
	bool queued;
	bool skipped;
};

#define ROWS_MAX 24 /* few, so that places collide and queues run empty */

struct model {
	struct row rows[ROWS_MAX];
	struct rnd rnd;
};

static uint64_t pick(struct model *m, uint64_t n)
{
	return rnd_next(&m->rnd) % n;
}

/* Puts a delivery in, moves one, changes its due time alone, or takes it out. */
static void change_one(struct model *m, struct db_txn *txn)
{
	uint64_t n = pick(m, ROWS_MAX);
	struct row *r = &m->rows[n];
	int64_t old_ms = r->d.place_ms;
	struct delivery d = make_delivery(1, n, (int64_t)pick(m, 20));
	d.queued_ms = (int64_t)pick(m, 20);
	r->skipped = pick(m, 6) == 0;
	if (!r->queued) {
		assert_int_equal(queue_add(txn, &d), OK);
	} else if (pick(m, 3) == 0) {
		assert_int_equal(queue_remove(txn, &r->d), OK);
		r->queued = false;
		return;
	} else if (pick(m, 2) == 0) {
		d.place_ms = old_ms; /* as a retry of a fifo webhook */
		assert_int_equal(queue_move(txn, &d, old_ms), OK);
	} else {
		assert_int_equal(queue_move(txn, &d, old_ms), OK);
	}
	r->queued = true;
	r->d = d;
}

static bool skip_in_model(void *arg, const struct uuid *id)
{
	const struct model *m = arg;
	return m->rows[id->bytes[15]].skipped;
}

/*
 * The row that comes next behind `place`, of those that are not skipped; NULL behind the
 * last.
 */
static const struct row *next_row(const struct model *m, const struct queue_place *place)
{
	const struct row *best = NULL;
	for (size_t i = 0; i < ROWS_MAX; i++) {
		const struct row *r = &m->rows[i];
		struct queue_place at = queue_place_of(&r->d);
		if (!r->queued || r->skipped || !queue_place_before(place, &at))
			continue;
		struct queue_place top = {0};
		if (best != NULL)
			top = queue_place_of(&best->d);
		if (best == NULL || queue_place_before(&at, &top))
			best = r;
	}
	return best;
}

/* When the delivery of `r` may be sent, as the words of queue.h say. */
static int64_t due_of(const struct queue_claim *c, const struct row *r)
{
	if (r->d.queued_ms < c->forced_ms)
		return 0;
	return c->fifo ? r->d.due_ms : r->d.place_ms;
}

/* Checks one claim against the model, which walks its rows one by one. */
static bool claim_agrees(struct model *m, struct db_txn *txn, struct queue_claim *c)
{
	struct delivery out[OUT_MAX];
	size_t count = 0;
	size_t found = 0;
	int64_t next_ms = -1;
	int64_t want_ms = QUEUE_NEVER;
	struct queue_place place = c->place;
	assert_int_equal(queue_claim(txn, c, out, &count, &next_ms), OK);
	const struct row *r = next_row(m, &place);
	for (; r != NULL; r = next_row(m, &place)) {
		int64_t due_ms = due_of(c, r);
		if (found == c->max || (due_ms > c->now_ms && (c->fifo || c->forced_ms == 0))) {
			/* where it is not read whether the next is due, it may be */
			want_ms = found < c->max ? due_ms : c->fifo ? c->now_ms : r->d.place_ms;
			break;
		}
		place = queue_place_of(&r->d);
		if (due_ms > c->now_ms)
			continue;
		if (found == count ||
		    memcmp(out[found].id.bytes, r->d.id.bytes, UUID_SIZE) != 0)
			return false;
		assert_true(delivery_same(&out[found++], &r->d));
	}
	if (c->forced_ms != 0 && found > 0)
		want_ms = out[found - 1].queued_ms;
	return found == count && next_ms == want_ms && !queue_place_before(&place, &c->place) &&
	    !queue_place_before(&c->place, &place);
}

static void test_claims_against_model(void **state)
{
	struct store *s = *state;
	struct model m = {0};
	rnd_seed(&m.rnd, test_seed(4242));
	struct db_txn *txn = store_begin(s);
	for (uint64_t webhook = 0; webhook <= 2; webhook += 2) { /* neighbours, never seen */
		struct delivery d = make_delivery(webhook, 200 + webhook, 0);
		assert_int_equal(queue_add(txn, &d), OK);
	}
	for (int step = 0; step < 20000; step++) {
		change_one(&m, txn);
		struct queue_claim c = {.webhook = 1,
		    .now_ms = (int64_t)pick(&m, 22),
		    .forced_ms = pick(&m, 3) == 0 ? (int64_t)pick(&m, 20) : 0,
		    .max = pick(&m, 6),
		    .fifo = pick(&m, 2) == 0,
		    .skip = skip_in_model,
		    .arg = &m};
		while (pick(&m, 3) != 0) { /* several from where the last one ended */
			if (!claim_agrees(&m, txn, &c))
				fail_msg("step %d", step);
		}
	}
	store_commit(txn);
}

#define WEBHOOKS 5

/* What the second model knows: of which webhook delivery n waits, 0: of none; and its place. */
struct waits {
	uint64_t webhook[ROWS_MAX];
	int64_t place_ms[ROWS_MAX];
};

/* Puts one of the deliveries in, moves it, or takes it out. */
static void change_waits(struct waits *w, struct rnd *rnd, struct db_txn *txn)
{
	uint64_t n = rnd_next(rnd) % ROWS_MAX;
	int64_t place_ms = (int64_t)(rnd_next(rnd) % 20);
	struct delivery d = make_delivery(w->webhook[n], n, place_ms);
	if (w->webhook[n] == 0) {
		d.webhook = rnd_next(rnd) % WEBHOOKS + 1;
		assert_int_equal(queue_add(txn, &d), OK);
	} else if (rnd_next(rnd) % 2 == 0) {
		assert_int_equal(queue_move(txn, &d, w->place_ms[n]), OK);
	} else {
		d.place_ms = w->place_ms[n];
		assert_int_equal(queue_remove(txn, &d), OK);
		d.webhook = 0;
	}
	w->webhook[n] = d.webhook;
	w->place_ms[n] = place_ms;
}

static void count_rows(void *arg, uint64_t webhook, uint64_t waiting)
{
	uint64_t *counts = arg;
	assert_true(webhook <= WEBHOOKS && counts[webhook] == 0 && waiting > 0);
	counts[webhook] = waiting;
}

/* Whether model, rows on disk and the numbers in memory are the same; `txn` sees the rows. */
static bool counts_agree(const struct waits *w, const struct backlog *b, struct db_txn *txn)
{
	uint64_t rows[WEBHOOKS + 1] = {0};
	uint64_t total = 0;
	assert_int_equal(queue_count(txn, count_rows, rows), OK);
	for (uint64_t webhook = 1; webhook <= WEBHOOKS; webhook++) {
		uint64_t waiting = 0;
		for (size_t n = 0; n < ROWS_MAX; n++)
			waiting += w->webhook[n] == webhook ? 1 : 0;
		if (rows[webhook] != waiting || backlog_of(b, webhook) != waiting)
			return false;
		total += waiting;
	}
	return backlog_total(b) == total;
}

static void fail_commit(struct db_txn *txn)
{
	assert_int_equal(db_txn_fail(txn, ERR_STORE), ERR_STORE);
	assert_int_equal(db_commit(txn), ERR_STORE);
}

static void test_counts_against_model(void **state)
{
	struct store *s = *state;
	struct waits kept = {0}; /* as of the last commit */
	struct rnd rnd;
	rnd_seed(&rnd, test_seed(99));
	for (int step = 0; step < 1000; step++) {
		struct waits now = kept;
		struct db_txn *txn = store_begin(s);
		for (uint64_t n = rnd_next(&rnd) % 10; n > 0; n--)
			change_waits(&now, &rnd, txn);
		if (!counts_agree(&now, s->backlog, txn))
			fail_msg("step %d, in the transaction", step);
		uint64_t end = rnd_next(&rnd) % 4;
		if (end == 0)
			db_abort(txn);
		else if (end == 1)
			fail_commit(txn);
		else
			store_commit(txn);
		kept = end > 1 ? now : kept;
		if (rnd_next(&rnd) % 20 == 0)
			store_reopen(s);
		txn = store_read(s);
		if (!counts_agree(&kept, s->backlog, txn))
			fail_msg("step %d, behind the transaction", step);
		db_read_end(txn);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_claims_against_model),
	    STORE_TEST(test_counts_against_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
