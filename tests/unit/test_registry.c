/* Webhooks in memory: found by number, by id and by session; replaced, retired, dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "domain/webhook_json.h"
#include "store/registry.h"
#include "store/webhooks.h"
#include "support.h"

/* The session's webhooks as numbers, "1 3". Freed by the caller. */
static char *list(const struct registry *reg, const char *session)
{
	size_t count = 99;
	struct buf b = BUF_INIT(100000);
	struct webhook *const *w = registry_session(reg, slice_of(session), &count);
	assert_int_equal(w == NULL, count == 0);
	for (size_t i = 0; i < count; i++)
		buf_printf(&b, "%s%llu", i == 0 ? "" : " ", (unsigned long long)w[i]->number);
	char *text = strdup(buf_cstr(&b));
	buf_fini(&b);
	return text;
}

static void assert_list(const struct registry *reg, const char *session, const char *want)
{
	char *got = list(reg, session);
	assert_string_equal(got, want);
	free(got);
}

static void set(struct registry *reg, uint64_t number, const char *session)
{
	registry_set(reg, make_webhook(number, session, "http://a/"));
}

static void test_empty(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	struct uuid id = make_id(1);
	assert_null(registry_get(reg, 1));
	assert_null(registry_find(reg, SLICE("s"), &id));
	assert_list(reg, "s", "");
	registry_drop(reg, 1);
	assert_true(registry_take_number(reg) == 1);
	assert_true(registry_take_number(reg) == 2);
	registry_free(reg);
	registry_free(NULL);
}

static void test_find(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	struct uuid one = make_id(1);
	struct uuid two = make_id(2);
	set(reg, 1, "s");
	set(reg, 2, "s");
	set(reg, 3, "sessions");
	assert_true(registry_get(reg, 2)->number == 2);
	assert_true(registry_find(reg, SLICE("s"), &two)->number == 2);
	assert_null(registry_find(reg, SLICE("sessions"), &one));
	assert_null(registry_find(reg, SLICE(""), &one));
	assert_list(reg, "s", "1 2");
	assert_list(reg, "sessions", "3");
	assert_list(reg, "session", "");
	assert_true(registry_take_number(reg) == 4);
	registry_free(reg);
}

/* A change takes its place; the order of registration stays. */
static void test_replace(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	for (uint64_t n = 1; n <= 3; n++)
		set(reg, n, "s");
	struct webhook *changed = make_webhook(2, "s", "http://changed/");
	registry_set(reg, changed);
	assert_ptr_equal(registry_get(reg, 2), changed);
	assert_ptr_equal(registry_find(reg, SLICE("s"), &changed->id), changed);
	assert_list(reg, "s", "1 2 3");
	registry_free(reg);
}

/* Names the sessions in order, "a b"; the caller's to free. */
static char *in_order(const struct registry *reg)
{
	struct buf b = BUF_INIT(1000);
	const char *name = "";
	for (name = registry_next_session(reg, ""); name != NULL;
	     name = registry_next_session(reg, name))
		buf_printf(&b, "%s%s", b.len == 0 ? "" : " ", name);
	char *text = strdup(buf_cstr(&b));
	buf_fini(&b);
	return text;
}

static void assert_in_order(const struct registry *reg, const char *want)
{
	char *got = in_order(reg);
	assert_string_equal(got, want);
	free(got);
}

/* Sessions are in order, with each other's webhooks come and gone. */
static void test_sessions_in_order(void **state)
{
	(void)state;
	static const char *const NAMES[] = {"m", "b~1", "B", "z", "a", "m", "ab"};
	struct registry *reg = registry_new();
	assert_in_order(reg, "");
	for (size_t i = 0; i < COUNT(NAMES); i++)
		set(reg, i + 1, NAMES[i]);
	assert_in_order(reg, "B a ab b~1 m z");
	assert_string_equal(registry_next_session(reg, "aa"), "ab");
	assert_null(registry_next_session(reg, "zz"));
	registry_drop(reg, 1); /* m has another one */
	assert_in_order(reg, "B a ab b~1 m z");
	registry_drop(reg, 6);
	registry_drop(reg, 3);
	assert_in_order(reg, "a ab b~1 z");
	struct webhook *w = make_webhook(4, "z", "http://a/");
	w->deleted = true;
	registry_set(reg, w);
	assert_in_order(reg, "a ab b~1");
	set(reg, 8, "m");
	assert_in_order(reg, "a ab b~1 m");
	registry_free(reg);
}

