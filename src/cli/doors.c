/*
 * waybill source add|list|show|rotate|remove: the sources of a running gateway, and of each the
 * URL to paste at its sender. One request after another; all that the gateway answers with is
 * escaped for the terminal.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/uuid.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "domain/json.h"
#include "domain/json_walk.h"

#define BODY_MAX (64u << 10) /* bytes of what is sent */
#define TEXT_MAX (SHOW_GROWTH * ASKING_MAX)
#define TITLE_WIDTH 16 /* columns: the longest is last_refused_at */
#define USAGE                                                                                  \
	"usage: waybill source add [--url URL] [--token T] [--ca-file FILE] --name NAME\n"     \
	"           [--preset P] [--session S] [--secret S] [--verify-token T]\n"              \
	"           [--body envelope|raw] [--raw-headers NAME,NAME...]\n"                      \
	"       waybill source list | show ID | rotate ID | remove ID\n"                       \
	"           [--url URL] [--token T] [--ca-file FILE]\n"

/* Makes the call about sources, as asking_call() does. */
static bool ask(struct asking *a, const char *method, const char *path, struct slice body)
{
	char whole[128];
	(void)snprintf(whole, sizeof(whole), "/api/v1/sources%s", path);
	return asking_call(a, method, whole, body);
}

static void put_row(struct buf *out, struct slice object, const char *name)
{
	struct slice value = json_walk_find(object, slice_of(name));
	if (value.ptr == NULL || slice_eq(value, SLICE("null")))
		return;
	show_put(out, slice_of(name), TITLE_WIDTH);
	asking_put_value(out, value);
	buf_putc(out, '\n');
}

/* What is to be pasted at the sender. */
static void put_url(const struct asking *a, struct slice source, struct buf *out)
{
	show_put(out, SLICE("url"), TITLE_WIDTH);
	show_put_line(out, slice_of(a->remote.url));
	asking_put_value(out, json_walk_find(source, SLICE("path")));
	buf_putc(out, '\n');
}

/* Prints a source; false where standard output is gone. */
static bool print_source(const struct asking *a, const char *verify_token)
{
	static const char *const MEMBERS[] = {"id", "name", "preset", "enabled", "session",
	    "event", "event_id", "timestamp", "data", "split", "drop", "form", "challenge",
	    "body", "raw_headers", "id_scope", "id_retention", "verify"};
	static const char *const COUNTS[] = {"events", "repeats", "missed", "refused",
	    "last_at", "last_refused_at", "last_refused"};
	struct slice source = buf_view(&a->canonical);
	struct slice received = json_walk_find(source, SLICE("received"));
	struct buf out = BUF_INIT(TEXT_MAX);
	for (size_t i = 0; i < sizeof(MEMBERS) / sizeof(MEMBERS[0]); i++)
		put_row(&out, source, MEMBERS[i]);
	for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
		put_row(&out, received, COUNTS[i]);
	put_url(a, source, &out);
	put_row(&out, source, "secret");
	if (verify_token != NULL) {
		show_put(&out, SLICE("verify_token"), TITLE_WIDTH);
		show_put_line(&out, slice_of(verify_token));
		buf_putc(&out, '\n');
	}
	if (json_walk_find(source, SLICE("secret")).ptr != NULL)
		buf_puts(&out, "The secret is not shown again.\n");
	bool good = asking_print(&out);
	buf_fini(&out);
	return good;
}

static void put_cell(struct buf *out, struct slice value, size_t width)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	asking_put_value(&text, value);
	show_put(out, buf_view(&text), width);
	buf_putc(out, ' ');
	buf_fini(&text);
}

/* A line of the list: what was chosen by people is its end. */
static void put_line(struct slice source, struct buf *out)
{
	struct slice received = json_walk_find(source, SLICE("received"));
	struct slice why = json_walk_find(received, SLICE("last_refused"));
	put_cell(out, json_walk_find(source, SLICE("id")), 36);
	put_cell(out, json_walk_find(source, SLICE("preset")), 17);
	put_cell(out, json_walk_find(received, SLICE("events")), 9);
	put_cell(out, json_walk_find(received, SLICE("missed")), 7);
	put_cell(out, json_walk_find(received, SLICE("refused")), 8);
	put_cell(out, json_walk_find(received, SLICE("last_at")), 24);
	asking_put_value(out, json_walk_find(source, SLICE("name")));
	if (json_is_string(why)) {
		buf_puts(out, " (");
		asking_put_value(out, why);
		buf_putc(out, ')');
	}
	buf_putc(out, '\n');
}

/* Prints the page; *cursor is the next one's, "" for none. */
static bool print_page(const struct asking *a, char cursor[UUID_TEXT_SIZE])
{
	struct buf out = BUF_INIT(TEXT_MAX);
	struct buf next = BUF_INIT(UUID_TEXT_SIZE);
	struct slice page = buf_view(&a->canonical);
	struct json_walk w = json_walk_in(json_walk_find(page, SLICE("sources")));
	struct uuid id;
	while (json_walk_next(&w))
		put_line(w.value, &out);
	cursor[0] = '\0';
	if (json_text_of(json_walk_find(page, SLICE("next_cursor")), &next) &&
	    uuid_parse(buf_view(&next), &id) == OK)
		uuid_format(&id, cursor);
	bool good = asking_print(&out);
	buf_fini(&next);
	buf_fini(&out);
	return good;
}

