/*
 * Signatures; see sign.h. Prefix and body are fed to the MAC one after the other, so that no
 * body is ever copied. Below them the schemes: which headers an attempt has, and what they are
 * made over.
 */
#include "domain/sign.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "base/utf8.h"
#include "domain/httpsig.h"

#define VERSION_HEADER "X-Webhook-Signature-Version"
#define STAMP_SIZE 24 /* ".", a 64-bit number with its sign, ".", NUL */
#define PAIR_SIZE 93  /* "v1a,", 88 base64 characters, NUL: of a signature by a pair */
/* of webhook-signature: two secrets, two pairs, spaces between them */
#define SIGNATURES_SIZE (2 * (SIGN_STANDARD_SIZE + PAIR_SIZE))
#define KEY_ID_BYTES 8 /* of a code: which secret it was, for who has two */
#define INPUT_MAX 4096 /* bytes of Signature-Input: some 300 a label; see SIGN_LABELS_MAX */
#define BASE_MAX (1u << 20) /* the same of what a label signs: headers are bounded */

static const struct slice WHSEC = SLICE_INIT("whsec_");
static const struct slice WHSK = SLICE_INIT("whsk_");
static const struct slice WHPK = SLICE_INIT("whpk_");

struct sign_key {
	struct mac *own;      /* keyed with the secret's own bytes */
	struct mac *standard; /* keyed as Standard Webhooks says */
};

struct sign_pair {
	struct ed25519_key *key;
	char public_key[SIGN_PUBLIC_SIZE];
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
	    starts_like(s, WHPK) || starts_like(s, WHSK);
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
	else if (starts_like(secret, WHPK))
		why =
		    "is a public key (whpk_), which does not sign: a secret begins with whsec_";
	else if (starts_like(secret, WHSK))
		why =
		    "is a private key (whsk_), which belongs into private_key: a secret begins "
		    "with whsec_";
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
	if (m->key == NULL)
		return;
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
	if (m->key == NULL)
		return;
	sign_timed_body(m->key, m->timestamp_s, m->body, text);
	put(arg, SLICE("X-Webhook-Signature"), slice_of(text));
	put(arg, SLICE(VERSION_HEADER), SLICE("v2"));
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

/* Writes what Standard Webhooks signs in one piece, as Ed25519 wants it. */
static void put_signed(struct slice id, int64_t timestamp_s, struct slice body, struct buf *out)
{
	char text[STAMP_SIZE];
	struct slice stamp = write_stamp(timestamp_s, text);
	*out = BUF_INIT(id.len + stamp.len + body.len);
	(void)buf_reserve(out, out->max); /* is the limit */
	buf_slice(out, id);
	buf_slice(out, stamp);
	buf_slice(out, body);
}

/* Appends "v1a,…" of each pair to `text`, behind a space where something is there. */
static void sign_by_pairs(const struct sign_message *m, char text[SIGNATURES_SIZE])
{
	struct sign_pair *const pairs[] = {m->pair, m->previous_pair};
	unsigned char signature[ED25519_SIGNATURE_SIZE];
	struct buf message;
	put_signed(m->event_id, m->timestamp_s, m->body, &message);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t len = strlen(text);
		if (pairs[i] == NULL)
			continue;
		ed25519_sign(pairs[i]->key, buf_view(&message), signature);
		len += (size_t)snprintf(text + len, SIGNATURES_SIZE - len, "%sv1a,",
		    len == 0 ? "" : " ");
		base64_encode(signature, sizeof(signature), text + len);
	}
	buf_fini(&message);
}

