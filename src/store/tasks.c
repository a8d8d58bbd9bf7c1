/*
 * Records of tasks; see tasks.h. The record: version (1), state (1), statuses (1), since
 * (8), until (8), started (8), finished (8), position (16), last (16), webhook id (16),
 * scheduled (8), looked at (8). That of a deletion has version 2 and what it removed behind it,
 * seven counts (8 each). To change it: raise VERSION and decode the old form as well.
 */
#include "store/tasks.h"

#include "base/log.h"
#include "base/record.h"

#define VERSION 1
#define VERSION_FORGET 2
#define REMOVED_COUNT 7
#define KEY_MAX (8 + 1 + SESSION_MAX)
#define RECORD_MAX 192 /* bytes; it has a fixed size below it */

static void put_key(const struct task_key *key, struct buf *out)
{
	bool numbered = key->kind == TASK_REPLAY;
	put_u64(out, numbered ? key->webhook : 0);
	if (numbered)
		return;
	put_u8(out, (uint8_t)key->kind);
	buf_slice(out, slice_of(key->session));
}

static enum err parse_key(struct slice key, struct task_key *out)
{
	struct reader r = reader_of(key);
	*out = (struct task_key){.webhook = get_u64(&r), .kind = TASK_REPLAY};
	if (out->webhook != 0)
		return r.failed || r.left != 0 ? ERR_CORRUPT : OK;
	uint8_t kind = get_u8(&r);
	struct slice session = get_bytes(&r, r.left);
	if (r.failed || kind < TASK_REPLAY_LETTERS || kind > TASK_DELETE_SESSION ||
	    !name_is_kept(session))
		return ERR_CORRUPT;
	out->kind = kind;
	memcpy(out->session, session.ptr, session.len);
	return OK;
}

/* The counts of a deletion, in the order of the record. */
static void counts_of(struct task *r, uint64_t *out[REMOVED_COUNT])
{
	struct removed *n = &r->removed;
	uint64_t *const counts[REMOVED_COUNT] = {&n->webhooks, &n->sources, &n->dead_letters,
	    &n->events, &n->deliveries, &n->attempts, &n->keys};
	memcpy(out, counts, sizeof(counts));
}

static uint8_t version_of(const struct task_key *key)
{
	return key->kind == TASK_DELETE_SESSION ? VERSION_FORGET : VERSION;
}

static void get_removed(struct reader *r, struct task *out)
{
	uint64_t *counts[REMOVED_COUNT];
	counts_of(out, counts);
	for (size_t i = 0; i < REMOVED_COUNT; i++)
		*counts[i] = get_u64(r);
}

static void get_id(struct reader *r, struct uuid *out)
{
	struct slice id = get_bytes(r, UUID_SIZE);
	memcpy(out->bytes, id.ptr, id.len);
}

enum err tasks_decode(struct slice key, struct slice value, struct task *out)
{
	struct reader r;
	struct task found = {0};
	enum err err = parse_key(key, &found.key);
	if (err == OK)
		err = record_open(value, record_at(DB_TASKS, key), &r);
	if (err != OK)
		return err;
	if (get_u8(&r) != version_of(&found.key))
		return ERR_CORRUPT;
	uint8_t state = get_u8(&r);
	found.statuses = get_u8(&r);
	found.since_ms = get_i64(&r);
	found.until_ms = get_i64(&r);
	found.started_ms = get_i64(&r);
	found.finished_ms = get_i64(&r);
	get_id(&r, &found.position);
	get_id(&r, &found.last);
	get_id(&r, &found.webhook);
	found.scheduled = get_u64(&r);
	found.looked_at = get_u64(&r);
	if (found.key.kind == TASK_DELETE_SESSION)
		get_removed(&r, &found);
	if (r.failed || r.left != 0 || state < TASK_RUNNING || state > TASK_CANCELLED ||
	    (found.statuses & ~REPLAY_ALL) != 0)
		return ERR_CORRUPT;
	found.state = state;
	*out = found;
	return OK;
}

static void encode(const struct task *r, struct buf *out)
{
	struct task copy = *r; /* its counts are found through pointers */
	uint64_t *counts[REMOVED_COUNT];
	put_u8(out, version_of(&r->key));
	put_u8(out, (uint8_t)r->state);
	put_u8(out, r->statuses);
	put_i64(out, r->since_ms);
	put_i64(out, r->until_ms);
	put_i64(out, r->started_ms);
	put_i64(out, r->finished_ms);
	buf_append(out, r->position.bytes, UUID_SIZE);
	buf_append(out, r->last.bytes, UUID_SIZE);
	buf_append(out, r->webhook.bytes, UUID_SIZE);
	put_u64(out, r->scheduled);
	put_u64(out, r->looked_at);
	counts_of(&copy, counts);
	for (size_t i = 0; r->key.kind == TASK_DELETE_SESSION && i < REMOVED_COUNT; i++)
		put_u64(out, *counts[i]);
}

enum err tasks_get(struct db_txn *txn, const struct task_key *key, struct task *out)
{
	struct slice value;
	struct buf k = BUF_INIT(KEY_MAX);
	put_key(key, &k);
	enum err err = db_get(txn, DB_TASKS, buf_view(&k), &value);
	if (err == OK)
		err = tasks_decode(buf_view(&k), value, out);
	buf_fini(&k);
	return err;
}

enum err tasks_put(struct db_txn *txn, const struct task *r)
{
	struct buf k = BUF_INIT(KEY_MAX);
	struct buf value = BUF_INIT(RECORD_MAX);
	put_key(&r->key, &k);
	encode(r, &value);
	record_seal(&value, record_at(DB_TASKS, buf_view(&k)));
	enum err err = db_put(txn, DB_TASKS, buf_view(&k), buf_view(&value));
	buf_fini(&value);
	buf_fini(&k);
	return err;
}

enum err tasks_del(struct db_txn *txn, const struct task_key *key)
{
	struct buf k = BUF_INIT(KEY_MAX);
	put_key(key, &k);
	enum err err = db_del(txn, DB_TASKS, buf_view(&k));
	buf_fini(&k);
	return err;
}

enum err tasks_each(struct db_txn *txn, void (*fn)(void *arg, const struct task *r), void *arg)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_TASKS, &cursor);
	if (err != OK)
		return err;
	for (err = db_next(cursor, &key, &value); err == OK;
	     err = db_next(cursor, &key, &value)) {
		struct task r;
		if (tasks_decode(key, value, &r) != OK)
			log_error("replay cannot be read", LOG_S("table", "replays"));
		else
			fn(arg, &r);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}
