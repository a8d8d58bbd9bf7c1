/*
 * The webhook record in memory and on disk. To change the record: raise VERSION and decode the
 * old forms as well.
 *
 *   version 11  open part | id of the key | secrets, or the vault's nonce, cipher text, tag
 *   version 10  the same without keeps_queueing, which ends the open part
 *   version 9   the same without its own name, which stands before that
 *   version 8   the same without its ownership, which stands before these
 *   version 7   the same without fallback_url and success, which stand before these
 *   version 6   the same without options, which stand before these, and end the secrets
 *   version 5   the same without auth and client certificate, which stand before these in both
 *   version 4   the same without key pairs, which stand before these: public keys and an expiry
 *               in the open part, seeds in the secrets
 *   version 3   the same without the key of its ordering, which stands before those
 *   version 2   the same without payload and filter, which stand before that
 *   version 1   the same fields without a key, the secrets among the others
 *
 * All that stands before the encrypted part is its context: what a key of the operator's has
 * encrypted cannot be put under another URL, certificate or webhook.
 */
#include "domain/webhook.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/json.h"
#include "domain/name.h"

#define WAY_MAX (1u << 18) /* bytes of what tells how it sends, the CA's certificates too */
#define VERSION 11
#define VERSION_QUEUEING 11 /* the first with keeps_queueing */
#define VERSION_NAME 10     /* the first with its own name */
#define VERSION_OWNERSHIP 9 /* the first with ownership */
#define VERSION_ANSWER 8    /* the first with fallback_url and success */
#define VERSION_OPTIONS 7   /* the first with options */
#define VERSION_AUTH 6      /* the first with auth and client certificate */
#define VERSION_PAIRS 5     /* the first with key pairs */
#define VERSION_ORDER 4     /* the first with the key of its ordering */
#define VERSION_FILTER 3    /* the first with payload and filter */
#define VERSION_OPEN 1      /* knew no encryption */

#define FLAG_ENABLED 0x01
#define FLAG_DELETED 0x02
#define FLAG_FIFO 0x04
#define FLAG_SECRET 0x08
#define FLAG_DESCRIPTION 0x10
#define FLAG_RETRY 0x20
#define FLAG_PREVIOUS 0x40
#define FLAG_INSECURE 0x80

struct webhook *webhook_new(void)
{
	struct webhook *w = mem_new(sizeof(*w));
	w->timeout_ms = WEBHOOK_TIMEOUT_DEFAULT_MS;
	w->max_in_flight = WEBHOOK_IN_FLIGHT_DEFAULT;
	w->signature = SIGNATURE_V1;
	w->enabled = true;
	w->events = mem_new(sizeof(*w->events));
	w->events[w->event_count++] = mem_copy("all", 3);
	return w;
}

void webhook_clear_events(struct webhook *w)
{
	for (size_t i = 0; i < w->event_count; i++)
		free(w->events[i]);
	free(w->events);
	w->events = NULL;
	w->event_count = 0;
}

void webhook_clear_headers(struct webhook *w)
{
	for (size_t i = 0; i < w->header_count; i++) {
		free(w->headers[i].name);
		mem_forget(w->headers[i].value); /* may be a receiver's token */
	}
	free(w->headers);
	w->headers = NULL;
	w->header_count = 0;
}

void webhook_set(char **field, const char *text)
{
	char *old = *field;
	*field = text == NULL ? NULL : mem_copy(text, strlen(text));
	mem_forget(old); /* one of the fields is the secret */
}

enum err webhook_check_enable(const struct webhook *w, struct problem *p)
{
	if (!filter_is_kept(w->filter))
		return OK;
	return problem_set(p, ERR_INVALID, "filter",
	    "this version does not take the webhook's filter: give it another, or null, first");
}

void webhook_set_enabled(struct webhook *w, const char *reason)
{
	w->enabled = reason == NULL;
	w->keeps_queueing = false;
	webhook_set(&w->disabled_reason, reason);
}

void webhook_rotate_secret(struct webhook *w, const char *secret, int64_t expires_ms)
{
	bool keeps = w->secret != NULL && expires_ms != 0;
	webhook_set(&w->previous_secret, keeps ? w->secret : NULL);
	w->previous_expires_ms = keeps ? expires_ms : 0;
	webhook_set(&w->secret, secret);
}

