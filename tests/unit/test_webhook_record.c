/*
 * The record of a webhook: all forms come back as what they were; what is encrypted in it
 * cannot be read or changed without the key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/header.h"
#include "domain/name.h"
#include "domain/url.h"
#include "support.h"

/* All that the rules of the API allow, at its longest. */
static struct filter *longest_filter(void)
{
	struct problem p;
	struct filter *f = NULL;
	struct buf json = BUF_INIT(FILTER_BYTES_MAX);
	buf_puts(&json, "{\"path\":\"/a\",\"equals\":\"");
	while (json.len < FILTER_BYTES_MAX - 2)
		buf_putc(&json, 'x');
	buf_puts(&json, "\"}");
	assert_int_equal(filter_compile(buf_view(&json), "filter", &f, &p), OK);
	buf_fini(&json);
	return f;
}

static struct success *longest_success(void)
{
	struct problem p;
	struct success *s = NULL;
	struct filter *f = longest_filter();
	struct buf json = BUF_INIT(SUCCESS_BYTES_MAX);
	buf_puts(&json, "{\"statuses\":[");
	for (int i = 0; i < SUCCESS_STATUSES_MAX; i++)
		buf_puts(&json, i == 0 ? "\"2xx\"" : ",\"5xx\"");
	buf_puts(&json, "],\"answer\":");
	buf_slice(&json, filter_json(f));
	buf_puts(&json, "}");
	assert_int_equal(success_compile(buf_view(&json), "success", &s, &p), OK);
	buf_fini(&json);
	filter_free(f);
	return s;
}

static struct lane_key *longest_key(void)
{
	char *pointer = repeat('k', POINTER_BYTES_MAX);
	pointer[0] = '/';
	struct lane_key *key = make_key(pointer);
	free(pointer);
	return key;
}

static struct webhook_auth *longest_auth(void)
{
	struct webhook_auth *a = webhook_auth_new(AUTH_OAUTH2);
	char *secret = repeat('t', AUTH_SECRET_MAX);
	free(a->name);
	a->name = repeat('n', AUTH_NAME_MAX);
	a->token_url = repeat('u', URL_MAX);
	a->scope = repeat('s', AUTH_NAME_MAX);
	a->audience = repeat('a', AUTH_NAME_MAX);
	a->signs = true; /* has a text more than the others */
	a->key_id = repeat('k', AUTH_NAME_MAX);
	webhook_auth_set_secret(a, slice_of(secret));
	free(secret);
	return a;
}

/* A text of `len` bytes that ends in `end`. */
static char *repeat_before(size_t len, const char *end)
{
	char *text = repeat('x', len);
	memcpy(text + len - strlen(end), end, strlen(end));
	return text;
}

static struct webhook_options *longest_options(void)
{
	struct webhook_options *o = mem_new(sizeof(*o));
	struct proxy_choice *proxy = &o->proxy;
	proxy->kind = PROXY_OWN;
	proxy->url = repeat_before(PROXY_URL_MAX, "@192.0.2.1:65535");
	memcpy(proxy->url, "http://u:", 9);
	proxy->exceptions = mem_array(PROXY_EXCEPTIONS_MAX, sizeof(char *));
	while (proxy->exception_count < PROXY_EXCEPTIONS_MAX)
		proxy->exceptions[proxy->exception_count++] = repeat('h', PROXY_EXCEPTION_MAX);
	o->user_agent = repeat('a', OPTIONS_AGENT_MAX);
	o->http2 = true;
	o->gzip = true;
	return o;
}

/* A pair and one before it, of bytes that are `fill`. */
static void add_pairs(struct webhook *w, int fill)
{
	w->pair = mem_new(sizeof(*w->pair));
	w->previous_pair = mem_new(sizeof(*w->pair));
	memset(w->pair, fill, sizeof(*w->pair));
	memset(w->previous_pair, fill / 2, sizeof(*w->pair));
	w->previous_pair_expires_ms = INT64_MAX;
}

/* Decodes row `row` of a test, whose outcome is `want`; frees the record. */
static void expect_decoded(struct buf *record, enum err want, size_t row)
{
	struct reader r = reader_of(buf_view(record));
	struct webhook *got = NULL;
	struct vault_id key;
	if (webhook_decode(&r, NULL, &key, &got) != want)
		fail_msg("row %zu", row);
	webhook_free(got);
	buf_fini(record);
}

/* Nothing that is shorter than the record is one. */
static void expect_no_part(const struct buf *record)
{
	for (size_t len = 0; len < record->len; len++) {
		struct reader r = reader_of((struct slice){record->data, len});
		struct vault_id key;
		struct webhook *none = NULL;
		if (webhook_decode(&r, NULL, &key, &none) != ERR_CORRUPT || none != NULL)
			fail_msg("cut to %zu of %zu bytes", len, record->len);
	}
}

