/*
 * Events in pieces: bodies around every boundary, heads alone, releases that count, and
 * damage that is noticed and holds nobody else up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/events.h"
#include "store/publication.h"
#include "support.h"

#define PIECE 4000 /* bytes of a piece at most; events.h */
#define EACH 3992  /* of these for the body, where there is no head: a checksum of 8 is off */
#define HEAD 21    /* bytes of the head besides its names */

static struct event make_event(uint64_t n, const char *session, const char *name, size_t bytes)
{
	struct event e = {.id = make_id(n),
	    .created_ms = 1767225600000,
	    .deliveries = 3,
	    .state = {.open = 3},
	    .body_bytes = (uint32_t)bytes};
	(void)snprintf(e.session, sizeof(e.session), "%s", session);
	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	return e;
}

/* The same `bytes` bytes for the same `n`; the caller's to free. */
static char *make_body(uint64_t n, size_t bytes)
{
	struct rnd rnd;
	char *body = mem_array(bytes + 8, 1);
	rnd_seed(&rnd, n);
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t word = rnd_next(&rnd);
		memcpy(body + i, &word, 8);
	}
	return body;
}

/* A delivery of the event, until the next call. */
static const struct delivery *of(const struct uuid *event)
{
	static struct delivery d;
	d = (struct delivery){.event_id = *event};
	return &d;
}

static void put_event(struct db_txn *txn, const struct event *e)
{
	char *body = make_body(e->id.bytes[15], e->body_bytes);
	assert_int_equal(events_put(txn, e, (struct slice){body, e->body_bytes}), OK);
	free(body);
}

/* Reads the body in parts that begin and end anywhere. */
static void check_parts(struct db_txn *txn, const struct event *e, const char *want)
{
	static const size_t PARTS[] = {1u << 22, 65536, 4096, 3991};
	char *got = malloc((1u << 22) + 1);
	for (size_t i = 0; i < COUNT(PARTS); i++) {
		size_t n = 1;
		for (size_t offset = 0; n > 0; offset += n) {
			assert_int_equal(
			    events_read_body(txn, &e->id, offset, got, PARTS[i], &n), OK);
			assert_true(offset + n <= e->body_bytes);
			assert_memory_equal(got, want + offset, n);
			assert_int_equal(n == 0, offset == e->body_bytes);
		}
	}
	free(got);
}

/* Reads event `e` in both ways and compares all of it. */
static void check_event(struct db_txn *txn, const struct event *e)
{
	char *want = make_body(e->id.bytes[15], e->body_bytes);
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	buf_puts(&body, "what was there before");
	for (int head_alone = 0; head_alone <= 1; head_alone++) {
		struct event got = {.created_ms = -1};
		struct event_state now = {.open = 99};
		assert_int_equal(events_get(txn, &e->id, &got, head_alone ? NULL : &body), OK);
		assert_memory_equal(got.id.bytes, e->id.bytes, UUID_SIZE);
		assert_string_equal(got.session, e->session);
		assert_string_equal(got.name, e->name);
		assert_true(got.created_ms == e->created_ms);
		assert_int_equal(got.deliveries, e->deliveries);
		assert_int_equal(events_state(txn, &got, &now), OK);
		assert_int_equal(now.open, e->state.open);
		assert_int_equal(now.open_all, e->state.open_all);
		assert_int_equal(got.for_all, e->for_all);
		assert_true(now.settled_ms == e->state.settled_ms);
		assert_int_equal(got.body_bytes, e->body_bytes);
	}
	assert_int_equal(body.len, e->body_bytes);
	if (e->body_bytes > 0)
		assert_memory_equal(body.data, want, e->body_bytes);
	check_parts(txn, e, want);
	buf_fini(&body);
	free(want);
}

/* Checks that no value of the table is larger than a piece; returns how many there are. */
static size_t count_pieces(struct db_txn *txn)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	size_t n = 0;
	assert_int_equal(db_cursor(txn, DB_EVENTS, &c), OK);
	for (; db_next(c, &key, &value) == OK; n++)
		assert_true(value.len <= PIECE);
	db_cursor_close(c);
	return n;
}

