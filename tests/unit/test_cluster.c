/*
 * Three members over one journal while everything goes wrong at random: processes die and are
 * stopped, ways are cut, appends arrive late or never, answers are lost for a time, what is
 * read is bad, the journal is full. At each moment: whatever any store has is what stands in
 * the journal at its position, the same in all, and at most one member may start attempts. In
 * the end all stores are equal, row for row, and have all that was acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "fake_time.h"
#include "member.h"
#include "store/db.h"
#include "support.h"

#define MEMBERS 3
#define ROUNDS 16
#define ROUND_MS 60000
#define CALM_MS 90000 /* in which all must have come to the same */
#define KEYS 200      /* of the rows that come and go */
#define LONG_VALUE 900
#define LOG_BYTES 200000

struct world;

struct happening {
	struct op op; /* first */
	struct world *world;
	uint64_t number;
	uint64_t seed; /* of what it writes beside its own row */
	bool is_acknowledged;
};

struct world {
	struct fake_log *log;
	struct rnd rnd;
	struct member *members[MEMBERS];
	int64_t stopped_until_ms[MEMBERS]; /* virtual; …a process, by a signal */
	int64_t dead_until_ms[MEMBERS];
	int64_t healed_at_ms[MEMBERS];
	int64_t full_until_ms;
	int64_t now_ms;
	struct happening **events;
	size_t event_count;
	uint64_t *dumps; /* a hash of the store at each position; 0: not seen yet */
	size_t dump_count;
	unsigned copied;
	unsigned acknowledged;
};

static uint64_t below(struct rnd *r, uint64_t n)
{
	return rnd_next(r) % n;
}

static struct slice key_of(uint64_t n, char out[32])
{
	(void)snprintf(out, 32, "key %lu", (unsigned long)n);
	return slice_of(out);
}

/* Some rows anew, some away: what a turn of any kind does. */
static enum err apply_event(struct op *op, struct db_txn *txn)
{
	struct happening *e = (struct happening *)op;
	struct rnd r;
	unsigned char own[8];
	char value[LONG_VALUE];
	char key[32];
	codec_store_u64(own, e->number);
	rnd_seed(&r, e->seed);
	enum err err = db_put(txn, DB_EVENTS, (struct slice){(char *)own, 8}, SLICE("here"));
	uint64_t rows = below(&r, 20) == 0 ? 40 : below(&r, 5);
	for (uint64_t i = 0; err == OK && i < rows; i++) {
		enum db_table t = DB_WEBHOOKS + (enum db_table)(2 * below(&r, 2));
		uint64_t len = 1 + below(&r, rows > 5 ? LONG_VALUE : 50);
		for (uint64_t n = 0; n < len; n++)
			value[n] = (char)rnd_next(&r);
		struct slice k = key_of(below(&r, KEYS), key);
		err = below(&r, 3) == 0 ? db_del(txn, t, k)
					: db_put(txn, t, k, (struct slice){value, len});
		err = err == ERR_NOTFOUND ? OK : err;
	}
	return err;
}

static void done_event(struct op *op, enum err result)
{
	struct happening *e = (struct happening *)op;
	if (result != OK)
		return;
	e->is_acknowledged = true;
	e->world->acknowledged++;
}

static void publish(struct world *w, struct member *m)
{
	struct happening *e = mem_new(sizeof(*e));
	e->op = (struct op){.class = below(&w->rnd, 2) ? OP_INTAKE : OP_PROGRESS,
	    .apply = apply_event,
	    .done = done_event};
	e->world = w;
	e->number = w->event_count + 1;
	e->seed = rnd_next(&w->rnd);
	w->events = mem_resize(w->events, w->event_count + 1, sizeof(struct happening *));
	w->events[w->event_count++] = e;
	turn_stage(m->turn, &e->op);
}

static bool is_stopped(const struct world *w, int i)
{
	return w->now_ms < w->stopped_until_ms[i];
}