void webhook_set_identity(struct webhook *w, const char *cert_pem, const char *key_pem,
    int64_t expires_ms)
{
	webhook_set(&w->client_cert_pem, cert_pem);
	webhook_set(&w->client_key_pem, key_pem);
	w->client_cert_expires_ms = expires_ms;
}

enum err webhook_check_expiry(const struct webhook *w, const struct webhook *old,
    int64_t now_ms, struct problem *p)
{
	struct slice cert = slice_of(w->client_cert_pem);
	if (cert.len == 0 || w->client_cert_expires_ms > now_ms ||
	    (old != NULL && slice_eq(slice_of(old->client_cert_pem), cert)))
		return OK;
	return problem_set(p, ERR_INVALID, "client_cert_pem",
	    "client_cert_pem has expired, or one of its certificates has");
}

static void forget_pair(struct ed25519_pair *pair)
{
	if (pair != NULL)
		mem_wipe(pair, sizeof(*pair));
	free(pair);
}

void webhook_rotate_pair(struct webhook *w, const struct ed25519_pair *pair, int64_t expires_ms)
{
	bool keeps = w->pair != NULL && expires_ms != 0;
	forget_pair(w->previous_pair);
	w->previous_pair = keeps ? w->pair : NULL;
	w->previous_pair_expires_ms = keeps ? expires_ms : 0;
	if (!keeps)
		forget_pair(w->pair);
	w->pair = NULL;
	if (pair == NULL)
		return;
	w->pair = mem_new(sizeof(*pair));
	*w->pair = *pair;
}

void webhook_complete_pair(struct webhook *w)
{
	bool wants = (w->signature & SIGNATURE_ED25519) != 0 ||
	    ((w->signature & SIGNATURE_RFC9421) != 0 && w->secret == NULL);
	if (!wants || w->pair != NULL)
		return;
	w->pair = mem_new(sizeof(*w->pair));
	sign_make_pair(w->pair);
}

/* Whether what expires at `expires_ms`, 0: never was, has. */
static bool is_over(int64_t expires_ms, int64_t now_ms)
{
	return expires_ms != 0 && expires_ms <= now_ms;
}

bool webhook_drop_expired(struct webhook *w, int64_t now_ms)
{
	bool drops_secret = is_over(w->previous_expires_ms, now_ms);
	bool drops_pair = is_over(w->previous_pair_expires_ms, now_ms);
	if (drops_secret) {
		webhook_set(&w->previous_secret, NULL);
		w->previous_expires_ms = 0;
	}
	if (drops_pair) {
		forget_pair(w->previous_pair);
		w->previous_pair = NULL;
		w->previous_pair_expires_ms = 0;
	}
	return drops_secret || drops_pair;
}

void webhook_drop_secrets(struct webhook *w)
{
	webhook_rotate_secret(w, NULL, 0);
	webhook_rotate_pair(w, NULL, 0);
	webhook_clear_headers(w);
	webhook_auth_free(w->auth);
	w->auth = NULL;
	webhook_set_identity(w, NULL, NULL, 0);
	webhook_options_free(w->options);
	w->options = NULL;
}

void webhook_free(struct webhook *w)
{
	if (w == NULL)
		return;
	webhook_clear_events(w);
	webhook_clear_headers(w);
	mem_forget(w->secret);
	mem_forget(w->previous_secret);
	forget_pair(w->pair);
	forget_pair(w->previous_pair);
	webhook_auth_free(w->auth);
	webhook_options_free(w->options);
	free(w->client_cert_pem);
	mem_forget(w->client_key_pem);
	free(w->ca_pem);
	free(w->session);
	free(w->url);
	free(w->fallback_url);
	success_free(w->success);
	free(w->name);
	free(w->description);
	free(w->disabled_reason);
	free(w->retry);
	filter_free(w->filter);
	ownership_fini(&w->ownership);
	lane_key_free(w->key);
	free(w);
}

