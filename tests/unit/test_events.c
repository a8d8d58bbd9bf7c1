/*
 * Events in pieces: bodies around every boundary, heads alone, releases that count, and
 * damage that is noticed and holds nobody else up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/events.h"
#include "support.h"

#define PIECE 4000 /* bytes of a piece at most; events.h */
#define EACH 3992  /* of these for the body, where there is no head: a checksum of 8 is off */
#define HEAD 33    /* bytes of the head besides its names */

static struct event make_event(uint64_t n, const char *session, const char *name, size_t bytes)
{
	struct event e = {.id = make_id(n),
	    .created_ms = 1767225600000,
	    .deliveries = 3,
	    .open = 3,
	    .body_bytes = (uint32_t)bytes};
	(void)snprintf(e.session, sizeof(e.session), "%s", session);
	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	return e;
}

/* The same `bytes` bytes for the same `n`; the caller's to free. */
static char *make_body(uint64_t n, size_t bytes)
{
	struct rnd rnd;
	char *body = mem_array(bytes + 8, 1);
	rnd_seed(&rnd, n);
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t word = rnd_next(&rnd);
		memcpy(body + i, &word, 8);
	}
	return body;
}

static void put_event(struct db_txn *txn, const struct event *e)
{
	char *body = make_body(e->id.bytes[15], e->body_bytes);
	assert_int_equal(events_put(txn, e, (struct slice){body, e->body_bytes}), OK);
	free(body);
}

/* Reads the body in parts that begin and end anywhere. */
static void check_parts(struct db_txn *txn, const struct event *e, const char *want)
{
	static const size_t PARTS[] = {1u << 22, 65536, 4096, 3991};
	char *got = malloc((1u << 22) + 1);
	for (size_t i = 0; i < COUNT(PARTS); i++) {
		size_t n = 1;
		for (size_t offset = 0; n > 0; offset += n) {
			assert_int_equal(
			    events_read_body(txn, &e->id, offset, got, PARTS[i], &n), OK);
			assert_true(offset + n <= e->body_bytes);
			assert_memory_equal(got, want + offset, n);
			assert_int_equal(n == 0, offset == e->body_bytes);
		}
	}
	free(got);
}

/* Reads event `e` in both ways and compares all of it. */
static void check_event(struct db_txn *txn, const struct event *e)
{
	char *want = make_body(e->id.bytes[15], e->body_bytes);
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	buf_puts(&body, "what was there before");
	for (int head_alone = 0; head_alone <= 1; head_alone++) {
		struct event got = {.created_ms = -1};
		assert_int_equal(events_get(txn, &e->id, &got, head_alone ? NULL : &body), OK);
		assert_memory_equal(got.id.bytes, e->id.bytes, UUID_SIZE);
		assert_string_equal(got.session, e->session);
		assert_string_equal(got.name, e->name);
		assert_true(got.created_ms == e->created_ms);
		assert_int_equal(got.deliveries, e->deliveries);
		assert_int_equal(got.open, e->open);
		assert_int_equal(got.body_bytes, e->body_bytes);
	}
	assert_int_equal(body.len, e->body_bytes);
	if (e->body_bytes > 0)
		assert_memory_equal(body.data, want, e->body_bytes);
	check_parts(txn, e, want);
	buf_fini(&body);
	free(want);
}

/* Checks that no value of the table is larger than a piece; returns how many there are. */
static size_t count_pieces(struct db_txn *txn)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	size_t n = 0;
	assert_int_equal(db_cursor(txn, DB_EVENTS, &c), OK);
	for (; db_next(c, &key, &value) == OK; n++)
		assert_true(value.len <= PIECE);
	db_cursor_close(c);
	return n;
}

static void test_boundaries(void **state)
{
	struct store *s = *state;
	char session[SESSION_MAX + 1] = {0};
	char name[EVENT_MAX + 1] = {0};
	memset(session, 's', SESSION_MAX);
	memset(name, 'n', EVENT_MAX);
	const struct {
		const char *session, *name;
	} NAMES[] = {{"s", "e"}, {session, name}};
	for (size_t row = 0; row < COUNT(NAMES); row++) {
		size_t first = EACH - HEAD - strlen(NAMES[row].session) -
		    strlen(NAMES[row].name);
		const size_t sizes[] = {0, 1, 2, first - 1, first, first + 1, first + EACH - 1,
		    first + EACH, first + EACH + 1, first + 2 * EACH, first + 2 * EACH + 1,
		    first + 100 * EACH, EVENT_BODY_MAX};
		for (size_t i = 0; i < COUNT(sizes); i++) {
			size_t rest = sizes[i] > first ? sizes[i] - first : 0;
			struct event e = make_event(i, NAMES[row].session, NAMES[row].name,
			    sizes[i]);
			struct db_txn *txn = store_begin(s);
			put_event(txn, &e);
			check_event(txn, &e);
			store_commit(txn);
			txn = store_begin(s);
			check_event(txn, &e);
			if (count_pieces(txn) != 1 + (rest + EACH - 1) / EACH)
				fail_msg("names %zu, %zu bytes", row, sizes[i]);
			assert_int_equal(events_drop(txn, &e.id), OK);
			if (count_pieces(txn) != 0)
				fail_msg("names %zu, %zu bytes: not all dropped", row,
				    sizes[i]);
			store_commit(txn);
		}
	}
}

