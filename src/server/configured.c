/* Sources of the configuration; see configured.h. */
#include "server/configured.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "domain/json.h"
#include "domain/json_walk.h"
#include "server/secrets.h"

#define GIVEN_MAX (2 * SOURCE_SETTINGS_MAX) /* bytes, with what is in files */
#define PATH_BYTES 4096

/* Members that may be in a file: behind "_file" in place of themselves. */
static const char *const IN_FILES[] = {"token", "password", "seed", "creds", "ca_pem"};
#define IN_FILES_COUNT (sizeof(IN_FILES) / sizeof(IN_FILES[0]))

void configured_free(struct configured *c)
{
	for (size_t i = 0; i < c->count; i++)
		source_free(c->items[i]);
	*c = (struct configured){0};
}

/* Which of IN_FILES the member named `key` is the file of; NULL: of none. */
static const char *in_file(struct slice key)
{
	char name[32];
	for (size_t i = 0; i < IN_FILES_COUNT; i++) {
		(void)snprintf(name, sizeof(name), "%s_file", IN_FILES[i]);
		if (slice_eq(key, slice_of(name)))
			return IN_FILES[i];
	}
	return NULL;
}

/* What stands between white space, line ends too. */
static struct slice trim(struct slice text)
{
	static const char BLANKS[] = " \t\r\n";
	while (text.len > 0 && strchr(BLANKS, text.ptr[0]) != NULL) {
		text.ptr++;
		text.len--;
	}
	while (text.len > 0 && strchr(BLANKS, text.ptr[text.len - 1]) != NULL)
		text.len--;
	return text;
}

/* Writes what the file at the JSON text `value` holds as the member `name`. */
static enum err write_file(const char *name, struct slice value, struct json_writer *json,
    struct problem *p)
{
	char field[32];
	struct buf path = BUF_INIT(PATH_BYTES);
	struct buf text = BUF_INIT(SECRETS_FILE_MAX);
	(void)snprintf(field, sizeof(field), "%s_file", name);
	enum err err = OK;
	if (!json_text_of(value, &path) || path.failed || path.len == 0)
		err = problem_set(p, ERR_INVALID, field, "%s must be the path of a file",
		    field);
	else if (strcmp(name, "ca_pem") == 0)
		err = secrets_read_public(buf_cstr(&path), field, &text, p);
	else
		err = secrets_read_file(buf_cstr(&path), field, &text, p);
	if (err == OK)
		json_write_bytes(json, name, trim(buf_view(&text)));
	secrets_forget(&text);
	buf_fini(&path);
	return err;
}

static void write_member(const struct json_walk *w, struct json_writer *json)
{
	json_write_name(json, w->key);
	json_write_raw(json, NULL, w->value);
}

/* Writes the members of `object`, with what files hold in place of their names. */
static enum err write_members(struct slice object, struct buf *out, struct problem *p)
{
	struct json_writer json = JSON_WRITER(out);
	struct json_walk w = json_walk_in(object);
	enum err err = OK;
	json_open_object(&json, NULL);
	while (err == OK && json_walk_next(&w)) {
		const char *name = in_file(w.key);
		if (name != NULL && json_walk_find(object, slice_of(name)).ptr != NULL)
			err = problem_set(p, ERR_INVALID, name,
			    "%s is given twice: in a file, and beside it", name);
		else if (name != NULL)
			err = write_file(name, w.value, &json, p);
		else
			write_member(&w, &json);
	}
	json_close(&json);
	if (err == OK && !json_is_whole(&json))
		err = problem_set(p, ERR_TOOBIG, "", "is over %d bytes", GIVEN_MAX);
	return err;
}

