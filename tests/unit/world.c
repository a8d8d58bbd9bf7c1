/* Stores as gateways leave them; see world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/record.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/queue.h"
#include "store/resend.h"
#include "store/schema.h"
#include "store/tasks.h"
#include "store/trends.h"
#include "store/usage.h"
#include "store/webhooks.h"
#include "world.h"

struct uuid world_take_id(struct world *w)
{
	w->next_id += 100;
	struct uuid id = make_id(w->next_id);
	for (int i = 0; i < 6; i++) /* the time that retention of dead letters looks at */
		id.bytes[i] = (uint8_t)(w->now_ms >> (8 * (5 - i)));
	return id;
}

void world_register(struct world *w, uint64_t number)
{
	char url[64];
	(void)snprintf(url, sizeof(url), "http://host/%llu", (unsigned long long)number);
	struct webhook *hook = make_webhook(number, "s", url);
	assert_int_equal(webhooks_add(w->txn, NULL, hook), OK);
	webhook_free(hook);
}

struct uuid world_publish(struct world *w, uint64_t first, uint32_t count, uint32_t bytes)
{
	static const char BODY[WORLD_BODY_MAX] = {0};
	struct event e = {.id = world_take_id(w),
	    .session = "s",
	    .name = "message",
	    .created_ms = w->now_ms,
	    .deliveries = count,
	    .body_bytes = bytes};
	assert_int_equal(events_put(w->txn, &e, (struct slice){BODY, bytes}), OK);
	assert_int_equal(history_put(w->txn, SLICE("s"), &e.id), OK);
	usage_change(w->txn, SLICE("s"), USAGE_OPEN, (int64_t)event_cost(&e));
	for (uint32_t k = 1; k <= count; k++) {
		struct delivery d = make_delivery(first + k - 1, 0, w->now_ms);
		d.event_id = e.id;
		uuid_step(&e.id, k, &d.id);
		assert_int_equal(queue_add(w->txn, &d), OK);
	}
	return e.id;
}

struct delivery world_delivery(struct world *w, struct uuid event, uint32_t k)
{
	struct delivery d;
	struct uuid id;
	uuid_step(&event, k, &id);
	assert_int_equal(queue_get(w->txn, &id, &d), OK);
	return d;
}

void world_attempt(struct world *w, const struct delivery *d)
{
	struct attempt_record a = {.at_ms = w->now_ms,
	    .status = 500,
	    .url = SLICE("http://host/"),
	    .address = SLICE("127.0.0.1:80"),
	    .error = SLICE(""),
	    .answer = SLICE("said the receiver")};
	struct buf record = BUF_INIT(ATTEMPT_RECORD_MAX);
	struct event e = {0};
	assert_int_equal(events_get(w->txn, &d->event_id, &e, NULL), OK);
	attempt_record_encode(&a, &record);
	record_seal(&record, attempts_at(&d->id, d->attempts));
	assert_int_equal(attempts_put(w->txn, &e, d, buf_view(&record)), OK);
	buf_fini(&record);
}

void world_deliver(struct world *w, struct delivery d)
{
	d.attempts++;
	assert_int_equal(queue_remove(w->txn, &d), OK);
	world_attempt(w, &d);
	d.status = DELIVERY_DELIVERED;
	assert_int_equal(retention_settle(w->txn, &d, w->now_ms), OK);
}

void world_defer(struct world *w, struct delivery d)
{
	int64_t old_ms = d.place_ms;
	d.attempts++;
	d.place_ms = w->now_ms + 1000;
	d.due_ms = d.place_ms;
	world_attempt(w, &d);
	assert_int_equal(queue_move(w->txn, &d, old_ms), OK);
}

struct uuid world_bury(struct world *w, struct delivery d)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	dead->id = world_take_id(w);
	dead->delivery_id = d.id;
	dead->event_id = d.event_id;
	d.attempts++;
	assert_int_equal(queue_remove(w->txn, &d), OK);
	d.status = DELIVERY_DEAD;
	d.letter = dead->id;
	assert_int_equal(queue_put(w->txn, &d), OK);
	assert_int_equal(dead_letters_put(w->txn, SLICE("s"), dead), OK);
	struct uuid id = dead->id;
	free(dead);
	return id;
}

void world_replay(struct world *w, struct uuid letter)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	struct delivery d;
	assert_int_equal(dead_letters_get(w->txn, SLICE("s"), &letter, dead), OK);
	assert_int_equal(queue_get(w->txn, &dead->delivery_id, &d), OK);
	struct webhook *hook = NULL;
	enum err err = webhooks_get(w->txn, NULL, d.webhook, &hook);
	bool gone = err == ERR_NOTFOUND || hook->deleted;
	webhook_free(hook);
	if (gone) {
		free(dead);
		return;
	}
	assert_int_equal(resend_delivery(w->txn, SLICE("s"), &d, &NO_ORDER, w->now_ms), OK);
	free(dead);
}

void world_retire(struct world *w, uint64_t number)
{
	struct webhook *hook = NULL;
	assert_int_equal(webhooks_get(w->txn, NULL, number, &hook), OK);
	assert_int_equal(webhooks_retire(w->txn, NULL, hook), OK);
	webhook_free(hook);
}

