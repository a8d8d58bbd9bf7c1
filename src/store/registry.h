/*
 * The webhooks in memory: a mirror of the table, changed only after the commit
 * that changed the table. Finds by number, by id within a session, by session.
 */
#ifndef STORE_REGISTRY_H
#define STORE_REGISTRY_H

#include <stddef.h>

#include "domain/problem.h"
#include "domain/webhook.h"
#include "store/db.h"

struct registry;

/* Makes an empty registry; registry_free() frees it with its webhooks. */
struct registry *registry_new(void);
void registry_free(struct registry *reg);

/*
 * Loads every webhook, decrypted: their secrets lie in memory as they sign with. O(n).
 * ERR_REFUSED where the vault lacks a key, ERR_CORRUPT or the store's error, with the problem
 * in words.
 */
MUST_CHECK enum err registry_load(struct registry *reg, struct db *db,
    const struct vault *vault, struct problem *p);

/*
 * Puts `w` in the place of the webhook of its number, or adds it. Owns `w`; the old one is
 * freed.
 */
void registry_set(struct registry *reg, struct webhook *w);

/* Removes and frees the webhook of that number, if it is there. */
void registry_drop(struct registry *reg, uint64_t number);

/* Borrows, until the registry changes; NULL where there is none. Retired ones are found too. */
struct webhook *registry_get(const struct registry *reg, uint64_t number);

/* Borrows the session's webhook of that id; NULL also for a retired one. */
struct webhook *registry_find(const struct registry *reg, struct slice session,
    const struct uuid *id);

/* The same by its name, which may be any text. O(webhooks of the session). */
struct webhook *registry_find_named(const struct registry *reg, struct slice session,
    struct slice name);

/* Borrows the session's webhooks, retired ones left out, in order of registration. */
struct webhook *const *registry_session(const struct registry *reg, struct slice session,
    size_t *count);

/*
 * The same without those up to that number, which need not be one of them: where a list goes
 * on. O(log n).
 */
struct webhook *const *registry_behind(const struct registry *reg, struct slice session,
    uint64_t number, size_t *count);

/*
 * Names, until the registry changes, the first session behind `session` ("": the first of all)
 * that has webhooks, in the order of bytes, SESSION_ALL left out; NULL: there is none. O(log
 * sessions).
 */
const char *registry_next_session(const struct registry *reg, const char *session);

/*
 * Borrows the webhooks of all sessions, retired ones left out, behind that number, in order of
 * number; or those of them that have a key pair. O(log n).
 */
struct webhook *const *registry_all_behind(const struct registry *reg, uint64_t number,
    size_t *count);
struct webhook *const *registry_keyed_behind(const struct registry *reg, uint64_t number,
    size_t *count);

/* Borrows the webhook of that id, of any session; NULL also for a retired one. O(1). */
struct webhook *registry_find_in_all(const struct registry *reg, const struct uuid *id);

/*
 * Borrows, of the retired webhooks whose records are still there, the one that was retired
 * first; NULL: there is none. O(1).
 */
const struct webhook *registry_first_retired(const struct registry *reg);

/*
 * Numbers of the enabled webhooks of the session, then of those for all sessions, that want an
 * event of that name: their `events` have it, and where they have a filter it lets `body`
 * through, which is canonical. Each in order of registration, *count of them; the caller frees
 * them. NULL where there is none. *lanes has the lane of each, also to be freed;
 * NULL: none has a key. *steps grows by those that filters took. O(those, and where one of them
 * has a filter or a key the bytes of the body and *steps).
 */
uint64_t *registry_wanting(const struct registry *reg, struct slice session, struct slice event,
    struct slice body, uint64_t *steps, size_t *count, uint8_t **lanes);

/* Whether an enabled webhook of the session has a filter, or a key of its ordering. O(1). */
bool registry_looks_inside(const struct registry *reg, struct slice session);

/* How many steps the filters of the session's webhooks take together, at most. O(1). */
uint64_t registry_steps(const struct registry *reg, struct slice session);

/*
 * Takes a number for a new webhook, larger than all before, erased ones too, WEBHOOK_FOR_ALL
 * left out: who makes one for all sessions adds that.
 */
uint64_t registry_take_number(struct registry *reg);

struct registry_figures {
	uint64_t enabled; /* retired ones left out, here and in the next */
	uint64_t disabled;
};

/* How many webhooks there are. O(1). */
struct registry_figures registry_figures(const struct registry *reg);

/* Calls `fn` for every webhook, retired ones too. */
void registry_each(const struct registry *reg, void (*fn)(void *webhook, void *arg), void *arg);

#endif
