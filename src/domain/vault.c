/*
 * AES-256-GCM through OpenSSL's EVP_CIPHER; see vault.h. A failing call other than the check of
 * a tag means no memory or no such cipher: there is nothing to fall back to.
 */
#include "domain/vault.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define KEY_SIZE 32 /* AES-256 */
#define TAG_SIZE (VAULT_OVERHEAD - VAULT_NONCE_SIZE)
#define ID_LABEL "waybill vault key" /* its NUL counts */

struct key {
	struct vault_id id;
	unsigned char bytes[KEY_SIZE];
};

struct vault {
	struct key keys[VAULT_KEYS_MAX];
	size_t count;
};

struct vault *vault_new(void)
{
	return mem_new(sizeof(struct vault));
}

void vault_free(struct vault *v)
{
	if (v == NULL)
		return;
	mem_wipe(v, sizeof(*v));
	free(v);
}

static struct vault_id id_of(const unsigned char key[KEY_SIZE])
{
	const struct slice parts[] = {
	    {ID_LABEL, sizeof(ID_LABEL)},
	    {(const char *)key, KEY_SIZE},
	};
	unsigned char digest[DIGEST_SIZE];
	struct vault_id id;
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), digest);
	memcpy(id.bytes, digest, sizeof(id.bytes));
	return id;
}

/* Finds the key of that id; NULL where there is none. */
static const struct key *find(const struct vault *v, const struct vault_id *id)
{
	for (size_t i = 0; v != NULL && i < v->count; i++) {
		if (vault_same(&v->keys[i].id, id))
			return &v->keys[i];
	}
	return NULL;
}

static bool read_hex(struct slice hex, unsigned char out[KEY_SIZE])
{
	bool ok = hex.len == (size_t)2 * KEY_SIZE;
	for (size_t i = 0; ok && i < KEY_SIZE; i++) {
		int high = str_hex_digit(hex.ptr[2 * i]);
		int low = str_hex_digit(hex.ptr[2 * i + 1]);
		ok = high >= 0 && low >= 0;
		out[i] = (unsigned char)((unsigned)high << 4 | (unsigned)low);
	}
	return ok;
}

enum err vault_add(struct vault *v, struct slice hex, struct problem *p)
{
	struct key key;
	enum err err = OK;
	if (!read_hex(hex, key.bytes)) {
		err = problem_set(p, ERR_INVALID, "",
		    "a key must be 64 hex digits: openssl rand -hex 32");
		goto out;
	}
	key.id = id_of(key.bytes);
	if (find(v, &key.id) != NULL)
		goto out;
	if (v->count == VAULT_KEYS_MAX) {
		err = problem_set(p, ERR_TOOBIG, "", "there may be at most %d keys",
		    VAULT_KEYS_MAX);
		goto out;
	}
	v->keys[v->count++] = key;
out:
	mem_wipe(&key, sizeof(key));
	return err;
}

struct vault_id vault_current(const struct vault *v)
{
	const struct vault_id none = {0};
	return v == NULL || v->count == 0 ? none : v->keys[0].id;
}

bool vault_same(const struct vault_id *a, const struct vault_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool vault_is_none(const struct vault_id *id)
{
	const struct vault_id none = {0};
	return vault_same(id, &none);
}

void vault_put_id(const struct vault_id *id, char out[VAULT_ID_TEXT_SIZE])
{
	str_hex(id->bytes, sizeof(id->bytes), out);
}

/* A cipher keyed and given its nonce and context, in the one direction or the other. */
static EVP_CIPHER_CTX *cipher_new(const struct key *key, const unsigned char *nonce,
    struct slice context, int encrypts)
{
	const unsigned char *bytes = (const unsigned char *)context.ptr;
	int n = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx != NULL &&
	    EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key->bytes, nonce, encrypts, NULL) ==
		1 &&
	    EVP_CipherUpdate(ctx, NULL, &n, bytes, (int)context.len) == 1;
	panic_if(!ok, "AES-256-GCM failed");
	return ctx;
}

void vault_encrypt(const struct vault *v, const unsigned char nonce[VAULT_NONCE_SIZE],
    struct slice context, struct slice plain, struct buf *out)
{
	panic_if(v == NULL || v->count == 0, "encrypting without a key");
	if (!buf_reserve(out, VAULT_OVERHEAD + plain.len))
		return;
	EVP_CIPHER_CTX *ctx = cipher_new(&v->keys[0], nonce, context, 1);
	unsigned char *text = (unsigned char *)out->data + out->len + VAULT_NONCE_SIZE;
	int n = 0;
	memcpy(out->data + out->len, nonce, VAULT_NONCE_SIZE);
	bool ok = EVP_CipherUpdate(ctx, text, &n, (const unsigned char *)plain.ptr,
		      (int)plain.len) == 1 &&
	    EVP_CipherFinal_ex(ctx, text + n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, text + plain.len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	panic_if(!ok, "AES-256-GCM failed");
	out->len += VAULT_OVERHEAD + plain.len;
}

enum err vault_decrypt(const struct vault *v, const struct vault_id *id, struct slice context,
    struct slice encrypted, struct buf *plain)
{
	const struct key *key = find(v, id);
	if (key == NULL)
		return ERR_REFUSED;
	if (encrypted.len < VAULT_OVERHEAD)
		return ERR_CORRUPT;
	const unsigned char *nonce = (const unsigned char *)encrypted.ptr;
	const unsigned char *text = nonce + VAULT_NONCE_SIZE;
	size_t len = encrypted.len - VAULT_OVERHEAD;
	unsigned char tag[TAG_SIZE];
	int n = 0;
	if (!buf_reserve(plain, len))
		return ERR_CORRUPT; /* longer than anything that was encrypted */
	EVP_CIPHER_CTX *ctx = cipher_new(key, nonce, context, 0);
	unsigned char *out = (unsigned char *)plain->data + plain->len;
	memcpy(tag, text + len, TAG_SIZE);
	bool ok = EVP_CipherUpdate(ctx, out, &n, text, (int)len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
	    EVP_CipherFinal_ex(ctx, out + n, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (ok)
		plain->len += len;
	else
		mem_wipe(out, len); /* what a wrong tag let through */
	return ok ? OK : ERR_CORRUPT;
}
