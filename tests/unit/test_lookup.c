/* Look-ups against a name server of ours: what is answered, shared, kept, and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "courier/lookup.h"
#include "name_server.h"
#include "support.h"

#define PATIENCE_MS 20000 /* after which a test has failed */
#define QUERY_MS 50       /* for servers that are silent */
#define MANY 200          /* names; more than there are places */

static const struct record RECORDS[] = {
    {.name = "both.test",
	.ipv4 = {"192.0.2.1", "192.0.2.2"},
	.ipv6 = {"2001:db8::1"},
	.ttl_s = 60},
    {.name = "moves.test", .ipv4 = {"192.0.2.1"}},
    {.name = "empty.test"},
    {.name = "servfail.test", .rcode = 2},
    {.name = "refused.test", .rcode = 5},
    {.name = ".silent.test", .silent = true},
    {.name = "long.test", .by_tcp = true, .repeated = 60, .ipv6 = {"2001:db8::1"}, .ttl_s = 60},
    {.name = "endless.test", .by_tcp = true, .repeated = 1000, .ttl_s = 60},
    {.name = ".healthy.test", .ipv4 = {"192.0.2.7"}},
    {.name = "short.one.test", .ipv4 = {"192.0.2.11"}},
    {.name = "short.two.test", .ipv4 = {"192.0.2.12"}},
    {.name = NULL},
};

/* One who asks, and what he has been told. */
struct client {
	struct fixture *fixture;
	struct lookup_asker asker;
	unsigned told;
	enum lookup_status status;
	union lookup_address addresses[LOOKUP_ADDRESSES_MAX];
	size_t count;
	uint64_t taker;
	const char *then_ask; /* from within the call; NULL: nothing */
	struct client *then_cancel;
};

struct fixture {
	struct reactor *reactor;
	struct reactor_timer *patience;
	struct record records[COUNT(RECORDS)];
	struct name_server *server;
	struct lookup_times times;
	struct lookup *lookup;
};

static void lose_patience(void *arg)
{
	(void)arg;
	fail_msg("waited for too long");
}

/* Keeps nothing by default: each test says what is to be. */
static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->reactor = reactor_new();
	f->patience = reactor_timer_new(f->reactor, lose_patience, f);
	reactor_timer_set(f->patience, PATIENCE_MS);
	memcpy(f->records, RECORDS, sizeof(RECORDS));
	f->server = name_server_new(f->reactor, f->records);
	f->times = (struct lookup_times){.query_ms = LOOKUP_QUERY_MS};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	lookup_free(f->lookup);
	name_server_free(f->server);
	reactor_timer_free(f->patience);
	reactor_free(f->reactor);
	free(f);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void begin_with(struct fixture *f, const char *name_server, const char *resolv_conf)
{
	char server[64];
	(void)snprintf(server, sizeof(server), "%s", name_server);
	char *servers[] = {server};
	const struct lookup_conf conf = {.name_servers = servers,
	    .name_server_count = 1,
	    .resolv_conf = resolv_conf,
	    .times = &f->times};
	clock_expire();
	f->lookup = lookup_new(f->reactor, &conf);
}

static void begin(struct fixture *f)
{
	begin_with(f, name_server_address(f->server), NULL);
}

static void take(struct client *c, const struct lookup_answer *answer)
{
	c->told++;
	c->status = answer->status;
	c->count = answer->count;
	assert_true(answer->count <= LOOKUP_ADDRESSES_MAX);
	assert_true((answer->status == LOOKUP_OK) == (answer->count > 0));
	for (size_t i = 0; i < answer->count; i++)
		c->addresses[i] = answer->addresses[i];
}

static void ask(struct fixture *f, struct client *c, const char *host);

static void on_answer(void *arg, const struct lookup_answer *answer)
{
	struct client *c = arg;
	const char *next = c->then_ask;
	struct client *other = c->then_cancel;
	take(c, answer);
	c->then_ask = NULL;
	c->then_cancel = NULL;
	if (other != NULL)
		lookup_cancel(c->fixture->lookup, &other->asker);
	if (next != NULL)
		ask(c->fixture, c, next);
}

/* Asks for `host`; where that is known, he is told at once. */
static void ask(struct fixture *f, struct client *c, const char *host)
{
	c->fixture = f;
	c->asker = (struct lookup_asker){.fn = on_answer, .arg = c, .taker = c->taker};
	const struct lookup_answer *known = lookup_ask(f->lookup, slice_of(host), &c->asker);
	if (known != NULL)
		take(c, known);
}

