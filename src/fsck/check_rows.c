/*
 * What the rows of each table must be like, and what must be in the others for them. A record
 * whose checksum is wrong is a finding of its own table alone: those that name it pass it by.
 */
#include "base/codec.h"
#include "fsck/check_inner.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/entry.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/portal_key.h"
#include "store/portal_series.h"
#include "store/queue.h"
#include "store/recount.h"
#include "store/retention.h"
#include "store/sources.h"
#include "store/tasks.h"
#include "store/trends.h"
#include "store/webhooks.h"

#define WEBHOOK_KEY_SIZE 8
#define PLACE_BYTES (4 * 8 + ENTRY_DIGEST) /* of a struct entry_position */
/* Events: of more that were replayed, it is not proved that DB_SETTLED names them. */
#define REPLAYED_MAX 100000

#define U(n) ((unsigned long long)(n))

static void add(struct tally *t, const struct uuid *id)
{
	unsigned char digest[RECORD_DIGEST];
	record_digest(uuid_slice(id), SLICE(""), digest);
	struct reader r = reader_of((struct slice){(const char *)digest, sizeof(digest)});
	t->count++;
	t->sum += get_u64(&r);
}

/* What the bytes of a session's keys are multiplied by. */
static uint64_t weight_of(struct slice session)
{
	unsigned char digest[RECORD_DIGEST];
	record_digest(session, SLICE("usage"), digest);
	struct reader r = reader_of((struct slice){(const char *)digest, sizeof(digest)});
	return get_u64(&r) | 1;
}

/* Looks whether usage knows the session of a row, once for all of its rows. */
static void pass_session(struct check *c, struct slice session)
{
	struct slice value;
	if (slice_eq(session, slice_of(c->session)))
		return;
	memcpy(c->session, session.ptr, session.len);
	c->session[session.len] = '\0';
	if (db_get(c->txn, DB_USAGE, session, &value) == ERR_NOTFOUND)
		check_find(c, "usage has no row of its session");
}

/* The same of a row that counts for the webhooks for all sessions, once. */
static void pass_for_all(struct check *c)
{
	struct slice value;
	if (!c->passed_for_all &&
	    db_get(c->txn, DB_USAGE, SLICE(SESSION_ALL), &value) == ERR_NOTFOUND)
		check_find(c, "usage has no row of " SESSION_ALL);
	c->passed_for_all = true;
}

static void end_sessions(struct check *c)
{
	c->session[0] = '\0';
	c->passed_for_all = false;
}

static bool parse_id(struct slice key, struct uuid *id)
{
	if (key.len != UUID_SIZE)
		return false;
	memcpy(id->bytes, key.ptr, UUID_SIZE);
	return true;
}

/* meta */

static void row_meta(struct check *c, struct slice key, struct slice value)
{
	const struct {
		struct slice name;
		size_t bytes;
		uint64_t *out;
	} KNOWN[] = {{SLICE("schema"), 4, NULL}, {SLICE("last_webhook"), 8, &c->last_webhook},
	    {SLICE("journal"), PLACE_BYTES, NULL}};
	struct reader r;
	for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
		if (!slice_eq(key, KNOWN[i].name))
			continue;
		if (record_open(value, record_at(DB_META, key), &r) != OK ||
		    r.left != KNOWN[i].bytes)
			check_find(c, "the record is corrupt");
		else if (KNOWN[i].out != NULL)
			*KNOWN[i].out = get_u64(&r);
		return;
	}
	bool sound = false;
	if (!portal_key_check(key, value, &sound) && !portal_series_check(key, value, &sound))
		check_find(c, "the key is not known");
	else if (!sound)
		check_find(c, "the record is corrupt");
}

/* webhooks, urls */

/* Whether the row that was found leads to the webhook. */
static bool leads_to(const struct webhook *w, enum err found, struct slice value)
{
	struct reader r = reader_of(value);
	return found == OK && value.len == WEBHOOK_KEY_SIZE && get_u64(&r) == w->number;
}

