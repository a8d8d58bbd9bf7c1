/* The table of sources and its mirror; see sources.h. */
#include "store/sources.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"

struct sources {
	struct map *by_id;   /* owns the entries */
	struct map *by_door; /* the same */
};

struct sources *sources_new(void)
{
	struct sources *all = mem_new(sizeof(*all));
	all->by_id = map_new();
	all->by_door = map_new();
	return all;
}

static void free_entry(void *entry, void *arg)
{
	struct source_entry *e = entry;
	(void)arg;
	source_free(e->source);
	free(e);
}

void sources_free(struct sources *all)
{
	if (all == NULL)
		return;
	map_each(all->by_id, free_entry, NULL);
	map_free(all->by_id);
	map_free(all->by_door);
	free(all);
}

static void leave_door(struct sources *all, const struct source_entry *e)
{
	(void)map_del(all->by_door, e->source->door, strlen(e->source->door)); /* is `e` */
}

void sources_set(struct sources *all, struct source *s)
{
	struct source_entry *e = sources_find(all, &s->id);
	if (e == NULL) {
		e = mem_new(sizeof(*e));
		map_put(all->by_id, s->id.bytes, UUID_SIZE, e);
	} else {
		leave_door(all, e);
		source_free(e->source);
	}
	e->source = s;
	map_put(all->by_door, s->door, strlen(s->door), e);
}

void sources_drop(struct sources *all, const struct uuid *id)
{
	struct source_entry *e = map_del(all->by_id, id->bytes, UUID_SIZE);
	if (e == NULL)
		return;
	leave_door(all, e);
	free_entry(e, NULL);
}

struct source_entry *sources_find(const struct sources *all, const struct uuid *id)
{
	return map_get(all->by_id, id->bytes, UUID_SIZE);
}

struct source_entry *sources_at_door(const struct sources *all, struct slice door)
{
	return map_get(all->by_door, door.ptr, door.len);
}

void sources_note_refusal(struct source_entry *e, const char *why)
{
	struct source_figures *f = &e->figures;
	f->last_refused_ms = clock_wall_ms();
	(void)snprintf(f->last_refused, sizeof(f->last_refused), "%.*s",
	    (int)sizeof(f->last_refused) - 1, why);
}

size_t sources_count(const struct sources *all)
{
	return map_count(all->by_id);
}

void sources_each(const struct sources *all, void (*fn)(void *entry, void *arg), void *arg)
{
	map_each(all->by_id, fn, arg);
}

static struct slice key_of(const struct uuid *id)
{
	return (struct slice){(const char *)id->bytes, UUID_SIZE};
}

enum err sources_put(struct db_txn *txn, const struct vault *vault, const struct source *s)
{
	unsigned char nonce[VAULT_NONCE_SIZE];
	struct buf value = BUF_INIT(2 * SOURCE_RECORD_MAX);
	rnd_secret(nonce, sizeof(nonce));
	source_encode(s, vault, nonce, &value);
	record_seal(&value, record_at(DB_SOURCES, key_of(&s->id)));
	panic_if(value.failed, "source record over its limit");
	enum err err = db_put(txn, DB_SOURCES, key_of(&s->id), buf_view(&value));
	mem_wipe(value.data, value.len);
	buf_fini(&value);
	return err;
}

/* Decodes the row that lies under `at`; *key names the vault's key. */
static enum err decode(struct slice at, struct slice value, const struct vault *vault,
    struct vault_id *key, struct source **out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_SOURCES, at), &r);
	return err == OK ? source_decode(&r, vault, key, out) : err;
}

enum err sources_get(struct db_txn *txn, const struct vault *vault, const struct uuid *id,
    struct source **out)
{
	struct slice value;
	struct vault_id key;
	enum err err = db_get(txn, DB_SOURCES, key_of(id), &value);
	if (err == OK)
		err = decode(key_of(id), value, vault, &key, out);
	return err == ERR_REFUSED ? ERR_CORRUPT : err;
}