/* Where a list goes on: behind a number, there or not; in order, however they came. */
static void test_behind(void **state)
{
	(void)state;
	static const uint64_t NUMBERS[] = {4, 9, 2, 7}; /* as they come */
	static const struct {
		uint64_t after;
		uint64_t first; /* 0: none */
		size_t count;
	} ROWS[] = {{0, 2, 4}, {1, 2, 4}, {2, 4, 3}, {3, 4, 3}, {7, 9, 1}, {8, 9, 1}, {9, 0, 0},
	    {UINT64_MAX, 0, 0}};
	struct registry *reg = registry_new();
	for (size_t i = 0; i < COUNT(NUMBERS); i++)
		set(reg, NUMBERS[i], "s");
	set(reg, 5, "other");
	assert_list(reg, "s", "2 4 7 9");
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t count = 99;
		struct webhook *const *w = registry_behind(reg, SLICE("s"), ROWS[i].after,
		    &count);
		assert_int_equal(count, ROWS[i].count);
		assert_true((w == NULL ? 0 : w[0]->number) == ROWS[i].first);
	}
	size_t count = 99;
	assert_null(registry_behind(reg, SLICE("nobody"), 0, &count));
	assert_int_equal(count, 0);
	registry_free(reg);
}

static void set_wanting(struct registry *reg, uint64_t number, const char *session,
    const char *event)
{
	struct webhook *w = make_webhook(number, session, "http://a/");
	webhook_clear_events(w);
	w->events = mem_array(1, sizeof(*w->events));
	w->events[w->event_count++] = mem_copy(event, strlen(event));
	registry_set(reg, w);
}

/* Those of SESSION_ALL match with each session, behind its own, and are none in the order. */
static struct uuid make_webhook_id(uint64_t number)
{
	struct uuid id = {{0}};
	memcpy(id.bytes, &number, sizeof(number));
	return id;
}

/* A webhook of that number, with a key pair if `keyed`. */
static struct webhook *keyed_webhook(uint64_t number, bool keyed)
{
	struct webhook *w = make_webhook(number, "s", "http://a/");
	w->id = make_webhook_id(number);
	if (keyed)
		webhook_rotate_pair(w, &(struct ed25519_pair){.seed = {1}}, 0);
	return w;
}

/* Whether `list` has webhook n at *at, which then moves on, as it must have it or not. */
static void expect_next(struct webhook *const *list, size_t count, size_t *at, uint64_t n,
    bool is_there)
{
	if (!is_there)
		return;
	assert_true(*at < count);
	assert_true(list[(*at)++]->number == n);
}

