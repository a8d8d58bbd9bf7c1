/*
 * A store that holds anything. The input is rows: a byte that names a table and says whether
 * the value gets a right checksum, a byte that chooses the key among those which the readers
 * look for (or, with RAW_KEY, a text that is the key), and the value as a text. Then
 * everything that reads or sweeps the tables runs over them, in one transaction that is thrown
 * away. Whatever lies there may be reported, but it fails no transaction: the other
 * operations of a turn are in the same one.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/record.h"
#include "jobs/task_slice.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/queue.h"
#include "store/recount.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/trends.h"
#include "store/usage.h"
#include "store/webhooks.h"

#define MAP_BYTES (64u << 20)
#define BODY_MAX (1u << 20)
#define NOW_MS INT64_C(1767143203500)
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define IDS 8      /* event, delivery and dead-letter ids: consecutive ones */
#define WEBHOOKS 3 /* numbers from 1 on */
#define ROWS_MAX 64
#define TABLE_BITS 0x0f
#define SEALED 0x10
#define RAW_KEY 0x20
#define SESSION SLICE("s")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opened once, and left empty by every input; its files are unlinked at once. */
static struct db *open_store(void)
{
	static struct db *db;
	static struct backlog *backlog; /* this and the next go along with the transactions */
	static struct usage *usage;
	char dir[] = "/tmp/waybill-fuzz-XXXXXX";
	struct problem p;
	if (db != NULL)
		return db;
	panic_if(mkdtemp(dir) == NULL, "no folder in /tmp");
	panic_if(db_open(dir, MAP_BYTES, &db, &p) != OK, "%s", p.message);
	panic_if(backlog_new(db, &backlog) != OK, "no backlog");
	const struct usage_conf conf = {.backlog = backlog};
	const struct usage_room room = {.capacity = 1u << 20};
	panic_if(usage_new(db, &conf, &usage) != OK, "no usage");
	usage_measure(usage, &room); /* soon full: history yields, and some are refused */
	static const char *const FILES[] = {"waybill.mdb", "waybill.mdb-lock", "waybill.lock",
	    ""};
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		char path[80];
		(void)snprintf(path, sizeof(path), "%s/%s", dir, FILES[i]);
		(void)remove(path); /* what is left would only take room */
	}
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* what is corrupt is no news here */
	return db;
}

/* The ids lie in the hour before now, where sweeps find them, and follow each other. */
static struct uuid id_of(unsigned n)
{
	struct uuid id = {{0}};
	codec_store_u64(id.bytes, (uint64_t)(NOW_MS - 3600000) << 16 | 0x7000);
	id.bytes[8] = 0x80;
	id.bytes[15] = (uint8_t)(n % IDS);
	return id;
}

static struct idempotency key_of(unsigned n)
{
	struct idempotency k;
	idempotency_set(&k, SLICE("scope"), n % 2 == 0 ? SLICE("a") : SLICE("b"),
	    SLICE("request"), SLICE("request"), NOW_MS + (n % 4 == 0 ? -1 : 1000));
	return k;
}

