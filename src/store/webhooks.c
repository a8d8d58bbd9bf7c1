/* Records of webhooks and the uniqueness of their URLs; see webhooks.h. */
#include "store/webhooks.h"

#include "base/log.h"
#include "store/record.h"

#define KEY_SIZE 8
#define LAST_NUMBER_KEY SLICE("last_webhook")

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

enum err webhooks_find_url(struct db_txn *txn, const struct webhook *w, struct slice *number)
{
	unsigned char key[RECORD_DIGEST];
	return db_get(txn, DB_URLS, url_key(w, key), number);
}

/* ERR_EXISTS where the session has the URL, OK where it is free. */
static enum err check_url(struct db_txn *txn, const struct webhook *w)
{
	struct slice taken;
	enum err err = webhooks_find_url(txn, w, &taken);
	if (err == ERR_NOTFOUND)
		return OK;
	return err == OK ? ERR_EXISTS : err;
}

static enum err put_url(struct db_txn *txn, const struct webhook *w)
{
	unsigned char key[RECORD_DIGEST];
	unsigned char number[KEY_SIZE];
	return db_put(txn, DB_URLS, url_key(w, key), make_key(w->number, number));
}

static enum err del_url(struct db_txn *txn, const struct webhook *w)
{
	unsigned char key[RECORD_DIGEST];
	enum err err = db_del(txn, DB_URLS, url_key(w, key));
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err put_record(struct db_txn *txn, const struct webhook *w)
{
	unsigned char key[KEY_SIZE];
	struct buf value = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	webhook_encode(w, &value);
	record_seal(&value);
	panic_if(value.failed, "webhook record over its limit");
	enum err err = db_put(txn, DB_WEBHOOKS, make_key(w->number, key), buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err webhooks_decode(struct slice value, struct webhook **out)
{
	struct reader r;
	enum err err = record_open(value, &r);
	return err == OK ? webhook_decode(&r, out) : err;
}

enum err webhooks_last_number(struct db_txn *txn, uint64_t *out)
{
	struct slice value;
	struct reader r;
	*out = 0;
	enum err err = db_get(txn, DB_META, LAST_NUMBER_KEY, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = record_open(value, &r);
	if (err == OK)
		*out = get_u64(&r);
	return err;
}

/* Notes that `number` has been given away. */
static enum err put_last_number(struct db_txn *txn, uint64_t number)
{
	uint64_t last = 0;
	enum err err = webhooks_last_number(txn, &last);
	if (err != OK || number <= last)
		return err;
	struct buf value = BUF_INIT(64);
	put_u64(&value, number);
	record_seal(&value);
	err = db_put(txn, DB_META, LAST_NUMBER_KEY, buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err webhooks_add(struct db_txn *txn, const struct webhook *w)
{
	enum err err = check_url(txn, w);
	if (err == OK)
		err = put_last_number(txn, w->number);
	if (err == OK)
		err = put_url(txn, w);
	return err == OK ? put_record(txn, w) : err;
}

enum err webhooks_get(struct db_txn *txn, uint64_t number, struct webhook **out)
{
	unsigned char key[KEY_SIZE];
	struct slice value;
	enum err err = db_get(txn, DB_WEBHOOKS, make_key(number, key), &value);
	return err == OK ? webhooks_decode(value, out) : err;
}

enum err webhooks_change(struct db_txn *txn, const struct webhook *old, const struct webhook *w)
{
	enum err err = OK;
	if (strcmp(old->url, w->url) != 0) {
		err = check_url(txn, w);
		if (err == OK)
			err = del_url(txn, old);
		if (err == OK)
			err = put_url(txn, w);
	}
	return err == OK ? put_record(txn, w) : err;
}

enum err webhooks_retire(struct db_txn *txn, struct webhook *w)
{
	w->deleted = true;
	enum err err = del_url(txn, w);
	return err == OK ? put_record(txn, w) : err;
}

enum err webhooks_erase(struct db_txn *txn, uint64_t number)
{
	unsigned char key[KEY_SIZE];
	return db_del(txn, DB_WEBHOOKS, make_key(number, key));
}

enum err webhooks_each(struct db_txn *txn, void (*fn)(void *arg, struct webhook *w), void *arg)
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
		err = webhooks_decode(value, &w);
		if (err != OK)
			break;
		fn(arg, w);
		err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}