static void pass(struct fixture *f)
{
	clock_expire();
	reactor_pass(f->reactor, false);
}

static void wait_told(struct fixture *f, const struct client *c, unsigned times)
{
	while (c->told < times)
		pass(f);
}

/* Asks, waits, and returns what came of it. */
static enum lookup_status find(struct fixture *f, struct client *c, const char *host)
{
	*c = (struct client){0};
	ask(f, c, host);
	wait_told(f, c, 1);
	assert_int_equal(c->told, 1);
	return c->status;
}

/* Whether one has been told an address. */
static bool has(const struct client *c, const char *text)
{
	for (size_t i = 0; i < c->count; i++) {
		const union lookup_address *a = &c->addresses[i];
		char shown[INET6_ADDRSTRLEN];
		bool is_ipv6 = a->any.sa_family == AF_INET6;
		assert_non_null(inet_ntop(a->any.sa_family,
		    is_ipv6 ? (const void *)&a->in6.sin6_addr : &a->in.sin_addr, shown,
		    sizeof(shown)));
		if (strcmp(shown, text) == 0)
			return true;
	}
	return false;
}

/* What is answered */

static void test_all_addresses(void **state)
{
	struct fixture *f = *state;
	struct client c;
	begin(f);
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OK);
	assert_int_equal(c.count, 3);
	assert_true(has(&c, "192.0.2.1") && has(&c, "192.0.2.2") && has(&c, "2001:db8::1"));
}

static void test_hosts_that_are_addresses(void **state)
{
	static const struct {
		const char *host, *address;
	} CASES[] = {{"127.0.0.1", "127.0.0.1"}, {"127.1", "127.0.0.1"},
	    {"0x7f000001", "127.0.0.1"}, {"0177.0.0.01", "127.0.0.1"}, {"::1", "::1"},
	    {"[::1]", "::1"}, {"[2001:DB8::7]", "2001:db8::7"},
	    {"::ffff:10.0.0.1", "::ffff:10.0.0.1"}, {"[fe80::1%1]", "fe80::1"}};
	struct fixture *f = *state;
	begin(f);
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct client c = {0};
		ask(f, &c, CASES[i].host);
		assert_int_equal(c.told, 1);
		assert_int_equal(c.status, LOOKUP_OK);
		assert_int_equal(c.count, 1);
		assert_true(has(&c, CASES[i].address));
	}
	assert_int_equal(name_server_asked(f->server, "."), 0);
}

static void test_localhost_needs_no_server(void **state)
{
	static const char *const HOSTS[] = {"localhost", "LocalHost.", "a.b.localhost"};
	struct fixture *f = *state;
	begin(f);
	for (size_t i = 0; i < COUNT(HOSTS); i++) {
		struct client c = {0};
		ask(f, &c, HOSTS[i]);
		assert_int_equal(c.told, 1);
		assert_int_equal(c.count, 2);
		assert_true(has(&c, "127.0.0.1") && has(&c, "::1"));
	}
	struct client c;
	assert_int_equal(find(f, &c, "mylocalhost"), LOOKUP_NONE);
}

static void test_what_cannot_be_a_name(void **state)
{
	struct fixture *f = *state;
	char *deep = repeat('a', 2 * LOOKUP_HOST_MAX);
	char *label = repeat('a', 64);
	begin(f);
	const char *const hosts[] = {"", ".", deep, label, "a..test"};
	for (size_t i = 0; i < COUNT(hosts); i++) {
		struct client c;
		assert_int_equal(find(f, &c, hosts[i]), LOOKUP_NONE);
	}
	struct lookup_asker asker = {.fn = on_answer};
	assert_int_equal(lookup_ask(f->lookup, SLICE("both.test\0x"), &asker)->status,
	    LOOKUP_NONE);
	free(deep);
	free(label);
}

static void test_failures_are_told_apart(void **state)
{
	static const struct {
		const char *host;
		enum lookup_status status;
	} CASES[] = {{"nobody.test", LOOKUP_NONE}, {"empty.test", LOOKUP_NONE},
	    {"servfail.test", LOOKUP_FAILED}, {"refused.test", LOOKUP_FAILED},
	    {"endless.test", LOOKUP_FAILED}};
	struct fixture *f = *state;
	begin(f);
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct client c;
		assert_int_equal(find(f, &c, CASES[i].host), CASES[i].status);
		assert_int_equal(*lookup_text(c.status) == '\0', c.status == LOOKUP_NONE);
	}
}

