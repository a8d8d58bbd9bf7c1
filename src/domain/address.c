/*
 * Which addresses may be connected to; see address.h. The tables are IANA's
 * registries of special-purpose addresses, with each block by its purpose; the
 * first row that matches gives its name, so that narrow blocks stand before wide ones.
 */
#include "domain/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define IPV4_BITS 32
#define IPV6_BITS 128
#define MAPPED_BYTES 12 /* of ::ffff:0:0/96 before the IPv4 address */
#define SUBNET_BITS 64  /* of an IPv6 address; RFC 6177 */

struct range {
	struct cidr cidr;
	const char *name;
};

#define V4(bits_, ...)                                                                         \
	{                                                                                      \
		.family = 4, .bits = (bits_), .addr = { __VA_ARGS__ }                          \
	}
#define V6(bits_, ...)                                                                         \
	{                                                                                      \
		.family = 6, .bits = (bits_), .addr = { __VA_ARGS__ }                          \
	}

#define IPV6_LOOPBACK V6(128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
#define IPV6_MAPPED V6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

/*
 * Sources: iana.org/assignments/iana-ipv4-special-registry, RFC 5771 (multicast).
 * A block whose few globally reachable addresses are anycast services of the
 * network (192.0.0.9, 192.0.0.10) is refused whole.
 */
static const struct range IPV4_RANGES[] = {
    {V4(8, 0), "this network"},
    {V4(8, 10), "private"},
    {V4(10, 100, 64), "shared (CGNAT)"},
    {V4(8, 127), "loopback"},
    {V4(16, 169, 254), "link-local"},
    {V4(12, 172, 16), "private"},
    {V4(24, 192, 0, 0), "protocol assignments"},
    {V4(24, 192, 0, 2), "documentation"},
    {V4(24, 192, 88, 99), "6to4 relay"},
    {V4(16, 192, 168), "private"},
    {V4(15, 198, 18), "benchmarking"},
    {V4(24, 198, 51, 100), "documentation"},
    {V4(24, 203, 0, 113), "documentation"},
    {V4(4, 224), "multicast"},
    {V4(32, 255, 255, 255, 255), "broadcast"},
    {V4(4, 240), "reserved"},
};

/*
 * Sources: iana.org/assignments/iana-ipv6-special-registry, and RFC 4291 for what
 * is no unicast or not allocated: receivers live in 2000::/3.
 */
static const struct range IPV6_RANGES[] = {
    {V6(128, 0), "unspecified"},
    {IPV6_LOOPBACK, "loopback"},
    {V6(96, 0), "IPv4-compatible"},
    {V6(48, 0, 0x64, 0xff, 0x9b, 0, 1), "local NAT64"},
    {V6(64, 1), "discard-only"},
    {V6(64, 1, 0, 0, 0, 0, 0, 0, 1), "dummy prefix"},
    {V6(32, 0x20, 1, 0, 0), "Teredo"},
    {V6(48, 0x20, 1, 0, 2), "benchmarking"},
    {V6(28, 0x20, 1, 0, 0x10), "ORCHID"},
    {V6(28, 0x20, 1, 0, 0x20), "ORCHID"},
    {V6(23, 0x20, 1), "protocol assignments"},
    {V6(32, 0x20, 1, 0x0d, 0xb8), "documentation"},
    {V6(20, 0x3f, 0xff), "documentation"},
    {V6(16, 0x5f), "segment routing"},
    {V6(7, 0xfc), "private (unique local)"},
    {V6(10, 0xfe, 0x80), "link-local"},
    {V6(10, 0xfe, 0xc0), "site-local"},
    {V6(8, 0xff), "multicast"},
    {V6(3, 0), "reserved"},
    {V6(2, 0x40), "reserved"},
    {V6(1, 0x80), "reserved"},
};

