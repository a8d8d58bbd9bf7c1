/* Bearer tokens: which are taken, what a tokens file may hold, who is let through and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "base/buf.h"
#include "server/secrets.h"
#include "support.h"

/* Text of `n` bytes 'x' and a NUL. */
static void fill(char *out, size_t n)
{
	memset(out, 'x', n);
	out[n] = '\0';
}

static void test_tokens(void **state)
{
	(void)state;
	char longest[AUTH_TOKEN_MAX + 1];
	char longer[AUTH_TOKEN_MAX + 2];
	fill(longest, AUTH_TOKEN_MAX);
	fill(longer, AUTH_TOKEN_MAX + 1);
	const struct {
		struct slice token;
		bool good;
	} rows[] = {
	    {SLICE("12345678"), true},
	    {SLICE("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), true},
	    {slice_of(longest), true},
	    {slice_of(longer), false},
	    {SLICE("1234567"), false},
	    {SLICE(""), false},
	    {SLICE("1234 5678"), false},
	    {SLICE("12345678 "), false},
	    {SLICE("1234\t5678"), false},
	    {SLICE("1234\0005678"), false},
	    {SLICE("1234\1775678"), false},
	    {SLICE("1234\303\2445678"), false},
	    {SLICE("12345678\n"), false},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct problem p = {0};
		struct auth *a = auth_new();
		enum err err = auth_add(a, rows[i].token, &p);
		if (err != (rows[i].good ? OK : ERR_INVALID) ||
		    auth_count(a) != (rows[i].good ? 1 : 0))
			fail_msg("row %zu", i);
		if (err != OK &&
		    (strstr(p.message, "8 to 512") == NULL ||
			strstr(p.message, "5678") != NULL))
			fail_msg("row %zu: %s", i, p.message);
		auth_free(a);
	}
	auth_free(NULL);
}

static void test_without_tokens(void **state)
{
	(void)state;
	struct auth *a = auth_new();
	const struct auth_token *token = (const void *)&token;
	const char *name = (const void *)&name;
	assert_true(auth_check(a, SLICE(""), &token, &name));
	assert_null(token);
	assert_null(name);
	token = (const void *)&token;
	assert_true(auth_check(a, SLICE("Bearer whatever"), &token, &name));
	assert_null(token);
	assert_true(auth_reaches(NULL, SLICE("any")));
	auth_free(a);
}

static void test_headers(void **state)
{
	(void)state;
	static const struct {
		struct slice header;
		bool passes;
	} ROWS[] = {
	    {SLICE_INIT("Bearer first-token"), true},
	    {SLICE_INIT("Bearer second-token"), true},
	    {SLICE_INIT("bearer first-token"), true},
	    {SLICE_INIT("BEARER first-token"), true},
	    {SLICE_INIT("bEaReR   first-token \t"), true},
	    {SLICE_INIT(""), false},
	    {SLICE_INIT("Bearer"), false},
	    {SLICE_INIT("Bearer "), false},
	    {SLICE_INIT("Bearerfirst-token"), false},
	    {SLICE_INIT("first-token"), false},
	    {SLICE_INIT("Basic first-token"), false},
	    {SLICE_INIT(" Bearer first-token"), false},
	    {SLICE_INIT("Bearer first-toke"), false},
	    {SLICE_INIT("Bearer first-tokens"), false},
	    {SLICE_INIT("Bearer First-token"), false},
	    {SLICE_INIT("Bearer first-token second-token"), false},
	    {SLICE_INIT("Bearer first-token\0"), false},
	    {SLICE_INIT("Bearer first-tokenfirst-token"), false},
	};
	struct problem p;
	struct auth *a = auth_new();
	assert_int_equal(auth_add(a, SLICE("first-token"), &p), OK);
	assert_int_equal(auth_add(a, SLICE("second-token"), &p), OK);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct auth_token *token = (const void *)&token;
		const char *name = NULL;
		bool passes = auth_check(a, ROWS[i].header, &token, &name);
		const char *want = i == 1 ? "token 2" : "token 1";
		bool is_named = name != NULL && strcmp(name, want) == 0;
		if (passes != ROWS[i].passes || token != NULL || is_named != passes)
			fail_msg("row %zu", i);
	}
	auth_free(a);
}

/* Which of some sessions a token reaches, as a text: "", "a b ab", … */
static void put_reach(const struct auth *a, const char *token, struct buf *out)
{
	static const char *const SESSIONS[] = {"a", "b", "ab", "Loja S\303\243o", "**",
	    "62@s.whatsapp.net", "%20", "+62:1"};
	const struct auth_token *found = NULL;
	struct buf header = BUF_INIT(1000);
	buf_reset(out);
	buf_printf(&header, "Bearer %s", token);
	const char *name = NULL;
	if (!auth_check(a, buf_view(&header), &found, &name))
		buf_puts(out, "refused");
	else if (found == NULL)
		buf_puts(out, "all");
	for (size_t i = 0; found != NULL && i < COUNT(SESSIONS); i++) {
		if (auth_reaches(found, slice_of(SESSIONS[i])))
			buf_printf(out, "%s ", SESSIONS[i]);
	}
	buf_fini(&header);
}

static void test_file(void **state)
{
	(void)state;
	static const struct {
		const char *token, *reach;
	} ROWS[] = {
	    {"full-token-1", "all"},
	    {"full-token-2", "all"},
	    {"scoped-token-a", "a "},
	    {"scoped-token-b-and-ab", "b ab "},
	    {"windows-line", "all"},
	    {"windows-scoped", "a "},
	    {"before-a-comment", "b "},
	    {"with#hash#inside", "ab "},
	    {"last-without-newline", "all"},
	    {"names-of-more", "Loja S\303\243o ** 62@s.whatsapp.net %20 +62:1 "},
	    {"commented-out", "refused"},
	    {"scoped-token-", "refused"},
	    {"#commented-out", "refused"},
	};
	struct problem p = {0};
	struct buf reach = BUF_INIT(1000);
	struct auth *a = auth_new();
	enum err err = auth_add_file(a,
	    SLICE("# tokens\n"
		  "\n"
		  "full-token-1\n"
		  " \tfull-token-2 \t\n"
		  "scoped-token-a a\n"
		  "scoped-token-b-and-ab\tb  ab c.d~e_f-9\n"
		  "windows-line\r\n"
		  "windows-scoped a\r\n"
		  "\r\n"
		  "   # commented-out\r\n"
		  "#commented-out\n"
		  "before-a-comment b # a c\r\n"
		  "with#hash#inside ab #b\n"
		  "names-of-more Loja%20S\303\243o %2A%2A 62@s.whatsapp.net %2520 +62:1\n"
		  "last-without-newline"),
	    &p);
	if (err != OK)
		fail_msg("%s", p.message);
	assert_int_equal(auth_count(a), 10);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		put_reach(a, ROWS[i].token, &reach);
		if (strcmp(buf_cstr(&reach), ROWS[i].reach) != 0)
			fail_msg("%s: %s", ROWS[i].token, buf_cstr(&reach));
	}
	buf_fini(&reach);
	auth_free(a);
}

