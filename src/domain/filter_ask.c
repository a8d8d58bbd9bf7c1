/* Asking filters, and saying why; see filter.h. */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "domain/filter_inner.h"

/* Takes from a text what `contains` and `matches` see of it: whole characters. */
static struct slice cut_text(struct slice text)
{
	if (text.len <= FILTER_LOOK_MAX)
		return text;
	text.len = FILTER_LOOK_MAX;
	while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
		text.len--;
	return text;
}

static bool ends_with(struct slice text, struct slice end)
{
	return text.len >= end.len &&
	    (end.len == 0 || memcmp(text.ptr + text.len - end.len, end.ptr, end.len) == 0);
}

/* Whether `item` stands at `at`, and a comma or the end of its array behind it. */
static bool is_item(const char *at, const char *end, struct slice item)
{
	if ((size_t)(end - at) <= item.len)
		return false;
	char behind = at[item.len];
	return at[0] == item.ptr[0] && (behind == ',' || behind == ']') &&
	    memcmp(at, item.ptr, item.len) == 0;
}

/*
 * Whether an array has the item, no array or object, among those that end where one may look.
 * Most of the work that filters can be made to do: so it is one pass over the bytes.
 */
static bool has_item(struct slice array, struct slice item)
{
	size_t depth = 0;
	bool begins = true; /* a value does here */
	bool in_string = false;
	const char *end = array.ptr +
	    (array.len < FILTER_LOOK_MAX ? array.len : FILTER_LOOK_MAX);
	for (const char *p = array.ptr + 1; p < end; p++) {
		if (begins && depth == 0 && is_item(p, end, item))
			return true;
		char c = *p;
		begins = false;
		if (in_string) {
			in_string = c != '"';
			p += c == '\\' ? 1 : 0;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			depth--;
		} else {
			begins = c == ',';
		}
	}
	return false;
}

/* Orders the number found and that of the leaf. */
static int compare_numbers(const struct filter_leaf *leaf, struct pointers *ps)
{
	const struct json_integer *found = pointer_integer(ps, leaf->pointer);
	if (found != NULL && leaf->is_integer)
		return json_integer_compare(found, &leaf->integer);
	double number = pointer_number(ps, leaf->pointer);
	return number < leaf->number ? -1 : number > leaf->number ? 1 : 0;
}

static bool holds_number(const struct filter_leaf *leaf, struct pointers *ps)
{
	int order = compare_numbers(leaf, ps);
	switch (leaf->op) {
	case FILTER_GT:
		return order > 0;
	case FILTER_GTE:
		return order >= 0;
	case FILTER_LT:
		return order < 0;
	default:
		return order <= 0;
	}
}

/* Whether a string compares as a leaf wants it that is for strings. */
static bool holds_text(const struct filter_leaf *leaf, struct slice text)
{
	const struct filter_value *given = &leaf->values[0];
	switch (leaf->op) {
	case FILTER_PREFIX:
		return slice_starts(text, given->text);
	case FILTER_SUFFIX:
		return ends_with(text, given->text);
	case FILTER_CONTAINS:
		return given->type == JSON_STRING &&
		    search_find(cut_text(text), given->text) != NULL;
	default:
		return glob_matches(leaf->glob, cut_text(text));
	}
}

static bool is_one_of(const struct filter_leaf *leaf, struct slice found, enum json_type type)
{
	const struct filter_value key = {.json = found, .type = type};
	return bsearch(&key, leaf->values, leaf->count, sizeof(*leaf->values),
		   filter_compare_values) != NULL;
}

static bool holds(const struct filter_leaf *leaf, struct pointers *ps)
{
	struct slice found = pointer_value(ps, leaf->pointer);
	if (found.ptr == NULL || leaf->op == FILTER_EXISTS)
		return leaf->op == FILTER_EXISTS && leaf->wanted == (found.ptr != NULL);
	enum json_type type = json_type_of(found);
	switch (leaf->op) {
	case FILTER_EQUALS:
		return slice_eq(found, leaf->values[0].json);
	case FILTER_IN:
		return is_one_of(leaf, found, type);
	case FILTER_CONTAINS:
		if (type == JSON_ARRAY)
			return has_item(found, leaf->values[0].json);
		return type == JSON_STRING && holds_text(leaf, pointer_text(ps, leaf->pointer));
	case FILTER_PREFIX:
	case FILTER_SUFFIX:
	case FILTER_MATCHES:
		return type == JSON_STRING && holds_text(leaf, pointer_text(ps, leaf->pointer));
	default:
		return type == JSON_NUMBER && holds_number(leaf, ps);
	}
}

/* Whether condition `at` holds; of a list no more is asked than decides. */
static bool ask(const struct filter *f, size_t at, struct pointers *ps, uint64_t *steps)
{
	const struct filter_node *node = &f->nodes[at];
	if (node->kind == FILTER_LEAF) {
		const struct filter_leaf *leaf = &f->leaves[node->leaf];
		*steps += leaf->steps;
		return holds(leaf, ps);
	}
	if (node->kind == FILTER_NOT)
		return !ask(f, at + 1, ps, steps);
	bool decides = node->kind == FILTER_ANY;
	for (size_t i = at + 1; i < node->end; i = f->nodes[i].end) {
		if (ask(f, i, ps, steps) == decides)
			return decides;
	}
	return !decides;
}

bool filter_matches(const struct filter *f, struct pointers *ps, uint64_t *steps)
{
	return !filter_is_kept(f) && ask(f, 0, ps, steps);
}

/* Writes a string's first bytes, whole characters, or another value as it is. */
static void write_found(struct slice found, struct pointers *ps, struct pointer *pointer,
    struct json_writer *json)
{
	enum json_type type = found.ptr == NULL ? JSON_OBJECT : json_type_of(found);
	if (type == JSON_OBJECT || type == JSON_ARRAY ||
	    (type != JSON_STRING && found.len > FILTER_SHOWN_MAX)) {
		json_write_null(json, "found");
		return;
	}
	if (type != JSON_STRING) {
		json_write_raw(json, "found", found);
		return;
	}
	struct slice text = pointer_text(ps, pointer);
	if (text.len > FILTER_SHOWN_MAX) {
		text.len = FILTER_SHOWN_MAX;
		while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	json_write_bytes(json, "found", text);
}

void filter_explain(const struct filter *f, struct pointers *ps, struct json_writer *json)
{
	for (size_t i = 0; i < f->leaf_count; i++) {
		const struct filter_leaf *leaf = &f->leaves[i];
		struct slice found = pointer_value(ps, leaf->pointer);
		char field[128];
		(void)snprintf(field, sizeof(field), "filter%.*s", (int)leaf->place.len,
		    leaf->place.ptr);
		json_open_object(json, NULL);
		json_write_cstr(json, "field", field);
		json_write_name(json, SLICE("path"));
		json_write_raw(json, NULL,
		    (struct slice){leaf->path.ptr - 1, leaf->path.len + 2});
		json_write_cstr(json, "operator", FILTER_OPERATOR_NAMES[leaf->op]);
		json_write_bool(json, "exists", found.ptr != NULL);
		write_found(found, ps, leaf->pointer, json);
		json_write_bool(json, "matches", holds(leaf, ps));
		json_close(json);
	}
}
