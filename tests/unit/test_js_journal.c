/* The journal over JetStream against a server that says what the test wants. */
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
#include "jetstream/js_journal.h"
#include "nats_peer.h"
#include "support.h"

#define CREATED "2026-01-01T00:00:00Z"
#define CREATED_MS 1767225600000
#define ANEW "2026-01-02T00:00:00Z"
#define NEVER_MS 100000
#define WORD_SIZE 1024
#define SEEN_MAX 4096
#define ENTRY "entry-0123456789abcdef"
#define ENTRY_ID_END "30313233343536373839616263646566" /* of its last 16 bytes */

static const struct nats_times TIMES = {NEVER_MS, NEVER_MS, 1, 2, 0};

struct fixture {
	struct reactor *reactor;
	struct lookup *lookup;
	struct peer *peer;
	struct nats_server servers[2];
	struct js_journal_times times;
	struct js_journal_conf conf;
	struct journal *journal;
	struct buf seen; /* what was told, "ok 5," */
	unsigned told;
	bool is_calling;  /* nothing may be told now */
	bool stops;       /* reading, at each entry */
	unsigned chained; /* appends that follow upon an append */
	char to[WORD_SIZE];
	char sid[WORD_SIZE];
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	const struct lookup_conf none = {.name_servers = NULL};
	f->reactor = reactor_new();
	f->lookup = lookup_new(f->reactor, &none);
	f->peer = peer_new(f->reactor);
	f->seen = BUF_INIT(SEEN_MAX);
	f->servers[0] = f->peer->address;
	f->times = (struct js_journal_times){{NEVER_MS, 1, 3000, 30000}, NEVER_MS};
	f->conf = (struct js_journal_conf){.nats = {.reactor = f->reactor,
					       .lookup = f->lookup,
					       .servers = f->servers,
					       .server_count = 1,
					       .name = "test",
					       .times = &TIMES},
	    .shard = "s",
	    .member = "m1",
	    .times = &f->times};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->journal != NULL)
		f->journal->free(f->journal);
	peer_free(f->peer);
	lookup_free(f->lookup);
	reactor_free(f->reactor);
	buf_fini(&f->seen);
	free(f);
	return 0;
}

static void note(struct fixture *f, const char *what, uint64_t n)
{
	assert_false(f->is_calling);
	f->told++;
	buf_printf(&f->seen, "%s %" PRIu64 ",", what, n);
}

static void append(struct fixture *f, uint64_t behind);

static void on_appended(void *arg, enum err result, uint64_t seq)
{
	struct fixture *f = arg;
	note(f, err_text(result), seq);
	if (f->chained > 0) {
		f->chained--;
		append(f, seq);
	}
}

static void append(struct fixture *f, uint64_t behind)
{
	f->is_calling = true;
	f->journal->append(f->journal, behind, SLICE(ENTRY), on_appended, f);
	f->is_calling = false;
}

static void on_entry(void *arg, uint64_t seq, uint64_t previous, struct slice bytes)
{
	struct fixture *f = arg;
	buf_printf(&f->seen, "%" PRIu64 " behind ", seq);
	note(f, bytes.len > 0 && bytes.ptr[0] == 'e' ? "e" : "?", previous);
	if (f->stops)
		f->journal->read(f->journal, 0, NULL);
}

static void on_caught_up(void *arg)
{
	note(arg, "caught up", 0);
}

static void on_replaced(void *arg)
{
	note(arg, "replaced", 0);
}

static void read_behind(struct fixture *f, uint64_t seq)
{
	const struct journal_reader reader = {on_entry, on_caught_up, on_replaced, f};
	f->is_calling = true;
	f->journal->read(f->journal, seq, &reader);
	f->is_calling = false;
}

static void on_last(void *arg, enum err result, const struct journal_end *end)
{
	struct fixture *f = arg;
	if (result == OK)
		buf_printf(&f->seen,
		    "%" PRIu64 " %" PRIu64 "-%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ",
		    end->journal, end->first, end->last, end->bytes, end->max_bytes,
		    end->max_entry);
	note(f, err_text(result), 0);
}

static void on_members(void *arg, enum err result, const struct journal_member *m, size_t count)
{
	struct fixture *f = arg;
	for (size_t i = 0; i < count; i++)
		buf_printf(&f->seen, "%s %" PRIu64 " %" PRId64 " %d %s,", m[i].name,
		    m[i].synced, m[i].told_ms, m[i].is_active, m[i].url);
	note(f, err_text(result), count);
}

