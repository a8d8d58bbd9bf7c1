/* The consumer of a stream against a server that says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jetstream/js.h"
#include "nats_peer.h"
#include "support.h"

#define CREATED "2026-01-01T00:00:00Z"
#define NEVER_MS 100000
#define WORD_SIZE 512
#define SEEN_MAX 4096

static const struct nats_times TIMES = {NEVER_MS, NEVER_MS, 1, 2, 0};

struct fixture {
	struct reactor *reactor;
	struct lookup *lookup;
	struct peer *peer;
	struct js_times times;
	struct js_conf conf;
	struct js *js;
	struct js_room room;
	struct buf seen; /* "SEQ PAYLOAD," of each message */
	struct js_position at;
	uint64_t previous;
	unsigned messages;
	unsigned moves;
	bool refuses; /* each message */
	/* of the pull that was asked last */
	char to[WORD_SIZE];
	char sid[WORD_SIZE];
};

static uint64_t stream_id(void)
{
	return 1767225600000; /* CREATED */
}

static struct js_room on_room(void *arg)
{
	const struct fixture *f = arg;
	return f->room;
}

static void on_message(void *arg, const struct js_message *m)
{
	struct fixture *f = arg;
	f->messages++;
	f->previous = m->previous;
	f->at = m->at;
	buf_printf(&f->seen, "%" PRIu64 " %.*s,", m->at.seq, (int)m->message->payload.len,
	    m->message->payload.ptr);
	assert_int_equal(m->at.stream, stream_id());
	assert_int_equal(m->time_ms, 1234567);
	if (f->refuses)
		js_again(f->js, "refused");
}

static void on_moved(void *arg, struct js_position at)
{
	struct fixture *f = arg;
	f->moves++;
	f->at = at;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	const struct lookup_conf none = {.name_servers = NULL};
	f->reactor = reactor_new();
	f->lookup = lookup_new(f->reactor, &none);
	f->peer = peer_new(f->reactor);
	f->seen = BUF_INIT(SEEN_MAX);
	f->room = (struct js_room){5, 1000};
	f->times = (struct js_times){NEVER_MS, 3000, 30000, 1, 4};
	f->conf = (struct js_conf){.nats = {.reactor = f->reactor,
				       .lookup = f->lookup,
				       .servers = &f->peer->address,
				       .server_count = 1,
				       .name = "test",
				       .message_max = 1000,
				       .out_max = 100000,
				       .times = &TIMES},
	    .stream = "WA",
	    .consumer = "w",
	    .times = &f->times};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	js_free(f->js);
	peer_free(f->peer);
	lookup_free(f->lookup);
	reactor_free(f->reactor);
	buf_fini(&f->seen);
	free(f);
	return 0;
}

/* Waits for a question to the API, whose body becomes `body`, and answers it. */
static void answer(struct fixture *f, const char *what, const char *json, char body[WORD_SIZE])
{
	char start[WORD_SIZE];
	char to[WORD_SIZE];
	(void)snprintf(start, sizeof(start), "PUB $JS.API.%s ", what);
	peer_expect_word(f->peer, start, " ", to, sizeof(to));
	peer_expect(f->peer, "\r\n");
	peer_expect_word(f->peer, "", "\r\n", body, WORD_SIZE);
	peer_say_message(f->peer, to, 1, "", NULL, json);
}

static void answer_stream(struct fixture *f, const char *created, int first, int last)
{
	char json[WORD_SIZE];
	char body[WORD_SIZE];
	(void)snprintf(json, sizeof(json),
	    "{\"config\":{\"retention\":\"limits\"},\"created\":\"%s\","
	    "\"state\":{\"first_seq\":%d,\"last_seq\":%d}}",
	    created, first, last);
	answer(f, "STREAM.INFO.WA", json, body);
	assert_string_equal(body, "");
}

