/*
 * Names that are none, on a command line: which one was meant, and what getopt_long() has not
 * liked, in words.
 */
#ifndef BASE_FLAG_H
#define BASE_FLAG_H

#include <stddef.h>

struct option;

#define FLAG_FIRST 256 /* least `val` of a flag in words: no letter's */

/* The name that `word` may have been meant for; zeroed but for that. */
struct flag_guess {
	const char *word;
	const char *name; /* the nearest so far; NULL: none is near */
	size_t distance;
};

/*
 * Looks whether `name`, which must live as long, is nearer to the word than those before: it
 * begins with it, or takes few letters put in, taken out, changed or exchanged.
 */
void flag_guess(struct flag_guess *g, const char *name);

#define FLAG_WHY_SIZE 256 /* bytes of words with their NUL: a flag that is longer is cut */

/*
 * Says in `out`, which it returns, why getopt_long() has just given `opt`, '?' or ':'. The flag
 * is named and not its value, which may be a secret. `known` ends with a NULL name.
 */
const char *flag_explain(const struct option *known, char *const *argv, int opt,
    char out[FLAG_WHY_SIZE]);

#endif