static void pass(struct fixture *f)
{
	clock_expire();
	reactor_pass(f->reactor, false);
}

static void expect_told(struct fixture *f, const char *wanted)
{
	peer_say(f->peer, "PING\r\n"); /* all before it is read when this is answered */
	peer_expect(f->peer, "PONG\r\n");
	assert_string_equal(buf_cstr(&f->seen), wanted);
}

static void expect_nothing_told(struct fixture *f)
{
	assert_string_equal(buf_cstr(&f->seen), "");
}

/* Waits for what is told, though nothing is said. */
static void wait_told(struct fixture *f, unsigned count, const char *wanted)
{
	peer_wait(f->peer, &f->told, count);
	assert_string_equal(buf_cstr(&f->seen), wanted);
}

/* Waits for a question, whose body has to be `body`; `to` is where its answer goes. */
static void expect_question(struct fixture *f, const char *what, const char *body,
    char to[WORD_SIZE])
{
	char start[WORD_SIZE];
	char got[WORD_SIZE];
	(void)snprintf(start, sizeof(start), "PUB $JS.API.%s ", what);
	peer_expect_word(f->peer, start, " ", to, WORD_SIZE);
	peer_expect(f->peer, "\r\n");
	peer_expect_word(f->peer, "", "\r\n", got, sizeof(got));
	assert_string_equal(got, body);
}

static void say(struct fixture *f, const char *to, const char *json)
{
	peer_say_message(f->peer, to, 1, "", NULL, json);
}

static void say_status(struct fixture *f, const char *to, const char *status)
{
	char head[WORD_SIZE];
	(void)snprintf(head, sizeof(head), "NATS/1.0 %s\r\n\r\n", status);
	peer_say_message(f->peer, to, 1, "", head, "");
}

static void answer_info(struct fixture *f, const char *created, int first, int last)
{
	char to[WORD_SIZE];
	char json[WORD_SIZE];
	(void)snprintf(json, sizeof(json),
	    "{\"config\":{\"max_bytes\":5000},\"created\":\"%s\",\"state\":{\"messages\":%d,"
	    "\"bytes\":70,\"first_seq\":%d,\"last_seq\":%d}}",
	    created, last == 0 ? 0 : last - first + 1, first, last);
	expect_question(f, "STREAM.INFO.WAYBILL_s", "", to);
	say(f, to, json);
}

static void start(struct fixture *f)
{
	f->journal = js_journal_new(&f->conf);
	peer_welcome(f->peer);
	answer_info(f, CREATED, 1, 4);
}

/* Waits for the append behind 4; `to` is where its answer goes. */
static void expect_append(struct fixture *f, char to[WORD_SIZE])
{
	char headers[WORD_SIZE];
	peer_expect_word(f->peer, "HPUB waybill.s.journal ", " ", to, WORD_SIZE);
	peer_expect(f->peer, "\r\nNATS/1.0\r\n");
	peer_expect_word(f->peer, "", "\r\n\r\n", headers, sizeof(headers));
	assert_string_equal(headers,
	    "Nats-Msg-Id: 5-" ENTRY_ID_END "\r\nNats-Expected-Last-Sequence: 4\r\n"
	    "Nats-Expected-Stream: WAYBILL_s");
	peer_expect(f->peer, ENTRY "\r\n");
}

static void answer_append(struct fixture *f, const char *json)
{
	char to[WORD_SIZE];
	expect_append(f, to);
	say(f, to, json);
}

/* What a server says of another last sequence; what it has is asked for at once. */
#define REFUSED(code, words)                                                                   \
	"{\"error\":{\"code\":400,\"err_code\":" code ",\"description\":\"" words "\"}}"
#define WRONG REFUSED("10071", "wrong last sequence: 5")
#define UNTOLD REFUSED("10164", "wrong last sequence")
#define FULL REFUSED("10077", "maximum bytes exceeded")
#define TAKEN "{\"stream\":\"WAYBILL_s\",\"seq\":5}"

static void answer_look(struct fixture *f, int seq, const char *payload)
{
	char to[WORD_SIZE];
	char head[WORD_SIZE];
	expect_question(f, "DIRECT.GET.WAYBILL_s", "{\"seq\":5}", to);
	(void)snprintf(head, sizeof(head),
	    "NATS/1.0\r\nNats-Stream: WAYBILL_s\r\nNats-Sequence: %d\r\n\r\n", seq);
	if (payload == NULL)
		say_status(f, to, "404 Message Not Found");
	else
		peer_say_message(f->peer, to, 1, "", head, payload);
}

