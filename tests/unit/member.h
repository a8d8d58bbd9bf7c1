/*
 * A member of a shard as a process would be it, over a fake journal and in fake time: a store
 * in a folder of its own, a loop of its own, a standby or an active; and an owner who writes
 * to the journal what a test has it write.
 */
#ifndef TESTS_UNIT_MEMBER_H
#define TESTS_UNIT_MEMBER_H

#include "cluster/active.h"
#include "cluster/standby.h"
#include "fake_journal.h"
#include "store/rows.h"

#define MEMBER_MAP_BYTES (16u << 20)
#define MEMBER_TAKEOVER_MS 3000
#define MEMBER_HEARTBEAT_MS 500
#define MEMBER_HOLD_MS 2000
#define MEMBER_REFUSE_MS 5000

struct member {
	char name[16];
	char dir[64];
	struct fake_log *log;
	struct reactor *reactor; /* NULL: it does not run */
	struct journal *journal;
	struct db *db;
	struct standby *standby; /* one of these two */
	struct active *active;
	struct turn *turn; /* the active's */
	struct rnd rnd;
	size_t max_entry;
	bool may_found;
	bool may_take_over;
	int64_t delay_ms;  /* of its way */
	unsigned starts;   /* as an active */
	unsigned failures; /* ends that it came to by itself */
};

struct member *member_new(struct fake_log *log, const char *name, uint64_t seed);
void member_free(struct member *m); /* its folder too */

/* As folder_make(), in memory where that can be: a commit costs nothing there. */
void member_make_folder(char path[64]);

/* Starts it as a standby, and kills it: what is not on disk or on its way is lost. */
void member_start(struct member *m);
void member_kill(struct member *m);

/* One pass of its loop. A standby that owns becomes the active; who is to end starts anew. */
void member_step(struct member *m);

/* So many virtual milliseconds of that. */
void member_run(struct member *m, int64_t ms);

const struct standby_figures *member_standby(struct member *m); /* it is one */

/* All rows of its store, in order, as rows.h writes them. */
void member_dump(struct member *m, struct rows *out);

/* Puts one row, as a process would that knows no journal. It does not run. */
void member_put(struct member *m, const char *key, const char *value);

/* The value in DB_WEBHOOKS, copied; false: there is none. */
bool member_get(struct member *m, const char *key, char value[64]);

struct entry_position member_position(struct member *m); /* its store's */

/* An owner who is only what he writes. */
struct owner {
	struct fake_log *log;
	uint64_t epoch;
	uint64_t turn;
	uint32_t schema;
	unsigned char digest[ENTRY_DIGEST]; /* of the entry written last */
};

struct owner owner_of(struct fake_log *log);
void owner_write(struct owner *o, enum entry_kind kind, bool more, struct slice rows);
void owner_take_over(struct owner *o);

/* A turn that puts one row in DB_WEBHOOKS. */
void owner_put(struct owner *o, const char *key, const char *value);

#endif
