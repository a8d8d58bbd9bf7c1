/*
 * Compiling filters; see filter.h. The JSON is read once, from the outside in: conditions
 * become an array in the order in which they are written, each with the place where it ends,
 * so that asking needs no tree.
 */
#include "domain/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/search.h"
#include "domain/filter_inner.h"
#include "domain/json.h"

#define GLOB_MAX 512  /* bytes */
#define PLACE_SIZE 96 /* as problem.field */
#define ITEMS_COST 2  /* a byte takes so many times as long where it may be an array's */
#define IN_STEPS 10   /* comparisons of a search among FILTER_VALUES_MAX */

#define CONDITION                                                                              \
	"a condition: an object with all, any or not alone, or a path and one of equals, in, " \
	"prefix, suffix, contains, matches, exists, gt, gte, lt and lte"

const char *const FILTER_OPERATOR_NAMES[FILTER_OPERATORS] = {
    [FILTER_EQUALS] = "equals",
    [FILTER_IN] = "in",
    [FILTER_PREFIX] = "prefix",
    [FILTER_SUFFIX] = "suffix",
    [FILTER_CONTAINS] = "contains",
    [FILTER_MATCHES] = "matches",
    [FILTER_EXISTS] = "exists",
    [FILTER_GT] = "gt",
    [FILTER_GTE] = "gte",
    [FILTER_LT] = "lt",
    [FILTER_LTE] = "lte",
};

struct compiler {
	struct filter *f;
	struct problem *p;
	const char *field;      /* of the filter itself */
	char place[PLACE_SIZE]; /* of the condition in hand, below `field`: ".all[2]" */
	size_t place_len;
	unsigned depth;
};

/* Says that the condition in hand, or its member `name`, must be `allowed`. */
static enum err refuse(struct compiler *c, const char *name, const char *allowed)
{
	char field[sizeof(c->p->field)];
	(void)snprintf(field, sizeof(field), "%s%.*s%s%s", c->field, (int)c->place_len,
	    c->place, name[0] == '\0' ? "" : ".", name);
	return problem_set(c->p, ERR_INVALID, field, "%s must be %s", field, allowed);
}

/* Goes down to a condition in this one; returns what step_out() needs. */
static size_t step_in(struct compiler *c, const char *name, const size_t *index)
{
	size_t before = c->place_len;
	char text[32];
	if (index == NULL)
		(void)snprintf(text, sizeof(text), ".%s", name);
	else
		(void)snprintf(text, sizeof(text), ".%s[%zu]", name, *index);
	size_t n = strlen(text);
	if (n < sizeof(c->place) - before) { /* always: FILTER_DEPTH_MAX of ".all[63]" */
		memcpy(c->place + before, text, n + 1);
		c->place_len += n;
	}
	c->depth++;
	return before;
}

static void step_out(struct compiler *c, size_t before)
{
	c->place_len = before;
	c->depth--;
}

static struct filter_node *add_node(struct compiler *c, enum filter_kind kind)
{
	struct filter *f = c->f;
	f->nodes = mem_resize(f->nodes, f->node_count + 1, sizeof(*f->nodes));
	f->nodes[f->node_count] = (struct filter_node){.kind = kind};
	return &f->nodes[f->node_count++];
}

/* Reads a string, number, true, false or null; false where it is anything else. */
static bool read_value(struct filter *f, struct slice json, struct filter_value *out)
{
	*out = (struct filter_value){.json = json, .type = json_type_of(json)};
	if (out->type == JSON_STRING) {
		size_t at = f->texts.len;
		json_decode(json_inside(json), &f->texts);
		out->text = (struct slice){f->texts.data + at, f->texts.len - at};
	}
	return out->type != JSON_ARRAY && out->type != JSON_OBJECT;
}

int filter_compare_values(const void *a, const void *b)
{
	const struct filter_value *x = a;
	const struct filter_value *y = b;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->json.len != y->json.len)
		return x->json.len < y->json.len ? -1 : 1;
	return memcmp(x->json.ptr, y->json.ptr, x->json.len);
}

static uint32_t steps_of(size_t bytes)
{
	return (uint32_t)(bytes / FILTER_STEP_BYTES);
}

static enum err compile_in(struct compiler *c, struct filter_leaf *leaf, struct slice value)
{
	static const char RULE[] =
	    "an array of 1 to 1024 strings, numbers, true, false or null";
	struct json_scan s = {.text = value};
	bool fits = json_type_of(value) == JSON_ARRAY;
	size_t longest = 0;
	json_scan_enter(&s);
	while (fits && json_scan_item(&s)) {
		struct slice json = json_scan_value(&s);
		fits = leaf->count < FILTER_VALUES_MAX;
		if (!fits)
			break;
		leaf->values = mem_resize(leaf->values, leaf->count + 1, sizeof(*leaf->values));
		fits = read_value(c->f, json, &leaf->values[leaf->count++]);
		longest = json.len > longest ? json.len : longest;
	}
	if (!fits || leaf->count == 0)
		return refuse(c, "in", RULE);
	qsort(leaf->values, leaf->count, sizeof(*leaf->values), filter_compare_values);
	leaf->steps += (leaf->count > 1 ? IN_STEPS : 1) * steps_of(longest);
	return OK;
}

