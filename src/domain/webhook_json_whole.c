/*
 * The whole of a webhook, as PUT has it, made into a change of what there is; see
 * webhook_json_inner.h. A null is the default in every field that has one: so what is left out
 * becomes a null, whatever fields there are.
 */
#include <cjson/cJSON.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "domain/webhook_json_inner.h"
#include "domain/webhook_mask.h"

/* What stays where it is left out; and whether a mask stands for it. */
static const struct {
	const char *name;
	bool is_secret;
} KEPT[] = {
    {"name", false},
    {"url", false}, /* has no default */
    {"enabled", false},
    {"secret", true},
    {"private_key", true},
    {"client_cert_pem", true},
    {"client_key_pem", true},
};
#define KEPT_COUNT (sizeof(KEPT) / sizeof(KEPT[0]))

/* cJSON says NULL where there is no memory. */
static void expect(const void *made)
{
	panic_if(made == NULL, "no memory");
}

static bool is_kept(const char *name)
{
	for (size_t i = 0; i < KEPT_COUNT; i++) {
		if (strcmp(KEPT[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool has_secret(const struct webhook *w, const char *name)
{
	if (strcmp(name, "secret") == 0)
		return w->secret != NULL;
	if (strcmp(name, "private_key") == 0)
		return w->pair != NULL;
	return w->client_cert_pem != NULL;
}

static bool is_mask(const cJSON *value)
{
	return cJSON_IsString(value) && strcmp(value->valuestring, WEBHOOK_MASK) == 0;
}

static enum err refuse_mask(const char *field, struct problem *p)
{
	return problem_set(p, ERR_INVALID, field,
	    "this is the mask that answers show, and there is nothing yet that it could keep: "
	    "%s has to be given once",
	    field);
}

/* Whether a value is what the webhook has; setting it anew would end an overlap. */
static bool is_current(const cJSON *value, const char *name, const struct webhook *w)
{
	struct ed25519_pair pair;
	struct problem none;
	if (strcmp(name, "private_key") == 0 && cJSON_IsNull(value))
		return true; /* one that is not wanted does no harm, another would be drawn */
	if (!cJSON_IsString(value))
		return false;
	if (strcmp(name, "secret") == 0)
		return w->secret != NULL && strcmp(w->secret, value->valuestring) == 0;
	if (strcmp(name, "private_key") != 0 || w->pair == NULL)
		return false;
	bool same = sign_read_private(slice_of(value->valuestring), name, &pair, &none) == OK &&
	    memcmp(pair.seed, w->pair->seed, sizeof(pair.seed)) == 0;
	mem_wipe(&pair, sizeof(pair));
	return same;
}

/* Takes out the secrets that stay as they are. */
static enum err keep_secrets(cJSON *object, const struct webhook *w, struct problem *p)
{
	for (size_t i = 0; i < KEPT_COUNT; i++) {
		const char *name = KEPT[i].name;
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
		if (value == NULL || !KEPT[i].is_secret)
			continue;
		if (is_mask(value) && !has_secret(w, name))
			return refuse_mask(name, p);
		if (is_mask(value) || is_current(value, name, w))
			cJSON_DeleteItemFromObjectCaseSensitive(object, name);
	}
	return OK;
}

static const char *value_of(const struct webhook *w, const char *header)
{
	for (size_t i = 0; i < w->header_count; i++) {
		if (strcasecmp(w->headers[i].name, header) == 0)
			return w->headers[i].value;
	}
	return NULL;
}

/* Puts what there is in the place of each masked header. */
static enum err keep_headers(cJSON *headers, const struct webhook *w, struct problem *p)
{
	cJSON *item = NULL;
	cJSON_ArrayForEach(item, headers)
	{
		const char *value = is_mask(item) ? value_of(w, item->string) : NULL;
		if (is_mask(item) && value == NULL)
			return refuse_mask("headers", p);
		if (value != NULL)
			expect(cJSON_SetValuestring(item, value));
	}
	return OK;
}

enum err webhook_json_complete(cJSON *object, const struct webhook *w, struct problem *p)
{
	const char *name = NULL;
	cJSON *headers = cJSON_GetObjectItemCaseSensitive(object, "headers");
	cJSON *auth = cJSON_GetObjectItemCaseSensitive(object, "auth");
	if (cJSON_GetObjectItemCaseSensitive(object, "url") == NULL)
		return problem_set(p, ERR_INVALID, "url",
		    "url is required: an http or https URL");
	enum err err = keep_secrets(object, w, p);
	if (err == OK && cJSON_IsObject(headers))
		err = keep_headers(headers, w, p);
	if (err != OK)
		return err;
	if (cJSON_IsObject(auth))
		webhook_json_keep_auth(auth, w);
	for (size_t i = 0; (name = webhook_json_field(i)) != NULL; i++) {
		if (cJSON_GetObjectItemCaseSensitive(object, name) == NULL && !is_kept(name))
			expect(cJSON_AddNullToObject(object, name));
	}
	return OK;
}
