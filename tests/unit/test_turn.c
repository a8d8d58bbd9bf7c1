/*
 * The turn: operations applied in order and told after the commit, each its own result;
 * what a failed transaction means for requests and for progress; a map or a disk that is
 * full, and one that fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/events.h"
#include "store/turn.h"
#include "support.h"

#define SMALL_MAP (1u << 20)
#define PAGE_BYTES 4096
#define UNTOLD ERR_BROKEN /* what no operation here is ever told */

/* What the store's disk refuses: LMDB calls the functions below instead of libc's. */
static struct faults {
	int fd;         /* of the store's file; noted by each sync */
	int syncs;      /* so many of the next syncs fail */
	bool metas;     /* writes of less than a page, which commit, fail */
	off_t file_max; /* the file cannot be longer; 0: it can */
	bool halves;    /* what would make it longer ends half-way, else it is refused */
	int refused;    /* writes behind file_max */
	bool disk_full; /* as the file system says */
} faults;

int fstatvfs(int fd, struct statvfs *out)
{
	(void)fd;
	*out = (struct statvfs){.f_frsize = PAGE_BYTES, .f_blocks = 1u << 20};
	out->f_bavail = faults.disk_full ? 0 : out->f_blocks;
	return 0;
}

int fdatasync(int fd)
{
	faults.fd = fd;
	if (faults.syncs == 0)
		return (int)syscall(SYS_fdatasync, fd);
	faults.syncs--;
	errno = EIO;
	return -1;
}

/* Whether a write of `len` bytes at `offset` fails; then errno says why. */
static bool refuses(size_t len, off_t offset)
{
	errno = faults.metas && len < PAGE_BYTES ? EIO : 0;
	if (faults.file_max != 0 && offset + (off_t)len > faults.file_max) {
		faults.refused++;
		errno = ENOSPC;
	}
	return errno != 0;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	if (!refuses(len, offset))
		return syscall(SYS_pwrite64, fd, data, len, offset);
	return faults.halves ? syscall(SYS_pwrite64, fd, data, len / 2, offset) : -1;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	size_t len = 0;
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (!refuses(len, lseek(fd, 0, SEEK_CUR)))
		return syscall(SYS_writev, fd, iov, count);
	return faults.halves ? syscall(SYS_write, fd, iov->iov_base, iov->iov_len / 2) : -1;
}

struct fixture {
	struct store *store;
	struct turn *turn;
	struct buf trace; /* what happened, one letter and the operation's name each */
};

struct test_op {
	struct op op; /* first */
	struct fixture *f;
	const char *name;
	enum err answer;       /* what apply() returns where it writes nothing */
	enum err told;         /* what done() heard */
	bool watched;          /* done() looks into the store */
	size_t told_at;        /* the rows of the store when it did */
	unsigned applied;      /* how often */
	uint64_t first, count; /* rows to put, or for a drain to take away */
	bool drains;
	struct test_op *follow_up; /* staged in done() */
};

static struct slice row_key(uint64_t n, unsigned char out[8])
{
	codec_store_u64(out, n);
	return (struct slice){(const char *)out, 8};
}

static enum err apply(struct op *op, struct db_txn *txn)
{
	static const char VALUE[1000];
	struct test_op *o = (struct test_op *)op;
	enum err err = o->answer;
	o->applied++;
	buf_printf(&o->f->trace, "a%s ", o->name);
	for (uint64_t n = o->first; err == OK && n < o->first + o->count; n++) {
		unsigned char key[8];
		err = o->drains ? db_del(txn, DB_EVENTS, row_key(n, key))
				: db_put(txn, DB_EVENTS, row_key(n, key),
				      (struct slice){VALUE, sizeof(VALUE)});
	}
	return err;
}

static void done(struct op *op, enum err result)
{
	struct test_op *o = (struct test_op *)op;
	buf_printf(&o->f->trace, "d%s ", o->name);
	assert_int_equal(o->told, UNTOLD); /* once */
	o->told = result;
	if (o->watched)
		o->told_at = store_count(o->f->store, DB_EVENTS);
	if (o->follow_up != NULL)
		turn_stage(o->f->turn, &o->follow_up->op);
}