/* Waits for a pull; its body has to be `wanted`. */
static void expect_pull(struct fixture *f, const char *wanted)
{
	char body[WORD_SIZE];
	char subject[2 * WORD_SIZE];
	peer_expect_word(f->peer, "SUB _INBOX.", " ", f->to, sizeof(f->to));
	peer_expect_word(f->peer, "", "\r\n", f->sid, sizeof(f->sid));
	(void)snprintf(subject, sizeof(subject),
	    "PUB $JS.API.CONSUMER.MSG.NEXT.WA.w _INBOX.%s ", f->to);
	peer_expect(f->peer, subject);
	peer_expect(f->peer, "\r\n");
	peer_expect_word(f->peer, "", "\r\n", body, sizeof(body));
	assert_string_equal(body, wanted);
}

#define BEATS ",\"expires\":3000000000,\"idle_heartbeat\":30000000000}"
#define PULL "{\"batch\":5,\"max_bytes\":1000" BEATS
#define PULL_OVER                                                                              \
	"{\"batch\":5,\"max_bytes\":1000,\"expires\":0,\"idle_heartbeat\":30000000000}"
#define PULL_ALONE "{\"batch\":1" BEATS

/* Goes through all that comes before a pull; the consumer has to begin at `seq`. */
static void bind_at(struct fixture *f, int last, int seq)
{
	char wanted[WORD_SIZE];
	char body[WORD_SIZE];
	answer_stream(f, CREATED, 1, last);
	answer(f, "CONSUMER.DELETE.WA.w", "{\"error\":{\"code\":404,\"description\":\"none\"}}",
	    body);
	answer(f, "CONSUMER.DURABLE.CREATE.WA.w", "{\"name\":\"w\"}", body);
	(void)snprintf(wanted, sizeof(wanted),
	    "{\"stream_name\":\"WA\",\"config\":{\"durable_name\":\"w\","
	    "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%d,"
	    "\"ack_policy\":\"all\",\"ack_wait\":30000000000,\"max_ack_pending\":2048}}",
	    seq);
	assert_string_equal(body, wanted);
}

static void start(struct fixture *f)
{
	const struct js_hooks hooks = {on_room, on_message, on_moved, f};
	f->js = js_new(&f->conf, &hooks);
	peer_welcome(f->peer);
}

/* Bound, with a pull under way; nothing was stored before. */
static void start_pulling(struct fixture *f)
{
	start(f);
	bind_at(f, 0, 1);
	expect_pull(f, PULL);
	assert_int_equal(f->moves, 1);
}

/* Delivers message `seq` as the consumer's delivery `delivery`. */
static void deliver(struct fixture *f, int seq, int delivery, const char *payload)
{
	char reply[WORD_SIZE];
	(void)snprintf(reply, sizeof(reply), "$JS.ACK.WA.w.1.%d.%d.1234567999999.7", seq,
	    delivery);
	peer_say_message(f->peer, "wa.a", strtoull(f->sid, NULL, 10), reply, NULL, payload);
}

static void say_status(struct fixture *f, const char *status)
{
	char head[WORD_SIZE];
	(void)snprintf(head, sizeof(head), "NATS/1.0 %s\r\n\r\n", status);
	peer_say_message(f->peer, f->to, strtoull(f->sid, NULL, 10), "", head, "");
}

static void expect_seen(struct fixture *f, const char *wanted)
{
	peer_say(f->peer, "PING\r\n"); /* all before it is read when this is answered */
	peer_expect(f->peer, "PONG\r\n");
	assert_string_equal(buf_cstr(&f->seen), wanted);
}

static const char *error_of(const struct fixture *f)
{
	return js_status(f->js).error;
}

static void test_a_batch_and_the_next(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	for (int i = 1; i <= 5; i++)
		deliver(f, i * 10, i, "x");
	expect_pull(f, PULL);
	deliver(f, 60, 6, "y");
	expect_seen(f, "10 x,20 x,30 x,40 x,50 x,60 y,");
	assert_int_equal(f->previous, 50);
	struct js_status s = js_status(f->js);
	assert_true(s.taken == 6 && s.bytes == 6 && s.pending == 7 && s.begun == 1);
	assert_true(s.connection->is_up && s.error[0] == '\0');
}