/* Those of all sessions, and those with key pairs, against lists made anew each time. */
static void test_in_all(void **state)
{
	(void)state;
	enum { NUMBERS = 12, STEPS = 3000 };
	bool keyed[NUMBERS + 1] = {false};
	bool there[NUMBERS + 1] = {false};
	struct registry *reg = registry_new();
	struct rnd rnd;
	rnd_seed(&rnd, 11);
	for (int step = 0; step < STEPS; step++) {
		uint64_t number = 1 + rnd_next(&rnd) % NUMBERS;
		unsigned act = (unsigned)(rnd_next(&rnd) % 4);
		struct webhook *w = keyed_webhook(number, act == 0 || act == 3);
		keyed[number] = act == 0;
		there[number] = act == 0 || act == 2;
		if (act == 3)
			w->deleted = true;
		registry_set(reg, w);
		if (act == 1)
			registry_drop(reg, number);
		uint64_t after = rnd_next(&rnd) % (NUMBERS + 1);
		size_t count = 0;
		size_t keyed_count = 0;
		size_t at = 0;
		size_t keyed_at = 0;
		struct webhook *const *list = registry_all_behind(reg, after, &count);
		struct webhook *const *keyed_list = registry_keyed_behind(reg, after,
		    &keyed_count);
		for (uint64_t n = 1; n <= NUMBERS; n++) {
			struct uuid id = make_webhook_id(n);
			struct webhook *found = registry_find_in_all(reg, &id);
			assert_int_equal(found != NULL, there[n]);
			assert_true(found == NULL || found->number == n);
			expect_next(list, count, &at, n, there[n] && n > after);
			expect_next(keyed_list, keyed_count, &keyed_at, n,
			    keyed[n] && n > after);
		}
		assert_int_equal(at, count);
		assert_int_equal(keyed_at, keyed_count);
	}
	registry_free(reg);
}

static void test_for_all(void **state)
{
	(void)state;
	const uint64_t first = 2 | WEBHOOK_FOR_ALL;
	const uint64_t second = 3 | WEBHOOK_FOR_ALL;
	struct registry *reg = registry_new();
	set_wanting(reg, 1, "s", "all");
	set_wanting(reg, second, SESSION_ALL, "all");
	set_wanting(reg, first, SESSION_ALL, "b");
	set_wanting(reg, 4, "s", "b");
	assert_in_order(reg, "s");
	assert_true(registry_take_number(reg) == 5);
	const struct {
		const char *session, *event;
		uint64_t wanting[5]; /* up to a 0 */
	} ROWS[] = {
	    {"s", "a", {1, second}},
	    {"s", "b", {1, 4, first, second}},
	    {"other", "a", {second}},
	    {"other", "b", {first, second}},
	    {SESSION_ALL, "a", {second}},
	    {SESSION_ALL, "b", {first, second}},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t count = 0;
		uint64_t steps = 0;
		uint8_t *lanes = NULL;
		uint64_t *found = registry_wanting(reg, slice_of(ROWS[i].session),
		    slice_of(ROWS[i].event), SLICE("{}"), &steps, &count, &lanes);
		for (size_t n = 0; n < count; n++) {
			if (n == 4 || found[n] != ROWS[i].wanting[n])
				fail_msg("row %zu, %zu", i, n);
		}
		assert_true(count > 0 && ROWS[i].wanting[count] == 0);
		free(found);
	}
	registry_drop(reg, first);
	registry_drop(reg, second);
	size_t count = 9;
	uint64_t steps = 0;
	uint8_t *lanes = NULL;
	assert_null(registry_wanting(reg, SLICE("other"), SLICE("b"), SLICE("{}"), &steps,
	    &count, &lanes));
	assert_int_equal(count, 0);
	assert_in_order(reg, "s");
	set_wanting(reg, 6 | WEBHOOK_FOR_ALL, SESSION_ALL, "b");
	free(registry_wanting(reg, SLICE("other"), SLICE("b"), SLICE("{}"), &steps, &count,
	    &lanes));
	assert_int_equal(count, 1);
	registry_free(reg);
}

static uint64_t first_retired(const struct registry *reg)
{
	const struct webhook *w = registry_first_retired(reg);
	return w == NULL ? 0 : w->number;
}

static void retire(struct registry *reg, uint64_t number)
{
	struct webhook *w = make_webhook(number, "s", "http://a/");
	w->deleted = true;
	registry_set(reg, w);
}

