/*
 * Reading, applying, taking over.
 *
 *   ASKS where the journal ends ──▶ READS behind the store's position ──▶ takes over: OWNS
 *     ▲                                 │
 *     └── a moment later, from the ─────┤ what was read is bad, or there is no room
 *         store's position                 └──▶ PARTED, STOPPED: for good
 *
 * What is verified is applied at once, in a transaction that stays open: the parts of one
 * turn, or as many whole turns as come within a moment, so that they share a commit. Behind a
 * turn that is not whole nothing else is applied in the same transaction: where its owner has
 * died, the takeover behind it says that it never was, and it is voided. That owner has not
 * committed it: it does so only when the last part is taken.
 */
#include "cluster/standby.h"

#include <stdarg.h>
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

#define LOOK_MS 100 /* between looks at the time; turns share a commit for about as long… */
#define COMMIT_BYTES (4u << 20) /* …up to so many bytes of rows… */
#define COMMIT_TURNS 1024       /* …and so many turns */
#define ASK_MS 1000             /* between questions where the journal ends, and telling */
#define MEMBERS_MS 2000         /* …and how far all are */
#define AGAIN_MS 300      /* before it reads anew: a replica that was cut off is out by then */
#define NO_ROOM_MS 1000   /* before it tries a store anew that failed; doubles… */
#define NO_ROOM_DOUBLES 5 /* …so often */
#define BAD_MAX 8         /* times that an entry may be bad; they take ten seconds */
#define STALLED_MS 3000   /* without an entry that is known to be there before it reads anew */
#define HANDOVER_MS 50    /* that standbys are apart, at random, when the owner has gone */
#define TAKEOVER_PART 3   /* the random part of the silence is at most one in so many */

struct standby {
	struct standby_conf conf;
	struct standby_figures figures;
	struct reactor_timer *look;
	struct journal_reader reader;

	struct entry_position position; /* the store's */
	struct entry_position
	    at;              /* the last entry that was read; its turn: the last whole one */
	uint64_t journal;    /* which one is read */
	uint64_t known_last; /* seq of an entry that is known to be there */

	struct db_txn *txn;         /* what was applied since `position`; NULL: nothing */
	struct entry_position next; /* where the store is with it */
	bool is_half;               /* the turn in it is not whole */
	unsigned failures;          /* of the store, of late: then it is one turn a commit */
	size_t txn_bytes;
	size_t txn_turns;
	int64_t txn_us;     /* since when it is open */
	struct buf scratch; /* rows of an entry */

	bool asks;
	bool asks_members;
	int64_t members_us; /* when they were asked */
	struct journal_member *members;
	struct journal_end end; /* as last asked */
	int64_t asked_us;
	int64_t told_us;
	bool reads;       /* what reader hears is meant */
	int64_t again_us; /* not before, when it does not read */
	uint64_t bad_seq; /* the entry that was bad */
	unsigned bad;     /* so often */

	int64_t heard_us;    /* the last entry */
	int64_t looked_us;   /* the last look at the time */
	int64_t listened_us; /* silence that was listened to, behind the last entry */
	int64_t patience_us; /* silence behind which it takes over */
	bool takes;          /* its takeover is on its way */
	struct buf takeover;
	struct entry_position taken; /* the takeover's entry, where it is taken */
};

/* It is over, for good; reading ends with the next look. */
static void finish(struct standby *s, enum standby_state state, const char *why)
{
	s->figures.state = state;
	s->reads = false;
	(void)snprintf(s->figures.why, sizeof(s->figures.why), "%s", why);
	if (s->txn != NULL)
		db_abort(s->txn);
	s->txn = NULL;
	log_error(state == STANDBY_PARTED ? "the standby's store is no copy of the owner's"
					  : "the standby cannot go on",
	    LOG_S("why", why), LOG_N("seq", s->at.seq), LOG_N("stored", s->position.seq));
	reactor_timer_set(s->look, 0);
}

/* Reads no further; in `ms` it reads anew from where the store is. */
static void read_again(struct standby *s, int64_t ms)
{
	s->reads = false;
	s->figures.is_caught_up = false;
	s->again_us = clock_now_us() + ms * 1000;
	if (s->txn != NULL)
		db_abort(s->txn);
	s->txn = NULL;
}