void webhook_note_order(struct webhook *w, const struct webhook *old)
{
	w->unordered = old->unordered;
	if (lane_key_same(w->key, old->key) && (!w->fifo || old->fifo))
		return;
	if (++w->unordered == 0)
		w->unordered = 1;
}

static uint8_t flags_of(const struct webhook *w)
{
	unsigned flags = 0;
	flags |= w->enabled ? FLAG_ENABLED : 0;
	flags |= w->deleted ? FLAG_DELETED : 0;
	flags |= w->fifo ? FLAG_FIFO : 0;
	flags |= w->secret != NULL ? FLAG_SECRET : 0;
	flags |= w->description != NULL ? FLAG_DESCRIPTION : 0;
	flags |= w->retry != NULL ? FLAG_RETRY : 0;
	flags |= w->previous_secret != NULL ? FLAG_PREVIOUS : 0;
	flags |= w->tls_insecure ? FLAG_INSECURE : 0;
	return (uint8_t)flags;
}

static void encode_lists(const struct webhook *w, struct buf *out)
{
	put_u16(out, (uint16_t)w->event_count);
	for (size_t i = 0; i < w->event_count; i++)
		put_text(out, slice_of(w->events[i]));
	put_u16(out, (uint16_t)w->header_count);
	for (size_t i = 0; i < w->header_count; i++)
		put_text(out, slice_of(w->headers[i].name));
	uint32_t waits = w->retry == NULL ? 0 : w->retry->count;
	put_u16(out, (uint16_t)waits);
	for (uint32_t i = 0; i < waits; i++)
		put_i64(out, w->retry->wait_ms[i]);
}

static struct slice public_of(const struct ed25519_pair *pair)
{
	return pair == NULL
	    ? SLICE("")
	    : (struct slice){(const char *)pair->public_key, sizeof(pair->public_key)};
}

static struct slice seed_of(const struct ed25519_pair *pair)
{
	return pair == NULL ? SLICE("")
			    : (struct slice){(const char *)pair->seed, sizeof(pair->seed)};
}

static void encode_open(const struct webhook *w, struct buf *out)
{
	uint64_t rate = 0;
	memcpy(&rate, &w->rate_limit, sizeof(rate)); /* the bits of an IEEE 754 double */
	put_u8(out, VERSION);
	put_u8(out, flags_of(w));
	put_u8(out, (uint8_t)w->signature);
	put_u64(out, w->number);
	buf_append(out, w->id.bytes, UUID_SIZE);
	put_i64(out, w->created_ms);
	put_i64(out, w->updated_ms);
	put_i64(out, w->failing_since_ms);
	put_u32(out, w->timeout_ms);
	put_u32(out, w->max_in_flight);
	put_u64(out, rate);
	put_text(out, slice_of(w->session));
	put_text(out, slice_of(w->url));
	put_i64(out, w->previous_expires_ms);
	put_text(out, slice_of(w->ca_pem));
	put_text(out, slice_of(w->description));
	put_text(out, slice_of(w->disabled_reason));
	encode_lists(w, out);
	put_u8(out, (uint8_t)w->payload);
	put_text(out, w->filter == NULL ? SLICE("") : filter_json(w->filter));
	put_u32(out, w->unordered);
	put_text(out, w->key == NULL ? SLICE("") : lane_key_json(w->key));
	put_text(out, public_of(w->pair));
	put_text(out, public_of(w->previous_pair));
	put_i64(out, w->previous_pair_expires_ms);
	webhook_auth_encode(w->auth, out);
	put_i64(out, w->client_cert_expires_ms);
	webhook_options_encode(w->options, out);
	put_text(out, slice_of(w->fallback_url));
	put_text(out, w->success == NULL ? SLICE("") : success_json(w->success));
	ownership_encode(&w->ownership, out);
	put_text(out, slice_of(w->name));
	put_u8(out, w->keeps_queueing);
}

static void encode_secrets(const struct webhook *w, struct buf *out)
{
	put_text(out, slice_of(w->secret));
	put_text(out, slice_of(w->previous_secret));
	for (size_t i = 0; i < w->header_count; i++)
		put_text(out, slice_of(w->headers[i].value));
	put_text(out, seed_of(w->pair));
	put_text(out, seed_of(w->previous_pair));
	put_text(out, w->auth == NULL ? SLICE("") : slice_of(w->auth->secret));
	put_text(out, slice_of(w->client_cert_pem));
	put_text(out, slice_of(w->client_key_pem));
	webhook_options_encode_secret(w->options, out);
}