static struct webhook *largest_webhook(void)
{
	struct webhook *w = webhook_new();
	w->number = UINT64_MAX;
	memset(w->id.bytes, 0xff, UUID_SIZE);
	w->session = repeat('s', SESSION_MAX);
	w->url = repeat('u', URL_MAX);
	w->name = repeat('n', WEBHOOK_NAME_MAX);
	w->secret = repeat('x', WEBHOOK_SECRET_MAX);
	w->previous_secret = repeat('p', WEBHOOK_SECRET_MAX);
	w->previous_expires_ms = INT64_MAX;
	w->ca_pem = repeat('c', WEBHOOK_CA_MAX);
	w->description = repeat('d', WEBHOOK_DESCRIPTION_MAX);
	while (w->event_count < 256)
		add_event(w, repeat('e', EVENT_MAX));
	for (int i = 0; i < WEBHOOK_HEADERS_MAX; i++)
		add_header(w, repeat('n', HEADER_NAME_MAX),
		    repeat('v',
			WEBHOOK_HEADERS_BYTES_MAX / WEBHOOK_HEADERS_MAX - HEADER_NAME_MAX));
	w->retry = mem_new(sizeof(*w->retry));
	for (w->retry->count = 0; w->retry->count < RETRY_STEPS_MAX; w->retry->count++)
		w->retry->wait_ms[w->retry->count] = RETRY_WAIT_MAX_MS;
	w->created_ms = INT64_MIN;
	w->updated_ms = INT64_MAX;
	w->failing_since_ms = INT64_MAX;
	w->timeout_ms = UINT32_MAX;
	w->max_in_flight = UINT32_MAX;
	w->rate_limit = -HUGE_VAL;
	w->payload = PAYLOADS - 1;
	w->filter = longest_filter();
	w->key = longest_key();
	w->unordered = UINT32_MAX;
	w->auth = longest_auth();
	w->client_cert_pem = repeat('C', WEBHOOK_CERT_MAX);
	w->client_key_pem = repeat('K', WEBHOOK_KEY_MAX);
	w->client_cert_expires_ms = INT64_MIN;
	w->ownership = (struct ownership){.way = OWNERSHIP_BY_POST,
	    .state = OWNERSHIP_FAILED,
	    .since_ms = INT64_MAX,
	    .error = repeat('o', OWNERSHIP_ERROR_MAX - 1)};
	w->options = longest_options();
	w->fallback_url = repeat('f', URL_MAX);
	w->success = longest_success();
	add_pairs(w, 0xff);
	return w;
}

static void assert_text(const char *got, const char *want)
{
	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void compare_lists(const struct webhook *a, const struct webhook *b)
{
	assert_int_equal(a->event_count, b->event_count);
	for (size_t i = 0; i < a->event_count; i++)
		assert_string_equal(a->events[i], b->events[i]);
	assert_int_equal(a->header_count, b->header_count);
	for (size_t i = 0; i < a->header_count; i++) {
		assert_string_equal(a->headers[i].name, b->headers[i].name);
		assert_string_equal(a->headers[i].value, b->headers[i].value);
	}
	assert_int_equal(a->retry == NULL, b->retry == NULL);
	if (a->retry == NULL || b->retry == NULL)
		return;
	assert_int_equal(a->retry->count, b->retry->count);
	assert_memory_equal(a->retry->wait_ms, b->retry->wait_ms, a->retry->count * 8);
}

static void compare_auth(const struct webhook_auth *got, const struct webhook_auth *a)
{
	assert_int_equal(got == NULL, a == NULL);
	if (a == NULL || got == NULL)
		return;
	assert_int_equal(got->type, a->type);
	assert_int_equal(got->posts, a->posts);
	assert_int_equal(got->signs, a->signs);
	assert_text(got->key_id, a->key_id);
	assert_string_equal(got->name, a->name);
	assert_text(got->secret, a->secret);
	assert_text(got->token_url, a->token_url);
	assert_text(got->scope, a->scope);
	assert_text(got->audience, a->audience);
	assert_text(got->header, a->header);
}

static void compare_options(const struct webhook_options *got, const struct webhook_options *o)
{
	assert_int_equal(got == NULL, o == NULL);
	if (o == NULL || got == NULL)
		return;
	assert_int_equal(got->proxy.kind, o->proxy.kind);
	assert_text(got->proxy.url, o->proxy.url);
	assert_int_equal(got->proxy.exception_count, o->proxy.exception_count);
	for (size_t i = 0; i < o->proxy.exception_count; i++)
		assert_string_equal(got->proxy.exceptions[i], o->proxy.exceptions[i]);
	assert_text(got->user_agent, o->user_agent);
	assert_int_equal(got->http2, o->http2);
	assert_int_equal(got->gzip, o->gzip);
}

static void compare_pairs(const struct ed25519_pair *a, const struct ed25519_pair *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a != NULL && b != NULL)
		assert_memory_equal(a, b, sizeof(*a));
}

