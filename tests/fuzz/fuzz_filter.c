/*
 * Filters over events: a first line that is a filter, then an event. What compiles comes back
 * from its own JSON as it was and asks no more steps than it has said; what a leaf is told of a
 * pointer is what a plain walk finds there; nothing stays behind when it leaves. A first line
 * that is no JSON is a glob over the rest, held against one that keeps a table.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "domain/filter.h"
#include "domain/glob.h"
#include "domain/json.h"
#include "domain/json_scan.h"

#define TEXT_MAX (1u << 22)
#define GLOB_TEXT_MAX 1000 /* bytes that the table takes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes `text` canonical; false where it is none that webhooks' JSON would let through. */
static bool make_canonical(struct slice text, struct buf *out)
{
	struct json_reader r;
	json_init(&r, text);
	bool good = json_read_value(&r, out) == OK && json_read_end(&r) == OK;
	json_fini(&r);
	return good;
}

/* Member or item `name`, as it is written, of canonical `value`; ptr NULL: none. */
static struct slice step(struct slice value, struct slice name)
{
	struct json_scan s = {.text = value};
	struct slice key;
	json_scan_enter(&s);
	if (json_type_of(value) == JSON_OBJECT) {
		while (json_scan_member(&s, &key)) {
			struct slice found = json_scan_value(&s);
			if (slice_eq(key, name))
				return found;
		}
	}
	bool is_item = json_type_of(value) == JSON_ARRAY && json_is_index(name);
	size_t index = is_item ? strtoul(name.ptr, NULL, 10) : 0;
	for (size_t i = 0; is_item && index <= POINTER_INDEX_MAX && json_scan_item(&s); i++) {
		struct slice found = json_scan_value(&s);
		if (i == index)
			return found;
	}
	return (struct slice){0};
}

/* Walks one pointer alone, name by name. */
static struct slice walk_plainly(struct slice event, struct slice path)
{
	struct slice value = event;
	for (size_t at = 0; at < path.len && value.ptr != NULL;) {
		char name[POINTER_BYTES_MAX + 1];
		size_t n = 0;
		for (at++; at < path.len && path.ptr[at] != '/'; at++) {
			bool escape = path.ptr[at] == '~';
			at += escape ? 1 : 0;
			char c = path.ptr[at];
			name[n++] = !escape ? c : c == '0' ? '~' : '/';
		}
		name[n] = '\0';
		value = step(value, (struct slice){name, n});
	}
	return value;
}

static void check_pointer(struct slice path, struct slice event)
{
	struct buf decoded = BUF_INIT(TEXT_MAX);
	struct pointers *ps = pointers_new();
	struct pointer *p = pointers_enter(ps, path);
	struct pointer *whole = pointers_enter(ps, SLICE("/data"));
	pointers_look(ps, event, &decoded);
	struct slice expected = walk_plainly(event, path);
	struct slice found = pointer_value(ps, p);
	panic_if(found.ptr != expected.ptr || found.len != expected.len, "another value");
	if (found.ptr != NULL && json_type_of(found) == JSON_STRING)
		panic_if(pointer_text(ps, p).len > found.len, "a longer text");
	pointers_leave(ps, whole);
	pointers_leave(ps, p);
	panic_if(pointers_count(ps) != 0, "a pointer stays");
	pointers_free(ps);
	buf_fini(&decoded);
}

/* Finds the paths in a filter and checks each. */
static void check_pointers(struct slice condition, struct slice event)
{
	struct json_scan s = {.text = condition};
	struct slice key = {0};
	bool is_object = json_type_of(condition) == JSON_OBJECT;
	if (!is_object && json_type_of(condition) != JSON_ARRAY)
		return;
	json_scan_enter(&s);
	while (is_object ? json_scan_member(&s, &key) : json_scan_item(&s)) {
		struct slice value = json_scan_value(&s);
		if (is_object && slice_eq(key, SLICE("path")))
			check_pointer(json_inside(value), event);
		else
			check_pointers(value, event);
	}
}

static void check_explanation(const struct filter *f, struct pointers *ps)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct buf canonical = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);
	json_open_array(&w, NULL);
	filter_explain(f, ps, &w);
	json_close(&w);
	json_expect_whole(&w);
	panic_if(!make_canonical(buf_view(&text), &canonical),
	    "an explanation that is no JSON");
	buf_fini(&text);
	buf_fini(&canonical);
}

static void ask(struct filter *f, struct slice event)
{
	struct buf decoded = BUF_INIT(TEXT_MAX);
	struct pointers *ps = pointers_new();
	struct filter *again = NULL;
	struct problem p;
	uint64_t steps = 0;
	uint64_t more = 0;
	panic_if(filter_compile(filter_json(f), "filter", &again, &p) != OK, "not again");
	filter_enter(f, ps);
	filter_enter(again, ps);
	pointers_look(ps, event, &decoded);
	bool is_match = filter_matches(f, ps, &steps);
	panic_if(filter_matches(again, ps, &more) != is_match || steps != more,
	    "another answer");
	panic_if(steps > filter_steps(f), "more steps than it has said");
	check_explanation(f, ps);
	filter_leave(f, ps);
	filter_leave(again, ps);
	panic_if(pointers_count(ps) != 0, "a pointer stays");
	filter_free(again);
	pointers_free(ps);
	buf_fini(&decoded);
}

/*
 * The matcher that globs are by definition: what each beginning of the pattern says of each
 * beginning of the text. Over bytes, so not for patterns with `?`.
 */
static bool match_by_table(struct slice pattern, struct slice text)
{
	bool holds[GLOB_TEXT_MAX + 1] = {
	    true}; /* of the pattern so far, by the text's length */
	for (size_t i = 0; i < pattern.len; i++) {
		bool is_star = pattern.ptr[i] == '*';
		i += pattern.ptr[i] == '\\' && i + 1 < pattern.len ? 1 : 0;
		bool before = holds[0];
		holds[0] = holds[0] && is_star;
		for (size_t k = 1; k <= text.len; k++) {
			bool here = holds[k];
			holds[k] = is_star ? here || holds[k - 1]
					   : before && text.ptr[k - 1] == pattern.ptr[i];
			before = here;
		}
	}
	return holds[text.len];
}

static void check_glob(struct slice pattern, struct slice text)
{
	struct glob *g = glob_new(pattern);
	bool is_match = glob_matches(g, text);
	bool is_plain = pattern.len <= GLOB_TEXT_MAX && text.len <= GLOB_TEXT_MAX &&
	    (pattern.len == 0 || memchr(pattern.ptr, '?', pattern.len) == NULL);
	if (is_plain)
		panic_if(is_match != match_by_table(pattern, text), "another match");
	glob_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = {(const char *)data, size};
	struct slice line = slice_cut(&rest, '\n');
	struct buf filter = BUF_INIT(TEXT_MAX);
	struct buf event = BUF_INIT(TEXT_MAX);
	struct filter *f = NULL;
	struct problem p = {0};
	if (!make_canonical(line, &filter)) {
		check_glob(line, rest);
	} else if (filter_compile(buf_view(&filter), "filter", &f, &p) != OK) {
		panic_if(strncmp(p.field, "filter", 6) != 0 || p.message[0] == '\0',
		    "refused without a word");
	} else if (make_canonical(rest, &event)) {
		check_pointers(filter_json(f), buf_view(&event));
		ask(f, buf_view(&event));
	}
	filter_free(f);
	buf_fini(&filter);
	buf_fini(&event);
	return 0;
}
