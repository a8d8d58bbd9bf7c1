/* Records of webhooks and the uniqueness of their URLs and names; see webhooks.h. */
#include "store/webhooks.h"

#include <stdio.h>

#include "base/log.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/trends.h"

#define KEY_SIZE 8
#define LAST_NUMBER_KEY SLICE("last_webhook")
#define RESEALED_KEY SLICE("resealed_webhook") /* the last one, while there are others */
#define RESEAL_MAX 1000                        /* rows a transaction */

static struct slice make_key(uint64_t number, unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, number);
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

static struct slice url_key(const struct webhook *w, unsigned char out[RECORD_DIGEST])
{
	record_digest(slice_of(w->session), slice_of(w->url), out);
	return (struct slice){.ptr = (const char *)out, .len = RECORD_DIGEST};
}

/* No URL begins so: names and URLs share the table. */
static struct slice name_key(struct slice session, struct slice name,
    unsigned char out[RECORD_DIGEST])
{
	char text[sizeof("name:") + WEBHOOK_NAME_MAX];
	int len = snprintf(text, sizeof(text), "name:%.*s", (int)name.len, name.ptr);
	record_digest(session, (struct slice){text, (size_t)len}, out);
	return (struct slice){.ptr = (const char *)out, .len = RECORD_DIGEST};
}

enum err webhooks_find_url(struct db_txn *txn, const struct webhook *w, struct slice *number)
{
	unsigned char key[RECORD_DIGEST];
	return db_get(txn, DB_URLS, url_key(w, key), number);
}

enum err webhooks_find_name(struct db_txn *txn, struct slice session, struct slice name,
    struct slice *number)
{
	unsigned char key[RECORD_DIGEST];
	return db_get(txn, DB_URLS, name_key(session, name, key), number);
}

/* ERR_EXISTS where another than `w` has what was found, OK where it is free. */
static enum err check_taken(enum err found, struct slice taken, const struct webhook *w)
{
	struct reader r = reader_of(taken);
	if (found == ERR_NOTFOUND)
		return OK;
	if (found != OK)
		return found;
	return get_u64(&r) == w->number && !r.failed ? OK : ERR_EXISTS;
}

enum err webhooks_check_url(struct db_txn *txn, const struct webhook *w)
{
	struct slice taken = SLICE("");
	enum err err = webhooks_find_url(txn, w, &taken);
	return check_taken(err, taken, w);
}

enum err webhooks_check_name(struct db_txn *txn, const struct webhook *w)
{
	struct slice taken = SLICE("");
	if (w->name == NULL)
		return OK;
	enum err err = webhooks_find_name(txn, slice_of(w->session), slice_of(w->name), &taken);
	return check_taken(err, taken, w);
}

/* Writes what leads to it: the row of its URL and, where it has one, of its name. */
static enum err put_rows(struct db_txn *txn, const struct webhook *w)
{
	unsigned char key[RECORD_DIGEST];
	unsigned char number[KEY_SIZE];
	struct slice at = make_key(w->number, number);
	enum err err = db_put(txn, DB_URLS, url_key(w, key), at);
	if (err == OK && w->name != NULL)
		err = db_put(txn, DB_URLS,
		    name_key(slice_of(w->session), slice_of(w->name), key), at);
	return err;
}

