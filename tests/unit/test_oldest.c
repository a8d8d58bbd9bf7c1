/* The oldest that waits: found over what is settled, replays in front of it, many to pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/oldest.h"
#include "support.h"

#define MANY 25000 /* more than one step passes */

/* A delivery published at `n` ms. */
static struct delivery published(uint64_t n)
{
	struct delivery d = make_delivery(1, n, 0);
	for (int i = 0; i < 6; i++) /* the time of a UUIDv7 */
		d.id.bytes[i] = (unsigned char)(n >> (40 - 8 * i));
	return d;
}

static void add(struct db_txn *txn, uint64_t n)
{
	struct delivery d = published(n);
	assert_int_equal(queue_add(txn, &d), OK);
}

/* Delivered: out of the queue, its record stays. */
static void settle(struct db_txn *txn, uint64_t n)
{
	struct delivery d = published(n);
	assert_int_equal(queue_remove(txn, &d), OK);
	d.status = DELIVERY_DELIVERED;
	assert_int_equal(queue_put(txn, &d), OK);
}

static void expect(const struct oldest *o, int64_t created_ms)
{
	int64_t at = -1;
	assert_true(oldest_created(o, &at));
	assert_true(at == created_ms);
}

static void test_follows_the_queue(void **state)
{
	struct store *s = *state;
	struct oldest *o = oldest_new(s->db, s->backlog);
	int64_t at = 0;
	assert_false(oldest_created(o, &at));
	oldest_step(o);
	expect(o, 0);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		add(txn, n * 1000);
	store_commit(txn);
	oldest_step(o);
	expect(o, 1000);
	txn = store_begin(s);
	settle(txn, 1000);
	store_commit(txn);
	oldest_step(o);
	expect(o, 2000);
	/* the first is replayed */
	struct delivery d = published(1000);
	txn = store_begin(s);
	assert_int_equal(queue_add(txn, &d), OK);
	store_commit(txn);
	oldest_queued(o, &d.id);
	oldest_step(o);
	expect(o, 1000);
	txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		settle(txn, n * 1000);
	store_commit(txn);
	oldest_step(o);
	expect(o, 0);
	oldest_free(o);
}

/* A walk takes several steps; until the first has come to its end nothing is known. */
static void test_walks_in_slices(void **state)
{
	struct store *s = *state;
	struct oldest *o = oldest_new(s->db, s->backlog);
	int64_t at = 0;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= MANY; n++)
		add(txn, n);
	for (uint64_t n = 1; n < MANY; n++)
		settle(txn, n);
	store_commit(txn);
	oldest_step(o);
	assert_false(oldest_created(o, &at));
	oldest_step(o);
	expect(o, MANY);
	oldest_free(o);
	oldest_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_follows_the_queue),
	    STORE_TEST(test_walks_in_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
