/*
 * What sessions hold, and the rule for more; see usage.h. The value of a row: version (1), then
 * the numbers in their order (8 each), sealed. To change it: raise VERSION and decode the old
 * form as well.
 */
#include "store/usage.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/record.h"

#define VERSION 1
#define RECORD_MAX 64           /* bytes */
#define NUMBER_MAX (1ULL << 48) /* no store is so large: sums of many stay in 64 bits */
#define UNIT 256                /* the ratio of pages to bytes is in parts of this */
#define RATIO_MIN (UNIT / 2)    /* what is counted is an estimate: it may be too much… */
#define RATIO_MAX (4 * UNIT)    /* …and pages have a quarter of what fits, or more */
#define HISTORY_PERCENT 75      /* of the capacity: above, history goes early */
#define FOR_ALL_PERCENT 50      /* of the capacity: below the above, so that history stays */
#define PAGE_BYTES 4096         /* about what is copied of a page */
#define KEY_BYTES 256           /* bytes of pages that a new key has, about */
#define COPIES 2                /* of a page there are so many until one is free again */
#define TELL_MS (60LL * 1000)   /* between lines on one session */

struct row {
	SLIST_ENTRY(row) link;
	int64_t n[USAGE_KINDS];      /* with what the open transaction changes */
	int64_t change[USAGE_KINDS]; /* by the open transaction */
	struct uuid passed;          /* of the walk over its history */
	bool found;                  /* by it since the front, or meanwhile added */
	int64_t told_ms;             /* monotonic; the last line on it; 0: none */
	bool barren;                 /* a walk has found no history, whatever is counted */
	bool touched; /* in the list of those that the open transaction changes */
	size_t len;
	char session[]; /* `len` bytes */
};

struct allotment {
	uint64_t bytes;
};

struct usage {
	struct db *db;
	struct usage_conf conf;
	struct map *allotments; /* session -> allotment */
	struct map *rows;       /* session -> row */
	struct map *closed;     /* session -> this: those that are being deleted */
	SLIST_HEAD(, row) touched;
	int64_t total[USAGE_KINDS];
	uint64_t holders; /* sessions that hold something that does not yield */
	struct usage_room room;
	uint64_t counted;      /* bytes of all kinds, when the room was measured */
	uint64_t ratio;        /* bytes of pages for UNIT bytes counted */
	uint64_t given_up;     /* deliveries that usage_admits_waiting() did not admit */
	uint64_t given_up_now; /* of these, in the open transaction */
	struct shares_figures figures;
};

static struct slice name_of(const struct row *row)
{
	return (struct slice){row->session, row->len};
}

