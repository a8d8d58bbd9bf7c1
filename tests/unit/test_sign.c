/*
 * Signatures against published vectors, what a whsec_ secret stands for, and each row of the
 * schemes: what it says it sets, and that it verifies what it signs and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
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
static void test_secrets_to_use(void **state)
{
	(void)state;
	static const char *const GOOD[] = {"x", "s3cret", "two words", "p\xc3\xa4ss",
	    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AA==", "whsec_AAE=", "whsec_AAE",
	    "whsec_+/+/", "whsec", "a whsec_x", "v1,x", "-_", "x\xe2\x80\x8bx", "\xc3\xa4",
	    "\xe2\x82\xac", "\xf0\x9f\x98\x80", "x\xe2\x80\x83x", "x\xe2", "\x83x",
	    "\"quoted\"", "'", "\"\"", "a whpk_x", "whpk", "\xe2\x80\x9cx\xe2\x80\x9d"};
	static const struct {
		const char *secret, *word;
	} BAD[] = {
	    {"", "empty"},
	    {" x", "white space"},
	    {"x ", "white space"},
	    {"\tx", "white space"},
	    {"s3cret\n", "white space"},
	    {"s3cret\r\n", "white space"},
	    {"\n", "white space"},
	    {"x\x7f", "white space"},
	    {"\xef\xbb\xbfs3cret", "white space"},
	    {"s3cret\xc2\xa0", "white space"},
	    {"s3cret\xe2\x80\x8b", "white space"},
	    {"s3cret\xe2\x80\x83", "white space"}, /* em space */
	    {"\xe2\x80\xafs3cret", "white space"}, /* narrow no-break space */
	    {"s3cret\xe2\x80\x8e", "white space"}, /* left-to-right mark */
	    {"\xe2\x81\xa6s3cret", "white space"}, /* left-to-right isolate */
	    {"\xe2\x81\xa0s3cret", "white space"}, /* word joiner */
	    {"s3cret\xc2\x9f", "white space"},     /* a control of Latin-1 */
	    {"whsec_AAEC\n", "white space"},
	    {"v1,whsec_AAEC", "v1,"},
	    {"V1,WHSEC_AAEC", "v1,"},
	    {"WHSEC_AAEC", "lower case"},
	    {"Whsec_AAEC", "lower case"},
	    {"whpk_AAEC", "public key"},
	    {"WHPK_AAEC", "public key"},
	    {"whpk_", "public key"},
	    {"whsk_AAEC", "private key"},
	    {"\"whsec_AAEC\"", "without the quotes"},
	    {"'whsec_AAEC'", "without the quotes"},
	    {"`whsec_AAEC`", "without the quotes"},
	    {"\"whsec_AAEC", "without the quotes"},
	    {"\"'whsec_AAEC'\"", "without the quotes"},
	    {"\"WHSEC_AAEC\"", "without the quotes"},
	    {"\"v1,whsec_AAEC\"", "without the quotes"},
	    {"\"whpk_AAEC\"", "without the quotes"},
	    {"\xe2\x80\x9cwhsec_AAEC\xe2\x80\x9d", "without the quotes"},
	    {"whsec_AAEC\"", "base64"},
	    {"whsec_", "base64"},
	    {"whsec_====", "base64"},
	    {"whsec_AA-_", "base64"},
	    {"whsec_AA C", "base64"},
	    {"whsec_A", "base64"},
	    {"whsec_AA=", "base64"},
	    {"whsec_A===", "base64"},
	    {"whsec_AA==AAEC", "base64"},
	    {"whsec_whsec_AAEC", "base64"},
	    {"whsec_\xc3\xa4", "base64"},
	};
	struct problem p;
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
		if (sign_check_secret(slice_of(GOOD[i]), "secret", &p) != OK)
			fail_msg("%s: %s", GOOD[i], p.message);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		p.message[0] = '\0';
		if (sign_check_secret(slice_of(BAD[i].secret), "secret", &p) != ERR_INVALID ||
		    strstr(p.message, BAD[i].word) == NULL || strcmp(p.field, "secret") != 0)
			fail_msg("row %zu: %s", i, p.message);
	}
}

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

