/* Who a webhook is for its receiver; see webhook_auth.h. Pure. */
#include "domain/webhook_auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

#define BASIC "Basic "
#define BEARER "Bearer "

/* How AUTH_OAUTH2 shows who it is: codes on disk. */
enum style { STYLE_BASIC, STYLE_POST, STYLE_SIGNS };

struct webhook_auth *webhook_auth_new(enum auth_type type)
{
	struct webhook_auth *a = mem_new(sizeof(*a));
	a->type = type;
	a->name = mem_copy("", 0);
	return a;
}

void webhook_auth_free(struct webhook_auth *a)
{
	if (a == NULL)
		return;
	free(a->name);
	free(a->token_url);
	free(a->scope);
	free(a->audience);
	free(a->key_id);
	mem_forget(a->secret);
	mem_forget(a->header);
	mem_forget(a->replaced);
	free(a);
}

char *webhook_auth_basic(struct slice name, struct slice secret)
{
	size_t len = name.len + 1 + secret.len;
	char *pair = mem_new(len + 1);
	char *header = mem_new(sizeof(BASIC) + BASE64_SIZE(len));
	memcpy(pair, name.ptr, name.len);
	pair[name.len] = ':';
	memcpy(pair + name.len + 1, secret.ptr, secret.len);
	memcpy(header, BASIC, sizeof(BASIC));
	base64_encode(pair, len, header + sizeof(BASIC) - 1);
	mem_wipe(pair, len);
	free(pair);
	return header;
}

static char *bearer(struct slice token)
{
	char *header = mem_new(sizeof(BEARER) + token.len);
	memcpy(header, BEARER, sizeof(BEARER));
	memcpy(header + sizeof(BEARER) - 1, token.ptr, token.len);
	return header;
}

void webhook_auth_set_secret(struct webhook_auth *a, struct slice secret)
{
	mem_forget(a->secret);
	mem_forget(a->header);
	a->header = NULL;
	a->secret = mem_copy(secret.ptr, secret.len);
	if (a->type == AUTH_BASIC)
		a->header = webhook_auth_basic(slice_of(a->name), secret);
	if (a->type == AUTH_BEARER)
		a->header = bearer(secret);
}

void webhook_auth_grant(struct webhook_auth *a, const char *header)
{
	if (a->header != NULL && strcmp(a->header, header) == 0)
		return;
	mem_forget(a->replaced);
	a->replaced = a->header;
	a->header = mem_copy(header, strlen(header));
}

void webhook_auth_encode(const struct webhook_auth *a, struct buf *out)
{
	static const struct webhook_auth NONE;
	const struct webhook_auth *put = a == NULL ? &NONE : a;
	put_u8(out, (uint8_t)put->type);
	if (a == NULL)
		return;
	put_u8(out, put->signs ? STYLE_SIGNS : put->posts ? STYLE_POST : STYLE_BASIC);
	put_text(out, slice_of(put->name));
	put_text(out, slice_of(put->token_url));
	put_text(out, slice_of(put->scope));
	put_text(out, slice_of(put->audience));
	if (put->signs)
		put_text(out, slice_of(put->key_id));
}

/* A text that is not empty, or NULL. One with a NUL in it fails the reader. */
static char *copy_some(struct reader *r)
{
	struct slice s = get_text(r);
	r->failed = r->failed || memchr(s.ptr, '\0', s.len) != NULL;
	return s.len == 0 ? NULL : mem_copy(s.ptr, s.len);
}

struct webhook_auth *webhook_auth_decode(struct reader *r)
{
	uint8_t type = get_u8(r);
	if (type == 0 || type > AUTH_OAUTH2) {
		r->failed = r->failed || type != 0;
		return NULL;
	}
	struct webhook_auth *a = webhook_auth_new((enum auth_type)type);
	uint8_t style = get_u8(r);
	char *name = copy_some(r);
	if (name != NULL) {
		free(a->name);
		a->name = name;
	}
	a->posts = style == STYLE_POST;
	a->signs = style == STYLE_SIGNS;
	a->token_url = copy_some(r);
	a->scope = copy_some(r);
	a->audience = copy_some(r);
	if (a->signs)
		a->key_id = copy_some(r);
	bool asks = a->token_url != NULL;
	bool more = style != STYLE_BASIC || a->scope != NULL || a->audience != NULL;
	r->failed = r->failed || style > STYLE_SIGNS || asks != (a->type == AUTH_OAUTH2) ||
	    (!asks && more) || (a->type == AUTH_BEARER && a->name[0] != '\0');
	return a;
}
