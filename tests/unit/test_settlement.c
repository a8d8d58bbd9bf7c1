/*
 * How attempts are settled on disk: delivered, expired, put off with and without its place,
 * dead; the webhook's state with it; and a delivery that has left the queue meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/settlement.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/publication.h"
#include "store/queue.h"
#include "store/resend.h"
#include "store/usage.h"
#include "store/webhooks.h"
#include "support.h"

#define NOW_MS 100000
#define WEBHOOK 7

/* Stores webhook WEBHOOK, and event 1 with deliveries 11 and 12 to it, due at 1000 and 2000. */
static int setup(void **state)
{
	struct store *s = store_new(STORE_MAP_BYTES);
	struct webhook *w = make_webhook(WEBHOOK, "s", "http://a/");
	struct event e = {.id = make_id(1), .deliveries = 2};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	assert_int_equal(events_put(txn, &e, SLICE("")), OK);
	for (uint64_t n = 11; n <= 12; n++) {
		struct delivery d = make_delivery(WEBHOOK, n, 1000 * ((int64_t)n - 10));
		d.event_id = e.id;
		assert_int_equal(queue_add(txn, &d), OK);
	}
	store_commit(txn);
	webhook_free(w);
	*state = s;
	return 0;
}

/* An outcome of delivery 11 at its first attempt. */
static struct settlement outcome(enum verdict verdict)
{
	struct settlement s = {.verdict = verdict,
	    .delivery = make_delivery(WEBHOOK, 11, 1000),
	    .now_ms = NOW_MS,
	    .session = SLICE("s")};
	s.delivery.event_id = make_id(1);
	s.delivery.attempts = 1;
	s.notice_body = BUF_INIT(0);
	return s;
}

/* Writes and commits `o`. */
static void settle(struct store *s, struct settlement *o)
{
	struct db_txn *txn = store_begin(s);
	assert_int_equal(settlement_write(o, NULL, txn), OK);
	store_commit(txn);
}

static struct delivery stored(struct store *s, uint64_t n)
{
	struct delivery d;
	struct uuid id = make_id(n);
	struct db_txn *txn = store_read(s);
	assert_int_equal(queue_get(txn, &id, &d), OK);
	db_read_end(txn);
	return d;
}

static uint32_t open_deliveries(struct store *s)
{
	struct event e;
	struct event_state now;
	struct uuid id = make_id(1);
	struct db_txn *txn = store_read(s);
	assert_int_equal(events_get(txn, &id, &e, NULL), OK);
	assert_int_equal(events_state(txn, &e, &now), OK);
	db_read_end(txn);
	return now.open;
}

/* The first of the queue: its number, 0 for none. */
static unsigned first_queued(struct store *s)
{
	struct delivery d;
	struct db_txn *txn = store_read(s);
	enum err err = queue_first(txn, WEBHOOK, &d);
	db_read_end(txn);
	return err == OK ? d.id.bytes[15] : 0;
}

static void test_settled(void **state)
{
	static const struct {
		enum verdict verdict;
		enum delivery_status status;
	} ROWS[] = {
	    {VERDICT_DELIVERED, DELIVERY_DELIVERED},
	    {VERDICT_EXPIRED, DELIVERY_EXPIRED},
	};
	struct store *s = *state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct settlement o = outcome(ROWS[i].verdict);
		o.delivery.id = make_id(11 + i);
		o.delivery.place_ms = 1000 * ((int64_t)i + 1);
		settle(s, &o);
		struct delivery d = stored(s, 11 + i);
		assert_int_equal(d.status, ROWS[i].status);
		assert_int_equal(d.attempts, 1);
		assert_int_equal(open_deliveries(s), 1 - i);
		assert_int_equal(store_count(s, DB_QUEUE), 1 - i);
		assert_int_equal(store_count(s, DB_SETTLED), i); /* with the last one */
		settlement_fini(&o);
	}
	assert_int_equal(store_count(s, DB_DEAD), 0);
}