#define NOW_S 1700000000

/* A request that a scheme has put its headers into. */
struct request {
	struct {
		char name[64];
		char value[1200];
	} headers[10];
	size_t count;
};

static void copy(char *out, size_t size, struct slice s)
{
	assert_true(s.len < size);
	memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
}

static void put(void *arg, struct slice name, struct slice value)
{
	struct request *q = arg;
	assert_true(q->count < sizeof(q->headers) / sizeof(q->headers[0]));
	copy(q->headers[q->count].name, sizeof(q->headers[0].name), name);
	copy(q->headers[q->count++].value, sizeof(q->headers[0].value), value);
}

static struct slice header(const void *request, const char *name)
{
	const struct request *q = request;
	for (size_t i = 0; i < q->count; i++) {
		if (strcasecmp(q->headers[i].name, name) == 0)
			return slice_of(q->headers[i].value);
	}
	return (struct slice){0};
}

static void drop(struct request *q, const char *name)
{
	for (size_t i = 0; i < q->count; i++) {
		if (strcmp(q->headers[i].name, name) == 0)
			q->headers[i].name[0] = '\0';
	}
}

static struct sign_message message_of(struct sign_key *key, struct sign_key *previous)
{
	return (struct sign_message){.schemes = SIGNATURE_V1,
	    .key = key,
	    .previous_key = previous,
	    .event_id = SLICE("e1"),
	    .timestamp_s = NOW_S,
	    .body = SLICE("{}"),
	    .url = SLICE("https://Example.com/a?b"),
	    .content_type = SLICE("application/json")};
}

static struct sign_claim claim_of(const struct request *q)
{
	return (struct sign_claim){.header = header,
	    .request = q,
	    .method = SLICE("POST"),
	    .target = SLICE("https://example.com/a?b"),
	    .body = SLICE("{}"),
	    .now_s = NOW_S,
	    .window_s = 300};
}

/* Makes a whole request, with the headers that every attempt has. */
static struct request signed_request(unsigned schemes, const struct sign_message *given)
{
	struct request q = {.count = 0};
	struct sign_message m = *given;
	m.schemes = schemes;
	put(&q, SLICE("X-Webhook-Timestamp"), SLICE("1700000000"));
	sign_put_headers(&m, put, &q);
	put(&q, SLICE("Content-Type"), SLICE("application/json"));
	return q;
}

/* A pair whose seed begins with `n`. */
static struct ed25519_pair make_pair(unsigned char n)
{
	struct ed25519_pair pair = {.seed = {n}};
	ed25519_complete(&pair);
	return pair;
}

static void test_headers_and_their_order(void **state)
{
	(void)state;
	static const char *const NAMES[] = {"X-Webhook-Timestamp", "X-Webhook-Signature",
	    "X-Webhook-Signature-Version", "webhook-id", "webhook-timestamp",
	    "webhook-signature"};
	struct sign_key *k = sign_key_new(SLICE("new"));
	struct sign_key *old = sign_key_new(SLICE("old"));
	struct sign_message m = message_of(k, old);
	char both[2 * SIGN_STANDARD_SIZE];
	char own[SIGN_HEX_SIZE];
	sign_standard(k, SLICE("e1"), NOW_S, SLICE("{}"), both);
	both[SIGN_STANDARD_SIZE - 1] = ' ';
	sign_standard(old, SLICE("e1"), NOW_S, SLICE("{}"), both + SIGN_STANDARD_SIZE);

	struct request q = signed_request(SIGNATURE_V2, &m);
	assert_int_equal(q.count, 7);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		assert_string_equal(q.headers[i].name, NAMES[i]);
	sign_timed_body(k, NOW_S, SLICE("{}"), own);
	assert_string_equal(q.headers[1].value, own);
	assert_string_equal(q.headers[2].value, "v2");
	assert_string_equal(q.headers[3].value, "e1");
	assert_string_equal(q.headers[4].value, "1700000000");
	assert_string_equal(q.headers[5].value, both);

	m.previous_key = NULL;
	q = signed_request(SIGNATURE_V1, &m);
	assert_int_equal(q.count, 6);
	sign_body(k, SLICE("{}"), own);
	assert_string_equal(q.headers[1].value, own);
	assert_string_equal(q.headers[2].name, "webhook-id");
	both[SIGN_STANDARD_SIZE - 1] = '\0';
	assert_string_equal(q.headers[4].value, both);
	sign_key_free(k);
	sign_key_free(old);
}

