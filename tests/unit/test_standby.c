/*
 * A standby over a journal that an owner writes to: what it applies and when it has it on
 * disk, each way in which what is read is bad, when it takes over and when not, and which
 * stores may begin to read.
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
#include "fake_time.h"
#include "member.h"
#include "store/schema.h"
#include "support.h"

struct fixture {
	struct fake_log *log;
	struct owner owner;
	struct member *m;
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	fake_time_begin();
	f->log = fake_log_new(1);
	f->owner = owner_of(f->log);
	f->m = member_new(f->log, "b", 2);
	f->m->may_take_over = false;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	member_free(f->m);
	fake_log_free(f->log);
	fake_time_end();
	free(f);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void assert_value(struct member *m, const char *key, const char *want)
{
	char value[64];
	assert_int_equal(member_get(m, key, value), want != NULL);
	if (want != NULL)
		assert_string_equal(value, want);
}

static void assert_state(struct member *m, enum standby_state state, const char *why)
{
	assert_int_equal(member_standby(m)->state, state);
	if (strstr(member_standby(m)->why, why) == NULL)
		fail_msg("\"%s\" has no \"%s\"", member_standby(m)->why, why);
}

/* Turns of all kinds, from the beginning and live; the position goes on with turns alone. */
static void test_follows(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_put(&f->owner, "b", "2");
	member_start(f->m);
	member_run(f->m, 300);
	assert_value(f->m, "a", "1");
	assert_value(f->m, "b", "2");
	assert_int_equal(member_position(f->m).seq, 3);
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	owner_put(&f->owner, "a", "3");
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	member_run(f->m, 300);
	assert_value(f->m, "a", "3");
	struct entry_position position = member_position(f->m);
	assert_int_equal(position.seq, 5);
	assert_int_equal(position.epoch, 1);
	assert_int_equal(position.turn, 3);
	assert_int_equal(position.journal, 1700000000000);
	const struct standby_figures *s = member_standby(f->m);
	assert_int_equal(s->seq, 6);
	assert_int_equal(s->turns, 3);
	assert_int_equal(s->lag, 0);
	assert_true(s->knows_end);
	fake_log_tell(f->log, &(struct journal_member){.name = "other", .synced = 3});
	member_run(f->m, 3000);
	s = member_standby(f->m);
	assert_true(s->members_told > 0);
	assert_int_equal(s->members[s->member_count - 1].synced, 3);
	assert_true(s->is_caught_up);
	assert_string_equal(s->owner, "owner");
	assert_string_equal(s->owner_url, "https://owner");
	assert_int_equal(s->owner_epoch, 1);
	member_run(f->m, 1000);
	assert_int_equal(fake_log_member(f->log, "b")->synced, 5);
	assert_false(fake_log_member(f->log, "b")->is_active);
}

/* It goes on where its store is, behind heartbeats whose digests it has to know. */
static void test_restarts(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	for (int i = 0; i < 5; i++) {
		member_start(f->m);
		member_run(f->m, 300);
		assert_int_equal(member_standby(f->m)->seq, fake_log_last(f->log));
		assert_int_equal(member_standby(f->m)->reread, 0);
		member_kill(f->m);
		owner_put(&f->owner, "a", "2");
		owner_take_over(&f->owner);
	}
	member_start(f->m);
	member_run(f->m, 300);
	assert_int_equal(member_standby(f->m)->owner_epoch, 6);
}

/* Turns that are at hand share commits; none waits longer than a moment for its own. */
static void test_shares_commits(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	for (int i = 0; i < 5000; i++)
		owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 1000);
	assert_int_equal(member_standby(f->m)->turns, 5000);
	assert_in_range(member_standby(f->m)->commits, 1, 12);
	uint64_t before = member_standby(f->m)->commits;
	for (int i = 0; i < 1000; i++) { /* a turn a millisecond */
		owner_put(&f->owner, "a", "2");
		member_run(f->m, 1);
	}
	assert_in_range(member_standby(f->m)->commits - before, 5, 11);
}

static struct slice row_of(struct rows *rows, const char *key)
{
	rows_reset(rows);
	(void)rows_add_put(rows, DB_WEBHOOKS, slice_of(key), SLICE("part"));
	return buf_view(&rows->bytes);
}