static void test_boundaries(void **state)
{
	struct store *s = *state;
	char session[SESSION_MAX + 1] = {0};
	char name[EVENT_MAX + 1] = {0};
	memset(session, 's', SESSION_MAX);
	memset(name, 'n', EVENT_MAX);
	const struct {
		const char *session, *name;
	} NAMES[] = {{"s", "e"}, {session, name}};
	for (size_t row = 0; row < COUNT(NAMES); row++) {
		size_t first = EACH - HEAD - strlen(NAMES[row].session) -
		    strlen(NAMES[row].name);
		const size_t sizes[] = {0, 1, 2, first - 1, first, first + 1, first + EACH - 1,
		    first + EACH, first + EACH + 1, first + 2 * EACH, first + 2 * EACH + 1,
		    first + 100 * EACH, EVENT_BODY_MAX};
		for (size_t i = 0; i < COUNT(sizes); i++) {
			size_t rest = sizes[i] > first ? sizes[i] - first : 0;
			struct event e = make_event(i, NAMES[row].session, NAMES[row].name,
			    sizes[i]);
			struct db_txn *txn = store_begin(s);
			put_event(txn, &e);
			check_event(txn, &e);
			store_commit(txn);
			txn = store_begin(s);
			check_event(txn, &e);
			if (count_pieces(txn) != 1 + (rest + EACH - 1) / EACH)
				fail_msg("names %zu, %zu bytes", row, sizes[i]);
			assert_int_equal(events_drop(txn, &e.id), OK);
			if (count_pieces(txn) != 0)
				fail_msg("names %zu, %zu bytes: not all dropped", row,
				    sizes[i]);
			store_commit(txn);
		}
	}
}

static void test_not_found(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct uuid id = make_id(7);
	struct buf body = BUF_INIT(100);
	struct event e;
	struct event_state before;
	struct event_state left;
	assert_int_equal(events_get(txn, &id, &e, &body), ERR_NOTFOUND);
	assert_int_equal(events_get(txn, &id, &e, NULL), ERR_NOTFOUND);
	assert_int_equal(events_release(txn, of(&id), 5, &e, &before, &left), ERR_NOTFOUND);
	assert_int_equal(events_drop(txn, &id), ERR_NOTFOUND);
	assert_int_equal(db_txn_error(txn), OK);
	buf_fini(&body);
	db_abort(txn);
}

/* Each release takes one off, and changes nothing else of this event or those beside it. */
static void test_release_counts(void **state)
{
	struct store *s = *state;
	struct event events[3];
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(events); i++) {
		events[i] = make_event(100 + i, "session", "message", 10000);
		put_event(txn, &events[i]);
	}
	size_t all = count_pieces(txn);
	store_commit(txn);
	for (int released = 1; released <= 4; released++) {
		struct event e = {0};
		struct event_state before = {0};
		struct event_state left = {0};
		struct event_state *want = &events[1].state;
		txn = store_begin(s);
		assert_int_equal(events_release(txn, of(&events[1].id), 77, &e, &before, &left),
		    OK);
		assert_int_equal(before.open, want->open);
		assert_true(before.settled_ms == want->settled_ms);
		store_commit(txn);
		want->open -= want->open > 0 ? 1 : 0;
		want->settled_ms = released < 3 ? 0 : 77 + released - 3; /* each its own */
		assert_int_equal(left.open, want->open);
		assert_true(left.settled_ms == want->settled_ms);
		assert_int_equal(e.deliveries, 3);
		assert_int_equal(e.body_bytes, 10000);
		assert_memory_equal(e.id.bytes, events[1].id.bytes, UUID_SIZE);
		txn = store_read(s);
		for (size_t i = 0; i < COUNT(events); i++)
			check_event(txn, &events[i]);
		assert_int_equal(count_pieces(txn), all);
		db_read_end(txn);
	}
	assert_int_equal(events[1].state.open, 0);
}

