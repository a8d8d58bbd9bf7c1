/* Simulated members; see member.h. */
#include "member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fake_time.h"
#include "store/db.h"
#include "store/schema.h"
#include "support.h"

void member_make_folder(char path[64])
{
	(void)snprintf(path, 64, "/dev/shm/waybill-unit-XXXXXX");
	if (mkdtemp(path) == NULL)
		folder_make(path);
}

struct member *member_new(struct fake_log *log, const char *name, uint64_t seed)
{
	struct member *m = mem_new(sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	member_make_folder(m->dir);
	m->log = log;
	rnd_seed(&m->rnd, seed);
	m->max_entry = 1u << 20;
	m->may_found = true;
	m->may_take_over = true;
	return m;
}

void member_free(struct member *m)
{
	member_kill(m);
	folder_remove(m->dir);
	free(m);
}

static void open_store(struct member *m)
{
	struct problem p;
	if (db_open(m->dir, MEMBER_MAP_BYTES, &m->db, &p) != OK)
		fail_msg("%s", p.message);
}

void member_start(struct member *m)
{
	open_store(m);
	m->reactor = reactor_new();
	m->journal = fake_journal_new(m->log, m->reactor);
	fake_way(m->journal)->delay_ms = m->delay_ms;
	const struct standby_conf conf = {.reactor = m->reactor,
	    .db = m->db,
	    .journal = m->journal,
	    .member = m->name,
	    .url = "http://somewhere",
	    .rnd = &m->rnd,
	    .takeover_after_ms = MEMBER_TAKEOVER_MS,
	    .may_take_over = m->may_take_over,
	    .may_found = m->may_found};
	assert_int_equal(standby_new(&conf, &m->standby), OK);
}

void member_kill(struct member *m)
{
	if (m->reactor == NULL)
		return;
	turn_free(m->turn);
	active_free(m->active);
	standby_free(m->standby);
	m->turn = NULL;
	m->active = NULL;
	m->standby = NULL;
	m->journal->free(m->journal);
	reactor_free(m->reactor);
	m->reactor = NULL;
	db_close(m->db);
	m->db = NULL;
}

static void start_again(struct member *m)
{
	m->failures++;
	member_kill(m);
	member_start(m);
}

/* What a process writes when it starts: here how often. */
static enum err write_start(struct member *m)
{
	struct db_txn *txn = NULL;
	char value[32];
	(void)snprintf(value, sizeof(value), "%s %u", m->name, ++m->starts);
	enum err err = db_begin(m->db, &txn);
	if (err != OK)
		return err;
	err = db_put(txn, DB_META, SLICE("started"), slice_of(value));
	assert_int_equal(err, OK);
	return db_commit(txn);
}

static void become_active(struct member *m)
{
	const struct active_conf conf = {.reactor = m->reactor,
	    .db = m->db,
	    .journal = m->journal,
	    .member = m->name,
	    .url = "http://somewhere",
	    .from = member_standby(m)->position,
	    .heartbeat_ms = MEMBER_HEARTBEAT_MS,
	    .hold_ms = MEMBER_HOLD_MS,
	    .refuse_ms = MEMBER_REFUSE_MS,
	    .max_entry = m->max_entry};
	standby_free(m->standby);
	m->standby = NULL;
	assert_int_equal(active_new(&conf, &m->active), OK);
	if (write_start(m) != OK) {
		start_again(m);
		return;
	}
	m->turn = turn_new(m->db);
	active_serve(m->active, m->turn);
}

void member_step(struct member *m)
{
	if (m->reactor == NULL)
		return;
	clock_expire();
	reactor_pass(m->reactor, true);
	if (m->standby != NULL) {
		if (member_standby(m)->state == STANDBY_OWNS)
			become_active(m);
		return;
	}
	enum err err = turn_is_appending(m->turn) ? OK : turn_commit(m->turn);
	if (err == ERR_BROKEN || active_is_fenced(m->active))
		start_again(m);
}

void member_run(struct member *m, int64_t ms)
{
	for (int64_t i = 0; i < ms; i++) {
		member_step(m);
		fake_time_pass(1);
	}
}

const struct standby_figures *member_standby(struct member *m)
{
	assert_non_null(m->standby);
	return standby_figures(m->standby);
}

static void dump_table(struct db_txn *txn, enum db_table t, struct rows *out)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	assert_int_equal(db_cursor(txn, t, &c), OK);
	enum err err = db_seek_behind(c, SLICE(""), &key, &value);
	for (; err == OK; err = db_next(c, &key, &value))
		(void)rows_add_put(out, t, key, value);
	assert_int_equal(err, ERR_NOTFOUND);
	db_cursor_close(c);
}

