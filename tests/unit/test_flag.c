/* Names that are none: which one was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <getopt.h>
#include <string.h>

#include "base/flag.h"
#include "support.h"

static const char *const NAMES[] = {"serve", "send", "check-config", "top", "tail"};

static void test_guesses(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		const char *meant; /* NULL: none */
	} ROWS[] = {
	    {"serve", "serve"},
	    {"srve", "serve"},
	    {"serves", "serve"},
	    {"sevre", "serve"},
	    {"sned", "send"},
	    {"sen", "send"},
	    {"chekc-cnfig", "check-config"},
	    {"check_config", "check-config"},
	    {"c", "check-config"},
	    {"tpo", "top"},
	    {"tali", "tail"},
	    {"", NULL},
	    {"x", NULL},
	    {"fly", NULL},
	    {"restart", NULL},
	    {"0123456789012345678901234567890123456789", NULL},
	    {"01234567890123456789012345678901234567890", NULL},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct flag_guess g = {.word = ROWS[i].word};
		for (size_t n = 0; n < COUNT(NAMES); n++)
			flag_guess(&g, NAMES[n]);
		bool same = ROWS[i].meant == NULL
		    ? g.name == NULL
		    : g.name != NULL && strcmp(g.name, ROWS[i].meant) == 0;
		if (!same)
			fail_msg("%s: %s", ROWS[i].word, g.name == NULL ? "none" : g.name);
	}
}

/* Lets getopt_long() read one argument. */
static const char *explain(char *argument, char out[FLAG_WHY_SIZE])
{
	static const struct option KNOWN[] = {{"quiet", no_argument, NULL, FLAG_FIRST},
	    {"token", required_argument, NULL, FLAG_FIRST}, {NULL, 0, NULL, 0}};
	char name[] = "waybill";
	char *argv[] = {name, argument, NULL};
	optind = 0; /* glibc: start over */
	opterr = 0;
	const int opt = getopt_long(2, argv, ":c:", KNOWN, NULL);
	assert_true(opt == '?' || opt == ':');
	return flag_explain(KNOWN, argv, opt, out);
}

static void test_explained(void **state)
{
	(void)state;
	static const struct {
		const char *argument, *why;
	} ROWS[] = {
	    {"--token", "--token: needs a value"},
	    {"--quiet=s3cret", "--quiet: takes no value"},
	    {"--tokne=s3cret", "--tokne: unknown flag; did you mean --token?"},
	    {"--nothing", "--nothing: unknown flag"},
	    {"-x", "-x: unknown flag"},
	    {"-c", "-c: needs a value"},
	    {"-xs3cret", "-x: unknown flag"},
	};
	char argument[3000];
	char why[FLAG_WHY_SIZE];
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		(void)snprintf(argument, sizeof(argument), "%s", ROWS[i].argument);
		assert_string_equal(explain(argument, why), ROWS[i].why);
	}
	memset(argument, '-', 2);
	memset(argument + 2, 'x', sizeof(argument) - 3);
	argument[sizeof(argument) - 1] = '\0';
	assert_non_null(strstr(explain(argument, why), "xxx: unknown flag"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_guesses),
	    cmocka_unit_test(test_explained),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