/* Makes room for the most that the secrets take: a buffer that grew would leave them behind. */
static void reserve_secrets(struct buf *b)
{
	size_t bytes = 2 * (2 + WEBHOOK_SECRET_MAX) + WEBHOOK_HEADERS_MAX * 2 +
	    WEBHOOK_HEADERS_BYTES_MAX + 2 + AUTH_SECRET_MAX + 2 + WEBHOOK_CERT_MAX + 2 +
	    WEBHOOK_KEY_MAX + 2 * (2 + ED25519_SEED_SIZE) + 2 + PROXY_URL_MAX;
	*b = BUF_INIT(bytes);
	(void)buf_reserve(b, bytes); /* is the limit */
}

/* Writes what tells how it sends and is no secret; a fallback says nothing of its own URL. */
static void put_way(const struct webhook *w, struct buf *out)
{
	put_u8(out, (uint8_t)w->signature);
	put_u8(out, (uint8_t)w->payload);
	put_u8(out, w->tls_insecure);
	put_u32(out, w->timeout_ms);
	put_text(out, slice_of(w->url));
	put_text(out, slice_of(w->ca_pem));
	put_text(out, w->success == NULL ? SLICE("") : success_json(w->success));
	for (size_t i = 0; i < w->header_count; i++)
		put_text(out, slice_of(w->headers[i].name));
	webhook_auth_encode(w->auth, out);
	webhook_options_encode(w->options, out);
}

bool webhook_sends_alike(const struct webhook *w, const struct webhook *other)
{
	struct buf ways[] = {BUF_INIT(WAY_MAX), BUF_INIT(WAY_MAX)};
	struct buf secrets[2];
	const struct webhook *both[] = {w, other};
	for (int i = 0; i < 2; i++) {
		put_way(both[i], &ways[i]);
		reserve_secrets(&secrets[i]);
		encode_secrets(both[i], &secrets[i]);
	}
	bool alike = slice_eq(buf_view(&ways[0]), buf_view(&ways[1])) &&
	    slice_eq(buf_view(&secrets[0]), buf_view(&secrets[1]));
	for (int i = 0; i < 2; i++) {
		mem_wipe(secrets[i].data, secrets[i].len);
		buf_fini(&secrets[i]);
		buf_fini(&ways[i]);
	}
	return alike;
}

void webhook_encode(const struct webhook *w, const struct vault *vault,
    const unsigned char nonce[VAULT_NONCE_SIZE], struct buf *out)
{
	struct vault_id key = vault_current(vault);
	size_t start = out->len;
	encode_open(w, out);
	buf_append(out, key.bytes, sizeof(key.bytes));
	if (vault_is_none(&key) || out->failed) {
		encode_secrets(w, out);
		return;
	}
	struct buf context = BUF_INIT(WEBHOOK_RECORD_MAX);
	struct buf plain;
	reserve_secrets(&plain);
	encode_secrets(w, &plain);
	buf_append(&context, out->data + start, out->len - start); /* `out` may move */
	vault_encrypt(vault, nonce, buf_view(&context), buf_view(&plain), out);
	out->failed = out->failed || plain.failed || context.failed;
	mem_wipe(plain.data, plain.len);
	buf_fini(&plain);
	buf_fini(&context);
}

bool webhook_same(const struct webhook *a, const struct webhook *b)
{
	const struct webhook *both[] = {a, b};
	struct buf records[2];
	for (int i = 0; i < 2; i++) {
		records[i] = BUF_INIT(WEBHOOK_RECORD_MAX);
		(void)buf_reserve(&records[i], WEBHOOK_RECORD_MAX); /* wiped whole */
		webhook_encode(both[i], NULL, NULL, &records[i]);
	}
	bool same = !records[0].failed && !records[1].failed &&
	    slice_eq(buf_view(&records[0]), buf_view(&records[1]));
	for (int i = 0; i < 2; i++) {
		mem_wipe(records[i].data, records[i].len);
		buf_fini(&records[i]);
	}
	return same;
}

