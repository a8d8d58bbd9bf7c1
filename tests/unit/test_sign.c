/* Signatures against published vectors, and what a whsec_ secret stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "domain/sign.h"

#define LONG_KEY 131 /* bytes: more than a block of SHA-256 */

/* RFC 4231 sections 4.2 to 4.8, without the truncated case 5. */
static void test_rfc_4231(void **state)
{
	(void)state;
	char aa[LONG_KEY];
	char dd[50];
	char cd[50];
	memset(aa, 0xaa, sizeof(aa));
	memset(dd, 0xdd, sizeof(dd));
	memset(cd, 0xcd, sizeof(cd));
	const struct {
		struct slice key;
		struct slice data;
		const char *signature;
	} rows[] = {
	    {SLICE("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
		   "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"),
		SLICE("Hi There"),
		"sha256=b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	    {SLICE("Jefe"), SLICE("what do ya want for nothing?"),
		"sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	    {{aa, 20}, {dd, sizeof(dd)},
		"sha256=773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	    {SLICE("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11"
		   "\x12\x13\x14\x15\x16\x17\x18\x19"),
		{cd, sizeof(cd)},
		"sha256=82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	    {{aa, LONG_KEY}, SLICE("Test Using Larger Than Block-Size Key - Hash Key First"),
		"sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	    {{aa, LONG_KEY},
		SLICE("This is a test using a larger than block-size key and a larger than "
		      "block-size data. The key needs to be hashed before being used by the "
		      "HMAC algorithm."),
		"sha256=9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sign_key *k = sign_key_new(rows[i].key);
		char got[SIGN_HEX_SIZE];
		sign_body(k, rows[i].data, got);
		if (strcmp(got, rows[i].signature) != 0)
			fail_msg("row %zu: %s", i, got);
		sign_key_free(k);
	}
}

static void test_empty_body(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("topsecret"));
	char got[SIGN_HEX_SIZE];
	sign_body(k, (struct slice){0}, got);
	assert_string_equal(got,
	    "sha256=818f9cb88315ac08b5ef83f96650ca6f4e3dddcb4548e4879b746f56b57fa2b0");
	sign_key_free(k);
}

static void test_timed_body(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("topsecret"));
	char got[SIGN_HEX_SIZE];
	char joined[SIGN_HEX_SIZE];
	sign_timed_body(k, 1700000000, SLICE("{\"a\":1}"), got);
	assert_string_equal(got,
	    "sha256=6a939b0c71853d606167625a15168ee9188c6a511c773ef4f42d307f3849e50f");
	sign_timed_body(k, INT64_MIN, SLICE("x"), got);
	sign_body(k, SLICE("-9223372036854775808.x"), joined);
	assert_string_equal(got, joined);
	sign_key_free(k);
}

