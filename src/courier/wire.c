/* A connection to a server; see wire.h. */
#include "courier/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/handshake.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/anchors.h"
#include "courier/race.h"

#define OUT_KEPT (64u << 10) /* memory that is kept where nothing is to be sent */
#define WHY_SIZE 200
#define CLOSED "the server has closed the connection"

/* Of TLS 1.2; those of 1.3 are good as they are. Forward secrecy and AEAD (RFC 9325, 4.2). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct wire {
	struct wire_conf conf;
	struct wire_hooks hooks;
	struct lookup_asker asker;
	struct failures *failures;
	struct races *races;
	struct race *race;
	struct route route;
	const char *host;
	uint16_t port;
	struct reactor_timer *later; /* tells of what failed within a call of the owner's */
	char why[WHY_SIZE];
	struct reactor_io *io; /* NULL: it does not stand */
	int fd;
	SSL_CTX *ctx; /* NULL until it is needed */
	SSL *ssl;     /* NULL: plain text */
	struct buf out;
	size_t sent; /* bytes of it */
};

void wire_close(struct wire *w)
{
	lookup_cancel(w->conf.lookup, &w->asker);
	race_stop(w->race);
	reactor_timer_clear(w->later);
	if (w->io == NULL)
		return;
	if (w->ssl != NULL && SSL_is_init_finished(w->ssl) == 1)
		(void)SSL_shutdown(w->ssl); /* the answer to it is not waited for */
	ERR_clear_error();
	SSL_free(w->ssl);
	w->ssl = NULL;
	reactor_io_free(w->io);
	w->io = NULL;
	(void)close(w->fd); /* nothing more is said */
	buf_fini(&w->out);
	w->sent = 0;
}

static void lose(struct wire *w, const char *why)
{
	char text[WHY_SIZE];
	(void)snprintf(text, sizeof(text), "%s", why);
	wire_close(w);
	w->hooks.lost(w->hooks.arg, text);
}

static void on_later(void *arg)
{
	struct wire *w = arg;
	lose(w, w->why);
}

/* What libssl says of a connection that failed: the certificate's fault first. */
static const char *tls_reason(const SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	if (verdict != X509_V_OK)
		reason = X509_verify_cert_error_string(verdict);
	return reason == NULL ? CLOSED : reason;
}

/* What became of reading or writing `n` bytes; false: it failed, and it is closed. */
static bool check_io(struct wire *w, ssize_t n)
{
	if (n > 0)
		return true;
	if (w->ssl == NULL) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		lose(w, n == 0 ? CLOSED : strerror(errno));
		return false;
	}
	int error = SSL_get_error(w->ssl, (int)n);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return true;
	lose(w, tls_reason(w->ssl));
	return false;
}

/* A handshake says itself what it waits for; SSL_want_read() means nothing after it. */
static void want(struct wire *w)
{
	bool has_more = w->out.len > w->sent;
	if (w->ssl != NULL)
		has_more = SSL_is_init_finished(w->ssl) == 1
		    ? has_more || SSL_want_write(w->ssl)
		    : !SSL_want_read(w->ssl);
	reactor_io_want(w->io, true, has_more);
}

static bool write_out(struct wire *w)
{
	if (w->out.len == w->sent)
		return true;
	const char *bytes = w->out.data + w->sent;
	size_t len = w->out.len - w->sent;
	ERR_clear_error();
	ssize_t n = w->ssl == NULL ? send(w->fd, bytes, len, MSG_NOSIGNAL)
				   : SSL_write(w->ssl, bytes, (int)len);
	if (!check_io(w, n))
		return false;
	w->sent += n > 0 ? (size_t)n : 0;
	if (w->sent == w->out.len) {
		w->sent = 0;
		buf_reset(&w->out);
		if (w->out.cap > OUT_KEPT)
			buf_fini(&w->out);
	}
	if (w->sent >
	    w->out.len / 2) { /* what is left moves to the front, once for all of it */
		memmove(w->out.data, w->out.data + w->sent, w->out.len - w->sent);
		w->out.len -= w->sent;
		w->sent = 0;
	}
	return true;
}

/* Reads before it writes: what a server says as it hangs up is why. */
static void on_io(void *arg, int fd, bool readable, bool writable)
{
	struct wire *w = arg;
	char bytes[WIRE_READ];
	(void)writable; /* TLS may want either for the other */
	for (size_t total = 0; total < sizeof(bytes) && w->io != NULL;) {
		if (w->ssl == NULL && !readable)
			break;
		ERR_clear_error();
		ssize_t n = w->ssl == NULL ? recv(fd, bytes, sizeof(bytes), 0)
					   : SSL_read(w->ssl, bytes, sizeof(bytes));
		readable = false; /* libssl returns one record at a time */
		if (!check_io(w, n))
			return;
		if (n <= 0)
			break;
		total += (size_t)n;
		w->hooks.got(w->hooks.arg, (struct slice){bytes, (size_t)n});
	}
	if (w->io != NULL && write_out(w))
		want(w);
}