static struct test_op make_op(struct fixture *f, const char *name, enum op_class class,
    uint64_t first, uint64_t count)
{
	return (struct test_op){
	    .op = {.class = class, .apply = apply, .done = done},
	    .f = f,
	    .name = name,
	    .told = UNTOLD,
	    .watched = true,
	    .first = first,
	    .count = count,
	};
}

static struct fixture *fixture_new(uint64_t map_bytes)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->store = store_new(map_bytes);
	f->turn = turn_new(f->store->db);
	f->trace = BUF_INIT(1u << 20);
	return f;
}

static void fixture_free(struct fixture *f)
{
	turn_free(f->turn);
	store_free(f->store);
	buf_fini(&f->trace);
	free(f);
}

static int setup(void **state)
{
	faults = (struct faults){0};
	*state = fixture_new(STORE_MAP_BYTES);
	return 0;
}

static int teardown(void **state)
{
	faults = (struct faults){0};
	fixture_free(*state);
	return 0;
}

static void assert_trace(struct fixture *f, const char *want)
{
	assert_string_equal(buf_cstr(&f->trace), want);
	buf_reset(&f->trace);
}

static void test_nothing_staged(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(turn_commit(f->turn), OK);
	assert_int_equal(turn_commits(f->turn), 0);
	assert_int_equal(turn_staged(f->turn), 0);
	turn_free(NULL);
}

/* All are applied, in order, then all told, in order; every row is there when the first is. */
static void test_order(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
	struct test_op b = make_op(f, "B", OP_PROGRESS, 2, 2);
	struct test_op c = make_op(f, "C", OP_INTAKE, 4, 1);
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &b.op);
	turn_stage(f->turn, &c.op);
	assert_int_equal(turn_staged(f->turn), 3);
	assert_int_equal(turn_staged_intake(f->turn), 2);
	assert_trace(f, "");
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aA aB aC dA dB dC ");
	assert_int_equal(a.told, OK);
	assert_int_equal(b.told, OK);
	assert_int_equal(c.told, OK);
	assert_int_equal(a.told_at, 4);
	assert_int_equal(turn_staged(f->turn), 0);
	assert_int_equal(turn_staged_intake(f->turn), 0);
	assert_int_equal(turn_commits(f->turn), 1);
	store_reopen(f->store);
	assert_int_equal(store_count(f->store, DB_EVENTS), 4);
}

/* Only what may wait is staged: so may the commit. One operation that may not ends that. */
static void test_may_wait(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_PROGRESS, 1, 1);
	struct test_op b = make_op(f, "B", OP_PROGRESS, 2, 1);
	struct test_op c = make_op(f, "C", OP_PROGRESS, 3, 1);
	a.op.may_wait = true;
	b.op.may_wait = true;
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &b.op);
	assert_true(turn_may_wait(f->turn));
	turn_stage(f->turn, &c.op);
	assert_false(turn_may_wait(f->turn));
	assert_int_equal(turn_commit(f->turn), OK);
	a.told = UNTOLD;
	turn_stage(f->turn, &a.op);
	assert_true(turn_may_wait(f->turn));
	assert_int_equal(turn_commit(f->turn), OK);
	c.told = UNTOLD;
	turn_stage(f->turn, &c.op);
	assert_false(turn_may_wait(f->turn));
	assert_int_equal(turn_commit(f->turn), OK);
}

/* An answer that is no failure of the store's concerns its operation alone. */
static void test_soft_errors(void **state)
{
	static const enum err SOFT[] = {ERR_NOTFOUND, ERR_EXISTS, ERR_INVALID, ERR_CONFLICT,
	    ERR_CORRUPT, ERR_REFUSED};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(SOFT); i++) {
		struct test_op before = make_op(f, "A", OP_INTAKE, 10 * i, 1);
		struct test_op soft = make_op(f, "B", i % 2 ? OP_INTAKE : OP_PROGRESS, 0, 1);
		struct test_op after = make_op(f, "C", OP_PROGRESS, 10 * i + 1, 1);
		soft.answer = SOFT[i];
		turn_stage(f->turn, &before.op);
		turn_stage(f->turn, &soft.op);
		turn_stage(f->turn, &after.op);
		assert_int_equal(turn_commit(f->turn), OK);
		assert_trace(f, "aA aB aC dA dB dC ");
		assert_int_equal(before.told, OK);
		assert_int_equal(soft.told, SOFT[i]);
		assert_int_equal(after.told, OK);
		assert_int_equal(store_count(f->store, DB_EVENTS), 2 * (i + 1));
	}
}

