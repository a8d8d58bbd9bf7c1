/*
 * Tokens: when they are asked for, for whom, and when not. The client is the test's: it keeps
 * questions, and answers when it is told to. Time is in the test's hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/tokens.h"

#include "fake_time.h"

#define WAITING_MAX 64 /* questions of a test, at a time */
#define GRANT "{\"access_token\":\"%s\",\"expires_in\":%d}"

/* A question that was asked and not answered. */
struct client_request {
	client_data_fn data;
	client_done_fn done;
	void *arg;
};

struct fixture {
	struct reactor *reactor;
	struct tokens *tokens;
	struct webhook *hook;
	struct token *token;
	unsigned called; /* waiters of the test */
};

static struct client_request *questions[WAITING_MAX];
static unsigned waiting;
static unsigned asked; /* all that there were */

struct client_request *client_open(struct client *c)
{
	(void)c;
	return mem_new(sizeof(struct client_request));
}

void client_header(struct client_request *q, struct slice name, struct slice value)
{
	(void)q;
	(void)name;
	(void)value;
}

void client_taker(struct client_request *q, struct slice taker)
{
	(void)q;
	assert_true(taker.len > 0);
}

void client_proxy(struct client_request *q, const struct proxy_choice *choice)
{
	(void)q;
	assert_false(proxy_is_default(choice));
}

void client_call(struct client_request *q, const char *method, const char *url,
    struct slice text, uint32_t timeout_ms, client_data_fn data, client_done_fn done, void *arg)
{
	assert_string_equal(method, "POST");
	assert_non_null(strstr(url, "://"));
	assert_true(text.len > 0 && timeout_ms > 0);
	*q = (struct client_request){data, done, arg};
	assert_true(waiting < WAITING_MAX);
	questions[waiting++] = q;
	asked++;
}

static struct client_request *given_up; /* NULL: none was, or it has ended */

void client_give_up(struct client_request *q)
{
	assert_null(given_up);
	given_up = q;
}

/* Ends the question that was given up. */
static void end_given_up(void)
{
	struct client_request *q = given_up;
	unsigned i = 0;
	assert_non_null(q);
	while (questions[i] != q)
		i++;
	memmove(questions + i, questions + i + 1, (--waiting - i) * sizeof(questions[0]));
	given_up = NULL;
	q->done(q->arg, &(struct client_result){.error = "enough", .given_up = true});
	free(q);
}

/* Ends the first question that waits for want of something of ours. */
static void lack(void)
{
	struct client_request *q = questions[0];
	memmove(questions, questions + 1, --waiting * sizeof(questions[0]));
	q->done(q->arg,
	    &(struct client_result){.error = "short", .shortage = SHORT_OF_DESCRIPTORS});
	free(q);
}

/* Answers the first question that waits; `text` NULL: with an error. */
static void answer(int status, const char *text)
{
	struct client_request *q = questions[0];
	assert_true(waiting > 0);
	if (q == given_up)
		given_up = NULL; /* too late */
	memmove(questions, questions + 1, --waiting * sizeof(questions[0]));
	struct client_result r = {.status = status, .error = text == NULL ? "no way" : ""};
	if (status == 200)
		assert_true(q->data(q->arg, slice_of(text)));
	else if (text != NULL)
		r.answer = slice_of(text);
	q->done(q->arg, &r);
	free(q);
}

static void grant(const char *token, int life_s)
{
	char text[128];
	(void)snprintf(text, sizeof(text), GRANT, token, life_s);
	answer(200, text);
}

static void pass(struct fixture *f, int64_t ms)
{
	fake_time_pass(ms);
	reactor_pass(f->reactor, true);
}

static struct webhook *make_hook(const char *session, const char *client)
{
	struct webhook *w = webhook_new();
	webhook_set(&w->session, session);
	w->auth = webhook_auth_new(AUTH_OAUTH2);
	webhook_set(&w->auth->name, client);
	webhook_set(&w->auth->token_url, "https://t.example/token?key=SECRET");
	webhook_auth_set_secret(w->auth, SLICE("s"));
	return w;
}

static void on_token(void *arg)
{
	struct fixture *f = arg;
	f->called++;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	fake_time_begin();
	waiting = 0;
	asked = 0;
	f->reactor = reactor_new();
	f->tokens = tokens_new(f->reactor, NULL);
	f->hook = make_hook("s", "c");
	f->token = tokens_take(f->tokens, f->hook);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	token_give_back(f->token);
	tokens_free(f->tokens);
	for (unsigned i = 0; i < waiting; i++)
		free(questions[i]);
	webhook_free(f->hook);
	reactor_free(f->reactor);
	free(f);
	fake_time_end();
	return 0;
}

static bool want(struct fixture *f, struct token *k, struct token_waiter *w)
{
	w->fn = on_token;
	w->arg = f;
	return token_want(k, w);
}

