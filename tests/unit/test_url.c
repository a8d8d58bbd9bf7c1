/* Which texts may be a webhook's URL, and that a refusal says what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "domain/url.h"
#include "domain/url_given.h"

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890abc"

static void test_allowed(void **state)
{
	(void)state;
	static const struct slice ROWS[] = {
	    SLICE_INIT("http://h"),
	    SLICE_INIT("https://example.com/hooks/1?a=b&c=%2F"),
	    SLICE_INIT("HTTPS://Example.COM/"),
	    SLICE_INIT("hTTp://h/"),
	    SLICE_INIT("http://h:1/"),
	    SLICE_INIT("http://h:65535"),
	    SLICE_INIT("http://h:0080/"),
	    SLICE_INIT("http://h?q"),
	    SLICE_INIT("http://h/?"),
	    SLICE_INIT("http://h/a@b:c"),
	    SLICE_INIT("http://h//a/../b/."),
	    SLICE_INIT("http://h/;p=1,2!$&'()*+~-._"),
	    SLICE_INIT("http://127.0.0.1:8080/"),
	    SLICE_INIT("http://1.2.3.4.example/"),
	    SLICE_INIT("http://7.a0x7/"),
	    SLICE_INIT("http://0x7g/"),
	    SLICE_INIT("http://face/"),
	    SLICE_INIT("http://[::1]/"),
	    SLICE_INIT("https://[2001:db8::7]:8443/x"),
	    SLICE_INIT("http://[::ffff:10.0.0.1]"),
	    SLICE_INIT("http://xn--bcher-kva.example/"),
	    SLICE_INIT("http://my_service.internal./"),
	    SLICE_INIT("http://" LABEL_63 ".example/"),
	    SLICE_INIT("http://" LABEL_63 "." LABEL_63 "." LABEL_63
		       ".a234567890123456789012345678901234567890123456789012345678901/"),
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct problem p = {.message = ""};
		if (url_check(ROWS[i], "url", &p) != OK)
			fail_msg("row %zu: %s", i, p.message);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		struct slice url;
		const char *hint; /* a part of the message */
	} ROWS[] = {
	    {{NULL, 0}, "2048"},
	    {SLICE_INIT(""), "2048"},
	    /* bytes */
	    {SLICE_INIT(" http://h"), "white space"},
	    {SLICE_INIT("http://h/a b"), "white space"},
	    {SLICE_INIT("http://h/\r\nX: y"), "control"},
	    {SLICE_INIT("http://h\0.example"), "control"},
	    {SLICE_INIT("http://h/\x7f"), "control"},
	    {SLICE_INIT("http://b\xc3\xbc"
			"cher.example/"),
		"xn--"},
	    {SLICE_INIT("http://h/b\xc3\xbc"
			"cher"),
		"percent-encode"},
	    {SLICE_INIT("http://h?\xff"), "percent-encode"},
	    /* scheme */
	    {SLICE_INIT("h"), "http://"},
	    {SLICE_INIT("/path"), "http://"},
	    {SLICE_INIT("//h/path"), "http://"},
	    {SLICE_INIT("ftp://h/"), "http://"},
	    {SLICE_INIT("file:///etc/passwd"), "http://"},
	    {SLICE_INIT("httpss://h/"), "http://"},
	    {SLICE_INIT("http+unix://h/"), "http://"},
	    {SLICE_INIT("javascript:alert(1)"), "http://"},
	    /* credentials and fragment */
	    {SLICE_INIT("http://user@h/"), "credentials"},
	    {SLICE_INIT("http://user:pw@h/"), "credentials"},
	    {SLICE_INIT("http://@h/"), "credentials"},
	    {SLICE_INIT("http://h/#top"), "fragment"},
	    {SLICE_INIT("http://h/#"), "fragment"},
	    {SLICE_INIT("http://h#@e/"), "fragment"},
	    /* host */
	    {SLICE_INIT("http:"), "name a host"},
	    {SLICE_INIT("http:h"), "name a host"},
	    {SLICE_INIT("http:/h"), "name a host"},
	    {SLICE_INIT("http://"), "name a host"},
	    {SLICE_INIT("http:///path"), "name a host"},
	    {SLICE_INIT("http://:80/"), "name a host"},
	    {SLICE_INIT("http://?q"), "name a host"},
	    {SLICE_INIT("http://a%2eb/"), "percent-encoding"},
	    {SLICE_INIT("http://a,b/"), "letters, digits"},
	    {SLICE_INIT("http://a!/"), "letters, digits"},
	    {SLICE_INIT("http://a..b/"), "between two dots"},
	    {SLICE_INIT("http://.a/"), "between two dots"},
	    {SLICE_INIT("http://./"), "between two dots"},
	    {SLICE_INIT("http://a../"), "between two dots"},
	    {SLICE_INIT("http://" LABEL_63 "x.example/"), "63"},
	    {SLICE_INIT("http://" LABEL_63 "." LABEL_63 "." LABEL_63
			".a2345678901234567890123456789012345678901234567890123456789012/"),
		"253"},
	    /* what curl takes for an IPv4 address */
	    {SLICE_INIT("http://127.1/"), "192.0.2.1"},
	    {SLICE_INIT("http://127.0.0.1./"), "192.0.2.1"},
	    {SLICE_INIT("http://127.0.0.256/"), "192.0.2.1"},
	    {SLICE_INIT("http://1.2.3.4.5/"), "192.0.2.1"},
	    {SLICE_INIT("http://0177.0.0.1/"), "192.0.2.1"},
	    {SLICE_INIT("http://2130706433/"), "192.0.2.1"},
	    {SLICE_INIT("http://0x7f000001/"), "192.0.2.1"},
	    {SLICE_INIT("http://127.0.0.0X1/"), "192.0.2.1"},
	    {SLICE_INIT("http://127.0x/"), "192.0.2.1"},
	    {SLICE_INIT("http://example.7/"), "192.0.2.1"},
	    {SLICE_INIT("http://[v1.abc]/"), "IPv6"},
	    {SLICE_INIT("http://[fe80::1%25eth0]/"), "RFC 3986"},
	    {SLICE_INIT("http://[fe80::1%eth0]/"), "RFC 3986"},
	    {SLICE_INIT("http://[::1/"), "RFC 3986"},
	    {SLICE_INIT("http://::1/"), "RFC 3986"},
	    {SLICE_INIT("http://[1.2.3.4]/"), "RFC 3986"},
	    /* port */
	    {SLICE_INIT("http://h:/"), "65535"},
	    {SLICE_INIT("http://h:0/"), "65535"},
	    {SLICE_INIT("http://h:65536/"), "65535"},
	    {SLICE_INIT("http://h:99999999999999999999999/"), "65535"},
	    {SLICE_INIT("http://h:8a/"), "RFC 3986"},
	    {SLICE_INIT("http://h:-1/"), "RFC 3986"},
	    /* what two parsers could read differently */
	    {SLICE_INIT("http://h\\@evil.example/"), "RFC 3986"},
	    {SLICE_INIT("http:\\\\h/"), "RFC 3986"},
	    {SLICE_INIT("http://h/%zz"), "RFC 3986"},
	    {SLICE_INIT("http://h/a|b"), "RFC 3986"},
	    {SLICE_INIT("http://h/{id}"), "RFC 3986"},
	    {SLICE_INIT("http://a@b@c/"), "RFC 3986"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct problem p = {.message = ""};
		enum err err = url_check(ROWS[i].url, "url", &p);
		if (err != ERR_INVALID || strcmp(p.field, "url") != 0 ||
		    strstr(p.message, ROWS[i].hint) == NULL)
			fail_msg("row %zu: %s, %s", i, err_text(err), p.message);
	}
}

