/*
 * The states in which a loss of power could leave a store, made one by one from a recording
 * of its writes and syncs (tests/e2e/disk_shim.c), opened and checked.
 *
 * What is on disk for certain: all that was written before a sync that ended, and each write
 * that syncs itself. What was written since may be there or not, each 4096 bytes for
 * themselves, in any order, and torn at sectors of 512 bytes. What a failed sync left may be
 * there or not for ever: the system calls it clean and writes it no more.
 *
 * Of each state is demanded: it opens; all tables agree; its content is that of the commit
 * before or that of the commit that was under way, whole; every event is there, byte for
 * byte, whose answer had been sent.
 *
 * usage: crash_states_main LOG EVENTS FOLDER ROUNDS sound|no-syncs|early-answers
 * EVENTS has for each event a line "ID DELIVERIES CANCELLED LENGTH" and then its body and a
 * newline; CANCELLED is 1 where its deliveries may have been cancelled. FOLDER is empty and in
 * memory. ROUNDS is how often the random ones are drawn. The last argument damages the log, and
 * the check must find out: no sync counts, or each answer was sent a commit earlier.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "fsck/check.h"
#include "store/db.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/schema.h"

#define PAGE 4096u
#define SECTOR 512u
#define WHOLE 0xffu          /* all sectors of a page */
#define MAP_BYTES (1u << 30) /* more than any recording writes */
#define PREFIXES_MAX 24      /* of one commit; of a larger one they are drawn */
#define TORN 4               /* random states a round with a torn last write */
#define SUBSETS 8            /* random states a round with any writes */
#define SEED 1

enum damage { SOUND, NO_SYNCS, EARLY_ANSWERS };

struct record { /* as in disk_shim.c */
	uint8_t kind;
	uint8_t pad[3];
	uint32_t bytes;
	uint64_t offset;
};

struct expected { /* an event that was accepted */
	struct uuid id;
	uint32_t deliveries;
	bool may_cancel;
	bool answered; /* before the moment under test */
	bool settled;  /* it was seen so in a commit: retention may have dropped it since */
	bool dropped;  /* and has */
	struct slice body;
};

struct piece { /* a write within one page */
	uint64_t offset;
	uint32_t len;
	const char *bytes;
	uint8_t sectors; /* those of it that are in the state under test, as bits */
};

struct pieces {
	struct piece *items;
	size_t count, room;
};

struct content { /* of a file */
	char *bytes;
	size_t len;
};

struct run {
	const char *folder;
	int rounds;
	enum damage damage;
	struct rnd rnd;
	struct slice log;
	struct slice bodies; /* the file of events, which they point into */
	struct expected *events;
	size_t event_count;
	struct content durable; /* what is on disk for certain */
	struct content state;   /* the state under test */
	struct pieces pending;  /* written since the last sync */
	struct pieces doubtful; /* of commits whose sync failed */
	bool named;             /* the file has its name for certain */
	bool renamed;           /* it may have it */
	bool is_commit;         /* the state under test is one commit, all of it */
	uint64_t before, after; /* digests of the two commits that a state may be */
	uint64_t *hashes;       /* of all states' bytes */
	size_t states, commits, failed_syncs, answers;
};

static void die(const struct run *r, const char *why, const char *detail)
{
	(void)fprintf(stderr, "crash states: state %zu, commit %zu: %s %s\n", r->states,
	    r->commits, why, detail);
	exit(1);
}

/* Files */

static struct slice read_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && fstat(fd, &st) == 0;
	char *bytes = mem_new(good ? (size_t)st.st_size + 1 : 1);
	if (!good || read(fd, bytes, (size_t)st.st_size) != (ssize_t)st.st_size) {
		perror(path); /* a regular file is read whole */
		exit(2);
	}
	(void)close(fd); /* read-only */
	return (struct slice){bytes, (size_t)st.st_size};
}

