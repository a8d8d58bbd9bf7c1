/*
 * What a TLS handshake may cost: a peer that asks for more is refused, before it is computed.
 * Both ends are libssl's, one of them bounded, with memory between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/handshake.h"
#include "base/reactor.h"
#include "certificates.h"
#include "support.h"

#define PIPE_BYTES (64u << 10) /* more than any test sends at once */
#define STEPS_MAX 100          /* of a handshake, for what needs a few */
#define INTERMEDIATES_MAX 5
#define UPDATES 400
#define RECORDS_A_PASS 64

/* Certificates from the authority down. */
struct chain {
	X509 *authority;
	STACK_OF(X509) * intermediates; /* as a server sends them: the peer's issuer first */
	X509 *leaf;
	EVP_PKEY *authority_key;
	EVP_PKEY *key; /* of the last one issued */
	const X509 *issuer;
	EVP_PKEY *issuer_key;
};

struct ends {
	SSL_CTX *contexts[2];
	SSL *server;
	SSL *client;
	bool failed;
};

static void add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* A certificate for `key`, not yet signed; `issuer` NULL: its own. */
static X509 *make_certificate(const char *name, EVP_PKEY *key, const X509 *issuer, bool is_ca)
{
	X509 *x = begin_certificate(name, key, issuer);
	add_extension(x, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	return x;
}

static void begin_chain(struct chain *c)
{
	*c = (struct chain){.authority_key = EVP_EC_gen("P-256")};
	c->authority = make_certificate("authority", c->authority_key, NULL, true);
	assert_true(X509_sign(c->authority, c->authority_key, EVP_sha256()) > 0);
	c->intermediates = sk_X509_new_null();
	c->issuer = c->authority;
	c->issuer_key = c->authority_key;
	assert_int_equal(EVP_PKEY_up_ref(c->issuer_key), 1);
}

static void sign_certificate(struct chain *c, X509 *x)
{
	const EVP_MD *md = EVP_PKEY_is_a(c->issuer_key, "ED25519") ? NULL : EVP_sha256();
	assert_true(X509_sign(x, c->issuer_key, md) > 0);
}

/* From now on `x`, whose key is `key`, issues. Both are the chain's. */
static void let_issue(struct chain *c, X509 *x, EVP_PKEY *key)
{
	assert_true(sk_X509_insert(c->intermediates, x, 0) > 0);
	EVP_PKEY_free(c->issuer_key);
	c->issuer = x;
	c->issuer_key = key;
}

static void add_intermediate(struct chain *c, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(name, key, c->issuer, true);
	sign_certificate(c, x);
	let_issue(c, x, key);
}

static void end_chain(struct chain *c)
{
	X509_free(c->authority);
	X509_free(c->leaf);
	sk_X509_pop_free(c->intermediates, X509_free);
	EVP_PKEY_free(c->authority_key);
	EVP_PKEY_free(c->issuer_key);
	EVP_PKEY_free(c->key);
}

static void add_leaf_of(struct chain *c, EVP_PKEY *key, const char *names)
{
	c->key = key;
	c->leaf = make_certificate("leaf", c->key, c->issuer, false);
	if (names != NULL)
		add_extension(c->leaf, NID_subject_alt_name, names);
	sign_certificate(c, c->leaf);
}

static void add_leaf(struct chain *c, const char *names)
{
	add_leaf_of(c, EVP_EC_gen("P-256"), names);
}

/* Two contexts with the certificates of `c`; the server's, then the client's. */
static void make_contexts(struct ends *e, struct chain *c, int version)
{
	*e = (struct ends){
	    .contexts = {SSL_CTX_new(TLS_server_method()), SSL_CTX_new(TLS_client_method())}};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(SSL_CTX_set_min_proto_version(e->contexts[i], version), 1);
		assert_int_equal(SSL_CTX_set_max_proto_version(e->contexts[i], version), 1);
		SSL_CTX_set_security_level(e->contexts[i],
		    0); /* short keys are quick to make */
	}
	SSL_CTX *server = e->contexts[0];
	assert_int_equal(SSL_CTX_use_certificate(server, c->leaf), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server, c->key), 1);
	for (int i = 0; i < sk_X509_num(c->intermediates); i++)
		assert_int_equal(
		    SSL_CTX_add1_chain_cert(server, sk_X509_value(c->intermediates, i)), 1);
	X509_STORE *known = SSL_CTX_get_cert_store(e->contexts[1]);
	assert_int_equal(X509_STORE_add_cert(known, c->authority), 1);
	SSL_CTX_set_verify(e->contexts[1], SSL_VERIFY_PEER, NULL);
}

