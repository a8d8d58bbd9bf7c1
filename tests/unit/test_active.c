/*
 * The owner of a shard: turns that go through the journal before they are committed, in parts
 * where they are large; heartbeats; what it may do while the journal is silent; how it ends
 * when another owns the shard; commits of the start; the hand-over; what it trims.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cluster/trim.h"
#include "fake_time.h"
#include "member.h"
#include "store/schema.h"
#include "support.h"

#define UNTOLD ERR_UNTOLD
enum { ERR_UNTOLD = -1 };

struct fixture {
	struct fake_log *log;
	struct member *m;   /* the active of epoch 1; its start is turn 1 */
	enum err committed; /* what turn_commit() last said */
	unsigned handed_over;
};

struct put_op {
	struct op op; /* first */
	const char *key;
	size_t rows; /* 0: none */
	size_t value_bytes;
	bool is_random;
	int told;
};

static enum err apply_put(struct op *op, struct db_txn *txn)
{
	struct put_op *o = (struct put_op *)op;
	char *value = repeat('v', o->value_bytes);
	if (o->is_random)
		rnd_secret(value, o->value_bytes);
	enum err err = o->rows == 0 ? ERR_NOTFOUND : OK;
	for (size_t i = 0; err == OK && i < o->rows; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "%s%zu", o->key, i);
		err = db_put(txn, DB_WEBHOOKS, slice_of(key),
		    (struct slice){value, o->value_bytes});
	}
	free(value);
	return err;
}

static void done_put(struct op *op, enum err result)
{
	struct put_op *o = (struct put_op *)op;
	assert_int_equal(o->told, UNTOLD);
	o->told = (int)result;
}

static struct put_op put_of(const char *key, size_t rows, size_t value_bytes)
{
	return (struct put_op){.op = {.class = OP_INTAKE, .apply = apply_put, .done = done_put},
	    .key = key,
	    .rows = rows,
	    .value_bytes = value_bytes,
	    .told = UNTOLD};
}

/* As the server's loop; who is to end does not. */
static void run(struct fixture *f, int64_t ms)
{
	for (int64_t i = 0; i < ms; i++) {
		clock_expire();
		reactor_pass(f->m->reactor, true);
		if (!turn_is_appending(f->m->turn))
			f->committed = turn_commit(f->m->turn);
		fake_time_pass(1);
	}
}

static int setup_with(void **state, size_t max_entry)
{
	struct fixture *f = mem_new(sizeof(*f));
	fake_time_begin();
	f->log = fake_log_new(1);
	f->m = member_new(f->log, "a", 2);
	f->m->max_entry = max_entry;
	member_start(f->m);
	for (int i = 0; f->m->active == NULL && i < 10000; i++)
		member_run(f->m, 1);
	assert_non_null(f->m->active);
	run(f, 100);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 1u << 20);
}

