/*
 * Random numbers: a seedable generator (xoshiro256**, Blackman and Vigna 2018)
 * for ids and jitter, so that tests repeat, and the system's own for secrets.
 */
#ifndef BASE_RND_H
#define BASE_RND_H

#include <stddef.h>
#include <stdint.h>

struct rnd {
	uint64_t s[4];
};

/* Seeds from one number (splitmix64); the same seed gives the same sequence. */
void rnd_seed(struct rnd *r, uint64_t seed);

/* Seeds from getrandom(2). */
void rnd_seed_system(struct rnd *r);

uint64_t rnd_next(struct rnd *r);

/* Fills `n` bytes from getrandom(2); a system that cannot give them ends the process. */
void rnd_secret(void *out, size_t n);

#endif
