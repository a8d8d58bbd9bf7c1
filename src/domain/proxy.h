/*
 * Proxies of HTTP as the setting and webhooks name them (docs/api.md): what may be one, which
 * hosts are excepted, and what of it is secret. Pure.
 */
#ifndef DOMAIN_PROXY_H
#define DOMAIN_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define PROXY_URL_MAX 2048 /* bytes, credentials included */
#define PROXY_EXCEPTIONS_MAX 32
#define PROXY_EXCEPTION_MAX 253 /* bytes of one: a name in the DNS */

enum proxy_kind { PROXY_SETTING, PROXY_NONE, PROXY_OWN }; /* the setting's; codes on disk */

struct proxy_choice {
	enum proxy_kind kind;
	char *url;         /* PROXY_OWN; NULL: it is not known, as its record is encrypted */
	char **exceptions; /* hosts that are connected to directly */
	size_t exception_count;
};

static inline bool proxy_is_default(const struct proxy_choice *c)
{
	return c->kind == PROXY_SETTING && c->exception_count == 0;
}

/* Whether `text` is http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, of PROXY_URL_MAX. */
bool proxy_is_url(const char *text);

/* The credentials of such a URL, as they stand before its @; empty: it has none. */
struct slice proxy_credentials(const char *url);

/*
 * Whether `text` may be an exception: a name, which stands for those below it too, an address,
 * or a network.
 */
bool proxy_is_exception(struct slice text);

/* Whether `host`, as a URL has it, is excepted. */
bool proxy_excepts(const struct proxy_choice *c, struct slice host);

/* Whether both choose the same for every host. */
bool proxy_is_same(const struct proxy_choice *a, const struct proxy_choice *b);

/* Makes *to a copy of `from`, each its own; proxy_clear() it. */
void proxy_copy(const struct proxy_choice *from, struct proxy_choice *to);

/* Frees all that it has, wiping the URL: it is then the setting's, without exceptions. */
void proxy_clear(struct proxy_choice *c);

#endif