static bool is_over(void *arg)
{
	(void)arg; /* it would have been stopped */
	return false;
}

static void on_won(void *arg, int fd, const union lookup_address *to)
{
	struct wire *w = arg;
	int on = 1;
	(void)to;
	w->fd = fd;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* slower without */
	w->io = reactor_io_new(w->conf.reactor, fd, on_io, w);
	want(w);
	w->hooks.stands(w->hooks.arg);
}

static void on_lost(void *arg)
{
	lose(arg, "no connection to any of its addresses");
}

static void fail_later(struct wire *w, const char *why)
{
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
	reactor_timer_fire(w->later);
}

static void on_addresses(void *arg, const struct lookup_answer *answer)
{
	struct wire *w = arg;
	const char *range = NULL;
	if (answer->status != LOOKUP_OK) {
		fail_later(w,
		    answer->status == LOOKUP_NONE ? "there is no such host"
						  : lookup_text(answer->status));
		return;
	}
	route_set(&w->route, answer, w->conf.policy);
	if (w->conf.policy != NULL &&
	    !address_allowed(w->conf.policy, &route_peek(&w->route)->any, &range)) {
		fail_later(w, "its address is in a network that is not allowed");
		return;
	}
	route_order(&w->route, w->failures, w->port, 0);
	race_start(w->race, w->port, w->conf.taker);
	(void)race_hurry(w->race); /* there is one */
}

void wire_open(struct wire *w, const char *host, uint16_t port)
{
	wire_close(w);
	w->host = host;
	w->port = port;
	const struct lookup_answer *known = lookup_ask(w->conf.lookup, slice_of(host),
	    &w->asker);
	if (known != NULL)
		on_addresses(w, known);
}

/* Sets whom it trusts; false: nobody. */
static bool load_anchors(SSL_CTX *ctx, const char *pem)
{
	return pem == NULL ? SSL_CTX_set_default_verify_paths(ctx) == 1
			   : anchors_load(pem, ctx) > 0;
}

static SSL_CTX *make_context(const struct wire_conf *conf)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	panic_if(ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1,
	    "no TLS");
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	handshake_bound(ctx, conf->reactor);
	if (!load_anchors(ctx, conf->ca_pem))
		log_warn("ca_pem holds no certificate that libssl can read",
		    LOG_N("bytes", conf->ca_pem == NULL ? 0 : strlen(conf->ca_pem)));
	return ctx;
}

void wire_secure(struct wire *w)
{
	const char *host = w->host;
	unsigned char raw[sizeof(struct in6_addr)];
	bool is_address = inet_pton(AF_INET, host, raw) == 1 ||
	    inet_pton(AF_INET6, host, raw) == 1;
	if (w->ctx == NULL)
		w->ctx = make_context(&w->conf);
	w->ssl = SSL_new(w->ctx);
	panic_if(w->ssl == NULL || SSL_set_fd(w->ssl, w->fd) != 1, "out of memory");
	int ok = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(w->ssl), host)
			    : SSL_set1_host(w->ssl, host);
	if (ok == 1 && !is_address) /* SSL_set_tlsext_host_name(): clang bars it */
		ok = (int)SSL_ctrl(w->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
		    TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host);
	panic_if(ok != 1, "no name for TLS");
	SSL_set_connect_state(w->ssl);
	want(w);
}

struct buf *wire_out(struct wire *w)
{
	return &w->out;
}

void wire_send(struct wire *w)
{
	want(w);
}

struct wire *wire_new(const struct wire_conf *conf, const struct wire_hooks *hooks)
{
	struct wire *w = mem_new(sizeof(*w));
	const struct race_hooks race = {is_over, on_won, on_lost, w};
	w->conf = *conf;
	w->hooks = *hooks;
	w->asker = (struct lookup_asker){.fn = on_addresses, .arg = w, .taker = conf->taker};
	w->failures = failures_new();
	w->races = races_new(conf->reactor, w->failures);
	w->race = race_new(w->races, &w->route, &race);
	w->later = reactor_timer_new(conf->reactor, on_later, w);
	w->out = BUF_INIT(conf->out_max);
	return w;
}

void wire_free(struct wire *w)
{
	if (w == NULL)
		return;
	wire_close(w);
	race_free(w->race);
	races_free(w->races);
	failures_free(w->failures);
	reactor_timer_free(w->later);
	SSL_CTX_free(w->ctx);
	free(w);
}
