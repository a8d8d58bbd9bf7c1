/*
 * The part of the request gate that reads a chunked body (RFC 9112 7.1): sizes of
 * one to eight hex digits, CR LF exactly where it belongs, no chunk extensions,
 * no trailers. A pure scanner, as gate.h is.
 */
#ifndef HTTP_GATE_CHUNK_H
#define HTTP_GATE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

struct gate_chunk {
	uint64_t received;  /* bytes of all chunks so far, announced ones included */
	uint64_t max;       /* `received` may not pass it */
	uint64_t left;      /* bytes of this chunk still to come, or its size as read so far */
	const char *reason; /* once refused: an English sentence for the client, constant */
	short status;       /* once refused: 400 or 413, else 0 */
	unsigned char step;
	unsigned char digits; /* of this chunk's size so far */
};

enum gate_chunk_state { GATE_CHUNK_MORE, GATE_CHUNK_DONE, GATE_CHUNK_REFUSED };

/* Starts a body of at most `max` bytes, which must be below 2^62. */
void gate_chunk_init(struct gate_chunk *c, uint64_t max);

/*
 * Scans `bytes` until they are used up, the body ends or it is refused; *used says
 * how many belong to it. Once done or refused it may not be called again.
 */
enum gate_chunk_state gate_chunk_feed(struct gate_chunk *c, const char *bytes, size_t n,
    size_t *used);

/* How many of the next bytes are a chunk's data, whatever they are; and passes `n` of them. */
uint64_t gate_chunk_data(const struct gate_chunk *c);
void gate_chunk_skip(struct gate_chunk *c, uint64_t n);

#endif
