/* cidr_parse(): what it reads prints back to the same, and allows its own first address. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/log.h"
#include "domain/address.h"

#define TEXT_SIZE (INET6_ADDRSTRLEN + 4) /* and "/128" */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct cidr *c, int family)
{
	char address[INET6_ADDRSTRLEN];
	char text[TEXT_SIZE];
	struct cidr again;
	panic_if(inet_ntop(family, c->addr, address, sizeof(address)) == NULL, "inet_ntop");
	(void)snprintf(text, sizeof(text), "%s/%u", address, (unsigned)c->bits);
	panic_if(cidr_parse(slice_of(text), &again) != OK, "does not read back");
	panic_if(memcmp(c, &again, sizeof(again)) != 0, "reads back as another");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cidr c;
	const char *range = NULL;
	if (cidr_parse((struct slice){(const char *)data, size}, &c) != OK)
		return 0;
	panic_if(c.bits > (c.family == 4 ? 32 : 128), "prefix too long");
	check_round_trip(&c, c.family == 4 ? AF_INET : AF_INET6);

	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa = {.in6 = {.sin6_family = AF_INET6}};
	if (c.family == 4) {
		sa.in = (struct sockaddr_in){.sin_family = AF_INET};
		memcpy(&sa.in.sin_addr, c.addr, sizeof(sa.in.sin_addr));
	} else {
		memcpy(&sa.in6.sin6_addr, c.addr, sizeof(sa.in6.sin6_addr));
	}
	const struct address_policy policy = {.allow = &c, .allow_count = 1};
	panic_if(!address_allowed(&policy, &sa.any, &range), "not allowed by itself");
	return 0;
}