/* The store fails. */
static void fail(struct standby *s, enum err err)
{
	if (s->txn != NULL)
		db_abort(s->txn);
	s->txn = NULL;
	if (err == ERR_NOSPACE && db_grow(s->conf.db) == ERR_BROKEN)
		err = ERR_BROKEN;
	if (err == ERR_BROKEN) {
		finish(s, STANDBY_STOPPED, "the store is broken");
	} else if (err == ERR_CORRUPT) {
		finish(s, STANDBY_PARTED,
		    "the journal changes a row that is not in this store as it was there");
	} else {
		if (s->failures == 0)
			log_warn("the standby's store fails, it is tried again",
			    LOG_S("error", err_text(err)), LOG_N("stored", s->position.seq));
		(void)snprintf(s->figures.why, sizeof(s->figures.why), "the store fails: %s",
		    err_text(err));
		read_again(s, NO_ROOM_MS << s->failures);
		s->failures += s->failures < NO_ROOM_DOUBLES ? 1 : 0;
	}
}

/* Commits the whole turns that were applied. Whether the store has them. */
static bool commit(struct standby *s)
{
	if (s->txn == NULL || s->is_half)
		return true;
	struct db_txn *txn = s->txn;
	enum err err = entry_position_put(txn, &s->next);
	s->txn = NULL;
	if (err == OK)
		err = db_commit(txn);
	else
		db_abort(txn);
	if (err != OK) {
		fail(s, err);
		return false;
	}
	s->position = s->next;
	s->figures.turns += s->txn_turns;
	s->figures.commits++;
	return true;
}

/* It was marked as the one that others begin with, and has nothing of the journal: no copy. */
static bool has_own_rows(const struct standby *s)
{
	return s->position.seq == 0 && s->position.journal != 0;
}

static void part(struct standby *s, const char *why)
{
	bool has_own = has_own_rows(s);
	finish(s, has_own ? STANDBY_STOPPED : STANDBY_PARTED,
	    has_own ? "this store has rows of its own, and the journal begins with another's"
		    : why);
}

/*
 * What was read is bad: a reading from elsewhere, later, may be good. Where it never is, the
 * journal has no way on from this store.
 */
static void refuse(struct standby *s, uint64_t seq, const char *why)
{
	if (!commit(s))
		return;
	s->bad = seq == s->bad_seq ? s->bad + 1 : 1;
	s->bad_seq = seq;
	if (s->bad >= BAD_MAX) {
		part(s, why);
		return;
	}
	if (s->bad == 1)
		log_warn("what was read of the journal is bad, it is read again",
		    LOG_S("why", why), LOG_N("seq", seq), LOG_N("stored", s->position.seq));
	s->figures.reread++;
	read_again(s, AGAIN_MS * s->bad);
}

static void draw_patience(struct standby *s)
{
	uint64_t most = (uint64_t)s->conf.takeover_after_ms * 1000 / TAKEOVER_PART + 1;
	s->patience_us = s->conf.takeover_after_ms * 1000;
	s->patience_us += (int64_t)(rnd_next(s->conf.rnd) % most);
	if (s->figures.was_handed_over)
		s->patience_us = (int64_t)(rnd_next(s->conf.rnd) % (HANDOVER_MS * 1000));
	s->listened_us = 0;
}

static enum err apply_turn(struct standby *s, const struct entry *e)
{
	enum err err = OK;
	if (s->txn == NULL) {
		err = db_begin(s->conf.db, &s->txn);
		if (err != OK)
			return err;
		s->txn_us = clock_now_us();
		s->txn_bytes = 0;
		s->txn_turns = 0;
	}
	s->is_half = e->more;
	s->txn_bytes += e->rows.len;
	err = rows_apply(e->rows, s->txn);
	if (err == OK && !e->more) {
		s->txn_turns++;
		s->next = s->at;
	}
	return err;
}

/* Applies the rows of an entry, which is the last one that was read. */
static void take_rows(struct standby *s, const struct entry *e)
{
	bool begins = e->more && !s->is_half;
	if (begins && !commit(s))
		return;
	enum err err = apply_turn(s, e);
	if (err != OK) {
		fail(s, err);
		return;
	}
	if (s->txn_bytes >= COMMIT_BYTES || s->txn_turns >= COMMIT_TURNS || s->failures > 0)
		(void)commit(s);
}

/* Its owner has not committed it. */
static void void_half(struct standby *s)
{
	if (s->txn != NULL && s->is_half) {
		db_abort(s->txn);
		s->txn = NULL;
	}
	s->is_half = false;
}

