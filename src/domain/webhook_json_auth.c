/*
 * The fields by which a webhook shows who it is; see webhook_json_inner.h. One table has all
 * types of auth.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "domain/assertion.h"
#include "domain/pem.h"
#include "domain/url.h"
#include "domain/url_given.h"
#include "domain/webhook_json_inner.h"
#include "domain/webhook_mask.h"

#define FIELD "auth"
#define FIELD_SIZE 32 /* bytes: "auth." and the name of a member */

#define SIGNS "private_key_jwt" /* the style that has members of its own */

enum kind {
	NAME,
	PASSWORD,
	TOKEN,
	URL,
	CLIENT,
	SECRET,
	SIGNER,
	KEY_ID,
	SCOPE,
	AUDIENCE,
	STYLE
};

/* A member of `auth`. */
struct member {
	const char *name;
	enum kind kind;
};

#define MEMBERS_MAX 7

/* What there is of each type; in the order in which answers show it. */
static const struct form {
	const char *type;
	enum auth_type code;
	bool signs;
	struct member members[MEMBERS_MAX + 1];
} FORMS[] = {
    {"basic", AUTH_BASIC, false, {{"username", NAME}, {"password", PASSWORD}}},
    {"bearer", AUTH_BEARER, false, {{"token", TOKEN}}},
    {"oauth2", AUTH_OAUTH2, false,
	{{"token_url", URL}, {"client_id", CLIENT}, {"client_secret", SECRET}, {"scope", SCOPE},
	    {"audience", AUDIENCE}, {"style", STYLE}}},
    {"oauth2", AUTH_OAUTH2, true,
	{{"token_url", URL}, {"client_id", CLIENT}, {"client_key_pem", SIGNER},
	    {"key_id", KEY_ID}, {"scope", SCOPE}, {"audience", AUDIENCE}, {"style", STYLE}}},
};
#define FORM_COUNT (sizeof(FORMS) / sizeof(FORMS[0]))

static enum err bad(struct problem *p, const char *name, const char *allowed)
{
	char field[FIELD_SIZE];
	(void)snprintf(field, sizeof(field), FIELD ".%s", name);
	return problem_set(p, ERR_INVALID, field, "%s must be %s", field, allowed);
}

static const struct form *find_form(const cJSON *value)
{
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(value, "type");
	const cJSON *style = cJSON_GetObjectItemCaseSensitive(value, "style");
	bool signs = cJSON_IsString(style) && strcmp(style->valuestring, SIGNS) == 0;
	const struct form *found = NULL;
	for (size_t i = 0; i < FORM_COUNT && cJSON_IsString(type); i++) {
		bool fits = strcmp(type->valuestring, FORMS[i].type) == 0;
		if (fits && (found == NULL || FORMS[i].signs == signs))
			found = &FORMS[i];
	}
	return found;
}

/* Whether `text` has bytes from `first` on alone, DEL excepted. */
static bool is_of(const char *text, char first)
{
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < (unsigned char)first || *c == 0x7f)
			return false;
	}
	return true;
}

static bool is_token(const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '!' || *c > '~')
			return false;
	}
	return text[0] != '\0';
}

static enum err take_name(struct webhook_auth *a, const struct member *m, const char *text,
    struct problem *p)
{
	if (strlen(text) > AUTH_NAME_MAX || !is_of(text, ' ') || strchr(text, ':') != NULL)
		return bad(p, m->name,
		    "a string of at most 1024 bytes without colons and control characters");
	webhook_set(&a->name, text);
	return OK;
}

static enum err take_url(struct webhook_auth *a, const char *text, struct problem *p)
{
	struct buf url = BUF_INIT(4 * URL_MAX); /* more than url_check() lets through */
	enum err err = url_take(slice_of(text), &url, FIELD ".token_url", p);
	if (err == OK)
		webhook_set(&a->token_url, buf_cstr(&url));
	buf_fini(&url);
	return err;
}

/* Takes client_id, key_id, scope or audience, none of which is empty. */
static enum err take_text(char **out, const struct member *m, const char *text,
    struct problem *p)
{
	if (text[0] == '\0' || strlen(text) > AUTH_NAME_MAX || !is_of(text, ' '))
		return bad(p, m->name,
		    "a string of 1 to 1024 bytes without control characters");
	webhook_set(out, text);
	return OK;
}

static enum err take_style(struct webhook_auth *a, const char *text, struct problem *p)
{
	if (strcmp(text, "basic") != 0 && strcmp(text, "post") != 0 && strcmp(text, SIGNS) != 0)
		return bad(p, "style", "null, \"basic\", \"post\" or \"" SIGNS "\"");
	a->posts = strcmp(text, "post") == 0;
	return OK;
}

