/* Proofs of senders; see verify.h. */
#include "domain/verify.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/header.h"
#include "domain/json_walk.h"
#include "domain/members.h"
#include "domain/sign.h"
#include "domain/webhook_mask.h"

#define TYPES "hmac token basic waybill none"
#define HMAC_MEMBERS                                                                           \
	"type hash encoding header prefix delimiter signed timestamp id unit tolerance "       \
	"secret_encoding secrets"
#define TEMPLATE_MAX 256 /* bytes of a template */
#define PARTS_MAX 16     /* of a template: texts and what stands between them */
#define PREFIX_MAX 64    /* bytes */
#define TOLERANCE_MAX_MS (24LL * 3600 * 1000)
#define TEXT_SIZE (2 * MAC_SIZE_MAX + 1) /* of a code in hex, the longer form */

enum type { TYPE_HMAC, TYPE_TOKEN, TYPE_BASIC, TYPE_WAYBILL, TYPE_NONE };

/* Where in the head something stands. */
struct spot {
	char *header; /* NULL: nowhere */
	char *prefix; /* before it; NULL: none */
};

enum part_kind { PART_TEXT, PART_TIMESTAMP, PART_ID, PART_BODY };

struct part {
	enum part_kind kind;
	struct slice text; /* of PART_TEXT, into the template */
};

struct secret {
	struct mac *mac;      /* of TYPE_HMAC */
	struct sign_key *key; /* of TYPE_WAYBILL */
	char *text;           /* of the others: what the header must be */
};

struct verify {
	enum type type;
	struct spot proof;
	struct spot timestamp;
	struct spot id;
	char delimiter; /* between several values of a header; NUL: there is one */
	bool is_base64; /* what the code is written in; else hex */
	bool in_ms;     /* the timestamp */
	int64_t tolerance_ms;
	char *template;
	struct part parts[PARTS_MAX];
	size_t part_count;
	struct secret secrets[VERIFY_SECRETS_MAX];
	size_t secret_count;
};

static void free_spot(struct spot *s)
{
	free(s->header);
	free(s->prefix);
}

void verify_free(struct verify *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->secret_count; i++) {
		mac_free(v->secrets[i].mac);
		sign_key_free(v->secrets[i].key);
		mem_forget(v->secrets[i].text);
	}
	free_spot(&v->proof);
	free_spot(&v->timestamp);
	free_spot(&v->id);
	free(v->template);
	free(v);
}

static char *read_header(struct members *m, const char *name)
{
	char *header = members_text(m, name, HEADER_NAME_MAX);
	if (header != NULL && !header_is_name(header))
		members_refuse(m, name, "the name of a header");
	return header;
}

/* Reads {"header":…,"prefix":…} as the value of `name`. */
static void read_spot(struct members *m, const char *name, struct spot *out)
{
	char where[64];
	struct members inner = {members_get(m, name), where, m->p, m->err};
	if (inner.object.ptr == NULL || m->err != OK)
		return;
	(void)snprintf(where, sizeof(where), "%s%s.", m->where, name);
	if (!json_is_object(inner.object)) {
		members_refuse(m, name, "an object with the members header and perhaps prefix");
		return;
	}
	members_allow(&inner, "header prefix");
	out->header = read_header(&inner, "header");
	out->prefix = members_text(&inner, "prefix", PREFIX_MAX);
	if (out->header == NULL)
		members_refuse(&inner, "header", "the name of a header");
	m->err = inner.err;
}

/* Takes the next part off a template; false where a { is not closed or names nothing. */
static bool take_part(struct slice *left, struct part *out)
{
	static const struct {
		struct slice name;
		enum part_kind kind;
	} NAMES[] = {{SLICE_INIT("{body}"), PART_BODY}, {SLICE_INIT("{id}"), PART_ID},
	    {SLICE_INIT("{timestamp}"), PART_TIMESTAMP}};
	const char *brace = memchr(left->ptr, '{', left->len);
	size_t plain = brace == NULL ? left->len : (size_t)(brace - left->ptr);
	*out = (struct part){PART_TEXT, {left->ptr, plain}};
	for (size_t i = 0; plain == 0 && i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (slice_starts(*left, NAMES[i].name)) {
			out->kind = NAMES[i].kind;
			plain = NAMES[i].name.len;
		}
	}
	left->ptr += plain;
	left->len -= plain;
	return plain > 0;
}

static size_t count_parts(const struct verify *v, enum part_kind kind)
{
	size_t count = 0;
	for (size_t i = 0; i < v->part_count; i++)
		count += v->parts[i].kind == kind ? 1 : 0;
	return count;
}

