/*
 * waybill webhooks|deliveries|dlq|sources: what the API has of these, in tables, and what can
 * be done with one of them. A table says which call each word is; nothing here knows what the
 * answers mean. All of them is escaped for the terminal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "base/percent.h"
#include "base/str.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "domain/json_walk.h"

#define PATH_MAX_BYTES 8192
#define BODY_MAX 4096
#define OUT_MAX (SHOW_GROWTH * ASKING_MAX)
#define LIMIT_DEFAULT 50
#define LIMIT_MAX 100000
#define PAGE_MAX 200 /* entries that every list gives at a time */
#define COLUMNS_MAX 8
#define TITLE_WIDTH 28 /* columns: the longest is previous_secret_expires_at */

struct column {
	const char *title;
	const char *member; /* "last_attempt.at" is one of a member */
};

/* What is sent: nothing, and the flags are the query; these; that it is enabled, or is not. */
enum body { BODY_NONE, BODY_FLAGS, BODY_ON, BODY_OFF };

/* '@' in a path is the ID. */
struct verb {
	const char *name;
	const char *method;
	const char *path;  /* without a session; NULL: it has one, if need be that of the ID */
	const char *inner; /* behind the session, or alone for *; NULL: it has none */
	bool has_id;
	bool lists;
	const char *flags; /* that the call knows, between spaces */
	enum body body;
};

#define VERBS_MAX 8

static const struct thing {
	const char *name;
	const char *finds;  /* says of which session an ID is; NULL: no verb asks */
	const char *member; /* of a list's answer */
	struct column columns[COLUMNS_MAX + 1];
	struct verb verbs[VERBS_MAX + 1];
} THINGS[] = {
    {"webhooks", "/webhooks/@", "webhooks",
	{{"ID", "id"}, {"NAME", "name"}, {"SESSION", "session_id"}, {"STATE", "state"},
	    {"LAST", "last_attempt.at"}, {"STATUS", "last_attempt.status"}, {"URL", "url"}},
	{{"list", "GET", "/webhooks/all", "/webhooks", false, true, " state ", BODY_NONE},
	    {"show", "GET", "/webhooks/@", "/webhooks/@", true, false, "", BODY_NONE},
	    {"disable", "POST", NULL, "/webhooks/@/disable", true, false, "", BODY_NONE},
	    {"enable", "POST", NULL, "/webhooks/@/enable", true, false, "", BODY_NONE},
	    {"replay", "POST", NULL, "/webhooks/@/replay", true, false, " since until status ",
		BODY_FLAGS},
	    {"delete", "DELETE", NULL, "/webhooks/@", true, false, "", BODY_NONE}}},
    {"deliveries", "/deliveries/@", "deliveries",
	{{"ID", "id"}, {"SESSION", "session_id"}, {"EVENT", "event"}, {"STATUS", "status"},
	    {"TRIES", "attempt_count"}, {"CREATED", "created_at"}, {"NEXT", "next_attempt_at"},
	    {"WEBHOOK", "webhook_id"}},
	{{"list", "GET", "/deliveries", "/deliveries", false, true,
	     " webhook status event since until ", BODY_NONE},
	    {"show", "GET", "/deliveries/@", "/deliveries/@", true, false, "", BODY_NONE},
	    {"retry", "POST", NULL, "/deliveries/@/retry", true, false, "", BODY_NONE},
	    {"cancel", "POST", NULL, "/deliveries/@/cancel", true, false, "", BODY_NONE}}},
    {"dlq", NULL, "entries",
	{{"ID", "id"}, {"SESSION", "session_id"}, {"EVENT", "event"}, {"TRIES", "attempts"},
	    {"FAILED", "failed_at"}, {"WEBHOOK", "webhook_id"}, {"ERROR", "last_error"}},
	{{"list", "GET", "/dlq", "/webhooks/dlq", false, true, " webhook event since until ",
	     BODY_NONE},
	    {"replay", "POST", "/dlq/replay", "/webhooks/dlq/replay", false, false, " webhook ",
		BODY_NONE},
	    {"replay", "POST", "/dlq/@/replay", "/webhooks/dlq/@/replay", true, false, "",
		BODY_NONE},
	    {"purge", "DELETE", NULL, "/webhooks/dlq", false, false, " webhook ", BODY_NONE},
	    {"purge", "DELETE", "/dlq/@", "/webhooks/dlq/@", true, false, "", BODY_NONE}}},
    {"sources", NULL, "sources",
	{{"ID", "id"}, {"NAME", "name"}, {"PRESET", "preset"}, {"SESSION", "session"},
	    {"EVENTS", "received.events"}, {"REFUSED", "received.refused"},
	    {"LAST", "received.last_at"}},
	{{"list", "GET", "/sources", NULL, false, true, "", BODY_NONE},
	    {"show", "GET", "/sources/@", NULL, true, false, "", BODY_NONE},
	    {"disable", "PATCH", "/sources/@", NULL, true, false, "", BODY_OFF},
	    {"enable", "PATCH", "/sources/@", NULL, true, false, "", BODY_ON}}},
};

