/* Rows of DB_META; see migration.h. The value: the position's bytes, sealed. */
#include "store/migration.h"

#include <string.h>

#include "base/log.h"
#include "base/record.h"

void migration_set(struct migration_position *p, struct slice key)
{
	panic_if(key.len > sizeof(p->bytes), "a position that is longer than a key");
	memcpy(p->bytes, key.ptr, key.len);
	p->len = key.len;
}

enum err migration_read(struct db_txn *txn, struct slice name, struct migration_position *out)
{
	struct slice value;
	struct reader r;
	out->len = 0;
	enum err err = db_get(txn, DB_META, name, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = record_open(value, record_at(DB_META, name), &r);
	if (err != OK)
		return err;
	if (r.left == 0 || r.left > sizeof(out->bytes))
		return ERR_CORRUPT;
	migration_set(out, get_bytes(&r, r.left));
	return OK;
}

enum err migration_write(struct db_txn *txn, struct slice name,
    const struct migration_position *p)
{
	struct buf value = BUF_INIT(MIGRATION_POSITION_MAX + RECORD_CHECKSUM);
	buf_append(&value, p->bytes, p->len);
	record_seal(&value, record_at(DB_META, name));
	enum err err = db_put(txn, DB_META, name, buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err migration_end(struct db_txn *txn, struct slice name)
{
	enum err err = db_del(txn, DB_META, name);
	return err == ERR_NOTFOUND ? OK : err;
}
