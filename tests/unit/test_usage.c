/*
 * What sessions hold: in memory, on disk and counted from the rows, under random operations,
 * failing transactions and reopening; who may hold more by the rule and by what is set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/publication.h"
#include "store/queue.h"
#include "store/recount.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/usage.h"
#include "support.h"

#define SESSIONS 6
#define EVENTS_MAX 60        /* that the model knows at a time: the oldest are forgotten */
#define BODY_MAX 9000        /* bytes: up to three pieces */
#define SMALL_MAP (3u << 20) /* bytes: soon full */

static const char *const NAMES[SESSIONS] = {"a", "b", "session-with-a-longer-name", "c", "d",
    SESSION_ALL};

static struct slice name_of(size_t session)
{
	return slice_of(NAMES[session]);
}

/* The model: what the last events were. What became of them the store tells. */
struct model {
	struct rnd rnd;
	struct db_txn *txn;
	uint64_t next;
	int64_t now_ms;
	struct {
		struct uuid id;
		size_t session;
		uint32_t deliveries;
	} events[EVENTS_MAX];
	size_t count;
	enum err err; /* of the last operation: a full store fails any */
};

static uint64_t pick(struct model *m, uint64_t n)
{
	return rnd_next(&m->rnd) % n;
}

static struct uuid take_id(struct model *m)
{
	m->next += 100; /* leaves room for deliveries */
	struct uuid id = make_id(m->next);
	uuid_set_time(&id, m->now_ms);
	return id;
}

static void publish(struct model *m)
{
	static const char BODY[BODY_MAX] = {0};
	struct target targets[3];
	size_t slot = m->count++ % EVENTS_MAX;
	size_t session = pick(m, SESSIONS);
	struct publication p = {.targets = targets, .body = {BODY, pick(m, BODY_MAX)}};
	p.event.id = take_id(m);
	p.event.deliveries = (uint32_t)pick(m, 4); /* none too: then nothing is written */
	p.event.body_bytes = (uint32_t)p.body.len;
	for (size_t i = 0; i < 3; i++) /* what is SESSION_ALL's goes to webhooks for all */
		targets[i].webhook = (i + 1) |
		    (session == SESSIONS - 1 || pick(m, 3) == 0 ? WEBHOOK_FOR_ALL : 0);
	(void)snprintf(p.event.session, sizeof(p.event.session), "%s", NAMES[session]);
	m->events[slot].id = p.event.id;
	m->events[slot].session = session;
	m->events[slot].deliveries = p.event.deliveries;
	m->err = publication_write(m->txn, &p);
}

static void keep_key(struct model *m)
{
	struct idempotency k;
	size_t count = 1 + pick(m, 300);
	struct answer a = {.is_batch = true, .count = count};
	char name[16];
	(void)snprintf(name, sizeof(name), "%u", (unsigned)pick(m, 20));
	idempotency_set(&k, SLICE("id"), slice_of(name), SLICE("r"), SLICE("r"),
	    m->now_ms + (int64_t)pick(m, 200));
	a.events = mem_array(count, sizeof(*a.events));
	for (size_t i = 0; i < count; i++)
		a.events[i].event = make_id(rnd_next(&m->rnd) % 1000);
	m->err = idempotency_keep(m->txn, &k, name_of(pick(m, SESSIONS)), &a);
	answer_fini(&a);
}

static void attempt(struct model *m, struct delivery *d)
{
	static const char RECORD[2000] = {0};
	struct event e = {0};
	d->attempts++;
	if (m->err == OK)
		m->err = events_get(m->txn, &d->event_id, &e, NULL);
	if (m->err == OK)
		m->err = attempts_put(m->txn, &e, d,
		    (struct slice){RECORD, 20 + pick(m, 1000)});
}

static void bury(struct model *m, size_t session, struct delivery *d)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	dead->id = take_id(m);
	dead->delivery_id = d->id;
	dead->event_id = d->event_id;
	memset(dead->webhook_url, 'u', pick(m, URL_MAX));
	d->status = DELIVERY_DEAD;
	d->letter = dead->id;
	if (m->err == OK)
		m->err = queue_put(m->txn, d);
	if (m->err == OK)
		m->err = dead_letters_put(m->txn, webhook_owner(d->webhook, name_of(session)),
		    dead);
	free(dead);
}