static void test_schemes_are_found_by_code_and_name(void **state)
{
	(void)state;
	assert_ptr_equal(sign_find_code(SIGNATURE_V1), sign_find_name(SLICE("v1")));
	assert_ptr_equal(sign_find_code(SIGNATURE_V2), sign_find_name(SLICE("v2")));
	assert_ptr_equal(sign_find_code(SIGNATURE_V1), &SIGN_SCHEMES[0]);
	assert_null(sign_find_code(0));
	assert_null(sign_find_name(SLICE("")));
	assert_null(sign_find_name(SLICE("V1")));
	assert_null(sign_find_name(SLICE("standard"))); /* goes beside others */
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		const struct sign_scheme *s = &SIGN_SCHEMES[i];
		assert_ptr_equal(sign_find_code(s->code), s); /* no two have the same */
		assert_ptr_equal(sign_find_name(slice_of(s->name)), s);
		assert_true(s->code > 0 && s->code < 256); /* a byte of the record */
	}
}

/* What a scheme sets, and no other: users are told of these, and may not set them. */
static void test_schemes_set_what_they_say(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	const struct ed25519_pair pair = make_pair(1);
	struct sign_message m = message_of(k, NULL);
	m.pair = sign_pair_new(&pair);
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		const struct sign_scheme *s = &SIGN_SCHEMES[i];
		for (; s != NULL; s = s->beside) {
			struct request q = {.count = 0};
			s->sign(&m, put, &q);
			for (size_t h = 0; s->headers[h] != NULL; h++) {
				if (header(&q, s->headers[h]).len == 0)
					fail_msg("%s: no %s", s->name, s->headers[h]);
				drop(&q, s->headers[h]);
			}
			for (size_t h = 0; h < q.count; h++) {
				if (q.headers[h].name[0] != '\0')
					fail_msg("%s: also %s", s->name, q.headers[h].name);
			}
			assert_true(s->summary[0] != '\0');
		}
	}
	sign_pair_free(m.pair);
	sign_key_free(k);
}

/* What the scheme says; of those in X-Webhook-Signature what the one says that it names. */
static bool is_proven(const struct sign_scheme *s, struct sign_key *k,
    const struct sign_claim *c)
{
	bool is_own = s->code == SIGNATURE_V1 || s->code == SIGNATURE_V2;
	return is_own ? sign_verify(k, c) : s->verify(k, c);
}