static void test_silence_ends(void **state)
{
	struct fixture *f = *state;
	struct client c;
	f->times.query_ms = QUERY_MS;
	begin(f);
	assert_int_equal(find(f, &c, "a.silent.test"), LOOKUP_TIMEOUT);
	assert_string_equal(lookup_text(c.status), "no name server answered");
}

static void test_no_server_is_our_own_failure(void **state)
{
	struct fixture *f = *state;
	char address[64];
	struct client c;
	/* a port that was somebody's just now */
	struct name_server *gone = name_server_new(f->reactor, f->records);
	(void)snprintf(address, sizeof(address), "%s", name_server_address(gone));
	name_server_free(gone);
	begin_with(f, address, NULL);
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OURS);
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OURS); /* nothing is kept of it */
}

static void test_no_descriptor_is_our_own_failure(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, none;
	struct client c = {0};
	begin(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	ask(f, &c, "both.test");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wait_told(f, &c, 1);
	assert_int_equal(c.status, LOOKUP_OURS);
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OK);
}

/* More than fits into a datagram comes over TCP; of each family so many are kept. */
static void test_many_addresses(void **state)
{
	struct fixture *f = *state;
	struct client c;
	begin(f);
	assert_int_equal(find(f, &c, "long.test"), LOOKUP_OK);
	assert_int_equal(c.count, LOOKUP_ADDRESSES_MAX / 2 + 1);
	assert_true(has(&c, "10.0.0.0") && has(&c, "2001:db8::1"));
}

/* Where answers come from */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_hosts_file(void **state)
{
	struct fixture *f = *state;
	char folder[64];
	char path[80];
	struct client c;
	folder_make(folder);
	(void)snprintf(path, sizeof(path), "%s/hosts", folder);
	write_file(path, "192.0.2.21 here.test alias.test\n2001:db8::21 here.test\n");
	assert_int_equal(setenv("CARES_HOSTS", path, 1), 0);
	begin(f);
	assert_int_equal(find(f, &c, "here.test"), LOOKUP_OK);
	assert_true(c.count == 2 && has(&c, "192.0.2.21") && has(&c, "2001:db8::21"));
	assert_int_equal(find(f, &c, "Alias.test"), LOOKUP_OK);
	assert_int_equal(name_server_asked(f->server, "."), 0);
	write_file(path, "192.0.2.22 here.test\n");
	assert_int_equal(find(f, &c, "here.test"), LOOKUP_OK);
	assert_true(c.count == 1 && has(&c, "192.0.2.22"));
	assert_int_equal(unsetenv("CARES_HOSTS"), 0);
	folder_remove(folder);
}

static void test_resolv_conf(void **state)
{
	struct fixture *f = *state;
	char folder[64];
	char path[80];
	struct client c;
	folder_make(folder);
	(void)snprintf(path, sizeof(path), "%s/resolv.conf", folder);
	write_file(path, "search nowhere.test one.test\noptions ndots:1\n");
	begin_with(f, name_server_address(f->server), path);
	assert_int_equal(find(f, &c, "short"), LOOKUP_OK);
	assert_true(has(&c, "192.0.2.11"));
	assert_int_equal(find(f, &c, "short."), LOOKUP_NONE); /* not searched for */
	write_file(path,
	    "search two.test\noptions ndots:1\n"); /* a running process takes it up */
	assert_int_equal(find(f, &c, "short"), LOOKUP_OK);
	assert_true(has(&c, "192.0.2.12"));
	folder_remove(folder);
}

/* Sharing and keeping */

static void test_one_query_for_all_who_ask(void **state)
{
	static const char *const HOSTS[] = {"both.test", "BOTH.test", "both.TEST"};
	struct fixture *f = *state;
	struct client clients[COUNT(HOSTS)] = {0};
	begin(f);
	for (size_t i = 0; i < COUNT(HOSTS); i++)
		ask(f, &clients[i], HOSTS[i]);
	for (size_t i = 0; i < COUNT(HOSTS); i++) {
		wait_told(f, &clients[i], 1);
		assert_int_equal(clients[i].told, 1);
		assert_int_equal(clients[i].count, 3);
	}
	assert_int_equal(name_server_asked(f->server, "both.test"), 1);
}