/* An attempt of one that waits: delivered, put off, or dead. */
static void move_waiting(struct model *m, size_t session, struct delivery *d)
{
	int64_t old_ms = d->place_ms;
	uint64_t outcome = pick(m, 3);
	if (outcome == 0) {
		d->place_ms += 5;
		attempt(m, d);
		m->err = m->err == OK ? queue_move(m->txn, d, old_ms) : m->err;
		return;
	}
	m->err = queue_remove(m->txn, d);
	attempt(m, d);
	if (outcome == 1) {
		bury(m, session, d);
		return;
	}
	d->status = DELIVERY_DELIVERED;
	if (m->err == OK)
		m->err = retention_settle(m->txn, d, m->now_ms);
}

/* Moves one delivery on: an attempt of it, a replay, or it is given up. */
static void move_one(struct model *m)
{
	struct delivery d;
	struct uuid id;
	size_t slot = pick(m, EVENTS_MAX);
	size_t session = m->events[slot].session;
	if (m->events[slot].deliveries == 0)
		return;
	uuid_step(&m->events[slot].id, 1 + (uint32_t)pick(m, m->events[slot].deliveries), &id);
	if (queue_get(m->txn, &id, &d) != OK)
		return;
	if (d.status == DELIVERY_WAITING && pick(m, 5) > 0)
		move_waiting(m, session, &d);
	else if (pick(m, 2) == 0)
		m->err = resend_delivery(m->txn, webhook_owner(d.webhook, name_of(session)), &d,
		    &NO_ORDER, m->now_ms);
	else
		m->err = resend_cancel(m->txn, webhook_owner(d.webhook, name_of(session)), &d,
		    m->now_ms);
	if (m->err == ERR_NOTFOUND || m->err == ERR_CONFLICT)
		m->err = OK;
}

static void sweep(struct model *m)
{
	const struct retention keep = {.settled_ms = 50 + (int64_t)pick(m, 100),
	    .settled_bytes = pick(m, 200000),
	    .dead_letters_ms = 300};
	size_t dropped = 0;
	m->err = retention_sweep_settled(m->txn, &keep, m->now_ms, 20, &dropped);
	if (m->err == OK)
		m->err = retention_sweep_dead(m->txn, &keep, m->now_ms, 5, &dropped);
	if (m->err == OK)
		m->err = idempotency_sweep(m->txn, m->now_ms, 5, &dropped);
}

static void change_one(struct model *m)
{
	uint64_t dice = pick(m, 100);
	m->now_ms += (int64_t)pick(m, 4);
	if (dice < 20)
		publish(m);
	else if (dice < 25)
		keep_key(m);
	else if (dice < 95)
		move_one(m);
	else
		sweep(m);
}

static bool same(const struct holding *a, const struct holding *b)
{
	return memcmp(a->n, b->n, sizeof(a->n)) == 0;
}

/* The bytes of keys, from the rows, of each session. */
static void count_keys(struct db_txn *txn, uint64_t keys[SESSIONS])
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	memset(keys, 0, SESSIONS * sizeof(keys[0]));
	assert_int_equal(db_cursor(txn, DB_REPEATS, &cursor), OK);
	while (db_next(cursor, &key, &value) == OK) {
		struct repeat known;
		unsigned char digest[RECORD_DIGEST];
		uint64_t cost = 0;
		if (key.len != RECORD_DIGEST)
			continue;
		memcpy(digest, key.ptr, RECORD_DIGEST);
		assert_int_equal(idempotency_decode(key, value, &known), OK);
		assert_int_equal(idempotency_cost(txn, digest, &known, &cost), OK);
		for (size_t i = 0; i < SESSIONS; i++)
			keys[i] += strcmp(known.session, NAMES[i]) == 0 ? cost : 0;
	}
	db_cursor_close(cursor);
}

