/* The client of NATS against a server that says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "nats/nats.h"
#include "nats_peer.h"
#include "support.h"

#define SEED "SUANUYHRO5H45TV6AUDET4DXZC2ITMOBWTMMZGPNGSXXKH5SAJKOWRMG44"
#define PUBLIC "UDJFNDFNM4Y2PO4YZUHQ27SOF3EXE32B5F5YEY3LDI62CATK6YOUW55R"
#define SIGNATURE /* of PEER_INFO's nonce */                                                   \
	"bfNVRlL9ybdM8zrcS1VncS7DRAzM3VV_PJf1vUBNFGuDjy99G2hw1QF3QG4yfREyNgch48413gSRnJkoBmv8BA"

#define OUT_MAX 4200 /* room for four messages of the largest size */
#define NEVER_MS 100000
#define WORD_SIZE 256

/* Nothing happens by itself but the next try after a failure. */
static const struct nats_times TIMES = {NEVER_MS, NEVER_MS, 1, 2, 0};

/* One who asks. */
struct asker {
	struct nats_call call;
	unsigned told;
	unsigned ended; /* told that it is over */
	char payload[64];
	struct fixture *fixture;
	bool asks_again; /* from within the call */
};

struct fixture {
	struct reactor *reactor;
	struct lookup *lookup;
	struct peer *peers[2];
	struct nats_server servers[2];
	struct nats_times times;
	struct nats_conf conf;
	struct nats *nats;
	unsigned changes;
};

static void on_changed(void *arg)
{
	struct fixture *f = arg;
	f->changes++;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	const struct lookup_conf none = {.name_servers = NULL};
	f->reactor = reactor_new();
	f->lookup = lookup_new(f->reactor, &none);
	f->times = TIMES;
	for (size_t i = 0; i < COUNT(f->peers); i++) {
		f->peers[i] = peer_new(f->reactor);
		f->servers[i] = f->peers[i]->address;
	}
	f->conf = (struct nats_conf){.reactor = f->reactor,
	    .lookup = f->lookup,
	    .servers = f->servers,
	    .server_count = 1,
	    .name = "test",
	    .message_max = 1000,
	    .out_max = OUT_MAX,
	    .times = &f->times};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	nats_free(f->nats);
	for (size_t i = 0; i < COUNT(f->peers); i++)
		peer_free(f->peers[i]);
	lookup_free(f->lookup);
	reactor_free(f->reactor);
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	f->nats = nats_new(&f->conf, &(struct nats_hooks){on_changed, f});
}

/* Connects to the first peer. */
static struct peer *start_up(struct fixture *f)
{
	start(f);
	peer_welcome(f->peers[0]);
	peer_wait(f->peers[0], &f->changes, 1);
	assert_true(nats_status(f->nats)->is_up);
	return f->peers[0];
}

static void on_answer(void *arg, const struct nats_message *m)
{
	struct asker *a = arg;
	a->told++;
	if (m == NULL)
		a->ended++;
	else
		(void)snprintf(a->payload, sizeof(a->payload), "%d %.*s", m->status,
		    (int)m->payload.len, m->payload.ptr);
	const struct nats_out again = {.subject = SLICE("again")};
	if (a->asks_again)
		assert_int_equal(nats_ask(a->fixture->nats, &a->call, &again, NEVER_MS, false),
		    nats_status(a->fixture->nats)->is_up ? OK : ERR_BUSY);
}

static struct asker *asker_new(struct fixture *f)
{
	struct asker *a = mem_new(sizeof(*a));
	a->fixture = f;
	a->call = (struct nats_call){.fn = on_answer, .arg = a};
	return a;
}

static void ask(struct asker *a, const char *subject, int64_t idle_ms, bool has_many)
{
	const struct nats_out out = {.subject = slice_of(subject), .payload = SLICE("?")};
	assert_int_equal(nats_ask(a->fixture->nats, &a->call, &out, idle_ms, has_many), OK);
}