static enum err del_rows(struct db_txn *txn, const struct webhook *w)
{
	unsigned char key[RECORD_DIGEST];
	enum err err = db_del(txn, DB_URLS, url_key(w, key));
	if ((err == OK || err == ERR_NOTFOUND) && w->name != NULL)
		err = db_del(txn, DB_URLS,
		    name_key(slice_of(w->session), slice_of(w->name), key));
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err put_record(struct db_txn *txn, const struct vault *vault,
    const struct webhook *w)
{
	unsigned char key[KEY_SIZE];
	unsigned char nonce[VAULT_NONCE_SIZE];
	struct buf value = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	rnd_secret(nonce, sizeof(nonce));
	webhook_encode(w, vault, nonce, &value);
	struct slice at = make_key(w->number, key);
	record_seal(&value, record_at(DB_WEBHOOKS, at));
	panic_if(value.failed, "webhook record over its limit");
	enum err err = db_put(txn, DB_WEBHOOKS, at, buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err webhooks_decode(struct slice key, struct slice value, struct webhook **out)
{
	struct reader r;
	struct vault_id id;
	enum err err = record_open(value, record_at(DB_WEBHOOKS, key), &r);
	return err == OK ? webhook_decode_open(&r, &id, out) : err;
}

static enum err decode(struct slice key, struct slice value, const struct vault *vault,
    struct vault_id *id, struct webhook **out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_WEBHOOKS, key), &r);
	return err == OK ? webhook_decode(&r, vault, id, out) : err;
}

/* Reads a number of DB_META; 0 where there is none. */
static enum err get_meta(struct db_txn *txn, struct slice key, uint64_t *out)
{
	struct slice value;
	*out = 0;
	enum err err = db_get(txn, DB_META, key, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	return err == OK ? record_open_number(value, record_at(DB_META, key), out) : err;
}

static enum err put_meta(struct db_txn *txn, struct slice key, uint64_t number)
{
	unsigned char value[RECORD_NUMBER];
	return db_put(txn, DB_META, key,
	    record_seal_number(number, record_at(DB_META, key), value));
}

enum err webhooks_last_number(struct db_txn *txn, uint64_t *out)
{
	return get_meta(txn, LAST_NUMBER_KEY, out);
}

/* Notes that `number` has been given away. */
static enum err put_last_number(struct db_txn *txn, uint64_t number)
{
	uint64_t last = 0;
	enum err err = webhooks_last_number(txn, &last);
	number &= ~WEBHOOK_FOR_ALL;
	if (err != OK || number <= last)
		return err;
	return put_meta(txn, LAST_NUMBER_KEY, number);
}

enum err webhooks_add(struct db_txn *txn, const struct vault *vault, const struct webhook *w)
{
	enum err err = webhooks_check_url(txn, w);
	if (err == OK)
		err = webhooks_check_name(txn, w);
	if (err == OK)
		err = put_last_number(txn, w->number);
	if (err == OK)
		err = put_rows(txn, w);
	return err == OK ? put_record(txn, vault, w) : err;
}

enum err webhooks_get(struct db_txn *txn, const struct vault *vault, uint64_t number,
    struct webhook **out)
{
	unsigned char key[KEY_SIZE];
	struct vault_id id;
	struct slice value;
	struct slice at = make_key(number, key);
	enum err err = db_get(txn, DB_WEBHOOKS, at, &value);
	if (err == OK)
		err = decode(at, value, vault, &id, out);
	return err == ERR_REFUSED ? ERR_CORRUPT : err;
}

enum err webhooks_get_open(struct db_txn *txn, uint64_t number, struct webhook **out)
{
	unsigned char key[KEY_SIZE];
	struct slice value;
	struct slice at = make_key(number, key);
	enum err err = db_get(txn, DB_WEBHOOKS, at, &value);
	return err == OK ? webhooks_decode(at, value, out) : err;
}

enum err webhooks_change(struct db_txn *txn, const struct vault *vault,
    const struct webhook *old, const struct webhook *w)
{
	enum err err = OK;
	if (strcmp(old->url, w->url) != 0 ||
	    !slice_eq(slice_of(old->name), slice_of(w->name))) {
		err = webhooks_check_url(txn, w);
		if (err == OK)
			err = webhooks_check_name(txn, w);
		if (err == OK)
			err = del_rows(txn, old);
		if (err == OK)
			err = put_rows(txn, w);
	}
	return err == OK ? put_record(txn, vault, w) : err;
}

enum err webhooks_retire(struct db_txn *txn, const struct vault *vault, struct webhook *w)
{
	w->deleted = true;
	webhook_drop_secrets(w); /* nothing is sent any more */
	enum err err = del_rows(txn, w);
	return err == OK ? put_record(txn, vault, w) : err;
}

enum err webhooks_erase(struct db_txn *txn, uint64_t number)
{
	unsigned char key[KEY_SIZE];
	enum err err = trends_drop(txn, number);
	return err == OK ? db_del(txn, DB_WEBHOOKS, make_key(number, key)) : err;
}

/* Names the webhook and the key that it would take. */
static enum err refuse_key(struct slice at, struct slice value, struct problem *p)
{
	char id[UUID_TEXT_SIZE];
	char name[VAULT_ID_TEXT_SIZE];
	struct vault_id key;
	struct webhook *w = NULL;
	struct reader r;
	enum err err = record_open(value, record_at(DB_WEBHOOKS, at), &r);
	if (err == OK)
		err = webhook_decode_open(&r, &key, &w);
	if (err != OK)
		return err;
	uuid_format(&w->id, id);
	vault_put_id(&key, name);
	webhook_free(w);
	return problem_set(p, ERR_REFUSED, "secret_key",
	    "webhook %s is encrypted under the key %s, which neither secret_key nor "
	    "secret_key_file has",
	    id, name);
}

enum err webhooks_each(struct db_txn *txn, const struct vault *vault,
    void (*fn)(void *arg, struct webhook *w), void *arg, struct problem *p)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	unsigned char from[KEY_SIZE];
	enum err err = db_cursor(txn, DB_WEBHOOKS, &cursor);
	if (err != OK)
		return err;
	err = db_seek(cursor, make_key(0, from), &key, &value);
	while (err == OK) {
		struct webhook *w = NULL;
		struct vault_id id;
		err = decode(key, value, vault, &id, &w);
		if (err == ERR_REFUSED)
			err = refuse_key(key, value, p);
		if (err != OK)
			break;
		fn(arg, w);
		err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Finds the first record whose number is above *last, which becomes that number. */
static enum err find_next(struct db_txn *txn, uint64_t *last, struct slice *value)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	unsigned char from[KEY_SIZE];
	if (*last == UINT64_MAX)
		return ERR_NOTFOUND;
	enum err err = db_cursor(txn, DB_WEBHOOKS, &cursor);
	if (err != OK)
		return err;
	err = db_seek(cursor, make_key(*last + 1, from), &key, value);
	db_cursor_close(cursor);
	if (err != OK)
		return err;
	struct reader r = reader_of(key);
	*last = get_u64(&r);
	return OK;
}

enum err webhooks_renew(struct db_txn *txn, const struct vault *vault, int64_t now_ms,
    uint64_t *last, struct webhook **out)
{
	struct vault_id current = vault_current(vault);
	struct vault_id key;
	struct webhook *w = NULL;
	struct slice value;
	*out = NULL;
	unsigned char at[KEY_SIZE];
	enum err err = find_next(txn, last, &value);
	if (err == OK)
		err = decode(make_key(*last, at), value, vault, &key, &w);
	if (err != OK)
		return err == ERR_REFUSED ? ERR_CORRUPT : err;
	bool lost = webhook_drop_expired(w, now_ms);
	if (!lost && vault_same(&key, &current)) {
		webhook_free(w);
		return OK;
	}
	err = put_record(txn, vault, w);
	if (err == OK)
		*out = w;
	else
		webhook_free(w);
	return err;
}

static enum err clear_urls(struct db_txn *txn)
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_URLS, &key, &value);
	while (err == OK) {
		unsigned char digest[RECORD_DIGEST];
		size_t len = key.len < sizeof(digest) ? key.len : sizeof(digest);
		memcpy(digest, key.ptr, len); /* the slice dies with the next write */
		err = db_del(txn, DB_URLS, (struct slice){(const char *)digest, len});
		if (err == OK)
			err = db_first(txn, DB_URLS, &key, &value);
	}
	return err == ERR_NOTFOUND ? OK : err;
}