static enum err read_source(struct slice item, struct buf *canonical, struct buf *given,
    struct source **out, struct problem *p)
{
	char made[SIGN_SECRET_SIZE];
	enum err err = json_read_whole(item, canonical, p);
	struct slice type = json_walk_find(buf_view(canonical), SLICE("type"));
	if (err == OK && !slice_eq(type, SLICE("\"nats\"")))
		err = problem_set(p, ERR_INVALID, "type",
		    "type must be nats: doors are made by POST /api/v1/sources");
	if (err == OK)
		err = write_members(buf_view(canonical), given, p);
	if (err != OK)
		return err;
	struct source *s = source_new(clock_wall_ms());
	err = source_apply(s, buf_view(given), made, p);
	if (err != OK) {
		source_free(s);
		return err;
	}
	source_configure(s);
	*out = s;
	return OK;
}

static bool has_name(const struct configured *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		if (strcmp(source_name(c->items[i]), name) == 0)
			return true;
	}
	return false;
}

static enum err add_source(struct configured *c, const char *item, struct problem *p)
{
	struct buf canonical = BUF_INIT(GIVEN_MAX);
	struct buf given = BUF_INIT(GIVEN_MAX);
	struct source *s = NULL;
	enum err err = OK;
	if (c->count == CONFIGURED_MAX)
		err = problem_set(p, ERR_INVALID, "source",
		    "there may be at most %d sources in the configuration", CONFIGURED_MAX);
	if (err == OK)
		err = read_source(slice_of(item), &canonical, &given, &s, p);
	if (err == OK && has_name(c, source_name(s))) {
		err = problem_set(p, ERR_INVALID, "name",
		    "another one is called %s: name must tell them apart", source_name(s));
		source_free(s);
	} else if (err == OK) {
		c->items[c->count++] = s;
	}
	secrets_forget(&canonical);
	secrets_forget(&given);
	return err;
}

enum err configured_load(const struct config *c, struct configured *out, struct problem *p)
{
	struct problem why;
	for (size_t i = 0; i < c->sources.count; i++) {
		why = (struct problem){.field = ""};
		enum err err = add_source(out, c->sources.items[i], &why);
		bool is_named = slice_starts(slice_of(why.message), slice_of(why.field));
		if (err != OK)
			return problem_set(p, err, "source", "source %zu: %s%s%s", i + 1,
			    is_named ? "" : why.field, is_named ? "" : ": ", why.message);
	}
	return OK;
}

/* The ids of the configured sources that are there. */
struct ids {
	struct uuid list[CONFIGURED_MAX];
	size_t count;
};

static void add_id(void *entry, void *arg)
{
	const struct source *s = ((const struct source_entry *)entry)->source;
	struct ids *ids = arg;
	if (s->is_configured)
		ids->list[ids->count++] = s->id; /* there were at most as many before */
}

static void tell(struct api *api, const struct uuid *id)
{
	if (api != NULL)
		api_source_changed(api, id);
}

static bool has_id(const struct configured *c, const struct uuid *id)
{
	for (size_t i = 0; i < c->count; i++) {
		if (uuid_eq(&c->items[i]->id, id))
			return true;
	}
	return false;
}

/* Removes those that are no longer there. */
static void drop_others(const struct configured *now, struct sources *all, struct api *api)
{
	struct ids ids = {.count = 0};
	sources_each(all, add_id, &ids);
	for (size_t i = 0; i < ids.count; i++) {
		if (has_id(now, &ids.list[i]))
			continue;
		sources_drop(all, &ids.list[i]);
		tell(api, &ids.list[i]);
	}
}

void configured_set(struct configured *now, struct sources *all, struct api *api)
{
	drop_others(now, all, api);
	for (size_t i = 0; i < now->count; i++) {
		struct source *s = now->items[i];
		const struct source_entry *e = sources_find(all, &s->id);
		if (e != NULL && strcmp(e->source->settings, s->settings) == 0) {
			source_free(s);
			continue;
		}
		if (e != NULL)
			s->created_ms = e->source->created_ms;
		struct uuid id = s->id;
		sources_set(all, s);
		tell(api, &id);
	}
	now->count = 0;
}