static void sign_as_standard(const struct sign_message *m, sign_put_fn put, void *arg)
{
	char text[SIGNATURES_SIZE] = "";
	char timestamp[STR_I64_SIZE];
	if (m->key != NULL)
		sign_standard(m->key, m->event_id, m->timestamp_s, m->body, text);
	if (m->previous_key != NULL) {
		size_t len = strlen(text);
		text[len] = ' ';
		sign_standard(m->previous_key, m->event_id, m->timestamp_s, m->body,
		    text + len + 1);
	}
	if ((m->schemes & SIGNATURE_ED25519) != 0 && m->pair != NULL)
		sign_by_pairs(m, text);
	put(arg, SLICE("webhook-id"), m->event_id);
	put(arg, SLICE("webhook-timestamp"), str_put_i64(m->timestamp_s, timestamp));
	if (text[0] != '\0')
		put(arg, SLICE("webhook-signature"), slice_of(text));
}

/* What has become of the signatures of one kind that a request has. */
struct tally {
	unsigned seen; /* that there is a key for */
	unsigned good;
};

/* Whether the signature "v1a,…" is by the claim's key. */
static bool is_by_pair(const struct sign_claim *c, struct slice given, struct slice signed_)
{
	unsigned char raw[HTTPSIG_BYTES_MAX];
	size_t len = 0;
	slice_cut(&given, ',');
	return given.len == BASE64_SIZE(ED25519_SIGNATURE_SIZE) - 1 &&
	    base64_decode(given, raw, &len) && len == ED25519_SIGNATURE_SIZE &&
	    ed25519_verify(c->public_key, signed_, raw);
}

/* Looks through webhook-signature for those of one kind, "v1," or "v1a,". */
static struct tally tally_standard(struct sign_key *k, const struct sign_claim *c, bool pairs)
{
	char expected[SIGN_STANDARD_SIZE];
	struct tally t = {0};
	struct buf message = BUF_INIT(0);
	int64_t timestamp_s = 0;
	struct slice id = c->header(c->request, "webhook-id");
	struct slice given = c->header(c->request, "webhook-signature");
	struct slice kind = pairs ? SLICE("v1a,") : SLICE("v1,");
	bool in_time = read_time(c, "webhook-timestamp", &timestamp_s);
	if (pairs ? c->public_key == NULL : k == NULL)
		return t;
	if (pairs)
		put_signed(id, timestamp_s, c->body, &message);
	else
		sign_standard(k, id, timestamp_s, c->body, expected);
	while (given.len > 0) {
		struct slice one = slice_cut(&given, ' ');
		if (!slice_starts(one, kind))
			continue;
		t.seen++;
		bool good = pairs
		    ? t.seen <= SIGN_LABELS_MAX && is_by_pair(c, one, buf_view(&message))
		    : str_same_secret(one, slice_of(expected));
		t.good += good && in_time ? 1 : 0;
	}
	buf_fini(&message);
	return t;
}

/* One of the signatures, separated by spaces, has to be right. */
static bool verify_standard(struct sign_key *k, const struct sign_claim *c)
{
	return tally_standard(k, c, false).good > 0;
}

static void sign_nothing(const struct sign_message *m, sign_put_fn put, void *arg)
{
	(void)m;
	(void)put;
	(void)arg; /* sign_as_standard() has it among the others */
}

static bool verify_ed25519(struct sign_key *k, const struct sign_claim *c)
{
	(void)k;
	return tally_standard(NULL, c, true).good > 0;
}

/* How receivers tell two secrets apart: the beginning of a code that only they can make. */
static void put_key_id(struct sign_key *k, char out[2 * KEY_ID_BYTES + 1])
{
	const struct slice text = SLICE("keyid");
	unsigned char code[MAC_SIZE_MAX];
	(void)mac_of(k->standard, &text, 1, code); /* has more than is taken */
	str_hex(code, KEY_ID_BYTES, out);
}

/* A message's texts of RFC 9421 as they grow, label by label. */
struct labels {
	struct httpsig_field fields[HTTPSIG_FIELDS_MAX];
	size_t count;
	int64_t created_s;
	unsigned number; /* of labels so far */
	struct buf input;
	struct buf signatures;
};