static const char *why(struct fixture *f)
{
	const char *text = NULL;
	return f->journal->is_up(f->journal, &text) ? "up" : text;
}

/* Waits until this is why it is not up. */
static void wait_why(struct fixture *f, const char *wanted)
{
	int64_t end_ms = clock_mono_ms() + PEER_PATIENCE_MS;
	while (strcmp(why(f), wanted) != 0) {
		pass(f);
		assert_true(clock_mono_ms() < end_ms);
	}
}

static void test_an_append_is_taken(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	assert_string_equal(why(f), "the server has not told of the stream yet");
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
	assert_string_equal(why(f), "up");
}

static void test_appends_follow_upon_each_other(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	f->chained = 1;
	append(f, 4);
	answer_append(f, TAKEN);
	peer_expect_word(f->peer, "HPUB waybill.s.journal ", " ", to, sizeof(to));
	peer_expect(f->peer, "Nats-Expected-Last-Sequence: 5\r\n");
	peer_expect(f->peer, ENTRY "\r\n");
	say(f, to, "{\"stream\":\"WAYBILL_s\",\"seq\":6}");
	expect_told(f, "ok 5,ok 6,");
}

static void test_a_duplicate_at_its_place_is_ours(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, "{\"stream\":\"WAYBILL_s\",\"seq\":5,\"duplicate\":true}");
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_a_duplicate_of_anothers_is_not(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, "{\"stream\":\"WAYBILL_s\",\"seq\":5,\"duplicate\":true}");
	answer_look(f, 5, "E" ENTRY); /* whose end is the same */
	expect_told(f, "in conflict 5,");
}

static void test_one_that_stands_elsewhere_is_looked_for_at_its_place(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, "{\"stream\":\"WAYBILL_s\",\"seq\":7}");
	answer_look(f, 5, "entry-of-somebody-else");
	expect_told(f, "in conflict 5,");
}

static void test_another_last_sequence_and_ours_stands(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_another_last_sequence_and_anothers_stands(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, UNTOLD);
	answer_look(f, 5, "entry-0123456789abcdeX");
	expect_told(f, "in conflict 5,");
}

