/*
 * Idempotency keys: the same request finds its answer, another is a conflict; both until
 * the key expires, swept or not; what it takes and counts for; sweeping in slices; damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/usage.h"
#include "support.h"

#define EXPIRES_MS 1000 /* of most keys here */
#define TEXT_MAX 300000 /* bytes of an answer of version 1 in many pieces */

static struct idempotency key_of(const char *scope, const char *name, const char *request,
    int64_t expires_ms)
{
	struct idempotency k = {.expires_ms = 0};
	idempotency_set(&k, slice_of(scope), slice_of(name), slice_of(request),
	    slice_of(request), expires_ms);
	return k;
}

/* Keeps, for session "s", an answer about event `id` alone, with `id` % 100 deliveries. */
static void keep(struct db_txn *txn, const struct idempotency *k, uint64_t id)
{
	struct answered about = {.event = make_id(id), .deliveries = (uint32_t)(id % 100)};
	const struct answer answer = {.events = &about, .count = 1};
	assert_int_equal(idempotency_keep(txn, k, SLICE("s"), &answer), OK);
}

/* Looks for `k`; where it is known its answer must be about `want_id`. */
static void check_find(struct db_txn *txn, size_t row, const struct idempotency *k,
    int64_t now_ms, enum err want, uint64_t want_id)
{
	struct answer answer = {0};
	struct uuid id = make_id(want_id);
	enum err err = idempotency_find(txn, k, now_ms, &answer);
	if (err != want || answer.count != (want == OK ? 1 : 0))
		fail_msg("row %zu: %s, about %zu events", row, err_text(err), answer.count);
	if (err == OK) {
		assert_true(uuid_eq(&answer.events[0].event, &id));
		assert_int_equal(answer.events[0].deliveries, want_id % 100);
		assert_false(answer.is_batch || answer.events[0].has_timestamp);
	}
	assert_int_equal(db_txn_error(txn), OK);
	answer_fini(&answer);
}

static size_t sweep(struct db_txn *txn, int64_t now_ms, size_t max)
{
	size_t dropped = 12345;
	assert_int_equal(idempotency_sweep(txn, now_ms, max, &dropped), OK);
	assert_int_equal(db_txn_error(txn), OK);
	return dropped;
}

static uint64_t key_bytes(struct db_txn *txn, const char *session)
{
	const struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	return usage_of(u, slice_of(session)).n[USAGE_KEYS];
}

static void assert_rows(struct db_txn *txn, size_t count)
{
	assert_int_equal(store_count_in(txn, DB_REPEATS), count);
	assert_int_equal(store_count_in(txn, DB_REPEATS_BY_AGE), count);
	assert_int_equal(store_count_in(txn, DB_EVENTS), 0);
	assert_true((key_bytes(txn, "s") > 0) == (count > 0));
}

static void test_find(void **state)
{
	struct store *s = *state;
	static const struct {
		const char *scope, *name, *request;
		int64_t now_ms;
		enum err want;
	} ROWS[] = {
	    {"id:s", "k", "r", 0, OK},
	    {"id:s", "k", "r", EXPIRES_MS - 1, OK},
	    {"id:s", "k", "r", EXPIRES_MS, ERR_NOTFOUND},
	    {"id:s", "k", "other", 0, ERR_CONFLICT},
	    {"id:s", "k", "", 0, ERR_CONFLICT},
	    {"id:s", "k", "other", EXPIRES_MS, ERR_NOTFOUND},
	    {"id:s", "K", "r", 0, ERR_NOTFOUND},
	    {"id:s", "", "r", 0, ERR_NOTFOUND},
	    {"id:t", "k", "r", 0, ERR_NOTFOUND},
	    {"key:s", "k", "r", 0, ERR_NOTFOUND},
	    {"id:", "sk", "r", 0, ERR_NOTFOUND},
	    {"id:sk", "", "r", 0, ERR_NOTFOUND},
	};
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	check_find(txn, 0, &k, 0, ERR_NOTFOUND, 0);
	keep(txn, &k, 7);
	store_commit(txn);
	store_reopen(s);
	txn = store_read(s);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		/* when it would expire itself plays no part in looking */
		k = key_of(ROWS[i].scope, ROWS[i].name, ROWS[i].request, 5 * EXPIRES_MS);
		check_find(txn, i, &k, ROWS[i].now_ms, ROWS[i].want, 7);
	}
	db_read_end(txn);
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
	bool same = a->is_batch == b->is_batch && a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++) {
		const struct answered *x = &a->events[i];
		const struct answered *y = &b->events[i];
		same = uuid_eq(&x->event, &y->event) && x->deliveries == y->deliveries &&
		    x->has_timestamp == y->has_timestamp &&
		    (!x->has_timestamp || x->timestamp_s == y->timestamp_s);
	}
	return same;
}

