/*
 * One table of fields says what a webhook's JSON may hold; POST and PATCH walk
 * it alike, and a null is the default in every field that has one. The only user of
 * cJSON, which is no validator: the strict scanner has read the text before (cJSON
 * passes raw NUL, 01 and bad UTF-8).
 */
#include "domain/webhook_json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "domain/header.h"
#include "domain/json.h"
#include "domain/json_scan.h"
#include "domain/name.h"
#include "domain/pem.h"
#include "domain/sign.h"
#include "domain/webhook_json_inner.h"
#include "domain/webhook_mask.h"

#define OVERLAP_DEFAULT_S 86400 /* docs/api.md */
#define OVERLAP_MAX_S 2592000   /* 30 days */
#define RATE_MIN 0.001          /* one delivery in a thousand seconds */
#define RATE_MAX 100000.0
#define EVENTS_MAX 256     /* names in one filter */
#define FIELD_SHOWN_MAX 60 /* bytes of a field that nobody knows */

struct field {
	const char *name;
	enum err (*apply)(struct webhook *w, const cJSON *value,
	    const struct webhook_rules *rules, struct problem *p);
};

static enum err bad(struct problem *p, const char *field, const char *allowed)
{
	return problem_set(p, ERR_INVALID, field, "%s must be %s", field, allowed);
}

static enum err apply_url(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (!cJSON_IsString(value))
		return bad(p, "url", "a string");
	return webhook_json_take_url(&w->url, value, "url", p);
}

static enum err apply_fallback(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	return webhook_json_take_fallback(w, value, p);
}

static enum err unknown_event(const struct webhook_rules *rules, const char *field,
    struct problem *p)
{
	struct buf known = BUF_INIT(sizeof(p->message));
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++)
		buf_printf(&known, "%s%s", i == 0 ? "" : " ", NAME_EVENTS[i]);
	for (size_t i = 0; i < rules->extra_event_count; i++)
		buf_printf(&known, " %s", rules->extra_events[i]);
	enum err err = problem_set(p, ERR_INVALID, field,
	    "unknown event: the setting extra_events adds names, events_strict false beside "
	    "events takes any; known are: %s",
	    known.failed ? "those of the documentation and the configuration"
			 : buf_cstr(&known));
	buf_fini(&known);
	return err;
}

static bool has_event(char *const events[], size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(slice_of(events[i]), name))
			return true;
	}
	return false;
}

/* Checks a name that is wanted, "*" is "all" already; `old` has those of before. */
static enum err check_event(const struct webhook *old, struct slice name,
    const struct webhook_rules *rules, const char *field, struct problem *p)
{
	if (has_event(old->events, old->event_count, name) ||
	    name_is_subscribable(name, rules->extra_events, rules->extra_event_count))
		return OK;
	if (!rules->any_event)
		return unknown_event(rules, field, p);
	if (!name_is_pattern(name))
		return bad(p, field,
		    "all, *, or 1 to 64 of a-z 0-9 _ . with or without a * at the end; no "
		    "other event can be published");
	return OK;
}

/* Reads the names into `events`, which has room; named twice is named once. */
static enum err read_events(const struct webhook *old, const cJSON *value,
    const struct webhook_rules *rules, struct webhook *out, struct problem *p)
{
	int at = 0;
	const cJSON *item = NULL;
	cJSON_ArrayForEach(item, value)
	{
		char field[32];
		(void)snprintf(field, sizeof(field), "events[%d]", at++);
		if (!cJSON_IsString(item))
			return bad(p, field, "a string");
		struct slice name = slice_of(item->valuestring);
		if (slice_eq(name, SLICE("*")))
			name = SLICE("all");
		enum err err = check_event(old, name, rules, field, p);
		if (err != OK)
			return err;
		if (!has_event(out->events, out->event_count, name))
			out->events[out->event_count++] = mem_copy(name.ptr, name.len);
	}
	return OK;
}

static enum err apply_events(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	int count = cJSON_GetArraySize(value); /* 0 of a null */
	if ((!cJSON_IsNull(value) && !cJSON_IsArray(value)) || count > EVENTS_MAX)
		return bad(p, "events", "null or an array of at most 256 event names");
	const struct webhook old = *w;
	w->events = mem_array((size_t)count + 1, sizeof(*w->events));
	w->event_count = 0;
	enum err err = read_events(&old, value, rules, w, p);
	if (w->event_count == 0)
		w->events[w->event_count++] = mem_copy("all", 3);
	for (size_t i = 0; i < old.event_count; i++)
		free(old.events[i]);
	free(old.events);
	return err;
}

