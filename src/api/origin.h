/*
 * Browsers: which pages may call (cors_origins), and that without a token a page of another
 * site does not, neither by a name of its own that leads here nor by a request that a browser
 * sends without asking.
 */
#ifndef API_ORIGIN_H
#define API_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "http/http.h"

struct origin_conf {
	char *const *origins; /* whose pages may call; borrowed, as the next */
	size_t origin_count;
	char *const *hosts; /* names of this server beside addresses and those without a dot */
	size_t host_count;
	char *const *frames; /* whose pages may have the dashboard in a frame */
	size_t frame_count;
};

/* Lets the page that asks read the answer, if it may call. */
void origin_put_headers(const struct origin_conf *conf, struct http_request *q);

/*
 * Answers a browser's question whether a page may call with a method of `methods`, if that is
 * what the request is and the page may. False: it is not.
 */
bool origin_answer_preflight(const struct origin_conf *conf, struct http_request *q,
    const char *methods);

/*
 * Why a request must not be taken where no token is asked for, in words, and the header that
 * says so in *field; NULL: it may be.
 */
const char *origin_refuse(const struct origin_conf *conf, const struct http_request *q,
    const char **field);

/* Whether `text` is an origin as browsers send it: scheme, host, perhaps a port. */
bool origin_is_origin(const char *text);

/* The same of one that a policy can have: nothing in it ends a directive. */
bool origin_is_frame(const char *text);

/* Whether `text` is a host's name, without a port. */
bool origin_is_host(const char *text);

#endif
