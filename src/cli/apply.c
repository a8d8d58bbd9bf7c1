/*
 * waybill apply FILE: makes a gateway's webhooks and sources what a file says. The gateway says
 * itself what a PUT would change (dry_run), so that nothing here knows a default. First all of
 * the file is gone through without a change, which prints the differences and finds what would
 * be refused; then again, and it is done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/provision.h"
#include "cli/show.h"
#include "cli/yaml.h"
#include "domain/json.h"
#include "domain/json_walk.h"
#include "domain/url_given.h"
#include "domain/webhook_mask.h"

#define NAME "waybill apply"
#define FILE_MAX_BYTES (64u << 20)
#define TEXT_MAX 16384
#define BODY_MAX (2u << 20)
#define LINES_MAX (64u << 20)
#define EXIT_DIFFERS 3 /* with --dry-run; 1 and 2 are failures, as of all commands */

struct applying {
	struct asking asking; /* first */
	bool is_dry;          /* --dry-run */
	bool prunes;
	bool writes; /* the second time */
	struct buf file;
	struct buf lines; /* what differs */
	struct known_list known;
	struct buf sources; /* the array of those that there are */
	size_t differences;
};

static bool refuse(const struct applying *ap, const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: ", ap->asking.command);
	show_print(stderr, slice_of(what));
	(void)fprintf(stderr, ": %s\n", why);
	return false;
}

static bool has_mask(struct slice value)
{
	return memmem(value.ptr, value.len, "\"" WEBHOOK_MASK "\"", strlen(WEBHOOK_MASK) + 2) !=
	    NULL;
}

/* A webhook of the file. All texts are owned. */
struct wanted {
	struct slice object;
	char *session;
	char *name; /* NULL: none */
	char *url;  /* as the gateway writes it */
	char *what; /* of lines: its session, and its name or URL */
	struct known *is;
};

static void wanted_fini(struct wanted *w)
{
	free(w->session);
	free(w->name);
	free(w->url);
	free(w->what);
}

static char *make_what(const char *session, const char *name)
{
	struct buf text = BUF_INIT(4 * TEXT_MAX);
	buf_printf(&text, "%s %s", session, name);
	char *copy = mem_copy(buf_cstr(&text), text.len);
	buf_fini(&text);
	return copy;
}

/* Finds it among those that there are: by its name, else by its URL where one has no name. */
static struct known *find(const struct applying *ap, const struct wanted *w)
{
	struct known *by_url = NULL;
	for (size_t i = 0; i < ap->known.count; i++) {
		struct known *k = &ap->known.list[i];
		if (strcmp(k->session, w->session) != 0)
			continue;
		if (k->name != NULL && w->name != NULL && strcmp(k->name, w->name) == 0)
			return k;
		if ((k->name == NULL || w->name == NULL) && strcmp(k->url, w->url) == 0)
			by_url = k;
	}
	return by_url;
}

static bool read_wanted(const struct applying *ap, struct slice object, struct wanted *w)
{
	struct problem p;
	struct buf url = BUF_INIT(4 * TEXT_MAX);
	*w = (struct wanted){.object = object,
	    .session = provision_text_of(object, "session"),
	    .name = provision_text_of(object, "name"),
	    .url = provision_text_of(object, "url")};
	if (w->session == NULL || w->url == NULL)
		return refuse(ap, "webhooks", "each has a session, \"*\" for all, and a url");
	if (url_take(slice_of(w->url), &url, "url", &p) == OK) {
		free(w->url);
		w->url = mem_copy(buf_cstr(&url), url.len);
	} /* else the gateway says it */
	buf_fini(&url);
	w->what = make_what(w->session, w->name != NULL ? w->name : w->url);
	w->is = find(ap, w);
	return true;
}

