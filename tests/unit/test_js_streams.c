/* The streams of a journal, made and looked at: a server says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "jetstream/js_api.h"
#include "jetstream/js_streams.h"
#include "nats_peer.h"
#include "support.h"

#define NEVER_MS 100000
#define WORD_SIZE 1024
#define SEEN_MAX 4096

static const struct nats_times TIMES = {NEVER_MS, NEVER_MS, 1, 2, 0};
static const struct js_journal_times STEPS = {{NEVER_MS, 1, NEVER_MS, NEVER_MS}, NEVER_MS};

struct fixture {
	struct reactor *reactor;
	struct lookup *lookup;
	struct peer *peer;
	struct js_streams_conf conf;
	struct js_streams *streams;
	struct buf seen;
	unsigned told;
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	const struct lookup_conf none = {.name_servers = NULL};
	f->reactor = reactor_new();
	f->lookup = lookup_new(f->reactor, &none);
	f->peer = peer_new(f->reactor);
	f->seen = BUF_INIT(SEEN_MAX);
	f->conf = (struct js_streams_conf){.journal = {.nats = {.reactor = f->reactor,
							   .lookup = f->lookup,
							   .servers = &f->peer->address,
							   .server_count = 1,
							   .name = "test",
							   .times = &TIMES},
					       .shard = "s",
					       .times = &STEPS},
	    .replicas = 3,
	    .max_bytes = 5000,
	    .patience_ms = NEVER_MS};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	js_streams_free(f->streams);
	peer_free(f->peer);
	lookup_free(f->lookup);
	reactor_free(f->reactor);
	buf_fini(&f->seen);
	free(f);
	return 0;
}

static void on_streams(void *arg, enum err result, const char *words)
{
	struct fixture *f = arg;
	f->told++;
	buf_printf(&f->seen, "%s: %s", err_text(result), words);
	js_streams_free(f->streams);
	f->streams = NULL;
}

static void start_as(struct fixture *f, const char *version, unsigned max_payload)
{
	char info[WORD_SIZE];
	(void)snprintf(info, sizeof(info),
	    "INFO {\"headers\":true,\"max_payload\":%u,\"version\":\"%s\"}\r\n", max_payload,
	    version);
	f->streams = js_streams_new(&f->conf, on_streams, f);
	peer_wait(f->peer, &f->peer->accepted, f->peer->accepted + 1);
	peer_say(f->peer, info);
	peer_expect(f->peer, "\r\nPING\r\n");
	peer_say(f->peer, "PONG\r\n");
}

static void start(struct fixture *f, const char *version)
{
	start_as(f, version, 1048576);
}

static void expect_told(struct fixture *f, const char *wanted)
{
	peer_wait(f->peer, &f->told, 1);
	assert_string_equal(buf_cstr(&f->seen), wanted);
}

/* Waits for a question to the API, and answers it; `status` or `json` is NULL. */
static void answer(struct fixture *f, const char *what, const char *status, const char *json)
{
	char start_of[WORD_SIZE];
	char to[WORD_SIZE];
	(void)snprintf(start_of, sizeof(start_of), "PUB $JS.API.%s ", what);
	peer_expect_word(f->peer, start_of, " ", to, sizeof(to));
	peer_expect(f->peer, "\r\n");
	peer_expect(f->peer, "\r\n");
	peer_say_message(f->peer, to, 1, "", status, json == NULL ? "" : json);
}

#define REFUSED(code)                                                                          \
	"{\"error\":{\"code\":503,\"err_code\":" code ",\"description\":\"no " code "\"}}"

static void test_a_server_that_takes_too_little(void **state)
{
	struct fixture *f = *state;
	start_as(f, "2.10.0", JS_PAYLOAD_LEAST - 1);
	expect_told(f,
	    "refused by policy: server 127.0.0.1: its max_payload is 524287, below 524288\n");
}

static void test_a_server_that_is_too_old(void **state)
{
	static const struct {
		const char *version;
		const char *words;
	} ROWS[] = {{"2.9.10", "2.9"}, {"1.20.0", "1.20"}, {"odd", "0.0"}, {"2", "0.0"}};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char wanted[WORD_SIZE];
		(void)snprintf(wanted, sizeof(wanted),
		    "refused by policy: server 127.0.0.1: it is version %s, below 2.10\n",
		    ROWS[i].words);
		start(f, ROWS[i].version);
		expect_told(f, wanted);
		buf_reset(&f->seen);
		f->told = 0;
	}
}

static void test_a_server_that_is_not_ready_is_asked_again(void **state)
{
	struct fixture *f = *state;
	start(f, "2.10.0");
	answer(f, "STREAM.INFO.WAYBILL_s", "NATS/1.0 503\r\n\r\n", NULL);
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, REFUSED("10008"));
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, REFUSED("10059"));
	answer(f, "STREAM.INFO.WAYBILL_s_MEMBERS", NULL, REFUSED("10059"));
	expect_told(f,
	    "not found: stream WAYBILL_s: there is none\n"
	    "stream WAYBILL_s_MEMBERS: there is none\n");
}

static void test_patience_ends(void **state)
{
	struct fixture *f = *state;
	f->conf.patience_ms = 100;
	start(f, "2.10.0");
	answer(f, "STREAM.INFO.WAYBILL_s", "NATS/1.0 503\r\n\r\n", NULL);
	expect_told(f, "busy: 127.0.0.1: the server has no JetStream, or it is not ready\n");
	f->streams = js_streams_new(&f->conf, on_streams, f); /* with nothing known */
}