static void test_not_found(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct uuid id = make_id(7);
	struct buf body = BUF_INIT(100);
	struct event e;
	struct delivery d = {.event_id = id};
	assert_int_equal(events_get(txn, &id, &e, &body), ERR_NOTFOUND);
	assert_int_equal(events_get(txn, &id, &e, NULL), ERR_NOTFOUND);
	assert_int_equal(events_release(txn, &d, 5, &e, &e), ERR_NOTFOUND);
	assert_int_equal(events_drop(txn, &id), ERR_NOTFOUND);
	assert_int_equal(db_txn_error(txn), OK);
	buf_fini(&body);
	db_abort(txn);
}

/* Each release takes one off, and changes nothing else of this event or those beside it. */
static void test_release_counts(void **state)
{
	struct store *s = *state;
	struct event events[3];
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(events); i++) {
		events[i] = make_event(100 + i, "session", "message", 10000);
		put_event(txn, &events[i]);
	}
	size_t all = count_pieces(txn);
	store_commit(txn);
	for (int released = 1; released <= 4; released++) {
		struct event before = {0};
		struct event left = {0};
		struct delivery d = {.event_id = events[1].id};
		txn = store_begin(s);
		assert_int_equal(events_release(txn, &d, 77, &before, &left), OK);
		assert_int_equal(before.open, events[1].open);
		store_commit(txn);
		events[1].open -= events[1].open > 0 ? 1 : 0;
		events[1].settled_ms = released < 3 ? 0 : 77 + released - 3; /* each its own */
		assert_int_equal(left.open, events[1].open);
		assert_true(left.settled_ms == events[1].settled_ms);
		assert_int_equal(left.deliveries, 3);
		assert_int_equal(left.body_bytes, 10000);
		assert_memory_equal(left.id.bytes, events[1].id.bytes, UUID_SIZE);
		txn = store_read(s);
		for (size_t i = 0; i < COUNT(events); i++)
			check_event(txn, &events[i]);
		assert_int_equal(count_pieces(txn), all);
		db_read_end(txn);
	}
	assert_int_equal(events[1].open, 0);
}

static void test_drop(void **state)
{
	struct store *s = *state;
	struct event events[3];
	struct event none;
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(events); i++) {
		events[i] = make_event(100 + i, "session", "message", 10000);
		put_event(txn, &events[i]);
	}
	size_t all = count_pieces(txn);
	assert_int_equal(events_drop(txn, &events[1].id), OK);
	assert_int_equal(count_pieces(txn), all / 3 * 2);
	assert_int_equal(events_drop(txn, &events[1].id), ERR_NOTFOUND);
	assert_int_equal(events_get(txn, &events[1].id, &none, NULL), ERR_NOTFOUND);
	check_event(txn, &events[0]);
	check_event(txn, &events[2]);
	store_commit(txn);
}

/* Row `piece` of the only event there is; its key and value are copied. */
static void read_row(struct db_txn *txn, size_t piece, struct buf *key, struct buf *value)
{
	struct db_cursor *c = NULL;
	struct slice k;
	struct slice v;
	assert_int_equal(db_cursor(txn, DB_EVENTS, &c), OK);
	for (size_t i = 0; i <= piece; i++)
		assert_int_equal(db_next(c, &k, &v), OK);
	buf_reset(key);
	buf_reset(value);
	buf_slice(key, k);
	buf_slice(value, v);
	db_cursor_close(c);
}

static void test_damage(void **state)
{
	struct store *s = *state;
	struct buf key = BUF_INIT(100);
	struct buf value = BUF_INIT(PIECE);
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	struct event e = make_event(9, "session", "message", 10000);
	for (size_t piece = 0; piece < 3; piece++) {
		for (int removed = 0; removed <= 1; removed++) {
			struct event got;
			struct db_txn *txn = store_begin(s);
			put_event(txn, &e);
			read_row(txn, piece, &key, &value);
			value.data[value.len / 2] ^= 1;
			if (removed)
				assert_int_equal(db_del(txn, DB_EVENTS, buf_view(&key)), OK);
			else
				assert_int_equal(db_put(txn, DB_EVENTS, buf_view(&key),
						     buf_view(&value)),
				    OK);
			enum err want = removed && piece == 0 ? ERR_NOTFOUND : ERR_CORRUPT;
			if (events_get(txn, &e.id, &got, &body) != want)
				fail_msg("piece %zu, removed %d", piece, removed);
			if (piece > 0)
				assert_int_equal(events_get(txn, &e.id, &got, NULL), OK);
			enum err release = piece == 0 ? ERR_NOTFOUND : OK;
			struct delivery d = {.event_id = e.id};
			assert_int_equal(events_release(txn, &d, 5, &got, &got), release);
			assert_int_equal(events_drop(txn, &e.id),
			    removed && piece == 0 ? ERR_NOTFOUND : OK);
			if (piece > 0) /* else nobody knows how many pieces belong to it */
				assert_int_equal(count_pieces(txn), 0);
			assert_int_equal(db_txn_error(txn), OK);
			db_abort(txn);
		}
	}
	buf_fini(&body);
	buf_fini(&value);
	buf_fini(&key);
}