/* Makes the call with what the file has of it as its body. */
static bool send_wanted(struct applying *ap, const struct wanted *w, const char *method,
    const char *id, bool tries)
{
	struct buf path = BUF_INIT(TEXT_MAX);
	struct buf body = BUF_INIT(BODY_MAX);
	struct json_writer json = JSON_WRITER(&body);
	struct json_walk m = json_walk_in(w->object);
	json_open_object(&json, NULL);
	while (json_walk_next(&m)) {
		if (slice_eq(m.key, SLICE("session")))
			continue;
		json_write_name(&json, m.key);
		json_write_raw(&json, NULL, m.value);
	}
	json_close(&json);
	provision_put_path(&path, w->session, id);
	buf_puts(&path, tries ? "?dry_run=true" : "");
	bool good = json_is_whole(&json) &&
	    asking_call(&ap->asking, method, buf_cstr(&path), buf_view(&body));
	if (!good)
		(void)refuse(ap, w->what, "the gateway did not take it");
	mem_wipe(body.data, body.len);
	buf_fini(&body);
	buf_fini(&path);
	return good;
}

static void note(struct applying *ap, const char *verb, const char *what)
{
	buf_puts(&ap->lines, verb);
	show_put_line(&ap->lines, slice_of(what));
	buf_putc(&ap->lines, '\n');
	ap->differences++;
}

static bool create(struct applying *ap, const struct wanted *w)
{
	if (!ap->writes) {
		note(ap, "+ create ", w->what);
		known_add(&ap->known, w->session, w->name, w->url);
	}
	if (w->name != NULL)
		return send_wanted(ap, w, "PUT", w->name, !ap->writes);
	if (has_mask(w->object))
		return refuse(ap, w->what, "a secret is masked, and there is none to keep");
	return !ap->writes || send_wanted(ap, w, "POST", NULL, false);
}

/* Notes what a PUT would change. */
static bool compare(struct applying *ap, const struct wanted *w)
{
	struct buf path = BUF_INIT(TEXT_MAX);
	struct buf is = BUF_INIT(2 * ASKING_MAX);
	provision_put_path(&path, w->session, w->is->id);
	bool good = asking_call(&ap->asking, "GET", buf_cstr(&path), SLICE(""));
	if (good)
		buf_slice(&is, buf_view(&ap->asking.canonical));
	good = good && send_wanted(ap, w, "PUT", w->is->id, true);
	if (good) {
		struct slice old = buf_view(&is);
		struct slice new = buf_view(&ap->asking.canonical);
		size_t changes = provision_put_changes(&ap->lines, w->what, old, new, false);
		ap->differences += changes;
		if (changes == 0 &&
		    !slice_eq(json_walk_find(old, SLICE("updated_at")),
			json_walk_find(new, SLICE("updated_at")))) {
			buf_puts(&ap->lines, "~ change ");
			show_put_line(&ap->lines, slice_of(w->what));
			buf_puts(&ap->lines,
			    " secrets: " WEBHOOK_MASK " -> " WEBHOOK_MASK "\n");
			ap->differences++;
		}
	}
	buf_fini(&is);
	buf_fini(&path);
	return good;
}

static bool apply_webhook(struct applying *ap, struct slice object)
{
	struct wanted w;
	bool good = read_wanted(ap, object, &w);
	if (good && w.is != NULL && w.is->is_wanted && !ap->writes)
		good = refuse(ap, w.what, "the file has it twice");
	if (good && w.is != NULL)
		w.is->is_wanted = true;
	if (good && (w.is == NULL || w.is->id == NULL))
		good = create(ap, &w);
	else if (good)
		good = ap->writes ? send_wanted(ap, &w, "PUT", w.is->id, false)
				  : compare(ap, &w);
	wanted_fini(&w);
	return good;
}

/* Deletes, or notes, what the file does not have of the sessions that it names. */
static bool prune(struct applying *ap)
{
	bool good = true;
	for (size_t i = 0; good && ap->prunes && i < ap->known.count; i++) {
		const struct known *k = &ap->known.list[i];
		struct buf path = BUF_INIT(TEXT_MAX);
		char *what = make_what(k->session, k->name != NULL ? k->name : k->url);
		provision_put_path(&path, k->session, k->id);
		if (!k->is_wanted && !ap->writes)
			note(ap, "- delete ", what);
		else if (!k->is_wanted)
			good = asking_call(&ap->asking, "DELETE", buf_cstr(&path), SLICE(""));
		free(what);
		buf_fini(&path);
	}
	return good;
}