/* Keeps an answer and reads it back; what it counts for goes with it. Returns its bytes. */
static uint64_t round_trip(struct db_txn *txn, const struct answer *answer)
{
	struct answer read = {0};
	struct idempotency k = key_of("id:s", "round", "r", EXPIRES_MS);
	assert_int_equal(idempotency_keep(txn, &k, SLICE("s"), answer), OK);
	uint64_t bytes = key_bytes(txn, "s");
	assert_int_equal(idempotency_find(txn, &k, 0, &read), OK);
	assert_true(same_answer(&read, answer));
	answer_fini(&read);
	assert_true(sweep(txn, EXPIRES_MS, 1000) >= 1);
	assert_rows(txn, 0);
	return bytes;
}

/* Ids as a generator gives them: each event's, then one for each of its deliveries. */
static void fill_answer(struct answer *a, size_t count, uint32_t deliveries)
{
	struct uuid next = make_id(1000);
	*a = (struct answer){.is_batch = true, .count = count};
	a->events = mem_array(count, sizeof(*a->events));
	for (size_t i = 0; i < count; i++) {
		a->events[i] = (struct answered){.event = next,
		    .deliveries = deliveries,
		    .has_timestamp = true,
		    .timestamp_s = 1767143203};
		uuid_step(&next, deliveries + 1, &next);
	}
}

/* A key is about a hundred bytes, whether it stands for one event or for ten thousand alike. */
static void test_size(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct answer a;
	struct slice key;
	struct slice value;
	for (size_t count = 1; count <= 10000; count *= 100) {
		fill_answer(&a, count, 3);
		struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
		assert_int_equal(idempotency_keep(txn, &k, SLICE("demo"), &a), OK);
		assert_int_equal(store_count_in(txn, DB_REPEATS), 1);
		assert_int_equal(db_first(txn, DB_REPEATS, &key, &value), OK);
		size_t bytes = key.len + value.len;
		assert_int_equal(db_first(txn, DB_REPEATS_BY_AGE, &key, &value), OK);
		bytes += key.len + value.len;
		print_message("%zu events: %zu bytes of keys and values\n", count, bytes);
		assert_in_range(bytes, 80, 112);
		assert_in_range(key_bytes(txn, "demo"), bytes, IDEMPOTENCY_COST);
		answer_fini(&a);
		(void)sweep(txn, EXPIRES_MS, 1000); /* what is left tells */
		assert_int_equal(store_count_in(txn, DB_REPEATS), 0);
	}
	store_commit(txn);
}

