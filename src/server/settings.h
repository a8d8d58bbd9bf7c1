/*
 * The settings: one table of all there are, and what values each takes. Where values come
 * from is the business of config.c.
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "domain/name.h"
#include "server/config.h"

enum setting_kind {
	KIND_TEXT,
	KIND_INTEGER,
	KIND_SIZE,
	KIND_DURATION,
	KIND_CHOICE,
	KIND_SCHEDULE,
	KIND_LIST, /* this and the next may be repeated within a source */
	KIND_CIDRS,
	KIND_EXPIRIES,
};

#define CLUSTER_NAME_MAX 32 /* bytes of the name of a shard or a member */

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset;                     /* of its field in struct config */
	const char *standard;              /* the default as text; NULL: none */
	const char *allowed;               /* in words, for errors and help */
	uint64_t min, max;                 /* of numbers, and of durations in milliseconds */
	const char *const *choices;        /* KIND_CHOICE: ends with NULL */
	bool (*is_item)(const char *item); /* KIND_LIST, KIND_TEXT: whether it will do */
	bool is_whole;                     /* KIND_LIST: a value is one item, commas and all */
	bool fixed;                        /* read at start only: no reload changes it */
};

extern const struct setting SETTINGS[];
extern const size_t SETTINGS_COUNT; /* at most SETTINGS_MAX */

/* One source of values that is being read into a configuration. Zeroed but for `config`. */
struct reading {
	struct config *config;
	struct config_marks begun; /* which lists the source has begun */
};

/*
 * Sets a setting. A list takes comma-separated values; the first ones from a source replace
 * what a lower source said. ERR_INVALID with the problem in words.
 */
MUST_CHECK enum err setting_set(struct reading *r, const struct setting *s, struct slice value,
    struct problem *p);

/* Whether somebody gave the setting a value. */
bool setting_is_given(const struct config *c, const struct setting *s);

/*
 * Carries the value of a fixed setting over from `now` to `next`, which gets rid of its own.
 * True where the two differed.
 */
bool setting_carry(const struct setting *s, struct config *now, struct config *next);

/* The number that `name` has, one of a KIND_INTEGER or KIND_SIZE. */
uint64_t setting_number(const struct config *c, const char *name);

/*
 * Lowers such a setting to `most`, but not below what is allowed, where nobody gave it. Says
 * whether it was above.
 */
bool setting_lower(struct config *c, const char *name, uint64_t most);

/*
 * Reads "session=value", as session_store_bytes and session_inbound_secrets have it, and
 * returns the value, borrowed from `item`; NULL: it is none, and `session` of no use.
 */
const char *setting_read_session(const char *item, char session[SESSION_MAX + 1]);

/* Frees a list of strings. */
void setting_clear_list(struct config_list *list);

#endif