/* Memory, disk and the rows themselves say the same. */
static void assert_all_agree(struct store *s)
{
	uint64_t keys[SESSIONS];
	struct holding sum = {0};
	struct db_txn *txn = store_read(s);
	count_keys(txn, keys);
	for (size_t i = 0; i < SESSIONS; i++) {
		struct holding memory = usage_of(s->usage, name_of(i));
		struct holding disk = {0};
		struct holding rows = {0};
		enum err err = usage_get(txn, name_of(i), &disk);
		assert_true(err == OK || err == ERR_NOTFOUND);
		assert_int_equal(recount_session(txn, name_of(i), &rows), OK);
		rows.n[USAGE_KEYS] = keys[i];
		assert_true(same(&memory, &disk));
		for (int k = 0; k < USAGE_KINDS; k++) {
			if (memory.n[k] != rows.n[k])
				fail_msg("%s, kind %d: %llu counted, the rows have %llu",
				    NAMES[i], k, (unsigned long long)memory.n[k],
				    (unsigned long long)rows.n[k]);
		}
		for (int k = 0; k < USAGE_KINDS; k++)
			sum.n[k] += memory.n[k];
	}
	struct holding total = usage_total(s->usage);
	assert_true(same(&total, &sum));
	db_read_end(txn);
}

static void run(struct store *s, struct model *m, int transactions, uint64_t map_bytes)
{
	for (int n = 0; n < transactions; n++) {
		struct model before = *m;
		m->txn = store_begin(s);
		m->err = OK;
		for (uint64_t steps = pick(m, 20); steps > 0 && m->err == OK; steps--)
			change_one(m);
		bool aborts = pick(m, 5) == 0;
		enum err end = OK;
		if (aborts)
			db_abort(m->txn);
		else
			end = db_commit(m->txn);
		assert_true(end == OK || end == ERR_NOSPACE);
		if (aborts || end != OK) { /* nothing of it is there */
			struct rnd rnd = m->rnd;
			*m = before;
			m->rnd = rnd;
		}
		if (n % 10 == 0)
			assert_all_agree(s);
		if (pick(m, 50) == 0) {
			store_close(s);
			store_open(s, map_bytes);
			assert_all_agree(s);
		}
	}
	assert_all_agree(s);
}

static void test_model(void **state)
{
	struct store *s = *state;
	struct model m = {.now_ms = 1000};
	rnd_seed(&m.rnd, test_seed(20260102));
	run(s, &m, 500, STORE_MAP_BYTES);
	assert_true(usage_total(s->usage).n[USAGE_OPEN] > 0);
	assert_true(usage_total(s->usage).n[USAGE_HISTORY] > 0);
	assert_true(usage_total(s->usage).n[USAGE_KEYS] > 0);
	assert_true(usage_total(s->usage).n[USAGE_LETTERS] > 0);
}

/* The same where commits fail now and then: the file is full. */
static void test_model_in_a_full_store(void **state)
{
	struct store *s = store_new(SMALL_MAP);
	struct model m = {.now_ms = 1000};
	(void)state;
	rnd_seed(&m.rnd, test_seed(20260103));
	run(s, &m, 400, SMALL_MAP);
	store_free(s);
}

/* What the numbers are of, one by one */

static void test_kinds(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	usage_change(txn, SLICE("s"), USAGE_OPEN, 100);
	usage_change(txn, SLICE("s"), USAGE_KEYS, 20);
	usage_change(txn, SLICE(""), USAGE_OPEN, 7); /* of nobody */
	usage_change(txn, SLICE("s"), USAGE_OPEN, -30);
	usage_change(txn, SLICE("s"), USAGE_HISTORY, 30);
	struct holding want = {
	    .n = {[USAGE_OPEN] = 70, [USAGE_KEYS] = 20, [USAGE_HISTORY] = 30}};
	struct holding got = usage_of(s->usage, SLICE("s"));
	assert_true(same(&got, &want));
	got = usage_total(s->usage);
	assert_true(same(&got, &want));
	assert_int_equal(store_count_in(txn, DB_USAGE), 0); /* with the commit */
	store_commit(txn);
	assert_int_equal(store_count(s, DB_USAGE), 1);
	txn = store_begin(s);
	usage_change(txn, SLICE("s"), USAGE_OPEN, -100); /* never less than none */
	usage_change(txn, SLICE("s"), USAGE_KEYS, -20);
	usage_change(txn, SLICE("s"), USAGE_HISTORY, -30);
	got = usage_of(s->usage, SLICE("s"));
	assert_true(got.n[USAGE_OPEN] == 0);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_USAGE), 0);
	got = usage_total(s->usage);
	assert_true(same(&got, &(struct holding){0}));
}