/* What done() stages belongs to the next turn, whether this one was committed or not. */
static void test_staged_in_done(void **state)
{
	struct fixture *f = *state;
	struct test_op next = make_op(f, "N", OP_PROGRESS, 2, 1);
	struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
	a.follow_up = &next;
	turn_stage(f->turn, &a.op);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aA dA ");
	assert_int_equal(turn_staged(f->turn), 1);
	assert_int_equal(turn_staged_intake(f->turn), 0);
	assert_int_equal(store_count(f->store, DB_EVENTS), 1);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aN dN ");
	assert_int_equal(store_count(f->store, DB_EVENTS), 2);
	assert_int_equal(turn_commits(f->turn), 2);
}

/* An operation that stages itself again in done() is applied once a turn. */
static void test_stages_itself(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_PROGRESS, 1, 1);
	a.follow_up = &a;
	turn_stage(f->turn, &a.op);
	for (unsigned i = 1; i <= 3; i++) {
		a.told = UNTOLD;
		assert_int_equal(turn_commit(f->turn), OK);
		assert_int_equal(a.applied, i);
		assert_int_equal(turn_staged(f->turn), 1);
	}
	a.follow_up = NULL;
	a.told = UNTOLD;
	assert_int_equal(turn_commit(f->turn), OK);
}

static enum err apply_broken(struct op *op, struct db_txn *txn)
{
	(void)apply(op, txn);
	return db_put(txn, DB_META, SLICE(""), SLICE("")); /* what LMDB refuses */
}

/*
 * A request whose write fails takes the requests of its turn with it; those behind it are
 * not even tried. Progress is tried once more without them.
 */
static void test_store_error(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
	struct test_op p = make_op(f, "P", OP_PROGRESS, 2, 1);
	struct test_op broken = make_op(f, "X", OP_INTAKE, 3, 1);
	struct test_op q = make_op(f, "Q", OP_PROGRESS, 4, 1);
	struct test_op b = make_op(f, "B", OP_INTAKE, 5, 1);
	struct test_op *ops[] = {&a, &p, &broken, &q, &b};
	broken.op.apply = apply_broken;
	for (size_t i = 0; i < COUNT(ops); i++)
		turn_stage(f->turn, &ops[i]->op);
	assert_int_equal(turn_commit(f->turn), ERR_STORE);
	assert_trace(f, "aA aP aX dA dX dB aP aQ dP dQ ");
	assert_int_equal(a.told, ERR_STORE);
	assert_int_equal(a.told_at, 0);
	assert_int_equal(broken.told, ERR_STORE);
	assert_int_equal(b.told, ERR_STORE);
	assert_int_equal(p.told, OK);
	assert_int_equal(q.told, OK);
	assert_int_equal(store_count(f->store, DB_EVENTS), 2);
	assert_int_equal(turn_staged(f->turn), 0);
	assert_int_equal(turn_commits(f->turn), 1);
}

/* Progress that the store refuses is told nothing: it is staged until a commit takes it. */
static void test_progress_is_kept(void **state)
{
	struct fixture *f = *state;
	struct test_op p = make_op(f, "P", OP_PROGRESS, 1, 1);
	struct test_op x = make_op(f, "X", OP_PROGRESS, 2, 1);
	struct test_op a = make_op(f, "A", OP_INTAKE, 3, 1);
	x.op.apply = apply_broken;
	turn_stage(f->turn, &p.op);
	turn_stage(f->turn, &x.op);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(turn_commit(f->turn), ERR_STORE);
		assert_trace(f, "aP aX ");
		assert_int_equal(turn_staged(f->turn), 2);
		assert_int_equal(turn_staged_intake(f->turn), 0);
	}
	turn_stage(f->turn, &a.op); /* a request that comes meanwhile is not kept waiting */
	assert_int_equal(turn_commit(f->turn), ERR_STORE);
	assert_int_equal(a.told, ERR_STORE);
	assert_int_equal(p.told, UNTOLD);
	assert_int_equal(turn_staged(f->turn), 2);
	buf_reset(&f->trace);

	x.op.apply = apply;
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aP aX dP dX ");
	assert_int_equal(p.told, OK);
	assert_int_equal(x.told, OK);
	assert_int_equal(store_count(f->store, DB_EVENTS), 2);
}