static void copy_text(char *out, size_t size, struct slice s)
{
	(void)snprintf(out, size, "%.*s", (int)s.len, s.ptr);
}

static void note_owner(struct standby *s, const struct entry *e)
{
	struct standby_figures *f = &s->figures;
	if (e->epoch > f->owner_epoch) /* else it is read again */
		log_info("a member owns the shard", LOG_V("member", e->member),
		    LOG_N("epoch", e->epoch));
	f->owner_epoch = e->epoch;
	f->was_handed_over = e->kind == ENTRY_HANDOVER;
	copy_text(f->owner, sizeof(f->owner), e->member);
	copy_text(f->owner_url, sizeof(f->owner_url), e->url);
}

/* Why this entry cannot be behind the last one; NULL: it can. */
static const char *misfit_of(const struct standby *s, const struct entry *e)
{
	bool is_turn = e->kind == ENTRY_TURN;
	if (memcmp(e->before, s->at.digest, ENTRY_DIGEST) != 0)
		return "an entry does not go on from the one before it";
	if (e->epoch != s->at.epoch + (e->kind == ENTRY_TAKEOVER ? 1 : 0))
		return "an entry is of another epoch than the owner's";
	if (e->turn != s->at.turn + (is_turn ? 1 : 0))
		return "a turn is missing, or is there twice";
	if (s->is_half && !is_turn && e->kind != ENTRY_TAKEOVER)
		return "a turn has no end";
	return e->more && !is_turn ? "an entry is of two kinds" : NULL;
}

/* Whether this is the very first entry, and goes on from another store than this. */
static bool begins_elsewhere(const struct standby *s, const struct entry *e)
{
	return s->at.seq == 0 && e->kind == ENTRY_TAKEOVER && e->epoch == 1 &&
	    memcmp(e->before, s->at.digest, ENTRY_DIGEST) != 0;
}

/* Takes an entry that is the next one. */
static void take_entry(struct standby *s, uint64_t seq, const struct entry *e)
{
	s->at.seq = seq;
	s->at.epoch = e->epoch;
	s->at.turn = e->kind == ENTRY_TURN && e->more ? s->at.turn : e->turn;
	memcpy(s->at.digest, e->digest, ENTRY_DIGEST);
	if (s->bad > 0 && seq > s->bad_seq)
		s->bad = 0;
	note_owner(s, e);
	draw_patience(s);
	if (e->kind == ENTRY_HANDOVER)
		reactor_timer_set(s->look, s->patience_us / 1000);
	if (e->kind == ENTRY_TURN)
		take_rows(s, e);
	else if (s->is_half)
		void_half(s);
}

static void stop_at_newer(struct standby *s, const struct entry *e)
{
	char why[sizeof(s->figures.why)];
	if (!commit(s))
		return;
	if (e == NULL)
		(void)snprintf(why, sizeof(why),
		    "the owner's program writes entries of a newer form: upgrade this one");
	else
		(void)snprintf(why, sizeof(why),
		    "the owner's program is newer: its store has schema %u, this one knows %u; "
		    "upgrade this one",
		    e->schema, (unsigned)SCHEMA_VERSION);
	finish(s, STANDBY_STOPPED, why);
}

/* There is an entry at `seq`; where it was not read, not all was. */
static void expect(struct standby *s, uint64_t seq)
{
	s->known_last = seq > s->known_last ? seq : s->known_last;
	if (s->at.seq < s->known_last)
		s->figures.is_caught_up = false;
}

static void on_entry(void *arg, uint64_t seq, uint64_t previous, struct slice bytes)
{
	struct standby *s = arg;
	struct entry e;
	if (!s->reads)
		return;
	s->heard_us = clock_now_us();
	s->looked_us = s->heard_us;
	s->listened_us = 0;
	s->figures.is_caught_up = false;
	if (previous != s->at.seq || seq != previous + 1) {
		refuse(s, s->at.seq + 1,
		    seq <= s->at.seq ? "an entry came twice" : "entries are missing");
		return;
	}
	enum err err = entry_decode(bytes, &s->scratch, &e);
	if (err == ERR_CONFLICT || (err == OK && e.schema > SCHEMA_VERSION)) {
		stop_at_newer(s, err == OK ? &e : NULL);
		return;
	}
	if (err == OK && begins_elsewhere(s, &e)) {
		part(s, "the journal begins with a store that had rows, which this one lacks");
		return;
	}
	const char *misfit = err == OK ? misfit_of(s, &e) : "an entry is cut or changed";
	if (misfit != NULL)
		refuse(s, seq, misfit);
	else
		take_entry(s, seq, &e);
}