static void test_bad_files(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		const char *words;
	} ROWS[] = {
	    {SLICE_INIT("short"), "line 1: "},
	    {SLICE_INIT("# one\n\nlong-enough\nshort\n"), "line 4: "},
	    {SLICE_INIT("long-enough a/b"), "line 1: a session"},
	    {SLICE_INIT("long-enough\r\nlong-enough a,b\r\n"), "line 2: a session"},
	    {SLICE_INIT("long-enough a%"), "line 1: a session"},
	    {SLICE_INIT("long-enough a%00"), "line 1: a session"},
	    {SLICE_INIT("long-enough a b%ff"), "line 1: a session"},
	    {SLICE_INIT("long-enough %2A"), "line 1: a session"},
	    {SLICE_INIT("long\0enough"), "line 1: "},
	    {SLICE_INIT("long-enough\rlong-enough"), "line 1: "},
	    {SLICE_INIT("short#long-enough-with-it"), NULL},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p = {0};
		struct auth *a = auth_new();
		enum err err = auth_add_file(a, ROWS[i].text, &p);
		if (ROWS[i].words == NULL ? err != OK
					  : err != ERR_INVALID ||
			    strncmp(p.message, ROWS[i].words, strlen(ROWS[i].words)) != 0 ||
			    strstr(p.message, "enough") != NULL)
			fail_msg("row %zu: %s %s", i, err_text(err), p.message);
		auth_free(a);
	}
}

