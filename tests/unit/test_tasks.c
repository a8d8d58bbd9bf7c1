/* Replays: their records, what a slice does, and how they are run, a slice a turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dispatch_fixture.h"
#include "jobs/task_runner.h"
#include "jobs/task_slice.h"
#include "store/queue.h"
#include "store/usage.h"
#include "store/webhooks.h"
#include "world.h"

#define MANY 450 /* deliveries: more than two slices */

static struct task make_replay(enum task_kind kind)
{
	struct task r = {.state = TASK_RUNNING,
	    .statuses = REPLAY_ALL,
	    .until_ms = INT64_MAX,
	    .last = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}};
	r.key.kind = kind;
	if (kind == TASK_REPLAY)
		r.key.webhook = 1;
	else
		r.key.session[0] = 's';
	return r;
}

static void expect_same(const struct task *a, const struct task *b)
{
	assert_int_equal(a->key.kind, b->key.kind);
	assert_true(a->key.webhook == b->key.webhook);
	assert_string_equal(a->key.session, b->key.session);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->statuses, b->statuses);
	assert_true(a->since_ms == b->since_ms && a->until_ms == b->until_ms);
	assert_true(a->started_ms == b->started_ms && a->finished_ms == b->finished_ms);
	assert_memory_equal(a->position.bytes, b->position.bytes, UUID_SIZE);
	assert_memory_equal(a->last.bytes, b->last.bytes, UUID_SIZE);
	assert_memory_equal(a->webhook.bytes, b->webhook.bytes, UUID_SIZE);
	assert_true(a->scheduled == b->scheduled && a->looked_at == b->looked_at);
	assert_memory_equal(&a->removed, &b->removed, sizeof(a->removed));
}

static void count_running(void *arg, const struct task *r)
{
	*(int *)arg += r->state == TASK_RUNNING ? 1 : 0;
}

static void test_records(void **state)
{
	static const enum task_kind KINDS[] = {TASK_REPLAY, TASK_REPLAY_LETTERS,
	    TASK_DROP_LETTERS, TASK_DELETE_SESSION};
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(KINDS); i++) {
		struct task r = make_replay(KINDS[i]);
		struct task got;
		r.since_ms = 1;
		r.until_ms = 2;
		r.started_ms = 3;
		r.finished_ms = 4;
		r.position = make_id(5);
		r.webhook = make_id(6);
		r.scheduled = 7;
		r.looked_at = 8;
		r.state = i == 0 ? TASK_DONE : TASK_RUNNING;
		if (KINDS[i] == TASK_DELETE_SESSION)
			r.removed = (struct removed){9, 10, 11, 12, 13, 14, 1ull << 40};
		assert_int_equal(tasks_get(txn, &r.key, &got), ERR_NOTFOUND);
		assert_int_equal(tasks_put(txn, &r), OK);
		assert_int_equal(tasks_get(txn, &r.key, &got), OK);
		expect_same(&got, &r);
	}
	int running = 0;
	assert_int_equal(tasks_each(txn, count_running, &running), OK);
	assert_int_equal(running, 3);
	struct task r = make_replay(TASK_DROP_LETTERS);
	assert_int_equal(tasks_del(txn, &r.key), OK);
	assert_int_equal(tasks_del(txn, &r.key), ERR_NOTFOUND);
	assert_int_equal(store_count_in(txn, DB_TASKS), 3);
	store_commit(txn);
}

static void test_damaged_records(void **state)
{
	static const char KEY[8] = {0, 0, 0, 0, 0, 0, 0, 1};
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct task r = make_replay(TASK_REPLAY);
	struct slice value;
	struct task got;
	int running = 0;
	assert_int_equal(tasks_put(txn, &r), OK);
	assert_int_equal(db_get(txn, DB_TASKS, (struct slice){KEY, 8}, &value), OK);
	char copy[128];
	size_t len = value.len;
	memcpy(copy, value.ptr, len);
	for (size_t i = 0; i < len; i++) {
		copy[i] ^= 1;
		assert_int_equal(db_put(txn, DB_TASKS, (struct slice){KEY, 8},
				     (struct slice){copy, len}),
		    OK);
		assert_int_equal(tasks_get(txn, &r.key, &got), ERR_CORRUPT);
		copy[i] ^= 1;
	}
	assert_int_equal(tasks_each(txn, count_running, &running), OK);
	assert_int_equal(running, 0);
	store_commit(txn);
}

