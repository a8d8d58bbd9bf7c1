/*
 * Making, showing and changing sources. As with webhooks a change is a read, a change and a
 * write inside the turn's transaction; the mirror follows after the commit.
 */
#include <string.h>

#include "api/handlers.h"
#include "api/pull.h"
#include "api/query.h"
#include "base/clock.h"
#include "base/mem.h"

#define ANSWER_MAX (6 * SOURCE_SETTINGS_MAX) /* bytes of one source's JSON */
#define LIST_MAX (CALL_PAGE_BYTES + ANSWER_MAX)
#define LIMIT_MAX 1000 /* sources of a page that ?limit= may ask for */

struct sources_call;

/* Changes the copy of the source; sets call.problem on error. */
typedef enum err (*mutate_fn)(struct sources_call *sc, struct source *s);

struct sources_call {
	struct call call; /* first */
	struct source *s; /* as it is to be stored; owned */
	mutate_fn mutate;
	char made[SIGN_SECRET_SIZE]; /* the secret that was drawn, shown once */
};

const size_t SOURCES_CALL_SIZE = sizeof(struct sources_call);

void release_source(struct call *c)
{
	struct sources_call *sc = (struct sources_call *)c;
	source_free(sc->s);
	mem_wipe(sc->made, sizeof(sc->made));
}

/*
 * Whether the call's token reaches the source: a full one, or one for its only session. A
 * source that connects to servers is for full ones.
 */
static bool reaches(const struct call *c, const struct source *s)
{
	const char *session = source_session(s);
	bool has_one = session[0] != '\0' && source_nats(s) == NULL;
	return c->token == NULL || (has_one && auth_reaches(c->token, slice_of(session)));
}

static enum err refuse_reach(struct call *c)
{
	return problem_set(&c->problem, ERR_REFUSED, "session",
	    "the token reaches only sources whose session is given as one of its own");
}

static void write_figures(const struct source_figures *f, struct json_writer *json)
{
	json_open_object(json, "received");
	json_write_u64(json, "events", f->events);
	json_write_u64(json, "repeats", f->repeats);
	json_write_u64(json, "missed", f->missed);
	json_write_u64(json, "refused", f->refused);
	json_write_time_or_null(json, "last_at", f->last_ms);
	json_write_time_or_null(json, "last_refused_at", f->last_refused_ms);
	json_write_cstr(json, "last_refused", f->last_refused_ms == 0 ? NULL : f->last_refused);
	json_close(json);
}

static void write_entry(const struct call *c, const struct source_entry *e, const char *made,
    struct json_writer *json)
{
	json_open_object(json, NULL);
	source_write(e->source, json);
	pulls_write(c->api->pulls, &e->source->id, json);
	if (made[0] != '\0')
		json_write_cstr(json, "secret", made);
	write_figures(&e->figures, json);
	json_close(json);
}

static void answer_entry(struct call *c, const struct source_entry *e, const char *made)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	write_entry(c, e, made, &json);
	call_reply(c, 200, &json);
	mem_wipe(text.data, text.len);
	buf_fini(&text);
}

/* Finds the source of the path, if the token reaches it; NULL: the call has been answered. */
static struct source_entry *find(struct call *c)
{
	struct source_entry *e = sources_find(c->api->conf.sources, &c->id);
	if (e != NULL && reaches(c, e->source))
		return e;
	call_fail(c, 404, "", "there is no such source");
	return NULL;
}

/* The same, but not one of the configuration: that is not changed by calls. */
static bool may_change(struct call *c)
{
	const struct source_entry *e = find(c);
	if (e != NULL && e->source->is_configured)
		call_fail(c, 409, "",
		    "the source is one of the configuration: change it there, then reload");
	return e != NULL && !e->source->is_configured;
}

static bool check_body(struct call *c)
{
	if (!call_has_json(c) || !call_read_body(c, SOURCE_REQUEST_MAX))
		return false;
	if (c->body.len <= SOURCE_REQUEST_MAX)
		return true;
	call_fail(c, 413, "", "the settings of a source are at most 16384 bytes at a time");
	return false;
}

struct counting {
	const char *session;
	size_t count;
};

static void count_same(void *entry, void *arg)
{
	const struct source_entry *e = entry;
	struct counting *c = arg;
	c->count += strcmp(source_session(e->source), c->session) == 0 ? 1 : 0;
}

/* Whether the session of `s`, if that is a literal, has as many sources as it may. */
static bool has_its_share(const struct call *c, const struct source *s)
{
	struct counting same = {.session = source_session(s)};
	if (same.session[0] != '\0')
		sources_each(c->api->conf.sources, count_same, &same);
	return same.count >= SOURCES_SESSION_MAX;
}

static enum err apply_create(struct op *op, struct db_txn *txn)
{
	struct sources_call *sc = (struct sources_call *)op;
	uint64_t count = 0;
	if (has_its_share(&sc->call, sc->s))
		return problem_set(&sc->call.problem, ERR_CONFLICT, "session",
		    "the session has as many sources as it can have: %d", SOURCES_SESSION_MAX);
	enum err err = sources_records(txn, &count);
	if (err == OK && count >= SOURCES_MAX)
		return problem_set(&sc->call.problem, ERR_CONFLICT, "",
		    "there are as many sources as there can be: %d", SOURCES_MAX);
	return err == OK ? sources_put(txn, sc->call.api->conf.vault, sc->s) : err;
}

