/* Names that are none; see flag.h. */
#include "base/flag.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 40        /* characters; longer ones are not guessed at */
#define LETTERS_PER_SLIP 3 /* of a word: so many letters may have one slip */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many slips make `b` of `a`, where an exchange of two neighbours is one. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3];
		const size_t *last = rows[(i - 1) % 3];
		const size_t *before = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = least(last[j], row[j - 1]) + 1;
			row[j] = least(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
			bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1];
			if (exchanged)
				row[j] = least(row[j], before[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void flag_guess(struct flag_guess *g, const char *name)
{
	size_t word_len = strlen(g->word);
	size_t name_len = strlen(name);
	if (word_len == 0 || word_len > WORD_MAX || name_len > WORD_MAX)
		return;
	bool begins = strncmp(name, g->word, word_len) == 0;
	size_t slips = begins ? 1 : distance(g->word, word_len, name, name_len);
	if (slips > (word_len + LETTERS_PER_SLIP - 1) / LETTERS_PER_SLIP)
		return;
	if (g->name == NULL || slips < g->distance) {
		g->name = name;
		g->distance = slips;
	}
}

/* Says why a flag in words was not liked; `flag` is it without its value. */
static void explain_word(const struct option *known, const char *flag, char out[FLAG_WHY_SIZE])
{
	const char *word = strncmp(flag, "--", 2) == 0 ? flag + 2 : flag;
	struct flag_guess guess = {.word = word};
	for (; known->name != NULL; known++) {
		if (strcmp(known->name, word) == 0) {
			(void)snprintf(out, FLAG_WHY_SIZE, "%s: takes no value", flag);
			return;
		}
		flag_guess(&guess, known->name);
	}
	flag_guess(&guess, "help");
	(void)snprintf(out, FLAG_WHY_SIZE, "%s: unknown flag%s%s%s", flag,
	    guess.name == NULL ? "" : "; did you mean --", guess.name == NULL ? "" : guess.name,
	    guess.name == NULL ? "" : "?");
}

const char *flag_explain(const struct option *known, char *const *argv, int opt,
    char out[FLAG_WHY_SIZE])
{
	char flag[FLAG_WHY_SIZE / 2];
	const char *last = argv[optind - 1];
	(void)snprintf(flag, sizeof(flag), "%.*s", (int)strcspn(last, "="), last);
	/* a letter is in optopt: the argument that it stands in may hold more of them */
	if (optopt > 0 && optopt < FLAG_FIRST)
		(void)snprintf(out, FLAG_WHY_SIZE, "-%c: %s", optopt,
		    opt == ':' ? "needs a value" : "unknown flag");
	else if (opt == ':')
		(void)snprintf(out, FLAG_WHY_SIZE, "%s: needs a value", flag);
	else
		explain_word(known, flag, out);
	return out;
}
