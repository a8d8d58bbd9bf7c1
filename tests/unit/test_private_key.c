/* Which private keys are taken: those by which a signature takes no longer than it has to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "domain/private_key.h"
#include "support.h"

static const char *const NAMES[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
    OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
    OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
    OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
enum number { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };

static void test_kinds(void **state)
{
	const struct {
		EVP_PKEY *key;
		bool dear;
	} rows[] = {
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2047), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4104), true},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "brainpoolP512r1"), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "sect571r1"), true},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "sect283k1"), true},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), false},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_non_null(rows[i].key);
		if (private_key_is_dear(rows[i].key) != rows[i].dear)
			fail_msg("row %zu", i);
		EVP_PKEY_free(rows[i].key);
	}
}

/* NULL where libcrypto refuses it: of some numbers 3.5 does, and nobody has such a key. */
static EVP_PKEY *make_rsa(BIGNUM *const numbers[NUMBERS])
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	for (int i = 0; i < NUMBERS; i++)
		assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, NAMES[i], numbers[i]), 1);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* Makes `to` longer by so many bits, modulo `order` the same. */
static void lengthen(BIGNUM *to, const BIGNUM *order, int bits)
{
	BIGNUM *more = BN_new();
	assert_int_equal(BN_lshift(more, order, bits), 1);
	assert_int_equal(BN_add(to, to, more), 1);
	BN_free(more);
}

/* Each number but the right one, longer though right, or not belonging to the others. */
static void change(BIGNUM *a[NUMBERS], int row)
{
	BIGNUM *order = BN_dup(a[P]);
	BN_sub_word(order, 1);
	switch (row) {
	case 1: /* as it is used where the primes give what is not right */
		lengthen(a[D], order, 8192);
		break;
	case 2:
		lengthen(a[DP], order, 8192);
		break;
	case 3:
		lengthen(a[QINV], a[P], 8192);
		break;
	case 4: /* every signature would be made twice */
		BN_add_word(a[DP], 2);
		break;
	case 5:
		BN_add_word(a[DQ], 2);
		break;
	case 6:
		BN_add_word(a[QINV], 1);
		break;
	case 7:
		BN_add_word(a[P], 2);
		break;
	case 8: /* the blinding of each is as long as that */
		lengthen(a[E], order, 1);
		break;
	case 9: /* no primes: half of the work of one */
		BN_copy(a[P], a[N]);
		BN_one(a[Q]);
		break;
	default:
		break;
	}
	BN_free(order);
}

static void test_numbers_of_rsa(void **state)
{
	EVP_PKEY *whole = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	(void)state;
	for (int row = 0; row < 10; row++) {
		BIGNUM *a[NUMBERS] = {NULL};
		for (int i = 0; i < NUMBERS; i++)
			assert_int_equal(EVP_PKEY_get_bn_param(whole, NAMES[i], &a[i]), 1);
		change(a, row);
		EVP_PKEY *key = make_rsa(a);
		if (key == NULL ? row == 0 : private_key_is_dear(key) != (row > 0))
			fail_msg("row %d", row);
		EVP_PKEY_free(key);
		for (int i = 0; i < NUMBERS; i++)
			BN_free(a[i]);
	}
	EVP_PKEY_free(whole);
}

static void test_nothing_is_no_key(void **state)
{
	bool encrypted = true;
	(void)state;
	assert_null(private_key_open(SLICE(""), &encrypted));
	assert_false(encrypted);
	assert_null(private_key_open(SLICE("-----BEGIN PRIVATE KEY-----\n"), &encrypted));
	assert_false(encrypted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test(test_numbers_of_rsa),
	    cmocka_unit_test(test_nothing_is_no_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
