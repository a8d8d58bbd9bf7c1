/*
 * Trust anchors: the authorities that a webhook's ca_pem names, parsed once for all its
 * connections, when the first of them is made. Those that were used last are kept, up to
 * ANCHORS_BYTES_MAX of their texts: who pushes others out has them parsed again with their next
 * connections, and no connection of theirs is lost.
 *
 * It never: checks a certificate, nor knows whose anchors these are.
 */
#ifndef COURIER_ANCHORS_H
#define COURIER_ANCHORS_H

#include <stddef.h>

#include "base/digest.h"

struct ssl_ctx_st; /* SSL_CTX of libssl */

#define ANCHORS_NAME_SIZE (2 * DIGEST_SIZE + 1) /* hex digits, NUL */
#define ANCHORS_BYTES_MAX (1u << 20) /* of text; parsed they take about ten times as much */

struct anchors;
struct anchors_kept;

struct anchors_kept *anchors_kept_new(void);

/* Frees what is kept; those that were taken stay until they are dropped. NULL is fine. */
void anchors_kept_free(struct anchors_kept *k);

/*
 * Those of a PEM text, not parsed yet; anchors_drop() them. What is no certificate in it is
 * passed over.
 */
struct anchors *anchors_take(struct anchors_kept *k, const char *pem);

/* NULL is fine. */
void anchors_drop(struct anchors *a);

/* Their name, of ANCHORS_NAME_SIZE: the same for the same text alone, kept or not. */
const char *anchors_name(const struct anchors *a);

/*
 * Has the connections of `ctx` trust these alone, each for itself: also one that is no
 * authority, but was issued by one that is not among them.
 */
void anchors_trust(struct anchors *a, struct ssl_ctx_st *ctx);

/* The same with anchors that are read for `ctx` alone; how many there are. */
size_t anchors_load(const char *pem, struct ssl_ctx_st *ctx);

#endif