static void read_events(struct run *r, const char *path)
{
	r->bodies = read_file(path);
	struct slice rest = r->bodies;
	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		struct expected e = {0};
		uint64_t deliveries = 0;
		uint64_t may_cancel = 0;
		uint64_t len = 0;
		bool valid = uuid_parse(slice_cut(&line, ' '), &e.id) == OK &&
		    str_u64(slice_cut(&line, ' '), &deliveries) == OK &&
		    str_u64(slice_cut(&line, ' '), &may_cancel) == OK &&
		    str_u64(line, &len) == OK && len < rest.len;
		if (!valid) {
			(void)fprintf(stderr, "%s: not a list of events\n", path);
			exit(2);
		}
		e.deliveries = (uint32_t)deliveries;
		e.may_cancel = may_cancel != 0;
		e.body = (struct slice){rest.ptr, len};
		rest.ptr += len + 1;
		rest.len -= len + 1;
		r->events = mem_resize(r->events, r->event_count + 1, sizeof(e));
		r->events[r->event_count++] = e;
	}
}

/* Pieces of writes */

static void add_piece(struct pieces *list, const struct piece *p)
{
	if (list->count == list->room) {
		list->room = list->room * 2 + 16;
		list->items = mem_resize(list->items, list->room, sizeof(*list->items));
	}
	list->items[list->count++] = *p;
}

/* Cuts a write at the borders of pages. */
static void add_write(struct pieces *list, uint64_t offset, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = PAGE - offset % PAGE;
		n = n < len ? n : len;
		struct piece p = {.offset = offset, .len = (uint32_t)n, .bytes = bytes};
		add_piece(list, &p);
		offset += n;
		bytes += n;
		len -= n;
	}
}

static void resize(struct content *c, size_t len)
{
	c->bytes = mem_resize(c->bytes, len + 1, 1);
	if (len > c->len)
		memset(c->bytes + c->len, 0, len - c->len);
	c->len = len;
}

/* Writes those sectors of `p` that it says, and makes the file as long as if all were there. */
static void apply_piece(struct content *c, const struct piece *p)
{
	if (p->offset + p->len > c->len)
		resize(c, p->offset + p->len);
	for (size_t at = 0; at < p->len;) {
		uint64_t offset = p->offset + at;
		size_t n = SECTOR - offset % SECTOR;
		n = n < p->len - at ? n : p->len - at;
		if ((p->sectors >> (offset % PAGE / SECTOR) & 1) != 0)
			memcpy(c->bytes + offset, p->bytes + at, n);
		at += n;
	}
}

/* `p` is on disk for certain, and what was in doubt below it is of no account. */
static void make_durable(struct run *r, struct piece *p)
{
	size_t kept = 0;
	p->sectors = WHOLE;
	apply_piece(&r->durable, p);
	for (size_t i = 0; i < r->doubtful.count; i++) {
		const struct piece *d = &r->doubtful.items[i];
		if (d->offset >= p->offset + p->len || p->offset >= d->offset + d->len)
			r->doubtful.items[kept++] = *d;
	}
	r->doubtful.count = kept;
}

/* The check of one state */

static void digest_table(struct db_txn *txn, enum db_table t, struct hash_sum *sum)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	if (db_cursor(txn, t, &c) != OK)
		return;
	while (db_next(c, &key, &value) == OK) {
		const uint64_t lengths[] = {(uint64_t)t, key.len, value.len};
		hash_sum_add(sum, lengths, sizeof(lengths));
		hash_sum_add(sum, key.ptr, key.len);
		hash_sum_add(sum, value.ptr, value.len);
	}
	db_cursor_close(c);
}

/* All that the tables hold, as one number. */
static uint64_t digest_content(const struct run *r, struct db_txn *txn)
{
	struct hash_sum *sum = hash_sum_new();
	for (int t = 0; t < DB_TABLES; t++)
		digest_table(txn, (enum db_table)t, sum);
	uint64_t digest = hash_sum_get(sum);
	hash_sum_free(sum);
	if (db_txn_error(txn) != OK)
		die(r, "a table cannot be read:", err_text(db_txn_error(txn)));
	return digest;
}

