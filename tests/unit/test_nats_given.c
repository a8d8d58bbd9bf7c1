/* What people give to reach a NATS server: URLs, names, seeds and creds files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/nats_given.h"
#include "support.h"

/* Made and signed with by another implementation; the seed is SHA-256 of "waybill test". */
#define SEED "SUANUYHRO5H45TV6AUDET4DXZC2ITMOBWTMMZGPNGSXXKH5SAJKOWRMG44"
#define PUBLIC "UDJFNDFNM4Y2PO4YZUHQ27SOF3EXE32B5F5YEY3LDI62CATK6YOUW55R"
#define NONCE "PXoWU7zWAMt75FY"
#define SIGNATURE                                                                              \
	"bfNVRlL9ybdM8zrcS1VncS7DRAzM3VV_PJf1vUBNFGuDjy99G2hw1QF3QG4yfREyNgch48413gSRnJkoBmv8BA"

#define CREDS(nl)                                                                              \
	"-----BEGIN NATS USER JWT-----" nl "eyJ0eXAiOiJKV1QifQ.e30.c2ln" nl                    \
	"------END NATS USER JWT------" nl nl                                                  \
	"************************* IMPORTANT *************************" nl                     \
	"NKEY Seed printed below can be used to sign and prove identity." nl nl                \
	"-----BEGIN USER NKEY SEED-----" nl SEED nl "------END USER NKEY SEED------" nl

