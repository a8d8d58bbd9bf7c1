/* The rule of shares: in cases, as properties over random states, and over virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rnd.h"
#include "shares/shares.h"

static void test_room(void **state)
{
	static const struct {
		int line;
		struct share share;
		uint64_t held;
		uint64_t room;
	} CASES[] = {
	    /* capacity, held by all, takers; what the taker holds; what it may have more */
	    {__LINE__, {1600, 0, 0}, 0, 1411},    /* one alone: nearly all */
	    {__LINE__, {1600, 1411, 1}, 1411, 0}, /* and no more than that */
	    {__LINE__, {1600, 1411, 1}, 0, 94},   /* the next has half of what is left */
	    {__LINE__, {1600, 1500, 2}, 1411, 0}, /* the large one waits */
	    {__LINE__, {1600, 1500, 2}, 89, 5},   /* the small one does not */
	    {__LINE__, {1600, 1600, 2}, 0, 0},    /* there is none */
	    {__LINE__, {1600, 1700, 2}, 0, 0},    /* the capacity has shrunk */
	    {__LINE__, {1600, 1590, 800}, 0, 1},  /* many hold it: one each at least */
	    {__LINE__, {1600, 1590, 800}, 1, 0},  /* and one alone, while it is so full */
	    {__LINE__, {8, 0, 0}, 0, 7},          /* a small resource */
	    {__LINE__, {8, 7, 1}, 7, 0},
	    {__LINE__, {8, 7, 1}, 0, 1},
	    {__LINE__, {1, 0, 0}, 0, 1},
	    {__LINE__, {0, 0, 0}, 0, 0},
	    {__LINE__, {UINT64_MAX, UINT64_MAX / 2, 1}, UINT64_MAX / 2, 7053166851712475618u},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		uint64_t room = share_room(&CASES[i].share, CASES[i].held);
		if (room != CASES[i].room)
			fail_msg("line %d: %llu", CASES[i].line, (unsigned long long)room);
		assert_true(share_allows(&CASES[i].share, CASES[i].held, room));
		assert_false(share_allows(&CASES[i].share, CASES[i].held, room + 1));
	}
}

#define TAKERS 40

static uint64_t below(struct rnd *rnd, uint64_t n)
{
	return rnd_next(rnd) % n;
}

/*
 * Whatever was taken before, by whomever: never more than there is, and who holds less than the
 * guarantee gets up to it, as long as there is any.
 */
static void test_who_holds_little_is_not_refused(void **state)
{
	struct rnd rnd;
	(void)state;
	rnd_seed(&rnd, 4711);
	for (int round = 0; round < 200; round++) {
		uint64_t held[TAKERS] = {0};
		struct share s = {.capacity = 1 + below(&rnd, 5000)};
		uint64_t takers = 1 + below(&rnd, TAKERS);
		for (int step = 0; step < 2000; step++) {
			uint64_t i = below(&rnd, takers);
			uint64_t n = below(&rnd, 1 + s.capacity / 4);
			if (below(&rnd, 3) == 0) { /* gives some back */
				n = n < held[i] ? n : held[i];
				s.takers -= held[i] > 0 && n == held[i] ? 1 : 0;
				held[i] -= n;
				s.held -= n;
				continue;
			}
			uint64_t left = s.capacity - s.held;
			uint64_t guarantee = share_guarantee(&s, held[i]);
			bool small = held[i] + n <= guarantee && n <= left;
			bool allowed = share_allows(&s, held[i], n);
			assert_true(allowed || !small);
			assert_true(!allowed || n <= left);
			if (!allowed)
				continue;
			s.takers += held[i] == 0 && n > 0 ? 1 : 0;
			held[i] += n;
			s.held += n;
		}
	}
}

/*
 * So many take all that they get and never give anything back: one who comes then, and does
 * give back, is served at once as far as the first reserve goes.
 */
static void test_a_newcomer_beside_those_who_take_all(void **state)
{
	static const struct {
		uint64_t greedy;
		uint64_t least; /* of 1024, that the newcomer may have at a time */
	} CASES[] = {{1, 60}, {2, 45}, {8, 32}, {32, 15}, {100, 5}, {500, 1}};
	(void)state;
	for (size_t c = 0; c < sizeof(CASES) / sizeof(CASES[0]); c++) {
		static uint64_t held[500];
		struct share s = {.capacity = 1024};
		memset(held, 0, sizeof(held));
		for (int round = 0; round < 2000; round++) {
			for (uint64_t i = 0; i < CASES[c].greedy; i++) {
				if (!share_allows(&s, held[i], 1))
					continue;
				s.takers += held[i] == 0 ? 1 : 0;
				held[i]++;
				s.held++;
			}
		}
		uint64_t room = share_room(&s, 0);
		if (room < CASES[c].least)
			fail_msg("beside %llu: %llu", (unsigned long long)CASES[c].greedy,
			    (unsigned long long)room);
	}
}

