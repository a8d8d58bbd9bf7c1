/* Keys with their answers; see idempotency.h. To change the record: raise VERSION. */
#include "store/idempotency.h"

#include "base/log.h"
#include "store/events.h"

#define VERSION 1

static struct slice digest_slice(const unsigned char digest[RECORD_DIGEST])
{
	return (struct slice){.ptr = (const char *)digest, .len = RECORD_DIGEST};
}

struct slice idempotency_age_key(int64_t expires_ms, const unsigned char digest[RECORD_DIGEST],
    unsigned char out[IDEMPOTENCY_AGE_KEY_SIZE])
{
	codec_store_u64(out, (uint64_t)expires_ms);
	memcpy(out + 8, digest, RECORD_DIGEST);
	return (struct slice){.ptr = (const char *)out, .len = IDEMPOTENCY_AGE_KEY_SIZE};
}

void idempotency_set(struct idempotency *k, struct slice scope, struct slice name,
    struct slice request, int64_t expires_ms)
{
	record_digest(scope, name, k->key);
	record_digest(SLICE("request"), request, k->request);
	k->expires_ms = expires_ms;
}

enum err idempotency_decode(struct slice value, struct repeat *out)
{
	struct reader r;
	enum err err = record_open(value, &r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(&r);
	struct slice request = get_bytes(&r, RECORD_DIGEST);
	out->expires_ms = get_i64(&r);
	struct slice answer = get_bytes(&r, UUID_SIZE);
	if (version != VERSION || r.failed || r.left != 0)
		return ERR_CORRUPT;
	memcpy(out->request, request.ptr, RECORD_DIGEST);
	memcpy(out->answer.bytes, answer.ptr, UUID_SIZE);
	return OK;
}

static enum err read_repeat(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    struct repeat *out)
{
	struct slice value;
	enum err err = db_get(txn, DB_REPEATS, digest_slice(key), &value);
	return err == OK ? idempotency_decode(value, out) : err;
}

enum err idempotency_find(struct db_txn *txn, const struct idempotency *k, int64_t now_ms,
    struct buf *answer)
{
	struct repeat known;
	struct event e;
	enum err err = read_repeat(txn, k->key, &known);
	if (err != OK)
		return err == ERR_CORRUPT ? ERR_NOTFOUND : err;
	if (known.expires_ms <= now_ms)
		return ERR_NOTFOUND;
	if (memcmp(known.request, k->request, RECORD_DIGEST) != 0)
		return ERR_CONFLICT;
	err = events_get(txn, &known.answer, &e, answer);
	if (err != OK)
		buf_reset(answer); /* of its pieces some may have been whole */
	return err == ERR_CORRUPT ? ERR_NOTFOUND : err;
}

/* Removes a key with its answer; one that is not there is OK. */
static enum err forget(struct db_txn *txn, const unsigned char key[RECORD_DIGEST])
{
	struct repeat known;
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	enum err err = read_repeat(txn, key, &known);
	if (err == OK)
		err = events_drop(txn, &known.answer);
	if (err == OK)
		err = db_del(txn, DB_REPEATS_BY_AGE,
		    idempotency_age_key(known.expires_ms, key, age));
	if (err == OK || err == ERR_NOTFOUND || err == ERR_CORRUPT)
		err = db_del(txn, DB_REPEATS, digest_slice(key));
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err write_repeat(struct db_txn *txn, const struct idempotency *k,
    const struct uuid *answer)
{
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	struct buf value = BUF_INIT(128);
	put_u8(&value, VERSION);
	buf_append(&value, k->request, RECORD_DIGEST);
	put_i64(&value, k->expires_ms);
	buf_append(&value, answer->bytes, UUID_SIZE);
	record_seal(&value);
	enum err err = db_put(txn, DB_REPEATS, digest_slice(k->key), buf_view(&value));
	buf_fini(&value);
	if (err != OK)
		return err;
	return db_put(txn, DB_REPEATS_BY_AGE, idempotency_age_key(k->expires_ms, k->key, age),
	    SLICE(""));
}

enum err idempotency_keep(struct db_txn *txn, const struct idempotency *k,
    const struct uuid *id, int64_t now_ms, struct slice answer)
{
	struct event e = {.id = *id,
	    .created_ms = now_ms,
	    .open = 1,
	    .body_bytes = (uint32_t)answer.len};
	enum err err = forget(txn, k->key); /* one that has expired and was not swept yet */
	if (err == OK)
		err = events_put(txn, &e, answer);
	return err == OK ? write_repeat(txn, k, id) : err;
}

enum err idempotency_sweep(struct db_txn *txn, int64_t now_ms, size_t max, size_t *dropped)
{
	enum err err = OK;
	for (*dropped = 0; err == OK && *dropped < max; (*dropped)++) {
		unsigned char digest[RECORD_DIGEST];
		struct slice key;
		struct slice value;
		err = db_first(txn, DB_REPEATS_BY_AGE, &key, &value);
		if (err != OK)
			break;
		struct reader r = reader_of(key);
		if (get_i64(&r) > now_ms)
			break;
		struct slice found = get_bytes(&r, RECORD_DIGEST);
		if (r.failed || r.left != 0) {
			log_error("key is corrupt, the sweep stops",
			    LOG_S("table", "repeats_by_age"));
			break; /* the others of this turn must go on */
		}
		memcpy(digest, found.ptr,
		    RECORD_DIGEST); /* the slice dies with the next write */
		unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
		memcpy(age, key.ptr, IDEMPOTENCY_AGE_KEY_SIZE);
		err = forget(txn, digest);
		enum err gone = db_del(txn, DB_REPEATS_BY_AGE,
		    (struct slice){(const char *)age,
			IDEMPOTENCY_AGE_KEY_SIZE}); /* where forget() has left it */
		if (err == OK && gone != ERR_NOTFOUND)
			err = gone;
	}
	return err == ERR_NOTFOUND ? OK : err;
}
