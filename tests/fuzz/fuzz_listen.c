/*
 * Listening addresses: what is taken prints back, through the system's own functions, to what
 * reads as the same address. What is refused is explained.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/listen_address.h"

#define TEXT_SIZE 200 /* "unix:" and a path, or an address with brackets and port */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_address(const union listen_address *addr, char out[TEXT_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (addr->sa.sa_family == AF_UNIX) {
		(void)snprintf(out, TEXT_SIZE, "unix:%s", addr->un.sun_path);
	} else if (addr->sa.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &addr->in.sin_addr, host, sizeof(host));
		(void)snprintf(out, TEXT_SIZE, "%s:%u", host, ntohs(addr->in.sin_port));
	} else {
		(void)inet_ntop(AF_INET6, &addr->in6.sin6_addr, host, sizeof(host));
		(void)snprintf(out, TEXT_SIZE, "[%s]:%u", host, ntohs(addr->in6.sin6_port));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union listen_address addr;
	union listen_address again;
	socklen_t len = 0;
	socklen_t len_again = 0;
	bool local = false;
	char printed[TEXT_SIZE];
	struct problem p = {.message = ""};
	char *text = mem_copy((const char *)data, size);
	if (listen_address_parse(text, &addr, &len, &p) != OK) {
		panic_if(p.message[0] == '\0', "refused without a word");
	} else {
		print_address(&addr, printed);
		panic_if(listen_address_parse(printed, &again, &len_again, &p) != OK,
		    "not again");
		panic_if(len != len_again || memcmp(&addr, &again, len) != 0, "another one");
		panic_if(listen_address_is_local(text, &local, &p) != OK, "not for all");
		panic_if(addr.sa.sa_family == AF_INET &&
			local != (ntohl(addr.in.sin_addr.s_addr) >> 24 == 127),
		    "loopback");
	}
	free(text);
	return 0;
}