static enum err apply_secret(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (cJSON_IsNull(value)) {
		webhook_rotate_secret(w, NULL, 0);
		return OK;
	}
	size_t len = cJSON_IsString(value) ? strlen(value->valuestring) : 0;
	if (len == 0 || len > WEBHOOK_SECRET_MAX)
		return bad(p, "secret", "null or a string of 1 to 1024 bytes");
	if (strcmp(value->valuestring, WEBHOOK_MASK) == 0)
		return problem_set(p, ERR_INVALID, "secret",
		    "this is the mask that answers show; leave it out to keep the secret");
	enum err err = sign_check_secret(slice_of(value->valuestring), "secret", p);
	if (err != OK)
		return err;
	webhook_rotate_secret(w, value->valuestring, 0);
	return OK;
}

static enum err check_header(const struct webhook *w, const cJSON *item, const char *field,
    struct problem *p)
{
	if (!header_is_name(item->string))
		return problem_set(p, ERR_INVALID, "headers",
		    "a header name must be an HTTP token of at most 128 characters");
	if (header_is_reserved(item->string))
		return problem_set(p, ERR_INVALID, field,
		    "%s is reserved: waybill sets it, it frames the request, or it is read as "
		    "one that does",
		    item->string);
	if (!cJSON_IsString(item) || !header_is_value(item->valuestring))
		return bad(p, field,
		    "a string of at most 8192 printable ASCII characters, without line breaks");
	for (size_t i = 0; i < w->header_count; i++) {
		if (strcasecmp(w->headers[i].name, item->string) == 0)
			return problem_set(p, ERR_INVALID, field, "%s is given twice",
			    item->string);
	}
	return OK;
}

static enum err apply_headers(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	int count = cJSON_GetArraySize(value);
	if ((!cJSON_IsNull(value) && !cJSON_IsObject(value)) || count > WEBHOOK_HEADERS_MAX)
		return bad(p, "headers", "null or an object of at most 32 names and strings");
	webhook_clear_headers(w);
	w->headers = mem_array((size_t)count, sizeof(*w->headers));
	size_t bytes = 0;
	const cJSON *item = NULL;
	cJSON_ArrayForEach(item, value)
	{
		char field[HEADER_NAME_MAX + 16];
		(void)snprintf(field, sizeof(field), "headers.%.128s", item->string);
		enum err err = check_header(w, item, field, p);
		if (err != OK)
			return err;
		bytes += strlen(item->string) + strlen(item->valuestring);
		if (bytes > WEBHOOK_HEADERS_BYTES_MAX)
			return bad(p, "headers", "at most 40960 bytes of names and values");
		struct webhook_header *h = &w->headers[w->header_count++];
		h->name = mem_copy(item->string, strlen(item->string));
		h->value = mem_copy(item->valuestring, strlen(item->valuestring));
	}
	return OK;
}

static enum err apply_auth(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	return webhook_json_take_auth(w, value, p);
}

static enum err apply_private(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	struct ed25519_pair pair;
	(void)rules;
	if (cJSON_IsNull(value)) {
		webhook_rotate_pair(w, NULL, 0); /* one that is wanted is drawn at the end */
		return OK;
	}
	if (!cJSON_IsString(value))
		return bad(p, "private_key", "null or a string");
	if (strcmp(value->valuestring, WEBHOOK_MASK) == 0)
		return problem_set(p, ERR_INVALID, "private_key",
		    "this is the mask that answers show; leave it out to keep the key");
	enum err err = sign_read_private(slice_of(value->valuestring), "private_key", &pair, p);
	if (err == OK)
		webhook_rotate_pair(w, &pair, 0);
	mem_wipe(&pair, sizeof(pair));
	return err;
}

