/* Bounds on TLS handshakes; see handshake.h. */
#include "base/handshake.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/reactor.h"

#define GROUPS "X25519:P-256:P-384:P-521"

/* Ten certificates with RSA keys of 4096 bits, or forty with elliptic curves: each is read. */
#define CHAIN_BYTES_MAX (16L << 10)

/*
 * Each certificate of a chain has a signature to be checked. What one takes with longer keys,
 * or over a binary curve: `openssl speed rsa7680 rsa15360 ecdsap521 ecdsab571`.
 */
#define CHAIN_DEPTH_MAX 5
#define RSA_BITS_MAX 8192
#define EC_BITS_MAX 521

/* Each name is compared with each constraint of each authority; libcrypto allows a million. */
#define COMPARISONS_MAX (1 << 16)

/*
 * A record is two reads, its head and the rest: a megabyte in a pass, where they are long, and
 * a few milliseconds where each has a new key.
 */
#define READS_MAX 128

static bool is_dear_key(X509 *certificate)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	switch (key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		return EVP_PKEY_get_bits(key) > RSA_BITS_MAX;
	case EVP_PKEY_EC:
		return EVP_PKEY_get_bits(key) > EC_BITS_MAX;
	case EVP_PKEY_DSA:
		return true;
	default:
		return false;
	}
}

static int count_names(X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	int count = X509_NAME_entry_count(X509_get_subject_name(certificate)) + 1;
	count += names == NULL ? 0 : sk_GENERAL_NAME_num(names);
	GENERAL_NAMES_free(names);
	return count;
}

static int count_constraints(X509 *certificate)
{
	NAME_CONSTRAINTS *c = X509_get_ext_d2i(certificate, NID_name_constraints, NULL, NULL);
	int count = 0;
	if (c == NULL)
		return 0;
	if (c->permittedSubtrees != NULL)
		count += sk_GENERAL_SUBTREE_num(c->permittedSubtrees);
	if (c->excludedSubtrees != NULL)
		count += sk_GENERAL_SUBTREE_num(c->excludedSubtrees);
	NAME_CONSTRAINTS_free(c);
	return count;
}

static bool is_dear_chain(STACK_OF(X509) * chain)
{
	int64_t names = 0;
	int64_t constraints = 0;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i);
		if (is_dear_key(certificate))
			return true;
		names += count_names(certificate);
		constraints += count_constraints(certificate);
	}
	return names * constraints > COMPARISONS_MAX;
}

/* Whether nobody has asked that of this check before. */
static bool is_first_look(X509_STORE_CTX *check)
{
	static int slot = -1; /* made once, for good */
	if (slot < 0)
		slot = X509_STORE_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	bool is_first = X509_STORE_CTX_get_ex_data(check, slot) == NULL;
	panic_if(X509_STORE_CTX_set_ex_data(check, slot, check) != 1, "no room in a check");
	return is_first;
}

/* Told of each certificate from the authority's down, of the first before any signature. */
static int on_certificate(int ok, X509_STORE_CTX *check)
{
	if (ok != 1 || !is_first_look(check) ||
	    !is_dear_chain(X509_STORE_CTX_get0_chain(check)))
		return ok;
	X509_STORE_CTX_set_error(check, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/*
 * A link between libssl and what it reads from. libssl reads on as long as there is something,
 * and a peer that sends faster than it is read would never let it return.
 */
struct pace {
	const struct reactor *reactor;
	uint64_t pass;
	unsigned reads; /* in that pass */
};

static int read_at_pace(BIO *bio, char *out, int size)
{
	struct pace *p = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (p->pass != reactor_passes(p->reactor))
		*p = (struct pace){p->reactor, reactor_passes(p->reactor), 0};
	if (p->reads++ >= READS_MAX) {
		BIO_set_retry_read(bio); /* the descriptor stays readable */
		return -1;
	}
	int n = BIO_read(BIO_next(bio), out, size);
	BIO_copy_next_retry(bio);
	return n;
}

static long pass_on(BIO *bio, int what, long number, void *arg)
{
	return BIO_next(bio) == NULL ? 0 : BIO_ctrl(BIO_next(bio), what, number, arg);
}

static int forget_pace(BIO *bio)
{
	free(BIO_get_data(bio));
	return 1;
}

static BIO *new_link(const struct reactor *r)
{
	static BIO_METHOD *method; /* made once, for good */
	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_FILTER, "pace");
		panic_if(method == NULL || BIO_meth_set_read(method, read_at_pace) != 1 ||
			BIO_meth_set_ctrl(method, pass_on) != 1 ||
			BIO_meth_set_destroy(method, forget_pace) != 1,
		    "no method for a BIO");
	}
	BIO *bio = BIO_new(method);
	struct pace *p = mem_new(sizeof(*p));
	panic_if(bio == NULL, "out of memory");
	p->reactor = r;
	BIO_set_data(bio, p);
	BIO_set_init(bio, 1);
	return bio;
}