static void test_no_jetstream(void **state)
{
	struct fixture *f = *state;
	start(f, "3.0.1");
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, REFUSED("10076"));
	expect_told(f, "refused by policy: stream WAYBILL_s: no 10076\n");
}

static void test_the_next_server_is_too_old(void **state)
{
	struct fixture *f = *state;
	f->conf.may_make = true;
	start(f, "2.10.0");
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, REFUSED("10059"));
	peer_expect(f->peer, "PUB $JS.API.STREAM.CREATE.WAYBILL_s ");
	peer_hang_up(f->peer); /* nobody knows what became of it */
	peer_welcome(f->peer);
	expect_told(f, "refused by policy: server 127.0.0.1: it is version 0.0, below 2.10\n");
}

static void test_a_stream_cannot_be_made(void **state)
{
	struct fixture *f = *state;
	f->conf.may_make = true;
	start(f, "2.10.0");
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, REFUSED("10059"));
	answer(f, "STREAM.CREATE.WAYBILL_s", NULL, REFUSED("10074"));
	answer(f, "STREAM.INFO.WAYBILL_s_MEMBERS", NULL, REFUSED("10059"));
	answer(f, "STREAM.CREATE.WAYBILL_s_MEMBERS", "NATS/1.0 503\r\n\r\n", NULL);
	answer(f, "STREAM.INFO.WAYBILL_s_MEMBERS", NULL, REFUSED("10059"));
	answer(f, "STREAM.CREATE.WAYBILL_s_MEMBERS", NULL, REFUSED("10047"));
	expect_told(f,
	    "refused by policy: stream WAYBILL_s: no 10074\n"
	    "stream WAYBILL_s_MEMBERS: no 10047\n");
}

#define STREAMS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void on_last(void *arg, enum err result, const struct journal_end *end)
{
	struct fixture *f = arg;
	(void)result;
	(void)end;
	f->told++;
}

static void on_members(void *arg, enum err result, const struct journal_member *m, size_t count)
{
	struct fixture *f = arg;
	(void)result;
	(void)m;
	(void)count;
	f->told++;
}

/* What the members' stream answers, or does not, says nothing of how the journal is. */
static void test_a_stream_says_nothing_of_the_other(void **state)
{
	static const char INFO[] = "{\"created\":\"2026-11-30T00:00:00Z\",\"state\":{"
				   "\"messages\":1,\"first_seq\":4,\"last_seq\":4}}";
	static const char MEMBER[] = "{\"message\":{\"subject\":\"waybill.s.members.m\","
				     "\"seq\":1,\"data\":\"e30=\","
				     "\"time\":\"2026-11-30T00:00:00Z\"}}";
	struct fixture *f = *state;
	const char *why = NULL;
	f->conf.journal.member = "m";
	struct journal *j = js_journal_new(&f->conf.journal);
	peer_welcome(f->peer);
	answer(f, "STREAM.INFO.WAYBILL_s", NULL, INFO);
	for (int is_up = 0; is_up <= 1; is_up++) {
		f->told = 0;
		j->last(j, on_last, f);
		answer(f, "STREAM.INFO.WAYBILL_s", NULL, is_up == 1 ? INFO : REFUSED("10008"));
		peer_wait(f->peer, &f->told, 1);
		assert_int_equal(j->is_up(j, &why), is_up);
		j->members(j, on_members, f);
		if (is_up == 0)
			answer(f, "STREAM.MSG.GET.WAYBILL_s_MEMBERS", NULL, MEMBER);
		answer(f, "STREAM.MSG.GET.WAYBILL_s_MEMBERS", NULL, REFUSED("10008"));
		peer_wait(f->peer, &f->told, 2);
		assert_int_equal(j->is_up(j, &why), is_up);
		assert_string_equal(why, is_up == 1 ? "" : "no 10008");
	}
	j->free(j);
}

/* How many servers have all: the leader, which answers, and who is current and there. */
static void test_copies(void **state)
{
	(void)state;
	static const struct {
		const char *cluster;
		uint64_t copies;
	} CASES[] = {
	    {"{}", 1},
	    {"{\"leader\":\"a\",\"replicas\":[]}", 1},
	    {"{\"replicas\":[{\"current\":true},{\"name\":\"c\",\"current\":true}]}", 3},
	    {"{\"replicas\":[{\"current\":true},{\"current\":false,\"lag\":7}]}", 2},
	    {"{\"replicas\":[{\"current\":true,\"offline\":true},{\"lag\":1}]}", 1},
	    {"{\"replicas\":[\"odd\",7,{\"current\":\"true\"}]}", 1},
	    {"{\"replicas\":true}", 1},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct buf text = BUF_INIT(1000);
		struct js_info info;
		buf_printf(&text,
		    "{\"created\":\"2026-11-30T00:00:00Z\",\"cluster\":%s,\"state\":{"
		    "\"messages\":1,\"first_seq\":4,\"last_seq\":4}}",
		    CASES[i].cluster);
		assert_true(js_info_read(buf_view(&text), &info));
		assert_int_equal(info.copies, CASES[i].copies);
		buf_fini(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STREAMS_TEST(test_a_server_that_takes_too_little),
	    STREAMS_TEST(test_a_server_that_is_too_old),
	    STREAMS_TEST(test_a_server_that_is_not_ready_is_asked_again),
	    STREAMS_TEST(test_patience_ends),
	    STREAMS_TEST(test_no_jetstream),
	    STREAMS_TEST(test_the_next_server_is_too_old),
	    STREAMS_TEST(test_a_stream_cannot_be_made),
	    STREAMS_TEST(test_a_stream_says_nothing_of_the_other),
	    cmocka_unit_test(test_copies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
