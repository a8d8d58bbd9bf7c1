/*
 * What may be a webhook's URL; see url.h. The syntax is uriparser's business (RFC
 * 3986, this file is its one user), the rules behind it are ours: a URL that two
 * parsers could read differently is refused here, before the courier's reads it.
 * Where a host's addresses may lie is not asked here but at connect time (address.h).
 */
#include "domain/url.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <uriparser/Uri.h>

#include "base/log.h"
#include "base/str.h"

#define HOST_MAX 253 /* bytes of a name in the DNS; RFC 1035 section 2.3.4 in text form */
#define LABEL_MAX 63 /* bytes between two dots; the same */
#define PORT_MAX 65535

/* One check in progress: what problem_set() needs, and what is being checked. */
struct check {
	struct slice url;
	const char *field;
	struct problem *p;
};

#define REFUSE(c, ...) problem_set((c)->p, ERR_INVALID, (c)->field, __VA_ARGS__)

static struct slice range_view(UriTextRangeA range)
{
	if (range.first == NULL)
		return (struct slice){0};
	return (struct slice){range.first, (size_t)(range.afterLast - range.first)};
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether byte `pos` lies behind "://" and before the path: in the host or beside it. */
static bool is_in_authority(struct slice url, size_t pos)
{
	size_t slashes = 0;
	for (size_t i = 0; i < pos; i++) {
		char c = url.ptr[i];
		if (c == '/')
			slashes++;
		if (slashes > 2 || c == '?' || c == '#')
			return false;
	}
	return slashes == 2;
}

/* Checks what must hold byte by byte before the text may meet a parser. */
static enum err check_bytes(const struct check *c)
{
	if (c->url.len == 0 || c->url.len > URL_MAX)
		return REFUSE(c, "must be a URL of 1 to %d bytes", URL_MAX);
	for (size_t i = 0; i < c->url.len; i++) {
		unsigned char byte = (unsigned char)c->url.ptr[i];
		if (byte <= ' ' || byte == 0x7f)
			return REFUSE(c,
			    "must hold no white space or control characters (byte %zu)", i);
		if (byte < 0x80)
			continue;
		if (is_in_authority(c->url, i))
			return REFUSE(c,
			    "an international host name must be in its ASCII form (xn--...)");
		return REFUSE(c, "must be ASCII: percent-encode other characters (byte %zu)",
		    i);
	}
	return OK;
}

static bool is_http(struct slice scheme)
{
	const struct slice names[] = {SLICE("http"), SLICE("https")};
	char lower[sizeof("https")];
	if (scheme.len >= sizeof(lower))
		return false;
	/* a scheme is letters, digits and + - . only: the bit changes none but capitals */
	for (size_t i = 0; i < scheme.len; i++)
		lower[i] = (char)(scheme.ptr[i] | 0x20);
	struct slice s = {lower, scheme.len};
	return slice_eq(s, names[0]) || slice_eq(s, names[1]);
}

/* Whether `s` is dotted labels of 1 to LABEL_MAX bytes; one dot may end it, as in the DNS. */
static bool has_labels(struct slice s)
{
	size_t label = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] != '.') {
			label++;
		} else if (label == 0) {
			return false;
		} else {
			label = 0;
		}
		if (label > LABEL_MAX)
			return false;
	}
	bool rooted = s.len > 0 && s.ptr[s.len - 1] == '.';
	return s.len > 0 && s.len - (rooted ? 1 : 0) <= HOST_MAX;
}

/*
 * Whether the last of the dotted labels is a number, "7" or "0x7f": curl, as the system and
 * browsers, reads such a host as an IPv4 address (0x7f.1 is 127.0.0.1), RFC 3986 as a name.
 */
static bool ends_in_number(struct slice s)
{
	if (s.len > 0 && s.ptr[s.len - 1] == '.')
		s.len--;
	size_t from = s.len;
	while (from > 0 && s.ptr[from - 1] != '.')
		from--;
	struct slice label = {s.ptr + from, s.len - from};
	bool hex = label.len >= 2 && label.ptr[0] == '0' && (label.ptr[1] | 0x20) == 'x';
	for (size_t i = hex ? 2 : 0; i < label.len; i++) {
		int digit = str_hex_digit((unsigned char)label.ptr[i]);
		if (digit < 0 || (digit > 9 && !hex))
			return false;
	}
	return label.len > 0;
}