static void test_an_entry_at_another_place_is_no_answer(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	answer_look(f, 6, "entry-of-somebody-else");
	answer_info(f, CREATED, 1, 6);
	answer_append(f, WRONG);
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_a_place_that_is_empty_is_no_answer(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	for (int i = 0; i < 3; i++) { /* what was under way there may be lost with its leader */
		answer_append(f, WRONG);
		answer_look(f, 5, NULL);
		answer_info(f, CREATED, 1, i == 0 ? 5 : 4);
	}
	expect_nothing_told(f);
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
}

static void test_a_place_that_was_dropped_is_lost(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	answer_look(f, 5, NULL);
	answer_info(f, CREATED, 6, 9);
	expect_told(f, "in conflict 5,");
}

static void test_a_journal_that_has_lost_entries(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	answer_look(f, 5, NULL);
	answer_info(f, CREATED, 1, 2);
	wait_why(f, "the journal ends at 2, before 4, which was there: it has lost entries");
	expect_nothing_told(f);
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
	assert_string_equal(why(f), "up");
}

static void test_answers_to_a_look_that_are_none(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	expect_question(f, "DIRECT.GET.WAYBILL_s", "{\"seq\":5}", to);
	say_status(f, to, "503");
	answer_append(f, WRONG);
	answer_look(f, 5, NULL);
	expect_question(f, "STREAM.INFO.WAYBILL_s", "", to);
	say(f, to, REFUSED("10008", "unavailable"));
	answer_append(f, WRONG);
	answer_look(f, 5, NULL);
	expect_question(f, "STREAM.INFO.WAYBILL_s", "", to);
	say(f, to, "{\"odd\":1}");
	answer_append(f, WRONG);
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_no_answer_is_asked_for_again(void **state)
{
	struct fixture *f = *state;
	char first[WORD_SIZE];
	char second[WORD_SIZE];
	f->times.reader.answer_ms = 200; /* more than the peer's Nagle takes */
	start(f);
	append(f, 4);
	expect_append(f, first);
	expect_append(f, second); /* the very same, under the same id */
	assert_string_not_equal(first, second);
	assert_string_equal(why(f), "the server's JetStream does not answer");
	f->times.reader.answer_ms = NEVER_MS;
	say(f, first, WRONG); /* late: nobody asks for it any more */
	say(f, second, TAKEN);
	say(f, second, TAKEN);
	expect_told(f, "ok 5,");
	assert_string_equal(why(f), "up");
}

static void test_a_connection_lost_in_an_append(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	append(f, 4);
	expect_append(f, to);
	peer_hang_up(f->peer);
	peer_welcome(f->peer);
	expect_nothing_told(f);
	answer_info(f, CREATED, 1, 5);
	answer_append(f, WRONG);
	peer_hang_up(f->peer); /* in the look */
	peer_welcome(f->peer);
	answer_info(f, CREATED, 1, 5);
	answer_append(f, WRONG);
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_an_append_before_the_server_is_there(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	f->journal = js_journal_new(&f->conf);
	assert_string_equal(why(f), "not connected yet");
	append(f, 4);
	peer_welcome(f->peer);
	expect_question(f, "STREAM.INFO.WAYBILL_s", "", to);
	say(f, to, REFUSED("10059", "stream not found"));
	expect_question(f, "STREAM.INFO.WAYBILL_s", "", to);
	wait_why(f, "stream not found");
	say(f, to, "{}");
	answer_info(f, CREATED, 1, 4);
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
}

static void test_a_full_journal_is_no_answer(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, FULL);
	answer_append(f, FULL);
	expect_nothing_told(f);
	wait_why(f, "maximum bytes exceeded");
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
	assert_string_equal(why(f), "up");
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	append(f, 4);
	expect_append(f, to);
	say_status(f, to, "503");
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
}

static void test_an_entry_that_the_server_would_not_take(void **state)
{
	struct fixture *f = *state;
	char *large = repeat('x', 1000);
	start(f);
	f->journal->append(f->journal, 4, slice_of(large), on_appended, f);
	wait_why(f, "the server's max_payload is below an entry");
	f->journal->free(f->journal);
	f->journal = NULL;
	free(large);
}

static void test_a_journal_made_anew(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	read_behind(f, 4);
	answer_info(f, CREATED, 1, 4);
	peer_expect(f->peer, "PUB $JS.API.CONSUMER.CREATE.WAYBILL_s.m1-");
	append(f, 4);
	expect_append(f, to);
	peer_hang_up(f->peer);
	peer_welcome(f->peer);
	answer_info(f, ANEW, 1, 4);
	expect_told(f, "in conflict 5,replaced 0,");
	assert_string_equal(why(f), "the journal was made anew: this is another one");
	append(f, 4); /* told from the loop */
	wait_told(f, 3, "in conflict 5,replaced 0,in conflict 5,");
	read_behind(f, 4);
	wait_told(f, 4, "in conflict 5,replaced 0,in conflict 5,replaced 0,");
	buf_reset(&f->seen);
	f->journal->last(f->journal, on_last, f); /* of the one that there is */
	answer_info(f, ANEW, 1, 4);
	expect_told(f, "1767312000000 1-4 70 5000 488 ok 0,");
}

static void test_an_append_finds_the_journal_made_anew(void **state)
{
	struct fixture *f = *state;
	start(f);
	append(f, 4);
	answer_append(f, WRONG);
	answer_look(f, 5, NULL);
	answer_info(f, ANEW, 1, 4);
	expect_told(f, "in conflict 5,");
}

/* Goes through all that comes before a pull, and the pull. */
static void bind_behind(struct fixture *f, int seq, int first, int last, const char *created)
{
	char to[WORD_SIZE];
	char body[WORD_SIZE];
	char wanted[WORD_SIZE];
	answer_info(f, CREATED, first, last);
	peer_expect(f->peer, "PUB $JS.API.CONSUMER.CREATE.WAYBILL_s.m1-");
	peer_expect_word(f->peer, " ", " ", to, sizeof(to));
	peer_expect(f->peer, "\"deliver_policy\":");
	peer_expect_word(f->peer, "", "\r\n", body, sizeof(body));
	(void)snprintf(wanted, sizeof(wanted),
	    "\"by_start_sequence\",\"opt_start_seq\":%d,\"ack_policy\":\"none\","
	    "\"mem_storage\":true,\"num_replicas\":1,\"inactive_threshold\":30000000000}}",
	    seq + 1);
	assert_string_equal(body, wanted);
	say(f, to, created);
}

static void expect_pull(struct fixture *f)
{
	peer_expect_word(f->peer, "SUB _INBOX.", " ", f->to, sizeof(f->to));
	peer_expect_word(f->peer, "", "\r\n", f->sid, sizeof(f->sid));
	peer_expect(f->peer, "PUB $JS.API.CONSUMER.MSG.NEXT.WAYBILL_s.m1-");
	peer_expect(f->peer,
	    "{\"batch\":1024,\"max_bytes\":12582912,\"expires\":3000000000,"
	    "\"idle_heartbeat\":30000000000}\r\n");
}

static void deliver(struct fixture *f, int seq, int delivery, int pending)
{
	char reply[WORD_SIZE];
	(void)snprintf(reply, sizeof(reply), "$JS.ACK.WAYBILL_s.m1-x.1.%d.%d.1234567999999.%d",
	    seq, delivery, pending);
	peer_say_message(f->peer, "waybill.s.journal", strtoull(f->sid, NULL, 10), reply, NULL,
	    "e");
}

static void say_pull(struct fixture *f, const char *status)
{
	char head[WORD_SIZE];
	(void)snprintf(head, sizeof(head), "NATS/1.0 %s\r\n\r\n", status);
	peer_say_message(f->peer, f->to, strtoull(f->sid, NULL, 10), "", head, "");
}

static void test_entries_are_read_in_order(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 1);
	bind_behind(f, 1, 1, 4, "{\"num_pending\":3}");
	expect_pull(f);
	deliver(f, 2, 1, 2);
	deliver(f, 3, 2, 1);
	expect_told(f, "2 behind e 1,3 behind e 2,");
	deliver(f, 4, 3, 0);
	say_pull(f, "100 Idle Heartbeat"); /* it is said once */
	deliver(f, 5, 4, 1);
	say_pull(f, "100 Idle Heartbeat");
	expect_told(f,
	    "2 behind e 1,3 behind e 2,4 behind e 3,caught up 0,5 behind e 4,"
	    "caught up 0,");
}

static void test_there_is_nothing_to_read(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 4);
	bind_behind(f, 4, 1, 4, "{\"num_pending\":0}");
	expect_pull(f);
	expect_told(f, "caught up 0,");
}