/* Appends the key that `n` chooses among those which belong in the table. */
static void put_key(struct buf *key, enum db_table table, unsigned n)
{
	static const char *const META[] = {"schema", "usage_counted", "last_webhook"};
	const struct uuid id = id_of(n);
	const struct idempotency repeat = key_of(n);
	switch (table) {
	case DB_META:
		buf_puts(key, META[n % 3]);
		return;
	case DB_TASKS:
		put_u64(key, n % (1 + WEBHOOKS));
		if (n % (1 + WEBHOOKS) == 0) {
			put_u8(key,
			    (uint8_t)(n % 2 == 0 ? TASK_REPLAY_LETTERS : TASK_DROP_LETTERS));
			buf_slice(key, SESSION);
		}
		return;
	case DB_WEBHOOKS:
	case DB_BACKLOG:
		put_u64(key, 1 + n % WEBHOOKS);
		return;
	case DB_EVENTS:
		buf_append(key, id.bytes, UUID_SIZE);
		put_u16(key, (uint16_t)(n / IDS % 4));
		return;
	case DB_QUEUE:
		put_u64(key, 1 + n / IDS % WEBHOOKS);
		put_i64(key, NOW_MS + (n % 2 == 0 ? 1 : -1));
		buf_append(key, id.bytes, UUID_SIZE);
		return;
	case DB_SETTLED:
		put_i64(key, NOW_MS - 10 * (int64_t)n);
		buf_append(key, id.bytes, UUID_SIZE);
		return;
	case DB_URLS:
	case DB_REPEATS:
		buf_append(key, repeat.key, RECORD_DIGEST);
		if (table == DB_REPEATS && n / IDS % 4 > 0)
			put_u16(key, (uint16_t)(n / IDS % 4)); /* a piece behind the first */
		return;
	case DB_USAGE:
		buf_slice(key, SESSION);
		return;
	case DB_REPEATS_BY_AGE:
		put_i64(key, repeat.expires_ms);
		buf_append(key, repeat.key, RECORD_DIGEST);
		return;
	case DB_DEAD:
	case DB_HISTORY:
		buf_slice(key, SESSION);
		buf_putc(key, '\0');
		buf_append(key, id.bytes, UUID_SIZE);
		return;
	case DB_ATTEMPTS:
		buf_append(key, id.bytes, UUID_SIZE);
		put_u32(key, n / IDS % 4);
		return;
	case DB_SOURCES:
		buf_append(key, id.bytes, UUID_SIZE);
		if (n / IDS % 2 > 0)
			buf_putc(key, 'p'); /* how far its stream was taken */
		return;
	case DB_TRENDS:
		put_u64(key, 1 + n % WEBHOOKS);
		put_u16(key, n / WEBHOOKS % 2 == 0 ? UINT16_MAX : (uint16_t)(NOW_MS / DAY_MS));
		return;
	case DB_DELIVERIES:
	case DB_OPEN:
	case DB_DEAD_BY_AGE:
	case DB_TABLES:
		buf_append(key, id.bytes, UUID_SIZE);
		return;
	}
}

static void put_row(struct db_txn *txn, struct reader *r)
{
	struct buf key = BUF_INIT(511);
	struct buf value = BUF_INIT(UINT16_MAX + RECORD_CHECKSUM);
	unsigned head = get_u8(r);
	enum db_table table = (head & TABLE_BITS) % DB_TABLES;
	if ((head & RAW_KEY) != 0)
		buf_slice(&key, get_text(r));
	else
		put_key(&key, table, get_u8(r));
	buf_slice(&value, get_text(r));
	if ((head & SEALED) != 0)
		record_seal(&value, RECORD_ANYWHERE);
	if (!r->failed && !key.failed && key.len > 0)
		panic_if(db_put(txn, table, buf_view(&key), buf_view(&value)) != OK, "put");
	buf_fini(&key);
	buf_fini(&value);
}

/* Each answer but these is one that would end a turn. */
static void expect_bearable(enum err err)
{
	panic_if(err != OK && err != ERR_NOTFOUND && err != ERR_CORRUPT && err != ERR_CONFLICT,
	    "%s", err_text(err));
}

static bool skip_none(void *arg, const struct uuid *id)
{
	(void)arg;
	(void)id;
	return false;
}

static void on_head(void *arg, uint64_t webhook, int64_t place_ms)
{
	(void)arg;
	(void)webhook;
	(void)place_ms;
}

static void on_webhook(void *arg, struct webhook *w)
{
	(void)arg;
	webhook_free(w);
}

static void read_events(struct db_txn *txn)
{
	struct uuid newest;
	struct buf body = BUF_INIT(BODY_MAX);
	expect_bearable(events_newest_id(txn, &newest));
	for (unsigned n = 0; n < IDS; n++) {
		struct event e;
		struct delivery d;
		const struct uuid id = id_of(n);
		enum err err = events_get(txn, &id, &e, &body);
		expect_bearable(err);
		panic_if(err == OK && body.len != e.body_bytes, "another length");
		struct event_state now;
		if (err == OK)
			expect_bearable(events_state(txn, &e, &now));
		expect_bearable(queue_get(txn, &id, &d));
	}
	for (unsigned n = 0; n < 4; n++) {
		const struct idempotency k = key_of(n);
		struct answer answer = {0};
		expect_bearable(idempotency_find(txn, &k, NOW_MS, &answer));
		answer_fini(&answer);
	}
	buf_fini(&body);
}

static void read_queues(struct db_txn *txn)
{
	struct delivery claimed[4];
	for (uint64_t webhook = 1; webhook <= WEBHOOKS; webhook++) {
		size_t count = 0;
		int64_t due_ms = 0;
		struct queue_claim c = {.webhook = webhook,
		    .now_ms = NOW_MS,
		    .forced_ms = webhook == 2 ? NOW_MS : 0,
		    .max = sizeof(claimed) / sizeof(claimed[0]),
		    .fifo = webhook == 3,
		    .skip = skip_none};
		expect_bearable(queue_claim(txn, &c, claimed, &count, &due_ms));
		expect_bearable(queue_first(txn, webhook, &claimed[0]));
	}
	expect_bearable(queue_heads(txn, on_head, NULL));
}

