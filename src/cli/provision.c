/* Webhooks and sources as a file has them; see provision.h. */
#include "cli/provision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/percent.h"
#include "cli/show.h"
#include "domain/json_walk.h"
#include "domain/webhook_mask.h"

#define PATH_MAX_BYTES 8192
#define TEXT_MAX 16384 /* bytes of an id, a name, a URL */
#define LEVELS 3       /* the file, a list, one of it */

bool provision_is_read_only(struct slice member, bool of_source)
{
	static const char *const OF_WEBHOOKS[] = {"id", "session_id",
	    "previous_secret_expires_at", "public_key", "previous_public_key",
	    "previous_key_expires_at", "client_cert_expires_at", "ownership", "disabled_reason",
	    "keep_queueing", "state", "circuit", "in_flight", "held_reason", "last_attempt",
	    "created_at", "updated_at", NULL};
	static const char *const OF_SOURCES[] = {"id", "path", "configured", "problem",
	    "connection", "secret", "received", "created_at", "updated_at", NULL};
	const char *const *names = of_source ? OF_SOURCES : OF_WEBHOOKS;
	for (; *names != NULL; names++) {
		if (slice_eq(member, slice_of(*names)))
			return true;
	}
	return false;
}

void provision_put_path(struct buf *out, const char *session, const char *id)
{
	buf_puts(out, "/api/v1");
	if (strcmp(session, "*") != 0) {
		buf_puts(out, "/sessions/");
		percent_put(out, slice_of(session));
	}
	buf_puts(out, "/webhooks");
	if (id != NULL) {
		buf_putc(out, '/');
		percent_put(out, slice_of(id));
	}
}

char *provision_text_of(struct slice object, const char *member)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	char *copy = NULL;
	if (json_text_of(json_walk_find(object, slice_of(member)), &text))
		copy = mem_copy(buf_cstr(&text), text.len);
	buf_fini(&text);
	return copy;
}

static void add(struct known_list *l, struct slice webhook)
{
	struct known k = {.session = provision_text_of(webhook, "session_id"),
	    .id = provision_text_of(webhook, "id"),
	    .name = provision_text_of(webhook, "name"),
	    .url = provision_text_of(webhook, "url")};
	if (k.session == NULL || k.id == NULL || k.url == NULL)
		return; /* none of ours */
	l->list = mem_resize(l->list, l->count + 1, sizeof(k));
	l->list[l->count++] = k;
}

void known_add(struct known_list *l, const char *session, const char *name, const char *url)
{
	struct known k = {.session = mem_copy(session, strlen(session)),
	    .name = name == NULL ? NULL : mem_copy(name, strlen(name)),
	    .url = mem_copy(url, strlen(url)),
	    .is_wanted = true};
	l->list = mem_resize(l->list, l->count + 1, sizeof(k));
	l->list[l->count++] = k;
}

bool known_fetch(struct known_list *l, struct asking *a, const char *session)
{
	struct buf path = BUF_INIT(PATH_MAX_BYTES);
	char *cursor = mem_copy("", 0);
	bool good = true;
	while (good && cursor != NULL) {
		buf_reset(&path);
		if (session == NULL)
			buf_puts(&path, "/api/v1/webhooks/all");
		else
			provision_put_path(&path, session, NULL);
		buf_puts(&path, "?limit=200");
		if (cursor[0] != '\0')
			buf_printf(&path, "&cursor=%s", cursor);
		free(cursor);
		cursor = NULL;
		good = asking_call(a, "GET", buf_cstr(&path), SLICE(""));
		if (!good)
			break;
		struct slice page = buf_view(&a->canonical);
		struct json_walk w = json_walk_in(json_walk_find(page, SLICE("webhooks")));
		while (json_walk_next(&w))
			add(l, w.value);
		cursor = provision_text_of(page, "next_cursor");
	}
	free(cursor);
	buf_fini(&path);
	return good;
}

void known_free(struct known_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->list[i].session);
		free(l->list[i].id);
		free(l->list[i].name);
		free(l->list[i].url);
	}
	free(l->list);
}

