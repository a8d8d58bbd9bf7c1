/*
 * A walk keeps the newest id that is left in each of its sessions, one place for a walk over
 * all, and takes the newest of these: as many are looked through a step as there are sessions.
 */
#include "api/newest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/events.h"

/* Where the walk is in a session, or in all of them. */
struct place {
	const char *session; /* borrowed; NULL: all */
	struct uuid id;      /* the newest that is left */
	char found_in[SESSION_MAX + 1];
};

struct walk {
	struct db_txn *txn;
	enum newest_kind kind;
	const struct newest *range;
	struct place *places;
	size_t count; /* those that have something left */
};

void newest_read(struct query *q, struct newest *out)
{
	int64_t until_ms = 0;
	struct uuid cursor;
	out->limit = NEWEST_LIMIT;
	out->since_ms = 0;
	memset(out->below.bytes, 0xff, UUID_SIZE); /* above every id */
	(void)query_time(q, "since", &out->since_ms);
	if (query_time(q, "until", &until_ms)) {
		out->below = (struct uuid){0};
		uuid_set_time(&out->below, until_ms);
	}
	(void)query_number(q, "limit", 1, NEWEST_LIMIT_MAX, &out->limit);
	if (query_uuid(q, "cursor", &cursor) && uuid_before(&cursor, &out->below))
		out->below = cursor;
}

/* Moves a place to what is newest below `below`. ERR_NOTFOUND: nothing is, or it is too old. */
static enum err step(const struct walk *walk, struct place *at, const struct uuid *below)
{
	enum err err;
	if (walk->kind == NEWEST_EVENTS)
		err = at->session == NULL
		    ? events_below(walk->txn, below, &at->id)
		    : history_below(walk->txn, slice_of(at->session), below, &at->id);
	else
		err = at->session == NULL
		    ? dead_letters_below_in_all(walk->txn, below, &at->id, at->found_in)
		    : dead_letters_below(walk->txn, slice_of(at->session), below, &at->id);
	if (err == OK && uuid_time(&at->id) < walk->range->since_ms)
		err = ERR_NOTFOUND;
	return err;
}

/* Adds a session's place, NULL for all; one that has nothing there is left out. */
static enum err add_place(struct walk *walk, const char *session)
{
	struct place *at = &walk->places[walk->count];
	*at = (struct place){.session = session};
	enum err err = step(walk, at, &walk->range->below);
	if (err == OK)
		walk->count++;
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err add_places(struct call *c, struct walk *walk)
{
	size_t sessions = 0;
	const char *session = "";
	if (c->session[0] != '\0' || c->token == NULL)
		return add_place(walk, c->session[0] != '\0' ? c->session : NULL);
	while ((session = auth_next_session(c->token, session)) != NULL) {
		if (sessions++ == NEWEST_SESSIONS_MAX)
			return problem_set(&c->problem, ERR_REFUSED, "",
			    "this token is for more than %d sessions: ask for one of them",
			    NEWEST_SESSIONS_MAX);
		enum err err = add_place(walk, session);
		if (err != OK)
			return err;
	}
	return OK;
}

static struct place *find_newest(const struct walk *walk)
{
	struct place *best = NULL;
	for (size_t i = 0; i < walk->count; i++) {
		if (best == NULL || uuid_before(&best->id, &walk->places[i].id))
			best = &walk->places[i];
	}
	return best;
}

enum err newest_each(struct call *c, struct db_txn *txn, enum newest_kind kind,
    const struct newest *n, bool (*fn)(void *arg, const struct uuid *id, const char *session),
    void *arg)
{
	struct walk walk = {.txn = txn, .kind = kind, .range = n};
	struct place *at;
	walk.places = mem_array(NEWEST_SESSIONS_MAX, sizeof(*walk.places));
	enum err err = add_places(c, &walk);
	while (err == OK && (at = find_newest(&walk)) != NULL &&
	    fn(arg, &at->id, at->session != NULL ? at->session : at->found_in)) {
		struct uuid passed = at->id;
		err = step(&walk, at, &passed);
		if (err == ERR_NOTFOUND) {
			*at = walk.places[--walk.count];
			err = OK;
		}
	}
	free(walk.places);
	return err;
}

void newest_write_cursor(struct json_writer *json, const struct uuid *last)
{
	if (last != NULL)
		uuid_write(json, "next_cursor", last);
	else
		json_write_null(json, "next_cursor");
}