static void check_url(struct check *c, const struct webhook *w)
{
	struct slice value = SLICE("");
	enum err err = webhooks_find_url(c->txn, w, &value);
	bool by_url = leads_to(w, err, value);
	err = ERR_NOTFOUND;
	if (w->name != NULL)
		err = webhooks_find_name(c->txn, slice_of(w->session), slice_of(w->name),
		    &value);
	bool by_name = leads_to(w, err, value);
	if (!w->deleted && !by_url)
		check_find(c, "urls does not name it for its session and URL");
	if (!w->deleted && w->name != NULL && !by_name)
		check_find(c, "urls does not name it for its session and name");
	if (w->deleted && (by_url || by_name))
		check_find(c, "it is deleted, and urls still names it");
}

/* Whether a webhook has, or had, that number. */
static bool is_known_number(const struct check *c, uint64_t number)
{
	number &= ~WEBHOOK_FOR_ALL;
	return number > 0 && number <= c->last_webhook;
}

static void row_webhook(struct check *c, struct slice key, struct slice value)
{
	struct webhook *w = NULL;
	struct reader r = reader_of(key);
	uint64_t number = get_u64(&r);
	if (webhooks_decode(key, value, &w) != OK) {
		check_find(c, "the record is corrupt");
		return;
	}
	if (r.failed || r.left != 0 || number != w->number)
		check_find(c, "the key is not the webhook's number");
	else if (!is_known_number(c, number))
		check_find(c, "the number is not one of 1 to last_webhook of meta");
	if (!name_is_kept(slice_of(w->session)))
		check_find(c, "the session's name is malformed");
	if (webhook_is_for_all(number) != (strcmp(w->session, SESSION_ALL) == 0))
		check_find(c, "the number says whether it is for all sessions, and is wrong");
	check_url(c, w);
	webhook_free(w);
}

static void row_url(struct check *c, struct slice key, struct slice value)
{
	struct webhook *w = NULL;
	struct slice named = {.ptr = "", .len = 0};
	struct reader r = reader_of(value);
	uint64_t number = get_u64(&r);
	if (key.len != RECORD_DIGEST || r.failed || r.left != 0) {
		check_find(c, "the row is malformed");
		return;
	}
	enum err err = webhooks_get_open(c->txn, number, &w);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no webhook %llu", U(number));
	if (err != OK)
		return;
	/* the row of its session and URL, or name, must be this very one */
	err = webhooks_find_url(c->txn, w, &named);
	if ((err != OK || named.ptr != value.ptr) && w->name != NULL)
		err = webhooks_find_name(c->txn, slice_of(w->session), slice_of(w->name),
		    &named);
	if (w->deleted || err != OK || named.ptr != value.ptr)
		check_find(c, "webhook %llu is deleted, or has another session, URL or name",
		    U(number));
	webhook_free(w);
}

/* events */

/* Whether a delivery of `e` was given back to the queue after it was dead or over. */
static bool was_replayed(struct check *c, const struct event *e)
{
	for (uint32_t n = 1; n <= e->deliveries; n++) {
		struct delivery d;
		struct uuid id;
		uuid_step(&e->id, n, &id);
		if (queue_get(c->txn, &id, &d) == OK && d.replays > 0)
			return true;
	}
	return false;
}

/* Looks at the deliveries of an event: all there, and as many open as it counts. */
static void check_deliveries(struct check *c, const struct event *e,
    const struct event_state *s)
{
	uint32_t open = 0;
	uint32_t open_all = 0;
	uint32_t for_all = 0;
	bool readable = true;
	for (uint32_t n = 1; n <= e->deliveries; n++) {
		struct delivery d;
		struct uuid id;
		uuid_step(&e->id, n, &id);
		enum err err = queue_get(c->txn, &id, &d);
		if (err == ERR_NOTFOUND)
			check_find(c, "there is no record of its delivery %u of %u", n,
			    e->deliveries);
		readable = readable && err == OK;
		bool is_open = err == OK &&
		    (d.status == DELIVERY_WAITING || d.status == DELIVERY_DEAD);
		bool is_for_all = err == OK && webhook_is_for_all(d.webhook);
		for_all += is_for_all ? 1 : 0;
		open += is_open ? 1 : 0;
		open_all += is_open && is_for_all ? 1 : 0;
	}
	if (readable && for_all < e->for_all) /* more: of a record of before */
		check_find(c, "it counts %u deliveries for all sessions, there are %u",
		    e->for_all, for_all);
	if (!readable || s == NULL)
		return;
	if (open != s->open)
		check_find(c, "it counts %u open deliveries, there are %u", s->open, open);
	if (open_all < s->open_all) /* more: from before they were counted */
		check_find(c, "it counts %u open for all sessions, there are %u", s->open_all,
		    open_all);
}