/* The one that was retired first, until it is dropped. */
static void test_first_retired(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	assert_true(first_retired(reg) == 0);
	for (uint64_t n = 1; n <= 3; n++)
		set(reg, n, "s");
	retire(reg, 9); /* was never here in another state */
	retire(reg, 3);
	retire(reg, 1);
	assert_list(reg, "s", "2");
	assert_true(first_retired(reg) == 9);
	retire(reg, 9); /* is written anew, and stands where it stood */
	assert_true(first_retired(reg) == 9);
	registry_drop(reg, 9);
	assert_true(first_retired(reg) == 3);
	registry_drop(reg, 1);
	assert_true(first_retired(reg) == 3);
	registry_drop(reg, 2);
	assert_true(first_retired(reg) == 3);
	registry_drop(reg, 3);
	assert_true(first_retired(reg) == 0);
	retire(reg, 4);
	assert_true(first_retired(reg) == 4);
	registry_free(reg);
}

/* A retired webhook is found by its number alone, until it is dropped. */
static void test_retire_and_drop(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	for (uint64_t n = 1; n <= 3; n++)
		set(reg, n, "s");
	struct webhook *retired = make_webhook(2, "s", "http://a/");
	retired->deleted = true;
	registry_set(reg, retired);
	assert_ptr_equal(registry_get(reg, 2), retired);
	assert_null(registry_find(reg, SLICE("s"), &retired->id));
	assert_list(reg, "s", "1 3");
	registry_drop(reg, 2);
	assert_null(registry_get(reg, 2));
	assert_list(reg, "s", "1 3");
	registry_drop(reg, 1); /* one that was not retired */
	registry_drop(reg, 3);
	assert_list(reg, "s", "");
	set(reg, 4, "s");
	assert_list(reg, "s", "4");
	registry_free(reg);
}

static void count_one(void *webhook, void *arg)
{
	*(uint64_t *)arg += ((struct webhook *)webhook)->number;
}

static void assert_figures(const struct registry *reg, uint64_t enabled, uint64_t disabled)
{
	struct registry_figures f = registry_figures(reg);
	assert_int_equal(f.enabled, enabled);
	assert_int_equal(f.disabled, disabled);
}

static void set_state(struct registry *reg, uint64_t number, bool enabled, bool deleted)
{
	struct webhook *w = make_webhook(number, "s", "http://a/");
	webhook_set_enabled(w, enabled ? NULL : "a reason");
	w->deleted = deleted;
	registry_set(reg, w);
}

/* Each is counted once, as it is now; retired ones are not, though they are still there. */
static void test_figures(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	assert_figures(reg, 0, 0);
	set_state(reg, 1, true, false);
	set_state(reg, 2, false, false);
	set_state(reg, 3, true, true);
	assert_figures(reg, 1, 1);
	set_state(reg, 1, false, false);
	assert_figures(reg, 0, 2);
	set_state(reg, 2, true, false);
	assert_figures(reg, 1, 1);
	set_state(reg, 2, true, true);
	assert_figures(reg, 0, 1);
	registry_drop(reg, 2);
	registry_drop(reg, 9);
	assert_figures(reg, 0, 1);
	registry_drop(reg, 1);
	assert_figures(reg, 0, 0);
	registry_free(reg);
}

static void test_each(void **state)
{
	(void)state;
	uint64_t sum = 0;
	struct registry *reg = registry_new();
	set(reg, 1, "s");
	set(reg, 10, "t");
	struct webhook *retired = make_webhook(100, "s", "http://a/");
	retired->deleted = true;
	registry_set(reg, retired);
	registry_each(reg, count_one, &sum);
	assert_true(sum == 111);
	registry_free(reg);
}

static void put(struct db_txn *txn, uint64_t number, const char *session)
{
	struct webhook *w = make_webhook(number, session, "http://a/");
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	if (number == 2)
		assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	webhook_free(w);
}

static void test_load(void **state)
{
	struct store *s = *state;
	struct problem p;
	struct registry *reg = registry_new();
	struct db_txn *txn = store_begin(s);
	put(txn, 2, "s"); /* retired */
	put(txn, 3, "s");
	put(txn, 1, "t");
	store_commit(txn);
	assert_int_equal(registry_load(reg, s->db, NULL, &p), OK);
	assert_list(reg, "s", "3");
	assert_list(reg, "t", "1");
	assert_in_order(reg, "s t");
	assert_true(registry_get(reg, 2)->deleted);
	assert_true(registry_take_number(reg) == 4);
	registry_free(reg);
}