/* Logs in as `conf` says; what is said of it has to hold `wanted`. */
static void expect_login(struct fixture *f, const char *wanted)
{
	char word[WORD_SIZE * 4];
	start(f);
	peer_wait(f->peers[0], &f->peers[0]->accepted, 1);
	peer_say(f->peers[0], PEER_INFO);
	peer_expect_word(f->peers[0], "CONNECT ", "\r\n", word, sizeof(word));
	if (strstr(word, wanted) == NULL)
		fail_msg("no %s in %s", wanted, word);
	assert_non_null(strstr(word, "\"name\":\"test\""));
	assert_non_null(strstr(word, "\"headers\":true,\"no_responders\":true"));
}

static void test_login_by_token(void **state)
{
	struct fixture *f = *state;
	f->conf.token = "t\"1\\";
	expect_login(f, ",\"auth_token\":\"t\\\"1\\\\\"}");
}

static void test_login_by_password(void **state)
{
	struct fixture *f = *state;
	f->conf.user = "ana";
	f->conf.password = "p";
	expect_login(f, ",\"user\":\"ana\",\"pass\":\"p\"}");
}

static void test_login_by_key(void **state)
{
	struct nats_key key;
	struct fixture *f = *state;
	assert_int_equal(nats_key_parse(SLICE(SEED), &key), OK);
	f->conf.key = &key;
	expect_login(f, ",\"nkey\":\"" PUBLIC "\",\"sig\":\"" SIGNATURE "\"}");
}

static void test_login_by_jwt(void **state)
{
	struct nats_key key;
	struct fixture *f = *state;
	assert_int_equal(nats_key_parse(SLICE(SEED), &key), OK);
	f->conf.key = &key;
	f->conf.jwt = "eyJ.e30.c2ln";
	expect_login(f, ",\"jwt\":\"eyJ.e30.c2ln\",\"sig\":\"" SIGNATURE "\"}");
}

static void test_login_by_nothing(void **state)
{
	expect_login(*state, "\"no_responders\":true}");
}

/* Fails at the first peer for `why`, where it says `text` at once; the second one is tried. */
static void expect_failure(struct fixture *f, const char *text, const char *why)
{
	f->conf.server_count = 2;
	start(f);
	peer_wait(f->peers[0], &f->peers[0]->accepted, 1);
	peer_say(f->peers[0], text);
	peer_wait(f->peers[1], &f->peers[1]->accepted, 1);
	assert_string_equal(nats_status(f->nats)->error, why);
	assert_int_equal(f->peers[0]->got.len, 0); /* nothing was said to it */
	assert_int_equal(f->changes, 0);
}

static void test_another_protocol(void **state)
{
	expect_failure(*state, "SSH-2.0-OpenSSH_9.2\r\n", "the server does not speak NATS");
}

static void test_a_message_before_the_greeting(void **state)
{
	expect_failure(*state, "PING\r\n", "the server does not speak NATS");
}

static void test_no_tls_where_it_has_to_be(void **state)
{
	struct fixture *f = *state;
	f->servers[0].is_tls = true;
	f->conf.token = "secret";
	expect_failure(f, PEER_INFO, "the server offers no TLS");
}

static void test_no_tls_for_an_authority(void **state)
{
	struct fixture *f = *state;
	f->conf.token = "secret";
	f->conf.ca_pem = TEST_CERTIFICATE("\n");
	expect_failure(f, PEER_INFO, "the server offers no TLS");
}

/* Somebody in between puts words of his own in front of TLS. */
static void test_words_before_tls(void **state)
{
	struct fixture *f = *state;
	f->conf.token = "secret";
	expect_failure(f, "INFO {\"tls_required\":true}\r\nPING\r\n",
	    "the server speaks before TLS");
}

static void test_a_greeting_that_is_none(void **state)
{
	expect_failure(*state, "INFO {\"max_payload\":-1}\r\n",
	    "the server's greeting is not understood");
}

