/*
 * A tree of names, all of its branches in one map: under a node and a name there is the node
 * behind it. Names are compared as they are written, since canonical strings are written in one
 * way; `~0` and `~1` are undone when a pointer is added. What was found is stamped with the
 * number of the look, so that nothing is cleared between two events.
 */
#include "domain/pointers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "domain/json.h"
#include "domain/json_scan.h"

#define KEY_MAX (sizeof(struct pointer *) + POINTER_BYTES_MAX)
#define INDEX_SIZE 21 /* digits of an index, a NUL */

/* What leaves ask for comes first: it shares a line of the cache. */
struct pointer {
	struct slice value;
	uint64_t seen; /* the look that found `value` */
	struct slice text;
	uint64_t decoded; /* the look that made `text` */
	double number;
	uint64_t counted; /* the look that made `number` and `integer` */
	struct json_integer integer;
	bool is_integer;
	struct pointer *parent; /* NULL: the root */
	size_t refs;            /* how often it was added */
	size_t children;
	size_t index_end; /* no child is an item from here on */
	size_t name_len;
	char name[];
};

struct pointers {
	struct map *nodes;
	struct pointer *root;
	uint64_t look; /* number of the last one */
	size_t wanted; /* nodes with refs */
	size_t left;   /* of these, not found yet in this look */
	size_t event_bytes;
	struct buf *decoded; /* borrowed until the next look */
};

/* Makes the key of a child; `name` is at most POINTER_BYTES_MAX. */
static size_t make_key(const struct pointer *parent, struct slice name, char key[KEY_MAX])
{
	memcpy(key, &parent, sizeof(parent));
	memcpy(key + sizeof(parent), name.ptr, name.len);
	return sizeof(parent) + name.len;
}

static struct pointer *find_child(const struct pointers *ps, const struct pointer *parent,
    struct slice name)
{
	char key[KEY_MAX];
	if (name.len > POINTER_BYTES_MAX)
		return NULL;
	size_t len = make_key(parent, name, key);
	return map_get(ps->nodes, key, len);
}

static struct pointer *new_node(struct pointer *parent, struct slice name)
{
	struct pointer *p = mem_new(sizeof(*p) + name.len);
	p->parent = parent;
	p->name_len = name.len;
	if (name.len > 0)
		memcpy(p->name, name.ptr, name.len);
	return p;
}

struct pointers *pointers_new(void)
{
	struct pointers *ps = mem_new(sizeof(*ps));
	ps->nodes = map_new();
	ps->root = new_node(NULL, SLICE(""));
	return ps;
}

void pointers_free(struct pointers *ps)
{
	if (ps == NULL)
		return;
	map_free_all(ps->nodes);
	free(ps->root);
	free(ps);
}

size_t pointer_names(struct slice path)
{
	size_t names = 0;
	if (path.len == 0 || path.len > POINTER_BYTES_MAX || path.ptr[0] != '/')
		return 0;
	for (size_t i = 0; i < path.len; i++) {
		char escaped = i + 1 < path.len ? path.ptr[i + 1] : '\0';
		names += path.ptr[i] == '/' ? 1 : 0;
		if (path.ptr[i] == '~' && escaped != '0' && escaped != '1')
			return 0;
	}
	return names <= POINTER_NAMES_MAX ? names : 0;
}

/* Copies a name of a pointer, ~0 and ~1 undone; returns its length. */
static size_t unescape(struct slice name, char out[POINTER_BYTES_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		if (c == '~')
			c = name.ptr[++i] == '0' ? '~' : '/';
		out[n++] = c;
	}
	return n;
}

/* Lets the node's arrays be looked through as far as a child of this name asks for. */
static void note_index(struct pointer *node, struct slice name)
{
	size_t n = 0;
	if (!json_is_index(name))
		return;
	for (size_t i = 0; i < name.len; i++)
		n = n * 10 + (size_t)(name.ptr[i] - '0');
	if (n <= POINTER_INDEX_MAX && n >= node->index_end)
		node->index_end = n + 1;
}

static struct pointer *enter_name(struct pointers *ps, struct pointer *node, struct slice name)
{
	char key[KEY_MAX];
	struct pointer *child = find_child(ps, node, name);
	if (child != NULL)
		return child;
	child = new_node(node, name);
	size_t len = make_key(node, name, key);
	map_put(ps->nodes, key, len, child);
	node->children++;
	note_index(node, name);
	return child;
}

