/* A webhook's secrets in what its receiver answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
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
	size_t len = webhook_mask(w, slice_of(text), out, size);
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

static void test_words_of_headers(void **state)
{
	struct webhook *w = make("abc", NULL, "Bearer  0123456789 short");
	(void)state;
	check(w, "Bearer 0123456789", 100, "Bearer ********");
	check(w, "short 012345678 abc", 100, "short 012345678 abc");
	check(w, "0123456789abc", 100, "********abc");
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_to_mask),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_words_of_headers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
