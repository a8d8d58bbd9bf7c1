/*
 * The record: version (1), id of the vault's key (8), then the key as it is (32), or encrypted
 * (60), with what stands before it as the context; sealed.
 */
#include "store/portal_key.h"

#include <string.h>

#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"

#define KEY SLICE("portal_key")
#define VERSION 1
#define RECORD_MAX 128

static void put_context(const struct vault_id *id, struct buf *out)
{
	put_u8(out, VERSION);
	buf_append(out, id->bytes, VAULT_ID_SIZE);
}

/* Takes a record apart; *rest is the key, or what it is encrypted to. ERR_CORRUPT. */
static enum err parse(struct slice key, struct slice value, struct vault_id *id,
    struct slice *rest)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_META, key), &r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(&r);
	struct slice name = get_bytes(&r, VAULT_ID_SIZE);
	*id = (struct vault_id){0};
	memcpy(id->bytes, name.ptr, name.len);
	size_t expected = PORTAL_KEY_SIZE + (vault_is_none(id) ? 0 : VAULT_OVERHEAD);
	*rest = get_bytes(&r, r.left);
	return r.failed || version != VERSION || rest->len != expected ? ERR_CORRUPT : OK;
}

enum err portal_key_get(struct db_txn *txn, const struct vault *vault,
    unsigned char out[PORTAL_KEY_SIZE], bool *is_current)
{
	struct slice value;
	struct slice rest;
	struct vault_id id;
	struct vault_id now = vault_current(vault);
	enum err err = db_get(txn, DB_META, KEY, &value);
	if (err == OK)
		err = parse(KEY, value, &id, &rest);
	if (err != OK)
		return err;
	struct buf context = BUF_INIT(RECORD_MAX);
	struct buf plain = BUF_INIT(RECORD_MAX);
	put_context(&id, &context);
	if (vault_is_none(&id))
		buf_slice(&plain, rest);
	else
		err = vault_decrypt(vault, &id, buf_view(&context), rest, &plain);
	if (err == OK)
		memcpy(out, plain.data, PORTAL_KEY_SIZE);
	*is_current = err == OK && vault_same(&id, &now);
	mem_wipe(plain.data, plain.len);
	buf_fini(&plain);
	buf_fini(&context);
	return err;
}

enum err portal_key_put(struct db_txn *txn, const struct vault *vault,
    const unsigned char key[PORTAL_KEY_SIZE])
{
	unsigned char nonce[VAULT_NONCE_SIZE];
	struct vault_id id = vault_current(vault);
	struct slice plain = {(const char *)key, PORTAL_KEY_SIZE};
	struct buf value = BUF_INIT(RECORD_MAX);
	struct buf context = BUF_INIT(RECORD_MAX);
	put_context(&id, &context);
	buf_slice(&value, buf_view(&context));
	if (vault_is_none(&id)) {
		buf_slice(&value, plain);
	} else {
		rnd_secret(nonce, sizeof(nonce));
		vault_encrypt(vault, nonce, buf_view(&context), plain, &value);
	}
	record_seal(&value, record_at(DB_META, KEY));
	enum err err = db_put(txn, DB_META, KEY, buf_view(&value));
	mem_wipe(value.data, value.len);
	buf_fini(&value);
	buf_fini(&context);
	return err;
}

bool portal_key_is_there(struct db_txn *txn)
{
	struct slice value;
	return db_get(txn, DB_META, KEY, &value) == OK;
}

bool portal_key_check(struct slice key, struct slice value, bool *sound)
{
	struct vault_id id;
	struct slice rest;
	if (!slice_eq(key, KEY))
		return false;
	*sound = parse(key, value, &id, &rest) == OK;
	return true;
}