static int setup_small(void **state)
{
	return setup_with(state, ENTRY_HEAD_MAX + 1000);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	fake_flush_fails(false);
	member_free(f->m);
	fake_log_free(f->log);
	fake_time_end();
	free(f);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static struct buf scratch = {.max = ENTRY_ROWS_MAX};

static struct entry entry_at(struct fixture *f, uint64_t seq)
{
	struct entry e;
	assert_int_equal(entry_decode(fake_log_entry(f->log, seq), &scratch, &e), OK);
	return e;
}

static enum entry_kind last_kind(struct fixture *f)
{
	return entry_at(f, fake_log_last(f->log)).kind;
}

static struct fake_way *way(struct fixture *f)
{
	return fake_way(f->m->journal);
}

/* Another member takes over behind what is there. */
static void other_takes_over(struct fixture *f)
{
	struct owner o = owner_of(f->log);
	struct entry e = entry_at(f, fake_log_last(f->log));
	memcpy(o.digest, e.digest, ENTRY_DIGEST);
	o.epoch = e.epoch;
	owner_take_over(&o);
}

/* The start: the takeover, what the start wrote, and a heartbeat before anybody is served. */
static void test_begins(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(fake_log_last(f->log), 3);
	assert_int_equal(entry_at(f, 1).kind, ENTRY_TAKEOVER);
	struct entry start = entry_at(f, 2);
	assert_int_equal(start.kind, ENTRY_TURN);
	assert_int_equal(start.turn, 1);
	assert_int_equal(start.schema, SCHEMA_VERSION);
	assert_true(slice_eq(start.member, SLICE("a")));
	assert_true(slice_eq(start.url, SLICE("http://somewhere")));
	struct entry beat = entry_at(f, 3);
	assert_int_equal(beat.kind, ENTRY_HEARTBEAT);
	assert_memory_equal(beat.before, start.digest, ENTRY_DIGEST);
	assert_true(active_may_start(f->m->active));
	assert_true(active_may_take(f->m->active));
	assert_false(active_is_fenced(f->m->active));
	const struct active_figures *a = active_figures(f->m->active);
	assert_int_equal(a->epoch, 1);
	assert_int_equal(a->seq, 3);
	assert_int_equal(a->synced, 2);
	assert_int_equal(a->appends, 2);
	assert_int_equal(a->bytes,
	    fake_log_entry(f->log, 2).len + fake_log_entry(f->log, 3).len);
	assert_int_equal(a->waits_ms, 0);
	assert_int_equal(histogram_count(&a->append), 2);
	assert_int_equal(member_position(f->m).seq, 2);
}

/* Not told, nor there, before the journal has it; what comes meanwhile is the next turn's. */
static void test_turn(void **state)
{
	struct fixture *f = *state;
	struct put_op one = put_of("one", 1, 10);
	struct put_op two = put_of("two", 1, 10);
	char value[64];
	way(f)->holds_answers = true;
	turn_stage(f->m->turn, &one.op);
	run(f, 20);
	turn_stage(f->m->turn, &two.op);
	run(f, 20);
	assert_int_equal(last_kind(f), ENTRY_TURN);
	uint64_t seq = fake_log_last(f->log);
	assert_int_equal(one.told, UNTOLD);
	assert_false(member_get(f->m, "one0", value));
	assert_in_range(active_figures(f->m->active)->waits_ms, 30, 50);
	way(f)->holds_answers = false;
	run(f, 20);
	assert_int_equal(one.told, OK);
	assert_int_equal(two.told, OK);
	assert_true(member_get(f->m, "one0", value));
	assert_int_equal(fake_log_last(f->log), seq + 1);
	assert_int_equal(member_position(f->m).seq, seq + 1);
	assert_int_equal(member_position(f->m).turn, 3);
	assert_int_equal(active_figures(f->m->active)->synced, seq + 1);
	struct entry first = entry_at(f, seq);
	struct entry second = entry_at(f, seq + 1);
	assert_memory_equal(second.before, first.digest, ENTRY_DIGEST);
	assert_memory_equal(member_position(f->m).digest, second.digest, ENTRY_DIGEST);
	assert_int_equal(first.turn, 2);
	assert_int_equal(second.turn, 3);
}

/* Operations that write nothing: they are told, and the journal is not. */
static void test_empty_turn(void **state)
{
	struct fixture *f = *state;
	struct put_op none = put_of("none", 0, 0);
	uint64_t seq = fake_log_last(f->log);
	way(f)->is_cut = true;
	turn_stage(f->m->turn, &none.op);
	run(f, 5);
	assert_int_equal(none.told, ERR_NOTFOUND);
	assert_int_equal(fake_log_last(f->log), seq);
	assert_int_equal(member_position(f->m).seq, 2);
	way(f)->is_cut = false;
	struct put_op some = put_of("some", 1, 10);
	turn_stage(f->m->turn, &some.op);
	run(f, 20);
	assert_int_equal(some.told, OK);
}

/* A turn that is larger than an entry: parts one behind the other, whole rows in each. */
static void test_parts(void **state)
{
	struct fixture *f = *state;
	struct put_op large = put_of("large", 50, 100);
	uint64_t seq = fake_log_last(f->log);
	turn_stage(f->m->turn, &large.op);
	run(f, 100);
	assert_int_equal(large.told, OK);
	uint64_t last = fake_log_last(f->log);
	assert_in_range(last - seq, 5, 10);
	size_t bytes = 0;
	for (uint64_t n = seq + 1; n <= last; n++) {
		struct entry e = entry_at(f, n);
		assert_int_equal(e.kind, ENTRY_TURN);
		assert_int_equal(e.more, n < last);
		assert_int_equal(e.turn, 2);
		assert_in_range(e.rows.len, 100, 1000);
		bytes += e.rows.len;
	}
	assert_in_range(bytes, 50 * 100, 50 * 130);
	assert_int_equal(member_position(f->m).seq, last);
	struct member *other = member_new(f->log, "b", 3);
	struct rows mine = ROWS_INIT;
	struct rows copied = ROWS_INIT;
	member_start(other);
	member_run(other, 300);
	member_dump(f->m, &mine);
	member_dump(other, &copied);
	assert_true(slice_eq(buf_view(&mine.bytes), buf_view(&copied.bytes)));
	rows_fini(&mine);
	rows_fini(&copied);
	member_free(other);
}

static int setup_large(void **state)
{
	return setup_with(state, 4u << 20);
}

/* The journal's servers take less than an entry might have: no entry is larger than that. */
static void test_parts_for_the_server(void **state)
{
	struct fixture *f = *state;
	struct put_op large = put_of("large", 40, 50000);
	uint64_t seq = fake_log_last(f->log);
	run(f, 1500); /* it asks each second what they take: 1 MiB */
	turn_stage(f->m->turn, &large.op);
	run(f, 100);
	assert_int_equal(large.told, OK);
	uint64_t parts = 0;
	for (uint64_t n = seq + 1; n <= fake_log_last(f->log); n++) {
		struct entry e = entry_at(f, n);
		assert_in_range(e.rows.len, 0, (1u << 20) - ENTRY_HEAD_MAX);
		parts += e.kind == ENTRY_TURN ? 1 : 0;
	}
	assert_int_equal(parts, 2);
}

/* A row that no entry has room for, behind some that have: it ends, and the turn never was. */
static void test_row_too_large(void **state)
{
	struct fixture *f = *state;
	struct put_op large = put_of("large", 2, 900);
	struct put_op larger = put_of("larger", 1, 4000);
	char value[64];
	larger.is_random = true; /* it cannot be made smaller */
	turn_stage(f->m->turn, &large.op);
	turn_stage(f->m->turn, &larger.op);
	run(f, 100);
	assert_int_equal(large.told, ERR_STORE);
	assert_int_equal(larger.told, ERR_STORE);
	assert_true(active_is_fenced(f->m->active));
	assert_true(entry_at(f, fake_log_last(f->log)).more);
	assert_false(member_get(f->m, "large0", value));
	member_kill(f->m);
	member_start(f->m);
	member_run(f->m, 6000);
	assert_non_null(f->m->active);
	assert_false(member_get(f->m, "large0", value));
	assert_int_equal(member_position(f->m).turn, 2); /* its start */
}

/* It says that it is there where nothing else does, and not where turns do. */
static void test_heartbeats(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = fake_log_last(f->log);
	run(f, 10000);
	assert_in_range(fake_log_last(f->log) - seq, 18, 20);
	assert_int_equal(last_kind(f), ENTRY_HEARTBEAT);
	assert_int_equal(entry_at(f, seq + 5).turn, 1);
	seq = fake_log_last(f->log);
	for (int i = 0; i < 25; i++) {
		struct put_op o = put_of("busy", 1, 10);
		turn_stage(f->m->turn, &o.op);
		run(f, 400);
		assert_int_equal(o.told, OK);
		assert_int_equal(last_kind(f), ENTRY_TURN);
	}
	assert_int_equal(fake_log_last(f->log) - seq, 25);
}

/* Behind so many the position on disk goes on, through a turn: nothing else keeps it. */
static void test_position_goes_on(void **state)
{
	struct fixture *f = *state;
	uint64_t before = member_position(f->m).seq;
	run(f, 130 * (MEMBER_HEARTBEAT_MS + 3));
	struct entry_position position = member_position(f->m);
	assert_in_range(position.seq - before, 127, 130);
	assert_int_equal(position.turn, 2);
	assert_int_equal(active_figures(f->m->active)->synced, position.seq);
	assert_int_equal(entry_at(f, position.seq).kind, ENTRY_TURN);
	run(f, 130 * (MEMBER_HEARTBEAT_MS + 3));
	assert_int_equal(member_position(f->m).turn, 3);
	struct member *other = member_new(f->log, "b", 3);
	member_start(other);
	member_run(other, 300);
	assert_int_equal(member_position(other).seq, member_position(f->m).seq);
	member_free(other);
}

/* Another owns the shard: nothing is written, all are told, nothing is appended any more. */
static void test_fenced(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	char value[64];
	other_takes_over(f);
	uint64_t seq = fake_log_last(f->log);
	turn_stage(f->m->turn, &o.op);
	run(f, 20);
	assert_int_equal(o.told, ERR_STORE);
	assert_false(member_get(f->m, "late0", value));
	assert_true(active_is_fenced(f->m->active));
	assert_false(active_may_start(f->m->active));
	assert_false(active_may_take(f->m->active));
	assert_int_equal(f->committed, ERR_BROKEN);
	run(f, 5000);
	assert_int_equal(fake_log_last(f->log), seq);
}

/* An idle owner finds out by its heartbeat; a turn that comes then is told as well. */
static void test_fenced_idle(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	other_takes_over(f);
	uint64_t seq = fake_log_last(f->log);
	run(f, 600);
	assert_true(active_is_fenced(f->m->active));
	turn_stage(f->m->turn, &o.op);
	run(f, 20);
	assert_int_equal(o.told, ERR_STORE);
	assert_int_equal(fake_log_last(f->log), seq);
}

/* Two at one position: the append was on its way when the other's was taken. */
static void test_taken_too_late(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	way(f)->holds_appends = true;
	turn_stage(f->m->turn, &o.op);
	run(f, 10000);
	assert_int_equal(o.told, UNTOLD);
	other_takes_over(f);
	way(f)->holds_appends = false;
	run(f, 20);
	assert_int_equal(o.told, ERR_STORE);
	assert_true(active_is_fenced(f->m->active));
}

/* Taken late, or its answer late: it is committed when that is sure, and not before. */
static void test_late_answers(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		struct put_op o = put_of("late", 1, 10);
		way(f)->holds_appends = i == 0;
		way(f)->holds_answers = i == 1;
		turn_stage(f->m->turn, &o.op);
		run(f, 1400);
		assert_true(active_may_start(f->m->active));
		run(f, 700);
		assert_false(active_may_start(f->m->active));
		assert_true(active_may_take(f->m->active));
		run(f, 3000);
		assert_false(active_may_take(f->m->active));
		assert_in_range(active_figures(f->m->active)->waits_ms, 5000, 5150);
		assert_int_equal(o.told, UNTOLD);
		way(f)->holds_appends = false;
		way(f)->holds_answers = false;
		run(f, 3);
		assert_int_equal(o.told, OK);
		assert_false(active_is_fenced(f->m->active));
		run(f, 600); /* a heartbeat's answer is of now */
		assert_true(active_may_start(f->m->active));
		assert_true(active_may_take(f->m->active));
	}
}