/* Reads at a pace from now on. */
static void set_pace(SSL *ssl)
{
	BIO *source = SSL_get_rbio(ssl);
	if (BIO_next(source) != NULL)
		return;
	panic_if(BIO_up_ref(source) != 1, "a BIO that is gone");
	SSL_set0_rbio(ssl,
	    BIO_push(new_link(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl))), source));
}

static void free_offer(void *parent, void *session, CRYPTO_EX_DATA *data, int index,
    long number, void *arg)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	SSL_SESSION_free(session);
}

/* Where a context keeps the session that is offered. */
static int offer_slot(void)
{
	static int slot = -1; /* made once, for good */
	if (slot < 0)
		slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_offer);
	return slot;
}

void handshake_offer(SSL_CTX *ctx, SSL_SESSION *session)
{
	panic_if(SSL_CTX_set_ex_data(ctx, offer_slot(), session) != 1, "no room in a context");
}

/* The connection has it from then on, and the context, which may live long, no more. */
static void offer(SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	SSL_SESSION *session = SSL_CTX_get_ex_data(ctx, offer_slot());
	if (session == NULL)
		return;
	(void)SSL_set_session(ssl, session); /* or it goes without */
	handshake_offer(ctx, NULL);
	SSL_SESSION_free(session);
}

/* When a handshake begins libssl has what it reads from, and has said nothing yet. */
static void on_progress(const SSL *ssl, int where, int value)
{
	SSL *own = (SSL *)(uintptr_t)ssl; /* const by its type alone */
	(void)value;
	if ((where & SSL_CB_HANDSHAKE_START) == 0)
		return;
	set_pace(own);
	offer(own);
}

void handshake_bound(struct ssl_ctx_st *ctx, const struct reactor *r)
{
	char *groups = (char *)(uintptr_t)GROUPS; /* which is only read */
	panic_if(SSL_CTX_set1_groups_list(ctx, groups) != 1, "no groups for TLS");
	SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
	SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
	SSL_CTX_set_verify(ctx, SSL_CTX_get_verify_mode(ctx), on_certificate);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
	if (r != NULL) {
		SSL_CTX_set_app_data(ctx, (void *)(uintptr_t)r);
		SSL_CTX_set_info_callback(ctx, on_progress);
	}
}

X509 *handshake_peer(SSL *connection, const char **version)
{
	*version = SSL_get_version(connection);
	return SSL_get1_peer_certificate(connection);
}

void handshake_describe(X509 *certificate, char *subject, size_t size, int64_t *expires_ms)
{
	struct tm utc = {0};
	BIO *out = BIO_new(BIO_s_mem());
	panic_if(out == NULL, "out of memory");
	/* what is not ASCII is escaped, and so is what would end a line */
	(void)X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
	char *text = NULL;
	long len = BIO_get_mem_data(out, &text);
	size_t kept = len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
	if (kept > 0)
		memcpy(subject, text, kept);
	subject[kept] = '\0';
	BIO_free(out);
	*expires_ms = INT64_MIN;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) == 1)
		*expires_ms = (int64_t)timegm(&utc) * 1000;
}

void handshake_drop(X509 *certificate)
{
	X509_free(certificate);
}
