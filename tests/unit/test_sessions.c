/*
 * TLS sessions that are kept: resumed under their own name alone, each taker's part, for an
 * hour; and the anchors that a context trusts. Both ends are libssl's, with memory between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/handshake.h"
#include "base/reactor.h"
#include "certificates.h"
#include "courier/anchors.h"
#include "courier/sessions.h"
#include "support.h"

#define STEPS_MAX 100

struct fixture {
	struct reactor *reactor;
	struct sessions *sessions;
	struct anchors_kept *kept;
	SSL_CTX *server;
	char *pem; /* of the server's certificate, which is its own anchor */
	int64_t now_ms;
};

static char *pem_of(X509 *x)
{
	char *text = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	long len = BIO_get_mem_data(bio, &text);
	char *copy = calloc(1, (size_t)len + 1);
	memcpy(copy, text, (size_t)len);
	BIO_free(bio);
	return copy;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = begin_certificate("receiver", key, NULL);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f->reactor = reactor_new();
	f->sessions = sessions_new(8);
	f->kept = anchors_kept_new();
	f->server = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(f->server, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(f->server, key), 1);
	f->pem = pem_of(x);
	X509_free(x);
	EVP_PKEY_free(key);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	SSL_CTX_free(f->server);
	sessions_free(f->sessions);
	anchors_kept_free(f->kept);
	reactor_free(f->reactor);
	free(f->pem);
	free(f);
	return 0;
}

static bool is_over(SSL *ssl, int rc)
{
	int why = SSL_get_error(ssl, rc);
	return rc == 1 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE);
}

/* What became of a connection. */
enum greeting { REFUSED, FULL, RESUMED };

/*
 * Connects under `name`, trusting the anchors of `pem`. The server says goodbye first where
 * `ends_well`; else the connection is cut off.
 */
static enum greeting connect_as(struct fixture *f, int version, const char *name,
    uint64_t taker, const char *pem, bool ends_well)
{
	char byte = 0;
	BIO *bios[2] = {NULL, NULL};
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct anchors *anchors = anchors_take(f->kept, pem);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); /* as libcurl does */
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	handshake_bound(ctx, f->reactor);
	anchors_trust(anchors, ctx);
	anchors_drop(anchors);
	sessions_resume(f->sessions, ctx, slice_of(name), taker, f->now_ms);
	assert_int_equal(BIO_new_bio_pair(&bios[0], 0, &bios[1], 0), 1);
	SSL *server = SSL_new(f->server);
	SSL *client = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_bio(server, bios[0], bios[0]);
	SSL_set_bio(client, bios[1], bios[1]);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	bool client_over = false;
	for (int i = 0; i < STEPS_MAX; i++) {
		client_over = client_over || is_over(client, SSL_do_handshake(client));
		(void)SSL_do_handshake(server);
		(void)SSL_read(client, &byte, 1); /* tickets come behind the handshake */
	}
	assert_true(client_over);
	enum greeting how = SSL_is_init_finished(client) == 0 ? REFUSED
	    : SSL_session_reused(client) == 1                 ? RESUMED
							      : FULL;
	if (ends_well && how != REFUSED) {
		(void)SSL_shutdown(server);
		(void)SSL_read(client, &byte, 1);
	}
	SSL_free(client);
	SSL_free(server);
	return how;
}

static enum greeting connect_to(struct fixture *f, const char *name)
{
	return connect_as(f, TLS1_3_VERSION, name, 1, f->pem, true);
}

static void test_resumes_under_its_name_alone(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(connect_to(f, "a"), FULL);
	assert_int_equal(connect_to(f, "b"), FULL);
	assert_int_equal(connect_to(f, "a"), RESUMED);
	assert_int_equal(connect_to(f, "b"), RESUMED);
	assert_int_equal(connect_to(f, "c"), FULL);
	assert_int_equal(sessions_count(f->sessions), 2); /* a taker's part */
}

static void test_resumes_in_both_versions(void **state)
{
	static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(VERSIONS); i++) {
		const char *name = i == 0 ? "old" : "new";
		assert_int_equal(connect_as(f, VERSIONS[i], name, 1, f->pem, true), FULL);
		for (int n = 0; n < 3; n++)
			assert_int_equal(connect_as(f, VERSIONS[i], name, 1, f->pem, n % 2),
			    RESUMED);
	}
}

/* libssl resumes no more what a connection had that was cut off: that is a copy. */
static void test_cut_off_connections_spoil_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "a", 1, f->pem, false), FULL);
	for (int n = 0; n < 4; n++)
		assert_int_equal(connect_as(f, TLS1_3_VERSION, "a", 1, f->pem, false), RESUMED);
}