static void read_template(struct members *m, struct verify *v)
{
	v->template = members_text(m, "signed", TEMPLATE_MAX);
	if (v->template == NULL)
		v->template = mem_copy("{body}", 6);
	struct slice left = slice_of(v->template);
	bool good = true;
	while (good && left.len > 0) {
		good = v->part_count < PARTS_MAX && take_part(&left, &v->parts[v->part_count]);
		v->part_count += good ? 1 : 0;
	}
	if (!good || count_parts(v, PART_BODY) != 1) /* the loop waits for each */
		members_refuse(m, "signed",
		    "a template with {body} once, perhaps {timestamp} and {id}, such as "
		    "\"{timestamp}.{body}\"");
	if (count_parts(v, PART_TIMESTAMP) > 0 && v->timestamp.header == NULL)
		members_refuse(m, "timestamp", "given, as the template has {timestamp}");
	if (count_parts(v, PART_ID) > 0 && v->id.header == NULL)
		members_refuse(m, "id", "given, as the template has {id}");
}

/* Makes the key of a secret that is written in base64, perhaps behind "whsec_". */
static bool take_base64(const char *text, enum mac_hash hash, struct secret *out)
{
	struct slice left = slice_of(text);
	unsigned char key[VERIFY_SECRET_MAX];
	size_t len = 0;
	if (slice_starts(left, SLICE("whsec_"))) {
		left.ptr += 6;
		left.len -= 6;
	}
	bool good = base64_decode(left, key, &len) && len > 0;
	if (good)
		out->mac = mac_new(hash, (struct slice){(const char *)key, len});
	mem_wipe(key, sizeof(key));
	return good;
}

/* What the header must be: the token behind its prefix, or the user with the password. */
static char *make_text(const struct verify *v, const char *secret)
{
	char coded[BASE64_SIZE(VERIFY_SECRET_MAX)];
	struct buf text = BUF_INIT(PREFIX_MAX + sizeof(coded));
	if (v->type == TYPE_BASIC)
		base64_encode(secret, strlen(secret), coded);
	buf_puts(&text, v->type == TYPE_BASIC ? "Basic " : v->proof.prefix);
	buf_puts(&text, v->type == TYPE_BASIC ? coded : secret);
	char *copy = mem_copy(text.data, text.len);
	mem_wipe(coded, sizeof(coded));
	mem_wipe(text.data, text.len);
	buf_fini(&text);
	return copy;
}

static void read_secrets(struct members *m, struct verify *v, enum mac_hash hash)
{
	char *texts[VERIFY_SECRETS_MAX] = {0};
	size_t count = 0;
	bool in_base64 = v->type == TYPE_HMAC &&
	    members_choice(m, "secret_encoding", "utf8 base64") == 1;
	members_texts(m, "secrets", VERIFY_SECRETS_MAX, VERIFY_SECRET_MAX, texts, &count);
	if (count == 0)
		members_refuse(m, "secrets", "an array with at least one secret");
	for (size_t i = 0; i < count; i++) {
		struct secret *s = &v->secrets[v->secret_count++];
		if (strcmp(texts[i], WEBHOOK_MASK) == 0)
			members_refuse(m, "secrets",
			    "the secrets themselves, not the mask that answers show");
		else if (v->type == TYPE_HMAC && !in_base64)
			s->mac = mac_new(hash, slice_of(texts[i]));
		else if (v->type == TYPE_HMAC && !take_base64(texts[i], hash, s))
			members_refuse(m, "secrets", "base64, as secret_encoding says");
		else if (v->type == TYPE_WAYBILL)
			s->key = sign_key_new(slice_of(texts[i]));
		else if (v->type == TYPE_BASIC && strchr(texts[i], ':') == NULL)
			members_refuse(m, "secrets", "\"user:password\" for basic");
		else if (v->type != TYPE_HMAC)
			s->text = make_text(v, texts[i]);
		mem_forget(texts[i]);
	}
}

static void read_hmac(struct members *m, struct verify *v)
{
	char *delimiter = members_text(m, "delimiter", 1);
	v->delimiter = delimiter == NULL ? '\0' : delimiter[0];
	free(delimiter);
	v->is_base64 = members_choice(m, "encoding", "hex base64") == 1;
	v->in_ms = members_choice(m, "unit", "s ms") == 1;
	read_spot(m, "timestamp", &v->timestamp);
	read_spot(m, "id", &v->id);
	v->tolerance_ms = members_duration(m, "tolerance", TOLERANCE_MAX_MS,
	    VERIFY_TOLERANCE_DEFAULT_MS);
	read_template(m, v);
}