/* Answers about one event and many, alike and not, in one piece and in many. */
static void test_answers_of_any_form(void **state)
{
	struct store *s = *state;
	static const size_t COUNTS[] = {1, 2, 3, 100, 137, 138, 139, 1000, 10000};
	struct db_txn *txn = store_begin(s);
	struct rnd rnd;
	rnd_seed(&rnd, test_seed(17));
	for (size_t i = 0; i < COUNT(COUNTS); i++) {
		for (int form = 0; form < 4; form++) {
			struct answer a;
			fill_answer(&a, COUNTS[i], (uint32_t)(rnd_next(&rnd) % 3));
			a.is_batch = form > 0;
			for (size_t n = 0; form > 1 && n < a.count; n++) {
				struct answered *e = &a.events[n];
				if (form == 3 || rnd_next(&rnd) % 3 == 0)
					e->event = make_id(rnd_next(&rnd) % 100);
				if (form == 3 || rnd_next(&rnd) % 3 == 0)
					e->deliveries = (uint32_t)(rnd_next(&rnd) % 65536);
				e->has_timestamp = rnd_next(&rnd) % 2 == 0;
				if (rnd_next(&rnd) % 3 == 0)
					e->timestamp_s = (int64_t)(rnd_next(&rnd) % 100);
			}
			uint64_t bytes = round_trip(txn, &a);
			assert_true(
			    bytes <= IDEMPOTENCY_COST + IDEMPOTENCY_RUN * (a.count - 1));
			answer_fini(&a);
		}
	}
	store_commit(txn);
}

/* One about nothing is not kept: there is nothing to repeat. */
static void test_empty_answer(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	const struct answer none = {.is_batch = true};
	assert_int_equal(idempotency_keep(txn, &k, SLICE("s"), &none), OK);
	assert_rows(txn, 0);
	check_find(txn, 0, &k, 0, ERR_NOTFOUND, 0);
	store_commit(txn);
}

/* Each session's keys count for it, and for nobody when they are gone. */
static void test_counts_for_its_session(void **state)
{
	struct store *s = *state;
	struct answered about = {.event = make_id(1)};
	const struct answer answer = {.events = &about, .count = 1};
	struct db_txn *txn = store_begin(s);
	struct idempotency first = key_of("id:a", "k", "r", EXPIRES_MS);
	struct idempotency second = key_of("id:b", "k", "r", 2 * EXPIRES_MS);
	assert_int_equal(idempotency_keep(txn, &first, SLICE("a"), &answer), OK);
	assert_int_equal(idempotency_keep(txn, &second, SLICE("bb"), &answer), OK);
	assert_true(key_bytes(txn, "bb") == key_bytes(txn, "a") + 1);
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), 1);
	assert_true(key_bytes(txn, "a") == 0 && key_bytes(txn, "bb") > 0);
	first.expires_ms = 3 * EXPIRES_MS; /* in the place of one that has expired */
	memcpy(first.key, second.key, RECORD_DIGEST);
	assert_int_equal(idempotency_keep(txn, &first, SLICE("a"), &answer), OK);
	assert_true(key_bytes(txn, "bb") == 0 && key_bytes(txn, "a") > 0);
	store_commit(txn);
	store_reopen(s);
	txn = store_begin(s);
	assert_true(key_bytes(txn, "a") > 0);
	assert_int_equal(sweep(txn, 3 * EXPIRES_MS, 100), 1);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_USAGE), 0);
}

static struct slice digest_of(const struct idempotency *k)
{
	return (struct slice){(const char *)k->key, RECORD_DIGEST};
}

/* Keeps an answer as version 1 did, as the body of an event of its own. */
static void keep_text(struct db_txn *txn, const struct idempotency *k, uint64_t id,
    const char *text)
{
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	struct buf value = BUF_INIT(128);
	struct event e = {.id = make_id(id), .body_bytes = (uint32_t)strlen(text)};
	put_u8(&value, 1);
	buf_append(&value, k->bytes, RECORD_DIGEST);
	put_i64(&value, k->expires_ms);
	buf_append(&value, e.id.bytes, UUID_SIZE);
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(events_put(txn, &e, slice_of(text)), OK);
	assert_int_equal(db_put(txn, DB_REPEATS, digest_of(k), buf_view(&value)), OK);
	assert_int_equal(db_put(txn, DB_REPEATS_BY_AGE,
			     idempotency_age_key(k->expires_ms, k->key, age), SLICE("")),
	    OK);
	buf_fini(&value);
}