/* However often it is resumed meanwhile, the certificate is checked after an hour. */
static void test_is_resumed_for_an_hour(void **state)
{
	struct fixture *f = *state;
	int64_t half_ms = SESSION_MAX_S * INT64_C(500);
	assert_int_equal(connect_to(f, "a"), FULL);
	f->now_ms = half_ms;
	assert_int_equal(connect_to(f, "a"), RESUMED);
	f->now_ms = 2 * half_ms;
	assert_int_equal(connect_to(f, "a"), RESUMED);
	f->now_ms = 2 * half_ms + 1;
	assert_int_equal(connect_to(f, "a"), FULL);
	assert_int_equal(connect_to(f, "a"), RESUMED);
}

/* Of eight two are a taker's; the others' stay. */
static void test_each_taker_has_a_part(void **state)
{
	struct fixture *f = *state;
	char name[16];
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "other", 2, f->pem, true), FULL);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "many%d", i);
		assert_int_equal(connect_as(f, TLS1_3_VERSION, name, 1, f->pem, true), FULL);
	}
	assert_int_equal(sessions_count(f->sessions), 3);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "other", 2, f->pem, true), RESUMED);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "many11", 1, f->pem, true), RESUMED);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "many0", 1, f->pem, true), FULL);
}

static void test_oldest_go_when_it_is_full(void **state)
{
	struct fixture *f = *state;
	char name[16];
	for (int i = 0; i < 9; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(connect_as(f, TLS1_3_VERSION, name, (uint64_t)i, f->pem, true),
		    FULL);
	}
	assert_int_equal(sessions_count(f->sessions), 8);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "s8", 8, f->pem, true), RESUMED);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "s0", 0, f->pem, true), FULL);
}

/* Makes tickets of the server longer than is kept. */
static int add_data(SSL *ssl, void *arg)
{
	static const char DATA[SESSION_TICKET_MAX];
	(void)arg;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), DATA, sizeof(DATA));
}

static SSL_TICKET_RETURN take_data(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t len, SSL_TICKET_STATUS status, void *arg)
{
	(void)ssl;
	(void)session;
	(void)name;
	(void)len;
	(void)arg;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_IGNORE;
}

/* What the receiver sizes has a limit. */
static void test_long_tickets_are_not_kept(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(SSL_CTX_set_session_ticket_cb(f->server, add_data, take_data, NULL),
	    1);
	for (int n = 0; n < 2; n++)
		assert_int_equal(connect_to(f, "a"), FULL);
	assert_int_equal(sessions_count(f->sessions), 0);
}

/* A certificate for another key; what trusts it alone does not trust the server. */
static char *other_pem(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = begin_certificate("receiver", key, NULL);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	char *pem = pem_of(x);
	X509_free(x);
	EVP_PKEY_free(key);
	return pem;
}

static void test_anchors_are_trusted_alone(void **state)
{
	struct fixture *f = *state;
	char *other = other_pem();
	char both[16384];
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "a", 1, other, true), REFUSED);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "a", 1, "no certificate", true),
	    REFUSED);
	(void)snprintf(both, sizeof(both), "%s\nand\n%s", other, f->pem);
	assert_int_equal(connect_as(f, TLS1_3_VERSION, "a", 1, both, true), FULL);
	free(other);
}

static void test_anchors_are_kept_by_their_text(void **state)
{
	struct fixture *f = *state;
	char *other = other_pem();
	struct anchors *a = anchors_take(f->kept, f->pem);
	struct anchors *b = anchors_take(f->kept, other);
	struct anchors *c = anchors_take(f->kept, f->pem);
	assert_ptr_equal(a, c);
	assert_string_not_equal(anchors_name(a), anchors_name(b));
	anchors_drop(a);
	anchors_drop(b);
	anchors_drop(c);
	anchors_drop(NULL);
	free(other);
}

/*
 * The least used go where all take too much. One that is in use goes on to be good, and a new
 * one has its name: connections that were made with it are used on.
 */
static void test_anchors_are_bounded(void **state)
{
	struct fixture *f = *state;
	size_t len = ANCHORS_BYTES_MAX / 3;
	char *text = malloc(len + 1);
	struct anchors *held = anchors_take(f->kept, f->pem);
	for (int i = 0; i < 4; i++) {
		memset(text, 'a' + i, len);
		text[len] = '\0';
		anchors_drop(anchors_take(f->kept, text));
	}
	struct anchors *again = anchors_take(f->kept, f->pem);
	assert_ptr_not_equal(again, held);
	assert_string_equal(anchors_name(again), anchors_name(held));
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	anchors_trust(held, ctx);
	SSL_CTX_free(ctx);
	anchors_drop(held);
	anchors_drop(again);
	free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_resumes_under_its_name_alone),
	    TEST(test_resumes_in_both_versions),
	    TEST(test_cut_off_connections_spoil_nothing),
	    TEST(test_is_resumed_for_an_hour),
	    TEST(test_each_taker_has_a_part),
	    TEST(test_oldest_go_when_it_is_full),
	    TEST(test_long_tickets_are_not_kept),
	    TEST(test_anchors_are_trusted_alone),
	    TEST(test_anchors_are_kept_by_their_text),
	    TEST(test_anchors_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
