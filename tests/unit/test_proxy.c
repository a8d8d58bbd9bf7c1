/* What may be a webhook's proxy, and for which hosts it is passed by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "domain/proxy.h"
#include "support.h"

static void test_urls(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		const char *credentials; /* NULL: it is none */
	} ROWS[] = {{"http://proxy:3128", ""}, {"HTTP://192.0.2.1:1/", ""},
	    {"http://[2001:db8::1]:3128", ""}, {"http://u:p@proxy:3128", "u:p"},
	    {"http://u@proxy:3128", "u"}, {"http://u:%70%20%40@proxy:3128", "u:%70%20%40"},
	    {"", NULL}, {"none", NULL}, {"http://", NULL}, {"http://proxy", NULL},
	    {"http://proxy:", NULL}, {"http://proxy:0", NULL}, {"http://proxy:65536", NULL},
	    {"https://proxy:3128", NULL}, {"socks5://proxy:1080", NULL},
	    {"http://proxy:3128/path", NULL}, {"http://proxy:3128?a", NULL},
	    {"http://u:p p@proxy:3128", NULL}, {"http://u:p/@proxy:3128", NULL},
	    {"http://u:p@q@proxy:3128", NULL}, {"http://u:%0a@proxy:3128", NULL},
	    {"http://u:%00@proxy:3128", NULL}, {"http://u:%7F@proxy:3128", NULL},
	    {"http://u:%4@proxy:3128", NULL}, {"http://proxy:3128\r\nX: y", NULL},
	    {"http://127.1:3128", NULL}, {"@http://proxy:1", NULL}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (proxy_is_url(ROWS[i].url) != (ROWS[i].credentials != NULL))
			fail_msg("%s", ROWS[i].url);
		if (ROWS[i].credentials != NULL &&
		    !slice_eq(proxy_credentials(ROWS[i].url), slice_of(ROWS[i].credentials)))
			fail_msg("credentials of %s", ROWS[i].url);
	}
}

static void test_exceptions(void **state)
{
	(void)state;
	static const struct {
		const char *exception;
		const char *excepted,
		    *others; /* hosts, spaces between them; NULL: it is none */
	} ROWS[] = {{"example.org", "example.org Example.ORG a.example.org example.org.",
			"example.com myexample.org org example.org.evil 192.0.2.1"},
	    {"localhost", "localhost a.localhost", "127.0.0.1 [::1]"},
	    {"10.0.0.0/8", "10.1.2.3", "11.1.2.3 10.1.2.3.example [::1] 10"},
	    {"192.0.2.1", "192.0.2.1", "192.0.2.2 a.192.0.2.1"},
	    {"2001:db8::/32", "[2001:db8::1]", "[2001:db9::1] 192.0.2.1"}, {"", NULL, NULL},
	    {"*", NULL, NULL}, {".example.org", NULL, NULL}, {"example.org.", NULL, NULL},
	    {"a..b", NULL, NULL}, {"10.0.0.1/8", NULL, NULL}, {"10.0", NULL, NULL},
	    {"a b", NULL, NULL}, {"a,b", NULL, NULL}, {"b\xc3\xbc.de", NULL, NULL},
	    {"a:80", NULL, NULL}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *one = mem_copy(ROWS[i].exception, strlen(ROWS[i].exception));
		const struct proxy_choice c = {.exceptions = &one, .exception_count = 1};
		struct slice good = slice_of(ROWS[i].excepted);
		struct slice bad = slice_of(ROWS[i].others);
		if (proxy_is_exception(slice_of(one)) != (ROWS[i].excepted != NULL))
			fail_msg("%s", one);
		while (good.len > 0) {
			struct slice host = slice_cut(&good, ' ');
			if (!proxy_excepts(&c, host))
				fail_msg("%s: %.*s", one, (int)host.len, host.ptr);
		}
		while (bad.len > 0) {
			struct slice host = slice_cut(&bad, ' ');
			if (proxy_excepts(&c, host))
				fail_msg("%s: not %.*s", one, (int)host.len, host.ptr);
		}
		mem_forget(one);
	}
	assert_false(proxy_excepts(&(struct proxy_choice){0}, SLICE("example.org")));
}

static void test_copy(void **state)
{
	(void)state;
	char url[] = "http://u:p@proxy:1";
	char host[] = "example.org";
	char *hosts[] = {host};
	const struct proxy_choice c = {PROXY_OWN, url, hosts, 1};
	struct proxy_choice copy;
	proxy_copy(&c, &copy);
	assert_int_equal(copy.kind, PROXY_OWN);
	assert_string_equal(copy.url, url);
	assert_int_equal(copy.exception_count, 1);
	assert_string_equal(copy.exceptions[0], host);
	assert_false(proxy_is_default(&copy));
	proxy_clear(&copy);
	assert_null(copy.url);
	assert_true(proxy_is_default(&copy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_exceptions),
	    cmocka_unit_test(test_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
