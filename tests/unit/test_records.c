/*
 * Records on disk: what is written comes back, at the extremes too; a record that is
 * cut, extended or of another version is refused without reading beyond it; a sealed one
 * with any bit flipped is never decoded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "support.h"

static void fill(char *out, size_t len, char c)
{
	memset(out, c, len);
	out[len] = '\0';
}

static struct uuid id_of(int byte)
{
	struct uuid id;
	memset(id.bytes, byte, UUID_SIZE);
	return id;
}

static const struct delivery DELIVERIES[] = {
    {.status = DELIVERY_WAITING},
    {.status = DELIVERY_DEAD,
	.event_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
	.webhook = UINT64_MAX,
	.created_ms = INT64_MAX,
	.place_ms = (INT64_C(1) << 48) - 1,
	.lane = UINT16_MAX,
	.due_ms = -1,
	.queued_ms = 1767225600000,
	.attempts = UINT32_MAX,
	.replayed_at = UINT32_MAX - 1,
	.replays = UINT32_MAX - 2,
	.letter = {{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}}},
};

static void test_delivery_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(DELIVERIES); i++) {
		const struct delivery *d = &DELIVERIES[i];
		struct buf b = BUF_INIT(1000);
		struct delivery got = {.id = id_of(7)};
		const struct uuid id = got.id;
		delivery_encode(d, &b);
		struct reader r = reader_of(buf_view(&b));
		assert_int_equal(delivery_decode(&r, &got), OK);
		assert_memory_equal(got.id.bytes, id.bytes, UUID_SIZE);
		assert_memory_equal(got.event_id.bytes, d->event_id.bytes, UUID_SIZE);
		assert_true(got.webhook == d->webhook);
		assert_true(got.created_ms == d->created_ms);
		assert_true(got.place_ms == d->place_ms);
		assert_int_equal(got.lane, d->lane);
		assert_true(got.due_ms == d->due_ms);
		assert_true(got.queued_ms == d->queued_ms);
		assert_true(got.attempts == d->attempts);
		assert_true(got.replayed_at == d->replayed_at);
		assert_true(got.replays == d->replays);
		assert_memory_equal(got.letter.bytes, d->letter.bytes, UUID_SIZE);
		assert_int_equal(got.status, d->status);
		buf_fini(&b);
	}
}

/* Version 1 ended behind replayed_at; what was replayed once is not new. */
static void test_delivery_of_version_1(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(DELIVERIES); i++) {
		const struct delivery *d = &DELIVERIES[i];
		struct buf b = BUF_INIT(1000);
		struct delivery got = {.id = id_of(7)};
		delivery_encode(d, &b);
		b.data[0] = 1;
		struct reader r = reader_of(
		    (struct slice){.ptr = b.data, .len = b.len - 4 - UUID_SIZE});
		assert_int_equal(delivery_decode(&r, &got), OK);
		assert_true(got.attempts == d->attempts);
		assert_true(got.replayed_at == d->replayed_at);
		assert_true(got.replays == (d->replayed_at > 0 ? 1 : 0));
		assert_true(got.letter.bytes[0] == 0 && got.letter.bytes[15] == 0);
		r = reader_of(buf_view(&b)); /* one that is longer is none */
		assert_int_equal(delivery_decode(&r, &got), ERR_CORRUPT);
		buf_fini(&b);
	}
}

static struct dead_letter *long_dead_letter(void)
{
	struct dead_letter *d = mem_new(sizeof(*d));
	d->id = id_of(1);
	d->delivery_id = id_of(2);
	d->event_id = id_of(3);
	d->webhook_id = id_of(4);
	fill(d->webhook_url, URL_MAX, 'u');
	fill(d->event, EVENT_MAX, 'e');
	fill(d->last_error, DEAD_ERROR_MAX, 'x');
	d->attempts = UINT32_MAX;
	d->failed_ms = INT64_MAX;
	return d;
}

static void check_dead_letter(const struct dead_letter *d)
{
	struct buf b = BUF_INIT(10000);
	struct dead_letter *got = mem_new(sizeof(*got));
	got->id = d->id;
	dead_letter_encode(d, &b);
	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(dead_letter_decode(&r, got), OK);
	assert_memory_equal(got->id.bytes, d->id.bytes, UUID_SIZE);
	assert_memory_equal(got->delivery_id.bytes, d->delivery_id.bytes, UUID_SIZE);
	assert_memory_equal(got->event_id.bytes, d->event_id.bytes, UUID_SIZE);
	assert_memory_equal(got->webhook_id.bytes, d->webhook_id.bytes, UUID_SIZE);
	assert_string_equal(got->webhook_url, d->webhook_url);
	assert_string_equal(got->event, d->event);
	assert_string_equal(got->last_error, d->last_error);
	assert_true(got->attempts == d->attempts);
	assert_true(got->failed_ms == d->failed_ms);
	free(got);
	buf_fini(&b);
}