/* What was given; NULL: it was not. */
struct given {
	const char *session;
	const char *webhook;
	const char *status;
	const char *state;
	const char *event;
	const char *since;
	const char *until;
	const char *limit;
	bool json;
};

/* The filters, by their flags and their names in queries and bodies. */
struct filter_flag {
	const char *flag;
	const char *parameter;
	const char *value;
};
#define FILTERS 6

static void list_filters(const struct given *g, struct filter_flag out[FILTERS])
{
	const struct filter_flag all[FILTERS] = {{"webhook", "webhook_id", g->webhook},
	    {"status", "status", g->status}, {"state", "state", g->state},
	    {"event", "event", g->event}, {"since", "since", g->since},
	    {"until", "until", g->until}};
	memcpy(out, all, sizeof(all));
}

struct doing {
	struct asking asking; /* first */
	const struct thing *thing;
	const struct verb *verb;
	struct given given;
	const char *id; /* NULL: the verb takes none */
	char *session;  /* owned; as it was given, or found; NULL: none */
	uint64_t limit;
};

static void put_filled(struct buf *out, const char *path, const char *id)
{
	for (; *path != '\0'; path++) {
		if (*path == '@')
			percent_put(out, slice_of(id));
		else
			buf_putc(out, *path);
	}
}

/* Appends the path of the call, and where the flags are its query, that. */
static void put_path(const struct doing *d, struct buf *out)
{
	const struct verb *v = d->verb;
	struct filter_flag filters[FILTERS];
	const char *mark = "?";
	buf_puts(out, "/api/v1");
	if (d->session != NULL && v->inner != NULL && strcmp(d->session, "*") != 0) {
		buf_puts(out, "/sessions/");
		percent_put(out, slice_of(d->session));
	}
	put_filled(out, d->session != NULL && v->inner != NULL ? v->inner : v->path, d->id);
	list_filters(&d->given, filters);
	for (size_t i = 0; i < FILTERS && v->body == BODY_NONE; i++) {
		if (filters[i].value == NULL)
			continue;
		buf_printf(out, "%s%s=", mark, filters[i].parameter);
		percent_put(out, slice_of(filters[i].value));
		mark = "&";
	}
	if (v->lists)
		buf_printf(out, "%slimit=%llu", mark,
		    (unsigned long long)(d->limit < PAGE_MAX ? d->limit : PAGE_MAX));
}

static void put_body(const struct doing *d, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	struct filter_flag filters[FILTERS];
	if (d->verb->body == BODY_NONE)
		return;
	list_filters(&d->given, filters);
	json_open_object(&w, NULL);
	if (d->verb->body != BODY_FLAGS)
		json_write_bool(&w, "enabled", d->verb->body == BODY_ON);
	for (size_t i = 0; i < FILTERS; i++) {
		if (filters[i].value != NULL)
			json_write_bytes(&w, filters[i].parameter, slice_of(filters[i].value));
	}
	json_close(&w);
	out->failed = !json_is_whole(&w);
}