static void begin_event(struct check *c, struct slice value)
{
	struct reader r;
	struct event *e = &c->event;
	struct event_state s;
	if (events_decode_head(value, e, &r) != OK) {
		check_find(c, "the record is corrupt");
		return;
	}
	c->pieces = 1;
	c->body_bytes = r.left;
	if (e->deliveries == 0) {
		add(&c->answers, &e->id);
		return;
	}
	if (!name_is_kept(slice_of(e->session)) || !name_is_event(slice_of(e->name)))
		check_find(c, "the session's or the event's name is malformed");
	else if (history_find(c->txn, slice_of(e->session), &e->id) == ERR_NOTFOUND)
		check_find(c, "history does not name it");
	bool is_known = events_state(c->txn, e, &s) == OK; /* else its own row tells */
	check_deliveries(c, e, is_known ? &s : NULL);
	if (!is_known || s.open > 0)
		return;
	if (!was_replayed(c, e))
		add(&c->over, &e->id);
	else if (map_count(c->replayed) < REPLAYED_MAX)
		map_put(c->replayed, e->id.bytes, UUID_SIZE, c);
}

/* Looks whether the pieces that were passed are the whole body of their event. */
static void end_event(struct check *c)
{
	struct slice key = c->key;
	c->key = uuid_slice(&c->event.id);
	uint64_t counted = (uint64_t)c->event.body_bytes + c->event.attached_bytes +
	    c->event.trace_bytes;
	if (c->pieces > 0 && c->body_bytes != counted)
		check_find(c, "its pieces have %llu bytes of body, it counts %llu",
		    U(c->body_bytes), U(counted));
	c->key = key;
	c->pieces = 0;
}

static void row_event(struct check *c, struct slice key, struct slice value)
{
	struct uuid id;
	uint16_t piece = 0;
	struct reader r;
	if (!events_parse_key(key, &id, &piece)) {
		check_find(c, "the key is malformed");
		return;
	}
	bool same = slice_eq(uuid_slice(&id), uuid_slice(&c->event.id));
	if (piece == 0) {
		end_event(c);
		c->event.id = id;
		begin_event(c, value);
	} else if (record_open(value, record_at(DB_EVENTS, key), &r) != OK) {
		check_find(c, "the record is corrupt");
		c->pieces = same ? 0 : c->pieces;
	} else if (!same) {
		check_find(c, "there is no first piece before it");
	} else if (c->pieces > 0 && piece != c->pieces) {
		check_find(c, "piece %u is missing", c->pieces);
		c->pieces = 0;
	} else if (c->pieces > 0) {
		c->pieces++;
		c->body_bytes += r.left;
	}
}

/* deliveries, queue */

/* Whether `id` is of the range that the event's deliveries have. */
static bool is_in_range(const struct event *e, const struct uuid *id)
{
	struct uuid last;
	uuid_step(&e->id, e->deliveries, &last);
	return uuid_before(&e->id, id) && !uuid_before(&last, id);
}

static void row_delivery(struct check *c, struct slice key, struct slice value)
{
	struct delivery d;
	struct event e;
	if (!parse_id(key, &d.id) || queue_decode(&d.id, value, &d) != OK) {
		check_find(c, "the record is corrupt");
		return;
	}
	enum err err = events_get(c->txn, &d.event_id, &e, NULL);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no event of it");
	else if (err == OK && !is_in_range(&e, &d.id))
		check_find(c, "its id is not of the range behind its event's");
	if (!is_known_number(c, d.webhook))
		check_find(c, "webhook %llu is not one of 1 to last_webhook of meta",
		    U(d.webhook));
	if (d.status == DELIVERY_WAITING && queue_find_place(c->txn, &d) == ERR_NOTFOUND)
		check_find(c, "it waits, and the queue does not have it at its place");
	if (d.status == DELIVERY_DEAD)
		add(&c->dead, &d.id);
}