/* The key of a source's position, behind that of the source. */
static struct slice position_key(const struct uuid *id, char out[UUID_SIZE + 1])
{
	memcpy(out, id->bytes, UUID_SIZE);
	out[UUID_SIZE] = 'p';
	return (struct slice){out, UUID_SIZE + 1};
}

static bool is_position(struct slice key)
{
	return key.len == UUID_SIZE + 1 && key.ptr[UUID_SIZE] == 'p';
}

/* The stream's name, as its row has it. */
static const char *stream_of(const struct source *s)
{
	return source_nats(s) == NULL ? "" : source_nats(s)->stream;
}

static enum err decode_position(struct slice key, struct slice value,
    struct source_position *out, struct slice *stream)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_SOURCES, key), &r);
	if (err != OK)
		return err;
	struct source_position position = {.stream = get_u64(&r)};
	position.seq = get_u64(&r);
	*stream = get_text(&r);
	if (r.failed || r.left != 0)
		return ERR_CORRUPT;
	*out = position;
	return OK;
}

enum err sources_get_position(struct db_txn *txn, const struct source *s,
    struct source_position *out)
{
	char key[UUID_SIZE + 1];
	struct slice value;
	struct slice stream;
	struct source_position position;
	enum err err = OK;
	*out = (struct source_position){0};
	struct slice row = position_key(&s->id, key);
	if (!s->is_configured)
		err = db_get(txn, DB_SOURCES, key_of(&s->id), &value);
	if (err != OK)
		return err;
	err = db_get(txn, DB_SOURCES, row, &value);
	if (err == OK)
		err = decode_position(row, value, &position, &stream);
	if (err == OK && slice_eq(stream, slice_of(stream_of(s))))
		*out = position;
	return err == ERR_NOTFOUND ? OK : err;
}

