/*
 * The table of attempts: a row for each attempt whose outcome was stored, for as long as its
 * event is kept. Key: delivery id (16), attempt number (4) from 1 on, which goes on counting
 * over replays. The deliveries of an event are the range behind its id: so are their attempts.
 *
 * An attempt number without a row was not made (its event could not be read), was made before
 * there was this table, or while the store had no room for it.
 */
#ifndef STORE_ATTEMPTS_H
#define STORE_ATTEMPTS_H

#include <stdbool.h>

#include "base/codec.h"
#include "base/uuid.h"
#include "domain/url.h"
#include "store/db.h"
#include "store/events.h"

/*
 * The record of an attempt: what was sent where, when, how long each part of it took, and
 * what the receiver said. It is kept as it was, whatever becomes of the webhook.
 */

#define ATTEMPT_ADDRESS_MAX 64   /* bytes: an IPv6 address with its scope, and a port */
#define ATTEMPT_ERROR_MAX 400    /* bytes of the error in words */
#define ATTEMPT_ANSWER_MAX 1024  /* bytes of the answer's body that are kept */
#define ATTEMPT_HEADERS_MAX 2048 /* bytes of the headers that are kept of either side */
#define ATTEMPT_SUBJECT_MAX 256
#define ATTEMPT_TLS_MAX 16
#define ATTEMPT_RECORD_MAX 8500 /* bytes: all of them at their longest, and a checksum */

/*
 * What was said on the wire beside the bodies. It is kept of some attempts alone
 * (dispatch/settlement.h); a record without it is no longer than it was before there was this.
 */
struct attempt_exchange {
	uint16_t http_version; /* of the answer: 10, 11, 20; 0: there was none */
	struct slice tls;      /* "TLSv1.3"; "": none, or it did not come to stand */
	struct slice subject;  /* of the receiver's certificate; "": none was shown */
	int64_t expires_ms;    /* the same one, wall; INT64_MIN: it says none */
	/* lines "Name: value\n", whole ones alone, secrets masked; see attempt_next_header() */
	struct slice sent;
	struct slice answered;
};

struct attempt_record {
	int64_t at_ms;       /* wall; when it began */
	int64_t duration_us; /* times in the record are at most 2^32 - 1 µs */
	int64_t dns_us;      /* this and the next: own durations; 0: it did not happen */
	int64_t connect_us;
	int64_t tls_us;
	int64_t first_byte_us; /* from the request's start on a connection that stands */
	int status;            /* HTTP; 0: none came */
	struct uuid webhook_id;
	struct slice url;     /* this and the next: borrowed, cut off at their longest */
	struct slice address; /* connected to, or tried: "127.0.0.1:9000"; "": none */
	struct slice error;   /* why no status came, or where a redirect leads; else "" */
	struct slice answer;  /* the body's first bytes; they may be anything */
	bool has_exchange;    /* the next one is there */
	struct attempt_exchange exchange; /* its slices as those above */
};

/* Appends the record of `a`. */
void attempt_record_encode(const struct attempt_record *a, struct buf *out);

/* Reads a record into *a, whose slices borrow from what the reader reads. ERR_CORRUPT. */
MUST_CHECK enum err attempt_record_decode(struct reader *r, struct attempt_record *a);

/*
 * Cuts the first header off *headers, lines as in struct attempt_exchange. False: there is none
 * left.
 */
bool attempt_next_header(struct slice *headers, struct slice *name, struct slice *value);

/* The value of the first of such headers of that name, in any case; ptr NULL: none. */
struct slice attempt_header(struct slice headers, const char *name);

/*
 * Writes the row of attempt d->attempts of `d`, a delivery of `e` whose status is as it is
 * stored; it counts for those who pay for that now (events.h). `record` is sealed (record.h).
 * ERR_CORRUPT where nobody can say who pays: nothing is written.
 */
MUST_CHECK enum err attempts_put(struct db_txn *txn, const struct event *e,
    const struct delivery *d, struct slice record);

/* What a row with such a record counts for, in bytes. */
uint64_t attempts_row_cost(struct slice record);

/* Where the row of an attempt lies, for its record_seal(). */
uint64_t attempts_at(const struct uuid *delivery, uint32_t number);

/*
 * Calls `fn` with each attempt of a delivery in order of number, those from `first` on, at most
 * `max`; `a` is borrowed for the call. Ends early when `fn` returns false. A row that cannot be
 * read is logged and passed by. The sticky error.
 */
MUST_CHECK enum err attempts_each(struct db_txn *txn, const struct uuid *delivery,
    uint32_t first, size_t max,
    bool (*fn)(void *arg, uint32_t number, const struct attempt_record *a), void *arg);

/* What the attempts of an event's deliveries count for, in bytes. The sticky error. */
MUST_CHECK enum err attempts_cost(struct db_txn *txn, const struct event *e, uint64_t *out);

/*
 * Removes the attempts of an event's deliveries; *dropped grows by how many, *cost by what they
 * counted for. The sticky error.
 */
MUST_CHECK enum err attempts_drop(struct db_txn *txn, const struct event *e, size_t *dropped,
    uint64_t *cost);

/* Takes a row apart. ERR_CORRUPT; the key is then read all the same where *number is not 0. */
MUST_CHECK enum err attempts_decode(struct slice key, struct slice value, struct uuid *delivery,
    uint32_t *number, struct attempt_record *a);

#endif
