/*
 * Forwarded and X-Forwarded-For; see forwarded.h. Both become a list of hops, nodes as
 * the proxies wrote them with the nearest last, and one walk goes back over it. Of a
 * longer list the last FORWARDED_HOPS_MAX are kept.
 */
#include "domain/forwarded.h"

#include <ctype.h>
#include <strings.h>

#include "base/str.h"

struct hops {
	struct slice nodes[FORWARDED_HOPS_MAX]; /* hop n at n modulo the size */
	size_t count;
};

static void push(struct hops *h, struct slice node)
{
	h->nodes[h->count++ % FORWARDED_HOPS_MAX] = node;
}

static bool is_tchar(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip(struct slice *rest, size_t n)
{
	rest->ptr += n;
	rest->len -= n;
}

static bool starts_with(const struct slice *rest, char c)
{
	return rest->len > 0 && rest->ptr[0] == c;
}

/* Takes the token at the front of `rest`; empty where there is none. */
static struct slice take_token(struct slice *rest)
{
	struct slice token = {rest->ptr, 0};
	while (token.len < rest->len && is_tchar(token.ptr[token.len]))
		token.len++;
	skip(rest, token.len);
	return token;
}

/* Takes a quoted string, its content as it is: no address has a backslash. */
static bool take_quoted(struct slice *rest, struct slice *content)
{
	size_t at = 1;
	while (at < rest->len && rest->ptr[at] != '"')
		at += rest->ptr[at] == '\\' ? 2 : 1;
	if (at >= rest->len)
		return false;
	*content = (struct slice){rest->ptr + 1, at - 1};
	skip(rest, at + 1);
	return true;
}

/* Takes `name=value`; *node is the value where the name is "for", which comes once. */
static bool take_pair(struct slice *rest, struct slice *node)
{
	struct slice value = {0};
	struct slice name = take_token(rest);
	if (name.len == 0 || !starts_with(rest, '='))
		return false;
	skip(rest, 1);
	if (starts_with(rest, '"')) {
		if (!take_quoted(rest, &value))
			return false;
	} else {
		value = take_token(rest);
		if (value.len == 0)
			return false;
	}
	bool is_for = name.len == 3 && strncasecmp(name.ptr, "for", 3) == 0;
	if (is_for && node->ptr != NULL)
		return false;
	if (is_for)
		*node = value;
	return true;
}

/* Takes the pairs of one element, and the comma behind it. */
static bool take_element(struct slice *rest, struct hops *hops)
{
	struct slice node = {0};
	bool has_pair = false;
	for (;;) {
		*rest = slice_trim(*rest);
		if (rest->len == 0 || starts_with(rest, ','))
			break;
		if (starts_with(rest, ';')) {
			skip(rest, 1);
			continue;
		}
		if (!take_pair(rest, &node))
			return false;
		has_pair = true;
		*rest = slice_trim(*rest);
		if (rest->len > 0 && rest->ptr[0] != ';' && rest->ptr[0] != ',')
			return false;
	}
	if (rest->len > 0)
		skip(rest, 1);
	if (has_pair)
		push(hops, node);
	return true;
}

static bool split_forwarded(struct slice text, struct hops *hops)
{
	while (text.len > 0) {
		if (!take_element(&text, hops))
			return false;
	}
	return true;
}

static void split_list(struct slice text, struct hops *hops)
{
	while (text.len > 0) {
		struct slice node = slice_trim(slice_cut(&text, ','));
		if (node.len > 0)
			push(hops, node);
	}
}

/* A number, or an obfuscated port, which begins with an underscore. */
static bool is_port(struct slice text)
{
	uint64_t number = 0;
	if (text.len < 2 || text.ptr[0] != '_')
		return str_u64(text, &number) == OK && number <= UINT16_MAX;
	for (size_t i = 1; i < text.len; i++) {
		char c = text.ptr[i];
		if (!isalnum((unsigned char)c) && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

/* Splits [IPV6] and [IPV6]:PORT; *after is what is behind the bracket. */
static bool split_brackets(struct slice node, struct slice *host, struct slice *after)
{
	const char *end = memchr(node.ptr, ']', node.len);
	if (end == NULL)
		return false;
	*host = (struct slice){node.ptr + 1, (size_t)(end - node.ptr) - 1};
	*after = (struct slice){end + 1, node.len - host->len - 2};
	return memchr(host->ptr, ':', host->len) != NULL;
}

/* Splits ADDRESS and IPV4:PORT, the only one with a single colon. */
static void split_port(struct slice node, struct slice *host, struct slice *after)
{
	const char *colon = memchr(node.ptr, ':', node.len);
	size_t len = colon == NULL ? node.len : (size_t)(colon - node.ptr);
	*after = (struct slice){node.ptr + len, node.len - len};
	if (after->len > 1 && memchr(colon + 1, ':', after->len - 1) != NULL) {
		len = node.len;
		*after = (struct slice){0};
	}
	*host = (struct slice){node.ptr, len};
}

/* Reads ADDRESS, IPV4:PORT, [IPV6] or [IPV6]:PORT. */
static bool read_node(struct slice node, struct cidr *out)
{
	struct slice host;
	struct slice after;
	if (node.len == 0)
		return false;
	if (!starts_with(&node, '['))
		split_port(node, &host, &after);
	else if (!split_brackets(node, &host, &after))
		return false;
	if (after.len > 0 &&
	    (after.ptr[0] != ':' || !is_port((struct slice){after.ptr + 1, after.len - 1})))
		return false;
	return address_parse(host, out) == OK;
}

/* Goes back over the hops from `peer` on. */
static struct cidr walk(const struct proxies *p, const struct cidr *peer,
    const struct hops *hops)
{
	struct cidr client = *peer;
	struct cidr hop;
	size_t at = hops->count;
	size_t end = at > FORWARDED_HOPS_MAX ? at - FORWARDED_HOPS_MAX : 0;
	while (at > end && proxies_trust(p, &client)) {
		at--;
		if (!read_node(hops->nodes[at % FORWARDED_HOPS_MAX], &hop))
			break;
		client = hop;
	}
	return client;
}

bool proxies_trust(const struct proxies *p, const struct cidr *a)
{
	if (a->family == 0)
		return p->is_unix;
	for (size_t i = 0; i < p->count; i++) {
		if (cidr_contains(&p->networks[i], a))
			return true;
	}
	return false;
}

struct cidr forwarded_client(const struct proxies *p, const struct cidr *peer,
    struct slice forwarded, struct slice x_forwarded_for)
{
	struct hops standard = {0};
	struct hops usual = {0};
	if (!proxies_trust(p, peer) || !split_forwarded(forwarded, &standard))
		return *peer;
	split_list(x_forwarded_for, &usual);
	if (standard.count == 0)
		return walk(p, peer, &usual);
	struct cidr client = walk(p, peer, &standard);
	if (usual.count == 0)
		return client;
	struct cidr other = walk(p, peer, &usual);
	return memcmp(&client, &other, sizeof(client)) == 0 ? client : *peer;
}
