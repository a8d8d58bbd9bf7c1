/* Names that are none; see flag.h. */
#include "base/flag.h"

#include <getopt.h>
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

/* Appends why a flag in words was not liked; `word` is it without its dashes and its value. */
static void explain_word(const struct option *known, const char *word, struct buf *out)
{
	struct flag_guess guess = {.word = word};
	for (; known->name != NULL; known++) {
		if (strcmp(known->name, word) == 0) {
			buf_puts(out, "takes no value");
			return;
		}
		flag_guess(&guess, known->name);
	}
	flag_guess(&guess, "help");
	buf_puts(out, "unknown flag");
	if (guess.name != NULL)
		buf_printf(out, "; did you mean --%s?", guess.name);
}

void flag_explain(const struct option *known, char *const *argv, int opt, struct buf *out)
{
	/* a letter is in optopt: the argument that it stands in may hold more of them */
	if (optopt > 0 && optopt < FLAG_FIRST) {
		buf_printf(out, "-%c: %s", optopt,
		    opt == ':' ? "needs a value" : "unknown flag");
		return;
	}
	const char *last = argv[optind - 1];
	size_t len = strcspn(last, "=");
	buf_printf(out, "%.*s: ", (int)len, last);
	if (opt == ':') {
		buf_puts(out, "needs a value");
		return;
	}
	struct buf word = BUF_INIT(len + 1);
	if (len > 2)
		buf_append(&word, last + 2, len - 2); /* behind "--" */
	explain_word(known, buf_cstr(&word), out);
	buf_fini(&word);
}
