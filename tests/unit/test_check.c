/*
 * The check of a store: a store after a random workload is sound, each row of each table
 * counts, and opening for reading alone changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsck/check.h"
#include "store/dead_letters.h"
#include "store/pages.h"
#include "store/queue.h"
#include "store/schema.h"
#include "store/webhooks.h"
#include "world.h"

/* What pages_check() says of the store's file; nobody may be writing. */
static enum err check_pages(const struct store *s, struct problem *p)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", s->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	enum err err = pages_check(fd, p);
	assert_int_equal(close(fd), 0);
	return err;
}

static void assert_sound(struct store *s)
{
	struct findings f;
	struct problem p;
	if (check_pages(s, &p) != OK)
		fail_msg("%s", p.message);
	world_check(s, &f);
	if (f.result.findings > 0)
		fail_msg("%s", buf_cstr(&f.text));
	buf_fini(&f.text);
}

/* Soundness */

static void test_empty_stores_are_sound(void **state)
{
	struct store *s = *state;
	struct problem p;
	assert_sound(s); /* made, and killed before it had a version */
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_sound(s);
}

#define HOOKS 6
#define EVENTS_KEPT 40
#define STEPS 3000
#define STEPS_CHECKED 100 /* a check every so many */

struct model {
	struct world w;
	struct {
		struct uuid id;
		uint32_t deliveries;
	} events[EVENTS_KEPT]; /* the last ones; swept ones are found out by looking */
	size_t published;
	uint64_t first; /* webhooks first … first + HOOKS - 1 exist */
};

static void publish_some(struct model *m)
{
	size_t slot = m->published++ % EVENTS_KEPT;
	uint32_t count = 1 + (uint32_t)(rnd_next(&m->w.rnd) % HOOKS);
	m->events[slot].deliveries = count;
	m->events[slot].id = world_publish(&m->w, m->first, count,
	    (uint32_t)(rnd_next(&m->w.rnd) % WORLD_BODY_MAX));
}

/* Takes one delivery a step further, if it is still there. */
static void move_some(struct model *m)
{
	struct delivery d;
	struct uuid id;
	size_t slot = rnd_next(&m->w.rnd) % EVENTS_KEPT;
	if (m->events[slot].deliveries == 0)
		return;
	uuid_step(&m->events[slot].id,
	    1 + (uint32_t)(rnd_next(&m->w.rnd) % m->events[slot].deliveries), &id);
	if (queue_get(m->w.txn, &id, &d) != OK || d.status != DELIVERY_WAITING)
		return;
	switch (rnd_next(&m->w.rnd) % 4) {
	case 0:
		world_defer(&m->w, d);
		break;
	case 1:
		(void)world_bury(&m->w, d);
		break;
	default:
		world_deliver(&m->w, d);
	}
}

static void replay_oldest(struct model *m)
{
	struct uuid id;
	char session[SESSION_MAX + 1];
	if (dead_letters_oldest(m->w.txn, &id, session) == OK)
		world_replay(&m->w, id);
}

/* Deletes the oldest webhook, all of its queue in slices or only a part, adds a new one. */
static void turn_over(struct model *m)
{
	size_t cancelled = 3;
	world_retire(&m->w, m->first);
	while (cancelled == 3 && rnd_next(&m->w.rnd) % 8 > 0)
		assert_int_equal(
		    retention_cancel_queue(m->w.txn, m->first, m->w.now_ms, 3, &cancelled), OK);
	if (cancelled < 3)
		assert_int_equal(webhooks_erase(m->w.txn, m->first), OK);
	m->first++;
	world_register(&m->w, m->first + HOOKS - 1);
}

static void test_random_workload_is_sound(void **state)
{
	struct store *s = *state;
	struct model m = {.first = 1};
	struct retention keep = {.settled_ms = 300,
	    .settled_bytes = 1u << 20,
	    .dead_letters_ms = 2000};
	world_begin(s, &m.w);
	rnd_seed(&m.w.rnd, test_seed(20260101));
	for (uint64_t n = 1; n <= HOOKS; n++)
		world_register(&m.w, n);
	for (int step = 1; step <= STEPS; step++) {
		uint64_t dice = rnd_next(&m.w.rnd) % 100;
		m.w.now_ms += (int64_t)(rnd_next(&m.w.rnd) % 5);
		if (dice < 20)
			publish_some(&m);
		else if (dice < 80)
			move_some(&m);
		else if (dice < 85)
			replay_oldest(&m);
		else if (dice < 87)
			turn_over(&m);
		else if (dice < 93)
			world_answer(&m.w, rnd_next(&m.w.rnd) % 50, 100);
		else
			world_sweep(&m.w, &keep);
		if (step % STEPS_CHECKED == 0) {
			store_commit(m.w.txn);
			assert_sound(s);
			m.w.txn = store_begin(s);
		}
	}
	db_abort(m.w.txn);
}

