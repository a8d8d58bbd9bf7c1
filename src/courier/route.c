/* The addresses of a request; see route.h. */
#include "courier/route.h"

#include <arpa/inet.h>
#include <stdio.h>

void route_set(struct route *r, const struct lookup_answer *answer,
    const struct address_policy *policy)
{
	const char *range = NULL;
	r->count = 0;
	r->next = 0;
	for (size_t i = 0; i < answer->count; i++) {
		const union lookup_address *a = &answer->addresses[i];
		if (policy == NULL || address_allowed(policy, &a->any, &range))
			r->addresses[r->count++] = *a;
	}
	if (r->count == 0 && answer->count > 0)
		r->addresses[r->count++] = answer->addresses[answer->count - 1];
}

const union lookup_address *route_next(struct route *r)
{
	return r->next < r->count ? &r->addresses[r->next++] : NULL;
}

void route_name(const union lookup_address *a, char out[ROUTE_NAME_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "";
	bool is_ipv6 = a->any.sa_family == AF_INET6;
	if (is_ipv6) /* has room */
		(void)inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
	else
		(void)inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof(text));
	(void)snprintf(out, ROUTE_NAME_SIZE, is_ipv6 ? "[%s]" : "%s", text);
}
