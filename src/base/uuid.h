/*
 * Identifiers: UUIDs of RFC 9562 in canonical text form. Webhook ids are
 * version 4, event, delivery and dead-letter ids version 7, made by one
 * generator whose ids only ever grow. Several ids taken at once are
 * consecutive numbers: the deliveries of an event are the range behind its id.
 */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/json_write.h"
#include "base/rnd.h"
#include "base/slice.h"

#define UUID_SIZE 16
#define UUID_TEXT_SIZE 37 /* 36 characters and a NUL */

struct uuid {
	uint8_t bytes[UUID_SIZE];
};

/* The bytes of an id, borrowed: as a key they sort in the order of version 7 ids. */
static inline struct slice uuid_slice(const struct uuid *id)
{
	return (struct slice){.ptr = (const char *)id->bytes, .len = UUID_SIZE};
}

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE) == 0;
}

/* Whether `a` comes before `b` in the order of version 7 ids: of their making. */
static inline bool uuid_before(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE) < 0;
}

/* Writes the canonical lower-case form with its NUL. */
void uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE]);

/* Writes it as JSON; see json_write.h. */
void uuid_write(struct json_writer *w, const char *name, const struct uuid *id);

/* Reads the canonical form, either case; any version. ERR_SYNTAX. */
MUST_CHECK enum err uuid_parse(struct slice text, struct uuid *out);

/* Makes a random id, version 4 (RFC 9562 section 5.4), from the system's random bytes. */
void uuid_random(struct uuid *out);

/* The time in a version 7 id: wall milliseconds (its first 48 bits). */
int64_t uuid_time(const struct uuid *id);

/*
 * Sets that time and leaves the rest: with zeros behind it is below all ids of the millisecond,
 * with ones above them.
 */
void uuid_set_time(struct uuid *id, int64_t wall_ms);

/* The id `n` places behind `base` within its 74 counted bits (rand_a, rand_b). */
void uuid_step(const struct uuid *base, uint32_t n, struct uuid *out);

/*
 * Makes version 7 ids (RFC 9562 section 5.7, counter method 6.2.2): 48 bits of
 * milliseconds, then 74 bits that start at random in each new millisecond and
 * count up within it. A clock that steps back continues the last millisecond.
 */
struct idgen {
	struct rnd *rnd; /* borrowed */
	int64_t last_ms;
	uint64_t high; /* the 12 counted bits of rand_a */
	uint64_t low;  /* the 62 counted bits of rand_b */
};

void idgen_init(struct idgen *g, struct rnd *rnd);

/*
 * Goes on behind `last`, a version 7 id of an earlier run, even if the clock stands before
 * it.
 */
void idgen_resume(struct idgen *g, const struct uuid *last);

/* Takes `count` consecutive ids; *first and uuid_step(first, 1 … count-1) are the caller's. */
void idgen_take(struct idgen *g, int64_t now_ms, uint32_t count, struct uuid *first);

#endif