static void compare_webhooks(const struct webhook *got, const struct webhook *w)
{
	assert_true(got->number == w->number);
	assert_memory_equal(got->id.bytes, w->id.bytes, UUID_SIZE);
	assert_string_equal(got->session, w->session);
	assert_string_equal(got->url, w->url);
	assert_text(got->name, w->name);
	assert_text(got->secret, w->secret);
	assert_text(got->previous_secret, w->previous_secret);
	assert_text(got->ca_pem, w->ca_pem);
	assert_true(got->previous_expires_ms == w->previous_expires_ms);
	assert_int_equal(got->tls_insecure, w->tls_insecure);
	assert_text(got->description, w->description);
	assert_text(got->disabled_reason, w->disabled_reason);
	assert_int_equal(got->keeps_queueing, w->keeps_queueing);
	assert_memory_equal(&got->rate_limit, &w->rate_limit, sizeof(double));
	assert_true(got->created_ms == w->created_ms);
	assert_true(got->updated_ms == w->updated_ms);
	assert_true(got->failing_since_ms == w->failing_since_ms);
	assert_true(got->timeout_ms == w->timeout_ms);
	assert_true(got->max_in_flight == w->max_in_flight);
	assert_int_equal(got->signature, w->signature);
	assert_int_equal(got->fifo, w->fifo);
	assert_int_equal(got->enabled, w->enabled);
	assert_int_equal(got->deleted, w->deleted);
	assert_int_equal(got->payload, w->payload);
	assert_int_equal(got->filter == NULL, w->filter == NULL);
	if (w->filter != NULL)
		assert_true(slice_eq(filter_json(got->filter), filter_json(w->filter)));
	assert_true(got->unordered == w->unordered);
	assert_true(lane_key_same(got->key, w->key));
	compare_auth(got->auth, w->auth);
	compare_options(got->options, w->options);
	assert_text(got->client_cert_pem, w->client_cert_pem);
	assert_text(got->client_key_pem, w->client_key_pem);
	assert_true(got->client_cert_expires_ms == w->client_cert_expires_ms);
	assert_int_equal(got->ownership.way, w->ownership.way);
	assert_int_equal(got->ownership.state, w->ownership.state);
	assert_true(got->ownership.since_ms == w->ownership.since_ms);
	assert_text(got->ownership.error, w->ownership.error);
	compare_pairs(got->pair, w->pair);
	compare_pairs(got->previous_pair, w->previous_pair);
	assert_true(got->previous_pair_expires_ms == w->previous_pair_expires_ms);
	assert_text(got->fallback_url, w->fallback_url);
	assert_int_equal(got->success == NULL, w->success == NULL);
	if (w->success != NULL)
		assert_true(slice_eq(success_json(got->success), success_json(w->success)));
	compare_lists(got, w);
}

/* Decodes what is `w` under `vault`, and compares; the key that it names is `want`. */
static void check_record(const struct buf *b, const struct vault *vault,
    const struct vault_id *want, const struct webhook *w)
{
	struct vault_id key;
	struct webhook *got = NULL;
	struct reader r = reader_of(buf_view(b));
	assert_int_equal(webhook_decode(&r, vault, &key, &got), OK);
	assert_true(vault_same(&key, want));
	compare_webhooks(got, w);
	webhook_free(got);
}

static const unsigned char NONCE[VAULT_NONCE_SIZE] = {9, 8, 7};
static const struct vault_id NO_KEY;

/* A vault of one key, all of its digits `digit`. */
static struct vault *vault_of(char digit)
{
	char *hex = repeat(digit, 64);
	struct vault *vault = vault_new();
	struct problem p;
	assert_int_equal(vault_add(vault, slice_of(hex), &p), OK);
	free(hex);
	return vault;
}

/* Encodes and decodes `w`, which it frees: as it is and encrypted. */
static void check_webhook(struct webhook *w)
{
	struct vault *vault = vault_of('a');
	struct vault_id current = vault_current(vault);
	struct buf open = BUF_INIT(WEBHOOK_RECORD_MAX);
	struct buf encrypted = BUF_INIT(WEBHOOK_RECORD_MAX);
	webhook_encode(w, NULL, NULL, &open);
	assert_false(open.failed);
	check_record(&open, NULL, &NO_KEY, w);
	check_record(&open, vault, &NO_KEY, w);
	webhook_encode(w, vault, NONCE, &encrypted);
	assert_false(encrypted.failed);
	assert_int_equal(encrypted.len, open.len + VAULT_OVERHEAD);
	check_record(&encrypted, vault, &current, w);
	webhook_free(w);
	vault_free(vault);
	buf_fini(&open);
	buf_fini(&encrypted);
}

static void test_webhook_round_trip(void **state)
{
	(void)state;
	check_webhook(make_webhook(0, "", ""));
	check_webhook(make_full_webhook());
	check_webhook(largest_webhook());
}

static void put_cstr(struct buf *out, const char *text)
{
	put_text(out, slice_of(text));
}

/* The record of version 1, as a waybill wrote it that knew no encryption. */
static void encode_version_1(const struct webhook *w, uint8_t flags, struct buf *out)
{
	put_u8(out, 1);
	put_u8(out, flags);
	put_u8(out, (uint8_t)w->signature);
	put_u64(out, w->number);
	buf_append(out, w->id.bytes, UUID_SIZE);
	put_i64(out, w->created_ms);
	put_i64(out, w->updated_ms);
	put_i64(out, w->failing_since_ms);
	put_u32(out, w->timeout_ms);
	put_u32(out, w->max_in_flight);
	buf_append(out, "\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc", 8); /* 0.001 */
	put_cstr(out, w->session);
	put_cstr(out, w->url);
	put_cstr(out, w->secret);
	put_cstr(out, w->previous_secret);
	put_i64(out, w->previous_expires_ms);
	put_cstr(out, w->ca_pem);
	put_cstr(out, w->description);
	put_cstr(out, w->disabled_reason);
	put_u16(out, (uint16_t)w->event_count);
	for (size_t i = 0; i < w->event_count; i++)
		put_cstr(out, w->events[i]);
	put_u16(out, (uint16_t)w->header_count);
	for (size_t i = 0; i < w->header_count; i++) {
		put_cstr(out, w->headers[i].name);
		put_cstr(out, w->headers[i].value);
	}
	put_u16(out, (uint16_t)w->retry->count);
	for (uint32_t i = 0; i < w->retry->count; i++)
		put_i64(out, w->retry->wait_ms[i]);
}

