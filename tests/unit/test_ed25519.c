/* Ed25519: the vectors of RFC 8032 section 7.1, and what must not verify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/ed25519.h"

static void read_hex(const char *hex, unsigned char *out)
{
	static const char DIGITS[] = "0123456789abcdef";
	for (size_t i = 0; hex[i] != '\0'; i += 2)
		out[i / 2] = (unsigned char)((strchr(DIGITS, hex[i]) - DIGITS) << 4 |
		    (strchr(DIGITS, hex[i + 1]) - DIGITS));
}

static const struct {
	const char *seed, *public_key;
	struct slice message;
	const char *signature;
} ROWS[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", SLICE_INIT(""),
	"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
	"39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", SLICE_INIT("\x72"),
	"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f"
	"3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
	SLICE_INIT("\xaf\x82"),
	"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67"
	"f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct ed25519_pair pair;
		unsigned char expected[ED25519_SIGNATURE_SIZE];
		unsigned char public_key[ED25519_PUBLIC_SIZE];
		unsigned char got[ED25519_SIGNATURE_SIZE];
		read_hex(ROWS[i].seed, pair.seed);
		read_hex(ROWS[i].public_key, public_key);
		read_hex(ROWS[i].signature, expected);
		ed25519_complete(&pair);
		assert_memory_equal(pair.public_key, public_key, sizeof(public_key));
		struct ed25519_key *k = ed25519_key_new(pair.seed);
		ed25519_sign(k, ROWS[i].message, got);
		assert_memory_equal(got, expected, sizeof(expected));
		ed25519_sign(k, ROWS[i].message, got);
		assert_memory_equal(got, expected, sizeof(expected));
		ed25519_key_free(k);
		assert_true(ed25519_verify(public_key, ROWS[i].message, got));
	}
	ed25519_key_free(NULL);
}

static void test_refuses(void **state)
{
	(void)state;
	struct ed25519_pair pair = {.seed = {1}};
	struct ed25519_pair other = {.seed = {2}};
	unsigned char signature[ED25519_SIGNATURE_SIZE];
	ed25519_complete(&pair);
	ed25519_complete(&other);
	struct ed25519_key *k = ed25519_key_new(pair.seed);
	ed25519_sign(k, SLICE("message"), signature);
	ed25519_key_free(k);
	assert_true(ed25519_verify(pair.public_key, SLICE("message"), signature));
	assert_false(ed25519_verify(pair.public_key, SLICE("massage"), signature));
	assert_false(ed25519_verify(other.public_key, SLICE("message"), signature));
	for (size_t i = 0; i < sizeof(signature); i++) {
		signature[i] ^= 0x10;
		assert_false(ed25519_verify(pair.public_key, SLICE("message"), signature));
		signature[i] ^= 0x10;
	}
	memset(signature, 0xff, sizeof(signature)); /* no point, and beyond the group's order */
	assert_false(ed25519_verify(pair.public_key, SLICE("message"), signature));
	memset(pair.public_key, 0xff, sizeof(pair.public_key)); /* is no point */
	assert_false(ed25519_verify(pair.public_key, SLICE("message"), signature));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