static void test_one_question_for_all_who_wait(void **state)
{
	struct fixture *f = *state;
	struct token_waiter waiters[20] = {{.fn = NULL}};
	for (int i = 0; i < 20; i++)
		assert_false(want(f, f->token, &waiters[i]));
	for (int i = 0; i < 20; i++) /* again, while it is under way */
		assert_false(want(f, f->token, &waiters[i]));
	assert_int_equal(asked, 1);
	assert_null(token_header(f->token));
	token_leave(&waiters[3]);
	grant("t1", 3600);
	assert_int_equal(f->called, 19); /* each once, but for who has left */
	assert_string_equal(token_header(f->token), "Bearer t1");
	assert_null(token_why(f->token));
	for (int i = 0; i < 20; i++)
		assert_true(want(f, f->token, &waiters[i]));
	assert_int_equal(asked, 1);
}

static void test_webhooks_with_the_same_credentials_share(void **state)
{
	struct fixture *f = *state;
	struct webhook *same = make_hook("s", "c");
	struct webhook *other = make_hook("s", "d");
	struct webhook *elsewhere = make_hook("s2", "c");
	struct token *own[] = {tokens_take(f->tokens, same), tokens_take(f->tokens, other),
	    tokens_take(f->tokens, elsewhere)};
	assert_ptr_equal(own[0], f->token);
	assert_ptr_not_equal(own[1], f->token);
	assert_ptr_not_equal(own[2], f->token);
	assert_ptr_not_equal(own[1], own[2]);
	for (int i = 0; i < 3; i++)
		token_give_back(own[i]);
	webhook_free(same);
	webhook_free(other);
	webhook_free(elsewhere);
}

/* It is not used in the last tenth of its life, at most a minute of it. */
static void test_it_expires(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int life_s;
		int64_t used_ms;
	} ROWS[] = {{100, 90000}, {3600, 3540000}, {1000000, 86340000}, {0, 900}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct token_waiter w = {.fn = NULL};
		unsigned before = asked;
		assert_false(want(f, f->token, &w));
		grant("t", ROWS[i].life_s);
		pass(f, ROWS[i].used_ms - 50);
		assert_true(want(f, f->token, &w));
		uint64_t number = token_number(f->token);
		pass(f, 100);
		assert_false(want(f, f->token, &w));
		assert_int_equal(token_number(f->token), 0);
		assert_int_equal(asked, before + 2);
		grant("t", 10);
		assert_true(token_number(f->token) > number);
		pass(f, 10000);
	}
}

/* A receiver's 401 has it asked for again, once in ten seconds. */
static void test_refused_one_is_renewed_once(void **state)
{
	struct fixture *f = *state;
	struct token_waiter w = {.fn = NULL};
	assert_false(token_refuse(f->token)); /* there is none */
	assert_false(want(f, f->token, &w));
	assert_false(token_refuse(f->token));
	grant("t1", 3600);
	assert_true(token_refuse(f->token));
	assert_null(token_header(f->token));
	assert_false(want(f, f->token, &w));
	grant("t2", 3600);
	assert_false(token_refuse(f->token));
	assert_string_equal(token_header(f->token), "Bearer t2");
	pass(f, 10001);
	assert_true(token_refuse(f->token));
}

/* It waits 1 s, then twice as long, up to 5 minutes, whoever wants it meanwhile. */
static void test_failure_is_asked_about_ever_more_rarely(void **state)
{
	struct fixture *f = *state;
	struct token_waiter waiters[50] = {{.fn = NULL}};
	struct token_waiter late = {.fn = NULL};
	int64_t wait_ms = 1000;
	for (int i = 0; i < 50; i++)
		assert_false(want(f, f->token, &waiters[i]));
	for (unsigned n = 1; n <= 12; n++) {
		assert_int_equal(asked, n);
		answer(n % 2 == 0 ? 0 : 401,
		    n % 2 == 0 ? NULL : "{\"error\":\"invalid_client\"}");
		assert_string_equal(token_why(f->token),
		    n % 2 == 0 ? "no token: no way"
			       : "no token: HTTP status 401: invalid_client");
		pass(f, wait_ms - 100);
		assert_false(want(f, f->token, &late));
		assert_int_equal(asked, n);
		pass(f, 200);
		wait_ms = 2 * wait_ms < 300000 ? 2 * wait_ms : 300000;
	}
	assert_int_equal(f->called, 0);
	grant("t", 3600);
	assert_int_equal(f->called, 51);
	assert_null(token_why(f->token));
	struct tokens_figures figures;
	tokens_figures(f->tokens, &figures);
	assert_int_equal(figures.had, 1);
	assert_int_equal(figures.failed, 12);
	pass(f, 3600000);
	assert_false(want(f, f->token, &late));
	answer(500, "");
	pass(f, 1100); /* a failure after a success waits as the first does */
	assert_int_equal(asked, 15);
	grant("t", 1);
}

