/*
 * The owner's side of the journal: one append at a time, whatever it is of.
 *
 *            ┌── a turn's rows, part by part ──┐
 *   IDLE ────┼── a heartbeat                   ├──▶ appended ──OK──▶ IDLE
 *            └── the handover                  ┘        └─CONFLICT─▶ over: never again
 *
 * The digests of the entries are a chain, which goes on with what was taken last; the position
 * on disk is that of the last turn.
 */
#include "cluster/active.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/trim.h"
#include "store/db.h"
#include "store/rows.h"
#include "store/schema.h"

#define BEATS_MAX                                                                              \
	128 /* heartbeats behind which the position on disk goes on: bounds the journal */
#define ASK_MS 1000    /* between questions of how far all are */
#define NEARLY_FULL 16 /* less than one part in so many is left of the journal */

enum doing { IDLE, APPENDS_ROWS, APPENDS_HEARTBEAT, APPENDS_HANDOVER };

struct active {
	struct active_conf conf;
	struct turn *turn; /* NULL: nobody is served yet */
	struct rows rows;
	struct active_figures figures;

	struct entry_position
	    last; /* the entry that was taken last; its turn: the last whole one */
	struct entry_position
	    reached;  /* what position() writes: of the last turn that was taken */
	bool placing; /* it is in the open transaction */

	enum doing doing;
	struct buf entry; /* that is on its way */
	unsigned char digest[ENTRY_DIGEST];
	int64_t sent_us;  /* when it, or the last one, was sent */
	int64_t heard_us; /* when the last that was taken was sent; 0: none was */

	bool has_rows;     /* a transaction waits for the journal */
	struct slice left; /* of its rows, what is not on its way */
	bool is_empty;     /* it wrote none: there is nothing to append */
	bool is_answered;  /* at the start: result says what became of it */
	enum err result;

	bool over; /* fenced, handed over or given up: nothing more is appended */
	bool fenced;
	bool wants_handover;
	void (*handed_over)(void *arg);
	void *handed_over_arg;

	unsigned beats;    /* since the position on disk has moved */
	struct op beat_op; /* moves it */
	bool beat_staged;
	struct reactor_timer *beat;
	struct reactor_timer *tick;
	struct reactor_timer *later; /* answers what must not be from within the call */
	struct reactor_timer *give_up;
	bool asks_last;
	bool asks_members;
	struct journal_member *members;
	uint64_t trimmed;
};

static void step(struct active *a);

static int64_t ms_since(int64_t us)
{
	return (clock_now_us() - us) / 1000;
}

/* Tells whose transaction waits. */
static void answer(struct active *a, enum err result)
{
	if (!a->has_rows)
		return;
	a->has_rows = false;
	a->is_empty = false;
	if (a->turn != NULL) {
		turn_answered(a->turn, result);
		return;
	}
	a->result = result;
	a->is_answered = true;
}

static void tell_handed_over(struct active *a)
{
	void (*fn)(void *arg) = a->handed_over;
	a->handed_over = NULL;
	if (fn != NULL)
		fn(a->handed_over_arg);
}

static void on_later(void *arg)
{
	struct active *a = arg;
	if (a->is_empty && !a->over)
		answer(a, OK);
	if (!a->over)
		return;
	answer(a, ERR_CONFLICT);
	tell_handed_over(a);
}

/* Nothing is appended any more; who waits is told in a moment. */
static void resign(struct active *a, const char *why)
{
	if (a->over)
		return;
	a->over = true;
	a->fenced = true;
	log_warn("this member no longer owns its shard", LOG_S("why", why),
	    LOG_N("epoch", a->last.epoch), LOG_N("seq", a->last.seq));
	reactor_timer_fire(a->later);
}

