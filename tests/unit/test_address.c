/* Which addresses may be connected to: the edges of each range, and what CIDRs allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "domain/address.h"

/* The socket address of a text, IPv4 or IPv6. */
static struct sockaddr_storage socket_of(const char *text)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(&ss, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(&ss, &in6, sizeof(in6));
	else
		fail_msg("no address: %s", text);
	return ss;
}

static bool allowed(const struct address_policy *policy, const char *text, const char **range)
{
	struct sockaddr_storage ss = socket_of(text);
	return address_allowed(policy, (struct sockaddr *)&ss, range);
}

static void test_special_ranges(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *range; /* NULL: public */
	} ROWS[] = {
	    {"0.0.0.0", "this network"},
	    {"0.255.255.255", "this network"},
	    {"1.0.0.0", NULL},
	    {"9.255.255.255", NULL},
	    {"10.0.0.0", "private"},
	    {"10.255.255.255", "private"},
	    {"11.0.0.0", NULL},
	    {"100.63.255.255", NULL},
	    {"100.64.0.0", "shared (CGNAT)"},
	    {"100.127.255.255", "shared (CGNAT)"},
	    {"100.128.0.0", NULL},
	    {"126.255.255.255", NULL},
	    {"127.0.0.0", "loopback"},
	    {"127.255.255.255", "loopback"},
	    {"128.0.0.0", NULL},
	    {"169.253.255.255", NULL},
	    {"169.254.0.0", "link-local"},
	    {"169.254.169.254", "link-local"},
	    {"169.255.0.0", NULL},
	    {"172.15.255.255", NULL},
	    {"172.16.0.0", "private"},
	    {"172.31.255.255", "private"},
	    {"172.32.0.0", NULL},
	    {"191.255.255.255", NULL},
	    {"192.0.0.0", "protocol assignments"},
	    {"192.0.0.255", "protocol assignments"},
	    {"192.0.1.0", NULL},
	    {"192.0.2.0", "documentation"},
	    {"192.0.2.255", "documentation"},
	    {"192.0.3.0", NULL},
	    {"192.88.98.255", NULL},
	    {"192.88.99.0", "6to4 relay"},
	    {"192.88.99.255", "6to4 relay"},
	    {"192.88.100.0", NULL},
	    {"192.167.255.255", NULL},
	    {"192.168.0.0", "private"},
	    {"192.168.255.255", "private"},
	    {"192.169.0.0", NULL},
	    {"198.17.255.255", NULL},
	    {"198.18.0.0", "benchmarking"},
	    {"198.19.255.255", "benchmarking"},
	    {"198.20.0.0", NULL},
	    {"198.51.99.255", NULL},
	    {"198.51.100.0", "documentation"},
	    {"198.51.100.255", "documentation"},
	    {"198.51.101.0", NULL},
	    {"203.0.112.255", NULL},
	    {"203.0.113.0", "documentation"},
	    {"203.0.113.255", "documentation"},
	    {"203.0.114.0", NULL},
	    {"223.255.255.255", NULL},
	    {"224.0.0.0", "multicast"},
	    {"239.255.255.255", "multicast"},
	    {"240.0.0.0", "reserved"},
	    {"255.255.255.254", "reserved"},
	    {"255.255.255.255", "broadcast"},

	    {"::", "unspecified"},
	    {"::1", "loopback"},
	    {"::2", "IPv4-compatible"},
	    {"::8.8.8.8", "IPv4-compatible"},
	    {"::127.0.0.1", "IPv4-compatible"},
	    {"::1:0:0:0", "reserved"},
	    {"::ffff:0:8.8.8.8", "reserved"},
	    {"64:ff9b:1::", "local NAT64"},
	    {"64:ff9b:1:ffff:ffff:ffff:8.8.8.8", "local NAT64"},
	    {"64:ff9b:2::", "reserved"},
	    {"64:ff9b::1:808:808", "reserved"},
	    {"100::", "discard-only"},
	    {"100::ffff:ffff:ffff:ffff", "discard-only"},
	    {"100:0:0:1::", "dummy prefix"},
	    {"100:0:0:2::", "reserved"},
	    {"200::1", "reserved"},
	    {"1fff:ffff::", "reserved"},
	    {"2000::", NULL},
	    {"2001::", "Teredo"},
	    {"2001:0:808:808:0:ffff:f7f7:f7f7", "Teredo"},
	    {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"},
	    {"2001:1::1", "protocol assignments"},
	    {"2001:2::", "benchmarking"},
	    {"2001:2:0:ffff::", "benchmarking"},
	    {"2001:2:1::", "protocol assignments"},
	    {"2001:10::", "ORCHID"},
	    {"2001:1f:ffff::", "ORCHID"},
	    {"2001:20::", "ORCHID"},
	    {"2001:2f:ffff::", "ORCHID"},
	    {"2001:30::", "protocol assignments"},
	    {"2001:1ff:ffff::", "protocol assignments"},
	    {"2001:200::", NULL},
	    {"2001:db7:ffff::", NULL},
	    {"2001:db8::", "documentation"},
	    {"2001:db8:ffff::", "documentation"},
	    {"2001:db9::", NULL},
	    {"2001:4860:4860::8888", NULL},
	    {"3ffe:ffff::", NULL},
	    {"3fff::", "documentation"},
	    {"3fff:fff:ffff::", "documentation"},
	    {"3fff:1000::", NULL},
	    {"3fff:ffff::", NULL},
	    {"4000::", "reserved"},
	    {"5f00::", "segment routing"},
	    {"5f00:ffff::", "segment routing"},
	    {"5f01::", "reserved"},
	    {"8000::", "reserved"},
	    {"fbff::", "reserved"},
	    {"fc00::", "private (unique local)"},
	    {"fdff:ffff::", "private (unique local)"},
	    {"fe00::", "reserved"},
	    {"fe80::", "link-local"},
	    {"febf:ffff::", "link-local"},
	    {"fec0::", "site-local"},
	    {"feff:ffff::", "site-local"},
	    {"ff00::", "multicast"},
	    {"ff02::1", "multicast"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"},

	    /* as the IPv4 address inside: mapped, NAT64, 6to4 */
	    {"::ffff:8.8.8.8", NULL},
	    {"::ffff:10.0.0.1", "private"},
	    {"::ffff:7f00:1", "loopback"},
	    {"::ffff:0:0", "this network"},
	    {"::ffff:169.254.169.254", "link-local"},
	    {"64:ff9b::8.8.8.8", NULL},
	    {"64:ff9b::10.0.0.1", "private"},
	    {"64:ff9b::127.0.0.1", "loopback"},
	    {"2002:808:808::1", NULL},
	    {"2002:a00:1::1", "private"},
	    {"2002:7f00:1:ffff::", "loopback"},
	    {"2002:c0a8:101::", "private"},
	};
	const struct address_policy nothing = {0};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		const char *range = NULL;
		bool ok = allowed(&nothing, ROWS[i].text, &range);
		if (ok != (ROWS[i].range == NULL))
			fail_msg("row %zu: %s, range %s", i, ROWS[i].text, range ? range : "");
		if (!ok && strcmp(range, ROWS[i].range) != 0)
			fail_msg("row %zu: %s, range %s", i, ROWS[i].text, range);
	}
}