/* The queue of a webhook has been passed: as many as were counted wait there. */
static void end_queue(struct check *c)
{
	unsigned char at[WEBHOOK_KEY_SIZE];
	struct slice value;
	uint64_t counted = 0;
	if (c->queue_rows == 0)
		return;
	codec_store_u64(at, c->queue_webhook);
	struct slice key = {.ptr = (const char *)at, .len = sizeof(at)};
	enum err err = db_get(c->txn, DB_BACKLOG, key, &value);
	if (err == OK)
		err = record_open_number(value, record_at(DB_BACKLOG, key), &counted);
	if (err == ERR_NOTFOUND || (err == OK && counted != c->queue_rows))
		check_find(c, "webhook %llu has %llu waiting, backlog counts %llu",
		    U(c->queue_webhook), U(c->queue_rows), U(counted));
	c->queue_rows = 0;
}

static void begin_queue(struct check *c, uint64_t number)
{
	struct webhook *w = NULL;
	end_queue(c);
	c->queue_webhook = number;
	c->queues++;
	if (webhooks_get_open(c->txn, number, &w) == ERR_NOTFOUND)
		check_find(c, "there is no webhook %llu", U(number));
	/* what cannot be read may have any, and so may what is being put in order */
	c->queue_has_lanes = w == NULL || w->key != NULL || w->unordered != 0 || w->deleted;
	webhook_free(w);
}

static void row_queue(struct check *c, struct slice key, struct slice value)
{
	struct queue_place place;
	uint64_t number = 0;
	struct delivery d;
	if (!queue_parse_key(key, &number, &place) || value.len != 0) {
		check_find(c, "the row is malformed");
		return;
	}
	enum err err = queue_get(c->txn, &place.id, &d);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no record of the delivery");
	else if (err == OK && d.status != DELIVERY_WAITING)
		check_find(c, "the delivery does not wait");
	else if (err == OK &&
	    (d.webhook != number || d.place_ms != place.place_ms || d.lane != place.lane))
		check_find(c, "the delivery is another webhook's, or has another place");
	if (number != c->queue_webhook)
		begin_queue(c, number);
	if (place.lane > (c->queue_has_lanes ? LANE_MAX : LANE_NONE))
		check_find(c, "it is in lane %u, which its webhook does not have", place.lane);
	c->queue_rows++;
}

static void row_backlog(struct check *c, struct slice key, struct slice value)
{
	uint64_t counted = 0;
	c->backlogs++;
	if (key.len != WEBHOOK_KEY_SIZE ||
	    record_open_number(value, record_at(DB_BACKLOG, key), &counted) != OK)
		check_find(c, "the row is corrupt");
	else if (counted == 0)
		check_find(c, "nothing waits, so there should be no row");
}

/* dead, dead_by_age */

static void check_dead_delivery(struct check *c, struct slice session,
    const struct dead_letter *dead)
{
	struct delivery d;
	struct event e;
	enum err err = queue_get(c->txn, &dead->delivery_id, &d);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no record of its delivery");
	else if (err == OK && d.status != DELIVERY_DEAD)
		check_find(c, "its delivery is not dead");
	else if (err == OK && memcmp(&d.event_id, &dead->event_id, UUID_SIZE) != 0)
		check_find(c, "its delivery is of another event");
	else if (err == OK && memcmp(&d.letter, &dead->id, UUID_SIZE) != 0)
		check_find(c, "its delivery names another dead letter");
	uint64_t webhook = err == OK                ? d.webhook
	    : slice_eq(session, SLICE(SESSION_ALL)) ? WEBHOOK_FOR_ALL
						    : 0;
	if (err != ERR_CORRUPT && events_get(c->txn, &dead->event_id, &e, NULL) == OK &&
	    !slice_eq(webhook_owner(webhook, slice_of(e.session)), session))
		check_find(c, "its event is of another session");
	add(&c->dead_letters, &dead->delivery_id);
}

static void row_dead(struct check *c, struct slice key, struct slice value)
{
	struct dead_letter dead;
	struct slice session;
	struct slice named = {.ptr = "", .len = 0};
	enum err err = dead_letters_decode(key, value, &session, &dead);
	if (session.len == 0) {
		check_find(c, "the key is malformed");
		return;
	}
	pass_session(c, session);
	enum err found = db_get(c->txn, DB_DEAD_BY_AGE, uuid_slice(&dead.id), &named);
	if (found == ERR_NOTFOUND || (found == OK && !slice_eq(named, session)))
		check_find(c, "dead_by_age does not name it");
	if (err == OK)
		check_dead_delivery(c, session, &dead);
	else
		check_find(c, "the record is corrupt");
}