/* Webhooks 1 and 2, and `count` events for both; those of the first were delivered. */
static void make_delivered(struct store *s, struct world *w, uint32_t count,
    struct uuid *events)
{
	world_begin(s, w);
	world_register(w, 1);
	world_register(w, 2);
	for (uint32_t n = 0; n < count; n++) {
		w->now_ms++;
		struct uuid event = world_publish(w, 1, 2, 10);
		world_deliver(w, world_delivery(w, event, 1));
		if (events != NULL)
			events[n] = event;
	}
}

/* A slice's end: each delivery once, in the order of ids, no more than the slice may have. */
static void test_slices(void **state)
{
	struct store *s = *state;
	struct world w;
	static struct uuid events[MANY];
	static struct task_slice slice;
	struct task r = make_replay(TASK_REPLAY);
	make_delivered(s, &w, MANY, events);
	uint32_t seen = 0;
	while (!slice.ended) {
		slice.max = 70;
		slice.now_ms = ++w.now_ms;
		assert_int_equal(task_slice_run(w.txn, &r, &slice), OK);
		assert_true(slice.queued_count <= 70);
		for (size_t i = 0; i < slice.queued_count; i++, seen++) {
			struct uuid id;
			assert_true(seen < MANY);
			uuid_step(&events[seen], 1, &id);
			assert_memory_equal(slice.queued[i].place.id.bytes, id.bytes,
			    UUID_SIZE);
			assert_true(slice.queued[i].webhook == 1);
		}
	}
	assert_int_equal(seen, MANY);
	assert_int_equal(r.scheduled, MANY);
	assert_int_equal(r.looked_at, MANY);
	assert_int_equal(store_count_in(w.txn, DB_QUEUE), 2 * MANY);
	store_commit(w.txn);
}

/* Since is from then on, until is before then; the statuses that were asked for, no others. */
static void test_bounds_and_statuses(void **state)
{
	static const struct {
		int64_t since_ms, until_ms;
		uint8_t statuses;
		size_t scheduled, looked_at;
	} ROWS[] = {
	    {WORLD_START_MS + 3, WORLD_START_MS + 5, REPLAY_ALL, 2, 2},
	    {WORLD_START_MS + 3, WORLD_START_MS + 4, REPLAY_ALL, 1, 1},
	    {WORLD_START_MS + 6, WORLD_START_MS + 99, REPLAY_ALL, 5, 5},
	    {0, WORLD_START_MS + 1, REPLAY_ALL, 0, 0},
	    {0, INT64_MAX, REPLAY_FAILED, 0, 10},
	};
	struct store *s = *state;
	struct world w;
	make_delivered(s, &w, 10, NULL);
	store_commit(w.txn);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		static struct task_slice slice;
		struct task r = make_replay(TASK_REPLAY);
		struct db_txn *txn = store_begin(s);
		r.until_ms = ROWS[i].until_ms;
		r.statuses = ROWS[i].statuses;
		for (int k = 0; k < 6; k++)
			r.position.bytes[k] = (uint8_t)(ROWS[i].since_ms >> (8 * (5 - k)));
		slice.max = TASK_SLICE_MAX;
		slice.now_ms = w.now_ms;
		assert_int_equal(task_slice_run(txn, &r, &slice), OK);
		assert_true(slice.ended);
		if (r.scheduled != ROWS[i].scheduled || r.looked_at != ROWS[i].looked_at)
			fail_msg("row %zu: %llu of %llu", i, (unsigned long long)r.scheduled,
			    (unsigned long long)r.looked_at);
		db_abort(txn);
	}
}