static void test_dead_letter_round_trip(void **state)
{
	(void)state;
	struct dead_letter *empty = mem_new(sizeof(*empty));
	struct dead_letter *full = long_dead_letter();
	check_dead_letter(empty);
	check_dead_letter(full);
	free(empty);
	free(full);
}

/* A text that is longer than its field is no record of ours. */
static void test_dead_letter_text_too_long(void **state)
{
	(void)state;
	static const size_t MAX[] = {URL_MAX, EVENT_MAX, DEAD_ERROR_MAX};
	char *text = mem_array(URL_MAX + 1, 1);
	memset(text, 'x', URL_MAX + 1);
	struct dead_letter *got = mem_new(sizeof(*got));
	for (size_t field = 0; field < COUNT(MAX); field++) {
		for (size_t over = 0; over <= 1; over++) {
			struct buf b = BUF_INIT(10000);
			struct dead_letter none = {0};
			dead_letter_encode(&none, &b);
			b.len -= 3 * 2; /* the lengths of the texts */
			for (size_t i = 0; i < COUNT(MAX); i++)
				put_text(&b,
				    (struct slice){text, i == field ? MAX[i] + over : 0});
			struct reader r = reader_of(buf_view(&b));
			if (dead_letter_decode(&r, got) != (over > 0 ? ERR_CORRUPT : OK))
				fail_msg("text %zu, %zu over", field, over);
			buf_fini(&b);
		}
	}
	free(got);
	free(text);
}

static bool same_attempt(const struct attempt_record *a, const struct attempt_record *b)
{
	return a->at_ms == b->at_ms && a->duration_us == b->duration_us &&
	    a->dns_us == b->dns_us && a->connect_us == b->connect_us &&
	    a->tls_us == b->tls_us && a->first_byte_us == b->first_byte_us &&
	    a->status == b->status && slice_eq(a->url, b->url) &&
	    memcmp(&a->webhook_id, &b->webhook_id, sizeof(a->webhook_id)) == 0 &&
	    slice_eq(a->address, b->address) && slice_eq(a->error, b->error) &&
	    slice_eq(a->answer, b->answer) && a->has_exchange == b->has_exchange &&
	    a->exchange.http_version == b->exchange.http_version &&
	    slice_eq(a->exchange.tls, b->exchange.tls) &&
	    slice_eq(a->exchange.subject, b->exchange.subject) &&
	    a->exchange.expires_ms == b->exchange.expires_ms &&
	    slice_eq(a->exchange.sent, b->exchange.sent) &&
	    slice_eq(a->exchange.answered, b->exchange.answered);
}

/* `len` bytes of headers in lines of 16 bytes, and `over` lines more. */
static struct slice lines_of(size_t len, size_t over)
{
	static char text[2 * ATTEMPT_HEADERS_MAX];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 16 == 15 ? '\n' : i % 16 == 3 ? ':' : 'h';
	return (struct slice){text, len + 16 * over};
}

/* An attempt with texts of `over` bytes more than there is room for. */
static struct attempt_record long_attempt(size_t over)
{
	static const char BYTES[4096] = {'b', 0, '\377'};
	return (struct attempt_record){.at_ms = INT64_MIN,
	    .duration_us = UINT32_MAX,
	    .dns_us = 1,
	    .connect_us = 2,
	    .tls_us = 3,
	    .first_byte_us = 4,
	    .status = 999,
	    .webhook_id = id_of(9),
	    .url = {BYTES, URL_MAX + over},
	    .address = {BYTES, ATTEMPT_ADDRESS_MAX + over},
	    .error = {BYTES, ATTEMPT_ERROR_MAX + over},
	    .answer = {BYTES, ATTEMPT_ANSWER_MAX + over},
	    .has_exchange = true,
	    .exchange = {.http_version = 11,
		.tls = {BYTES, ATTEMPT_TLS_MAX + over},
		.subject = {BYTES, ATTEMPT_SUBJECT_MAX + over},
		.expires_ms = INT64_MIN,
		.sent = lines_of(ATTEMPT_HEADERS_MAX, over),
		.answered = lines_of(ATTEMPT_HEADERS_MAX, over)}};
}

