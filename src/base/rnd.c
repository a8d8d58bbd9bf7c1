/* xoshiro256** with splitmix64 seeding; source: prng.di.unimi.it. */
#include "base/rnd.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/log.h"

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void rnd_seed(struct rnd *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&seed);
}

void rnd_seed_system(struct rnd *r)
{
	uint64_t seed = 0;
	rnd_secret(&seed, sizeof(seed));
	rnd_seed(r, seed);
}

uint64_t rnd_next(struct rnd *r)
{
	uint64_t *s = r->s;
	const uint64_t result = rotl(s[1] * 5, 7) * 9;
	const uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

void rnd_secret(void *out, size_t n)
{
	char *p = out;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		panic_if(got <= 0, "getrandom failed");
		p += got;
		n -= (size_t)got;
	}
}