static void test_deleted_webhook(void **state)
{
	struct store *s = *state;
	struct world w;
	static struct task_slice slice;
	struct task r = make_replay(TASK_REPLAY);
	make_delivered(s, &w, 3, NULL);
	world_retire(&w, 1);
	slice.max = TASK_SLICE_MAX;
	assert_int_equal(task_slice_run(w.txn, &r, &slice), ERR_NOTFOUND);
	r.key.webhook = 99;
	assert_int_equal(task_slice_run(w.txn, &r, &slice), ERR_NOTFOUND);
	assert_int_equal(store_count_in(w.txn, DB_QUEUE), 3);
	store_commit(w.txn);
}

/* Dead letters: all of the session up to the last that counts, or those of a webhook. */
static void test_letters(void **state)
{
	struct store *s = *state;
	struct world w;
	static struct task_slice slice;
	static const enum task_kind KINDS[] = {TASK_REPLAY_LETTERS, TASK_DROP_LETTERS};
	world_begin(s, &w);
	world_register(&w, 1);
	struct uuid last = {0};
	for (int n = 0; n < 10; n++) {
		struct uuid event = world_publish(&w, 1, 1, 10);
		struct uuid letter = world_bury(&w, world_delivery(&w, event, 1));
		if (n == 6)
			last = letter;
	}
	store_commit(w.txn);
	for (size_t i = 0; i < COUNT(KINDS); i++) {
		struct task r = make_replay(KINDS[i]);
		struct db_txn *txn = store_begin(s);
		size_t count = 0;
		bool more = false;
		r.last = last;
		assert_int_equal(task_slice_count_letters(txn, &r, 5, &count, &more), OK);
		assert_true(count == 5 && more);
		assert_int_equal(task_slice_count_letters(txn, &r, 50, &count, &more), OK);
		assert_true(count == 7 && !more);
		for (slice.ended = false; !slice.ended;) {
			slice.max = 3;
			slice.now_ms = w.now_ms;
			assert_int_equal(task_slice_run(txn, &r, &slice), OK);
		}
		assert_int_equal(r.scheduled, 7);
		assert_int_equal(store_count_in(txn, DB_DEAD), 3);
		assert_int_equal(store_count_in(txn, DB_QUEUE), i == 0 ? 7 : 0);
		r = make_replay(KINDS[i]);
		r.webhook = make_id(12345); /* nobody's */
		slice.max = 3;
		assert_int_equal(task_slice_run(txn, &r, &slice), OK);
		assert_true(slice.ended && r.scheduled == 0);
		db_abort(txn);
	}
}

/* Runs replays as the loop does. */
struct runner {
	struct store *store;
	struct registry *registry;
	struct turn *turn;
	struct dispatcher dispatcher;
	struct jobs *jobs;
	struct task_runner *task_runner;
	bool has_room;
	size_t queued;
};

static void runner_open(struct runner *run, struct store *s, uint64_t most)
{
	struct problem p;
	*run = (struct runner){.store = s, .has_room = true};
	run->registry = registry_new();
	assert_int_equal(registry_load(run->registry, s->db, NULL, &p), OK);
	run->turn = turn_new(s->db);
	run->jobs = jobs_new(run->turn);
	dispatcher_open(&run->dispatcher, s, run->turn, run->registry);
	const struct task_runner_conf conf = {.db = s->db,
	    .registry = run->registry,
	    .backlog = s->backlog,
	    .dispatch = run->dispatcher.dispatch,
	    .has_room = &run->has_room,
	    .most = most};
	run->task_runner = task_runner_new(run->jobs, &conf);
	assert_int_equal(task_runner_load(run->task_runner), OK);
}

static void runner_close(struct runner *run)
{
	dispatcher_close(&run->dispatcher);
	jobs_free(run->jobs);
	turn_free(run->turn);
	registry_free(run->registry);
}

