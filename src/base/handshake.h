/*
 * What a TLS handshake may cost, at either end. The other end chooses much of what is computed
 * for it, and one thread serves everybody: whatever it may choose is quick.
 */
#ifndef BASE_HANDSHAKE_H
#define BASE_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

struct reactor;
struct ssl_ctx_st;     /* SSL_CTX of libssl */
struct ssl_st;         /* SSL */
struct ssl_session_st; /* SSL_SESSION */
struct x509_st;        /* X509 of libcrypto */

/*
 * Bounds what a peer of a connection of `ctx` can ask for:
 *  - keys are exchanged over X25519, P-256, P-384 or P-521, in TLS 1.3 by nothing else; the
 *    ciphers of TLS 1.2 that exchange keys otherwise are for the caller to leave out;
 *  - a chain of certificates has at most 16 KiB, 5 between the peer's own and the authority's,
 *    keys of at most 8192 bits (RSA) or 521 (elliptic curves), none of DSA, and a number of
 *    names and constraints on names that are soon compared;
 *  - no handshake is begun anew, and nothing is compressed;
 *  - a connection is read at most 128 times in a pass of `r`, be it that records of a byte, or
 *    of new keys, come for ever: the others have their turn.
 * To be called after SSL_CTX_set_verify(), whose callback it takes, and before the first
 * connection. `r` NULL: the last of these does not hold.
 */
void handshake_bound(struct ssl_ctx_st *ctx, const struct reactor *r);

/*
 * Has the next connection of `ctx`, which is bounded with a reactor, ask to resume `session`;
 * it is the context's until then. NULL: none.
 */
void handshake_offer(struct ssl_ctx_st *ctx, struct ssl_session_st *session);

/*
 * The certificate that the peer of a connection has shown, handshake_drop() it; NULL: none.
 * *version is its version of TLS in words, "TLSv1.3", a constant.
 */
struct x509_st *handshake_peer(struct ssl_st *connection, const char **version);

/*
 * Says whose it is and until when it holds, in wall milliseconds; INT64_MIN: it says nothing of
 * it. The subject, as "CN=a,O=b" of RFC 2253 in printable ASCII, is cut off at `size` with its
 * NUL.
 */
void handshake_describe(struct x509_st *certificate, char *subject, size_t size,
    int64_t *expires_ms);

/* NULL is fine. */
void handshake_drop(struct x509_st *certificate);

#endif