/* Makes the call, from `cursor` on where that is not empty. */
static bool call(struct doing *d, struct slice cursor)
{
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	struct buf body = BUF_INIT(BODY_MAX);
	put_path(d, &path);
	if (cursor.len > 0) {
		buf_puts(&path,
		    memchr(path.data, '?', path.len) == NULL ? "?cursor=" : "&cursor=");
		percent_put(&path, cursor);
	}
	put_body(d, &body);
	bool good = !path.failed && !body.failed;
	if (!good)
		(void)fprintf(stderr, "%s: this is too long\n", d->asking.command);
	good = good &&
	    asking_call(&d->asking, d->verb->method, buf_cstr(&path), buf_view(&body));
	buf_fini(&path);
	buf_fini(&body);
	return good;
}

/* Finds the session that the ID is of, where the call needs it. */
static bool find_session(struct doing *d)
{
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	struct buf session = BUF_INIT(ASKING_MAX);
	if (d->session != NULL || d->verb->path != NULL)
		return true;
	if (d->thing->finds == NULL || d->id == NULL) {
		(void)fprintf(stderr, "%s: say of which --session\n", d->asking.command);
		return false;
	}
	buf_puts(&path, "/api/v1");
	put_filled(&path, d->thing->finds, d->id);
	bool good = asking_call(&d->asking, "GET", buf_cstr(&path), SLICE("")) &&
	    json_text_of(json_walk_find(buf_view(&d->asking.canonical), SLICE("session_id")),
		&session);
	if (good)
		d->session = mem_copy(session.data, session.len);
	buf_fini(&session);
	buf_fini(&path);
	return good;
}

/* The value of a column; its ptr is NULL where there is none. */
static struct slice member_of(struct slice entry, const char *member)
{
	struct slice rest = slice_of(member);
	while (rest.len > 0 && entry.ptr != NULL && json_is_object(entry))
		entry = json_walk_find(entry, slice_cut(&rest, '.'));
	if (rest.len > 0)
		entry = (struct slice){0};
	return entry;
}

/* Cells of a table, row by row, each as it is shown. */
struct table {
	char **cells;
	size_t count;
	size_t columns;
	size_t widths[COLUMNS_MAX];
};

static size_t characters(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
	return n;
}

static void table_add(struct table *t, struct slice cell)
{
	size_t column = t->count % t->columns;
	t->cells = mem_resize(t->cells, t->count + 1, sizeof(*t->cells));
	t->cells[t->count++] = mem_copy(cell.ptr, cell.len);
	size_t width = characters(t->cells[t->count - 1]);
	t->widths[column] = width > t->widths[column] ? width : t->widths[column];
}

static void table_add_entry(struct table *t, const struct thing *thing, struct slice entry)
{
	struct buf cell = BUF_INIT(OUT_MAX);
	for (size_t i = 0; i < t->columns; i++) {
		buf_reset(&cell);
		asking_put_value(&cell, member_of(entry, thing->columns[i].member));
		table_add(t, slice_of(buf_cstr(&cell)));
	}
	buf_fini(&cell);
}

/* Prints and frees the cells; the last column is as wide as it is. */
static bool table_print(struct table *t)
{
	bool good = true;
	for (size_t i = 0; i < t->count; i++) {
		size_t column = i % t->columns;
		bool is_last = column + 1 == t->columns;
		size_t fill = is_last ? 0 : t->widths[column] - characters(t->cells[i]) + 2;
		good = good &&
		    printf("%s%*s%s", t->cells[i], (int)fill, "", is_last ? "\n" : "") >= 0;
		free(t->cells[i]);
	}
	free(t->cells);
	return fflush(stdout) == 0 && good;
}

