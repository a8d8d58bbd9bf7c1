/* The table of sources and its mirror: finding, changing, loading under another key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/sources.h"
#include "support.h"

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_KEY_HEX "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET "very secret indeed"

static struct source *make(const char *name, int64_t created_ms)
{
	char made[SIGN_SECRET_SIZE];
	char settings[256];
	struct problem p = {0};
	struct source *s = source_new(created_ms);
	(void)snprintf(settings, sizeof(settings),
	    "{\"name\":\"%s\",\"verify\":{\"type\":\"basic\",\"secrets\":[\"u:" SECRET "\"]}}",
	    name);
	assert_int_equal(source_apply(s, slice_of(settings), made, &p), OK);
	return s;
}

static struct vault *make_vault(const char *first, const char *second)
{
	struct problem p;
	struct vault *v = vault_new();
	assert_int_equal(vault_add(v, slice_of(first), &p), OK);
	if (second != NULL)
		assert_int_equal(vault_add(v, slice_of(second), &p), OK);
	return v;
}

/* Writes sources "c", "a", "b", made at 30, 10 and 20 ms. */
static void write_three(struct store *st, const struct vault *vault)
{
	static const struct {
		const char *name;
		int64_t ms;
	} THREE[] = {{"c", 30}, {"a", 10}, {"b", 20}};
	struct db_txn *txn = store_begin(st);
	for (size_t i = 0; i < COUNT(THREE); i++) {
		struct source *s = make(THREE[i].name, THREE[i].ms);
		assert_int_equal(sources_put(txn, vault, s), OK);
		source_free(s);
	}
	store_commit(txn);
}

static void add_name(void *entry, void *arg)
{
	buf_puts(arg, source_name(((struct source_entry *)entry)->source));
}

/* Loads them, and expects the names in the order in which they were made. */
static void expect_loaded(struct store *st, const struct vault *vault, const char *names)
{
	struct sources *all = sources_new();
	struct buf got = BUF_INIT(64);
	struct problem p = {0};
	assert_int_equal(sources_load(all, st->db, vault, &p), OK);
	sources_each(all, add_name, &got);
	assert_string_equal(buf_cstr(&got), names);
	assert_int_equal(sources_count(all), strlen(names));
	buf_fini(&got);
	sources_free(all);
}

static void test_load(void **state)
{
	struct store *st = *state;
	expect_loaded(st, NULL, "");
	write_three(st, NULL);
	store_reopen(st);
	expect_loaded(st, NULL, "abc");
}

static void test_mirror(void **state)
{
	(void)state;
	struct sources *all = sources_new();
	struct source *one = make("one", 1);
	struct source *two = make("two", 2);
	struct uuid id = one->id;
	char door[SOURCE_DOOR_SIZE];
	memcpy(door, one->door, sizeof(door));
	assert_null(sources_find(all, &id));
	sources_set(all, one);
	sources_set(all, two);
	struct source_entry *e = sources_find(all, &id);
	assert_ptr_equal(e, sources_at_door(all, slice_of(door)));
	e->figures.events = 7;

	struct source *changed = make("changed", 1); /* takes the place of the first */
	changed->id = id;
	sources_set(all, changed);
	assert_ptr_equal(sources_find(all, &id), e);
	assert_int_equal(e->figures.events, 7);
	assert_string_equal(source_name(e->source), "changed");
	assert_null(sources_at_door(all, slice_of(door)));
	assert_ptr_equal(sources_at_door(all, slice_of(changed->door)), e);

	memcpy(door, changed->door, sizeof(door));
	sources_drop(all, &id);
	sources_drop(all, &id); /* is gone already */
	assert_null(sources_find(all, &id));
	assert_null(sources_at_door(all, slice_of(door)));
	assert_int_equal(sources_count(all), 1);
	sources_free(all);
	sources_free(NULL);
}

static void test_records(void **state)
{
	struct store *st = *state;
	struct source *s = make("one", 1);
	struct source *got = NULL;
	struct db_txn *txn = store_begin(st);
	assert_int_equal(sources_get(txn, NULL, &s->id, &got), ERR_NOTFOUND);
	assert_int_equal(sources_del(txn, &s->id), ERR_NOTFOUND);
	assert_int_equal(sources_put(txn, NULL, s), OK);
	assert_int_equal(sources_get(txn, NULL, &s->id, &got), OK);
	assert_string_equal(got->settings, s->settings);
	assert_string_equal(got->door, s->door);
	assert_int_equal(sources_del(txn, &s->id), OK);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
	assert_int_equal(store_count(st, DB_SOURCES), 0);
	source_free(got);
	source_free(s);
}

static struct source *make_stream(const char *stream)
{
	char made[SIGN_SECRET_SIZE];
	char settings[256];
	struct problem p = {0};
	struct source *s = source_new(1);
	(void)snprintf(settings, sizeof(settings),
	    "{\"type\":\"nats\",\"name\":\"n\",\"servers\":[\"nats://x\"],\"stream\":\"%s\"}",
	    stream);
	assert_int_equal(source_apply(s, slice_of(settings), made, &p), OK);
	return s;
}