/* A record from before there were exchanges is read, and one without is written so still. */
static void test_attempt_of_old(void **state)
{
	(void)state;
	struct attempt_record a = long_attempt(0);
	struct attempt_record got = long_attempt(0);
	struct buf old = BUF_INIT(ATTEMPT_RECORD_MAX);
	struct buf whole = BUF_INIT(ATTEMPT_RECORD_MAX);
	attempt_record_encode(&a, &whole);
	a.has_exchange = false;
	a.exchange = (struct attempt_exchange){0};
	attempt_record_encode(&a, &old);
	assert_int_equal(old.data[0], 1);
	assert_int_equal(whole.data[0], 2);
	assert_memory_equal(old.data + 1, whole.data + 1, old.len - 1);
	struct reader r = reader_of(buf_view(&old));
	assert_int_equal(attempt_record_decode(&r, &got), OK);
	assert_true(same_attempt(&got, &a));
	old.data[0] = 2; /* and then nothing */
	r = reader_of(buf_view(&old));
	assert_int_equal(attempt_record_decode(&r, &got), ERR_CORRUPT);
	whole.data[0] = 3;
	r = reader_of(buf_view(&whole));
	assert_int_equal(attempt_record_decode(&r, &got), ERR_CORRUPT);
	buf_fini(&old);
	buf_fini(&whole);
}

/* Headers are cut off behind a line, and are read again by name in any case. */
static void test_headers_of_attempts(void **state)
{
	(void)state;
	struct attempt_record a = long_attempt(0);
	struct attempt_record got;
	struct buf b = BUF_INIT(ATTEMPT_RECORD_MAX);
	a.exchange.sent = SLICE("A: 1\nX-b:  two: 2 \na: 3\nEmpty: \nhalf");
	a.exchange.answered.len = ATTEMPT_HEADERS_MAX + 7;
	attempt_record_encode(&a, &b);
	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(attempt_record_decode(&r, &got), OK);
	assert_int_equal(got.exchange.answered.len, ATTEMPT_HEADERS_MAX);
	struct slice sent = got.exchange.sent;
	assert_true(slice_eq(attempt_header(sent, "a"), SLICE("1")));
	assert_true(slice_eq(attempt_header(sent, "X-B"), SLICE("two: 2")));
	assert_true(slice_eq(attempt_header(sent, "empty"), SLICE("")));
	assert_non_null(attempt_header(sent, "empty").ptr);
	assert_null(attempt_header(sent, "half").ptr);
	assert_null(attempt_header(sent, "X").ptr);
	buf_fini(&b);
}

/* What is too long is cut off, and so is a duration; sealed, it fits in a row. */
static void test_attempt_round_trip(void **state)
{
	(void)state;
	const struct attempt_record full = long_attempt(0);
	const struct attempt_record empty = {.url = SLICE(""),
	    .address = SLICE(""),
	    .error = SLICE(""),
	    .answer = SLICE("")};
	struct attempt_record over = long_attempt(1);
	struct attempt_record back = empty;
	over.duration_us = (int64_t)UINT32_MAX + 1;
	back.duration_us = -1;
	const struct {
		const struct attempt_record *put, *want;
	} ROWS[] = {{&full, &full}, {&empty, &empty}, {&over, &full}, {&back, &empty}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf b = BUF_INIT(ATTEMPT_RECORD_MAX);
		struct attempt_record got;
		struct reader r;
		attempt_record_encode(ROWS[i].put, &b);
		record_seal(&b, RECORD_ANYWHERE);
		assert_false(b.failed);
		assert_int_equal(record_open(buf_view(&b), RECORD_ANYWHERE, &r), OK);
		assert_int_equal(attempt_record_decode(&r, &got), OK);
		if (!same_attempt(&got, ROWS[i].want))
			fail_msg("row %zu", i);
		buf_fini(&b);
	}
}

/* The kinds of records, so that each is ill-treated alike. */
enum kind { KIND_DELIVERY, KIND_DEAD_LETTER, KIND_WEBHOOK, KIND_ATTEMPT, KINDS };