static void test_retry(void **state)
{
	struct store *s = *state;
	struct settlement o = outcome(VERDICT_RETRY);
	o.retry_ms = NOW_MS + 5000;
	settle(s, &o);
	struct delivery d = stored(s, 11);
	assert_int_equal(d.status, DELIVERY_WAITING);
	assert_true(d.place_ms == NOW_MS + 5000);
	assert_true(d.due_ms == NOW_MS + 5000);
	assert_true(d.queued_ms == NOW_MS);
	assert_int_equal(d.attempts, 1);
	assert_int_equal(first_queued(s), 12);
	assert_int_equal(store_count(s, DB_QUEUE), 2);
	assert_int_equal(open_deliveries(s), 2);

	o.delivery = d; /* and once more, from its new place */
	o.delivery.attempts = 2;
	o.retry_ms = NOW_MS + 9000;
	settle(s, &o);
	d = stored(s, 11);
	assert_true(d.place_ms == NOW_MS + 9000);
	assert_int_equal(d.attempts, 2);
	assert_int_equal(store_count(s, DB_QUEUE), 2);
	settlement_fini(&o);
}

/* A retry by hand has moved it during its attempt: the outcome still counts. */
static void test_moved_meanwhile(void **state)
{
	static const enum verdict VERDICTS[] = {VERDICT_RETRY, VERDICT_DELIVERED};
	struct store *s = *state;
	for (size_t i = 0; i < COUNT(VERDICTS); i++) {
		struct settlement o = outcome(VERDICTS[i]);
		struct delivery d = stored(s, 11);
		struct db_txn *txn = store_begin(s);
		o.retry_ms = NOW_MS + 5000;
		assert_int_equal(resend_delivery(txn, SLICE("s"), &d, &NO_ORDER, 77777), OK);
		store_commit(txn);
		assert_true(stored(s, 11).place_ms == 77777);
		settle(s, &o);
		assert_int_equal(stored(s, 11).attempts, 1);
		assert_int_equal(store_count(s, DB_QUEUE), 2 - i);
		settlement_fini(&o);
	}
	assert_int_equal(stored(s, 11).status, DELIVERY_DELIVERED);
	assert_int_equal(open_deliveries(s), 1);
}

/* It was cancelled during its attempt, and perhaps sent again: the outcome is nobody's. */
static void test_cancelled_meanwhile(void **state)
{
	static const enum verdict VERDICTS[] = {VERDICT_RETRY, VERDICT_DELIVERED,
	    VERDICT_EXPIRED, VERDICT_DEAD};
	struct store *s = *state;
	for (size_t i = 0; i < 2 * COUNT(VERDICTS); i++) {
		struct settlement o = outcome(VERDICTS[i / 2]);
		bool again = i % 2 == 1;
		struct delivery d = stored(s, 11);
		struct db_txn *txn = store_begin(s);
		o.delivery.replays = d.replays;
		o.delivery.place_ms = d.place_ms;
		o.dead = mem_new(sizeof(*o.dead));
		if (d.status == DELIVERY_WAITING)
			assert_int_equal(resend_cancel(txn, SLICE("s"), &d, NOW_MS), OK);
		if (again) /* at the very place where it was */
			assert_int_equal(resend_delivery(txn, SLICE("s"), &d, &FIFO,
					     o.delivery.place_ms),
			    OK);
		struct delivery before;
		assert_int_equal(queue_get(txn, &d.id, &before), OK);
		assert_int_equal(settlement_write(&o, NULL, txn), ERR_NOTFOUND);
		store_commit(txn);
		d = stored(s, 11);
		assert_true(delivery_same(&d, &before));
		assert_int_equal(store_count(s, DB_QUEUE), again ? 2 : 1);
		assert_int_equal(store_count(s, DB_DEAD), 0);
		settlement_fini(&o);
	}
}

/* A fifo webhook's delivery waits ahead of those behind it. */
static void test_retry_fifo(void **state)
{
	struct store *s = *state;
	struct settlement o = outcome(VERDICT_RETRY);
	o.retry_ms = NOW_MS + 5000;
	o.keeps_place = true;
	settle(s, &o);
	struct delivery d = stored(s, 11);
	assert_true(d.place_ms == 1000);
	assert_true(d.due_ms == NOW_MS + 5000);
	assert_true(d.queued_ms == NOW_MS);
	assert_int_equal(d.attempts, 1);
	assert_int_equal(first_queued(s), 11);
	assert_int_equal(store_count(s, DB_QUEUE), 2);
	settlement_fini(&o);
}

static struct dead_letter *make_dead_letter(void)
{
	struct dead_letter *d = mem_new(sizeof(*d));
	d->id = make_id(99);
	d->delivery_id = make_id(11);
	d->event_id = make_id(1);
	(void)snprintf(d->last_error, sizeof(d->last_error), "HTTP status 500");
	return d;
}