/* A filter of a version that took more stops no start; a change of the webhook mends it. */
static void test_load_with_a_filter_that_is_not_taken(void **state)
{
	struct store *s = *state;
	struct problem p = {0};
	struct webhook_rules rules = {.timeout_ms = 5000};
	struct registry *reg = registry_new();
	struct webhook *w = make_webhook(1, "s", "http://a/");
	uint64_t steps = 0;
	size_t count = 7;
	uint8_t *lanes = NULL;
	w->filter = filter_keep(SLICE("{\"path\":\"/a\",\"nope\":1}"));
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	store_commit(txn);
	webhook_free(w);
	log_setup(LOG_ERROR, LOG_TEXT);
	assert_int_equal(registry_load(reg, s->db, NULL, &p), OK);
	assert_int_equal(registry_figures(reg).disabled, 1);
	assert_null(registry_wanting(reg, SLICE("s"), SLICE("message"),
	    SLICE("{\"event\":\"message\"}"), &steps, &count, &lanes));

	txn = store_begin(s);
	assert_int_equal(webhooks_get(txn, NULL, 1, &w), OK);
	assert_int_equal(webhook_apply(w, SLICE("{\"enabled\":true}"), &rules, &p),
	    ERR_INVALID);
	assert_string_equal(p.field, "filter");
	assert_int_equal(
	    webhook_apply(w, SLICE("{\"filter\":null,\"enabled\":true}"), &rules, &p), OK);
	assert_true(w->enabled);
	assert_null(w->filter);
	store_commit(txn);
	webhook_free(w);
	registry_free(reg);
}

/* A number is never given twice, also not that of a webhook erased before a restart. */
static void test_numbers_are_not_reused(void **state)
{
	struct store *s = *state;
	struct problem p;
	struct webhook *w = make_webhook(7, "s", "http://a/");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	assert_int_equal(webhooks_erase(txn, 7), OK);
	store_commit(txn);
	store_reopen(s);
	struct registry *reg = registry_new();
	assert_int_equal(registry_load(reg, s->db, NULL, &p), OK);
	assert_null(registry_get(reg, 7));
	assert_true(registry_take_number(reg) == 8);
	registry_free(reg);
	webhook_free(w);
}

static void test_load_fails(void **state)
{
	struct store *s = *state;
	struct problem p = {0};
	struct registry *reg = registry_new();
	struct db_txn *txn = store_begin(s);
	put(txn, 1, "s");
	assert_int_equal(db_put(txn, DB_WEBHOOKS, SLICE("12345678"), SLICE("damaged record")),
	    OK);
	store_commit(txn);
	assert_int_equal(registry_load(reg, s->db, NULL, &p), ERR_CORRUPT);
	assert_true(p.message[0] != '\0');
	registry_free(reg);
}

/* Many webhooks of few sessions, set, retired and dropped, against arrays of numbers. */
static void test_against_model(void **state)
{
	enum { NUMBERS = 200, SESSIONS = 5, STEPS = 20000 };
	(void)state;
	uint64_t seed = test_seed(12);
	struct rnd rnd;
	char lives[NUMBERS] = {0}; /* 1: serves, 2: retired */
	struct registry *reg = registry_new();
	rnd_seed(&rnd, seed);
	for (int step = 0; step < STEPS; step++) {
		uint64_t n = rnd_next(&rnd) % NUMBERS;
		char session[2] = {(char)('a' + n % SESSIONS), '\0'};
		bool retire = lives[n] == 1 && rnd_next(&rnd) % 2 == 0;
		if (lives[n] == 2 || rnd_next(&rnd) % 4 == 0) {
			registry_drop(reg, n);
			lives[n] = 0;
		} else {
			struct webhook *w = make_webhook(n, session, "http://a/");
			w->deleted = retire;
			registry_set(reg, w);
			lives[n] = retire ? 2 : 1;
		}
		struct uuid id = make_id(n);
		bool found = registry_find(reg, slice_of(session), &id) != NULL;
		size_t serving = 0;
		size_t count = 0;
		for (size_t i = n % SESSIONS; i < NUMBERS; i += SESSIONS)
			serving += lives[i] == 1 ? 1 : 0;
		(void)registry_session(reg, slice_of(session),
		    &count); /* its order is tested above */
		if (found != (lives[n] == 1) ||
		    (registry_get(reg, n) != NULL) != (lives[n] != 0) || count != serving)
			fail_msg("step %d", step);
	}
	registry_free(reg);
}