/* Begins the next label: appends its parameters to the input, its base to `base`. */
static void begin_label(struct labels *l, struct slice key_id, struct slice alg,
    struct buf *base)
{
	const struct httpsig_params params = {l->created_s, key_id, alg};
	const char *before = l->number++ == 0 ? "" : ", ";
	buf_printf(&l->input, "%ssig%u=", before, l->number);
	buf_printf(&l->signatures, "%ssig%u=:", before, l->number);
	size_t start = l->input.len;
	httpsig_put_params(l->fields, l->count, &params, &l->input);
	const struct slice text = {l->input.data + start, l->input.len - start};
	httpsig_put_base(l->fields, l->count, text, base);
}

static void end_label(struct labels *l, const unsigned char *signature, size_t len)
{
	char text[BASE64_SIZE(HTTPSIG_BYTES_MAX)];
	base64_encode(signature, len, text);
	buf_puts(&l->signatures, text);
	buf_putc(&l->signatures, ':');
}

static void label_by_secret(struct labels *l, struct sign_key *k)
{
	char key_id[2 * KEY_ID_BYTES + 1];
	unsigned char code[MAC_SIZE_MAX];
	struct buf base = BUF_INIT(BASE_MAX);
	if (k == NULL)
		return;
	put_key_id(k, key_id);
	begin_label(l, slice_of(key_id), SLICE("hmac-sha256"), &base);
	const struct slice message = buf_view(&base);
	size_t len = mac_of(k->standard, &message, 1, code);
	end_label(l, code, len);
	buf_fini(&base);
}

static void label_by_pair(struct labels *l, struct sign_pair *p)
{
	unsigned char signature[ED25519_SIGNATURE_SIZE];
	struct buf base = BUF_INIT(BASE_MAX);
	if (p == NULL)
		return;
	begin_label(l, slice_of(p->public_key), SLICE("ed25519"), &base);
	ed25519_sign(p->key, buf_view(&base), signature);
	end_label(l, signature, sizeof(signature));
	buf_fini(&base);
}

/* What Content-Digest is of: the bytes on the wire. Source: RFC 9530 section 2. */
static struct slice sent_of(struct slice body, struct slice content)
{
	return content.len > 0 ? content : body;
}

static void sign_rfc9421(const struct sign_message *m, sign_put_fn put, void *arg)
{
	char digest[HTTPSIG_DIGEST_SIZE];
	struct buf target = BUF_INIT(BASE_MAX);
	if (m->key == NULL && m->pair == NULL)
		return;
	httpsig_digest(sent_of(m->body, m->content), digest);
	httpsig_put_target(m->url, &target);
	struct labels l = {
	    .fields = {{SLICE("@method"), m->method.len > 0 ? m->method : SLICE("POST")},
		{SLICE("@target-uri"), buf_view(&target)},
		{SLICE("content-digest"), slice_of(digest)},
		{SLICE("content-type"), m->content_type}, {SLICE("webhook-id"), m->event_id}},
	    .count = 5,
	    .created_s = m->timestamp_s,
	    .input = BUF_INIT(INPUT_MAX),
	    .signatures = BUF_INIT(INPUT_MAX),
	};
	label_by_secret(&l, m->key);
	label_by_secret(&l, m->previous_key);
	label_by_pair(&l, m->pair);
	label_by_pair(&l, m->previous_pair);
	panic_if(l.input.failed || l.signatures.failed, "signatures do not fit");
	put(arg, SLICE("Signature-Input"), buf_view(&l.input));
	put(arg, SLICE("Signature"), buf_view(&l.signatures));
	put(arg, SLICE("Content-Digest"), slice_of(digest));
	buf_fini(&l.input);
	buf_fini(&l.signatures);
	buf_fini(&target);
}

/* Finds what a component is of the claim's request. False: nothing. */
static bool find_component(const struct sign_claim *c, struct slice name,
    struct httpsig_field *out)
{
	char header[128];
	*out = (struct httpsig_field){.name = name};
	if (slice_eq(name, SLICE("@method")))
		out->value = c->method;
	else if (slice_eq(name, SLICE("@target-uri")))
		out->value = c->target;
	else if (name.len >= sizeof(header) || name.ptr[0] == '@')
		return false;
	else {
		memcpy(header, name.ptr, name.len);
		header[name.len] = '\0';
		out->value = c->header(c->request, header);
	}
	return out->value.len > 0;
}