static void on_caught_up(void *arg)
{
	struct standby *s = arg;
	if (!s->reads)
		return;
	s->figures.is_caught_up = s->at.seq >= s->known_last;
	if (s->figures.is_caught_up && s->failures > 0 && commit(s)) {
		s->failures = 0;
		s->figures.why[0] = '\0';
	}
}

static void on_replaced(void *arg)
{
	struct standby *s = arg;
	if (!s->reads)
		return;
	if (s->position.seq != 0)
		finish(s, STANDBY_PARTED, "the journal was made anew");
	else
		read_again(s, AGAIN_MS);
}

/* Sets *out to whether the store has any row but its position. */
static enum err has_rows(struct db *db, bool *out)
{
	struct db_txn *txn = NULL;
	struct entry_position position;
	uint64_t sum = 0;
	enum err err = db_read(db, &txn);
	if (err != OK)
		return err;
	for (enum db_table t = DB_META; err == OK && t < DB_TABLES; t++) {
		uint64_t n = 0;
		err = db_rows(txn, t, &n);
		sum += n;
	}
	if (err == OK)
		err = entry_position_get(txn, &position);
	if (err == OK)
		*out = sum > (position.journal != 0 ? 1u : 0u);
	db_read_end(txn);
	return err;
}

/*
 * Whether a store that has no entry of any journal may read this one: as the founder that it
 * was marked to be, or empty. Rows that no journal has are never given up.
 */
static bool may_begin(struct standby *s, const struct journal_end *end)
{
	bool rows = false;
	if (s->position.journal == end->journal)
		return true;
	s->position = (struct entry_position){0}; /* a mark that was for another journal */
	if (end->last == 0)
		return true;
	enum err err = has_rows(s->conf.db, &rows);
	if (err != OK)
		fail(s, err);
	else if (rows)
		finish(s, STANDBY_STOPPED,
		    "this store has rows of its own, and another owns the shard: move it away "
		    "to join with an empty one");
	return err == OK && !rows;
}

/* Whether what the journal still has goes on from where this store is. */
static bool may_read(struct standby *s, const struct journal_end *end)
{
	if (s->position.seq == 0 && !may_begin(s, end))
		return false;
	if (s->position.seq != 0 && s->position.journal != end->journal) {
		finish(s, STANDBY_PARTED, "the store is a copy by another journal than this");
		return false;
	}
	if (end->first > s->position.seq + 1) {
		part(s, "the journal has dropped entries that this store lacks");
		return false;
	}
	if (end->last < s->position.seq) {
		refuse(s, s->position.seq, "the journal has lost entries that this store has");
		return false;
	}
	return true;
}

/*
 * The journal may be too full for a takeover, and then has no owner who trims it: this member
 * does, by the same rule.
 */
static void on_members(void *arg, enum err result, const struct journal_member *m, size_t count)
{
	struct standby *s = arg;
	s->asks_members = false;
	if (result != OK)
		return;
	s->members = mem_resize(s->members, count + 1, sizeof(*m));
	if (count > 0)
		memcpy(s->members, m, count * sizeof(*m));
	s->figures.members = s->members;
	s->figures.member_count = count;
	s->figures.members_told++;
	if (!s->takes || s->end.journal == 0)
		return;
	uint64_t seq = trim_to(s->conf.member, s->position.seq, &s->end, m, count);
	if (seq >= s->end.first)
		s->conf.journal->trim(s->conf.journal, seq);
}

static void begin_reading(struct standby *s)
{
	s->at = s->position;
	s->at.journal = s->journal;
	s->is_half = false;
	s->reads = true;
	s->heard_us = clock_now_us();
	s->figures.is_caught_up = false;
	draw_patience(s);
	s->conf.journal->read(s->conf.journal, s->position.seq, &s->reader);
}