static void test_drop(void **state)
{
	struct store *s = *state;
	struct event events[3];
	struct event none;
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(events); i++) {
		events[i] = make_event(100 + i, "session", "message", 10000);
		put_event(txn, &events[i]);
	}
	size_t all = count_pieces(txn);
	assert_int_equal(events_drop(txn, &events[1].id), OK);
	assert_int_equal(count_pieces(txn), all / 3 * 2);
	assert_int_equal(events_drop(txn, &events[1].id), ERR_NOTFOUND);
	assert_int_equal(events_get(txn, &events[1].id, &none, NULL), ERR_NOTFOUND);
	check_event(txn, &events[0]);
	check_event(txn, &events[2]);
	store_commit(txn);
}

/* Row `piece` of the only event there is; its key and value are copied. */
static void read_row(struct db_txn *txn, size_t piece, struct buf *key, struct buf *value)
{
	struct db_cursor *c = NULL;
	struct slice k;
	struct slice v;
	assert_int_equal(db_cursor(txn, DB_EVENTS, &c), OK);
	for (size_t i = 0; i <= piece; i++)
		assert_int_equal(db_next(c, &k, &v), OK);
	buf_reset(key);
	buf_reset(value);
	buf_slice(key, k);
	buf_slice(value, v);
	db_cursor_close(c);
}

static void test_damage(void **state)
{
	struct store *s = *state;
	struct buf key = BUF_INIT(100);
	struct buf value = BUF_INIT(PIECE);
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	struct event e = make_event(9, "session", "message", 10000);
	for (size_t piece = 0; piece < 3; piece++) {
		for (int removed = 0; removed <= 1; removed++) {
			struct event got;
			struct event_state before;
			struct event_state left;
			struct db_txn *txn = store_begin(s);
			put_event(txn, &e);
			read_row(txn, piece, &key, &value);
			value.data[value.len / 2] ^= 1;
			if (removed)
				assert_int_equal(db_del(txn, DB_EVENTS, buf_view(&key)), OK);
			else
				assert_int_equal(db_put(txn, DB_EVENTS, buf_view(&key),
						     buf_view(&value)),
				    OK);
			enum err want = removed && piece == 0 ? ERR_NOTFOUND : ERR_CORRUPT;
			if (events_get(txn, &e.id, &got, &body) != want)
				fail_msg("piece %zu, removed %d", piece, removed);
			if (piece > 0)
				assert_int_equal(events_get(txn, &e.id, &got, NULL), OK);
			enum err release = piece == 0 ? ERR_NOTFOUND : OK;
			assert_int_equal(
			    events_release(txn, of(&e.id), 5, &got, &before, &left), release);
			assert_int_equal(events_drop(txn, &e.id),
			    removed && piece == 0 ? ERR_NOTFOUND : OK);
			if (piece > 0) /* else nobody knows how many pieces belong to it */
				assert_int_equal(count_pieces(txn), 0);
			assert_int_equal(db_txn_error(txn), OK);
			db_abort(txn);
		}
	}
	buf_fini(&body);
	buf_fini(&value);
	buf_fini(&key);
}

/* Writes the record of the first of `e`'s deliveries, which is over or waits. */
static void put_first(struct db_txn *txn, const struct event *e, enum delivery_status status)
{
	struct delivery d = make_delivery(1, 0, 1);
	uuid_step(&e->id, 1, &d.id);
	d.event_id = e->id;
	d.status = status;
	d.queued_ms = 77;
	assert_int_equal(queue_put(txn, &d), OK);
}

/*
 * An event of a version before is read, released and dropped as any other; its first release
 * makes it one of this version.
 */
