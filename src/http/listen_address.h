/*
 * Where a server listens, as operators write it: ADDRESS:PORT, [IPV6]:PORT, either of them
 * behind "tls:", or unix:PATH.
 */
#ifndef HTTP_LISTEN_ADDRESS_H
#define HTTP_LISTEN_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "domain/problem.h"

union listen_address {
	struct sockaddr sa;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

/* Parses `where`; no name is looked up, port 0 stands for any. ERR_INVALID. */
MUST_CHECK enum err listen_address_parse(const char *where, union listen_address *addr,
    socklen_t *len, struct problem *p);

/* Whether `where` can be reached from this machine alone: loopback or unix. ERR_INVALID. */
MUST_CHECK enum err listen_address_is_local(const char *where, bool *local, struct problem *p);

/* Whether `where`, which can be parsed, is for TLS. */
bool listen_address_is_tls(const char *where);

/*
 * Writes what `listen` would say for what `fd` is bound to, "tls:[::1]:8443" or "unix:PATH",
 * with an @ for the first byte of an abstract name; the caller frees it. NULL where `listen`
 * has no words for it.
 */
char *listen_address_name(int fd, bool is_tls);

/* Writes how clients name what `fd` is bound to, "http://[::1]:8080"; the caller frees it. */
char *listen_address_show(int fd, const char *where);

#endif
