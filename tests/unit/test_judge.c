/* What results mean: verdicts, dead letters, disabling, expiry, with a seeded generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dispatch/judge.h"

#define NOW_MS 1800000000000LL
#define DAY_MS (24LL * 3600 * 1000)

struct fixture {
	struct judge judge;
	struct registry *registry;
	struct webhook *w; /* the registry's */
	struct sched_endpoint endpoint;
	struct event event;
	struct settlement s;
	struct rnd rnd;
	struct idgen ids;
};

static const struct expiry EXPIRIES[] = {{"presence", 120000}};

static struct webhook *add_webhook(struct registry *reg, const char *session, const char *url)
{
	struct webhook *w = webhook_new();
	webhook_set(&w->session, session);
	webhook_set(&w->url, url);
	w->number = registry_take_number(reg);
	uuid_random(&w->id);
	registry_set(reg, w);
	return w;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	log_setup(LOG_ERROR, LOG_TEXT);
	rnd_seed(&f->rnd, 7);
	idgen_init(&f->ids, &f->rnd);
	f->registry = registry_new();
	f->w = add_webhook(f->registry, "s", "http://example.org/");
	f->judge = (struct judge){.retry = &RETRY_DEFAULT,
	    .expiries = EXPIRIES,
	    .expiry_count = 1,
	    .circuit_failures = 25,
	    .disable_after_ms = 5 * DAY_MS,
	    .registry = f->registry,
	    .rnd = &f->rnd,
	    .ids = &f->ids};
	f->event.created_ms = NOW_MS;
	(void)snprintf(f->event.session, sizeof(f->event.session), "s");
	(void)snprintf(f->event.name, sizeof(f->event.name), "message");
	f->s.now_ms = NOW_MS;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	settlement_fini(&f->s);
	registry_free(f->registry);
	free(f);
	return 0;
}

static void judge_status(struct fixture *f, int status, int64_t after_ms)
{
	struct client_result r = {.status = status,
	    .error = status == 0 ? "timeout after 5000 ms" : "",
	    .retry_after_ms = after_ms};
	judge_attempt(&f->judge, f->w, &f->endpoint, &f->event, &r, &f->s);
}

static void test_2xx_is_delivered(void **state)
{
	struct fixture *f = *state;
	judge_status(f, 204, 0);
	assert_int_equal(f->s.verdict, VERDICT_DELIVERED);
	assert_int_equal(f->s.delivery.attempts, 1);
	assert_false(f->s.changes_webhook);
}

/*
 * The wait after each attempt lies within 20 % of the schedule's; the last makes a dead
 * letter.
 */
static void test_schedule(void **state)
{
	struct fixture *f = *state;
	for (uint32_t i = 0; i < RETRY_DEFAULT.count; i++) {
		judge_status(f, i % 2 == 0 ? 500 : 0, 0);
		int64_t wait = f->s.retry_ms - NOW_MS;
		assert_int_equal(f->s.verdict, VERDICT_RETRY);
		assert_in_range(wait, RETRY_DEFAULT.wait_ms[i] * 4 / 5,
		    RETRY_DEFAULT.wait_ms[i] * 6 / 5);
	}
	judge_status(f, 0, 0);
	assert_int_equal(f->s.verdict, VERDICT_DEAD);
	assert_non_null(f->s.dead);
	assert_int_equal(f->s.dead->attempts, RETRY_DEFAULT.count + 1);
	assert_string_equal(f->s.dead->last_error, "timeout after 5000 ms");
	assert_string_equal(f->s.dead->webhook_url, "http://example.org/");
	assert_true(slice_eq(f->s.session, SLICE("s")));
}

static void test_replay_starts_the_schedule_over(void **state)
{
	struct fixture *f = *state;
	f->s.delivery.attempts = 10;
	f->s.delivery.replayed_at = 10;
	judge_status(f, 500, 0);
	assert_int_equal(f->s.verdict, VERDICT_RETRY);
	assert_int_equal(f->s.delivery.attempts, 11);
	assert_in_range(f->s.retry_ms - NOW_MS, 4000, 6000);
}

