/*
 * Files that are compiled into the program: those that the Makefile lists as EMBED, put into
 * build/VARIANT/embedded.c by etc/embed.
 *
 * It never: reads a file system, knows what a file is about.
 */
#ifndef API_EMBEDDED_H
#define API_EMBEDDED_H

#include <stddef.h>

#include "api/call.h"

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

/*
 * Answers with the file: its type by its name's ending, to be asked for again each time
 * (`Cache-Control: no-cache`), 304 where If-None-Match has its ETag. `f` NULL: 404. Ends the
 * call; headers that were added before go with the answer.
 */
void embedded_reply(struct call *c, const struct embedded *f);

#endif
