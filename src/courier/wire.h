/*
 * Bytes to and from a server: its name looked up, its addresses raced, a connection that
 * stands, TLS over it from wherever its protocol begins that. One connection at a time.
 *
 * It never: waits, knows what the bytes mean, holds more than `out_max` of them for a server
 * that takes none, reads more than WIRE_READ in a pass, connects to an address that the policy
 * forbids, calls back from within a call of its owner, goes on after a failure: that is for the
 * owner to do. libssl writes without asking for a signal not to be sent: the process ignores
 * SIGPIPE.
 */
#ifndef COURIER_WIRE_H
#define COURIER_WIRE_H

#include "base/buf.h"
#include "courier/lookup.h"
#include "domain/address.h"

#define WIRE_READ (64 << 10) /* bytes in a pass, and with TLS a record more */

struct wire_conf {
	struct reactor *reactor;
	struct lookup *lookup;
	const struct address_policy *policy; /* NULL: any address; borrowed, asked each time */
	uint64_t taker;                      /* whose look-ups they are */
	const char *ca_pem; /* pem_is_certificates(); NULL: the system's authorities */
	size_t out_max;
};

/* Each may close it, none may free it. */
struct wire_hooks {
	void (*stands)(void *arg); /* connected, nothing said yet */
	void (*got)(void *arg, struct slice bytes);
	void (*lost)(void *arg, const char *why); /* it is closed; `why` is for people */
	void *arg;
};

struct wire;

/* What `conf` points to is borrowed. */
struct wire *wire_new(const struct wire_conf *conf, const struct wire_hooks *hooks);

/* NULL is fine. */
void wire_free(struct wire *w);

/* Begins to connect, after closing what is open; `host` is borrowed until it is closed. */
void wire_open(struct wire *w, const char *host, uint16_t port);

/* Nothing where it is closed. */
void wire_close(struct wire *w);

/* All that is sent and read from now on is TLS; the certificate has to be the host's. */
void wire_secure(struct wire *w);

/*
 * Where to append what is to be sent; then wire_send(). It has to stand. The limit is the
 * buffer's: what does not fit as a whole is the caller's to take off again.
 */
struct buf *wire_out(struct wire *w);
void wire_send(struct wire *w);

#endif
