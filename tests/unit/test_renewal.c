/*
 * Renewal: records under another key, under none, or with a secret that has expired are
 * written anew, all others left alone; memory follows; a key that is missing is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch_fixture.h"
#include "jobs/renewal.h"
#include "store/queue.h"
#include "store/webhooks.h"
#include "support.h"

#define HEX_A "00000000000000000000000000000000000000000000000000000000000000aa"
#define HEX_B "00000000000000000000000000000000000000000000000000000000000000bb"
#define FAR_MS (INT64_MAX / 2)
#define MARK_MS 12345 /* in memory, of what was not read anew */
#define HOUR_S 3600
#define SMALL_MAP (1u << 20)

static struct vault *make_vault(const char *first, const char *second)
{
	struct vault *v = vault_new();
	struct problem p;
	assert_int_equal(vault_add(v, slice_of(first), &p), OK);
	if (second != NULL)
		assert_int_equal(vault_add(v, slice_of(second), &p), OK);
	return v;
}

/* Adds webhook `number` with a secret under `vault`, and a previous one until `expires_ms`. */
static void add(struct store *s, const struct vault *vault, uint64_t number, int64_t expires_ms)
{
	char url[64];
	struct webhook *w = make_webhook(number, "s", "");
	struct db_txn *txn = store_begin(s);
	(void)snprintf(url, sizeof(url), "http://a/%llu", (unsigned long long)number);
	webhook_set(&w->url, url);
	webhook_set(&w->secret, "SECRET-before");
	webhook_rotate_secret(w, "SECRET-now", expires_ms);
	add_header(w, mem_copy("A", 1), mem_copy("SECRET-header", 13));
	assert_int_equal(webhooks_add(txn, vault, w), OK);
	store_commit(txn);
	webhook_free(w);
}

/* The id of the key that record `number` is under; whether its bytes show a secret. */
static struct vault_id key_of(struct store *s, uint64_t number, bool *readable)
{
	unsigned char key[8];
	struct vault_id id;
	struct webhook *w = NULL;
	struct slice value;
	struct db_txn *txn = store_read(s);
	codec_store_u64(key, number);
	assert_int_equal(db_get(txn, DB_WEBHOOKS, (struct slice){(const char *)key, 8}, &value),
	    OK);
	*readable = memmem(value.ptr, value.len, "SECRET", 6) != NULL;
	struct reader r = reader_of((struct slice){value.ptr, value.len - 8});
	assert_int_equal(webhook_decode_open(&r, &id, &w), OK);
	webhook_free(w);
	db_read_end(txn);
	return id;
}

static void check_key(struct store *s, uint64_t number, const struct vault_id *want)
{
	bool readable = false;
	struct vault_id id = key_of(s, number, &readable);
	assert_true(vault_same(&id, want));
	assert_int_equal(readable, vault_is_none(want));
}

struct fixture {
	struct store *store;
	struct registry *registry;
	struct turn *turn;
	struct jobs *jobs;
	struct dispatcher dispatcher;
	size_t changed;
};

/* The registry, the dispatcher and the renewal of a gateway that starts. */
static void start(struct fixture *f, const struct vault *vault)
{
	struct problem p;
	f->registry = registry_new();
	f->turn = turn_new(f->store->db);
	f->jobs = jobs_new(f->turn);
	assert_int_equal(registry_load(f->registry, f->store->db, vault, &p), OK);
	dispatcher_open(&f->dispatcher, f->store, f->turn, f->registry);
	const struct renewal_conf conf = {.vault = vault,
	    .registry = f->registry,
	    .dispatch = f->dispatcher.dispatch};
	renewal_add(f->jobs, &conf);
}

/* Ends all but the registry. */
static void stop(struct fixture *f)
{
	dispatcher_close(&f->dispatcher);
	jobs_free(f->jobs);
	turn_free(f->turn);
}

static void mark(void *webhook, void *arg)
{
	struct webhook *w = webhook;
	(void)arg;
	w->updated_ms = MARK_MS;
}

static void count_changed(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	*(size_t *)arg += w->updated_ms != MARK_MS ? 1 : 0;
}

/* Has an hour pass while a walk is under way, and a slice of it staged. */
static void tick_an_hour(struct fixture *f)
{
	for (int s = 0; s < HOUR_S; s++)
		jobs_tick(f->jobs);
	assert_int_equal(turn_staged(f->turn), 1);
}

/* Walks all records under `vault`; how many turns that took. */
static size_t walk(struct fixture *f, const struct vault *vault)
{
	size_t turns = 0;
	start(f, vault);
	registry_each(f->registry, mark, NULL);
	jobs_step(f->jobs);
	assert_int_equal(turn_staged(f->turn), 0); /* not begun */
	for (jobs_tick(f->jobs); turn_staged(f->turn) > 0; turns++) {
		assert_true(turns < 10);
		tick_an_hour(f); /* begins no other */
		assert_int_equal(turn_commit(f->turn), OK);
		jobs_step(f->jobs);
	}
	f->changed = 0;
	registry_each(f->registry, count_changed, &f->changed);
	stop(f);
	return turns;
}