static void on_last(void *arg, enum err result, const struct journal_end *end)
{
	struct standby *s = arg;
	s->asks = false;
	if (result != OK || s->figures.state != STANDBY_FOLLOWS)
		return;
	s->end = *end;
	s->figures.knows_end = true;
	if (s->reads) {
		expect(s, end->last);
		return;
	}
	if (clock_now_us() < s->again_us || !may_read(s, end))
		return;
	s->journal = end->journal;
	s->known_last = end->last;
	begin_reading(s);
}

/* Marks a store with rows as what others are to be copies of. */
static enum err mark_founder(struct standby *s)
{
	bool rows = false;
	struct db_txn *txn = NULL;
	struct entry_position mark = {.journal = s->journal};
	enum err err = has_rows(s->conf.db, &rows);
	if (err != OK || !rows || s->position.journal != 0)
		return err;
	rnd_secret(mark.digest, sizeof(mark.digest));
	err = db_begin(s->conf.db, &txn);
	if (err != OK)
		return err;
	err = entry_position_put(txn, &mark);
	if (err == OK)
		err = db_commit(txn);
	else
		db_abort(txn);
	if (err == OK) {
		s->position = mark;
		s->at = mark;
	}
	return err;
}

static void own(struct standby *s, uint64_t seq)
{
	void_half(s);
	panic_if(s->txn != NULL, "a member took over before it had stored all");
	s->figures.state = STANDBY_OWNS;
	s->at = s->taken; /* it may be reading anew, and be anywhere before */
	s->at.seq = seq;
	s->figures.owner_epoch = s->at.epoch;
	s->figures.was_handed_over = false;
	copy_text(s->figures.owner, sizeof(s->figures.owner), slice_of(s->conf.member));
	copy_text(s->figures.owner_url, sizeof(s->figures.owner_url), slice_of(s->conf.url));
	s->reads = false;
	reactor_timer_set(s->look, 0);
}

static void on_takeover(void *arg, enum err result, uint64_t seq)
{
	struct standby *s = arg;
	bool is_last = s->at.seq < seq ||
	    (s->at.seq == seq && memcmp(s->at.digest, s->taken.digest, ENTRY_DIGEST) == 0);
	s->takes = false;
	if (s->figures.state != STANDBY_FOLLOWS)
		return;
	if (result == OK && is_last) {
		own(s, seq);
		return;
	}
	s->figures.fenced++;
	expect(s, s->taken.seq);
	draw_patience(s);
}

static void take_over(struct standby *s)
{
	if (s->conf.can_serve != NULL && !s->conf.can_serve(s->conf.arg)) {
		draw_patience(s);
		return;
	}
	if (s->at.seq == 0) {
		enum err err = mark_founder(s);
		if (err != OK) {
			fail(s, err);
			return;
		}
	}
	/* no two takeovers are the same bytes, whoever dies or has the same name */
	char draw[ENTRY_DIGEST];
	rnd_secret(draw, sizeof(draw));
	struct entry e = {.kind = ENTRY_TAKEOVER,
	    .epoch = s->at.epoch + 1,
	    .turn = s->at.turn,
	    .schema = SCHEMA_VERSION,
	    .member = slice_of(s->conf.member),
	    .url = slice_of(s->conf.url),
	    .rows = {draw, sizeof(draw)}};
	memcpy(e.before, s->at.digest, ENTRY_DIGEST);
	buf_reset(&s->takeover);
	entry_encode(&e, &s->takeover);
	s->taken = s->at;
	s->taken.seq++;
	s->taken.epoch++;
	memcpy(s->taken.digest, e.digest, ENTRY_DIGEST);
	s->takes = true;
	if (!s->figures.was_handed_over)
		log_info("the owner is silent, this member takes over", LOG_N("epoch", e.epoch),
		    LOG_N("seq", s->at.seq));
	s->conf.journal->append(s->conf.journal, s->at.seq, buf_view(&s->takeover), on_takeover,
	    s);
}

/* Counts the silence since the last look, as far as this process was awake and connected. */
static void listen(struct standby *s, int64_t now_us)
{
	const char *why;
	int64_t passed_us = now_us - s->looked_us;
	int64_t most_us = 2 * LOOK_MS * 1000;
	s->looked_us = now_us;
	if (!s->conf.journal->is_up(s->conf.journal, &why) || !s->figures.is_caught_up)
		s->listened_us = 0;
	else
		s->listened_us += passed_us < most_us ? passed_us : most_us;
}