/* Nothing of a turn is there before its last part; all of it then, in one commit. */
static void test_parts(void **state)
{
	struct fixture *f = *state;
	struct rows rows = ROWS_INIT;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_write(&f->owner, ENTRY_TURN, true, row_of(&rows, "x"));
	owner_write(&f->owner, ENTRY_TURN, true, row_of(&rows, "y"));
	member_start(f->m);
	member_run(f->m, 2000);
	assert_value(f->m, "a", "1");
	assert_value(f->m, "x", NULL);
	assert_int_equal(member_position(f->m).seq, 2);
	owner_write(&f->owner, ENTRY_TURN, false, row_of(&rows, "z"));
	member_run(f->m, 300);
	assert_value(f->m, "x", "part");
	assert_value(f->m, "y", "part");
	assert_value(f->m, "z", "part");
	assert_int_equal(member_position(f->m).seq, 5);
	assert_int_equal(member_position(f->m).turn, 2);
	assert_int_equal(member_standby(f->m)->commits, 2);
	rows_fini(&rows);
}

/* The owner has died within a turn: who takes over voids it, and its number is used again. */
static void test_voids_half(void **state)
{
	struct fixture *f = *state;
	struct rows rows = ROWS_INIT;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_write(&f->owner, ENTRY_TURN, true, row_of(&rows, "x"));
	member_start(f->m);
	member_run(f->m, 300);
	owner_take_over(&f->owner);
	owner_put(&f->owner, "b", "2");
	member_run(f->m, 300);
	assert_value(f->m, "a", "1");
	assert_value(f->m, "x", NULL);
	assert_value(f->m, "b", "2");
	assert_int_equal(member_position(f->m).turn, 2);
	assert_state(f->m, STANDBY_FOLLOWS, "");
	rows_fini(&rows);
}

/* Anything else of the owner's behind a half turn is no history. */
static void test_half_without_end(void **state)
{
	struct fixture *f = *state;
	struct rows rows = ROWS_INIT;
	owner_take_over(&f->owner);
	owner_write(&f->owner, ENTRY_TURN, true, row_of(&rows, "x"));
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	member_start(f->m);
	member_run(f->m, 60000);
	assert_state(f->m, STANDBY_PARTED, "no end");
	rows_fini(&rows);
}

/* A reading that was bad, a few times: it says so, reads anew from its store, and goes on. */
static void test_heals(void **state)
{
	static const enum fake_fault FAULTS[] = {FAKE_GAP, FAKE_MISSING, FAKE_DOUBLED, FAKE_CUT,
	    FAKE_CHANGED};
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 300);
	for (size_t i = 0; i < COUNT(FAULTS); i++) {
		uint64_t before = member_standby(f->m)->reread;
		owner_put(&f->owner, "good", "1");
		struct fake_way *way = fake_way(f->m->journal);
		way->fault = FAULTS[i];
		way->fault_seq = fake_log_last(f->log) + 1;
		way->fault_times = FAULTS[i] == FAKE_DOUBLED ? 1 : 3; /* then it is stored */
		owner_put(&f->owner, "bad", "2");
		owner_put(&f->owner, "behind", "3");
		member_run(f->m, 300);
		assert_true(member_standby(f->m)->reread > before);
		member_run(f->m, 10000);
		assert_int_equal(way->fault_times, 0);
		assert_state(f->m, STANDBY_FOLLOWS, "");
		assert_int_equal(member_standby(f->m)->seq, fake_log_last(f->log));
		assert_int_equal(member_position(f->m).seq, fake_log_last(f->log));
	}
	assert_value(f->m, "behind", "3");
}