static void test_servers_are_read(void **state)
{
	static const struct {
		const char *url;
		const char *host;
		uint16_t port;
		bool is_tls;
	} CASES[] = {
	    {"nats://nats.example.com", "nats.example.com", 4222, false},
	    {"nats://nats.example.com:4223", "nats.example.com", 4223, false},
	    {"tls://nats.example.com:443", "nats.example.com", 443, true},
	    {"127.0.0.1", "127.0.0.1", 4222, false},
	    {"localhost:1", "localhost", 1, false},
	    {"nats://[::1]", "::1", 4222, false},
	    {"tls://[2001:db8::1]:65535", "2001:db8::1", 65535, true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct nats_server s;
		struct problem p;
		assert_int_equal(
		    nats_server_parse(slice_of(CASES[i].url), "servers[0]", &s, &p), OK);
		assert_string_equal(s.host, CASES[i].host);
		assert_int_equal(s.port, CASES[i].port);
		assert_int_equal(s.is_tls, CASES[i].is_tls);
	}
}

static void test_other_servers_are_refused(void **state)
{
	static const char *const URLS[] = {"", "nats://", "tls://", "http://a",
	    "nats://a:", "nats://a:0", "nats://a:65536", "nats://a:-1", "nats://a:1:2",
	    "nats://a/", "nats://a?b", "nats://u:p@a", "nats://token@a", "::1", "nats://::1",
	    "nats://[::1", "nats://[::1]x", "nats://[::1]:", "nats://[::1]x:1", "nats://[]",
	    "nats://a b", "nats://a\nb", "nats://a\"b", "nats://a,b", "nats://\xc3\xa9.example",
	    "nats://[", ":4222", "[", ":"};
	char longest[5 + 255 + 1] = {0};
	struct nats_server s;
	struct problem p;
	(void)state;
	for (size_t i = 0; i < COUNT(URLS); i++) {
		char *copy = mem_copy(URLS[i],
		    strlen(URLS[i])); /* without what may lie behind */
		p.field[0] = '\0';
		if (nats_server_parse((struct slice){copy, strlen(URLS[i])}, "servers[0]", &s,
			&p) != ERR_INVALID)
			fail_msg("%s is taken", URLS[i]);
		assert_string_equal(p.field, "servers[0]");
		free(copy);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	assert_int_equal(nats_server_parse((struct slice){longest, 254}, "s", &s, &p), OK);
	assert_int_equal(nats_server_parse((struct slice){longest, 255}, "s", &s, &p),
	    ERR_INVALID);
}

static void test_subjects_and_names(void **state)
{
	static const char *const SUBJECTS[] = {"a", "wa.events.>", "wa.*.message",
	    "$JS.API.INFO"};
	static const char *const NO_SUBJECTS[] = {"", ".", "a.", ".a", "a..b", "a b", "a\tb",
	    "a\r\nPUB b 0", "a\x7f"};
	static const char *const NAMES[] = {"WA_EVENTS", "waybill-1", "a"};
	static const char *const NO_NAMES[] = {"", "a.b", "a*", ">", "a/b", "a\\b", "a b",
	    "a\n", "\xc3\xa9"};
	char longest[NATS_SUBJECT_MAX + 1];
	(void)state;
	for (size_t i = 0; i < COUNT(SUBJECTS); i++)
		assert_true(nats_is_subject(slice_of(SUBJECTS[i])));
	for (size_t i = 0; i < COUNT(NO_SUBJECTS); i++)
		assert_false(nats_is_subject(slice_of(NO_SUBJECTS[i])));
	for (size_t i = 0; i < COUNT(NAMES); i++)
		assert_true(nats_is_name(slice_of(NAMES[i])));
	for (size_t i = 0; i < COUNT(NO_NAMES); i++)
		assert_false(nats_is_name(slice_of(NO_NAMES[i])));
	memset(longest, 'a', sizeof(longest));
	assert_true(nats_is_subject((struct slice){longest, NATS_SUBJECT_MAX}));
	assert_false(nats_is_subject((struct slice){longest, NATS_SUBJECT_MAX + 1}));
	assert_true(nats_is_name((struct slice){longest, NATS_NAME_MAX}));
	assert_false(nats_is_name((struct slice){longest, NATS_NAME_MAX + 1}));
}

static void test_a_seed_signs(void **state)
{
	struct nats_key key;
	char signature[NATS_SIGNATURE_SIZE];
	(void)state;
	assert_int_equal(nats_key_parse(SLICE(SEED), &key), OK);
	assert_string_equal(key.public_key, PUBLIC);
	nats_key_sign(&key, SLICE(NONCE), signature);
	assert_string_equal(signature, SIGNATURE);
}

/* Each character counts: no other one in its place makes a seed. */
static void test_a_seed_with_a_slip_is_refused(void **state)
{
	struct nats_key key;
	char text[] = SEED;
	(void)state;
	for (size_t i = 0; i < sizeof(SEED) - 1; i++) {
		for (int c = 0; c < 256; c++) {
			if (c == SEED[i])
				continue;
			text[i] = (char)c;
			assert_int_equal(nats_key_parse(slice_of(text), &key), ERR_SYNTAX);
		}
		text[i] = SEED[i];
	}
	assert_int_equal(nats_key_parse((struct slice){SEED, sizeof(SEED) - 2}, &key),
	    ERR_SYNTAX);
	assert_int_equal(nats_key_parse(SLICE(SEED "A"), &key), ERR_SYNTAX);
	assert_int_equal(nats_key_parse(SLICE(PUBLIC), &key), ERR_SYNTAX);
	/* a seed of an account, whose checksum is right */
	assert_int_equal(
	    nats_key_parse(SLICE("SAAJV4QRGKNS7SBOL37JAYDCY4YAQKAZWI76QOKLYQ26BMN7ARMOWVBMLI"),
		&key),
	    ERR_SYNTAX);
}

static void test_creds_hold_a_jwt_and_a_seed(void **state)
{
	struct slice jwt = {NULL, 0};
	struct nats_key key;
	(void)state;
	assert_int_equal(nats_creds_parse(SLICE(CREDS("\n")), &jwt, &key), OK);
	assert_true(slice_eq(jwt, SLICE("eyJ0eXAiOiJKV1QifQ.e30.c2ln")));
	assert_string_equal(key.public_key, PUBLIC);
	jwt.len = 0;
	assert_int_equal(nats_creds_parse(SLICE(CREDS("\r\n")), &jwt, &key), OK);
	assert_true(slice_eq(jwt, SLICE("eyJ0eXAiOiJKV1QifQ.e30.c2ln")));
	assert_int_equal(nats_creds_parse(SLICE("  " CREDS(" \n  ")), &jwt, &key), OK);
}

static void test_other_files_are_no_creds(void **state)
{
	static const char *const TEXTS[] = {"", "\n", SEED, "-----BEGIN A-----\n" SEED "\n",
	    "-----BEGIN A-----\n" SEED
	    "\n-----END A-----\n-----BEGIN B-----\neyJ\n-----END B-----\n",
	    "-----BEGIN A-----\neyJ\n-----END A-----\n-----BEGIN B-----\n",
	    "-----BEGIN A-----\neyJ\n-----END A-----\n-----BEGIN B-----\nSUA\n",
	    "-----BEGIN A-----\n-----END A-----\n-----BEGIN B-----\n" SEED "\n",
	    "eyJ\n" SEED "\n"};
	struct slice jwt = {NULL, 0};
	struct nats_key key;
	(void)state;
	for (size_t i = 0; i < COUNT(TEXTS); i++)
		assert_int_equal(nats_creds_parse(slice_of(TEXTS[i]), &jwt, &key), ERR_SYNTAX);
	/* cut anywhere before the seed's end it is none */
	size_t whole = (size_t)(strstr(CREDS("\n"), SEED) - CREDS("\n")) + strlen(SEED);
	for (size_t n = 0; n < whole; n++)
		assert_int_equal(nats_creds_parse((struct slice){CREDS("\n"), n}, &jwt, &key),
		    ERR_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_servers_are_read),
	    cmocka_unit_test(test_other_servers_are_refused),
	    cmocka_unit_test(test_subjects_and_names),
	    cmocka_unit_test(test_a_seed_signs),
	    cmocka_unit_test(test_a_seed_with_a_slip_is_refused),
	    cmocka_unit_test(test_creds_hold_a_jwt_and_a_seed),
	    cmocka_unit_test(test_other_files_are_no_creds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
