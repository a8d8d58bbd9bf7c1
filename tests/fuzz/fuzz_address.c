/*
 * The address policy: 16 bytes of an address, then the text of one network that is allowed.
 * Which way an IPv4 address is written changes nothing; a network allows its own addresses and
 * no others, compared here bit by bit; what the C library's macros call special is refused.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>

#include "base/log.h"
#include "domain/address.h"

#define IPV4_AT 12 /* where an address that is written as IPv6 has its IPv4 one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_allowed(const struct address_policy *policy, const struct sockaddr *sa)
{
	const char *range = NULL;
	bool allowed = address_allowed(policy, sa, &range);
	panic_if(allowed != (range == NULL), "refused without a name, or named and allowed");
	return allowed;
}

static bool allows4(const struct address_policy *policy, const uint8_t *bytes)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	memcpy(&in.sin_addr, bytes, 4);
	return is_allowed(policy, (const struct sockaddr *)&in);
}

static bool allows6(const struct address_policy *policy, const uint8_t *bytes)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	memcpy(&in6.sin6_addr, bytes, 16);
	return is_allowed(policy, (const struct sockaddr *)&in6);
}

/* Whether the first `bits` bits of two addresses are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++) {
		if (((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8)) != 0)
			return false;
	}
	return true;
}

static bool is_special4(const uint8_t *b)
{
	uint32_t n = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return n == INADDR_ANY || n == INADDR_BROADCAST || IN_MULTICAST(n) || IN_BADCLASS(n) ||
	    n >> 24 == IN_LOOPBACKNET || b[0] == 10 || (b[0] == 192 && b[1] == 168) ||
	    (b[0] == 172 && b[1] >= 16 && b[1] <= 31) || (b[0] == 169 && b[1] == 254) ||
	    (b[0] == 100 && b[1] >= 64 && b[1] <= 127);
}

static bool is_special6(const uint8_t *bytes)
{
	struct in6_addr a;
	memcpy(&a, bytes, sizeof(a));
	return IN6_IS_ADDR_UNSPECIFIED(&a) || IN6_IS_ADDR_LOOPBACK(&a) ||
	    IN6_IS_ADDR_MULTICAST(&a) || IN6_IS_ADDR_LINKLOCAL(&a) ||
	    IN6_IS_ADDR_SITELOCAL(&a) || IN6_IS_ADDR_V4COMPAT(&a) || (bytes[0] & 0xfe) == 0xfc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct address_policy NONE;
	if (size < 16)
		return 0;
	const uint8_t *v4 = data + IPV4_AT;
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
	uint8_t nat64[16] = {0, 0x64, 0xff, 0x9b};
	uint8_t six_to_four[16] = {0x20, 2};
	memcpy(mapped + IPV4_AT, v4, 4);
	memcpy(nat64 + IPV4_AT, v4, 4);
	memcpy(six_to_four + 2, v4, 4);
	memcpy(six_to_four + 6, data, 10);
	bool public4 = allows4(&NONE, v4);
	bool public6 = allows6(&NONE, data);
	panic_if(allows6(&NONE, mapped) != public4, "mapped");
	panic_if(allows6(&NONE, nat64) != public4, "NAT64");
	panic_if(allows6(&NONE, six_to_four) != public4, "6to4");
	panic_if(public4 && is_special4(v4), "a special IPv4 address is public");
	panic_if(public6 && is_special6(data), "a special IPv6 address is public");

	struct cidr c;
	if (cidr_parse((struct slice){(const char *)data + 16, size - 16}, &c) != OK)
		return 0;
	const struct address_policy policy = {.allow = &c, .allow_count = 1};
	bool in4 = c.family == 4 && same_bits(c.addr, v4, c.bits);
	bool in6 = c.family == 6 && same_bits(c.addr, data, c.bits);
	bool mapped_in6 = c.family == 6 && same_bits(c.addr, mapped, c.bits);
	panic_if(allows4(&policy, v4) != (public4 || in4), "a network and an IPv4 address");
	panic_if(allows6(&policy, mapped) != (public4 || in4 || mapped_in6),
	    "and a mapped one");
	bool is_mapped = memcmp(data, mapped, IPV4_AT) == 0;
	panic_if(!is_mapped && allows6(&policy, data) != (public6 || in6), "and an IPv6 one");
	return 0;
}
