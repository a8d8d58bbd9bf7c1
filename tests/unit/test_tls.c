/*
 * TLS of the listeners: which files are refused, what a reload changes and what it leaves
 * alone, and bytes that are decrypted but not yet read. The client is libssl on the other end
 * of a socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/reactor.h"
#include "certificates.h"
#include "http/tls.h"
#include "support.h"

#define PASSES_MAX 1000 /* of the loop, for what needs a few */
#define PATH_SIZE 80

struct fixture {
	char dir[64];
	char certificate[PATH_SIZE];
	char key[PATH_SIZE];
	char clients[PATH_SIZE];
	struct tls_conf conf;
	struct reactor *reactor;
	struct tls *tls;
	struct problem problem;
};

/* One connection: the server's end echoes. */
struct link {
	struct fixture *f;
	struct bufferevent *server;
	SSL_CTX *ctx;
	SSL *client;
	int fd; /* the client's */
};

/* Writes a certificate that is its own authority, and its key, locked if there is a phrase. */
static void write_pair(const char *certificate, const char *key, const char *name,
    const char *phrase)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	assert_non_null(pair);
	X509 *x = begin_certificate(name, pair, NULL);
	assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
	FILE *file = fopen(certificate, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, x), 1);
	assert_int_equal(fclose(file), 0);
	file = fopen(key, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, pair,
			     phrase == NULL ? NULL : EVP_aes_256_cbc(), phrase,
			     phrase == NULL ? 0 : (int)strlen(phrase), NULL, NULL),
	    1);
	assert_int_equal(fclose(file), 0);
	X509_free(x);
	EVP_PKEY_free(pair);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char unused[PATH_SIZE];
	folder_make(f->dir);
	(void)snprintf(f->certificate, PATH_SIZE, "%s/certificate.pem", f->dir);
	(void)snprintf(f->key, PATH_SIZE, "%s/key.pem", f->dir);
	(void)snprintf(f->clients, PATH_SIZE, "%s/clients.pem", f->dir);
	(void)snprintf(unused, PATH_SIZE, "%s/unused.pem", f->dir);
	write_pair(f->certificate, f->key, "one", NULL);
	write_pair(f->clients, unused, "clients", NULL);
	f->conf = (struct tls_conf){.certificate = f->certificate, .key = f->key};
	f->reactor = reactor_new();
	f->tls = tls_new(f->reactor);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	tls_free(f->tls);
	reactor_free(f->reactor);
	folder_remove(f->dir);
	free(f);
	return 0;
}

static void load(struct fixture *f)
{
	enum err err = tls_load(f->tls, &f->conf, &f->problem);
	if (err != OK)
		fail_msg("%s", f->problem.message);
}

static void expect_refused(struct fixture *f, enum err expected, const char *setting)
{
	assert_int_equal(tls_load(f->tls, &f->conf, &f->problem), expected);
	assert_string_equal(f->problem.field, setting);
	assert_memory_equal(f->problem.message, setting, strlen(setting));
	assert_int_equal(ERR_peek_error(), 0);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)arg;
	assert_int_equal(bufferevent_write_buffer(bev, bufferevent_get_input(bev)), 0);
}

static struct link *open_link(struct fixture *f)
{
	struct link *l = calloc(1, sizeof(*l));
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	l->f = f;
	l->server = tls_accept(f->tls, reactor_base(f->reactor));
	assert_int_equal(bufferevent_setfd(l->server, fds[0]), 0);
	bufferevent_setcb(l->server, on_read, NULL, NULL, NULL);
	assert_int_equal(bufferevent_enable(l->server, EV_READ | EV_WRITE), 0);
	l->fd = fds[1];
	l->ctx = SSL_CTX_new(TLS_client_method());
	l->client = SSL_new(l->ctx);
	assert_int_equal(SSL_set_fd(l->client, l->fd), 1);
	SSL_set_connect_state(l->client);
	return l;
}

static void close_link(struct link *l)
{
	tls_close(l->server);
	bufferevent_free(l->server);
	SSL_free(l->client);
	SSL_CTX_free(l->ctx);
	close(l->fd);
	free(l);
}