static void test_encrypted_and_rotated(void **state)
{
	struct fixture f = {.store = *state};
	struct vault *a = make_vault(HEX_A, NULL);
	struct vault *b = make_vault(HEX_B, HEX_A);
	struct vault_id id_a = vault_current(a);
	struct vault_id id_b = vault_current(b);
	const struct vault_id none = {0};
	for (uint64_t n = 1; n <= 3; n++)
		add(f.store, NULL, n, FAR_MS);
	check_key(f.store, 1, &none);
	(void)walk(&f, NULL); /* without a key there is nothing to do */
	assert_int_equal(f.changed, 0);
	check_key(f.store, 1, &none);
	registry_free(f.registry);

	const struct vault *const VAULTS[] = {a, b, b};
	const struct vault_id *const WANT[] = {&id_a, &id_b, &id_b};
	static const size_t CHANGED[] = {3, 3, 0};
	for (size_t i = 0; i < COUNT(VAULTS); i++) {
		(void)walk(&f, VAULTS[i]);
		assert_int_equal(f.changed, CHANGED[i]);
		for (uint64_t n = 1; n <= 3; n++) {
			check_key(f.store, n, WANT[i]);
			const struct webhook *w = registry_get(f.registry, n);
			assert_string_equal(w->secret, "SECRET-now");
			assert_string_equal(w->previous_secret, "SECRET-before");
			assert_string_equal(w->headers[0].value, "SECRET-header");
		}
		registry_free(f.registry);
	}
	vault_free(a);
	vault_free(b);
}

/* What is new is under the first key at once. */
static void test_written_under_the_first_key(void **state)
{
	struct store *s = *state;
	struct vault *b = make_vault(HEX_B, HEX_A);
	struct vault_id id_b = vault_current(b);
	struct webhook *w = NULL;
	add(s, b, 1, FAR_MS);
	check_key(s, 1, &id_b);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_get(txn, NULL, 1, &w), ERR_CORRUPT);
	assert_int_equal(webhooks_get(txn, b, 1, &w), OK);
	assert_int_equal(webhooks_change(txn, b, w, w), OK);
	store_commit(txn);
	check_key(s, 1, &id_b);
	webhook_free(w);
	vault_free(b);
}

/* The same record twice is not the same bytes twice: each has a nonce of its own. */
static void test_nonces_differ(void **state)
{
	struct store *s = *state;
	struct vault *a = make_vault(HEX_A, NULL);
	struct webhook *w = make_webhook(1, "s", "http://a/");
	char before[4096];
	size_t len = 0;
	unsigned char key[8];
	codec_store_u64(key, 1);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, a, w), OK);
	for (int i = 0; i < 2; i++) {
		struct slice value;
		assert_int_equal(webhooks_change(txn, a, w, w), OK);
		assert_int_equal(
		    db_get(txn, DB_WEBHOOKS, (struct slice){(const char *)key, 8}, &value), OK);
		if (i > 0) {
			assert_int_equal(value.len, len);
			assert_memory_not_equal(value.ptr, before, len);
		}
		len = value.len;
		memcpy(before, value.ptr, len);
	}
	db_abort(txn);
	webhook_free(w);
	vault_free(a);
}

static void test_expired_secrets_go(void **state)
{
	struct fixture f = {.store = *state};
	const struct vault_id none = {0};
	add(f.store, NULL, 1, 1); /* long over */
	add(f.store, NULL, 2, FAR_MS);
	(void)walk(&f, NULL);
	assert_int_equal(f.changed, 1);
	assert_null(registry_get(f.registry, 1)->previous_secret);
	assert_string_equal(registry_get(f.registry, 2)->previous_secret, "SECRET-before");
	registry_free(f.registry);
	check_key(f.store, 1, &none);
	(void)walk(&f, NULL);
	assert_int_equal(f.changed, 0);
	assert_null(registry_get(f.registry, 1)->previous_secret);
	registry_free(f.registry);
}

static void test_many_take_several_turns(void **state)
{
	struct fixture f = {.store = *state};
	struct vault *a = make_vault(HEX_A, NULL);
	struct vault_id id_a = vault_current(a);
	for (uint64_t n = 1; n <= 450; n++)
		add(f.store, NULL, n, FAR_MS);
	assert_int_equal(walk(&f, a), 3);
	assert_int_equal(f.changed, 450);
	for (uint64_t n = 1; n <= 450; n++)
		check_key(f.store, n, &id_a);
	registry_free(f.registry);
	vault_free(a);
}

