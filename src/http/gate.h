/*
 * A strict reader of HTTP/1.1 requests that stands in front of evhttp's lax one
 * and looks at every byte first. It keeps nothing of a request; it only says
 * where one ends and whether its framing can be read in one way alone
 * (RFC 9112, and stricter where evhttp reads something else than the RFC says).
 * A pure scanner: no socket, no clock, no allocation. Its answer does not depend
 * on how the bytes were cut into pieces.
 *
 * What it lets through: GET HEAD POST PUT PATCH DELETE OPTIONS, HTTP/1.1 with
 * exactly one Host or HTTP/1.0, a body only for POST PUT PATCH, framed by one
 * Content-Length or by `Transfer-Encoding: chunked`, never both. No folded
 * lines, no space before a colon, no bare CR or LF, no control bytes, no bytes
 * over 0x7e, no chunk extensions, no trailers.
 */
#ifndef HTTP_GATE_H
#define HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/gate_chunk.h"

struct gate_limits {
	size_t line_max;      /* bytes of the request line without its CRLF */
	size_t head_max;      /* bytes of the request line and all headers, CRLFs included;
	                         must be over line_max */
	unsigned headers_max; /* header lines */
	uint64_t body_max;    /* bytes of a body, without the framing of chunks */
};

enum gate_state {
	GATE_HEAD,    /* before or inside the head */
	GATE_BODY,    /* the head is good, the body is not complete */
	GATE_DONE,    /* the request is complete */
	GATE_REFUSED, /* nothing more may be read from this connection */
};

/* Room for every name and value that is compared, and for Transfer-Encoding disguised. */
#define GATE_TOKEN_MAX 32

struct gate {
	/* For callers to read. */
	const char *reason; /* once refused: an English sentence for the client, constant */
	uint64_t allowed;   /* once refused for being over a limit: that limit, else 0 */
	uint64_t length;    /* once past the head: the Content-Length, 0 without one */
	short status;       /* once refused: 400 413 414 417 431 501 505 */
	bool is_chunked;    /* once past the head */
	/*
	 * Bytes of an empty line before the request line, 0 to 2. evhttp refuses them, so
	 * the caller takes them out of its input and sets this back to 0.
	 */
	unsigned char leading;
	bool wants_continue; /* once past the head: a body follows only after a 100 */
	size_t head;         /* bytes of the head so far, without `leading` */

	/* Private. */
	unsigned char step;   /* what the next byte is */
	unsigned char header; /* which of the known headers the line is */
	unsigned char method;
	unsigned char seen;      /* known headers so far, a bit each */
	unsigned char version;   /* minor: HTTP/1.0 or HTTP/1.1 */
	unsigned char token_len; /* GATE_TOKEN_MAX + 1: longer than can be kept */
	bool has_gap;            /* spaces were read that may turn out to end the value */
	char token[GATE_TOKEN_MAX];
	unsigned headers; /* lines so far */
	uint64_t left;    /* bytes of a body with a length still to come */
	struct gate_chunk chunk;
	const struct gate_limits *limits;
};

/* Starts a message. `limits` is borrowed and must stay; body_max must be below 2^62. */
void gate_init(struct gate *g, const struct gate_limits *limits);

/*
 * Scans `bytes` until they are used up, the message ends or it is refused.
 * *used: bytes that belong to the message; after GATE_DONE the rest belongs to
 * the next one (gate_init() again). Once done or refused it stays so and uses nothing.
 */
enum gate_state gate_feed(struct gate *g, const char *bytes, size_t n, size_t *used);

/*
 * How many of the bytes that come next are a body's, and mean nothing: they need not be shown,
 * gate_skip() passes `n` of them in their place, at most so many.
 */
uint64_t gate_data(const struct gate *g);
enum gate_state gate_skip(struct gate *g, uint64_t n);

/* Whether no byte of the message has come yet: an idle connection, not a slow one. */
bool gate_is_idle(const struct gate *g);

#endif