/* What one value must be for its operator; NULL: it is. */
static const char *check_value(const struct filter_leaf *leaf, bool is_value)
{
	const struct filter_value *v = &leaf->values[0];
	bool is_string = v->type == JSON_STRING;
	bool is_bool = slice_eq(v->json, SLICE("true")) || slice_eq(v->json, SLICE("false"));
	switch (leaf->op) {
	case FILTER_EQUALS:
	case FILTER_CONTAINS:
		return is_value ? NULL : "a string, a number, true, false or null";
	case FILTER_PREFIX:
	case FILTER_SUFFIX:
		return is_string ? NULL : "a string";
	case FILTER_MATCHES:
		return is_string && v->text.len <= GLOB_MAX ? NULL
							    : "a string of at most 512 bytes";
	case FILTER_EXISTS:
		return is_bool ? NULL : "true or false";
	case FILTER_GT:
	case FILTER_GTE:
	case FILTER_LT:
	case FILTER_LTE:
		return v->type == JSON_NUMBER ? NULL : "a number";
	case FILTER_IN:
	case FILTER_OPERATORS:
		break;
	}
	return NULL;
}

static enum err compile_operand(struct compiler *c, struct filter_leaf *leaf,
    struct slice value)
{
	if (leaf->op == FILTER_IN)
		return compile_in(c, leaf, value);
	leaf->values = mem_new(sizeof(*leaf->values));
	leaf->count = 1;
	bool is_value = read_value(c->f, value, &leaf->values[0]);
	const char *allowed = check_value(leaf, is_value);
	if (allowed != NULL)
		return refuse(c, FILTER_OPERATOR_NAMES[leaf->op], allowed);
	size_t bytes = value.len;
	if (leaf->values[0].type == JSON_NUMBER) {
		leaf->number = json_to_double(value);
		leaf->is_integer = json_integer_of(value, &leaf->integer);
		if (leaf->is_integer && leaf->integer.len > bytes)
			bytes = leaf->integer.len; /* with its zeros */
	}
	if (leaf->op == FILTER_CONTAINS)
		bytes = (leaf->values[0].text.len > SEARCH_QUICK_MAX ? SEARCH_LONG_COST
								     : ITEMS_COST) *
		    FILTER_LOOK_MAX;
	if (leaf->op == FILTER_MATCHES) {
		leaf->glob = glob_new(leaf->values[0].text);
		bytes = glob_bytes(leaf->glob, FILTER_LOOK_MAX);
	}
	leaf->steps += steps_of(bytes);
	leaf->wanted = slice_eq(value, SLICE("true"));
	return OK;
}

/* Returns the operator of that name, or FILTER_OPERATORS. */
static enum filter_operator find_operator(struct slice name)
{
	for (int i = 0; i < FILTER_OPERATORS; i++) {
		if (slice_eq(name, slice_of(FILTER_OPERATOR_NAMES[i])))
			return (enum filter_operator)i;
	}
	return FILTER_OPERATORS;
}

static enum err compile_path(struct compiler *c, struct filter_leaf *leaf, struct slice path)
{
	leaf->path = json_inside(path);
	size_t names = json_type_of(path) == JSON_STRING ? pointer_names(leaf->path) : 0;
	if (names == 0)
		return refuse(c, "path",
		    "a JSON pointer into the event such as /data/chat: a / before each name, "
		    "in which ~0 stands for ~ and ~1 for /; at most 16 names and 512 bytes");
	leaf->steps = 1 + (uint32_t)(names > 2 ? names - 2 : 0);
	return OK;
}

static enum err compile_leaf(struct compiler *c, struct slice path, struct slice name,
    struct slice value)
{
	struct filter *f = c->f;
	if (f->leaf_count == FILTER_LEAVES_MAX) {
		c->place_len = 0;
		return refuse(c, "", "a condition with at most 64 leaves");
	}
	struct filter_node *node = add_node(c, FILTER_LEAF);
	node->leaf = (uint16_t)f->leaf_count;
	node->end = (uint16_t)f->node_count;
	struct filter_leaf *leaf = &f->leaves[f->leaf_count++];
	leaf->op = find_operator(name);
	leaf->place = (struct slice){mem_copy(c->place, c->place_len), c->place_len};
	if (leaf->op == FILTER_OPERATORS)
		return refuse(c, "", CONDITION);
	enum err err = compile_path(c, leaf, path);
	if (err == OK)
		err = compile_operand(c, leaf, value);
	f->steps += leaf->steps;
	return err;
}

static enum err compile_condition(struct compiler *c, struct slice json);

