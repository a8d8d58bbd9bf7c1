/* HMAC and base64: the vectors of RFC 2202, RFC 4231 and RFC 4648. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <string.h>

#include "base/base64.h"
#include "base/mac.h"
#include "base/str.h"
#include "support.h"

static void expect_mac(enum mac_hash hash, const char *expected)
{
	/* the second case of both: a key shorter than the digest, here in two parts */
	const struct slice parts[] = {SLICE("what do ya want "), SLICE("for nothing?")};
	unsigned char mac[MAC_SIZE_MAX];
	char hex[2 * MAC_SIZE_MAX + 1];
	struct mac *m = mac_new(hash, SLICE("Jefe"));
	for (int again = 0; again < 2; again++) { /* a key is used for many */
		size_t len = mac_of(m, parts, COUNT(parts), mac);
		str_hex(mac, len, hex);
		assert_string_equal(hex, expected);
	}
	mac_free(m);
}

static void test_vectors(void **state)
{
	(void)state;
	expect_mac(MAC_SHA1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
	expect_mac(MAC_SHA256,
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	expect_mac(MAC_SHA512,
	    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
	    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
	mac_free(NULL);
}

static void test_base64(void **state)
{
	(void)state;
	static const char *const PAIRS[][2] = {{"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
	    {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	    {"\xfb\xff", "+/8="}};
	for (size_t i = 0; i < COUNT(PAIRS); i++) {
		char text[BASE64_SIZE(6)];
		unsigned char bytes[8];
		size_t len = 0;
		base64_encode(PAIRS[i][0], strlen(PAIRS[i][0]), text);
		assert_string_equal(text, PAIRS[i][1]);
		assert_true(base64_decode(slice_of(text), bytes, &len));
		assert_int_equal(len, strlen(PAIRS[i][0]));
		assert_memory_equal(bytes, PAIRS[i][0], len);
		struct slice bare = slice_of(text);
		while (bare.len > 0 && bare.ptr[bare.len - 1] == '=')
			bare.len--;
		assert_true(base64_decode(bare, bytes, &len));
		assert_memory_equal(bytes, PAIRS[i][0], len);
	}
}

static void test_no_base64(void **state)
{
	(void)state;
	static const char *const BAD[] = {"", "=", "==", "Z",
	    "Zg=", "Zm8==", "Zm9v=", "Zm9v====", "Zm 9v", "Zm9v\n", "Zm-_", "=Zg=", "Z=g="};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		unsigned char bytes[8];
		size_t len = 0;
		if (base64_decode(slice_of(BAD[i]), bytes, &len))
			fail_msg("%s is taken", BAD[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_no_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