/* Who comes after others took all that they got, one behind the other, finds something too. */
static void test_one_after_the_other(void **state)
{
	struct share s = {.capacity = 1024};
	(void)state;
	for (uint64_t taker = 0; taker < 9; taker++) {
		uint64_t held = 0;
		assert_true(share_allows(&s, 0, 1));
		while (share_allows(&s, held, 1)) {
			s.takers += held == 0 ? 1 : 0;
			held++;
			s.held++;
		}
	}
	assert_int_equal(s.held, s.capacity); /* there is no more for a tenth */
}

/*
 * All was one's, whose pieces come back one a step and are wanted again at once: who comes then
 * has as much as the first within as many steps as there are pieces.
 */
static void test_what_comes_back_goes_to_who_has_less(void **state)
{
	struct share s = {.capacity = 1000};
	uint64_t old = share_room(&s, 0);
	uint64_t new = 0;
	(void)state;
	s.held = old;
	s.takers = 1;
	for (int step = 0; step < 1000; step++) {
		old--;
		s.held--;
		for (uint64_t n = share_room(&s, new); n > 0; n--) {
			s.takers += new == 0 ? 1 : 0;
			new ++;
			s.held++;
		}
		if (share_allows(&s, old, 1)) {
			old++;
			s.held++;
		}
	}
	assert_in_range(new, old, old + old / SHARE_PART); /* it asks first each step */
	assert_true(old + new > 850);
}

static void test_takers_by_name(void **state)
{
	struct shares *s = shares_new(160);
	(void)state;
	assert_int_equal(shares_take(s, SLICE("a"), 100), OK);
	assert_int_equal(shares_held(s, SLICE("a")), 100);
	assert_int_equal(shares_take(s, SLICE("a"), 100), ERR_FULL);
	assert_string_equal(shares_figures(s)->last_refused, "a");
	assert_int_equal(shares_take(s, SLICE("b"), 20), OK);
	assert_int_equal(shares_take(s, SLICE("c"), 0), OK);
	assert_int_equal(shares_figures(s)->share.takers, 2);
	assert_int_equal(shares_figures(s)->share.held, 120);
	assert_int_equal(shares_figures(s)->refused, 1);
	shares_give(s, SLICE("a"), 60);
	shares_give(s, SLICE("a"), 40);
	assert_int_equal(shares_held(s, SLICE("a")), 0);
	assert_int_equal(shares_figures(s)->share.takers, 1);
	shares_resize(s, 10);
	assert_int_equal(shares_room(s, SLICE("b")), 0);
	assert_int_equal(shares_take(s, SLICE("d"), 1), ERR_FULL);
	shares_force(s, SLICE("d"), 5);
	assert_int_equal(shares_held(s, SLICE("d")), 5);
	shares_free(s);
	shares_free(NULL);
}

static void test_a_long_name_is_cut_in_figures_alone(void **state)
{
	struct shares *s = shares_new(1);
	char name[SHARES_NAME_MAX + 50];
	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(shares_take(s, (struct slice){name, sizeof(name)}, 2), ERR_FULL);
	assert_int_equal(strlen(shares_figures(s)->last_refused), SHARES_NAME_MAX);
	assert_int_equal(shares_take(s, (struct slice){name, sizeof(name)}, 1), OK);
	assert_int_equal(shares_held(s, (struct slice){name, sizeof(name)}), 1);
	assert_int_equal(shares_held(s, (struct slice){name, sizeof(name) - 1}), 0);
	shares_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_who_holds_little_is_not_refused),
	    cmocka_unit_test(test_a_newcomer_beside_those_who_take_all),
	    cmocka_unit_test(test_one_after_the_other),
	    cmocka_unit_test(test_what_comes_back_goes_to_who_has_less),
	    cmocka_unit_test(test_takers_by_name),
	    cmocka_unit_test(test_a_long_name_is_cut_in_figures_alone),
	};
	return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