static void check_version(struct store *s, uint8_t version, uint32_t deliveries, size_t bytes)
{
	struct event e = make_event(9, "session", "message", bytes);
	struct event read;
	struct event_state before;
	struct event_state left;
	char *body = make_body(e.id.bytes[15], bytes);
	struct db_txn *txn = store_begin(s);
	e.deliveries = deliveries;
	e.state.open = deliveries;
	put_old_event(txn, version, &e, (struct slice){body, bytes});
	free(body);
	put_first(txn, &e,
	    DELIVERY_DELIVERED); /* its own record counts, as long as it is old */
	check_event(txn, &e);
	while (e.state.open > 0) {
		e.state.open--;
		e.state.settled_ms = e.state.open == 0 ? 77 : 0;
		assert_int_equal(events_release(txn, of(&e.id), 77, &read, &before, &left), OK);
		assert_int_equal(before.open, e.state.open + 1);
		assert_true(left.settled_ms == e.state.settled_ms);
		assert_int_equal(left.open, e.state.open);
		check_event(txn, &e);
		assert_int_equal(events_get(txn, &e.id, &read, NULL), OK);
		assert_false(read.has_state);
	}
	assert_int_equal(store_count_in(txn, DB_OPEN), deliveries > 1 ? 1 : 0);
	assert_int_equal(events_reopen(txn, of(&e.id), &read, &before, &left), OK);
	assert_int_equal(before.open, 0);
	assert_int_equal(left.open, 1);
	put_first(txn, &e, DELIVERY_WAITING);
	e.state = (struct event_state){.open = 1, .settled_ms = deliveries > 1 ? 77 : 0};
	check_event(txn, &e);
	assert_int_equal(events_drop(txn, &e.id), OK);
	assert_int_equal(store_count_in(txn, DB_OPEN), 0);
	if (count_pieces(txn) != 0)
		fail_msg("version %u, %zu bytes", version, bytes);
	db_abort(txn);
}

static void test_versions_of_before(void **state)
{
	static const size_t SIZES[] = {0, 100, 3946, 3947, 3955, 10000};
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		for (uint8_t version = 1; version <= 2; version++) {
			check_version(*state, version, 1, SIZES[i]);
			check_version(*state, version, 3, SIZES[i]);
		}
	}
}

/* One that was over, as its record says, is open again and becomes one of this version. */
static void test_old_one_is_reopened(void **state)
{
	struct store *s = *state;
	for (uint32_t deliveries = 1; deliveries <= 2; deliveries++) {
		struct event e = make_event(9, "session", "message", 0);
		struct event read;
		struct event_state before;
		struct event_state now;
		struct db_txn *txn = store_begin(s);
		e.deliveries = deliveries;
		e.state = (struct event_state){.settled_ms = 55};
		put_old_event(txn, 2, &e, SLICE(""));
		check_event(txn, &e);
		assert_int_equal(events_reopen(txn, of(&e.id), &read, &before, &now), OK);
		assert_int_equal(before.open, 0);
		assert_true(before.settled_ms == 55);
		put_first(txn, &e, DELIVERY_DEAD);
		e.state = (struct event_state){.open = 1,
		    .settled_ms = deliveries > 1 ? 55 : 0};
		assert_true(now.settled_ms == e.state.settled_ms);
		check_event(txn, &e);
		db_abort(txn);
	}
}

/* Of one delivery its record tells; without it nobody knows. */
static void test_state_of_one(void **state)
{
	static const struct {
		enum delivery_status status;
		uint32_t open;
		int64_t settled_ms;
	} ROWS[] = {{DELIVERY_WAITING, 1, 0}, {DELIVERY_DEAD, 1, 0},
	    {DELIVERY_DELIVERED, 0, 77}, {DELIVERY_EXPIRED, 0, 77},
	    {DELIVERY_CANCELLED, 0, 77}};
	struct store *s = *state;
	struct event e = make_event(9, "session", "message", 0);
	struct event read;
	struct event_state before;
	struct event_state now;
	e.deliveries = 1;
	struct db_txn *txn = store_begin(s);
	put_event(txn, &e);
	assert_int_equal(events_state(txn, &e, &now), ERR_CORRUPT);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		put_first(txn, &e, ROWS[i].status);
		e.state = (struct event_state){.open = ROWS[i].open,
		    .settled_ms = ROWS[i].settled_ms};
		check_event(txn, &e);
	}
	assert_int_equal(events_release(txn, of(&e.id), 77, &read, &before, &now), OK);
	assert_int_equal(before.open, 1);
	assert_int_equal(now.open, 0);
	assert_true(now.settled_ms == 77);
	assert_int_equal(store_count_in(txn, DB_OPEN), 0); /* nothing of it was written */
	db_abort(txn);
}