static void on_taken(struct active *a, enum doing what, uint64_t seq)
{
	a->figures.appends++;
	a->figures.bytes += a->entry.len;
	if (a->figures.end.journal != 0)
		a->figures.end.bytes += a->entry.len;
	histogram_record(&a->figures.append, clock_now_us() - a->sent_us);
	a->heard_us = a->sent_us;
	a->last.seq = seq;
	memcpy(a->last.digest, a->digest, ENTRY_DIGEST);
	if (what == APPENDS_ROWS && a->left.len == 0) {
		a->last.turn++;
		a->reached = a->last;
		a->beats = 0;
		answer(a, OK);
	}
	if (what == APPENDS_HANDOVER) {
		a->over = true;
		reactor_timer_fire(a->later);
	}
}

static void on_append(void *arg, enum err result, uint64_t seq)
{
	struct active *a = arg;
	enum doing what = a->doing;
	a->doing = IDLE;
	if (result != OK)
		resign(a, "another member was first at this place of the journal");
	else
		on_taken(a, what, seq);
	step(a);
}

static void append(struct active *a, enum doing what, struct entry *e)
{
	e->epoch = a->last.epoch;
	e->schema = SCHEMA_VERSION;
	e->member = slice_of(a->conf.member);
	e->url = slice_of(a->conf.url);
	memcpy(e->before, a->last.digest, ENTRY_DIGEST);
	buf_reset(&a->entry);
	entry_encode(e, &a->entry);
	if (a->entry.failed) {
		resign(a, "a row is larger than the journal takes");
		return;
	}
	memcpy(a->digest, e->digest, ENTRY_DIGEST);
	a->doing = what;
	a->sent_us = clock_now_us();
	a->conf.journal->append(a->conf.journal, a->last.seq, buf_view(&a->entry), on_append,
	    a);
}

/* Bytes that an entry may have: no more than the journal's servers take, as last asked. */
static size_t entry_max(const struct active *a)
{
	uint64_t takes = a->figures.end.max_entry;
	bool is_less = takes > ENTRY_HEAD_MAX && takes < a->conf.max_entry;
	return is_less ? (size_t)takes : a->conf.max_entry;
}

static void append_rows(struct active *a)
{
	struct slice part;
	enum err err = rows_cut(&a->left, entry_max(a) - ENTRY_HEAD_MAX, &part);
	panic_if(err != OK, "rows of our own cannot be read");
	struct entry e = {.kind = ENTRY_TURN,
	    .turn = a->last.turn + 1,
	    .more = a->left.len > 0,
	    .rows = part};
	append(a, APPENDS_ROWS, &e);
}

/* Appends what is next, if anything is and nothing is on its way. */
static void step(struct active *a)
{
	if (a->doing != IDLE || a->over)
		return;
	if (a->has_rows && !a->is_empty) {
		append_rows(a);
	} else if (a->wants_handover) {
		struct entry e = {.kind = ENTRY_HANDOVER, .turn = a->last.turn};
		append(a, APPENDS_HANDOVER, &e);
	}
}

static void take_rows(struct active *a, const struct rows *rows)
{
	a->has_rows = true;
	a->is_empty = rows->count == 0;
	a->left = buf_view(&rows->bytes);
	if (a->over || a->is_empty)
		reactor_timer_fire(a->later);
	else
		step(a);
}

static void on_turn_append(void *arg, const struct rows *rows)
{
	take_rows(arg, rows);
}

static enum err put_position(struct active *a, struct db_txn *txn)
{
	a->placing = true;
	return entry_position_put(txn, &a->reached);
}

static enum err on_turn_position(void *arg, struct db_txn *txn)
{
	struct active *a = arg;
	bool wrote = a->reached.seq > a->figures.synced; /* else it was an empty one */
	return wrote ? put_position(a, txn) : OK;
}

static void on_give_up(void *arg)
{
	(void)arg; /* the pass returns */
}

/* Waits until the journal has answered, or for as long as a request would. */
static void wait_for_answer(struct active *a)
{
	int64_t began_us = clock_now_us();
	while (!a->is_answered && ms_since(began_us) < a->conf.refuse_ms) {
		reactor_timer_set(a->give_up, a->conf.refuse_ms - ms_since(began_us));
		clock_expire();
		reactor_pass(a->conf.reactor, false);
	}
	reactor_timer_clear(a->give_up);
	clock_expire();
	if (!a->is_answered)
		resign(a, "the journal has not answered");
}

