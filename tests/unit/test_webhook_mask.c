/* A webhook's secrets in what its receiver answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "domain/webhook_mask.h"

static struct webhook *make(const char *secret, const char *previous, const char *header)
{
	struct webhook *w = webhook_new();
	webhook_set(&w->secret, secret);
	webhook_set(&w->previous_secret, previous);
	if (header != NULL) {
		w->headers = mem_array(1, sizeof(*w->headers));
		w->header_count = 1;
		webhook_set(&w->headers[0].name, "Authorization");
		webhook_set(&w->headers[0].value, header);
	}
	return w;
}

static void check(const struct webhook *w, const char *text, size_t size, const char *expected)
{
	char out[128];
	size_t len = webhook_mask(w, SLICE(""), slice_of(text), out, size);
	if (len != strlen(expected) || memcmp(out, expected, len) != 0)
		fail_msg("%s: %.*s, not %s", text, (int)len, out, expected);
}

static void test_nothing_to_mask(void **state)
{
	struct webhook *w = make(NULL, NULL, NULL);
	(void)state;
	check(w, "", 8, "");
	check(w, "ok", 8, "ok");
	check(w, "longer than that", 8, "longer t");
	webhook_free(w);
}

static void test_secrets(void **state)
{
	struct webhook *w = make("s3cret", "s3cretive", NULL);
	(void)state;
	check(w, "s3cret", 100, "********");
	check(w, "a s3cret, s3cretive!", 100, "a ********, ********!");
	check(w, "s3cre, s3s3cret", 100, "s3cre, s3********");
	check(w, "it is s3cr", 100, "it is ********"); /* cut off within it */
	check(w, "it is s3c", 100, "it is s3c");
	check(w, "s3crets3cret", 12, "************"); /* no more than there is room for */
	webhook_free(w);
}

/* What went along of a sender's. */
static void test_words_that_were_sent(void **state)
{
	struct webhook *w = make("s3cret", NULL, NULL);
	const struct slice sent = SLICE("Bearer 0123456789 sid=abcdefgh abcdefgh ");
	const struct slice text = SLICE("s3cret, sid=abcdefgh, {abcdefgh} Bearer 0123456789");
	const struct slice want = SLICE("********, ********, {********} Bearer ********");
	char out[128];
	(void)state;
	size_t len = webhook_mask(w, sent, text, out, sizeof(out));
	assert_int_equal(len, want.len);
	assert_memory_equal(out, want.ptr, len);
	webhook_free(w);
}

/* A proxy's credentials, as they are written, undone, and as it is told them. */
static void test_proxy(void **state)
{
	struct webhook *w = make(NULL, NULL, NULL);
	(void)state;
	webhook_options_of(&w->options)->proxy.kind = PROXY_OWN;
	webhook_set(&w->options->proxy.url, "http://me:pa%20ss@proxy.example:3128");
	check(w, "me:pa%20ss", 100, "me:********");
	check(w, "me pa ss proxy", 100, "me ******** proxy");
	check(w, "Basic bWU6cGEgc3M=", 100, "Basic ********");
	webhook_set(&w->options->proxy.url, "http://proxy.example:3128");
	check(w, "proxy.example", 100, "proxy.example");
	webhook_free(w);
}

/* A private key in either form, as a receiver might write what it was given by mistake. */
static void test_private_keys(void **state)
{
	(void)state;
	struct webhook *w = make(NULL, NULL, NULL);
	struct ed25519_pair pair = {.seed = {1, 2, 3}};
	char text[200];
	char out[200];
	ed25519_complete(&pair);
	webhook_rotate_pair(w, &pair, 0);
	webhook_rotate_pair(w, &(struct ed25519_pair){.seed = {9}}, 1000);
	const size_t forms[] = {ED25519_SEED_SIZE, sizeof(pair)};
	const struct ed25519_pair *const pairs[] = {w->pair, w->previous_pair};
	for (size_t i = 0; i < 4; i++) {
		memcpy(text, "a whsk_", 7);
		base64_encode(pairs[i / 2], forms[i % 2], text + 7);
		size_t len = webhook_mask(w, SLICE(""), slice_of(text), out, sizeof(out));
		assert_true(slice_eq((struct slice){out, len}, SLICE("a whsk_********")));
	}
	webhook_free(w);
}

static void test_words_of_headers(void **state)
{
	struct webhook *w = make("abc", NULL, "Bearer  0123456789 short");
	(void)state;
	check(w, "Bearer 0123456789", 100, "Bearer ********");
	check(w, "short 012345678 abc", 100, "short 012345678 abc");
	check(w, "0123456789abc", 100, "********abc");
	webhook_free(w);
}

static void test_words_that_begin_alike(void **state)
{
	struct webhook *w = make(NULL, NULL,
	    "abababab ababababab ababababcd ababababcd zzzzzzzz");
	(void)state;
	check(w, "abababab-", 100, "********-");
	check(w, "ababababab-", 100, "********-"); /* the longest */
	check(w, "ababababcd-", 100, "********-");
	check(w, "ababababce-", 100, "********ce-");
	check(w, "abababacabababab", 100, "abababac********");
	check(w, "xzzzzzzzzzzzzzzzz", 100, "x****************");
	check(w, "zzzzzz", 100, "********");
	webhook_free(w);
}

/* How many bytes of a secret `text` begins with, by looking at each word. */
static size_t naive(const char *words, struct slice text)
{
	struct slice rest = slice_of(words);
	size_t found = 0;
	while (rest.len > 0) {
		struct slice word = slice_cut(&rest, ' ');
		size_t n = 0;
		while (n < text.len && n < word.len && text.ptr[n] == word.ptr[n])
			n++;
		if (word.len >= 8 && (n == word.len || (n == text.len && n >= 4)) && n > found)
			found = n;
	}
	return found;
}

/* Words and texts of two letters, so that they meet in all ways. */
static void test_against_each_word(void **state)
{
	struct rnd rnd;
	(void)state;
	rnd_seed(&rnd, 11);
	for (int round = 0; round < 3000; round++) {
		char words[200] = "";
		char text[60] = "";
		char want[600] = "";
		size_t len = rnd_next(&rnd) % (sizeof(words) - 1);
		for (size_t i = 0; i < len; i++)
			words[i] = "ab "[rnd_next(&rnd) % 12 == 0 ? 2 : rnd_next(&rnd) % 2];
		len = rnd_next(&rnd) % (sizeof(text) - 1);
		for (size_t i = 0; i < len; i++)
			text[i] = "ab"[rnd_next(&rnd) % 2];
		struct buf out = BUF_INIT(sizeof(want));
		struct slice rest = slice_of(text);
		while (rest.len > 0) {
			size_t n = naive(words, rest);
			if (n > 0)
				buf_puts(&out, WEBHOOK_MASK);
			else
				buf_putc(&out, rest.ptr[0]);
			n = n > 0 ? n : 1;
			rest.ptr += n;
			rest.len -= n;
		}
		struct webhook *w = make(NULL, NULL, words);
		len = webhook_mask(w, SLICE(""), slice_of(text), want, sizeof(want));
		if (!slice_eq((struct slice){want, len}, buf_view(&out)))
			fail_msg("'%s' in '%s': %.*s, not %s", words, text, (int)len, want,
			    buf_cstr(&out));
		webhook_free(w);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_to_mask),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_proxy),
	    cmocka_unit_test(test_private_keys),
	    cmocka_unit_test(test_words_of_headers),
	    cmocka_unit_test(test_words_that_were_sent),
	    cmocka_unit_test(test_words_that_begin_alike),
	    cmocka_unit_test(test_against_each_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