static enum err check_host(const struct check *c, const UriUriA *uri)
{
	struct slice host = range_view(uri->hostText);
	if (host.len == 0)
		return REFUSE(c, "must name a host, as in https://example.com/path");
	if (uri->hostData.ipFuture.first != NULL)
		return REFUSE(c, "only IPv6 addresses may stand in [ ]");
	if (uri->hostData.ip6 != NULL || uri->hostData.ip4 != NULL)
		return OK;
	for (size_t i = 0; i < host.len; i++) {
		char byte = host.ptr[i];
		if (!is_alnum(byte) && byte != '-' && byte != '.' && byte != '_')
			return REFUSE(c,
			    "a host name is letters, digits, '-', '_' and '.', without "
			    "percent-encoding; an international one in its xn-- form");
	}
	if (ends_in_number(host))
		return REFUSE(c,
		    "an IPv4 address is four numbers from 0 to 255, as in 192.0.2.1");
	if (!has_labels(host))
		return REFUSE(c, "a host name has at most %d bytes, 1 to %d between two dots",
		    HOST_MAX, LABEL_MAX);
	return OK;
}

static enum err check_port(const struct check *c, UriTextRangeA range)
{
	uint64_t port = 0;
	if (range.first == NULL)
		return OK;
	if (str_u64(range_view(range), &port) != OK || port < 1 || port > PORT_MAX)
		return REFUSE(c, "the port must be 1 to %d", PORT_MAX);
	return OK;
}

static enum err check_parts(const struct check *c, const UriUriA *uri)
{
	if (!is_http(range_view(uri->scheme)))
		return REFUSE(c, "must begin with http:// or https://");
	if (uri->userInfo.first != NULL)
		return REFUSE(c, "must hold no credentials: use the webhook's headers");
	enum err err = check_host(c, uri);
	if (err == OK)
		err = check_port(c, uri->portText);
	if (err == OK && uri->fragment.first != NULL)
		err = REFUSE(c, "must hold no fragment (#...): it would never be sent");
	return err;
}

enum err url_check(struct slice url, const char *field, struct problem *p)
{
	const struct check c = {.url = url, .field = field, .p = p};
	UriUriA uri;
	const char *at = NULL;
	enum err err = check_bytes(&c);
	if (err != OK)
		return err;
	int result = uriParseSingleUriExA(&uri, url.ptr, url.ptr + url.len, &at);
	panic_if(result == URI_ERROR_MALLOC, "out of memory");
	if (result != URI_SUCCESS) /* has freed what it made */
		return REFUSE(&c,
		    "is not a URL of RFC 3986, which is http://host:port/path?query with "
		    "other characters percent-encoded (byte %zu)",
		    at == NULL ? 0 : (size_t)(at - url.ptr));
	err = check_parts(&c, &uri);
	uriFreeUriMembersA(&uri);
	return err;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_tls(const char *url)
{
	return strncasecmp(url, "https:", 6) == 0;
}

void url_put_host(const char *url, struct buf *out)
{
	const char *authority = strstr(url, "://");
	authority = authority == NULL ? url : authority + 3;
	size_t len = strcspn(authority, "/?#");
	size_t name = authority[0] == '[' ? strcspn(authority, "]") + 1
					  : strcspn(authority, ":/?#");
	struct slice port = {authority + name, len > name ? len - name : 0};
	if (name > 1 && authority[name - 1] == '.')
		name--;
	for (size_t i = 0; i < name; i++)
		buf_putc(out, to_lower(authority[i]));
	if (port.len > 1)
		buf_slice(out, port);
	else
		buf_puts(out, is_tls(url) ? ":443" : ":80");
}

bool url_is_same_origin(const char *a, const char *b)
{
	struct buf at_a = BUF_INIT(URL_MAX + sizeof(":443"));
	struct buf at_b = BUF_INIT(URL_MAX + sizeof(":443"));
	url_put_host(a, &at_a);
	url_put_host(b, &at_b);
	bool same = is_tls(a) == is_tls(b) && slice_eq(buf_view(&at_a), buf_view(&at_b));
	buf_fini(&at_a);
	buf_fini(&at_b);
	return same;
}