static enum err take_secret(struct webhook_auth *a, const struct member *m, const char *text,
    struct problem *p)
{
	bool good = m->kind == TOKEN ? is_token(text) : is_of(text, ' ');
	good = good && (m->kind != SECRET || text[0] != '\0');
	if (strcmp(text, WEBHOOK_MASK) == 0) {
		char field[FIELD_SIZE];
		(void)snprintf(field, sizeof(field), FIELD ".%s", m->name);
		return problem_set(p, ERR_INVALID, field,
		    "this is the mask that answers show; leave auth out to keep it");
	}
	if (strlen(text) > AUTH_SECRET_MAX || !good)
		return bad(p, m->name,
		    m->kind == TOKEN ? "a string of 1 to 4096 visible ASCII characters"
				     : "a string of at most 4096 bytes without control "
				       "characters, of oauth2 not empty");
	webhook_auth_set_secret(a, slice_of(text));
	return OK;
}

/* Takes the key of assertions. */
static enum err take_key(struct webhook_auth *a, const struct member *m, const char *text,
    struct problem *p)
{
	enum assertion_key verdict = strlen(text) > AUTH_SECRET_MAX
	    ? ASSERTION_KEY_BAD
	    : assertion_check_key(slice_of(text));
	if (strcmp(text, WEBHOOK_MASK) == 0)
		return take_secret(a, m, text, p);
	switch (verdict) {
	case ASSERTION_KEY_FITS:
		break;
	case ASSERTION_KEY_BAD:
		return bad(p, m->name, "a private key in PEM of at most 4096 bytes");
	case ASSERTION_KEY_ENCRYPTED:
		return bad(p, m->name,
		    "a key that is not encrypted: nobody could be asked for "
		    "the passphrase");
	case ASSERTION_KEY_OTHER:
		return bad(p, m->name,
		    "a key of RSA with 2048 to 4096 bits, of P-256 or of "
		    "Ed25519");
	}
	webhook_auth_set_secret(a, slice_of(text));
	return OK;
}

static enum err take_member(struct webhook_auth *a, const struct member *m, const cJSON *value,
    struct problem *p)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(value, m->name);
	if (m->kind >= KEY_ID && (item == NULL || cJSON_IsNull(item)))
		return OK; /* has a default */
	if (!cJSON_IsString(item))
		return bad(p, m->name, "a string");
	switch (m->kind) {
	case NAME:
		return take_name(a, m, item->valuestring, p);
	case PASSWORD:
	case TOKEN:
	case SECRET:
		return take_secret(a, m, item->valuestring, p);
	case URL:
		return take_url(a, item->valuestring, p);
	case CLIENT:
		return take_text(&a->name, m, item->valuestring, p);
	case SIGNER:
		return take_key(a, m, item->valuestring, p);
	case KEY_ID:
		return take_text(&a->key_id, m, item->valuestring, p);
	case SCOPE:
		return take_text(&a->scope, m, item->valuestring, p);
	case AUDIENCE:
		return take_text(&a->audience, m, item->valuestring, p);
	case STYLE:
		return take_style(a, item->valuestring, p);
	}
	return OK;
}

static bool has_member(const struct form *form, const char *name)
{
	bool found = strcmp(name, "type") == 0;
	for (const struct member *m = form->members; m->name != NULL; m++)
		found = found || strcmp(name, m->name) == 0;
	return found;
}

/* Refuses what the type has not: a misspelt one would silently be the default. */
static enum err check_names(const struct form *form, const cJSON *value, struct problem *p)
{
	const cJSON *item = NULL;
	cJSON_ArrayForEach(item, value)
	{
		if (!has_member(form, item->string))
			return problem_set(p, ERR_INVALID, FIELD,
			    "auth of type %s has no member of that name: docs/api.md has them",
			    form->type);
	}
	return OK;
}

enum err webhook_json_take_auth(struct webhook *w, const cJSON *value, struct problem *p)
{
	webhook_auth_free(w->auth);
	w->auth = NULL;
	if (cJSON_IsNull(value))
		return OK;
	const struct form *form = find_form(value);
	if (!cJSON_IsObject(value) || form == NULL)
		return problem_set(p, ERR_INVALID,
		    cJSON_IsObject(value) ? FIELD ".type" : FIELD,
		    "auth must be null or an object whose type is \"basic\", "
		    "\"bearer\" or \"oauth2\"");
	enum err err = check_names(form, value, p);
	w->auth = webhook_auth_new(form->code);
	w->auth->signs = form->signs;
	for (const struct member *m = form->members; m->name != NULL && err == OK; m++)
		err = take_member(w->auth, m, value, p);
	return err;
}

