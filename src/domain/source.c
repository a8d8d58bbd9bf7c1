/* A source in memory, on disk and in answers; see source.h. */
#include "domain/source.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "domain/json_walk.h"
#include "domain/source_inner.h"
#include "domain/webhook_mask.h"

#define VERSION 1
#define DOOR_BYTES ((SOURCE_DOOR_SIZE - 1) / 2)

struct source *source_new(int64_t now_ms)
{
	struct source *s = mem_new(sizeof(*s));
	uuid_random(&s->id);
	source_draw_door(s);
	s->created_ms = now_ms;
	s->updated_ms = now_ms;
	return s;
}

void source_free(struct source *s)
{
	if (s == NULL)
		return;
	mem_forget(s->settings);
	source_plan_free(s->plan);
	mem_wipe(s->door, sizeof(s->door));
	free(s);
}

void source_configure(struct source *s)
{
	unsigned char digest[DIGEST_SIZE];
	const struct slice parts[] = {SLICE("source "), slice_of(source_name(s))};
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), digest);
	memcpy(s->id.bytes, digest, UUID_SIZE);
	s->id.bytes[6] = (uint8_t)((s->id.bytes[6] & 0x0f) | 0x80); /* version 8, of our own */
	s->id.bytes[8] = (uint8_t)((s->id.bytes[8] & 0x3f) | 0x80);
	s->is_configured = true;
}

void source_draw_door(struct source *s)
{
	unsigned char bytes[DOOR_BYTES];
	rnd_secret(bytes, sizeof(bytes));
	str_hex(bytes, sizeof(bytes), s->door);
	mem_wipe(bytes, sizeof(bytes));
}

const char *source_name(const struct source *s)
{
	return s->plan->name;
}

const char *source_preset(const struct source *s)
{
	return s->plan->preset == NULL ? "" : s->plan->preset;
}

const char *source_session(const struct source *s)
{
	return s->plan->session.from == FROM_TEXT ? s->plan->session.text : "";
}

bool source_is_stream(const struct source *s)
{
	return s->plan->is_stream;
}

const struct source_nats *source_nats(const struct source *s)
{
	return s->plan->nats;
}

const struct verify *source_verify(const struct source *s)
{
	return s->plan->verify;
}

enum source_challenge source_challenge(const struct source *s)
{
	return s->plan->challenge;
}

bool source_is_enabled(const struct source *s)
{
	return s->plan->enabled;
}

const char *source_refusal(const struct source *s)
{
	return s->plan->refused;
}

const char *source_verify_token(const struct source *s)
{
	return s->plan->verify_token == NULL ? "" : s->plan->verify_token;
}

int64_t source_retention_ms(const struct source *s)
{
	return s->plan->retention_ms;
}

bool source_is_raw(const struct source *s)
{
	return s->plan->is_raw;
}

size_t source_raw_headers(const struct source *s, char *const **names)
{
	*names = s->plan->raw_headers;
	return s->plan->raw_header_count;
}

const char *source_form(const struct source *s)
{
	return s->plan->form;
}

/* Whether the value of a member must not be shown. */
static bool is_secret(struct slice name)
{
	struct slice left = SLICE("verify_token " SOURCE_NATS_SECRETS);
	while (left.len > 0) {
		if (slice_eq(slice_cut(&left, ' '), name))
			return true;
	}
	return false;
}

void source_write(const struct source *s, struct json_writer *json)
{
	char path[sizeof("/in/") + SOURCE_DOOR_SIZE];
	struct json_walk w = json_walk_in(slice_of(s->settings));
	(void)snprintf(path, sizeof(path), "/in/%s", s->door);
	uuid_write(json, "id", &s->id);
	json_write_cstr(json, "path", s->plan->is_stream ? NULL : path);
	if (s->is_configured)
		json_write_bool(json, "configured", true);
	if (s->plan->refused != NULL) {
		json_write_bool(json, "enabled", false);
		json_write_cstr(json, "problem", s->plan->refused);
	}
	while (json_walk_next(&w)) {
		if (s->plan->refused != NULL && slice_eq(w.key, SLICE("enabled")))
			continue;
		json_write_name(json, w.key);
		if (slice_eq(w.key, SLICE("verify")))
			verify_write_masked(w.value, NULL, json);
		else if (is_secret(w.key))
			json_write_cstr(json, NULL, WEBHOOK_MASK);
		else
			json_write_raw(json, NULL, w.value);
	}
	json_write_time(json, "created_at", s->created_ms);
	json_write_time(json, "updated_at", s->updated_ms);
}

void source_encode(const struct source *s, const struct vault *vault,
    const unsigned char nonce[VAULT_NONCE_SIZE], struct buf *out)
{
	struct vault_id key = vault_current(vault);
	struct buf context = BUF_INIT(SOURCE_RECORD_MAX);
	put_u8(&context, VERSION);
	buf_append(&context, s->id.bytes, UUID_SIZE);
	put_i64(&context, s->created_ms);
	put_i64(&context, s->updated_ms);
	put_text(&context, slice_of(s->door));
	buf_append(&context, key.bytes, sizeof(key.bytes));
	size_t len = strlen(s->settings);
	put_u32(&context, (uint32_t)(vault_is_none(&key) ? len : len + VAULT_OVERHEAD));
	buf_slice(out, buf_view(&context));
	if (vault_is_none(&key))
		buf_puts(out, s->settings);
	else
		vault_encrypt(vault, nonce, buf_view(&context), slice_of(s->settings), out);
	buf_fini(&context);
}

/* Reads what stands before the settings; returns how many bytes these have. */
static uint32_t decode_open(struct reader *r, struct source *s, struct vault_id *key)
{
	r->failed = r->failed || get_u8(r) != VERSION;
	struct slice id = get_bytes(r, UUID_SIZE);
	memcpy(s->id.bytes, id.ptr, id.len);
	s->created_ms = get_i64(r);
	s->updated_ms = get_i64(r);
	get_cstr(r, s->door, SOURCE_DOOR_SIZE - 1);
	struct slice name = get_bytes(r, sizeof(key->bytes));
	*key = (struct vault_id){0};
	memcpy(key->bytes, name.ptr, name.len);
	return get_u32(r);
}

enum err source_decode(struct reader *r, const struct vault *vault, struct vault_id *key,
    struct source **out)
{
	struct buf settings = BUF_INIT(SOURCE_RECORD_MAX);
	struct slice context = {(const char *)r->ptr, r->left};
	struct problem why = {.message = ""};
	struct source *s = mem_new(sizeof(*s));
	*out = NULL;
	uint32_t len = decode_open(r, s, key);
	context.len -= r->left;
	struct slice rest = get_bytes(r, len);
	enum err err = r->failed || r->left > 0 ? ERR_CORRUPT : OK;
	if (err == OK && vault_is_none(key))
		buf_slice(&settings, rest);
	else if (err == OK)
		err = vault_decrypt(vault, key, context, rest, &settings);
	if (err == OK) {
		s->settings = mem_copy(settings.data, settings.len);
		if (source_plan_new(slice_of(s->settings), &s->plan, &why) != OK)
			s->plan = source_plan_refused(slice_of(s->settings), why.message);
	}
	mem_wipe(settings.data, settings.len);
	buf_fini(&settings);
	if (err == OK)
		*out = s;
	else
		source_free(s);
	return err;
}
