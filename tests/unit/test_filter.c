/*
 * Filters: what each operator says of each type, what is refused and by which name, both
 * sides of every limit; pointers over all that a canonical event can hold; globs against a
 * slow matcher.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "domain/filter.h"
#include "domain/glob.h"
#include "domain/json.h"
#include "support.h"

#define TEXT_MAX (1u << 20)

static struct buf canonical(const char *text)
{
	struct buf out = BUF_INIT(TEXT_MAX);
	struct json_reader r;
	json_init(&r, slice_of(text));
	if (json_read_value(&r, &out) != OK)
		fail_msg("no JSON: %s", text);
	json_fini(&r);
	return out;
}

static struct filter *compile(const char *text)
{
	struct buf json = canonical(text);
	struct filter *f = NULL;
	struct problem p;
	if (filter_compile(buf_view(&json), "filter", &f, &p) != OK)
		fail_msg("%s: %s: %s", text, p.field, p.message);
	assert_true(slice_eq(filter_json(f), buf_view(&json)));
	buf_fini(&json);
	return f;
}

static bool matches_event(const char *filter, struct slice event, uint64_t *steps)
{
	struct filter *f = compile(filter);
	struct pointers *ps = pointers_new();
	struct buf decoded = BUF_INIT(TEXT_MAX);
	filter_enter(f, ps);
	pointers_look(ps, event, &decoded);
	bool is_match = filter_matches(f, ps, steps);
	filter_leave(f, ps);
	assert_int_equal(pointers_count(ps), 0);
	pointers_free(ps);
	filter_free(f);
	buf_fini(&decoded);
	return is_match;
}

#define EVENT                                                                                  \
	"{\"session_id\":\"s\",\"event\":\"message\",\"timestamp\":1767143203,"                \
	"\"offline\":true,"                                                                    \
	"\"data\":{\"chat\":\"120363@g.us\",\"n\":1.0,\"f\":2.5,\"neg\":-3,"                   \
	"\"big\":12345678901234567890,\"huge\":1e400,\"null\":null,\"yes\":true,\"no\":false," \
	"\"wide\":1000000000000000000000000000001,\"round\":-2.5e30,"                          \
	"\"empty\":\"\",\"esc\":\"a\\\"b\\\\n\\u0001\\n\\u00e9\\ud83d\\ude00\","               \
	"\"lone\":\"\\ud800x\","                                                               \
	"\"list\":[1,\"two\",\"a\\nb\",null,[1],{\"k\":\"v\"}],\"a/b\":{\"~\":7,\"\":8},"      \
	"\"o\":{\"0\":\"zero\",\"chat\":\"inner\"},\"late\":\"x\"}}"

static const struct {
	int line;
	const char *filter;
	bool matches;
} ROWS[] = {
    {__LINE__, "{\"path\":\"/data/chat\",\"equals\":\"120363@g.us\"}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"equals\":\"120363@G.us\"}", false},
    {__LINE__, "{\"equals\":\"120363@g.us\",\"path\":\"/data/chat\"}", true},
    {__LINE__, "{\"path\":\"/data/ch\\u0061t\",\"equals\":\"\\u0031\\u00320363@g.us\"}", true},
    {__LINE__, "{\"path\":\"/event\",\"equals\":\"message\"}", true},
    {__LINE__, "{\"path\":\"/session_id\",\"equals\":\"s\"}", true},
    {__LINE__, "{\"path\":\"/timestamp\",\"equals\":1767143203}", true},
    {__LINE__, "{\"path\":\"/offline\",\"equals\":true}", true},
    {__LINE__, "{\"path\":\"/offline\",\"equals\":\"true\"}", false},
    {__LINE__, "{\"path\":\"/data/n\",\"equals\":1}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"equals\":1e0}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"equals\":\"1\"}", false},
    {__LINE__, "{\"path\":\"/data/null\",\"equals\":null}", true},
    {__LINE__, "{\"path\":\"/data/none\",\"equals\":null}", false},
    {__LINE__, "{\"path\":\"/data/no\",\"equals\":false}", true},
    {__LINE__, "{\"path\":\"/data/big\",\"equals\":12345678901234567890}", true},
    {__LINE__, "{\"path\":\"/data/big\",\"equals\":12345678901234567891}", false},
    {__LINE__, "{\"path\":\"/data\",\"equals\":\"x\"}", false},
    /* in */
    {__LINE__, "{\"path\":\"/data/chat\",\"in\":[\"a\",\"120363@g.us\",\"zzz\",1,null]}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"in\":[\"1\",2,1.0]}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"in\":[\"1\",true,null]}", false},
    {__LINE__, "{\"path\":\"/data/null\",\"in\":[null]}", true},
    {__LINE__, "{\"path\":\"/data/list\",\"in\":[1,\"two\"]}", false},
    /* prefix, suffix */
    {__LINE__, "{\"path\":\"/data/chat\",\"prefix\":\"120\"}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"prefix\":\"20\"}", false},
    {__LINE__, "{\"path\":\"/data/chat\",\"prefix\":\"120363@g.us!\"}", false},
    {__LINE__, "{\"path\":\"/data/chat\",\"suffix\":\"@g.us\"}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"suffix\":\"@g.u\"}", false},
    {__LINE__, "{\"path\":\"/data/n\",\"prefix\":\"1\"}", false},
    {__LINE__, "{\"path\":\"/data/empty\",\"prefix\":\"\"}", true},
    {__LINE__, "{\"path\":\"/data/none\",\"prefix\":\"\"}", false},
    /* what is escaped is one character, whose escape is not looked into */
    {__LINE__, "{\"path\":\"/data/esc\",\"prefix\":\"a\\\"b\\\\n\\u0001\\n\"}", true},
    {__LINE__, "{\"path\":\"/data/esc\",\"contains\":\"u0001\"}", false},
    {__LINE__, "{\"path\":\"/data/esc\",\"contains\":\"\\\\n\\u0001\"}", true},
    {__LINE__, "{\"path\":\"/data/esc\",\"suffix\":\"\xc3\xa9\xf0\x9f\x98\x80\"}", true},
    {__LINE__, "{\"path\":\"/data/esc\",\"matches\":\"*\\n??\"}", true},
    {__LINE__, "{\"path\":\"/data/esc\",\"matches\":\"*\\n???\"}", false},
    {__LINE__, "{\"path\":\"/data/lone\",\"matches\":\"?x\"}", true},
    {__LINE__, "{\"path\":\"/data/lone\",\"suffix\":\"x\"}", true},
    /* contains */
    {__LINE__, "{\"path\":\"/data/chat\",\"contains\":\"@\"}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"contains\":\"\"}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"contains\":1}", false},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":1}", true},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":\"two\"}", true},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":\"tw\"}", false},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":\"a\\nb\"}", true},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":null}", true},
    {__LINE__, "{\"path\":\"/data/list\",\"contains\":\"v\"}", false},
    {__LINE__, "{\"path\":\"/data/o\",\"contains\":\"zero\"}", false},
    {__LINE__, "{\"path\":\"/data/n\",\"contains\":1}", false},
    /* exists */
    {__LINE__, "{\"path\":\"/data/null\",\"exists\":true}", true},
    {__LINE__, "{\"path\":\"/data/none\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/data/none\",\"exists\":false}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"exists\":false}", false},
    {__LINE__, "{\"path\":\"/data/chat/x\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/data\",\"exists\":true}", true},
    /* order */
    {__LINE__, "{\"path\":\"/data/n\",\"gt\":0.5}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"gt\":1}", false},
    {__LINE__, "{\"path\":\"/data/n\",\"gte\":1}", true},
    {__LINE__, "{\"path\":\"/data/n\",\"lt\":1}", false},
    {__LINE__, "{\"path\":\"/data/n\",\"lte\":1}", true},
    {__LINE__, "{\"path\":\"/data/f\",\"lt\":3}", true},
    {__LINE__, "{\"path\":\"/data/f\",\"gt\":-1e300}", true},
    {__LINE__, "{\"path\":\"/data/neg\",\"lt\":-2}", true},
    {__LINE__, "{\"path\":\"/data/neg\",\"gt\":-20}", true},
    {__LINE__, "{\"path\":\"/data/neg\",\"lt\":0}", true},
    {__LINE__, "{\"path\":\"/data/big\",\"gt\":12345678901234567889}", true},
    {__LINE__, "{\"path\":\"/data/big\",\"gt\":12345678901234567890}", false},
    {__LINE__, "{\"path\":\"/data/big\",\"lt\":1e20}", true},
    {__LINE__, "{\"path\":\"/data/huge\",\"gt\":1e308}", true},
    /* canonical JSON has an exponent where an integer ends with many zeros */
    {__LINE__, "{\"path\":\"/data/wide\",\"gt\":1e30}", true},
    {__LINE__, "{\"path\":\"/data/wide\",\"gt\":1000000000000000000000000000000}", true},
    {__LINE__, "{\"path\":\"/data/wide\",\"lte\":1000000000000000000000000000001}", true},
    {__LINE__, "{\"path\":\"/data/wide\",\"lt\":1.1e30}", true},
    {__LINE__, "{\"path\":\"/data/wide\",\"gt\":1e31}", false},
    {__LINE__, "{\"path\":\"/data/round\",\"lt\":-2499999999999999999999999999999}", true},
    {__LINE__, "{\"path\":\"/data/round\",\"gt\":-2500000000000000000000000000001}", true},
    {__LINE__, "{\"path\":\"/data/round\",\"gte\":-2500000000000000000000000000000}", true},
    {__LINE__, "{\"path\":\"/data/round\",\"gt\":-2.5e30}", false},
    {__LINE__, "{\"path\":\"/data/round\",\"lt\":1e30}", true},
    {__LINE__, "{\"path\":\"/data/chat\",\"gt\":0}", false},
    {__LINE__, "{\"path\":\"/data/null\",\"lte\":0}", false},
    {__LINE__, "{\"path\":\"/data/none\",\"lte\":0}", false},
    /* pointers */
    {__LINE__, "{\"path\":\"/data/a~1b/~0\",\"equals\":7}", true},
    {__LINE__, "{\"path\":\"/data/a~1b/\",\"equals\":8}", true},
    {__LINE__, "{\"path\":\"/data/list/0\",\"equals\":1}", true},
    {__LINE__, "{\"path\":\"/data/list/4/0\",\"equals\":1}", true},
    {__LINE__, "{\"path\":\"/data/list/5/k\",\"equals\":\"v\"}", true},
    {__LINE__, "{\"path\":\"/data/list/00\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/data/list/6\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/data/list/-\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/data/o/0\",\"equals\":\"zero\"}", true},
    {__LINE__, "{\"path\":\"/data/o/chat\",\"equals\":\"inner\"}", true},
    {__LINE__, "{\"path\":\"/chat\",\"exists\":true}", false},
    {__LINE__, "{\"path\":\"/\",\"exists\":true}", false},
    /* conditions */
    {__LINE__,
	"{\"all\":[{\"path\":\"/event\",\"exists\":true},{\"path\":\"/data/n\",\"gt\":0}]}",
	true},
    {__LINE__,
	"{\"all\":[{\"path\":\"/event\",\"exists\":true},{\"path\":\"/data/n\",\"gt\":1}]}",
	false},
    {__LINE__, "{\"any\":[{\"path\":\"/x\",\"exists\":true},{\"path\":\"/data/n\",\"gt\":1}]}",
	false},
    {__LINE__, "{\"any\":[{\"path\":\"/x\",\"exists\":true},{\"path\":\"/data/n\",\"gt\":0}]}",
	true},
    {__LINE__, "{\"not\":{\"path\":\"/x\",\"equals\":1}}", true},
    {__LINE__, "{\"not\":{\"not\":{\"path\":\"/x\",\"equals\":1}}}", false},
    {__LINE__,
	"{\"all\":[{\"any\":[{\"path\":\"/x\",\"exists\":true},{\"not\":{\"path\":\"/y\","
	"\"exists\":true}}]},{\"path\":\"/data/late\",\"equals\":\"x\"}]}",
	true},
};