/* Who of the session wants an event, as numbers, by the index and by looking at each. */
static void assert_wanting(const struct registry *reg, const char *session, const char *event)
{
	size_t count = 0;
	size_t n = 0;
	size_t found = 0;
	struct webhook *const *w = registry_session(reg, slice_of(session), &n);
	uint64_t steps = 0;
	uint8_t *lanes = NULL;
	uint64_t *numbers = registry_wanting(reg, slice_of(session), slice_of(event),
	    SLICE("{}"), &steps, &count, &lanes);
	for (size_t i = 0; i < n; i++) {
		size_t at = 0;
		if (!w[i]->enabled ||
		    !name_is_covered(slice_of(event), w[i]->events, w[i]->event_count))
			continue;
		while (at < count && numbers[at] != w[i]->number)
			at++;
		assert_true(at < count);
		found++;
	}
	for (size_t i = 1; i < count; i++)
		assert_true(numbers[i - 1] < numbers[i]);
	assert_int_equal(found, count);
	assert_int_equal(numbers == NULL, count == 0);
	free(numbers);
}

/* Sets webhooks with other filters, enabled or not, retired and dropped, at random. */
static void test_who_wants_what(void **state)
{
	static const char *const NAMES[] = {"all", "message", "receipt", "presence", "qr_code",
	    "m*", "p*", "pre*", "message*"};
	struct rnd rnd;
	struct registry *reg = registry_new();
	(void)state;
	rnd_seed(&rnd, 5);
	assert_wanting(reg, "s0", "message");
	for (int step = 0; step < 3000; step++) {
		uint64_t number = 1 + rnd_next(&rnd) % 12;
		char session[8];
		(void)snprintf(session, sizeof(session), "s%d", (int)(number % 2));
		if (rnd_next(&rnd) % 5 == 0) {
			registry_drop(reg, number);
		} else if (registry_get(reg, number) == NULL ||
		    !registry_get(reg, number)->deleted) {
			struct webhook *w = make_webhook(number, session, "http://a/");
			webhook_clear_events(w);
			w->events = calloc(4, sizeof(*w->events));
			while (w->event_count < 1 + rnd_next(&rnd) % 3)
				w->events[w->event_count++] = strdup(
				    NAMES[rnd_next(&rnd) % COUNT(NAMES)]);
			w->enabled = rnd_next(&rnd) % 4 > 0;
			w->deleted = registry_get(reg, number) != NULL &&
			    rnd_next(&rnd) % 6 == 0;
			registry_set(reg, w);
		}
		for (size_t i = 1; i < 5; i++) {
			assert_wanting(reg, "s0", NAMES[i]);
			assert_wanting(reg, "s1", NAMES[i]);
		}
		assert_wanting(reg, "s0", "nobody_wants");
	}
	registry_free(reg);
}

/* Webhook 1 of session "s", which wants `count` events "e0", "e1", … */
static void set_names(struct registry *reg, size_t count)
{
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_clear_events(w);
	w->events = calloc(count, sizeof(*w->events));
	for (; w->event_count < count; w->event_count++) {
		char name[24];
		(void)snprintf(name, sizeof(name), "e%zu", w->event_count);
		w->events[w->event_count] = strdup(name);
	}
	registry_set(reg, w);
}

