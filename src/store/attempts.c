/* The table of attempts; see attempts.h. */
#include "store/attempts.h"

#include "base/log.h"
#include "store/record.h"

#define KEY_SIZE (UUID_SIZE + 4)
#define ROW_COST 32 /* bytes that a row takes beside its record */

static struct slice make_key(const struct uuid *delivery, uint32_t number,
    unsigned char out[KEY_SIZE])
{
	memcpy(out, delivery->bytes, UUID_SIZE);
	for (int i = 0; i < 4; i++)
		out[UUID_SIZE + i] = (unsigned char)(number >> (24 - 8 * i));
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

/* Most come in the order of their keys, whose pages are then filled to the full. */
enum err attempts_put(struct db_txn *txn, const struct uuid *delivery, uint32_t number,
    struct slice record)
{
	unsigned char bytes[KEY_SIZE];
	struct slice key = make_key(delivery, number, bytes);
	enum err err = db_append(txn, DB_ATTEMPTS, key, record);
	return err == ERR_EXISTS ? db_put(txn, DB_ATTEMPTS, key, record) : err;
}

enum err attempts_decode(struct slice key, struct slice value, struct uuid *delivery,
    uint32_t *number, struct attempt_record *a)
{
	struct reader r = reader_of(key);
	*number = 0;
	struct slice id = get_bytes(&r, UUID_SIZE);
	uint32_t n = get_u32(&r);
	if (r.failed || r.left != 0)
		return ERR_CORRUPT;
	memcpy(delivery->bytes, id.ptr, UUID_SIZE);
	*number = n;
	enum err err = record_open(value, &r);
	return err == OK ? attempt_record_decode(&r, a) : err;
}

static bool is_of(struct slice key, const struct uuid *delivery)
{
	return slice_starts(key, uuid_slice(delivery));
}

enum err attempts_each(struct db_txn *txn, const struct uuid *delivery, uint32_t first,
    size_t max, bool (*fn)(void *arg, uint32_t number, const struct attempt_record *a),
    void *arg)
{
	unsigned char from[KEY_SIZE];
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_ATTEMPTS, &cursor);
	if (err != OK)
		return err == ERR_NOTFOUND ? OK : err;
	err = db_seek(cursor, make_key(delivery, first, from), &key, &value);
	for (size_t n = 0; err == OK && n < max && is_of(key, delivery); n++) {
		struct uuid id;
		uint32_t number = 0;
		struct attempt_record a;
		if (attempts_decode(key, value, &id, &number, &a) != OK)
			log_error("attempt cannot be read", LOG_N("attempt", number));
		else if (!fn(arg, number, &a))
			break;
		err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Whether a row lies in the range that ends with delivery `last`; malformed keys too. */
static bool is_before_end(struct slice key, const struct uuid *last)
{
	size_t n = key.len < UUID_SIZE ? key.len : UUID_SIZE;
	return memcmp(key.ptr, last->bytes, n) <= 0;
}

/* The keys of an event's attempts: from the first delivery's on, up to those of `last`. */
static struct slice event_range(const struct event *e, unsigned char from[KEY_SIZE],
    struct uuid *last)
{
	struct uuid first;
	uuid_step(&e->id, 1, &first);
	uuid_step(&e->id, e->deliveries, last);
	return make_key(&first, 0, from);
}

enum err attempts_cost(struct db_txn *txn, const struct event *e, uint64_t *out)
{
	unsigned char from[KEY_SIZE];
	struct uuid last;
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	uint64_t cost = 0;
	struct slice first = event_range(e, from, &last);
	enum err err = db_cursor(txn, DB_ATTEMPTS, &cursor);
	if (err == OK)
		err = db_seek(cursor, first, &key, &value);
	while (err == OK && is_before_end(key, &last)) {
		cost += value.len + ROW_COST;
		err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	*out = cost;
	return err == ERR_NOTFOUND ? OK : err;
}

/* Removes the first row from `from` on that is before the end. ERR_NOTFOUND: there is none. */
static enum err drop_first(struct db_txn *txn, struct db_cursor *cursor, struct slice from,
    const struct uuid *last)
{
	char copy[DB_KEY_MAX];
	struct slice key;
	struct slice value;
	enum err err = db_seek(cursor, from, &key, &value);
	if (err != OK || !is_before_end(key, last))
		return err == OK ? ERR_NOTFOUND : err;
	memcpy(copy, key.ptr, key.len); /* what it points to is about to change */
	return db_del(txn, DB_ATTEMPTS, (struct slice){copy, key.len});
}

enum err attempts_drop(struct db_txn *txn, const struct event *e, size_t *dropped)
{
	unsigned char from[KEY_SIZE];
	struct uuid last;
	struct db_cursor *cursor = NULL;
	struct slice first = event_range(e, from, &last);
	enum err err = db_cursor(txn, DB_ATTEMPTS, &cursor);
	while (err == OK) {
		err = drop_first(txn, cursor, first, &last);
		*dropped += err == OK ? 1 : 0;
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}
