/*
 * A source: a door for a sender that speaks a language of its own. It says how the sender
 * proves itself (verify.h), what of a request is the session, the event, its id, its time and
 * its data, and where one request holds several events (docs/sources.md). A source in memory is
 * never changed in place: a change makes another that takes its place after the commit.
 *
 * Its settings are one object in canonical JSON: what is stored, and what is shown but for its
 * secrets. What a preset says is written out in them, so that a later version's preset changes
 * no source that is there.
 */
#ifndef DOMAIN_SOURCE_H
#define DOMAIN_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/json_write.h"
#include "base/uuid.h"
#include "domain/arrival.h"
#include "domain/name.h"
#include "domain/problem.h"
#include "domain/sign.h"
#include "domain/source_nats.h"
#include "domain/vault.h"
#include "domain/verify.h"

#define SOURCE_DOOR_SIZE 33       /* 128 random bits in hex and a NUL */
#define SOURCE_REQUEST_MAX 16384  /* bytes of its settings as a client sends them */
#define SOURCE_SETTINGS_MAX 32768 /* bytes of all of them */
#define SOURCE_RECORD_MAX 40960   /* bytes: with the rest of a record, and room */
#define SOURCE_NAME_MAX 100       /* bytes */
#define SOURCE_ID_MAX 1024        /* bytes of an event's id that count */
#define SOURCE_VALUES 4           /* session, event, id and time */
#define SOURCE_RETENTION_MAX_MS (8LL * 24 * 3600 * 1000)

struct source_plan; /* its settings, ready for use */

struct source {
	struct uuid id;
	char door[SOURCE_DOOR_SIZE];
	char *settings; /* canonical JSON, NUL-terminated, with the secrets */
	struct source_plan *plan;
	int64_t created_ms; /* wall */
	int64_t updated_ms; /* wall */
	bool is_configured; /* by the settings of the process: it has no record */
};

enum source_challenge { CHALLENGE_NONE, CHALLENGE_META, CHALLENGE_SLACK };

/* Makes one with an id and a door of its own, and no settings yet. source_free() it. */
struct source *source_new(int64_t now_ms);

/* Wipes and frees; NULL is fine. */
void source_free(struct source *s);

/* Makes it one of the configuration. Its id is made of its name: the same at each start. */
void source_configure(struct source *s);

/* Draws a new door: the old one is closed from then on. */
void source_draw_door(struct source *s);

/*
 * Applies the JSON object `body`: for a new source on top of the preset that it names, for a
 * change on top of what there is; a null is what the preset says. `made` gets the secret that
 * was drawn for a new source whose preset leaves that to us, else it is "".
 * ERR_SYNTAX, ERR_INVALID with the problem in words; `s` is then as it was.
 */
MUST_CHECK enum err source_apply(struct source *s, struct slice body,
    char made[SIGN_SECRET_SIZE], struct problem *p);

/* What it is called; its preset, "" for none; the session that all its events are of, or "". */
const char *source_name(const struct source *s);
const char *source_preset(const struct source *s);
const char *source_session(const struct source *s);

/* How its sender proves itself; NULL where it has no door. */
const struct verify *source_verify(const struct source *s);

/* Whether it takes a stream, and has no door. */
bool source_is_stream(const struct source *s);

/* The stream that it takes; NULL where it has a door, or its settings are not taken. */
const struct source_nats *source_nats(const struct source *s);

enum source_challenge source_challenge(const struct source *s);
bool source_is_enabled(const struct source *s);

/*
 * Why this version does not take its settings, which an earlier one took: it is disabled then,
 * and a change mends it. NULL: it does.
 */
const char *source_refusal(const struct source *s);

/* What a challenge of Meta's has to name; "" where the source has none. */
const char *source_verify_token(const struct source *s);

/* How long repeats are known; 0: not at all. */
int64_t source_retention_ms(const struct source *s);

/* Whether the sender's bytes go on as they came; the headers that go along: their count. */
bool source_is_raw(const struct source *s);
size_t source_raw_headers(const struct source *s, char *const **names);

/* The field of a form that holds JSON; NULL: none. */
const char *source_form(const struct source *s);

/* Calls `fn` for each event in `body`, canonical JSON, until it returns false. */
void source_split(const struct source *s, struct slice body,
    bool (*fn)(void *arg, struct slice item), void *arg);

/* One event, as it comes out. */
struct source_event {
	char session[SESSION_MAX + 1];
	char event[EVENT_MAX + 1];
	bool has_timestamp;
	int64_t timestamp_s;
	struct buf data; /* canonical JSON */
	struct buf id;   /* what repeats have in common */
	bool missed;     /* a mapping found nothing, or what cannot be used */
	struct buf parameters[SOURCE_VALUES]; /* private, as the one below: of the query */
	bool has_parameters;
};

/*
 * Maps an item of the body of `a`. `out` has the limits of `data` and `id` set, else it is
 * zeroed; one for all items of `a`, each replaces the one before. source_event_fini() it.
 */
void source_map(const struct source *s, const struct arrival *a, struct slice item,
    struct source_event *out);

void source_event_fini(struct source_event *e);

/* Writes the members that the API shows, from "id" on: secrets as masks. */
void source_write(const struct source *s, struct json_writer *json);

/*
 * Appends the record; the settings are encrypted where the vault has a key, bound to the rest.
 * `nonce`: as vault_encrypt() has it.
 */
void source_encode(const struct source *s, const struct vault *vault,
    const unsigned char nonce[VAULT_NONCE_SIZE], struct buf *out);

/* Reads a record; *out is the caller's to free, *key names the key that it is under. */
MUST_CHECK enum err source_decode(struct reader *r, const struct vault *vault,
    struct vault_id *key, struct source **out);

#endif