/* Stopped for ten seconds: an answer that lay about says nothing about now. */
static void test_stopped(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 20; i++) { /* at each position of a heartbeat's way */
		run(f, 500);
		assert_true(active_may_start(f->m->active));
		while (active_figures(f->m->active)->waits_ms == 0)
			run(f, 1);
		run(f, i % 3);
		fake_time_pass(10000);
		assert_false(active_may_start(f->m->active));
		assert_false(active_may_take(f->m->active));
		uint64_t appends = active_figures(f->m->active)->appends;
		while (active_figures(f->m->active)->appends == appends) {
			assert_false(active_may_start(f->m->active));
			run(f, 1);
		}
		if (!active_may_start(f->m->active)) /* that was one from before */
			run(f, 600);
		assert_true(active_may_start(f->m->active));
	}
	way(f)->holds_answers = true;
	run(f, 1000); /* one is on its way */
	uint64_t before = active_figures(f->m->active)->appends;
	fake_time_pass(10000);
	way(f)->holds_answers = false;
	while (active_figures(f->m->active)->appends == before)
		run(f, 1);
	assert_false(active_may_start(f->m->active));
	run(f, 600);
	assert_true(active_may_start(f->m->active));
	fake_time_pass(10000);
	other_takes_over(f);
	for (int i = 0; i < 2000; i++) {
		assert_false(active_may_start(f->m->active));
		run(f, 1);
	}
	assert_true(active_is_fenced(f->m->active));
}