static void test_an_address_that_is_not_allowed(void **state)
{
	static const struct address_policy PUBLIC_ONLY = {.allow = NULL};
	struct fixture *f = *state;
	f->conf.policy = &PUBLIC_ONLY;
	start(f);
	while (nats_status(f->nats)->error[0] == '\0') {
		clock_expire();
		reactor_pass(f->reactor, false);
	}
	assert_string_equal(nats_status(f->nats)->error,
	    "its address is in a network that is not allowed");
	assert_int_equal(f->peers[0]->accepted, 0);
}

static void test_a_server_that_never_greets(void **state)
{
	struct fixture *f = *state;
	f->times.connect_ms = 20;
	f->conf.server_count = 2;
	start(f);
	peer_wait(f->peers[1], &f->peers[1]->accepted, 1);
	assert_string_equal(nats_status(f->nats)->error,
	    "the server has not welcomed us in time");
}

static void test_a_server_that_refuses_says_why(void **state)
{
	struct fixture *f = *state;
	start(f);
	peer_wait(f->peers[0], &f->peers[0]->accepted, 1);
	peer_say(f->peers[0], PEER_INFO);
	peer_expect(f->peers[0], "PING\r\n");
	peer_say(f->peers[0], "-ERR 'Authorization\xff Violation'\r\n");
	peer_hang_up(f->peers[0]);
	peer_wait(f->peers[0], &f->peers[0]->accepted, 2);
	assert_string_equal(nats_status(f->nats)->error, "Authorization? Violation");
	peer_welcome(f->peers[0]);
	peer_wait(f->peers[0], &f->changes, 1);
	peer_hang_up(f->peers[0]);
	peer_wait(f->peers[0], &f->changes, 2);
	assert_string_equal(nats_status(f->nats)->error,
	    "the server has closed the connection");
}

static void test_pings_are_answered_and_asked_for(void **state)
{
	struct fixture *f = *state;
	f->times.ping_ms = 20;
	struct peer *p = start_up(f);
	peer_say(p, "PING\r\n");
	peer_expect(p, "PONG\r\n");
	for (int i = 0; i < 5; i++) {
		peer_expect(p, "PING\r\n");
		peer_say(p, "PONG\r\n");
	}
	assert_true(nats_status(f->nats)->is_up);
	peer_wait(p, &f->changes, 2);
	assert_string_equal(nats_status(f->nats)->error, "the server does not answer");
}

static void test_publishing(void **state)
{
	struct fixture *f = *state;
	struct buf headers = BUF_INIT(1000);
	struct peer *p = start_up(f);
	struct nats_out out = {.subject = SLICE("a.b"), .payload = SLICE("hello\r\n")};
	assert_int_equal(nats_publish(f->nats, &out), OK);
	peer_expect(p, "PUB a.b 7\r\nhello\r\n\r\n");
	nats_put_header(&headers, SLICE("Nats-Msg-Id"), SLICE("7"));
	nats_put_header(&headers, SLICE("Empty"), SLICE(""));
	out.headers = buf_view(&headers);
	assert_int_equal(nats_publish(f->nats, &out), OK);
	peer_expect(p,
	    "HPUB a.b 37 44\r\nNATS/1.0\r\nNats-Msg-Id: 7\r\nEmpty: \r\n\r\nhello\r\n\r\n");
	out = (struct nats_out){.subject = SLICE("a")};
	assert_int_equal(nats_publish(f->nats, &out), OK);
	peer_expect(p, "PUB a 0\r\n\r\n");
	buf_fini(&headers);
}

static void test_what_would_be_read_otherwise_is_refused(void **state)
{
	static const char *const SUBJECTS[] = {"", "a b", "a\r\nPUB b 0", "a.", "a..b"};
	static const char *const VALUES[] = {"a\r\nB: c", "a\rb", "a\nb"};
	static const char *const HEADERS[] = {"", "A:B", "A B", "A\r\nB"};
	struct fixture *f = *state;
	start_up(f);
	for (size_t i = 0; i < COUNT(SUBJECTS); i++) {
		const struct nats_out out = {.subject = slice_of(SUBJECTS[i])};
		assert_int_equal(nats_publish(f->nats, &out), ERR_INVALID);
	}
	for (size_t i = 0; i < COUNT(VALUES); i++) {
		struct buf b = BUF_INIT(1000);
		nats_put_header(&b, SLICE("A"), slice_of(VALUES[i]));
		assert_true(b.failed);
		buf_fini(&b);
	}
	for (size_t i = 0; i < COUNT(HEADERS); i++) {
		struct buf b = BUF_INIT(1000);
		nats_put_header(&b, slice_of(HEADERS[i]), SLICE("v"));
		assert_true(b.failed);
		buf_fini(&b);
	}
}

