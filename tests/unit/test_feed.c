/* The feed: what readers get, where they go on, what they are told they missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed/feed.h"
#include "support.h"

#define ALL_BYTES (1u << 20)

struct fixture {
	struct registry *registry;
	struct feed *feed;
	struct buf out;
};

static void set_up(struct fixture *x, size_t capacity, size_t text_bytes)
{
	x->registry = registry_new();
	registry_set(x->registry, make_webhook(7, "s", "http://a/\"x"));
	struct feed_conf conf = {.capacity = capacity,
	    .text_bytes = text_bytes,
	    .start_ms = 5000,
	    .registry = x->registry};
	x->feed = feed_new(&conf);
	x->out = BUF_INIT(ALL_BYTES);
}

static void tear_down(struct fixture *x)
{
	feed_free(x->feed);
	registry_free(x->registry);
	buf_fini(&x->out);
}

static void tell(struct fixture *x, enum happening_type type, const char *session)
{
	struct happening h = {.type = type, .at_ms = 0};
	(void)snprintf(h.session, sizeof(h.session), "%s", session);
	feed_tell(x->feed, &h);
}

/* Reads at most about `bytes`, and returns it as text. */
static const char *read_some(struct fixture *x, const struct feed_filter *filter,
    uint64_t *position, size_t bytes)
{
	buf_reset(&x->out);
	feed_read(x->feed, filter, position, bytes, &x->out);
	return buf_cstr(&x->out);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
		n++;
	return n;
}

static void test_text(void **state)
{
	(void)state;
	struct fixture x;
	struct feed_filter all = {.types = 0};
	uint64_t position = 0;
	set_up(&x, 8, ALL_BYTES);
	struct happening h = {.type = HAPPENING_RETRYING,
	    .at_ms = 1000,
	    .webhook = 7,
	    .duration_us = 12034,
	    .next_ms = 6000,
	    .attempt = 2,
	    .status = 503,
	    .has_event = true,
	    .has_delivery = true,
	    .has_webhook = true,
	    .event_id = make_id(1),
	    .delivery_id = make_id(2),
	    .webhook_id = make_id(7),
	    .session = "s",
	    .event = "message",
	    .error = "no \"way\""};
	char ids[3][UUID_TEXT_SIZE];
	char want[1024];
	uuid_format(&h.event_id, ids[0]);
	uuid_format(&h.delivery_id, ids[1]);
	uuid_format(&h.webhook_id, ids[2]);
	(void)snprintf(want, sizeof(want),
	    "id: 5000-1\nevent: retrying\ndata: {\"at\":\"1970-01-01T00:00:01.000Z\","
	    "\"type\":\"retrying\",\"session_id\":\"s\",\"event\":\"message\","
	    "\"event_id\":\"%s\",\"delivery_id\":\"%s\",\"webhook_id\":\"%s\","
	    "\"url\":\"http://a/\\\"x\",\"attempt\":2,\"status\":503,"
	    "\"error\":\"no \\\"way\\\"\",\"duration_ms\":12.034,"
	    "\"next_attempt_at\":\"1970-01-01T00:00:06.000Z\"}\n\n",
	    ids[0], ids[1], ids[2]);
	feed_tell(x.feed, &h);
	assert_string_equal(read_some(&x, &all, &position, ALL_BYTES), want);
	assert_true(position == 1 && feed_end(x.feed) == 1);
	assert_string_equal(read_some(&x, &all, &position, ALL_BYTES), "");
	tell(&x, HAPPENING_PUBLISHED, "t");
	assert_string_equal(read_some(&x, &all, &position, ALL_BYTES),
	    "id: 5000-2\nevent: published\ndata: {\"at\":\"1970-01-01T00:00:00.000Z\","
	    "\"type\":\"published\",\"session_id\":\"t\"}\n\n");
	tear_down(&x);
}

static bool reaches_b(const void *arg, struct slice session)
{
	assert_ptr_equal(arg, "arg");
	return slice_eq(session, SLICE("b"));
}

static void test_filter(void **state)
{
	(void)state;
	struct fixture x;
	set_up(&x, 8, ALL_BYTES);
	tell(&x, HAPPENING_PUBLISHED, "a");
	tell(&x, HAPPENING_DEAD, "b");
	tell(&x, HAPPENING_DELIVERED, "b");
	struct happening h = {.type = HAPPENING_DELIVERED,
	    .has_webhook = true,
	    .webhook_id = make_id(9)};
	feed_tell(x.feed, &h);
	const struct {
		struct feed_filter filter;
		const char *first_id; /* of the messages that match */
		size_t count;
	} CASES[] = {
	    {{.types = 0}, "5000-1\n", 4},
	    {{.session = "b"}, "5000-2\n", 2},
	    {{.session = "b", .types = 1u << HAPPENING_DELIVERED}, "5000-3\n", 1},
	    {{.types = 1u << HAPPENING_DELIVERED | 1u << HAPPENING_PUBLISHED}, "5000-1\n", 3},
	    {{.has_webhook = true, .webhook = make_id(9)}, "5000-4\n", 1},
	    {{.reaches = reaches_b, .arg = "arg"}, "5000-2\n", 2},
	    {{.session = "c"}, "", 0},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		uint64_t position = 0;
		const char *text = read_some(&x, &CASES[i].filter, &position, ALL_BYTES);
		size_t skip = text[0] == '\0' ? 0 : strlen("id: ");
		assert_int_equal(count_of(text, "event: "), CASES[i].count);
		assert_memory_equal(text + skip, CASES[i].first_id, strlen(CASES[i].first_id));
		assert_true(position == 4);
	}
	tear_down(&x);
}

