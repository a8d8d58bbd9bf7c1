/* Globs as parts between stars; see glob.h. */
#include "domain/glob.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/search.h"

#define PART_BYTES 64 /* as many take as long as to begin a search */
#define ANY_COST 2    /* where there is a `?` a byte takes so many times as long */

/* What stands between two stars. */
struct part {
	size_t at, len; /* in the pattern's bytes */
	bool has_any;   /* a `?` is among them */
};

struct glob {
	char *bytes; /* the pattern without stars and backslashes */
	bool *any;   /* one a byte: it is a `?` */
	size_t len;
	struct part *parts; /* one more than there are stars */
	size_t count;
};

static void begin_part(struct glob *g)
{
	g->parts = mem_resize(g->parts, g->count + 1, sizeof(*g->parts));
	g->parts[g->count++] = (struct part){.at = g->len};
}

static void add_byte(struct glob *g, char c, bool is_any)
{
	struct part *p = &g->parts[g->count - 1];
	g->bytes[g->len] = c;
	g->any[g->len++] = is_any;
	p->len++;
	p->has_any = p->has_any || is_any;
}

struct glob *glob_new(struct slice pattern)
{
	struct glob *g = mem_new(sizeof(*g));
	g->bytes = mem_array(pattern.len + 1, 1);
	g->any = mem_array(pattern.len + 1, sizeof(*g->any));
	begin_part(g);
	for (size_t i = 0; i < pattern.len; i++) {
		char c = pattern.ptr[i];
		bool is_escape = c == '\\' && i + 1 < pattern.len;
		if (is_escape)
			add_byte(g, pattern.ptr[++i], false);
		else if (c == '*')
			begin_part(g);
		else
			add_byte(g, c, c == '?');
	}
	return g;
}

void glob_free(struct glob *g)
{
	if (g == NULL)
		return;
	free(g->bytes);
	free(g->any);
	free(g->parts);
	free(g);
}

/* The length of the character that begins a text. */
static size_t char_len(struct slice text)
{
	unsigned char c = (unsigned char)text.ptr[0];
	size_t len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return len < text.len ? len : text.len;
}

/* Takes a part off the front of `text`; false, and `text` is as it was: it is not there. */
static bool take_front(const struct glob *g, const struct part *p, struct slice *text)
{
	struct slice rest = *text;
	for (size_t i = 0; i < p->len; i++) {
		if (rest.len == 0 || (!g->any[p->at + i] && rest.ptr[0] != g->bytes[p->at + i]))
			return false;
		size_t n = g->any[p->at + i] ? char_len(rest) : 1;
		rest.ptr += n;
		rest.len -= n;
	}
	*text = rest;
	return true;
}

/* The same off the end. */
static bool take_end(const struct glob *g, const struct part *p, struct slice *text)
{
	size_t len = text->len;
	for (size_t i = p->len; i > 0; i--) {
		bool is_any = g->any[p->at + i - 1];
		if (len == 0 || (!is_any && text->ptr[len - 1] != g->bytes[p->at + i - 1]))
			return false;
		len--;
		while (is_any && len > 0 && ((unsigned char)text->ptr[len] & 0xc0) == 0x80)
			len--; /* within the character */
	}
	text->len = len;
	return true;
}

/* Takes all up to the first place of a part, and that, off the front. */
static bool take_first(const struct glob *g, const struct part *p, struct slice *text)
{
	if (p->len == 0)
		return true;
	if (!p->has_any) {
		const char *found = search_find(*text,
		    (struct slice){g->bytes + p->at, p->len});
		size_t n = found == NULL ? 0 : (size_t)(found - text->ptr) + p->len;
		text->ptr += n;
		text->len -= n;
		return found != NULL;
	}
	for (; text->len > 0; text->ptr++, text->len--) {
		bool within = ((unsigned char)text->ptr[0] & 0xc0) == 0x80;
		if (!within && take_front(g, p, text))
			return true;
	}
	return false;
}

bool glob_matches(const struct glob *g, struct slice text)
{
	if (!take_front(g, &g->parts[0], &text))
		return false;
	if (g->count == 1)
		return text.len == 0;
	if (!take_end(g, &g->parts[g->count - 1], &text))
		return false;
	for (size_t i = 1; i + 1 < g->count; i++) {
		if (!take_first(g, &g->parts[i], &text))
			return false;
	}
	return true;
}

size_t glob_bytes(const struct glob *g, size_t len)
{
	size_t bytes = g->len;
	size_t longest = 0;
	for (size_t i = 1; i + 1 < g->count; i++) {
		const struct part *p = &g->parts[i];
		size_t times = p->has_any       ? ANY_COST * p->len
		    : p->len > SEARCH_QUICK_MAX ? SEARCH_LONG_COST
						: p->len > 0;
		longest = times > longest ? times : longest;
		bytes += p->len > 0 ? PART_BYTES : 0;
	}
	return bytes + longest * len;
}