static void test_limits_of_publishing(void **state)
{
	struct fixture *f = *state;
	char bytes[1001] = {0};
	struct nats_out out = {.subject = SLICE("a"), .payload = {bytes, 1001}};
	start(f);
	assert_int_equal(nats_publish(f->nats, &out), ERR_BUSY);
	peer_welcome(f->peers[0]);
	peer_wait(f->peers[0], &f->changes, 1);
	assert_int_equal(nats_publish(f->nats, &out), ERR_TOOBIG);
	out.headers = SLICE("A: b\r\n");
	out.payload.len = 1001 - (sizeof("NATS/1.0\r\nA: b\r\n\r\n") - 1);
	assert_int_equal(nats_publish(f->nats, &out), ERR_TOOBIG);
	out.payload.len--;
	assert_int_equal(nats_publish(f->nats, &out), OK);
	out = (struct nats_out){.subject = SLICE("a"), .payload = {bytes, 1000}};
	enum err err = OK;
	size_t sent = 1;
	for (; err == OK; sent++)
		err = nats_publish(f->nats, &out);
	assert_int_equal(err, ERR_FULL);
	assert_int_equal(sent - 1, OUT_MAX / 1000);       /* each with a line */
	while (nats_publish(f->nats, &out) == ERR_FULL) { /* until the loop has sent them */
		clock_expire();
		reactor_pass(f->reactor, false);
	}
	assert_true(nats_status(f->nats)->is_up);
}

static void test_a_question_is_answered_once(void **state)
{
	char to[WORD_SIZE];
	struct fixture *f = *state;
	struct asker *a = asker_new(f);
	struct peer *p = start_up(f);
	ask(a, "q", NEVER_MS, false);
	peer_expect_word(p, "PUB q ", " 1\r\n?\r\n", to, sizeof(to));
	peer_say_message(p, to, 1, "", NULL, "yes");
	peer_say_message(p, to, 1, "", NULL, "no");
	ask(a, "q2", NEVER_MS, false);
	assert_int_equal(a->told, 0); /* the first is forgotten */
	peer_expect_word(p, "PUB q2 ", " 1\r\n?\r\n", to, sizeof(to));
	peer_say_message(p, to, 1, "", "NATS/1.0 503\r\n\r\n", "");
	peer_say_message(p, to, 1, "", NULL, "late");
	peer_say_message(p, "other", 1, "", NULL, "nobody's");
	peer_wait(p, &a->told, 1);
	assert_string_equal(a->payload, "503 ");
	peer_say(p, "PING\r\n");
	peer_expect(p, "PONG\r\n");
	assert_int_equal(a->told, 1);
	free(a);
}

static void test_a_question_with_many_answers(void **state)
{
	char sid[WORD_SIZE];
	char to[WORD_SIZE];
	struct fixture *f = *state;
	struct asker *a = asker_new(f);
	struct peer *p = start_up(f);
	ask(a, "q", NEVER_MS, true);
	peer_expect_word(p, "SUB ", " ", to, sizeof(to));
	peer_expect_word(p, "", "\r\n", sid, sizeof(sid));
	peer_expect(p, "PUB q ");
	peer_expect(p, to);
	uint64_t number = strtoull(sid, NULL, 10);
	for (unsigned i = 1; i <= 3; i++) {
		peer_say_message(p, "wa.events.a", number, "", NULL, "x");
		peer_wait(p, &a->told, i);
	}
	nats_hang_up(&a->call);
	nats_hang_up(&a->call);
	peer_expect(p, "UNSUB ");
	peer_expect(p, sid);
	peer_say_message(p, "wa.events.a", number, "", NULL, "late");
	peer_say(p, "PING\r\n");
	peer_expect(p, "PONG\r\n");
	assert_int_equal(a->told, 3);
	free(a);
}

