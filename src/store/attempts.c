/* The table of attempts; see attempts.h. */
#include "store/attempts.h"

#include <strings.h>

#include "base/log.h"
#include "base/record.h"
#include "store/usage.h"

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

uint64_t attempts_row_cost(struct slice record)
{
	return record.len + ROW_COST;
}

/* Writes a row over one that may be there; *old is what that counted for. */
static enum err replace(struct db_txn *txn, struct slice key, struct slice record,
    uint64_t *old)
{
	struct slice value;
	enum err err = db_get(txn, DB_ATTEMPTS, key, &value);
	if (err == OK)
		*old = attempts_row_cost(value);
	return err == OK || err == ERR_NOTFOUND ? db_put(txn, DB_ATTEMPTS, key, record) : err;
}

uint64_t attempts_at(const struct uuid *delivery, uint32_t number)
{
	unsigned char key[KEY_SIZE];
	return record_at(DB_ATTEMPTS, make_key(delivery, number, key));
}

/* Most come in the order of their keys, whose pages are then filled to the full. */
enum err attempts_put(struct db_txn *txn, const struct event *e, const struct delivery *d,
    struct slice record)
{
	unsigned char bytes[KEY_SIZE];
	struct slice key = make_key(&d->id, d->attempts, bytes);
	struct event_state now;
	uint64_t old = 0;
	enum err err = events_state_by(txn, e, d, &now);
	if (err != OK)
		return err;
	err = db_append(txn, DB_ATTEMPTS, key, record);
	if (err == ERR_EXISTS)
		err = replace(txn, key, record, &old);
	if (err == OK)
		event_charge(txn, e, &now, (int64_t)attempts_row_cost(record) - (int64_t)old);
	return err;
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
	enum err err = record_open(value, record_at(DB_ATTEMPTS, key), &r);
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
		cost += attempts_row_cost(value);
		err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	*out = cost;
	return err == ERR_NOTFOUND ? OK : err;
}

/* Removes the first row from `from` on that is before the end. ERR_NOTFOUND: there is none. */
static enum err drop_first(struct db_txn *txn, struct db_cursor *cursor, struct slice from,
    const struct uuid *last, uint64_t *cost)
{
	char copy[DB_KEY_MAX];
	struct slice key;
	struct slice value;
	enum err err = db_seek(cursor, from, &key, &value);
	if (err != OK || !is_before_end(key, last))
		return err == OK ? ERR_NOTFOUND : err;
	memcpy(copy, key.ptr, key.len); /* what it points to is about to change */
	*cost += attempts_row_cost(value);
	return db_del(txn, DB_ATTEMPTS, (struct slice){copy, key.len});
}

enum err attempts_drop(struct db_txn *txn, const struct event *e, size_t *dropped,
    uint64_t *cost)
{
	unsigned char from[KEY_SIZE];
	struct uuid last;
	struct db_cursor *cursor = NULL;
	struct slice first = event_range(e, from, &last);
	enum err err = db_cursor(txn, DB_ATTEMPTS, &cursor);
	while (err == OK) {
		err = drop_first(txn, cursor, first, &last, cost);
		*dropped += err == OK ? 1 : 0;
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

#define VERSION 2
#define VERSION_BARE 1 /* without an exchange; all before there were any */

/* A duration as 32 bits have it. */
static void put_us(struct buf *out, int64_t us)
{
	put_u32(out, us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us);
}

static void put_cut(struct buf *out, struct slice s, size_t max)
{
	put_text(out, (struct slice){s.ptr, s.len < max ? s.len : max});
}

/* Cuts lines off behind the last whole one that there is room for. */
static struct slice whole_lines(struct slice s, size_t max)
{
	while (s.len > max || (s.len > 0 && s.ptr[s.len - 1] != '\n'))
		s.len--;
	return s;
}

static void put_exchange(struct buf *out, const struct attempt_exchange *x)
{
	put_u16(out, x->http_version);
	put_cut(out, x->tls, ATTEMPT_TLS_MAX);
	put_cut(out, x->subject, ATTEMPT_SUBJECT_MAX);
	put_i64(out, x->expires_ms);
	put_text(out, whole_lines(x->sent, ATTEMPT_HEADERS_MAX));
	put_text(out, whole_lines(x->answered, ATTEMPT_HEADERS_MAX));
}

void attempt_record_encode(const struct attempt_record *a, struct buf *out)
{
	put_u8(out, a->has_exchange ? VERSION : VERSION_BARE);
	put_i64(out, a->at_ms);
	put_us(out, a->duration_us);
	put_us(out, a->dns_us);
	put_us(out, a->connect_us);
	put_us(out, a->tls_us);
	put_us(out, a->first_byte_us);
	put_u16(out, (uint16_t)a->status);
	buf_append(out, a->webhook_id.bytes, UUID_SIZE);
	put_cut(out, a->url, URL_MAX);
	put_cut(out, a->address, ATTEMPT_ADDRESS_MAX);
	put_cut(out, a->error, ATTEMPT_ERROR_MAX);
	put_cut(out, a->answer, ATTEMPT_ANSWER_MAX);
	if (a->has_exchange)
		put_exchange(out, &a->exchange);
}

static struct slice get_cut(struct reader *r, size_t max)
{
	struct slice s = get_text(r);
	if (s.len > max)
		r->failed = true;
	return s;
}

static void get_exchange(struct reader *r, struct attempt_exchange *x)
{
	x->http_version = get_u16(r);
	x->tls = get_cut(r, ATTEMPT_TLS_MAX);
	x->subject = get_cut(r, ATTEMPT_SUBJECT_MAX);
	x->expires_ms = get_i64(r);
	x->sent = get_cut(r, ATTEMPT_HEADERS_MAX);
	x->answered = get_cut(r, ATTEMPT_HEADERS_MAX);
}

enum err attempt_record_decode(struct reader *r, struct attempt_record *a)
{
	uint8_t version = get_u8(r);
	if (version < VERSION_BARE || version > VERSION)
		return ERR_CORRUPT;
	a->at_ms = get_i64(r);
	a->duration_us = get_u32(r);
	a->dns_us = get_u32(r);
	a->connect_us = get_u32(r);
	a->tls_us = get_u32(r);
	a->first_byte_us = get_u32(r);
	a->status = get_u16(r);
	struct slice id = get_bytes(r, UUID_SIZE);
	memcpy(a->webhook_id.bytes, id.ptr, id.len);
	a->url = get_cut(r, URL_MAX);
	a->address = get_cut(r, ATTEMPT_ADDRESS_MAX);
	a->error = get_cut(r, ATTEMPT_ERROR_MAX);
	a->answer = get_cut(r, ATTEMPT_ANSWER_MAX);
	a->exchange = (struct attempt_exchange){0};
	a->has_exchange = version == VERSION;
	if (a->has_exchange)
		get_exchange(r, &a->exchange);
	return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
}

bool attempt_next_header(struct slice *headers, struct slice *name, struct slice *value)
{
	if (headers->len == 0)
		return false;
	*value = slice_cut(headers, '\n');
	*name = slice_cut(value, ':');
	*value = slice_trim(*value);
	return true;
}

struct slice attempt_header(struct slice headers, const char *name)
{
	struct slice each;
	struct slice value;
	while (attempt_next_header(&headers, &each, &value)) {
		if (each.len == strlen(name) && strncasecmp(each.ptr, name, each.len) == 0)
			return value;
	}
	return (struct slice){0};
}