/* A way is bad in one manner or another, for a while. */
static void spoil_way(struct world *w, int i)
{
	struct fake_way *way = fake_way(w->members[i]->journal);
	static const enum fake_fault FAULTS[] = {FAKE_GAP, FAKE_MISSING, FAKE_DOUBLED, FAKE_CUT,
	    FAKE_CHANGED};
	switch (below(&w->rnd, 5)) {
	case 0:
		way->is_cut = true;
		break;
	case 1:
		way->holds_appends = true;
		break;
	case 2:
		way->holds_answers = true;
		break;
	case 3:
		way->holds_entries = true;
		break;
	default:
		way->fault = FAULTS[below(&w->rnd, COUNT(FAULTS))];
		way->fault_seq = fake_log_last(w->log) + 1 + below(&w->rnd, 3);
		way->fault_times = (unsigned)below(&w->rnd, 4);
	}
	w->healed_at_ms[i] = w->now_ms + 1 + (int64_t)below(&w->rnd, 8000);
}

static void heal_way(struct fake_way *way)
{
	way->is_cut = false;
	way->holds_appends = false;
	way->holds_answers = false;
	way->holds_entries = false;
}

static void on_handed_over(void *arg)
{
	(void)arg;
}

static void kill_member(struct world *w, int i, int64_t ms)
{
	member_kill(w->members[i]);
	w->dead_until_ms[i] = w->now_ms + ms;
	w->stopped_until_ms[i] = 0;
	w->healed_at_ms[i] = 0;
}

static void misfortune(struct world *w)
{
	int i = (int)below(&w->rnd, MEMBERS);
	struct member *m = w->members[i];
	if (m->reactor == NULL)
		return;
	switch (below(&w->rnd, 8)) {
	case 0:
		kill_member(w, i, (int64_t)below(&w->rnd, 6000));
		break;
	case 1:
		w->stopped_until_ms[i] = w->now_ms + (int64_t)below(&w->rnd, 12000);
		break;
	case 2:
		if (m->active != NULL)
			active_hand_over(m->active, on_handed_over, NULL);
		break;
	case 3:
		if (below(&w->rnd, 4) == 0) {
			fake_log_limit(w->log, 1);
			w->full_until_ms = w->now_ms + (int64_t)below(&w->rnd, 4000);
		}
		break;
	case 4:
		if (m->active != NULL) /* with what is on its way */
			kill_member(w, i, (int64_t)below(&w->rnd, 6000));
		break;
	default:
		spoil_way(w, i);
	}
}

/* An owner who has handed over ends, as the server would have him. */
static bool has_ended(const struct member *m)
{
	return m->active != NULL && !active_may_start(m->active) &&
	    !turn_is_appending(m->turn) && !active_is_fenced(m->active);
}

static struct member *an_active(const struct world *w)
{
	for (int i = 0; i < MEMBERS; i++) {
		if (w->members[i]->active != NULL && active_may_start(w->members[i]->active))
			return w->members[i];
	}
	return NULL;
}

/* Its store is no copy, for a reason that may be: it gets the owner's, as by a backup. */
static void copy_owner(struct world *w, int i)
{
	struct member *m = w->members[i];
	struct member *owner = an_active(w);
	struct rows rows = ROWS_INIT;
	const char *why = member_standby(m)->why;
	struct db_txn *txn = NULL;
	struct problem p;
	if (strstr(why, "dropped entries") == NULL && strstr(why, "had rows, which") == NULL)
		fail_msg("%s: %s", m->name, why);
	if (owner == NULL || turn_is_appending(owner->turn))
		return;
	w->copied++;
	member_kill(m);
	folder_remove(m->dir);
	member_make_folder(m->dir);
	member_dump(owner, &rows);
	assert_int_equal(db_open(m->dir, MEMBER_MAP_BYTES, &m->db, &p), OK);
	assert_int_equal(db_begin(m->db, &txn), OK);
	assert_int_equal(rows_apply(buf_view(&rows.bytes), txn), OK);
	assert_int_equal(db_commit(txn), OK);
	db_close(m->db);
	m->db = NULL;
	rows_fini(&rows);
	member_start(m);
}

static uint64_t hash_of_store(struct member *m)
{
	struct rows rows = ROWS_INIT;
	member_dump(m, &rows);
	uint64_t hash = hash_checksum(rows.bytes.data, rows.bytes.len) | 1;
	rows_fini(&rows);
	return hash;
}

