/*
 * Globs: patterns that match a text as a whole. `*` is any run of bytes, `?` one character,
 * `\` takes what follows as it is. The parts between stars are found from left to right, each
 * at its first place and none ever again: so the time is that of one search, whatever the
 * pattern.
 */
#ifndef DOMAIN_GLOB_H
#define DOMAIN_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct glob;

/* Compiles any pattern; glob_free() it. A `\` at its end stands for itself. */
struct glob *glob_new(struct slice pattern);
void glob_free(struct glob *g);

/* Whether it matches all of `text`, which is UTF-8. */
bool glob_matches(const struct glob *g, struct slice text);

/* How many bytes of a text of `len` it compares at most: as many as a search does meanwhile. */
size_t glob_bytes(const struct glob *g, size_t len);

#endif