static void read_others(struct db_txn *txn)
{
	struct dead_letter letter;
	uint64_t number = 0;
	struct uuid id = id_of(0);
	char session[SESSION_MAX + 1];
	struct problem p;
	expect_bearable(webhooks_each(txn, NULL, on_webhook, NULL, &p));
	expect_bearable(webhooks_last_number(txn, &number));
	struct holding holding;
	expect_bearable(usage_get(txn, SESSION, &holding));
	expect_bearable(recount_session(txn, SESSION, &holding));
	expect_bearable(dead_letters_oldest(txn, &id, session));
	struct uuid top;
	memset(top.bytes, 0xff, UUID_SIZE);
	for (id = top; dead_letters_below(txn, SESSION, &id, &id) == OK;)
		expect_bearable(dead_letters_get(txn, SESSION, &id, &letter));
	for (id = top; dead_letters_below_in_all(txn, &id, &id, session) == OK;)
		continue;
	for (id = top; events_below(txn, &id, &id) == OK;)
		continue;
}

/* What is counted joins what is there, whatever that is. */
static void count_trends(struct db_txn *txn)
{
	struct trend_last last = {.at_ms = NOW_MS, .status = 200};
	struct trends *trends = trends_new();
	struct registry *registry = registry_new();
	for (uint64_t webhook = 1; webhook <= WEBHOOKS; webhook++) {
		struct trend t = {0};
		struct webhook *w = webhook_new();
		w->number = webhook;
		webhook_set(&w->session, "s");
		webhook_set(&w->url, "http://a/");
		registry_set(registry, w);
		trends_note(trends, webhook, &last, true, 1000);
		expect_bearable(trends_read(trends, txn, webhook, 0, &t));
		trend_fini(&t);
	}
	expect_bearable(trends_write(trends, txn, registry, WEBHOOKS));
	trends_written(trends);
	for (uint64_t webhook = 1; webhook <= WEBHOOKS; webhook++) {
		struct trend t = {0};
		expect_bearable(trends_read(trends, txn, webhook, NOW_MS / HOUR_MS - 1, &t));
		panic_if(t.outcome_count == 0 || t.outcomes[t.outcome_count - 1] != 2,
		    "an attempt was not counted");
		trend_fini(&t);
	}
	trends_free(trends);
	registry_free(registry);
}

static bool on_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	(void)arg;
	(void)number;
	(void)a;
	return true;
}

static void read_log(struct db_txn *txn)
{
	char session[SESSION_MAX + 1] = "";
	struct event e = {.id = id_of(0), .deliveries = IDS - 1};
	uint64_t cost = 0;
	for (unsigned n = 0; n < IDS; n++) {
		const struct uuid id = id_of(n);
		expect_bearable(attempts_each(txn, &id, 0, SIZE_MAX, on_attempt, NULL));
	}
	expect_bearable(attempts_cost(txn, &e, &cost));
	struct uuid next;
	memset(next.bytes, 0xff, UUID_SIZE);
	while (history_below(txn, SESSION, &next, &next) == OK)
		continue;
	next = (struct uuid){{0}};
	while (history_next(txn, SESSION, &next, &next) == OK)
		continue;
	while (usage_next_session(txn, slice_of(session), session) == OK)
		panic_if(!name_is_session(slice_of(session)), "no session's name");
}

/* How an event stands once another of its deliveries is over; all else in it stays as it is. */
static void check_release(struct db_txn *txn, const struct uuid *id)
{
	struct event before;
	struct event after;
	struct event released;
	struct event_state stood = {0};
	struct event_state before_it = {0};
	struct event_state left = {0};
	struct event_state stands = {0};
	struct buf body = BUF_INIT(BODY_MAX);
	struct buf same = BUF_INIT(BODY_MAX);
	if (events_get(txn, id, &before, &body) == OK) {
		bool known = events_state(txn, &before, &stood) == OK;
		enum err err = events_release(txn, &(struct delivery){.event_id = *id}, NOW_MS,
		    &released, &before_it, &left);
		panic_if(err != OK && (known || err != ERR_NOTFOUND), "release");
		panic_if(events_get(txn, id, &after, &same) != OK, "gone");
		panic_if(!slice_eq(buf_view(&body), buf_view(&same)), "another body");
		if (known && before.deliveries != 1) { /* else its only delivery tells */
			panic_if(events_state(txn, &after, &stands) != OK, "no state");
			panic_if(before_it.open != stood.open || stands.open != left.open ||
				left.open != stood.open - (stood.open > 0 ? 1 : 0),
			    "open");
			panic_if(stands.open_all != left.open_all || left.open_all > left.open,
			    "open for all");
		}
		panic_if(after.deliveries != before.deliveries ||
			after.created_ms != before.created_ms,
		    "another event");
	}
	buf_fini(&body);
	buf_fini(&same);
}