struct pointer *pointers_enter(struct pointers *ps, struct slice path)
{
	struct pointer *node = ps->root;
	struct slice rest = {path.ptr + 1, path.len - 1};
	for (bool more = true; more;) {
		char name[POINTER_BYTES_MAX];
		more = memchr(rest.ptr, '/', rest.len) != NULL;
		struct slice piece = slice_cut(&rest, '/');
		node = enter_name(ps, node, (struct slice){name, unescape(piece, name)});
	}
	ps->wanted += node->refs == 0 ? 1 : 0;
	node->refs++;
	return node;
}

void pointers_leave(struct pointers *ps, struct pointer *p)
{
	p->refs--;
	ps->wanted -= p->refs == 0 ? 1 : 0;
	while (p->parent != NULL && p->refs == 0 && p->children == 0) {
		struct pointer *parent = p->parent;
		char key[KEY_MAX];
		size_t len = make_key(parent, (struct slice){p->name, p->name_len}, key);
		free(map_del(ps->nodes, key, len)); /* is `p` */
		parent->children--;
		p = parent;
	}
}

size_t pointers_count(const struct pointers *ps)
{
	return ps->wanted;
}

static void walk(struct pointers *ps, struct pointer *node, struct json_scan *s);

static void walk_members(struct pointers *ps, struct pointer *node, struct json_scan *s)
{
	struct slice key;
	while (ps->left > 0 && json_scan_member(s, &key)) {
		struct pointer *child = find_child(ps, node, key);
		if (child != NULL)
			walk(ps, child, s);
		else
			(void)json_scan_value(s); /* stepped over */
	}
}

static void walk_items(struct pointers *ps, struct pointer *node, struct json_scan *s)
{
	for (size_t i = 0; ps->left > 0 && json_scan_item(s); i++) {
		char name[INDEX_SIZE];
		struct pointer *child = NULL;
		if (i < node->index_end) {
			int n = snprintf(name, sizeof(name), "%zu", i);
			child = find_child(ps, node, (struct slice){name, (size_t)n});
		}
		if (child != NULL)
			walk(ps, child, s);
		else
			(void)json_scan_value(s); /* stepped over */
	}
}

/* Finds what is wanted in the value at the place, and steps over it while any is left. */
static void walk(struct pointers *ps, struct pointer *node, struct json_scan *s)
{
	size_t from = s->pos;
	char c = from < s->text.len ? s->text.ptr[from] : '\0';
	bool goes_in = node->children > 0 && (c == '{' || c == '[');
	if (goes_in)
		json_scan_enter(s);
	if (goes_in && c == '{')
		walk_members(ps, node, s);
	else if (goes_in)
		walk_items(ps, node, s);
	else
		(void)json_scan_value(s); /* is what was looked for */
	if (ps->left == 0 || node->refs == 0)
		return;
	node->value = (struct slice){s->text.ptr + from, s->pos - from};
	node->seen = ps->look;
	ps->left--;
}

void pointers_look(struct pointers *ps, struct slice event, struct buf *decoded)
{
	struct json_scan s = {.text = event};
	ps->look++;
	ps->left = ps->wanted;
	ps->event_bytes = event.len;
	ps->decoded = decoded;
	buf_reset(decoded);
	if (ps->left > 0)
		walk(ps, ps->root, &s);
}

struct slice pointer_value(const struct pointers *ps, const struct pointer *p)
{
	return p->seen == ps->look ? p->value : (struct slice){0};
}

struct slice pointer_text(struct pointers *ps, struct pointer *p)
{
	if (p->decoded == ps->look)
		return p->text;
	p->text = json_inside(p->value);
	p->decoded = ps->look;
	if (p->text.len == 0 || memchr(p->text.ptr, '\\', p->text.len) == NULL)
		return p->text;
	/* as much as all strings of the event can take: none that is decoded moves */
	if (ps->decoded->len == 0 && !buf_reserve(ps->decoded, ps->event_bytes))
		return p->text;
	size_t at = ps->decoded->len;
	json_decode(p->text, ps->decoded);
	p->text = (struct slice){ps->decoded->data + at, ps->decoded->len - at};
	return p->text;
}

/* Reads the number, however many leaves ask for it, once. */
static void count(const struct pointers *ps, struct pointer *p)
{
	if (p->counted == ps->look)
		return;
	p->number = json_to_double(p->value);
	p->is_integer = json_integer_of(p->value, &p->integer);
	p->counted = ps->look;
}

double pointer_number(struct pointers *ps, struct pointer *p)
{
	count(ps, p);
	return p->number;
}

const struct json_integer *pointer_integer(struct pointers *ps, struct pointer *p)
{
	count(ps, p);
	return p->is_integer ? &p->integer : NULL;
}
