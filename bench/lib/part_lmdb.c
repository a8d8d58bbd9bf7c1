/*
 * LMDB with the default sync, one transaction after the other: each puts a batch
 * of events with their queue rows and deletes the batch before; see parts.h.
 */
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "parts.h"

#define MAP_BYTES ((size_t)1 << 30) /* virtual; the file stays small */
#define QUEUE_BYTES 24              /* attempts and the like */
#define PATH_BYTES 4096

struct shelf {
	MDB_env *env;
	MDB_dbi events;
	MDB_dbi queue;
	char event[PARTS_DELIVERY_BYTES];
	char row[QUEUE_BYTES];
};

static void must(int rc)
{
	if (rc == MDB_SUCCESS)
		return;
	(void)fprintf(stderr, "bench: lmdb: %s\n", mdb_strerror(rc));
	net_die("lmdb");
}

/* Big-endian, so that keys sort as the numbers do. */
static void write_key(uint64_t id, unsigned char key[8])
{
	for (int i = 7; i >= 0; i--) {
		key[i] = (unsigned char)(id & 0xff);
		id >>= 8;
	}
}

static void put(struct shelf *s, MDB_txn *txn, uint64_t id)
{
	unsigned char bytes[8];
	write_key(id, bytes);
	MDB_val key = {sizeof(bytes), bytes};
	MDB_val event = {sizeof(s->event), s->event};
	MDB_val row = {sizeof(s->row), s->row};
	must(mdb_put(txn, s->events, &key, &event, MDB_APPEND));
	must(mdb_put(txn, s->queue, &key, &row, 0));
}

static void drop(struct shelf *s, MDB_txn *txn, uint64_t id)
{
	unsigned char bytes[8];
	write_key(id, bytes);
	MDB_val key = {sizeof(bytes), bytes};
	must(mdb_del(txn, s->events, &key, NULL));
	must(mdb_del(txn, s->queue, &key, NULL));
}

static void open_shelf(struct shelf *s, const char *path)
{
	must(mdb_env_create(&s->env));
	must(mdb_env_set_maxdbs(s->env, 2));
	must(mdb_env_set_mapsize(s->env, MAP_BYTES));
	must(mdb_env_open(s->env, path, MDB_NOSUBDIR, 0600));
	MDB_txn *txn = NULL;
	must(mdb_txn_begin(s->env, NULL, 0, &txn));
	must(mdb_dbi_open(txn, "events", MDB_CREATE, &s->events));
	must(mdb_dbi_open(txn, "queue", MDB_CREATE, &s->queue));
	must(mdb_txn_commit(txn));
	memset(s->event, 'x', sizeof(s->event));
}

/* Commits batch number `n` and takes the one before away. */
static void turn(struct shelf *s, uint64_t n)
{
	MDB_txn *txn = NULL;
	must(mdb_txn_begin(s->env, NULL, 0, &txn));
	for (uint64_t i = 0; i < PARTS_COMMIT_EVENTS; i++)
		put(s, txn, n * PARTS_COMMIT_EVENTS + i);
	for (uint64_t i = 0; n > 0 && i < PARTS_COMMIT_EVENTS; i++)
		drop(s, txn, (n - 1) * PARTS_COMMIT_EVENTS + i);
	must(mdb_txn_commit(txn));
}

double parts_lmdb(double seconds, const char *dir)
{
	char path[PATH_BYTES];
	char lock[PATH_BYTES + sizeof("-lock")];
	(void)snprintf(path, sizeof(path), "%s/parts.%ld.mdb", dir, (long)getpid());
	(void)snprintf(lock, sizeof(lock), "%s-lock", path);
	struct shelf s = {0};
	open_shelf(&s, path);
	uint64_t start_us = net_now_us();
	uint64_t stop_us = start_us + (uint64_t)(seconds * 1e6);
	uint64_t turns = 0;
	while (net_now_us() < stop_us)
		turn(&s, turns++);
	double rate = (double)turns * PARTS_COMMIT_EVENTS * 1e6 /
	    (double)(net_now_us() - start_us);
	mdb_env_close(s.env);
	(void)unlink(path);
	(void)unlink(lock);
	return rate;
}