static void expect_position(struct db_txn *txn, const struct source *s, uint64_t stream,
    uint64_t seq)
{
	struct source_position got = {77, 77};
	assert_int_equal(sources_get_position(txn, s, &got), OK);
	assert_int_equal(got.stream, stream);
	assert_int_equal(got.seq, seq);
}

/* How far a stream was taken is there with its source, and never without. */
static void test_positions(void **state)
{
	struct store *st = *state;
	struct source *s = make_stream("one");
	struct source_position place = {1, 2};
	struct db_txn *txn = store_begin(st);
	uint64_t count = 0;
	assert_int_equal(sources_get_position(txn, s, &place), ERR_NOTFOUND);
	assert_int_equal(sources_put(txn, NULL, s), OK);
	expect_position(txn, s, 0, 0);
	place = (struct source_position){3, 4};
	assert_int_equal(sources_put_position(txn, s, &place), OK);
	expect_position(txn, s, 3, 4);
	assert_int_equal(sources_records(txn, &count), OK);
	assert_int_equal(count, 1);
	assert_int_equal(sources_del(txn, &s->id), OK);
	assert_int_equal(sources_get_position(txn, s, &place), ERR_NOTFOUND);
	store_commit(txn);
	assert_int_equal(store_count(st, DB_SOURCES), 0);
	source_free(s);
}

/* A place in one stream is none in another, whatever their numbers. */
static void test_position_in_another_stream(void **state)
{
	struct store *st = *state;
	struct source *s = make_stream("one");
	struct source *other = make_stream("two");
	struct source_position place = {3, 4};
	struct db_txn *txn = store_begin(st);
	other->id = s->id; /* the same one, changed */
	assert_int_equal(sources_put(txn, NULL, s), OK);
	assert_int_equal(sources_put_position(txn, s, &place), OK);
	expect_position(txn, other, 0, 0);
	place = (struct source_position){5, 6};
	assert_int_equal(sources_put_position(txn, other, &place), OK);
	expect_position(txn, other, 5, 6);
	expect_position(txn, s, 0, 0);
	store_commit(txn);
	source_free(s);
	source_free(other);
}

/* One of the configuration has no record: its place stays under the id of its name. */
static void test_place_of_a_configured_one(void **state)
{
	struct store *st = *state;
	struct source *s = make_stream("one");
	struct source *again = make_stream("one");
	struct source_position place = {3, 4};
	uint64_t count = 1;
	source_configure(s);
	source_configure(again);
	assert_true(uuid_eq(&s->id, &again->id));
	struct db_txn *txn = store_begin(st);
	expect_position(txn, s, 0, 0);
	assert_int_equal(sources_put_position(txn, s, &place), OK);
	expect_position(txn, again, 3, 4);
	assert_int_equal(sources_records(txn, &count), OK);
	assert_int_equal(count, 0);
	store_commit(txn);
	store_reopen(st);
	expect_loaded(st, NULL, "");
	source_free(s);
	source_free(again);
}

/* Settings of a version that took more stop no start: a change mends the source. */
static void test_settings_that_are_not_taken(void **state)
{
	static const char *const SETTINGS[] = {
	    "{\"name\":\"n\",\"split\":\"x\",\"verify\":{\"type\":\"none\"}}",
	    "{\"name\":\"n\",\"split\":\"x\",\"enabled\":true,\"verify\":{\"type\":\"token\","
	    "\"header\":\"h\",\"secrets\":[\"" SECRET "\"]}}",
	    "{\"name\":\"n\",\"type\":\"nats\",\"split\":\"x\",\"servers\":[\"h\"],"
	    "\"stream\":\"s\",\"token\":\"" SECRET "\"}"};
	struct store *st = *state;
	for (size_t i = 0; i < COUNT(SETTINGS); i++) {
		struct sources *all = sources_new();
		struct source *s = source_new(1);
		struct source *got = NULL;
		struct problem p = {0};
		char made[SIGN_SECRET_SIZE];
		struct buf shown = BUF_INIT(4096);
		struct json_writer json = JSON_WRITER(&shown);
		struct uuid id = s->id;
		s->settings = mem_copy(SETTINGS[i], strlen(SETTINGS[i]));
		struct db_txn *txn = store_begin(st);
		assert_int_equal(sources_put(txn, NULL, s), OK);
		store_commit(txn);
		source_free(s);
		assert_int_equal(sources_load(all, st->db, NULL, &p), OK);
		const struct source *there = sources_find(all, &id)->source;
		assert_string_equal(source_name(there), "n");
		assert_non_null(strstr(source_refusal(there), "split"));
		assert_false(source_is_enabled(there));
		assert_null(source_nats(there));
		assert_int_equal(source_is_stream(there), i == 2);
		json_open_object(&json, NULL);
		source_write(there, &json);
		json_close(&json);
		json_expect_whole(&json);
		assert_non_null(
		    strstr(buf_cstr(&shown), "\"enabled\":false,\"problem\":\"split"));
		assert_null(strstr(buf_cstr(&shown), SECRET));
		assert_null(strstr(buf_cstr(&shown), "\"enabled\":true"));
		buf_fini(&shown);

		txn = store_begin(st);
		assert_int_equal(sources_get(txn, NULL, &id, &got), OK);
		assert_int_equal(source_apply(got, SLICE("{\"event\":\"e\"}"), made, &p),
		    ERR_INVALID);
		assert_string_equal(p.field, "split");
		assert_int_equal(source_apply(got, SLICE("{\"split\":null}"), made, &p), OK);
		assert_null(source_refusal(got));
		assert_true(source_is_enabled(got));
		assert_int_equal(sources_del(txn, &id), OK);
		store_commit(txn);
		source_free(got);
		sources_free(all);
	}
}