/* One turn; false where nothing was staged. The dispatcher knows of what it has queued. */
static bool runner_turn(struct runner *run)
{
	size_t before = store_count(run->store, DB_QUEUE);
	jobs_step(run->jobs);
	jobs_step(run->jobs); /* is staged already */
	size_t staged = turn_staged(run->turn);
	assert_true(staged <= 1);
	assert_int_equal(turn_commit(run->turn), OK);
	run->queued += store_count(run->store, DB_QUEUE) - before;
	assert_int_equal(dispatch_delay(run->dispatcher.dispatch),
	    before + run->queued > 0 ? 0 : -1);
	return staged == 1;
}

static struct task read_replay(struct store *s)
{
	struct task r = make_replay(TASK_REPLAY);
	struct db_txn *txn = store_read(s);
	assert_int_equal(tasks_get(txn, &r.key, &r), OK);
	db_read_end(txn);
	return r;
}

/* Webhook 1 with MANY delivered ones alone, and a replay of them that is on disk. */
static void make_running(struct store *s)
{
	struct world w;
	struct task r = make_replay(TASK_REPLAY);
	world_begin(s, &w);
	world_register(&w, 1);
	for (int n = 0; n < MANY; n++)
		world_deliver(&w, world_delivery(&w, world_publish(&w, 1, 1, 10), 1));
	assert_int_equal(tasks_put(w.txn, &r), OK);
	store_commit(w.txn);
}

/* After each turn the process is killed; in the end each was scheduled once. */
static void test_resumed_after_each_turn(void **state)
{
	struct store *s = *state;
	struct runner run;
	make_running(s);
	size_t turns = 0;
	for (bool on = true; on; turns++) {
		runner_open(&run, s, 0);
		on = runner_turn(&run);
		struct task r = read_replay(s);
		assert_int_equal(store_count(s, DB_QUEUE), r.scheduled);
		assert_true(run.queued <= TASK_SLICE_MAX);
		runner_close(&run);
		store_reopen(s);
	}
	struct task r = read_replay(s);
	assert_int_equal(r.state, TASK_DONE);
	assert_int_equal(r.scheduled, MANY);
	assert_int_equal(turns, 4); /* three slices, and one that found nothing to do */
	struct delivery d;
	struct db_txn *txn = store_read(s);
	assert_int_equal(queue_first(txn, 1, &d), OK);
	assert_int_equal(d.replays, 1);
	db_read_end(txn);
}

static void test_waits_for_room(void **state)
{
	struct store *s = *state;
	struct runner run;
	make_running(s);
	runner_open(&run, s, 250);
	run.has_room = false;
	assert_false(runner_turn(&run));
	run.has_room = true;
	assert_true(runner_turn(&run));
	assert_true(runner_turn(&run));
	assert_false(runner_turn(&run));
	assert_int_equal(read_replay(s).scheduled, 250);
	for (int n = 0; n < 10; n++) { /* ten are delivered */
		struct delivery d;
		struct world w = {.txn = store_begin(s), .now_ms = WORLD_START_MS};
		assert_int_equal(queue_first(w.txn, 1, &d), OK);
		world_deliver(&w, d);
		store_commit(w.txn);
	}
	assert_true(runner_turn(&run));
	assert_false(runner_turn(&run));
	assert_int_equal(read_replay(s).scheduled, 260);
	task_runner_configure(run.task_runner, 0);
	while (runner_turn(&run))
		continue;
	assert_int_equal(read_replay(s).state, TASK_DONE);
	assert_int_equal(run.queued, MANY);
	runner_close(&run);
}