static void test_schemes_verify_what_they_sign(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	struct sign_key *other = sign_key_new(SLICE("another"));
	const struct ed25519_pair pair = make_pair(1);
	const struct ed25519_pair stranger = make_pair(2);
	struct sign_message m = message_of(k, NULL);
	m.pair = sign_pair_new(&pair);
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		const struct sign_scheme *s = &SIGN_SCHEMES[i];
		struct request q = signed_request(s->code, &m);
		struct sign_claim claim = claim_of(&q);
		claim.public_key = pair.public_key;
		if (!is_proven(s, k, &claim) || !sign_verify_all(k, &claim))
			fail_msg("%s does not verify", s->name);
		claim.public_key = stranger.public_key;
		assert_false(is_proven(s, other, &claim));
		assert_false(sign_verify_all(other, &claim));
		claim.public_key = pair.public_key;
		claim.body = SLICE("{} ");
		assert_false(is_proven(s, k, &claim));
		assert_false(sign_verify_all(k, &claim));
		/* whatever a scheme sets itself: without it, nothing is proven */
		for (size_t h = 0; s->headers[h] != NULL; h++) {
			struct request less = signed_request(s->code, &m);
			drop(&less, s->headers[h]);
			claim = claim_of(&less);
			claim.public_key = pair.public_key;
			assert_false(is_proven(s, k, &claim));
		}
	}
	sign_pair_free(m.pair);
	sign_key_free(k);
	sign_key_free(other);
}

static void test_sets(void **state)
{
	(void)state;
	static const struct {
		const char *names;
		unsigned schemes;
		const char *json;
	} ROWS[] = {
	    {"v1", 1, "\"v1\""},
	    {"v2", 2, "\"v2\""},
	    {"rfc9421", 8, "\"rfc9421\""},
	    {"v1,ed25519", 5, "[\"v1\",\"ed25519\"]"},
	    {"rfc9421, ed25519 ,v2", 14, "[\"v2\",\"ed25519\",\"rfc9421\"]"},
	    {"v1,v2", 0, NULL},
	    {"v1,v1", 0, NULL},
	    {"v1,", 0, NULL},
	    {",v1", 0, NULL},
	    {"v1 v2", 0, NULL},
	    {"standard", 0, NULL},
	    {"", 0, NULL},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf text = BUF_INIT(100);
		struct json_writer json = JSON_WRITER(&text);
		if (sign_read_set(slice_of(ROWS[i].names)) != ROWS[i].schemes)
			fail_msg("%s", ROWS[i].names);
		if (ROWS[i].schemes == 0)
			continue;
		assert_true(sign_is_set(ROWS[i].schemes));
		sign_write_set(ROWS[i].schemes, NULL, &json);
		assert_string_equal(buf_cstr(&text), ROWS[i].json);
		buf_fini(&text);
	}
	assert_false(sign_is_set(0));
	assert_false(sign_is_set(SIGNATURE_V1 | SIGNATURE_V2 | SIGNATURE_ED25519));
	assert_false(sign_is_set(16));
}

/* Both keys and both pairs sign while they are rotated, whichever a receiver has. */
static void test_rotation(void **state)
{
	(void)state;
	const struct ed25519_pair pairs[] = {make_pair(1), make_pair(2), make_pair(3)};
	struct sign_key *keys[] = {sign_key_new(SLICE("new")), sign_key_new(SLICE("old")),
	    sign_key_new(SLICE("other"))};
	struct sign_message m = message_of(keys[0], keys[1]);
	m.pair = sign_pair_new(&pairs[0]);
	m.previous_pair = sign_pair_new(&pairs[1]);
	struct request q = signed_request(SIGNATURE_ED25519 | SIGNATURE_RFC9421, &m);
	assert_int_equal(header(&q, "X-Webhook-Signature").len, 0);
	for (size_t i = 0; i < 3; i++) {
		struct sign_claim claim = claim_of(&q);
		assert_int_equal(sign_verify_all(keys[i], &claim), i < 2);
		claim.public_key = pairs[i].public_key;
		assert_int_equal(sign_verify_all(NULL, &claim), i < 2);
		assert_int_equal(sign_verify_all(keys[i], &claim), i < 2);
		claim.public_key = pairs[2].public_key;
		assert_false(sign_verify_all(keys[i], &claim));
		claim.public_key = NULL;
		assert_false(sign_verify_all(NULL, &claim)); /* nothing is proven */
	}
	sign_pair_free(m.pair);
	sign_pair_free(m.previous_pair);
	sign_pair_free(NULL);
	for (size_t i = 0; i < 3; i++)
		sign_key_free(keys[i]);
}