static bool list(struct asking *a)
{
	char cursor[UUID_TEXT_SIZE] = "";
	char path[64] = "";
	bool good = ask(a, "GET", path, SLICE(""));
	if (good) /* else it has been said why */
		(void)printf("%-36s %-17s %-9s %-7s %-8s %-24s NAME\n", "ID", "PRESET",
		    "EVENTS", "MISSED", "REFUSED", "LAST");
	good = good && print_page(a, cursor);
	while (good && cursor[0] != '\0') {
		(void)snprintf(path, sizeof(path), "?cursor=%s", cursor);
		good = ask(a, "GET", path, SLICE("")) && print_page(a, cursor);
	}
	return good;
}

/* What a new source is made of; NULL: not given. */
struct new_source {
	const char *name;
	const char *preset;
	const char *session;
	const char *secret;
	const char *verify_token;
	const char *body;
	const char *raw_headers; /* names, with commas between them */
};

static void write_given(struct json_writer *w, const char *name, const char *value)
{
	if (value != NULL)
		json_write_bytes(w, name, slice_of(value));
}

static void write_raw_headers(struct json_writer *w, struct slice names)
{
	json_open_array(w, "raw_headers");
	while (names.len > 0)
		json_write_bytes(w, NULL, slice_trim(slice_cut(&names, ',')));
	json_close(w);
}

static bool add(struct asking *a, const struct new_source *n)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct json_writer w = JSON_WRITER(&body);
	json_open_object(&w, NULL);
	write_given(&w, "name", n->name);
	write_given(&w, "preset", n->preset);
	write_given(&w, "session", n->session);
	write_given(&w, "verify_token", n->verify_token);
	write_given(&w, "body", n->body);
	if (n->raw_headers != NULL)
		write_raw_headers(&w, slice_of(n->raw_headers));
	if (n->secret != NULL) {
		json_open_object(&w, "verify");
		json_open_array(&w, "secrets");
		json_write_bytes(&w, NULL, slice_of(n->secret));
		json_close(&w);
		json_close(&w);
	}
	json_close(&w);
	bool good = json_is_whole(&w);
	if (!good)
		(void)fprintf(stderr, "%s: this is too long\n", a->command);
	good = good && ask(a, "POST", "", buf_view(&body)) && print_source(a, n->verify_token);
	buf_fini(&body);
	return good;
}

static bool remove_one(struct asking *a, const char *path)
{
	if (!ask(a, "DELETE", path, SLICE("")))
		return false;
	struct buf out = BUF_INIT(TEXT_MAX);
	asking_put_value(&out, json_walk_find(buf_view(&a->canonical), SLICE("message")));
	bool good = puts(buf_cstr(&out)) >= 0 && fflush(stdout) == 0;
	buf_fini(&out);
	return good;
}

/* Does what `verb` says with the source `id`, or with all. */
static bool run(struct asking *a, const char *verb, const struct new_source *n,
    const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	char path[64];
	if (strcmp(verb, "add") == 0)
		return add(a, n);
	if (strcmp(verb, "list") == 0)
		return list(a);
	uuid_format(id, text);
	(void)snprintf(path, sizeof(path), "/%s%s", text,
	    strcmp(verb, "rotate") == 0 ? "/rotate" : "");
	if (strcmp(verb, "remove") == 0)
		return remove_one(a, path);
	return ask(a, strcmp(verb, "show") == 0 ? "GET" : "POST", path, SLICE("")) &&
	    print_source(a, NULL);
}

static int connect_and_run(struct asking *a, const char *verb, const struct new_source *n,
    const struct uuid *id)
{
	asking_open(a);
	bool good = run(a, verb, n, id);
	asking_close(a);
	return good ? EXIT_OK : EXIT_FAILED;
}

static bool is_verb(const char *word)
{
	static const char *const VERBS[] = {"add", "list", "show", "rotate", "remove"};
	for (size_t i = 0; i < sizeof(VERBS) / sizeof(VERBS[0]); i++) {
		if (strcmp(word, VERBS[i]) == 0)
			return true;
	}
	return false;
}

static int refuse_usage(void)
{
	(void)fputs(USAGE, stderr); /* nobody reads it if this fails */
	return EXIT_USAGE;
}

int command_source(int argc, char **argv)
{
	struct new_source n = {0};
	struct asking a = {0};
	struct uuid id = {{0}};
	struct problem p;
	char command[32];
	int first = 0;
	if (argc < 2 || !is_verb(argv[1]))
		return refuse_usage();
	const char *verb = argv[1];
	bool adds = strcmp(verb, "add") == 0;
	const struct remote_flag flags[] = {{"name", &n.name, NULL},
	    {"preset", &n.preset, NULL}, {"session", &n.session, NULL},
	    {"secret", &n.secret, NULL}, {"verify-token", &n.verify_token, NULL},
	    {"body", &n.body, NULL}, {"raw-headers", &n.raw_headers, NULL}, {NULL, NULL, NULL}};
	const size_t none = sizeof(flags) / sizeof(flags[0]) - 1;
	(void)snprintf(command, sizeof(command), "waybill source %s", verb);
	a.command = command;
	/* cppcheck-suppress autoVariables ; the program ends before its name does */
	argv[1] = command + strlen("waybill ");
	if (!remote_read_more(&a.remote, adds ? flags : flags + none, argc - 1, argv + 1,
		&first))
		return EXIT_USAGE;
	bool has_id = !adds && strcmp(verb, "list") != 0;
	if (argc - 1 - first != (has_id ? 1 : 0) || (adds && n.name == NULL))
		return refuse_usage();
	if (has_id && uuid_parse(slice_of(argv[1 + first]), &id) != OK) {
		(void)fprintf(stderr, "%s: ID must be that of a source\n", command);
		return EXIT_USAGE;
	}
	if (remote_check(&a.remote, &p) != OK) {
		(void)fprintf(stderr, "%s: %s\n", command, p.message);
		return EXIT_USAGE;
	}
	return connect_and_run(&a, verb, &n, &id);
}
