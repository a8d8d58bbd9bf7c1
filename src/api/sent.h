/*
 * What an attempt has sent, as far as the store still knows it: its headers, which are kept
 * with it, and its body, which is made of the event again. Reads, decides nothing.
 */
#ifndef API_SENT_H
#define API_SENT_H

#include "api/call.h"
#include "domain/sign.h"
#include "store/attempts.h"
#include "store/events.h"

#define SENT_BODY_MAX (1u << 20)    /* bytes: of a longer one nothing is made here */
#define SENT_SHELL_MAX (64u << 10)  /* bytes of a body that a command for a shell has in it */
#define SENT_COMMAND_MAX (1u << 20) /* bytes of such a command */

/* Owned; sent_fini() it. */
struct sent {
	uint32_t number; /* of the attempt */
	bool found;      /* an attempt with its headers is */
	struct buf url;
	struct buf headers; /* as struct attempt_exchange has them */
	size_t body_bytes;
	struct buf body; /* empty where it is longer than SENT_BODY_MAX */
};

/*
 * Reads attempt `number` of the call's delivery, 0: the last one whose headers are kept. The
 * body is in the form that the webhook has now, if its type is that of then. ERR_NOTFOUND with
 * the problem in words, ERR_CORRUPT, the store's error.
 */
MUST_CHECK enum err sent_read(struct call *c, uint32_t number, struct sent *out);

void sent_fini(struct sent *s);

/*
 * Appends a command for a POSIX shell that has curl send the same again, whatever bytes it has.
 * Secrets are masks in it. A body over SENT_SHELL_MAX is read from a file "body".
 */
void sent_put_command(const struct sent *s, struct buf *out);

#endif
