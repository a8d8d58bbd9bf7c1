/*
 * Carries what the dispatcher tells to the feed: the api, which owns the feed, and the
 * dispatcher know nothing of each other.
 */
#ifndef CLI_TELL_H
#define CLI_TELL_H

#include "api/feed.h"
#include "dispatch/dispatch.h"

/* The hooks of a dispatcher, whose `arg` is the feed. */
struct dispatch_hooks tell_hooks(struct feed *feed);

#endif
