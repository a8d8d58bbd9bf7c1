/*
 * What an attempt can lack that is ours to have: then its receiver is not to blame for what
 * came of it. Knows the system's errors, and which allocations have failed.
 */
#ifndef COURIER_SHORTAGE_H
#define COURIER_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum shortage {
	SHORT_OF_NOTHING,
	SHORT_OF_DESCRIPTORS, /* of this process, or of the system */
	SHORT_OF_MEMORY,
	SHORT_OF_RESOLVER, /* a name could not be looked up: no name server could be asked */
	SHORT_OF_PORTS,    /* of this machine, to connect to that address from */
};
#define SHORTAGES 5

/* "descriptors", …; "nothing". */
extern const char *const SHORTAGE_NAMES[SHORTAGES];

/* Whether whoever tries next lacks it too, whatever the address. */
bool shortage_is_everybodys(enum shortage s);

/* What was lacking where a system call ended with this errno. */
enum shortage shortage_of_errno(int error);

/*
 * What was lacking where no connection to `to` came to stand, for this errno. EADDRNOTAVAIL,
 * no address to connect from, is a shortage where the ports have run out, and none where there
 * is no way to `to`: it finds out by trying.
 */
enum shortage shortage_of_connect(int error, const struct sockaddr *to);

/* Whether no descriptor can be had now. It tries to get one: ask after a failure. */
bool shortage_is_of_descriptors(void);

/*
 * malloc() and the like for libraries, which count what they could not give: that a library
 * says "out of memory" is no proof. curl does so of an answer too, whose header line is too
 * long for it.
 */
void *shortage_malloc(size_t bytes);
void *shortage_realloc(void *old, size_t bytes);
void *shortage_calloc(size_t count, size_t bytes);
char *shortage_strdup(const char *text);

/* How many times they could not. */
uint64_t shortage_allocations(void);

#endif