/* Without a secret, what wants one is left out, and the rest stands. */
static void test_pair_alone(void **state)
{
	(void)state;
	const struct ed25519_pair pair = make_pair(1);
	struct sign_message m = message_of(NULL, NULL);
	m.pair = sign_pair_new(&pair);
	struct request q = signed_request(SIGNATURE_V2 | SIGNATURE_ED25519, &m);
	assert_int_equal(header(&q, "X-Webhook-Signature").len, 0);
	assert_int_equal(header(&q, "X-Webhook-Signature-Version").len, 0);
	assert_true(slice_starts(header(&q, "webhook-signature"), SLICE("v1a,")));
	q = signed_request(SIGNATURE_RFC9421, &m);
	assert_int_equal(header(&q, "webhook-signature").len, 0);
	assert_true(slice_eq(header(&q, "webhook-id"), SLICE("e1")));
	sign_pair_free(m.pair);
}

/* Each part of what RFC 9421 signs, and what a label has to sign. */
static void test_rfc9421_refuses(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	const struct sign_message m = message_of(k, NULL);
	struct request q = signed_request(SIGNATURE_RFC9421, &m);
	drop(&q, "webhook-signature");
	struct sign_claim claim = claim_of(&q);
	assert_true(sign_verify_all(k, &claim));
	claim.method = SLICE("PUT");
	assert_false(sign_verify_all(k, &claim));
	claim = claim_of(&q);
	claim.target = SLICE("https://example.com/a?c");
	assert_false(sign_verify_all(k, &claim));
	claim = claim_of(&q);
	claim.now_s = NOW_S + 301;
	assert_false(sign_verify_all(k, &claim));
	static const char *const NAMES[] = {"webhook-id", "Content-Type", "Signature-Input",
	    "Signature", "Content-Digest"};
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		for (size_t h = 0; h < q.count; h++) {
			struct request changed = q;
			if (strcmp(q.headers[h].name, NAMES[i]) != 0)
				continue;
			changed.headers[h].value[12] ^= 1;
			changed.headers[h].value[0] ^= 1;
			claim = claim_of(&changed);
			assert_false(sign_verify_all(k, &claim));
		}
	}
	/* rightly signed, but not what has to be: here no target */
	struct request less = {.count = 0};
	put(&less, SLICE("Content-Digest"), header(&q, "Content-Digest"));
	put(&less, SLICE("webhook-id"), SLICE("e1"));
	put(&less, SLICE("Signature-Input"),
	    SLICE("sig1=(\"@method\" \"content-digest\" \"webhook-id\")"
		  ";created=1700000000;alg=\"hmac-sha256\""));
	put(&less, SLICE("Signature"), SLICE("sig1=:AAAA:"));
	claim = claim_of(&less);
	assert_false(sign_verify_all(k, &claim));
	sign_key_free(k);
}

static void test_keys_as_text(void **state)
{
	(void)state;
	/* the example of RFC 8032 section 7.1, test 1: as 32 bytes, and as 64 */
	static const char *const PRIVATE[] = {
	    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
	    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9V"
	    "L/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="};
	static const char *const WRONG[] = {"", "whsk_", "whsk_AAAA",
	    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
	    "whpk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
	    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A= ",
	    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9V"
	    "L/tPJZAc6DuFy89qmIyWvAhpo9wdRGw==", /* of another's public key */
	    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9V"
	    "L/tPJZAc6DuFy89qmIyWvAhpo9wdRGgAA"};
	char text[SIGN_PUBLIC_SIZE];
	unsigned char key[ED25519_PUBLIC_SIZE];
	struct ed25519_pair pair;
	struct problem p;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(sign_read_private(slice_of(PRIVATE[i]), "f", &pair, &p), OK);
		sign_put_public(pair.public_key, text);
		assert_string_equal(text, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	}
	assert_int_equal(sign_read_public(slice_of(text), "f", key, &p), OK);
	assert_memory_equal(key, pair.public_key, sizeof(key));
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		if (sign_read_private(slice_of(WRONG[i]), "f", &pair, &p) != ERR_INVALID)
			fail_msg("%s", WRONG[i]);
		assert_string_equal(p.field, "f");
	}
	assert_int_equal(sign_read_public(SLICE("whpk_AAAA"), "f", key, &p), ERR_INVALID);
	assert_int_equal(sign_read_public(slice_of(PRIVATE[0]), "f", key, &p), ERR_INVALID);
	sign_make_pair(&pair);
	struct ed25519_pair again = pair;
	ed25519_complete(&again);
	assert_memory_equal(&again, &pair, sizeof(pair));
}