/* IPv6 addresses that are the way to an IPv4 address, and where in them it stands. */
static const struct embedding {
	struct cidr cidr;
	uint8_t offset; /* bytes */
} EMBEDDINGS[] = {
    {IPV6_MAPPED, MAPPED_BYTES},       /* RFC 4291 section 2.5.5.2 */
    {V6(96, 0, 0x64, 0xff, 0x9b), 12}, /* NAT64, RFC 6052 */
    {V6(16, 0x20, 2), 2},              /* 6to4, RFC 3056 */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Whether `addr`, of the family of `c`, lies in `c`. */
static bool cidr_has(const struct cidr *c, const uint8_t *addr)
{
	size_t whole = c->bits / 8;
	unsigned rest = c->bits % 8;
	if (memcmp(c->addr, addr, whole) != 0)
		return false;
	return rest == 0 || (c->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

static bool has_host_bits(const struct cidr *c)
{
	size_t size = c->family == 4 ? IPV4_BITS / 8 : IPV6_BITS / 8;
	for (size_t bit = c->bits; bit < size * 8; bit++) {
		if (c->addr[bit / 8] & (0x80 >> bit % 8))
			return true;
	}
	return false;
}

/* Parses the address of a CIDR and sets its longest prefix. */
static enum err parse_address(struct slice text, struct cidr *out)
{
	char cstr[INET6_ADDRSTRLEN] = "";
	if (text.len == 0 || text.len >= sizeof(cstr) ||
	    memchr(text.ptr, '\0', text.len) != NULL)
		return ERR_SYNTAX;
	memcpy(cstr, text.ptr, text.len);
	*out = (struct cidr){.family = 4, .bits = IPV4_BITS};
	if (inet_pton(AF_INET, cstr, out->addr) == 1)
		return OK;
	*out = (struct cidr){.family = 6, .bits = IPV6_BITS};
	return inet_pton(AF_INET6, cstr, out->addr) == 1 ? OK : ERR_SYNTAX;
}

/* Parses a prefix length into *bits, which holds the longest one; no leading zeros. */
static enum err parse_bits(struct slice text, uint8_t *bits)
{
	uint64_t n = 0;
	enum err err = str_u64(text, &n);
	if (err != OK || n > *bits || (text.len > 1 && text.ptr[0] == '0'))
		return ERR_SYNTAX;
	*bits = (uint8_t)n;
	return OK;
}

enum err cidr_parse(struct slice text, struct cidr *out)
{
	struct cidr c;
	const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
	size_t len = slash == NULL ? text.len : (size_t)(slash - text.ptr);
	enum err err = parse_address((struct slice){text.ptr, len}, &c);
	if (err != OK)
		return err;
	if (slash != NULL)
		err = parse_bits((struct slice){slash + 1, text.len - len - 1}, &c.bits);
	if (err != OK || has_host_bits(&c))
		return ERR_SYNTAX;
	*out = c;
	return OK;
}

/* Makes the address of `sa` a CIDR of its own; false where it is neither IPv4 nor IPv6. */
static bool read_address(const struct sockaddr *sa, struct cidr *out)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		*out = (struct cidr){.family = 4, .bits = IPV4_BITS};
		memcpy(out->addr, &in.sin_addr, sizeof(in.sin_addr));
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		*out = (struct cidr){.family = 6, .bits = IPV6_BITS};
		memcpy(out->addr, &in6.sin6_addr, sizeof(in6.sin6_addr));
		return true;
	}
	return false;
}

static bool is_mapped(const struct cidr *a)
{
	static const struct cidr MAPPED = IPV6_MAPPED;
	return a->family == 6 && cidr_has(&MAPPED, a->addr);
}

void cidr_format(const struct cidr *c, char out[CIDR_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "unix";
	bool is_single = c->bits == (c->family == 4 ? IPV4_BITS : IPV6_BITS);
	if (c->family != 0) /* has room */
		(void)inet_ntop(c->family == 4 ? AF_INET : AF_INET6, c->addr, text,
		    sizeof(text));
	if (c->family == 0 || is_single)
		(void)snprintf(out, CIDR_TEXT_SIZE, "%s", text);
	else
		(void)snprintf(out, CIDR_TEXT_SIZE, "%s/%u", text, (unsigned)c->bits);
}

bool cidr_contains(const struct cidr *c, const struct cidr *a)
{
	return a->family != 0 && c->family == a->family && cidr_has(c, a->addr);
}

/* Turns a mapped address into the IPv4 address that it is. */
static void unmap(struct cidr *a)
{
	struct cidr mapped = *a;
	if (!is_mapped(a))
		return;
	*a = (struct cidr){.family = 4, .bits = IPV4_BITS};
	memcpy(a->addr, mapped.addr + MAPPED_BYTES, IPV4_BITS / 8);
}

void address_of_peer(const struct sockaddr *sa, struct cidr *out)
{
	if (!read_address(sa, out))
		*out = (struct cidr){0};
	unmap(out);
}

enum err address_parse(struct slice text, struct cidr *out)
{
	struct cidr a;
	enum err err = parse_address(text, &a);
	if (err != OK)
		return err;
	unmap(&a);
	*out = a;
	return OK;
}

struct cidr address_client(const struct cidr *a)
{
	struct cidr client = *a;
	if (a->family == 6) {
		client.bits = SUBNET_BITS;
		memset(client.addr + SUBNET_BITS / 8, 0, sizeof(client.addr) - SUBNET_BITS / 8);
	}
	return client;
}

static bool is_listed(const struct address_policy *policy, uint8_t family, const uint8_t *addr)
{
	for (uint32_t i = 0; i < policy->allow_count; i++) {
		if (policy->allow[i].family == family && cidr_has(&policy->allow[i], addr))
			return true;
	}
	return false;
}

/* Whether the configuration allows `a`; a mapped address also as the IPv4 address it is. */
static bool is_exempt(const struct address_policy *policy, const struct cidr *a)
{
	return is_listed(policy, a->family, a->addr) ||
	    (is_mapped(a) && is_listed(policy, 4, a->addr + MAPPED_BYTES));
}

static const char *find_range(const struct range ranges[], size_t n, const uint8_t *addr)
{
	for (size_t i = 0; i < n; i++) {
		if (cidr_has(&ranges[i].cidr, addr))
			return ranges[i].name;
	}
	return NULL;
}

/* Returns the name of the special range that `a` lies in, or NULL for a public address. */
static const char *special_range(const struct cidr *a)
{
	if (a->family == 4)
		return find_range(IPV4_RANGES, COUNT(IPV4_RANGES), a->addr);
	for (size_t i = 0; i < COUNT(EMBEDDINGS); i++) {
		const struct embedding *e = &EMBEDDINGS[i];
		if (cidr_has(&e->cidr, a->addr))
			return find_range(IPV4_RANGES, COUNT(IPV4_RANGES), a->addr + e->offset);
	}
	return find_range(IPV6_RANGES, COUNT(IPV6_RANGES), a->addr);
}

bool address_allowed(const struct address_policy *policy, const struct sockaddr *sa,
    const char **range)
{
	struct cidr a;
	if (!read_address(sa, &a)) {
		*range = "not an IP address";
		return false;
	}
	const char *special = special_range(&a);
	if (special == NULL || is_exempt(policy, &a))
		return true;
	*range = special;
	return false;
}

bool address_is_loopback(const struct sockaddr *sa)
{
	static const struct cidr LOOPBACK_4 = V4(8, 127);
	static const struct cidr LOOPBACK_6 = IPV6_LOOPBACK;
	struct cidr a;
	if (!read_address(sa, &a))
		return true;
	if (is_mapped(&a))
		return cidr_has(&LOOPBACK_4, a.addr + MAPPED_BYTES);
	return cidr_has(a.family == 4 ? &LOOPBACK_4 : &LOOPBACK_6, a.addr);
}
