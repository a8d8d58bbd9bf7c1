/* Identifiers: text form, version bits, and the generator whose ids only grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/uuid.h"

#define LOW_END (1ULL << 62)
#define NOW_MS 1767143203000LL

static struct uuid parsed(const char *text)
{
	struct uuid id;
	if (uuid_parse(slice_of(text), &id) != OK)
		fail_msg("not parsed: %s", text);
	return id;
}

static void assert_text(const struct uuid *id, const char *expected)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	assert_string_equal(text, expected);
}

static int compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE);
}

static int64_t time_of(const struct uuid *id)
{
	int64_t ms = 0;
	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id->bytes[i];
	return ms;
}

static void test_text_form(void **state)
{
	(void)state;
	/* RFC 9562 appendix A.6 */
	const struct uuid id = parsed("017F22E2-79B0-7CC3-98C4-DC0C0C07398F");
	assert_int_equal(id.bytes[0], 0x01);
	assert_int_equal(id.bytes[8], 0x98);
	assert_int_equal(id.bytes[15], 0x8f);
	assert_int_equal(time_of(&id), 1645557742000LL);
	assert_text(&id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void test_malformed_text(void **state)
{
	(void)state;
	static const struct slice ROWS[] = {
	    SLICE_INIT(""),
	    SLICE_INIT("017f22e2-79b0-7cc3-98c4-dc0c0c07398"),
	    SLICE_INIT("017f22e2-79b0-7cc3-98c4-dc0c0c07398f0"),
	    SLICE_INIT("017f22e279b07cc398c4dc0c0c07398f"),
	    SLICE_INIT("017f22e279b07cc398c4dc0c0c07398f0000"),
	    SLICE_INIT("017f22e-279b0-7cc3-98c4-dc0c0c07398f"),
	    SLICE_INIT("017f22e2-79b0-7cc3-98c4-dc0c0c07398G"),
	    SLICE_INIT("017f22e2-79b0-7cc3-98c4-dc0c0c07398\0"),
	    SLICE_INIT("017f22e2-79b0-7cc3-98c4_dc0c0c07398f"),
	    SLICE_INIT("{17f22e2-79b0-7cc3-98c4-dc0c0c07398}"),
	    SLICE_INIT("-17f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct uuid id = {.bytes = {7}};
		if (uuid_parse(ROWS[i], &id) != ERR_SYNTAX || id.bytes[0] != 7)
			fail_msg("row %zu", i);
	}
}

static void test_random_is_version_4(void **state)
{
	(void)state;
	struct uuid a;
	struct uuid b;
	for (int i = 0; i < 64; i++) {
		uuid_random(&a);
		uuid_random(&b);
		assert_int_equal(a.bytes[6] >> 4, 4);
		assert_int_equal(a.bytes[8] >> 6, 2);
		assert_int_not_equal(compare(&a, &b), 0);
	}
}

static void test_step_carries(void **state)
{
	(void)state;
	static const struct {
		const char *base;
		uint32_t n;
		const char *stepped;
	} ROWS[] = {
	    {"00000000-0000-7000-8000-000000000000", 0, "00000000-0000-7000-8000-000000000000"},
	    {"00000000-0000-7000-8000-0000000000ff", 1, "00000000-0000-7000-8000-000000000100"},
	    {"00000000-0000-7000-80ff-ffffffffffff", 1, "00000000-0000-7000-8100-000000000000"},
	    {"00000000-0000-7000-bfff-ffffffffffff", 1, "00000000-0000-7001-8000-000000000000"},
	    {"00000000-0000-70ff-bfff-fffffffffffe", 3, "00000000-0000-7100-8000-000000000001"},
	    {"00000000-0000-7000-8000-000000000001", UINT32_MAX,
		"00000000-0000-7000-8000-000100000000"},
	    {"00000000-0001-7fff-bfff-ffffffffffff", 1, "00000000-0001-7000-8000-000000000000"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		const struct uuid base = parsed(ROWS[i].base);
		const struct uuid expected = parsed(ROWS[i].stepped);
		struct uuid got;
		uuid_step(&base, ROWS[i].n, &got);
		if (compare(&got, &expected) != 0)
			fail_msg("row %zu", i);
	}
}

static void test_take_has_time_and_version(void **state)
{
	(void)state;
	struct rnd rnd;
	struct idgen g;
	struct uuid id;
	rnd_seed(&rnd, 1);
	idgen_init(&g, &rnd);
	for (int64_t ms = NOW_MS; ms < NOW_MS + 1000; ms++) {
		idgen_take(&g, ms, 1, &id);
		assert_int_equal(time_of(&id), ms);
		assert_int_equal(id.bytes[6] >> 4, 7);
		assert_int_equal(id.bytes[6] & 0x08, 0); /* headroom: the top counter bit */
		assert_int_equal(id.bytes[8] >> 6, 2);
	}
}

static void test_same_seed_same_ids(void **state)
{
	(void)state;
	struct uuid ids[3];
	static const uint64_t SEEDS[] = {5, 5, 6};
	for (size_t i = 0; i < 3; i++) {
		struct rnd rnd;
		struct idgen g;
		rnd_seed(&rnd, SEEDS[i]);
		idgen_init(&g, &rnd);
		idgen_take(&g, NOW_MS, 1, &ids[i]);
	}
	assert_int_equal(compare(&ids[0], &ids[1]), 0);
	assert_int_not_equal(compare(&ids[0], &ids[2]), 0);
}

/* Whatever the clock does, each range lies behind the last, in the latest millisecond seen. */
static void test_ids_only_grow(void **state)
{
	(void)state;
	const uint64_t seed = 20260131;
	struct rnd rnd;
	struct idgen g;
	struct uuid last = {0};
	int64_t now_ms = NOW_MS;
	int64_t latest_ms = 0;
	rnd_seed(&rnd, seed);
	idgen_init(&g, &rnd);
	for (int i = 0; i < 20000; i++) {
		uint64_t r = rnd_next(&rnd);
		uint32_t count = (uint32_t)(r % 7 == 0 ? 1 + (r >> 32) : 1 + r % 50);
		now_ms += (int64_t)(r >> 8) % 5 - 2;
		struct uuid first;
		idgen_take(&g, now_ms, count, &first);
		if (compare(&first, &last) <= 0)
			fail_msg("seed %llu, step %d: not greater", (unsigned long long)seed,
			    i);
		latest_ms = now_ms > latest_ms ? now_ms : latest_ms;
		if (time_of(&first) != latest_ms)
			fail_msg("seed %llu, step %d: wrong time", (unsigned long long)seed, i);
		uuid_step(&first, count - 1, &last);
	}
}

static void test_clock_steps_back(void **state)
{
	(void)state;
	struct rnd rnd;
	struct idgen g;
	struct uuid a;
	struct uuid b;
	struct uuid next;
	rnd_seed(&rnd, 3);
	idgen_init(&g, &rnd);
	idgen_take(&g, NOW_MS, 10, &a);
	idgen_take(&g, NOW_MS - 86400000, 1, &b);
	uuid_step(&a, 10, &next);
	assert_int_equal(compare(&b, &next), 0);
}

/* A generator whose counter has `left` ids before it is used up. */
static struct idgen nearly_full(struct rnd *rnd, uint32_t left)
{
	rnd_seed(rnd, 4);
	return (
	    struct idgen){.rnd = rnd, .last_ms = NOW_MS, .high = 0xfff, .low = LOW_END - left};
}

static void test_full_counter_moves_on(void **state)
{
	(void)state;
	struct rnd rnd;
	struct uuid id;
	struct uuid last;

	struct idgen g = nearly_full(&rnd, 2);
	idgen_take(&g, NOW_MS, 2, &id);
	assert_int_equal(time_of(&id), NOW_MS);
	uuid_step(&id, 1, &last);
	assert_int_equal(last.bytes[6], 0x7f);
	assert_int_equal(last.bytes[15], 0xff);
	idgen_take(&g, NOW_MS, 1, &id);
	assert_int_equal(time_of(&id), NOW_MS + 1);
	assert_int_equal(id.bytes[6] & 0xf8, 0x70);

	/* a range never spans two milliseconds */
	g = nearly_full(&rnd, 2);
	idgen_take(&g, NOW_MS, 3, &id);
	assert_int_equal(time_of(&id), NOW_MS + 1);

	/* the real clock, arriving at the borrowed millisecond, continues it */
	idgen_take(&g, NOW_MS + 1, 1, &last);
	uuid_step(&id, 3, &id);
	assert_int_equal(compare(&last, &id), 0);
}

/* A carry out of rand_b goes to rand_a once, for the ranges that follow as well. */
static void test_take_carries(void **state)
{
	(void)state;
	struct rnd rnd;
	struct idgen g = nearly_full(&rnd, 3);
	struct uuid first;
	struct uuid expected;
	struct uuid id;
	g.high = 5;
	idgen_take(&g, NOW_MS, 2, &first);
	for (uint32_t taken = 2; taken < 10; taken += 2) {
		idgen_take(&g, NOW_MS, 2, &id);
		uuid_step(&first, taken, &expected);
		assert_int_equal(compare(&id, &expected), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text_form),
	    cmocka_unit_test(test_malformed_text),
	    cmocka_unit_test(test_random_is_version_4),
	    cmocka_unit_test(test_step_carries),
	    cmocka_unit_test(test_take_has_time_and_version),
	    cmocka_unit_test(test_same_seed_same_ids),
	    cmocka_unit_test(test_ids_only_grow),
	    cmocka_unit_test(test_clock_steps_back),
	    cmocka_unit_test(test_full_counter_moves_on),
	    cmocka_unit_test(test_take_carries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
