/* Trust anchors, parsed once; see anchors.h. */
#include "courier/anchors.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct anchors {
	TAILQ_ENTRY(anchors) link; /* while it is kept */
	X509_STORE *store;         /* NULL: not parsed yet */
	size_t holders;            /* who took it, and what keeps it */
	char *pem;
	char name[ANCHORS_NAME_SIZE];
};

struct anchors_kept {
	struct map *by_text;
	TAILQ_HEAD(, anchors) order; /* the one used last is the last */
	size_t bytes;
};

/* Reads the certificates of a text into a store of their own. */
static X509_STORE *read_store(const char *pem, size_t *count)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = BIO_new_mem_buf(pem, -1);
	panic_if(store == NULL || bio == NULL, "out of memory");
	(void)X509_STORE_set_flags(store,
	    X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	for (*count = 0; certificate != NULL;
	     certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) {
		*count += X509_STORE_add_cert(store, certificate) == 1;
		X509_free(certificate);
	}
	BIO_free(bio);
	return store;
}

struct anchors_kept *anchors_kept_new(void)
{
	struct anchors_kept *k = mem_new(sizeof(*k));
	k->by_text = map_new();
	TAILQ_INIT(&k->order);
	return k;
}

static void forget(struct anchors_kept *k, struct anchors *a)
{
	size_t len = strlen(a->pem);
	(void)map_del(k->by_text, a->pem, len); /* is `a` */
	TAILQ_REMOVE(&k->order, a, link);
	k->bytes -= len;
	anchors_drop(a);
}

void anchors_kept_free(struct anchors_kept *k)
{
	if (k == NULL)
		return;
	while (!TAILQ_EMPTY(&k->order))
		forget(k, TAILQ_FIRST(&k->order));
	map_free(k->by_text);
	free(k);
}

static struct anchors *keep(struct anchors_kept *k, const char *pem, size_t len)
{
	struct anchors *a = mem_new(sizeof(*a));
	const struct slice text = {pem, len};
	unsigned char digest[DIGEST_SIZE];
	digest_of(&text, 1, digest);
	str_hex(digest, sizeof(digest), a->name);
	a->holders = 1;
	a->pem = mem_copy(pem, len);
	map_put(k->by_text, pem, len, a);
	TAILQ_INSERT_TAIL(&k->order, a, link);
	k->bytes += len;
	while (k->bytes > ANCHORS_BYTES_MAX && TAILQ_FIRST(&k->order) != a)
		forget(k, TAILQ_FIRST(&k->order));
	return a;
}

struct anchors *anchors_take(struct anchors_kept *k, const char *pem)
{
	size_t len = strlen(pem);
	struct anchors *a = map_get(k->by_text, pem, len);
	if (a == NULL) {
		a = keep(k, pem, len);
	} else {
		TAILQ_REMOVE(&k->order, a, link);
		TAILQ_INSERT_TAIL(&k->order, a, link);
	}
	a->holders++;
	return a;
}

void anchors_drop(struct anchors *a)
{
	if (a == NULL || --a->holders > 0)
		return;
	X509_STORE_free(a->store);
	free(a->pem);
	free(a);
}

const char *anchors_name(const struct anchors *a)
{
	return a->name;
}

void anchors_trust(struct anchors *a, SSL_CTX *ctx)
{
	size_t count = 0;
	if (a->store == NULL)
		a->store = read_store(a->pem, &count);
	SSL_CTX_set1_cert_store(ctx, a->store);
}

size_t anchors_load(const char *pem, SSL_CTX *ctx)
{
	size_t count = 0;
	SSL_CTX_set_cert_store(ctx, read_store(pem, &count)); /* which takes it */
	return count;
}