/* …always: the journal has no way on from this store, which has all up to there. */
static void test_parts_ways(void **state)
{
	static const struct {
		enum fake_fault fault;
		const char *why;
	} CASES[] = {{FAKE_GAP, "missing"}, {FAKE_MISSING, "does not go on"}, {FAKE_CUT, "cut"},
	    {FAKE_CHANGED, "changed"}};
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "good", "1");
	owner_put(&f->owner, "bad", "2");
	owner_put(&f->owner, "behind", "3");
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct member *m = member_new(f->log, "c", i);
		member_start(m);
		struct fake_way *way = fake_way(m->journal);
		way->fault = CASES[i].fault;
		way->fault_seq = 3;
		way->fault_times = 1000;
		member_run(m, 60000);
		assert_state(m, STANDBY_PARTED, CASES[i].why);
		assert_value(m, "good", "1");
		assert_value(m, "behind", NULL);
		assert_int_equal(member_position(m).seq, 2);
		assert_in_range(1000 - way->fault_times, 2, 20);
		member_free(m);
	}
}

/* An entry that stands in the journal a second time, under another number. */
static void test_doubled_for_good(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	fake_log_append(f->log, fake_log_entry(f->log, 2));
	member_start(f->m);
	member_run(f->m, 60000);
	assert_state(f->m, STANDBY_PARTED, "does not go on");
	assert_int_equal(member_position(f->m).seq, 2);
}

/* Entries whose chain is right, and whose numbers are not. */
static void test_wrong_numbers(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct fake_log *log = fake_log_new(1);
		struct owner o = owner_of(log);
		struct member *m = member_new(log, "c", 1);
		m->may_take_over = false;
		owner_take_over(&o);
		owner_put(&o, "a", "1");
		o.epoch += i == 0 ? 1 : 0;
		o.epoch -= i == 1 ? 1 : 0;
		o.turn += i == 2 ? 1 : 0;
		o.turn -= i == 3 ? 1 : 0;
		owner_put(&o, "a", "2");
		member_start(m);
		member_run(m, 60000);
		assert_state(m, STANDBY_PARTED,
		    i < 2 ? "another epoch" : "missing, or is there");
		assert_value(m, "a", "1");
		member_free(m);
		fake_log_free(log);
	}
}

/* Rows that delete what is not there are of another store's history. */
static void test_other_history(void **state)
{
	struct fixture *f = *state;
	struct rows rows = ROWS_INIT;
	owner_take_over(&f->owner);
	(void)rows_add_del(&rows, DB_WEBHOOKS, SLICE("never"));
	owner_write(&f->owner, ENTRY_TURN, false, buf_view(&rows.bytes));
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_PARTED, "not in this store");
	rows_fini(&rows);
}

/* A newer program's entries, by their schema or by their form: in words. */
static void test_newer(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	f->owner.schema = SCHEMA_VERSION + 1;
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_STOPPED, "upgrade this one");
	assert_value(f->m, "a", "1");
	fake_log_change(f->log, 3, SLICE("\2 is another form"));
	member_kill(f->m);
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_STOPPED, "newer form");
	/* and it takes nothing over */
	member_run(f->m, 60000);
	assert_int_equal(fake_log_last(f->log), 3);
}

/* What was trimmed before it was read here; a store that has just all of that reads on. */
static void test_trimmed(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 300);
	member_kill(f->m);
	fake_log_trim(f->log, 2);
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_FOLLOWS, "");
	member_kill(f->m);
	owner_put(&f->owner, "a", "2");
	owner_put(&f->owner, "a", "3");
	fake_log_trim(f->log, 3);
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_PARTED, "dropped entries");
	/* an empty one, too */
	struct member *m = member_new(f->log, "c", 1);
	member_start(m);
	member_run(m, 1000);
	assert_state(m, STANDBY_PARTED, "dropped entries");
	member_free(m);
}

/* Trimmed under the reader: the gap shows, and there is nothing to go back to. */
static void test_trimmed_below(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 300);
	fake_way(f->m->journal)->holds_entries = true;
	for (int i = 0; i < 10; i++)
		owner_put(&f->owner, "a", "2");
	fake_log_trim(f->log, 8);
	fake_way(f->m->journal)->holds_entries = false;
	member_run(f->m, 2000);
	assert_state(f->m, STANDBY_PARTED, "dropped entries");
}

