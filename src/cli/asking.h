/*
 * One call of a gateway's API after another, for commands that are done when these are: each
 * waits for its answer.
 */
#ifndef CLI_ASKING_H
#define CLI_ASKING_H

#include "base/buf.h"
#include "base/reactor.h"
#include "cli/remote.h"

#define ASKING_MAX (2u << 20) /* bytes of an answer; above a page of any list */

struct asking {
	struct remote remote; /* set by the caller, as the next */
	const char *command; /* "waybill source add": what words on standard error begin with */
	struct reactor *reactor;
	struct client *client;
	struct buf answer;    /* as it comes */
	struct buf canonical; /* the same, read: an object; until the next call */
	bool done;
	bool good; /* a 2xx with an object */
};

/* Makes what calls need; asking_close() frees it. */
void asking_open(struct asking *a);
void asking_close(struct asking *a);

/*
 * Makes the call: `path` behind the gateway's URL, /api/v1/…, a body where it is not empty.
 * False, with a word on standard error, where it did not succeed.
 */
bool asking_call(struct asking *a, const char *method, const char *path, struct slice body);

/* Prints it; false where standard output is gone, or it has not fitted. Empties it. */
bool asking_print(struct buf *out);

/* Appends what a string says, or any other value's JSON, as one line; "-" for null or nothing.
 */
void asking_put_value(struct buf *out, struct slice value);

#endif