/* What a store has is what stands in the journal at its position, in each that was there. */
static void check_store(struct world *w, struct member *m)
{
	struct entry_position position = member_position(m);
	size_t before = w->dump_count;
	struct slice entry;
	if (position.seq == 0)
		return;
	assert_true(position.seq <= fake_log_last(w->log));
	entry = fake_log_entry(w->log, position.seq);
	assert_memory_equal(entry.ptr + entry.len - ENTRY_DIGEST, position.digest,
	    ENTRY_DIGEST);
	if (position.seq >= before) {
		w->dumps = mem_resize(w->dumps, 2 * position.seq, sizeof(*w->dumps));
		w->dump_count = 2 * position.seq;
		memset(w->dumps + before, 0, (w->dump_count - before) * sizeof(*w->dumps));
	}
	if (w->dumps[position.seq] != 0 && below(&w->rnd, 20) != 0)
		return;
	uint64_t hash = hash_of_store(m);
	if (w->dumps[position.seq] != 0 && w->dumps[position.seq] != hash)
		fail_msg("%s has something else at %lu", m->name, (unsigned long)position.seq);
	w->dumps[position.seq] = hash;
}

static void check_one_owner(const struct world *w)
{
	unsigned owners = 0;
	for (int i = 0; i < MEMBERS; i++) {
		const struct member *m = w->members[i];
		owners += m->active != NULL && active_may_start(m->active) ? 1 : 0;
	}
	assert_in_range(owners, 0, 1);
}

static void step_member(struct world *w, int i)
{
	struct member *m = w->members[i];
	if (m->reactor == NULL && w->now_ms >= w->dead_until_ms[i])
		member_start(m);
	if (m->reactor == NULL || is_stopped(w, i))
		return;
	if (w->now_ms >= w->healed_at_ms[i])
		heal_way(fake_way(m->journal));
	uint64_t before = m->active != NULL ? active_figures(m->active)->synced : 0;
	uint64_t commits = m->standby != NULL ? member_standby(m)->commits : 0;
	member_step(m);
	bool moved = m->active != NULL ? active_figures(m->active)->synced != before
				       : member_standby(m)->commits != commits;
	if (moved)
		check_store(w, m);
	if (m->standby != NULL && member_standby(m)->state == STANDBY_PARTED)
		copy_owner(w, i);
	else if (m->standby != NULL)
		assert_true(member_standby(m)->state != STANDBY_STOPPED);
}

static void step(struct world *w)
{
	if (w->now_ms >= w->full_until_ms)
		fake_log_limit(w->log, LOG_BYTES);
	for (int i = 0; i < MEMBERS; i++)
		step_member(w, i);
	check_one_owner(w);
	fake_time_pass(1);
	w->now_ms++;
}

static void storm(struct world *w)
{
	for (int64_t ms = 0; ms < ROUND_MS; ms++) {
		int i = (int)below(&w->rnd, MEMBERS);
		struct member *m = w->members[i];
		if (m->turn != NULL && below(&w->rnd, 10) == 0 &&
		    (active_may_take(m->active) || below(&w->rnd, 20) == 0))
			publish(w, m);
		if (below(&w->rnd, 1500) == 0)
			misfortune(w);
		if (below(&w->rnd, 100) == 0 && has_ended(m) && !is_stopped(w, i))
			kill_member(w, i, 100);
		step(w);
	}
}

static bool is_calm(const struct world *w)
{
	struct entry_position positions[MEMBERS];
	unsigned actives = 0;
	for (int i = 0; i < MEMBERS; i++) {
		struct member *m = w->members[i];
		actives += m->active != NULL ? 1 : 0;
		if (m->reactor == NULL || (m->turn != NULL && turn_staged(m->turn) > 0) ||
		    (m->turn != NULL && turn_is_appending(m->turn)))
			return false;
		positions[i] = member_position(m);
		if (positions[i].seq != positions[0].seq)
			return false;
		if (m->standby != NULL && !member_standby(m)->is_caught_up)
			return false;
	}
	return actives == 1;
}