/* Fills the store a few rows a turn, as requests would, until one is refused. */
static uint64_t fill_up(struct fixture *f)
{
	for (uint64_t n = 0;; n += 8) {
		struct test_op op = make_op(f, "", OP_INTAKE, n, 8);
		turn_stage(f->turn, &op.op);
		enum err err = turn_commit(f->turn);
		assert_int_equal(op.told, err);
		assert_true(n < SMALL_MAP / 1000);
		if (err == ERR_NOSPACE)
			return n;
		assert_int_equal(err, OK);
	}
}

/* The map is full: the request is refused, and in the same turn progress makes room. */
static void test_full_map_drains(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	uint64_t rows = fill_up(f);
	assert_true(rows > 100);
	assert_int_equal(store_count(f->store, DB_EVENTS), rows);
	for (uint64_t n = 0; n < rows; n += 8) {
		struct test_op intake = make_op(f, "A", OP_INTAKE, 10000, 1000);
		struct test_op drain = make_op(f, "D", OP_PROGRESS, n, 8);
		drain.drains = true;
		turn_stage(f->turn, &drain.op);
		turn_stage(f->turn, &intake.op);
		assert_int_equal(turn_commit(f->turn), ERR_NOSPACE);
		assert_int_equal(intake.told, ERR_NOSPACE);
		assert_int_equal(drain.told, OK);
		assert_int_equal(drain.applied, 2);
		assert_int_equal(turn_staged(f->turn), 0);
	}
	assert_int_equal(store_count(f->store, DB_EVENTS), 0);
	struct test_op again = make_op(f, "", OP_INTAKE, 0, rows / 2);
	turn_stage(f->turn, &again.op);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_int_equal(again.told, OK);
	fixture_free(f);
}

/*
 * Requests that find no room together are tried apart: one that is too large fails alone, the
 * others are written, each once.
 */
static void test_too_large_request_fails_alone(void **state)
{
	enum { COUNT_MAX = 12 };
	(void)state;
	for (size_t count = 2; count <= COUNT_MAX; count++) {
		for (size_t large = 0; large < count; large += 3) {
			struct fixture *f = fixture_new(SMALL_MAP);
			struct test_op ops[COUNT_MAX];
			for (size_t i = 0; i < count; i++) {
				ops[i] = make_op(f, "", OP_INTAKE, i * 10000,
				    i == large ? 2000 : 1);
				turn_stage(f->turn, &ops[i].op);
			}
			struct test_op progress = make_op(f, "P", OP_PROGRESS, 500000, 1);
			turn_stage(f->turn, &progress.op);
			assert_int_equal(turn_commit(f->turn), OK);
			for (size_t i = 0; i < count; i++)
				assert_int_equal(ops[i].told, i == large ? ERR_NOSPACE : OK);
			assert_int_equal(progress.told, OK);
			assert_int_equal(store_count(f->store, DB_EVENTS), count);
			assert_int_equal(turn_staged(f->turn), 0);
			fixture_free(f);
		}
	}
}

/* All are too large: each is told, after a bounded number of tries. */
static void test_only_too_large_requests(void **state)
{
	enum { MANY = 100 };
	static struct test_op ops[MANY];
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	for (size_t i = 0; i < MANY; i++) {
		ops[i] = make_op(f, "", OP_INTAKE, i * 10000, 2000);
		turn_stage(f->turn, &ops[i].op);
	}
	assert_int_equal(turn_commit(f->turn), ERR_NOSPACE);
	unsigned applied = 0;
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(ops[i].told, ERR_NOSPACE);
		applied += ops[i].applied;
	}
	assert_in_range(applied, 2, 50); /* each try ends with the first of its own */
	assert_int_equal(store_count(f->store, DB_EVENTS), 0);
	fixture_free(f);
}

/* The map is full, and progress needs more: the file grows, but not for requests. */
static void test_full_map_grows_for_progress(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	struct db_usage usage;
	uint64_t rows = fill_up(f);
	struct test_op grows = make_op(f, "P", OP_PROGRESS, 10000, 60);
	struct test_op intake = make_op(f, "A", OP_INTAKE, 20000, 1000);
	turn_stage(f->turn, &intake.op);
	turn_stage(f->turn, &grows.op);
	assert_int_equal(turn_commit(f->turn), ERR_NOSPACE);
	assert_int_equal(intake.told, ERR_NOSPACE);
	assert_int_equal(intake.applied, 1);
	assert_int_equal(grows.told, OK);
	assert_int_equal(turn_staged(f->turn), 0);
	assert_int_equal(store_count(f->store, DB_EVENTS), rows + 60);
	assert_int_equal(db_usage(f->store->db, &usage), OK);
	assert_int_equal(usage.max_bytes, SMALL_MAP); /* what is asked to be kept free of it */
	fixture_free(f);
}