/* Fetches the webhooks of each session that the file names, once. */
static bool fetch_webhooks(struct applying *ap, struct slice webhooks)
{
	struct json_walk w = json_walk_in(webhooks);
	bool good = true;
	while (good && json_walk_next(&w)) {
		struct json_walk before = json_walk_in(webhooks);
		struct slice session = json_walk_find(w.value, SLICE("session"));
		bool is_new = true;
		while (json_walk_next(&before) && before.value.ptr != w.value.ptr && is_new)
			is_new = !slice_eq(session,
			    json_walk_find(before.value, SLICE("session")));
		char *text = provision_text_of(w.value, "session");
		if (is_new && text != NULL)
			good = known_fetch(&ap->known, &ap->asking, text);
		free(text);
	}
	return good;
}

/* The source of that name; ptr is NULL: there is none. *twice: there are several. */
static struct slice find_source(const struct applying *ap, struct slice name, bool *twice)
{
	struct json_walk s = json_walk_in(buf_view(&ap->sources));
	struct slice found = {0};
	*twice = false;
	while (json_walk_next(&s)) {
		if (!slice_eq(json_walk_find(s.value, SLICE("name")), name))
			continue;
		*twice = found.ptr != NULL;
		found = s.value;
	}
	return found;
}

/* Writes `verify` without its secrets, where these are masked. */
static void write_member(struct json_writer *w, struct slice key, struct slice value)
{
	struct json_walk m = json_walk_in(value);
	json_write_name(w, key);
	if (!slice_eq(key, SLICE("verify")) || !has_mask(value)) {
		json_write_raw(w, NULL, value);
		return;
	}
	json_open_object(w, NULL);
	while (json_walk_next(&m)) {
		if (has_mask(m.value))
			continue;
		json_write_name(w, m.key);
		json_write_raw(w, NULL, m.value);
	}
	json_close(w);
}

/* Changes what of the file differs from what there is. */
static bool change_source(struct applying *ap, struct slice object, struct slice is)
{
	struct buf path = BUF_INIT(TEXT_MAX);
	struct buf body = BUF_INIT(BODY_MAX);
	struct json_writer json = JSON_WRITER(&body);
	struct json_walk m = json_walk_in(object);
	size_t changes = 0;
	json_open_object(&json, NULL);
	while (json_walk_next(&m)) {
		if (slice_eq(json_walk_find(is, m.key), m.value))
			continue;
		write_member(&json, m.key, m.value);
		changes++;
	}
	json_close(&json);
	char *id = provision_text_of(is, "id");
	buf_printf(&path, "/api/v1/sources/%s", id == NULL ? "" : id);
	bool good = json_is_whole(&json) &&
	    (changes == 0 ||
		asking_call(&ap->asking, "PATCH", buf_cstr(&path), buf_view(&body)));
	free(id);
	mem_wipe(body.data, body.len);
	buf_fini(&body);
	buf_fini(&path);
	return good;
}

static bool apply_source(struct applying *ap, struct slice object)
{
	bool twice = false;
	struct slice is = find_source(ap, json_walk_find(object, SLICE("name")), &twice);
	char *name = provision_text_of(object, "name");
	char *what = make_what("source", name == NULL ? "" : name);
	bool good = true;
	if (name == NULL)
		good = refuse(ap, "sources", "each has a name");
	else if (twice)
		good = refuse(ap, what, "there are several of that name");
	else if (is.ptr != NULL && ap->writes)
		good = change_source(ap, object, is);
	else if (is.ptr != NULL)
		ap->differences += provision_put_changes(&ap->lines, what, is, object, true);
	else if (has_mask(object))
		good = refuse(ap, what, "a secret is masked, and there is none to keep");
	else if (ap->writes)
		good = asking_call(&ap->asking, "POST", "/api/v1/sources", object);
	else
		note(ap, "+ create ", what);
	free(what);
	free(name);
	return good;
}