static int compare(const void *a, const void *b)
{
	const struct known *l = a;
	const struct known *r = b;
	int order = strcmp(l->session, r->session);
	if (order == 0)
		order = strcmp(l->name == NULL ? "" : l->name, r->name == NULL ? "" : r->name);
	return order == 0 ? strcmp(l->url, r->url) : order;
}

void known_sort(struct known_list *l)
{
	if (l->count > 0)
		qsort(l->list, l->count, sizeof(*l->list), compare);
}

/* Whether it is what is there where a file says nothing. */
static bool is_nothing(struct slice value)
{
	return slice_eq(value, SLICE("null")) || slice_eq(value, SLICE("{}"));
}

static void write_masked(struct json_writer *w, struct slice headers)
{
	struct json_walk h = json_walk_in(headers);
	json_open_object(w, NULL);
	while (json_walk_next(&h)) {
		json_write_name(w, h.key);
		json_write_cstr(w, NULL, WEBHOOK_MASK);
	}
	json_close(w);
}

void provision_write(struct json_writer *w, struct slice shown, bool of_source,
    bool shows_headers)
{
	struct slice events = json_walk_find(shown, SLICE("events"));
	struct json_walk m = json_walk_in(shown);
	json_open_object(w, NULL);
	if (!of_source)
		json_write_raw(w, "session", json_walk_find(shown, SLICE("session_id")));
	while (json_walk_next(&m)) {
		if (provision_is_read_only(m.key, of_source) || is_nothing(m.value))
			continue;
		json_write_name(w, m.key);
		if (!of_source && !shows_headers && slice_eq(m.key, SLICE("headers")))
			write_masked(w, m.value);
		else
			json_write_raw(w, NULL, m.value);
	}
	if (!of_source && !slice_eq(events, SLICE("[\"all\"]")))
		json_write_bool(w, "events_strict", false); /* they were taken once */
	json_close(w);
}

static void put_line_start(struct buf *out, unsigned depth)
{
	buf_putc(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		buf_puts(out, "  ");
}

void provision_put_pretty(struct buf *out, struct slice value, unsigned depth)
{
	struct json_walk w = json_walk_in(value);
	bool is_object = json_is_object(value);
	bool is_first = true;
	if (depth == LEVELS || (!is_object && !json_is_array(value)) || value.len == 2) {
		show_put_line(out, value); /* what a terminal would not show is escaped */
		return;
	}
	buf_putc(out, value.ptr[0]);
	for (; json_walk_next(&w); is_first = false) {
		if (!is_first)
			buf_putc(out, ',');
		put_line_start(out, depth + 1);
		if (is_object) {
			buf_putc(out, '"');
			show_put_line(out, w.key);
			buf_puts(out, "\": ");
		}
		provision_put_pretty(out, w.value, depth + 1);
	}
	put_line_start(out, depth);
	buf_putc(out, value.ptr[value.len - 1]);
}

/* Appends a value of a member; of headers the names alone. */
static void put_value(struct buf *out, struct slice key, struct slice value)
{
	struct buf masked = BUF_INIT(2 * ASKING_MAX);
	struct json_writer w = JSON_WRITER(&masked);
	if (slice_eq(key, SLICE("headers")) && json_is_object(value)) {
		write_masked(&w, value);
		value = buf_view(&masked);
	}
	show_put_line(out, value.ptr == NULL ? SLICE("null") : value);
	buf_fini(&masked);
}

size_t provision_put_changes(struct buf *out, const char *what, struct slice old,
    struct slice new, bool of_source)
{
	struct json_walk w = json_walk_in(new);
	size_t changes = 0;
	while (json_walk_next(&w)) {
		struct slice was = json_walk_find(old, w.key);
		struct slice standard = SLICE("null");
		if (provision_is_read_only(w.key, of_source) ||
		    slice_eq(was.ptr == NULL ? standard : was, w.value))
			continue;
		buf_puts(out, "~ change ");
		show_put_line(out, slice_of(what));
		buf_putc(out, ' ');
		show_put_line(out, w.key);
		buf_puts(out, ": ");
		put_value(out, w.key, was);
		buf_puts(out, " -> ");
		put_value(out, w.key, w.value);
		buf_putc(out, '\n');
		changes++;
	}
	return changes;
}