static enum err find_text(struct db_txn *txn, const struct idempotency *k, const char *want)
{
	struct answer answer = {0};
	enum err err = idempotency_find(txn, k, 0, &answer);
	if (err == OK)
		assert_true(slice_eq(buf_view(&answer.text), slice_of(want)));
	assert_int_equal(answer.count, 0);
	answer_fini(&answer);
	return err;
}

/* Records of version 1 are read until they expire, count for nobody, and go as a whole. */
static void test_version_1(void **state)
{
	struct store *s = *state;
	static const size_t SIZES[] = {1, 3900, 4000, TEXT_MAX};
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%zu", i);
		char *text = repeat('x', SIZES[i]);
		struct idempotency k = key_of("id:s", name, "r", EXPIRES_MS);
		struct idempotency other = key_of("id:s", name, "other", EXPIRES_MS);
		idempotency_set(&k, SLICE("id:s"), slice_of(name), SLICE("sorted"), SLICE("r"),
		    EXPIRES_MS); /* what it compared then was the bytes */
		keep_text(txn, &k, 1 + i, text);
		assert_int_equal(find_text(txn, &k, text), OK);
		assert_int_equal(find_text(txn, &other, ""), ERR_CONFLICT);
		free(text);
	}
	assert_true(key_bytes(txn, "s") == 0);
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), COUNT(SIZES));
	assert_rows(txn, 0);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	keep_text(txn, &k, 1, "text");
	keep(txn, &k, 7); /* in its place */
	check_find(txn, 0, &k, 0, OK, 7);
	assert_rows(txn, 1);
	store_commit(txn);
}

/* A key that has expired and was not swept is free, and nothing is left of what it was. */
static void test_expired_key_is_free(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency old = key_of("id:s", "k", "r", EXPIRES_MS);
	struct idempotency new = key_of("id:s", "k", "another", 3 * EXPIRES_MS);
	keep(txn, &old, 1);
	check_find(txn, 0, &new, EXPIRES_MS, ERR_NOTFOUND, 0);
	keep(txn, &new, 2);
	assert_rows(txn, 1);
	check_find(txn, 1, &new, EXPIRES_MS, OK, 2);
	check_find(txn, 2, &old, EXPIRES_MS, ERR_CONFLICT, 0);
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), 0);
	check_find(txn, 3, &new, 3 * EXPIRES_MS - 1, OK, 2);
	assert_int_equal(sweep(txn, 3 * EXPIRES_MS, 100), 1);
	assert_rows(txn, 0);
	store_commit(txn);
}

/* Keys 1 to 10 expire at 100, 200, … 1000; some at one time. */
static void test_sweep_in_slices(void **state)
{
	struct store *s = *state;
	static const struct {
		int64_t now_ms;
		size_t max, dropped;
	} ROWS[] = {{99, 100, 0}, {100, 0, 0}, {100, 100, 1}, {100, 100, 0}, {650, 2, 2},
	    {650, 2, 2}, {650, 2, 1}, {650, 2, 0}, {9999, 4, 4}, {9999, 4, 0}};
	size_t left = 10;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= left; n++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%u", (unsigned)n);
		struct idempotency k = key_of("id:s", name, "r", (int64_t)n * 100);
		keep(txn, &k, n);
	}
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t dropped = sweep(txn, ROWS[i].now_ms, ROWS[i].max);
		if (dropped != ROWS[i].dropped)
			fail_msg("row %zu: %zu dropped", i, dropped);
		left -= dropped;
		assert_rows(txn, left);
	}
	assert_int_equal(left, 0);
	store_commit(txn);
}