void webhook_json_keep_auth(cJSON *value, const struct webhook *w)
{
	const struct form *form = find_form(value);
	const struct webhook_auth *a = w->auth;
	if (form == NULL || a == NULL || a->type != form->code || a->signs != form->signs)
		return;
	for (const struct member *m = form->members; m->name != NULL; m++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(value, m->name);
		bool is_secret = m->kind == PASSWORD || m->kind == TOKEN || m->kind == SECRET ||
		    m->kind == SIGNER;
		bool is_masked = cJSON_IsString(item) &&
		    strcmp(item->valuestring, WEBHOOK_MASK) == 0;
		if (!is_secret || (item != NULL && !is_masked))
			continue;
		cJSON_DeleteItemFromObjectCaseSensitive(value, m->name); /* if it is there */
		panic_if(cJSON_AddStringToObject(value, m->name, a->secret) == NULL,
		    "no memory");
	}
}

static void write_member(const struct webhook_auth *a, const struct member *m,
    struct json_writer *json)
{
	switch (m->kind) {
	case NAME:
	case CLIENT:
		json_write_cstr(json, m->name, a->name);
		break;
	case PASSWORD:
	case TOKEN:
	case SECRET:
	case SIGNER:
		json_write_cstr(json, m->name, WEBHOOK_MASK);
		break;
	case KEY_ID:
		json_write_cstr(json, m->name, a->key_id);
		break;
	case URL:
		json_write_cstr(json, m->name, a->token_url);
		break;
	case SCOPE:
		json_write_cstr(json, m->name, a->scope);
		break;
	case AUDIENCE:
		json_write_cstr(json, m->name, a->audience);
		break;
	case STYLE:
		json_write_cstr(json, m->name, a->signs ? SIGNS : a->posts ? "post" : "basic");
		break;
	}
}

void webhook_json_write_auth(const struct webhook_auth *a, struct json_writer *json)
{
	if (a == NULL) {
		json_write_null(json, FIELD);
		return;
	}
	json_open_object(json, FIELD);
	for (size_t i = 0; i < FORM_COUNT; i++) {
		if (FORMS[i].code != a->type || FORMS[i].signs != a->signs)
			continue;
		json_write_cstr(json, "type", FORMS[i].type);
		for (const struct member *m = FORMS[i].members; m->name != NULL; m++)
			write_member(a, m, json);
	}
	json_close(json);
}

enum err webhook_json_take_pem(char **out, const cJSON *value, const char *field, size_t max,
    struct problem *p)
{
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	if (strcmp(text, WEBHOOK_MASK) == 0)
		return problem_set(p, ERR_INVALID, field,
		    "this is the mask that answers show; leave it out to keep what there is");
	if (!cJSON_IsNull(value) && (text[0] == '\0' || strlen(text) > max))
		return problem_set(p, ERR_INVALID, field,
		    "%s must be null or PEM of at most %zu bytes", field, max);
	webhook_set(out, cJSON_IsNull(value) ? NULL : text);
	return OK;
}

enum err webhook_json_check_identity(struct webhook *w, struct problem *p)
{
	static const char CERT[] = "client_cert_pem";
	static const char KEY[] = "client_key_pem";
	struct slice cert = slice_of(w->client_cert_pem);
	struct slice key = slice_of(w->client_key_pem);
	w->client_cert_expires_ms = 0;
	if (cert.len == 0 && key.len == 0)
		return OK;
	if (cert.len == 0 || key.len == 0)
		return problem_set(p, ERR_INVALID, cert.len == 0 ? CERT : KEY,
		    "client_cert_pem and client_key_pem are there both, or neither");
	if (!pem_is_certificates(cert))
		return problem_set(p, ERR_INVALID, CERT,
		    "client_cert_pem must be certificates in PEM, its own first");
	switch (pem_check_key(cert, key)) {
	case PEM_KEY_FITS:
		break;
	case PEM_KEY_BAD:
		return problem_set(p, ERR_INVALID, KEY,
		    "client_key_pem must be a private key in PEM");
	case PEM_KEY_ENCRYPTED:
		return problem_set(p, ERR_INVALID, KEY,
		    "client_key_pem must not be encrypted: nobody could give a passphrase");
	case PEM_KEY_OTHER:
		return problem_set(p, ERR_INVALID, KEY,
		    "client_key_pem is not the key of client_cert_pem, its first certificate");
	case PEM_KEY_WEAK:
		return problem_set(p, ERR_INVALID, KEY,
		    "client_key_pem is too short a key: RSA has 2048 bits at least");
	case PEM_KEY_DEAR:
		return problem_set(p, ERR_INVALID, KEY,
		    "client_key_pem is a key by which each handshake would take too long: it "
		    "must be of RSA with at most 4096 bits, whose numbers fit, of a named "
		    "prime curve with at most 521, of Ed25519 or Ed448");
	}
	w->client_cert_expires_ms = pem_expires_ms(cert);
	return OK;
}
