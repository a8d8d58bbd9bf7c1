/*
 * A delivery: one event on its way to one webhook, and its record on disk.
 * Waiting and dead deliveries are on disk; being in flight is a matter of
 * memory alone, so that a crash makes it waiting again at its old due time.
 *
 *   publish          slot free               2xx
 *  ---------> WAITING ---------> (in flight) ------> DELIVERED
 *               ^  ^                 |
 *               |  '--- retry -------+
 *             replay                 |  schedule exhausted
 *               '------- DEAD <------'
 *
 * One that is over (delivered, expired, cancelled) may be sent again too: it waits anew.
 */
#ifndef DOMAIN_DELIVERY_H
#define DOMAIN_DELIVERY_H

#include <stdint.h>

#include "base/uuid.h"

enum delivery_status {
	DELIVERY_WAITING = 1,
	DELIVERY_DEAD = 2,
	DELIVERY_DELIVERED =
	    3, /* this and the next: settled, kept for as long as retention says */
	DELIVERY_EXPIRED = 4,
	DELIVERY_CANCELLED =
	    5, /* by hand, or its webhook was deleted, or its dead letter was dropped */
};

struct delivery {
	struct uuid id; /* the key; not part of the record */
	struct uuid event_id;
	uint64_t webhook;   /* the webhook's number */
	int64_t created_ms; /* wall */
	int64_t
	    place_ms; /* its place in the queue: the due time, or what it was first, in order */
	uint16_t lane;     /* of its webhook's queue (domain/lane.h), before its place */
	int64_t due_ms;    /* wall; when the next attempt may start */
	int64_t queued_ms; /* wall; when it was given that due time; once over: since when */
	uint32_t attempts; /* made so far, over all replays */
	uint32_t
	    replayed_at;  /* `attempts` when it was last replayed: the schedule starts there */
	uint32_t replays; /* how often it was sent again after it was over or dead */
	struct uuid letter; /* DELIVERY_DEAD: its dead letter; else all zero */
	enum delivery_status status;
};

#endif
