/*
 * Finds bytes in bytes, in a time that does not depend on what they are: for texts and words
 * that strangers choose. memmem() takes ten times as long for some as for others.
 */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

#include "base/slice.h"

#define SEARCH_QUICK_MAX 64 /* bytes of a word: longer ones take memmem()… */
#define SEARCH_LONG_COST 4  /* …and so many times as long, at most */

/*
 * Returns the first place of `word` in `text`; NULL: it is not there. An empty word is at the
 * front. O(text) for words up to SEARCH_QUICK_MAX.
 */
const char *search_find(struct slice text, struct slice word);

#endif