/* The pieces of `e`, its first one as version 1 had it: without settled_ms, and full. */
static void put_version_1(struct db_txn *txn, const struct event *e)
{
	char *body = make_body(e->id.bytes[15], e->body_bytes);
	struct slice rest = {body, e->body_bytes};
	unsigned char key[UUID_SIZE + 2] = {0};
	memcpy(key, e->id.bytes, UUID_SIZE);
	for (; rest.len > 0 || key[UUID_SIZE + 1] == 0; key[UUID_SIZE + 1]++) {
		struct buf value = BUF_INIT(PIECE);
		if (key[UUID_SIZE + 1] == 0) {
			put_u8(&value, 1);
			put_i64(&value, e->created_ms);
			put_u32(&value, e->deliveries);
			put_u32(&value, e->open);
			put_u32(&value, e->body_bytes);
			put_text(&value, slice_of(e->session));
			put_text(&value, slice_of(e->name));
		}
		size_t n = EACH - value.len < rest.len ? EACH - value.len : rest.len;
		buf_append(&value, rest.ptr, n);
		rest.ptr += n;
		rest.len -= n;
		record_seal(&value, RECORD_ANYWHERE);
		assert_int_equal(db_put(txn, DB_EVENTS,
				     (struct slice){(const char *)key, sizeof(key)},
				     buf_view(&value)),
		    OK);
		buf_fini(&value);
	}
	free(body);
}

/* An event of the version before is read, released and dropped as any other. */
static void test_version_1(void **state)
{
	static const size_t SIZES[] = {0, 100, 3946, 3947, 3955, 10000};
	struct store *s = *state;
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		struct event before;
		struct event left;
		struct event e = make_event(9, "session", "message", SIZES[i]);
		struct delivery d = {.event_id = e.id};
		struct db_txn *txn = store_begin(s);
		put_version_1(txn, &e);
		check_event(txn, &e);
		for (e.open = 3; e.open > 0;) {
			e.open--;
			e.settled_ms = e.open == 0 ? 77 : 0;
			assert_int_equal(events_release(txn, &d, 77, &before, &left), OK);
			assert_true(left.settled_ms == e.settled_ms);
			check_event(txn, &e);
		}
		assert_int_equal(events_drop(txn, &e.id), OK);
		if (count_pieces(txn) != 0)
			fail_msg("%zu bytes", SIZES[i]);
		db_abort(txn);
	}
}

/* A body that is not as long as the head says. */
static void test_wrong_length(void **state)
{
	struct store *s = *state;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	for (uint32_t stored = 0; stored <= 8000; stored += 4000) {
		for (uint32_t said = 0; said <= 8000; said += 4000) {
			struct event e = make_event(1, "session", "message", said);
			struct event got;
			char *bytes = make_body(1, stored);
			struct db_txn *txn = store_begin(s);
			assert_int_equal(events_put(txn, &e, (struct slice){bytes, stored}),
			    OK);
			if (events_get(txn, &e.id, &got, &body) !=
			    (stored == said ? OK : ERR_CORRUPT))
				fail_msg("%u bytes, said to be %u", stored, said);
			db_abort(txn);
			free(bytes);
		}
	}
	buf_fini(&body);
}

/* Deliveries lie in the order of their ids, also in the millisecond in which ids run ahead. */
static void test_places_follow_ids(void **state)
{
	static const int64_t TIMES_MS[] = {1000, 1000, 1001, 1001, 1002};
	(void)state;
	struct rnd rnd;
	struct idgen ids;
	struct uuid last = {{0}};
	struct queue_place before = {.place_ms = 1000};
	struct webhook *w = make_webhook(7, "s", "http://a/");
	uuid_set_time(&last, 1000);
	before.id = last; /* stored by an earlier run in the same millisecond */
	rnd_seed(&rnd, 1);
	idgen_init(&ids, &rnd);
	idgen_resume(&ids, &last);
	for (size_t i = 0; i < COUNT(TIMES_MS); i++) {
		struct publication p = {0};
		publication_address(&p, w);
		publication_stamp(&p, &ids, TIMES_MS[i]);
		struct queue_place place = publication_place(&p, 0);
		assert_true(queue_place_before(&before, &place));
		assert_true(uuid_before(&before.id, &place.id));
		before = place;
		publication_fini(&p);
	}
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_boundaries),
	    STORE_TEST(test_not_found),
	    STORE_TEST(test_release_counts),
	    STORE_TEST(test_drop),
	    STORE_TEST(test_version_1),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_wrong_length),
	    cmocka_unit_test(test_places_follow_ids),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