/* One that comes to want many names, or no longer does, with others beside it. */
static void test_names_of_a_change(void **state)
{
	static const size_t COUNTS[] = {1, 8, 9, 256, 1, 200};
	struct registry *reg = registry_new();
	(void)state;
	for (size_t i = 0; i < COUNT(COUNTS); i++) {
		char last[24];
		char behind[24];
		set_names(reg, COUNTS[i]);
		(void)snprintf(last, sizeof(last), "e%zu", COUNTS[i] - 1);
		(void)snprintf(behind, sizeof(behind), "e%zu", COUNTS[i]);
		assert_wanting(reg, "s", "e0");
		assert_wanting(reg, "s", last);
		assert_wanting(reg, "s", behind);
		if (i == 3)
			set(reg, 2, "s"); /* of all events */
	}
	registry_free(reg);
}

static struct webhook *filtering(uint64_t number, const char *filter)
{
	struct problem p;
	struct webhook *w = make_webhook(number, "s", "http://a/");
	if (filter != NULL && filter_compile(slice_of(filter), "filter", &w->filter, &p) != OK)
		fail_msg("%s: %s", filter, p.message);
	return w;
}

/* The webhooks that get an event, as "1 3". */
static void assert_gets(const struct registry *reg, const char *event, const char *expected)
{
	size_t count = 0;
	uint64_t steps = 0;
	uint8_t *lanes = NULL;
	char text[64] = "";
	uint64_t *numbers = registry_wanting(reg, SLICE("s"), SLICE("message"), slice_of(event),
	    &steps, &count, &lanes);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, i == 0 ? "%d" : " %d",
		    (int)numbers[i]);
	}
	assert_string_equal(text, expected);
	assert_int_equal(steps > 0, registry_looks_inside(reg, SLICE("s")));
	assert_null(lanes); /* none has a key */
	free(numbers);
}

#define ONE "{\"path\":\"/data\",\"equals\":1}"
#define DEEP "{\"path\":\"/data/a/b\",\"exists\":true}"

/* The lanes that an event has for those that get it, as "1:0 3:205"; ":": none is told. */
static void assert_lanes(const struct registry *reg, const char *session, const char *event,
    const char *expected)
{
	size_t count = 0;
	uint64_t steps = 0;
	uint8_t *lanes = NULL;
	struct buf text = BUF_INIT(200);
	uint64_t *numbers = registry_wanting(reg, slice_of(session), SLICE("message"),
	    slice_of(event), &steps, &count, &lanes);
	for (size_t i = 0; lanes != NULL && i < count; i++)
		buf_printf(&text, "%s%llu:%u", i == 0 ? "" : " ",
		    (unsigned long long)(numbers[i] & ~WEBHOOK_FOR_ALL), lanes[i]);
	if (lanes == NULL)
		buf_puts(&text, ":");
	assert_string_equal(buf_cstr(&text), expected);
	buf_fini(&text);
	free(lanes);
	free(numbers);
}

static struct webhook *keyed(uint64_t number, const char *session, const char *filter,
    const char *pointer)
{
	struct webhook *w = filtering(number, filter);
	webhook_set(&w->session, session);
	w->key = make_key(pointer);
	return w;
}