static void test_what_matches(void **state)
{
	(void)state;
	struct buf event = canonical(EVENT);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		uint64_t steps = 0;
		if (matches_event(ROWS[i].filter, buf_view(&event), &steps) != ROWS[i].matches)
			fail_msg("line %d: %s", ROWS[i].line, ROWS[i].filter);
		assert_true(steps > 0);
	}
	buf_fini(&event);
}

#define LEAF "{\"path\":\"/a\",\"equals\":1}"

static const struct {
	int line;
	const char *filter;
	const char *field;
	const char *words; /* of the message */
} REFUSED[] = {
    {__LINE__, "1", "filter", "must be a condition: an object with all, any or not alone"},
    {__LINE__, "[]", "filter", "must be a condition"},
    {__LINE__, "{}", "filter", "must be a condition"},
    {__LINE__, "{\"all\":[]}", "filter.all", "an array of 1 to 64 conditions"},
    {__LINE__, "{\"any\":{}}", "filter.any", "an array of 1 to 64 conditions"},
    {__LINE__, "{\"all\":[" LEAF "],\"any\":[" LEAF "]}", "filter", "must be a condition"},
    {__LINE__, "{\"not\":[" LEAF "]}", "filter.not", "must be a condition"},
    {__LINE__, "{\"all\":[" LEAF ",{\"path\":\"a\",\"equals\":1}]}", "filter.all[1].path",
	"a JSON pointer"},
    {__LINE__, "{\"path\":\"\",\"equals\":1}", "filter.path", "a JSON pointer"},
    {__LINE__, "{\"path\":\"/a~2\",\"equals\":1}", "filter.path", "~0 stands for ~"},
    {__LINE__, "{\"path\":\"/a~\",\"equals\":1}", "filter.path", "~0 stands for ~"},
    {__LINE__, "{\"path\":7,\"equals\":1}", "filter.path", "a JSON pointer"},
    {__LINE__, "{\"path\":\"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7\",\"equals\":1}", "filter.path",
	"at most 16 names"},
    {__LINE__, "{\"path\":\"/a\"}", "filter", "a path and one of equals"},
    {__LINE__, "{\"equals\":1}", "filter", "a path and one of equals"},
    {__LINE__, "{\"any\":[{\"path\":\"/a\",\"equal\":1}]}", "filter.any[0]",
	"a path and one of equals"},
    {__LINE__, "{\"path\":\"/a\",\"gt\":1,\"lt\":2}", "filter", "must be a condition"},
    {__LINE__, "{\"not\":{\"any\":[" LEAF "," LEAF ",{\"path\":\"/a\",\"equals\":{}}]}}",
	"filter.not.any[2].equals", "a string, a number, true, false or null"},
    {__LINE__, "{\"path\":\"/a\",\"in\":[]}", "filter.in", "an array of 1 to 1024"},
    {__LINE__, "{\"path\":\"/a\",\"in\":\"x\"}", "filter.in", "an array of 1 to 1024"},
    {__LINE__, "{\"path\":\"/a\",\"in\":[1,[]]}", "filter.in", "an array of 1 to 1024"},
    {__LINE__, "{\"path\":\"/a\",\"prefix\":1}", "filter.prefix", "a string"},
    {__LINE__, "{\"path\":\"/a\",\"suffix\":null}", "filter.suffix", "a string"},
    {__LINE__, "{\"path\":\"/a\",\"contains\":[1]}", "filter.contains", "a string, a number"},
    {__LINE__, "{\"path\":\"/a\",\"matches\":true}", "filter.matches", "512 bytes"},
    {__LINE__, "{\"path\":\"/a\",\"exists\":1}", "filter.exists", "true or false"},
    {__LINE__, "{\"path\":\"/a\",\"gte\":\"1\"}", "filter.gte", "a number"},
};

