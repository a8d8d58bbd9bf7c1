/*
 * YAML for files that people keep: what JSON can say, in YAML 1.2 and its core schema, read
 * and written. Plain true, false, null, ~ and numbers are these; yes, no, on, off, 1:20 and
 * dates are strings, as all that is quoted.
 *
 * Read is one document of mappings, sequences and scalars. What may mean something else than it
 * seems to is refused: anchors, aliases and merge keys, tags, a key that comes twice or is no
 * string, another version than 1.2. So nothing in it grows.
 */
#ifndef CLI_YAML_H
#define CLI_YAML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

#define YAML_DEPTH_MAX 32 /* mappings and sequences in each other; a filter takes 20 */

/*
 * Appends the JSON of the document in `text`, UTF-8 with a byte order mark or none. O(n log n).
 *
 * Errors: ERR_INVALID with the place in words ("line 3, column 5: …"); ERR_TOOBIG where it
 * passes the limit of `out`. `out` may then hold some of it.
 */
MUST_CHECK enum err yaml_read(struct slice text, struct buf *out, struct problem *p);

/*
 * Appends canonical JSON as YAML: block style, two spaces a level, strings without quotes where
 * no reader takes them for anything else, those of several lines as lines. What a terminal
 * would not show is escaped. yaml_read() reads the same JSON from it.
 *
 * ERR_INVALID for what YAML cannot say, a lone surrogate, and where it is deeper than
 * YAML_DEPTH_MAX; `out` may then hold some of it, as where it has failed.
 */
MUST_CHECK enum err yaml_write(struct buf *out, struct slice json);

#endif
