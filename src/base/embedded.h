/*
 * Files that are compiled into the program: those that the Makefile lists as EMBED, put into
 * build/VARIANT/embedded.c by etc/embed.
 *
 * It never: reads a file system, knows what a file is about.
 */
#ifndef BASE_EMBEDDED_H
#define BASE_EMBEDDED_H

#include <stddef.h>

#include "base/slice.h"

struct embedded {
	const char *name; /* by which it is found, "ui/app.js" */
	const char *etag; /* in its quotes; another one with other content */
	const unsigned char *bytes;
	size_t len;
};

extern const struct embedded EMBEDDED[]; /* of embedded.c, which is made */
extern const size_t EMBEDDED_COUNT;

/* Finds a file; NULL where there is none of that name. */
const struct embedded *embedded_find(struct slice name);

#endif