/* Full, or cut off for a while: it waits, and goes on. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	struct put_op cut = put_of("cut", 1, 10);
	fake_log_limit(f->log, 1);
	turn_stage(f->m->turn, &o.op);
	run(f, 30000);
	assert_int_equal(o.told, UNTOLD);
	assert_false(active_may_take(f->m->active));
	fake_log_limit(f->log, 1u << 20);
	run(f, 20);
	assert_int_equal(o.told, OK);
	way(f)->is_cut = true;
	turn_stage(f->m->turn, &cut.op);
	run(f, 30000);
	assert_int_equal(cut.told, UNTOLD);
	way(f)->is_cut = false;
	run(f, 20);
	assert_int_equal(cut.told, OK);
	assert_false(active_is_fenced(f->m->active));
}

/* Room is left: what was appended counts before the journal is asked again how full it is. */
static void test_nearly_full(void **state)
{
	struct fixture *f = *state;
	fake_log_limit(f->log, 20000);
	run(f, 3000);
	assert_null(active_why(f->m->active));
	size_t puts = 0;
	while (active_may_take(f->m->active)) {
		struct put_op o = put_of("much", 1, 900);
		o.is_random = true; /* nothing that could be packed */
		turn_stage(f->m->turn, &o.op);
		run(f, 5);
		assert_int_equal(o.told, OK);
		puts++;
	}
	assert_in_range(puts, 10, 20);
	assert_string_equal(active_why(f->m->active), "the cluster's journal is nearly full");
	fake_log_limit(f->log, 1u << 20);
	run(f, 3000);
	assert_null(active_why(f->m->active));
}

