/*
 * Races over addresses of loopback: some listen, some refuse, some drop SYNs, as a listener
 * does whose backlog is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "courier/race.h"
#include "support.h"

#define HOLES 4
#define FILLERS 4 /* connections that a backlog of 0 has no room for */
#define GOOD "127.9.0.1"
#define BAD "127.9.0.2"
#define NO_PORTS "127.9.0.9" /* no port is left to connect to it from */

/* One that races. */
struct racer {
	struct route route;
	struct race *race;
	bool is_over;
	unsigned won;
	unsigned lost;
	int fd;
	char to[ROUTE_NAME_SIZE];
};

struct fixture {
	struct reactor *reactor;
	struct failures *failures;
	struct races *races;
	uint16_t port;
	int listener;
	int holes[HOLES];
	int fillers[HOLES][FILLERS];
};

static union lookup_address address(const char *text)
{
	union lookup_address a = {.in = {.sin_family = AF_INET}};
	assert_int_equal(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
	return a;
}

/* libc's, but for NO_PORTS; whether there is a way is asked without a port. */
int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	const struct sockaddr_in *in = to.__sockaddr_in__;
	const union lookup_address none = address(NO_PORTS);
	if (in->sin_family == AF_INET && in->sin_port != 0 &&
	    in->sin_addr.s_addr == none.in.sin_addr.s_addr) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	return (int)syscall(SYS_connect, fd, to.__sockaddr__, len);
}

static const char *hole_name(size_t n)
{
	static const char *const NAMES[HOLES] = {"127.9.1.1", "127.9.1.2", "127.9.1.3",
	    "127.9.1.4"};
	return NAMES[n];
}

