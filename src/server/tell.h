/*
 * Carries what the dispatcher tells to the feed: the api, which owns the feed, and the
 * dispatcher know nothing of each other.
 */
#ifndef SERVER_TELL_H
#define SERVER_TELL_H

#include "dispatch/dispatch.h"
#include "feed/feed.h"

/* The hooks of a dispatcher, whose `arg` is the feed. */
struct dispatch_hooks tell_hooks(struct feed *feed);

#endif
