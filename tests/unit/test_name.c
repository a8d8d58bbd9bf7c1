/* Names: the alphabets and lengths of sessions and events, and the contract's list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/percent.h"
#include "domain/name.h"
#include "support.h"

/* docs/api.md, word by word. */
static const char CONTRACT[] =
    "all message receipt presence chat_presence group_update joined_group qr_code pair_code "
    "connected disconnected logged_out picture_update user_about_update push_name_update "
    "contact_update device_list_update pin_update mute_update archive_update "
    "mark_chat_as_read undecryptable_message client_outdated offline_sync_preview "
    "offline_sync_completed scheduled_sent scheduled_failed blast_progress blast_completed "
    "account_locked call_log_sync stream_error enc_decrypt_failed incoming_call send_result";

static void test_events_are_the_contracts(void **state)
{
	(void)state;
	struct buf joined = BUF_INIT(4096);
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++)
		buf_printf(&joined, "%s%s", i > 0 ? " " : "", NAME_EVENTS[i]);
	assert_string_equal(buf_cstr(&joined), CONTRACT);
	buf_fini(&joined);
}

/* Expects a name of `len` times the byte `c` to be `session` or not, `event` or not. */
static void expect(char c, size_t len, bool session, bool event)
{
	char text[SESSION_MAX + 1];
	memset(text, c, len);
	const struct slice s = {text, len};
	if (name_is_session(s) != session || name_is_event(s) != event)
		fail_msg("byte 0x%02x, %zu times", (unsigned char)c, len);
}

static void test_every_byte(void **state)
{
	(void)state;
	for (int i = 0; i < 256; i++) {
		char c = (char)i;
		bool lower = i != 0 &&
		    strchr("abcdefghijklmnopqrstuvwxyz0123456789_.", i) != NULL;
		/* "*" alone is no session, three of them are */
		expect(c, 1, i >= ' ' && i < 0x7f && c != '*', lower);
		expect(c, 3, i >= ' ' && i < 0x7f, lower);
	}
}

static void test_folded(void **state)
{
	(void)state;
	assert_true(name_is_folded(SLICE(".")));
	assert_true(name_is_folded(SLICE("..")));
	assert_false(name_is_folded(SLICE("...")));
	assert_false(name_is_folded(SLICE(".a")));
	assert_false(name_is_folded(SLICE("")));
	assert_true(name_is_session(SLICE(".."))); /* what lies in stores stays one */
}

static void test_lengths(void **state)
{
	(void)state;
	expect('a', 0, false, false);
	expect('a', EVENT_MAX, true, true);
	expect('a', EVENT_MAX + 1, true, false);
	expect('a', SESSION_MAX, true, false);
	expect('a', SESSION_MAX + 1, false, false);
}

static void test_last_byte_counts(void **state)
{
	(void)state;
	assert_false(name_is_session(SLICE("session\n")));
	assert_false(name_is_session(SLICE("session\0")));
	assert_false(name_is_session(SLICE("session\303")));
	assert_false(name_is_event(SLICE("message-")));
	assert_false(name_is_event(SLICE("message\0")));
}

static const struct {
	struct slice text;
	bool good;
} SESSIONS[] = {
    {SLICE_INIT("Loja S\303\243o Paulo"), true},
    {SLICE_INIT("628123456789@s.whatsapp.net"), true},
    {SLICE_INIT("\360\237\223\261"), true}, /* U+1F4F1 */
    {SLICE_INIT("say \"hi\" \\ 100% a+b/c,d=e#f?g&h*"), true},
    {SLICE_INIT(" "), true},
    {SLICE_INIT(".a"), true},
    {SLICE_INIT("%2e"), true},
    {SLICE_INIT("..."), true},
    {SLICE_INIT("\302\240"), true},     /* U+00A0: no control */
    {SLICE_INIT("\342\200\256"), true}, /* U+202E: a name may have it, a terminal not */
    {SLICE_INIT("."), true},            /* of before; name_is_folded() */
    {SLICE_INIT(".."), true},
    {SLICE_INIT("*"), false},
    {SLICE_INIT("**"), true},
    {SLICE_INIT("a\302\200"), false}, /* U+0080 */
    {SLICE_INIT("\302\237z"), false}, /* U+009F */
    {SLICE_INIT("a\177"), false},
    {SLICE_INIT("a\377"), false},
    {SLICE_INIT("\300\257"), false},     /* overlong "/" */
    {SLICE_INIT("\355\240\200"), false}, /* U+D800 */
    {SLICE_INIT("\364\220\200\200"), false},
};