/* A delivery to a webhook for all sessions, or to one of the event's own. */
static struct delivery step_of(const struct event *e, bool for_all)
{
	return (struct delivery){.event_id = e->id,
	    .webhook = 1 | (for_all ? WEBHOOK_FOR_ALL : 0),
	    .status = DELIVERY_DELIVERED,
	    .queued_ms = 55};
}

/* How many of the open ones go to webhooks for all sessions, from the publication on. */
static void test_open_for_all(void **state)
{
	static const struct {
		bool reopens, for_all;
		uint32_t open, open_all;
	} ROWS[] = {{false, false, 3, 2}, {false, true, 2, 1}, {false, true, 1, 0},
	    {true, true, 2, 1}, {false, false, 1, 1}, {false, true, 0, 0}, {true, false, 1, 0},
	    {true, true, 2, 1}};
	struct store *s = *state;
	struct event e = make_event(9, "session", "message", 5000);
	struct event read;
	struct event_state before;
	struct event_state now;
	e.deliveries = 4;
	e.for_all = 2;
	e.state = (struct event_state){.open = 4, .open_all = 2};
	struct db_txn *txn = store_begin(s);
	put_event(txn, &e);
	check_event(txn, &e);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct delivery d = step_of(&e, ROWS[i].for_all);
		assert_int_equal(ROWS[i].reopens
			? events_reopen(txn, &d, &read, &before, &now)
			: events_release(txn, &d, 77, &read, &before, &now),
		    OK);
		assert_int_equal(before.open, e.state.open);
		assert_int_equal(before.open_all, e.state.open_all);
		e.state = (struct event_state){ROWS[i].open, ROWS[i].open_all, now.settled_ms};
		check_event(txn, &e); /* what is stored is what was said */
	}
	assert_int_equal(events_drop(txn, &e.id), OK);
	assert_int_equal(store_count_in(txn, DB_OPEN), 0);
	db_abort(txn);
}

/* Of one delivery its webhook tells, and nothing else is read or written. */
static void test_one_for_all(void **state)
{
	struct store *s = *state;
	struct event e = make_event(9, "session", "message", 0);
	struct event read;
	struct event_state before;
	struct event_state now;
	e.deliveries = 1;
	e.for_all = 1;
	struct db_txn *txn = store_begin(s);
	put_event(txn, &e);
	for (int for_all = 0; for_all <= 1; for_all++) {
		struct delivery d = step_of(&e, for_all);
		assert_int_equal(events_state_by(txn, &e, &d, &now), OK);
		assert_true(now.open == 0 && now.open_all == 0 && now.settled_ms == 55);
		assert_int_equal(events_reopen(txn, &d, &read, &before, &now), OK);
		assert_true(before.open == 0 && before.settled_ms == 55);
		assert_true(now.open == 1 && now.settled_ms == 0);
		assert_int_equal(now.open_all, for_all);
		d.status = DELIVERY_DEAD;
		assert_int_equal(events_state_by(txn, &e, &d, &now), OK);
		assert_true(now.open == 1 && now.open_all == (uint32_t)for_all);
		assert_int_equal(events_release(txn, &d, 77, &read, &before, &now), OK);
		assert_true(before.open == 1 && before.open_all == (uint32_t)for_all);
		assert_true(now.open == 0 && now.open_all == 0 && now.settled_ms == 77);
	}
	assert_int_equal(store_count_in(txn, DB_OPEN), 0);
	db_abort(txn);
}