/* Whether nothing more is to be expected of `ssl`. */
static bool step(struct ends *e, SSL *ssl)
{
	int rc = SSL_do_handshake(ssl);
	int why = SSL_get_error(ssl, rc);
	e->failed = e->failed || (rc != 1 && why != SSL_ERROR_WANT_READ);
	return rc == 1;
}

static void open_ends(struct ends *e)
{
	BIO *server = NULL;
	BIO *client = NULL;
	ERR_clear_error();
	assert_int_equal(BIO_new_bio_pair(&server, PIPE_BYTES, &client, PIPE_BYTES), 1);
	e->server = SSL_new(e->contexts[0]);
	e->client = SSL_new(e->contexts[1]);
	SSL_set_bio(e->server, server, server);
	SSL_set_bio(e->client, client, client);
	SSL_set_accept_state(e->server);
	SSL_set_connect_state(e->client);
}

/* Whether they come to an understanding. */
static bool connect_ends(struct ends *e)
{
	bool done = false;
	open_ends(e);
	for (int i = 0; i < STEPS_MAX && !done && !e->failed; i++) {
		bool client_is = step(e, e->client);
		bool server_is = !e->failed && step(e, e->server);
		done = client_is && server_is;
	}
	assert_true(done || e->failed);
	return done;
}

static void end_ends(struct ends *e)
{
	SSL_free(e->server);
	SSL_free(e->client);
	SSL_CTX_free(e->contexts[0]);
	SSL_CTX_free(e->contexts[1]);
	ERR_clear_error();
}

/* One end is bounded, the other knows one group alone. */
static void test_groups(void **state)
{
	static const struct {
		const char *group;
		bool in_1_2, in_1_3; /* whether keys may be exchanged over it */
	} ROWS[] = {
	    {"X25519", true, true},
	    {"P-256", true, true},
	    {"P-384", true, true},
	    {"P-521", true, true},
	    {"X448", false, false},
	    {"brainpoolP512r1", false, false},
	    {"sect571r1", false, false},
	    {"ffdhe2048", false, false},
	    {"ffdhe8192", false, false},
	};
	struct chain c;
	(void)state;
	begin_chain(&c);
	add_leaf_of(&c, EVP_RSA_gen(2048),
	    NULL); /* a certificate of P-256 would ask for that */
	for (size_t i = 0; i < 4 * COUNT(ROWS); i++) {
		const char *group = ROWS[i / 4].group;
		int bound = i % 2;
		bool old = i % 4 < 2;
		struct ends e;
		make_contexts(&e, &c, old ? TLS1_2_VERSION : TLS1_3_VERSION);
		SSL_CTX_set_cipher_list(e.contexts[0], "ECDHE");
		handshake_bound(e.contexts[bound], NULL);
		assert_int_equal(SSL_CTX_set1_groups_list(e.contexts[1 - bound], group), 1);
		bool expected = old ? ROWS[i / 4].in_1_2 : ROWS[i / 4].in_1_3;
		if (connect_ends(&e) != expected)
			fail_msg("%s, bound %d, TLS 1.%d", group, bound, old ? 2 : 3);
		end_ends(&e);
	}
	end_chain(&c);
}

