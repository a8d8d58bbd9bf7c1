/*
 * The parts that waybill is made of, each alone and as bare as it can be, and the bare loop
 * of them all: what its own figures are read against. Whatever fails ends the program.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "poster.h"

struct part {
	const char *url;    /* of the receiver of deliveries */
	const char *secret; /* of their signatures */
	const char *dir;    /* a file is made below it, on the disk that counts */
	double seconds;     /* work is begun for so long, … */
	uint64_t count;     /* … and no more than so much */
	enum poster_mode mode;
	unsigned in_flight;
	size_t body;     /* bytes of a delivery, and of an event on disk */
	uint64_t commit; /* events in a transaction */
};

/* evhttp alone answers 202 to each POST, on a port it prints, until SIGTERM. */
void part_evhttp(const struct part *p);

/* curl's multi interface alone posts to the receiver; returns how many in how long. */
uint64_t part_curl(const struct part *p, double *seconds);

/*
 * LMDB alone puts an event and its queue row and deletes both again, in synced commits of so
 * many as `commit` says; returns how many events in how long.
 */
uint64_t part_lmdb(const struct part *p, double *seconds);

/* Signs deliveries alone, in both forms of a signature; returns how many in how long. */
uint64_t part_sign(const struct part *p, double *seconds);

/*
 * All of them in one loop, as one would write it first: each POST of a pass is put in the
 * store, and each delivery that ended deleted, in one synced commit at its end; then the 202s
 * are sent and deliveries started, signed, all curl options set anew. What waits for its
 * turn waits in memory. No retries, no limits, one receiver. Until SIGTERM.
 */
void part_loop(const struct part *p);

#endif
