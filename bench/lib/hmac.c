/* OpenSSL's HMAC, keyed once; see hmac.h. */
#include "hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "base/str.h"
#include "net.h"

#define DIGEST_BYTES 32

static void must(int ok)
{
	if (ok != 1)
		net_die("HMAC");
}

struct evp_mac_ctx_st *hmac_new(const char *secret)
{
	static char digest[] = "SHA256";
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	must(ctx != NULL);
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
				   0),
	    OSSL_PARAM_construct_end()};
	must(EVP_MAC_init(ctx, (const unsigned char *)secret, strlen(secret), params));
	EVP_MAC_free(mac);
	return ctx;
}

void hmac_free(struct evp_mac_ctx_st *mac)
{
	EVP_MAC_CTX_free(mac);
}

void hmac_begin(struct evp_mac_ctx_st *mac)
{
	must(EVP_MAC_init(mac, NULL, 0, NULL));
}

void hmac_add(struct evp_mac_ctx_st *mac, const char *bytes, size_t len)
{
	must(EVP_MAC_update(mac, (const unsigned char *)bytes, len));
}

void hmac_end(struct evp_mac_ctx_st *mac, char out[HMAC_TEXT_SIZE])
{
	unsigned char digest[DIGEST_BYTES];
	size_t len = 0;
	must(EVP_MAC_final(mac, digest, &len, sizeof(digest)));
	memcpy(out, "sha256=", sizeof("sha256="));
	str_hex(digest, len, out + strlen("sha256="));
}