/* Whether any record of the table holds the secret as it is. */
static bool shows_secret(struct store *st)
{
	struct db_txn *txn = store_read(st);
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	bool shows = false;
	assert_int_equal(db_cursor(txn, DB_SOURCES, &c), OK);
	enum err err = db_seek_behind(c, SLICE(""), &key, &value);
	for (; err == OK; err = db_next(c, &key, &value)) {
		shows = shows || memmem(value.ptr, value.len, SECRET, strlen(SECRET)) != NULL;
		assert_int_equal(sources_check(key, value), OK); /* also without a key */
	}
	db_cursor_close(c);
	db_read_end(txn);
	return shows;
}

static void test_keys(void **state)
{
	struct store *st = *state;
	struct sources *all = sources_new();
	struct problem p = {0};
	struct vault *first = make_vault(KEY_HEX, NULL);
	struct vault *both = make_vault(OTHER_KEY_HEX, KEY_HEX);
	struct vault *second = make_vault(OTHER_KEY_HEX, NULL);
	write_three(st, NULL);
	assert_true(shows_secret(st));
	expect_loaded(st, first, "abc"); /* written anew under the key */
	assert_false(shows_secret(st));
	assert_int_equal(sources_load(all, st->db, second, &p), ERR_REFUSED);
	assert_string_equal(p.field, "secret_key");
	assert_int_equal(sources_load(all, st->db, NULL, &p), ERR_REFUSED);
	assert_int_equal(sources_count(all), 0);
	p.field[0] = '\0';
	assert_int_equal(sources_try(st->db, second, &p), ERR_REFUSED);
	assert_string_equal(p.field, "secret_key");
	assert_int_equal(sources_try(st->db, both, &p), OK); /* nothing is written: */
	assert_int_equal(sources_try(st->db, first, &p), OK);
	expect_loaded(st, both, "abc");
	expect_loaded(st, second, "abc"); /* the former key can go now */
	vault_free(first);
	vault_free(both);
	vault_free(second);
	sources_free(all);
}

static void test_damage(void **state)
{
	struct store *st = *state;
	struct sources *all = sources_new();
	struct problem p = {0};
	struct slice key;
	struct slice value;
	char copy[1024];
	write_three(st, NULL);
	struct db_txn *txn = store_begin(st);
	assert_int_equal(db_first(txn, DB_SOURCES, &key, &value), OK);
	assert_true(value.len < sizeof(copy));
	size_t len = value.len;
	memcpy(copy, value.ptr, len);
	copy[len / 2] ^= 1;
	assert_int_equal(sources_check(key, (struct slice){copy, len}), ERR_CORRUPT);
	char name[UUID_SIZE];
	memcpy(name, key.ptr, sizeof(name));
	assert_int_equal(db_put(txn, DB_SOURCES, (struct slice){name, sizeof(name)},
			     (struct slice){copy, len}),
	    OK);
	copy[len / 2] ^= 1; /* whole again, but under another id it is not */
	name[0] ^= 1;
	assert_int_equal(sources_check((struct slice){name, sizeof(name)},
			     (struct slice){copy, len}),
	    ERR_CORRUPT);
	store_commit(txn);
	assert_int_equal(sources_load(all, st->db, NULL, &p), ERR_CORRUPT);
	assert_int_equal(sources_try(st->db, NULL, &p), ERR_CORRUPT);
	assert_string_equal(p.field, "data");
	sources_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_load),
	    cmocka_unit_test(test_mirror),
	    STORE_TEST(test_records),
	    STORE_TEST(test_positions),
	    STORE_TEST(test_position_in_another_stream),
	    STORE_TEST(test_place_of_a_configured_one),
	    STORE_TEST(test_settings_that_are_not_taken),
	    STORE_TEST(test_keys),
	    STORE_TEST(test_damage),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