/* A slice of a replay, and what comes of it. */
static void run_replay(struct db_txn *txn, const struct task_key *key)
{
	static struct task_slice slice;
	struct task r;
	enum err err = tasks_get(txn, key, &r);
	expect_bearable(err);
	if (err != OK)
		return;
	slice.now_ms = NOW_MS;
	slice.max = IDS;
	expect_bearable(task_slice_run(txn, &r, &slice));
	panic_if(slice.queued_count > slice.max, "more than a slice");
	expect_bearable(tasks_put(txn, &r));
}

static void on_replay(void *arg, const struct task *r)
{
	(void)arg;
	(void)r;
}

static void run_replays(struct db_txn *txn)
{
	static const enum task_kind KINDS[] = {TASK_REPLAY_LETTERS, TASK_DROP_LETTERS};
	expect_bearable(tasks_each(txn, on_replay, NULL));
	for (uint64_t webhook = 1; webhook <= WEBHOOKS; webhook++)
		run_replay(txn, &(struct task_key){.kind = TASK_REPLAY, .webhook = webhook});
	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++)
		run_replay(txn, &(struct task_key){.kind = KINDS[i], .session = "s"});
}

/* One is sent again, or given up. */
static void resend(struct db_txn *txn, const struct uuid *id, unsigned n)
{
	struct delivery d;
	const struct webhook w = {.fifo = n % 4 == 0};
	if (queue_get(txn, id, &d) != OK)
		return;
	enum err err = n % 2 == 0 ? resend_delivery(txn, SESSION, &d, &w, NOW_MS)
				  : resend_cancel(txn, SESSION, &d, NOW_MS);
	if (err != ERR_FULL && err != ERR_NOSPACE) /* an answer too: its share is full */
		expect_bearable(err);
	expect_bearable(db_txn_error(txn));
}

static void change_all(struct db_txn *txn)
{
	static const struct retention KEEP = {.settled_ms = 1000,
	    .settled_bytes = UINT64_MAX,
	    .dead_letters_ms = 1000};
	size_t dropped = 0;
	bool more = false;
	expect_bearable(resend_name_letters(txn, &more));
	run_replays(txn);
	for (unsigned n = 0; n < IDS; n++) {
		struct delivery d;
		const struct uuid id = id_of(n);
		resend(txn, &id, n);
		check_release(txn, &id);
		if (queue_get(txn, &id, &d) == OK)
			expect_bearable(retention_settle(txn, &d, NOW_MS));
	}
	more = true;
	while (more)
		panic_if(history_fill(txn, &more) != OK, "fill");
	enum err err = OK;
	for (more = true; more && err == OK;)
		err = recount_fill(txn, &more);
	expect_bearable(err); /* where it was is a row that may be damaged */
	expect_bearable(retention_make_room(txn, 1000));
	expect_bearable(retention_cancel_queue(txn, 1, NOW_MS, 100, &dropped));
	expect_bearable(idempotency_sweep(txn, NOW_MS, 100, &dropped));
	expect_bearable(retention_sweep_dead(txn, &KEEP, NOW_MS, 100, &dropped));
	expect_bearable(retention_sweep_settled(txn, &KEEP, NOW_MS, 100, &dropped));
	for (unsigned n = 0; n < IDS; n++) {
		const struct uuid id = id_of(n);
		expect_bearable(events_drop(txn, &id));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct db_txn *txn = NULL;
	struct reader r = reader_of((struct slice){(const char *)data, size});
	panic_if(db_begin(open_store(), &txn) != OK, "no transaction");
	for (int n = 0; n < ROWS_MAX && r.left > 0 && !r.failed; n++)
		put_row(txn, &r);
	read_events(txn);
	read_queues(txn);
	read_others(txn);
	count_trends(txn);
	read_log(txn);
	change_all(txn);
	panic_if(db_txn_error(txn) != OK, "the transaction has failed");
	db_abort(txn);
	return 0;
}
