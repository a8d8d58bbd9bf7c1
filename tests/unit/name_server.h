/*
 * A name server for tests, on the same loop as who asks it: 127.0.0.1, UDP and TCP on one port.
 * It answers from a table, and counts what it is asked.
 */
#ifndef TESTS_UNIT_NAME_SERVER_H
#define TESTS_UNIT_NAME_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reactor.h"

/* A row: what is said of a name, or of all that end in it where it begins with a dot. */
struct record {
	const char *name;
	const char *ipv4[4]; /* addresses; NULL ends them */
	const char *ipv6[4];
	uint32_t ttl_s;
	unsigned rcode;
	bool silent;     /* nothing is said */
	bool by_tcp;     /* over UDP that there is more than fits */
	size_t repeated; /* so many further IPv4 addresses, 10.0.0.0 and up */
};

struct name_server;

/* `records` is borrowed and may change; it ends with a row without a name. */
struct name_server *name_server_new(struct reactor *r, const struct record *records);
void name_server_free(struct name_server *s);

/* Where it is: "127.0.0.1:PORT". */
const char *name_server_address(const struct name_server *s);

/* How often it was asked for the IPv4 addresses of `name`, or of all that ends in it. */
size_t name_server_asked(const struct name_server *s, const char *name);

#endif
