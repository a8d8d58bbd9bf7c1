/*
 * Chunked bodies for the request gate; see gate_chunk.h. One function for what
 * varies, a table for the single bytes that must come:
 *
 *   SIZE -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *        -> LAST_SIZE_LF -> LAST_CR -> LAST_LF -> DONE
 */
#include "http/gate_chunk.h"

#include "base/str.h"

enum step {
	STEP_SIZE,
	STEP_DATA,
	STEP_SIZE_LF, /* from here on one byte a step */
	STEP_DATA_CR,
	STEP_DATA_LF,
	STEP_LAST_SIZE_LF,
	STEP_LAST_CR,
	STEP_LAST_LF,
	STEP_DONE,
};

#define DIGITS_MAX 8 /* 4 GiB, far over any body limit; keeps the sum below 2^64 */

static const char BAD_LINE_END[] = "A line must end with CR LF.";
static const char BAD_END[] = "A chunk must be as long as it says, then CR LF.";

static const struct {
	enum step next;
	char byte;
	const char *reason; /* when another byte comes */
} BYTES[] = {
    [STEP_SIZE_LF] = {STEP_DATA, '\n', BAD_LINE_END},
    [STEP_DATA_CR] = {STEP_DATA_LF, '\r', BAD_END},
    [STEP_DATA_LF] = {STEP_SIZE, '\n', BAD_END},
    [STEP_LAST_SIZE_LF] = {STEP_LAST_CR, '\n', BAD_LINE_END},
    [STEP_LAST_CR] = {STEP_LAST_LF, '\r', "No trailers may follow the last chunk."},
    [STEP_LAST_LF] = {STEP_DONE, '\n', BAD_LINE_END},
};

static const char *refuse(struct gate_chunk *c, const char *at, short status,
    const char *reason)
{
	c->status = status;
	c->reason = reason;
	return at;
}

/* Takes one byte of a chunk's size, or the CR after it. */
static const char *take_size(struct gate_chunk *c, const char *p)
{
	int digit = str_hex_digit(*p);
	if (digit >= 0 && c->digits < DIGITS_MAX) {
		c->left = c->left * 16 + (uint64_t)digit;
		c->digits++;
		return p + 1;
	}
	if (*p != '\r' || c->digits == 0)
		return refuse(c, p, 400, "A chunk's size must be 1 to 8 hex digits alone.");
	c->received += c->left;
	if (c->received > c->max)
		return refuse(c, p, 413, "The body has too many bytes.");
	c->digits = 0;
	c->step = c->left > 0 ? STEP_SIZE_LF : STEP_LAST_SIZE_LF;
	return p + 1;
}

uint64_t gate_chunk_data(const struct gate_chunk *c)
{
	return c->step == STEP_DATA ? c->left : 0;
}

void gate_chunk_skip(struct gate_chunk *c, uint64_t n)
{
	c->left -= n;
	if (c->left == 0)
		c->step = STEP_DATA_CR;
}

static const char *take_data(struct gate_chunk *c, const char *p, const char *end)
{
	uint64_t n = (uint64_t)(end - p) < c->left ? (uint64_t)(end - p) : c->left;
	gate_chunk_skip(c, n);
	return p + n;
}

static const char *take_byte(struct gate_chunk *c, const char *p)
{
	unsigned char step = c->step;
	if (*p != BYTES[step].byte)
		return refuse(c, p, 400, BYTES[step].reason);
	c->step = (unsigned char)BYTES[step].next;
	return p + 1;
}

void gate_chunk_init(struct gate_chunk *c, uint64_t max)
{
	*c = (struct gate_chunk){.max = max, .step = STEP_SIZE};
}

enum gate_chunk_state gate_chunk_feed(struct gate_chunk *c, const char *bytes, size_t n,
    size_t *used)
{
	const char *p = bytes;
	const char *end = bytes + n;
	while (p < end && c->step != STEP_DONE && c->status == 0) {
		if (c->step == STEP_SIZE)
			p = take_size(c, p);
		else if (c->step == STEP_DATA)
			p = take_data(c, p, end);
		else
			p = take_byte(c, p);
	}
	*used = (size_t)(p - bytes);
	if (c->status != 0)
		return GATE_CHUNK_REFUSED;
	return c->step == STEP_DONE ? GATE_CHUNK_DONE : GATE_CHUNK_MORE;
}
