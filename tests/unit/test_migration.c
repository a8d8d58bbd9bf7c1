/* The place of a migration: what is kept comes back, byte by byte, until it is through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/record.h"
#include "store/migration.h"
#include "support.h"

#define NAME SLICE("test_place")

static void test_place(void **state)
{
	struct db_txn *txn = store_begin(*state);
	struct migration_position p = {.len = 7};
	char key[MIGRATION_POSITION_MAX];
	assert_int_equal(migration_read(txn, NAME, &p), OK);
	assert_int_equal(p.len, 0);
	assert_int_equal(migration_end(txn, NAME), OK);
	for (size_t len = 1; len <= sizeof(key); len += 255) {
		memset(key, (int)len, len);
		key[0] = '\0';
		migration_set(&p, (struct slice){key, len});
		assert_int_equal(migration_write(txn, NAME, &p), OK);
		p = (struct migration_position){0};
		assert_int_equal(migration_read(txn, NAME, &p), OK);
		assert_int_equal(p.len, len);
		assert_memory_equal(p.bytes, key, len);
	}
	assert_int_equal(migration_end(txn, NAME), OK);
	assert_int_equal(migration_read(txn, NAME, &p), OK);
	assert_int_equal(p.len, 0);
	store_commit(txn);
}

/* What versions before this have kept: the bytes, and their seal. */
static void test_form(void **state)
{
	struct db_txn *txn = store_begin(*state);
	struct migration_position p;
	struct buf value = BUF_INIT(2 * MIGRATION_POSITION_MAX);
	buf_puts(&value, "a key");
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(db_put(txn, DB_META, NAME, buf_view(&value)), OK);
	assert_int_equal(migration_read(txn, NAME, &p), OK);
	assert_int_equal(p.len, 5);
	assert_memory_equal(p.bytes, "a key", 5);
	value.data[0] ^= 1;
	assert_int_equal(db_put(txn, DB_META, NAME, buf_view(&value)), OK);
	assert_int_equal(migration_read(txn, NAME, &p), ERR_CORRUPT);
	buf_reset(&value);
	for (size_t i = 0; i < MIGRATION_POSITION_MAX + 1; i++)
		buf_putc(&value, 'x');
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(db_put(txn, DB_META, NAME, buf_view(&value)), OK);
	assert_int_equal(migration_read(txn, NAME, &p), ERR_CORRUPT);
	buf_fini(&value);
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_place),
	    STORE_TEST(test_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
