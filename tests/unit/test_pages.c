/*
 * The pages of a store's file: wherever a bit of it is flipped and wherever it is cut, that is
 * found, or the store holds the same rows as before; and nothing ends the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fsck/check.h"
#include "store/webhooks.h"
#include "world.h"

#define FILE_MAX_BYTES (4u << 20)
#define FLIPS 3000
#define HEAD_BYTES 64 /* of a page: its head and the offsets of its first rows */
#define PAGE 4096
#define CA_BYTES 10000 /* of a webhook: its record takes a run of pages */

struct file {
	struct db *whole; /* the store as it was, for comparison */
	char dir[64];     /* where damaged ones go */
	unsigned char *bytes;
	size_t len;
};

/* A store of some depth, with free pages and a value that takes a run of pages. */
static void fill(struct store *s)
{
	struct sample m = {0};
	struct webhook *hook = NULL;
	char *ca = mem_array(CA_BYTES + 1, 1);
	memset(ca, 'x', CA_BYTES);
	sample_make(s, &m);
	assert_int_equal(webhooks_get(m.w.txn, NULL, 1, &hook), OK);
	webhook_set(&hook->ca_pem, ca);
	assert_int_equal(webhooks_change(m.w.txn, NULL, hook, hook), OK);
	for (uint32_t n = 0; n < 200; n++)
		(void)world_publish(&m.w, 1, 2, n * 20);
	store_commit(m.w.txn);
	for (uint64_t n = 10; n < 20; n++) {
		m.w.txn = store_begin(s);
		world_answer(&m.w, n, 5000);
		m.w.now_ms += 1000;
		world_sweep(&m.w, &(struct retention){.settled_ms = INT64_MAX / 2});
		store_commit(m.w.txn);
	}
	webhook_free(hook);
	free(ca);
}

static void read_file(const char *dir, struct file *file)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", dir);
	file->bytes = mem_array(FILE_MAX_BYTES, 1);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	file->len = fread(file->bytes, 1, FILE_MAX_BYTES, f);
	assert_int_equal(fclose(f), 0);
	assert_true(file->len > 10 * PAGE && file->len < FILE_MAX_BYTES);
}

static void write_file(const struct file *file, size_t len)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", file->dir);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(file->bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Writes a part of the file again. */
static void patch_file(const struct file *file, size_t at, size_t len)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", file->dir);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, file->bytes + at, len, (off_t)at), len);
	assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
	struct problem p;
	struct file *file = mem_new(sizeof(*file));
	struct store *s = store_new(STORE_MAP_BYTES);
	fill(s);
	store_close(s);
	read_file(s->dir, file);
	assert_int_equal(db_open_readonly(s->dir, &file->whole, &p), OK);
	folder_make(file->dir);
	folder_remove(s->dir); /* the file stays for as long as it is open */
	free(s);
	*state = file;
	return 0;
}

static int teardown(void **state)
{
	struct file *file = *state;
	db_close(file->whole);
	folder_remove(file->dir);
	free(file->bytes);
	free(file);
	return 0;
}

static bool same_table(struct db_txn *a, struct db_txn *b, enum db_table t)
{
	struct db_cursor *left = NULL;
	struct db_cursor *right = NULL;
	struct slice keys[2];
	struct slice values[2];
	bool same = true;
	assert_int_equal(db_cursor(a, t, &left), OK);
	assert_int_equal(db_cursor(b, t, &right), OK);
	enum err err = OK;
	while (same && err == OK) {
		err = db_next(left, &keys[0], &values[0]);
		same = db_next(right, &keys[1], &values[1]) == err;
		if (same && err == OK)
			same = slice_eq(keys[0], keys[1]) && slice_eq(values[0], values[1]);
	}
	db_cursor_close(left);
	db_cursor_close(right);
	return same;
}

static bool same_rows(struct db *a, struct db *b)
{
	struct db_txn *left = NULL;
	struct db_txn *right = NULL;
	bool same = true;
	assert_int_equal(db_read(a, &left), OK);
	assert_int_equal(db_read(b, &right), OK);
	for (enum db_table t = 0; same && t < DB_TABLES; t++)
		same = same_table(left, right, t);
	db_read_end(left);
	db_read_end(right);
	return same;
}

static void ignore_finding(void *arg, const char *finding)
{
	(void)arg;
	(void)finding;
}

enum verdict { REFUSED, FOUND, HARMLESS, MISSED };

/* What comes of the file as it is written now. */
static enum verdict judge(const struct file *file)
{
	struct db *db = NULL;
	struct problem p;
	struct check_result result;
	if (db_open_readonly(file->dir, &db, &p) != OK)
		return REFUSED;
	check_store(db, ignore_finding, NULL, &result);
	enum verdict verdict = result.findings > 0 ? FOUND
	    : same_rows(file->whole, db)           ? HARMLESS
						   : MISSED;
	db_close(db);
	return verdict;
}

static void test_flips(void **state)
{
	struct file *file = *state;
	struct rnd rnd;
	size_t counts[MISSED + 1] = {0};
	rnd_seed(&rnd, test_seed(20260102));
	write_file(file, file->len);
	for (int i = 0; i < FLIPS; i++) {
		size_t at = rnd_next(&rnd) % file->len;
		if (i % 2 == 0)
			at = at / PAGE * PAGE + at % HEAD_BYTES;
		unsigned char bit = (unsigned char)(1u << rnd_next(&rnd) % 8);
		file->bytes[at] ^= bit;
		patch_file(file, at, 1);
		enum verdict verdict = judge(file);
		file->bytes[at] ^= bit;
		patch_file(file, at, 1);
		if (verdict == MISSED)
			fail_msg("bit %u of byte %zu of page %zu", bit, at % PAGE, at / PAGE);
		counts[verdict]++;
	}
	assert_true(counts[REFUSED] > FLIPS / 10 && counts[FOUND] > FLIPS / 10);
}

/* A file may lack free pages at its end, and nothing else. */
static void test_cuts(void **state)
{
	struct file *file = *state;
	size_t refused = 0;
	for (size_t len = 0; len < file->len; len += PAGE / 2) {
		write_file(file, len);
		enum verdict verdict = judge(file);
		assert_true(verdict == REFUSED || verdict == HARMLESS);
		refused += verdict == REFUSED ? 1 : 0;
	}
	assert_true(refused > file->len / PAGE);
	write_file(file, file->len);
	assert_int_equal(judge(file), HARMLESS);
}

/* Bytes that no store has ever had. */
static void test_noise(void **state)
{
	struct file *file = *state;
	struct rnd rnd;
	rnd_seed(&rnd, test_seed(20260103));
	write_file(file, file->len);
	for (size_t page = 0; page < file->len / PAGE; page++) {
		unsigned char *at = file->bytes + page * PAGE;
		unsigned char kept[PAGE];
		memcpy(kept, at, PAGE);
		for (size_t i = 0; i < PAGE; i++)
			at[i] = (unsigned char)rnd_next(&rnd);
		patch_file(file, page * PAGE, PAGE);
		assert_int_not_equal(judge(file), MISSED);
		memcpy(at, kept, PAGE);
		patch_file(file, page * PAGE, PAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_flips),
	    cmocka_unit_test(test_cuts),
	    cmocka_unit_test(test_noise),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
