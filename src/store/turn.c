/*
 * Staged operations and their one transaction.
 *
 *   stage ─▶ staged ──apply──▶ transaction ──commit──▶ done(result)
 *               ▲                  │ fails
 *               └── PROGRESS ──────┴── INTAKE ──▶ done(ERR_NOSPACE | ERR_STORE)
 *
 * A turn whose transaction failed with requests in it is tried once more with the
 * progress alone: deleting needs pages too, and far fewer of them. Where there is no room
 * even for that, the file may grow beyond its largest size, and what the disk has no room
 * for is tried in parts: one that is written makes room for the next. Requests that found no
 * room together are tried apart, so that one which is too large fails alone.
 */
#include "store/turn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * LMDB holds at most 131071 changed pages in a transaction, 512 MiB; one that is far below
 * also leaves the loop in bearable time.
 */
#define BYTES_MAX (32u << 20)
#define STORE_PART                                                                             \
	16 /* …nor more than this part of the store: pages are free again two later */
#define APART_MAX 16 /* of requests that are tried apart so many may fail: bounds the work */

TAILQ_HEAD(op_list, op);

struct turn {
	struct db *db;
	struct op_list staged;
	size_t count;
	size_t intake;
	size_t patient; /* that may wait */
	size_t bytes_max;
	struct turn_figures figures;
	struct turn_journal journal; /* append NULL: there is none */
	struct rows *rows;
	struct db_txn *open; /* the transaction whose rows are on their way; NULL: none is */
	struct op_list sent; /* its operations */
	int64_t began_us;
	size_t part_max; /* with a journal: operations of a turn, while room is short */
	bool parted;     /* the journal has what the store has not, or the other way round */
};

struct turn *turn_new(struct db *db)
{
	struct turn *t = mem_new(sizeof(*t));
	t->db = db;
	t->bytes_max = BYTES_MAX;
	if (db_max_bytes(db) / STORE_PART < t->bytes_max)
		t->bytes_max = (size_t)(db_max_bytes(db) / STORE_PART);
	t->part_max = SIZE_MAX;
	TAILQ_INIT(&t->staged);
	TAILQ_INIT(&t->sent);
	return t;
}

void turn_free(struct turn *t)
{
	if (t != NULL && t->open != NULL)
		db_abort(t->open);
	free(t);
}

void turn_stage(struct turn *t, struct op *op)
{
	TAILQ_INSERT_TAIL(&t->staged, op, link);
	t->count++;
	t->intake += op->class == OP_INTAKE ? 1 : 0;
	t->patient += op->may_wait ? 1 : 0;
}

size_t turn_staged(const struct turn *t)
{
	return t->count;
}

size_t turn_staged_intake(const struct turn *t)
{
	return t->intake;
}

bool turn_may_wait(const struct turn *t)
{
	return t->patient == t->count;
}

uint64_t turn_commits(const struct turn *t)
{
	return t->figures.commits;
}

const struct turn_figures *turn_figures(const struct turn *t)
{
	return &t->figures;
}

/* Takes what is staged out of the turn, in order, as much as one transaction should hold. */
static void take(struct turn *t, struct op_list *ops)
{
	size_t bytes = 0;
	TAILQ_INIT(ops);
	for (size_t n = 0; !TAILQ_EMPTY(&t->staged) && bytes < t->bytes_max && n < t->part_max;
	     n++) {
		struct op *op = TAILQ_FIRST(&t->staged);
		TAILQ_REMOVE(&t->staged, op, link);
		TAILQ_INSERT_TAIL(ops, op, link);
		bytes += op->bytes;
		t->count--;
		t->intake -= op->class == OP_INTAKE ? 1 : 0;
		t->patient -= op->may_wait ? 1 : 0;
	}
}

/* Begins a transaction and applies the operations; *out is NULL where none could be begun. */
static enum err apply_all(struct turn *t, struct op_list *ops, struct db_txn **out)
{
	*out = NULL;
	t->began_us = clock_now_us();
	enum err err = db_begin(t->db, out);
	if (err != OK)
		return err;
	struct op *op;
	TAILQ_FOREACH(op, ops, link) {
		op->result = op->apply(op, *out);
		if (db_txn_error(*out) != OK)
			break;
	}
	return db_txn_error(*out);
}

static void note_commit(struct turn *t)
{
	t->figures.commits++;
	t->figures.commit_us = clock_now_us() - t->began_us;
	histogram_record(&t->figures.commit, t->figures.commit_us);
}

