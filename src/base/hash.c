/* XXH3, inlined here and nowhere else; see hash.h. */
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"

_Static_assert(HASH_KEY_SIZE == XXH3_SECRET_SIZE_MIN, "what XXH3 takes");

void hash_key_draw(struct hash_key *key)
{
	rnd_secret(key->bytes, sizeof(key->bytes));
}

uint64_t hash_checksum(const void *bytes, size_t len)
{
	return XXH3_64bits(bytes, len);
}

void hash_digest(const void *bytes, size_t len, unsigned char out[HASH_DIGEST_SIZE])
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, len));
	memcpy(out, canonical.digest, sizeof(canonical.digest));
}

uint64_t hash_seeded(uint64_t seed, const void *bytes, size_t len)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

uint64_t hash_keyed(const struct hash_key *key, const void *bytes, size_t len)
{
	return XXH3_64bits_withSecret(bytes, len, key->bytes, sizeof(key->bytes));
}

struct hash_sum {
	XXH3_state_t *state;
};

struct hash_sum *hash_sum_new(void)
{
	struct hash_sum *s = mem_new(sizeof(*s));
	s->state = XXH3_createState();
	panic_if(s->state == NULL || XXH3_64bits_reset(s->state) != XXH_OK, "no checksum");
	return s;
}

void hash_sum_free(struct hash_sum *s)
{
	if (s == NULL)
		return;
	(void)XXH3_freeState(s->state); /* cannot fail */
	free(s);
}

void hash_sum_add(struct hash_sum *s, const void *bytes, size_t len)
{
	panic_if(XXH3_64bits_update(s->state, bytes, len) != XXH_OK, "no checksum");
}

uint64_t hash_sum_get(const struct hash_sum *s)
{
	return XXH3_64bits_digest(s->state);
}
