/* XXH3, inlined here and nowhere else; see hash.h. */
#include "base/hash.h"

#include <xxhash.h>

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

uint64_t hash_keyed(const struct hash_key *key, const void *bytes, size_t len)
{
	return XXH3_64bits_withSecret(bytes, len, key->bytes, sizeof(key->bytes));
}