/* One whose session may hold no more goes on where it was, each of its deliveries once. */
static void test_waits_for_a_share(void **state)
{
	struct store *s = *state;
	struct runner run;
	make_running(s);
	struct holding h = usage_total(s->usage);
	uint64_t each = h.n[USAGE_HISTORY] / MANY;
	store_leave(s, 300 * (each + USAGE_LETTER));
	runner_open(&run, s, 0);
	assert_true(runner_turn(&run));
	assert_int_equal(read_replay(s).scheduled, TASK_SLICE_MAX);
	assert_true(runner_turn(&run));
	struct task r = read_replay(s);
	assert_in_range(r.scheduled, TASK_SLICE_MAX + 50, 300);
	assert_true(r.looked_at == r.scheduled);
	assert_int_equal(r.state, TASK_RUNNING);
	assert_int_equal(store_count(s, DB_QUEUE), r.scheduled);
	assert_false(runner_turn(&run)); /* is not asked again at once */
	runner_close(&run);
	store_leave(s, 1u << 30);
	runner_open(&run, s, 0);
	while (runner_turn(&run))
		continue;
	r = read_replay(s);
	assert_int_equal(r.state, TASK_DONE);
	assert_true(r.scheduled == MANY && r.looked_at == MANY);
	assert_int_equal(store_count(s, DB_QUEUE), MANY);
	runner_close(&run);
}

static void test_cancelled_and_started_again(void **state)
{
	struct store *s = *state;
	struct runner run;
	make_running(s);
	runner_open(&run, s, 0);
	assert_true(runner_turn(&run));
	struct task r = read_replay(s);
	assert_int_equal(r.scheduled, TASK_SLICE_MAX);
	r.state = TASK_CANCELLED;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(tasks_put(txn, &r), OK);
	store_commit(txn);
	assert_true(runner_turn(&run));
	assert_false(runner_turn(&run));
	assert_int_equal(run.queued, TASK_SLICE_MAX);
	r = make_replay(TASK_REPLAY);
	txn = store_begin(s);
	assert_int_equal(tasks_put(txn, &r), OK);
	store_commit(txn);
	task_runner_add(run.task_runner, &r.key);
	task_runner_add(run.task_runner, &r.key); /* is known */
	while (runner_turn(&run))
		continue;
	r = read_replay(s);
	assert_int_equal(r.state, TASK_DONE);
	assert_int_equal(r.scheduled, MANY - TASK_SLICE_MAX); /* the others wait already */
	runner_close(&run);
}

/* What fsck says of a row. */
static void test_what_is_found(void **state)
{
	static const struct {
		uint64_t webhook;
		enum task_state state;
		uint64_t scheduled;
		const char *want;
	} ROWS[] = {
	    {1, TASK_RUNNING, 2, NULL},
	    {99, TASK_RUNNING, 2, "there is no webhook 99"},
	    {1, TASK_DONE, 2, "it runs and has ended, or neither"},
	    {1, TASK_RUNNING, 3, "it counts 3 deliveries of 2"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct store *s = store_new(STORE_MAP_BYTES);
		struct sample m = {0};
		struct findings f;
		struct task r = make_replay(TASK_REPLAY);
		r.key.webhook = ROWS[i].webhook;
		r.state = ROWS[i].state;
		r.scheduled = ROWS[i].scheduled;
		r.looked_at = 2;
		sample_make(s, &m);
		assert_int_equal(tasks_put(m.w.txn, &r), OK);
		store_commit(m.w.txn);
		world_check(s, &f);
		if ((f.result.findings == 0) != (ROWS[i].want == NULL) ||
		    (ROWS[i].want != NULL && strstr(buf_cstr(&f.text), ROWS[i].want) == NULL))
			fail_msg("row %zu: %s", i, buf_cstr(&f.text));
		buf_fini(&f.text);
		store_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_records),
	    STORE_TEST(test_damaged_records),
	    STORE_TEST(test_slices),
	    STORE_TEST(test_bounds_and_statuses),
	    STORE_TEST(test_deleted_webhook),
	    STORE_TEST(test_letters),
	    STORE_TEST(test_resumed_after_each_turn),
	    STORE_TEST(test_waits_for_room),
	    STORE_TEST(test_waits_for_a_share),
	    STORE_TEST(test_cancelled_and_started_again),
	    cmocka_unit_test(test_what_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