static void test_an_entry_that_is_missing_is_shown(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 1);
	bind_behind(f, 1, 7, 8, "{\"num_pending\":2}");
	expect_pull(f);
	deliver(f, 7, 1, 1);
	deliver(f, 8, 2, 0);
	expect_told(f, "7 behind e 1,8 behind e 7,caught up 0,");
}

static void test_all_that_is_missing_is_not_caught_up_with(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 4);
	bind_behind(f, 4, 10, 9, "{\"num_pending\":0}"); /* trimmed up to its last */
	expect_pull(f);
	say_pull(f, "100 Idle Heartbeat");
	expect_told(f, "");
	deliver(f, 10, 1, 0);
	expect_told(f, "10 behind e 4,caught up 0,");
}

static void test_a_delivery_that_does_not_come(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 1);
	bind_behind(f, 1, 1, 4, "{\"num_pending\":3}");
	expect_pull(f);
	deliver(f, 2, 1, 2);
	deliver(f, 4, 3, 0);
	bind_behind(f, 2, 1, 4, "{\"num_pending\":2}");
	expect_pull(f);
	deliver(f, 3, 1, 1);
	deliver(f, 4, 2, 0);
	expect_told(f, "2 behind e 1,3 behind e 2,4 behind e 3,caught up 0,");
}

static void test_an_entry_does_not_come_twice(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 1);
	bind_behind(f, 1, 1, 4, "{\"num_pending\":3}");
	expect_pull(f);
	deliver(f, 2, 1, 2);
	deliver(f, 2, 2, 2);
	bind_behind(f, 2, 1, 4, "{\"num_pending\":2}");
	expect_told(f, "2 behind e 1,");
}

static void test_pulls_end(void **state)
{
	struct fixture *f = *state;
	static const char *const ENDS[] = {"408 Request Timeout", "404 No Messages",
	    "409 Batch Completed", "409 Message Size Exceeds MaxBytes"};
	start(f);
	read_behind(f, 0);
	bind_behind(f, 0, 1, 4, "{\"num_pending\":9}");
	for (int i = 0; i < 4; i++) {
		expect_pull(f);
		deliver(f, i + 1, i + 1, 9 - i);
		say_pull(f, ENDS[i]);
	}
	expect_pull(f);
	say_pull(f, "409 Batch Completed"); /* empty, and at once: it would be without end */
	bind_behind(f, 4, 1, 9, "{\"num_pending\":5}");
	expect_pull(f);
	say_pull(f, "409 Consumer Deleted");
	bind_behind(f, 4, 1, 9, "{\"num_pending\":5}");
	expect_pull(f);
	say_pull(f, "503");
	bind_behind(f, 4, 1, 9, "{\"num_pending\":5}");
	expect_pull(f);
	expect_told(f, "1 behind e 0,2 behind e 1,3 behind e 2,4 behind e 3,");
}