/* Sends "ping" and waits until it is back; false where the connection fails. */
static bool is_echoed(struct link *l)
{
	char back[5] = "";
	bool sent = false;
	for (int i = 0; i < PASSES_MAX; i++) {
		ERR_clear_error();
		int n = sent ? SSL_read(l->client, back, 4) : SSL_write(l->client, "ping", 4);
		int why = SSL_get_error(l->client, n);
		if (n <= 0 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return false;
		if (n > 0 && sent)
			return strcmp(back, "ping") == 0;
		sent = sent || n > 0;
		reactor_pass(l->f->reactor, true);
	}
	fail_msg("neither an echo nor an error");
	return false;
}

/* The name in the certificate that the client was shown. */
static void expect_certificate(const struct link *l, const char *expected)
{
	char name[20] = "";
	X509 *x = SSL_get1_peer_certificate(l->client);
	assert_non_null(x);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
	X509_free(x);
	assert_string_equal(name, expected);
}

static void expect_new_connections_see(struct fixture *f, const char *name)
{
	struct link *l = open_link(f);
	assert_true(is_echoed(l));
	assert_true(tls_is_open(l->server));
	expect_certificate(l, name);
	close_link(l);
}

static void files_that_do_not_fit_are_refused(void **state)
{
	struct fixture *f = *state;
	f->conf.certificate = "/nowhere/certificate.pem";
	expect_refused(f, ERR_IO, "tls_certificate");
	f->conf.certificate = f->key;
	expect_refused(f, ERR_INVALID, "tls_certificate");
	f->conf.certificate = f->clients; /* the key is another one's */
	expect_refused(f, ERR_INVALID, "tls_key");
	f->conf = (struct tls_conf){.certificate = f->certificate, .key = "/nowhere/key.pem"};
	expect_refused(f, ERR_IO, "tls_key");
	f->conf = (struct tls_conf){f->certificate, f->key, "/nowhere/clients.pem"};
	expect_refused(f, ERR_IO, "tls_client_ca");
	f->conf.client_ca = f->key;
	expect_refused(f, ERR_INVALID, "tls_client_ca");
	assert_false(tls_is_loaded(f->tls));
}

/* And nobody is asked for the phrase: the test would wait for ever. */
static void a_key_with_a_passphrase_is_refused(void **state)
{
	struct fixture *f = *state;
	write_pair(f->certificate, f->key, "locked", "open sesame");
	expect_refused(f, ERR_INVALID, "tls_key");
}

static void a_reload_is_for_new_connections(void **state)
{
	struct fixture *f = *state;
	load(f);
	assert_true(tls_is_loaded(f->tls));
	struct link *before = open_link(f);
	struct link *between = open_link(f); /* accepted, its handshake comes later */
	assert_true(is_echoed(before));
	expect_certificate(before, "one");
	write_pair(f->certificate, f->key, "two", NULL);
	load(f);
	expect_new_connections_see(f, "two");
	assert_true(is_echoed(before));
	assert_true(is_echoed(between));
	expect_certificate(between, "one");
	close_link(before);
	close_link(between);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char unused[PATH_SIZE];
	(void)snprintf(unused, PATH_SIZE, "%s/unused.pem", f->dir);
	load(f);
	struct link *before = open_link(f);
	assert_true(is_echoed(before));
	write_pair(f->certificate, unused, "two", NULL); /* half of a renewal */
	expect_refused(f, ERR_INVALID, "tls_key");
	assert_true(is_echoed(before));
	expect_new_connections_see(f, "one");
	close_link(before);
}

static void a_reload_can_begin_to_ask_for_client_certificates(void **state)
{
	struct fixture *f = *state;
	load(f);
	struct link *before = open_link(f);
	assert_true(is_echoed(before));
	f->conf.client_ca = f->clients;
	load(f);
	struct link *after = open_link(f);
	assert_false(is_echoed(after));
	assert_false(tls_is_open(after->server));
	assert_true(is_echoed(before));
	f->conf.client_ca = NULL;
	load(f);
	expect_new_connections_see(f, "one");
	close_link(before);
	close_link(after);
}

static void connections_outlive_the_rest(void **state)
{
	struct fixture *f = *state;
	load(f);
	struct link *l = open_link(f);
	assert_true(is_echoed(l));
	tls_free(f->tls);
	f->tls = NULL;
	assert_true(is_echoed(l));
	close_link(l);
}

/* A record is decrypted as a whole; the input takes little more than its watermark. */
static void bytes_beyond_the_watermark_wait(void **state)
{
	struct fixture *f = *state;
	char data[16000]; /* a record holds 16384 */
	const size_t high = 300;
	const size_t most = 2000; /* libevent fills the piece of memory that it has begun */
	load(f);
	struct link *l = open_link(f);
	assert_true(is_echoed(l));
	bufferevent_setcb(l->server, NULL, NULL, NULL, NULL); /* nobody reads */
	bufferevent_setwatermark(l->server, EV_READ, 0, high);
	struct evbuffer *input = bufferevent_get_input(l->server);
	memset(data, 'x', sizeof(data));
	assert_false(tls_has_unread(l->server));
	assert_int_equal(SSL_write(l->client, data, sizeof(data)), sizeof(data));
	size_t left = sizeof(data);
	for (int i = 0; i < PASSES_MAX && left > 0; i++) {
		reactor_pass(f->reactor, true);
		size_t got = evbuffer_get_length(input);
		assert_true(got <= most);
		left -= got;
		if (got > 0)
			assert_int_equal(tls_has_unread(l->server), left > 0);
		assert_int_equal(evbuffer_drain(input, got), 0);
		reactor_nudge(f->reactor, bufferevent_getfd(l->server));
	}
	assert_int_equal(left, 0);
	close_link(l);
}

static void bytes_beside_the_bufferevent_are_encrypted(void **state)
{
	struct fixture *f = *state;
	char back[20] = "";
	load(f);
	struct link *l = open_link(f);
	tls_send(l->server, SLICE("too early"));
	assert_true(is_echoed(l));
	tls_send(l->server, SLICE("and now"));
	tls_close(l->server);
	tls_close(l->server); /* once is enough */
	assert_int_equal(SSL_read(l->client, back, sizeof(back)), strlen("and now"));
	assert_string_equal(back, "and now");
	assert_int_equal(SSL_read(l->client, back, sizeof(back)), 0);
	assert_int_equal(SSL_get_shutdown(l->client), SSL_RECEIVED_SHUTDOWN);
	assert_int_equal(ERR_peek_error(), 0);
	close_link(l);
}

#define TLS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TLS_TEST(files_that_do_not_fit_are_refused),
	    TLS_TEST(a_key_with_a_passphrase_is_refused),
	    TLS_TEST(a_reload_is_for_new_connections),
	    TLS_TEST(a_reload_that_fails_changes_nothing),
	    TLS_TEST(a_reload_can_begin_to_ask_for_client_certificates),
	    TLS_TEST(connections_outlive_the_rest),
	    TLS_TEST(bytes_beyond_the_watermark_wait),
	    TLS_TEST(bytes_beside_the_bufferevent_are_encrypted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
