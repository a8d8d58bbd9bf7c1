/*
 * What the commands that show things to people share: colours, and the members of the JSON
 * objects that the API answers with. Whatever came from elsewhere stays within its line and
 * tells a terminal nothing: in columns it is printable ASCII, but for names, else
 * show_put_line().
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "base/printable.h"
#include "domain/json.h"

/* Whether standard output is a terminal that wants colours (https://no-color.org). */
bool show_has_colours(void);

/* An object that was read: its members, borrowed from `text` until show_fini(). */
struct show {
	struct json_reader reader;
	struct buf text;
	const struct json_member *members;
	size_t count;
};

/* Reads an object. ERR_SYNTAX, ERR_TOOBIG over `max` bytes. show_fini() it either way. */
MUST_CHECK enum err show_read(struct show *s, struct slice json, size_t max);
void show_fini(struct show *s);

/* The JSON of a member; empty where it is not there, or is null. */
struct slice show_member(const struct show *s, const char *name);

/* The same without the quotes of a string; its escapes stay. */
struct slice show_text(const struct show *s, const char *name);

/*
 * Appends `text`, in UTF-8, as one line of printable characters: what moves the cursor, changes
 * the direction of writing, or cannot be seen is written as JSON would escape it (\u202e), a
 * byte that is no UTF-8 as \xff. JSON stays the JSON that it was. At most SHOW_GROWTH times as
 * long.
 */
#define SHOW_GROWTH PRINTABLE_GROWTH
void show_put_line(struct buf *out, struct slice text);

/* The same for one word of a line: spaces are escaped too. */
void show_put_word(struct buf *out, struct slice text);

/* Prints `text` as show_put_line() has it. */
void show_print(FILE *out, struct slice text);

/*
 * Appends a name that its holder may have put any character into, of which `json` is the JSON,
 * quotes included: without these where it is one word of printable ASCII, else with them, as
 * show_put_line() has it; '-' where it is empty. Spaces fill it up to `width` characters.
 */
void show_put_name(struct buf *out, struct slice json, size_t width);

/* Appends `text`, each byte that is not printable ASCII as '?', to `width` at least, 0: any. */
void show_put(struct buf *out, struct slice text, size_t width);

#endif