static void test_a_pull_of_which_nothing_is_heard(void **state)
{
	struct fixture *f = *state;
	f->times.reader.beat_ms = 10;
	f->times.reader.expires_ms = 60;
	start(f);
	read_behind(f, 4);
	bind_behind(f, 4, 1, 4, "{\"num_pending\":0}");
	bind_behind(f, 4, 1, 4, "{\"num_pending\":0}");
	expect_told(f, "caught up 0,");
}

static void test_a_server_that_is_behind_is_not_another_journal(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 9);
	answer_info(f, CREATED, 1, 4);
	answer_info(f, CREATED, 1, 8);
	wait_why(f,
	    "the journal ends at 8, before 9, which was read: it has lost entries, or a "
	    "server that is behind has answered");
	expect_nothing_told(f);
	bind_behind(f, 9, 1, 9, "{\"num_pending\":0}");
	expect_pull(f);
	expect_told(f, "caught up 0,");
	assert_string_equal(why(f), "up");
}

static void test_a_connection_lost_while_it_reads(void **state)
{
	struct fixture *f = *state;
	start(f);
	read_behind(f, 1);
	bind_behind(f, 1, 1, 4, "{\"num_pending\":3}");
	expect_pull(f);
	deliver(f, 2, 1, 2);
	expect_told(f, "2 behind e 1,");
	peer_hang_up(f->peer);
	peer_welcome(f->peer);
	answer_info(f, CREATED, 1, 4);
	bind_behind(f, 2, 1, 4, "{\"num_pending\":2}");
	expect_pull(f);
	deliver(f, 3, 1, 1);
	expect_told(f, "2 behind e 1,3 behind e 2,");
}

static void test_reading_stops(void **state)
{
	struct fixture *f = *state;
	f->stops = true;
	start(f);
	read_behind(f, 3);
	bind_behind(f, 3, 1, 4, "{\"num_pending\":1}");
	expect_pull(f);
	deliver(f, 4, 1, 0);
	deliver(f, 5, 2, 0);
	peer_expect(f->peer, "UNSUB ");
	expect_told(f, "4 behind e 3,");
	f->stops = false;
	read_behind(f, 2); /* from anywhere */
	bind_behind(f, 2, 1, 4, "{\"num_pending\":2}");
	expect_pull(f);
	deliver(f, 3, 1, 1);
	expect_told(f, "4 behind e 3,3 behind e 2,");
}

static void test_where_it_ends(void **state)
{
	struct fixture *f = *state;
	start(f);
	f->journal->last(f->journal, on_last, f);
	answer_info(f, CREATED, 3, 4);
	expect_told(f, "1767225600000 3-4 70 5000 488 ok 0,");
	buf_reset(&f->seen);
	f->journal->last(f->journal, on_last, f);
	answer_info(f, CREATED, 0, 0); /* as one is that is new */
	expect_told(f, "1767225600000 1-0 70 5000 488 ok 0,");
	buf_reset(&f->seen);
	f->journal->last(f->journal, on_last, f);
	peer_expect(f->peer, "STREAM.INFO.WAYBILL_s ");
	peer_hang_up(f->peer);
	wait_told(f, 3, "busy 0,");
	f->journal->last(f->journal, on_last, f); /* nobody is there */
	wait_told(f, 4, "busy 0,busy 0,");
}

static void test_trimming(void **state)
{
	struct fixture *f = *state;
	char to[WORD_SIZE];
	start(f);
	append(f, 4);
	answer_append(f, TAKEN);
	f->journal->trim(f->journal, 3);
	f->journal->trim(f->journal, 2); /* less than is asked for already */
	f->journal->trim(f->journal, 4); /* when that is answered */
	expect_question(f, "STREAM.PURGE.WAYBILL_s", "{\"seq\":4}", to);
	expect_told(f, "ok 5,");
	assert_int_equal(f->peer->got.len, 0);
	say(f, to, "{\"success\":true,\"purged\":3}");
	expect_question(f, "STREAM.PURGE.WAYBILL_s", "{\"seq\":5}", to);
	peer_hang_up(f->peer); /* it is dropped on the next connection */
	peer_welcome(f->peer);
	answer_info(f, CREATED, 4, 5);
	expect_question(f, "STREAM.PURGE.WAYBILL_s", "{\"seq\":5}", to);
	say(f, to, "{\"error\":{\"code\":500,\"description\":\"no\"}}");
	expect_told(f, "ok 5,");
	f->journal->trim(f->journal, 1);
	expect_question(f, "STREAM.PURGE.WAYBILL_s", "{\"seq\":5}", to);
	say(f, to, "{\"success\":true}");
	expect_told(f, "ok 5,");
}

