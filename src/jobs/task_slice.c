/*
 * Slices; see task_slice.h. Each first gathers what it is about and then writes: a cursor
 * lends what it points at only until the next write.
 */
#include "jobs/task_slice.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/webhooks.h"

#define LOOK_MAX 2000            /* rows looked at a turn, most of them of others */
#define KEY_BYTES_MAX (4u << 20) /* of events read for their lanes; then the slice is over */

/* Where a task was before it looked at a delivery. */
struct mark {
	struct uuid position;
	uint64_t looked_at;
};

/* What a slice found. */
struct batch {
	struct delivery deliveries[TASK_SLICE_MAX];
	struct mark marks[TASK_SLICE_MAX]; /* one a delivery */
	struct uuid letters[TASK_SLICE_MAX];
	size_t count;
};

/* Whether a task on dead letters is about this one, of any of its webhooks. */
static bool is_wanted(const struct task *r, const struct dead_letter *dead)
{
	static const struct uuid ANY;
	return uuid_eq(&r->webhook, &ANY) || uuid_eq(&r->webhook, &dead->webhook_id);
}

/* Adds a row of DB_DELIVERIES to the batch, if the task is about it. */
static void look_at_delivery(struct task *r, const struct uuid *id, struct slice value,
    struct batch *b)
{
	struct delivery *d = &b->deliveries[b->count];
	if (queue_decode(id, value, d) != OK) {
		char text[UUID_TEXT_SIZE];
		uuid_format(id, text);
		log_error("delivery cannot be read", LOG_S("delivery", text),
		    LOG_S("error", err_text(ERR_CORRUPT)));
		return;
	}
	if (d->webhook != r->key.webhook)
		return;
	b->marks[b->count] = (struct mark){.position = r->position, .looked_at = r->looked_at};
	r->looked_at++;
	b->count += (r->statuses & REPLAY_STATUS(d->status)) != 0 ? 1 : 0;
}

static enum err gather_deliveries(struct db_txn *txn, struct task *r,
    const struct task_slice *s, struct batch *b, bool *ended)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_DELIVERIES, &cursor);
	if (err != OK)
		return err;
	err = db_seek(cursor, uuid_slice(&r->position), &key, &value);
	if (err == OK && slice_eq(key, uuid_slice(&r->position)))
		err = db_next(cursor, &key, &value);
	for (int n = 0; err == OK && n < LOOK_MAX && b->count < s->max; n++) {
		struct uuid id = {0};
		memcpy(id.bytes, key.ptr, key.len < UUID_SIZE ? key.len : UUID_SIZE);
		*ended = uuid_time(&id) >= r->until_ms;
		if (*ended)
			break;
		if (key.len == UUID_SIZE)
			look_at_delivery(r, &id, value, b);
		r->position = id;
		err = db_next(cursor, &key, &value);
	}
	*ended = *ended || err == ERR_NOTFOUND;
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

/* How much of its event is read to find the lane of `d`. */
static size_t key_bytes_of(struct db_txn *txn, const struct webhook *w,
    const struct delivery *d)
{
	struct event e = {.body_bytes = 0};
	if (w->key != NULL && events_get(txn, &d->event_id, &e, NULL) != OK)
		return 0; /* nothing of it can be read */
	return e.body_bytes;
}

/*
 * Puts `d` into its queue, unless its event is gone. s->full where its session may hold no more
 * of the store.
 */
static enum err send_again(struct db_txn *txn, struct slice session, struct delivery *d,
    const struct webhook *w, struct task *r, struct task_slice *s)
{
	s->key_bytes += key_bytes_of(txn, w, d);
	enum err err = resend_delivery(txn, session, d, w, s->now_ms);
	s->full = err == ERR_FULL || (err == ERR_NOSPACE && db_txn_error(txn) == OK);
	if (err != OK)
		return err == ERR_NOTFOUND || s->full ? OK : err;
	r->scheduled++;
	s->queued[s->queued_count++] = (struct replayed){.webhook = d->webhook,
	    .place = queue_place_of(d)};
	return OK;
}

static enum err run_deliveries(struct db_txn *txn, struct task *r, struct task_slice *s,
    struct batch *b)
{
	struct webhook *w = NULL;
	enum err err = webhooks_get_open(txn, r->key.webhook, &w);
	if (err == OK && w->deleted)
		err = ERR_NOTFOUND;
	if (err == OK)
		err = gather_deliveries(txn, r, s, b, &s->ended);
	for (size_t i = 0; err == OK && i < b->count && !s->full; i++) {
		bool enough = s->key_bytes >= KEY_BYTES_MAX;
		if (!enough)
			err = send_again(txn, slice_of(w->session), &b->deliveries[i], w, r, s);
		if (s->full || enough) { /* goes on there */
			r->position = b->marks[i].position;
			r->looked_at = b->marks[i].looked_at;
			s->ended = false;
			break;
		}
	}
	webhook_free(w);
	return err;
}