static bool may_take_over(const struct standby *s)
{
	bool is_first = s->at.seq == 0;
	return s->conf.may_take_over && (!is_first || s->conf.may_found) &&
	    s->figures.is_caught_up && !s->takes && s->listened_us >= s->patience_us;
}

static void tell(struct standby *s)
{
	struct journal_member me = {.synced = s->position.seq};
	(void)snprintf(me.name, sizeof(me.name), "%s", s->conf.member);
	(void)snprintf(me.url, sizeof(me.url), "%s", s->conf.url);
	s->conf.journal->tell(s->conf.journal, &me);
}

/* To show them; and while it takes over, for the room that this may lack. */
static void ask_members(struct standby *s, int64_t now_us)
{
	int64_t every_ms = s->takes ? ASK_MS : MEMBERS_MS;
	if (s->asks_members || now_us - s->members_us < every_ms * 1000)
		return;
	s->members_us = now_us;
	s->asks_members = true;
	s->conf.journal->members(s->conf.journal, on_members, s);
}

/* Asks where the journal ends: to begin to read, or now and then to see what is missing. */
static void ask(struct standby *s, int64_t now_us)
{
	if (now_us - s->told_us >= ASK_MS * 1000) {
		s->told_us = now_us;
		tell(s);
	}
	ask_members(s, now_us);
	bool is_due = s->reads ? now_us - s->asked_us >= ASK_MS * 1000 : now_us >= s->again_us;
	if (!is_due || s->asks)
		return;
	s->asked_us = now_us;
	s->asks = true;
	s->conf.journal->last(s->conf.journal, on_last, s);
}

/* What is there does not come: reading begins anew, perhaps from another replica. */
static void check_stall(struct standby *s, int64_t now_us)
{
	if (!s->reads || s->at.seq >= s->known_last ||
	    now_us - s->heard_us < STALLED_MS * 1000 || !commit(s))
		return;
	read_again(s, 0);
}

static void on_look(void *arg)
{
	struct standby *s = arg;
	int64_t now_us = clock_now_us();
	if (s->figures.state != STANDBY_FOLLOWS) {
		s->conf.journal->read(s->conf.journal, 0, NULL);
		return;
	}
	int64_t next_ms = LOOK_MS;
	if (s->txn != NULL && now_us - s->txn_us >= LOOK_MS * 1000)
		(void)commit(s);
	check_stall(s, now_us);
	ask(s, now_us);
	listen(s, now_us);
	if (may_take_over(s) && commit(s))
		take_over(s);
	else if (s->figures.was_handed_over)
		next_ms = HANDOVER_MS / 4;
	if (s->figures.state == STANDBY_FOLLOWS)
		reactor_timer_set(s->look, next_ms);
}

enum err standby_new(const struct standby_conf *conf, struct standby **out)
{
	struct db_txn *txn = NULL;
	struct entry_position position;
	enum err err = db_read(conf->db, &txn);
	if (err != OK)
		return err;
	err = entry_position_get(txn, &position);
	db_read_end(txn);
	if (err != OK)
		return err;
	struct standby *s = mem_new(sizeof(*s));
	s->conf = *conf;
	s->position = position;
	s->at = position;
	s->reader = (struct journal_reader){.entry = on_entry,
	    .caught_up = on_caught_up,
	    .replaced = on_replaced,
	    .arg = s};
	s->scratch = BUF_INIT(ENTRY_ROWS_MAX);
	s->takeover = BUF_INIT(ENTRY_HEAD_MAX);
	s->looked_us = clock_now_us();
	s->heard_us = s->looked_us;
	s->look = reactor_timer_new(conf->reactor, on_look, s);
	reactor_timer_set(s->look, 0);
	*out = s;
	return OK;
}

void standby_free(struct standby *s)
{
	if (s == NULL)
		return;
	s->conf.journal->forget(s->conf.journal);
	if (s->txn != NULL)
		db_abort(s->txn);
	reactor_timer_free(s->look);
	free(s->members);
	buf_fini(&s->scratch);
	buf_fini(&s->takeover);
	free(s);
}

const struct standby_figures *standby_figures(struct standby *s)
{
	struct standby_figures *f = &s->figures;
	f->position = f->state == STANDBY_OWNS ? s->at : s->position;
	f->seq = s->at.seq;
	f->lag = s->known_last > s->at.seq ? s->known_last - s->at.seq : 0;
	f->silent_ms = (clock_now_us() - s->heard_us) / 1000;
	return f;
}
