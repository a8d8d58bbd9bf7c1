/* Texts as forms and queries have them (WHATWG URL, section 5): "a=1&b=x%20y". */
#ifndef DOMAIN_URL_FORM_H
#define DOMAIN_URL_FORM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Appends `text` with each %XX decoded and, where `plus`, each '+' a space; a '%' without two
 * digits stays.
 */
void url_decode(struct slice text, bool plus, struct buf *out);

/*
 * Takes the next pair off a form, empty ones left out. Both are appended decoded to what they
 * are emptied to be. False at the end.
 */
bool url_form_next(struct slice *left, struct buf *name, struct buf *value);

/* Appends the decoded value of the first pair of that name; nothing where there is none. */
void url_form_find(struct slice form, struct slice name, struct buf *out);

#endif