static enum err unknown_signature(struct problem *p)
{
	struct buf known = BUF_INIT(sizeof(p->message));
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		bool is_last = i + 1 == SIGN_SCHEMES_COUNT;
		const char *before = i == 0 ? "" : is_last ? " or " : ", ";
		buf_printf(&known, "%s\"%s\"", before, SIGN_SCHEMES[i].name);
	}
	buf_puts(&known, ", or an array of these, of v1 and v2 one at most");
	enum err err = bad(p, "signature", buf_cstr(&known));
	buf_fini(&known);
	return err;
}

/* What a webhook signs with that does not say how. */
static unsigned standard_schemes(const struct webhook_rules *rules)
{
	return rules->signature == 0 ? SIGN_SCHEMES[0].code : rules->signature;
}

/* The scheme that a string names, as a set; 0: none. */
static unsigned named_scheme(const cJSON *value)
{
	const struct sign_scheme *s = cJSON_IsString(value)
	    ? sign_find_name(slice_of(value->valuestring))
	    : NULL;
	return s == NULL ? 0 : s->code;
}

static enum err apply_signature(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	unsigned schemes = cJSON_IsNull(value) ? standard_schemes(rules) : named_scheme(value);
	const cJSON *list = cJSON_IsArray(value) ? value : NULL;
	const cJSON *item = NULL;
	cJSON_ArrayForEach(item, list)
	{
		if (named_scheme(item) == 0)
			return unknown_signature(p);
		schemes |= named_scheme(item);
	}
	if (!sign_is_set(schemes))
		return unknown_signature(p);
	w->signature = schemes;
	return OK;
}

/* Reads an integer from min to max, a null as `standard`; false where it is anything else. */
static bool read_integer(const cJSON *value, uint32_t min, uint32_t max, uint32_t standard,
    uint32_t *out)
{
	double n = cJSON_IsNumber(value) ? value->valuedouble : -1;
	if (cJSON_IsNull(value))
		n = standard;
	if (!(n >= min && n <= max) || floor(n) < n)
		return false;
	*out = (uint32_t)n;
	return true;
}

static enum err apply_timeout(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	if (!read_integer(value, WEBHOOK_TIMEOUT_MIN_MS, WEBHOOK_TIMEOUT_MAX_MS,
		rules->timeout_ms, &w->timeout_ms))
		return bad(p, "timeout_ms", "null or an integer from 100 to 30000");
	return OK;
}

static enum err apply_in_flight(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (!read_integer(value, 1, WEBHOOK_IN_FLIGHT_MAX, WEBHOOK_IN_FLIGHT_DEFAULT,
		&w->max_in_flight))
		return bad(p, "max_in_flight", "null or an integer from 1 to 256");
	return OK;
}

static enum err apply_ordering(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	if (cJSON_IsNull(value))
		text = "none";
	bool has_key = cJSON_IsObject(value) && cJSON_GetArraySize(value) == 1 &&
	    cJSON_GetObjectItemCaseSensitive(value, "key") != NULL;
	if (strcmp(text, "none") != 0 && strcmp(text, "fifo") != 0 && !has_key)
		return bad(p, "ordering",
		    "null, \"none\", \"fifo\" or an object with key alone, a JSON pointer "
		    "such as /data/chat");
	w->fifo = strcmp(text, "fifo") == 0;
	lane_key_free(w->key);
	w->key = NULL; /* is then made of its text, as it is kept */
	return OK;
}

static enum err apply_rate(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	double rate = cJSON_IsNumber(value) ? value->valuedouble : 0;
	if (!cJSON_IsNull(value) && !(rate >= RATE_MIN && rate <= RATE_MAX))
		return bad(p, "rate_limit",
		    "null or a number from 0.001 to 100000, in deliveries per second");
	w->rate_limit = rate;
	return OK;
}

static enum err apply_retry(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	free(w->retry);
	w->retry = NULL;
	if (cJSON_IsNull(value))
		return OK;
	if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) == 0)
		return bad(p, "retry", "null or an array of 1 to 32 waits such as \"30s\"");
	w->retry = mem_new(sizeof(*w->retry));
	const cJSON *item = NULL;
	cJSON_ArrayForEach(item, value)
	{
		char field[32];
		(void)snprintf(field, sizeof(field), "retry[%u]", w->retry->count);
		if (!cJSON_IsString(item))
			return bad(p, field, "a wait such as \"30s\"");
		enum err err = retry_add(w->retry, slice_of(item->valuestring), field, p);
		if (err != OK)
			return err;
	}
	return OK;
}