static void test_webhook_of_version_1(void **state)
{
	(void)state;
	struct vault *vault = vault_of('a');
	struct webhook *w = make_full_webhook();
	struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
	/* 2 deleted, 4 fifo, 8 secret, 16 description, 32 retry, 64 previous, 128 insecure */
	encode_version_1(w, 0xfe, &b);
	check_record(&b, NULL, &NO_KEY, w);
	check_record(&b, vault, &NO_KEY, w);
	expect_no_part(&b);
	buf_fini(&b);
	webhook_free(w);
	vault_free(vault);
}

#define OWN_SECRETS (3 * 2)  /* of auth, certificate and key, none of which is there */
#define PAIR_SECRETS (2 * 2) /* two seeds, neither of which is there */
#define OLD_BEHIND (VAULT_ID_SIZE + 2 + 2) /* no key, two secrets that are not there */
#define BEHIND (OLD_BEHIND + PAIR_SECRETS + OWN_SECRETS)
#define PAIR_BYTES (2 + 2 + 8)          /* of a record without key pairs */
#define OWN_BYTES (1 + 8)               /* without auth and client certificate */
#define OPTION_BYTES 1                  /* without options */
#define ANSWER_BYTES (2 + 2)            /* without fallback_url and success */
#define OWNERSHIP_BYTES (1 + 1 + 8 + 2) /* whose endpoint is not asked */
#define NAME_BYTES 2                    /* of one without a name: an empty text */
#define QUEUEING_BYTES 1
/* of these, what stands behind ownership */
#define LAST_BYTES (NAME_BYTES + QUEUEING_BYTES)
#define MORE_BYTES (OPTION_BYTES + ANSWER_BYTES + OWNERSHIP_BYTES + LAST_BYTES)
#define END_BYTES (PAIR_BYTES + OWN_BYTES + MORE_BYTES)
#define FILTER_BYTES (1 + 2) /* of a record without one: payload, an empty text */
#define ORDER_BYTES (4 + 2)  /* of one without a key: a number, an empty text */

/* The record of an older version, which ends its open part `less` bytes earlier. */
static void check_older(uint8_t version, size_t less)
{
	struct webhook *w = make_webhook(5, "s", "http://a/");
	struct buf now = BUF_INIT(WEBHOOK_RECORD_MAX);
	struct buf then = BUF_INIT(WEBHOOK_RECORD_MAX);
	webhook_encode(w, NULL, NULL, &now);
	assert_int_equal(now.data[0], 11);
	buf_append(&then, now.data, now.len - BEHIND - less);
	buf_append(&then, now.data + now.len - BEHIND,
	    OLD_BEHIND + (version >= 5 ? PAIR_SECRETS : 0) + (version >= 6 ? OWN_SECRETS : 0));
	then.data[0] = (char)version;
	check_record(&then, NULL, &NO_KEY, w);
	expect_no_part(&then);
	buf_fini(&now);
	buf_fini(&then);
	webhook_free(w);
}

static void test_webhook_of_version_2(void **state)
{
	(void)state;
	check_older(2, FILTER_BYTES + ORDER_BYTES + END_BYTES);
}

static void test_webhook_of_version_3(void **state)
{
	(void)state;
	check_older(3, ORDER_BYTES + END_BYTES);
}

static void test_webhook_of_version_4(void **state)
{
	(void)state;
	check_older(4, END_BYTES);
}

static unsigned count_bars(const char *text)
{
	unsigned n = 0;
	for (; *text != '\0'; text++)
		n += *text == '|' ? 1 : 0;
	return n;
}