static void test_kept_for_its_ttl(void **state)
{
	struct fixture *f = *state;
	struct client c = {0};
	begin(f);
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OK); /* 60 s */
	ask(f, &c, "both.test");
	assert_int_equal(c.told, 2); /* at once */
	assert_int_equal(name_server_asked(f->server, "both.test"), 1);
	assert_int_equal(find(f, &c, "moves.test"), LOOKUP_OK); /* 0 s */
	assert_true(has(&c, "192.0.2.1"));
	f->records[1].ipv4[0] = "192.0.2.9";
	assert_int_equal(find(f, &c, "moves.test"), LOOKUP_OK);
	assert_true(c.count == 1 && has(&c, "192.0.2.9"));
	assert_int_equal(find(f, &c, "nobody.test"), LOOKUP_NONE);
	assert_int_equal(find(f, &c, "nobody.test"), LOOKUP_NONE);
	assert_int_equal(name_server_asked(f->server, "nobody.test"), 2);
}

/* However short a TTL, and for what does not exist; not for what failed. */
static void test_kept_for_a_while_at_least(void **state)
{
	static const char *const KEPT[] = {"moves.test", "nobody.test", "empty.test"};
	struct fixture *f = *state;
	struct client c;
	f->times.ttl_min_ms = PATIENCE_MS;
	f->times.none_ms = PATIENCE_MS;
	begin(f);
	for (size_t i = 0; i < COUNT(KEPT); i++) {
		enum lookup_status status = find(f, &c, KEPT[i]);
		assert_int_equal(find(f, &c, KEPT[i]), status);
		assert_int_equal(name_server_asked(f->server, KEPT[i]), 1);
	}
	assert_int_equal(find(f, &c, "refused.test"), LOOKUP_FAILED);
	f->records[4].rcode = 0;
	f->records[4].ipv4[0] = "192.0.2.1";
	assert_int_equal(find(f, &c, "refused.test"), LOOKUP_OK);
}

/* Names are remembered up to a number, those that were asked for last. */
static void test_memory_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct client c;
	char host[64];
	f->times.ttl_min_ms = PATIENCE_MS;
	begin(f);
	assert_int_equal(find(f, &c, "a.healthy.test"), LOOKUP_OK);
	assert_int_equal(find(f, &c, "b.healthy.test"), LOOKUP_OK);
	for (unsigned i = 0; i < LOOKUP_NAMES_MAX; i++) {
		(void)snprintf(host, sizeof(host), "%u.localhost", i);
		assert_int_equal(find(f, &c, host), LOOKUP_OK);
		if (i == LOOKUP_NAMES_MAX / 2)
			assert_int_equal(find(f, &c, "b.healthy.test"), LOOKUP_OK);
	}
	assert_int_equal(find(f, &c, "b.healthy.test"), LOOKUP_OK);
	assert_int_equal(name_server_asked(f->server, "b.healthy.test"), 1);
	assert_int_equal(find(f, &c, "a.healthy.test"), LOOKUP_OK);
	assert_int_equal(name_server_asked(f->server, "a.healthy.test"), 2);
}

/* Where a name is now counts, not where it was. */
static void test_answer_that_changes_is_followed(void **state)
{
	struct fixture *f = *state;
	struct client c;
	begin(f);
	f->records[0].ttl_s = 0;
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OK);
	assert_int_equal(c.count, 3);
	f->records[0].ipv4[0] = "192.0.2.3";
	f->records[0].ipv4[1] = NULL;
	f->records[0].ipv6[0] = NULL;
	assert_int_equal(find(f, &c, "both.test"), LOOKUP_OK);
	assert_true(c.count == 1 && has(&c, "192.0.2.3"));
}

/* Who asks may do anything */

static void test_cancelled_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct client a = {0}, b = {0};
	begin(f);
	ask(f, &a, "both.test");
	ask(f, &b, "both.test");
	lookup_cancel(f->lookup, &a.asker);
	lookup_cancel(f->lookup, &a.asker); /* once more does no harm */
	wait_told(f, &b, 1);
	assert_int_equal(a.told, 0);
	lookup_cancel(f->lookup, &b.asker);
	ask(f, &a, "servfail.test");
	lookup_cancel(f->lookup, &a.asker); /* the only one */
	assert_int_equal(find(f, &b, "servfail.test"), LOOKUP_FAILED);
	assert_int_equal(a.told, 0);
}

static void test_cancel_from_within_an_answer(void **state)
{
	struct fixture *f = *state;
	struct client a = {0}, b = {0};
	begin(f);
	a.then_cancel = &b;
	b.then_cancel = &a;
	ask(f, &a, "both.test");
	ask(f, &b, "both.test");
	while (a.told + b.told == 0)
		pass(f);
	assert_int_equal(find(f, &(struct client){0}, "moves.test"), LOOKUP_OK);
	assert_int_equal(a.told + b.told, 1);
}