static void check_deliveries(const struct run *r, struct db_txn *txn, const struct expected *e)
{
	for (uint32_t n = 1; n <= e->deliveries; n++) {
		struct delivery d;
		struct uuid id;
		uuid_step(&e->id, n, &id);
		if (queue_get(txn, &id, &d) != OK)
			die(r, "an acknowledged event has lost a delivery", "");
		if (d.status == DELIVERY_CANCELLED && !e->may_cancel)
			die(r, "a delivery was cancelled", "that nobody cancelled");
	}
}

static void check_event(struct run *r, struct db_txn *txn, struct expected *e, struct buf *body)
{
	struct event found;
	struct event_state now = {.open = 1};
	char id[UUID_TEXT_SIZE];
	uuid_format(&e->id, id);
	enum err err = events_get(txn, &e->id, &found, body);
	if (r->is_commit) {
		e->dropped = err == ERR_NOTFOUND && e->settled;
		if (err == OK && found.deliveries > 0 && events_state(txn, &found, &now) != OK)
			die(r, "nobody knows what is open of an event:", id);
		e->settled = e->settled || (err == OK && now.open == 0);
	}
	if (err == ERR_NOTFOUND && (!e->answered || e->settled || e->deliveries == 0))
		return;
	if (err != OK)
		die(r,
		    err == ERR_NOTFOUND ? "an acknowledged event is lost:" : "bad event:", id);
	if (!slice_eq(buf_view(body), e->body))
		die(r, "an event has other bytes:", id);
	check_deliveries(r, txn, e);
}

static void on_finding(void *arg, const char *finding)
{
	die(arg, "the tables do not agree:", finding);
}

static void begin_read(struct run *r, struct db *db, struct db_txn **txn)
{
	if (db_read(db, txn) != OK)
		die(r, "it cannot be read", "");
}

/* Opens and reads what lies in the folder; returns the digest of its content. */
static uint64_t check_opened(struct run *r)
{
	struct db *db = NULL;
	struct db_txn *txn = NULL;
	struct problem p;
	uint32_t version = 0;
	struct check_result result;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	if (db_open(r->folder, MAP_BYTES, &db, &p) != OK)
		die(r, "it does not open:", p.message);
	begin_read(r, db, &txn);
	uint64_t digest = digest_content(r, txn);
	enum err err = schema_version(txn, &version);
	db_read_end(txn);
	if (err == OK && version == SCHEMA_VERSION) /* else it ended while that was made */
		check_store(db, on_finding, r, &result);
	begin_read(r, db, &txn);
	for (size_t i = 0; i < r->event_count; i++)
		check_event(r, txn, &r->events[i], &body);
	db_read_end(txn);
	db_close(db);
	buf_fini(&body);
	return digest;
}

static void put_file(const struct run *r, const char *name, const struct content *c)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", r->folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool written = fd >= 0 && ftruncate(fd, (off_t)c->len) == 0 &&
	    (c->len == 0 || pwrite(fd, c->bytes, c->len, 0) == (ssize_t)c->len);
	if (!written)
		die(r, path, strerror(errno));
	(void)close(fd); /* in memory */
}

static void remove_file(const struct run *r, const char *name)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", r->folder, name);
	if (unlink(path) != 0 && errno != ENOENT)
		die(r, path, strerror(errno));
}

/* Puts the state into the folder, under the name that the file had, and checks it. */
static uint64_t check_state(struct run *r, bool named)
{
	r->hashes = mem_resize(r->hashes, r->states + 1, sizeof(*r->hashes));
	r->hashes[r->states++] = hash_checksum(r->state.bytes, r->state.len) + named;
	remove_file(r, named ? "waybill.mdb.new" : "waybill.mdb");
	if (!named) /* what says that there was a store is written behind the name's sync */
		remove_file(r, "waybill.lock");
	put_file(r, named ? "waybill.mdb" : "waybill.mdb.new", &r->state);
	return check_opened(r);
}

/* States */