/* A key of many pieces counts for as many rows of a slice. */
static void test_sweep_of_pieces(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < 3; n++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%u", (unsigned)n);
		struct idempotency k = key_of("id:s", name, "r", EXPIRES_MS);
		struct answer a;
		fill_answer(&a, 1000, 1);
		for (size_t i = 0; i < a.count; i++)
			a.events[i].event = make_id(10 * i);
		assert_int_equal(idempotency_keep(txn, &k, SLICE("s"), &a), OK);
		answer_fini(&a);
	}
	size_t rows = store_count_in(txn, DB_REPEATS);
	assert_true(rows > 15 && rows % 3 == 0);
	for (size_t left = rows; left > 0; left -= rows / 3) {
		assert_int_equal(sweep(txn, EXPIRES_MS, 2), rows / 3);
		assert_int_equal(store_count_in(txn, DB_REPEATS), left - rows / 3);
	}
	assert_rows(txn, 0);
	store_commit(txn);
}

/* What cannot be read counts as new, is replaced by what comes, and goes with the sweep. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency record = key_of("id:s", "record", "r", EXPIRES_MS);
	struct idempotency pieces = key_of("id:s", "pieces", "r", EXPIRES_MS);
	struct idempotency text = key_of("id:s", "text", "r", EXPIRES_MS);
	struct idempotency missing = key_of("id:s", "missing", "r", EXPIRES_MS);
	keep(txn, &record, 1);
	assert_int_equal(db_put(txn, DB_REPEATS, digest_of(&record), SLICE("damaged")), OK);
	check_find(txn, 0, &record, 0, ERR_NOTFOUND, 0);

	/* of an answer in pieces the second is damaged: none of the first is shown */
	struct answer a;
	char piece[RECORD_DIGEST + 2] = {0};
	fill_answer(&a, 1000, 1);
	for (size_t i = 0; i < a.count; i++)
		a.events[i].event = make_id(10 * i);
	assert_int_equal(idempotency_keep(txn, &pieces, SLICE("s"), &a), OK);
	answer_fini(&a);
	memcpy(piece, pieces.key, RECORD_DIGEST);
	piece[RECORD_DIGEST + 1] = 1;
	const struct slice at = {piece, sizeof(piece)};
	assert_int_equal(db_put(txn, DB_REPEATS, at, SLICE("damaged")), OK);
	check_find(txn, 1, &pieces, 0, ERR_NOTFOUND, 0);
	assert_int_equal(db_del(txn, DB_REPEATS, at), OK);
	check_find(txn, 2, &pieces, 0, ERR_NOTFOUND, 0);

	/* the same of version 1 */
	char *long_text = repeat('x', TEXT_MAX);
	keep_text(txn, &text, 2, long_text);
	free(long_text);
	struct uuid id = make_id(2);
	memcpy(piece, id.bytes, UUID_SIZE);
	assert_int_equal(db_put(txn, DB_EVENTS, at, SLICE("damaged")), OK);
	assert_int_equal(find_text(txn, &text, ""), ERR_NOTFOUND);
	keep_text(txn, &missing, 3, "first");
	id = make_id(3);
	assert_int_equal(events_drop(txn, &id), OK);
	assert_int_equal(find_text(txn, &missing, ""), ERR_NOTFOUND);

	struct idempotency *keys[] = {&record, &pieces, &text, &missing};
	for (size_t i = 0; i < COUNT(keys); i++) {
		keep(txn, keys[i], 10 + i);
		check_find(txn, 3 + i, keys[i], 0, OK, 10 + i);
	}
	(void)sweep(txn, EXPIRES_MS, 100); /* what is left tells */
	assert_int_equal(store_count_in(txn, DB_REPEATS), 0);
	assert_int_equal(store_count_in(txn, DB_REPEATS_BY_AGE), 0);
	store_commit(txn);
}

/* A key of the index that is none stops the sweep, and nothing else. */
static void test_damaged_index(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	keep(txn, &k, 1);
	assert_int_equal(db_put(txn, DB_REPEATS_BY_AGE, SLICE("\0\0"), SLICE("")), OK);
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), 0);
	check_find(txn, 0, &k, 0, OK, 1);
	store_commit(txn);
}

