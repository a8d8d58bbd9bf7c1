/*
 * forwarded_client(): an input of two parts, Forwarded and X-Forwarded-For, around a line
 * feed. Whatever a client has written, an address that a trusted proxy appends is what
 * counts, or, for a Forwarded that cannot be parsed, the proxy.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "domain/forwarded.h"

#define BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct cidr *a, const struct cidr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cidr network = {.family = 4, .bits = 8, .addr = {10}};
	const struct proxies proxies = {.networks = &network, .count = 1};
	const struct cidr peer = {.family = 4, .bits = 32, .addr = {10, 0, 0, 1}};
	const struct cidr stranger = {.family = 4, .bits = 32, .addr = {192, 0, 2, 9}};
	struct slice list = {(const char *)data, size};
	struct slice standard = slice_cut(&list, '\n');
	struct slice none = {0};

	struct cidr client = forwarded_client(&proxies, &stranger, standard, list);
	panic_if(!same(&client, &stranger), "a stranger was believed");
	client = forwarded_client(&proxies, &peer, standard, none);
	struct cidr other = forwarded_client(&proxies, &peer, none, list);
	struct cidr both = forwarded_client(&proxies, &peer, standard, list);
	panic_if(!same(&both, &client) && !same(&both, &other) && !same(&both, &peer),
	    "somebody else");

	struct buf text = BUF_INIT(BYTES_MAX);
	buf_slice(&text, list);
	buf_puts(&text, ", 192.0.2.9");
	client = forwarded_client(&proxies, &peer, none, buf_view(&text));
	panic_if(!text.failed && !same(&client, &stranger),
	    "the list's last hop was passed by");
	buf_fini(&text);
	text = BUF_INIT(BYTES_MAX);
	buf_slice(&text, standard);
	buf_puts(&text, ", for=192.0.2.9");
	client = forwarded_client(&proxies, &peer, buf_view(&text), none);
	panic_if(!text.failed && !same(&client, &stranger) && !same(&client, &peer),
	    "the last hop was passed by");
	buf_fini(&text);
	return 0;
}