/* Deletes, or notes, the sources that the file does not have, but for configured ones. */
static bool prune_sources(struct applying *ap, struct slice wanted)
{
	struct json_walk s = json_walk_in(buf_view(&ap->sources));
	bool good = true;
	while (good && ap->prunes && json_walk_next(&s)) {
		struct json_walk w = json_walk_in(wanted);
		struct slice name = json_walk_find(s.value, SLICE("name"));
		bool keeps = json_walk_find(s.value, SLICE("configured")).ptr != NULL;
		while (!keeps && json_walk_next(&w))
			keeps = slice_eq(name, json_walk_find(w.value, SLICE("name")));
		if (keeps)
			continue;
		struct buf path = BUF_INIT(TEXT_MAX);
		char *text = provision_text_of(s.value, "name");
		char *id = provision_text_of(s.value, "id");
		char *what = make_what("source", text == NULL ? "" : text);
		buf_printf(&path, "/api/v1/sources/%s", id == NULL ? "" : id);
		if (ap->writes)
			good = asking_call(&ap->asking, "DELETE", buf_cstr(&path), SLICE(""));
		else
			note(ap, "- delete ", what);
		free(text);
		free(id);
		free(what);
		buf_fini(&path);
	}
	return good;
}

static bool fetch_sources(struct applying *ap)
{
	struct json_writer json = JSON_WRITER(&ap->sources);
	struct buf path = BUF_INIT(TEXT_MAX);
	char *cursor = mem_copy("", 0);
	bool good = true;
	json_open_array(&json, NULL);
	while (good && cursor != NULL) {
		buf_reset(&path);
		buf_printf(&path, "/api/v1/sources?limit=200%s%s",
		    cursor[0] == '\0' ? "" : "&cursor=", cursor);
		free(cursor);
		cursor = NULL;
		good = asking_call(&ap->asking, "GET", buf_cstr(&path), SLICE(""));
		struct slice page = good ? buf_view(&ap->asking.canonical) : SLICE("{}");
		struct json_walk s = json_walk_in(json_walk_find(page, SLICE("sources")));
		while (json_walk_next(&s))
			json_write_raw(&json, NULL, s.value);
		cursor = provision_text_of(page, "next_cursor");
	}
	free(cursor);
	json_close(&json);
	buf_fini(&path);
	return json_is_whole(&json) && good;
}

/* Goes through the file once: without a change, or making them. */
static bool go_through(struct applying *ap, struct slice webhooks, struct slice sources)
{
	struct json_walk w = json_walk_in(webhooks);
	struct json_walk s = json_walk_in(sources);
	bool good = true;
	while (good && json_walk_next(&w))
		good = apply_webhook(ap, w.value);
	good = good && prune(ap);
	while (good && json_walk_next(&s))
		good = apply_source(ap, s.value);
	return good && (sources.ptr == NULL || prune_sources(ap, sources));
}

/* Finds the two lists; false, with a word, where there is anything else. */
static bool read_lists(const struct applying *ap, struct slice *webhooks, struct slice *sources)
{
	struct json_walk m = json_walk_in(buf_view(&ap->file));
	bool good = json_is_object(buf_view(&ap->file));
	while (good && json_walk_next(&m)) {
		struct slice *list = slice_eq(m.key, SLICE("webhooks")) ? webhooks : sources;
		struct json_walk items = json_walk_in(m.value);
		good = json_is_array(m.value) &&
		    (list == webhooks || slice_eq(m.key, SLICE("sources")));
		while (good && json_walk_next(&items))
			good = json_is_object(items.value);
		*list = m.value;
	}
	return good ||
	    refuse(ap, "the file",
		"it must be an object with \"webhooks\" and \"sources\" alone, arrays of "
		"objects, as waybill export has them");
}