static void row_dead_by_age(struct check *c, struct slice key, struct slice value)
{
	struct dead_letter dead;
	struct uuid id;
	if (!parse_id(key, &id) || !name_is_kept(value))
		check_find(c, "the row is malformed");
	else if (dead_letters_get(c->txn, value, &id, &dead) == ERR_NOTFOUND)
		check_find(c, "there is no such dead letter in its session");
}

/* settled */

/*
 * An entry may be older than a replay of its event: the event is then open, or was settled
 * again under another entry, or is gone with that one.
 */
static void row_settled(struct check *c, struct slice key, struct slice value)
{
	struct settled s;
	struct event e;
	struct event_state now;
	if (retention_decode(key, value, &s) != OK) {
		check_find(c, "the row is corrupt");
		return;
	}
	if (events_get(c->txn, &s.event, &e, NULL) != OK ||
	    events_state(c->txn, &e, &now) != OK)
		return;
	uint64_t cost = 0;
	bool counts = now.open == 0 && (now.settled_ms == 0 || now.settled_ms == s.at_ms);
	if (retention_cost(c->txn, &e, &cost) == OK && counts && s.cost != cost)
		check_find(c, "it says %llu bytes, its event counts for %llu", U(s.cost),
		    U(cost));
	bool replayed = was_replayed(c, &e);
	if (replayed)
		(void)map_del(c->replayed, s.event.bytes, UUID_SIZE); /* if not deleted yet */
	else if (now.open > 0)
		check_find(c, "its event has open deliveries, none of them replayed");
	else
		add(&c->over_entered, &s.event);
}

/* repeats, repeats_by_age */

/* A key of version 1: its answer lies among the events. */
static void check_text(struct check *c, const struct repeat *known)
{
	struct event e;
	enum err err = events_get(c->txn, &known->text, &e, NULL);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no answer of it among the events");
	if (err == OK && e.deliveries > 0)
		check_find(c, "its answer is an event with deliveries");
	if (err != ERR_CORRUPT)
		add(&c->answers_used, &known->text);
}

/* All pieces of a key's answer. */
static void check_answer(struct check *c, const unsigned char digest[RECORD_DIGEST],
    struct repeat *known)
{
	struct answer answer = {0};
	uint64_t cost = 0;
	struct slice session = slice_of(known->session);
	if (!name_is_kept(session))
		check_find(c, "the session's name is malformed");
	else if (idempotency_cost(c->txn, digest, known, &cost) == OK)
		c->key_bytes += cost * weight_of(session);
	else
		c->keys_unread = true;
	if (idempotency_get(c->txn, digest, known, &answer) == ERR_CORRUPT)
		check_find(c, "of its answer a piece is missing or corrupt");
	answer_fini(&answer);
}

/* A piece behind the first. */
static void row_piece(struct check *c, struct slice key, struct slice value)
{
	unsigned char digest[RECORD_DIGEST];
	uint16_t piece = 0;
	struct repeat known;
	struct reader r;
	if (!idempotency_parse_piece(key, digest, &piece) ||
	    record_open(value, record_at(DB_REPEATS, key), &r) != OK) {
		check_find(c, "the record is corrupt");
		return;
	}
	struct slice first = {.ptr = key.ptr, .len = RECORD_DIGEST};
	enum err err = db_get(c->txn, DB_REPEATS, first, &value);
	if (err == OK)
		err = idempotency_decode(first, value, &known);
	if (err == ERR_NOTFOUND || (err == OK && piece > known.pieces))
		check_find(c, "there is no key that has it");
}