static void expect_refusal(int line, const char *text, const char *field, const char *words)
{
	struct buf json = canonical(text);
	struct filter *f = NULL;
	struct problem p = {0};
	if (filter_compile(buf_view(&json), "filter", &f, &p) != ERR_INVALID)
		fail_msg("line %d: taken", line);
	if (strcmp(p.field, field) != 0 || strstr(p.message, words) == NULL)
		fail_msg("line %d: %s: %s", line, p.field, p.message);
	buf_fini(&json);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(REFUSED); i++)
		expect_refusal(REFUSED[i].line, REFUSED[i].filter, REFUSED[i].field,
		    REFUSED[i].words);
}

/* `n` times `text`, commas between, in `before` and `after`. */
static char *join_many(const char *before, const char *text, size_t n, const char *comma,
    const char *after)
{
	struct buf out = BUF_INIT(TEXT_MAX);
	buf_puts(&out, before);
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s%s", i == 0 ? "" : comma, text);
	buf_puts(&out, after);
	char *copy = strdup(buf_cstr(&out));
	buf_fini(&out);
	return copy;
}

static void expect_limit(char *fits, char *too_much, const char *field, const char *words)
{
	filter_free(compile(fits));
	expect_refusal(0, too_much, field, words);
	free(fits);
	free(too_much);
}