enum err webhooks_rebuild_urls(struct db_txn *txn)
{
	uint64_t last = 0;
	struct slice value;
	enum err err = clear_urls(txn);
	while (err == OK) {
		struct webhook *w = NULL;
		unsigned char at[KEY_SIZE];
		err = find_next(txn, &last, &value);
		if (err == OK)
			err = webhooks_decode(make_key(last, at), value, &w);
		if (err == OK && !w->deleted)
			err = put_rows(txn, w);
		webhook_free(w);
	}
	return err == ERR_NOTFOUND ? OK : err;
}

/* Writes one row anew; one that is another webhook's lies where it should not. */
static enum err reseal(struct db_txn *txn, uint64_t number, struct slice value)
{
	unsigned char key[KEY_SIZE];
	struct slice at = make_key(number, key);
	struct webhook *w = NULL;
	enum err err = webhooks_decode(at, value, &w);
	bool is_own = err == OK && w->number == number;
	webhook_free(w);
	if (!is_own)
		return OK;
	struct buf sealed = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	buf_append(&sealed, value.ptr, value.len - RECORD_CHECKSUM);
	record_seal(&sealed, record_at(DB_WEBHOOKS, at));
	err = db_put(txn, DB_WEBHOOKS, at, buf_view(&sealed));
	buf_fini(&sealed);
	return err;
}

enum err webhooks_reseal(struct db_txn *txn, bool *more)
{
	uint64_t last = 0;
	struct slice value;
	enum err err = get_meta(txn, RESEALED_KEY, &last);
	for (int n = 0; err == OK && n < RESEAL_MAX; n++) {
		err = find_next(txn, &last, &value);
		if (err == OK)
			err = reseal(txn, last, value);
	}
	*more = err == OK;
	if (err == OK)
		return put_meta(txn, RESEALED_KEY, last);
	if (err == ERR_NOTFOUND)
		err = db_del(txn, DB_META, RESEALED_KEY);
	return err == ERR_NOTFOUND ? OK : err;
}
