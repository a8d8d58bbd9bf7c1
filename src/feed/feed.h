/*
 * The feed: what happened of late, in memory, for those who watch (GET /api/v1/events/stream).
 *
 *   publish handlers ─┐                       ┌─▶ reader (its position, its filter)
 *                     ├─▶ feed_tell() ─▶ ring ┼─▶ reader
 *   dispatch ─────────┘                       └─▶ reader
 *
 * A happening is told after its commit, and copied into a ring that forgets the oldest. It
 * becomes text only when a reader comes to it, once for all of them. A reader is no more than
 * its position in the ring, so who reads slowly costs nothing: what the ring has forgotten
 * meanwhile becomes a gap.
 *
 * It never: writes anything to disk, knows of connections, holds more than its limits.
 */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "domain/name.h"
#include "domain/problem.h"
#include "store/registry.h"

#define FEED_CAPACITY 4096         /* happenings: some 2 MiB */
#define FEED_TEXT_BYTES (4u << 20) /* of their texts */
#define FEED_ERROR_SIZE 128        /* bytes of an error in words, a NUL among them */
#define FEED_ID_SIZE 48            /* two numbers, a dash and a NUL */

enum happening_type {
	HAPPENING_PUBLISHED,
	HAPPENING_DELIVERED,
	HAPPENING_RETRYING,
	HAPPENING_DEAD,
	HAPPENING_EXPIRED,
	HAPPENING_CANCELLED,
	HAPPENING_DISABLED, /* a webhook was */
	HAPPENING_TYPES,
};

/* What does not apply is zero, and left out of the text. */
struct happening {
	enum happening_type type;
	int64_t at_ms;    /* wall */
	uint64_t webhook; /* its number, by which its URL is found */
	int64_t duration_us;
	int64_t next_ms; /* wall; of the next attempt */
	uint32_t attempt;
	int status;     /* of HTTP */
	bool has_event; /* event_id counts; the same for the two below */
	bool has_delivery;
	bool has_webhook;
	struct uuid event_id;
	struct uuid delivery_id;
	struct uuid webhook_id;
	char session[SESSION_MAX + 1];
	char event[EVENT_MAX + 1];
	char error[FEED_ERROR_SIZE];
};

struct feed_conf {
	size_t capacity;                 /* happenings that are kept */
	size_t text_bytes;               /* of their texts that are kept */
	int64_t start_ms;                /* wall; names this run in the ids of messages */
	const struct registry *registry; /* borrowed */
};

/* Which happenings a reader wants. */
struct feed_filter {
	char session[SESSION_MAX + 1]; /* empty: any */
	bool has_webhook;
	struct uuid webhook;
	uint32_t types; /* a bit for each type; 0: all */
	/* whether the reader may see this session; NULL: it may see all */
	bool (*reaches)(const void *arg, struct slice session);
	const void *arg;
};

struct feed;

struct feed *feed_new(const struct feed_conf *conf);
void feed_free(struct feed *f);

/* Keeps a copy of `h`; drops the oldest ones where there is no room. */
void feed_tell(struct feed *f, const struct happening *h);

/* Tells that `w` was disabled at `now_ms`, wall, and why. */
void feed_tell_disabled(struct feed *f, const struct webhook *w, int64_t now_ms);

/* Has `news` called with each feed_tell(); NULL: nobody watches. */
void feed_watch(struct feed *f, void (*news)(void *arg), void *arg);

/* The position behind all that has happened: where a new reader starts. */
uint64_t feed_end(const struct feed *f);

/*
 * Finds the position behind the message `last_id`. For one of another run, or none that this
 * one has made, it is the oldest that is kept, and a gap of unknown size is appended to `out`.
 */
uint64_t feed_resume(const struct feed *f, struct slice last_id, struct buf *out);

/*
 * Appends the messages from *position on that `filter` wants, behind a gap where some are
 * forgotten, and moves *position behind them. Stops once `out` holds `bytes` or more.
 */
void feed_read(struct feed *f, const struct feed_filter *filter, uint64_t *position,
    size_t bytes, struct buf *out);

/* Appends the line that tells a reader at `position` how far it has come. */
void feed_put_position(const struct feed *f, uint64_t position, struct buf *out);

/* Reads names of types separated by commas. ERR_INVALID with the problem in words. */
MUST_CHECK enum err feed_parse_types(struct slice text, uint32_t *types, struct problem *p);

#endif