static void test_own_schedule(void **state)
{
	struct fixture *f = *state;
	f->w->retry = calloc(1, sizeof(*f->w->retry));
	f->w->retry->count = 1;
	f->w->retry->wait_ms[0] = 1000;
	judge_status(f, 500, 0);
	assert_in_range(f->s.retry_ms - NOW_MS, 800, 1200);
	judge_status(f, 500, 0);
	assert_int_equal(f->s.verdict, VERDICT_DEAD);
}

/* Retry-After counts on any failure, and only where it asks for more than the schedule. */
static void test_retry_after(void **state)
{
	static const struct {
		int status;
		int64_t after_ms;
		int64_t min_ms, max_ms;
	} ROWS[] = {{429, 100000, 100000, 100000}, {503, 100000, 100000, 100000},
	    {500, 100000, 100000, 100000}, {302, 100000, 100000, 100000},
	    {429, 1000, 4000, 6000}, {429, 0, 4000, 6000}, {429, DAY_MS, DAY_MS, DAY_MS}};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		f->s.delivery.attempts = 0;
		judge_status(f, ROWS[i].status, ROWS[i].after_ms);
		int64_t wait = f->s.retry_ms - NOW_MS;
		if (wait < ROWS[i].min_ms || wait > ROWS[i].max_ms)
			fail_msg("row %zu: waits %lld ms", i, (long long)wait);
	}
}

static void test_410_disables_and_tells_the_others(void **state)
{
	struct fixture *f = *state;
	const struct webhook *other = add_webhook(f->registry, "s", "http://example.net/");
	(void)add_webhook(f->registry, "t", "http://example.net/");
	judge_status(f, 410, 0);
	assert_int_equal(f->s.verdict, VERDICT_RETRY); /* it waits in the queue */
	assert_true(f->s.changes_webhook);
	assert_non_null(strstr(f->s.disable_reason, "410"));
	assert_string_equal(f->s.notice.event.name, "webhook.disabled");
	assert_int_equal(f->s.notice.event.deliveries, 1);
	assert_int_equal(f->s.notice.targets[0].webhook, other->number);
	assert_non_null(memmem(f->s.notice.body.ptr, f->s.notice.body.len, "410 Gone", 8));
}

/* Failing is put on disk when the circuit is about to open, and taken off by a success. */
static void test_failing_is_kept(void **state)
{
	struct fixture *f = *state;
	f->endpoint.failures = 23;
	f->endpoint.failing_since_ms = NOW_MS - 5000;
	judge_status(f, 500, 0);
	assert_false(f->s.changes_webhook);
	f->endpoint.failures = 24;
	judge_status(f, 500, 0);
	assert_true(f->s.changes_webhook);
	assert_int_equal(f->s.failing_since_ms, NOW_MS - 5000);
	f->w->failing_since_ms = NOW_MS - 5000;
	judge_status(f, 200, 0);
	assert_true(f->s.changes_webhook);
	assert_int_equal(f->s.failing_since_ms, 0);
}

static void test_five_days_of_failure_disable(void **state)
{
	struct fixture *f = *state;
	f->w->failing_since_ms = NOW_MS - 5 * DAY_MS + 1;
	f->endpoint.failing_since_ms = f->w->failing_since_ms;
	judge_status(f, 500, 0);
	assert_string_equal(f->s.disable_reason, "");
	f->endpoint.failing_since_ms = NOW_MS - 5 * DAY_MS;
	judge_status(f, 500, 0);
	assert_non_null(strstr(f->s.disable_reason, "every attempt failed since 2027-01-10T"));
}

/* A retry that would come too late is not waited for; a replayed delivery never expires. */
static void test_expiry(void **state)
{
	struct fixture *f = *state;
	(void)snprintf(f->event.name, sizeof(f->event.name), "presence");
	assert_false(judge_is_expired(&f->judge, &f->event, &f->s.delivery, NOW_MS + 120000));
	assert_true(judge_is_expired(&f->judge, &f->event, &f->s.delivery, NOW_MS + 120001));
	f->s.delivery.created_ms = f->event.created_ms;
	assert_false(judge_may_be_expired(&f->judge, &f->s.delivery, NOW_MS + 120000));
	assert_true(judge_may_be_expired(&f->judge, &f->s.delivery, NOW_MS + 120001));
	judge_status(f, 500, 0);
	assert_int_equal(f->s.verdict, VERDICT_RETRY);
	f->event.created_ms = NOW_MS - 119000;
	judge_status(f, 500, 0);
	assert_int_equal(f->s.verdict, VERDICT_EXPIRED);
	f->s.delivery.replayed_at = f->s.delivery.attempts;
	f->s.delivery.replays = 1;
	assert_false(judge_may_be_expired(&f->judge, &f->s.delivery, NOW_MS + 120001));
	judge_status(f, 500, 0);
	assert_int_equal(f->s.verdict, VERDICT_RETRY);
}