static void test_sessions_in_order(void **state)
{
	struct store *s = *state;
	static const char *const WANT[] = {"a", "a-", "aa", "b"};
	char name[SESSION_MAX + 1] = "";
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(WANT); i++)
		usage_change(txn, slice_of(WANT[COUNT(WANT) - 1 - i]), USAGE_OPEN, 1);
	assert_int_equal(db_put(txn, DB_USAGE, SLICE("a\n"), SLICE("no session's")), OK);
	store_commit(txn);
	txn = store_read(s);
	for (size_t i = 0; i < COUNT(WANT); i++) {
		char next[SESSION_MAX + 1];
		assert_int_equal(usage_next_session(txn, slice_of(name), next), OK);
		assert_string_equal(next, WANT[i]);
		memcpy(name, next, sizeof(name));
	}
	assert_int_equal(usage_next_session(txn, slice_of(name), name), ERR_NOTFOUND);
	db_read_end(txn);
}

/* A damaged row is passed by: what it said counts for nobody. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct holding h = {0};
	struct db_txn *txn = store_begin(s);
	usage_change(txn, SLICE("a"), USAGE_OPEN, 10);
	usage_change(txn, SLICE("b"), USAGE_OPEN, 10);
	store_commit(txn);
	txn = store_begin(s);
	assert_int_equal(db_put(txn, DB_USAGE, SLICE("a"), SLICE("no numbers")), OK);
	h.n[USAGE_OPEN] = UINT64_MAX / 2; /* no store is so large */
	assert_int_equal(usage_put(txn, SLICE("c"), &h), OK);
	assert_int_equal(usage_get(txn, SLICE("a"), &h), ERR_CORRUPT);
	assert_int_equal(usage_get(txn, SLICE("c"), &h), ERR_CORRUPT);
	assert_int_equal(usage_get(txn, SLICE("d"), &h), ERR_NOTFOUND);
	store_commit(txn);
	store_reopen(s);
	assert_true(usage_total(s->usage).n[USAGE_OPEN] == 10);
	txn = store_begin(s);
	usage_change(txn, SLICE("a"), USAGE_OPEN, 5);
	store_commit(txn);
	txn = store_read(s);
	assert_int_equal(usage_get(txn, SLICE("a"), &h), OK);
	assert_true(h.n[USAGE_OPEN] == 5);
	db_read_end(txn);
}

/* The rule */

/* Session "a" … hold so many bytes, in a store whose pages are just what is counted. */
static void hold(struct store *s, const char *session, enum usage_kind kind, int64_t bytes)
{
	struct db_txn *txn = store_begin(s);
	usage_change(txn, slice_of(session), kind, bytes);
	store_commit(txn);
}

static void measure(struct store *s, uint64_t capacity, uint64_t registry, uint64_t ratio)
{
	struct holding h = usage_total(s->usage);
	uint64_t traffic = ratio * (h.n[USAGE_OPEN] + h.n[USAGE_KEYS] + h.n[USAGE_HISTORY]);
	const struct usage_room room = {.capacity = capacity,
	    .used_bytes = registry + traffic,
	    .traffic_bytes = traffic};
	usage_measure(s->usage, &room);
}

static enum err may(const struct store *s, const char *session, uint64_t bytes)
{
	return usage_allows(s->usage, slice_of(session), bytes, 0);
}

#define CAPACITY 1000000

/* One alone may hold nearly all; others are then still let in, and he has no more. */
static void test_share(void **state)
{
	struct store *s = *state;
	measure(s, CAPACITY, 0, 1);
	hold(s, "big", USAGE_OPEN, 880000);
	assert_int_equal(may(s, "big", 1000), OK);
	assert_int_equal(may(s, "big", 10000), ERR_FULL);
	assert_int_equal(may(s, "small", 50000), OK);
	assert_int_equal(may(s, "small", 60000), OK); /* half of what is left */
	assert_int_equal(may(s, "small", 61000), ERR_NOSPACE);
	assert_int_equal(may(s, "small", 600000), ERR_FULL);
	hold(s, "small", USAGE_KEYS, 50000);
	assert_int_equal(may(s, "big", 1), ERR_FULL);
	assert_int_equal(may(s, "small", 10000), OK);
	assert_int_equal(may(s, "big", 0), OK); /* whoever asks for nothing has it */
	assert_false(usage_allows_any(s->usage, 1, 0));
	hold(s, "big", USAGE_OPEN, -600000);
	assert_int_equal(may(s, "big", 300000), OK);
	assert_true(usage_allows_any(s->usage, 300000, 0));
}