static void test_length(void **state)
{
	(void)state;
	struct problem p;
	struct buf url = BUF_INIT(2 * URL_MAX);
	buf_puts(&url, "http://h/");
	while (url.len < URL_MAX)
		buf_putc(&url, 'a');
	assert_int_equal(url_check(buf_view(&url), "url", &p), OK);
	buf_putc(&url, 'a');
	assert_int_equal(url_check(buf_view(&url), "url", &p), ERR_INVALID);
	assert_non_null(strstr(p.message, "2048"));
	buf_fini(&url);
}

/* What people write, and how it is sent; NULL: refused. */
static void test_given(void **state)
{
	(void)state;
	static const struct {
		const char *given, *sent;
	} ROWS[] = {
	    {"http://h", "http://h"},
	    {"HTTPS://Example.COM/A", "HTTPS://Example.COM/A"},
	    {"http://h/a/../b/./c//%2e%2e", "http://h/a/../b/./c//%2e%2e"},
	    {"http://h/100%", "http://h/100%25"},
	    {"http://h/%zz%4", "http://h/%25zz%254"},
	    {"http://h/%41%c3%A9", "http://h/%41%c3%A9"},
	    {"http://h/{id}/[1]|^", "http://h/%7Bid%7D/%5B1%5D%7C%5E"},
	    {"http://h/\"<>`", "http://h/%22%3C%3E%60"},
	    {"http://h?a[]=1&b={x|y}^%", "http://h?a%5B%5D=1&b=%7Bx%7Cy%7D%5E%25"},
	    {"http://h/b\xc3\xbc?\xc3\xa9", "http://h/b%C3%BC?%C3%A9"},
	    {"http://b\xc3\xbc"
	     "cher.example/",
		"http://xn--bcher-kva.example/"},
	    {"http://B\xc3\x9c"
	     "CHER.example:8080/x",
		"http://xn--bcher-kva.example:8080/x"},
	    {"http://bu\xcc\x88"
	     "cher.example",
		"http://xn--bcher-kva.example"},
	    {"http://fa\xc3\x9f.de/", "http://xn--fa-hia.de/"}, /* not transitional */
	    {"http://\xe4\xbe\x8b\xe3\x80\x82\xe3\x83\x86/", "http://xn--fsq.xn--ddk/"},
	    {"http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/"},
	    {"http://%6c%6Fcalhost/", "http://localhost/"},
	    {"http://a%2eb/", "http://a.b/"},
	    {"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", "http://127.0.0.1/"},
	    {"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"},
	    {"http://my_service/", "http://my_service/"},
	    {"http://h:/", "http://h/"},
	    {"http://[::1]:80/[", "http://[::1]:80/%5B"},
	    {"", NULL},
	    {"h", NULL},
	    {"ftp://b\xc3\xbc/", NULL},
	    {"http:///x", NULL},
	    {"http://h/a b", NULL},
	    {"http://h/a\tb", NULL},
	    {"http://h/#f", NULL},
	    {"http://b\xc3\xbc#f", NULL},
	    {"http://h\\@evil.example/", NULL},
	    {"http://h/a\\b", NULL},
	    {"http://u@h/", NULL},
	    {"http://u:p@b\xc3\xbc/", NULL},
	    {"http://a%2fb/", NULL},
	    {"http://a%40b/", NULL},
	    {"http://a%3a80/", NULL},
	    {"http://a%00b/", NULL},
	    {"http://a%/", NULL},
	    {"http://a[b]/", NULL},
	    {"http://{h}/", NULL},
	    {"http://\xe2\x80\x8b/", NULL},
	    {"http://a\xe2\x84\x80"
	     "b/",
		NULL}, /* U+2100 is a/c */
	    {"http://xn--\xc3\xbc/", NULL},
	    {"http://0x7f.1/", NULL},
	    {"http://\xef\xbc\x90x7f.1/", NULL},
	    {"http://[::1/", NULL},
	    {"http://h:\xc3\xbc/", NULL},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct problem p = {.message = ""};
		struct buf out = BUF_INIT(4 * URL_MAX);
		enum err err = url_take(slice_of(ROWS[i].given), &out, "url", &p);
		bool good = ROWS[i].sent == NULL
		    ? err == ERR_INVALID && p.message[0] != '\0'
		    : err == OK && strcmp(buf_cstr(&out), ROWS[i].sent) == 0;
		if (!good)
			fail_msg("%s: %s, %s %s", ROWS[i].given, buf_cstr(&out), err_text(err),
			    p.message);
		if (err == OK) { /* what is sent stays what it is */
			struct buf again = BUF_INIT(4 * URL_MAX);
			assert_int_equal(url_take(buf_view(&out), &again, "url", &p), OK);
			assert_true(slice_eq(buf_view(&again), buf_view(&out)));
			buf_fini(&again);
		}
		buf_fini(&out);
	}
}