static enum err write_all(struct turn *t, struct op_list *ops)
{
	struct db_txn *txn = NULL;
	enum err err = apply_all(t, ops, &txn);
	if (txn != NULL)
		err = db_commit(txn);
	if (err != OK)
		t->figures.failures++;
	else
		note_commit(t);
	return err;
}

/* Tells every operation its own result, or `failure` where that is not OK. */
static void tell(struct op_list *ops, enum err failure)
{
	while (!TAILQ_EMPTY(ops)) {
		struct op *op = TAILQ_FIRST(ops);
		TAILQ_REMOVE(ops, op, link);
		op->done(op, failure == OK ? op->result : failure);
	}
}

/* Moves the operations of `class` from one list to the end of the other. */
static void move_class(struct op_list *from, struct op_list *to, enum op_class class)
{
	struct op *op = TAILQ_FIRST(from);
	while (op != NULL) {
		struct op *next = TAILQ_NEXT(op, link);
		if (op->class == class) {
			TAILQ_REMOVE(from, op, link);
			TAILQ_INSERT_TAIL(to, op, link);
		}
		op = next;
	}
}

static void stage_again(struct turn *t, struct op_list *ops)
{
	while (!TAILQ_EMPTY(ops)) {
		struct op *op = TAILQ_FIRST(ops);
		TAILQ_REMOVE(ops, op, link);
		turn_stage(t, op);
	}
}

/* Writes the first `count` operations and tells them; where that fails they stay. */
static enum err write_first(struct turn *t, struct op_list *ops, size_t count)
{
	struct op_list first = TAILQ_HEAD_INITIALIZER(first);
	struct op *op;
	for (size_t i = 0; i < count; i++) {
		op = TAILQ_FIRST(ops);
		TAILQ_REMOVE(ops, op, link);
		TAILQ_INSERT_TAIL(&first, op, link);
	}
	enum err err = write_all(t, &first);
	if (err == OK) {
		tell(&first, OK);
		return OK;
	}
	TAILQ_CONCAT(&first, ops, link);
	TAILQ_CONCAT(ops, &first, link);
	return err;
}

/*
 * Writes as much of the progress as there is room for, after `err` has met all of it: with a
 * larger file, then in ever smaller parts. What was not written stays in the list.
 */
static enum err write_what_fits(struct turn *t, struct op_list *progress, size_t count,
    enum err err)
{
	while (err == ERR_NOSPACE) {
		enum err grown = db_grow(t->db);
		if (grown == ERR_BROKEN)
			return grown;
		if (grown != OK && count == 1)
			break;
		if (grown != OK)
			count = (count + 1) / 2;
		err = write_first(t, progress, count);
	}
	return err;
}

/* The first one waits behind the others, which may need less room than it. */
static void rotate(struct op_list *ops)
{
	struct op *op = TAILQ_FIRST(ops);
	TAILQ_REMOVE(ops, op, link);
	TAILQ_INSERT_TAIL(ops, op, link);
}

static size_t count_ops(const struct op_list *ops)
{
	size_t count = 0;
	const struct op *op;
	TAILQ_FOREACH(op, ops, link)
		count++;
	return count;
}

/* Saves what can be saved of the progress of a turn that failed with `err`. */
static enum err save_progress(struct turn *t, struct op_list *progress, bool had_intake,
    enum err err)
{
	size_t count = count_ops(progress);
	if (count == 0)
		return OK;
	if (had_intake)
		err = write_first(t, progress, count);
	err = write_what_fits(t, progress, count, err);
	if (err == ERR_BROKEN)
		tell(progress, ERR_STORE);
	if (err == ERR_NOSPACE)
		rotate(progress);
	stage_again(t, progress);
	return err;
}

static void give_up_first(struct op_list *ops)
{
	struct op_list first = TAILQ_HEAD_INITIALIZER(first);
	struct op *op = TAILQ_FIRST(ops);
	TAILQ_REMOVE(ops, op, link);
	TAILQ_INSERT_TAIL(&first, op, link);
	tell(&first, ERR_NOSPACE);
}

/*
 * Writes requests that found no room together in smaller parts, so that one which is too large
 * fails alone. All are told. OK where any was written.
 */
static enum err write_apart(struct turn *t, struct op_list *intake)
{
	size_t left = count_ops(intake);
	size_t part = (left + 1) / 2;
	enum err result = ERR_NOSPACE;
	for (int failed = 0; left > 0 && failed < APART_MAX;) {
		part = part < left ? part : left;
		enum err err = write_first(t, intake, part);
		if (err == OK) {
			result = OK;
			left -= part;
			part *= 2;
			continue;
		}
		if (err != ERR_NOSPACE) {
			tell(intake, ERR_STORE);
			return err;
		}
		failed++;
		if (part == 1) {
			give_up_first(intake);
			left--;
		}
		part = (part + 1) / 2;
	}
	tell(intake, ERR_NOSPACE);
	return result;
}