/* What a bounded client makes of the server's chain: X509_V_OK, or why it is refused. */
static long verdict_on(struct chain *c)
{
	struct ends e;
	make_contexts(&e, c, TLS1_3_VERSION);
	handshake_bound(e.contexts[1], NULL);
	bool done = connect_ends(&e);
	long verdict = SSL_get_verify_result(e.client);
	assert_int_equal(done, verdict == X509_V_OK);
	end_ends(&e);
	return verdict;
}

static void test_length_of_a_chain(void **state)
{
	(void)state;
	for (int count = 0; count <= INTERMEDIATES_MAX + 2; count++) {
		struct chain c;
		begin_chain(&c);
		for (int i = 0; i < count; i++)
			add_intermediate(&c, (char[]){(char)('a' + i), '\0'});
		add_leaf(&c, NULL);
		long expected = count <= INTERMEDIATES_MAX ? X509_V_OK
							   : X509_V_ERR_CERT_CHAIN_TOO_LONG;
		assert_int_equal(verdict_on(&c), expected);
		end_chain(&c);
	}
}

/* Whether a list of one certificate, with so many names, is read at all. */
static bool is_read(size_t names)
{
	struct buf text = BUF_INIT(1u << 20);
	struct chain c;
	struct ends e;
	for (size_t i = 0; i < names; i++)
		buf_puts(&text, i == 0 ? "DNS:example.org" : ",DNS:example.org");
	buf_putc(&text, '\0');
	begin_chain(&c);
	add_leaf(&c, text.data);
	make_contexts(&e, &c, TLS1_3_VERSION);
	handshake_bound(e.contexts[1], NULL);
	bool done = connect_ends(&e);
	if (!done)
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
		    SSL_R_EXCESSIVE_MESSAGE_SIZE);
	end_ends(&e);
	end_chain(&c);
	buf_fini(&text);
	return done;
}

/* Of 13 bytes each. */
static void test_bytes_of_a_chain(void **state)
{
	(void)state;
	assert_true(is_read(1100));
	assert_false(is_read(1300));
}

/* An RSA key of so many bits that nobody can sign with: nothing is checked with it either. */
static EVP_PKEY *make_rsa(int bits)
{
	BIGNUM *n = BN_new();
	BIGNUM *e = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
	assert_int_equal(BN_set_word(e, RSA_F4), 1);
	assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n), 1);
	assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e), 1);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return key;
}

static EVP_PKEY *make_dsa(void)
{
	EVP_PKEY *params = NULL;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	assert_int_equal(EVP_PKEY_paramgen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024), 1);
	assert_int_equal(EVP_PKEY_paramgen(ctx, &params), 1);
	EVP_PKEY_CTX_free(ctx);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(params);
	return key;
}

/* Chains that are good in themselves. */
static void test_kinds_of_keys(void **state)
{
	const struct {
		EVP_PKEY *key;
		long verdict;
	} ROWS[] = {
	    {EVP_EC_gen("P-384"), X509_V_OK},
	    {EVP_RSA_gen(1024), X509_V_OK},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), X509_V_OK},
	    {make_dsa(), X509_V_ERR_APPLICATION_VERIFICATION},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct chain c;
		begin_chain(&c);
		X509 *x = make_certificate("intermediate", ROWS[i].key, c.issuer, true);
		sign_certificate(&c, x);
		let_issue(&c, x, ROWS[i].key);
		add_leaf(&c, NULL);
		assert_int_equal(verdict_on(&c), ROWS[i].verdict);
		end_chain(&c);
	}
}