static void row_repeat(struct check *c, struct slice key, struct slice value)
{
	struct repeat known;
	struct slice nothing;
	unsigned char digest[RECORD_DIGEST];
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	if (key.len > RECORD_DIGEST) {
		row_piece(c, key, value);
		return;
	}
	if (key.len != RECORD_DIGEST || idempotency_decode(key, value, &known) != OK) {
		check_find(c, "the record is corrupt");
		c->keys_unread = true;
		return;
	}
	memcpy(digest, key.ptr, RECORD_DIGEST);
	if (db_get(c->txn, DB_REPEATS_BY_AGE,
		idempotency_age_key(known.expires_ms, digest, age), &nothing) == ERR_NOTFOUND)
		check_find(c, "repeats_by_age does not name it");
	if (known.is_text)
		check_text(c, &known);
	else
		check_answer(c, digest, &known);
}

static void row_repeat_by_age(struct check *c, struct slice key, struct slice value)
{
	struct repeat known;
	struct reader r = reader_of(key);
	int64_t expires_ms = get_i64(&r);
	struct slice digest = get_bytes(&r, RECORD_DIGEST);
	if (r.failed || r.left != 0 || value.len != 0) {
		check_find(c, "the row is malformed");
		return;
	}
	enum err err = db_get(c->txn, DB_REPEATS, digest, &value);
	if (err == OK)
		err = idempotency_decode(digest, value, &known);
	if (err == ERR_NOTFOUND || (err == OK && known.expires_ms != expires_ms))
		check_find(c, "there is no key in repeats that expires then");
}

/* attempts */

static void row_attempt(struct check *c, struct slice key, struct slice value)
{
	struct uuid id;
	uint32_t number = 0;
	struct attempt_record a;
	struct delivery d;
	enum err err = attempts_decode(key, value, &id, &number, &a);
	if (err != OK)
		check_find(c, "the record is corrupt");
	if (number == 0) {
		check_find(c, "the key is malformed");
		return;
	}
	err = queue_get(c->txn, &id, &d);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no record of the delivery");
	else if (err == OK && number > d.attempts)
		check_find(c, "the delivery counts %u attempts", d.attempts);
}

/* history */

static void row_history(struct check *c, struct slice key, struct slice value)
{
	struct slice session;
	struct event e;
	struct uuid id;
	if (!history_parse_key(key, &session, &id) || value.len != 0) {
		check_find(c, "the row is malformed");
		return;
	}
	struct event_state now = {0};
	enum err err = events_get(c->txn, &id, &e, NULL);
	bool for_all_pay = err == OK && events_state(c->txn, &e, &now) == OK &&
	    now.open_all > 0;
	if (!for_all_pay || now.open > now.open_all)
		pass_session(c, session);
	if (for_all_pay)
		pass_for_all(c);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no such event");
	else if (err == OK && (e.deliveries == 0 || !slice_eq(slice_of(e.session), session)))
		check_find(c, "the event is of another session, or an answer");
}

/* replays */

static void row_replay(struct check *c, struct slice key, struct slice value)
{
	struct task r;
	struct webhook *w = NULL;
	if (tasks_decode(key, value, &r) != OK) {
		check_find(c, "the row is corrupt");
		return;
	}
	if ((r.state == TASK_RUNNING) != (r.finished_ms == 0))
		check_find(c, "it runs and has ended, or neither");
	if (r.scheduled > r.looked_at)
		check_find(c, "it counts %llu deliveries of %llu", U(r.scheduled),
		    U(r.looked_at));
	if (r.key.kind != TASK_REPLAY)
		return;
	if (webhooks_get_open(c->txn, r.key.webhook, &w) == ERR_NOTFOUND)
		check_find(c, "there is no webhook %llu", U(r.key.webhook));
	webhook_free(w);
}

/* usage */

static void row_usage(struct check *c, struct slice key, struct slice value)
{
	struct holding says;
	struct holding is;
	if (!name_is_kept(key) || usage_decode(key, value, &says) != OK) {
		check_find(c, "the row is corrupt");
		c->keys_unread = true;
		return;
	}
	c->key_shares += says.n[USAGE_KEYS] * weight_of(key);
	if (recount_session(c->txn, key, &is) != OK)
		return; /* an event that cannot be read: nobody can say */
	if (says.n[USAGE_OPEN] != is.n[USAGE_OPEN])
		check_find(c, "it says %llu bytes that are open, there are %llu",
		    U(says.n[USAGE_OPEN]), U(is.n[USAGE_OPEN]));
	if (says.n[USAGE_HISTORY] != is.n[USAGE_HISTORY])
		check_find(c, "it says %llu bytes of history, there are %llu",
		    U(says.n[USAGE_HISTORY]), U(is.n[USAGE_HISTORY]));
	if (says.n[USAGE_LETTERS] != is.n[USAGE_LETTERS])
		check_find(c, "it says %llu dead letters, there are %llu",
		    U(says.n[USAGE_LETTERS]), U(is.n[USAGE_LETTERS]));
}