static void test_gap_and_bounds(void **state)
{
	(void)state;
	struct fixture x;
	struct feed_filter all = {.types = 0};
	uint64_t position = 1;
	set_up(&x, 4, ALL_BYTES);
	for (int i = 0; i < 10; i++)
		tell(&x, HAPPENING_PUBLISHED, "s");
	const char *text = read_some(&x, &all, &position, 1);
	const char *gap = "id: 5000-6\nevent: gap\ndata: {\"dropped\":5}\n\n";
	assert_string_equal(text, gap); /* as many bytes as were asked for already */
	text = read_some(&x, &all, &position, 1);
	assert_int_equal(count_of(text, "event: published"), 1);
	assert_true(position == 7);
	text = read_some(&x, &all, &position, ALL_BYTES);
	assert_int_equal(count_of(text, "event: published"), 3);
	assert_true(position == 10);
	tear_down(&x);
}

/* However few texts are kept, each reader gets them all. */
static void test_texts_are_bounded(void **state)
{
	(void)state;
	struct fixture x;
	struct feed_filter all = {.types = 0};
	set_up(&x, 16, 200); /* about two of them */
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 11; i++)
			tell(&x, HAPPENING_PUBLISHED, "s");
		for (int reader = 0; reader < 3; reader++) {
			uint64_t position = feed_end(x.feed) - 11 + (uint64_t)reader;
			const char *text = read_some(&x, &all, &position, ALL_BYTES);
			assert_int_equal(count_of(text, "event: published"), 11 - reader);
			assert_int_equal(count_of(text, "event: gap"), 0);
		}
	}
	tear_down(&x);
}

static void test_resume(void **state)
{
	(void)state;
	struct fixture x;
	set_up(&x, 4, ALL_BYTES);
	for (int i = 0; i < 6; i++)
		tell(&x, HAPPENING_PUBLISHED, "s");
	static const struct {
		const char *id;
		uint64_t position;
		bool gap;
	} CASES[] = {
	    {"5000-6", 6, false},
	    {"5000-3", 3, false},
	    {"5000-1", 1, false}, /* feed_read() tells of the gap */
	    {"5000-7", 2, true},  /* not made yet: by whom? */
	    {"4999-3", 2, true},
	    {"5000", 2, true},
	    {"5000-", 2, true},
	    {"", 2, true},
	    {"5000-3x", 2, true},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		buf_reset(&x.out);
		assert_int_equal(feed_resume(x.feed, slice_of(CASES[i].id), &x.out),
		    CASES[i].position);
		assert_string_equal(buf_cstr(&x.out),
		    CASES[i].gap ? "id: 5000-2\nevent: gap\ndata: {\"dropped\":null}\n\n" : "");
	}
	tear_down(&x);
}

static void count_news(void *arg)
{
	++*(int *)arg;
}

static void test_news_and_disabled(void **state)
{
	(void)state;
	struct fixture x;
	struct feed_filter all = {.types = 1u << HAPPENING_DISABLED};
	uint64_t position = 0;
	int news = 0;
	set_up(&x, 4, ALL_BYTES);
	struct webhook *w = make_webhook(7, "s", "http://a/");
	webhook_set_enabled(w, "because");
	feed_watch(x.feed, count_news, &news);
	feed_tell_disabled(x.feed, w, 1);
	assert_int_equal(news, 1);
	feed_watch(x.feed, NULL, NULL);
	tell(&x, HAPPENING_DEAD, "s");
	assert_int_equal(news, 1);
	const char *text = read_some(&x, &all, &position, ALL_BYTES);
	assert_int_equal(count_of(text, "\"error\":\"because\""), 1);
	assert_int_equal(count_of(text, "event: "), 1);
	webhook_free(w);
	tear_down(&x);
}

static void test_types(void **state)
{
	(void)state;
	struct problem p;
	uint32_t types = 0;
	assert_int_equal(feed_parse_types(SLICE("dead"), &types, &p), OK);
	assert_int_equal(types, 1u << HAPPENING_DEAD);
	assert_int_equal(feed_parse_types(SLICE("published,disabled"), &types, &p), OK);
	assert_int_equal(types, 1u << HAPPENING_PUBLISHED | 1u << HAPPENING_DISABLED);
	static const char *const WRONG[] = {"", "lost", "dead,lost", "dead,,dead", " dead"};
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		assert_int_equal(feed_parse_types(slice_of(WRONG[i]), &types, &p), ERR_INVALID);
		assert_string_equal(p.field, "status");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_filter),
	    cmocka_unit_test(test_gap_and_bounds),
	    cmocka_unit_test(test_texts_are_bounded),
	    cmocka_unit_test(test_resume),
	    cmocka_unit_test(test_news_and_disabled),
	    cmocka_unit_test(test_types),
	};
	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