/* For what was not kept a new query is made, for another name as well. */
static void test_ask_from_within_an_answer(void **state)
{
	struct fixture *f = *state;
	struct client a = {0}, b = {0};
	begin(f);
	a.then_ask = "moves.test";
	b.then_ask = "both.test";
	ask(f, &a, "moves.test");
	ask(f, &b, "moves.test");
	wait_told(f, &a, 2);
	wait_told(f, &b, 2);
	assert_int_equal(name_server_asked(f->server, "moves.test"), 2);
	assert_int_equal(b.count, 3);
}

/* Silence beside health */

static void ask_many(struct fixture *f, struct client *clients, const char *domain)
{
	char host[64];
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(host, sizeof(host), "%u%s", i, domain);
		ask(f, &clients[i], host);
	}
}

static unsigned told_of(const struct client *clients)
{
	unsigned told = 0;
	for (unsigned i = 0; i < MANY; i++)
		told += clients[i].told;
	return told;
}

static void test_silence_costs_the_silent_alone(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	struct client known, fresh;
	begin(f);
	assert_int_equal(find(f, &known, "known.healthy.test"), LOOKUP_OK);
	ask_many(f, silent, ".silent.test");
	for (unsigned i = 0; i < 3; i++) {
		char host[64];
		(void)snprintf(host, sizeof(host), "new%u.healthy.test", i);
		assert_int_equal(find(f, &known, "known.healthy.test"), LOOKUP_OK);
		assert_int_equal(find(f, &fresh, host), LOOKUP_OK);
		assert_int_equal(told_of(silent), 0);
	}
	free(silent);
}

/* Those of many domains too: each has its turn, and what was answered before its own line. */
static void test_many_silent_domains(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	struct client known, fresh;
	f->records[5].name = ".silent";
	begin(f);
	assert_int_equal(find(f, &known, "known.healthy.test"), LOOKUP_OK);
	ask_many(f, silent, ".silent");
	assert_int_equal(find(f, &known, "known.healthy.test"), LOOKUP_OK);
	assert_true(name_server_asked(f->server, ".silent") < MANY / 2);
	assert_int_equal(find(f, &fresh, "fresh.healthy.test"), LOOKUP_OK);
	assert_int_equal(told_of(silent), 0);
	free(silent);
}

/* Who wants many names, of many domains, makes others wait for a turn, not for all of his. */
static void test_takers_wait_for_themselves(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	struct client *more = mem_array(MANY, sizeof(*more));
	struct client crowd = {.taker = 1}, own = {.taker = 2}, shared = {.taker = 2};
	f->records[5].name = ".silent";
	begin(f);
	for (unsigned i = 0; i < MANY; i++)
		silent[i].taker = more[i].taker = 1;
	ask_many(f, silent, ".a.silent");
	ask(f, &crowd, "shared.healthy.test"); /* and those that come later are before it */
	ask_many(f, more, ".b.silent");
	ask(f, &own, "own.healthy.test");
	ask(f, &shared, "shared.healthy.test");
	wait_told(f, &own, 1);
	wait_told(f, &shared, 1);
	assert_true(own.status == LOOKUP_OK && shared.status == LOOKUP_OK);
	assert_int_equal(crowd.told, 1);
	assert_true(name_server_asked(f->server, ".silent") < MANY / 2);
	free(silent);
	free(more);
}

/* A name that was silent waits behind others, and is asked for again all the same. */
static void test_silent_name_comes_back(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	struct client back;
	f->times.query_ms = QUERY_MS;
	begin(f);
	assert_int_equal(find(f, &back, "back.silent.test"), LOOKUP_TIMEOUT);
	ask_many(f, silent, ".silent.test");
	while (told_of(silent) < MANY)
		pass(f);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(silent[i].status, LOOKUP_TIMEOUT);
	f->records[5].silent = false;
	f->records[5].ipv4[0] = "192.0.2.5";
	memset(silent, 0, MANY * sizeof(*silent));
	ask_many(f, silent, ".silent.test");
	while (told_of(silent) < MANY)
		pass(f);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(silent[i].status, LOOKUP_OK);
	assert_int_equal(find(f, &back, "back.silent.test"), LOOKUP_OK);
	free(silent);
}

/* Figures */