static void encode(enum kind kind, struct buf *b)
{
	struct dead_letter *dead = long_dead_letter();
	struct webhook *w = make_full_webhook();
	const struct attempt_record attempt = long_attempt(0);
	switch (kind) {
	case KIND_DELIVERY:
		delivery_encode(&DELIVERIES[1], b);
		break;
	case KIND_DEAD_LETTER:
		dead_letter_encode(dead, b);
		break;
	case KIND_WEBHOOK:
		webhook_encode(w, NULL, NULL, b);
		break;
	case KIND_ATTEMPT:
		attempt_record_encode(&attempt, b);
		break;
	case KINDS:
		break;
	}
	free(dead);
	webhook_free(w);
	assert_false(b->failed);
}

/* Decodes a copy of just these bytes, so that a byte read too far is noticed. */
static enum err decode(enum kind kind, const char *bytes, size_t len)
{
	enum err err = OK;
	char *copy = malloc(len);
	struct delivery d;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	struct webhook *w = NULL;
	struct attempt_record attempt;
	struct vault_id key;
	if (len > 0)
		memcpy(copy, bytes, len);
	struct reader r = reader_of((struct slice){copy, len});
	switch (kind) {
	case KIND_DELIVERY:
		err = delivery_decode(&r, &d);
		break;
	case KIND_DEAD_LETTER:
		err = dead_letter_decode(&r, dead);
		break;
	case KIND_WEBHOOK:
		err = webhook_decode(&r, NULL, &key, &w);
		assert_int_equal(err == OK, w != NULL);
		webhook_free(w);
		break;
	case KIND_ATTEMPT:
		err = attempt_record_decode(&r, &attempt);
		break;
	case KINDS:
		break;
	}
	free(dead);
	free(copy);
	return err;
}

static void test_cut_and_extended(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct buf b = BUF_INIT(10000);
		encode(kind, &b);
		assert_int_equal(decode(kind, b.data, b.len), OK);
		for (size_t len = 0; len < b.len; len++) {
			if (decode(kind, b.data, len) != ERR_CORRUPT)
				fail_msg("kind %d cut to %zu of %zu bytes", kind, len, b.len);
		}
		buf_putc(&b, '\0');
		if (decode(kind, b.data, b.len) != ERR_CORRUPT)
			fail_msg("kind %d with a byte too many", kind);
		buf_fini(&b);
	}
}

static void test_other_version(void **state)
{
	(void)state;
	static const int VERSIONS[] = {2, 1, 11, 2};
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct buf b = BUF_INIT(10000);
		encode(kind, &b);
		for (int version = 0; version < 256; version++) {
			bool known = version == VERSIONS[kind];
			b.data[0] = (char)version;
			if (decode(kind, b.data, b.len) != (known ? OK : ERR_CORRUPT))
				fail_msg("kind %d, version %d", kind, version);
		}
		buf_fini(&b);
	}
}

/* Changes one thing in a webhook's record, which then is none that webhook_encode() makes. */
static const struct change {
	const char *what;
	size_t at; /* byte of the record */
	char from, to;
} CHANGES[] = {
    {"signature 0", 2, 1, 0},
    {"signature 3: v1 and v2", 2, 1, 3},
    {"signature 16", 2, 1, 16},
    {"a NUL in the session", 69, 's', '\0'},
    {"a NUL in the URL", 73, 't', '\0'},
    {"a secret without its flag", 1, 1 | 8, 1},
    {"a reason though enabled", 1, 8, 1 | 8},
    {"no schedule, but waits", 1, 1 | 32, 1},
    {"a wait of 0", 113, 1, 0},
    {"a wait below 0", 106, 0, '\377'},
};

static struct webhook *webhook_to_change(const struct change *c)
{
	struct webhook *w = make_webhook(3, "s", "http://a/");
	if ((c->from & 8) != 0 && c->at == 1)
		webhook_set(&w->secret, "x");
	if (c->from == 8)
		webhook_set_enabled(w, "a reason");
	if (c->at > 100 || c->from == (1 | 32)) {
		w->retry = mem_new(sizeof(*w->retry));
		w->retry->count = 1;
		w->retry->wait_ms[0] = 1;
	}
	return w;
}