static void answer_member(struct fixture *f, int from, int seq, const char *name,
    const char *data)
{
	char to[WORD_SIZE];
	char json[WORD_SIZE];
	char body[WORD_SIZE];
	(void)snprintf(body, sizeof(body),
	    "{\"seq\":%d,\"next_by_subj\":\"waybill.s.members.*\"}", from);
	expect_question(f, "STREAM.MSG.GET.WAYBILL_s_MEMBERS", body, to);
	(void)snprintf(json, sizeof(json),
	    "{\"message\":{\"subject\":\"waybill.s.members.%s\",\"seq\":%d,\"data\":\"%s\","
	    "\"time\":\"2026-01-01T00:00:%02dZ\"}}",
	    name, seq, data, seq % 60);
	say(f, to,
	    seq > 0 ? json
		    : "{\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"none\"}}");
}

#define TOLD_5 "eyJzeW5jZWQiOjUsImFjdGl2ZSI6dHJ1ZSwidXJsIjoiaHR0cDovL3gifQ=="
#define TOLD_7 "eyJzeW5jZWQiOjcsImFjdGl2ZSI6ZmFsc2UsInVybCI6IiJ9"

static void test_members_are_asked_for(void **state)
{
	struct fixture *f = *state;
	const struct journal_member me = {.name = "m1",
	    .synced = 5,
	    .is_active = true,
	    .url = "http://x"};
	start(f);
	append(f, 4);
	answer_append(f, TAKEN);
	expect_told(f, "ok 5,");
	buf_reset(&f->seen);
	f->journal->tell(f->journal, &me);
	peer_expect(f->peer,
	    "PUB waybill.s.members.m1 43\r\n"
	    "{\"synced\":5,\"active\":true,\"url\":\"http://x\"}\r\n");
	f->journal->members(f->journal, on_members, f);
	answer_member(f, 1, 3, "m1", TOLD_5);
	answer_member(f, 4, 8, "m2", TOLD_5);
	answer_member(f, 9, 9, "junk", "e30="); /* {} */
	answer_member(f, 10, 11, "junk", "###");
	answer_member(f, 12, 12, "m2", TOLD_7); /* it has told anew */
	answer_member(f, 13, 0, "", "");
	expect_told(f, "m1 5 1767225603000 1 http://x,m2 7 1767225612000 0 ,ok 2,");
	f->journal->members(f->journal, on_members, f);
	char name[] = "a"; /* more than there can be: who told last counts */
	for (int seq = 1; seq <= 9; seq++, name[0]++)
		answer_member(f, seq, seq, name, TOLD_7);
	answer_member(f, 10, 0, "", "");
	peer_wait(f->peer, &f->told, 3);
	assert_non_null(strstr(buf_cstr(&f->seen), "i 7 1767225609000 0 ,b 7 "));
}

static void test_members_without_end(void **state)
{
	struct fixture *f = *state;
	start(f);
	f->journal->members(f->journal, on_members, f);
	for (int i = 1; i <= 16 * JOURNAL_MEMBERS_MAX; i++)
		answer_member(f, i, i, "m1", TOLD_5);
	expect_told(f, "busy 0,");
	f->journal->members(f->journal, on_members, f);
	answer_member(f, 1, 5, "m1", TOLD_5);
	answer_member(f, 6, 5, "m1", TOLD_5); /* one of before */
	expect_told(f, "busy 0,busy 0,");
	f->journal->members(f->journal, on_members, f);
	peer_expect(f->peer, "STREAM.MSG.GET.");
	peer_hang_up(f->peer);
	wait_told(f, 3, "busy 0,busy 0,busy 0,");
	f->journal->members(f->journal, on_members, f);
	wait_told(f, 4, "busy 0,busy 0,busy 0,busy 0,");
}

