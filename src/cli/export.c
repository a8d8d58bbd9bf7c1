/* waybill export: the webhooks and sources of a gateway as a file for `waybill apply`. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/provision.h"
#include "cli/yaml.h"
#include "domain/json_walk.h"

#define NAME "waybill export"
#define FILE_MAX_BYTES (256u << 20)
#define PATH_MAX_BYTES 8192

struct exporting {
	struct asking asking; /* first */
	const char *session;  /* NULL: all */
	bool shows_headers;
	bool is_yaml;
};

static bool write_webhooks(struct exporting *e, struct json_writer *w)
{
	struct known_list known = {0};
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	bool good = known_fetch(&known, &e->asking, e->session);
	known_sort(&known);
	json_open_array(w, "webhooks");
	for (size_t i = 0; good && i < known.count; i++) {
		buf_reset(&path);
		provision_put_path(&path, known.list[i].session, known.list[i].id);
		good = asking_call(&e->asking, "GET", buf_cstr(&path), SLICE(""));
		if (good)
			provision_write(w, buf_view(&e->asking.canonical), false,
			    e->shows_headers);
	}
	json_close(w);
	buf_fini(&path);
	known_free(&known);
	return good;
}

/* Those of the configuration file are in that. */
static bool write_sources(struct exporting *e, struct json_writer *w)
{
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	struct buf cursor = BUF_INIT(PATH_MAX_BYTES);
	bool good = true;
	json_open_array(w, "sources");
	do {
		buf_reset(&path);
		buf_puts(&path, "/api/v1/sources");
		if (cursor.len > 0)
			buf_printf(&path, "?cursor=%s", buf_cstr(&cursor));
		good = asking_call(&e->asking, "GET", buf_cstr(&path), SLICE(""));
		if (!good)
			break;
		struct slice page = buf_view(&e->asking.canonical);
		struct json_walk s = json_walk_in(json_walk_find(page, SLICE("sources")));
		while (json_walk_next(&s)) {
			if (json_walk_find(s.value, SLICE("configured")).ptr == NULL)
				provision_write(w, s.value, true, false);
		}
		buf_reset(&cursor);
		(void)json_text_of(json_walk_find(page, SLICE("next_cursor")), &cursor);
	} while (cursor.len > 0);
	json_close(w);
	buf_fini(&cursor);
	buf_fini(&path);
	return good;
}

/* Appends the file; false, with a word, where YAML cannot say what is in it. */
static bool put_file(const struct exporting *e, struct slice json, struct buf *text)
{
	if (e->is_yaml && yaml_write(text, json) != OK) {
		(void)fprintf(stderr,
		    NAME ": a string has half a character (a lone surrogate), which YAML "
			 "cannot say: leave --yaml out\n");
		return false;
	}
	if (!e->is_yaml) {
		provision_put_pretty(text, json, 0);
		buf_putc(text, '\n');
	}
	return true;
}

static int export(struct exporting *e)
{
	struct buf json = BUF_INIT(FILE_MAX_BYTES);
	struct buf text = BUF_INIT(2 * FILE_MAX_BYTES);
	struct json_writer w = JSON_WRITER(&json);
	asking_open(&e->asking);
	json_open_object(&w, NULL);
	bool good = write_webhooks(e, &w);
	if (good && e->session == NULL)
		good = write_sources(e, &w);
	json_close(&w);
	good = json_is_whole(&w) && good && put_file(e, buf_view(&json), &text) &&
	    asking_print(&text);
	buf_fini(&text);
	buf_fini(&json);
	asking_close(&e->asking);
	return good ? EXIT_OK : EXIT_FAILED;
}

int command_export(int argc, char **argv)
{
	struct exporting e = {.asking = {.command = NAME}};
	struct problem p;
	int first = 0;
	const struct remote_flag flags[] = {{"session", &e.session, NULL},
	    {"headers", NULL, &e.shows_headers}, {"yaml", NULL, &e.is_yaml},
	    {NULL, NULL, NULL}};
	if (!remote_read_more(&e.asking.remote, flags, argc, argv, &first))
		return EXIT_USAGE;
	if (first != argc) {
		(void)fprintf(stderr,
		    "usage: waybill export [--url URL] [--token T] [--ca-file FILE] "
		    "[--session S] [--headers] [--yaml]\n");
		return EXIT_USAGE;
	}
	if (remote_check(&e.asking.remote, &p) != OK) {
		(void)fprintf(stderr, NAME ": %s\n", p.message);
		return EXIT_USAGE;
	}
	return export(&e);
}