/* History is nobody's share: it yields, whoever's it is. */
static void test_history_yields(void **state)
{
	struct store *s = *state;
	measure(s, CAPACITY, 0, 1);
	hold(s, "a", USAGE_HISTORY, 990000);
	assert_int_equal(may(s, "a", 500000), OK);
	assert_int_equal(may(s, "b", 500000), OK);
	assert_true(usage_allows_any(s->usage, 500000, 0));
	assert_in_range(usage_lacks(s->usage, 500000), 490000, 490001);
	assert_true(usage_lacks(s->usage, 10000) == 0);
	assert_in_range(usage_excess(s->usage), 240000, 240001);
}

/* Sessions with nothing but history take no part: the fair part is not divided by them. */
static void test_history_takes_no_part(void **state)
{
	struct store *s = *state;
	char name[16];
	measure(s, CAPACITY, 0, 1);
	hold(s, "big", USAGE_OPEN, 900000);
	hold(s, "small", USAGE_OPEN, 1000);
	for (int n = 0; n < 1000; n++) {
		(void)snprintf(name, sizeof(name), "h%d", n);
		hold(s, name, USAGE_HISTORY, 10);
	}
	assert_true(usage_figures(s->usage)->share.takers == 2);
	assert_int_equal(may(s, "small", 30000), OK); /* a thousandth would be 499 */
	assert_int_equal(may(s, "h1", 30000), OK);
	hold(s, "h1", USAGE_KEYS, 5);
	hold(s, "h2", USAGE_LETTERS, 1); /* their bytes are counted with the open ones */
	assert_true(usage_figures(s->usage)->share.takers == 3);
	struct db_txn *txn = store_begin(s);
	usage_change(txn, SLICE("small"), USAGE_OPEN, -1000);
	usage_change(txn, SLICE("small"), USAGE_HISTORY, 1000);
	usage_change(txn, SLICE("h3"), USAGE_OPEN, 5);
	usage_change(txn, SLICE("h4"), USAGE_OPEN, 5);
	assert_true(usage_figures(s->usage)->share.takers == 4);
	db_abort(txn);
	assert_true(usage_figures(s->usage)->share.takers == 3);
	hold(s, "h5", USAGE_KEYS, -5); /* of a damaged record: less than nothing */
	hold(s, "h5", USAGE_KEYS, 5);
	assert_true(usage_figures(s->usage)->share.takers == 4);
	hold(s, "h5", USAGE_KEYS, -5);
	hold(s, "big", USAGE_OPEN, -900000);
	hold(s, "small", USAGE_OPEN, -1000);
	store_reopen(s);
	assert_true(usage_figures(s->usage)->share.takers == 1);
}

/* What waits counts for the dead letter that it may become. */
static void test_waiting_counts_for_more(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	const struct shares_figures *f = usage_figures(s->usage);
	measure(s, CAPACITY, 0, 1);
	for (uint64_t n = 0; n < 100; n++) {
		struct delivery d = make_delivery(1, n, 0);
		assert_int_equal(queue_add(txn, &d), OK);
	}
	store_commit(txn);
	f = usage_figures(s->usage);
	assert_true(f->share.held == 100 * USAGE_LETTER);
	assert_int_equal(usage_allows(s->usage, SLICE("s"), 1000, 1000), OK);
	assert_int_equal(usage_allows(s->usage, SLICE("s"), 1000, CAPACITY / USAGE_LETTER),
	    ERR_FULL);
}

static void configure(struct store *s, uint64_t per_session,
    const struct usage_allotment *allotments, size_t count)
{
	const struct usage_conf conf = {.backlog = s->backlog,
	    .per_session = per_session,
	    .allotments = allotments,
	    .allotment_count = count};
	usage_configure(s->usage, &conf);
}