static void read_all(struct members *m, struct verify *v)
{
	static const char *const ALLOWED[] = {
	    [TYPE_HMAC] = HMAC_MEMBERS,
	    [TYPE_TOKEN] = "type header prefix secrets",
	    [TYPE_BASIC] = "type secrets",
	    [TYPE_WAYBILL] = "type secrets",
	    [TYPE_NONE] = "type",
	};
	v->type = (enum type)members_choice(m, "type", TYPES);
	if (members_get(m, "type").ptr == NULL)
		members_refuse(m, "type", "given: one of hmac, token, basic, waybill, none");
	members_allow(m, ALLOWED[v->type]);
	if (v->type == TYPE_NONE || m->err != OK)
		return;
	if (v->type == TYPE_HMAC || v->type == TYPE_TOKEN) {
		v->proof.header = read_header(m, "header");
		v->proof.prefix = members_text(m, "prefix", PREFIX_MAX);
		if (v->proof.header == NULL)
			members_refuse(m, "header", "the name of the header with the proof");
	} else {
		const char *name = v->type == TYPE_BASIC ? "Authorization"
							 : "X-Webhook-Signature";
		v->proof.header = mem_copy(name, strlen(name));
	}
	enum mac_hash hash = (enum mac_hash)(
	    v->type == TYPE_HMAC ? members_choice(m, "hash", "sha256 sha512 sha1") : 0);
	if (v->type == TYPE_HMAC)
		read_hmac(m, v);
	if (m->err == OK)
		read_secrets(m, v, hash);
}

enum err verify_new(struct slice conf, struct verify **out, struct problem *p)
{
	struct members m = {conf, "verify.", p, OK};
	*out = NULL;
	if (!json_is_object(conf))
		return problem_set(p, ERR_INVALID, "verify",
		    "verify must be an object with the member type");
	struct verify *v = mem_new(sizeof(*v));
	read_all(&m, v);
	if (m.err == OK)
		*out = v;
	else
		verify_free(v);
	return m.err;
}

static struct slice header_of(const struct arrival *a, const char *name)
{
	return slice_trim(a->header(a->request, name));
}

bool verify_has_secret_in(const struct verify *v, const char *header)
{
	return (v->type == TYPE_TOKEN || v->type == TYPE_BASIC) &&
	    strcasecmp(v->proof.header, header) == 0;
}

bool verify_may(const struct verify *v, const struct arrival *a)
{
	return v->type == TYPE_NONE || header_of(a, v->proof.header).len > 0;
}

size_t verify_body_max(const struct verify *v)
{
	bool is_hashed = v->type == TYPE_HMAC || v->type == TYPE_WAYBILL;
	return is_hashed ? VERIFY_HASHED_MAX / v->secret_count : SIZE_MAX;
}

/* Cuts the prefix off; false where `s` does not begin so. */
static bool strip_prefix(struct slice *s, const char *prefix)
{
	struct slice expected = slice_of(prefix);
	if (!slice_starts(*s, expected))
		return false;
	s->ptr += expected.len;
	s->len -= expected.len;
	return true;
}

/*
 * Takes the next value of a spot off its header, of which the delimiter separates several.
 * False at the end.
 */
static bool next_value(const struct verify *v, const struct spot *spot, struct slice *left,
    struct slice *out)
{
	while (left->len > 0) {
		*out = *left;
		if (v->delimiter != '\0')
			*out = slice_trim(slice_cut(left, v->delimiter));
		else
			left->len = 0;
		if (strip_prefix(out, spot->prefix))
			return true;
	}
	return false;
}

/* Reads what stands at a spot; empty where nothing does. */
static struct slice value_at(const struct verify *v, const struct spot *spot,
    const struct arrival *a)
{
	struct slice value = {0};
	if (spot->header == NULL)
		return value;
	struct slice left = header_of(a, spot->header);
	if (spot->prefix == NULL)
		return left;
	return next_value(v, spot, &left, &value) ? value : (struct slice){0};
}

static bool is_fresh(const struct verify *v, struct slice timestamp, int64_t now_ms)
{
	uint64_t given = 0;
	uint64_t most = INT64_MAX / (v->in_ms ? 1 : 1000);
	if (str_u64(timestamp, &given) != OK || given > most)
		return false;
	int64_t off_ms = now_ms - (int64_t)given * (v->in_ms ? 1 : 1000);
	return v->tolerance_ms == 0 ||
	    (off_ms <= v->tolerance_ms && off_ms >= -v->tolerance_ms);
}