static void expect_ended(const struct fixture *f, const uint64_t ended[LOOKUP_STATUSES])
{
	struct lookup_figures now;
	lookup_figures(f->lookup, &now);
	for (size_t i = 0; i < LOOKUP_STATUSES; i++) {
		if (now.ended[i] != ended[i])
			fail_msg("%s: %u", LOOKUP_STATUS_NAMES[i], (unsigned)now.ended[i]);
	}
	assert_true(now.displaced == 0 && now.asked == 0 && now.waiting == 0);
}

/* Each query is counted once, by its end; what is known or is an address needs none. */
static void test_queries_are_counted_by_their_end(void **state)
{
	static const char *const HOSTS[] = {"both.test", "both.test", "127.0.0.1", "localhost",
	    "none.test", "empty.test", "servfail.test", "servfail.test", "a.silent.test"};
	struct fixture *f = *state;
	struct client c;
	f->times.query_ms = QUERY_MS;
	begin(f);
	expect_ended(f, (uint64_t[LOOKUP_STATUSES]){0});
	for (size_t i = 0; i < COUNT(HOSTS); i++)
		(void)find(f, &c, HOSTS[i]);
	expect_ended(f,
	    (uint64_t[LOOKUP_STATUSES]){[LOOKUP_OK] = 1,
		[LOOKUP_NONE] = 2,
		[LOOKUP_FAILED] = 2,
		[LOOKUP_TIMEOUT] = 1});
}

static void test_query_that_cannot_be_made_is_counted(void **state)
{
	struct fixture *f = *state;
	struct client c;
	begin_with(f, "127.0.0.1:9", NULL); /* nobody listens */
	(void)find(f, &c, "both.test");
	expect_ended(f, (uint64_t[LOOKUP_STATUSES]){[LOOKUP_OURS] = 1});
}

/* Those that wait are there to be seen; a query that others take the place of is counted. */
static void test_names_that_wait_are_counted(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	struct lookup_figures now;
	begin(f);
	ask_many(f, silent, ".silent.test");
	lookup_figures(f->lookup, &now);
	assert_int_equal(now.asked, LOOKUP_SLOTS_NEW);
	assert_int_equal(now.waiting, MANY - LOOKUP_SLOTS_NEW);
	assert_int_equal(now.displaced, 0);
	while (now.displaced < MANY) {
		pass(f);
		lookup_figures(f->lookup, &now);
		assert_true(now.asked <= LOOKUP_SLOTS);
		assert_int_equal(now.asked + now.waiting, MANY);
	}
	assert_int_equal(told_of(silent), 0);
	free(silent);
}

/* What waits and what is under way goes along. */
static void test_end_while_many_wait(void **state)
{
	struct fixture *f = *state;
	struct client *silent = mem_array(MANY, sizeof(*silent));
	begin(f);
	ask_many(f, silent, ".silent.test");
	lookup_cancel(f->lookup, &silent[0].asker);
	lookup_cancel(f->lookup, &silent[MANY - 1].asker);
	lookup_free(f->lookup);
	f->lookup = NULL;
	lookup_free(NULL);
	assert_int_equal(told_of(silent), 0);
	free(silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_all_addresses),
	    TEST(test_hosts_that_are_addresses),
	    TEST(test_localhost_needs_no_server),
	    TEST(test_what_cannot_be_a_name),
	    TEST(test_failures_are_told_apart),
	    TEST(test_silence_ends),
	    TEST(test_no_server_is_our_own_failure),
	    TEST(test_no_descriptor_is_our_own_failure),
	    TEST(test_many_addresses),
	    TEST(test_hosts_file),
	    TEST(test_resolv_conf),
	    TEST(test_one_query_for_all_who_ask),
	    TEST(test_kept_for_its_ttl),
	    TEST(test_kept_for_a_while_at_least),
	    TEST(test_memory_is_bounded),
	    TEST(test_answer_that_changes_is_followed),
	    TEST(test_cancelled_is_not_told),
	    TEST(test_cancel_from_within_an_answer),
	    TEST(test_ask_from_within_an_answer),
	    TEST(test_silence_costs_the_silent_alone),
	    TEST(test_many_silent_domains),
	    TEST(test_takers_wait_for_themselves),
	    TEST(test_silent_name_comes_back),
	    TEST(test_queries_are_counted_by_their_end),
	    TEST(test_query_that_cannot_be_made_is_counted),
	    TEST(test_names_that_wait_are_counted),
	    TEST(test_end_while_many_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