static void test_silence_ends_a_question(void **state)
{
	struct fixture *f = *state;
	struct asker *one = asker_new(f);
	struct asker *many = asker_new(f);
	struct peer *p = start_up(f);
	ask(one, "q", 1, false);
	ask(many, "q", 1, true);
	peer_wait(p, &one->ended, 1);
	peer_wait(p, &many->ended, 1);
	peer_expect(p, "UNSUB ");
	assert_true(one->told == 1 && many->told == 1);
	assert_null(one->call.nats);
	free(one);
	free(many);
}

/* Those who ask are told; they can't ask anew before it is up again, and then they can. */
static void test_a_lost_connection_ends_questions(void **state)
{
	struct fixture *f = *state;
	struct asker *one = asker_new(f);
	struct asker *many = asker_new(f);
	struct peer *p = start_up(f);
	one->asks_again = true;
	ask(one, "q", NEVER_MS, false);
	ask(many, "q", NEVER_MS, true);
	peer_hang_up(p);
	peer_wait(p, &f->changes, 2);
	assert_true(one->ended == 1 && many->ended == 1);
	peer_welcome(p);
	peer_wait(p, &f->changes, 3);
	assert_int_equal(nats_status(f->nats)->connections, 2);
	ask(many, "again", NEVER_MS, false);
	peer_expect(p, "PUB again ");
	nats_hang_up(&many->call);
	free(one);
	free(many);
}

static void test_asking_from_within_an_answer(void **state)
{
	char to[WORD_SIZE];
	struct fixture *f = *state;
	struct asker *a = asker_new(f);
	struct peer *p = start_up(f);
	a->asks_again = true;
	ask(a, "q", NEVER_MS, false);
	peer_expect_word(p, "PUB q ", " ", to, sizeof(to));
	for (unsigned i = 1; i <= 3; i++) {
		peer_say_message(p, to, 1, "", NULL, "x");
		peer_expect_word(p, "PUB again ", " ", to, sizeof(to));
		assert_int_equal(a->told, i);
	}
	nats_free(f->nats); /* a question that waits is not told */
	f->nats = NULL;
	assert_int_equal(a->told, 3);
	free(a);
}

static void test_questions_have_a_limit(void **state)
{
	struct fixture *f = *state;
	struct asker *a = asker_new(f);
	struct nats_call *calls = mem_array(NATS_CALLS_MAX, sizeof(*calls));
	const struct nats_out out = {.subject = SLICE("q")};
	f->conf.out_max = 1u << 20;
	start_up(f);
	for (size_t i = 0; i < NATS_CALLS_MAX; i++) {
		calls[i] = (struct nats_call){.fn = on_answer, .arg = a};
		assert_int_equal(nats_ask(f->nats, &calls[i], &out, NEVER_MS, false), OK);
	}
	assert_int_equal(nats_ask(f->nats, &a->call, &out, NEVER_MS, false), ERR_FULL);
	nats_hang_up(&calls[7]);
	assert_int_equal(nats_ask(f->nats, &a->call, &out, NEVER_MS, false), OK);
	nats_free(f->nats);
	f->nats = NULL;
	free(calls);
	free(a);
}

static void test_bytes_that_are_no_nats_end_the_connection(void **state)
{
	struct fixture *f = *state;
	struct peer *p = start_up(f);
	peer_say(p, "MSG a 1 x\r\n");
	peer_wait(p, &f->changes, 2);
	assert_string_equal(nats_status(f->nats)->error,
	    "a message with a number that is none");
}

static void test_a_refused_subject_ends_nothing(void **state)
{
	struct fixture *f = *state;
	struct peer *p = start_up(f);
	peer_say(p, "-ERR 'Permissions Violation for Publish to \"a\"'\r\nPING\r\n");
	peer_expect(p, "PONG\r\n");
	assert_true(nats_status(f->nats)->is_up);
}