/* An auth of a type that there is not, or with what its type has not, is damaged. */
static void test_bad_auth_is_damage(void **state)
{
	(void)state;
	static const struct {
		const char *open; /* in place of "no auth", NULs as dots */
		enum err err;
	} ROWS[] = {{"\1|0||||", OK}, {"\1|0|n|||", OK}, {"\2|0||||", OK}, {"\3|1|n|u|s|a", OK},
	    {"\3|0||u||", OK}, {"\3|2|n|u|s|a|k", OK}, {"\3|2|n|u|||", OK},
	    {"\3|0|n|||", ERR_CORRUPT}, {"\3|2|n|u||", ERR_CORRUPT},
	    {"\3|3|n|u||", ERR_CORRUPT}, {"\1|2|n||||k", ERR_CORRUPT},
	    {"\3|1|n|u||a|k", ERR_CORRUPT}, {"\4|0||||", ERR_CORRUPT},
	    {"\2|0|n|||", ERR_CORRUPT}, {"\1|1||||", ERR_CORRUPT}, {"\1|0|n|u||", ERR_CORRUPT},
	    {"\1|0|n||s|", ERR_CORRUPT}, {"\2|0||||a", ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct slice rest = slice_of(ROWS[i].open);
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + MORE_BYTES + OWN_BYTES;
		put_u8(&b, (uint8_t)slice_cut(&rest, '|').ptr[0]);
		put_u8(&b, (uint8_t)(slice_cut(&rest, '|').ptr[0] - '0'));
		for (unsigned n = count_bars(ROWS[i].open); n > 1; n--)
			put_text(&b, slice_cut(&rest, '|'));
		buf_append(&b, (char[8 + MORE_BYTES + BEHIND]){0}, 8 + MORE_BYTES + BEHIND);
		expect_decoded(&b, ROWS[i].err, i);
		webhook_free(w);
	}
}

static void test_webhook_of_version_5(void **state)
{
	(void)state;
	check_older(5, OWN_BYTES + MORE_BYTES);
}

static void test_webhook_of_version_6(void **state)
{
	(void)state;
	check_older(6, MORE_BYTES);
}

static void test_webhook_of_version_9(void **state)
{
	(void)state;
	check_older(9, LAST_BYTES);
}

static void test_webhook_of_version_10(void **state)
{
	(void)state;
	check_older(10, QUEUEING_BYTES);
}

/* What no request could have given it is no name. */
static void test_bad_name_is_damage(void **state)
{
	(void)state;
	static const char *const NAMES[] = {"a", "dlq", "a/b", ".", ""};
	for (size_t i = 0; i < COUNT(NAMES); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct webhook *got = NULL;
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct vault_id key;
		bool good = i == 0 || NAMES[i][0] == '\0';
		webhook_set(&w->name, NAMES[i]);
		webhook_encode(w, NULL, NULL, &b);
		struct reader r = reader_of(buf_view(&b));
		if (webhook_decode(&r, NULL, &key, &got) != (good ? OK : ERR_CORRUPT))
			fail_msg("%s", NAMES[i]);
		if (good)
			assert_text(got->name, i == 0 ? "a" : NULL);
		webhook_free(got);
		webhook_free(w);
		buf_fini(&b);
	}
}

/* There is one form of each ownership: what is asked has a state and its time. */
static void test_bad_ownership_is_damage(void **state)
{
	(void)state;
	static const struct {
		uint8_t way, is;
		int64_t since_ms;
		const char *error;
		enum err err;
	} ROWS[] = {{0, 0, 0, "", OK}, {1, 1, 1, "", OK}, {2, 2, INT64_MAX, "", OK},
	    {1, 3, 1, "why", OK}, {0, 1, 1, "", ERR_CORRUPT}, {1, 0, 0, "", ERR_CORRUPT},
	    {0, 0, 1, "", ERR_CORRUPT}, {3, 1, 1, "", ERR_CORRUPT}, {1, 4, 1, "", ERR_CORRUPT},
	    {1, 1, 0, "", ERR_CORRUPT}, {1, 1, -1, "", ERR_CORRUPT},
	    {1, 1, 1, "why", ERR_CORRUPT}, {1, 3, 1, "", ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + LAST_BYTES + OWNERSHIP_BYTES;
		put_u8(&b, ROWS[i].way);
		put_u8(&b, ROWS[i].is);
		put_i64(&b, ROWS[i].since_ms);
		put_text(&b, slice_of(ROWS[i].error));
		buf_append(&b, (char[LAST_BYTES + BEHIND]){0}, LAST_BYTES + BEHIND);
		expect_decoded(&b, ROWS[i].err, i);
		webhook_free(w);
	}
}

static void test_webhook_of_version_7(void **state)
{
	(void)state;
	check_older(7, ANSWER_BYTES + OWNERSHIP_BYTES + LAST_BYTES);
}

/* Options that there are not, that contradict each other, or that could not be sent. */
static void test_bad_options_are_damage(void **state)
{
	(void)state;
	static const struct {
		unsigned parts;
		const char
		    *texts; /* behind it, each up to a bar; of exceptions the first is two */
		const char *url; /* among the secrets */
		enum err err;
	} ROWS[] = {{0x01, "", "", OK}, {0x10, "", "", OK}, {0x20, "", "", OK},
	    {0x02, "", "http://p:1", OK}, {0x02, "", "http://a:b@p:1", OK},
	    {0x04, "a.b|10.0.0.0/8|", "", OK}, {0x08, "agent/1|", "", OK},
	    {0x3e, "a|b|agent|", "http://p:1", OK}, {0x03, "", "http://p:1", ERR_CORRUPT},
	    {0x40, "", "", ERR_CORRUPT}, {0x80, "", "", ERR_CORRUPT},
	    {0x02, "", "", ERR_CORRUPT}, {0x02, "", "http://p", ERR_CORRUPT},
	    {0x02, "", "https://p:1", ERR_CORRUPT}, {0x00, "", "http://p:1", ERR_CORRUPT},
	    {0x04, "a b|c|", "", ERR_CORRUPT}, {0x04, "|c|", "", ERR_CORRUPT},
	    {0x08, "|", "", ERR_CORRUPT}, {0x08, "a\r\nb: c|", "", ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct slice rest = slice_of(ROWS[i].texts);
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + MORE_BYTES;
		put_u8(&b, (uint8_t)ROWS[i].parts);
		if ((ROWS[i].parts & 0x04) != 0)
			put_u16(&b, 2);
		while (rest.len > 0)
			put_text(&b, slice_cut(&rest, '|'));
		buf_append(&b, (char[MORE_BYTES - OPTION_BYTES + BEHIND]){0},
		    MORE_BYTES - OPTION_BYTES + BEHIND);
		if (ROWS[i].url[0] != '\0' || ROWS[i].parts == 0x02)
			put_cstr(&b, ROWS[i].url);
		expect_decoded(&b, ROWS[i].err, i);
		webhook_free(w);
	}
}

static void test_webhook_of_version_8(void **state)
{
	(void)state;
	check_older(8, OWNERSHIP_BYTES + LAST_BYTES);
}

/* A disabled webhook may go on queueing; an enabled one that says so is damage. */
static void test_queueing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		bool enabled = i % 2 != 0;
		unsigned keeps = i / 2;
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct webhook *got = NULL;
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct vault_id key;
		webhook_set_enabled(w, enabled ? NULL : "why");
		webhook_encode(w, NULL, NULL, &b);
		b.data[b.len - BEHIND - QUEUEING_BYTES] = (char)keeps;
		struct reader r = reader_of(buf_view(&b));
		bool good = keeps == 0 || (keeps == 1 && !enabled);
		assert_int_equal(webhook_decode(&r, NULL, &key, &got), good ? OK : ERR_CORRUPT);
		if (good)
			assert_int_equal(got->keeps_queueing, keeps);
		webhook_free(got);
		webhook_free(w);
		buf_fini(&b);
	}
}

/* What counts as success is as it was written, or the record is damaged. */
static void test_bad_success_is_damage(void **state)
{
	static const char *const TEXTS[] = {"{", "{ }", "[]", "{\"statuses\":[]}",
	    "{\"statuses\":[410]}", "{\"answer\":{\"path\":\"x\",\"equals\":1}}", "{}{}"};
	(void)state;
	for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct webhook *none = NULL;
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct buf end = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct vault_id key;
		const size_t behind = OWNERSHIP_BYTES + LAST_BYTES + BEHIND;
		webhook_encode(w, NULL, NULL, &b);
		buf_append(&end, b.data + b.len - behind, behind);
		b.len -= behind + 2;
		put_cstr(&b, TEXTS[i]);
		buf_slice(&b, buf_view(&end));
		struct reader r = reader_of(buf_view(&b));
		if (webhook_decode(&r, NULL, &key, &none) != ERR_CORRUPT)
			fail_msg("%s", TEXTS[i]);
		buf_fini(&b);
		buf_fini(&end);
		webhook_free(w);
	}
}