/* The journal was made anew: under the reader, or while it did not run. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 300);
	fake_log_replace(f->log);
	member_run(f->m, 300);
	assert_state(f->m, STANDBY_PARTED, "made anew");
	member_kill(f->m);
	member_start(f->m);
	member_run(f->m, 300);
	assert_state(f->m, STANDBY_PARTED, "another journal");
}

/* …before it had anything of it: then it reads the new one. */
static void test_replaced_early(void **state)
{
	struct fixture *f = *state;
	member_start(f->m);
	member_run(f->m, 300);
	fake_log_replace(f->log);
	f->owner = owner_of(f->log);
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_run(f->m, 2000);
	assert_state(f->m, STANDBY_FOLLOWS, "");
	assert_value(f->m, "a", "1");
	assert_int_equal(member_position(f->m).journal, 1700000000001);
}

/* The journal ends before what this store has of it. */
static void test_lost_entries(void **state)
{
	struct fixture *f = *state;
	struct fake_log *shorter = fake_log_new(1);
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	fake_log_append(shorter, fake_log_entry(f->log, 1));
	member_start(f->m);
	member_run(f->m, 300);
	member_kill(f->m);
	f->m->log = shorter;
	member_start(f->m);
	member_run(f->m, 60000);
	assert_state(f->m, STANDBY_PARTED, "has lost entries");
	member_kill(f->m);
	fake_log_free(shorter);
}

/* A way that is cut, and one that hangs without a word: it goes on when that is over. */
static void test_unreachable(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	member_start(f->m);
	fake_way(f->m->journal)->is_cut = true;
	member_run(f->m, 5000);
	assert_int_equal(member_standby(f->m)->seq, 0);
	fake_way(f->m->journal)->is_cut = false;
	member_run(f->m, 500);
	assert_int_equal(member_standby(f->m)->seq, 1);
	fake_way(f->m->journal)->holds_entries = true;
	owner_put(&f->owner, "a", "1");
	member_run(f->m, 2000);
	assert_int_equal(member_standby(f->m)->lag, 1);
	assert_false(member_standby(f->m)->is_caught_up);
	fake_way(f->m->journal)->holds_entries = false;
	member_run(f->m, 300);
	assert_value(f->m, "a", "1");
}

/* A reader that was left behind by its replica is made anew. */
static void test_stalled(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 300);
	fake_way(f->m->journal)->fault = FAKE_GAP; /* and no next one that would show it */
	fake_way(f->m->journal)->fault_seq = 3;
	fake_way(f->m->journal)->fault_times = 1;
	owner_put(&f->owner, "a", "2");
	member_run(f->m, 2000);
	assert_value(f->m, "a", "1");
	member_run(f->m, 4000);
	assert_value(f->m, "a", "2");
}

/* Silence, and all is applied: it takes over, after so long, and says from where. */
static void test_takes_over(void **state)
{
	struct fixture *f = *state;
	struct standby_figures s;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	member_start(f->m);
	for (int i = 0; i < 40; i++) { /* a beat each half second: it stays as it is */
		member_run(f->m, 500);
		owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	}
	uint64_t last = fake_log_last(f->log);
	int64_t began_us = clock_now_us();
	while (member_standby(f->m)->state == STANDBY_FOLLOWS) {
		clock_expire();
		reactor_pass(f->m->reactor, true);
		fake_time_pass(1);
	}
	int64_t took_ms = (clock_now_us() - began_us) / 1000;
	assert_in_range(took_ms, MEMBER_TAKEOVER_MS, MEMBER_TAKEOVER_MS * 4 / 3 + 300);
	s = *member_standby(f->m);
	assert_int_equal(s.state, STANDBY_OWNS);
	assert_int_equal(s.position.seq, last + 1);
	assert_int_equal(s.position.epoch, 2);
	assert_int_equal(s.position.turn, 1);
	assert_int_equal(s.position.journal, 1700000000000);
	assert_string_equal(s.owner, "b");
	struct entry e;
	struct buf scratch = BUF_INIT(ENTRY_ROWS_MAX);
	assert_int_equal(entry_decode(fake_log_entry(f->log, last + 1), &scratch, &e), OK);
	assert_int_equal(e.kind, ENTRY_TAKEOVER);
	assert_memory_equal(e.before, f->owner.digest, ENTRY_DIGEST);
	assert_memory_equal(e.digest, s.position.digest, ENTRY_DIGEST);
	/* another of the same name would write another entry */
	struct fake_log *same = fake_log_new(1);
	for (uint64_t seq = 1; seq <= last; seq++)
		fake_log_append(same, fake_log_entry(f->log, seq));
	struct member *twin = member_new(same, "b", 2);
	member_start(twin);
	while (member_standby(twin)->state == STANDBY_FOLLOWS) {
		clock_expire();
		reactor_pass(twin->reactor, true);
		fake_time_pass(1);
	}
	assert_int_equal(fake_log_last(same), last + 1);
	assert_false(
	    slice_eq(fake_log_entry(same, last + 1), fake_log_entry(f->log, last + 1)));
	member_free(twin);
	fake_log_free(same);
	buf_fini(&scratch);
}