/* Makes the state of the pieces' sectors that are chosen; those in doubt by chance. */
static void make_state(struct run *r)
{
	resize(&r->state, r->durable.len);
	if (r->durable.len > 0)
		memcpy(r->state.bytes, r->durable.bytes, r->durable.len);
	for (size_t i = 0; i < r->doubtful.count; i++) {
		r->doubtful.items[i].sectors = (uint8_t)rnd_next(&r->rnd);
		apply_piece(&r->state, &r->doubtful.items[i]);
	}
	for (size_t i = 0; i < r->pending.count; i++) {
		if (r->pending.items[i].sectors != 0)
			apply_piece(&r->state, &r->pending.items[i]);
	}
}

static void check_whole(struct run *r)
{
	make_state(r);
	uint64_t digest = check_state(r, r->named);
	if (digest != r->before && digest != r->after)
		die(r, "a part of a commit is there", "");
	if (r->renamed && !r->named)
		(void)check_state(r, true);
}

/* Chooses the first `n` pieces. */
static void choose_prefix(struct run *r, size_t n)
{
	for (size_t i = 0; i < r->pending.count; i++)
		r->pending.items[i].sectors = i < n ? WHOLE : 0;
}

static size_t draw(struct run *r, size_t n)
{
	return (size_t)(rnd_next(&r->rnd) % n);
}

static void check_prefixes(struct run *r)
{
	size_t count = r->pending.count;
	size_t step = count / PREFIXES_MAX + 1;
	for (size_t n = 0; n <= count; n += step) {
		choose_prefix(r, n);
		check_whole(r);
	}
}

/* A prefix whose last write is torn; any writes, some of them torn. */
static void check_random(struct run *r)
{
	size_t count = r->pending.count;
	for (int i = 0; count > 0 && i < TORN * r->rounds; i++) {
		size_t n = draw(r, count);
		choose_prefix(r, n);
		r->pending.items[n].sectors = (uint8_t)rnd_next(&r->rnd);
		check_whole(r);
	}
	for (int i = 0; count > 1 && i < SUBSETS * r->rounds; i++) {
		for (size_t n = 0; n < count; n++) {
			const uint8_t choice[] = {0, 0, WHOLE, WHOLE,
			    (uint8_t)rnd_next(&r->rnd)};
			r->pending.items[n].sectors = choice[draw(r, sizeof(choice))];
		}
		check_whole(r);
	}
}

/* A sync, or a write that syncs itself, is under way: all that can be on disk meanwhile. */
static void check_moment(struct run *r)
{
	choose_prefix(r, r->pending.count);
	make_state(r);
	r->after = check_state(r, r->named);
	check_prefixes(r);
	check_random(r);
}

/* The recording */

static void note_answer(struct run *r, struct slice answer)
{
	static const char MARK[] = "\"id\":\"";
	const size_t mark = sizeof(MARK) - 1;
	r->answers++;
	for (size_t i = 0; i + mark + UUID_TEXT_SIZE <= answer.len; i++) {
		struct uuid id;
		struct slice text = {answer.ptr + i + mark, UUID_TEXT_SIZE - 1};
		if (memcmp(answer.ptr + i, MARK, mark) != 0 || uuid_parse(text, &id) != OK)
			continue;
		for (size_t n = 0; n < r->event_count; n++) {
			if (memcmp(&r->events[n].id, &id, sizeof(id)) == 0)
				r->events[n].answered = true;
		}
	}
}

static void on_sync(struct run *r)
{
	check_moment(r);
	for (size_t i = 0; i < r->pending.count; i++)
		make_durable(r, &r->pending.items[i]);
	r->pending.count = 0;
}

/* The write that commits: its page names all others. */
static void on_synced_write(struct run *r, uint64_t offset, const char *bytes, size_t len)
{
	size_t first = r->pending.count;
	add_write(&r->pending, offset, bytes, len);
	check_moment(r);
	for (size_t i = first; i < r->pending.count; i++)
		make_durable(r, &r->pending.items[i]);
	r->pending.count = first;
	r->before = r->after;
	r->commits++;
	if (r->damage == NO_SYNCS)
		return;
	choose_prefix(r, 0);
	make_state(r);
	r->is_commit = true;
	(void)check_state(r, r->named);
	r->is_commit = false;
}

