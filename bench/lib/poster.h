/*
 * curl's multi interface in a libevent loop, posting to one URL what has the headers of a
 * signed delivery. It is as bare as such a thing can be: no limits, no retries, no policy;
 * a request that fails ends the program.
 *
 * Each handle is kept for the next request. With POSTER_REUSED only what differs is set:
 * body and headers, whose list is kept too. With POSTER_ANEW the handle is reset, all
 * options are set and the list is made for each request, as is done first by whoever reads
 * curl's examples.
 */
#ifndef BENCH_POSTER_H
#define BENCH_POSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct event_base;
struct poster;
struct sign_key;

enum poster_mode { POSTER_REUSED, POSTER_ANEW };

/* Called when a request was answered 2xx, from within the loop, perhaps many times a pass. */
typedef void (*poster_fn)(void *arg, void *tag);

struct poster_conf {
	struct event_base *base;
	const char *url;
	enum poster_mode mode;
	unsigned in_flight; /* at most */
	struct sign_key
	    *secret; /* NULL: signatures of the same length that are always the same */
	poster_fn done;
	void *arg;
};

/* `conf` and what it points to must outlive the poster; nothing may be in flight at the end. */
struct poster *poster_new(const struct poster_conf *conf);
void poster_free(struct poster *p);

/* True while fewer than in_flight are. */
bool poster_has_room(const struct poster *p);

/* Starts a request, where there is room; `body` must stay until `tag` is done. */
void poster_send(struct poster *p, uint64_t id, struct slice body, void *tag);

#endif
