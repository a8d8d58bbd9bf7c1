/*
 * A webhook: a URL of a session with its filter, secret and wishes. The record,
 * its binary form on disk, and which events it wants. A webhook in memory is
 * never changed in place: a change makes a copy that takes its place after the commit.
 */
#ifndef DOMAIN_WEBHOOK_H
#define DOMAIN_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/uuid.h"
#include "domain/filter.h"
#include "domain/lane.h"
#include "domain/name.h"
#include "domain/ownership.h"
#include "domain/payload.h"
#include "domain/retry.h"
#include "domain/sign.h"
#include "domain/success.h"
#include "domain/url.h"
#include "domain/vault.h"
#include "domain/webhook_auth.h"
#include "domain/webhook_options.h"

/* In the number of a webhook for all sessions; the bits below are one sequence for all. */
#define WEBHOOK_FOR_ALL (UINT64_C(1) << 62)

#define WEBHOOK_TIMEOUT_DEFAULT_MS 5000
#define WEBHOOK_TIMEOUT_MIN_MS 100
#define WEBHOOK_TIMEOUT_MAX_MS 30000
#define WEBHOOK_IN_FLIGHT_DEFAULT 16
#define WEBHOOK_IN_FLIGHT_MAX 256
#define WEBHOOK_SECRET_MAX 1024     /* bytes */
#define WEBHOOK_DESCRIPTION_MAX 500 /* bytes */
#define WEBHOOK_HEADERS_MAX 32
#define WEBHOOK_HEADERS_BYTES_MAX 40960 /* names and values */
#define WEBHOOK_CA_MAX 16384            /* bytes of PEM */
#define WEBHOOK_CERT_MAX 16384          /* the same of its own certificates */
#define WEBHOOK_KEY_MAX 8192            /* the same of its private key */
/* bytes: all of the above and a filter at their longest, and room */
#define WEBHOOK_RECORD_MAX (159744 + FILTER_BYTES_MAX + SUCCESS_BYTES_MAX + URL_MAX)
#define WEBHOOK_DISABLED_BY_REQUEST "disabled by request"
#define WEBHOOK_DISABLED_BY_FILTER "this version does not take its filter: give it another"

struct webhook_header {
	char *name;
	char *value;
};

struct webhook {
	uint64_t number; /* the key on disk: in order of registration, never shown */
	struct uuid id;  /* what clients call it */
	char *name;      /* the same, in their words: one of its session alone; NULL: none */
	char *session;
	char *url;
	char *fallback_url;      /* attempts go there while the circuit is open; NULL: none */
	struct success *success; /* which answers count; NULL: those with a 2xx */
	/*
	 * The names of events, in the client's order. "all" alone stands for every event, one
	 * that ends with * for those that begin so.
	 */
	char **events;
	size_t event_count;
	struct filter *filter; /* NULL: what `events` lets through */
	enum payload payload;
	char *secret;                       /* NULL where there is none */
	char *previous_secret;              /* signs as well until it expires; NULL: none */
	int64_t previous_expires_ms;        /* wall; 0: none */
	struct ed25519_pair *pair;          /* NULL where there is none */
	struct ed25519_pair *previous_pair; /* as with the secrets */
	int64_t previous_pair_expires_ms;   /* wall; 0: none */
	char *ca_pem; /* authorities for this receiver alone; NULL: the configured ones */
	struct webhook_auth *auth; /* how it shows who it is; NULL: not at all */
	char *client_cert_pem;     /* the same in TLS: its certificate and others that lead */
	char *client_key_pem;      /* to an authority, and its key; NULL: it has none */
	int64_t client_cert_expires_ms;  /* wall; the first of these; 0: there is none */
	struct ownership ownership;      /* whether its endpoint wants what it is sent */
	struct webhook_options *options; /* NULL: its requests are as all are */
	struct webhook_header *headers;
	size_t header_count;
	char *description;            /* NULL where there is none */
	char *disabled_reason;        /* NULL while enabled */
	struct retry_schedule *retry; /* NULL: the configured one */
	double rate_limit;            /* deliveries per second; 0: none */
	int64_t created_ms;           /* wall */
	int64_t updated_ms;           /* wall */
	int64_t failing_since_ms; /* wall; nothing has succeeded since; 0: it does not fail */
	uint32_t timeout_ms;
	uint32_t max_in_flight;
	unsigned signature; /* a set of enum signature */
	/*
	 * Not 0 while its queue is not in the order that is wanted: how often that was changed
	 * since it was. Nothing of it starts meanwhile.
	 */
	uint32_t unordered;
	struct lane_key *key; /* deliveries are in order within each lane of it; NULL: none */
	bool fifo;            /* all of them are; then there is no key */
	bool tls_insecure;    /* the receiver's certificate is not checked */
	bool enabled;
	bool keeps_queueing; /* it takes events while it is disabled; never while enabled */
	bool deleted;        /* its queue is being purged, then the record goes */
};