/* The local commit fails behind the journal's yes: this member ends, and reads it again. */
static void test_local_failure(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	char value[64];
	way(f)->holds_answers = true;
	turn_stage(f->m->turn, &o.op);
	run(f, 20);
	fake_flush_fails(true);
	way(f)->holds_answers = false;
	run(f, 20);
	assert_int_equal(o.told, ERR_STORE);
	assert_int_equal(f->committed, ERR_BROKEN);
	assert_true(active_is_fenced(f->m->active));
	uint64_t seq = fake_log_last(f->log);
	run(f, 5000);
	assert_int_equal(fake_log_last(f->log), seq);
	fake_flush_fails(false);
	member_kill(f->m);
	f->m->may_take_over = false;
	member_start(f->m);
	member_run(f->m, 300);
	assert_true(member_get(f->m, "late0", value));
}

/* The journal is another one. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	fake_log_replace(f->log);
	run(f, 1100);
	assert_true(active_is_fenced(f->m->active));
	assert_int_equal(fake_log_last(f->log), 0);
}

static void on_handed_over(void *arg)
{
	struct fixture *f = arg;
	f->handed_over++;
}

/* The shard is given away, also while a heartbeat is on its way; nothing follows. */
static void test_hands_over(void **state)
{
	struct fixture *f = *state;
	struct put_op o = put_of("late", 1, 10);
	way(f)->holds_answers = true;
	run(f, 1000);
	active_hand_over(f->m->active, on_handed_over, f);
	assert_false(active_may_start(f->m->active));
	assert_false(active_may_take(f->m->active));
	run(f, 1000);
	assert_int_equal(f->handed_over, 0);
	way(f)->holds_answers = false;
	run(f, 20);
	assert_int_equal(f->handed_over, 1);
	uint64_t seq = fake_log_last(f->log);
	assert_int_equal(last_kind(f), ENTRY_HANDOVER);
	assert_false(active_may_start(f->m->active));
	assert_false(active_is_fenced(f->m->active));
	run(f, 5000);
	assert_int_equal(fake_log_last(f->log), seq);
	turn_stage(f->m->turn, &o.op);
	run(f, 20);
	assert_int_equal(o.told, ERR_STORE);
	assert_int_equal(fake_log_last(f->log), seq);
	assert_int_equal(f->handed_over, 1);
}

/* …where another owns it already, before or meanwhile: it is told all the same. */
static void test_hands_over_late(void **state)
{
	struct fixture *f = *state;
	other_takes_over(f);
	active_hand_over(f->m->active, on_handed_over, f);
	assert_int_equal(f->handed_over, 0);
	run(f, 20);
	assert_int_equal(f->handed_over, 1);
	assert_true(active_is_fenced(f->m->active));
	active_hand_over(f->m->active, on_handed_over, f);
	assert_int_equal(f->handed_over, 1);
	run(f, 20);
	assert_int_equal(f->handed_over, 2);
}