/* The configured token and the file's make one set; what is wrong is said without a token. */
static void test_load(void **state)
{
	(void)state;
	char dir[64];
	char path[80];
	struct config c;
	struct problem p = {0};
	struct buf reach = BUF_INIT(1000);
	folder_make(dir);
	(void)snprintf(path, sizeof(path), "%s/tokens", dir);
	config_init(&c);
	struct auth *a = auth_new();
	assert_int_equal(secrets_load_tokens(&c, a, &p), OK);
	assert_int_equal(auth_count(a), 0);

	c.token = strdup("full-token");
	c.tokens_file = strdup(path);
	assert_int_equal(secrets_load_tokens(&c, a, &p), ERR_IO);
	assert_non_null(strstr(p.message, path));
	auth_free(a);

	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs("scoped-token a\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	a = auth_new();
	assert_int_equal(secrets_load_tokens(&c, a, &p), OK);
	put_reach(a, "full-token", &reach);
	assert_string_equal(buf_cstr(&reach), "all");
	put_reach(a, "scoped-token", &reach);
	assert_string_equal(buf_cstr(&reach), "a ");
	auth_free(a);

	f = fopen(path, "a");
	assert_non_null(f);
	assert_true(fputs("scoped-token a/b\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	a = auth_new();
	assert_int_equal(secrets_load_tokens(&c, a, &p), ERR_INVALID);
	assert_non_null(strstr(p.message, path));
	assert_non_null(strstr(p.message, "line 2"));
	assert_null(strstr(p.message, "scoped-token"));
	auth_free(a);
	buf_fini(&reach);
	config_free(&c);
	folder_remove(dir);
}

static void test_tokens_with_nothing_behind_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err err;
		unsigned bare_line;
	} ROWS[] = {
	    {"token-one *\n", OK, 0},
	    {"token-one a\ntoken-two\t*\t# all\n", OK, 0},
	    {"# none\n\ntoken-one\ntoken-two\n", OK, 3},
	    {"token-one * \r\ntoken-two \r\n", OK, 2},
	    {"token-one # *\n", OK, 1},
	    {"token-one * *\n", OK, 0},
	    {"token-one * a\n", ERR_INVALID, 0},
	    {"token-one a *\n", ERR_INVALID, 0},
	    {"token-one **\n", ERR_INVALID, 0},
	    {"token-one a*\n", ERR_INVALID, 0},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p = {0};
		struct auth *a = auth_new();
		if (auth_add_file(a, slice_of(ROWS[i].text), &p) != ROWS[i].err ||
		    auth_bare_line(a) != ROWS[i].bare_line)
			fail_msg("row %zu: %s, line %u", i, p.message, auth_bare_line(a));
		auth_free(a);
	}
}

/* Tokens of the same sessions have the same reach, however the sessions are listed. */
static void test_reach(void **state)
{
	(void)state;
	static const struct {
		const char *sessions;
		const char *reach;
	} ROWS[] = {
	    {"", ""},
	    {"a", " a"},
	    {"b a", " a b"},
	    {"a b", " a b"},
	    {"a b a # c", " a b"},
	    {"ab", " ab"},
	    {"*", ""},
	    {"* # a", ""},
	    {"a%20b", " a%20b"},
	    {"Loja%20S%C3%A3o S\303\243o", " Loja%20S%C3%A3o S%C3%A3o"},
	    {"%2a%2A", " %2A%2A"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char line[100];
		struct problem p;
		struct auth *a = auth_new();
		const struct auth_token *token = NULL;
		const char *name = NULL;
		(void)snprintf(line, sizeof(line), "token-one %s\n", ROWS[i].sessions);
		assert_int_equal(auth_add_file(a, slice_of(line), &p), OK);
		assert_true(auth_check(a, SLICE("Bearer token-one"), &token, &name));
		if (!slice_eq(auth_reach(token), slice_of(ROWS[i].reach)))
			fail_msg("row %zu", i);
		auth_free(a);
	}
	assert_int_equal(auth_reach(NULL).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_without_tokens),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_bad_files),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_tokens_with_nothing_behind_them),
	    cmocka_unit_test(test_reach),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
