/* libssl and libevent's buffers over it; see tls.h. */
#include "http/tls.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/handshake.h"
#include "base/log.h"
#include "base/mem.h"

/* Of TLS 1.2; those of 1.3 are good as they are. Forward secrecy and AEAD (RFC 9325, 4.2). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

#define SESSION_CONTEXT "waybill" /* resumption with client certificates asks for a name */

static const unsigned char ALPN[] = "\x08http/1.1"; /* RFC 7301: length, name */

struct tls {
	SSL_CTX *ctx; /* NULL until loaded */
	const struct reactor *reactor;
};

/* The oldest error of libssl in words, which says most; the queue is empty then. */
static const char *take_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	ERR_clear_error();
	return reason == NULL ? "unknown" : reason;
}

/* In place of libssl's own, which would ask on the terminal. */
static int on_passphrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *chosen = NULL;
	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ALPN, sizeof(ALPN) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/*
 * Of these extensions libssl compares each entry with each: a hello of 64 KiB would take it
 * 0.1 s. Clients name about ten groups, and send a key or two of at most 1.6 KiB.
 */
static const struct {
	unsigned type;
	size_t bytes_max;
} EXTENSIONS[] = {
    {TLSEXT_TYPE_supported_groups, 512},
    {TLSEXT_TYPE_key_share, 8192},
};

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(EXTENSIONS) / sizeof(EXTENSIONS[0]); i++) {
		const unsigned char *bytes = NULL;
		size_t len = 0;
		if (SSL_client_hello_get0_ext(ssl, EXTENSIONS[i].type, &bytes, &len) == 1 &&
		    len > EXTENSIONS[i].bytes_max) {
			*alert = SSL_AD_ILLEGAL_PARAMETER;
			return SSL_CLIENT_HELLO_ERROR;
		}
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

static SSL_CTX *new_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	panic_if(ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1 ||
		SSL_CTX_set_session_id_context(ctx, (const unsigned char *)SESSION_CONTEXT,
		    sizeof(SESSION_CONTEXT) - 1) != 1,
	    "no TLS: %s", take_error());
	/* an idle connection keeps no buffers; sessions live in tickets, not in memory */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	return ctx;
}

/* Says which file is at fault: one that cannot be read, or one that holds something else. */
static enum err refuse_file(const char *setting, const char *path, const char *wanted,
    struct problem *p)
{
	const char *reason = take_error();
	if (access(path, R_OK) != 0)
		return problem_set(p, ERR_IO, setting, "%s: %.200s: cannot be read: %s",
		    setting, path, strerror(errno));
	return problem_set(p, ERR_INVALID, setting, "%s: %.200s: must hold %s (%s)", setting,
	    path, wanted, reason);
}

static enum err load_client_ca(SSL_CTX *ctx, const char *path, struct problem *p)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
	if (names == NULL || SSL_CTX_load_verify_file(ctx, path) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return refuse_file("tls_client_ca", path, "certificates in PEM form", p);
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return OK;
}

static enum err load_files(SSL_CTX *ctx, const struct tls_conf *conf, struct problem *p)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, conf->certificate) != 1)
		return refuse_file("tls_certificate", conf->certificate,
		    "a certificate in PEM form", p);
	if (SSL_CTX_use_PrivateKey_file(ctx, conf->key, SSL_FILETYPE_PEM) != 1)
		return refuse_file("tls_key", conf->key,
		    "the key of tls_certificate, in PEM form and without a passphrase", p);
	return conf->client_ca == NULL ? OK : load_client_ca(ctx, conf->client_ca, p);
}

struct tls *tls_new(const struct reactor *r)
{
	struct tls *t = mem_new(sizeof(*t));
	t->reactor = r;
	return t;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx); /* each connection holds on to its own */
	free(t);
}

enum err tls_load(struct tls *t, const struct tls_conf *conf, struct problem *p)
{
	SSL_CTX *ctx = new_context();
	ERR_clear_error();
	enum err err = load_files(ctx, conf, p);
	if (err != OK) {
		SSL_CTX_free(ctx);
		return err;
	}
	handshake_bound(ctx, t->reactor);
	SSL_CTX_free(t->ctx);
	t->ctx = ctx;
	return OK;
}

bool tls_is_loaded(const struct tls *t)
{
	return t->ctx != NULL;
}

struct bufferevent *tls_accept(struct tls *t, struct event_base *base)
{
	panic_if(t->ctx == NULL, "TLS without a certificate");
	SSL *ssl = SSL_new(t->ctx);
	struct bufferevent *bev = ssl == NULL
	    ? NULL
	    : bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
		  BEV_OPT_CLOSE_ON_FREE);
	panic_if(bev == NULL, "out of memory");
	return bev;
}

bool tls_is_open(struct bufferevent *bev)
{
	return SSL_is_init_finished(bufferevent_openssl_get_ssl(bev)) == 1;
}

bool tls_has_unread(struct bufferevent *bev)
{
	return SSL_pending(bufferevent_openssl_get_ssl(bev)) > 0;
}

void tls_send(struct bufferevent *bev, struct slice bytes)
{
	/* short, for an empty socket buffer; a client that left none has no claim to it */
	if (tls_is_open(bev))
		(void)SSL_write(bufferevent_openssl_get_ssl(bev), bytes.ptr, (int)bytes.len);
	ERR_clear_error();
}

/* Why a connection failed: libevent keeps the errors, the oldest says most. */
static const char *reason_of(struct bufferevent *bev)
{
	const char *reason = NULL;
	unsigned long code = bufferevent_get_openssl_error(bev);
	while (code != 0) {
		const char *text = ERR_reason_error_string(code);
		reason = text == NULL ? reason : text;
		code = bufferevent_get_openssl_error(bev);
	}
	return reason == NULL ? "the peer has left, or took too long" : reason;
}

void tls_close(struct bufferevent *bev)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);
	if (!tls_is_open(bev))
		log_debug("TLS connection failed", LOG_S("error", reason_of(bev)));
	else if ((SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN) == 0)
		(void)SSL_shutdown(ssl); /* the answer to it is not waited for */
	ERR_clear_error();
}