static bool print_json(struct slice value)
{
	struct buf out = BUF_INIT(OUT_MAX);
	show_put_line(&out, value);
	buf_putc(&out, '\n');
	bool good = asking_print(&out);
	buf_fini(&out);
	return good;
}

/* Takes what a page has; the next page's cursor into `next`, empty: there is none. */
static bool take_page(struct doing *d, struct table *t, struct buf *next)
{
	struct slice page = buf_view(&d->asking.canonical);
	struct json_walk w = json_walk_in(json_walk_find(page, slice_of(d->thing->member)));
	bool good = true;
	for (; good && d->limit > 0 && json_walk_next(&w); d->limit--) {
		if (d->given.json)
			good = print_json(w.value);
		else
			table_add_entry(t, d->thing, w.value);
	}
	buf_reset(next);
	(void)json_text_of(json_walk_find(page, SLICE("next_cursor")), next); /* or null */
	return good;
}

static bool list(struct doing *d)
{
	struct table t = {.columns = 0};
	struct buf cursor = BUF_INIT(PATH_MAX_BYTES);
	bool good = true;
	while (t.columns < COLUMNS_MAX && d->thing->columns[t.columns].title != NULL)
		t.columns++;
	for (size_t i = 0; i < t.columns; i++)
		table_add(&t, slice_of(d->thing->columns[i].title));
	do {
		good = call(d, buf_view(&cursor)) && take_page(d, &t, &cursor);
	} while (good && d->limit > 0 && cursor.len > 0);
	buf_fini(&cursor);
	if (!d->given.json && good)
		return table_print(&t);
	for (size_t i = 0; i < t.count; i++)
		free(t.cells[i]);
	free(t.cells);
	return good;
}

/* Prints what an answer says: its message, or member by member. */
static bool print_answer(const struct doing *d)
{
	struct slice answer = buf_view(&d->asking.canonical);
	struct slice message = json_walk_find(answer, SLICE("message"));
	struct json_walk w = json_walk_in(answer);
	struct buf out = BUF_INIT(2 * OUT_MAX);
	if (d->given.json)
		return print_json(answer);
	if (message.ptr != NULL) {
		asking_put_value(&out, message);
		buf_putc(&out, '\n');
	}
	while (json_walk_next(&w)) {
		if (message.ptr != NULL &&
		    (slice_eq(w.key, SLICE("success")) || slice_eq(w.key, SLICE("message"))))
			continue;
		show_put(&out, w.key, TITLE_WIDTH);
		asking_put_value(&out, w.value);
		buf_putc(&out, '\n');
	}
	bool good = asking_print(&out);
	buf_fini(&out);
	return good;
}

/* Makes the call, and as often again as its answer says that there is more. */
static bool act(struct doing *d)
{
	struct buf cursor = BUF_INIT(PATH_MAX_BYTES);
	bool good = true;
	do {
		good = call(d, buf_view(&cursor)) && print_answer(d);
		struct slice answer = buf_view(&d->asking.canonical);
		buf_reset(&cursor);
		if (good)
			(void)json_text_of(json_walk_find(answer, SLICE("next_cursor")),
			    &cursor);
	} while (good && cursor.len > 0);
	buf_fini(&cursor);
	return good;
}

static const struct thing *find_thing(const char *name)
{
	for (size_t i = 0; i < sizeof(THINGS) / sizeof(THINGS[0]); i++) {
		if (strcmp(THINGS[i].name, name) == 0)
			return &THINGS[i];
	}
	return &THINGS[0]; /* main.c has no other names */
}