static enum err apply_description(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (!cJSON_IsNull(value) &&
	    (!cJSON_IsString(value) || strlen(value->valuestring) > WEBHOOK_DESCRIPTION_MAX))
		return bad(p, "description", "null or a string of at most 500 bytes");
	webhook_set(&w->description, cJSON_IsNull(value) ? NULL : value->valuestring);
	return OK;
}

static enum err apply_name(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	if (!cJSON_IsNull(value) && !name_is_webhook(slice_of(text)))
		return bad(p, "name", "null or " WEBHOOK_NAME_ALLOWED);
	webhook_set(&w->name, cJSON_IsNull(value) ? NULL : text);
	return OK;
}

static enum err apply_ca(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	bool is_pem = cJSON_IsString(value) && strlen(value->valuestring) <= WEBHOOK_CA_MAX &&
	    pem_is_certificates(slice_of(value->valuestring));
	if (!cJSON_IsNull(value) && !is_pem)
		return bad(p, "ca_pem", "null or certificates in PEM, at most 16384 bytes");
	webhook_set(&w->ca_pem, cJSON_IsNull(value) ? NULL : value->valuestring);
	return OK;
}

static enum err apply_tls_verify(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (!cJSON_IsNull(value) && !cJSON_IsBool(value))
		return bad(p, "tls_verify", "null, true or false");
	w->tls_insecure = cJSON_IsFalse(value) != 0;
	return OK;
}

static enum err apply_client_cert(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	return webhook_json_take_pem(&w->client_cert_pem, value, "client_cert_pem",
	    WEBHOOK_CERT_MAX, p);
}

static enum err apply_client_key(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	return webhook_json_take_pem(&w->client_key_pem, value, "client_key_pem",
	    WEBHOOK_KEY_MAX, p);
}

static enum err apply_verify(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	enum ownership_way way = rules->verifies ? OWNERSHIP_BY_GET : OWNERSHIP_NOT_ASKED;
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	if (!cJSON_IsNull(value) && !ownership_read_way(text, &way))
		return bad(p, "verify", "null, \"get\" or \"post\"");
	w->ownership.way = way;
	return OK;
}

static enum err apply_payload(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	if (cJSON_IsNull(value))
		text = PAYLOAD_NAMES[PAYLOAD_ENVELOPE];
	for (int i = 0; i < PAYLOADS; i++) {
		if (strcmp(text, PAYLOAD_NAMES[i]) == 0) {
			w->payload = (enum payload)i;
			return OK;
		}
	}
	return bad(p, "payload", "null, \"envelope\", \"data\" or \"cloudevents\"");
}

/* Is not kept: webhook_apply() has looked at it before all others. */
static enum err apply_strict(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)w;
	(void)rules;
	if (!cJSON_IsNull(value) && !cJSON_IsBool(value))
		return bad(p, "events_strict", "null, true or false");
	return OK;
}

/* Any but null is then compiled from its text, which has digits that cJSON loses. */
static enum err apply_no_filter(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)value;
	(void)rules;
	(void)p;
	filter_free(w->filter);
	w->filter = NULL;
	return OK;
}

/* The same of what counts as success. */
static enum err apply_no_success(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)value;
	(void)rules;
	(void)p;
	success_free(w->success);
	w->success = NULL;
	return OK;
}

static enum err apply_enabled(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	(void)rules;
	if (!cJSON_IsNull(value) && !cJSON_IsBool(value))
		return bad(p, "enabled", "null, true or false");
	bool enabled = !cJSON_IsFalse(value);
	if (enabled != w->enabled)
		webhook_set_enabled(w, enabled ? NULL : WEBHOOK_DISABLED_BY_REQUEST);
	return OK;
}