static void calm_down(struct world *w)
{
	for (int i = 0; i < MEMBERS; i++) {
		w->stopped_until_ms[i] = 0;
		w->dead_until_ms[i] = 0;
		w->healed_at_ms[i] = 0;
		if (w->members[i]->reactor != NULL)
			fake_way(w->members[i]->journal)->fault_times = 0;
	}
	w->full_until_ms = 0;
	for (int64_t ms = 0; ms < CALM_MS; ms++) {
		for (int i = 0; i < MEMBERS; i++) {
			if (ms % 3000 == 2999 && has_ended(w->members[i]))
				kill_member(w, i, 0);
		}
		step(w);
		if (ms > 5000 && ms % 100 == 0 && is_calm(w))
			return;
	}
	for (int i = 0; i < MEMBERS; i++) {
		struct member *m = w->members[i];
		if (m->reactor == NULL)
			continue;
		print_message("%s is %s at %lu %s\n", m->name,
		    m->active != NULL ? "active" : "standby",
		    (unsigned long)member_position(m).seq,
		    m->standby != NULL ? member_standby(m)->why : "");
	}
	fail_msg("they have not come to the same");
}

static void check_end(struct world *w)
{
	struct rows first = ROWS_INIT;
	member_dump(w->members[0], &first);
	for (int i = 1; i < MEMBERS; i++) {
		struct rows other = ROWS_INIT;
		member_dump(w->members[i], &other);
		assert_true(slice_eq(buf_view(&first.bytes), buf_view(&other.bytes)));
		rows_fini(&other);
	}
	rows_fini(&first);
	struct db_txn *txn = NULL;
	assert_int_equal(db_read(w->members[0]->db, &txn), OK);
	for (size_t i = 0; i < w->event_count; i++) {
		unsigned char key[8];
		struct slice value;
		codec_store_u64(key, w->events[i]->number);
		enum err err = db_get(txn, DB_EVENTS, (struct slice){(char *)key, 8}, &value);
		if (w->events[i]->is_acknowledged && err != OK)
			fail_msg("event %lu was acknowledged, and is lost",
			    (unsigned long)w->events[i]->number);
	}
	db_read_end(txn);
}

/* A round of its own seed; says what came of it. Returns how often one took over. */
static unsigned run_round(uint64_t seed)
{
	struct world w = {0};
	static const char *const NAMES[MEMBERS] = {"a", "b", "c"};
	rnd_seed(&w.rnd, seed);
	w.log = fake_log_new(seed);
	for (int i = 0; i < MEMBERS; i++) {
		w.members[i] = member_new(w.log, NAMES[i], rnd_next(&w.rnd));
		w.members[i]->may_found = i == 0;
		w.members[i]->max_entry = ENTRY_HEAD_MAX + 2000;
		w.members[i]->delay_ms = (int64_t)below(&w.rnd, 20);
	}
	if (below(&w.rnd, 2) == 0)
		member_put(w.members[0], "before", "the cluster");
	storm(&w);
	calm_down(&w);
	check_end(&w);
	unsigned starts = 0;
	for (int i = 0; i < MEMBERS; i++) {
		starts += w.members[i]->starts;
		member_free(w.members[i]);
	}
	print_message(
	    "seed %lu: %zu events, %u acknowledged, %lu entries, %u owners, %u copies\n",
	    (unsigned long)seed, w.event_count, w.acknowledged,
	    (unsigned long)fake_log_last(w.log), starts, w.copied);
	assert_true(w.acknowledged > 100); /* else nothing was tried */
	fake_log_free(w.log);
	for (size_t i = 0; i < w.event_count; i++)
		free(w.events[i]);
	free(w.events);
	free(w.dumps);
	return starts;
}

static void test_storms(void **state)
{
	uint64_t seed = test_seed(20261130);
	(void)state;
	fake_time_begin();
	unsigned starts = 0;
	for (uint64_t i = 0; i < ROUNDS; i++)
		starts += run_round(seed + i);
	assert_true(starts > 2 * ROUNDS); /* else little was tried */
	fake_time_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_storms),
	};
	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