/* sources */

static void row_source(struct check *c, struct slice key, struct slice value)
{
	if (sources_check(key, value) != OK)
		check_find(c, "the row is corrupt");
}

/* open */

static void row_open(struct check *c, struct slice key, struct slice value)
{
	struct event e;
	struct event_state s;
	struct uuid id;
	if (events_decode_open(key, value, &id, &s) != OK) {
		check_find(c, "the row is corrupt");
		return;
	}
	enum err err = events_get(c->txn, &id, &e, NULL);
	if (err == ERR_NOTFOUND)
		check_find(c, "there is no such event");
	else if (err == OK && (e.deliveries < 2 || e.has_state))
		check_find(c, "its event needs no count: it has one delivery, or its own");
}

/* trends */

static void row_trend(struct check *c, struct slice key, struct slice value)
{
	struct webhook *w = NULL;
	uint64_t number = 0;
	if (trends_check(key, value, &number) != OK)
		check_find(c, "the row is corrupt");
	else if (webhooks_get_open(c->txn, number, &w) == ERR_NOTFOUND)
		check_find(c, "there is no webhook %llu", U(number));
	webhook_free(w);
}

const struct check_table CHECK_TABLES[DB_TABLES] = {
    [DB_META] = {row_meta, NULL},
    [DB_WEBHOOKS] = {row_webhook, NULL},
    [DB_URLS] = {row_url, NULL},
    [DB_EVENTS] = {row_event, end_event},
    [DB_DELIVERIES] = {row_delivery, NULL},
    [DB_QUEUE] = {row_queue, end_queue},
    [DB_BACKLOG] = {row_backlog, NULL},
    [DB_DEAD] = {row_dead, end_sessions},
    [DB_DEAD_BY_AGE] = {row_dead_by_age, NULL},
    [DB_SETTLED] = {row_settled, NULL},
    [DB_REPEATS] = {row_repeat, NULL},
    [DB_REPEATS_BY_AGE] = {row_repeat_by_age, NULL},
    [DB_ATTEMPTS] = {row_attempt, NULL},
    [DB_HISTORY] = {row_history, end_sessions},
    [DB_TASKS] = {row_replay, NULL},
    [DB_USAGE] = {row_usage, NULL},
    [DB_SOURCES] = {row_source, NULL},
    [DB_OPEN] = {row_open, NULL},
    [DB_TRENDS] = {row_trend, NULL},
};

/* Two sets that must be one: what they hold, and where each was counted. */
static void compare(struct check *c, enum db_table t, const struct tally *here,
    const char *what, const struct tally *there, const char *where)
{
	c->table = t;
	if (here->count != there->count)
		check_find(c, "%llu %s, %llu in %s", U(here->count), what, U(there->count),
		    where);
	else if (here->sum != there->sum)
		check_find(c, "%llu %s, and as many others in %s", U(here->count), what, where);
}

void check_totals(struct check *c)
{
	c->table = DB_BACKLOG;
	if (c->backlogs != c->queues)
		check_find(c, "%llu rows, %llu webhooks have any waiting", U(c->backlogs),
		    U(c->queues));
	compare(c, DB_EVENTS, &c->answers, "answers to repeated requests", &c->answers_used,
	    "repeats");
	compare(c, DB_EVENTS, &c->over, "events without open deliveries", &c->over_entered,
	    "settled");
	compare(c, DB_DELIVERIES, &c->dead, "dead deliveries", &c->dead_letters, "dead");
	c->table = DB_EVENTS;
	if (map_count(c->replayed) > 0)
		check_find(c, "%llu events that were replayed and are over, not in settled",
		    U(map_count(c->replayed)));
	c->table = DB_USAGE;
	if (c->key_bytes != c->key_shares && !c->keys_unread)
		check_find(c, "the bytes of keys are not those of the keys in repeats");
}
