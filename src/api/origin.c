/* Origin and Host of requests; see origin.h. */
#include "api/origin.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "domain/address.h"
#include "domain/url.h"

#define ALLOW_HEADERS                                                                          \
	"Authorization, Content-Type, Content-Encoding, Idempotency-Key, Last-Event-ID"
#define EXPOSE_HEADERS "Allow, Idempotent-Replayed, Retry-After, WWW-Authenticate"
#define MAX_AGE_S "600" /* how long a browser need not ask again */

static bool same_text(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool is_listed(char *const *list, size_t count, struct slice text)
{
	for (size_t i = 0; i < count; i++) {
		if (same_text(slice_of(list[i]), text))
			return true;
	}
	return false;
}

static bool may_call(const struct origin_conf *conf, struct slice origin)
{
	return origin.len > 0 && is_listed(conf->origins, conf->origin_count, origin);
}

void origin_put_headers(const struct origin_conf *conf, struct http_request *q)
{
	struct slice origin = http_header(q, "Origin");
	if (conf->origin_count == 0)
		return;
	http_set_header(q, "Vary", "Origin");
	for (size_t i = 0; i < conf->origin_count; i++) {
		if (!same_text(slice_of(conf->origins[i]), origin))
			continue;
		/* in the browser's own spelling, which is all in lower case */
		http_set_header(q, "Access-Control-Allow-Origin", conf->origins[i]);
		http_set_header(q, "Access-Control-Expose-Headers", EXPOSE_HEADERS);
		return;
	}
}

bool origin_answer_preflight(const struct origin_conf *conf, struct http_request *q,
    const char *methods)
{
	if (strcmp(http_method(q), "OPTIONS") != 0 || methods[0] == '\0' ||
	    http_header(q, "Access-Control-Request-Method").len == 0 ||
	    !may_call(conf, http_header(q, "Origin")))
		return false;
	http_set_header(q, "Access-Control-Allow-Methods", methods);
	http_set_header(q, "Access-Control-Allow-Headers", ALLOW_HEADERS);
	http_set_header(q, "Access-Control-Max-Age", MAX_AGE_S);
	http_reply(q, 204, NULL, SLICE(""));
	return true;
}

/* A Host header without its port and the brackets of an address. */
static struct slice host_name(struct slice host)
{
	if (host.len > 0 && host.ptr[0] == '[') {
		host = (struct slice){host.ptr + 1, host.len - 1};
		return slice_cut(&host, ']');
	}
	return slice_cut(&host, ':');
}

/*
 * Whether a page can only have got this Host from us or from the operator: a name that somebody
 * has in the DNS may be made to lead here, but not an address, nor a name without a dot, which
 * nobody can have there.
 */
static bool is_our_host(const struct origin_conf *conf, struct slice host)
{
	const struct slice below = SLICE(".localhost");
	struct slice name = host_name(host);
	struct cidr address;
	bool is_below = name.len > below.len &&
	    same_text((struct slice){name.ptr + name.len - below.len, below.len}, below);
	bool has_dot = name.len > 0 && memchr(name.ptr, '.', name.len) != NULL;
	return is_below || !has_dot || address_parse(name, &address) == OK ||
	    is_listed(conf->hosts, conf->host_count, name);
}

const char *origin_refuse(const struct origin_conf *conf, const struct http_request *q,
    const char **field)
{
	struct slice host = http_header(q, "Host");
	struct slice origin = http_header(q, "Origin");
	if (host.len > 0 && http_peer(q)->family != 0 /* unix */ && !is_our_host(conf, host)) {
		*field = "Host";
		return "without a token this name is not taken for this server's: name it in "
		       "allowed_hosts, or configure a token";
	}
	if (origin.len == 0 || may_call(conf, origin))
		return NULL;
	struct slice site = origin;
	(void)slice_cut(&site, ':'); /* the scheme, which a proxy may have changed */
	if (slice_starts(site, SLICE("//")) &&
	    same_text((struct slice){site.ptr + 2, site.len - 2}, host))
		return NULL;
	*field = "Origin";
	return "without a token pages of other sites may not call: name them in cors_origins, "
	       "or configure a token";
}

bool origin_is_origin(const char *text)
{
	struct problem p;
	struct slice url = slice_of(text);
	if (url_check(url, "", &p) != OK)
		return false;
	(void)slice_cut(&url, ':');
	for (size_t i = 2; i < url.len; i++) {
		if (url.ptr[i] == '/' || url.ptr[i] == '?')
			return false; /* an origin has no path, not even "/" */
	}
	return true;
}

bool origin_is_frame(const char *text)
{
	static const char BYTES[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/[]";
	return text[strspn(text, BYTES)] == '\0' && origin_is_origin(text);
}

bool origin_is_host(const char *text)
{
	static const char BYTES[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	return text[0] != '\0' && text[strspn(text, BYTES)] == '\0';
}