/* Whether a label signs what it has to, in time, all of which is there; then its base. */
static bool put_claimed_base(const struct sign_claim *c, const struct httpsig_input *in,
    struct buf *base)
{
	static const struct slice WANTED[] = {SLICE_INIT("@method"), SLICE_INIT("@target-uri"),
	    SLICE_INIT("content-digest"), SLICE_INIT("webhook-id")};
	struct httpsig_field fields[HTTPSIG_FIELDS_MAX];
	int64_t off_s = c->now_s - in->created_s;
	size_t wanted = 0;
	for (size_t i = 0; i < in->count; i++) {
		if (!find_component(c, in->names[i], &fields[i]))
			return false;
		for (size_t j = 0; j < sizeof(WANTED) / sizeof(WANTED[0]); j++)
			wanted += slice_eq(in->names[i], WANTED[j]) ? 1 : 0;
	}
	httpsig_put_base(fields, in->count, in->text, base);
	return wanted == sizeof(WANTED) / sizeof(WANTED[0]) && in->created_s >= 0 &&
	    off_s <= c->window_s && off_s >= -c->window_s && !base->failed;
}

static bool is_label_good(struct sign_key *k, const struct sign_claim *c,
    const struct httpsig_input *in)
{
	unsigned char given[HTTPSIG_BYTES_MAX];
	unsigned char code[MAC_SIZE_MAX];
	size_t len = 0;
	struct buf base = BUF_INIT(BASE_MAX);
	bool is_code = slice_eq(in->alg, SLICE("hmac-sha256"));
	bool good = put_claimed_base(c, in, &base) &&
	    httpsig_find(c->header(c->request, "Signature"), in->label, given, &len);
	const struct slice message = buf_view(&base);
	if (good && is_code)
		good = str_same_secret((struct slice){(const char *)given, len},
		    (struct slice){(const char *)code, mac_of(k->standard, &message, 1, code)});
	else if (good)
		good = len == ED25519_SIGNATURE_SIZE &&
		    ed25519_verify(c->public_key, message, given);
	buf_fini(&base);
	return good;
}

/* Looks through Signature-Input for labels of one algorithm. */
static struct tally tally_rfc9421(struct sign_key *k, const struct sign_claim *c, bool pairs)
{
	char digest[HTTPSIG_DIGEST_SIZE];
	struct slice rest = c->header(c->request, "Signature-Input");
	struct slice alg = pairs ? SLICE("ed25519") : SLICE("hmac-sha256");
	struct httpsig_input in;
	struct tally t = {0};
	if (rest.len == 0 || (pairs ? c->public_key == NULL : k == NULL))
		return t;
	httpsig_digest(sent_of(c->body, c->content), digest);
	bool same = slice_eq(c->header(c->request, "Content-Digest"), slice_of(digest));
	while (rest.len > 0) {
		if (!httpsig_next(&rest, &in))
			return (struct tally){.seen = 1};
		if (!slice_eq(in.alg, alg))
			continue;
		t.seen++;
		if (same && t.seen <= SIGN_LABELS_MAX && is_label_good(k, c, &in))
			t.good++;
	}
	return t;
}

static bool verify_rfc9421(struct sign_key *k, const struct sign_claim *c)
{
	return tally_rfc9421(k, c, false).good > 0 || tally_rfc9421(k, c, true).good > 0;
}

static const struct sign_scheme STANDARD = {"standard", 0, "Standard Webhooks",
    {"webhook-signature", "webhook-id", "webhook-timestamp"}, false, NULL, sign_as_standard,
    verify_standard};

