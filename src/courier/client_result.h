/*
 * What came of a request of the client's, and what was said on the wire: what its caller is
 * told, once.
 */
#ifndef COURIER_CLIENT_RESULT_H
#define COURIER_CLIENT_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "courier/lookup.h"
#include "courier/shortage.h"

struct client_request;

#define CLIENT_ANSWER_KEPT 1024 /* bytes of an answer's body that are kept */
#define CLIENT_LOCATION_MAX 300 /* bytes of a Location that are kept */

/* What a receiver asks for in the header webhook-delivery. */
enum client_wish {
	WISH_NONE,
	WISH_DISABLE, /* no more deliveries to this webhook */
	WISH_ABORT,   /* no more attempts of this delivery */
};

struct client_result {
	int status;        /* the final status line's; 0: none came */
	const char *error; /* why none came, in words; "" where one did */
	struct slice
	    location;  /* where a 3xx says that it is: printable, maybe cut; empty: none */
	bool given_up; /* broken off by client_give_up(): what came may not be all */
	enum shortage shortage; /* of what, where none came for want of something of ours */
	struct slice answer;    /* the first CLIENT_ANSWER_KEPT bytes of the body */
	struct slice whole;     /* all of it, where client_look() asks for that */
	const char *lacks;      /* in words why `whole` is not all; NULL: it is */
	enum client_wish wish;
	int64_t retry_after_ms; /* what a failure asks for, to RETRY_AFTER_MAX_MS; 0: nothing */
	int64_t duration_us;
	/* what came of looking its host up, or the proxy */
	enum lookup_status lookup;
	/* own durations of its parts; 0: did not happen, as on a connection used again */
	int64_t dns_us; /* 0 also where the address was known */
	int64_t connect_us;
	int64_t tls_us;
	int64_t first_byte_us; /* from the request's start on a connection that stands */
	const char *address;   /* connected to, or tried last: "127.0.0.1:9000"; "": none */
	bool is_proxys;        /* that is the configured proxy's, whoever the receiver is */
	const char *url;       /* as it was asked for */
	const struct client_request *request; /* for client_describe() */
};

#define CLIENT_SEEN_MAX 2048   /* bytes of headers that are described of either side */
#define CLIENT_SUBJECT_MAX 256 /* bytes of a certificate's subject */

/* What stands for what is not shown. */
#define CLIENT_HIDDEN "********"

/* What was said on the wire, as far as it may be shown. */
struct client_seen {
	int http_version;                 /* of the answer: 10, 11, 20; 0: there was none */
	const char *tls;                  /* "TLSv1.3"; "": none, or it did not come to stand */
	int64_t expires_ms;               /* of the receiver's certificate; client_describe() */
	size_t sent_len;                  /* bytes of `sent` */
	size_t answered_len;              /* of `answered` */
	char subject[CLIENT_SUBJECT_MAX]; /* of that certificate; "": none was shown */
	/*
	 * Lines "Name: value\n", as many whole ones as there is room for: the headers that were
	 * given to the request, and those of the answer.
	 */
	char sent[CLIENT_SEEN_MAX];
	char answered[CLIENT_SEEN_MAX];
};

#endif