static void test_limits(void **state)
{
	(void)state;
	expect_limit(join_many("{\"all\":[", LEAF, 64, ",", "]}"),
	    join_many("{\"all\":[", LEAF, 65, ",", "]}"), "filter.all", "1 to 64 conditions");
	expect_limit(join_many("{\"all\":[{\"any\":[" LEAF "]},{\"any\":[", LEAF, 63, ",",
			 "]}]}"),
	    join_many("{\"all\":[{\"any\":[" LEAF "]},{\"any\":[", LEAF, 64, ",", "]}]}"),
	    "filter", "at most 64 leaves");
	expect_limit(join_many("", "{\"not\":", 7, "", LEAF "}}}}}}}"),
	    join_many("", "{\"not\":", 8, "", LEAF "}}}}}}}}"), "filter", "at most 8 deep");
	expect_limit(join_many("{\"path\":\"/a\",\"in\":[", "1", 1024, ",", "]}"),
	    join_many("{\"path\":\"/a\",\"in\":[", "1", 1025, ",", "]}"), "filter.in",
	    "1 to 1024");
	expect_limit(join_many("{\"path\":\"/a\",\"matches\":\"", "x", 512, "", "\"}"),
	    join_many("{\"path\":\"/a\",\"matches\":\"", "x", 513, "", "\"}"), "filter.matches",
	    "512 bytes");
	expect_limit(join_many("{\"path\":\"/", "x", 511, "", "\",\"equals\":1}"),
	    join_many("{\"path\":\"/", "x", 512, "", "\",\"equals\":1}"), "filter.path",
	    "512 bytes");
	/* {"path":"/a","equals":""} has 25 bytes */
	expect_limit(join_many("{\"path\":\"/a\",\"equals\":\"", "x", 16384 - 25, "", "\"}"),
	    join_many("{\"path\":\"/a\",\"equals\":\"", "x", 16384 - 24, "", "\"}"), "filter",
	    "at most 16384 bytes");
}