/* Every row of every table: gone, with a byte changed, or with a byte more. */

enum change { CHANGE_NOTHING, CHANGE_REMOVE, CHANGE_FLIP, CHANGE_GROW, CHANGES };

/* Changes row `n` of table `t`; false where it has no such row. */
static bool change_row(struct db_txn *txn, enum db_table t, size_t n, enum change change)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	struct buf name = BUF_INIT(512);
	struct buf bytes = BUF_INIT(1u << 20);
	assert_int_equal(db_cursor(txn, t, &c), OK);
	enum err err = OK;
	for (size_t i = 0; err == OK && i <= n; i++)
		err = db_next(c, &key, &value);
	if (err == OK) {
		buf_slice(&name, key);
		buf_slice(&bytes, value);
	}
	db_cursor_close(c);
	if (change == CHANGE_FLIP && bytes.len > 0)
		bytes.data[bytes.len / 2] ^= 1;
	else
		buf_putc(&bytes, 'x');
	if (err == OK && change == CHANGE_REMOVE)
		assert_int_equal(db_del(txn, t, buf_view(&name)), OK);
	else if (err == OK && change != CHANGE_NOTHING)
		assert_int_equal(db_put(txn, t, buf_view(&name), buf_view(&bytes)), OK);
	buf_fini(&name);
	buf_fini(&bytes);
	return err == OK;
}

static void test_every_row_counts(void **state)
{
	size_t rows = 0;
	(void)state;
	for (enum db_table t = 0; t < DB_TABLES; t++) {
		for (size_t n = 0;; n++) {
			bool there = true;
			for (enum change change = 0; there && change < CHANGES; change++) {
				struct store *s = store_new(STORE_MAP_BYTES);
				struct sample m = {0};
				struct findings f;
				sample_make(s, &m);
				store_commit(m.w.txn); /* some rows are written with it */
				m.w.txn = store_begin(s);
				there = change_row(m.w.txn, t, n, change);
				store_commit(m.w.txn);
				world_check(s, &f);
				/* who can tell that a replay was, or attempts counted? */
				bool sound = !there || change == CHANGE_NOTHING ||
				    ((t == DB_TASKS || t == DB_TRENDS) &&
					change == CHANGE_REMOVE);
				if (sound != (f.result.findings == 0))
					fail_msg("%s row %zu, change %d:\n%s", db_table_name(t),
					    n, change, buf_cstr(&f.text));
				buf_fini(&f.text);
				store_free(s);
			}
			if (!there)
				break;
			rows++;
		}
	}
	assert_true(rows > 2 * DB_TABLES);
}

static void test_result_counts_rows(void **state)
{
	struct store *s = *state;
	struct sample m = {0};
	struct findings f;
	sample_make(s, &m);
	store_commit(m.w.txn);
	world_check(s, &f);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_int_equal(f.result.rows[t], store_count(s, t));
	buf_fini(&f.text);
}

/* Opening for reading alone. */

static void test_readonly(void **state)
{
	struct store *s = *state;
	struct sample m = {0};
	struct problem p;
	struct db *db = NULL;
	sample_make(s, &m);
	store_commit(m.w.txn);
	assert_int_equal(db_open_readonly(s->dir, &db, &p), ERR_BUSY);
	store_close(s);
	assert_int_equal(db_open_readonly(s->dir, &db, &p), OK);
	s->db = db;
	assert_sound(s);
	assert_int_equal(store_count(s, DB_WEBHOOKS), 3);
	assert_int_equal(db_begin(db, &m.w.txn), ERR_STORE);
}

static void test_readonly_makes_no_store(void **state)
{
	struct problem p;
	struct db *db = NULL;
	char dir[64];
	char path[128];
	(void)state;
	folder_make(dir);
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(db_open_readonly(path, &db, &p), ERR_NOTFOUND);
	assert_int_equal(db_open_readonly(dir, &db, &p), ERR_NOTFOUND);
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(db_open_readonly(dir, &db, &p), ERR_CORRUPT);
	folder_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_empty_stores_are_sound),
	    STORE_TEST(test_random_workload_is_sound),
	    cmocka_unit_test(test_every_row_counts),
	    STORE_TEST(test_result_counts_rows),
	    STORE_TEST(test_readonly),
	    cmocka_unit_test(test_readonly_makes_no_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