static void test_allow_list(void **state)
{
	(void)state;
	static const struct {
		const char *cidr[2];
		const char *text;
		bool ok;
	} ROWS[] = {
	    {{"127.0.0.0/8"}, "127.0.0.1", true},
	    {{"127.0.0.0/8"}, "::ffff:127.0.0.1", true},
	    {{"127.0.0.0/8"}, "::1", false},
	    {{"127.0.0.0/8", "::1"}, "::1", true},
	    {{"127.0.0.0/8", "::1"}, "10.0.0.1", false},
	    {{"127.0.0.0/8"}, "64:ff9b::127.0.0.1", false},
	    {{"127.0.0.0/8"}, "2002:7f00:1::", false},
	    {{"127.0.0.0/8"}, "::127.0.0.1", false},
	    {{"10.1.2.3"}, "10.1.2.3", true},
	    {{"10.1.2.3"}, "10.1.2.2", false},
	    {{"10.1.2.3"}, "::ffff:10.1.2.3", true},
	    {{"172.16.0.0/13"}, "172.23.255.255", true},
	    {{"172.16.0.0/13"}, "172.24.0.0", false},
	    {{"0.0.0.0/0"}, "255.255.255.255", true},
	    {{"0.0.0.0/0"}, "::1", false},
	    {{"0.0.0.0/0"}, "::ffff:10.0.0.1", true},
	    {{"::/0"}, "::1", true},
	    {{"::/0"}, "10.0.0.1", false},
	    {{"fd00::/8"}, "fd12::1", true},
	    {{"fd00::/8"}, "fc12::1", false},
	    {{"::ffff:10.0.0.0/104"}, "::ffff:10.9.9.9", true},
	    {{"::ffff:10.0.0.0/104"}, "10.9.9.9", false},
	    {{"64:ff9b::10.0.0.0/104"}, "64:ff9b::10.0.0.1", true},
	    {{"2001:db8::/33"}, "2001:db8:7fff::", true},
	    {{"2001:db8::/33"}, "2001:db8:8000::", false},
	    {{"10.0.0.0/8"}, "8.8.8.8", true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct cidr allow[2];
		struct address_policy policy = {.allow = allow};
		const char *range = NULL;
		while (policy.allow_count < 2 && ROWS[i].cidr[policy.allow_count] != NULL) {
			struct slice text = slice_of(ROWS[i].cidr[policy.allow_count]);
			assert_int_equal(cidr_parse(text, &allow[policy.allow_count]), OK);
			policy.allow_count++;
		}
		if (allowed(&policy, ROWS[i].text, &range) != ROWS[i].ok)
			fail_msg("row %zu: %s", i, ROWS[i].text);
	}
}

static void test_other_families(void **state)
{
	(void)state;
	struct cidr all[2];
	assert_int_equal(cidr_parse(SLICE("0.0.0.0/0"), &all[0]), OK);
	assert_int_equal(cidr_parse(SLICE("::/0"), &all[1]), OK);
	const struct address_policy policy = {.allow = all, .allow_count = 2};
	struct sockaddr_storage ss = {.ss_family = AF_UNIX};
	const char *range = NULL;
	assert_false(address_allowed(&policy, (struct sockaddr *)&ss, &range));
	assert_non_null(range);
}

static void test_cidr(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		uint8_t family; /* 0: malformed */
		uint8_t bits;
	} ROWS[] = {
	    {SLICE_INIT("10.0.0.0/8"), 4, 8},
	    {SLICE_INIT("10.1.2.3"), 4, 32},
	    {SLICE_INIT("10.1.2.3/32"), 4, 32},
	    {SLICE_INIT("10.1.2.2/31"), 4, 31},
	    {SLICE_INIT("0.0.0.0/0"), 4, 0},
	    {SLICE_INIT("fd00::/8"), 6, 8},
	    {SLICE_INIT("::"), 6, 128},
	    {SLICE_INIT("::/0"), 6, 0},
	    {SLICE_INIT("FE80::1/128"), 6, 128},
	    {SLICE_INIT("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128"), 6, 128},
	    {{NULL, 0}, 0, 0},
	    {SLICE_INIT(""), 0, 0},
	    {SLICE_INIT("/8"), 0, 0},
	    {SLICE_INIT("10.0.0.0/"), 0, 0},
	    {SLICE_INIT("10.0.0.0/33"), 0, 0},
	    {SLICE_INIT("10.0.0.0/08"), 0, 0},
	    {SLICE_INIT("10.0.0.0/+8"), 0, 0},
	    {SLICE_INIT("10.0.0.0/8/8"), 0, 0},
	    {SLICE_INIT("10.0.0.0/264"), 0, 0},
	    {SLICE_INIT("10.0.0.0/99999999999999999999"), 0, 0},
	    {SLICE_INIT("10.0.0.0/255.0.0.0"), 0, 0},
	    {SLICE_INIT("10.0.0.1/8"), 0, 0},
	    {SLICE_INIT("10.1.2.3/31"), 0, 0},
	    {SLICE_INIT("128.0.0.0/0"), 0, 0},
	    {SLICE_INIT("10/8"), 0, 0},
	    {SLICE_INIT("010.0.0.0/8"), 0, 0},
	    {SLICE_INIT("0x0a.0.0.0/8"), 0, 0},
	    {SLICE_INIT("10.0.0.0.0"), 0, 0},
	    {SLICE_INIT(" 10.0.0.0/8"), 0, 0},
	    {SLICE_INIT("10.0.0.0 /8"), 0, 0},
	    {SLICE_INIT("10.0.0.0\0/8"), 0, 0},
	    {SLICE_INIT("::/129"), 0, 0},
	    {SLICE_INIT("fd00::1/8"), 0, 0},
	    {SLICE_INIT("8000::/0"), 0, 0},
	    {SLICE_INIT("fe80::1%eth0"), 0, 0},
	    {SLICE_INIT("[::1]"), 0, 0},
	    {SLICE_INIT("localhost"), 0, 0},
	    {SLICE_INIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), 0, 0},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct cidr c = {.family = 99};
		enum err err = cidr_parse(ROWS[i].text, &c);
		bool refused = err == ERR_SYNTAX && c.family == 99;
		bool read = err == OK && c.family == ROWS[i].family && c.bits == ROWS[i].bits;
		if (ROWS[i].family == 0 ? !refused : !read)
			fail_msg("row %zu", i);
	}
}