static const struct field FIELDS[] = {
    {"name", apply_name},
    {"url", apply_url},
    {"events", apply_events},
    {"events_strict", apply_strict},
    {"filter", apply_no_filter},
    {"payload", apply_payload},
    {"secret", apply_secret},
    {"private_key", apply_private},
    {"headers", apply_headers},
    {"auth", apply_auth},
    {"signature", apply_signature},
    {"timeout_ms", apply_timeout},
    {"max_in_flight", apply_in_flight},
    {"ordering", apply_ordering},
    {"rate_limit", apply_rate},
    {"retry", apply_retry},
    {"description", apply_description},
    {"ca_pem", apply_ca},
    {"tls_verify", apply_tls_verify},
    {"client_cert_pem", apply_client_cert},
    {"client_key_pem", apply_client_key},
    {"proxy", webhook_json_take_proxy},
    {"no_proxy", webhook_json_take_no_proxy},
    {"user_agent", webhook_json_take_agent},
    {"http_version", webhook_json_take_version},
    {"content_encoding", webhook_json_take_encoding},
    {"verify", apply_verify},
    {"success", apply_no_success},
    {"fallback_url", apply_fallback},
    {"enabled", apply_enabled},
};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

const char *webhook_json_field(size_t i)
{
	return i < FIELD_COUNT ? FIELDS[i].name : NULL;
}

/* How many bytes of an unknown field's name are shown: whole characters, not too many. */
static size_t shown_bytes(const char *name)
{
	size_t n = strlen(name);
	if (n <= FIELD_SHOWN_MAX)
		return n;
	n = FIELD_SHOWN_MAX;
	while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) /* would be cut within one */
		n--;
	return n;
}

static enum err apply_member(struct webhook *w, const cJSON *member,
    const struct webhook_rules *rules, struct problem *p)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		if (strcmp(member->string, FIELDS[i].name) == 0)
			return FIELDS[i].apply(w, member, rules, p);
	}
	if (rules->ignores_unknown)
		return OK;
	char field[FIELD_SHOWN_MAX + 1];
	(void)snprintf(field, sizeof(field), "%.*s", (int)shown_bytes(member->string),
	    member->string);
	return problem_set(p, ERR_INVALID, field,
	    "unknown or read-only field; allowed are name, url, events, events_strict, filter, "
	    "payload, secret, private_key, headers, auth, signature, timeout_ms, "
	    "max_in_flight, ordering, rate_limit, retry, description, ca_pem, tls_verify, "
	    "client_cert_pem, client_key_pem, proxy, no_proxy, user_agent, http_version, "
	    "content_encoding, success, fallback_url, verify, enabled");
}

/* Makes sure that cJSON is given nothing it would read differently from us. */
static enum err read_strictly(struct slice body, struct buf *canonical, struct problem *p)
{
	struct json_reader r;
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&r, body);
	enum err err = json_read_members(&r, canonical, &members, &count);
	if (err == OK)
		err = json_read_end(&r);
	if (err != OK)
		(void)json_problem(&r, err, p); /* returns `err` */
	else if (r.has_nul)
		err = problem_set(p, ERR_INVALID, "",
		    "a string must not hold the character U+0000");
	json_fini(&r);
	return err;
}

/* Parses what the strict scanner has let through; NULL with the problem set. */
static cJSON *parse(const struct buf *canonical, struct problem *p)
{
	cJSON *object = cJSON_ParseWithLength(canonical->data, canonical->len);
	if (object == NULL)
		(void)problem_set(p, ERR_INVALID, "",
		    "a string must not hold a lone surrogate escape such as \\ud800");
	return object;
}

/* Wipes the strings of what was parsed: one may be a secret. As deep as the reader allows. */
static void wipe_strings(const cJSON *value)
{
	const cJSON *item = NULL;
	if (cJSON_IsString(value))
		mem_wipe(value->valuestring, strlen(value->valuestring));
	cJSON_ArrayForEach(item, value)
	{
		wipe_strings(item);
	}
}

static void discard(cJSON *object, struct buf *text)
{
	wipe_strings(object);
	cJSON_Delete(object);
	mem_wipe(text->data, text->len);
	buf_fini(text);
}

/* Makes the key of an ordering that is an object, with `key` alone. */
static enum err apply_key(struct webhook *w, struct slice ordering, struct problem *p)
{
	struct json_scan s = {.text = ordering};
	struct slice name;
	json_scan_enter(&s);
	if (json_scan_member(&s, &name))
		w->key = lane_key_new(json_scan_value(&s));
	if (w->key == NULL)
		return bad(p, "ordering.key",
		    "a JSON pointer into the event such as /data/chat: a / before each name, "
		    "in which ~0 stands for ~ and ~1 for /; at most 16 names and 512 bytes");
	return OK;
}