static struct idempotency key_of(uint64_t n, int64_t expires_ms)
{
	struct idempotency k;
	struct uuid name = make_id(n);
	idempotency_set(&k, SLICE("s"), uuid_slice(&name), SLICE("request"), SLICE("request"),
	    expires_ms);
	return k;
}

void world_key(uint64_t n, unsigned char digest[RECORD_DIGEST])
{
	struct idempotency k = key_of(n, 1);
	memcpy(digest, k.key, RECORD_DIGEST);
}

void world_answer(struct world *w, uint64_t n, size_t events)
{
	struct idempotency k = key_of(n, w->now_ms + 500);
	struct answer a = {.is_batch = true, .count = events};
	a.events = mem_array(events, sizeof(*a.events));
	for (size_t i = 0; i < events; i++)
		a.events[i] = (struct answered){.event = make_id(10 * (n + i)),
		    .deliveries = (uint32_t)(i % 5),
		    .has_timestamp = i % 2 == 0,
		    .timestamp_s = (int64_t)i};
	assert_int_equal(idempotency_keep(w->txn, &k, SLICE("s"), &a), OK);
	answer_fini(&a);
}

void world_text_answer(struct world *w, uint64_t n, size_t bytes)
{
	static const char BODY[WORLD_BODY_MAX] = {0};
	struct idempotency k = key_of(n, w->now_ms + 500);
	struct event e = {.id = world_take_id(w), .body_bytes = (uint32_t)bytes};
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	struct buf value = BUF_INIT(128);
	put_u8(&value, 1);
	buf_append(&value, k.request, RECORD_DIGEST);
	put_i64(&value, k.expires_ms);
	buf_append(&value, e.id.bytes, UUID_SIZE);
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(events_put(w->txn, &e, (struct slice){BODY, bytes}), OK);
	assert_int_equal(db_put(w->txn, DB_REPEATS,
			     (struct slice){(const char *)k.key, RECORD_DIGEST},
			     buf_view(&value)),
	    OK);
	assert_int_equal(db_put(w->txn, DB_REPEATS_BY_AGE,
			     idempotency_age_key(k.expires_ms, k.key, age), SLICE("")),
	    OK);
	buf_fini(&value);
}

void world_sweep(struct world *w, const struct retention *keep)
{
	size_t dropped = 0;
	assert_int_equal(retention_sweep_settled(w->txn, keep, w->now_ms, 10, &dropped), OK);
	assert_int_equal(retention_sweep_dead(w->txn, keep, w->now_ms, 10, &dropped), OK);
	assert_int_equal(idempotency_sweep(w->txn, w->now_ms, 10, &dropped), OK);
}

void world_begin(struct store *s, struct world *w)
{
	struct problem p;
	if (schema_migrate(s->db, &p) != OK)
		fail_msg("%s", p.message);
	*w = (struct world){.now_ms = WORLD_START_MS};
	w->txn = store_begin(s);
}

/* An attempt of a webhook, in the figures of its days. */
static void count_attempt(struct db_txn *txn, uint64_t webhook)
{
	struct trend_last last = {.at_ms = 1767225600000, .status = 200};
	struct trends *trends = trends_new();
	struct registry *reg = registry_new();
	registry_set(reg, make_webhook(webhook, "s", "http://a/"));
	trends_note(trends, webhook, &last, true, 1000);
	assert_int_equal(trends_write(trends, txn, reg, 1), OK);
	trends_free(trends);
	registry_free(reg);
}

void sample_make(struct store *s, struct sample *m)
{
	world_begin(s, &m->w);
	for (uint64_t n = 1; n <= 3; n++)
		world_register(&m->w, n);
	m->over = world_publish(&m->w, 1, 2, 10);
	world_deliver(&m->w, world_delivery(&m->w, m->over, 1));
	world_deliver(&m->w, world_delivery(&m->w, m->over, 2));
	m->mixed = world_publish(&m->w, 1, 2, 10);
	world_deliver(&m->w, world_delivery(&m->w, m->mixed, 1));
	m->letter = world_bury(&m->w, world_delivery(&m->w, m->mixed, 2));
	m->waiting = world_publish(&m->w, 1, 1, 10000);
	(void)world_publish(&m->w, 3, 1, 10);
	world_retire(&m->w, 3);
	world_answer(&m->w, 1, 400); /* in three pieces */
	world_answer(&m->w, 2, 1);
	world_text_answer(&m->w, 3, 100);
	struct task r = {.state = TASK_RUNNING, .statuses = REPLAY_ALL};
	r.key = (struct task_key){.kind = TASK_REPLAY, .webhook = 2};
	assert_int_equal(tasks_put(m->w.txn, &r), OK);
	count_attempt(m->w.txn, 1);
}

static void keep_finding(void *arg, const char *finding)
{
	struct findings *f = arg;
	buf_puts(&f->text, finding);
	buf_putc(&f->text, '\n');
}

void world_check(struct store *s, struct findings *f)
{
	f->text = BUF_INIT(1u << 20);
	check_store(s->db, keep_finding, f, &f->result);
}