/* A set of schemes is one byte, as one scheme was: older records have no sets. */
static void test_sets_are_of_version_5(void **state)
{
	(void)state;
	struct webhook *w = make_webhook(5, "s", "http://a/");
	w->signature = SIGNATURE_V1 | SIGNATURE_ED25519 | SIGNATURE_RFC9421;
	struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
	webhook_encode(w, NULL, NULL, &b);
	check_record(&b, NULL, &NO_KEY, w);
	for (unsigned version = 2; version <= 12; version++) {
		struct webhook *got = NULL;
		struct vault_id key;
		b.data[0] = (char)version;
		struct reader r = reader_of(buf_view(&b));
		assert_int_equal(webhook_decode(&r, NULL, &key, &got),
		    version == 11 ? OK : ERR_CORRUPT);
		webhook_free(got);
	}
	buf_fini(&b);
	webhook_free(w);
}

/* A key pair is whole or not there: the seed of one that has a public key, and no other. */
static void test_half_a_pair_is_damage(void **state)
{
	(void)state;
	static const struct {
		size_t public_bytes, seed_bytes;
		enum err err;
	} ROWS[] = {{0, 0, OK}, {32, 32, OK}, {32, 0, ERR_CORRUPT}, {0, 32, ERR_CORRUPT},
	    {31, 32, ERR_CORRUPT}, {32, 31, ERR_CORRUPT}, {33, 33, ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		static const char BYTES[64] = {7};
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + END_BYTES;
		put_text(&b, (struct slice){BYTES, ROWS[i].public_bytes});
		buf_append(&b, (char[10 + OWN_BYTES + MORE_BYTES]){0},
		    10 + OWN_BYTES + MORE_BYTES);
		buf_append(&b, (char[VAULT_ID_SIZE + 4]){0}, VAULT_ID_SIZE + 4);
		put_text(&b, (struct slice){BYTES, ROWS[i].seed_bytes});
		put_text(&b, SLICE(""));
		buf_append(&b, (char[OWN_SECRETS]){0}, OWN_SECRETS);
		expect_decoded(&b, ROWS[i].err, i);
		webhook_free(w);
	}
}

/* A record with a key that is none, or beside fifo, is damaged. */
static void test_bad_key_is_damage(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		bool fifo;
		enum err err;
	} ROWS[] = {{"\"/a\"", false, OK}, {"", true, OK}, {"\"/a\"", true, ERR_CORRUPT},
	    {"\"a\"", false, ERR_CORRUPT}, {"\"\"", false, ERR_CORRUPT},
	    {"1", false, ERR_CORRUPT}, {"\"/a\" ", false, ERR_CORRUPT},
	    {"\"/\\u0061\"", false, ERR_CORRUPT}, {"{", false, ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		w->fifo = ROWS[i].fifo;
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + END_BYTES + 2;
		put_cstr(&b, ROWS[i].key);
		buf_append(&b, (char[END_BYTES + BEHIND]){0}, END_BYTES + BEHIND);
		expect_decoded(&b, ROWS[i].err, i);
		webhook_free(w);
	}
}

/* A record with a filter that is no canonical JSON, or a payload of no kind, is damaged. */
static void test_bad_filter_is_damage(void **state)
{
	(void)state;
	static const struct {
		char payload;
		const char *filter;
		enum err err;
	} ROWS[] = {{2, "{\"path\":\"/a\",\"gt\":1}", OK}, {3, "", ERR_CORRUPT},
	    {0, "{", ERR_CORRUPT}, {0, "{\"path\":\"/a\",\"gt\":1}x", ERR_CORRUPT},
	    {0, "{\"path\":\"/a\", \"gt\":1}", ERR_CORRUPT}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct webhook *got = NULL;
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct vault_id key;
		webhook_encode(w, NULL, NULL, &b);
		b.len -= BEHIND + END_BYTES + ORDER_BYTES + FILTER_BYTES;
		buf_putc(&b, ROWS[i].payload);
		put_cstr(&b, ROWS[i].filter);
		buf_append(&b, (char[ORDER_BYTES + END_BYTES + BEHIND]){0},
		    ORDER_BYTES + END_BYTES + BEHIND);
		struct reader r = reader_of(buf_view(&b));
		assert_int_equal(webhook_decode(&r, NULL, &key, &got), ROWS[i].err);
		webhook_free(got);
		webhook_free(w);
		buf_fini(&b);
	}
}

/*
 * A filter that this version does not take disables its webhook, and no more: it is shown, and
 * written back, until there is another.
 */
static void test_filter_that_is_not_taken(void **state)
{
	(void)state;
	static const char *const FILTERS[] = {"{\"path\":\"/a\"}", "{}", "[]", "7",
	    "{\"path\":\"/a\",\"nope\":1}"};
	for (size_t i = 0; i < COUNT(FILTERS); i++) {
		struct webhook *w = make_webhook(5, "s", "http://a/");
		struct webhook *got = NULL;
		struct buf b = BUF_INIT(WEBHOOK_RECORD_MAX);
		struct vault_id key;
		struct problem p = {0};
		w->filter = filter_keep(slice_of(FILTERS[i]));
		webhook_encode(w, NULL, NULL, &b);
		struct reader r = reader_of(buf_view(&b));
		assert_int_equal(webhook_decode(&r, NULL, &key, &got), OK);
		assert_true(filter_is_kept(got->filter));
		assert_true(slice_eq(filter_json(got->filter), slice_of(FILTERS[i])));
		assert_int_equal(filter_steps(got->filter), 0);
		assert_false(got->enabled);
		assert_string_equal(got->disabled_reason, WEBHOOK_DISABLED_BY_FILTER);
		assert_int_equal(webhook_check_enable(got, &p), ERR_INVALID);
		assert_string_equal(p.field, "filter");
		filter_free(got->filter);
		got->filter = NULL;
		assert_int_equal(webhook_check_enable(got, &p), OK);
		webhook_free(got);
		webhook_free(w);
		buf_fini(&b);
	}
}

/* A record without any flag, from a store of version 1. */
static void test_webhook_of_a_dump(void **state)
{
	(void)state;
	static const char RECORD[] =
	    "\x01\x29\x01\0\0\0\0\0\0\0\x01\xd5\x16\x2d\x85\x3b\x4a\x4c\xee\x82\x8c\xe8\xf1"
	    "\x1c\xf9\xf4\x5e\0\0\x01\xa2\x08\xdd\xaf\x4e\0\0\x01\xa2\x08\xdd\xaf\x4e\0\0\0\0\0"
	    "\0\0\0\0\0\x13\x88\0\0\0\x10\0\0\0\0\0\0\0\0\0\x04"
	    "demo\0\x13http://127.0.0.1:9/"
	    "\0\x06s3cret\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x07message\0\0\0\x01"
	    "\0\0\0\0\0\x36\xee\x80";
	struct reader r = reader_of((struct slice){RECORD, sizeof(RECORD) - 1});
	struct vault_id key;
	struct webhook *w = NULL;
	assert_int_equal(webhook_decode(&r, NULL, &key, &w), OK);
	assert_string_equal(w->session, "demo");
	assert_string_equal(w->url, "http://127.0.0.1:9/");
	assert_string_equal(w->secret, "s3cret");
	assert_null(w->previous_secret);
	assert_true(w->retry->wait_ms[0] == 3600000);
	webhook_free(w);
}

/* Whether `bytes` are somewhere in `b`. */
static bool holds(const struct buf *b, const char *bytes)
{
	return memmem(b->data, b->len, bytes, strlen(bytes)) != NULL;
}

static void test_secrets_are_encrypted(void **state)
{
	(void)state;
	static const char *const SECRETS[] = {"SECRET-one", "SECRET-two", "SECRET-three",
	    "http://u:SECRET-four@p:1"};
	struct vault *vault = vault_of('a');
	struct vault *other = vault_of('b');
	struct vault_id current = vault_current(vault);
	struct vault_id key;
	struct webhook *w = make_webhook(3, "s", "http://a/");
	struct webhook *none = NULL;
	webhook_set(&w->secret, SECRETS[0]);
	webhook_rotate_secret(w, SECRETS[1], 5);
	add_header(w, repeat('N', 3), mem_copy(SECRETS[2], strlen(SECRETS[2])));
	webhook_options_of(&w->options)->proxy.kind = PROXY_OWN;
	webhook_set(&w->options->proxy.url, SECRETS[3]);
	struct buf open = BUF_INIT(10000);
	struct buf encrypted = BUF_INIT(10000);
	webhook_encode(w, NULL, NULL, &open);
	webhook_encode(w, vault, NONCE, &encrypted);
	for (size_t i = 0; i < COUNT(SECRETS); i++) {
		assert_true(holds(&open, SECRETS[i]));
		assert_false(holds(&encrypted, SECRETS[i]));
	}
	const struct vault *const WRONG[] = {NULL, other};
	for (size_t i = 0; i < COUNT(WRONG); i++) {
		struct reader r = reader_of(buf_view(&encrypted));
		assert_int_equal(webhook_decode(&r, WRONG[i], &key, &none), ERR_REFUSED);
		assert_null(none);
		assert_true(vault_same(&key, &current));
	}
	webhook_free(w);
	vault_free(vault);
	vault_free(other);
	buf_fini(&open);
	buf_fini(&encrypted);
}

/* No byte of an encrypted record can be another: not the URL, nor whose secrets these are. */
static void test_encrypted_record_is_bound(void **state)
{
	(void)state;
	struct vault *vault = vault_of('a');
	struct webhook *w = make_full_webhook();
	struct buf b = BUF_INIT(10000);
	webhook_encode(w, vault, NONCE, &b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct vault_id key;
		struct webhook *none = NULL;
		b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
		struct reader r = reader_of(buf_view(&b));
		if (webhook_decode(&r, vault, &key, &none) == OK)
			fail_msg("bit %zu", bit);
		b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
	}
	buf_fini(&b);
	webhook_free(w);
	vault_free(vault);
}

/* Without a key all but the secrets can be read and checked. */
static void test_open_part(void **state)
{
	(void)state;
	struct vault *vault = vault_of('a');
	struct vault_id current = vault_current(vault);
	struct vault_id key;
	struct webhook *w = make_full_webhook();
	struct webhook *got = NULL;
	struct buf b = BUF_INIT(10000);
	webhook_encode(w, vault, NONCE, &b);
	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(webhook_decode_open(&r, &key, &got), OK);
	assert_true(vault_same(&key, &current));
	assert_string_equal(got->url, w->url);
	assert_null(got->secret);
	assert_null(got->previous_secret);
	assert_int_equal(got->header_count, w->header_count);
	assert_string_equal(got->headers[0].name, w->headers[0].name);
	assert_null(got->headers[0].value);
	webhook_free(got);

	buf_reset(&b);
	webhook_encode(w, NULL, NULL, &b);
	r = reader_of(buf_view(&b));
	assert_int_equal(webhook_decode_open(&r, &key, &got), OK);
	assert_true(vault_is_none(&key));
	compare_webhooks(got, w);
	webhook_free(got);
	got = NULL;
	r = reader_of((struct slice){b.data, b.len - 1});
	assert_int_equal(webhook_decode_open(&r, &key, &got), ERR_CORRUPT);
	assert_null(got);
	buf_fini(&b);
	webhook_free(w);
	vault_free(vault);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_webhook_round_trip),
	    cmocka_unit_test(test_webhook_of_version_1),
	    cmocka_unit_test(test_webhook_of_version_2),
	    cmocka_unit_test(test_webhook_of_version_3),
	    cmocka_unit_test(test_webhook_of_version_4),
	    cmocka_unit_test(test_webhook_of_version_5),
	    cmocka_unit_test(test_webhook_of_version_6),
	    cmocka_unit_test(test_bad_options_are_damage),
	    cmocka_unit_test(test_webhook_of_version_10),
	    cmocka_unit_test(test_bad_name_is_damage),
	    cmocka_unit_test(test_bad_ownership_is_damage),
	    cmocka_unit_test(test_webhook_of_version_7),
	    cmocka_unit_test(test_bad_success_is_damage),
	    cmocka_unit_test(test_webhook_of_version_8),
	    cmocka_unit_test(test_webhook_of_version_9),
	    cmocka_unit_test(test_webhook_of_version_10),
	    cmocka_unit_test(test_queueing),
	    cmocka_unit_test(test_bad_auth_is_damage),
	    cmocka_unit_test(test_sets_are_of_version_5),
	    cmocka_unit_test(test_half_a_pair_is_damage),
	    cmocka_unit_test(test_bad_key_is_damage),
	    cmocka_unit_test(test_bad_filter_is_damage),
	    cmocka_unit_test(test_filter_that_is_not_taken),
	    cmocka_unit_test(test_webhook_of_a_dump),
	    cmocka_unit_test(test_secrets_are_encrypted),
	    cmocka_unit_test(test_encrypted_record_is_bound),
	    cmocka_unit_test(test_open_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
