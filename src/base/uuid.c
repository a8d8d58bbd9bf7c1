/*
 * UUIDs of RFC 9562; see uuid.h. Layout of version 7, most significant bit first:
 *
 *   48 unix_ts_ms | 4 version | 12 rand_a | 2 variant | 62 rand_b
 *
 * rand_a and rand_b together are one counter of 74 bits, so that ids compare as
 * bytes in the order in which they were made.
 */
#include "base/uuid.h"

#include "base/str.h"

#define HIGH_END 0x1000U       /* one past the largest value of rand_a */
#define LOW_END (1ULL << 62)   /* one past the largest value of rand_b */
#define HIGH_START_MASK 0x7ffU /* top counter bit zero: 2^73 ids of headroom */
#define VARIANT 0x80           /* RFC 9562 section 4.1 */
#define UUID_TEXT_LEN (UUID_TEXT_SIZE - 1)

static const uint8_t HYPHENS[] = {8, 13, 18, 23}; /* their places in the text */

static void set_version(struct uuid *id, unsigned version)
{
	id->bytes[6] = (uint8_t)(version << 4 | (id->bytes[6] & 0x0f));
	id->bytes[8] = (uint8_t)(VARIANT | (id->bytes[8] & 0x3f));
}

void uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE])
{
	static const uint8_t GROUPS[] = {4, 2, 2, 2, 6}; /* bytes between hyphens */
	const uint8_t *from = id->bytes;
	for (size_t i = 0; i < sizeof(GROUPS); i++) {
		str_hex(from, GROUPS[i], out);
		from += GROUPS[i];
		out += 2 * GROUPS[i];
		if (i + 1 < sizeof(GROUPS))
			*out++ = '-';
	}
}

void uuid_write(struct json_writer *w, const char *name, const struct uuid *id)
{
	char text[1 + UUID_TEXT_SIZE] = "\"";
	uuid_format(id, text + 1);
	text[1 + UUID_TEXT_LEN] = '"'; /* in the place of the NUL */
	json_write_raw(w, name, (struct slice){text, sizeof(text)});
}

enum err uuid_parse(struct slice text, struct uuid *out)
{
	struct uuid id = {0};
	size_t hyphen = 0;
	size_t digit = 0;
	if (text.len != UUID_TEXT_LEN)
		return ERR_SYNTAX;
	for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
		if (hyphen < sizeof(HYPHENS) && i == HYPHENS[hyphen]) {
			if (text.ptr[i] != '-')
				return ERR_SYNTAX;
			hyphen++;
			continue;
		}
		int value = str_hex_digit(text.ptr[i]);
		if (value < 0)
			return ERR_SYNTAX;
		id.bytes[digit / 2] = (uint8_t)(id.bytes[digit / 2] << 4 | value);
		digit++;
	}
	*out = id;
	return OK;
}

void uuid_random(struct uuid *out)
{
	rnd_secret(out->bytes, sizeof(out->bytes));
	set_version(out, 4);
}

/* Writes the 74 counted bits, wrapped to their width, and leaves the other 54 as they are. */
static void put_counter(struct uuid *id, uint64_t high, uint64_t low)
{
	id->bytes[6] = (uint8_t)((id->bytes[6] & 0xf0) | (high >> 8 & 0x0f));
	id->bytes[7] = (uint8_t)high;
	id->bytes[8] = (uint8_t)((id->bytes[8] & 0xc0) | (low >> 56 & 0x3f));
	for (size_t i = 9; i < UUID_SIZE; i++)
		id->bytes[i] = (uint8_t)(low >> (8 * (UUID_SIZE - 1 - i)));
}

void uuid_step(const struct uuid *base, uint32_t n, struct uuid *out)
{
	uint64_t high = (uint64_t)(base->bytes[6] & 0x0f) << 8 | base->bytes[7];
	uint64_t low = base->bytes[8] & 0x3f;
	for (size_t i = 9; i < UUID_SIZE; i++)
		low = low << 8 | base->bytes[i];
	low += n;
	*out = *base;
	put_counter(out, high + low / LOW_END, low % LOW_END);
}

void idgen_init(struct idgen *g, struct rnd *rnd)
{
	/* a used-up counter: the first take starts a millisecond of its own */
	*g = (struct idgen){.rnd = rnd, .high = HIGH_END};
}

void idgen_resume(struct idgen *g, const struct uuid *last)
{
	g->last_ms = uuid_time(last);
	g->high = HIGH_END; /* as if its millisecond were used up */
	g->low = 0;
}

/* Whether `count` more ids fit behind the counter; it may end exactly at 2^74. */
static bool has_room(const struct idgen *g, uint32_t count)
{
	uint64_t low = g->low + count;
	uint64_t high = g->high + low / LOW_END;
	return high < HIGH_END || (high == HIGH_END && low % LOW_END == 0);
}

static void start_ms(struct idgen *g, int64_t ms)
{
	g->last_ms = ms;
	g->high = rnd_next(g->rnd) & HIGH_START_MASK;
	g->low = rnd_next(g->rnd) % LOW_END;
}

void idgen_take(struct idgen *g, int64_t now_ms, uint32_t count, struct uuid *first)
{
	if (now_ms > g->last_ms)
		start_ms(g, now_ms);
	else if (!has_room(g, count))
		start_ms(g, g->last_ms + 1);
	*first = (struct uuid){0};
	uuid_set_time(first, g->last_ms);
	set_version(first, 7);
	put_counter(first, g->high, g->low);
	g->low += count;
	g->high += g->low / LOW_END;
	g->low %= LOW_END;
}

void uuid_set_time(struct uuid *id, int64_t wall_ms)
{
	for (size_t i = 0; i < 6; i++)
		id->bytes[i] = (uint8_t)(wall_ms >> (8 * (5 - i)));
}

int64_t uuid_time(const struct uuid *id)
{
	int64_t ms = 0;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id->bytes[i];
	return ms;
}