static uint32_t steps_of(const char *filter)
{
	struct filter *f = compile(filter);
	uint32_t steps = filter_steps(f);
	filter_free(f);
	return steps;
}

#define WORD_65 "12345678901234567890123456789012345678901234567890123456789012345"

static void test_steps(void **state)
{
	(void)state;
	assert_int_equal(steps_of(LEAF), 1);
	assert_int_equal(steps_of("{\"all\":[" LEAF ",{\"not\":" LEAF "}]}"), 2);
	assert_int_equal(steps_of("{\"path\":\"/a/b/c/d\",\"exists\":true}"), 3);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"contains\":\"x\"}"), 129);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"gt\":1e30}"), 1);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"gt\":1e127}"), 3); /* 128 digits */
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"x*y\"}"), 1);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"??*??\"}"), 1);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"*x*\"}"), 66);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"**x*yz*\"}"), 67);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"*x?*\"}"), 258);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"contains\":\"" WORD_65 "\"}"), 257);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"matches\":\"*" WORD_65 "*\"}"), 259);
	assert_int_equal(steps_of("{\"path\":\"/a\",\"in\":[\"x\",\"y\"]}"), 1);
}

/* What lies behind the first 4096 bytes is not seen by contains and matches alone. */
static void test_long_values(void **state)
{
	(void)state;
	char *text = join_many("{\"s\":\"", "x", 4095, "", "\xc3\xa9yz\",\"a\":[");
	char *event = join_many(text, "\"1234567\"", 410, ",", ",\"late\"]}"); /* 10 each */
	struct buf json = canonical(event);
	uint64_t steps = 0;
	assert_false(
	    matches_event("{\"path\":\"/s\",\"contains\":\"z\"}", buf_view(&json), &steps));
	assert_false(matches_event("{\"path\":\"/s\",\"contains\":\"\xc3\xa9\"}",
	    buf_view(&json), &steps));
	assert_true(
	    matches_event("{\"path\":\"/s\",\"matches\":\"x*xx\"}", buf_view(&json), &steps));
	assert_true(
	    matches_event("{\"path\":\"/s\",\"suffix\":\"yz\"}", buf_view(&json), &steps));
	assert_true(matches_event("{\"path\":\"/a\",\"contains\":\"1234567\"}", buf_view(&json),
	    &steps));
	assert_false(
	    matches_event("{\"path\":\"/a\",\"contains\":\"late\"}", buf_view(&json), &steps));
	assert_true(matches_event("{\"path\":\"/a/410\",\"equals\":\"late\"}", buf_view(&json),
	    &steps));
	free(text);
	free(event);
	buf_fini(&json);
}

