/*
 * The request gate answers the same however the bytes are cut: whole, byte by
 * byte, and in pieces whose sizes the input's first byte chooses; and where the
 * data of bodies is passed without being shown. The rest of the input is a
 * connection's bytes, request after request.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/gate.h"

/* Small enough for the fuzzer to reach them. */
static const struct gate_limits LIMITS = {
    .line_max = 64,
    .head_max = 256,
    .headers_max = 6,
    .body_max = 300,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Feeds one message in pieces of at most `piece` bytes, which must be over 0. */
static enum gate_state run(struct gate *g, const char *bytes, size_t n, size_t piece,
    size_t *used)
{
	enum gate_state state = GATE_HEAD;
	gate_init(g, &LIMITS);
	*used = 0;
	while (*used < n && (state == GATE_HEAD || state == GATE_BODY)) {
		size_t len = n - *used < piece ? n - *used : piece;
		size_t step = 0;
		state = gate_feed(g, bytes + *used, len, &step);
		must(step == len || (step < len && state >= GATE_DONE));
		*used += step;
	}
	must((state == GATE_REFUSED) == (g->status != 0 && g->reason != NULL));
	return state;
}

/* The same, but that it sees nothing of the data of a body. */
static enum gate_state run_blind(struct gate *g, const char *bytes, size_t n, size_t piece,
    size_t *used)
{
	enum gate_state state = GATE_HEAD;
	gate_init(g, &LIMITS);
	*used = 0;
	while (*used < n && (state == GATE_HEAD || state == GATE_BODY)) {
		size_t len = n - *used < piece ? n - *used : piece;
		size_t blind = gate_data(g) < len ? (size_t)gate_data(g) : len;
		size_t step = 0;
		state = gate_skip(g, blind);
		if (blind < len && state < GATE_DONE)
			state = gate_feed(g, bytes + *used + blind, len - blind, &step);
		*used += blind + step;
	}
	return state;
}

/* What a request that was let through can't hold. */
static void check_head(const char *bytes, size_t n)
{
	const char *end = memmem(bytes, n, "\r\n\r\n", 4);
	must(end != NULL);
	for (const char *p = bytes; p < end; p++) {
		must((*p >= ' ' && *p <= '~') || *p == '\t' || *p == '\r' || *p == '\n');
		must((*p == '\r') == (p[1] == '\n'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	size_t piece = 1 + (size_t)data[0] % 16;
	const char *bytes = (const char *)data + 1;
	size_t left = size - 1;
	enum gate_state state = GATE_DONE;
	while (left > 0 && state == GATE_DONE) {
		size_t used[4];
		struct gate g[4];
		state = run(&g[0], bytes, left, left, &used[0]);
		must(run(&g[1], bytes, left, 1, &used[1]) == state && used[1] == used[0]);
		must(run(&g[2], bytes, left, piece, &used[2]) == state && used[2] == used[0]);
		must(run_blind(&g[3], bytes, left, piece, &used[3]) == state &&
		    used[3] == used[0]);
		for (int i = 1; i < 4; i++)
			must(g[i].reason == g[0].reason);
		if (state == GATE_DONE)
			check_head(bytes, used[0]);
		bytes += used[0];
		left -= used[0];
	}
	return 0;
}