/* A commit of the start: all is in one call. */
static void on_flush(void *arg, struct db_txn *txn)
{
	struct active *a = arg;
	if (a->turn != NULL || a->rows.count == 0)
		return;
	if (a->rows.bytes.failed) {
		(void)db_txn_fail(txn, ERR_NOSPACE);
		return;
	}
	a->is_answered = false;
	if (!a->over) {
		take_rows(a, &a->rows);
		wait_for_answer(a);
	}
	a->has_rows = false;
	enum err err = a->is_answered && a->result == OK ? put_position(a, txn) : ERR_BROKEN;
	if (err != OK)
		(void)db_txn_fail(txn, err);
}

static void on_ended(void *arg, bool committed)
{
	struct active *a = arg;
	if (a->placing && committed)
		a->figures.synced = a->reached.seq;
	else if (a->placing)
		resign(a, "the store has not what the journal has");
	a->placing = false;
}

/* A row that is there already, written again: a turn, so that the position on disk moves. */
static enum err apply_beat(struct op *op, struct db_txn *txn)
{
	struct active *a = (struct active *)((char *)op - offsetof(struct active, beat_op));
	return entry_position_put(txn, &a->reached);
}

static void done_beat(struct op *op, enum err result)
{
	struct active *a = (struct active *)((char *)op - offsetof(struct active, beat_op));
	(void)result; /* a failure ends the member, or it is tried again with the next beats */
	a->beat_staged = false;
}

static void beat(struct active *a)
{
	if (a->turn != NULL && a->beats + 1 >= BEATS_MAX && !a->beat_staged) {
		a->beat_staged = true;
		turn_stage(a->turn, &a->beat_op);
		return;
	}
	struct entry e = {.kind = ENTRY_HEARTBEAT, .turn = a->last.turn};
	a->beats++;
	append(a, APPENDS_HEARTBEAT, &e);
}

static void on_beat(void *arg)
{
	struct active *a = arg;
	if (a->over)
		return;
	int64_t left_ms = a->conf.heartbeat_ms - ms_since(a->sent_us);
	if (a->doing != IDLE) {
		left_ms = a->conf.heartbeat_ms;
	} else if (left_ms <= 0) {
		beat(a);
		left_ms = a->conf.heartbeat_ms;
	}
	reactor_timer_set(a->beat, left_ms);
}

static void on_last(void *arg, enum err result, const struct journal_end *at)
{
	struct active *a = arg;
	a->asks_last = false;
	if (result != OK)
		return;
	a->figures.end = *at;
	if (at->journal != a->last.journal)
		resign(a, "the journal is another one");
}

static void trim(struct active *a)
{
	uint64_t seq = trim_to(a->conf.member, a->figures.synced, &a->figures.end, a->members,
	    a->figures.member_count);
	if (a->over || a->figures.end.journal == 0 || seq < a->figures.end.first ||
	    seq <= a->trimmed)
		return;
	a->trimmed = seq;
	a->conf.journal->trim(a->conf.journal, seq);
}

static void on_members(void *arg, enum err result, const struct journal_member *m, size_t count)
{
	struct active *a = arg;
	a->asks_members = false;
	if (result != OK)
		return;
	a->members = mem_resize(a->members, count == 0 ? 1 : count, sizeof(*m));
	if (count > 0)
		memcpy(a->members, m, count * sizeof(*m));
	a->figures.members = a->members;
	a->figures.member_count = count;
	trim(a);
}

static void tell(struct active *a)
{
	struct journal_member me = {.synced = a->figures.synced, .is_active = true};
	(void)snprintf(me.name, sizeof(me.name), "%s", a->conf.member);
	(void)snprintf(me.url, sizeof(me.url), "%s", a->conf.url);
	a->conf.journal->tell(a->conf.journal, &me);
}

static void on_tick(void *arg)
{
	struct active *a = arg;
	if (a->over)
		return;
	reactor_timer_set(a->tick, ASK_MS);
	tell(a);
	if (!a->asks_last) {
		a->asks_last = true;
		a->conf.journal->last(a->conf.journal, on_last, a);
	}
	if (!a->asks_members) {
		a->asks_members = true;
		a->conf.journal->members(a->conf.journal, on_members, a);
	}
}

