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

/* Arranges `count` addresses by family and by what was drawn. */
static void arrange(union lookup_address *list, size_t count, uint64_t drawn)
{
	union lookup_address by_family[2][LOOKUP_ADDRESSES_MAX];
	size_t counts[2] = {0, 0};
	for (size_t i = 0; i < count; i++) {
		size_t other = list[i].any.sa_family != list[0].any.sa_family;
		by_family[other][counts[other]++] = list[i];
	}
	size_t out = 0;
	for (size_t i = 0; out < count; i++) {
		for (size_t family = 0; family < 2; family++) {
			size_t n = counts[family];
			if (i < n)
				list[out++] = by_family[family][(drawn % n + i) % n];
		}
	}
}

void route_order(struct route *r, const struct failures *failures, uint16_t port,
    uint64_t drawn)
{
	union lookup_address failed[LOOKUP_ADDRESSES_MAX];
	size_t failed_count = 0;
	size_t good = 0;
	for (size_t i = 0; i < r->count; i++) {
		const union lookup_address *a = &r->addresses[i];
		if (failures_has(failures, a, port))
			failed[failed_count++] = *a;
		else
			r->addresses[good++] = *a;
	}
	for (size_t i = 0; i < failed_count; i++)
		r->addresses[good + i] = failed[i];
	arrange(r->addresses, good, drawn);
	arrange(r->addresses + good, failed_count, drawn);
}

bool route_has_next(const struct route *r)
{
	return r->next < r->count;
}

const union lookup_address *route_peek(const struct route *r)
{
	return &r->addresses[r->next];
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