/* More to webhooks for all sessions than there are at all: such a record is damaged. */
static void test_impossible_counts(void **state)
{
	struct store *s = *state;
	struct event e = make_event(9, "session", "message", 0);
	struct event read;
	struct event_state now = {.open = 1, .open_all = 2};
	struct db_txn *txn = store_begin(s);
	put_event(txn, &e);
	assert_int_equal(events_put_state(txn, &e, &now), OK);
	assert_int_equal(events_state(txn, &e, &now), ERR_CORRUPT);
	e.for_all = e.deliveries + 1;
	put_event(txn, &e);
	assert_int_equal(events_get(txn, &e.id, &read, NULL), ERR_CORRUPT);
	e.state.open_all = e.state.open + 1;
	put_old_event(txn, 2, &e, SLICE(""));
	assert_int_equal(events_get(txn, &e.id, &read, NULL), ERR_CORRUPT);
	db_abort(txn);
}

/* A count that cannot be read holds nobody up, and is not taken for another. */
static void test_count_is_damaged(void **state)
{
	struct store *s = *state;
	struct event e = make_event(9, "session", "message", 0);
	struct event read;
	struct event_state before;
	struct event_state now;
	struct db_txn *txn = store_begin(s);
	put_event(txn, &e);
	assert_int_equal(db_put(txn, DB_OPEN, id_bytes(&e.id), SLICE("no count")), OK);
	assert_int_equal(events_state(txn, &e, &now), ERR_CORRUPT);
	assert_int_equal(events_release(txn, of(&e.id), 77, &read, &before, &now),
	    ERR_NOTFOUND);
	assert_int_equal(events_reopen(txn, of(&e.id), &read, &before, &now), ERR_NOTFOUND);
	assert_int_equal(events_drop(txn, &e.id), OK);
	assert_int_equal(store_count_in(txn, DB_OPEN), 0);
	db_abort(txn);
}

/* What is attached lies behind the body, and is nobody's body. */
static void test_attached(void **state)
{
	static const size_t SIZES[] = {0, 1, 3940, 3947, 3955, 3992, 10000};
	static const size_t ATTACHED[] = {1, 40, 3992, 9000, 100000};
	struct store *s = *state;
	struct buf got = BUF_INIT(200000);
	for (size_t i = 0; i < COUNT(SIZES) * COUNT(ATTACHED); i++) {
		size_t bytes = SIZES[i / COUNT(ATTACHED)];
		size_t attached = ATTACHED[i % COUNT(ATTACHED)];
		struct event e = make_event(9, "session", "message", bytes);
		struct event read;
		char *all = make_body(e.id.bytes[15], bytes + attached);
		struct db_txn *txn = store_begin(s);
		size_t n = 1;
		uint64_t cost = event_cost(&e);
		e.attached_bytes = (uint32_t)attached;
		assert_true(event_cost(&e) == cost + attached);
		assert_int_equal(events_put_attached(txn, &e, (struct slice){all, bytes},
				     (struct slice){all + bytes, attached}),
		    OK);
		assert_int_equal(events_get(txn, &e.id, &read, &got), OK);
		assert_int_equal(got.len, bytes);
		if (bytes > 0)
			assert_memory_equal(got.data, all, bytes);
		assert_int_equal(read.attached_bytes, attached);
		buf_reset(&got);
		assert_true(buf_reserve(&got, bytes + attached + 1));
		for (size_t at = 0; n > 0; at += n) { /* in parts that end anywhere */
			assert_int_equal(events_read_body(txn, &e.id, at, got.data + at,
					     i % 2 == 0 ? 4096 : 3991, &n),
			    OK);
			assert_true(at + n <= bytes + attached);
			assert_int_equal(n == 0, at == bytes + attached);
		}
		assert_memory_equal(got.data, all, bytes + attached);
		struct event_state before;
		struct event_state left;
		assert_int_equal(events_release(txn, of(&e.id), 5, &read, &before, &left), OK);
		assert_int_equal(read.attached_bytes, attached);
		assert_int_equal(events_drop(txn, &e.id), OK);
		if (count_pieces(txn) != 0)
			fail_msg("%zu bytes, %zu attached", bytes, attached);
		db_abort(txn);
		free(all);
	}
	buf_fini(&got);
}