static void set_success(struct fixture *f, const char *json)
{
	struct problem p;
	success_free(f->w->success);
	f->w->success = NULL;
	assert_int_equal(success_compile(slice_of(json), "success", &f->w->success, &p), OK);
}

/* A webhook says which answers count: statuses, and what the body says. */
static void test_success(void **state)
{
#define JSON_OK "{\"answer\":{\"path\":\"/ok\",\"equals\":true}}"
	static const struct {
		const char *success;
		int status;
		const char *body;
		const char *lacks;
		const char *want; /* NULL: delivered */
	} ROWS[] = {
	    {"{\"statuses\":[\"2xx\",302]}", 302, "", NULL, NULL},
	    {"{\"statuses\":[302]}", 204, "", NULL,
		"HTTP status 204: not a status that success.statuses has"},
	    {"{\"statuses\":[302]}", 301, "", NULL, "HTTP status 301"},
	    {"{\"statuses\":[302]}", 0, "", NULL, "reset"},
	    {"{\"statuses\":[\"4xx\"]}", 404, "", NULL, NULL},
	    {"{\"statuses\":[\"4xx\"]}", 410, "", NULL, "HTTP status 410"},
	    {JSON_OK, 200, "{\"ok\":true}", NULL, NULL},
	    {JSON_OK, 200, " { \"ok\" : true } ", NULL, NULL},
	    {JSON_OK, 500, "{\"ok\":true}", NULL, "HTTP status 500"},
	    {JSON_OK, 200, "{\"ok\":false}", NULL,
		"HTTP status 200: the answer is not what success.answer wants"},
	    {JSON_OK, 200, "{}", NULL,
		"HTTP status 200: the answer is not what success.answer wants"},
	    {JSON_OK, 200, "<p>", NULL, "HTTP status 200: the answer is not JSON"},
	    {JSON_OK, 200, "", NULL, "HTTP status 200: the answer is not JSON"},
	    {JSON_OK, 200, "{\"ok\":true}", "the answer broke off",
		"HTTP status 200: the answer broke off"},
	};
	struct fixture *f = *state;
	f->w->retry = calloc(1, sizeof(*f->w->retry)); /* one attempt */
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct client_result r = {.status = ROWS[i].status,
		    .error = ROWS[i].status == 0 ? "reset" : "",
		    .whole = slice_of(ROWS[i].body),
		    .lacks = ROWS[i].lacks};
		set_success(f, ROWS[i].success);
		judge_attempt(&f->judge, f->w, &f->endpoint, &f->event, &r, &f->s);
		if (f->s.verdict != (ROWS[i].want == NULL ? VERDICT_DELIVERED : VERDICT_DEAD))
			fail_msg("row %zu", i);
		if (ROWS[i].want != NULL)
			assert_string_equal(f->s.dead->last_error, ROWS[i].want);
		settlement_fini(&f->s);
		f->s.disable_reason[0] = '\0';
	}
#undef JSON_OK
}

static void judge_wish(struct fixture *f, int status, enum client_wish wish)
{
	struct client_result r = {.status = status, .error = "", .wish = wish};
	judge_attempt(&f->judge, f->w, &f->endpoint, &f->event, &r, &f->s);
}

/* What the receiver asks for: its answer is a success or not all the same. */
static void test_wishes(void **state)
{
	struct fixture *f = *state;
	judge_wish(f, 200, WISH_ABORT);
	assert_int_equal(f->s.verdict, VERDICT_DELIVERED);
	judge_wish(f, 400, WISH_ABORT);
	assert_int_equal(f->s.verdict, VERDICT_DEAD);
	assert_string_equal(f->s.dead->last_error,
	    "HTTP status 400: the receiver answered webhook-delivery: abort");
	assert_string_equal(f->s.disable_reason, "");
	settlement_fini(&f->s);
	judge_wish(f, 200, WISH_DISABLE);
	assert_int_equal(f->s.verdict, VERDICT_DELIVERED);
	assert_string_equal(f->s.disable_reason,
	    "the receiver answered webhook-delivery: disable");
	assert_true(f->s.changes_webhook);
	settlement_fini(&f->s);
	judge_wish(f, 500, WISH_DISABLE);
	assert_int_equal(f->s.verdict, VERDICT_RETRY); /* it waits in the queue */
	settlement_fini(&f->s);
	judge_wish(f, 410, WISH_ABORT);
	assert_int_equal(f->s.verdict, VERDICT_DEAD);
	assert_non_null(strstr(f->s.disable_reason, "410"));
}

