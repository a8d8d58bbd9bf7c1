/* What is counted of clients: connections, wrong tokens; and that it is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "http/peers.h"
#include "support.h"

#define NEVER_MS (int64_t)1000000 /* later than anything that is remembered */

static struct cidr client(uint32_t n)
{
	struct cidr c = {.family = 4, .bits = 32};
	memcpy(c.addr, &n, sizeof(n));
	return c;
}

/* 10.0.0.0/8 is trusted. */
static struct cidr network = {.family = 4, .bits = 8, .addr = {10}};
static const struct proxies PROXIES = {.networks = &network, .count = 1};

static int setup(void **state)
{
	log_setup(LOG_ERROR, LOG_TEXT);
	*state = peers_new(3, &PROXIES);
	return 0;
}

static int teardown(void **state)
{
	peers_free(*state);
	return 0;
}

static void test_connections(void **state)
{
	struct peers *p = *state;
	struct visitor a = {.peer = client(1)};
	struct visitor b = {.peer = client(2)};
	for (int i = 0; i < 3; i++)
		assert_true(peers_enter(p, &a, 0));
	struct visitor more = {.peer = client(1)};
	assert_false(peers_enter(p, &more, 0));
	peers_leave(p, &more, 0); /* nothing: it was not let in */
	assert_true(peers_enter(p, &b, 0));
	peers_leave(p, &a, 0);
	assert_true(peers_enter(p, &more, 0));
	assert_false(peers_enter(p, &a, 0));
	assert_int_equal(peers_count(p), 2);
}

/* All of a /64 is one client. */
static void test_subnet(void **state)
{
	struct peers *p = *state;
	struct visitor v = {.peer = {.family = 6, .bits = 128, .addr = {0x20, 1, 0x0d, 0xb8}}};
	for (uint8_t i = 0; i < 4; i++) {
		v.peer.addr[8 + i] = i;
		assert_true(peers_enter(p, &v, 0) == (i < 3));
	}
	v.peer.addr[7] = 1;
	assert_true(peers_enter(p, &v, 0));
}

static void test_those_without_a_limit(void **state)
{
	struct peers *p = *state;
	struct visitor proxy = {.peer = {.family = 4, .bits = 32, .addr = {10, 0, 0, 1}}};
	struct visitor local = {.peer = {0}};
	for (int i = 0; i < 10; i++) {
		assert_true(peers_enter(p, &proxy, 0));
		assert_true(peers_enter(p, &local, 0));
	}
	assert_int_equal(peers_count(p), 0);
	peers_leave(p, &proxy, 0);
	peers_leave(p, &local, 0);
}

static void test_client_without_a_trace_is_forgotten_at_once(void **state)
{
	struct peers *p = *state;
	struct visitor a = {.peer = client(1)};
	assert_true(peers_enter(p, &a, 5));
	peers_leave(p, &a, 5);
	assert_int_equal(peers_count(p), 0);
}

static void test_budget(void **state)
{
	struct peers *p = *state;
	struct cidr a = client(1);
	struct cidr b = client(2);
	for (int i = 0; i < PEERS_TOKEN_BUDGET; i++)
		assert_false(peers_wrong_token(p, &a, 0));
	assert_true(peers_wrong_token(p, &a, 0));
	assert_false(peers_wrong_token(p, &b, 0));
	peers_release(p, &a, 0);
	/* what was held is not held against it: one refill later one is let through */
	assert_true(peers_wrong_token(p, &a, PEERS_TOKEN_REFILL_MS - 1));
	assert_false(peers_wrong_token(p, &a, PEERS_TOKEN_REFILL_MS));
	assert_true(peers_wrong_token(p, &a, PEERS_TOKEN_REFILL_MS));
	peers_release(p, &a, NEVER_MS);
	peers_release(p, &a, NEVER_MS);
	for (int i = 0; i < PEERS_TOKEN_BUDGET; i++)
		assert_false(peers_wrong_token(p, &a, NEVER_MS));
	assert_true(peers_wrong_token(p, &a, NEVER_MS));
	peers_release(p, &a, NEVER_MS);
}

static void test_blocked(void **state)
{
	struct peers *p = *state;
	struct cidr a = client(1);
	struct cidr b = client(2);
	for (int i = 0; i < PEERS_TOKEN_BUDGET; i++)
		assert_false(peers_wrong_token(p, &a, 0));
	for (int i = 0; i < PEERS_HELD_MAX; i++) {
		assert_false(peers_is_blocked(p, &a));
		assert_true(peers_wrong_token(p, &a, 0));
	}
	assert_true(peers_is_blocked(p, &a));
	assert_false(peers_is_blocked(p, &b));
	peers_release(p, &a, 0);
	assert_false(peers_is_blocked(p, &a));
	for (int i = 1; i < PEERS_HELD_MAX; i++)
		peers_release(p, &a, 0);
	assert_int_equal(peers_count(p), 1); /* its budget is still spent */
}

/* More clients than are remembered: the oldest go, those with a connection stay. */
static void test_bounded(void **state)
{
	struct peers *p = *state;
	struct visitor first = {.peer = client(0)};
	assert_true(peers_enter(p, &first, 0));
	for (uint32_t i = 1; i <= 3 * PEERS_IDLE_MAX; i++) {
		struct cidr c = client(i);
		assert_false(peers_wrong_token(p, &c, 0));
		assert_true(peers_count(p) <= PEERS_IDLE_MAX + 1);
	}
	for (int i = 0; i < 2; i++)
		assert_true(peers_enter(p, &first, 0));
	assert_false(peers_enter(p, &first, 0));
}

/* What is remembered of many goes as others come and go, a few at a time. */
static void test_forgotten_in_time(void **state)
{
	struct peers *p = *state;
	struct visitor visitor = {.peer = client(0)};
	for (uint32_t i = 1; i <= 1000; i++) {
		struct cidr c = client(i);
		assert_false(peers_wrong_token(p, &c, 0));
	}
	assert_int_equal(peers_count(p), 1000);
	for (int i = 0; i < 1000; i++) {
		assert_true(peers_enter(p, &visitor, NEVER_MS));
		peers_leave(p, &visitor, NEVER_MS);
	}
	assert_int_equal(peers_count(p), 0);
}

#define PEERS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEERS_TEST(test_connections),
	    PEERS_TEST(test_subnet),
	    PEERS_TEST(test_those_without_a_limit),
	    PEERS_TEST(test_client_without_a_trace_is_forgotten_at_once),
	    PEERS_TEST(test_budget),
	    PEERS_TEST(test_blocked),
	    PEERS_TEST(test_bounded),
	    PEERS_TEST(test_forgotten_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