/* There is one form of a record: what is in it and would be lost makes it corrupt. */
static void test_no_second_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(CHANGES); i++) {
		const struct change *c = &CHANGES[i];
		struct webhook *w = webhook_to_change(c);
		struct buf b = BUF_INIT(10000);
		webhook_encode(w, NULL, NULL, &b);
		if (decode(KIND_WEBHOOK, b.data, b.len) != OK || b.data[c->at] != c->from)
			fail_msg("%s: byte %zu is %d", c->what, c->at, b.data[c->at]);
		b.data[c->at] = c->to;
		if (decode(KIND_WEBHOOK, b.data, b.len) != ERR_CORRUPT)
			fail_msg("%s was taken", c->what);
		webhook_free(w);
		buf_fini(&b);
	}
}

static void test_delivery_status(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(1000);
	encode(KIND_DELIVERY, &b);
	for (int status = 0; status < 256; status++) {
		b.data[1] = (char)status;
		bool known = status >= DELIVERY_WAITING && status <= DELIVERY_CANCELLED;
		if (decode(KIND_DELIVERY, b.data, b.len) != (known ? OK : ERR_CORRUPT))
			fail_msg("status %d", status);
	}
	buf_fini(&b);
}

/* Bytes that are no record of ours but carry its version: an answer, no crash, no leak. */
static void test_damaged(void **state)
{
	(void)state;
	struct rnd rnd;
	rnd_seed(&rnd, test_seed(31));
	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < 3000; i++) {
			struct buf b = BUF_INIT(10000);
			encode(kind, &b);
			for (uint64_t n = rnd_next(&rnd) % 4; n < 4; n++)
				b.data[1 + rnd_next(&rnd) % (b.len - 1)] = (char)rnd_next(&rnd);
			enum err err = decode(kind, b.data, b.len);
			bool refused = err == ERR_REFUSED && kind == KIND_WEBHOOK; /* a key */
			if (err != OK && err != ERR_CORRUPT && !refused)
				fail_msg("kind %d: %s", kind, err_text(err));
			buf_fini(&b);
		}
	}
}

static void test_seal(void **state)
{
	(void)state;
	static const size_t SIZES[] = {0, 1, 3, 16, 17, 128, 129, 240, 241, 4000};
	for (size_t row = 0; row < COUNT(SIZES); row++) {
		struct buf b = BUF_INIT(5000);
		struct reader r;
		for (size_t i = 0; i < SIZES[row]; i++)
			buf_putc(&b, (char)(i * 7));
		record_seal(&b, RECORD_ANYWHERE);
		assert_int_equal(b.len, SIZES[row] + RECORD_CHECKSUM);
		assert_int_equal(record_open(buf_view(&b), RECORD_ANYWHERE, &r), OK);
		assert_int_equal(r.left, SIZES[row]);
		assert_ptr_equal(r.ptr, b.data);
		assert_false(r.failed);
		for (size_t bit = 0; bit < b.len * 8; bit++) {
			b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
			if (record_open(buf_view(&b), RECORD_ANYWHERE, &r) != ERR_CORRUPT)
				fail_msg("%zu bytes, bit %zu", SIZES[row], bit);
			b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
		}
		for (size_t len = 0; len < b.len; len++) {
			char *copy = malloc(len);
			if (len > 0)
				memcpy(copy, b.data, len);
			if (record_open((struct slice){copy, len}, RECORD_ANYWHERE, &r) !=
			    ERR_CORRUPT)
				fail_msg("%zu bytes cut to %zu", SIZES[row], len);
			free(copy);
		}
		buf_fini(&b);
	}
}

/* Each place is another: of a table's keys, and of the same key in all tables. */
static void test_place(void **state)
{
	(void)state;
	static const struct slice KEYS[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("ab"),
	    SLICE_INIT("0123456789abcdef"), SLICE_INIT("0123456789abcdeg"),
	    SLICE_INIT("0123456789abcdef1")};
	uint64_t places[3 * COUNT(KEYS)];
	for (size_t i = 0; i < COUNT(places); i++) {
		struct buf b = BUF_INIT(100);
		unsigned char number[RECORD_NUMBER];
		struct reader r;
		uint64_t n = 0;
		places[i] = record_at((unsigned)(i % 3), KEYS[i / 3]);
		assert_int_not_equal(places[i], RECORD_ANYWHERE);
		buf_slice(&b, SLICE("a record"));
		record_seal(&b, places[i]);
		struct slice sealed = record_seal_number(77, places[i], number);
		assert_int_equal(record_open(buf_view(&b), places[i], &r), OK);
		assert_int_equal(record_open_number(sealed, places[i], &n), OK);
		for (size_t k = 0; k < i; k++) {
			assert_int_equal(record_open(buf_view(&b), places[k], &r), ERR_CORRUPT);
			assert_int_equal(record_open_number(sealed, places[k], &n),
			    ERR_CORRUPT);
		}
		buf_fini(&b);
	}
}

