/* From a result to a settlement; see judge.h. */
#include "dispatch/judge.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/attempts.h"

#define NOTICE_MAX 8192 /* bytes of the event that tells of a disabled webhook */

static int64_t expiry_of(const struct judge *j, const char *event)
{
	for (size_t i = 0; i < j->expiry_count; i++) {
		if (strcmp(j->expiries[i].name, event) == 0)
			return j->expiries[i].after_ms;
	}
	return -1;
}

bool judge_is_expired(const struct judge *j, const struct event *e, const struct delivery *d,
    int64_t at_ms)
{
	int64_t after = expiry_of(j, e->name);
	return after >= 0 && d->replays == 0 && at_ms - e->created_ms > after;
}

bool judge_may_be_expired(const struct judge *j, const struct delivery *d, int64_t at_ms)
{
	bool old = false;
	for (size_t i = 0; i < j->expiry_count; i++)
		old = old || at_ms - d->created_ms > j->expiries[i].after_ms;
	return old && d->replays == 0;
}

/*
 * The time of the next attempt: the schedule's, or a later one that Retry-After asks for;
 * -1: none.
 */
static int64_t next_attempt(const struct judge *j, const struct webhook *w,
    const struct delivery *delivery, const struct client_result *r, int64_t now_ms)
{
	const struct retry_schedule *schedule = w->retry != NULL ? w->retry : j->retry;
	uint32_t made = delivery->attempts - delivery->replayed_at;
	int64_t wait = retry_wait(schedule, made, rnd_next(j->rnd));
	if (wait < 0)
		return -1;
	if (r->retry_after_ms > wait)
		wait = r->retry_after_ms;
	return now_ms + wait;
}

/*
 * Whether the answer counts as success. Where the webhook says what does and this does not,
 * s->why has why, unless the status shows it.
 */
static bool is_delivered(const struct webhook *w, const struct client_result *r,
    struct settlement *s)
{
	if (w->success == NULL)
		return retry_outcome(r->status) == OUTCOME_DELIVERED;
	if (!success_has_status(w->success, r->status)) {
		if (retry_outcome(r->status) == OUTCOME_DELIVERED)
			s->why = "not a status that success.statuses has";
		return false;
	}
	if (success_reads(w->success))
		s->why = r->lacks != NULL ? r->lacks : success_check(w->success, r->whole);
	return s->why == NULL;
}

/* What went wrong, in words: the status, or why there was none. */
static void put_error(const struct settlement *s, const struct webhook *w,
    const struct client_result *r, char *out, size_t size)
{
	char redirect[ATTEMPT_ERROR_MAX];
	size_t len = settlement_put_redirect(s, w, r, redirect, sizeof(redirect));
	if (r->status != 0 && s->why != NULL)
		(void)snprintf(out, size, "HTTP status %d: %s", r->status, s->why);
	else if (r->status != 0)
		(void)snprintf(out, size, "HTTP status %d%s%.*s", r->status,
		    len > 0 ? ": " : "", (int)len, redirect);
	else
		(void)snprintf(out, size, "%s", r->error);
}

static struct dead_letter *make_dead_letter(const struct judge *j, const struct webhook *w,
    const struct event *e, const char *error, const struct settlement *s)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	idgen_take(j->ids, s->now_ms, 1, &dead->id);
	dead->delivery_id = s->delivery.id;
	dead->event_id = e->id;
	dead->webhook_id = w->id;
	(void)snprintf(dead->webhook_url, sizeof(dead->webhook_url), "%s", w->url);
	(void)snprintf(dead->event, sizeof(dead->event), "%s", e->name);
	(void)snprintf(dead->last_error, sizeof(dead->last_error), "%s", error);
	dead->attempts = s->delivery.attempts;
	dead->failed_ms = s->now_ms;
	return dead;
}

static void log_verdict(const struct webhook *w, const struct event *e,
    const struct settlement *s, const char *result, int64_t duration_us)
{
	static const struct {
		enum log_level level;
		const char *message;
	} LINES[] = {
	    [VERDICT_DELIVERED] = {LOG_DEBUG, "delivered"},
	    [VERDICT_EXPIRED] = {LOG_INFO, "delivery has expired"},
	    [VERDICT_RETRY] = {LOG_INFO, "delivery deferred"},
	    [VERDICT_DEAD] = {LOG_WARN, "delivery is dead"},
	};
	char delivery[UUID_TEXT_SIZE];
	char webhook[UUID_TEXT_SIZE];
	if (!log_enabled(LINES[s->verdict].level))
		return;
	uuid_format(&s->delivery.id, delivery);
	uuid_format(&w->id, webhook);
	int64_t next_ms = s->verdict == VERDICT_RETRY ? s->retry_ms - s->now_ms : 0;
	log_write(LINES[s->verdict].level, LINES[s->verdict].message,
	    LOG_FIELDS(LOG_S("session", w->session), LOG_S("webhook", webhook),
		LOG_S("delivery", delivery), LOG_S("event", e->name),
		LOG_N("attempt", s->delivery.attempts), LOG_S("result", result),
		LOG_N("duration_ms", duration_us / 1000), LOG_N("next_ms", next_ms)));
}

/* Writes the envelope of webhook.disabled. */
static void write_notice(const struct webhook *w, struct settlement *s)
{
	struct json_writer json = JSON_WRITER(&s->notice_body);
	s->notice_body = BUF_INIT(NOTICE_MAX);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "session_id", w->session);
	json_write_cstr(&json, "event", s->notice.event.name);
	json_write_i64(&json, "timestamp", s->now_ms / 1000);
	json_open_object(&json, "data");
	uuid_write(&json, "webhook_id", &w->id);
	json_write_cstr(&json, "url", w->url);
	json_write_cstr(&json, "reason", s->disable_reason);
	json_close(&json);
	json_close(&json);
	json_expect_whole(&json);
}