/* What we lack is no failure of the endpoint: it is asked soon again, however often. */
static void test_our_own_shortage_is_no_failure(void **state)
{
	struct fixture *f = *state;
	struct token_waiter w = {.fn = NULL};
	struct tokens_figures figures;
	assert_false(want(f, f->token, &w));
	for (unsigned n = 1; n <= 10; n++) {
		assert_int_equal(asked, n);
		lack();
		pass(f, 1100);
	}
	tokens_figures(f->tokens, &figures);
	assert_int_equal(figures.failed, 0);
	grant("t", 3600);
	assert_int_equal(f->called, 1);
}

/* Nobody waits any more: it is not asked for until somebody does. */
static void test_nobody_is_asked_for_nobody(void **state)
{
	struct fixture *f = *state;
	struct token_waiter w = {.fn = NULL};
	assert_false(want(f, f->token, &w));
	answer(500, "");
	token_leave(&w);
	pass(f, 5000);
	assert_int_equal(asked, 1);
	assert_false(want(f, f->token, &w));
	assert_int_equal(asked, 2);
	grant("t", 10);
}

/* One of a session does not take all slots; what waits is asked for as they are free. */
static void test_questions_are_shared(void **state)
{
	struct fixture *f = *state;
	struct webhook *hooks[60];
	struct token *many[60];
	struct token_waiter waiters[60] = {{.fn = NULL}};
	struct token_waiter w = {.fn = NULL};
	for (int i = 0; i < 60; i++) {
		char client[16];
		(void)snprintf(client, sizeof(client), "c%d", i);
		hooks[i] = make_hook("greedy", client);
		many[i] = tokens_take(f->tokens, hooks[i]);
		assert_false(want(f, many[i], &waiters[i]));
	}
	assert_true(asked < 32);
	unsigned before = asked;
	assert_false(want(f, f->token, &w));
	assert_int_equal(asked, before + 1);
	for (unsigned n = 0; n < 61; n++)
		grant("t", 3600);
	assert_int_equal(waiting, 0);
	assert_int_equal(f->called, 61);
	for (int i = 0; i < 60; i++) {
		token_give_back(many[i]);
		webhook_free(hooks[i]);
	}
}

/* Endpoints that never answer, of ever more sessions: who comes last has its turn. */
static void test_who_never_answers_gives_way(void **state)
{
	struct fixture *f = *state;
	struct webhook *hooks[40];
	struct token *many[40];
	struct token_waiter waiters[40] = {{.fn = NULL}};
	struct token_waiter w = {.fn = NULL};
	struct tokens_figures figures;
	for (int i = 0; i < 40; i++) {
		char session[16];
		(void)snprintf(session, sizeof(session), "s%d", i);
		hooks[i] = make_hook(session, "c");
		many[i] = tokens_take(f->tokens, hooks[i]);
		assert_false(want(f, many[i], &waiters[i]));
	}
	assert_int_equal(asked, 32);
	assert_false(want(f, f->token, &w));
	for (unsigned n = 1; n <= 9; n++) {
		pass(f, QUESTION_SAFE_MS);
		end_given_up();
		assert_int_equal(asked, 32 + n);
	}
	while (questions[0]->arg != f->token) /* it is among those that are asked now */
		answer(500, "");
	grant("t", 3600);
	assert_int_equal(f->called, 1);
	tokens_figures(f->tokens, &figures);
	assert_true(figures.failed <= 31); /* those that did answer */
	for (int i = 0; i < 40; i++) {
		token_leave(&waiters[i]);
		token_give_back(many[i]);
		webhook_free(hooks[i]);
	}
}

/* One that is given back under way is freed when its answer is there; the sanitizer looks. */
static void test_given_back_under_way(void **state)
{
	struct fixture *f = *state;
	struct token_waiter w = {.fn = NULL};
	assert_false(want(f, f->token, &w));
	token_leave(&w);
	token_give_back(f->token);
	f->token = NULL;
	grant("t", 3600);
	assert_int_equal(f->called, 0);
	f->token = tokens_take(f->tokens, f->hook); /* a new one, which knows nothing */
	assert_null(token_header(f->token));
	assert_false(want(f, f->token, &w));
	assert_int_equal(asked, 2);
	token_leave(&w);
	token_give_back(f->token); /* and taken again before the answer: it is the same */
	f->token = tokens_take(f->tokens, f->hook);
	assert_false(want(f, f->token, &w));
	assert_int_equal(asked, 2);
	grant("t2", 3600);
	assert_int_equal(f->called, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    TEST(test_one_question_for_all_who_wait),
	    TEST(test_webhooks_with_the_same_credentials_share),
	    TEST(test_it_expires),
	    TEST(test_refused_one_is_renewed_once),
	    TEST(test_failure_is_asked_about_ever_more_rarely),
	    TEST(test_nobody_is_asked_for_nobody),
	    TEST(test_our_own_shortage_is_no_failure),
	    TEST(test_questions_are_shared),
	    TEST(test_who_never_answers_gives_way),
	    TEST(test_given_back_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