/* What was written without a place is read in each. */
static void test_old_records(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	struct reader r;
	buf_slice(&b, SLICE("a record"));
	record_seal(&b, RECORD_ANYWHERE);
	assert_int_equal(record_open(buf_view(&b), record_at(3, SLICE("key")), &r), OK);
	assert_int_equal(r.left, 8);
	buf_fini(&b);
}

/* The checksum as it lies on disk: XXH3 of nothing, from xxHash's own test vectors. */
static void test_seal_is_xxh3(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	record_seal(&b, RECORD_ANYWHERE);
	assert_memory_equal(b.data, "\x2d\x06\x80\x05\x38\xd3\x94\xc2", RECORD_CHECKSUM);
	buf_fini(&b);
}

static void test_digest(void **state)
{
	(void)state;
	static const struct {
		struct slice a, b;
	} PAIRS[] = {
	    {SLICE_INIT(""), SLICE_INIT("")},
	    {SLICE_INIT("a"), SLICE_INIT("")},
	    {SLICE_INIT(""), SLICE_INIT("a")},
	    {SLICE_INIT("ab"), SLICE_INIT("c")},
	    {SLICE_INIT("a"), SLICE_INIT("bc")},
	    {SLICE_INIT("abc"), SLICE_INIT("")},
	};
	/* sha256 of "ab\0c", of Python's hashlib */
	static const char AB_C[] =
	    "\x6c\x03\x2e\x63\x1d\x39\xa1\x4d\x85\xaf\xf7\xe3\x19\x54\x6a\xf7";
	unsigned char digests[COUNT(PAIRS)][RECORD_DIGEST];
	for (size_t i = 0; i < COUNT(PAIRS); i++) {
		unsigned char again[RECORD_DIGEST];
		record_digest(PAIRS[i].a, PAIRS[i].b, digests[i]);
		record_digest(PAIRS[i].a, PAIRS[i].b, again);
		assert_memory_equal(again, digests[i], RECORD_DIGEST);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(digests[i], digests[j], RECORD_DIGEST);
	}
	assert_memory_equal(digests[3], AB_C, RECORD_DIGEST);
}

/* A number alone: the same bytes as any sealed record, and nothing else is one. */
static void test_number(void **state)
{
	static const uint64_t NUMBERS[] = {0, 1, 1000000, UINT64_MAX};
	(void)state;
	for (size_t i = 0; i < COUNT(NUMBERS); i++) {
		unsigned char bytes[RECORD_NUMBER];
		struct buf b = BUF_INIT(64);
		uint64_t got = NUMBERS[i] + 1;
		struct slice record = record_seal_number(NUMBERS[i], RECORD_ANYWHERE, bytes);
		put_u64(&b, NUMBERS[i]);
		record_seal(&b, RECORD_ANYWHERE);
		assert_true(slice_eq(record, buf_view(&b)));
		assert_int_equal(record_open_number(record, RECORD_ANYWHERE, &got), OK);
		assert_true(got == NUMBERS[i]);
		for (size_t len = 0; len < record.len; len++)
			assert_int_equal(record_open_number((struct slice){record.ptr, len},
					     RECORD_ANYWHERE, &got),
			    ERR_CORRUPT);
		buf_reset(&b);
		put_u32(&b, 7);
		record_seal(&b, RECORD_ANYWHERE);
		assert_int_equal(record_open_number(buf_view(&b), RECORD_ANYWHERE, &got),
		    ERR_CORRUPT);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delivery_round_trip),
	    cmocka_unit_test(test_delivery_of_version_1),
	    cmocka_unit_test(test_dead_letter_round_trip),
	    cmocka_unit_test(test_attempt_round_trip),
	    cmocka_unit_test(test_attempt_of_old),
	    cmocka_unit_test(test_headers_of_attempts),
	    cmocka_unit_test(test_dead_letter_text_too_long),
	    cmocka_unit_test(test_cut_and_extended),
	    cmocka_unit_test(test_other_version),
	    cmocka_unit_test(test_no_second_form),
	    cmocka_unit_test(test_delivery_status),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_seal),
	    cmocka_unit_test(test_place),
	    cmocka_unit_test(test_old_records),
	    cmocka_unit_test(test_seal_is_xxh3),
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