/* Progress that has no room even so waits, and keeps what is behind it waiting for one turn. */
static void test_too_large_progress_blocks_no_other(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	uint64_t rows = fill_up(f);
	struct test_op big = make_op(f, "P", OP_PROGRESS, 10000, rows);
	struct test_op intake = make_op(f, "A", OP_INTAKE, 20000, 1);
	turn_stage(f->turn, &big.op);
	for (uint64_t n = 0; n < rows; n += 8) {
		struct test_op drain = make_op(f, "D", OP_PROGRESS, n, 8);
		drain.drains = true;
		turn_stage(f->turn, &drain.op);
		for (int turns = 0; drain.told == UNTOLD; turns++) {
			enum err err = turn_commit(f->turn);
			assert_true(err == OK || err == ERR_NOSPACE);
			assert_true(turns < 2);
		}
		assert_int_equal(drain.told, OK);
	}
	for (int turns = 0; big.told == UNTOLD; turns++) {
		assert_int_equal(turn_commit(f->turn), OK);
		assert_true(turns < 2); /* pages that one commit frees are the next one's */
	}
	assert_int_equal(big.told, OK);
	assert_int_equal(store_count(f->store, DB_EVENTS), rows);
	turn_stage(f->turn, &intake.op);
	assert_int_equal(turn_commit(f->turn), OK);
	fixture_free(f);
}

/* What a disk that is full has no room for at once is written in parts. */
static void drain_in_parts(struct fixture *f)
{
	enum { OPS = 60, ROWS = 10, DRAINED = 4, RESERVE = 60 };
	struct test_op ops[OPS];
	struct test_op all = make_op(f, "", OP_INTAKE, 0, OPS * ROWS);
	turn_stage(f->turn, &all.op);
	assert_int_equal(turn_commit(f->turn), OK);
	faults.file_max = lseek(faults.fd, 0, SEEK_END) + RESERVE * PAGE_BYTES;
	for (uint64_t n = 0; n < OPS; n++) { /* changes nearly every page */
		ops[n] = make_op(f, "D", OP_PROGRESS, n * ROWS, DRAINED);
		ops[n].drains = true;
		turn_stage(f->turn, &ops[n].op);
	}
	for (int turns = 0; turn_staged(f->turn) > 0; turns++) {
		assert_int_equal(turn_commit(f->turn), OK);
		assert_true(turns < OPS);
	}
	assert_true(faults.refused > 0);
	for (uint64_t n = 0; n < OPS; n++)
		assert_int_equal(ops[n].told, OK);
	assert_int_equal(store_count(f->store, DB_EVENTS), OPS * (ROWS - DRAINED));
}

/* It is full, whether it refuses a write or takes half of it. */
static void test_full_disk_takes_parts(void **state)
{
	(void)state;
	for (int halves = 0; halves <= 1; halves++) {
		struct fixture *f = fixture_new(STORE_MAP_BYTES);
		faults = (struct faults){.disk_full = true, .halves = halves == 1};
		drain_in_parts(f);
		faults = (struct faults){0};
		fixture_free(f);
	}
}

/* Half a write: "no space" on a disk that is full, and on one that is not, a failure. */
static void test_half_a_write(void **state)
{
	struct fixture *f = *state;
	for (int full = 0; full <= 1; full++) {
		struct test_op a = make_op(f, "A", OP_INTAKE, 1, 100);
		faults = (struct faults){.disk_full = full == 1, .halves = true, .file_max = 1};
		turn_stage(f->turn, &a.op);
		assert_int_equal(turn_commit(f->turn), full ? ERR_NOSPACE : ERR_STORE);
		assert_int_equal(a.told, full ? ERR_NOSPACE : ERR_STORE);
		assert_int_equal(faults.refused, 1);
		assert_int_equal(store_count(f->store, DB_EVENTS), 0);
	}
}