/* Checks what two fields say together. */
static enum err check_together(const struct webhook *w, struct problem *p)
{
	for (size_t i = 0; w->auth != NULL && i < w->header_count; i++) {
		if (strcasecmp(w->headers[i].name, "Authorization") == 0)
			return problem_set(p, ERR_INVALID, "headers.Authorization",
			    "a webhook with auth has no such header of its own: one of the two "
			    "has to be null");
	}
	if (w->client_cert_pem != NULL && w->url != NULL &&
	    strncasecmp(w->url, "https:", 6) != 0)
		return problem_set(p, ERR_INVALID, "client_cert_pem",
		    "a client certificate is shown in TLS alone: url must be an https URL");
	return webhook_json_check_fallback(w, p);
}

/* Compiles the filter, the key and the success that the body has, if there are any. */
static enum err apply_compiled(struct webhook *w, struct slice canonical, struct problem *p)
{
	struct json_scan s = {.text = canonical};
	struct slice key;
	enum err err = OK;
	json_scan_enter(&s);
	while (err == OK && json_scan_member(&s, &key)) {
		struct slice value = json_scan_value(&s);
		if (slice_eq(key, SLICE("filter")) && !slice_eq(value, SLICE("null")))
			err = filter_compile(value, "filter", &w->filter, p);
		if (slice_eq(key, SLICE("ordering")) && json_type_of(value) == JSON_OBJECT)
			err = apply_key(w, value, p);
		if (slice_eq(key, SLICE("success")) && !slice_eq(value, SLICE("null")))
			err = success_compile(value, "success", &w->success, p);
	}
	return err;
}

static bool has_item(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name) != NULL;
}

/* Whether its endpoint has to repeat a challenge, or would by what `object` changes. */
static bool is_asked(const struct webhook *w, const cJSON *object,
    const struct webhook_rules *rules)
{
	bool moves = has_item(object, "url") || has_item(object, "fallback_url");
	return w->ownership.way != OWNERSHIP_NOT_ASKED || (rules->verifies && moves);
}

/* Applies `body`; where it is the whole, what it leaves out is not left as it was. */
static enum err apply(struct webhook *w, struct slice body, bool is_whole,
    const struct webhook_rules *rules, struct problem *p)
{
	struct buf canonical = BUF_INIT(WEBHOOK_RECORD_MAX);
	struct webhook_rules asked = *rules;
	cJSON *object = NULL;
	enum err err = read_strictly(body, &canonical, p);
	if (err != OK)
		goto out;
	object = parse(&canonical, p);
	if (object == NULL) {
		err = ERR_INVALID;
		goto out;
	}
	if (is_whole)
		err = webhook_json_complete(object, w, p);
	if (err != OK)
		goto out;
	asked.any_event = cJSON_IsFalse(
			      cJSON_GetObjectItemCaseSensitive(object, "events_strict")) != 0;
	const cJSON *member = NULL;
	cJSON_ArrayForEach(member, object)
	{
		err = apply_member(w, member, &asked, p);
		if (err != OK)
			goto out;
	}
	err = apply_compiled(w, buf_view(&canonical), p);
	if (err == OK &&
	    (has_item(object, "client_cert_pem") || has_item(object, "client_key_pem")))
		err = webhook_json_check_identity(w, p);
	if (err == OK)
		err = check_together(w, p);
	if (err == OK)
		err = webhook_json_check_options(w, p);
	if (err == OK && is_asked(w, object, rules))
		err = webhook_check_asked(w, p);
	if (err == OK && w->enabled)
		err = webhook_check_enable(w, p);
	if (err == OK)
		webhook_complete_pair(w);
out:
	discard(object, &canonical);
	return err;
}

enum err webhook_apply(struct webhook *w, struct slice body, const struct webhook_rules *rules,
    struct problem *p)
{
	return apply(w, body, false, rules, p);
}

enum err webhook_apply_whole(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, struct problem *p)
{
	return apply(w, body, true, rules, p);
}

/* What a rotation's body says. */
struct rotation {
	const cJSON *given; /* the new secret or key; NULL: is to be made */
	int64_t expires_ms; /* of what it replaces, wall; 0: at once */
};

