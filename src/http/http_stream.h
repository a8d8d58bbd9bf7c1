/*
 * Answers whose length nobody knows: sent in pieces, at the pace of who reads them. For
 * copies of the store; anything that goes on for long can use it.
 *
 *   http_stream_begin() ─▶ http_stream_send() ─▶ … drained() ─▶ http_stream_send() …
 *                                                           └─▶ http_stream_end()
 *
 * The connection is closed behind it, since it must not wait for a next request on the
 * chance that this one ends. A stream that was cut short lacks HTTP's own end mark.
 *
 * It never: keeps more than what was given to it, waits for a reader beyond `stall_ms`,
 * outlives http_stop().
 */
#ifndef HTTP_HTTP_STREAM_H
#define HTTP_HTTP_STREAM_H

#include "http/http.h"

struct http_stream;

struct http_stream_conf {
	/*
	 * All that was sent has left for the client: send more, or end it. Called from the
	 * loop, once for each time that the output runs empty.
	 */
	void (*drained)(void *arg);
	/*
	 * The stream is no more, and not by http_stream_end(): its client left or did not read
	 * for `stall_ms`, the server stops, or http_stream_abort().
	 */
	void (*gone)(void *arg);
	void *arg;
	int64_t stall_ms; /* from a send until it has drained; 0: for ever */
};

/*
 * Whether the request can be answered so: not HEAD, which has no body, nor HTTP/1.0, whose
 * clients cannot tell an end from a break; nor after http_stop(). To be asked in its handler.
 */
bool http_can_stream(const struct http_request *q);

/*
 * Sends the head of the answer, with `status`; takes the request, which stays held until the
 * end of the stream. In the request's handler. Send the first piece right away.
 */
struct http_stream *http_stream_begin(struct http_request *q, int status,
    const char *content_type, const struct http_stream_conf *conf);

/* Sends some bytes, not none; copied. */
void http_stream_send(struct http_stream *s, struct slice bytes);

/* Ends the answer behind what was sent. The stream is gone, without a call of gone(). */
void http_stream_end(struct http_stream *s);

/*
 * Closes the connection as it is; calls gone(). Not before the request's handler has
 * returned.
 */
void http_stream_abort(struct http_stream *s);

#endif
