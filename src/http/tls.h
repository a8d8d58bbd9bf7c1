/*
 * TLS on the listeners: the one user of libevent's buffers over libssl.
 * Holds the certificate that new connections get; each connection keeps the one that it
 * began with. TLS 1.2 and later, HTTP/1.1 by ALPN; what a client may make dear is bounded, as
 * base/handshake.h says.
 *
 * It never: asks for a passphrase, leaves errors in the queue of libssl, which libcurl
 * reads too.
 *
 * What differs from a plain connection, for the owner of the bufferevents: bytes that were
 * decrypted already lie in no socket (tls_has_unread()); the input may pass its watermark
 * by two records, 32 KiB; what is sent beside the bufferevent must be encrypted (tls_send(),
 * tls_close()).
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>

#include "base/slice.h"
#include "domain/problem.h"

/* The names of PEM files. */
struct tls_conf {
	const char *certificate; /* the server's, then those between it and its authority */
	const char *key;         /* its key, without a passphrase */
	const char *client_ca; /* authorities of which clients need a certificate; NULL: none */
};

struct tls;
struct bufferevent;
struct event_base;
struct reactor;

/* `r`: whose passes the connections are read in; NULL where there will be none. */
struct tls *tls_new(const struct reactor *r);

/* Connections may go on after it. NULL is fine. */
void tls_free(struct tls *t);

/*
 * Reads the files; connections that come from now on get what they say.
 * Errors: ERR_IO, a file cannot be read; ERR_INVALID, it is not what its setting asks for, or
 * the key is not the certificate's. The setting is named, and what was loaded before stays.
 */
MUST_CHECK enum err tls_load(struct tls *t, const struct tls_conf *conf, struct problem *p);

/* Whether a certificate has been loaded. */
bool tls_is_loaded(const struct tls *t);

/*
 * Makes the bufferevent of a connection that was accepted; its descriptor, set by
 * bufferevent_setfd(), goes with it. Needs a certificate.
 */
struct bufferevent *tls_accept(struct tls *t, struct event_base *base);

/* Everything below is for bufferevents of tls_accept(). */

/* Whether the handshake is over and the connection has not failed. */
bool tls_is_open(struct bufferevent *bev);

/* Whether decrypted bytes are left that its input has not taken. */
bool tls_has_unread(struct bufferevent *bev);

/*
 * Sends `bytes` at once, as far as the socket takes them; the output must be empty.
 * Before the end of the handshake nothing can be sent, and nothing is.
 */
void tls_send(struct bufferevent *bev, struct slice bytes);

/* Tells the peer that nothing more comes; a connection that failed is logged instead. */
void tls_close(struct bufferevent *bev);

#endif