/* One step of the walk over a session's dead letters: false at the last that counts. */
static bool parse_letter(const struct task *r, struct slice key, struct slice value,
    struct dead_letter *dead, bool *readable)
{
	struct slice session;
	*readable = dead_letters_decode(key, value, &session, dead) == OK;
	return slice_eq(session, slice_of(r->key.session)) && !uuid_before(&r->last, &dead->id);
}

/* Walks the dead letters behind r->position: `fn` is called for those that it is about. */
static enum err walk_letters(struct db_txn *txn, struct task *r, size_t look, bool *ended,
    bool (*fn)(void *arg, const struct uuid *letter), void *arg)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct buf from = BUF_INIT(DB_KEY_MAX);
	enum err err = db_cursor(txn, DB_DEAD, &cursor);
	if (err != OK)
		return err;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	buf_puts(&from, r->key.session);
	buf_putc(&from, '\0');
	buf_slice(&from, uuid_slice(&r->position));
	err = db_seek_behind(cursor, buf_view(&from), &key, &value);
	bool goes_on = true;
	for (size_t n = 0; err == OK && n < look && goes_on; n++) {
		bool readable = false;
		*ended = !parse_letter(r, key, value, dead, &readable);
		if (*ended)
			break;
		r->position = dead->id;
		/* one that cannot be read is nobody's, but is dropped with all others */
		if (readable ? is_wanted(r, dead) : r->key.kind == TASK_DROP_LETTERS)
			goes_on = fn(arg, &dead->id);
		err = db_next(cursor, &key, &value);
	}
	*ended = *ended || err == ERR_NOTFOUND;
	buf_fini(&from);
	free(dead);
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

struct letters {
	struct batch *batch;
	size_t max;
};

static bool add_letter(void *arg, const struct uuid *letter)
{
	struct letters *l = arg;
	l->batch->letters[l->batch->count++] = *letter;
	return l->batch->count < l->max;
}

/* Sends the delivery of a dead letter again, if its webhook is still there. */
static enum err replay_letter(struct db_txn *txn, struct task *r, const struct uuid *letter,
    struct task_slice *s, struct dead_letter *dead)
{
	struct delivery d = {0};
	struct webhook *w = NULL;
	struct slice session = slice_of(r->key.session);
	enum err err = dead_letters_get(txn, session, letter, dead);
	if (err == OK)
		err = queue_get(txn, &dead->delivery_id, &d);
	if (err == OK)
		err = webhooks_get_open(txn, d.webhook, &w);
	d.letter = *letter;
	if (err == OK && !w->deleted && d.status == DELIVERY_DEAD)
		err = send_again(txn, session, &d, w, r, s);
	webhook_free(w);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

static enum err run_letters(struct db_txn *txn, struct task *r, struct task_slice *s,
    struct batch *b)
{
	struct letters found = {.batch = b, .max = s->max};
	enum err err = walk_letters(txn, r, LOOK_MAX, &s->ended, add_letter, &found);
	struct dead_letter *dead = mem_new(sizeof(*dead));
	r->looked_at += b->count;
	for (size_t i = 0; err == OK && i < b->count; i++) {
		if (s->key_bytes >= KEY_BYTES_MAX) { /* goes on there */
			r->position = b->letters[i - 1];
			r->looked_at -= b->count - i;
			s->ended = false;
			break;
		}
		if (r->key.kind == TASK_REPLAY_LETTERS) {
			err = replay_letter(txn, r, &b->letters[i], s, dead);
			continue;
		}
		err = retention_drop_dead(txn, slice_of(r->key.session), &b->letters[i],
		    s->now_ms);
		r->scheduled += err == OK ? 1 : 0;
	}
	free(dead);
	return err;
}

enum err task_slice_run(struct db_txn *txn, struct task *r, struct task_slice *s)
{
	struct batch *b = mem_new(sizeof(*b));
	enum err err = OK;
	s->queued_count = 0;
	s->key_bytes = 0;
	s->ended = false;
	s->full = false;
	switch (r->key.kind) {
	case TASK_REPLAY:
		err = run_deliveries(txn, r, s, b);
		break;
	case TASK_REPLAY_LETTERS:
	case TASK_DROP_LETTERS:
		err = run_letters(txn, r, s, b);
		break;
	case TASK_DELETE_SESSION: /* the forgetter's */
		break;
	}
	free(b);
	return err;
}

static bool count_letter(void *arg, const struct uuid *letter)
{
	(void)letter;
	++*(size_t *)arg;
	return true;
}

enum err task_slice_count_letters(struct db_txn *txn, const struct task *r, size_t max,
    size_t *count, bool *more)
{
	struct task walked = *r;
	bool ended = false;
	*count = 0;
	enum err err = walk_letters(txn, &walked, max, &ended, count_letter, count);
	*more = !ended;
	return err;
}
