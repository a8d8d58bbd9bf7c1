/* What may be a proxy; see proxy.h. */
#include "domain/proxy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/percent.h"
#include "domain/address.h"
#include "domain/url.h"

static const struct slice SCHEME = SLICE_INIT("http://");

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/*
 * Whether a URL's credentials hold nothing but what RFC 3986 section 3.2.1 lets them, and no
 * control character, for which curl does not take them.
 */
static bool is_userinfo(struct slice s)
{
	static const char EXTRA[] = "-._~!$&'()*+,;=:";
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		int byte = c == '%' ? percent_byte(s, i) : -1;
		bool encoded = byte >= ' ' && byte != 0x7f;
		if (!is_alnum(c) && !encoded && (c == '\0' || strchr(EXTRA, c) == NULL))
			return false;
	}
	return true;
}

struct slice proxy_credentials(const char *url)
{
	const char *at = strrchr(url, '@');
	if (at == NULL)
		return (struct slice){0};
	return (struct slice){url + SCHEME.len, (size_t)(at - url) - SCHEME.len};
}

/*
 * Whether curl can take it for a proxy. One that it cannot it would quote in the error of each
 * delivery, the password in it as well.
 */
bool proxy_is_url(const char *text)
{
	struct slice url = slice_of(text);
	struct problem p;
	if (url.len < SCHEME.len || url.len > PROXY_URL_MAX ||
	    strncasecmp(url.ptr, SCHEME.ptr, SCHEME.len) != 0)
		return false;
	const char *at = strrchr(text, '@');
	const char *host = at == NULL ? text + SCHEME.len : at + 1;
	if (host < text + SCHEME.len)
		return false;
	struct buf plain = BUF_INIT(url.len);
	buf_printf(&plain, "http://%s", host);
	/* without a port curl would take 1080, which is no proxy's of HTTP */
	const char *colon = strrchr(host, ':');
	size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
	bool has_port = digits > 0 &&
	    (colon[1 + digits] == '\0' || strcmp(colon + 1 + digits, "/") == 0);
	bool good = has_port && is_userinfo(proxy_credentials(text)) &&
	    url_check(buf_view(&plain), "proxy", &p) == OK;
	buf_fini(&plain);
	return good;
}

/* Without the brackets of an IPv6 address and the dot at the end of a name. */
static struct slice bare(struct slice host)
{
	if (host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		return (struct slice){host.ptr + 1, host.len - 2};
	if (host.len > 1 && host.ptr[host.len - 1] == '.')
		host.len--;
	return host;
}

bool proxy_is_exception(struct slice text)
{
	struct cidr network;
	if (text.len == 0 || text.len > PROXY_EXCEPTION_MAX)
		return false;
	if (cidr_parse(text, &network) == OK)
		return true;
	bool has_letter = false; /* or it would be an address, and of no such form */
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool is_dot = c == '.';
		if (!is_alnum(c) && c != '-' && c != '_' && !is_dot)
			return false;
		if (is_dot && (i == 0 || i + 1 == text.len || text.ptr[i - 1] == '.'))
			return false;
		has_letter = has_letter || (is_alnum(c) && (c < '0' || c > '9'));
	}
	return has_letter;
}

/* Whether `host` is `name`, or a name below it. */
static bool is_below(struct slice host, struct slice name)
{
	size_t before = host.len - name.len;
	if (host.len < name.len || strncasecmp(host.ptr + before, name.ptr, name.len) != 0)
		return false;
	return before == 0 || host.ptr[before - 1] == '.';
}

bool proxy_excepts(const struct proxy_choice *c, struct slice host)
{
	struct cidr address;
	struct cidr network;
	host = bare(host);
	bool is_address = c->exception_count > 0 && address_parse(host, &address) == OK;
	for (size_t i = 0; i < c->exception_count; i++) {
		struct slice item = slice_of(c->exceptions[i]);
		bool is_network = cidr_parse(item, &network) == OK;
		if (is_address ? is_network && cidr_contains(&network, &address)
			       : !is_network && is_below(host, item))
			return true;
	}
	return false;
}

bool proxy_is_same(const struct proxy_choice *a, const struct proxy_choice *b)
{
	bool same = a->kind == b->kind && a->exception_count == b->exception_count &&
	    slice_eq(slice_of(a->url), slice_of(b->url));
	for (size_t i = 0; same && i < a->exception_count; i++)
		same = strcmp(a->exceptions[i], b->exceptions[i]) == 0;
	return same;
}

void proxy_copy(const struct proxy_choice *from, struct proxy_choice *to)
{
	*to = (struct proxy_choice){.kind = from->kind};
	if (from->url != NULL)
		to->url = mem_copy(from->url, strlen(from->url));
	to->exceptions = mem_array(from->exception_count, sizeof(*to->exceptions));
	for (size_t i = 0; i < from->exception_count; i++)
		to->exceptions[to->exception_count++] = mem_copy(from->exceptions[i],
		    strlen(from->exceptions[i]));
}

void proxy_clear(struct proxy_choice *c)
{
	for (size_t i = 0; i < c->exception_count; i++)
		free(c->exceptions[i]);
	free(c->exceptions);
	mem_forget(c->url);
	*c = (struct proxy_choice){0};
}