/* The owner says that it stops: at once. */
static void test_handed_over(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 300);
	owner_write(&f->owner, ENTRY_HANDOVER, false, SLICE(""));
	member_run(f->m, 150);
	assert_non_null(f->m->active);
	assert_value(f->m, "a", "1");
}

/* Never: behind an entry that is known and not read, cut off, stopped, or told not to. */
static void test_does_not_take_over(void **state)
{
	struct fixture *f = *state;
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 60000); /* it may not */
	assert_int_equal(fake_log_last(f->log), 1);
	member_kill(f->m);
	f->m->may_take_over = true;
	member_start(f->m);
	member_run(f->m, 2000);
	fake_way(f->m->journal)->is_cut = true;
	member_run(f->m, 60000);
	fake_way(f->m->journal)->is_cut = false;
	member_run(f->m, 2000); /* the silence begins again */
	assert_int_equal(fake_log_last(f->log), 1);
	owner_write(&f->owner, ENTRY_HEARTBEAT, false, SLICE(""));
	member_run(f->m, 500);
	fake_time_pass(10000); /* the process is stopped, the owner is not */
	member_run(f->m, 2000);
	assert_int_equal(fake_log_last(f->log), 2);
	fake_way(f->m->journal)->holds_entries = true;
	owner_put(&f->owner, "a", "1");
	member_run(f->m, 60000);
	assert_int_equal(fake_log_last(f->log), 3);
	assert_int_equal(member_standby(f->m)->fenced, 0);
}

/* Two find the owner silent at once: one owns, the other is told, reads it, and follows. */
static void test_race(void **state)
{
	struct fixture *f = *state;
	struct member *other = member_new(f->log, "c",
	    2); /* the same seed: the same patience */
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_start(other);
	for (int i = 0; i < 5000; i++) {
		member_step(f->m);
		member_run(other, 1);
	}
	assert_true((f->m->active == NULL) != (other->active == NULL));
	struct member *loser = f->m->active == NULL ? f->m : other;
	assert_int_equal(member_standby(loser)->owner_epoch, 2);
	assert_int_equal(member_standby(loser)->fenced, 1);
	assert_true(member_standby(loser)->is_caught_up);
	member_free(other);
}

/* The owner's own entry came first: what this one tried is forgotten. Late, and too late. */
static void test_fenced(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 500);
	fake_way(f->m->journal)->holds_appends = true;
	member_run(f->m, 5000); /* its takeover is on its way */
	owner_put(&f->owner, "a", "1");
	member_run(f->m, 500);
	assert_value(f->m, "a", "1");
	fake_way(f->m->journal)->holds_appends = false;
	member_run(f->m, 500);
	assert_int_equal(member_standby(f->m)->fenced, 1);
	assert_int_equal(fake_log_last(f->log), 2);
	/* taken, and the answer comes when it has read its own entry long since */
	fake_way(f->m->journal)->holds_answers = true;
	member_run(f->m, 6000);
	assert_int_equal(fake_log_last(f->log), 3);
	assert_int_equal(member_standby(f->m)->seq, 3);
	assert_state(f->m, STANDBY_FOLLOWS, "");
	fake_way(f->m->journal)->holds_answers = false;
	member_run(f->m, 100);
	assert_non_null(f->m->active);
}