/* Never less than none: what is counted of a damaged record may be wrong. */
static uint64_t shown(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

static struct holding holding_of(const int64_t n[USAGE_KINDS])
{
	struct holding h;
	for (int k = 0; k < USAGE_KINDS; k++)
		h.n[k] = shown(n[k]);
	return h;
}

/* Rows on disk */

enum err usage_decode(struct slice session, struct slice value, struct holding *out)
{
	struct reader r;
	struct holding h;
	enum err err = record_open(value, record_at(DB_USAGE, session), &r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(&r);
	bool sane = true;
	for (int k = 0; k < USAGE_KINDS; k++) {
		h.n[k] = get_u64(&r);
		sane = sane && h.n[k] <= NUMBER_MAX;
	}
	if (version != VERSION || !sane || r.failed || r.left != 0)
		return ERR_CORRUPT;
	*out = h;
	return OK;
}

enum err usage_get(struct db_txn *txn, struct slice session, struct holding *out)
{
	struct slice value;
	enum err err = db_get(txn, DB_USAGE, session, &value);
	return err == OK ? usage_decode(session, value, out) : err;
}

enum err usage_put(struct db_txn *txn, struct slice session, const struct holding *h)
{
	struct buf value = BUF_INIT(RECORD_MAX);
	bool holds = false;
	put_u8(&value, VERSION);
	for (int k = 0; k < USAGE_KINDS; k++) {
		put_u64(&value, h->n[k]);
		holds = holds || h->n[k] > 0;
	}
	record_seal(&value, record_at(DB_USAGE, session));
	enum err err = holds ? db_put(txn, DB_USAGE, session, buf_view(&value))
			     : db_del(txn, DB_USAGE, session);
	buf_fini(&value);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err usage_next_session(struct db_txn *txn, struct slice session, char out[SESSION_MAX + 1])
{
	struct buf from = BUF_INIT(DB_KEY_MAX);
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	buf_slice(&from, session);
	buf_putc(&from, '\0'); /* the first key behind it, as no name holds a NUL */
	enum err err = db_cursor(txn, DB_USAGE, &cursor);
	if (err == OK)
		err = db_seek(cursor, buf_view(&from), &key, &value);
	while (err == OK && !name_is_session(key))
		err = db_next(cursor, &key, &value); /* a damaged one */
	if (err == OK) {
		memcpy(out, key.ptr, key.len);
		out[key.len] = '\0';
	}
	db_cursor_close(cursor);
	buf_fini(&from);
	return err;
}

/* Numbers in memory */

static struct row *take_row(struct usage *u, struct slice session)
{
	struct row *row = map_get(u->rows, session.ptr, session.len);
	if (row != NULL)
		return row;
	row = mem_new(sizeof(*row) + session.len);
	row->len = session.len;
	memcpy(row->session, session.ptr, session.len);
	map_put(u->rows, session.ptr, session.len, row);
	return row;
}

/* Whether it holds something that does not yield. */
static bool is_holder(const struct row *row)
{
	return row->n[USAGE_OPEN] > 0 || row->n[USAGE_KEYS] > 0;
}

static void set(struct usage *u, struct row *row, enum usage_kind kind, int64_t n)
{
	u->holders -= is_holder(row) ? 1 : 0;
	u->total[kind] += n - row->n[kind];
	row->n[kind] = n;
	u->holders += is_holder(row) ? 1 : 0;
}

static void flush(void *arg, struct db_txn *txn)
{
	struct usage *u = arg;
	struct row *row;
	SLIST_FOREACH(row, &u->touched, link)
	{
		struct holding h = holding_of(row->n);
		enum err err = usage_put(txn, name_of(row), &h);
		if (err != OK)
			(void)db_txn_fail(txn, err); /* is its sticky error already */
	}
}

/* What the transaction changed stays, or is taken back. */
static void end_row(struct usage *u, struct row *row, bool committed)
{
	bool holds = false;
	for (int k = 0; k < USAGE_KINDS; k++) {
		int64_t kept = committed ? row->n[k] : row->n[k] - row->change[k];
		if (committed && kept < 0)
			kept = 0;
		set(u, row, k, kept);
		row->change[k] = 0;
		holds = holds || kept > 0;
	}
	row->touched = false;
	if (!holds)
		free(map_del(u->rows, row->session, row->len));
}

static void on_ended(void *arg, bool committed)
{
	struct usage *u = arg;
	u->given_up -= committed ? 0 : u->given_up_now;
	u->given_up_now = 0;
	while (!SLIST_EMPTY(&u->touched)) {
		struct row *row = SLIST_FIRST(&u->touched);
		SLIST_REMOVE_HEAD(&u->touched, link);
		end_row(u, row, committed);
	}
}

static enum err load(struct usage *u, struct db_txn *txn)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_USAGE, &cursor);
	if (err != OK)
		return err;
	for (err = db_next(cursor, &key, &value); err == OK;
	     err = db_next(cursor, &key, &value)) {
		struct holding h;
		if (!name_is_kept(key) || usage_decode(key, value, &h) != OK) {
			log_error("what a session holds is corrupt", LOG_V("session", key));
			continue;
		}
		struct row *row = take_row(u, key);
		for (int k = 0; k < USAGE_KINDS; k++)
			set(u, row, k, (int64_t)h.n[k]);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err usage_new(struct db *db, const struct usage_conf *conf, struct usage **out)
{
	struct db_txn *txn = NULL;
	struct usage *u = mem_new(sizeof(*u));
	u->db = db;
	u->rows = map_new();
	u->closed = map_new();
	u->ratio = UNIT;
	SLIST_INIT(&u->touched);
	usage_configure(u, conf);
	enum err err = db_read(db, &txn);
	if (err == OK) {
		err = load(u, txn);
		db_read_end(txn);
	}
	if (err != OK) {
		usage_free(u);
		return err;
	}
	const struct db_companion companion = {.flush = flush, .ended = on_ended, .arg = u};
	db_accompany(db, DB_COUNTS_USAGE, &companion);
	*out = u;
	return OK;
}

void usage_free(struct usage *u)
{
	static const struct db_companion NONE;
	if (u == NULL)
		return;
	db_accompany(u->db, DB_COUNTS_USAGE, &NONE);
	map_free_all(u->allotments);
	map_free_all(u->rows);
	map_free(u->closed);
	free(u);
}

void usage_configure(struct usage *u, const struct usage_conf *conf)
{
	if (u->allotments != NULL)
		map_free_all(u->allotments);
	u->allotments = map_new();
	u->conf = *conf;
	for (size_t i = 0; i < conf->allotment_count; i++) {
		const struct usage_allotment *from = &conf->allotments[i];
		struct slice session = slice_of(from->session);
		struct allotment *a = map_get(u->allotments, session.ptr, session.len);
		if (a == NULL) {
			a = mem_new(sizeof(*a));
			map_put(u->allotments, session.ptr, session.len, a);
		}
		a->bytes = from->bytes;
	}
	u->conf.allotments = NULL; /* were borrowed */
}

void usage_close(struct usage *u, struct slice session, bool is_closed)
{
	if (is_closed)
		map_put(u->closed, session.ptr, session.len, u);
	else
		(void)map_del(u->closed, session.ptr, session.len); /* is `u` */
}

size_t usage_closed(const struct usage *u)
{
	return map_count(u->closed);
}

bool usage_is_closed(const struct usage *u, struct slice session)
{
	return map_get(u->closed, session.ptr, session.len) != NULL;
}

static void add(struct usage *u, struct row *row, enum usage_kind kind, int64_t by)
{
	set(u, row, kind, row->n[kind] + by);
	row->change[kind] += by;
	if (kind == USAGE_HISTORY && by > 0) {
		row->barren = false;
		row->found = true; /* perhaps behind the walk */
	}
}

/* The row of `session`, which the open transaction changes. */
static struct row *touch(struct usage *u, struct slice session)
{
	struct row *row = take_row(u, session);
	if (!row->touched)
		SLIST_INSERT_HEAD(&u->touched, row, link);
	row->touched = true;
	return row;
}

void usage_change(struct db_txn *txn, struct slice session, enum usage_kind kind, int64_t by)
{
	struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	if (session.len > 0)
		add(u, touch(u, session), kind, by);
}

struct holding usage_of(const struct usage *u, struct slice session)
{
	const struct row *row = map_get(u->rows, session.ptr, session.len);
	static const int64_t NOTHING[USAGE_KINDS];
	return holding_of(row == NULL ? NOTHING : row->n);
}

struct holding usage_total(const struct usage *u)
{
	return holding_of(u->total);
}

/* The rule */

static uint64_t bytes_of(const struct holding *h)
{
	return h->n[USAGE_OPEN] + h->n[USAGE_KEYS] + h->n[USAGE_HISTORY];
}

/* What of it does not yield. */
static uint64_t held_of(const struct holding *h)
{
	return h->n[USAGE_OPEN] + h->n[USAGE_KEYS];
}

/* The pages that so many bytes have. */
static uint64_t pages_of(const struct usage *u, uint64_t bytes)
{
	return bytes * u->ratio / UNIT;
}

void usage_measure(struct usage *u, const struct usage_room *room)
{
	struct holding total = usage_total(u);
	u->room = *room;
	u->counted = bytes_of(&total);
	u->ratio = u->counted == 0 ? UNIT : room->traffic_bytes * UNIT / u->counted;
	u->ratio = u->ratio < RATIO_MIN ? RATIO_MIN : u->ratio;
	u->ratio = u->ratio > RATIO_MAX ? RATIO_MAX : u->ratio;
}

/* The pages in use, with what was written since they were measured. */
static uint64_t used_now(const struct usage *u)
{
	struct holding total = usage_total(u);
	uint64_t now = pages_of(u, bytes_of(&total));
	uint64_t then = pages_of(u, u->counted);
	uint64_t used = u->room.used_bytes + now;
	return used > then ? used - then : 0;
}

static bool is_measured(const struct usage *u)
{
	return u->room.capacity > 0;
}

static struct share share_of(const struct usage *u)
{
	struct holding total = usage_total(u);
	uint64_t waiting = u->conf.backlog == NULL ? 0 : backlog_total(u->conf.backlog);
	uint64_t held = held_of(&total) + waiting * USAGE_LETTER;
	return (struct share){.capacity = u->room.capacity,
	    .held = u->room.used_bytes - u->room.traffic_bytes + pages_of(u, held),
	    .takers = u->holders};
}

/* What `session` holds that does not yield, and what that may yet become. */
static uint64_t pages_held(const struct usage *u, struct slice session, const struct holding *h)
{
	uint64_t waiting = u->conf.backlog == NULL || u->conf.registry == NULL
	    ? 0
	    : backlog_of_session(u->conf.backlog, u->conf.registry, session);
	return pages_of(u, held_of(h) + waiting * USAGE_LETTER);
}

/* Whether all together hold less than one alone may: then none is over its share (share.h). */
static bool are_all_below(const struct usage *u, uint64_t more)
{
	struct share s = share_of(u);
	uint64_t open = s.capacity - s.capacity / SHARE_RESERVE;
	return !is_measured(u) || s.held + more < open / (SHARE_PART + 1) * SHARE_PART;
}

/* The pages of so many bytes more, and of so many more deliveries as dead letters. */
static uint64_t pages_of_more(const struct usage *u, uint64_t bytes, uint64_t deliveries)
{
	return pages_of(u, bytes + deliveries * USAGE_LETTER);
}

bool usage_allows_any(const struct usage *u, uint64_t bytes, uint64_t deliveries)
{
	return !u->room.disk_full && u->conf.per_session == 0 &&
	    map_count(u->allotments) == 0 &&
	    are_all_below(u, pages_of_more(u, bytes, deliveries));
}

/* By the rule, behind what the operator has set. */
static enum err by_rule(const struct usage *u, struct slice session, const struct holding *h,
    uint64_t more, bool is_allotted)
{
	struct share s = share_of(u);
	uint64_t held = pages_held(u, session, h);
	uint64_t left = s.capacity > s.held ? s.capacity - s.held : 0;
	if (is_allotted)
		return more <= left ? OK : ERR_NOSPACE;
	if (share_allows(&s, held, more))
		return OK;
	return held + more <= share_equal(&s, held) ? ERR_NOSPACE : ERR_FULL;
}

enum err usage_allows(const struct usage *u, struct slice session, uint64_t bytes,
    uint64_t deliveries)
{
	if ((bytes == 0 && deliveries == 0) || session.len == 0)
		return OK;
	if (u->room.disk_full)
		return ERR_NOSPACE;
	const struct allotment *a = map_get(u->allotments, session.ptr, session.len);
	struct holding h = usage_of(u, session);
	bool is_for_all = slice_eq(session, SLICE(SESSION_ALL));
	uint64_t most = a != NULL ? a->bytes : is_for_all ? 0 : u->conf.per_session;
	uint64_t more = pages_of_more(u, bytes, deliveries);
	if ((a != NULL || most > 0) && held_of(&h) + bytes > most)
		return ERR_FULL;
	if (is_for_all && is_measured(u) &&
	    pages_held(u, session, &h) + more > u->room.capacity / 100 * FOR_ALL_PERCENT)
		return ERR_FULL;
	if (are_all_below(u, more)) /* mostly; to count what waits for one takes longer */
		return OK;
	return by_rule(u, session, &h, more, a != NULL);
}

bool usage_admits(struct db_txn *txn, struct slice session, uint64_t bytes)
{
	const struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	return usage_allows(u, session, bytes, 0) == OK;
}

bool usage_admits_waiting(struct db_txn *txn, struct slice session, uint64_t bytes,
    uint64_t deliveries)
{
	struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	if (deliveries == 0 || usage_allows(u, session, bytes, deliveries) == OK)
		return true;
	u->given_up += deliveries;
	u->given_up_now += deliveries;
	usage_note_refusal(u, session);
	return false;
}

uint64_t usage_given_up(const struct usage *u)
{
	return u->given_up;
}

void usage_note_refusal(struct usage *u, struct slice session)
{
	struct row *row = map_get(u->rows, session.ptr, session.len);
	struct holding h = usage_of(u, session);
	int64_t now_ms = clock_mono_ms();
	shares_note_refusal(&u->figures, session);
	if (row != NULL && row->told_ms != 0 && now_ms - row->told_ms < TELL_MS)
		return;
	if (row != NULL)
		row->told_ms = now_ms;
	log_warn("refused, as its share is used up", LOG_S("resource", "store"),
	    LOG_V("taker", session), LOG_N("open_bytes", h.n[USAGE_OPEN]),
	    LOG_N("key_bytes", h.n[USAGE_KEYS]), LOG_N("history_bytes", h.n[USAGE_HISTORY]),
	    LOG_N("dead_letters", h.n[USAGE_LETTERS]));
}

bool usage_may_copy(const struct usage *u, uint64_t keys)
{
	uint64_t pages = keys * PAGE_BYTES;
	uint64_t all = u->room.keys_bytes + keys * KEY_BYTES;
	uint64_t used = used_now(u);
	uint64_t free_bytes = u->room.most_bytes > used ? u->room.most_bytes - used : 0;
	return !is_measured(u) || COPIES * (pages < all ? pages : all) <= free_bytes;
}

uint64_t usage_lacks(const struct usage *u, uint64_t bytes)
{
	uint64_t wanted = used_now(u) + pages_of(u, bytes);
	if (!is_measured(u) || wanted <= u->room.capacity)
		return 0;
	return (wanted - u->room.capacity) * UNIT / u->ratio + 1;
}

uint64_t usage_excess(const struct usage *u)
{
	uint64_t used = used_now(u);
	uint64_t most = u->room.capacity / 100 * HISTORY_PERCENT;
	return is_measured(u) && used > most ? (used - most) * UNIT / u->ratio + 1 : 0;
}

const struct shares_figures *usage_figures(struct usage *u)
{
	u->figures.share = share_of(u);
	return &u->figures;
}

/* Who loses history */

#define PIECE                                                                                  \
	8 /* a session may lose so much of what counts at once, though others have as much */

struct candidate {
	const struct row *row;
	uint64_t bytes;
};

/* Those that have most, in order. */
struct search {
	enum usage_order order;
	struct candidate found[USAGE_YIELDERS];
	size_t count;
	uint64_t sum;      /* over all that have history */
	uint64_t sessions; /* these */
};

static void consider(void *value, void *arg)
{
	struct search *s = arg;
	const struct row *row = value;
	struct holding h = holding_of(row->n);
	uint64_t bytes = s->order == USAGE_MOST_HISTORY ? h.n[USAGE_HISTORY] : bytes_of(&h);
	if (h.n[USAGE_HISTORY] == 0 || row->barren)
		return;
	s->sum += bytes;
	s->sessions++;
	size_t at = s->count;
	while (at > 0 && s->found[at - 1].bytes < bytes)
		at--;
	if (at == USAGE_YIELDERS)
		return;
	s->count += s->count < USAGE_YIELDERS ? 1 : 0;
	memmove(&s->found[at + 1], &s->found[at], (s->count - 1 - at) * sizeof(s->found[0]));
	s->found[at] = (struct candidate){.row = row, .bytes = bytes};
}

size_t usage_yielders(const struct usage *u, enum usage_order order, uint64_t bytes,
    struct usage_walk out[USAGE_YIELDERS])
{
	struct search s = {.order = order};
	map_each(u->rows, consider, &s);
	uint64_t left = s.sum > bytes ? s.sum - bytes : 0;
	for (size_t i = 0; i < s.count; i++) {
		const struct candidate *c = &s.found[i];
		uint64_t part = left / s.sessions;
		uint64_t piece = c->bytes / PIECE;
		piece = piece < bytes / USAGE_YIELDERS ? piece : bytes / USAGE_YIELDERS;
		uint64_t surplus = c->bytes > part ? c->bytes - part : 1;
		out[i] = (struct usage_walk){.session = name_of(c->row),
		    .passed = c->row->passed,
		    .found = c->row->found,
		    .surplus = surplus > piece ? surplus : piece};
	}
	return s.count;
}

void usage_keep_walk(struct usage *u, const struct usage_walk *w)
{
	struct row *row = take_row(u, w->session);
	row->passed = w->passed;
	row->found = w->found;
}

void usage_end_walk(struct usage *u, const struct usage_walk *w)
{
	struct row *row = take_row(u, w->session);
	row->passed = (struct uuid){0};
	row->barren = true;
}