/* The vector of the Standard Webhooks libraries. */
static void test_standard_vector(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
	char got[SIGN_STANDARD_SIZE];
	sign_standard(k, SLICE("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
	    SLICE("{\"test\": 2432232314}"), got);
	assert_string_equal(got, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	sign_key_free(k);
}

static void test_key_is_reusable(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("whsec_AAEC"));
	char first[SIGN_HEX_SIZE];
	char again[SIGN_HEX_SIZE];
	char standard_first[SIGN_STANDARD_SIZE];
	char standard_again[SIGN_STANDARD_SIZE];
	sign_body(k, SLICE("one"), first);
	sign_standard(k, SLICE("id"), 1, SLICE("one"), standard_first);
	sign_body(k, SLICE("two"), again);
	assert_string_not_equal(first, again);
	sign_timed_body(k, 1, SLICE("one"), again);
	assert_string_not_equal(first, again);
	sign_body(k, SLICE("one"), again);
	assert_string_equal(first, again);
	sign_standard(k, SLICE("id"), 1, SLICE("one"), standard_again);
	assert_string_equal(standard_first, standard_again);
	sign_key_free(k);
}

/* Whether the first 24 bits of a base64 signature are those of a hex one. */
static bool begin_alike(const char *base64, const char *hex)
{
	static const char ALPHABET[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0;
	char text[7];
	for (size_t i = 0; i < 4; i++)
		bits = bits << 6 | (unsigned)(strchr(ALPHABET, base64[i]) - ALPHABET);
	(void)snprintf(text, sizeof(text), "%06x", bits & 0xffffff);
	return memcmp(hex, text, 6) == 0;
}

/* The standard key of each secret is that of `key`, taken as bytes. */
static void test_whsec_secrets(void **state)
{
	(void)state;
	static const struct {
		struct slice secret;
		struct slice key;
	} ROWS[] = {
	    {SLICE_INIT("whsec_AAEC"), SLICE_INIT("\0\1\2")},
	    {SLICE_INIT("whsec_AAE="), SLICE_INIT("\0\1")},
	    {SLICE_INIT("whsec_AA=="), SLICE_INIT("\0")},
	    {SLICE_INIT("whsec_+/+/"), SLICE_INIT("\xfb\xff\xbf")},
	    {SLICE_INIT("whsec_azAJ"), SLICE_INIT("\x6b\x30\x09")},
	    /* padding may be left out; bits behind the last byte do not count */
	    {SLICE_INIT("whsec_AAE"), SLICE_INIT("\0\1")},
	    {SLICE_INIT("whsec_AA"), SLICE_INIT("\0")},
	    {SLICE_INIT("whsec_AAF="), SLICE_INIT("\0\1")},
	    /* not base64: the secret's own bytes */
	    {SLICE_INIT("whsec_"), SLICE_INIT("whsec_")},
	    {SLICE_INIT("whsec_="), SLICE_INIT("whsec_=")},
	    {SLICE_INIT("whsec_===="), SLICE_INIT("whsec_====")},
	    {SLICE_INIT("whsec_A"), SLICE_INIT("whsec_A")},
	    {SLICE_INIT("whsec_A==="), SLICE_INIT("whsec_A===")},
	    {SLICE_INIT("whsec_AA="), SLICE_INIT("whsec_AA=")},
	    {SLICE_INIT("whsec_AAEC="), SLICE_INIT("whsec_AAEC=")},
	    {SLICE_INIT("whsec_AAE=AAEC"), SLICE_INIT("whsec_AAE=AAEC")},
	    {SLICE_INIT("whsec_AA-_"), SLICE_INIT("whsec_AA-_")},
	    {SLICE_INIT("whsec_AAEC\n"), SLICE_INIT("whsec_AAEC\n")},
	    {SLICE_INIT("whsec_AA C"), SLICE_INIT("whsec_AA C")},
	    /* another form */
	    {SLICE_INIT("WHSEC_AAEC"), SLICE_INIT("WHSEC_AAEC")},
	    {SLICE_INIT("whsec"), SLICE_INIT("whsec")},
	    {SLICE_INIT("AAEC"), SLICE_INIT("AAEC")},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		const struct slice message = SLICE("id.7.body");
		struct sign_key *k = sign_key_new(ROWS[i].secret);
		char got[SIGN_STANDARD_SIZE];
		sign_standard(k, SLICE("id"), 7, SLICE("body"), got);
		sign_key_free(k);

		/* the expected key through sign_body(), which always takes the bytes */
		char hex[SIGN_HEX_SIZE];
		k = sign_key_new(ROWS[i].key);
		sign_body(k, message, hex);
		sign_key_free(k);
		if (!begin_alike(got + strlen("v1,"), hex + strlen("sha256=")))
			fail_msg("row %zu: %s for %s", i, got, hex);
	}
}

static void test_v1_takes_the_secret_as_it_is(void **state)
{
	(void)state;
	struct sign_key *whsec = sign_key_new(SLICE("whsec_AAEC"));
	struct sign_key *raw = sign_key_new(SLICE("\0\1\2"));
	char a[SIGN_HEX_SIZE];
	char b[SIGN_HEX_SIZE];
	sign_body(whsec, SLICE("body"), a);
	sign_body(raw, SLICE("body"), b);
	assert_string_not_equal(a, b);
	sign_key_free(whsec);
	sign_key_free(raw);
	sign_key_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rfc_4231),
	    cmocka_unit_test(test_empty_body),
	    cmocka_unit_test(test_timed_body),
	    cmocka_unit_test(test_standard_vector),
	    cmocka_unit_test(test_key_is_reusable),
	    cmocka_unit_test(test_whsec_secrets),
	    cmocka_unit_test(test_v1_takes_the_secret_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