static void test_is_loopback(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool loopback;
	} ROWS[] = {
	    {"127.0.0.1", true},
	    {"127.255.255.255", true},
	    {"128.0.0.1", false},
	    {"0.0.0.0", false},
	    {"10.0.0.1", false},
	    {"::1", true},
	    {"::", false},
	    {"::2", false},
	    {"2001:db8::1", false},
	    {"::ffff:127.0.0.1", true},
	    {"::ffff:10.0.0.1", false},
	    {"7f00::", false},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct sockaddr_storage ss = socket_of(ROWS[i].text);
		if (address_is_loopback((struct sockaddr *)&ss) != ROWS[i].loopback)
			fail_msg("row %zu: %s", i, ROWS[i].text);
	}
	struct sockaddr_storage local = {.ss_family = AF_UNIX};
	assert_true(address_is_loopback((struct sockaddr *)&local));
}

static struct cidr peer_of(const char *text)
{
	struct cidr out;
	struct sockaddr_storage ss = socket_of(text);
	address_of_peer((struct sockaddr *)&ss, &out);
	return out;
}

/* Peers as they are counted and logged. */
static void test_clients(void **state)
{
	(void)state;
	static const struct {
		const char *peer;
		const char *alone;
		const char *client;
	} ROWS[] = {
	    {"192.0.2.1", "192.0.2.1", "192.0.2.1"},
	    {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"},
	    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
	    {"2001:db8:1:2:ffff::", "2001:db8:1:2:ffff::", "2001:db8:1:2::/64"},
	    {"::1", "::1", "::/64"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char text[CIDR_TEXT_SIZE];
		struct cidr parsed;
		struct cidr peer = peer_of(ROWS[i].peer);
		assert_int_equal(address_parse(slice_of(ROWS[i].peer), &parsed), OK);
		assert_memory_equal(&parsed, &peer, sizeof(peer));
		cidr_format(&peer, text);
		assert_string_equal(text, ROWS[i].alone);
		struct cidr client = address_client(&peer);
		cidr_format(&client, text);
		assert_string_equal(text, ROWS[i].client);
	}
}

static void test_client_without_an_address(void **state)
{
	(void)state;
	static const struct cidr ANY_6 = {.family = 6};
	static const struct cidr NONE = {0};
	char text[CIDR_TEXT_SIZE];
	struct cidr peer;
	struct sockaddr_storage local = {.ss_family = AF_UNIX};
	address_of_peer((struct sockaddr *)&local, &peer);
	cidr_format(&peer, text);
	assert_string_equal(text, "unix");
	assert_false(cidr_contains(&ANY_6, &peer));
	assert_false(cidr_contains(&NONE, &peer));
	assert_int_equal(address_client(&peer).family, 0);
}

static void test_contains(void **state)
{
	(void)state;
	static const struct {
		const char *network;
		const char *peer;
		bool contained;
	} ROWS[] = {
	    {"10.0.0.0/8", "10.255.0.1", true},
	    {"10.0.0.0/8", "11.0.0.0", false},
	    {"10.0.0.0/8", "::ffff:10.0.0.1", true},
	    {"0.0.0.0/0", "2001:db8::1", false},
	    {"::/0", "10.0.0.1", false},
	    {"::/0", "2001:db8::1", true},
	    {"2001:db8::1", "2001:db8::1", true},
	    {"2001:db8::1", "2001:db8::2", false},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct cidr network;
		struct cidr peer = peer_of(ROWS[i].peer);
		assert_int_equal(cidr_parse(slice_of(ROWS[i].network), &network), OK);
		if (cidr_contains(&network, &peer) != ROWS[i].contained)
			fail_msg("row %zu: %s in %s", i, ROWS[i].peer, ROWS[i].network);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_special_ranges),
	    cmocka_unit_test(test_allow_list),
	    cmocka_unit_test(test_other_families),
	    cmocka_unit_test(test_cidr),
	    cmocka_unit_test(test_is_loopback),
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_client_without_an_address),
	    cmocka_unit_test(test_contains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