static void test_sessions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(SESSIONS); i++) {
		if (name_is_session(SESSIONS[i].text) != SESSIONS[i].good)
			fail_msg("row %zu", i);
	}
}

/* A store has those, and all. */
static void test_webhooks(void **state)
{
	(void)state;
	static const char *const GOOD[] = {"a", "A-b_c.9", "-", "...", "DLQ", "dlq2", "all.",
	    "0193a1de-7c4b-7000-8000-00000000000",
	    "a123456789012345678901234567890123456789"
	    "012345678901234567890123"};
	static const char *const BAD[] = {"", ".", "..", "dlq", "all", "a/b", "a b", "a%20",
	    "*", "\303\274", "0193a1de-7c4b-7000-8000-000000000000",
	    "0193A1DE-7C4B-7000-8000-000000000000",
	    "a123456789012345678901234567890123456789"
	    "0123456789012345678901234"};
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		if (!name_is_webhook(slice_of(GOOD[i])))
			fail_msg("%s", GOOD[i]);
	}
	for (size_t i = 0; i < COUNT(BAD); i++) {
		if (name_is_webhook(slice_of(BAD[i])))
			fail_msg("%s", BAD[i]);
	}
}

static void test_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(SESSIONS); i++) {
		bool is_all = slice_eq(SESSIONS[i].text, SLICE(SESSION_ALL));
		if (name_is_kept(SESSIONS[i].text) != (SESSIONS[i].good || is_all))
			fail_msg("row %zu", i);
	}
	assert_false(name_is_kept(SLICE("")));
}

/* What a list has comes out as it was meant, and is judged decoded. */
static void test_sessions_of_lists(void **state)
{
	(void)state;
	char out[SESSION_MAX + 1];
	char longest[3 * SESSION_MAX + 3];
	for (size_t i = 0; i < COUNT(SESSIONS); i++) {
		struct buf written = BUF_INIT(PERCENT_GROWTH * SESSION_MAX);
		percent_put(&written, SESSIONS[i].text);
		enum err err = name_read_session(buf_view(&written), out);
		if ((err == OK) != SESSIONS[i].good)
			fail_msg("row %zu: %d", i, (int)err);
		if (err == OK)
			assert_true(slice_eq(slice_of(out), SESSIONS[i].text));
		buf_fini(&written);
	}
	for (size_t i = 0; i < sizeof(longest); i += 3)
		memcpy(longest + i, "%7e", 3);
	assert_int_equal(name_read_session((struct slice){longest, 3 * SESSION_MAX}, out), OK);
	assert_int_equal(name_read_session((struct slice){longest, 3 * SESSION_MAX + 3}, out),
	    ERR_INVALID);
	assert_int_equal(name_read_session(SLICE("100%"), out), ERR_INVALID);
	assert_int_equal(name_read_session(SLICE("a%00"), out), ERR_INVALID);
	assert_int_equal(name_read_session(SLICE("%2A"), out), ERR_INVALID);
	assert_int_equal(name_read_session(SLICE(""), out), ERR_INVALID);
}

/* What others call their sessions stays as it is where it can. */
static void test_put_session(void **state)
{
	(void)state;
	static const struct {
		struct slice given;
		const char *made; /* "": nothing */
	} ROWS[] = {
	    {SLICE_INIT("Loja S\303\243o Paulo"), "Loja S\303\243o Paulo"},
	    {SLICE_INIT("628@s.whatsapp.net"), "628@s.whatsapp.net"},
	    {SLICE_INIT("a\nb\0c\177"), "a_b_c_"},
	    {SLICE_INIT("a\302\205\377"), "a___"},
	    {SLICE_INIT("."), "_"},
	    {SLICE_INIT(".."), "_."},
	    {SLICE_INIT("*"), "_"},
	    {SLICE_INIT("..."), "..."},
	    {SLICE_INIT(""), ""},
	};
	char out[SESSION_MAX + 1];
	char longer[SESSION_MAX + 2];
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (name_put_session(ROWS[i].given, out) != (ROWS[i].made[0] != '\0') ||
		    strcmp(out, ROWS[i].made) != 0)
			fail_msg("row %zu: %s", i, out);
	}
	memset(longer, 'x', sizeof(longer));
	memcpy(longer + SESSION_MAX - 1, "\303\251", 2); /* a character over the end */
	assert_true(name_put_session((struct slice){longer, sizeof(longer)}, out));
	assert_int_equal(strlen(out), SESSION_MAX - 1);
}

