/*
 * The policy for receivers' addresses (docs/api.md): public ones may be
 * connected to, special ranges only where a CIDR of the configuration allows it.
 * Asked with the address that is about to be connected, after the lookup, so that
 * no spelling and no rebinding gets around it. IPv6 that is a way to IPv4 (mapped,
 * NAT64, 6to4) is judged as the IPv4 address it leads to; compatible and Teredo
 * addresses are refused whatever they hold: no receiver lives there any more.
 */
#ifndef DOMAIN_ADDRESS_H
#define DOMAIN_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"

struct cidr {
	uint8_t family;   /* 4 or 6 */
	uint8_t bits;     /* prefix length, 0–32 or 0–128 */
	uint8_t addr[16]; /* network order; IPv4 in the first four bytes */
};

struct address_policy {
	struct cidr *allow; /* owned by whoever fills it */
	uint32_t allow_count;
};

/* Parses "10.0.0.0/8", "fd00::/8", or one address; host bits must be zero. ERR_SYNTAX. */
MUST_CHECK enum err cidr_parse(struct slice text, struct cidr *out);

#define CIDR_TEXT_SIZE 50 /* an IPv6 address, "/128", a NUL */

/* Writes what cidr_parse() reads, a single address without its length; "unix" for family 0. */
void cidr_format(const struct cidr *c, char out[CIDR_TEXT_SIZE]);

/* Whether the address `a` lies in `c`; no network has one of family 0. */
bool cidr_contains(const struct cidr *c, const struct cidr *a);

/*
 * A peer's address is a network of that one address: IPv4 that is mapped into IPv6 as
 * the IPv4 address it is, and family 0 for a socket that is not IP.
 */
void address_of_peer(const struct sockaddr *sa, struct cidr *out);

/* Parses one address into such a network. ERR_SYNTAX. */
MUST_CHECK enum err address_parse(struct slice text, struct cidr *out);

/*
 * The network that counts as one client: an IPv4 address; of IPv6 the 64 bits that every
 * subscriber is given at least, and within which it may take any address.
 */
struct cidr address_client(const struct cidr *a);

/*
 * Whether `sa` (AF_INET or AF_INET6; any other family may not) may be connected to.
 * When it may not, *range is the constant name of the range that forbids it
 * ("loopback", "private", …). An IPv4 CIDR of the policy allows the mapped form too.
 */
bool address_allowed(const struct address_policy *policy, const struct sockaddr *sa,
    const char **range);

/* Whether `sa` is loopback (127.0.0.0/8, also mapped, or ::1) or no IP socket (AF_UNIX). */
bool address_is_loopback(const struct sockaddr *sa);

#endif