static int refuse_usage(const struct thing *t)
{
	(void)fprintf(stderr, "usage: waybill %s [--session S] [--json] ", t->name);
	for (const struct verb *v = t->verbs; v->name != NULL; v++) {
		bool again = v > t->verbs && strcmp(v[-1].name, v->name) == 0;
		if (!again)
			(void)fprintf(stderr, "%s%s%s", v == t->verbs ? "" : " | ", v->name,
			    v->has_id ? " ID" : "");
		else
			(void)fprintf(stderr, " [ID]");
	}
	(void)fputs("\n", stderr); /* nobody reads it if this fails */
	return EXIT_USAGE;
}

/* The row of a word, with an ID or without. */
static const struct verb *find_verb(const struct thing *t, const char *word, bool has_id)
{
	for (const struct verb *v = t->verbs; v->name != NULL; v++) {
		if (strcmp(v->name, word) == 0 && v->has_id == has_id)
			return v;
	}
	return NULL;
}

/* Whether the call knows all that was given; else it has been said what it does not. */
static bool check_flags(const struct doing *d)
{
	struct filter_flag filters[FILTERS];
	char word[32];
	const char *unknown = NULL;
	list_filters(&d->given, filters);
	for (size_t i = 0; i < FILTERS; i++) {
		(void)snprintf(word, sizeof(word), " %s ", filters[i].flag);
		if (filters[i].value != NULL && strstr(d->verb->flags, word) == NULL)
			unknown = filters[i].flag;
	}
	if (d->given.session != NULL && d->verb->inner == NULL)
		unknown = "session";
	if (d->given.limit != NULL && !d->verb->lists)
		unknown = "limit";
	if (unknown != NULL)
		(void)fprintf(stderr, "%s: --%s is not for this\n", d->asking.command, unknown);
	return unknown == NULL;
}

static bool read_limit(struct doing *d)
{
	d->limit = LIMIT_DEFAULT;
	if (d->given.limit == NULL)
		return true;
	if (str_u64(slice_of(d->given.limit), &d->limit) == OK && d->limit >= 1 &&
	    d->limit <= LIMIT_MAX)
		return true;
	(void)fprintf(stderr, "%s: --limit: an integer from 1 to %d\n", d->asking.command,
	    LIMIT_MAX);
	return false;
}

static int run(struct doing *d)
{
	asking_open(&d->asking);
	if (d->given.session != NULL)
		d->session = mem_copy(d->given.session, strlen(d->given.session));
	bool good = find_session(d);
	if (good && d->verb->lists)
		good = list(d);
	else if (good)
		good = act(d);
	asking_close(&d->asking);
	free(d->session);
	return good ? EXIT_OK : EXIT_FAILED;
}

int command_things(int argc, char **argv)
{
	struct doing d = {.thing = find_thing(argv[0])};
	struct given *g = &d.given;
	struct problem p;
	char command[48];
	int first = 0;
	const struct remote_flag flags[] = {{"session", &g->session, NULL},
	    {"webhook", &g->webhook, NULL}, {"status", &g->status, NULL},
	    {"state", &g->state, NULL}, {"event", &g->event, NULL}, {"since", &g->since, NULL},
	    {"until", &g->until, NULL}, {"limit", &g->limit, NULL}, {"json", NULL, &g->json},
	    {NULL, NULL, NULL}};
	if (!remote_read_more(&d.asking.remote, flags, argc, argv, &first))
		return EXIT_USAGE;
	int words = argc - first;
	if (words >= 1 && words <= 2)
		d.verb = find_verb(d.thing, argv[first], words == 2);
	if (d.verb == NULL)
		return refuse_usage(d.thing);
	d.id = words == 2 ? argv[first + 1] : NULL;
	(void)snprintf(command, sizeof(command), "waybill %s %s", d.thing->name, d.verb->name);
	d.asking.command = command;
	if (!check_flags(&d) || !read_limit(&d))
		return EXIT_USAGE;
	if (remote_check(&d.asking.remote, &p) != OK) {
		(void)fprintf(stderr, "%s: %s\n", command, p.message);
		return EXIT_USAGE;
	}
	return run(&d);
}
