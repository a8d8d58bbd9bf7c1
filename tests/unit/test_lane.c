/* Keys of an ordering, and the lanes that events have by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support.h"

static void test_what_is_a_key(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		bool is_key;
	} ROWS[] = {{"\"/a\"", true}, {"\"/\"", true}, {"\"/data/chat\"", true},
	    {"\"/a~0/~1\"", true}, {"\"/a\\\"b\"", true}, {"\"\"", false}, {"\"a\"", false},
	    {"\"/a~\"", false}, {"\"/a~2\"", false}, {"null", false}, {"1", false},
	    {"[\"/a\"]", false}, {"{\"/a\":1}", false},
	    {"\"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16\"", true},
	    {"\"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17\"", false}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct lane_key *k = lane_key_new(slice_of(ROWS[i].json));
		if ((k != NULL) != ROWS[i].is_key)
			fail_msg("%s", ROWS[i].json);
		if (k != NULL)
			assert_true(slice_eq(lane_key_json(k), slice_of(ROWS[i].json)));
		lane_key_free(k);
	}
	lane_key_free(NULL);
}

static void test_same(void **state)
{
	(void)state;
	struct lane_key *a = make_key("/a");
	struct lane_key *also_a = make_key("/a");
	struct lane_key *b = make_key("/b");
	assert_true(lane_key_same(NULL, NULL));
	assert_true(lane_key_same(a, also_a));
	assert_false(lane_key_same(a, b));
	assert_false(lane_key_same(a, NULL));
	assert_false(lane_key_same(NULL, a));
	lane_key_free(a);
	lane_key_free(also_a);
	lane_key_free(b);
}

/* The lanes lie on disk: these are what they were when the first was written. */
static void test_lanes_stay(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		uint16_t lane;
	} ROWS[] = {{"\"a\"", 72}, {"\"b\"", 242}, {"1", 205}, {"null", 134}, {"\"\"", 194}};
	assert_int_equal(lane_of((struct slice){0}), LANE_NONE);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (lane_of(slice_of(ROWS[i].value)) != ROWS[i].lane)
			fail_msg("%s: %u", ROWS[i].value, lane_of(slice_of(ROWS[i].value)));
	}
}

/* Many values use all lanes but that of none, none much more than others. */
static void test_values_are_spread(void **state)
{
	(void)state;
	unsigned counts[LANES] = {0};
	for (unsigned n = 0; n < 100 * LANE_MAX; n++) {
		char value[32];
		(void)snprintf(value, sizeof(value), "\"49151%07u@c.us\"", n);
		counts[lane_of(slice_of(value))]++;
	}
	assert_int_equal(counts[LANE_NONE], 0);
	for (size_t lane = 1; lane < LANES; lane++)
		assert_in_range(counts[lane], 50, 160);
}

/* However long a value is, it is looked at so far; of what is behind, the length counts. */
static void test_long_values(void **state)
{
	(void)state;
	char *text = repeat('x', LANE_LOOK_MAX + 100);
	struct slice all = {text, LANE_LOOK_MAX + 100};
	struct slice less = {text, LANE_LOOK_MAX + 99};
	uint16_t lane = lane_of(all);
	assert_in_range(lane, 1, LANE_MAX);
	text[LANE_LOOK_MAX + 50] = 'y';
	assert_int_equal(lane_of(all), lane);
	assert_int_not_equal(lane_of(less), lane);
	text[LANE_LOOK_MAX - 1] = 'y';
	assert_int_not_equal(lane_of(all), lane);
	free(text);
}

/* What an event has at the pointer, asked among other pointers and alone. */
static void test_lanes_of_events(void **state)
{
	(void)state;
	static const struct {
		const char *pointer;
		const char *event;
		const char *value; /* NULL: there is none */
	} ROWS[] = {
	    {"/data/chat", "{\"data\":{\"chat\":\"a\"}}", "\"a\""},
	    {"/data/chat", "{\"data\":{\"chat\":7}}", "7"},
	    {"/data/chat", "{\"data\":{\"chat\":\"7\"}}", "\"7\""},
	    {"/data/chat", "{\"data\":{\"chat\":null}}", "null"},
	    {"/data/chat", "{\"data\":{\"chat\":{\"id\":[1,2]}}}", "{\"id\":[1,2]}"},
	    {"/data/chat", "{\"data\":{\"chats\":1}}", NULL},
	    {"/data/chat", "{\"data\":[]}", NULL},
	    {"/data/chat", "{}", NULL},
	    {"/data/1", "{\"data\":[0,{\"a\":1}]}", "{\"a\":1}"},
	    {"/data/2", "{\"data\":[0,1]}", NULL},
	    {"/a~1b/~0", "{\"a/b\":{\"~\":true}}", "true"},
	    {"/", "{\"\":5}", "5"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct lane_key *k = make_key(ROWS[i].pointer);
		struct lane_key *other = make_key("/data");
		struct pointers *ps = pointers_new();
		struct buf decoded = BUF_INIT(1000);
		struct slice event = slice_of(ROWS[i].event);
		uint16_t want = LANE_NONE;
		if (ROWS[i].value != NULL)
			want = lane_of(slice_of(ROWS[i].value));
		lane_key_enter(other, ps);
		lane_key_enter(k, ps);
		pointers_look(ps, event, &decoded);
		if (lane_key_ask(k, ps) != want || lane_key_find(k, event) != want)
			fail_msg("row %zu: %u, %u", i, lane_key_ask(k, ps),
			    lane_key_find(k, event));
		lane_key_leave(k, ps);
		lane_key_leave(other, ps);
		assert_int_equal(pointers_count(ps), 0);
		pointers_free(ps);
		buf_fini(&decoded);
		lane_key_free(k);
		lane_key_free(other);
	}
}

/* What a disk has damaged may be no JSON: it has some lane. */
static void test_what_is_no_event(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {"", "{", "{\"data\"",
	    "{\"data\":", "{\"data\":{\"chat\":", "{\"data\":{\"chat\":\"a", "[[[[", "\"", "\\",
	    "{\"data\":{\"chat\":\"\\"};
	struct lane_key *k = make_key("/data/chat");
	for (size_t i = 0; i < COUNT(TEXTS); i++) {
		size_t len = strlen(TEXTS[i]);
		char *exact = mem_copy(TEXTS[i],
		    len); /* for a sanitizer to see where it ends */
		assert_in_range(lane_key_find(k, (struct slice){exact, len}), 0, LANE_MAX);
		free(exact);
	}
	char zeros[100] = {0};
	assert_in_range(lane_key_find(k, (struct slice){zeros, sizeof(zeros)}), 0, LANE_MAX);
	lane_key_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_a_key),
	    cmocka_unit_test(test_same),
	    cmocka_unit_test(test_lanes_stay),
	    cmocka_unit_test(test_values_are_spread),
	    cmocka_unit_test(test_long_values),
	    cmocka_unit_test(test_lanes_of_events),
	    cmocka_unit_test(test_what_is_no_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
