/* What http.c and http_stream.c share. For them alone. */
#ifndef API_HTTP_INNER_H
#define API_HTTP_INNER_H

#include "api/http.h"

struct evhttp_request;

/* evhttp's handle of a request. */
struct evhttp_request *http_handle(const struct http_request *q);

/* The loop of its server. */
struct reactor *http_reactor(const struct http_request *q);

/* Whether its answer may go on for long: it is of HTTP/1.1, and the server does not stop. */
bool http_may_go_on(const struct http_request *q);

/*
 * Has gone(arg) called when the connection ends before the answer does. The server's stop
 * ends it.
 */
void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg);

/* Lets go of a request whose answer is with evhttp, or needs none. */
void http_release(struct http_request *q);

#endif