static int apply(struct applying *ap)
{
	struct slice webhooks = {0};
	struct slice sources = {0};
	asking_open(&ap->asking);
	bool good = read_lists(ap, &webhooks, &sources) && fetch_webhooks(ap, webhooks) &&
	    (sources.ptr == NULL || fetch_sources(ap)) && go_through(ap, webhooks, sources);
	size_t differences = ap->differences;
	good = asking_print(&ap->lines) && good;
	if (good && !ap->is_dry && differences > 0) {
		ap->writes = true;
		good = go_through(ap, webhooks, sources);
	}
	asking_close(&ap->asking);
	if (!good)
		return EXIT_FAILED;
	return ap->is_dry && differences > 0 ? EXIT_DIFFERS : EXIT_OK;
}

/* Whether it is YAML: what its name says, else whether it does not begin as JSON does. */
static bool is_yaml(const char *path, struct slice text)
{
	const char *suffix = strrchr(path, '.');
	if (suffix != NULL && strcasecmp(suffix, ".json") == 0)
		return false;
	if (suffix != NULL &&
	    (strcasecmp(suffix, ".yaml") == 0 || strcasecmp(suffix, ".yml") == 0))
		return true;
	while (text.len > 0 && memchr(" \t\r\n", text.ptr[0], 4) != NULL)
		text = (struct slice){text.ptr + 1, text.len - 1};
	return text.len > 0 && text.ptr[0] != '{' && text.ptr[0] != '[';
}

/* Reads a text as canonical JSON. */
static enum err read_text(struct applying *ap, const char *path, struct slice text,
    struct problem *p)
{
	struct buf json = BUF_INIT(FILE_MAX_BYTES);
	enum err err = OK;
	if (is_yaml(path, text)) {
		err = yaml_read(text, &json, p);
		text = buf_view(&json);
	}
	if (err == OK)
		err = json_read_whole(text, &ap->file, p);
	mem_wipe(json.data, json.len);
	buf_fini(&json);
	return err;
}

/* Reads the file, "-": standard input, as canonical JSON. */
static bool read_file(struct applying *ap, const char *path)
{
	struct problem p;
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	bool is_input = strcmp(path, "-") == 0;
	bool good = file_read(is_input ? "/dev/stdin" : path, &text) == OK;
	if (!good)
		(void)refuse(ap, path,
		    text.failed ? "it has more than 64 MiB" : strerror(errno));
	else if (read_text(ap, path, buf_view(&text), &p) != OK)
		good = refuse(ap, path, p.message);
	mem_wipe(text.data, text.len);
	buf_fini(&text);
	return good;
}

int command_apply(int argc, char **argv)
{
	struct applying ap = {.asking = {.command = NAME},
	    .file = BUF_INIT(FILE_MAX_BYTES),
	    .lines = BUF_INIT(LINES_MAX),
	    .sources = BUF_INIT(FILE_MAX_BYTES)};
	struct problem p;
	int first = 0;
	int status = EXIT_USAGE;
	const struct remote_flag flags[] = {{"dry-run", NULL, &ap.is_dry},
	    {"prune", NULL, &ap.prunes}, {NULL, NULL, NULL}};
	if (!remote_read_more(&ap.asking.remote, flags, argc, argv, &first))
		return EXIT_USAGE;
	if (argc - first != 1)
		(void)fprintf(stderr,
		    "usage: waybill apply [--url URL] [--token T] [--ca-file FILE] "
		    "[--dry-run] [--prune] FILE\n");
	else if (remote_check(&ap.asking.remote, &p) != OK)
		(void)fprintf(stderr, NAME ": %s\n", p.message);
	else
		status = read_file(&ap, argv[first]) ? apply(&ap) : EXIT_FAILED;
	known_free(&ap.known);
	mem_wipe(ap.file.data, ap.file.len);
	buf_fini(&ap.file);
	buf_fini(&ap.lines);
	buf_fini(&ap.sources);
	return status;
}