static enum err compile_list(struct compiler *c, const char *name, struct slice list)
{
	struct json_scan s = {.text = list};
	bool is_array = json_type_of(list) == JSON_ARRAY;
	size_t count = 0;
	enum err err = OK;
	json_scan_enter(&s);
	for (; is_array && err == OK && json_scan_item(&s); count++) {
		struct slice item = json_scan_value(&s);
		if (count == FILTER_LEAVES_MAX) {
			is_array = false;
			break;
		}
		size_t before = step_in(c, name, &count);
		err = compile_condition(c, item);
		step_out(c, before);
	}
	if (err == OK && (count == 0 || !is_array))
		err = refuse(c, name, "an array of 1 to 64 conditions");
	return err;
}

/* Compiles what contains others. */
static enum err compile_group(struct compiler *c, enum filter_kind kind, const char *name,
    struct slice value)
{
	size_t at = c->f->node_count;
	(void)add_node(c, kind); /* moves with each that is added */
	enum err err = OK;
	if (kind == FILTER_NOT) {
		size_t before = step_in(c, name, NULL);
		err = compile_condition(c, value);
		step_out(c, before);
	} else {
		err = compile_list(c, name, value);
	}
	c->f->nodes[at].end = (uint16_t)c->f->node_count;
	return err;
}

/* A condition's members: two at most. */
struct members {
	struct slice keys[2];
	struct slice values[2];
	size_t count;
};

/* Reads them; false where it is no object, or has more. */
static bool read_members(struct slice json, struct members *m)
{
	struct json_scan s = {.text = json};
	struct slice key;
	*m = (struct members){0};
	if (json_type_of(json) != JSON_OBJECT)
		return false;
	json_scan_enter(&s);
	while (json_scan_member(&s, &key)) {
		if (m->count == 2)
			return false;
		m->keys[m->count] = key;
		m->values[m->count++] = json_scan_value(&s);
	}
	return true;
}

static enum err compile_condition(struct compiler *c, struct slice json)
{
	struct members m;
	if (c->depth > FILTER_DEPTH_MAX) {
		c->place_len = 0;
		return refuse(c, "", "a condition with others at most 8 deep in it");
	}
	if (!read_members(json, &m))
		return refuse(c, "", CONDITION);
	if (m.count == 1 && slice_eq(m.keys[0], SLICE("all")))
		return compile_group(c, FILTER_ALL, "all", m.values[0]);
	if (m.count == 1 && slice_eq(m.keys[0], SLICE("any")))
		return compile_group(c, FILTER_ANY, "any", m.values[0]);
	if (m.count == 1 && slice_eq(m.keys[0], SLICE("not")))
		return compile_group(c, FILTER_NOT, "not", m.values[0]);
	size_t path = slice_eq(m.keys[0], SLICE("path")) ? 0 : 1;
	if (m.count != 2 || !slice_eq(m.keys[path], SLICE("path")))
		return refuse(c, "", CONDITION);
	return compile_leaf(c, m.values[path], m.keys[1 - path], m.values[1 - path]);
}

enum err filter_compile(struct slice json, const char *field, struct filter **out,
    struct problem *p)
{
	struct compiler c = {.f = mem_new(sizeof(*c.f)), .p = p, .field = field, .depth = 1};
	struct filter *f = c.f;
	enum err err = OK;
	f->texts = BUF_INIT(FILTER_BYTES_MAX);
	if (json.len > FILTER_BYTES_MAX) {
		err = refuse(&c, "", "a condition of at most 16384 bytes");
	} else {
		f->json = mem_copy(json.ptr, json.len);
		f->json_len = json.len;
		f->leaves = mem_array(FILTER_LEAVES_MAX, sizeof(*f->leaves));
		(void)buf_reserve(&f->texts,
		    json.len); /* no text is longer than it is written */
		err = compile_condition(&c, filter_json(f));
	}
	if (err != OK) {
		filter_free(f);
		return err;
	}
	f->leaves = mem_resize(f->leaves, f->leaf_count, sizeof(*f->leaves));
	*out = f;
	return OK;
}

struct filter *filter_keep(struct slice json)
{
	struct filter *f = mem_new(sizeof(*f));
	f->texts = BUF_INIT(FILTER_BYTES_MAX);
	f->json = mem_copy(json.ptr, json.len);
	f->json_len = json.len;
	return f;
}

bool filter_is_kept(const struct filter *f)
{
	return f != NULL && f->node_count == 0;
}

void filter_free(struct filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->leaf_count; i++) {
		struct filter_leaf *leaf = &f->leaves[i];
		free((char *)(uintptr_t)leaf->place.ptr);
		free(leaf->values);
		glob_free(leaf->glob);
	}
	free(f->leaves);
	free(f->nodes);
	free(f->json);
	buf_fini(&f->texts);
	free(f);
}

struct slice filter_json(const struct filter *f)
{
	return (struct slice){f->json, f->json_len};
}

uint32_t filter_steps(const struct filter *f)
{
	return f->steps;
}

void filter_enter(struct filter *f, struct pointers *ps)
{
	for (size_t i = 0; i < f->leaf_count; i++)
		f->leaves[i].pointer = pointers_enter(ps, f->leaves[i].path);
}

void filter_leave(struct filter *f, struct pointers *ps)
{
	for (size_t i = 0; i < f->leaf_count; i++)
		pointers_leave(ps, f->leaves[i].pointer);
}