void turn_set_journal(struct turn *t, const struct turn_journal *j, struct rows *rows)
{
	t->journal = *j;
	t->rows = rows;
}

bool turn_is_appending(const struct turn *t)
{
	return t->open != NULL;
}

/* The progress of `ops` found no room, alone: the file grows, or the next turns are smaller. */
static enum err make_room(struct turn *t, struct op_list *ops, size_t count)
{
	enum err grown = db_grow(t->db);
	if (grown != OK && count > 1)
		t->part_max = (count + 1) / 2;
	if (grown != OK)
		rotate(ops);
	return grown == ERR_BROKEN ? ERR_BROKEN : ERR_NOSPACE;
}

/*
 * The journal has not heard of these, whose transaction failed with `err`: requests are told,
 * progress is staged again.
 */
static enum err take_back(struct turn *t, struct op_list *ops, enum err err)
{
	struct op_list progress = TAILQ_HEAD_INITIALIZER(progress);
	move_class(ops, &progress, OP_PROGRESS);
	bool had_intake = !TAILQ_EMPTY(ops);
	tell(ops, err == ERR_NOSPACE ? ERR_NOSPACE : ERR_STORE);
	if (err == ERR_NOSPACE && !had_intake)
		err = make_room(t, &progress, count_ops(&progress));
	stage_again(t, &progress);
	return err;
}

/* The first half of a turn: its rows go to the journal. */
static enum err send(struct turn *t)
{
	struct op_list ops;
	if (t->open != NULL)
		return OK;
	take(t, &ops);
	enum err err = apply_all(t, &ops, &t->open);
	if (t->open != NULL)
		err = db_prepare(t->open);
	if (err == OK) {
		TAILQ_CONCAT(&t->sent, &ops, link);
		t->journal.append(t->journal.arg, t->rows);
		return OK;
	}
	if (t->open != NULL)
		db_abort(t->open);
	t->open = NULL;
	t->figures.failures++;
	log_error("turn failed, nothing of it was written", LOG_S("error", err_text(err)));
	return take_back(t, &ops, err);
}

/* The second half. */
void turn_answered(struct turn *t, enum err result)
{
	struct db_txn *txn = t->open;
	struct op_list ops = TAILQ_HEAD_INITIALIZER(ops);
	if (result == OK)
		result = t->journal.position(t->journal.arg, txn);
	if (result == OK)
		result = db_commit(txn);
	else
		db_abort(txn);
	t->open = NULL;
	TAILQ_CONCAT(&ops, &t->sent, link);
	if (result == OK) {
		t->part_max = t->part_max > SIZE_MAX / 2 ? SIZE_MAX : 2 * t->part_max;
		note_commit(t);
	} else {
		t->parted = true;
		t->figures.failures++;
	}
	tell(&ops, result == OK ? OK : ERR_STORE);
}

enum err turn_commit(struct turn *t)
{
	struct op_list ops;
	struct op_list progress = TAILQ_HEAD_INITIALIZER(progress);
	if (t->parted)
		return ERR_BROKEN;
	if (t->count == 0)
		return OK;
	if (t->journal.append != NULL)
		return send(t);
	take(t, &ops);
	enum err err = write_all(t, &ops);
	if (err == OK || err == ERR_BROKEN) {
		tell(&ops, err == OK ? OK : ERR_STORE);
		return err;
	}
	log_error("turn failed, nothing of it was written", LOG_S("error", err_text(err)));
	move_class(&ops, &progress, OP_PROGRESS);
	bool had_intake = !TAILQ_EMPTY(&ops);
	bool apart = err == ERR_NOSPACE && count_ops(&ops) > 1;
	if (!apart)
		tell(&ops, err == ERR_NOSPACE ? ERR_NOSPACE : ERR_STORE);
	enum err saved = save_progress(t, &progress, had_intake, err);
	if (saved == ERR_BROKEN)
		tell(&ops, ERR_STORE);
	if (saved == ERR_BROKEN || (saved == OK && !had_intake))
		return saved;
	enum err written = apart ? write_apart(t, &ops) : err;
	return written == OK ? saved : written;
}

void turn_refuse(struct turn *t)
{
	struct op_list intake = TAILQ_HEAD_INITIALIZER(intake);
	move_class(&t->staged, &intake, OP_INTAKE);
	t->count -= t->intake;
	t->intake = 0;
	tell(&intake, ERR_STORE);
}