/* The webhook's own URL learns nothing from its fallback, whose 410 is a failure. */
static void test_fallback(void **state)
{
	struct fixture *f = *state;
	webhook_set(&f->w->fallback_url, "http://example.net/");
	f->w->failing_since_ms = NOW_MS - 6 * DAY_MS;
	f->s.at_fallback = true;
	f->s.other_failing_ms = NOW_MS - 6 * DAY_MS;
	judge_status(f, 200, 0);
	assert_false(f->s.changes_webhook);
	judge_status(f, 410, 0);
	assert_int_equal(f->s.verdict, VERDICT_RETRY);
	assert_false(f->s.changes_webhook);
	f->endpoint.failing_since_ms = NOW_MS - 4 * DAY_MS;
	judge_status(f, 500, 0);
	assert_false(f->s.changes_webhook);
	f->endpoint.failing_since_ms = NOW_MS - 5 * DAY_MS;
	judge_status(f, 500, 0);
	assert_non_null(strstr(f->s.disable_reason, "every attempt failed since"));
}

/* Its own URL fails: that does not disable the webhook while the fallback does not. */
static void test_fallback_holds_disabling_off(void **state)
{
	static const int64_t OTHERS[] = {0, NOW_MS - 4 * DAY_MS, NOW_MS - 5 * DAY_MS};
	struct fixture *f = *state;
	webhook_set(&f->w->fallback_url, "http://example.net/");
	f->endpoint.failing_since_ms = NOW_MS - 6 * DAY_MS;
	for (size_t i = 0; i < 3; i++) {
		f->s.other_failing_ms = OTHERS[i];
		judge_status(f, 500, 0);
		assert_int_equal(f->s.disable_reason[0] != '\0', i == 2);
	}
}

static void test_what_the_endpoint_learns(void **state)
{
	static const struct {
		int status;
		enum sched_result want;
	} ROWS[] = {{200, RESULT_OK}, {299, RESULT_OK}, {0, RESULT_FAILED},
	    {301, RESULT_FAILED}, {404, RESULT_FAILED}, {410, RESULT_FAILED},
	    {429, RESULT_OVERLOADED}, {500, RESULT_FAILED}, {502, RESULT_OVERLOADED},
	    {503, RESULT_OVERLOADED}, {504, RESULT_OVERLOADED}};
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct client_result r = {.status = ROWS[i].status, .error = ""};
		if (judge_endpoint(&r, ROWS[i].want == RESULT_OK) != ROWS[i].want)
			fail_msg("status %d", ROWS[i].status);
	}
}

/* What came of a shortage of ours says nothing of who was to receive it. */
static void test_shortage_says_nothing(void **state)
{
	static const enum shortage OF[] = {SHORT_OF_DESCRIPTORS, SHORT_OF_MEMORY,
	    SHORT_OF_RESOLVER};
	struct client_result r = {.error = "no connection"};
	(void)state;
	assert_int_equal(judge_endpoint(&r, false), RESULT_FAILED);
	for (size_t i = 0; i < sizeof(OF) / sizeof(OF[0]); i++) {
		r.shortage = OF[i];
		assert_int_equal(judge_endpoint(&r, false), RESULT_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_2xx_is_delivered, setup, teardown),
	    cmocka_unit_test(test_shortage_says_nothing),
	    cmocka_unit_test_setup_teardown(test_schedule, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay_starts_the_schedule_over, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(test_own_schedule, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_retry_after, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_410_disables_and_tells_the_others, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(test_failing_is_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_five_days_of_failure_disable, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_success, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wishes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fallback, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fallback_holds_disabling_off, setup, teardown),
	    cmocka_unit_test(test_what_the_endpoint_learns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