static void test_what_is_stored_is_acknowledged(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	deliver(f, 2, 2, "b");
	expect_seen(f, "1 a,2 b,");
	/* the newest is not on disk: nothing is said yet */
	js_stored(f->js, (struct js_position){stream_id(), 1});
	js_stored(f->js, f->at);
	peer_expect(f->peer, "PUB $JS.ACK.WA.w.1.2.2.1234567999999.7 4\r\n+ACK\r\n");
	js_stored(f->js, f->at); /* once is enough */
	deliver(f, 3, 3, "c");
	expect_seen(f, "1 a,2 b,3 c,");
	assert_int_equal(f->peer->got.len, 0);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	f->room.messages = 0;
	start(f);
	bind_at(f, 0, 1);
	while (js_status(f->js).begun == 0) {
		clock_expire();
		reactor_pass(f->reactor, false);
	}
	js_go_on(f->js);
	f->room = (struct js_room){5, 0};
	js_go_on(f->js);
	expect_seen(f, "");
	assert_int_equal(f->peer->got.len, 0);
	f->room = (struct js_room){1u << 31,
	    (size_t)1 << 40}; /* more than a pull may ask for */
	js_go_on(f->js);
	expect_pull(f, "{\"batch\":1024,\"max_bytes\":2147483647" BEATS);
}

static void test_a_delivery_that_is_missing(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	deliver(f, 3, 3, "c"); /* another has the second, or it was lost */
	peer_expect(f->peer, "UNSUB ");
	assert_string_equal(error_of(f), "a message of the server's has not come");
	js_stored(f->js, (struct js_position){stream_id(), 1});
	bind_at(f, 3, 2);
	expect_pull(f, PULL);
	assert_string_equal(error_of(f), "");
	deliver(f, 2, 1, "b");
	expect_seen(f, "1 a,2 b,");
}

static void test_a_message_that_comes_again(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	deliver(f, 2, 2, "b");
	deliver(f, 1, 3, "a");
	deliver(f, 2, 4, "b");
	deliver(f, 3, 5, "c");
	expect_pull(f, PULL); /* each counts for the batch */
	expect_seen(f, "1 a,2 b,3 c,");
}

static void test_what_was_not_stored_comes_again(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	deliver(f, 2, 2, "b");
	expect_seen(f, "1 a,2 b,");
	js_stored(f->js, (struct js_position){stream_id(), 1});
	js_again(f->js, "no space left");
	assert_string_equal(error_of(f), "no space left");
	js_again(f->js, "again"); /* nothing more can be doubtful */
	js_go_on(f->js);
	assert_string_equal(error_of(f), "no space left");
	bind_at(f, 2, 2);
	expect_pull(f, PULL);
	deliver(f, 2, 1, "b");
	expect_seen(f, "1 a,2 b,2 b,");
	assert_int_equal(f->previous, 1);
}

static void test_a_message_refused_at_once(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	f->refuses = true;
	deliver(f, 1, 1, "a");
	deliver(f, 2, 2, "b"); /* it comes late */
	bind_at(f, 2, 1);
	f->refuses = false;
	expect_pull(f, PULL);
	deliver(f, 1, 1, "a");
	expect_seen(f, "1 a,1 a,");
}

static void test_a_pull_that_ends_without_a_message(void **state)
{
	static const char *const STATUSES[] = {"404 No Messages", "408 Request Timeout",
	    "408 Requests Pending"};
	struct fixture *f = *state;
	f->times.expires_ms = 0; /* over at once */
	start(f);
	bind_at(f, 0, 1);
	expect_pull(f, PULL_OVER);
	for (size_t i = 0; i < COUNT(STATUSES); i++) {
		say_status(f, "100 Idle Heartbeat");
		say_status(f, STATUSES[i]);
		expect_pull(f, PULL_OVER);
	}
	deliver(f, 1, 1, "a");
	expect_seen(f, "1 a,");
}