/* Rows without names of fields: the compiler refuses one that lacks something. */
const struct sign_scheme SIGN_SCHEMES[] = {
    {"v1", SIGNATURE_V1, "over the body", {"X-Webhook-Signature"}, false, &STANDARD, sign_v1,
	verify_v1},
    {"v2", SIGNATURE_V2, "over time and body",
	{"X-Webhook-Signature", "X-Webhook-Signature-Version"}, false, &STANDARD, sign_v2,
	verify_v2},
    {"ed25519", SIGNATURE_ED25519, "by a key pair, in webhook-signature", {NULL}, false,
	&STANDARD, sign_nothing, verify_ed25519},
    {"rfc9421", SIGNATURE_RFC9421, "HTTP Message Signatures",
	{"Signature", "Signature-Input", "Content-Digest"}, true, &STANDARD, sign_rfc9421,
	verify_rfc9421},
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

/* Whether both put their signature in the same header, which a request has once. */
static bool share_header(const struct sign_scheme *a, const struct sign_scheme *b)
{
	return a->headers[0] != NULL && b->headers[0] != NULL &&
	    strcmp(a->headers[0], b->headers[0]) == 0;
}

bool sign_is_set(unsigned schemes)
{
	unsigned known = 0;
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		const struct sign_scheme *s = &SIGN_SCHEMES[i];
		if ((schemes & s->code) == 0)
			continue;
		for (size_t k = 0; k < i; k++) {
			if ((known & SIGN_SCHEMES[k].code) != 0 &&
			    share_header(s, &SIGN_SCHEMES[k]))
				return false;
		}
		known |= s->code;
	}
	return schemes != 0 && known == schemes;
}

unsigned sign_read_set(struct slice names)
{
	unsigned schemes = 0;
	bool ends_in_comma = names.len > 0 && names.ptr[names.len - 1] == ',';
	while (names.len > 0) {
		const struct sign_scheme *s = sign_find_name(
		    slice_trim(slice_cut(&names, ',')));
		if (s == NULL || (schemes & s->code) != 0)
			return 0;
		schemes |= s->code;
	}
	return sign_is_set(schemes) && !ends_in_comma ? schemes : 0;
}

void sign_write_set(unsigned schemes, const char *key, struct json_writer *json)
{
	const struct sign_scheme *only = sign_find_code(schemes);
	if (only != NULL) {
		json_write_cstr(json, key, only->name);
		return;
	}
	json_open_array(json, key);
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		if ((schemes & SIGN_SCHEMES[i].code) != 0)
			json_write_cstr(json, NULL, SIGN_SCHEMES[i].name);
	}
	json_close(json);
}

void sign_put_headers(const struct sign_message *m, sign_put_fn put, void *arg)
{
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		if ((m->schemes & SIGN_SCHEMES[i].code) != 0)
			SIGN_SCHEMES[i].sign(m, put, arg);
	}
	sign_as_standard(m, put, arg); /* goes beside each of them */
}

/* Whether requests name it in X-Webhook-Signature-Version. */
static bool is_named(const struct sign_scheme *s)
{
	for (size_t i = 0; s->headers[i] != NULL; i++) {
		if (strcmp(s->headers[i], VERSION_HEADER) == 0)
			return true;
	}
	return false;
}

/* The scheme that X-Webhook-Signature is made by. */
static const struct sign_scheme *find_claimed(const struct sign_claim *c)
{
	const struct sign_scheme *s = sign_find_name(c->header(c->request, VERSION_HEADER));
	return s != NULL && is_named(s) ? s : &SIGN_SCHEMES[0];
}

bool sign_verify(struct sign_key *k, const struct sign_claim *c)
{
	return find_claimed(c)->verify(k, c);
}

/*
 * Whether the claim has X-Webhook-Signature, or lacks one that it should have: only what is by
 * a key pair, or of RFC 9421, comes without.
 */