/* Reads a text; a NUL within it fails the reader, as no string of ours holds one. */
static char *copy_text(struct reader *r)
{
	struct slice s = get_text(r);
	r->failed = r->failed || memchr(s.ptr, '\0', s.len) != NULL;
	return mem_copy(s.ptr, s.len);
}

/* Reads a text that is there only when `present`; an absent one was written empty. */
static char *copy_optional(struct reader *r, bool present)
{
	char *text = copy_text(r);
	if (present)
		return text;
	r->failed = r->failed || text[0] != '\0';
	free(text);
	return NULL;
}

/* Reads the waits of `schedule`; where that is NULL none may be there. */
static void decode_waits(struct reader *r, struct retry_schedule *schedule)
{
	uint16_t waits = get_u16(r);
	if (waits > RETRY_STEPS_MAX || schedule == NULL) {
		r->failed = r->failed || waits > 0;
		return;
	}
	schedule->count = waits;
	for (uint16_t i = 0; i < waits; i++) {
		schedule->wait_ms[i] = get_i64(r);
		r->failed = r->failed || schedule->wait_ms[i] < 1 ||
		    schedule->wait_ms[i] > RETRY_WAIT_MAX_MS;
	}
}

/* Reads the lists; in the old form a header's value stands behind its name. */
static void decode_lists(struct reader *r, struct webhook *w, uint8_t version)
{
	webhook_clear_events(w);
	uint16_t events = get_u16(r);
	w->events = mem_array(events, sizeof(*w->events));
	while (w->event_count < events && !r->failed)
		w->events[w->event_count++] = copy_text(r);
	uint16_t headers = get_u16(r);
	w->headers = mem_array(headers, sizeof(*w->headers));
	while (w->header_count < headers && !r->failed) {
		struct webhook_header *h = &w->headers[w->header_count++];
		h->name = copy_text(r);
		h->value = version == VERSION_OPEN ? copy_text(r) : NULL;
	}
	decode_waits(r, w->retry);
}

/* Whether a text is one JSON value as the reader makes it. */
static bool is_canonical(struct slice json)
{
	struct json_reader r;
	struct buf out = BUF_INIT(SUCCESS_BYTES_MAX); /* the longest of such texts */
	json_init(&r, json);
	bool good = json_read_value(&r, &out) == OK && json_read_end(&r) == OK &&
	    slice_eq(buf_view(&out), json);
	json_fini(&r);
	buf_fini(&out);
	return good;
}

static void decode_filter(struct reader *r, struct webhook *w)
{
	struct problem why;
	uint8_t payload = get_u8(r);
	struct slice json = get_text(r);
	w->payload = payload < PAYLOADS ? (enum payload)payload : PAYLOAD_ENVELOPE;
	r->failed = r->failed || payload >= PAYLOADS || (json.len > 0 && !is_canonical(json));
	if (r->failed || json.len == 0)
		return;
	if (filter_compile(json, "filter", &w->filter, &why) == OK)
		return;
	w->filter = filter_keep(json); /* of a version that took it */
	if (w->enabled)
		webhook_set_enabled(w, WEBHOOK_DISABLED_BY_FILTER);
}

static void decode_order(struct reader *r, struct webhook *w)
{
	w->unordered = get_u32(r);
	struct slice json = get_text(r);
	if (json.len == 0 || r->failed)
		return;
	if (is_canonical(json))
		w->key = lane_key_new(json);
	r->failed = w->key == NULL || w->fifo;
}

/* Reads a public key, or that there is none; the seed comes with the secrets. */
static struct ed25519_pair *decode_public(struct reader *r)
{
	struct slice key = get_text(r);
	r->failed = r->failed || (key.len > 0 && key.len != ED25519_PUBLIC_SIZE);
	if (key.len == 0 || r->failed)
		return NULL;
	struct ed25519_pair *pair = mem_new(sizeof(*pair));
	memcpy(pair->public_key, key.ptr, key.len);
	return pair;
}

