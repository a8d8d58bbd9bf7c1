/* Two tables of LMDB; see shelf.h. */
#include "shelf.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

#define MAP_BYTES ((size_t)8 << 30) /* virtual; the file stays small */
#define QUEUE_BYTES 24              /* attempts and the like */
#define PATH_BYTES 4096

struct shelf {
	MDB_env *env;
	MDB_txn *txn; /* NULL outside of one */
	MDB_dbi events;
	MDB_dbi queue;
	char row[QUEUE_BYTES];
	char path[PATH_BYTES];
	char lock[PATH_BYTES + sizeof("-lock")];
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

struct shelf *shelf_open(const char *dir)
{
	struct shelf *s = calloc(1, sizeof(*s));
	if (s == NULL)
		net_die("shelf");
	(void)snprintf(s->path, sizeof(s->path), "%s/parts.%ld.mdb", dir, (long)getpid());
	(void)snprintf(s->lock, sizeof(s->lock), "%s-lock", s->path);
	must(mdb_env_create(&s->env));
	must(mdb_env_set_maxdbs(s->env, 2));
	must(mdb_env_set_mapsize(s->env, MAP_BYTES));
	must(mdb_env_open(s->env, s->path, MDB_NOSUBDIR, 0600));
	shelf_begin(s);
	must(mdb_dbi_open(s->txn, "events", MDB_CREATE, &s->events));
	must(mdb_dbi_open(s->txn, "queue", MDB_CREATE, &s->queue));
	shelf_commit(s);
	return s;
}

void shelf_close(struct shelf *s)
{
	mdb_env_close(s->env);
	(void)unlink(s->path);
	(void)unlink(s->lock);
	free(s);
}

void shelf_begin(struct shelf *s)
{
	must(mdb_txn_begin(s->env, NULL, 0, &s->txn));
}

void shelf_commit(struct shelf *s)
{
	must(mdb_txn_commit(s->txn));
	s->txn = NULL;
}

void shelf_put(struct shelf *s, uint64_t id, struct slice event)
{
	unsigned char bytes[8];
	union {
		const char *borrowed;
		char *data; /* LMDB copies it */
	} value = {.borrowed = event.ptr};
	write_key(id, bytes);
	MDB_val key = {sizeof(bytes), bytes};
	MDB_val body = {event.len, value.data};
	MDB_val row = {sizeof(s->row), s->row};
	must(mdb_put(s->txn, s->events, &key, &body, MDB_APPEND));
	must(mdb_put(s->txn, s->queue, &key, &row, 0));
}

void shelf_drop(struct shelf *s, uint64_t id)
{
	unsigned char bytes[8];
	write_key(id, bytes);
	MDB_val key = {sizeof(bytes), bytes};
	must(mdb_del(s->txn, s->events, &key, NULL));
	must(mdb_del(s->txn, s->queue, &key, NULL));
}
