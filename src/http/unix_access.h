/* Who may use a unix socket, as operators write it: an octal mode, and USER:GROUP. */
#ifndef HTTP_UNIX_ACCESS_H
#define HTTP_UNIX_ACCESS_H

#include <sys/types.h>

#include "domain/problem.h"

struct unix_access {
	mode_t mode;
	uid_t uid; /* (uid_t)-1: who runs the process */
	gid_t gid; /* (gid_t)-1: that one's group */
};

/*
 * Reads `mode`, octal and at most 0777, and `owner`: "USER", "USER:GROUP" or ":GROUP", names
 * or numbers; NULL leaves it as it is made. Looks names up: for the start, not for the loop.
 * ERR_INVALID, or ERR_NOTFOUND for a name that the system does not know.
 */
MUST_CHECK enum err unix_access_parse(const char *mode, const char *owner,
    struct unix_access *out, struct problem *p);

#endif