/* Takes the body of a rotation apart, whose member `name` has what is given. */
static enum err read_rotation(const cJSON *object, const char *name,
    const struct webhook_rules *rules, int64_t now_ms, struct rotation *out, struct problem *p)
{
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(object, name);
	const cJSON *overlap = cJSON_GetObjectItemCaseSensitive(object, "overlap_seconds");
	uint32_t overlap_s = OVERLAP_DEFAULT_S;
	int known = (given != NULL ? 1 : 0) + (overlap != NULL ? 1 : 0);
	if (cJSON_GetArraySize(object) != known && !rules->ignores_unknown)
		return problem_set(p, ERR_INVALID, "", "allowed are %s and overlap_seconds",
		    name);
	if (overlap != NULL &&
	    !read_integer(overlap, 0, OVERLAP_MAX_S, OVERLAP_DEFAULT_S, &overlap_s))
		return bad(p, "overlap_seconds", "null or an integer from 0 to 2592000");
	out->given = given == NULL || cJSON_IsNull(given) ? NULL : given;
	out->expires_ms = overlap_s == 0 ? 0 : now_ms + (int64_t)overlap_s * 1000;
	return OK;
}

/* Reads what is given by way of a temporary webhook, whose field it becomes. */
static enum err rotate_secret(struct webhook *w, const struct rotation *to,
    const struct webhook_rules *rules, struct problem *p)
{
	char made[SIGN_SECRET_SIZE];
	struct webhook *probe = webhook_new();
	enum err err = OK;
	if (to->given == NULL)
		sign_make_secret(made);
	else
		err = apply_secret(probe, to->given, rules, p);
	if (err == OK)
		webhook_rotate_secret(w, to->given == NULL ? made : probe->secret,
		    to->expires_ms);
	webhook_free(probe);
	mem_wipe(made, sizeof(made));
	return err;
}

static enum err rotate_pair(struct webhook *w, const struct rotation *to,
    const struct webhook_rules *rules, struct problem *p)
{
	struct ed25519_pair made;
	struct webhook *probe = webhook_new();
	enum err err = OK;
	if (to->given == NULL)
		sign_make_pair(&made);
	else
		err = apply_private(probe, to->given, rules, p);
	if (err == OK)
		webhook_rotate_pair(w, to->given == NULL ? &made : probe->pair, to->expires_ms);
	webhook_free(probe);
	mem_wipe(&made, sizeof(made));
	return err;
}

typedef enum err (*rotate_fn)(struct webhook *w, const struct rotation *to,
    const struct webhook_rules *rules, struct problem *p);

static enum err apply_rotation(struct webhook *w, struct slice body, const char *name,
    rotate_fn rotate, const struct webhook_rules *rules, int64_t now_ms, struct problem *p)
{
	struct buf canonical = BUF_INIT(WEBHOOK_RECORD_MAX);
	struct rotation to;
	cJSON *object = NULL;
	enum err err = read_strictly(body.len == 0 ? SLICE("{}") : body, &canonical, p);
	if (err == OK) {
		object = parse(&canonical, p);
		err = object == NULL ? ERR_INVALID
				     : read_rotation(object, name, rules, now_ms, &to, p);
	}
	if (err == OK)
		err = rotate(w, &to, rules, p);
	discard(object, &canonical);
	return err;
}

enum err webhook_apply_rotation(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, int64_t now_ms, struct problem *p)
{
	return apply_rotation(w, body, "secret", rotate_secret, rules, now_ms, p);
}

enum err webhook_apply_key_rotation(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, int64_t now_ms, struct problem *p)
{
	return apply_rotation(w, body, "private_key", rotate_pair, rules, now_ms, p);
}

void webhook_set_defaults(struct webhook *w, const struct webhook_rules *rules)
{
	w->timeout_ms = rules->timeout_ms;
	w->signature = standard_schemes(rules);
}

enum err webhook_check(const struct webhook *w, struct problem *p)
{
	if (w->url == NULL)
		return problem_set(p, ERR_INVALID, "url",
		    "url is required: an http or https URL");
	return OK;
}

static void write_events(const struct webhook *w, struct json_writer *json)
{
	json_open_array(json, "events");
	for (size_t i = 0; i < w->event_count; i++)
		json_write_cstr(json, NULL, w->events[i]);
	json_close(json);
}