static void test_a_server_that_answers_nothing_is_left(void **state)
{
	struct fixture *f = *state;
	struct peer *other = peer_new(f->reactor);
	char to[WORD_SIZE];
	f->servers[1] = other->address;
	f->conf.nats.server_count = 2;
	f->times.leave_ms = 50;
	f->times.reader.answer_ms = 20;
	start(f);
	append(f, 4);
	expect_append(f, to);
	peer_wait(other, &other->accepted, 1);
	f->times.reader.answer_ms = NEVER_MS;
	f->times.leave_ms = NEVER_MS;
	peer_free(f->peer);
	f->peer = other;
	peer_welcome(other);
	answer_info(f, CREATED, 1, 5);
	answer_append(f, "{\"stream\":\"WAYBILL_s\",\"seq\":5,\"duplicate\":true}");
	answer_look(f, 5, ENTRY);
	expect_told(f, "ok 5,");
}

static void test_all_is_under_way_when_it_ends(void **state)
{
	struct fixture *f = *state;
	const struct journal_member me = {.name = "m1"};
	start(f);
	append(f, 4);
	read_behind(f, 4);
	f->journal->last(f->journal, on_last, f);
	f->journal->members(f->journal, on_members, f);
	f->journal->trim(f->journal, 1);
	f->journal->tell(f->journal, &me);
	peer_expect(f->peer, "STREAM.MSG.GET."); /* the last to be asked */
	f->journal->free(f->journal);
	f->journal = NULL;
	peer_wait(f->peer, &f->peer->accepted, 1);
	assert_string_equal(buf_cstr(&f->seen), "");
	f->journal = js_journal_new(&f->conf); /* and before anybody is there */
	append(f, 4);
	read_behind(f, 4);
	f->journal->last(f->journal, on_last, f);
	f->journal->members(f->journal, on_members, f);
}

#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JOURNAL_TEST(test_an_append_is_taken),
	    JOURNAL_TEST(test_appends_follow_upon_each_other),
	    JOURNAL_TEST(test_a_duplicate_at_its_place_is_ours),
	    JOURNAL_TEST(test_a_duplicate_of_anothers_is_not),
	    JOURNAL_TEST(test_one_that_stands_elsewhere_is_looked_for_at_its_place),
	    JOURNAL_TEST(test_another_last_sequence_and_ours_stands),
	    JOURNAL_TEST(test_another_last_sequence_and_anothers_stands),
	    JOURNAL_TEST(test_an_entry_at_another_place_is_no_answer),
	    JOURNAL_TEST(test_a_place_that_is_empty_is_no_answer),
	    JOURNAL_TEST(test_a_place_that_was_dropped_is_lost),
	    JOURNAL_TEST(test_a_journal_that_has_lost_entries),
	    JOURNAL_TEST(test_answers_to_a_look_that_are_none),
	    JOURNAL_TEST(test_no_answer_is_asked_for_again),
	    JOURNAL_TEST(test_a_connection_lost_in_an_append),
	    JOURNAL_TEST(test_an_append_before_the_server_is_there),
	    JOURNAL_TEST(test_a_full_journal_is_no_answer),
	    JOURNAL_TEST(test_nobody_listens),
	    JOURNAL_TEST(test_an_entry_that_the_server_would_not_take),
	    JOURNAL_TEST(test_a_journal_made_anew),
	    JOURNAL_TEST(test_an_append_finds_the_journal_made_anew),
	    JOURNAL_TEST(test_entries_are_read_in_order),
	    JOURNAL_TEST(test_there_is_nothing_to_read),
	    JOURNAL_TEST(test_an_entry_that_is_missing_is_shown),
	    JOURNAL_TEST(test_all_that_is_missing_is_not_caught_up_with),
	    JOURNAL_TEST(test_a_delivery_that_does_not_come),
	    JOURNAL_TEST(test_an_entry_does_not_come_twice),
	    JOURNAL_TEST(test_pulls_end),
	    JOURNAL_TEST(test_a_pull_of_which_nothing_is_heard),
	    JOURNAL_TEST(test_a_server_that_is_behind_is_not_another_journal),
	    JOURNAL_TEST(test_a_connection_lost_while_it_reads),
	    JOURNAL_TEST(test_reading_stops),
	    JOURNAL_TEST(test_where_it_ends),
	    JOURNAL_TEST(test_trimming),
	    JOURNAL_TEST(test_members_are_asked_for),
	    JOURNAL_TEST(test_members_without_end),
	    JOURNAL_TEST(test_a_server_that_answers_nothing_is_left),
	    JOURNAL_TEST(test_all_is_under_way_when_it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