static bool has_own_header(const struct sign_claim *c)
{
	struct slice standard = c->header(c->request, "webhook-signature");
	bool is_by_others = c->header(c->request, "Signature-Input").len > 0;
	while (standard.len > 0)
		is_by_others |= slice_starts(slice_cut(&standard, ' '), SLICE("v1a,"));
	return !is_by_others || c->header(c->request, "X-Webhook-Signature").len > 0;
}

bool sign_verify_all(struct sign_key *k, const struct sign_claim *c)
{
	const struct tally all[] = {tally_standard(k, c, false), tally_standard(k, c, true),
	    tally_rfc9421(k, c, false), tally_rfc9421(k, c, true)};
	bool found = k != NULL && has_own_header(c);
	bool good = !found || sign_verify(k, c);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		found = found || all[i].seen > 0;
		good = good && (all[i].seen == 0 || all[i].good > 0);
	}
	return found && good;
}

void sign_make_secret(char out[SIGN_SECRET_SIZE])
{
	unsigned char raw[24];
	rnd_secret(raw, sizeof(raw));
	memcpy(out, "whsec_", 6);
	base64_encode(raw, sizeof(raw), out + 6);
	mem_wipe(raw, sizeof(raw));
}

void sign_make_pair(struct ed25519_pair *out)
{
	rnd_secret(out->seed, sizeof(out->seed));
	ed25519_complete(out);
}

enum err sign_read_private(struct slice text, const char *field, struct ed25519_pair *out,
    struct problem *p)
{
	unsigned char raw[ED25519_SEED_SIZE + ED25519_PUBLIC_SIZE + 2];
	struct slice key = {text.ptr + WHSK.len, text.len - WHSK.len};
	size_t len = 0;
	bool good = slice_starts(text, WHSK) && key.len < sizeof(raw) / 3 * 4 + 1 &&
	    base64_decode(key, raw, &len) &&
	    (len == ED25519_SEED_SIZE || len == ED25519_SEED_SIZE + ED25519_PUBLIC_SIZE);
	if (good) {
		memcpy(out->seed, raw, sizeof(out->seed));
		ed25519_complete(out);
		good = len == ED25519_SEED_SIZE ||
		    memcmp(raw + ED25519_SEED_SIZE, out->public_key, ED25519_PUBLIC_SIZE) == 0;
	}
	mem_wipe(raw, sizeof(raw));
	if (good)
		return OK;
	return problem_set(p, ERR_INVALID, field,
	    "%s must be a private key of Ed25519: whsk_ and base64 of its 32 bytes, or of "
	    "these and its public key's 32",
	    field);
}

enum err sign_read_public(struct slice text, const char *field,
    unsigned char out[ED25519_PUBLIC_SIZE], struct problem *p)
{
	unsigned char raw[ED25519_PUBLIC_SIZE + 1];
	struct slice key = {text.ptr + WHPK.len, text.len - WHPK.len};
	size_t len = 0;
	if (!slice_starts(text, WHPK) || key.len > BASE64_SIZE(ED25519_PUBLIC_SIZE) - 1 ||
	    !base64_decode(key, raw, &len) || len != ED25519_PUBLIC_SIZE)
		return problem_set(p, ERR_INVALID, field,
		    "%s must be a public key of Ed25519: whpk_ and base64 of its 32 bytes",
		    field);
	memcpy(out, raw, ED25519_PUBLIC_SIZE);
	return OK;
}

void sign_put_public(const unsigned char key[ED25519_PUBLIC_SIZE], char out[SIGN_PUBLIC_SIZE])
{
	memcpy(out, WHPK.ptr, WHPK.len);
	base64_encode(key, ED25519_PUBLIC_SIZE, out + WHPK.len);
}

struct sign_pair *sign_pair_new(const struct ed25519_pair *pair)
{
	struct sign_pair *p = mem_new(sizeof(*p));
	p->key = ed25519_key_new(pair->seed);
	sign_put_public(pair->public_key, p->public_key);
	return p;
}

void sign_pair_free(struct sign_pair *p)
{
	if (p == NULL)
		return;
	ed25519_key_free(p->key);
	free(p);
}
