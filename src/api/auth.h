/*
 * Bearer tokens (docs/api.md): full ones and ones for some sessions.
 * Compared in constant time, every token at every request.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "domain/problem.h"

#define AUTH_TOKEN_MIN 8 /* characters: a shorter one is guessed */
#define AUTH_TOKEN_MAX 512

struct auth;
struct auth_token;

/* Makes an empty set: as long as it is empty every request is let through. */
struct auth *auth_new(void);

/* Wipes and frees; NULL is fine. */
void auth_free(struct auth *a);

/*
 * Adds a full token. ERR_INVALID for one that is too short, too long, or not printable
 * ASCII.
 */
MUST_CHECK enum err auth_add(struct auth *a, struct slice token, struct problem *p);

/*
 * Adds the tokens of a tokens file: a token a line, followed by session ids for these, as
 * name_read_session() takes them, by "*" for all; a word that begins with '#' starts a comment.
 * A token with nothing behind it is for all, too: auth_bare_line(). ERR_INVALID with
 * "line N: …".
 */
MUST_CHECK enum err auth_add_file(struct auth *a, struct slice text, struct problem *p);

/* The first line of a tokens file whose token had nothing behind it; 0: there was none. */
unsigned auth_bare_line(const struct auth *a);

size_t auth_count(const struct auth *a);

/*
 * Finds the token of an Authorization header ("Bearer TOKEN"). True when it is let
 * through; *token is then what it may do, NULL for everything, and *name what it is called
 * where it must not be told: "token 2", in the order in which they were added, NULL where
 * there are none; borrowed.
 */
bool auth_check(const struct auth *a, struct slice header, const struct auth_token **token,
    const char **name);

/* A token that is of no set: a portal link's (portal.h), for one session and some time. */
struct auth_link {
	struct slice session;
	const char *name; /* as auth_check() has them */
	bool only_reads;
	uint64_t generation; /* of the key that it was made under */
	uint64_t series;     /* of the session's links that it belongs to */
	int64_t expires_ms;  /* wall */
};

/* Makes it; auth_token_free() it, where NULL is fine. */
struct auth_token *auth_token_new(const struct auth_link *link);
void auth_token_free(struct auth_token *token);

/* What makes it; its session and name are borrowed. NULL for a token of a set, and for NULL. */
const struct auth_link *auth_link_of(const struct auth_token *token);

/* Whether `token` reaches `session`; NULL reaches all. */
bool auth_reaches(const struct auth_token *token, struct slice session);

/*
 * Names the first of the sessions of `token`, which is not NULL, behind `session` in the order
 * of bytes; NULL: there is none. Borrowed.
 */
const char *auth_next_session(const struct auth_token *token, const char *session);

/*
 * Names what `token` reaches: the same text for tokens of the same sessions, however they are
 * listed; empty for NULL, which reaches all. Borrowed.
 */
struct slice auth_reach(const struct auth_token *token);

#endif
