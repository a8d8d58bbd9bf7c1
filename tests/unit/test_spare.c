/* Large blocks that are kept: what is taken, what is freed, and buffers that live on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/spare.h"

#define MOST (8 * SPARE_MIN)

/* Where AddressSanitizer watches what is used too late nothing is kept. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS false
#else
#define KEEPS true
#endif

static void give(size_t size)
{
	spare_give(mem_array(size, 1), size);
}

/* Takes one and frees it; its size, 0: there was none. */
static size_t take(size_t bytes)
{
	size_t size = 0;
	free(spare_take(bytes, &size));
	return size;
}

static int keep(void **state)
{
	(void)state;
	spare_keep(MOST);
	return 0;
}

static int keep_nothing(void **state)
{
	(void)state;
	spare_keep(0);
	return 0;
}

static void test_keeps_nothing_unasked(void **state)
{
	(void)state;
	give(SPARE_MIN);
	assert_int_equal(take(1), 0);
}

static void test_takes_the_smallest_that_fits(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	give(3 * SPARE_MIN);
	give(SPARE_MIN);
	give(2 * SPARE_MIN);
	assert_int_equal(take(SPARE_MIN + 1), 2 * SPARE_MIN);
	assert_int_equal(take(SPARE_MIN + 1), 3 * SPARE_MIN);
	assert_int_equal(take(SPARE_MIN + 1), 0);
	assert_int_equal(take(SPARE_MIN), SPARE_MIN);
}

static void test_small_ones_and_none_are_not_kept(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	give(SPARE_MIN - 1);
	spare_give(NULL, MOST);
	assert_int_equal(take(1), 0);
}

static void test_oldest_go_for_newer_ones(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	give(4 * SPARE_MIN);
	give(3 * SPARE_MIN);
	give(2 * SPARE_MIN); /* 9 of 8 */
	assert_int_equal(take(4 * SPARE_MIN), 0);
	assert_int_equal(take(3 * SPARE_MIN), 3 * SPARE_MIN);
	give(MOST + 1); /* has no room, and takes none's place */
	assert_int_equal(take(1), 2 * SPARE_MIN);
}

static void test_less_is_kept_from_then_on(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	give(2 * SPARE_MIN);
	give(SPARE_MIN);
	spare_keep(SPARE_MIN);
	assert_int_equal(take(2 * SPARE_MIN), 0);
	assert_int_equal(take(1), SPARE_MIN);
}

static void test_so_many_at_most(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	size_t n = 0;
	spare_keep(1000 * SPARE_MIN);
	for (size_t i = 0; i < 100; i++)
		give(SPARE_MIN);
	while (take(1) > 0)
		n++;
	assert_in_range(n, 8, 99);
}

static void fill(struct buf *b, size_t n, char c)
{
	for (size_t i = 0; i < n; i++)
		buf_putc(b, c);
}

/* It grows into a spare block with what it has, and leaves its own for others. */
static void test_buffers_move_to_spare_blocks(void **state)
{
	(void)state;
	if (!KEEPS)
		skip();
	struct buf b = BUF_INIT(MOST);
	fill(&b, SPARE_MIN, 'a');
	const char *before = b.data;
	assert_int_equal(b.cap, SPARE_MIN);
	give(4 * SPARE_MIN);
	fill(&b, 1, 'b');
	assert_int_equal(b.cap, 4 * SPARE_MIN);
	assert_int_equal(b.len, SPARE_MIN + 1);
	assert_int_equal(b.data[0], 'a');
	assert_int_equal(b.data[SPARE_MIN - 1], 'a');
	assert_int_equal(b.data[SPARE_MIN], 'b');
	size_t size = 0;
	char *left = spare_take(1, &size);
	assert_ptr_equal(left, before);
	free(left);
	buf_fini(&b);
	assert_int_equal(take(1), 4 * SPARE_MIN);
}

/* What a spare block has more is no leave to pass the limit. */
static void test_limit_of_a_buffer_holds_in_a_larger_block(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(SPARE_MIN);
	give(2 * SPARE_MIN);
	fill(&b, SPARE_MIN, 'a');
	assert_false(b.failed);
	buf_putc(&b, 'b');
	assert_true(b.failed);
	assert_int_equal(b.len, SPARE_MIN);
	assert_int_equal(strlen(buf_cstr(&b)), 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_keeps_nothing_unasked, keep_nothing,
		keep_nothing),
	    cmocka_unit_test_setup_teardown(test_limit_of_a_buffer_holds_in_a_larger_block,
		keep, keep_nothing),
	    cmocka_unit_test_setup_teardown(test_takes_the_smallest_that_fits, keep,
		keep_nothing),
	    cmocka_unit_test_setup_teardown(test_small_ones_and_none_are_not_kept, keep,
		keep_nothing),
	    cmocka_unit_test_setup_teardown(test_oldest_go_for_newer_ones, keep, keep_nothing),
	    cmocka_unit_test_setup_teardown(test_less_is_kept_from_then_on, keep, keep_nothing),
	    cmocka_unit_test_setup_teardown(test_so_many_at_most, keep, keep_nothing),
	    cmocka_unit_test_setup_teardown(test_buffers_move_to_spare_blocks, keep,
		keep_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
