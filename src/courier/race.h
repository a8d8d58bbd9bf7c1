/*
 * Several addresses of one receiver, tried in turn until a connection stands (RFC 8305): the
 * next one RACE_STEP_MS after the one before, or at once where that has failed; those that
 * were begun go on beside it. The first address is somebody else's to try.
 *
 * Takers share RACE_SOCKETS sockets (shares/share.h); one race may have RACE_OWN of them. Over
 * its share, the oldest of the taker's own that has had RACE_STEP_MS gives up its slot; for a
 * taker that has none the oldest of all does. Until there is one the newcomer waits, which is
 * no shortage; so it does while descriptors are short. It knows no HTTP and judges no address.
 */
#ifndef COURIER_RACE_H
#define COURIER_RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reactor.h"
#include "courier/failures.h"
#include "courier/route.h"
#include "courier/shortage.h"

#define RACE_STEP_MS 250 /* Source: RFC 8305 §5, "Connection Attempt Delay" */
#define RACE_SOCKETS 128
#define RACE_OWN 3

/* Called from the loop, with `arg`; each may stop the race, none may free it. */
struct race_hooks {
	/* Asked before an address is tried: whether none is needed any more. */
	bool (*is_over)(void *arg);
	/*
	 * A connection stands and is the callee's, nonblocking; the race has stopped.
	 * connect(2) has not said so yet: called again it returns 0, once.
	 */
	void (*won)(void *arg, int fd, const union lookup_address *to);
	/* All have failed. */
	void (*lost)(void *arg);
	void *arg;
};

/* What races share. */
struct races;

/* `failures` is borrowed, and told. */
struct races *races_new(struct reactor *r, struct failures *failures);

/* Frees it, after all races. NULL is fine. */
void races_free(struct races *rs);

struct race;

/* `route` is borrowed: the addresses that it still has are tried. */
struct race *race_new(struct races *rs, struct route *route, const struct race_hooks *hooks);
void race_free(struct race *r);

/*
 * Begins with the next address in RACE_STEP_MS; nothing where there is none. `taker`: for whom,
 * as lookups have it.
 */
void race_start(struct race *r, uint16_t port, uint64_t taker);

/*
 * The address that somebody else has tried has failed: the next one is tried at once. Returns
 * false where there is none and nothing is under way; else a hook is called.
 */
bool race_hurry(struct race *r);

/* Tries nothing more and closes what is under way. */
void race_stop(struct race *r);

/* What was lacking for an address that the race, not stopped yet, could not try. */
enum shortage race_shortage(const struct race *r);

#endif
