/* Private keys through OpenSSL's own reader; see private_key.h. Keeps nothing. */
#include "domain/private_key.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>

#include "base/log.h"

#define EC_BITS_MAX 521
#define EXPONENT_BITS_MAX 64 /* of the public one, as OpenSSL has it for long keys */
#define UNEVEN_BITS_MAX 16   /* so much longer than half of n may a prime be */

/* Is asked where a key is encrypted; OpenSSL's own would ask on the terminal. */
static int refuse_passphrase(char *out, int size, int writes, void *arg)
{
	bool *asked = arg;
	(void)out;
	(void)size;
	(void)writes;
	*asked = true;
	return -1;
}

EVP_PKEY *private_key_open(struct slice pem, bool *encrypted)
{
	*encrypted = false;
	if (pem.len == 0 || pem.len > INT_MAX)
		return NULL;
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	panic_if(bio == NULL, "out of memory");
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, encrypted);
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

/* The numbers of an RSA key of two primes. */
enum number { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };

static bool get_numbers(const EVP_PKEY *key, BIGNUM *out[NUMBERS])
{
	static const char *const NAMES[NUMBERS] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
	    OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
	    OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
	    OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
	bool good = true;
	for (int i = 0; i < NUMBERS; i++)
		good = good && EVP_PKEY_get_bn_param(key, NAMES[i], &out[i]) == 1;
	return good;
}

/* Whether none of them is longer than it need be. */
static bool are_short(BIGNUM *const a[NUMBERS])
{
	int bits = BN_num_bits(a[N]);
	int half = bits / 2 + UNEVEN_BITS_MAX;
	return bits <= PRIVATE_KEY_RSA_MAX && BN_num_bits(a[E]) <= EXPONENT_BITS_MAX &&
	    BN_num_bits(a[D]) <= bits && BN_num_bits(a[P]) <= half &&
	    BN_num_bits(a[Q]) <= half && BN_num_bits(a[DP]) <= half &&
	    BN_num_bits(a[DQ]) <= half && BN_num_bits(a[QINV]) <= half;
}

/* Whether what `secret` makes of a number that is drawn, modulo `prime`, E makes undone. */
static bool fits(const BIGNUM *prime, const BIGNUM *secret, const BIGNUM *e, BN_CTX *ctx)
{
	BN_CTX_start(ctx);
	BIGNUM *drawn = BN_CTX_get(ctx);
	BIGNUM *made = BN_CTX_get(ctx);
	bool good = made != NULL && BN_is_odd(prime) && BN_num_bits(prime) > 1 &&
	    BN_priv_rand_range(drawn, prime) == 1 &&
	    BN_mod_exp_mont_consttime(made, drawn, secret, prime, ctx, NULL) == 1 &&
	    BN_mod_exp(made, made, e, prime, ctx) == 1 && BN_cmp(made, drawn) == 0;
	BN_CTX_end(ctx);
	return good;
}

/* Whether P and Q make N, and QINV is the inverse of Q. */
static bool are_primes_of(BIGNUM *const a[NUMBERS], BN_CTX *ctx)
{
	BN_CTX_start(ctx);
	BIGNUM *product = BN_CTX_get(ctx);
	bool good = product != NULL && BN_mul(product, a[P], a[Q], ctx) == 1 &&
	    BN_cmp(product, a[N]) == 0 && BN_mod_mul(product, a[QINV], a[Q], a[P], ctx) == 1 &&
	    BN_is_one(product);
	BN_CTX_end(ctx);
	return good;
}

/*
 * OpenSSL signs by the two primes, looks whether the signature is right, and if not signs again
 * without them, by as long an exponent as the key has.
 */
static bool is_dear_rsa(const EVP_PKEY *key)
{
	BIGNUM *a[NUMBERS] = {NULL};
	BN_CTX *ctx = BN_CTX_new();
	panic_if(ctx == NULL, "out of memory");
	bool good = get_numbers(key, a) && are_short(a) && are_primes_of(a, ctx) &&
	    fits(a[P], a[DP], a[E], ctx) && fits(a[Q], a[DQ], a[E], ctx);
	for (int i = 0; i < NUMBERS; i++)
		BN_clear_free(a[i]);
	BN_CTX_free(ctx);
	ERR_clear_error();
	return !good;
}

static bool is_dear_curve(const EVP_PKEY *key)
{
	char name[64] = "";
	bool is_named = EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) == 1;
	ERR_clear_error();
	return !is_named || EVP_PKEY_get_bits(key) > EC_BITS_MAX ||
	    EVP_PKEY_get_field_type(key) != NID_X9_62_prime_field;
}

bool private_key_is_dear(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
		return is_dear_rsa(key);
	if (EVP_PKEY_is_a(key, "EC"))
		return is_dear_curve(key);
	return !EVP_PKEY_is_a(key, "ED25519") && !EVP_PKEY_is_a(key, "ED448");
}