/* The commit is done: the mirror follows, and the answer shows what is there now. */
static void done_write(struct op *op, enum err result)
{
	struct sources_call *sc = (struct sources_call *)op;
	struct sources *all = sc->call.api->conf.sources;
	if (result != OK) {
		call_fail_err(&sc->call, result);
		return;
	}
	struct uuid id = sc->s->id;
	sources_set(all, sc->s);
	sc->s = NULL;
	pulls_changed(sc->call.api->pulls, &id);
	answer_entry(&sc->call, sources_find(all, &id), sc->made);
}

void handle_source_create(struct call *c)
{
	struct sources_call *sc = (struct sources_call *)c;
	if (!check_body(c))
		return;
	sc->s = source_new(clock_wall_ms());
	enum err err = source_apply(sc->s, c->body, sc->made, &c->problem);
	if (err == OK && !reaches(c, sc->s))
		err = refuse_reach(c);
	if (err == OK && !c->api->conf.health->has_room)
		err = ERR_NOSPACE;
	if (err != OK)
		call_fail_err(c, err);
	else
		call_stage(c, apply_create, done_write);
}

/* A page: what stands behind the cursor, as far as limit and bytes go. */
struct listing {
	const struct call *call;
	struct json_writer *json;
	const struct uuid *behind; /* NULL: from the first on */
	uint64_t limit;
	size_t shown;
	size_t count; /* of all that the token reaches */
	const struct source *last;
	bool more;
};

static void list_entry(void *entry, void *arg)
{
	const struct source_entry *e = entry;
	struct listing *l = arg;
	if (!reaches(l->call, e->source))
		return;
	l->count++;
	if (l->behind != NULL) {
		if (uuid_eq(l->behind, &e->source->id))
			l->behind = NULL;
	} else if (l->shown < l->limit && l->json->out->len <= CALL_PAGE_BYTES) {
		write_entry(l->call, e, "", l->json);
		l->last = e->source;
		l->shown++;
	} else {
		l->more = true;
	}
}

static void answer_list(struct call *c, const struct uuid *behind, uint64_t limit)
{
	struct buf text = BUF_INIT(LIST_MAX);
	struct json_writer json = JSON_WRITER(&text);
	struct listing l = {.call = c, .json = &json, .behind = behind, .limit = limit};
	json_open_object(&json, NULL);
	json_open_array(&json, "sources");
	sources_each(c->api->conf.sources, list_entry, &l);
	json_close(&json);
	json_write_u64(&json, "count", l.count);
	if (l.more)
		uuid_write(&json, "next_cursor", &l.last->id);
	else
		json_write_null(&json, "next_cursor");
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_source_list(struct call *c)
{
	uint64_t limit = LIMIT_MAX;
	char cursor[QUERY_TEXT_MAX + 1];
	struct uuid behind;
	struct query q = {.call = c};
	(void)query_number(&q, "limit", 1, LIMIT_MAX, &limit);
	bool is_given = query_text(&q, "cursor", cursor);
	const struct source_entry *e = NULL;
	if (is_given && uuid_parse(slice_of(cursor), &behind) == OK)
		e = sources_find(c->api->conf.sources, &behind);
	if (is_given && (e == NULL || !reaches(c, e->source)))
		query_refuse(&q, "cursor",
		    "the next_cursor of an earlier answer, whose last source is still there");
	if (!q.answered)
		answer_list(c, is_given ? &behind : NULL, limit);
}

void handle_source_show(struct call *c)
{
	const struct source_entry *e = find(c);
	if (e != NULL)
		answer_entry(c, e, "");
}

static enum err apply_change(struct op *op, struct db_txn *txn)
{
	struct sources_call *sc = (struct sources_call *)op;
	const struct vault *vault = sc->call.api->conf.vault;
	source_free(sc->s); /* of a transaction that was voided */
	sc->s = NULL;
	enum err err = sources_get(txn, vault, &sc->call.id, &sc->s);
	if (err == OK)
		err = sc->mutate(sc, sc->s);
	if (err == OK && !reaches(&sc->call, sc->s))
		err = refuse_reach(&sc->call);
	if (err != OK)
		return err;
	sc->s->updated_ms = clock_wall_ms();
	return sources_put(txn, vault, sc->s);
}

static void stage_change(struct call *c, mutate_fn mutate)
{
	struct sources_call *sc = (struct sources_call *)c;
	sc->mutate = mutate;
	if (may_change(c))
		call_stage(c, apply_change, done_write);
}

static enum err mutate_patch(struct sources_call *sc, struct source *s)
{
	return source_apply(s, sc->call.body, sc->made, &sc->call.problem);
}

void handle_source_patch(struct call *c)
{
	if (check_body(c))
		stage_change(c, mutate_patch);
}

static enum err mutate_rotate(struct sources_call *sc, struct source *s)
{
	(void)sc;
	source_draw_door(s);
	return OK;
}

void handle_source_rotate(struct call *c)
{
	stage_change(c, mutate_rotate);
}

static enum err apply_delete(struct op *op, struct db_txn *txn)
{
	return sources_del(txn, &((struct sources_call *)op)->call.id);
}

static void done_delete(struct op *op, enum err result)
{
	struct call *c = &((struct sources_call *)op)->call;
	if (result != OK) {
		call_fail_err(c, result);
		return;
	}
	sources_drop(c->api->conf.sources, &c->id);
	pulls_changed(c->api->pulls, &c->id);
	call_succeed(c, "Source removed");
}

void handle_source_delete(struct call *c)
{
	if (may_change(c))
		call_stage(c, apply_delete, done_delete);
}