/* The lanes of those with a key, beside filters, other keys and webhooks for all sessions. */
static void test_lanes(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	const uint64_t all = 1 | WEBHOOK_FOR_ALL;
	registry_set(reg, filtering(2, NULL));
	registry_set(reg, filtering(3, ONE));
	assert_lanes(reg, "s", "{\"data\":1}", ":");
	registry_set(reg, keyed(4, "s", NULL, "/data"));
	assert_true(registry_looks_inside(reg, SLICE("s"))); /* who looks must look at each */
	assert_int_equal(registry_steps(reg, SLICE("s")), 1);
	assert_lanes(reg, "s", "{\"data\":1}", "2:0 3:0 4:205");
	assert_lanes(reg, "s", "{\"data\":null}", "2:0 4:134");
	assert_lanes(reg, "s", "{\"chat\":1}", "2:0 4:0");
	registry_set(reg, keyed(5, "s", ONE, "/a/b"));
	assert_lanes(reg, "s", "{\"a\":{\"b\":\"b\"},\"data\":1}", "2:0 3:0 4:205 5:242");
	assert_lanes(reg, "s", "{\"a\":{\"b\":\"b\"},\"data\":null}", "2:0 4:134");
	registry_set(reg, keyed(all, SESSION_ALL, NULL, "/a/b"));
	assert_lanes(reg, "s", "{\"a\":{\"b\":\"b\"},\"data\":null}", "2:0 4:134 1:242");
	assert_lanes(reg, "other", "{\"a\":{\"b\":1}}", "1:205");

	struct webhook *w = keyed(4, "s", NULL, "/data");
	webhook_set_enabled(w, "by test");
	registry_set(reg, w);
	registry_drop(reg, all);
	registry_set(reg, keyed(5, "s", NULL, "/data"));
	assert_lanes(reg, "s", "{\"a\":1,\"data\":1}", "2:0 3:0 5:205");
	registry_set(reg, filtering(5, NULL));
	registry_set(reg, filtering(3, NULL));
	assert_lanes(reg, "s", "{\"data\":1}", ":");
	assert_false(registry_looks_inside(reg, SLICE("s")));
	registry_free(reg);
}

/* The index of filters follows each change of who serves. */
static void test_filters(void **state)
{
	(void)state;
	struct registry *reg = registry_new();
	registry_set(reg, filtering(1, ONE));
	registry_set(reg, filtering(2, NULL));
	registry_set(reg, filtering(3, DEEP));
	assert_int_equal(registry_steps(reg, SLICE("s")), 3);
	assert_gets(reg, "{\"data\":1}", "1 2");
	assert_gets(reg, "{\"data\":{\"a\":{\"b\":0}}}", "2 3");
	registry_set(reg, filtering(3, ONE));
	assert_gets(reg, "{\"data\":1}", "1 2 3");
	struct webhook *w = filtering(1, ONE);
	webhook_set_enabled(w, "by test");
	registry_set(reg, w);
	assert_int_equal(registry_steps(reg, SLICE("s")), 2);
	assert_gets(reg, "{\"data\":1}", "2 3");
	w = filtering(3, ONE);
	w->deleted = true;
	registry_set(reg, w);
	assert_false(registry_looks_inside(reg, SLICE("s")));
	assert_gets(reg, "{\"data\":1}", "2");
	registry_drop(reg, 1);
	assert_int_equal(registry_steps(reg, SLICE("s")), 0);
	registry_set(reg, filtering(4, DEEP));
	assert_gets(reg, "{\"data\":{\"a\":{\"b\":\"\\n\"}}}", "2 4");
	registry_free(reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_replace),
	    cmocka_unit_test(test_retire_and_drop),
	    cmocka_unit_test(test_in_all),
	    cmocka_unit_test(test_behind),
	    cmocka_unit_test(test_for_all),
	    cmocka_unit_test(test_sessions_in_order),
	    cmocka_unit_test(test_first_retired),
	    cmocka_unit_test(test_figures),
	    cmocka_unit_test(test_each),
	    STORE_TEST(test_load),
	    STORE_TEST(test_load_with_a_filter_that_is_not_taken),
	    STORE_TEST(test_numbers_are_not_reused),
	    STORE_TEST(test_load_fails),
	    cmocka_unit_test(test_against_model),
	    cmocka_unit_test(test_who_wants_what),
	    cmocka_unit_test(test_names_of_a_change),
	    cmocka_unit_test(test_filters),
	    cmocka_unit_test(test_lanes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