static void decode_seed(struct reader *r, struct ed25519_pair *pair)
{
	struct slice seed = get_text(r);
	r->failed = r->failed || seed.len != (pair == NULL ? 0 : ED25519_SEED_SIZE);
	if (pair != NULL && !r->failed)
		memcpy(pair->seed, seed.ptr, seed.len);
}

static void decode_name(struct reader *r, struct webhook *w)
{
	struct slice name = get_text(r);
	r->failed = r->failed || (name.len > 0 && !name_is_webhook(name));
	if (name.len > 0 && !r->failed)
		w->name = mem_copy(name.ptr, name.len);
}

static void decode_pairs(struct reader *r, struct webhook *w)
{
	w->pair = decode_public(r);
	w->previous_pair = decode_public(r);
	w->previous_pair_expires_ms = get_i64(r);
}

/* Reads where else attempts may go, and which answers count. */
static void decode_answer(struct reader *r, struct webhook *w)
{
	struct problem why;
	w->fallback_url = copy_text(r);
	if (w->fallback_url[0] == '\0')
		webhook_set(&w->fallback_url, NULL);
	struct slice json = get_text(r);
	if (json.len == 0 || r->failed)
		return;
	r->failed = !is_canonical(json) ||
	    success_compile(json, "success", &w->success, &why) != OK;
}

static void decode_shared_secrets(struct reader *r, struct webhook *w, uint8_t flags)
{
	w->secret = copy_optional(r, (flags & FLAG_SECRET) != 0);
	w->previous_secret = copy_optional(r, (flags & FLAG_PREVIOUS) != 0);
}

/* One that is enabled has it not: there is one form of each record. */
static void decode_queueing(struct reader *r, struct webhook *w)
{
	uint8_t keeps = get_u8(r);
	r->failed = r->failed || keeps > (w->enabled ? 0 : 1);
	w->keeps_queueing = keeps != 0 && !filter_is_kept(w->filter);
}

/* Reads all that is never encrypted, and in the old form the secrets; returns the flags. */
static uint8_t decode_open_part(struct reader *r, struct webhook *w, uint8_t version)
{
	uint8_t flags = get_u8(r);
	w->enabled = (flags & FLAG_ENABLED) != 0;
	w->deleted = (flags & FLAG_DELETED) != 0;
	w->fifo = (flags & FLAG_FIFO) != 0;
	w->tls_insecure = (flags & FLAG_INSECURE) != 0;
	w->retry = (flags & FLAG_RETRY) != 0 ? mem_new(sizeof(*w->retry)) : NULL;
	w->signature = get_u8(r);
	r->failed = r->failed || !sign_is_set(w->signature) ||
	    (version < VERSION_PAIRS && w->signature > SIGNATURE_V2);
	w->number = get_u64(r);
	struct slice id = get_bytes(r, UUID_SIZE);
	memcpy(w->id.bytes, id.ptr, id.len);
	w->created_ms = get_i64(r);
	w->updated_ms = get_i64(r);
	w->failing_since_ms = get_i64(r);
	w->timeout_ms = get_u32(r);
	w->max_in_flight = get_u32(r);
	uint64_t rate = get_u64(r);
	memcpy(&w->rate_limit, &rate, sizeof(rate));
	w->session = copy_text(r);
	w->url = copy_text(r);
	if (version == VERSION_OPEN)
		decode_shared_secrets(r, w, flags);
	w->previous_expires_ms = get_i64(r);
	w->ca_pem = copy_text(r);
	if (w->ca_pem[0] == '\0')
		webhook_set(&w->ca_pem, NULL);
	w->description = copy_optional(r, (flags & FLAG_DESCRIPTION) != 0);
	w->disabled_reason = copy_optional(r, !w->enabled); /* "" where there was none */
	decode_lists(r, w, version);
	if (version >= VERSION_FILTER)
		decode_filter(r, w);
	if (version >= VERSION_ORDER)
		decode_order(r, w);
	if (version >= VERSION_PAIRS)
		decode_pairs(r, w);
	if (version >= VERSION_AUTH) {
		w->auth = webhook_auth_decode(r);
		w->client_cert_expires_ms = get_i64(r);
	}
	if (version >= VERSION_OPTIONS)
		w->options = webhook_options_decode(r);
	if (version >= VERSION_ANSWER)
		decode_answer(r, w);
	if (version >= VERSION_OWNERSHIP)
		ownership_decode(r, &w->ownership);
	if (version >= VERSION_NAME)
		decode_name(r, w);
	if (version >= VERSION_QUEUEING)
		decode_queueing(r, w);
	return flags;
}

