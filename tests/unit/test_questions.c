/*
 * Questions: who is asked when, of whom a slot is taken and of whom not. Nobody answers unless
 * the test does; time is in its hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "courier/questions.h"

#include "fake_time.h"

#define EACH_MAX 200

/* One of a session. */
struct one {
	struct question question; /* first */
	char session[16];
	unsigned times;       /* it was asked */
	bool has_nothing;     /* to ask */
	bool is_to_break_off; /* and question_over() not called yet */
};

static struct reactor *reactor;
static struct questions *all;
static unsigned broken_off;

static bool ask(struct question *q)
{
	struct one *o = (struct one *)q;
	o->times++;
	return !o->has_nothing;
}

static void break_off(struct question *q)
{
	struct one *o = (struct one *)q;
	assert_int_equal(q->state, QUESTION_ASKED);
	assert_false(o->is_to_break_off);
	o->is_to_break_off = true;
	broken_off++;
}

static const struct questions_hooks HOOKS = {ask, break_off};

static void begin(uint32_t a_minute)
{
	fake_time_begin();
	broken_off = 0;
	reactor = reactor_new();
	all = questions_new(reactor, a_minute, &HOOKS);
}

static void end(void)
{
	questions_free(all);
	reactor_free(reactor);
	fake_time_end();
}

static void pass(int64_t ms)
{
	fake_time_pass(ms);
	reactor_pass(reactor, true);
}

static void line_up(struct one *o, const char *session)
{
	(void)snprintf(o->session, sizeof(o->session), "%s", session);
	question_line_up(all, &o->question, o->session);
	questions_move(all);
}

static void is_over(struct one *o)
{
	o->is_to_break_off = false;
	question_over(all, &o->question);
	questions_move(all);
}

/* Those that were broken off are over, and stand in line again. */
static void take_back(struct one *ones, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!ones[i].is_to_break_off)
			continue;
		is_over(&ones[i]);
		question_line_up(all, &ones[i].question, ones[i].session);
		questions_move(all);
	}
}

static unsigned count_in(const struct one *ones, size_t count, enum question_state state)
{
	unsigned n = 0;
	for (size_t i = 0; i < count; i++)
		n += ones[i].question.state == state;
	return n;
}

/* Who is alone has nearly all, and nobody's slot is taken while there is one for who comes. */
static void test_one_alone(void **state)
{
	struct one big[60] = {{.times = 0}};
	struct one small = {.times = 0};
	(void)state;
	begin(0);
	for (size_t i = 0; i < 60; i++)
		line_up(&big[i], "big");
	unsigned asked = count_in(big, 60, QUESTION_ASKED);
	assert_true(asked > QUESTIONS_MAX / 2 && asked < QUESTIONS_MAX);
	pass(10 * QUESTION_SAFE_MS);
	line_up(&small, "small");
	assert_int_equal(small.question.state, QUESTION_ASKED);
	assert_int_equal(broken_off, 0);
	for (size_t i = 0; i < 60; i++) {
		assert_int_equal(big[i].question.state, QUESTION_ASKED);
		is_over(&big[i]);
	}
	assert_int_equal(questions_figures(all)->share.held, 1);
	end();
}

/* Nobody answers: a slot is taken of who has the most, the oldest there, and not too early. */
static void test_who_has_none_takes_one(void **state)
{
	struct one big[QUESTIONS_MAX] = {{.times = 0}};
	struct one small[QUESTIONS_MAX] = {{.times = 0}};
	(void)state;
	begin(0);
	line_up(&small[0], "s0"); /* the oldest of all */
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		line_up(&big[i], "big");
	size_t last = 0;
	while (small[last].question.state == QUESTION_ASKED) {
		char name[16];
		(void)snprintf(name, sizeof(name), "s%zu", ++last);
		line_up(&small[last], name);
	}
	assert_int_equal(questions_figures(all)->share.held, QUESTIONS_MAX);
	pass(QUESTION_SAFE_MS / 2);
	assert_int_equal(broken_off, 0);
	pass(QUESTION_SAFE_MS);
	assert_int_equal(broken_off, 1);
	assert_true(big[0].is_to_break_off);
	pass(QUESTION_SAFE_MS);
	questions_move(all);
	assert_int_equal(broken_off, 1); /* it is enough, once its word is there */
	is_over(&big[0]);
	assert_int_equal(small[last].question.state, QUESTION_ASKED);
	pass(10 * QUESTION_SAFE_MS);
	assert_int_equal(broken_off, 1); /* who waits now has some already */
	end();
}

/* More sessions than slots, and no answer to anybody: each has its turn, again and again. */
static void test_all_have_their_turn(void **state)
{
	static struct one ones[EACH_MAX];
	(void)state;
	memset(ones, 0, sizeof(ones));
	begin(0);
	for (size_t i = 0; i < EACH_MAX; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "s%zu", i);
		line_up(&ones[i], name);
	}
	unsigned rounds = 4 * EACH_MAX / QUESTIONS_MAX;
	for (unsigned n = 0; n < rounds * QUESTIONS_MAX; n++) {
		pass(QUESTION_SAFE_MS / QUESTIONS_MAX);
		take_back(ones, EACH_MAX);
	}
	for (size_t i = 0; i < EACH_MAX; i++)
		assert_in_range(ones[i].times, 2, 6);
	assert_int_equal(count_in(ones, EACH_MAX, QUESTION_ASKED), QUESTIONS_MAX);
	end();
}

/* A session's questions of a minute; those that are broken off count, as they were asked. */
static void test_minute(void **state)
{
	struct one ones[5] = {{.times = 0}};
	(void)state;
	begin(3);
	for (size_t i = 0; i < 5; i++)
		line_up(&ones[i], "s");
	assert_int_equal(count_in(ones, 5, QUESTION_ASKED), 3);
	for (size_t i = 0; i < 3; i++)
		is_over(&ones[i]);
	pass(59000);
	assert_int_equal(count_in(ones, 5, QUESTION_LINED), 2);
	question_leave(all, &ones[3].question);
	pass(2000);
	assert_int_equal(ones[4].question.state, QUESTION_ASKED);
	assert_int_equal(ones[3].times, 0);
	end();
}

/* However many have nothing to ask, who stands behind them is asked, and holds no slot up. */
static void test_nothing_to_ask(void **state)
{
	static struct one ones[EACH_MAX + 1];
	(void)state;
	memset(ones, 0, sizeof(ones));
	begin(60);
	for (size_t i = 0; i <= EACH_MAX; i++) {
		ones[i].has_nothing = i < EACH_MAX;
		question_line_up(all, &ones[i].question, "s");
	}
	questions_move(all);
	for (int n = 0; n < 10; n++)
		pass(1);
	assert_int_equal(count_in(ones, EACH_MAX, QUESTION_AWAY), EACH_MAX);
	assert_int_equal(ones[EACH_MAX].question.state, QUESTION_ASKED);
	assert_int_equal(questions_figures(all)->share.held, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_alone),
	    cmocka_unit_test(test_who_has_none_takes_one),
	    cmocka_unit_test(test_all_have_their_turn),
	    cmocka_unit_test(test_minute),
	    cmocka_unit_test(test_nothing_to_ask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
