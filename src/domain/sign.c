/*
 * Signatures; see sign.h. Prefix and body are fed to the MAC one after the other, so that no
 * body is ever copied. Below them the schemes: which headers an attempt has, and what they are
 * made over.
 */
#include "domain/sign.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "base/utf8.h"

#define STAMP_SIZE 24 /* ".", a 64-bit number with its sign, ".", NUL */

static const struct slice WHSEC = SLICE_INIT("whsec_");

struct sign_key {
	struct mac *own;      /* keyed with the secret's own bytes */
	struct mac *standard; /* keyed as Standard Webhooks says */
};

/* Reads the character at `p`, of `left` bytes; U+FFFD where there is none. */
static uint32_t read_character(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return p[0];
	size_t len = utf8_len(p, left);
	uint32_t c = len == 0 ? 0xfffd : p[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* Whether nobody sees a character: white space, controls, what has no width. */
static bool is_unseen(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} UNSEEN[] = {{0, ' '}, {0x7f, 0xa0}, {0xad, 0xad}, {0x61c, 0x61c}, {0x1680, 0x1680},
	    {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
	    {0x3000, 0x3000}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};
	for (size_t i = 0; i < sizeof(UNSEEN) / sizeof(UNSEEN[0]); i++) {
		if (c >= UNSEEN[i].first && c <= UNSEEN[i].last)
			return true;
	}
	return false;
}

/* Whether a copied text has brought along what nobody sees: white space, a byte order mark. */
static bool has_space_around(struct slice s)
{
	const unsigned char *text = (const unsigned char *)s.ptr;
	size_t last = s.len - 1;
	while (last > 0 && (text[last] & 0xc0) == 0x80)
		last--;
	return is_unseen(read_character(text, s.len)) ||
	    is_unseen(read_character(text + last, s.len - last));
}

/* Whether `s` begins with `prefix`, which is in lower case, in any case. */
static bool starts_like(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && strncasecmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

/* Whether `s` is in one of the forms of Standard Webhooks, or begins as if it was to be. */
static bool is_standard(struct slice s)
{
	return starts_like(s, WHSEC) || starts_like(s, SLICE("v1,whsec_")) ||
	    starts_like(s, SLICE("whpk_")) || starts_like(s, SLICE("whsk_"));
}

/* The length of the quote that `s` begins with, of keyboards or text processors; 0: none. */
static size_t quote_length(struct slice s)
{
	static const struct slice QUOTES[] = {SLICE_INIT("\""), SLICE_INIT("'"),
	    SLICE_INIT("`"), SLICE_INIT("\xe2\x80\x98"), SLICE_INIT("\xe2\x80\x99"),
	    SLICE_INIT("\xe2\x80\x9c"), SLICE_INIT("\xe2\x80\x9d")};
	for (size_t i = 0; i < sizeof(QUOTES) / sizeof(QUOTES[0]); i++) {
		if (slice_starts(s, QUOTES[i]))
			return QUOTES[i].len;
	}
	return 0;
}

/* Whether it is one of these in quotes. */
static bool is_quoted_standard(struct slice s)
{
	bool is_quoted = quote_length(s) > 0;
	for (size_t n = quote_length(s); n > 0; n = quote_length(s)) {
		s.ptr += n;
		s.len -= n;
	}
	return is_quoted && is_standard(s);
}

/* Whether what stands behind "whsec_" is base64. */
static bool has_base64(struct slice secret)
{
	struct slice text = {secret.ptr + WHSEC.len, secret.len - WHSEC.len};
	unsigned char *key = mem_new(text.len + 1);
	size_t len = 0;
	bool good = base64_decode(text, key, &len);
	mem_wipe(key, len);
	free(key);
	return good;
}

enum err sign_check_secret(struct slice secret, const char *field, struct problem *p)
{
	const char *why = NULL;
	if (secret.len == 0)
		why = "must not be empty";
	else if (has_space_around(secret))
		why = "has white space or a control character around it, which signs as well";
	else if (is_quoted_standard(secret))
		why = "must be given without the quotes around it, which sign as well";
	else if (starts_like(secret, SLICE("whpk_")))
		why =
		    "is a public key (whpk_), which does not sign: a secret begins with whsec_";
	else if (starts_like(secret, SLICE("whsk_")))
		why =
		    "is a private key (whsk_), for signatures that are not made here: a secret "
		    "begins with whsec_";
	else if (starts_like(secret, SLICE("v1,whsec_")))
		why = "must begin at whsec_: \"v1,\" is the name of a signature's version";
	else if (starts_like(secret, WHSEC) && !slice_starts(secret, WHSEC))
		why = "must begin with whsec_ in lower case";
	else if (slice_starts(secret, WHSEC) && !has_base64(secret))
		why = "must have base64 behind whsec_, of A-Z a-z 0-9 + / and perhaps padding: "
		      "no library of Standard Webhooks would take this";
	return why == NULL ? OK : problem_set(p, ERR_INVALID, field, "%s %s", field, why);
}

static struct mac *standard_new(struct slice secret)
{
	if (!slice_starts(secret, WHSEC))
		return mac_new(MAC_SHA256, secret);
	struct slice text = {secret.ptr + WHSEC.len, secret.len - WHSEC.len};
	unsigned char *key = mem_new(secret.len);
	size_t len = 0;
	bool decodes = base64_decode(text, key, &len);
	struct mac *m = mac_new(MAC_SHA256,
	    decodes ? (struct slice){(const char *)key, len} : secret);
	mem_wipe(key, secret.len);
	free(key);
	return m;
}

struct sign_key *sign_key_new(struct slice secret)
{
	panic_if(secret.len == 0, "empty signing secret");
	struct sign_key *k = mem_new(sizeof(*k));
	k->own = mac_new(MAC_SHA256, secret);
	k->standard = standard_new(secret);
	return k;
}

void sign_key_free(struct sign_key *k)
{
	if (k == NULL)
		return;
	mac_free(k->own);
	mac_free(k->standard);
	free(k);
}

static void sign_hex(struct sign_key *k, const struct slice parts[], size_t n,
    char out[SIGN_HEX_SIZE])
{
	const struct slice scheme = SLICE("sha256=");
	unsigned char mac[MAC_SIZE_MAX];
	size_t len = mac_of(k->own, parts, n, mac);
	memcpy(out, scheme.ptr, scheme.len);
	str_hex(mac, len, out + scheme.len);
}

/* Writes ".{timestamp}." for standard signatures; v2 leaves out the first dot. */
static struct slice write_stamp(int64_t timestamp_s, char out[STAMP_SIZE])
{
	out[0] = '.';
	size_t len = 1 + str_put_i64(timestamp_s, out + 1).len;
	out[len++] = '.';
	return (struct slice){out, len};
}

void sign_body(struct sign_key *k, struct slice body, char out[SIGN_HEX_SIZE])
{
	sign_hex(k, &body, 1, out);
}

void sign_timed_body(struct sign_key *k, int64_t timestamp_s, struct slice body,
    char out[SIGN_HEX_SIZE])
{
	char text[STAMP_SIZE];
	struct slice stamp = write_stamp(timestamp_s, text);
	const struct slice parts[] = {{stamp.ptr + 1, stamp.len - 1}, body};
	sign_hex(k, parts, sizeof(parts) / sizeof(parts[0]), out);
}

void sign_standard(struct sign_key *k, struct slice id, int64_t timestamp_s, struct slice body,
    char out[SIGN_STANDARD_SIZE])
{
	char text[STAMP_SIZE];
	const struct slice parts[] = {id, write_stamp(timestamp_s, text), body};
	const struct slice scheme = SLICE("v1,");
	unsigned char mac[MAC_SIZE_MAX];
	size_t len = mac_of(k->standard, parts, sizeof(parts) / sizeof(parts[0]), mac);
	memcpy(out, scheme.ptr, scheme.len);
	base64_encode(mac, len, out + scheme.len);
}

/* Reads a time as it is signed: as JavaScript and others print it, without zeros in front. */
static bool read_time(const struct sign_claim *c, const char *name, int64_t *out)
{
	uint64_t time_s = 0;
	struct slice text = c->header(c->request, name);
	if (str_u64(text, &time_s) != OK || time_s > INT64_MAX / 2)
		return false;
	int64_t off_s = c->now_s - (int64_t)time_s;
	*out = (int64_t)time_s;
	return (text.len == 1 || text.ptr[0] != '0') && off_s <= c->window_s &&
	    off_s >= -c->window_s;
}

static void sign_v1(const struct sign_message *m, sign_put_fn put, void *arg)
{
	char text[SIGN_HEX_SIZE];
	sign_body(m->key, m->body, text);
	put(arg, SLICE("X-Webhook-Signature"), slice_of(text));
}

/* Whether the claim has the signature `expected`, its hexadecimal digits in either case. */
static bool has_hex(const struct sign_claim *c, const char expected[SIGN_HEX_SIZE])
{
	struct slice given = c->header(c->request, "X-Webhook-Signature");
	char lower[SIGN_HEX_SIZE];
	if (given.len >= sizeof(lower))
		return false;
	for (size_t i = 0; i < given.len; i++)
		lower[i] = (char)tolower((unsigned char)given.ptr[i]);
	return str_same_secret((struct slice){lower, given.len}, slice_of(expected));
}

static bool verify_v1(struct sign_key *k, const struct sign_claim *c)
{
	char expected[SIGN_HEX_SIZE];
	sign_body(k, c->body, expected);
	return has_hex(c, expected);
}

static void sign_v2(const struct sign_message *m, sign_put_fn put, void *arg)
{
	char text[SIGN_HEX_SIZE];
	sign_timed_body(m->key, m->timestamp_s, m->body, text);
	put(arg, SLICE("X-Webhook-Signature"), slice_of(text));
	put(arg, SLICE("X-Webhook-Signature-Version"), SLICE("v2"));
}

static bool verify_v2(struct sign_key *k, const struct sign_claim *c)
{
	char expected[SIGN_HEX_SIZE];
	int64_t timestamp_s = 0;
	if (!read_time(c, "X-Webhook-Timestamp", &timestamp_s))
		return false;
	sign_timed_body(k, timestamp_s, c->body, expected);
	return has_hex(c, expected);
}

static void sign_as_standard(const struct sign_message *m, sign_put_fn put, void *arg)
{
	char text[2 * SIGN_STANDARD_SIZE];
	char timestamp[STR_I64_SIZE];
	sign_standard(m->key, m->event_id, m->timestamp_s, m->body, text);
	if (m->previous_key != NULL) {
		size_t len = strlen(text);
		text[len] = ' ';
		sign_standard(m->previous_key, m->event_id, m->timestamp_s, m->body,
		    text + len + 1);
	}
	put(arg, SLICE("webhook-id"), m->event_id);
	put(arg, SLICE("webhook-timestamp"), str_put_i64(m->timestamp_s, timestamp));
	put(arg, SLICE("webhook-signature"), slice_of(text));
}

/* One of the signatures, separated by spaces, has to be right. */
static bool verify_standard(struct sign_key *k, const struct sign_claim *c)
{
	char expected[SIGN_STANDARD_SIZE];
	int64_t timestamp_s = 0;
	struct slice id = c->header(c->request, "webhook-id");
	struct slice given = c->header(c->request, "webhook-signature");
	if (!read_time(c, "webhook-timestamp", &timestamp_s))
		return false;
	sign_standard(k, id, timestamp_s, c->body, expected);
	while (given.len > 0) {
		if (str_same_secret(slice_cut(&given, ' '), slice_of(expected)))
			return true;
	}
	return false;
}

static const struct sign_scheme STANDARD = {"standard", 0, "Standard Webhooks",
    {"webhook-signature", "webhook-id", "webhook-timestamp"}, NULL, sign_as_standard,
    verify_standard};

/* Rows without names of fields: the compiler refuses one that lacks something. */
const struct sign_scheme SIGN_SCHEMES[] = {
    {"v1", SIGNATURE_V1, "over the body", {"X-Webhook-Signature"}, &STANDARD, sign_v1,
	verify_v1},
    {"v2", SIGNATURE_V2, "over time and body",
	{"X-Webhook-Signature", "X-Webhook-Signature-Version"}, &STANDARD, sign_v2, verify_v2},
};

const size_t SIGN_SCHEMES_COUNT = sizeof(SIGN_SCHEMES) / sizeof(SIGN_SCHEMES[0]);

const struct sign_scheme *sign_find_code(unsigned code)
{
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		if (SIGN_SCHEMES[i].code == code)
			return &SIGN_SCHEMES[i];
	}
	return NULL;
}

const struct sign_scheme *sign_find_name(struct slice name)
{
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		if (slice_eq(name, slice_of(SIGN_SCHEMES[i].name)))
			return &SIGN_SCHEMES[i];
	}
	return NULL;
}

void sign_put_headers(const struct sign_scheme *s, const struct sign_message *m,
    sign_put_fn put, void *arg)
{
	for (; s != NULL; s = s->beside)
		s->sign(m, put, arg);
}

/* The scheme that a request is signed with. */
static const struct sign_scheme *find_claimed(const struct sign_claim *c)
{
	const struct sign_scheme *s = sign_find_name(
	    c->header(c->request, "X-Webhook-Signature-Version"));
	return s == NULL ? &SIGN_SCHEMES[0] : s;
}

bool sign_verify(struct sign_key *k, const struct sign_claim *c)
{
	return find_claimed(c)->verify(k, c);
}

bool sign_verify_all(struct sign_key *k, const struct sign_claim *c)
{
	const struct sign_scheme *s = find_claimed(c);
	bool good = s->verify(k, c);
	for (s = s->beside; s != NULL; s = s->beside) {
		bool is_there = c->header(c->request, s->headers[0]).len > 0;
		good = good && (!is_there || s->verify(k, c));
	}
	return good;
}

void sign_make_secret(char out[SIGN_SECRET_SIZE])
{
	unsigned char raw[24];
	rnd_secret(raw, sizeof(raw));
	memcpy(out, "whsec_", 6);
	base64_encode(raw, sizeof(raw), out + 6);
	mem_wipe(raw, sizeof(raw));
}