/* The verdict on a chain with an intermediate of `key`, which has not signed what it issued. */
static long verdict_on_key(EVP_PKEY *key)
{
	struct chain c;
	begin_chain(&c);
	X509 *x = make_certificate("intermediate", key, c.issuer, true);
	sign_certificate(&c, x);
	/* libcrypto looks first whether the signature is of the key's kind */
	let_issue(&c, x, EVP_PKEY_is_a(key, "RSA") ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
	EVP_PKEY_free(key);
	add_leaf(&c, NULL);
	long verdict = verdict_on(&c);
	end_chain(&c);
	return verdict;
}

/* The kind of key decides before its signature does, which is wrong here in any case. */
static void test_keys_of_a_chain(void **state)
{
	(void)state;
	assert_int_equal(verdict_on_key(EVP_EC_gen("P-521")),
	    X509_V_ERR_CERT_SIGNATURE_FAILURE);
	assert_int_equal(verdict_on_key(EVP_EC_gen("sect571r1")),
	    X509_V_ERR_APPLICATION_VERIFICATION);
	assert_int_equal(verdict_on_key(make_rsa(8192)), X509_V_ERR_CERT_SIGNATURE_FAILURE);
	assert_int_equal(verdict_on_key(make_rsa(8200)), X509_V_ERR_APPLICATION_VERIFICATION);
}

/* The verdict on a chain with so many names in the leaf and constraints in its issuer. */
static long verdict_on_names(size_t names, size_t constraints)
{
	struct buf text = BUF_INIT(1u << 20);
	struct chain c;
	begin_chain(&c);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate("intermediate", key, c.issuer, true);
	for (size_t i = 0; i < constraints; i++)
		buf_puts(&text, i == 0 ? "permitted;DNS:a" : ",permitted;DNS:a");
	buf_putc(&text, '\0');
	add_extension(x, NID_name_constraints, text.data);
	sign_certificate(&c, x);
	let_issue(&c, x, key);
	buf_reset(&text);
	for (size_t i = 0; i < names; i++)
		buf_puts(&text, i == 0 ? "DNS:a" : ",DNS:a");
	buf_putc(&text, '\0');
	add_leaf(&c, text.data);
	long verdict = verdict_on(&c);
	end_chain(&c);
	buf_fini(&text);
	return verdict;
}

static void test_names_and_constraints(void **state)
{
	(void)state;
	assert_int_equal(verdict_on_names(2000, 30), X509_V_OK);
	assert_int_equal(verdict_on_names(30, 1000), X509_V_OK);
	assert_int_equal(verdict_on_names(1000, 100), X509_V_ERR_APPLICATION_VERIFICATION);
	assert_int_equal(verdict_on_names(100, 1000), X509_V_ERR_APPLICATION_VERIFICATION);
}

/* Without a chain at all an error stays what it was. */
static void test_unknown_authority(void **state)
{
	struct chain c;
	struct chain other;
	(void)state;
	begin_chain(&c);
	begin_chain(&other);
	add_leaf(&c, NULL);
	X509_free(c.authority);
	c.authority = other.authority;
	other.authority = NULL;
	assert_int_not_equal(verdict_on(&c), X509_V_OK);
	assert_int_not_equal(verdict_on(&c), X509_V_ERR_APPLICATION_VERIFICATION);
	end_chain(&c);
	end_chain(&other);
}

/* New keys that come without end leave the loop its turn, and what is behind them arrives. */
static void test_updates_of_keys(void **state)
{
	struct reactor *r = reactor_new();
	(void)state;
	for (int bound = 0; bound < 2; bound++) {
		struct chain c;
		struct ends e;
		char text[10] = "";
		int passes = 0;
		begin_chain(&c);
		add_leaf(&c, NULL);
		make_contexts(&e, &c, TLS1_3_VERSION);
		handshake_bound(e.contexts[bound], r);
		assert_true(connect_ends(&e));
		SSL *reader = bound == 0 ? e.server : e.client;
		SSL *writer = bound == 0 ? e.client : e.server;
		for (int i = 0; i < UPDATES; i++) {
			assert_int_equal(SSL_key_update(writer, SSL_KEY_UPDATE_NOT_REQUESTED),
			    1);
			assert_int_equal(SSL_do_handshake(writer), 1);
		}
		assert_int_equal(SSL_write(writer, "ping", 4), 4);
		reactor_pass(r, true);
		while (SSL_read(reader, text, sizeof(text)) <= 0) {
			size_t left = BIO_ctrl_pending(SSL_get_rbio(reader));
			assert_int_equal(SSL_get_error(reader, -1), SSL_ERROR_WANT_READ);
			assert_true(left > 0);
			assert_true(SSL_read(reader, text, sizeof(text)) <= 0);
			assert_int_equal(BIO_ctrl_pending(SSL_get_rbio(reader)), left);
			reactor_pass(r, true);
			passes++;
		}
		assert_string_equal(text, "ping");
		assert_true(passes >= UPDATES / RECORDS_A_PASS);
		end_ends(&e);
		end_chain(&c);
	}
	reactor_free(r);
}

/* A hello that comes in records of a byte takes its passes, and is answered. */
static void test_records_of_a_byte(void **state)
{
	enum { HEAD = 5 };
	struct reactor *r = reactor_new();
	struct chain c;
	struct ends e;
	unsigned char hello[4000]; /* with a key of ML-KEM, as of libssl 3.5, it is longer */
	int passes = 0;
	(void)state;
	begin_chain(&c);
	add_leaf(&c, NULL);
	make_contexts(&e, &c, TLS1_3_VERSION);
	handshake_bound(e.contexts[0], r);
	open_ends(&e);
	assert_false(step(&e, e.client));
	int len = BIO_read(SSL_get_rbio(e.server), hello, sizeof(hello));
	assert_in_range(len, HEAD + 2 * RECORDS_A_PASS, sizeof(hello) - 1);
	for (int i = HEAD; i < len; i++) {
		unsigned char record[] = {hello[0], hello[1], hello[2], 0, 1, hello[i]};
		assert_int_equal(BIO_write(SSL_get_wbio(e.client), record, sizeof(record)),
		    sizeof(record));
	}
	while (BIO_ctrl_pending(SSL_get_rbio(e.client)) == 0) {
		reactor_pass(r, true);
		assert_false(step(&e, e.server));
		assert_false(e.failed);
		passes++;
	}
	assert_int_equal(passes, (len - HEAD + RECORDS_A_PASS - 1) / RECORDS_A_PASS);
	end_ends(&e);
	end_chain(&c);
	reactor_free(r);
}

/* A client does not begin a handshake anew because the server asks for it. */
static void test_renegotiation(void **state)
{
	struct chain c;
	struct ends e;
	char text[10] = "";
	(void)state;
	begin_chain(&c);
	add_leaf(&c, NULL);
	make_contexts(&e, &c, TLS1_2_VERSION);
	handshake_bound(e.contexts[1], NULL);
	assert_true(connect_ends(&e));
	assert_int_equal(SSL_renegotiate(e.server), 1);
	assert_int_equal(SSL_do_handshake(e.server), 1); /* it asks */
	assert_int_equal(SSL_write(e.server, "ping", 4), 4);
	while (SSL_read(e.client, text, sizeof(text)) <= 0)
		assert_int_equal(SSL_get_error(e.client, -1), SSL_ERROR_WANT_READ);
	assert_string_equal(text, "ping");
	assert_int_equal(SSL_num_renegotiations(e.client), 0);
	end_ends(&e);
	end_chain(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_groups),
	    cmocka_unit_test(test_length_of_a_chain),
	    cmocka_unit_test(test_bytes_of_a_chain),
	    cmocka_unit_test(test_kinds_of_keys),
	    cmocka_unit_test(test_keys_of_a_chain),
	    cmocka_unit_test(test_names_and_constraints),
	    cmocka_unit_test(test_unknown_authority),
	    cmocka_unit_test(test_updates_of_keys),
	    cmocka_unit_test(test_records_of_a_byte),
	    cmocka_unit_test(test_renegotiation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
