/* Who a request comes from: both headers, their grammar, and whom they are believed from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/forwarded.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 10.0.0.0/8, fd00::/8 and unix sockets are trusted. */
static struct cidr networks[2];
static const struct proxies PROXIES = {.networks = networks, .count = 2, .is_unix = true};

static int make_networks(void **state)
{
	(void)state;
	return cidr_parse(SLICE("10.0.0.0/8"), &networks[0]) == OK &&
		cidr_parse(SLICE("fd00::/8"), &networks[1]) == OK
	    ? 0
	    : -1;
}

static struct cidr address(const char *text)
{
	struct cidr a = {0};
	if (strcmp(text, "unix") != 0 && address_parse(slice_of(text), &a) != OK)
		fail_msg("no address: %s", text);
	return a;
}

static void check(const struct proxies *p, const char *peer, const char *forwarded,
    const char *list, const char *expected)
{
	char text[CIDR_TEXT_SIZE];
	struct cidr from = address(peer);
	struct cidr client = forwarded_client(p, &from, slice_of(forwarded), slice_of(list));
	cidr_format(&client, text);
	if (strcmp(text, expected) != 0)
		fail_msg("%s | %s | %s: %s instead of %s", peer, forwarded, list, text,
		    expected);
}

static void test_list(void **state)
{
	(void)state;
	static const struct {
		const char *list;
		const char *expected;
	} ROWS[] = {
	    {"", "10.0.0.1"},
	    {"192.0.2.1", "192.0.2.1"},
	    {" 192.0.2.1\t", "192.0.2.1"},
	    {"192.0.2.9, 192.0.2.1", "192.0.2.1"},
	    {"192.0.2.9,192.0.2.1,10.0.0.2", "192.0.2.1"},
	    {"192.0.2.1, 10.0.0.3, fd00::1", "192.0.2.1"},
	    {"10.0.0.3, 10.0.0.2", "10.0.0.3"},
	    {"2001:db8::1", "2001:db8::1"},
	    {"[2001:db8::1]", "2001:db8::1"},
	    {"[2001:db8::1]:443", "2001:db8::1"},
	    {"192.0.2.1:443", "192.0.2.1"},
	    {"::ffff:192.0.2.1", "192.0.2.1"},
	    {"192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"},
	    {",192.0.2.1,,", "192.0.2.1"},
	    {", ,", "10.0.0.1"},
	    /* what the client wrote itself is not looked at */
	    {"\"';--\xff, 192.0.2.1", "192.0.2.1"},
	    {"10.0.0.9, 192.0.2.1", "192.0.2.1"},
	    /* a hop that is none ends the way */
	    {"unknown", "10.0.0.1"},
	    {"192.0.2.1, unknown", "10.0.0.1"},
	    {"192.0.2.1, _hidden, 10.0.0.2", "10.0.0.2"},
	    {"192.0.2.1:", "10.0.0.1"},
	    {"192.0.2.1:65536", "10.0.0.1"},
	    {"192.0.2.1:-1", "10.0.0.1"},
	    {"192.0.2.1:1:2", "10.0.0.1"},
	    {"192.0.2.01", "10.0.0.1"},
	    {"192.0.2", "10.0.0.1"},
	    {"0x7f.1", "10.0.0.1"},
	    {"192.0.2.1/32", "10.0.0.1"},
	    {"192.0.2.1 192.0.2.2", "10.0.0.1"},
	    {"\"192.0.2.1\"", "10.0.0.1"},
	    {"[192.0.2.1]", "10.0.0.1"},
	    {"[2001:db8::1", "10.0.0.1"},
	    {"[2001:db8::1]443", "10.0.0.1"},
	    {"[2001:db8::1]:x", "10.0.0.1"},
	    {"[", "10.0.0.1"},
	    {"[]", "10.0.0.1"},
	    {":", "10.0.0.1"},
	    {"fe80::1%eth0", "10.0.0.1"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++)
		check(&PROXIES, "10.0.0.1", "", ROWS[i].list, ROWS[i].expected);
}

static void test_standard(void **state)
{
	(void)state;
	static const struct {
		const char *forwarded;
		const char *expected;
	} ROWS[] = {
	    {"for=192.0.2.1", "192.0.2.1"},
	    {"For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"},
	    {"for=\"[2001:db8::1]\"", "2001:db8::1"},
	    {"for=192.0.2.1;proto=http;by=203.0.113.43", "192.0.2.1"},
	    {"proto=https;FOR=\"192.0.2.1:80\";host=\"a,b;c\\\"d\"", "192.0.2.1"},
	    {"for=192.0.2.9, for=192.0.2.1", "192.0.2.1"},
	    {"for=192.0.2.1,for=10.0.0.2", "192.0.2.1"},
	    {"for=192.0.2.1 ; proto=http , for=10.0.0.2", "192.0.2.1"},
	    {"for=192.0.2.1;;proto=http;", "192.0.2.1"},
	    {",, for=192.0.2.1,", "192.0.2.1"},
	    {"for=\"192.0.2.1:_port\"", "192.0.2.1"},
	    {"for=192.0.2.1, proto=http", "10.0.0.1"}, /* the last hop names nobody */
	    {"for=unknown", "10.0.0.1"},
	    {"for=_SEVKISEK", "10.0.0.1"},
	    {"for=192.0.2.1, for=unknown, for=10.0.0.2", "10.0.0.2"},
	    {"for=\"192.0.2.\\1\"", "10.0.0.1"},
	    {"for=\"\"", "10.0.0.1"},
	    /* malformed as a whole */
	    {"192.0.2.1", "10.0.0.1"},
	    {"for=", "10.0.0.1"},
	    {"for", "10.0.0.1"},
	    {"=192.0.2.1", "10.0.0.1"},
	    {"for =192.0.2.1", "10.0.0.1"},
	    {"for= 192.0.2.1", "10.0.0.1"},
	    {"for=192.0.2.1:80", "10.0.0.1"},
	    {"for=[2001:db8::1]", "10.0.0.1"},
	    {"for=192.0.2.1 for=192.0.2.2", "10.0.0.1"},
	    {"for=192.0.2.1;for=192.0.2.2", "10.0.0.1"},
	    {"for=\"192.0.2.1", "10.0.0.1"},
	    {"for=\"192.0.2.1\\\"", "10.0.0.1"},
	    {"for=\"192.0.2.1\"x", "10.0.0.1"},
	    {"for=\", for=192.0.2.1", "10.0.0.1"},
	    {"host=\"\xc3\x84\", for=192.0.2.1", "192.0.2.1"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++)
		check(&PROXIES, "10.0.0.1", ROWS[i].forwarded, "", ROWS[i].expected);
}

static void test_only_from_proxies(void **state)
{
	(void)state;
	static const struct proxies NOBODY = {0};
	check(&PROXIES, "203.0.113.1", "for=192.0.2.1", "192.0.2.1", "203.0.113.1");
	check(&PROXIES, "2001:db8::1", "", "192.0.2.1", "2001:db8::1");
	check(&PROXIES, "fd00::1", "", "192.0.2.1", "192.0.2.1");
	check(&PROXIES, "::ffff:10.0.0.1", "", "192.0.2.1", "192.0.2.1");
	check(&PROXIES, "unix", "", "192.0.2.1", "192.0.2.1");
	check(&PROXIES, "unix", "", "", "unix");
	check(&NOBODY, "10.0.0.1", "for=192.0.2.1", "192.0.2.1", "10.0.0.1");
	check(&NOBODY, "unix", "for=192.0.2.1", "192.0.2.1", "unix");
}

/* A proxy writes one and passes the other on: a client must gain nothing by sending it. */
static void test_both(void **state)
{
	(void)state;
	check(&PROXIES, "10.0.0.1", "for=192.0.2.1", "192.0.2.1", "192.0.2.1");
	check(&PROXIES, "10.0.0.1", "for=192.0.2.1, for=10.0.0.2", "192.0.2.1", "192.0.2.1");
	check(&PROXIES, "10.0.0.1", "for=192.0.2.1", "192.0.2.2", "10.0.0.1");
	check(&PROXIES, "10.0.0.1", "for=_x", "192.0.2.2", "10.0.0.1");
	check(&PROXIES, "10.0.0.1", "nonsense", "192.0.2.2", "10.0.0.1");
	check(&PROXIES, "10.0.0.1", "for=192.0.2.1", "nonsense", "10.0.0.1");
	check(&PROXIES, "10.0.0.1", ",", "192.0.2.2", "192.0.2.2");
}

/* A chain of trusted hops is followed so far, not as far as its sender likes. */
static void test_long_chain(void **state)
{
	(void)state;
	char list[4096] = "192.0.2.1";
	for (int i = 0; i < FORWARDED_HOPS_MAX - 1; i++)
		strncat(list, ", 10.0.0.2", sizeof(list) - strlen(list) - 1);
	check(&PROXIES, "10.0.0.1", "", list, "192.0.2.1");
	strncat(list, ", 10.0.0.3", sizeof(list) - strlen(list) - 1);
	check(&PROXIES, "10.0.0.1", "", list, "10.0.0.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_standard),
	    cmocka_unit_test(test_only_from_proxies),
	    cmocka_unit_test(test_both),
	    cmocka_unit_test(test_long_chain),
	};
	return cmocka_run_group_tests(tests, make_networks, NULL);
}