static enum err read_position(struct db *db, struct entry_position *out)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(db, &txn);
	if (err != OK)
		return err;
	err = entry_position_get(txn, out);
	db_read_end(txn);
	return err;
}

enum err active_new(const struct active_conf *conf, struct active **out)
{
	struct entry_position reached;
	enum err err = read_position(conf->db, &reached);
	if (err != OK)
		return err;
	struct active *a = mem_new(sizeof(*a));
	a->conf = *conf;
	a->last = conf->from;
	a->reached = reached;
	a->figures.synced = reached.seq;
	a->rows = ROWS_INIT;
	a->entry = BUF_INIT(conf->max_entry);
	a->beat_op = (struct op){.class = OP_PROGRESS, .apply = apply_beat, .done = done_beat};
	a->beat = reactor_timer_new(conf->reactor, on_beat, a);
	a->tick = reactor_timer_new(conf->reactor, on_tick, a);
	a->later = reactor_timer_new(conf->reactor, on_later, a);
	a->give_up = reactor_timer_new(conf->reactor, on_give_up, a);
	reactor_timer_set(a->beat, conf->heartbeat_ms);
	reactor_timer_set(a->tick, 0);
	const struct db_companion c = {.flush = on_flush, .ended = on_ended, .arg = a};
	db_accompany(conf->db, DB_JOURNAL, &c);
	db_gather(conf->db, &a->rows);
	*out = a;
	return OK;
}

void active_free(struct active *a)
{
	if (a == NULL)
		return;
	const struct db_companion none = {0};
	a->conf.journal->forget(a->conf.journal);
	db_gather(a->conf.db, NULL);
	db_accompany(a->conf.db, DB_JOURNAL, &none);
	reactor_timer_free(a->beat);
	reactor_timer_free(a->tick);
	reactor_timer_free(a->later);
	reactor_timer_free(a->give_up);
	rows_fini(&a->rows);
	buf_fini(&a->entry);
	free(a->members);
	free(a);
}

void active_serve(struct active *a, struct turn *turn)
{
	const struct turn_journal j = {.append = on_turn_append,
	    .position = on_turn_position,
	    .arg = a};
	a->turn = turn;
	turn_set_journal(turn, &j, &a->rows);
	if (a->doing == IDLE && !a->over)
		beat(a);
}

static bool was_heard_within(const struct active *a, int64_t ms)
{
	bool goes_on = !a->over && !a->wants_handover;
	return goes_on && a->heard_us != 0 && clock_now_us() - a->heard_us < ms * 1000;
}

bool active_may_start(const struct active *a)
{
	return was_heard_within(a, a->conf.hold_ms);
}

/* What it has left is for those who must go on, and for a takeover. */
static bool is_nearly_full(const struct journal_end *end)
{
	return end->bytes > end->max_bytes - end->max_bytes / NEARLY_FULL;
}

const char *active_why(const struct active *a)
{
	if (is_nearly_full(&a->figures.end))
		return "the cluster's journal is nearly full";
	if (!was_heard_within(a, a->conf.refuse_ms))
		return "the cluster's journal does not answer";
	return NULL;
}

bool active_may_take(const struct active *a)
{
	return active_why(a) == NULL;
}

bool active_is_fenced(const struct active *a)
{
	return a->fenced;
}

void active_hand_over(struct active *a, void (*fn)(void *arg), void *arg)
{
	a->wants_handover = true;
	a->handed_over = fn;
	a->handed_over_arg = arg;
	if (a->over)
		reactor_timer_fire(a->later);
	else
		step(a);
}

const struct active_figures *active_figures(struct active *a)
{
	a->figures.epoch = a->last.epoch;
	a->figures.seq = a->last.seq;
	a->figures.waits_ms = 0;
	if (a->doing != IDLE)
		a->figures.waits_ms = ms_since(a->sent_us) + 1;
	return &a->figures;
}