static void test_subscribable(void **state)
{
	(void)state;
	char one[] = "order.paid";
	char two[] = "order.sent";
	char *const extra[] = {one, two};
	assert_true(name_is_subscribable(SLICE("all"), NULL, 0));
	assert_true(name_is_subscribable(SLICE("send_result"), NULL, 0));
	assert_false(name_is_subscribable(SLICE("order.sent"), NULL, 0));
	assert_false(name_is_subscribable(SLICE("order.sent"), extra, 1));
	assert_true(name_is_subscribable(SLICE("order.sent"), extra, 2));
	assert_true(name_is_subscribable(SLICE("all"), extra, 2));
	assert_false(name_is_subscribable(SLICE("message "), extra, 2));
	assert_false(name_is_subscribable(SLICE("messag"), extra, 2));
	assert_false(name_is_subscribable(SLICE("Message"), extra, 2));
	assert_false(name_is_subscribable(SLICE(""), extra, 2));
}

static void test_patterns(void **state)
{
	(void)state;
	char one[] = "order.paid";
	char *const extra[] = {one};
	assert_true(name_is_subscribable(SLICE("group_*"), NULL, 0));
	assert_true(name_is_subscribable(SLICE("message*"), NULL, 0));
	assert_true(name_is_subscribable(SLICE("order.*"), extra, 1));
	assert_false(name_is_subscribable(SLICE("order.*"), NULL, 0));
	assert_false(name_is_subscribable(SLICE("all*"), NULL, 0));
	assert_true(name_is_pattern(SLICE("a")));
	assert_true(name_is_pattern(SLICE("a*")));
	assert_false(name_is_pattern(SLICE("*")));
	assert_false(name_is_pattern(SLICE("a**")));
	assert_false(name_is_pattern(SLICE("a*b")));
}

static void test_covered(void **state)
{
	(void)state;
	static const struct {
		const char *patterns[2]; /* up to a NULL */
		struct slice event;
		bool is_covered;
	} ROWS[] = {
	    {{"all", NULL}, SLICE_INIT("message"), true},
	    {{"all", NULL}, SLICE_INIT("new.upstream_event"), true},
	    {{"message", NULL}, SLICE_INIT("message"), true},
	    {{"message", "receipt"}, SLICE_INIT("receipt"), true},
	    {{"receipt", "all"}, SLICE_INIT("message"), true},
	    {{"message", "receipt"}, SLICE_INIT("presence"), false},
	    {{"message", NULL}, SLICE_INIT("messag"), false},
	    {{"message", NULL}, SLICE_INIT("messages"), false},
	    {{"message", NULL}, SLICE_INIT("Message"), false},
	    {{"message", NULL}, SLICE_INIT("all"), false},
	    {{"message", NULL}, SLICE_INIT(""), false},
	    {{"mess*", NULL}, SLICE_INIT("message"), true},
	    {{"receipt", "message*"}, SLICE_INIT("message"), true},
	    {{"messages*", NULL}, SLICE_INIT("message"), false},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char *patterns[2];
		size_t n = 0;
		for (; n < 2 && ROWS[i].patterns[n] != NULL; n++) {
			const char *text = ROWS[i].patterns[n];
			patterns[n] = mem_copy(text, strlen(text));
		}
		if (name_is_covered(ROWS[i].event, patterns, n) != ROWS[i].is_covered)
			fail_msg("row %zu", i);
		assert_false(name_is_covered(ROWS[i].event, patterns, 0));
		while (n > 0)
			free(patterns[--n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_events_are_the_contracts),
	    cmocka_unit_test(test_covered),
	    cmocka_unit_test(test_every_byte),
	    cmocka_unit_test(test_folded),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_last_byte_counts),
	    cmocka_unit_test(test_sessions),
	    cmocka_unit_test(test_webhooks),
	    cmocka_unit_test(test_kept),
	    cmocka_unit_test(test_sessions_of_lists),
	    cmocka_unit_test(test_put_session),
	    cmocka_unit_test(test_subscribable),
	    cmocka_unit_test(test_patterns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