/* Who pings and does not read is let go; what waits for it stays within its limit. */
static void test_a_server_that_takes_nothing(void **state)
{
	static char pings[6 * 4096 + 1];
	struct fixture *f = *state;
	struct peer *p = start_up(f);
	for (size_t i = 0; i + 6 < sizeof(pings); i += 6)
		memcpy(pings + i, "PING\r\n", 7);
	reactor_io_want(p->io, false, false);
	while (nats_status(f->nats)->is_up) {
		(void)send(p->fd, pings, sizeof(pings) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		clock_expire();
		reactor_pass(f->reactor, true);
	}
	assert_string_equal(nats_status(f->nats)->error, "the server does not answer");
}

static void test_a_server_is_left_for_the_next(void **state)
{
	struct fixture *f = *state;
	f->conf.server_count = 2;
	start(f);
	nats_next(f->nats, "too early"); /* it is not up */
	peer_wait(f->peers[0], &f->peers[0]->accepted, 1);
	peer_say(f->peers[0],
	    "INFO {\"headers\":true,\"max_payload\":1000,\"version\":\"2.10.4\"}\r\n");
	peer_expect(f->peers[0], "\r\nPING\r\n");
	peer_say(f->peers[0], "PONG\r\n");
	peer_wait(f->peers[0], &f->changes, 1);
	assert_int_equal(nats_status(f->nats)->version, 2010);
	struct asker *a = asker_new(f);
	const struct nats_out out = {.subject = SLICE("question")};
	assert_int_equal(nats_ask(f->nats, &a->call, &out, NEVER_MS, false), OK);
	nats_next(f->nats, "it answers nothing");
	assert_true(nats_status(f->nats)->is_up); /* not from within */
	peer_wait(f->peers[0], &f->changes, 2);
	assert_int_equal(a->ended, 1);
	assert_string_equal(nats_status(f->nats)->error, "it answers nothing");
	peer_welcome(f->peers[1]);
	peer_wait(f->peers[1], &f->changes, 3);
	assert_ptr_equal(nats_status(f->nats)->server, &f->servers[1]);
	assert_int_equal(nats_status(f->nats)->version, 0); /* that one has not told */
	free(a);
}

#define NATS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NATS_TEST(test_login_by_token),
	    NATS_TEST(test_login_by_password),
	    NATS_TEST(test_login_by_key),
	    NATS_TEST(test_login_by_jwt),
	    NATS_TEST(test_login_by_nothing),
	    NATS_TEST(test_another_protocol),
	    NATS_TEST(test_a_message_before_the_greeting),
	    NATS_TEST(test_no_tls_where_it_has_to_be),
	    NATS_TEST(test_no_tls_for_an_authority),
	    NATS_TEST(test_words_before_tls),
	    NATS_TEST(test_a_greeting_that_is_none),
	    NATS_TEST(test_an_address_that_is_not_allowed),
	    NATS_TEST(test_a_server_that_never_greets),
	    NATS_TEST(test_a_server_that_refuses_says_why),
	    NATS_TEST(test_pings_are_answered_and_asked_for),
	    NATS_TEST(test_publishing),
	    NATS_TEST(test_what_would_be_read_otherwise_is_refused),
	    NATS_TEST(test_limits_of_publishing),
	    NATS_TEST(test_a_question_is_answered_once),
	    NATS_TEST(test_a_question_with_many_answers),
	    NATS_TEST(test_silence_ends_a_question),
	    NATS_TEST(test_a_lost_connection_ends_questions),
	    NATS_TEST(test_asking_from_within_an_answer),
	    NATS_TEST(test_questions_have_a_limit),
	    NATS_TEST(test_bytes_that_are_no_nats_end_the_connection),
	    NATS_TEST(test_a_refused_subject_ends_nothing),
	    NATS_TEST(test_a_server_that_takes_nothing),
	    NATS_TEST(test_a_server_is_left_for_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