/* A record that is being read, for what lies behind its open part. */
struct rest {
	struct webhook *w;
	uint8_t version;
	uint8_t flags;
	struct vault_id key;
	struct slice context; /* the record up to here */
	struct slice secrets; /* encrypted, where there is a key */
};

/* Reads the secrets of how the webhook shows its receiver who it is. */
static void decode_own_secrets(struct reader *r, struct webhook *w)
{
	bool has_cert = w->client_cert_expires_ms != 0;
	char *secret = copy_optional(r, w->auth != NULL);
	if (secret != NULL)
		webhook_auth_set_secret(w->auth, slice_of(secret));
	mem_forget(secret);
	w->client_cert_pem = copy_optional(r, has_cert);
	w->client_key_pem = copy_optional(r, has_cert);
}

static enum err decode_secrets(struct reader *r, const struct rest *rest)
{
	struct webhook *w = rest->w;
	decode_shared_secrets(r, w, rest->flags);
	for (size_t i = 0; i < w->header_count && !r->failed; i++)
		w->headers[i].value = copy_text(r);
	if (rest->version >= VERSION_PAIRS) {
		decode_seed(r, w->pair);
		decode_seed(r, w->previous_pair);
	}
	if (rest->version >= VERSION_AUTH)
		decode_own_secrets(r, w);
	webhook_options_decode_secret(r, w->options);
	return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
}

static enum err decrypt_secrets(const struct rest *rest, const struct vault *vault)
{
	struct buf plain;
	reserve_secrets(&plain);
	enum err err = vault_decrypt(vault, &rest->key, rest->context, rest->secrets, &plain);
	if (err == OK) {
		struct reader r = reader_of(buf_view(&plain));
		err = decode_secrets(&r, rest);
	}
	mem_wipe(plain.data, plain.len);
	buf_fini(&plain);
	return err;
}

static enum err decode_rest(struct reader *r, const struct rest *rest,
    const struct vault *vault, bool opens)
{
	if (r->failed)
		return ERR_CORRUPT;
	if (vault_is_none(&rest->key))
		return decode_secrets(r, rest);
	if (opens)
		return decrypt_secrets(rest, vault);
	return rest->secrets.len < VAULT_OVERHEAD ? ERR_CORRUPT : OK;
}

/* Reads a record; without `opens` what is encrypted of it stays so. */
static enum err decode(struct reader *r, const struct vault *vault, bool opens,
    struct vault_id *key, struct webhook **out)
{
	const unsigned char *start = r->ptr;
	uint8_t version = get_u8(r);
	*key = (struct vault_id){0};
	if (version == 0 || version > VERSION)
		return ERR_CORRUPT;
	struct rest rest = {.w = webhook_new(), .version = version};
	rest.flags = decode_open_part(r, rest.w, version);
	enum err err = r->failed || r->left != 0 ? ERR_CORRUPT : OK;
	if (version != VERSION_OPEN) {
		struct slice id = get_bytes(r, VAULT_ID_SIZE);
		memcpy(rest.key.bytes, id.ptr, id.len);
		rest.context = (struct slice){(const char *)start, (size_t)(r->ptr - start)};
		rest.secrets = (struct slice){(const char *)r->ptr, r->left};
		err = decode_rest(r, &rest, vault, opens);
	}
	*key = rest.key;
	if (err == OK)
		*out = rest.w;
	else
		webhook_free(rest.w);
	return err;
}

enum err webhook_decode(struct reader *r, const struct vault *vault, struct vault_id *key,
    struct webhook **out)
{
	return decode(r, vault, true, key, out);
}

enum err webhook_decode_open(struct reader *r, struct vault_id *key, struct webhook **out)
{
	return decode(r, NULL, false, key, out);
}
