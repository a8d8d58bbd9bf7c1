/* Names that wait take turns by who wants them, and by their domains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "courier/lookup_queue.h"
#include "support.h"

static void put(struct lookup_queue *q, struct lookup_place *p, const char *name,
    uint64_t taker)
{
	*p = (struct lookup_place){.name = slice_of(name)};
	lookup_queue_put(q, p, taker);
}

static void expect(struct lookup_queue *q, const char *name)
{
	const struct lookup_place *p = lookup_queue_take(q);
	assert_non_null(p);
	assert_string_equal(p->name.ptr, name);
	assert_null(p->line);
}

/* The newest first, of those of one domain as well. */
static void test_domains_take_turns(void **state)
{
	static const char *const NAMES[] = {"a.many.test", "b.many.test", "x.c.many.test.",
	    "few.test", "single", "www.few.test"};
	struct lookup_place places[COUNT(NAMES)];
	struct lookup_queue *q = lookup_queue_new();
	(void)state;
	assert_true(lookup_queue_is_empty(q));
	assert_null(lookup_queue_take(q));
	for (size_t i = 0; i < COUNT(NAMES); i++)
		put(q, &places[i], NAMES[i], 1);
	expect(q, "single");
	expect(q, "www.few.test");
	expect(q, "x.c.many.test.");
	expect(q, "few.test");
	expect(q, "b.many.test");
	assert_false(lookup_queue_is_empty(q));
	expect(q, "a.many.test");
	assert_true(lookup_queue_is_empty(q));
	lookup_queue_free(q);
}

/* However many domains one takes. */
static void test_takers_take_turns(void **state)
{
	static const char *const NAMES[] = {"a.one", "b.two", "c.three", "d.four"};
	struct lookup_place many[COUNT(NAMES)];
	struct lookup_place few[2];
	struct lookup_queue *q = lookup_queue_new();
	(void)state;
	put(q, &few[0], "e.one", 2);
	for (size_t i = 0; i < COUNT(NAMES); i++)
		put(q, &many[i], NAMES[i], 1);
	assert_int_equal(lookup_queue_of(q, 1), COUNT(NAMES));
	assert_int_equal(lookup_queue_beside(&many[0]), COUNT(NAMES));
	assert_int_equal(lookup_queue_of(q, 2), 1);
	assert_int_equal(lookup_queue_of(q, 3), 0);
	assert_int_equal(lookup_queue_count(q), COUNT(NAMES) + 1);
	expect(q, "d.four");
	expect(q, "e.one");
	put(q, &few[1], "f.two", 2); /* nobody of his waits now: he is the next */
	expect(q, "f.two");
	expect(q, "c.three");
	expect(q, "b.two");
	expect(q, "a.one");
	assert_true(lookup_queue_is_empty(q));
	lookup_queue_free(q);
}

static void test_who_had_a_turn_comes_last(void **state)
{
	struct lookup_place a, b, c;
	struct lookup_queue *q = lookup_queue_new();
	(void)state;
	put(q, &a, "a.test", 1);
	put(q, &b, "b.test", 2);
	c = (struct lookup_place){.name = SLICE("c.test")};
	lookup_queue_put_last(q, &c, 3);
	expect(q, "b.test");
	lookup_queue_put_last(q, &b, 2);
	expect(q, "a.test");
	expect(q, "c.test");
	expect(q, "b.test");
	lookup_queue_free(q);
}

static void test_who_gives_up_waits_no_longer(void **state)
{
	struct lookup_place a, b, c;
	struct lookup_queue *q = lookup_queue_new();
	(void)state;
	put(q, &a, "a.test", 1);
	put(q, &b, "b.a.test", 1);
	put(q, &c, "c.test", 2);
	lookup_queue_drop(q, &a);
	lookup_queue_drop(q, &a); /* does not wait */
	lookup_queue_drop(q, &c); /* the last of its taker */
	assert_int_equal(lookup_queue_count(q), 1);
	expect(q, "b.a.test");
	assert_null(lookup_queue_take(q));
	lookup_queue_put(q, &c, 2);
	lookup_queue_free(q); /* with one that waits */
	lookup_queue_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_domains_take_turns),
	    cmocka_unit_test(test_takers_take_turns),
	    cmocka_unit_test(test_who_had_a_turn_comes_last),
	    cmocka_unit_test(test_who_gives_up_waits_no_longer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