/* Records whose checksum is right and whose bytes are none. */
static void test_malformed_records(void **state)
{
	static const struct slice RECORDS[] = {SLICE_INIT(""), SLICE_INIT("\2"),
	    SLICE_INIT("\3request.digest..12345678\0\1s\0\0\0"),
	    SLICE_INIT("\2request.digest..12345678\0\0\0\0\0"),
	    SLICE_INIT("\2request.digest..12345678\0\1s\0"),
	    SLICE_INIT("\1request.digest..12345678short"),
	    SLICE_INIT("\1request.digest..12345678sixteen bytes idXX")};
	struct repeat known;
	(void)state;
	for (size_t i = 0; i < COUNT(RECORDS); i++) {
		struct buf value = BUF_INIT(200);
		buf_slice(&value, RECORDS[i]);
		record_seal(&value, RECORD_ANYWHERE);
		if (idempotency_decode(SLICE("key"), buf_view(&value), &known) != ERR_CORRUPT)
			fail_msg("record %zu is taken", i);
		buf_fini(&value);
	}
}

/* The same of runs: the first without an id, one cut short, none, too many. */
static void test_malformed_runs(void **state)
{
	struct store *s = *state;
	static const struct slice RUNS[] = {SLICE_INIT(""), SLICE_INIT("\0\0\1\0\0"),
	    SLICE_INIT("\1\0\1\0\0id"), SLICE_INIT("\1\0\0\0\0sixteen bytes id"),
	    SLICE_INIT("\3\0\1\0\0sixteen bytes id1234567")};
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	for (size_t i = 0; i < COUNT(RUNS); i++) {
		struct buf value = BUF_INIT(200);
		put_u8(&value, 2);
		buf_append(&value, k.request, RECORD_DIGEST);
		put_i64(&value, k.expires_ms);
		put_text(&value, SLICE("s"));
		put_u16(&value, 0);
		put_u8(&value, 0);
		buf_slice(&value, RUNS[i]);
		record_seal(&value, RECORD_ANYWHERE);
		assert_int_equal(db_put(txn, DB_REPEATS, digest_of(&k), buf_view(&value)), OK);
		check_find(txn, i, &k, 0, ERR_NOTFOUND, 0);
		buf_fini(&value);
	}
	db_abort(txn);
}

static unsigned deletions; /* tried, of any row */

int mdb_del(void *txn, unsigned dbi, void *key, void *data);

int mdb_del(void *txn, unsigned dbi, void *key, void *data)
{
	int (*lmdb)(void *, unsigned, void *, void *);
	*(void **)&lmdb = dlsym(RTLD_NEXT, "mdb_del");
	deletions++;
	return lmdb(txn, dbi, key, data);
}

/* Most keys are new: for them there is nothing to remove first. */
static void test_new_keys_remove_nothing(void **state)
{
	struct db_txn *txn = store_begin(*state);
	struct idempotency k = key_of("s", "a", "r", EXPIRES_MS);
	deletions = 0;
	keep(txn, &k, 1);
	assert_int_equal(deletions, 0);
	keep(txn, &k, 2);
	assert_int_equal(deletions, 2); /* its row, and that of its age */
	check_find(txn, 0, &k, 0, OK, 2);
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_find),
	    STORE_TEST(test_size),
	    STORE_TEST(test_answers_of_any_form),
	    STORE_TEST(test_empty_answer),
	    STORE_TEST(test_counts_for_its_session),
	    STORE_TEST(test_version_1),
	    STORE_TEST(test_expired_key_is_free),
	    STORE_TEST(test_sweep_in_slices),
	    STORE_TEST(test_sweep_of_pieces),
	    STORE_TEST(test_damage),
	    cmocka_unit_test(test_malformed_records),
	    STORE_TEST(test_malformed_runs),
	    STORE_TEST(test_damaged_index),
	    STORE_TEST(test_new_keys_remove_nothing),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