static int listen_at(const char *text, uint16_t port, int backlog)
{
	union lookup_address a = address(text);
	a.in.sin_port = htons(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &a.any, sizeof(a.in)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A port that is free at all addresses, and that no connection is given as its own. */
static uint16_t free_port(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	uint16_t port = (uint16_t)(10000 + getpid() % 20000);
	int bound = -1;
	while (bound != 0) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		any.sin_port = htons(++port);
		bound = bind(fd, (struct sockaddr *)&any, sizeof(any));
		close(fd);
	}
	return port;
}

static void dig(struct fixture *f, size_t n)
{
	union lookup_address a = address(hole_name(n));
	a.in.sin_port = htons(f->port);
	f->holes[n] = listen_at(hole_name(n), f->port, 0);
	for (size_t i = 0; i < FILLERS; i++) {
		f->fillers[n][i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
		(void)connect(f->fillers[n][i], &a.any, sizeof(a.in)); /* EINPROGRESS */
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->reactor = reactor_new();
	f->failures = failures_new();
	f->races = races_new(f->reactor, f->failures);
	f->port = free_port();
	f->listener = listen_at(GOOD, f->port, 256);
	for (size_t n = 0; n < HOLES; n++)
		dig(f, n);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	for (size_t n = 0; n < HOLES; n++) {
		close(f->holes[n]);
		for (size_t i = 0; i < FILLERS; i++)
			close(f->fillers[n][i]);
	}
	close(f->listener);
	races_free(f->races);
	failures_free(f->failures);
	reactor_free(f->reactor);
	free(f);
	return 0;
}

static bool is_over(void *arg)
{
	const struct racer *r = arg;
	return r->is_over;
}

static void on_won(void *arg, int fd, const union lookup_address *to)
{
	struct racer *r = arg;
	r->won++;
	r->fd = fd;
	route_name(to, r->to);
}

static void on_lost(void *arg)
{
	struct racer *r = arg;
	r->lost++;
}

/* Begins at once, as where the first address has failed, for `taker`. */
static void start_for(struct fixture *f, struct racer *r, uint64_t taker,
    const char *const *texts, size_t count)
{
	union lookup_address list[LOOKUP_ADDRESSES_MAX];
	*r = (struct racer){.fd = -1};
	for (size_t i = 0; i < count; i++)
		list[i] = address(texts[i]);
	route_set(&r->route, &(struct lookup_answer){.addresses = list, .count = count}, NULL);
	r->race = race_new(f->races, &r->route,
	    &(struct race_hooks){is_over, on_won, on_lost, r});
	race_start(r->race, f->port, taker);
	assert_true(race_hurry(r->race));
}

static void start(struct fixture *f, struct racer *r, const char *const *texts, size_t count)
{
	start_for(f, r, 0, texts, count);
}

static void run_until(struct fixture *f, const unsigned *counter)
{
	while (*counter == 0) {
		reactor_pass(f->reactor, false);
		clock_expire();
	}
}

static void finish(struct racer *r)
{
	race_free(r->race);
	if (r->fd >= 0)
		close(r->fd);
}

/* The socket that wins is as one on which connect() has just been called for the last time. */
static void test_winner_connects_once_more(void **state)
{
	static const char *const ADDRESSES[] = {"127.9.1.1", BAD, "127.9.1.2", GOOD};
	struct fixture *f = *state;
	struct racer r;
	union lookup_address good = address(GOOD);
	good.in.sin_port = htons(f->port);
	start(f, &r, ADDRESSES, COUNT(ADDRESSES));
	run_until(f, &r.won);
	assert_string_equal(r.to, GOOD);
	assert_int_equal(connect(r.fd, &good.any, sizeof(good.in)), 0);
	assert_int_equal(write(r.fd, "x", 1), 1);
	assert_int_equal(r.lost, 0);
	union lookup_address bad = address(BAD);
	assert_true(failures_has(f->failures, &bad, f->port));
	assert_false(failures_has(f->failures, &good, f->port));
	finish(&r);
}

static void test_all_that_refuse_have_lost(void **state)
{
	static const char *const ADDRESSES[] = {BAD, "127.9.0.3", "127.9.0.4"};
	struct fixture *f = *state;
	struct racer r;
	start(f, &r, ADDRESSES, COUNT(ADDRESSES));
	run_until(f, &r.lost);
	assert_int_equal(r.won, 0);
	assert_int_equal(r.lost, 1);
	assert_false(race_hurry(r.race));
	finish(&r);
}

/* Where another connection came to stand meanwhile nobody wants one any more. */
static void test_over_means_no_more(void **state)
{
	static const char *const ADDRESSES[] = {BAD, GOOD};
	struct fixture *f = *state;
	struct racer other;
	struct racer r;
	start(f, &r, ADDRESSES, COUNT(ADDRESSES));
	r.is_over = true;
	start(f, &other, ADDRESSES, COUNT(ADDRESSES));
	run_until(f, &other.won);
	assert_int_equal(r.won + r.lost, 0);
	assert_false(race_hurry(r.race));
	finish(&other);
	finish(&r);
}

/* Where all slots are taken by races in holes, one that comes late gets through. */
static void test_slots_change_hands(void **state)
{
	static const char *const DEAD[] = {"127.9.1.1", "127.9.1.2", "127.9.1.3", "127.9.1.4"};
	static const char *const LATE[] = {"127.9.1.1", GOOD};
	enum { MANY = 2 * RACE_SOCKETS };
	struct fixture *f = *state;
	static struct racer racers[MANY];
	struct racer late;
	for (size_t i = 0; i < MANY; i++)
		start(f, &racers[i], DEAD, COUNT(DEAD));
	start(f, &late, LATE, COUNT(LATE));
	run_until(f, &late.won);
	assert_string_equal(late.to, GOOD);
	finish(&late);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(racers[i].won, 0);
		finish(&racers[i]);
	}
}

/* A socket that gave up its slot says nothing of the address: another has taken longer. */
static void test_displaced_has_not_failed(void **state)
{
	static const char *const ADDRESSES[] = {"127.9.1.1", "127.9.1.2", "127.9.1.3",
	    "127.9.1.4", GOOD};
	struct fixture *f = *state;
	struct racer r;
	start(f, &r, ADDRESSES, COUNT(ADDRESSES));
	run_until(f, &r.won);
	assert_string_equal(r.to, GOOD);
	assert_int_equal(failures_count(f->failures), 0);
	finish(&r);
}

/* One taker in holes has its share: races of others find slots at once. */
static void test_places_are_shared(void **state)
{
	static const char *const DEAD[] = {"127.9.1.1", "127.9.1.2", "127.9.1.3", "127.9.1.4"};
	static const char *const LATE[] = {GOOD};
	enum { MANY = 2 * RACE_SOCKETS, PASSES = 10, TAKERS = 4 };
	struct fixture *f = *state;
	static struct racer racers[MANY];
	struct racer late[TAKERS];
	for (size_t i = 0; i < MANY; i++)
		start_for(f, &racers[i], 1, DEAD, COUNT(DEAD));
	reactor_pass(f->reactor, true);
	for (size_t i = 0; i < TAKERS; i++)
		start_for(f, &late[i], 2 + i, LATE, COUNT(LATE));
	for (size_t n = 0; n < PASSES; n++) /* they do not wait for somebody's time to be up */
		reactor_pass(f->reactor, true);
	for (size_t i = 0; i < TAKERS; i++) {
		assert_int_equal(late[i].won, 1);
		finish(&late[i]);
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(race_shortage(racers[i].race), SHORT_OF_NOTHING);
		finish(&racers[i]);
	}
}

/* What could not be tried for want of a descriptor is tried when there is one. */
static void test_shortage_only_delays(void **state)
{
	static const char *const ADDRESSES[] = {GOOD};
	struct fixture *f = *state;
	struct rlimit before;
	struct racer r;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = dup(f->listener);
	struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
	close(next);
	start(f, &r, ADDRESSES, COUNT(ADDRESSES));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	reactor_pass(f->reactor, false);
	assert_int_equal(race_shortage(r.race), SHORT_OF_DESCRIPTORS);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	run_until(f, &r.won);
	assert_int_equal(race_shortage(r.race), SHORT_OF_NOTHING);
	finish(&r);
}

/* An address that no port leads to now is passed over; where no other stands that is told. */
static void test_ports_of_one_address(void **state)
{
	static const char *const WITH_GOOD[] = {NO_PORTS, GOOD};
	static const char *const WITHOUT[] = {BAD, NO_PORTS, "127.9.0.3"};
	struct fixture *f = *state;
	struct racer r;
	start(f, &r, WITH_GOOD, COUNT(WITH_GOOD));
	for (int n = 0; n < 10; n++) /* no time is to pass */
		reactor_pass(f->reactor, true);
	assert_int_equal(r.won, 1);
	assert_int_equal(race_shortage(r.race), SHORT_OF_NOTHING);
	union lookup_address none = address(NO_PORTS);
	assert_false(failures_has(f->failures, &none, f->port));
	finish(&r);
	start(f, &r, WITHOUT, COUNT(WITHOUT));
	run_until(f, &r.lost);
	assert_int_equal(race_shortage(r.race), SHORT_OF_PORTS);
	race_stop(r.race);
	assert_int_equal(race_shortage(r.race), SHORT_OF_NOTHING);
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_winner_connects_once_more, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_all_that_refuse_have_lost, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_over_means_no_more, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slots_change_hands, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_displaced_has_not_failed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_places_are_shared, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shortage_only_delays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ports_of_one_address, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
