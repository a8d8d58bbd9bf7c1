/*
 * What takers have of the server besides connections: bodies that are awaited, bytes of
 * requests and of answers. For the parts of the HTTP server alone.
 */
#ifndef HTTP_HTTP_SHARES_H
#define HTTP_HTTP_SHARES_H

#include "http/http.h"

struct connection;

/* Something that takers share, and when the log has last said that one was refused of it. */
struct resource {
	struct shares *shares;
	struct map
	    *guests; /* taker -> struct shares of its guests; only those that hold some */
	int64_t quiet_until_ms; /* monotonic; no line before, */
	int64_t quiet_named_ms; /* nor before this if it would name */
	char named[HTTP_TAKER_SIZE];
};

void http_open_shares(struct http_server *s);
void http_close_shares(struct http_server *s);

/* Sets the shares' sizes by the configuration. */
void http_size_shares(struct http_server *s);

/* Counts a refusal, and logs it where that is not the same over and over. */
void http_note_refusal(struct http_server *s, enum http_resource what, const char *taker);

/* Has the taker of a connection's request charged from now on, also for what it has already. */
void http_charge_to(struct connection *c, struct slice taker);

/* The same as a guest of the taker: whoever was charged before. */
void http_charge_guest(struct connection *c, struct slice taker);

/*
 * Charges the request's taker for a body that begins, for what has come of it. False: it may
 * not have that, and has been refused.
 */
bool http_charge_body(struct connection *c);
bool http_charge_input(struct connection *c);

/* Charges it for `length` bytes of answers that its client has not taken. */
void http_charge_output(struct connection *c, size_t length);

/* Whether its taker may have an answer of so many bytes; false counts as a refusal. */
bool http_may_answer(struct connection *c, size_t bytes);

/* Gives back what the request's body has: all but the bytes that are kept; those too. */
void http_end_body(struct connection *c);
void http_forget_input(struct connection *c);

#endif