static void write_headers(const struct webhook *w, struct json_writer *json)
{
	json_open_object(json, "headers");
	for (size_t i = 0; i < w->header_count; i++) /* no token has what must be escaped */
		json_write_cstr(json, w->headers[i].name, w->headers[i].value);
	json_close(json);
}

static void write_retry(const struct webhook *w, struct json_writer *json)
{
	if (w->retry == NULL) {
		json_write_null(json, "retry");
		return;
	}
	json_open_array(json, "retry");
	for (uint32_t i = 0; i < w->retry->count; i++) {
		char wait[STR_DURATION_SIZE];
		str_put_duration(w->retry->wait_ms[i], wait);
		json_write_cstr(json, NULL, wait);
	}
	json_close(json);
}

static void write_ordering(const struct webhook *w, struct json_writer *json)
{
	if (w->key == NULL) {
		json_write_cstr(json, "ordering", w->fifo ? "fifo" : "none");
		return;
	}
	json_open_object(json, "ordering");
	json_write_raw(json, "key", lane_key_json(w->key));
	json_close(json);
}

static void write_rate(const struct webhook *w, struct json_writer *json)
{
	if (w->rate_limit > 0)
		json_write_double(json, "rate_limit", w->rate_limit);
	else
		json_write_null(json, "rate_limit");
}

static void write_public(const struct ed25519_pair *pair, const char *key,
    struct json_writer *json)
{
	char text[SIGN_PUBLIC_SIZE];
	if (pair != NULL)
		sign_put_public(pair->public_key, text);
	json_write_cstr(json, key, pair == NULL ? NULL : text);
}

void webhook_write_public(const struct webhook *w, int64_t now_ms, struct json_writer *json)
{
	bool overlaps = w->previous_pair_expires_ms > now_ms;
	write_public(w->pair, "public_key", json);
	write_public(overlaps ? w->previous_pair : NULL, "previous_public_key", json);
	json_write_time_or_null(json, "previous_key_expires_at",
	    overlaps ? w->previous_pair_expires_ms : 0);
}

void webhook_write(const struct webhook *w, enum webhook_form form, int64_t now_ms,
    struct json_writer *json)
{
	bool overlaps = w->previous_expires_ms > now_ms;
	uuid_write(json, "id", &w->id);
	json_write_cstr(json, "name", w->name);
	json_write_cstr(json, "url", w->url);
	write_events(w, json);
	if (w->filter == NULL)
		json_write_null(json, "filter");
	else
		json_write_raw(json, "filter", filter_json(w->filter));
	json_write_cstr(json, "payload", PAYLOAD_NAMES[w->payload]);
	json_write_cstr(json, "secret", w->secret == NULL ? NULL : WEBHOOK_MASK);
	json_write_time_or_null(json, "previous_secret_expires_at",
	    overlaps ? w->previous_expires_ms : 0);
	json_write_bool(json, "enabled", w->enabled);
	json_write_cstr(json, "disabled_reason", w->disabled_reason);
	json_write_bool(json, "keep_queueing", w->keeps_queueing);
	write_headers(w, json);
	webhook_json_write_auth(w->auth, json);
	sign_write_set(w->signature, "signature", json);
	json_write_cstr(json, "private_key", w->pair == NULL ? NULL : WEBHOOK_MASK);
	webhook_write_public(w, now_ms, json);
	webhook_json_write_answer(w, json);
	json_write_u64(json, "timeout_ms", w->timeout_ms);
	json_write_u64(json, "max_in_flight", w->max_in_flight);
	write_ordering(w, json);
	write_rate(w, json);
	write_retry(w, json);
	if (form == WEBHOOK_WHOLE)
		json_write_cstr(json, "ca_pem", w->ca_pem);
	json_write_bool(json, "tls_verify", !w->tls_insecure);
	json_write_cstr(json, "client_cert_pem",
	    w->client_cert_pem == NULL ? NULL : WEBHOOK_MASK);
	json_write_cstr(json, "client_key_pem",
	    w->client_key_pem == NULL ? NULL : WEBHOOK_MASK);
	json_write_time_or_null(json, "client_cert_expires_at", w->client_cert_expires_ms);
	ownership_write(&w->ownership, json);
	webhook_json_write_options(w->options, json);
	json_write_cstr(json, "description", w->description);
}