/* A dead delivery's record and event stay: it may be replayed. */
static void test_dead(void **state)
{
	struct store *s = *state;
	struct dead_letter got;
	struct uuid id = make_id(99);
	struct settlement o = outcome(VERDICT_DEAD);
	o.delivery.attempts = 10;
	o.dead = make_dead_letter();
	settle(s, &o);
	struct delivery d = stored(s, 11);
	assert_int_equal(d.status, DELIVERY_DEAD);
	assert_int_equal(d.attempts, 10);
	assert_int_equal(open_deliveries(s), 2);
	assert_int_equal(first_queued(s), 12);
	struct db_txn *txn = store_read(s);
	assert_int_equal(dead_letters_get(txn, SLICE("s"), &id, &got), OK);
	db_read_end(txn);
	assert_string_equal(got.last_error, "HTTP status 500");
	settlement_fini(&o);
}

/* Whatever the verdict, of a delivery that is not in the queue any more nothing is written. */
static void test_left_meanwhile(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct delivery d = make_delivery(WEBHOOK, 11, 1000);
	assert_int_equal(queue_remove(txn, &d), OK);
	store_commit(txn);
	for (enum verdict verdict = VERDICT_DELIVERED; verdict <= VERDICT_DEAD; verdict++) {
		struct settlement o = outcome(verdict);
		o.retry_ms = NOW_MS + 5000;
		o.changes_webhook = true;
		(void)snprintf(o.disable_reason, sizeof(o.disable_reason), "gone");
		o.dead = verdict == VERDICT_DEAD ? make_dead_letter() : NULL;
		o.attempt = BUF_INIT(100);
		buf_puts(&o.attempt, "its record");
		txn = store_begin(s);
		assert_int_equal(settlement_write(&o, NULL, txn), ERR_NOTFOUND);
		assert_int_equal(db_txn_error(txn), OK);
		store_commit(txn);
		assert_null(o.changed);
		assert_false(o.noticed);
		assert_int_equal(stored(s, 11).attempts, 0);
		assert_int_equal(open_deliveries(s), 2);
		assert_int_equal(store_count(s, DB_QUEUE), 1);
		assert_int_equal(store_count(s, DB_DEAD), 0);
		assert_int_equal(store_count(s, DB_ATTEMPTS), 0);
		assert_int_equal(store_count(s, DB_SETTLED), 0);
		settlement_fini(&o);
	}
}

static bool on_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	uint32_t *seen = arg;
	seen[0]++;
	assert_int_equal(number, seen[0]);
	assert_true(a->at_ms == NOW_MS - 250);
	assert_true(a->duration_us == 250999);
	assert_true(a->dns_us == 1 && a->connect_us == 2);
	assert_true(a->tls_us == 3 && a->first_byte_us == 4);
	assert_int_equal(a->status, 500);
	assert_true(slice_eq(a->url, SLICE("http://a/")));
	assert_true(slice_eq(a->address, SLICE("[::1]:80")));
	assert_true(slice_eq(a->answer, SLICE("a\0\xff")));
	return true;
}

/* Each attempt leaves its row in the same transaction, and counts for what its event takes. */
static void test_attempts(void **state)
{
	struct store *s = *state;
	struct webhook *w = make_webhook(WEBHOOK, "s", "http://a/");
	const struct client_result r = {.status = 500,
	    .error = "",
	    .answer = SLICE("a\0\xff"),
	    .duration_us = 250999,
	    .dns_us = 1,
	    .connect_us = 2,
	    .tls_us = 3,
	    .first_byte_us = 4,
	    .address = "[::1]:80",
	    .url = "http://a/"};
	static const enum verdict VERDICTS[] = {VERDICT_RETRY, VERDICT_RETRY,
	    VERDICT_DELIVERED};
	int64_t place_ms = 1000;
	for (uint32_t n = 1; n <= COUNT(VERDICTS); n++) {
		struct settlement o = outcome(VERDICTS[n - 1]);
		o.delivery.attempts = n;
		o.delivery.place_ms = place_ms;
		o.retry_ms = NOW_MS + 1000 * (int64_t)n;
		settlement_keep_attempt(&o, w, &r, false);
		settle(s, &o);
		place_ms = o.retry_ms;
		uint32_t seen = 0;
		struct uuid id = make_id(11);
		struct db_txn *txn = store_read(s);
		assert_int_equal(attempts_each(txn, &id, 0, 10, on_attempt, &seen), OK);
		db_read_end(txn);
		assert_int_equal(seen, n);
		settlement_fini(&o);
	}
	webhook_free(w);
}