void member_dump(struct member *m, struct rows *out)
{
	bool opens = m->db == NULL;
	struct db_txn *txn = NULL;
	if (opens)
		open_store(m);
	assert_int_equal(db_read(m->db, &txn), OK);
	for (enum db_table t = DB_META; t < DB_TABLES; t++)
		dump_table(txn, t, out);
	db_read_end(txn);
	if (opens) {
		db_close(m->db);
		m->db = NULL;
	}
}

void member_put(struct member *m, const char *key, const char *value)
{
	struct db_txn *txn = NULL;
	open_store(m);
	assert_int_equal(db_begin(m->db, &txn), OK);
	assert_int_equal(db_put(txn, DB_WEBHOOKS, slice_of(key), slice_of(value)), OK);
	assert_int_equal(db_commit(txn), OK);
	db_close(m->db);
	m->db = NULL;
}

bool member_get(struct member *m, const char *key, char value[64])
{
	struct db_txn *txn = NULL;
	struct slice found;
	assert_int_equal(db_read(m->db, &txn), OK);
	enum err err = db_get(txn, DB_WEBHOOKS, slice_of(key), &found);
	if (err == OK)
		(void)snprintf(value, 64, "%.*s", (int)found.len, found.ptr);
	db_read_end(txn);
	assert_true(err == OK || err == ERR_NOTFOUND);
	return err == OK;
}

struct entry_position member_position(struct member *m)
{
	struct db_txn *txn = NULL;
	struct entry_position position;
	assert_int_equal(db_read(m->db, &txn), OK);
	assert_int_equal(entry_position_get(txn, &position), OK);
	db_read_end(txn);
	return position;
}

struct owner owner_of(struct fake_log *log)
{
	return (struct owner){.log = log, .schema = SCHEMA_VERSION};
}

void owner_write(struct owner *o, enum entry_kind kind, bool more, struct slice rows)
{
	struct buf bytes = BUF_INIT(1u << 20);
	struct entry e = {.kind = kind,
	    .more = more,
	    .epoch = o->epoch,
	    .turn = o->turn + (kind == ENTRY_TURN ? 1 : 0),
	    .schema = o->schema,
	    .member = SLICE("owner"),
	    .url = SLICE("https://owner"),
	    .rows = rows};
	memcpy(e.before, o->digest, ENTRY_DIGEST);
	entry_encode(&e, &bytes);
	assert_false(bytes.failed);
	fake_log_append(o->log, buf_view(&bytes));
	memcpy(o->digest, e.digest, ENTRY_DIGEST);
	if (kind == ENTRY_TURN && !more)
		o->turn++;
	buf_fini(&bytes);
}

void owner_take_over(struct owner *o)
{
	o->epoch++;
	owner_write(o, ENTRY_TAKEOVER, false, SLICE(""));
}

void owner_put(struct owner *o, const char *key, const char *value)
{
	struct rows rows = ROWS_INIT;
	(void)rows_add_put(&rows, DB_WEBHOOKS, slice_of(key), slice_of(value));
	owner_write(o, ENTRY_TURN, false, buf_view(&rows.bytes));
	rows_fini(&rows);
}