static enum err put_at_start(struct db *db, const char *key)
{
	struct db_txn *txn = NULL;
	assert_int_equal(db_begin(db, &txn), OK);
	if (key != NULL)
		assert_int_equal(db_put(txn, DB_WEBHOOKS, slice_of(key), SLICE("v")), OK);
	return db_commit(txn);
}

/* Makes an active that does not serve yet. */
static struct active *starting(struct fixture *f)
{
	struct active *a = NULL;
	struct active_conf conf = {.reactor = f->m->reactor,
	    .db = f->m->db,
	    .journal = f->m->journal,
	    .member = "a",
	    .url = "http://somewhere",
	    .heartbeat_ms = MEMBER_HEARTBEAT_MS,
	    .hold_ms = MEMBER_HOLD_MS,
	    .refuse_ms = MEMBER_REFUSE_MS,
	    .max_entry = 1u << 20};
	struct entry e = entry_at(f, fake_log_last(f->log));
	conf.from = (struct entry_position){.seq = fake_log_last(f->log),
	    .epoch = e.epoch,
	    .turn = e.turn,
	    .journal = 1700000000000};
	memcpy(conf.from.digest, e.digest, ENTRY_DIGEST);
	turn_free(f->m->turn);
	f->m->turn = NULL;
	active_free(f->m->active);
	f->m->active = NULL;
	assert_int_equal(active_new(&conf, &a), OK);
	f->m->active = a;
	return a;
}

/* Commits of the start wait for the journal, in one call; one that writes nothing does not. */
static void test_start(void **state)
{
	struct fixture *f = *state;
	struct active *a = starting(f);
	char value[64];
	way(f)->delay_ms = 1000;
	uint64_t seq = fake_log_last(f->log);
	assert_int_equal(put_at_start(f->m->db, "x"), OK);
	assert_int_equal(put_at_start(f->m->db, NULL), OK);
	assert_int_equal(put_at_start(f->m->db, "y"), OK);
	assert_int_equal(fake_log_last(f->log), seq + 2);
	assert_true(member_get(f->m, "y", value));
	assert_int_equal(member_position(f->m).seq, seq + 2);
	assert_int_equal(member_position(f->m).turn, 3);
	assert_int_equal(active_figures(a)->synced, seq + 2);
	way(f)->delay_ms = 0;
	other_takes_over(f);
	assert_int_equal(put_at_start(f->m->db, "z"), ERR_BROKEN);
	assert_false(member_get(f->m, "z", value));
	assert_true(active_is_fenced(a));
	assert_int_equal(put_at_start(f->m->db, "z"), ERR_BROKEN);
}

/* A journal that does not answer ends the start; what it says later changes nothing. */
static void test_start_gives_up(void **state)
{
	struct fixture *f = *state;
	struct active *a = starting(f);
	char value[64];
	way(f)->holds_answers = true;
	int64_t began_us = clock_now_us();
	assert_int_equal(put_at_start(f->m->db, "x"), ERR_BROKEN);
	assert_in_range((clock_now_us() - began_us) / 1000, MEMBER_REFUSE_MS,
	    MEMBER_REFUSE_MS + 100);
	assert_true(active_is_fenced(a));
	way(f)->holds_answers = false;
	for (int i = 0; i < 1000; i++) {
		reactor_pass(f->m->reactor, true);
		fake_time_pass(1);
	}
	assert_int_equal(put_at_start(f->m->db, "y"), ERR_BROKEN);
	assert_false(member_get(f->m, "x", value));
	assert_false(member_get(f->m, "y", value));
}

/* A commit of the start that fails behind the journal's yes. */
static void test_start_fails(void **state)
{
	struct fixture *f = *state;
	struct active *a = starting(f);
	fake_flush_fails(true);
	assert_int_equal(put_at_start(f->m->db, "x"), ERR_STORE);
	fake_flush_fails(false);
	assert_true(active_is_fenced(a));
	assert_int_equal(put_at_start(f->m->db, "y"), ERR_BROKEN);
}