static inline bool webhook_is_for_all(uint64_t number)
{
	return (number & WEBHOOK_FOR_ALL) != 0;
}

/* Whose dead letters those of the webhook are, where its event is of `session`. */
static inline struct slice webhook_owner(uint64_t number, struct slice session)
{
	return webhook_is_for_all(number) ? SLICE(SESSION_ALL) : session;
}

/* Makes a webhook with every default set, `url` and `session` still NULL; webhook_free() it. */
struct webhook *webhook_new(void);

/* Frees it and all it owns, wiping the secret; NULL is fine. */
void webhook_free(struct webhook *w);

/* Whether a delivery that fails keeps its place in the queue, ahead of those behind it. */
static inline bool webhook_keeps_places(const struct webhook *w)
{
	return w->fifo || w->key != NULL;
}

/* Gives `w`, which replaces `old`, its queue's order: a new one where places change. */
void webhook_note_order(struct webhook *w, const struct webhook *old);

/* Replaces the string `*field` by a copy of `text`, or by NULL. */
void webhook_set(char **field, const char *text);

/* ERR_INVALID, in words, where it cannot be enabled: this version does not take its filter. */
MUST_CHECK enum err webhook_check_enable(const struct webhook *w, struct problem *p);

/* Sets enabled, or disabled, its queue closed, with a reason; that is NULL for enabled. */
void webhook_set_enabled(struct webhook *w, const char *reason);

/* A new secret; the old one signs until `expires_ms`, wall, too; 0: no more. So of pairs. */
void webhook_rotate_secret(struct webhook *w, const char *secret, int64_t expires_ms);
void webhook_rotate_pair(struct webhook *w, const struct ed25519_pair *pair,
    int64_t expires_ms);

/* Sets its certificate in TLS, in PEM, and when that expires, wall, not 0; all none, or 0. */
void webhook_set_identity(struct webhook *w, const char *cert_pem, const char *key_pem,
    int64_t expires_ms);

/*
 * Checks that the certificate of `w` has not expired at `now_ms`, wall, where `old`, which `w`
 * replaces, had another; NULL: there was none. ERR_INVALID.
 */
MUST_CHECK enum err webhook_check_expiry(const struct webhook *w, const struct webhook *old,
    int64_t now_ms, struct problem *p);

/* Whether both send alike to their own URL: where to, as whom, what they take for success. */
bool webhook_sends_alike(const struct webhook *w, const struct webhook *other);

/* Draws a key pair where it has none and ed25519, or rfc9421 without a secret, wants one. */
void webhook_complete_pair(struct webhook *w);

/* Wipes the previous secret and pair, if expired at `now_ms`, wall. Whether there was one. */
bool webhook_drop_expired(struct webhook *w, int64_t now_ms);

/* Wipes the secrets, and empties the custom headers and all by which it shows who it is. */
void webhook_drop_secrets(struct webhook *w);

void webhook_clear_events(struct webhook *w);
void webhook_clear_headers(struct webhook *w); /* their values are wiped */

bool webhook_same(const struct webhook *a, const struct webhook *b); /* in their records */

/*
 * Appends the record of `w`. The secrets and the values of custom headers are encrypted where
 * the vault has a key, bound to all the rest of the record; `nonce` is what vault_encrypt()
 * wants, and not looked at without a key.
 */
void webhook_encode(const struct webhook *w, const struct vault *vault,
    const unsigned char nonce[VAULT_NONCE_SIZE], struct buf *out);

/*
 * Reads a record; *out is the caller's to free, *key the id of the key it is encrypted under.
 * ERR_REFUSED: the vault does not have that key, *key says which; ERR_CORRUPT.
 */
MUST_CHECK enum err webhook_decode(struct reader *r, const struct vault *vault,
    struct vault_id *key, struct webhook **out);

/*
 * Reads a record as far as that goes without a key: where it is encrypted there are no
 * secrets in *out, and the values of its headers are NULL. ERR_CORRUPT.
 */
MUST_CHECK enum err webhook_decode_open(struct reader *r, struct vault_id *key,
    struct webhook **out);

#endif