/* A sync fails: requests are told, progress is written by the second try. */
static void test_failed_sync(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
	struct test_op p = make_op(f, "P", OP_PROGRESS, 2, 1);
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &p.op);
	faults.syncs = 1;
	assert_int_equal(turn_commit(f->turn), ERR_STORE);
	assert_trace(f, "aA aP dA aP dP ");
	assert_int_equal(a.told, ERR_STORE);
	assert_int_equal(p.told, OK);
	store_reopen(f->store);
	assert_int_equal(store_count(f->store, DB_EVENTS), 1);
}

/* The write that commits fails, in the first try or the second: the process must end. */
static void test_failed_commit(void **state)
{
	(void)state;
	for (int second = 0; second < 2; second++) {
		struct fixture *f = fixture_new(STORE_MAP_BYTES);
		struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
		struct test_op p = make_op(f, "P", OP_PROGRESS, 2, 1);
		a.watched = p.watched = false; /* the store cannot be read any more */
		turn_stage(f->turn, &a.op);
		turn_stage(f->turn, &p.op);
		faults.syncs = second;
		faults.metas = true;
		assert_int_equal(turn_commit(f->turn), ERR_BROKEN);
		assert_int_equal(a.told, ERR_STORE);
		assert_int_equal(p.told, ERR_STORE);
		assert_int_equal(p.applied, 1 + second);
		faults = (struct faults){0};
		fixture_free(f);
	}
}

/*
 * More than one transaction should hold: the rest, in order, is the next turn's. What is
 * told and what is counted follow.
 */
static void test_too_much_for_one(void **state)
{
	struct fixture *f = *state;
	struct test_op ops[] = {
	    make_op(f, "A", OP_INTAKE, 1, 1),
	    make_op(f, "B", OP_PROGRESS, 2, 1),
	    make_op(f, "C", OP_INTAKE, 3, 1),
	    make_op(f, "D", OP_INTAKE, 4, 1),
	};
	ops[0].op.bytes = 1u << 30; /* alone too much: it goes alone */
	for (size_t i = 0; i < COUNT(ops); i++)
		turn_stage(f->turn, &ops[i].op);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aA dA ");
	assert_int_equal(turn_staged(f->turn), 3);
	assert_int_equal(turn_staged_intake(f->turn), 2);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_trace(f, "aB aC aD dB dC dD ");
	assert_int_equal(turn_staged(f->turn), 0);
	assert_int_equal(turn_staged_intake(f->turn), 0);
	assert_int_equal(turn_commits(f->turn), 2);
}

/* At the end requests are told to come again; progress is the next process's. */
static void test_refuse(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, "A", OP_INTAKE, 1, 1);
	struct test_op p = make_op(f, "P", OP_PROGRESS, 2, 1);
	struct test_op b = make_op(f, "B", OP_INTAKE, 3, 1);
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &p.op);
	turn_stage(f->turn, &b.op);
	turn_refuse(f->turn);
	assert_trace(f, "dA dB ");
	assert_int_equal(a.told, ERR_STORE);
	assert_int_equal(b.told, ERR_STORE);
	assert_int_equal(turn_staged(f->turn), 1);
	assert_int_equal(turn_staged_intake(f->turn), 0);
	turn_refuse(f->turn);
	assert_trace(f, "");
}

#define TURN_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TURN_TEST(test_nothing_staged),
	    TURN_TEST(test_order),
	    TURN_TEST(test_may_wait),
	    TURN_TEST(test_soft_errors),
	    TURN_TEST(test_staged_in_done),
	    TURN_TEST(test_stages_itself),
	    TURN_TEST(test_store_error),
	    TURN_TEST(test_progress_is_kept),
	    TURN_TEST(test_too_much_for_one),
	    cmocka_unit_test(test_full_map_drains),
	    cmocka_unit_test(test_too_large_request_fails_alone),
	    cmocka_unit_test(test_only_too_large_requests),
	    cmocka_unit_test(test_full_map_grows_for_progress),
	    cmocka_unit_test(test_too_large_progress_blocks_no_other),
	    cmocka_unit_test(test_full_disk_takes_parts),
	    TURN_TEST(test_half_a_write),
	    TURN_TEST(test_failed_sync),
	    TURN_TEST(test_refuse),
	    cmocka_unit_test(test_failed_commit),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