/* Two filters share pointers; one leaves, the other still finds what it wants. */
static void test_shared_pointers(void **state)
{
	(void)state;
	struct buf event = canonical("{\"a\":{\"b\":1,\"c\":\"\\n\"},\"d\":\"\\t\"}");
	struct buf decoded = BUF_INIT(TEXT_MAX);
	struct pointers *ps = pointers_new();
	struct filter *one = compile("{\"all\":[{\"path\":\"/a/b\",\"equals\":1},"
				     "{\"path\":\"/a/c\",\"prefix\":\"\\n\"}]}");
	struct filter *two = compile("{\"all\":[{\"path\":\"/a\",\"exists\":true},"
				     "{\"path\":\"/a/c\",\"suffix\":\"\\n\"},"
				     "{\"path\":\"/d\",\"suffix\":\"\\t\"}]}");
	uint64_t steps = 0;
	filter_enter(one, ps);
	filter_enter(two, ps);
	assert_int_equal(pointers_count(ps), 4);
	pointers_look(ps, buf_view(&event), &decoded);
	assert_true(filter_matches(one, ps, &steps));
	assert_true(filter_matches(two, ps, &steps));
	assert_int_equal(steps, 5);
	filter_leave(one, ps);
	assert_int_equal(pointers_count(ps), 3);
	pointers_look(ps, SLICE("{}"), &decoded);
	assert_false(filter_matches(two, ps, &steps));
	pointers_look(ps, buf_view(&event), &decoded);
	assert_true(filter_matches(two, ps, &steps));
	filter_leave(two, ps);
	assert_int_equal(pointers_count(ps), 0);
	filter_free(one);
	filter_free(two);
	pointers_free(ps);
	buf_fini(&decoded);
	buf_fini(&event);
}

/* The matcher that a glob is by its definition. */
static bool slow_glob(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return slow_glob(pattern + 1, text) ||
		    (*text != '\0' && slow_glob(pattern, text + 1));
	if (*text == '\0')
		return false;
	bool is_escape = *pattern == '\\' && pattern[1] != '\0';
	pattern += is_escape ? 1 : 0;
	return (*pattern == *text || (*pattern == '?' && !is_escape)) &&
	    slow_glob(pattern + 1, text + 1);
}