/* Senders in Java and .NET print hexadecimal digits in upper case. */
static void test_case_of_hex(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	const struct sign_message m = message_of(k, NULL);
	for (unsigned scheme = SIGNATURE_V1; scheme <= SIGNATURE_V2; scheme++) {
		struct request q = signed_request(scheme, &m);
		const struct sign_claim claim = claim_of(&q);
		char *text = NULL;
		for (size_t h = 0; h < q.count; h++) {
			if (strcmp(q.headers[h].name, "X-Webhook-Signature") == 0)
				text = q.headers[h].value;
		}
		assert_non_null(text);
		for (char *c = text + strlen("sha256="); *c != '\0'; c++)
			*c = (char)toupper((unsigned char)*c);
		assert_true(sign_verify(k, &claim));
		text[20] = text[20] == 'A' ? 'B' : 'A';
		assert_false(sign_verify(k, &claim));
	}
	sign_key_free(k);
}

static void test_what_is_beside_has_to_be_right_where_it_is(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("new"));
	struct sign_key *old = sign_key_new(SLICE("old"));
	const struct sign_message m = message_of(k, old);
	struct request q = signed_request(SIGNATURE_V1, &m);
	const struct sign_claim claim = claim_of(&q);
	assert_true(sign_verify_all(k, &claim));
	assert_false(sign_verify_all(old, &claim)); /* the first signs with the new one alone */
	sign_body(old, SLICE("{}"), q.headers[1].value);
	assert_true(sign_verify_all(old, &claim)); /* one of two */
	sign_body(k, SLICE("{}"), q.headers[1].value);
	q.headers[2].value[0] = 'x'; /* webhook-id */
	assert_true(sign_verify(k, &claim));
	assert_false(sign_verify_all(k, &claim));
	q.headers[4].value[0] = '\0'; /* webhook-signature */
	assert_true(sign_verify_all(k, &claim));
	sign_key_free(k);
	sign_key_free(old);
}

/* Of a body that is sent compressed: its digest is of what is sent, all codes of what it is. */
static void test_compressed_bodies(void **state)
{
	(void)state;
	static const unsigned SCHEMES[] = {SIGNATURE_V1, SIGNATURE_V2,
	    SIGNATURE_V2 | SIGNATURE_RFC9421};
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++) {
		struct sign_message m = message_of(k, NULL);
		const struct request plain = signed_request(SCHEMES[i], &m);
		m.content = SLICE("compressed");
		const struct request q = signed_request(SCHEMES[i], &m);
		struct sign_claim claim = claim_of(&q);
		claim.content = SLICE("compressed");
		assert_true(sign_verify_all(k, &claim));
		assert_true(slice_eq(header(&q, "X-Webhook-Signature"),
		    header(&plain, "X-Webhook-Signature")));
		claim.content = SLICE("other");
		assert_int_equal(sign_verify_all(k, &claim),
		    (SCHEMES[i] & SIGNATURE_RFC9421) == 0);
		claim.content = SLICE("compressed");
		claim.body = SLICE("{} ");
		assert_false(sign_verify_all(k, &claim));
	}
	sign_key_free(k);
}