/* The limit is one of what is sent. */
static void test_given_length(void **state)
{
	(void)state;
	for (size_t over = 0; over <= 1; over++) {
		struct problem p;
		struct buf url = BUF_INIT(URL_MAX + 1);
		struct buf out = BUF_INIT(4 * URL_MAX);
		buf_puts(&url, "http://h/");
		while (url.len < 9 + 679 + over) /* 3 bytes each, and 2 are left */
			buf_putc(&url, '|');
		buf_puts(&url, "xx");
		assert_int_equal(url_take(buf_view(&url), &out, "url", &p),
		    over > 0 ? ERR_INVALID : OK);
		buf_fini(&url);
		buf_fini(&out);
	}
}

static void test_origin(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		bool same;
	} ROWS[] = {
	    {"http://h/a?b", "http://h", true},
	    {"http://h?q", "HTTP://H:80/", true},
	    {"https://h/", "https://h:443/x", true},
	    {"https://h./", "https://H/x", true},
	    {"http://[::1]:8/", "http://[::1]:8?x", true},
	    {"http://h/", "https://h/", false},
	    {"http://h:443/", "https://h/", false},
	    {"http://h:8/", "http://h:9/", false},
	    {"http://h:8/", "http://h:80/", false},
	    {"http://h/", "http://h.example/", false},
	    {"http://h/", "http://a.h/", false},
	    {"http://[::1]/", "http://[::2]/", false},
	    {"http://h/://b", "http://b/", false},
	    {"http://h?://b/", "http://b/", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		if (url_is_same_origin(ROWS[i].a, ROWS[i].b) != ROWS[i].same ||
		    url_is_same_origin(ROWS[i].b, ROWS[i].a) != ROWS[i].same)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_allowed),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_given),
	    cmocka_unit_test(test_given_length),
	    cmocka_unit_test(test_origin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