/* Of who may hold no more attempts are not kept, and a dead letter is cut: it grows no more. */
static void test_no_share_left(void **state)
{
	struct store *s = *state;
	struct dead_letter got;
	struct uuid id = make_id(99);
	for (int again = 0; again < 2; again++) {
		struct settlement o = outcome(VERDICT_DEAD);
		o.delivery.id = make_id(11 + (uint64_t)again);
		o.delivery.place_ms = 1000 * (again + 1);
		o.dead = make_dead_letter();
		o.dead->id.bytes[14] = (unsigned char)again;
		memset(o.dead->webhook_url, 'u', URL_MAX);
		memset(o.dead->last_error, 'e', DEAD_ERROR_MAX);
		o.attempt = BUF_INIT(ATTEMPT_RECORD_MAX);
		buf_append(&o.attempt, o.dead->webhook_url, 1500);
		store_leave(s, again == 0 ? 1u << 20 : 1);
		uint64_t before = usage_of(s->usage, SLICE("s")).n[USAGE_OPEN];
		settle(s, &o);
		uint64_t grown = usage_of(s->usage, SLICE("s")).n[USAGE_OPEN] - before;
		id.bytes[14] = (unsigned char)again;
		struct db_txn *txn = store_read(s);
		assert_int_equal(dead_letters_get(txn, SLICE("s"), &id, &got), OK);
		db_read_end(txn);
		assert_true((strlen(got.webhook_url) == URL_MAX) == (again == 0));
		assert_true((strlen(got.last_error) == DEAD_ERROR_MAX) == (again == 0));
		assert_true((grown <= USAGE_LETTER) == (again == 1));
		assert_int_equal(store_count(s, DB_ATTEMPTS), 1); /* the first one's */
		settlement_fini(&o);
	}
	assert_int_equal(store_count(s, DB_DEAD), 2);
}

static struct webhook *stored_webhook(struct store *s)
{
	struct webhook *w = NULL;
	struct db_txn *txn = store_read(s);
	assert_int_equal(webhooks_get(txn, NULL, WEBHOOK, &w), OK);
	db_read_end(txn);
	return w;
}

/* Since when it fails is stored with the outcome; the webhook as it is then comes out. */
static void test_failing_since(void **state)
{
	struct store *s = *state;
	struct settlement o = outcome(VERDICT_RETRY);
	o.retry_ms = NOW_MS + 5000;
	o.changes_webhook = true;
	o.failing_since_ms = 777;
	settle(s, &o);
	struct webhook *w = stored_webhook(s);
	assert_true(w->failing_since_ms == 777);
	assert_true(w->enabled);
	assert_true(webhook_same(w, o.changed));
	assert_false(o.noticed);
	webhook_free(w);
	settlement_fini(&o);
}

/* An event "webhook.disabled" for webhook 8, as the notice of a settlement. */
static void add_notice(struct settlement *o)
{
	o->notice.targets = mem_new(sizeof(*o->notice.targets));
	o->notice.targets[0].webhook = 8;
	o->notice.event = (struct event){.id = make_id(50), .deliveries = 1};
	o->notice.event.created_ms = NOW_MS;
	o->notice_body = BUF_INIT(100);
	buf_puts(&o->notice_body, "{}");
	o->notice.body = buf_view(&o->notice_body);
	o->notice.event.body_bytes = 2;
}

static void test_disable(void **state)
{
	struct store *s = *state;
	struct delivery d;
	struct settlement o = outcome(VERDICT_RETRY);
	o.retry_ms = NOW_MS + 5000;
	o.changes_webhook = true;
	o.failing_since_ms = NOW_MS;
	(void)snprintf(o.disable_reason, sizeof(o.disable_reason), "410 Gone");
	add_notice(&o);
	settle(s, &o);
	struct webhook *w = stored_webhook(s);
	assert_false(w->enabled);
	assert_string_equal(w->disabled_reason, "410 Gone");
	assert_true(w->updated_ms == NOW_MS);
	assert_true(webhook_same(w, o.changed));
	assert_true(o.noticed);
	webhook_free(w);
	struct db_txn *txn = store_read(s);
	assert_int_equal(queue_first(txn, 8, &d), OK);
	db_read_end(txn);
	struct queue_place place = publication_place(&o.notice, 0);
	assert_memory_equal(d.id.bytes, place.id.bytes, UUID_SIZE);
	assert_int_equal(first_queued(s), 12); /* what waits goes on waiting */
	assert_int_equal(store_count(s, DB_QUEUE), 3);
	settlement_fini(&o);
}