/* Makes the operational event that tells the session's other webhooks. */
static void make_notice(const struct judge *j, const struct webhook *w, struct settlement *s)
{
	struct publication *p = &s->notice;
	char id[UUID_TEXT_SIZE];
	uuid_format(&w->id, id);
	(void)snprintf(p->event.session, sizeof(p->event.session), "%s", w->session);
	(void)snprintf(p->event.name, sizeof(p->event.name), "webhook.disabled");
	write_notice(w, s);
	p->body = buf_view(&s->notice_body);
	(void)publication_match(p, j->registry); /* one event may take any number of steps */
	publication_leave_out(p, w->number);     /* the registry has it enabled still */
	publication_stamp(p, j->ids, s->now_ms);
	log_warn("webhook disabled", LOG_S("session", w->session), LOG_S("webhook", id),
	    LOG_S("reason", s->disable_reason));
}

/* Since when both URLs fail of a webhook with two, of which this one does since `since`. */
static int64_t all_failing_since(const struct settlement *s, int64_t since)
{
	if (s->other_failing_ms == 0)
		return s->now_ms;
	return s->other_failing_ms > since ? s->other_failing_ms : since;
}

/*
 * Whether the webhook's record has to change: it starts or stops failing for good, or is
 * disabled.
 */
static void judge_webhook(const struct judge *j, const struct webhook *w,
    const struct sched_endpoint *ep, const struct client_result *r, struct settlement *s)
{
	int64_t since = ep->failing_since_ms == 0 ? s->now_ms : ep->failing_since_ms;
	bool failed = s->verdict != VERDICT_DELIVERED;
	s->failing_since_ms = w->failing_since_ms; /* of its own URL alone */
	if (!failed && !s->at_fallback)
		s->failing_since_ms = 0;
	else if (failed && !s->at_fallback && w->failing_since_ms == 0 &&
	    ep->failures + 1 >= j->circuit_failures)
		s->failing_since_ms = since;
	if (w->fallback_url != NULL)
		since = all_failing_since(s, since);
	if (retry_outcome(r->status) == OUTCOME_GONE && !s->at_fallback) {
		(void)snprintf(s->disable_reason, sizeof(s->disable_reason),
		    "the receiver answered 410 Gone");
	} else if (r->wish == WISH_DISABLE) {
		(void)snprintf(s->disable_reason, sizeof(s->disable_reason),
		    "the receiver answered webhook-delivery: disable");
	} else if (failed && s->now_ms - since >= j->disable_after_ms) {
		char stamp[STR_TIME_SIZE];
		str_time(since, stamp);
		(void)snprintf(s->disable_reason, sizeof(s->disable_reason),
		    "every attempt failed since %s", stamp);
	}
	s->changes_webhook = s->failing_since_ms != w->failing_since_ms ||
	    s->disable_reason[0] != '\0';
	if (s->disable_reason[0] != '\0' && w->enabled)
		make_notice(j, w, s);
}

void judge_attempt(const struct judge *j, const struct webhook *w,
    const struct sched_endpoint *ep, const struct event *e, const struct client_result *r,
    struct settlement *s)
{
	char error[DEAD_ERROR_MAX + 1] = "";
	s->delivery.attempts++;
	s->session = slice_of(e->session);
	s->keeps_place = webhook_keeps_places(w);
	s->verdict = VERDICT_DELIVERED;
	s->why = NULL;
	if (!is_delivered(w, r, s)) {
		bool aborts = r->wish == WISH_ABORT;
		if (aborts)
			s->why = "the receiver answered webhook-delivery: abort";
		s->retry_ms = aborts ? -1 : next_attempt(j, w, &s->delivery, r, s->now_ms);
		s->verdict = s->retry_ms < 0 ? VERDICT_DEAD : VERDICT_RETRY;
		if (judge_is_expired(j, e, &s->delivery,
			s->retry_ms < 0 ? s->now_ms : s->retry_ms))
			s->verdict = VERDICT_EXPIRED;
	}
	if (s->verdict != VERDICT_DELIVERED || log_enabled(LOG_DEBUG)) /* all who ask for it */
		put_error(s, w, r, error, sizeof(error));
	if (s->verdict == VERDICT_DEAD)
		s->dead = make_dead_letter(j, w, e, error, s);
	log_verdict(w, e, s, error, r->duration_us);
	judge_webhook(j, w, ep, r, s);
}

void judge_damaged(const struct judge *j, const struct webhook *w, const struct event *e,
    const char *why, struct settlement *s)
{
	char delivery[UUID_TEXT_SIZE];
	char webhook[UUID_TEXT_SIZE];
	uuid_format(&s->delivery.id, delivery);
	uuid_format(&w->id, webhook);
	s->verdict = VERDICT_DEAD;
	s->is_damaged = true;
	s->session = slice_of(e->session);
	s->dead = make_dead_letter(j, w, e, why, s);
	log_error("delivery is damaged, and dead", LOG_S("session", w->session),
	    LOG_S("webhook", webhook), LOG_S("delivery", delivery), LOG_S("error", why));
}

void judge_expired(const struct webhook *w, const struct event *e, struct settlement *s)
{
	s->verdict = VERDICT_EXPIRED;
	log_verdict(w, e, s, "not sent", 0);
}

enum sched_result judge_endpoint(const struct client_result *r, bool delivered)
{
	if (r->shortage != SHORT_OF_NOTHING)
		return RESULT_NONE;
	if (delivered)
		return RESULT_OK;
	return retry_is_overload(r->status) ? RESULT_OVERLOADED : RESULT_FAILED;
}
