/* A borrowed run of bytes: not owned, not NUL-terminated, may hold any byte. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

/* A slice of a string literal, without its NUL. */
#define SLICE(literal) ((struct slice){.ptr = (literal), .len = sizeof(literal) - 1})

/* The same as an initialiser of a static object. */
#define SLICE_INIT(literal)                                                                    \
	{                                                                                      \
		.ptr = (literal), .len = sizeof(literal) - 1                                   \
	}

static inline struct slice slice_of(const char *cstr)
{
	return (struct slice){.ptr = cstr, .len = cstr == NULL ? 0 : strlen(cstr)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	    (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* Returns `s` without leading and trailing spaces and tabs. */
static inline struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/*
 * Takes the bytes before the next `delimiter` off the front of `rest`, and the delimiter
 * itself; all of them where there is none. So a text is taken apart while rest->len > 0.
 */
static inline struct slice slice_cut(struct slice *rest, char delimiter)
{
	const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, delimiter, rest->len);
	struct slice piece = {rest->ptr, end == NULL ? rest->len : (size_t)(end - rest->ptr)};
	size_t taken = piece.len + (end == NULL ? 0 : 1);
	if (taken > 0)
		rest->ptr += taken;
	rest->len -= taken;
	return piece;
}

#endif