static void test_unknown_versions_are_the_first(void **state)
{
	(void)state;
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	const struct sign_message m = message_of(k, NULL);
	struct request q = signed_request(SIGNATURE_V1, &m);
	const struct sign_claim claim = claim_of(&q);
	static const char *const VERSIONS[] = {"v1", "V2", "standard", "v2 "};
	put(&q, SLICE("X-Webhook-Signature-Version"), SLICE("v2"));
	assert_false(sign_verify(k, &claim));
	for (size_t i = 0; i < sizeof(VERSIONS) / sizeof(VERSIONS[0]); i++) {
		q.count--;
		put(&q, SLICE("X-Webhook-Signature-Version"), slice_of(VERSIONS[i]));
		assert_true(sign_verify(k, &claim));
	}
	sign_key_free(k);
}

static void test_times_count_as_they_are_written(void **state)
{
	(void)state;
	static const struct {
		const char *timestamp;
		int64_t signed_s;
		int64_t now_s;
		int64_t window_s;
		bool good;
	} ROWS[] = {
	    {"1700000000", NOW_S, NOW_S + 300, 300, true},
	    {"1700000000", NOW_S, NOW_S - 300, 300, true},
	    {"1700000000", NOW_S, NOW_S + 301, 300, false},
	    {"1700000000", NOW_S, NOW_S - 301, 300, false},
	    {"1700000000", NOW_S, 0, INT64_MAX, true},
	    {"1700000001", NOW_S, NOW_S, 300, false},
	    {"01700000000", NOW_S, NOW_S, 300, false},
	    {"0", 0, 0, 300, true},
	    {"00", 0, 0, 300, false},
	    {"", 0, 0, INT64_MAX, false},
	    {"-1", -1, 0, INT64_MAX, false},
	    {"4611686018427387903", INT64_MAX / 2, 0, INT64_MAX, true},
	    {"4611686018427387904", INT64_MAX / 2 + 1, 0, INT64_MAX, false},
	};
	struct sign_key *k = sign_key_new(SLICE("s3cret"));
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct request q = {.count = 0};
		struct sign_message m = message_of(k, NULL);
		struct sign_claim claim = claim_of(&q);
		m.timestamp_s = ROWS[i].signed_s;
		m.schemes = SIGNATURE_V2;
		sign_put_headers(&m, put, &q);
		put(&q, SLICE("X-Webhook-Timestamp"), slice_of(ROWS[i].timestamp));
		claim.now_s = ROWS[i].now_s;
		claim.window_s = ROWS[i].window_s;
		if (sign_verify(k, &claim) != ROWS[i].good)
			fail_msg("row %zu", i);
	}
	sign_key_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rfc_4231),
	    cmocka_unit_test(test_empty_body),
	    cmocka_unit_test(test_timed_body),
	    cmocka_unit_test(test_standard_vector),
	    cmocka_unit_test(test_key_is_reusable),
	    cmocka_unit_test(test_secrets_to_use),
	    cmocka_unit_test(test_whsec_secrets),
	    cmocka_unit_test(test_v1_takes_the_secret_as_it_is),
	    cmocka_unit_test(test_headers_and_their_order),
	    cmocka_unit_test(test_schemes_are_found_by_code_and_name),
	    cmocka_unit_test(test_schemes_set_what_they_say),
	    cmocka_unit_test(test_schemes_verify_what_they_sign),
	    cmocka_unit_test(test_sets),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_pair_alone),
	    cmocka_unit_test(test_rfc9421_refuses),
	    cmocka_unit_test(test_keys_as_text),
	    cmocka_unit_test(test_case_of_hex),
	    cmocka_unit_test(test_what_is_beside_has_to_be_right_where_it_is),
	    cmocka_unit_test(test_compressed_bodies),
	    cmocka_unit_test(test_unknown_versions_are_the_first),
	    cmocka_unit_test(test_times_count_as_they_are_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