enum err sources_put_position(struct db_txn *txn, const struct source *s,
    const struct source_position *position)
{
	char key[UUID_SIZE + 1];
	struct buf value = BUF_INIT(64 + NATS_NAME_MAX);
	put_u64(&value, position->stream);
	put_u64(&value, position->seq);
	put_text(&value, slice_of(stream_of(s)));
	struct slice row = position_key(&s->id, key);
	record_seal(&value, record_at(DB_SOURCES, row));
	enum err err = db_put(txn, DB_SOURCES, row, buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err sources_del(struct db_txn *txn, const struct uuid *id)
{
	char key[UUID_SIZE + 1];
	enum err err = db_del(txn, DB_SOURCES, position_key(id, key));
	return err == OK || err == ERR_NOTFOUND ? db_del(txn, DB_SOURCES, key_of(id)) : err;
}

enum err sources_check(struct slice key, struct slice value)
{
	struct vault_id id;
	struct source *s = NULL;
	struct source_position position;
	struct slice stream;
	if (is_position(key))
		return decode_position(key, value, &position, &stream);
	enum err err = key.len == UUID_SIZE ? decode(key, value, NULL, &id, &s) : ERR_CORRUPT;
	bool is_same = s == NULL || memcmp(s->id.bytes, key.ptr, UUID_SIZE) == 0;
	source_free(s);
	return err == ERR_REFUSED || (err == OK && is_same) ? OK : ERR_CORRUPT;
}

enum err sources_records(struct db_txn *txn, uint64_t *out)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	*out = 0;
	enum err err = db_cursor(txn, DB_SOURCES, &cursor);
	if (err != OK)
		return err;
	err = db_seek_behind(cursor, SLICE(""), &key, &value);
	for (; err == OK; err = db_next(cursor, &key, &value))
		*out += is_position(key) ? 0 : 1;
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

/* What is loaded, in the order of keys until it is sorted. */
struct loading {
	struct source **list;
	size_t count;
	size_t cap;
	bool renews; /* one of them is not under the first key */
};

static enum err load_row(struct loading *l, const struct vault *vault, struct slice row,
    struct slice value, struct problem *p)
{
	char name[VAULT_ID_TEXT_SIZE];
	struct vault_id current = vault_current(vault);
	struct vault_id key;
	struct source *s = NULL;
	enum err err = decode(row, value, vault, &key, &s);
	if (err == ERR_REFUSED) {
		vault_put_id(&key, name);
		return problem_set(p, err, "secret_key",
		    "a source is encrypted under the key %s, which neither secret_key nor "
		    "secret_key_file has",
		    name);
	}
	if (err != OK)
		return problem_set(p, err, "data",
		    "the record of a source is damaged; "
		    "waybill fsck says which");
	if (source_refusal(s) != NULL)
		log_warn("this version does not take a source's settings: it is disabled",
		    LOG_S("source", source_name(s)), LOG_S("error", source_refusal(s)));
	if (l->count == l->cap) {
		l->cap = l->cap == 0 ? 16 : l->cap * 2;
		l->list = mem_resize(l->list, l->cap, sizeof(*l->list));
	}
	l->list[l->count++] = s;
	l->renews = l->renews || !vault_same(&key, &current);
	return OK;
}

static enum err load_rows(struct loading *l, struct db *db, const struct vault *vault,
    struct problem *p)
{
	struct db_txn *txn = NULL;
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	p->message[0] = '\0';
	enum err err = db_read(db, &txn);
	if (err != OK)
		return err;
	err = db_cursor(txn, DB_SOURCES, &cursor);
	if (err == OK) {
		err = db_seek_behind(cursor, SLICE(""), &key, &value);
		while (err == OK) {
			err = is_position(key) ? OK : load_row(l, vault, key, value, p);
			if (err == OK)
				err = db_next(cursor, &key, &value);
		}
		db_cursor_close(cursor);
	}
	db_read_end(txn);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Writes them all under the first key. */
static enum err renew(const struct loading *l, struct db *db, const struct vault *vault)
{
	struct db_txn *txn = NULL;
	enum err err = db_begin(db, &txn);
	if (err != OK)
		return err;
	for (size_t i = 0; err == OK && i < l->count; i++)
		err = sources_put(txn, vault, l->list[i]);
	if (err != OK) {
		db_abort(txn);
		return err;
	}
	return db_commit(txn);
}

static int by_age(const void *a, const void *b)
{
	const struct source *left = *(struct source *const *)a;
	const struct source *right = *(struct source *const *)b;
	if (left->created_ms != right->created_ms)
		return left->created_ms < right->created_ms ? -1 : 1;
	return memcmp(left->id.bytes, right->id.bytes, UUID_SIZE);
}

/* An error that nobody has put into words yet. */
static enum err in_words(enum err err, struct problem *p)
{
	if (err == OK || p->message[0] != '\0')
		return err;
	return problem_set(p, err, "data", "cannot read the sources: %s", err_text(err));
}

enum err sources_load(struct sources *all, struct db *db, const struct vault *vault,
    struct problem *p)
{
	struct loading l = {0};
	enum err err = load_rows(&l, db, vault, p);
	if (err == OK && l.renews)
		err = renew(&l, db, vault);
	err = in_words(err, p);
	if (l.count > 1)
		qsort(l.list, l.count, sizeof(*l.list), by_age);
	for (size_t i = 0; i < l.count; i++) {
		if (err == OK)
			sources_set(all, l.list[i]);
		else
			source_free(l.list[i]);
	}
	free(l.list);
	return err;
}

enum err sources_try(struct db *db, const struct vault *vault, struct problem *p)
{
	struct loading l = {0};
	enum err err = in_words(load_rows(&l, db, vault, p), p);
	for (size_t i = 0; i < l.count; i++)
		source_free(l.list[i]);
	free(l.list);
	return err;
}