static void test_a_message_that_passes_max_bytes(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	say_status(f, "409 Message Size Exceeds MaxBytes");
	expect_pull(f, PULL); /* something has come: the next one may fit */
	say_status(f, "409 Message Size Exceeds MaxBytes");
	expect_pull(f, PULL_ALONE);
	deliver(f, 2, 2, "large");
	expect_pull(f, PULL);
	say_status(f, "409 Message Size Exceeds MaxBytes");
	expect_pull(f, PULL_ALONE);
	say_status(f, "409 Message Size Exceeds MaxBytes"); /* which it can't */
	peer_expect(f->peer, "UNSUB ");
	assert_string_equal(error_of(f), "Message Size Exceeds MaxBytes");
	assert_string_equal(buf_cstr(&f->seen), "1 a,2 large,");
}

/* Where messages are replicated the word that a pull is over comes before what it brought. */
static void test_a_pull_that_ends_before_its_messages(void **state)
{
	static const char *const STATUSES[] = {
	    "409 Batch Completed\r\nNats-Pending-Messages: 0",
	    "409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 3",
	    "408 Request Timeout\r\nNats-Pending-Messages: 4",
	};
	static const int MESSAGES[] = {5, 2, 1};
	struct fixture *f = *state;
	start_pulling(f);
	int seq = 0;
	for (size_t i = 0; i < COUNT(STATUSES); i++) {
		say_status(f, STATUSES[i]);
		for (int n = 0; n < MESSAGES[i]; n++, seq++)
			deliver(f, seq + 1, seq + 1, "x");
		expect_pull(f, PULL);
	}
	expect_seen(f, "1 x,2 x,3 x,4 x,5 x,6 x,7 x,8 x,");
	say_status(f, "409 Batch Completed\r\nNats-Pending-Messages: 99"); /* nonsense */
	peer_expect(f->peer, "UNSUB ");
	assert_string_equal(error_of(f), "Batch Completed");
}

static void test_a_pull_that_fails(void **state)
{
	static const struct {
		const char *status;
		const char *error;
	} CASES[] = {
	    {"409 Consumer Deleted", "Consumer Deleted"},
	    {"409 Leadership\x01"
	     "Change\xff",
		"Leadership?Change?"},
	    {"400 Bad Request", "Bad Request"},
	    {"408 Requests Pending", "Requests Pending"},
	    {"404 No Messages", "No Messages"},
	    {"200", "the server's answer to a pull is not understood"},
	    {"503", "the server has no JetStream, or it is not ready"},
	};
	struct fixture *f = *state;
	start_pulling(f);
	for (size_t i = 0; i < COUNT(CASES); i++) {
		say_status(f, CASES[i].status);
		peer_expect(f->peer, "UNSUB ");
		assert_string_equal(error_of(f), CASES[i].error);
		bind_at(f, 0, 1);
		expect_pull(f, PULL);
	}
	assert_int_equal(f->moves, 1);
}

static void test_a_pull_of_which_nothing_is_heard(void **state)
{
	struct fixture *f = *state;
	f->times.beat_ms = 5;
	start(f);
	bind_at(f, 0, 1);
	peer_expect(f->peer, "UNSUB ");
	assert_string_equal(error_of(f), "the server's JetStream does not answer");
	bind_at(f, 0, 1);
}

static void test_a_connection_lost_in_a_pull(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	deliver(f, 1, 1, "a");
	deliver(f, 2, 2, "b");
	expect_seen(f, "1 a,2 b,");
	js_stored(f->js, (struct js_position){stream_id(), 1});
	peer_hang_up(f->peer);
	peer_welcome(f->peer);
	bind_at(f, 2, 2);
	expect_pull(f, PULL);
	js_stored(f->js, f->at); /* of before: it was on its way to the disk */
	deliver(f, 2, 1, "b");
	deliver(f, 3, 2, "c");
	expect_seen(f, "1 a,2 b,3 c,");
	assert_int_equal(f->previous, 2);
}