/* …and another has taken over behind it meanwhile: it owns nothing. */
static void test_taken_and_lost(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 500);
	fake_way(f->m->journal)->holds_answers = true;
	member_run(f->m, 5000);
	assert_int_equal(fake_log_last(f->log), 2);
	struct entry e;
	struct buf scratch = BUF_INIT(ENTRY_ROWS_MAX);
	assert_int_equal(entry_decode(fake_log_entry(f->log, 2), &scratch, &e), OK);
	memcpy(f->owner.digest, e.digest, ENTRY_DIGEST);
	buf_fini(&scratch);
	f->owner.epoch = 2;
	owner_take_over(&f->owner);
	member_run(f->m, 300);
	fake_way(f->m->journal)->holds_answers = false;
	member_run(f->m, 300);
	assert_state(f->m, STANDBY_FOLLOWS, "");
	assert_int_equal(member_standby(f->m)->owner_epoch, 3);
	assert_true(member_standby(f->m)->is_caught_up);
}

/* It reads anew when it hears that it owns: what it goes on from is its takeover. */
static void test_owns_while_reading_anew(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	owner_take_over(
	    &f->owner); /* an epoch without a turn: the store's position is before it */
	member_start(f->m);
	member_run(f->m, 500);
	assert_int_equal(member_position(f->m).epoch, 1);
	fake_way(f->m->journal)->holds_entries = true;
	fake_way(f->m->journal)->holds_answers = true;
	member_run(f->m, 9000); /* its own entry does not come: it begins from its position */
	assert_int_equal(fake_log_last(f->log), 4);
	assert_int_equal(member_standby(f->m)->seq, 2);
	fake_way(f->m->journal)->holds_answers = false;
	member_run(f->m, 100);
	assert_non_null(f->m->active);
	assert_int_equal(active_figures(f->m->active)->epoch, 3);
	struct member *other = member_new(f->log, "c", 3);
	other->may_take_over = false;
	member_start(other);
	member_run(f->m, 3000);
	member_run(other, 1000);
	assert_string_equal(member_standby(other)->why, "");
	assert_int_equal(member_standby(other)->owner_epoch, 3);
	assert_true(member_standby(other)->seq > 4);
	member_free(other);
}

/* It dies with its takeover on the way, which is taken: then it takes over behind that. */
static void test_dies_taking_over(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	owner_take_over(&f->owner);
	owner_put(&f->owner, "a", "1");
	member_start(f->m);
	member_run(f->m, 500);
	fake_way(f->m->journal)->holds_appends = true;
	member_run(f->m, 5000);
	member_kill(f->m);
	member_start(f->m);
	member_run(f->m, 500);
	assert_int_equal(fake_log_last(f->log), 3);
	assert_int_equal(member_standby(f->m)->owner_epoch, 2);
	member_run(f->m, 5000);
	assert_non_null(f->m->active);
	assert_int_equal(active_figures(f->m->active)->epoch, 3);
}

/* An empty journal: nobody owns it who was not told to, and an empty store owns it at once. */
static void test_founds(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	f->m->may_found = false;
	member_start(f->m);
	member_run(f->m, 60000);
	assert_int_equal(fake_log_last(f->log), 0);
	member_kill(f->m);
	f->m->may_found = true;
	member_start(f->m);
	member_run(f->m, 5000);
	assert_non_null(f->m->active);
	assert_int_equal(active_figures(f->m->active)->epoch, 1);
	struct member *other = member_new(f->log, "c", 1); /* an empty one can follow */
	member_start(other);
	member_run(other, 1000);
	assert_state(other, STANDBY_FOLLOWS, "");
	assert_int_equal(member_standby(other)->turns, 1);
	member_free(other);
}

/*
 * A store with rows founds: an empty one is no copy, one with rows of its own is never given
 * up, and the founder itself goes on, also where it died before it had written anything.
 */
