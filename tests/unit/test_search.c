/* Finding bytes in bytes: against the plain way, and that no text takes longer than another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "base/rnd.h"
#include "base/search.h"
#include "support.h"

#define TEXT_MAX 300
#define WORD_MAX 90
#define LOOK 4096
#define TIMES 200
#define ROUNDS 7

static const char *find_plainly(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.len <= text.len; i++) {
		if (memcmp(text.ptr + i, word.ptr, word.len) == 0)
			return text.ptr + i;
	}
	return NULL;
}

/* Texts of few letters, and words that are pieces of them, with a letter changed or not. */
static void test_finds_the_first(void **state)
{
	struct rnd rnd;
	char text[TEXT_MAX];
	char word[WORD_MAX];
	(void)state;
	rnd_seed(&rnd, test_seed(20261130));
	for (int n = 0; n < 200000; n++) {
		size_t letters = 1 + rnd_next(&rnd) % 3;
		size_t len = rnd_next(&rnd) % TEXT_MAX;
		size_t word_len = rnd_next(&rnd) % WORD_MAX;
		for (size_t i = 0; i < len; i++)
			text[i] = (char)(0x80 - rnd_next(&rnd) % letters);
		size_t at = rnd_next(&rnd) % (len + 1);
		for (size_t i = 0; i < word_len; i++)
			word[i] = at + i < len ? text[at + i] : 'z';
		if (word_len > 0 && n % 3 == 0)
			word[rnd_next(&rnd) % word_len] = (char)0x80;
		const char *found = search_find((struct slice){text, len},
		    (struct slice){word, word_len});
		const char *want = find_plainly((struct slice){text, len},
		    (struct slice){word, word_len});
		if (found != want)
			fail_msg("%d: a word of %zu in a text of %zu", n, word_len, len);
	}
	assert_null(search_find(SLICE(""), SLICE("a")));
	assert_non_null(search_find(SLICE("a"), SLICE("")));
}

/* The processor's time for a word that is nowhere in the text: the least of some rounds. */
static double time_of(struct slice text, struct slice word)
{
	double least = 0;
	for (int round = 0; round < ROUNDS; round++) {
		clock_t start = clock();
		for (int n = 0; n < TIMES; n++)
			assert_null(search_find(text, word));
		double took = (double)(clock() - start);
		least = round == 0 || took < least ? took : least;
	}
	return least;
}

/* For memmem() some of these take ten times as long as the first. */
static void test_no_text_takes_longer(void **state)
{
	static const char *const WORDS[] = {"ab", "aab", "baaa", "aaabaaaa", "aaaaaaaaaaaab",
	    "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	char text[LOOK];
	(void)state;
	for (size_t i = 0; i < LOOK; i++)
		text[i] = (char)('A' + i % 26);
	double even = time_of((struct slice){text, LOOK}, SLICE("zzzzzzzz"));
	memset(text, 'a', LOOK);
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		double took = time_of((struct slice){text, LOOK}, slice_of(WORDS[i]));
		if (took > 3 * even)
			fail_msg("%s: %.0f us, another text %.0f us", WORDS[i], took, even);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_finds_the_first),
	    cmocka_unit_test(test_no_text_takes_longer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