/* The same for one session: what waits for its webhooks is part of what it holds. */
static void test_own_waiting_counts(void **state)
{
	struct store *s = *state;
	struct registry *reg = registry_new();
	const struct usage_conf conf = {.backlog = s->backlog, .registry = reg};
	registry_set(reg, make_webhook(1, "a", "http://a/"));
	registry_set(reg, make_webhook(2, "b", "http://b/"));
	usage_configure(s->usage, &conf);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < 500; n++) { /* 384000 bytes */
		struct delivery d = make_delivery(1, n, 0);
		assert_int_equal(queue_add(txn, &d), OK);
	}
	store_commit(txn);
	hold(s, "c", USAGE_OPEN, 300000);
	measure(s, CAPACITY, 0, 1);
	assert_int_equal(may(s, "a", 200000), OK);
	assert_int_equal(may(s, "a", 240000), ERR_FULL); /* has a third with it, as c */
	assert_int_equal(may(s, "b", 236000), OK);
	registry_free(reg);
	configure(s, 0, NULL, 0);
}

/* Pages larger than what is in them, and what the registry has, are room that is gone. */
static void test_pages(void **state)
{
	struct store *s = *state;
	const struct shares_figures *f = usage_figures(s->usage);
	hold(s, "a", USAGE_OPEN, 100000);
	measure(s, CAPACITY, 200000, 2);
	f = usage_figures(s->usage);
	assert_true(f->share.capacity == CAPACITY);
	assert_true(f->share.held == 400000);
	assert_true(f->share.takers == 1);
	assert_int_equal(may(s, "a", 200000), OK);
	assert_int_equal(may(s, "a", 300000), ERR_FULL);
	assert_true(usage_lacks(s->usage, 300000) == 0);
	assert_in_range(usage_lacks(s->usage, 310000), 10000, 10001);
	measure(s, CAPACITY, 0, 100); /* is no ratio that pages can have: nearly empty */
	f = usage_figures(s->usage);
	assert_true(f->share.held == 400000);
}

static void test_disk_full(void **state)
{
	struct store *s = *state;
	const struct usage_room room = {.capacity = CAPACITY, .disk_full = true};
	usage_measure(s->usage, &room);
	assert_int_equal(may(s, "a", 1), ERR_NOSPACE);
	assert_int_equal(may(s, "a", 0), OK);
}

/* What operators set: a limit for all, and for some what they may hold, more or less. */
static void test_operators_limits(void **state)
{
	struct store *s = *state;
	const struct usage_allotment some[] = {{"much", 950000}, {"less", 1000}, {"none", 5},
	    {"none", 0}};
	configure(s, 5000, some, COUNT(some));
	assert_int_equal(may(s, "a", 5000), OK); /* nothing is measured yet */
	assert_int_equal(may(s, "a", 5001), ERR_FULL);
	measure(s, CAPACITY, 0, 1);
	hold(s, "a", USAGE_OPEN, 3000);
	hold(s, "a", USAGE_KEYS, 1000);
	hold(s, "a", USAGE_HISTORY, 7000); /* counts for nobody */
	assert_int_equal(may(s, "a", 1000), OK);
	assert_int_equal(may(s, "a", 1001), ERR_FULL);
	assert_int_equal(may(s, "less", 1000), OK);
	assert_int_equal(may(s, "less", 1001), ERR_FULL);
	assert_int_equal(may(s, "none", 1), ERR_FULL);
	assert_int_equal(may(s, "much", 930000), OK); /* more than the rule gives */
	assert_int_equal(may(s, "much", 950001), ERR_FULL);
	hold(s, "much", USAGE_OPEN, 940000);
	assert_int_equal(may(s, "much", 9000), OK);
	hold(s, "b", USAGE_OPEN, 54000);
	assert_int_equal(may(s, "much", 9000), ERR_NOSPACE); /* is not there any more */
	assert_false(usage_allows_any(s->usage, 1, 0));
	configure(s, 0, NULL, 0);
	assert_int_equal(may(s, "none", 1), OK);
}

/*
 * Where all are far below any share nobody counts what waits for a session's webhooks, of which
 * there may be many: also where operators have set limits, and for who is near its own.
 */