static void test_founds_with_rows(void **state)
{
	struct fixture *f = *state;
	f->m->may_take_over = true;
	member_put(f->m, "old", "row");
	member_start(f->m);
	while (member_standby(f->m)->state == STANDBY_FOLLOWS) {
		clock_expire();
		reactor_pass(f->m->reactor, true);
		fake_time_pass(1);
	}
	assert_int_equal(fake_log_last(f->log), 1);
	member_kill(f->m);
	struct member *empty = member_new(f->log, "c", 1);
	struct member *full = member_new(f->log, "d", 1);
	member_put(full, "own", "row");
	member_start(empty);
	member_start(full);
	member_run(empty, 30000);
	member_run(full, 30000);
	assert_state(empty, STANDBY_PARTED, "had rows, which");
	assert_state(full, STANDBY_STOPPED, "rows of its own");
	member_start(f->m);
	member_run(f->m, 6000);
	assert_non_null(f->m->active);
	assert_int_equal(active_figures(f->m->active)->epoch, 2);
	assert_value(f->m, "old", "row");
	assert_int_equal(member_position(f->m).turn, 1); /* its start */
	member_free(empty);
	member_free(full);
}

/* A store with rows, and a journal that began without any. */
static void test_rows_of_its_own(void **state)
{
	struct fixture *f = *state;
	member_put(f->m, "own", "row");
	owner_take_over(&f->owner);
	member_start(f->m);
	member_run(f->m, 1000);
	assert_state(f->m, STANDBY_STOPPED, "rows of its own");
	assert_value(f->m, "own", "row");
}

/* Two stores with rows at an empty journal: one founds, the other keeps what it has. */
static void test_founders_race(void **state)
{
	struct fixture *f = *state;
	struct member *other = member_new(f->log, "c", 2);
	f->m->may_take_over = true;
	member_put(f->m, "own", "1");
	member_put(other, "own", "2");
	member_start(f->m);
	member_start(other);
	for (int i = 0; i < 30000; i++) {
		member_step(f->m);
		member_run(other, 1);
	}
	assert_true((f->m->active == NULL) != (other->active == NULL));
	struct member *loser = f->m->active == NULL ? f->m : other;
	assert_state(loser, STANDBY_STOPPED, "rows of its own");
	assert_value(loser, "own", loser == other ? "2" : "1");
	member_kill(loser); /* nor when it starts again */
	member_start(loser);
	member_run(loser, 30000);
	assert_state(loser, STANDBY_STOPPED, "rows of its own");
	member_free(other);
}

/* More rows than the store may have: it waits for room, says so, and loses nothing. */
static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct rows rows = ROWS_INIT;
	static char value[4000];
	memset(value, 'v', sizeof(value));
	owner_take_over(&f->owner);
	for (uint64_t n = 1; n <= 7000; n++) { /* 28 MB, where 16 and a half as much go */
		unsigned char key[8];
		codec_store_u64(key, n);
		rows_reset(&rows);
		(void)rows_add_put(&rows, DB_EVENTS, (struct slice){(char *)key, 8},
		    (struct slice){value, sizeof(value)});
		owner_write(&f->owner, ENTRY_TURN, false, buf_view(&rows.bytes));
	}
	member_start(f->m);
	member_run(f->m, 20000);
	assert_state(f->m, STANDBY_FOLLOWS, "no space");
	assert_false(member_standby(f->m)->is_caught_up);
	assert_in_range(member_position(f->m).seq, 2000, 6999);
	rows_fini(&rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_follows),
	    TEST(test_restarts),
	    TEST(test_shares_commits),
	    TEST(test_parts),
	    TEST(test_voids_half),
	    TEST(test_half_without_end),
	    TEST(test_heals),
	    TEST(test_parts_ways),
	    TEST(test_doubled_for_good),
	    TEST(test_wrong_numbers),
	    TEST(test_other_history),
	    TEST(test_newer),
	    TEST(test_trimmed),
	    TEST(test_trimmed_below),
	    TEST(test_replaced),
	    TEST(test_replaced_early),
	    TEST(test_lost_entries),
	    TEST(test_unreachable),
	    TEST(test_stalled),
	    TEST(test_takes_over),
	    TEST(test_handed_over),
	    TEST(test_does_not_take_over),
	    TEST(test_race),
	    TEST(test_fenced),
	    TEST(test_taken_and_lost),
	    TEST(test_owns_while_reading_anew),
	    TEST(test_dies_taking_over),
	    TEST(test_founds),
	    TEST(test_founds_with_rows),
	    TEST(test_rows_of_its_own),
	    TEST(test_founders_race),
	    TEST(test_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
