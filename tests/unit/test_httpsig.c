/*
 * HTTP Message Signatures: the vectors of RFC 9421 appendix B.2.5 and B.2.6, the digest of RFC
 * 9530, targets; and what is no signature.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/base64.h"
#include "base/ed25519.h"
#include "base/mac.h"
#include "domain/httpsig.h"

#define TEXT_MAX 4096

#define FIELD(n, v)                                                                            \
	{                                                                                      \
		.name = SLICE_INIT(n), .value = SLICE_INIT(v)                                  \
	}

/* The request of appendix B.2, and what its signatures cover of it. */
static const struct httpsig_field HMAC_FIELDS[] = {
    FIELD("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    FIELD("@authority", "example.com"),
    FIELD("content-type", "application/json"),
};

static const struct httpsig_field ED25519_FIELDS[] = {
    FIELD("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    FIELD("@method", "POST"),
    FIELD("@path", "/foo"),
    FIELD("@authority", "example.com"),
    FIELD("content-type", "application/json"),
    FIELD("content-length", "18"),
};

static void test_vector_hmac(void **state)
{
	(void)state;
	const struct httpsig_params params = {1618884473, SLICE("test-shared-secret"),
	    SLICE("")};
	struct buf text = BUF_INIT(TEXT_MAX);
	struct buf base = BUF_INIT(TEXT_MAX);
	unsigned char key[64];
	unsigned char code[MAC_SIZE_MAX];
	char got[BASE64_SIZE(MAC_SIZE_MAX)];
	size_t len = 0;
	httpsig_put_params(HMAC_FIELDS, 3, &params, &text);
	assert_string_equal(buf_cstr(&text),
	    "(\"date\" \"@authority\" \"content-type\");created=1618884473"
	    ";keyid=\"test-shared-secret\"");
	httpsig_put_base(HMAC_FIELDS, 3, buf_view(&text), &base);
	assert_true(
	    base64_decode(SLICE("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtj"
				"UkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="),
		key, &len));
	struct mac *m = mac_new(MAC_SHA256, (struct slice){(const char *)key, len});
	const struct slice message = buf_view(&base);
	base64_encode(code, mac_of(m, &message, 1, code), got);
	mac_free(m);
	assert_string_equal(got, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
	buf_fini(&text);
	buf_fini(&base);
}

static void test_vector_ed25519(void **state)
{
	(void)state;
	const struct httpsig_params params = {1618884473, SLICE("test-key-ed25519"), SLICE("")};
	struct buf text = BUF_INIT(TEXT_MAX);
	struct buf base = BUF_INIT(TEXT_MAX);
	struct ed25519_pair pair;
	unsigned char signature[ED25519_SIGNATURE_SIZE];
	char got[BASE64_SIZE(ED25519_SIGNATURE_SIZE)];
	size_t len = 0;
	httpsig_put_params(ED25519_FIELDS, 6, &params, &text);
	httpsig_put_base(ED25519_FIELDS, 6, buf_view(&text), &base);
	assert_string_equal(buf_cstr(&base),
	    "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
	    "\"@method\": POST\n"
	    "\"@path\": /foo\n"
	    "\"@authority\": example.com\n"
	    "\"content-type\": application/json\n"
	    "\"content-length\": 18\n"
	    "\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" "
	    "\"content-type\" \"content-length\");created=1618884473"
	    ";keyid=\"test-key-ed25519\"");
	/* RFC 9421 appendix B.1.4, in base64url there */
	assert_true(base64_decode(SLICE("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU="),
	    pair.seed, &len));
	ed25519_complete(&pair);
	base64_encode(pair.public_key, sizeof(pair.public_key), got);
	assert_string_equal(got, "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
	struct ed25519_key *k = ed25519_key_new(pair.seed);
	ed25519_sign(k, buf_view(&base), signature);
	ed25519_key_free(k);
	base64_encode(signature, sizeof(signature), got);
	assert_string_equal(got,
	    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu"
	    "4A0w6vuQv5lIp5WPpBKRCw==");
	buf_fini(&text);
	buf_fini(&base);
}

/* RFC 9530 appendix B.1. */
static void test_digest(void **state)
{
	(void)state;
	char got[HTTPSIG_DIGEST_SIZE];
	httpsig_digest(SLICE("{\"hello\": \"world\"}\n"), got);
	assert_string_equal(got, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
	httpsig_digest(SLICE(""), got);
	assert_string_equal(got, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
}

static void test_targets(void **state)
{
	(void)state;
	static const struct {
		const char *url, *target;
	} ROWS[] = {
	    {"http://a", "http://a/"},
	    {"HTTPS://Example.COM:443/A?B=c", "https://example.com/A?B=c"},
	    {"https://a:80/", "https://a:80/"},
	    {"http://a:80?q=/x", "http://a/?q=/x"},
	    {"http://a:8080", "http://a:8080/"},
	    {"http://[2001:DB8::443]/", "http://[2001:db8::443]/"},
	    {"http://[2001:DB8::80]:80/x/../y", "http://[2001:db8::80]/x/../y"},
	    {"https://:443", "https://:443/"},
	    {"https:", "https:///"},
	    {"", ":///"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf got = BUF_INIT(TEXT_MAX);
		httpsig_put_target(slice_of(ROWS[i].url), &got);
		assert_string_equal(buf_cstr(&got), ROWS[i].target);
		buf_fini(&got);
	}
}

static void test_reads(void **state)
{
	(void)state;
	/* RFC 9421 section 4.3 has two labels */
	struct slice rest = SLICE(
	    "sig1=(\"@method\" \"content-digest\");created=1618884475"
	    ";keyid=\"k\\\"1\";alg=\"ed25519\",  *p.r-o_x2=();nonce=\"n\"");
	struct httpsig_input in;
	assert_true(httpsig_next(&rest, &in));
	assert_true(slice_eq(in.label, SLICE("sig1")));
	assert_int_equal(in.count, 2);
	assert_true(slice_eq(in.names[0], SLICE("@method")));
	assert_true(slice_eq(in.names[1], SLICE("content-digest")));
	assert_int_equal(in.created_s, 1618884475);
	assert_true(slice_eq(in.key_id, SLICE("k\\\"1")));
	assert_true(slice_eq(in.alg, SLICE("ed25519")));
	assert_true(slice_eq(in.text,
	    SLICE("(\"@method\" \"content-digest\");created=1618884475;keyid=\"k\\\"1\""
		  ";alg=\"ed25519\"")));
	assert_true(httpsig_next(&rest, &in));
	assert_true(slice_eq(in.label, SLICE("*p.r-o_x2")));
	assert_int_equal(in.count, 0);
	assert_int_equal(in.created_s, -1);
	assert_int_equal(in.alg.len, 0);
	assert_int_equal(rest.len, 0);
}

static void test_refuses(void **state)
{
	(void)state;
	static const char *const ROWS[] = {"sig1", "sig1=", "Sig1=()", "1=()", "=()", "sig1=(",
	    "sig1=(a)", "sig1=(\"a\"", "sig1=(\"a\"\"b\")", "sig1=(\"a\"  \"b\")",
	    "sig1=( \"a\")", "sig1=(\"a\" )", "sig1=(\"a\";sf)", "sig1=(\"a\" \"a\")",
	    "sig1=(\"\")", "sig1=(\"a\\b\")", "sig1=(\"\x7f\")", "sig1=(\"a", "sig1=(\"a\\",
	    "sig1=();created", "sig1=();created=", "sig1=();created=\"1\"",
	    "sig1=();created=01", "sig1=();created=-1", "sig1=();created=1234567890123456",
	    "sig1=();keyid=1", "sig1=();alg=token", "sig1=();=1", "sig1=();", "sig1=(),",
	    "sig1=() x", "sig1=()x", "sig1=:YQ==:", "sig1 =()", " sig1=()",
	    "sig1=(\"1\" \"2\" \"3\" \"4\" \"5\" \"6\" \"7\" \"8\" \"9\" \"10\" \"11\" \"12\" "
	    "\"13\" \"14\" \"15\" \"16\" \"17\")"};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct slice rest = slice_of(ROWS[i]);
		struct httpsig_input in;
		if (httpsig_next(&rest, &in))
			fail_msg("read: %s", ROWS[i]);
	}
}

static void test_finds(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		const char *bytes; /* NULL: none */
	} ROWS[] = {
	    {"sig1=:YWI=:", "ab"},
	    {"sig0=:eA==:, sig1=:YWI=:", "ab"},
	    {"sig1=:YWI=:,sig2=:eA==:", "ab"},
	    {"sig2=:eA==:", NULL},
	    {"sig1=YWI=", NULL},
	    {"sig1=:YWI=", NULL},
	    {"sig1=:YW*=:", NULL},
	    {"sig1=:YWI=:, sig1=:eA==:", NULL}, /* which one? */
	    {"sig1=:YWI=:,", NULL},
	    {"sig1=:YWI=:;x", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		unsigned char got[HTTPSIG_BYTES_MAX];
		size_t len = 0;
		bool found = httpsig_find(slice_of(ROWS[i].header), SLICE("sig1"), got, &len);
		if (found != (ROWS[i].bytes != NULL))
			fail_msg("row %zu", i);
		if (found)
			assert_true(slice_eq((struct slice){(const char *)got, len},
			    slice_of(ROWS[i].bytes)));
	}
	char longest[400];
	unsigned char got[HTTPSIG_BYTES_MAX];
	size_t len = 0;
	for (size_t n = 160; n < 380; n += 4) {
		memset(longest, 'A', sizeof(longest));
		memcpy(longest, "sig1=:", 6);
		memcpy(longest + 6 + n, ":", 2);
		bool found = httpsig_find(slice_of(longest), SLICE("sig1"), got, &len);
		assert_int_equal(found, n / 4 * 3 <= HTTPSIG_BYTES_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vector_hmac),
	    cmocka_unit_test(test_vector_ed25519),
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_targets),
	    cmocka_unit_test(test_reads),
	    cmocka_unit_test(test_refuses),
	    cmocka_unit_test(test_finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