/* A deleted webhook keeps no secrets, and is to be purged once. */
static void test_retired(void **state)
{
	struct fixture f = {.store = *state};
	struct vault *a = make_vault(HEX_A, NULL);
	struct webhook *w = NULL;
	add(f.store, NULL, 1, FAR_MS);
	struct db_txn *txn = store_begin(f.store);
	assert_int_equal(webhooks_get(txn, NULL, 1, &w), OK);
	assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	store_commit(txn);
	webhook_free(w);
	bool readable = true;
	(void)key_of(f.store, 1, &readable);
	assert_false(readable);
	(void)walk(&f, a);
	assert_true(registry_get(f.registry, 1)->deleted);
	assert_true(registry_first_retired(f.registry)->number == 1);
	registry_drop(f.registry, 1);
	assert_null(registry_first_retired(f.registry));
	registry_free(f.registry);
	vault_free(a);
}

/* The dispatcher takes over what was written anew: here, on disk alone, that it is disabled. */
static void test_dispatcher_follows(void **state)
{
	struct fixture f = {.store = *state};
	struct vault *a = make_vault(HEX_A, NULL);
	struct delivery d = make_delivery(1, 1, 1);
	struct webhook *w = NULL;
	add(f.store, NULL, 1, FAR_MS);
	struct db_txn *txn = store_begin(f.store);
	assert_int_equal(queue_add(txn, &d), OK);
	store_commit(txn);
	start(&f, a);
	assert_int_equal(dispatch_delay(f.dispatcher.dispatch), 0);
	txn = store_begin(f.store);
	assert_int_equal(webhooks_get(txn, NULL, 1, &w), OK);
	webhook_set_enabled(w, "a reason");
	assert_int_equal(webhooks_change(txn, NULL, w, w), OK);
	store_commit(txn);
	webhook_free(w);
	jobs_tick(f.jobs);
	assert_int_equal(turn_commit(f.turn), OK);
	assert_false(registry_get(f.registry, 1)->enabled);
	assert_int_equal(dispatch_delay(f.dispatcher.dispatch), -1);
	stop(&f);
	registry_free(f.registry);
	vault_free(a);
}

/* Writes events until the store has no room for more. */
static void fill_up(struct store *s)
{
	static const char VALUE[1000];
	enum err err = OK;
	for (uint64_t n = 0; err == OK;) {
		struct db_txn *txn = store_begin(s);
		for (uint64_t end = n + 8; err == OK && n < end; n++) {
			unsigned char key[18] = {0};
			codec_store_u64(key, n);
			err = db_put(txn, DB_EVENTS,
			    (struct slice){(const char *)key, sizeof(key)},
			    (struct slice){VALUE, sizeof(VALUE)});
		}
		err = db_commit(txn);
	}
	assert_int_equal(err, ERR_NOSPACE);
}

/* Without room for a slice half of it is written, and in the end all. */
static void test_halved_while_full(void **state)
{
	(void)state;
	struct fixture f = {.store = store_new(SMALL_MAP)};
	struct vault *a = make_vault(HEX_A, NULL);
	for (uint64_t n = 1; n <= 250; n++)
		add(f.store, NULL, n, FAR_MS);
	fill_up(f.store);
	start(&f, a);
	registry_each(f.registry, mark, NULL);
	jobs_tick(f.jobs);
	assert_int_equal(turn_commit(f.turn), OK);
	registry_each(f.registry, count_changed, &f.changed);
	assert_int_equal(f.changed, 100); /* of a slice of 200 */
	for (int turns = 0; f.changed < 250; turns++) {
		assert_true(turns < 10);
		jobs_step(f.jobs);
		assert_int_equal(turn_commit(f.turn), OK);
		f.changed = 0;
		registry_each(f.registry, count_changed, &f.changed);
	}
	stop(&f);
	registry_free(f.registry);
	vault_free(a);
	store_free(f.store);
}

/* A key that is missing stops the start, and the message says which webhook needs which. */
static void test_missing_key_is_named(void **state)
{
	struct store *s = *state;
	struct vault *a = make_vault(HEX_A, NULL);
	struct vault *b = make_vault(HEX_B, NULL);
	struct vault_id id_a = vault_current(a);
	char name[VAULT_ID_TEXT_SIZE];
	vault_put_id(&id_a, name);
	add(s, a, 7, FAR_MS);
	const struct vault *const WRONG[] = {NULL, b};
	for (size_t i = 0; i < COUNT(WRONG); i++) {
		struct registry *reg = registry_new();
		struct problem p = {0};
		assert_int_equal(registry_load(reg, s->db, WRONG[i], &p), ERR_REFUSED);
		assert_non_null(strstr(p.message, name));
		assert_non_null(strstr(p.message, "00000000-0000-0000-0000-000000000007"));
		assert_non_null(strstr(p.message, "secret_key_file"));
		registry_free(reg);
	}
	vault_free(a);
	vault_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_encrypted_and_rotated),
	    STORE_TEST(test_written_under_the_first_key),
	    STORE_TEST(test_nonces_differ),
	    STORE_TEST(test_expired_secrets_go),
	    STORE_TEST(test_many_take_several_turns),
	    STORE_TEST(test_retired),
	    STORE_TEST(test_dispatcher_follows),
	    cmocka_unit_test(test_halved_while_full),
	    STORE_TEST(test_missing_key_is_named),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
