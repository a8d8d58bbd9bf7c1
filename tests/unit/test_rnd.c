/* Random numbers: the published algorithms, repeatable, and the system's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rnd.h"

/* splitmix64 from 1234567 and xoshiro256** from {1, 2, 3, 4}: prng.di.unimi.it. */
static void test_known_answers(void **state)
{
	(void)state;
	static const uint64_t SPLITMIX[] = {6457827717110365317ULL, 3203168211198807973ULL,
	    9817491932198370423ULL, 4593380528125082431ULL};
	static const uint64_t XOSHIRO[] = {11520, 0, 1509978240, 1215971899390074240,
	    1216172134540287360};
	struct rnd r;
	rnd_seed(&r, 1234567);
	for (size_t i = 0; i < 4; i++)
		assert_true(r.s[i] == SPLITMIX[i]);
	r = (struct rnd){.s = {1, 2, 3, 4}};
	for (size_t i = 0; i < 5; i++)
		assert_true(rnd_next(&r) == XOSHIRO[i]);
}

static void test_seed_repeats(void **state)
{
	(void)state;
	struct rnd a;
	struct rnd b;
	struct rnd c;
	rnd_seed(&a, 0);
	rnd_seed(&b, 0);
	rnd_seed(&c, 1);
	for (int i = 0; i < 100; i++) {
		uint64_t n = rnd_next(&a);
		assert_true(n == rnd_next(&b));
		assert_true(n != rnd_next(&c));
	}
}

static void test_system_seed_differs(void **state)
{
	(void)state;
	struct rnd a;
	struct rnd b;
	rnd_seed_system(&a);
	rnd_seed_system(&b);
	assert_true(rnd_next(&a) != rnd_next(&b));
}

/* Every byte asked for is written, none beside it: more than one getrandom() gives at once. */
static void test_secret_fills_all(void **state)
{
	(void)state;
	enum { SIZE = 1000, ROUNDS = 8 };
	unsigned char bytes[SIZE + 2];
	unsigned char seen[SIZE] = {0};
	for (int round = 0; round < ROUNDS; round++) {
		memset(bytes, 0, sizeof(bytes));
		rnd_secret(bytes + 1, SIZE);
		assert_int_equal(bytes[0], 0);
		assert_int_equal(bytes[SIZE + 1], 0);
		for (size_t i = 0; i < SIZE; i++)
			seen[i] |= bytes[i + 1];
	}
	for (size_t i = 0; i < SIZE; i++)
		assert_int_not_equal(seen[i], 0); /* by chance once in 2^54 runs */
	rnd_secret(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_answers),
	    cmocka_unit_test(test_seed_repeats),
	    cmocka_unit_test(test_system_seed_differs),
	    cmocka_unit_test(test_secret_fills_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