static void test_the_usual_case_is_cheap(void **state)
{
	struct store *s = *state;
	const size_t len = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	const struct usage_allotment some[] = {{"much", 950000}};
	const struct usage_conf conf = {.backlog = s->backlog,
	    .registry = page, /* who looks into it ends the test */
	    .per_session = 5000,
	    .allotments = some,
	    .allotment_count = COUNT(some)};
	usage_configure(s->usage, &conf);
	measure(s, CAPACITY, 0, 1);
	hold(s, "a", USAGE_OPEN, 3000);
	assert_int_equal(may(s, "a", 2000), OK);
	assert_int_equal(may(s, "a", 2001), ERR_FULL);
	assert_int_equal(may(s, "much", 400000), OK);
	configure(s, 0, NULL, 0);
	assert_int_equal(munmap(page, len), 0);
}

/* What a transaction has added counts within it. */
static void test_within_a_transaction(void **state)
{
	struct store *s = *state;
	measure(s, CAPACITY, 0, 1);
	struct db_txn *txn = store_begin(s);
	usage_change(txn, SLICE("a"), USAGE_OPEN, 880000);
	assert_int_equal(may(s, "a", 10000), ERR_FULL);
	assert_false(usage_admits(txn, SLICE("a"), 10000));
	assert_true(usage_admits(txn, SLICE("b"), 10000));
	assert_true(usage_lacks(s->usage, 130000) > 0);
	db_abort(txn);
	assert_int_equal(may(s, "a", 880000), OK);
	assert_true(usage_lacks(s->usage, 130000) == 0);
}

static void test_refusals_are_counted(void **state)
{
	struct store *s = *state;
	const struct shares_figures *f = usage_figures(s->usage);
	usage_note_refusal(s->usage, SLICE("nobody"));
	hold(s, "a", USAGE_OPEN, 1);
	usage_note_refusal(s->usage, SLICE("a"));
	usage_note_refusal(s->usage, SLICE("a"));
	f = usage_figures(s->usage);
	assert_true(f->refused == 3);
	assert_string_equal(f->last_refused, "a");
}

/* Writes event `n` of session "a" to webhook 1, where it is `own`, and to one for all. */
static void publish_to_all(struct store *s, uint64_t n, bool own)
{
	static const char BODY[10000] = {0};
	struct target targets[2] = {{.webhook = own ? 1 : WEBHOOK_FOR_ALL | 2},
	    {.webhook = WEBHOOK_FOR_ALL | 2}};
	struct publication p = {.targets = targets,
	    .body = {BODY, sizeof(BODY)},
	    .event = {.id = make_id(100 * n),
		.session = "a",
		.name = "message",
		.created_ms = 1,
		.deliveries = own ? 2 : 1,
		.body_bytes = sizeof(BODY)}};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(publication_write(txn, &p), OK);
	store_commit(txn);
}

static uint64_t held(const struct store *s, const char *session, enum usage_kind kind)
{
	return usage_of(s->usage, slice_of(session)).n[kind];
}

/* Delivers, or sends again, delivery `k` of event `n`. */
static enum err step_delivery(struct store *s, uint64_t n, uint32_t k, bool again)
{
	struct delivery d;
	struct uuid id = make_id(100 * n + k);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(queue_get(txn, &id, &d), OK);
	if (!again)
		assert_int_equal(queue_remove(txn, &d), OK);
	d.status = again ? d.status : DELIVERY_DELIVERED;
	enum err err = again ? resend_delivery(txn, SLICE("a"), &d, &NO_ORDER, 5)
			     : retention_settle(txn, &d, 5);
	store_commit(txn);
	return err;
}

/* Each pays for as long as a delivery of its own is open; then it is the session's history. */
static void test_who_pays(void **state)
{
	struct store *s = *state;
	publish_to_all(s, 1, true);
	uint64_t cost = held(s, "a", USAGE_OPEN);
	assert_true(cost > 10000 && held(s, SESSION_ALL, USAGE_OPEN) == cost);
	assert_int_equal(step_delivery(s, 1, 1, false), OK);
	assert_true(held(s, "a", USAGE_OPEN) == 0 && held(s, "a", USAGE_HISTORY) == 0);
	assert_true(held(s, SESSION_ALL, USAGE_OPEN) == cost);
	assert_int_equal(step_delivery(s, 1, 2, false), OK);
	assert_true(held(s, SESSION_ALL, USAGE_OPEN) == 0);
	assert_true(held(s, "a", USAGE_OPEN) == 0 && held(s, "a", USAGE_HISTORY) == cost);
	assert_int_equal(step_delivery(s, 1, 2, true), OK);
	assert_true(held(s, SESSION_ALL, USAGE_OPEN) == cost);
	assert_true(held(s, "a", USAGE_OPEN) == 0 && held(s, "a", USAGE_HISTORY) == 0);
	assert_int_equal(step_delivery(s, 1, 1, true), OK);
	assert_true(held(s, "a", USAGE_OPEN) == cost);
	publish_to_all(s, 2, false);
	assert_true(held(s, "a", USAGE_OPEN) == cost);
	assert_all_agree(s);
}

