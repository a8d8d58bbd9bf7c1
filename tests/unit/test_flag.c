/* Names that are none: which one was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_guesses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