/* What may go: what all who were heard of have; where it is half full, what any two have. */
static void test_trim_to(void **state)
{
	static const struct {
		uint64_t own;
		uint64_t bytes; /* of 1000 */
		uint64_t b, c;
		int64_t b_ago_ms, c_ago_ms;
		uint64_t want;
	} CASES[] = {
	    {100, 10, 80, 90, 0, 0, 80},
	    {70, 10, 80, 90, 0, 0, 70},
	    {100, 10, 80, 90, TRIM_FORGET_MS - 1, 0, 80},
	    {100, 10, 80, 90, TRIM_FORGET_MS, 0, 90},
	    {100, 10, 80, 90, TRIM_FORGET_MS, TRIM_FORGET_MS, 0},
	    {100, 500, 80, 90, 0, 0, 80},
	    {100, 501, 80, 90, 0, 0, 90},
	    {85, 501, 80, 90, 0, 0, 85},
	    {100, 501, 80, 90, 0, TRIM_FORGET_MS, 80},
	    {100, 501, 80, 90, TRIM_FORGET_MS, TRIM_FORGET_MS, 0},
	    {100, 999, 0, 0, 0, 0, 0},
	    {0, 999, 80, 90, 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		const int64_t now_ms = 1800000000000;
		const struct journal_end end = {.bytes = CASES[i].bytes, .max_bytes = 1000};
		const struct journal_member m[] = {
		    {.name = "b", .synced = CASES[i].b, .told_ms = now_ms - CASES[i].b_ago_ms},
		    {.name = "a", .synced = 1, .told_ms = now_ms, .is_active = true},
		    {.name = "c", .synced = CASES[i].c, .told_ms = now_ms - CASES[i].c_ago_ms},
		};
		uint64_t got = trim_to("a", CASES[i].own, &end, m, COUNT(m));
		if (got != CASES[i].want)
			fail_msg("case %zu: %lu", i, (unsigned long)got);
		assert_int_equal(trim_to("a", CASES[i].own, &end, m + 1, 1), 0);
		assert_int_equal(trim_to("a", CASES[i].own, &end, NULL, 0), 0);
	}
}

/* It tells where it is, and trims as the others tell. */
static void test_trims(void **state)
{
	struct fixture *f = *state;
	struct journal_member other = {.name = "b", .synced = 0, .told_ms = clock_system_ms()};
	run(f, 20000);
	assert_int_equal(fake_log_first(f->log), 1); /* nobody has a second copy */
	struct put_op o = put_of("x", 1, 10);
	turn_stage(f->m->turn, &o.op);
	run(f, 1100);
	uint64_t synced = member_position(f->m).seq;
	assert_int_equal(fake_log_member(f->log, "a")->synced, synced);
	assert_true(fake_log_member(f->log, "a")->is_active);
	other.synced = 10;
	fake_log_tell(f->log, &other);
	run(f, 2100);
	assert_int_equal(fake_log_first(f->log), 11);
	other.synced = fake_log_last(f->log);
	fake_log_tell(f->log, &other);
	run(f, 2100);
	assert_int_equal(fake_log_first(f->log), synced + 1);
	const struct active_figures *a = active_figures(f->m->active);
	assert_int_equal(a->member_count, 2);
	assert_int_equal(a->end.first, synced + 1);
	assert_int_equal(a->end.journal, 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_begins),
	    TEST(test_turn),
	    TEST(test_empty_turn),
	    cmocka_unit_test_setup_teardown(test_parts, setup_small, teardown),
	    cmocka_unit_test_setup_teardown(test_row_too_large, setup_small, teardown),
	    cmocka_unit_test_setup_teardown(test_parts_for_the_server, setup_large, teardown),
	    TEST(test_heartbeats),
	    TEST(test_position_goes_on),
	    TEST(test_fenced),
	    TEST(test_fenced_idle),
	    TEST(test_taken_too_late),
	    TEST(test_late_answers),
	    TEST(test_stopped),
	    TEST(test_full),
	    TEST(test_nearly_full),
	    TEST(test_local_failure),
	    TEST(test_replaced),
	    TEST(test_hands_over),
	    TEST(test_hands_over_late),
	    TEST(test_start),
	    TEST(test_start_gives_up),
	    TEST(test_start_fails),
	    cmocka_unit_test(test_trim_to),
	    TEST(test_trims),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_fini(&scratch);
	return failed;
}