/* A reply that does not acknowledge anything is no message of the stream. */
static void test_replies_that_are_none(void **state)
{
	static const char *const REPLIES[] = {"$JS.ACK.WA.w.1.1.1.1234567999999",
	    "$JS.ACK.WA.w.1.x.1.1234567999999.0", "$JS.ACK.WA.w.1.1.x.1234567999999.0",
	    "$JS.ACK.WA.w.1.1.1.x.0", "$JS.ACK.WA.w.1.1.1.1234567999999.x",
	    "$JS.ACK.d.WA.w.1.1.1.1234567999999.0", "$JS.FC.WA.w.1.1.1.1234567999999.0"};
	struct fixture *f = *state;
	start_pulling(f);
	for (size_t i = 0; i < COUNT(REPLIES); i++) {
		peer_say_message(f->peer, "wa.a", strtoull(f->sid, NULL, 10), REPLIES[i], NULL,
		    "x");
		peer_expect(f->peer, "UNSUB ");
		bind_at(f, 0, 1);
		expect_pull(f, PULL);
	}
	expect_seen(f, "");
}

static void test_the_longer_reply(void **state)
{
	struct fixture *f = *state;
	start_pulling(f);
	peer_say_message(f->peer, "wa.a", strtoull(f->sid, NULL, 10),
	    "$JS.ACK._.ACCHASH.WA.w.1.1.1.1234567999999.7", NULL, "x");
	peer_say_message(f->peer, "wa.a", strtoull(f->sid, NULL, 10),
	    "$JS.ACK.hub.ACCHASH.WA.w.1.2.2.1234567999999.7.random", NULL, "y");
	expect_seen(f, "1 x,2 y,");
}

static void test_it_goes_on_behind_what_was_stored(void **state)
{
	struct fixture *f = *state;
	f->conf.from = (struct js_position){stream_id(), 41};
	start(f);
	bind_at(f, 100, 42);
	expect_pull(f, PULL);
	deliver(f, 42, 1, "a");
	expect_seen(f, "42 a,");
	assert_int_equal(f->moves, 0);
}

static void test_streams_that_are_not_the_one_that_was_read(void **state)
{
	struct fixture *f = *state;
	f->conf.from = (struct js_position){stream_id() + 1, 41};
	f->conf.begin_at_end = true; /* for the first time alone */
	start(f);
	bind_at(f, 100, 1);
	expect_pull(f, PULL);
	assert_true(f->moves == 1 && f->at.stream == stream_id() && f->at.seq == 0);
	/* restored from an old copy: it has less than was taken of it */
	for (int i = 1; i <= 5; i++)
		deliver(f, i * 10, i, "x");
	expect_pull(f, PULL);
	js_stored(f->js, f->at);
	say_status(f, "409 Consumer Deleted");
	bind_at(f, 49, 1);
	assert_true(f->moves == 2 && f->at.stream == stream_id() && f->at.seq == 0);
}

static void test_it_begins_at_the_end(void **state)
{
	struct fixture *f = *state;
	f->conf.begin_at_end = true;
	start(f);
	bind_at(f, 100, 101);
	assert_true(f->moves == 1 && f->at.stream == stream_id() && f->at.seq == 100);
}

static void test_messages_that_were_dropped_are_counted(void **state)
{
	struct fixture *f = *state;
	f->conf.from = (struct js_position){stream_id(), 41};
	start(f);
	answer_stream(f, CREATED, 52, 60);
	peer_expect(f->peer, "PUB $JS.API.CONSUMER.DELETE.WA.w ");
	assert_int_equal(js_status(f->js).missed, 10);
}

