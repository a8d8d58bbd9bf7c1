/*
 * HMAC-SHA256 over bytes that come in pieces, as X-Webhook-Signature has it. The receiver's
 * own, not waybill's: what one writes, the other is to check.
 */
#ifndef BENCH_HMAC_H
#define BENCH_HMAC_H

#include <stddef.h>

struct evp_mac_ctx_st;

#define HMAC_TEXT_SIZE 72 /* "sha256=", 64 hex digits, NUL */

/* One calculation at a time; begin, then any number of pieces, then the end. */
struct evp_mac_ctx_st *hmac_new(const char *secret);
void hmac_free(struct evp_mac_ctx_st *mac);
void hmac_begin(struct evp_mac_ctx_st *mac);
void hmac_add(struct evp_mac_ctx_st *mac, const char *bytes, size_t len);
void hmac_end(struct evp_mac_ctx_st *mac, char out[HMAC_TEXT_SIZE]);

#endif
