/* Errors of our own; see shortage.h. */
#include "courier/shortage.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const SHORTAGE_NAMES[SHORTAGES] = {
    [SHORT_OF_NOTHING] = "nothing",
    [SHORT_OF_DESCRIPTORS] = "descriptors",
    [SHORT_OF_MEMORY] = "memory",
    [SHORT_OF_RESOLVER] = "resolver",
    [SHORT_OF_PORTS] = "ports",
};

static atomic_uint_fast64_t failed; /* allocations; curl's threads make some */

bool shortage_is_everybodys(enum shortage s)
{
	return s == SHORT_OF_DESCRIPTORS || s == SHORT_OF_MEMORY;
}

enum shortage shortage_of_errno(int error)
{
	if (error == EMFILE || error == ENFILE)
		return SHORT_OF_DESCRIPTORS;
	if (error == ENOMEM || error == ENOBUFS)
		return SHORT_OF_MEMORY;
	return SHORT_OF_NOTHING;
}

/* Whether datagrams could be sent to `to`, which takes an address and no port of TCP's. */
static bool has_way(const struct sockaddr *to)
{
	socklen_t len = to->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6);
	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool has = connect(fd, to, len) == 0;
	(void)close(fd); /* nothing was sent */
	return has;
}

enum shortage shortage_of_connect(int error, const struct sockaddr *to)
{
	if (error == EADDRNOTAVAIL && has_way(to))
		return SHORT_OF_PORTS;
	return shortage_of_errno(error);
}

bool shortage_is_of_descriptors(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);
	if (fd < 0)
		return shortage_of_errno(errno) == SHORT_OF_DESCRIPTORS;
	(void)close(fd); /* was only asked for */
	return false;
}

/* Counts an allocation of `bytes` that gave `made`, and returns that. */
static void *note(void *made, size_t bytes)
{
	if (made == NULL && bytes > 0)
		atomic_fetch_add(&failed, 1);
	return made;
}

void *shortage_malloc(size_t bytes)
{
	return note(malloc(bytes), bytes);
}

void *shortage_realloc(void *old, size_t bytes)
{
	return note(realloc(old, bytes), bytes);
}

void *shortage_calloc(size_t count, size_t bytes)
{
	return note(calloc(count, bytes), count > 0 ? bytes : 0);
}

char *shortage_strdup(const char *text)
{
	return note(strdup(text), 1);
}

uint64_t shortage_allocations(void)
{
	return atomic_load(&failed);
}
