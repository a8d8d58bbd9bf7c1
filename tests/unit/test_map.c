/* The map from bytes to pointers, against a naive array that does the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/rnd.h"
#include "base/slice.h"

#define KEYS 300 /* enough for the table to grow several times */

static void test_put_get_del(void **state)
{
	(void)state;
	struct map *m = map_new();
	int one = 1;
	int two = 2;
	assert_null(map_get(m, "a", 1));
	assert_null(map_del(m, "a", 1));
	map_put(m, "a", 1, &one);
	assert_ptr_equal(map_get(m, "a", 1), &one);
	map_put(m, "a", 1, &two);
	assert_int_equal(map_count(m), 1);
	assert_ptr_equal(map_get(m, "a", 1), &two);
	assert_ptr_equal(map_del(m, "a", 1), &two);
	assert_null(map_get(m, "a", 1));
	assert_int_equal(map_count(m), 0);
	map_free(m);
	map_free(NULL);
}

static void test_keys_are_bytes_of_a_length(void **state)
{
	(void)state;
	struct map *m = map_new();
	int values[4];
	map_put(m, "ab", 2, &values[0]);
	map_put(m, "ab\0", 3, &values[1]);
	map_put(m, "ab\0c", 4, &values[2]);
	map_put(m, "a", 1, &values[3]);
	assert_int_equal(map_count(m), 4);
	assert_ptr_equal(map_get(m, "ab", 2), &values[0]);
	assert_ptr_equal(map_get(m, "ab\0", 3), &values[1]);
	assert_ptr_equal(map_get(m, "ab\0c", 4), &values[2]);
	assert_ptr_equal(map_get(m, "a", 1), &values[3]);
	assert_null(map_get(m, "ab\0d", 4));
	map_free(m);
}

static void test_keys_are_copied(void **state)
{
	(void)state;
	struct map *m = map_new();
	char key[] = "before";
	int value;
	map_put(m, key, 6, &value);
	memcpy(key, "later!", 6);
	assert_ptr_equal(map_get(m, "before", 6), &value);
	assert_null(map_get(m, "later!", 6));
	map_free(m);
}

struct visit {
	struct map *m;
	int seen[KEYS];
	size_t count;
	bool deletes;
};

static void on_value(void *value, void *arg)
{
	struct visit *v = arg;
	int n = *(const int *)value;
	v->seen[v->count++] = n;
	if (v->deletes && n % 2 == 0)
		(void)map_del(v->m, &n, sizeof(n));
}

static void test_each_in_order_of_insertion(void **state)
{
	(void)state;
	static int numbers[KEYS];
	struct map *m = map_new();
	for (int i = 0; i < KEYS; i++) {
		numbers[i] = i;
		map_put(m, &numbers[i], sizeof(int), &numbers[i]);
	}
	struct visit all = {.m = m, .deletes = true};
	map_each(m, on_value, &all);
	assert_int_equal(all.count, KEYS);
	for (int i = 0; i < KEYS; i++)
		assert_int_equal(all.seen[i], i);

	struct visit odd = {.m = m};
	map_each(m, on_value, &odd);
	assert_int_equal(odd.count, KEYS / 2);
	assert_int_equal(map_count(m), KEYS / 2);
	for (int i = 0; i < KEYS / 2; i++)
		assert_int_equal(odd.seen[i], 2 * i + 1);
	map_free(m);
}

static void test_against_model(void **state)
{
	(void)state;
	const uint64_t seed = 99;
	static int values[2];
	void *model[KEYS] = {NULL};
	size_t count = 0;
	struct rnd rnd;
	struct map *m = map_new();
	rnd_seed(&rnd, seed);
	for (int step = 0; step < 20000; step++) {
		uint64_t r = rnd_next(&rnd);
		uint32_t key = (uint32_t)(r % KEYS);
		void *value = &values[r >> 63];
		void *old = model[key];
		if ((r >> 32) % 3 == 0) {
			model[key] = NULL;
			if (map_del(m, &key, sizeof(key)) != old)
				fail_msg("seed %llu, step %d: del", (unsigned long long)seed,
				    step);
		} else {
			model[key] = value;
			map_put(m, &key, sizeof(key), value);
		}
		count = count + (model[key] != NULL) - (old != NULL);
		key = (uint32_t)(r >> 8) % KEYS;
		if (map_get(m, &key, sizeof(key)) != model[key] || map_count(m) != count)
			fail_msg("seed %llu, step %d", (unsigned long long)seed, step);
	}
	map_free(m);
}

#define FLOOD 64           /* keys that share a bucket */
#define AIMED_BITS 0xffffu /* of the hash: more than a table of FLOOD entries looks at */

/* Fills `m` with keys that all have the same low bits of their hash under `known`. */
static void flood(struct map *m, const struct hash_key *known)
{
	static int value;
	size_t found = 0;
	const uint64_t zero = 0;
	uint64_t aim = hash_keyed(known, &zero, sizeof(zero)) & AIMED_BITS;
	for (uint64_t key = 0; found < FLOOD; key++) {
		if ((hash_keyed(known, &key, sizeof(key)) & AIMED_BITS) != aim)
			continue;
		map_put(m, &key, sizeof(key), &value);
		found++;
	}
	assert_int_equal(map_count(m), FLOOD);
}

/*
 * Who knows a map's hash can put all he sends into one bucket. The keys of a map nobody knows:
 * there the same keys lie as any others do.
 */
static void test_buckets_cannot_be_aimed_at(void **state)
{
	(void)state;
	const struct hash_key known = {{1, 2, 3}};
	struct map *aimed = map_new_keyed(&known);
	struct map *other = map_new();
	assert_int_equal(map_longest_chain(aimed), 0);
	flood(aimed, &known);
	assert_int_equal(map_longest_chain(aimed), FLOOD);
	flood(other, &known);
	/* of 64 in 32 buckets: more than 24 in one happens once in 10^18 */
	assert_in_range(map_longest_chain(other), 1, 24);
	map_free(aimed);
	map_free(other);
}

static void test_keys_are_drawn(void **state)
{
	(void)state;
	struct hash_key a;
	struct hash_key b;
	hash_key_draw(&a);
	hash_key_draw(&b);
	assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
	assert_true(hash_keyed(&a, "key", 3) == hash_keyed(&a, "key", 3));
	assert_true(hash_keyed(&a, "key", 3) != hash_keyed(&b, "key", 3));
	assert_true(hash_keyed(&a, "key", 3) != hash_checksum("key", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_put_get_del),
	    cmocka_unit_test(test_keys_are_bytes_of_a_length),
	    cmocka_unit_test(test_keys_are_copied),
	    cmocka_unit_test(test_each_in_order_of_insertion),
	    cmocka_unit_test(test_against_model),
	    cmocka_unit_test(test_buckets_cannot_be_aimed_at),
	    cmocka_unit_test(test_keys_are_drawn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
