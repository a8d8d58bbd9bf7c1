/* SHA-256 against published vectors, in one part and in several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/str.h"
#include "support.h"

static void check(const struct slice parts[], size_t n, const char *want)
{
	unsigned char digest[DIGEST_SIZE];
	char hex[2 * DIGEST_SIZE + 1];
	digest_of(parts, n, digest);
	str_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, want);
}

/* FIPS 180-4's examples. */
static void test_vectors(void **state)
{
	(void)state;
	const struct slice whole[] = {SLICE("abc")};
	const struct slice parts[] = {SLICE("a"), SLICE(""), SLICE("bc"), {NULL, 0}};
	const struct slice longer[] = {
	    SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")};
	check(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check(whole, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check(parts, COUNT(parts),
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check(longer, 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