static void on_failed_sync(struct run *r)
{
	check_moment(r);
	for (size_t i = 0; i < r->pending.count; i++)
		add_piece(&r->doubtful, &r->pending.items[i]);
	r->pending.count = 0;
	r->failed_syncs++;
}

static void replay(struct run *r, const struct record *rec, const char *bytes)
{
	switch (rec->kind) {
	case 'W':
		add_write(&r->pending, rec->offset, bytes, rec->bytes);
		break;
	case 'M':
		on_synced_write(r, rec->offset, bytes, rec->bytes);
		break;
	case 'S':
		if (r->damage != NO_SYNCS)
			on_sync(r);
		break;
	case 'F':
		on_failed_sync(r);
		break;
	case 'R':
		r->renamed = true;
		break;
	case 'D':
		check_moment(r);
		r->named = r->renamed;
		break;
	case 'A':
		if (r->damage != EARLY_ANSWERS)
			note_answer(r, (struct slice){bytes, rec->bytes});
		break;
	default:
		die(r, "the recording has a letter", "that is not known");
	}
}

/* The answers after the record at `at`, until the next commit is begun: sent too early. */
static void note_early(struct run *r, struct slice log, size_t at)
{
	struct record rec;
	for (bool committed = false; at < log.len; at += sizeof(rec) + rec.bytes) {
		memcpy(&rec, log.ptr + at, sizeof(rec));
		const char *bytes = log.ptr + at + sizeof(rec);
		if (rec.kind == 'A')
			note_answer(r, (struct slice){bytes, rec.bytes});
		if (committed && rec.kind == 'W')
			break;
		committed = committed || rec.kind == 'M';
	}
}

static void replay_all(struct run *r)
{
	struct slice log = r->log;
	struct record rec;
	for (size_t at = 0; at < log.len; at += sizeof(rec) + rec.bytes) {
		memcpy(&rec, log.ptr + at, sizeof(rec));
		if (rec.kind == 'W' && r->damage == EARLY_ANSWERS)
			note_early(r, log, at);
		replay(r, &rec, log.ptr + at + sizeof(rec));
	}
	check_moment(r);
}

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

static size_t count_different(struct run *r)
{
	size_t different = 0;
	qsort(r->hashes, r->states, sizeof(*r->hashes), by_value);
	for (size_t i = 0; i < r->states; i++)
		different += i == 0 || r->hashes[i] != r->hashes[i - 1] ? 1 : 0;
	return different;
}

static size_t count_dropped(const struct run *r)
{
	size_t dropped = 0;
	for (size_t i = 0; i < r->event_count; i++)
		dropped += r->events[i].dropped ? 1 : 0;
	return dropped;
}

static enum damage damage_of(const char *name)
{
	bool early = strcmp(name, "early-answers") == 0;
	return strcmp(name, "no-syncs") == 0 ? NO_SYNCS : early ? EARLY_ANSWERS : SOUND;
}

int main(int argc, char **argv)
{
	static struct run r; /* what it holds is held to the end */
	if (argc != 6) {
		(void)fprintf(stderr,
		    "usage: crash_states_main LOG EVENTS FOLDER ROUNDS "
		    "sound|no-syncs|early-answers\n");
		return 2;
	}
	log_setup(LOG_ERROR + 1, LOG_TEXT);
	rnd_seed(&r.rnd, SEED);
	read_events(&r, argv[2]);
	r.folder = argv[3];
	r.rounds = (int)strtol(argv[4], NULL, 10);
	r.damage = damage_of(argv[5]);
	r.log = read_file(argv[1]);
	replay_all(&r);
	size_t different = count_different(&r);
	(void)printf("{\"states\":%zu,\"different\":%zu,\"commits\":%zu,\"answers\":%zu,"
		     "\"dropped\":%zu,\"failed_syncs\":%zu}\n",
	    r.states, different, r.commits, r.answers, count_dropped(&r), r.failed_syncs);
	return 0;
}