/* Of what is attached a part is missing, or there is more than the head says. */
static void test_attached_damage(void **state)
{
	struct store *s = *state;
	for (uint32_t said = 1; said <= 20001; said += 10000) {
		struct event e = make_event(9, "session", "message", 100);
		char *all = make_body(9, 100 + 10001);
		struct db_txn *txn = store_begin(s);
		char out[30000];
		size_t n = 0;
		e.attached_bytes = said;
		assert_int_equal(events_put_attached(txn, &e, (struct slice){all, 100},
				     (struct slice){all + 100, 10001}),
		    OK);
		enum err err = events_read_body(txn, &e.id, 100, out, sizeof(out), &n);
		assert_int_equal(err, said > 10001 ? ERR_CORRUPT : OK);
		if (err == OK)
			assert_int_equal(n, said);
		assert_int_equal(events_drop(txn, &e.id), OK);
		db_abort(txn);
		free(all);
	}
	/* none is so large */
	struct event e = make_event(9, "session", "message", 0);
	char *large = mem_array(EVENT_ATTACHED_MAX + 1, 1);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(events_put_attached(txn, &e, SLICE(""),
			     (struct slice){large, EVENT_ATTACHED_MAX + 1}),
	    ERR_TOOBIG);
	db_abort(txn);
	free(large);
}

/* A body that is not as long as the head says. */
static void test_wrong_length(void **state)
{
	struct store *s = *state;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	for (uint32_t stored = 0; stored <= 8000; stored += 4000) {
		for (uint32_t said = 0; said <= 8000; said += 4000) {
			struct event e = make_event(1, "session", "message", said);
			struct event got;
			char *bytes = make_body(1, stored);
			struct db_txn *txn = store_begin(s);
			assert_int_equal(events_put(txn, &e, (struct slice){bytes, stored}),
			    OK);
			if (events_get(txn, &e.id, &got, &body) !=
			    (stored == said ? OK : ERR_CORRUPT))
				fail_msg("%u bytes, said to be %u", stored, said);
			db_abort(txn);
			free(bytes);
		}
	}
	buf_fini(&body);
}

/* Deliveries lie in the order of their ids, also in the millisecond in which ids run ahead. */
static void test_places_follow_ids(void **state)
{
	static const int64_t TIMES_MS[] = {1000, 1000, 1001, 1001, 1002};
	(void)state;
	struct rnd rnd;
	struct idgen ids;
	struct uuid last = {{0}};
	struct queue_place before = {.place_ms = 1000};
	struct webhook *w = make_webhook(7, "s", "http://a/");
	uuid_set_time(&last, 1000);
	before.id = last; /* stored by an earlier run in the same millisecond */
	rnd_seed(&rnd, 1);
	idgen_init(&ids, &rnd);
	idgen_resume(&ids, &last);
	for (size_t i = 0; i < COUNT(TIMES_MS); i++) {
		struct publication p = {0};
		publication_address(&p, w);
		publication_stamp(&p, &ids, TIMES_MS[i]);
		struct queue_place place = publication_place(&p, 0);
		assert_true(queue_place_before(&before, &place));
		assert_true(uuid_before(&before.id, &place.id));
		before = place;
		publication_fini(&p);
	}
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_boundaries),
	    STORE_TEST(test_not_found),
	    STORE_TEST(test_release_counts),
	    STORE_TEST(test_drop),
	    STORE_TEST(test_versions_of_before),
	    STORE_TEST(test_old_one_is_reopened),
	    STORE_TEST(test_state_of_one),
	    STORE_TEST(test_open_for_all),
	    STORE_TEST(test_one_for_all),
	    STORE_TEST(test_impossible_counts),
	    STORE_TEST(test_count_is_damaged),
	    STORE_TEST(test_attached),
	    STORE_TEST(test_attached_damage),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_wrong_length),
	    cmocka_unit_test(test_places_follow_ids),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