/* Writes a code as the header has it; base64 without its padding, which some leave out. */
static struct slice write_code(const struct verify *v, const unsigned char *mac, size_t len,
    char out[TEXT_SIZE])
{
	struct slice text = {out, 0};
	if (v->is_base64)
		base64_encode(mac, len, out);
	else
		str_hex(mac, len, out);
	text.len = strlen(out);
	while (v->is_base64 && text.ptr[text.len - 1] == '=')
		text.len--;
	return text;
}

static bool same_code(const struct verify *v, struct slice given, struct slice expected)
{
	char lower[TEXT_SIZE];
	while (v->is_base64 && given.len > 0 && given.ptr[given.len - 1] == '=')
		given.len--;
	if (given.len >= sizeof(lower))
		return false;
	for (size_t i = 0; i < given.len; i++)
		lower[i] = v->is_base64 ? given.ptr[i]
					: (char)tolower((unsigned char)given.ptr[i]);
	return str_same_secret((struct slice){lower, given.len}, expected);
}

static bool has_code(const struct verify *v, const struct arrival *a, struct slice expected)
{
	struct slice left = header_of(a, v->proof.header);
	struct slice given;
	while (next_value(v, &v->proof, &left, &given)) {
		if (same_code(v, given, expected))
			return true;
	}
	return false;
}

static bool check_hmac(const struct verify *v, const struct arrival *a, int64_t now_ms,
    const char **why)
{
	struct slice timestamp = value_at(v, &v->timestamp, a);
	struct slice parts[PARTS_MAX];
	if (v->timestamp.header != NULL && !is_fresh(v, timestamp, now_ms)) {
		*why = timestamp.len == 0 ? "the timestamp is missing"
					  : "the timestamp is further off than the tolerance";
		return false;
	}
	for (size_t i = 0; i < v->part_count; i++) {
		enum part_kind kind = v->parts[i].kind;
		parts[i] = kind == PART_TEXT ? v->parts[i].text
		    : kind == PART_TIMESTAMP ? timestamp
		    : kind == PART_ID        ? value_at(v, &v->id, a)
					     : a->body;
	}
	for (size_t i = 0; i < v->secret_count; i++) {
		unsigned char mac[MAC_SIZE_MAX];
		char text[TEXT_SIZE];
		size_t len = mac_of(v->secrets[i].mac, parts, v->part_count, mac);
		if (has_code(v, a, write_code(v, mac, len, text)))
			return true;
	}
	*why = "the signature is wrong";
	return false;
}

static bool check_text(const struct verify *v, const struct arrival *a)
{
	struct slice given = header_of(a, v->proof.header);
	bool good = false;
	for (size_t i = 0; i < v->secret_count; i++)
		good = str_same_secret(given, slice_of(v->secrets[i].text)) || good;
	return good;
}

static bool check_waybill(const struct verify *v, const struct arrival *a, int64_t now_ms)
{
	const struct sign_claim claim = {.header = a->header,
	    .request = a->request,
	    .body = a->body,
	    .now_s = now_ms / 1000,
	    .window_s = VERIFY_TOLERANCE_DEFAULT_MS / 1000};
	for (size_t i = 0; i < v->secret_count; i++) {
		if (sign_verify(v->secrets[i].key, &claim))
			return true;
	}
	return false;
}

bool verify_arrival(const struct verify *v, const struct arrival *a, int64_t now_ms,
    const char **why)
{
	bool good = v->type == TYPE_NONE;
	if (!verify_may(v, a)) {
		*why = "the header with the proof is missing";
		return false;
	}
	if (v->type == TYPE_HMAC)
		return check_hmac(v, a, now_ms, why);
	if (v->type == TYPE_WAYBILL)
		good = check_waybill(v, a, now_ms);
	else if (!good)
		good = check_text(v, a);
	*why = v->type == TYPE_WAYBILL ? "the signature is wrong" : "the secret is wrong";
	return good;
}

void verify_write_masked(struct slice conf, const char *name, struct json_writer *json)
{
	struct json_walk w = json_walk_in(conf);
	json_open_object(json, name);
	while (json_walk_next(&w)) {
		json_write_name(json, w.key);
		if (!slice_eq(w.key, SLICE("secrets"))) {
			json_write_raw(json, NULL, w.value);
			continue;
		}
		struct json_walk secrets = json_walk_in(w.value);
		json_open_array(json, NULL);
		while (json_walk_next(&secrets))
			json_write_cstr(json, NULL, WEBHOOK_MASK);
		json_close(json);
	}
	json_close(json);
}