static void test_answers_that_are_errors(void **state)
{
	static const struct {
		const char *json;
		const char *error;
	} CASES[] = {
	    {"{\"error\":{\"code\":404,\"description\":\"stream not found\"}}",
		"stream not found"},
	    {"{\"config\":{\"retention\":\"workqueue\"}}",
		"the stream's retention is not \"limits\""},
	    {"", "the stream's retention is not \"limits\""},
	    {"[1", "the stream's retention is not \"limits\""},
	    {"{\"error\":{\"code\":500}}", "an error without a description"},
	    {"{\"config\":{\"retention\":\"limits\"},\"created\":\"yesterday\"}",
		"the server's answer about the stream is not understood"},
	};
	struct fixture *f = *state;
	char body[WORD_SIZE];
	start(f);
	for (size_t i = 0; i < COUNT(CASES); i++) {
		answer(f, "STREAM.INFO.WA", CASES[i].json, body);
		peer_expect(f->peer, "PUB $JS.API.STREAM.INFO.WA "); /* it begins anew */
		assert_string_equal(error_of(f), CASES[i].error);
		peer_hang_up(f->peer);
		peer_welcome(f->peer);
	}
	answer_stream(f, CREATED, 1, 1);
	answer(f, "CONSUMER.DELETE.WA.w", "{\"error\":{\"code\":500,\"description\":\"no\"}}",
	    body);
	bind_at(f, 1, 1);
}

static void test_subjects_and_another_domain(void **state)
{
	static const char *const SUBJECTS[] = {"wa.a.>", "wa.b.>"};
	char to[WORD_SIZE];
	struct fixture *f = *state;
	f->conf.api = "$JS.hub.API";
	f->conf.subjects = SUBJECTS;
	f->conf.subject_count = 2;
	start(f);
	peer_expect_word(f->peer, "PUB $JS.hub.API.STREAM.INFO.WA ", " ", to, WORD_SIZE);
	peer_say_message(f->peer, to, 1, "", NULL,
	    "{\"config\":{\"retention\":\"limits\"},\"created\":\"" CREATED "\"}");
	peer_expect_word(f->peer, "PUB $JS.hub.API.CONSUMER.DELETE.WA.w ", " ", to, WORD_SIZE);
	peer_say_message(f->peer, to, 1, "", NULL, "{}");
	peer_expect_word(f->peer, "PUB $JS.hub.API.CONSUMER.DURABLE.CREATE.WA.w ", " ", to,
	    WORD_SIZE);
	peer_expect(f->peer, ",\"filter_subjects\":[\"wa.a.>\",\"wa.b.>\"]}}\r\n");
	/* of a server that does not know the member, and would deliver everything */
	peer_say_message(f->peer, to, 1, "", NULL, "{\"config\":{}}");
	peer_expect(f->peer, "PUB $JS.hub.API.STREAM.INFO.WA ");
	assert_string_equal(error_of(f),
	    "the server takes one subject: several need version 2.10");
}

#define JS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JS_TEST(test_a_batch_and_the_next),
	    JS_TEST(test_what_is_stored_is_acknowledged),
	    JS_TEST(test_no_room),
	    JS_TEST(test_a_delivery_that_is_missing),
	    JS_TEST(test_a_message_that_comes_again),
	    JS_TEST(test_what_was_not_stored_comes_again),
	    JS_TEST(test_a_message_refused_at_once),
	    JS_TEST(test_a_pull_that_ends_without_a_message),
	    JS_TEST(test_a_message_that_passes_max_bytes),
	    JS_TEST(test_a_pull_that_ends_before_its_messages),
	    JS_TEST(test_a_pull_that_fails),
	    JS_TEST(test_a_pull_of_which_nothing_is_heard),
	    JS_TEST(test_a_connection_lost_in_a_pull),
	    JS_TEST(test_replies_that_are_none),
	    JS_TEST(test_the_longer_reply),
	    JS_TEST(test_it_goes_on_behind_what_was_stored),
	    JS_TEST(test_streams_that_are_not_the_one_that_was_read),
	    JS_TEST(test_it_begins_at_the_end),
	    JS_TEST(test_messages_that_were_dropped_are_counted),
	    JS_TEST(test_answers_that_are_errors),
	    JS_TEST(test_subjects_and_another_domain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