static enum delivery_status status_of(struct store *s, uint64_t id)
{
	struct delivery d;
	struct uuid delivery = make_id(id);
	struct db_txn *txn = store_read(s);
	assert_int_equal(queue_get(txn, &delivery, &d), OK);
	db_read_end(txn);
	return d.status;
}

/* What webhooks for all sessions have no room for is cancelled; nobody is refused for it. */
static void test_for_all_has_its_share(void **state)
{
	struct store *s = *state;
	measure(s, CAPACITY, 0, 1);
	hold(s, SESSION_ALL, USAGE_OPEN, 480000);
	publish_to_all(s, 1, true);
	assert_int_equal(status_of(s, 102), DELIVERY_WAITING);
	publish_to_all(s, 2, true); /* beyond half */
	assert_int_equal(status_of(s, 201), DELIVERY_WAITING);
	assert_int_equal(status_of(s, 202), DELIVERY_CANCELLED);
	publish_to_all(s, 3, false); /* over at once */
	assert_int_equal(status_of(s, 301), DELIVERY_CANCELLED);
	assert_true(held(s, "a", USAGE_HISTORY) > 10000);
	assert_true(usage_given_up(s->usage) == 2);
	assert_int_equal(may(s, "a", 100000), OK);
	uint64_t history = held(s, "a", USAGE_HISTORY);
	uint64_t open = held(s, SESSION_ALL, USAGE_OPEN);
	assert_int_equal(step_delivery(s, 2, 1, false), OK); /* the only one that was open */
	assert_true(held(s, "a", USAGE_HISTORY) > history + 10000);
	assert_true(held(s, SESSION_ALL, USAGE_OPEN) == open);
	assert_int_equal(step_delivery(s, 3, 1, true), ERR_FULL);
	hold(s, SESSION_ALL, USAGE_OPEN, -480000);
	assert_int_equal(step_delivery(s, 3, 1, true), OK);
	assert_int_equal(status_of(s, 301), DELIVERY_WAITING);
	assert_all_agree(s);
	struct db_txn *txn = store_begin(s);
	assert_false(usage_admits_waiting(txn, SLICE(SESSION_ALL), CAPACITY, 1));
	assert_true(usage_admits_waiting(txn, SLICE(SESSION_ALL), CAPACITY, 0));
	assert_true(usage_given_up(s->usage) == 3);
	db_abort(txn); /* of what is not committed nothing was given up */
	assert_true(usage_given_up(s->usage) == 2);
}

static void change_uncounted(void *arg)
{
	struct store *s = arg;
	usage_free(s->usage);
	usage_change(store_begin(s), SLICE("s"), USAGE_OPEN, 1);
}

static void test_nobody_counts(void **state)
{
	assert_true(panics(change_uncounted, *state));
	usage_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_model),
	    cmocka_unit_test(test_model_in_a_full_store),
	    STORE_TEST(test_kinds),
	    STORE_TEST(test_sessions_in_order),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_share),
	    STORE_TEST(test_history_yields),
	    STORE_TEST(test_history_takes_no_part),
	    STORE_TEST(test_waiting_counts_for_more),
	    STORE_TEST(test_own_waiting_counts),
	    STORE_TEST(test_pages),
	    STORE_TEST(test_disk_full),
	    STORE_TEST(test_operators_limits),
	    STORE_TEST(test_the_usual_case_is_cheap),
	    STORE_TEST(test_within_a_transaction),
	    STORE_TEST(test_refusals_are_counted),
	    STORE_TEST(test_who_pays),
	    STORE_TEST(test_for_all_has_its_share),
	    STORE_TEST(test_nobody_counts),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* full stores and damage are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