/* Writes number `n` in the digits of `alphabet`. */
static void spell(size_t n, const char *alphabet, char *out)
{
	size_t base = strlen(alphabet);
	for (; n > 0; n = (n - 1) / base)
		*out++ = alphabet[(n - 1) % base];
	*out = '\0';
}

/* Every short pattern over every short text. */
static void test_globs(void **state)
{
	(void)state;
	for (size_t p = 0; p < 4000; p++) {
		char pattern[16];
		spell(p, "ab*?\\", pattern);
		struct glob *g = glob_new(slice_of(pattern));
		for (size_t t = 0; t < 130; t++) {
			char text[16];
			spell(t, "ab", text);
			if (glob_matches(g, slice_of(text)) != slow_glob(pattern, text))
				fail_msg("%s over %s", pattern, text);
		}
		glob_free(g);
	}
}

static void test_globs_of_characters(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool matches;
	} GLOBS[] = {
	    {"?", "\xc3\xa9", true},
	    {"??", "\xc3\xa9", false},
	    {"*?", "\xc3\xa9", true},
	    {"*\xc3\xa9?*", "a\xc3\xa9\xf0\x9f\x98\x80z", true},
	    {"*??*??", "\xf0\x9f\x98\x80\xc3\xa9\xc3\xa9", false},
	    {"*??*??", "\xf0\x9f\x98\x80\xc3\xa9\xc3\xa9z", true},
	};
	for (size_t i = 0; i < COUNT(GLOBS); i++) {
		struct glob *g = glob_new(slice_of(GLOBS[i].pattern));
		if (glob_matches(g, slice_of(GLOBS[i].text)) != GLOBS[i].matches)
			fail_msg("%s over %s", GLOBS[i].pattern, GLOBS[i].text);
		glob_free(g);
	}
}

static void test_why(void **state)
{
	(void)state;
	struct buf event = canonical(EVENT);
	struct buf out = BUF_INIT(TEXT_MAX);
	struct buf decoded = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&out);
	struct pointers *ps = pointers_new();
	struct filter *f = compile("{\"any\":[{\"path\":\"/data/esc\",\"suffix\":\"x\"},"
				   "{\"not\":{\"path\":\"/data/n\",\"gt\":0}},"
				   "{\"path\":\"/data/list\",\"contains\":1},"
				   "{\"path\":\"/no\",\"equals\":null}]}");
	filter_enter(f, ps);
	pointers_look(ps, buf_view(&event), &decoded);
	json_open_array(&w, NULL);
	filter_explain(f, ps, &w);
	json_close(&w);
	assert_true(json_is_whole(&w));
	assert_string_equal(buf_cstr(&out),
	    "[{\"field\":\"filter.any[0]\",\"path\":\"/data/esc\",\"operator\":\"suffix\","
	    "\"exists\":true,\"found\":\"a\\\"b\\\\n\\u0001\\n\xc3\xa9\xf0\x9f\x98\x80\","
	    "\"matches\":false},"
	    "{\"field\":\"filter.any[1].not\",\"path\":\"/data/n\",\"operator\":\"gt\","
	    "\"exists\":true,\"found\":1,\"matches\":true},"
	    "{\"field\":\"filter.any[2]\",\"path\":\"/data/list\",\"operator\":\"contains\","
	    "\"exists\":true,\"found\":null,\"matches\":true},"
	    "{\"field\":\"filter.any[3]\",\"path\":\"/no\",\"operator\":\"equals\","
	    "\"exists\":false,\"found\":null,\"matches\":false}]");
	filter_leave(f, ps);
	filter_free(f);
	pointers_free(ps);
	buf_fini(&event);
	buf_fini(&out);
	buf_fini(&decoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_matches),
	    cmocka_unit_test(test_what_is_refused),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_long_values),
	    cmocka_unit_test(test_shared_pointers),
	    cmocka_unit_test(test_globs),
	    cmocka_unit_test(test_globs_of_characters),
	    cmocka_unit_test(test_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