/* One that is disabled already keeps its reason, and nobody is told again. */
static void test_disabled_already(void **state)
{
	struct store *s = *state;
	struct webhook *w = stored_webhook(s);
	webhook_set_enabled(w, "disabled by request");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_change(txn, NULL, w, w), OK);
	store_commit(txn);
	webhook_free(w);
	struct settlement o = outcome(VERDICT_RETRY);
	o.retry_ms = NOW_MS + 5000;
	o.changes_webhook = true;
	(void)snprintf(o.disable_reason, sizeof(o.disable_reason), "410 Gone");
	add_notice(&o);
	settle(s, &o);
	w = stored_webhook(s);
	assert_string_equal(w->disabled_reason, "disabled by request");
	assert_false(o.noticed);
	assert_int_equal(store_count(s, DB_QUEUE), 2);
	webhook_free(w);
	settlement_fini(&o);
}

/* A webhook that is retired or gone is not written again; the delivery is settled still. */
static void test_webhook_gone(void **state)
{
	struct store *s = *state;
	for (int erased = 0; erased <= 1; erased++) {
		struct webhook *w = make_webhook(WEBHOOK, "s", "http://a/");
		struct db_txn *txn = store_begin(s);
		if (erased)
			assert_int_equal(webhooks_erase(txn, WEBHOOK), OK);
		else
			assert_int_equal(webhooks_retire(txn, NULL, w), OK);
		store_commit(txn);
		struct settlement o = outcome(VERDICT_DELIVERED);
		o.delivery.id = make_id(11 + (uint64_t)erased);
		o.delivery.place_ms = 1000 * (1 + erased);
		o.changes_webhook = true;
		(void)snprintf(o.disable_reason, sizeof(o.disable_reason), "410 Gone");
		settle(s, &o);
		assert_null(o.changed);
		assert_false(o.noticed);
		assert_int_equal(store_count(s, DB_QUEUE), 1 - (size_t)erased);
		assert_int_equal(store_count(s, DB_WEBHOOKS), 1 - (size_t)erased);
		webhook_free(w);
		settlement_fini(&o);
	}
}

/* Written again in a new transaction, when the first was voided, it comes out the same. */
static void test_written_again(void **state)
{
	struct store *s = *state;
	struct settlement o = outcome(VERDICT_DEAD);
	o.dead = make_dead_letter();
	o.changes_webhook = true;
	(void)snprintf(o.disable_reason, sizeof(o.disable_reason), "410 Gone");
	add_notice(&o);
	for (int i = 0; i < 2; i++) {
		struct db_txn *txn = store_begin(s);
		assert_int_equal(settlement_write(&o, NULL, txn), OK);
		assert_non_null(o.changed);
		assert_true(o.noticed);
		db_abort(txn);
	}
	settle(s, &o);
	assert_int_equal(stored(s, 11).status, DELIVERY_DEAD);
	assert_int_equal(store_count(s, DB_DEAD), 1);
	assert_int_equal(store_count(s, DB_QUEUE), 2);
	settlement_fini(&o);
}

#define SETTLEMENT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, store_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SETTLEMENT_TEST(test_settled),
	    SETTLEMENT_TEST(test_retry),
	    SETTLEMENT_TEST(test_retry_fifo),
	    SETTLEMENT_TEST(test_dead),
	    SETTLEMENT_TEST(test_attempts),
	    SETTLEMENT_TEST(test_left_meanwhile),
	    SETTLEMENT_TEST(test_no_share_left),
	    SETTLEMENT_TEST(test_moved_meanwhile),
	    SETTLEMENT_TEST(test_cancelled_meanwhile),
	    SETTLEMENT_TEST(test_failing_since),
	    SETTLEMENT_TEST(test_disable),
	    SETTLEMENT_TEST(test_disabled_already),
	    SETTLEMENT_TEST(test_webhook_gone),
	    SETTLEMENT_TEST(test_written_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
