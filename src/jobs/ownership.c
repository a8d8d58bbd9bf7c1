/*
 * Each webhook that is pending has an asking, whose question stands in line until it has a
 * slot; see ownership.h.
 *
 *   LINED ──a slot───▶ ASKED ──an answer──▶ JUDGED ──committed──▶ gone
 *     ▲                 │
 *     └─ RESTS, or ─────┘
 *        LACKS a token
 */
#include "jobs/ownership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "courier/challenge.h"
#include "store/webhooks.h"

#define SLICE_MAX 100      /* webhooks that are written in a turn */
#define MINUTE_MAX 60      /* questions of a session in a minute: who makes a loop notices */
#define SHORT_REST_MS 1000 /* after one that was not made for want of something of ours */

static const int64_t WAITS_MS[OWNERSHIP_WAITS] = {1000, 5000, 30000};

enum asking_state { LINED, LACKS, ASKED, RESTS, JUDGED };

TAILQ_HEAD(askings, asking);

struct asking {
	struct question question; /* first */
	TAILQ_ENTRY(asking) link; /* while JUDGED */
	struct asker *asker;
	uint64_t webhook;
	int64_t since_ms; /* the webhook's, when it began */
	enum asking_state state;
	uint32_t tries; /* questions that nobody answered */
	struct reactor_timer *again;
	struct challenge *challenge; /* while ASKED */
	struct token *token;         /* NULL: none is needed, or not taken yet */
	struct token_waiter waiter;
	char why[OWNERSHIP_ERROR_MAX]; /* while JUDGED; "": it is verified */

	/* out of apply() */
	struct webhook *concluded; /* as it was stored; owned until taken; or NULL */
};

struct asker {
	struct job job; /* first */
	struct ownership_conf conf;
	struct map *askings; /* webhook number -> its asking */
	struct askings judged;
	struct questions *questions;
	struct asker_figures figures; /* those that are counted */

	/* out of apply() */
	size_t reached; /* of those at the front, how many had their part */
};

static void drop_token(struct asking *k)
{
	token_leave(&k->waiter);
	token_give_back(k->token);
	k->token = NULL;
}

static void free_asking(void *value, void *arg)
{
	struct asking *k = value;
	(void)arg;
	drop_token(k);
	challenge_free(k->challenge);
	reactor_timer_free(k->again);
	webhook_free(k->concluded);
	free(k);
}

/* Nothing is to be asked any more. */
static void drop(struct asking *k)
{
	question_leave(k->asker->questions, &k->question);
	(void)map_del(k->asker->askings, &k->webhook, sizeof(k->webhook)); /* is `k` */
	free_asking(k, NULL);
}

/* The webhook, if it is still to be asked. */
static const struct webhook *find_pending(const struct asker *a, uint64_t webhook)
{
	const struct webhook *w = registry_get(a->conf.registry, webhook);
	bool wanted = w != NULL && !w->deleted && w->ownership.state == OWNERSHIP_PENDING;
	return wanted ? w : NULL;
}

static void line_up(struct asking *k, const struct webhook *w)
{
	k->state = LINED;
	question_line_up(k->asker->questions, &k->question, w->session);
}

/* Asks from the first question on, as the webhook is now; drops what is not to be asked. */
static void begin_anew(struct asking *k)
{
	const struct webhook *w = find_pending(k->asker, k->webhook);
	drop_token(k);
	if (w == NULL) {
		drop(k);
		return;
	}
	k->tries = 0;
	k->since_ms = w->ownership.since_ms;
	line_up(k, w);
}

static void go_on(struct asking *k)
{
	struct asker *a = k->asker;
	const struct webhook *w = find_pending(a, k->webhook);
	if (w == NULL)
		drop(k);
	else
		line_up(k, w);
	questions_move(a->questions);
}

static void on_again(void *arg)
{
	go_on(arg);
}

static void on_token(void *arg)
{
	go_on(arg);
}

static void rest(struct asking *k, int64_t ms)
{
	k->state = RESTS;
	reactor_timer_set(k->again, ms);
}

static void judge(struct asking *k, const char *why)
{
	k->state = JUDGED;
	(void)snprintf(k->why, sizeof(k->why), "%s", why == NULL ? "" : why);
	TAILQ_INSERT_TAIL(&k->asker->judged, k, link);
}

/* Nobody has answered: another question follows, or this was the last. */
static void count_silence(struct asking *k, const char *why)
{
	struct asker *a = k->asker;
	if (k->tries < OWNERSHIP_WAITS) {
		rest(k, a->conf.wait_ms[k->tries++]);
		return;
	}
	a->figures.silent++;
	judge(k, why);
}

/* Whether a receiver that does not take the token is asked again, with another. */
static bool renews_token(struct asking *k)
{
	return k->token != NULL && k->tries < OWNERSHIP_WAITS && token_refuse(k->token);
}

static void take_verdict(struct asking *k, enum challenge_verdict verdict, const char *why)
{
	switch (verdict) {
	case CHALLENGE_REPEATED:
		k->asker->figures.verified++;
		judge(k, NULL);
		return;
	case CHALLENGE_UNAUTHORIZED:
		if (renews_token(k)) {
			count_silence(k, why);
			return;
		}
		k->asker->figures.refused++;
		judge(k, why);
		return;
	case CHALLENGE_REFUSED:
		k->asker->figures.refused++;
		judge(k, why);
		return;
	case CHALLENGE_UNANSWERED:
		count_silence(k, why);
		return;
	case CHALLENGE_SHORT:
		rest(k, SHORT_REST_MS);
		return;
	}
	log_panic("a verdict that there is not");
}

/* Hears an answer; what is asked next is another question. */
static void on_answer(void *arg, enum challenge_verdict verdict, const char *why)
{
	struct asking *k = arg;
	struct asker *a = k->asker;
	const struct webhook *w = find_pending(a, k->webhook);
	question_over(a->questions, &k->question);
	challenge_free(k->challenge);
	k->challenge = NULL;
	if (w == NULL || w->ownership.since_ms != k->since_ms)
		begin_anew(k);
	else
		take_verdict(k, verdict, why);
	questions_move(a->questions);
}

/* Whether the webhook can show who it is; if not, its token is waited for. */
static bool has_token(struct asking *k, const struct webhook *w)
{
	struct token *token = NULL;
	if (w->auth != NULL && w->auth->type == AUTH_OAUTH2)
		token = tokens_take(k->asker->conf.tokens, w);
	drop_token(k); /* it may have been that of other credentials */
	k->token = token;
	if (token == NULL)
		return true;
	k->waiter.fn = on_token;
	k->waiter.arg = k;
	if (token_want(k->token, &k->waiter))
		return true;
	k->state = LACKS;
	return false;
}

static void pose(struct asking *k, const struct webhook *w)
{
	struct asker *a = k->asker;
	const char *authorization = NULL;
	if (k->token != NULL)
		webhook_auth_grant(w->auth, token_header(k->token));
	if (w->auth != NULL)
		authorization = w->auth->header;
	k->state = ASKED;
	k->challenge = challenge_send(a->conf.client, w, k->tries, authorization, on_answer, k);
}

/* Its slot is there: asks, or finds that it need not, or not yet. */
static bool ask(struct question *q)
{
	struct asking *k = (struct asking *)q;
	const struct webhook *w = find_pending(k->asker, k->webhook);
	if (w == NULL) {
		drop(k);
		return false;
	}
	if (!has_token(k, w))
		return false;
	pose(k, w);
	return true;
}

static void break_off(struct question *q)
{
	challenge_give_up(((struct asking *)q)->challenge);
}

static const struct questions_hooks HOOKS = {ask, break_off};

static bool has_more(struct job *j)
{
	return !TAILQ_EMPTY(&((struct asker *)j)->judged);
}

/* Writes what became of an asking, unless the webhook was changed since it began. */
static enum err conclude(const struct asker *a, struct db_txn *txn, struct asking *k)
{
	struct webhook *w = NULL;
	webhook_free(k->concluded); /* of a transaction that was voided */
	k->concluded = NULL;
	enum err err = webhooks_get(txn, a->conf.vault, k->webhook, &w);
	if (err != OK)
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	if (!w->deleted && w->ownership.state == OWNERSHIP_PENDING &&
	    w->ownership.since_ms == k->since_ms) {
		ownership_conclude(w, k->why[0] == '\0' ? NULL : k->why, clock_wall_ms());
		err = webhooks_change(txn, a->conf.vault, w, w);
		k->concluded = w;
		return err;
	}
	webhook_free(w);
	return OK;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct asker *a = (struct asker *)j;
	struct asking *k;
	a->reached = 0;
	TAILQ_FOREACH(k, &a->judged, link) {
		enum err err = conclude(a, txn, k);
		if (err != OK)
			return err;
		if (++a->reached == max)
			break;
	}
	return OK;
}

static void tell(const struct asker *a, const struct webhook *w, bool was_enabled)
{
	char id[UUID_TEXT_SIZE];
	uuid_format(&w->id, id);
	if (w->ownership.state == OWNERSHIP_VERIFIED) {
		log_info("endpoint has repeated the challenge", LOG_S("session", w->session),
		    LOG_S("webhook", id));
		return;
	}
	log_warn("endpoint has not repeated the challenge: its webhook is disabled",
	    LOG_S("session", w->session), LOG_S("webhook", id),
	    LOG_S("reason", w->ownership.error));
	if (was_enabled && !w->enabled && a->conf.feed != NULL)
		feed_tell_disabled(a->conf.feed, w, clock_wall_ms());
}

/* What was judged is on disk: memory follows, and the asking goes or begins anew. */
static void follow(struct asker *a, struct asking *k)
{
	TAILQ_REMOVE(&a->judged, k, link);
	if (k->concluded != NULL) {
		const struct webhook *old = registry_get(a->conf.registry, k->webhook);
		bool was_enabled = old != NULL && old->enabled;
		tell(a, k->concluded, was_enabled);
		registry_set(a->conf.registry, k->concluded);
		k->concluded = NULL;
		dispatch_changed(a->conf.dispatch, k->webhook, false);
	}
	begin_anew(k); /* where it is pending again */
}

static void done(struct job *j, enum err result)
{
	struct asker *a = (struct asker *)j;
	for (; result == OK && a->reached > 0; a->reached--)
		follow(a, TAILQ_FIRST(&a->judged));
	questions_move(a->questions);
}

static void release(struct job *j)
{
	struct asker *a = (struct asker *)j;
	map_each(a->askings, free_asking, NULL);
	map_free(a->askings);
	questions_free(a->questions);
}

static const struct job_kind OWNERSHIP = {.slice_max = SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

static void add_pending(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	if (find_pending(arg, w->number) != NULL)
		asker_add(arg, w->number);
}

struct asker *asker_new(struct jobs *jobs, const struct ownership_conf *conf)
{
	struct asker *a = mem_new(sizeof(*a));
	a->conf = *conf;
	for (size_t i = 0; i < OWNERSHIP_WAITS; i++) {
		if (conf->wait_ms[i] == 0)
			a->conf.wait_ms[i] = WAITS_MS[i];
	}
	a->askings = map_new();
	a->questions = questions_new(conf->reactor, MINUTE_MAX, &HOOKS);
	TAILQ_INIT(&a->judged);
	jobs_add(jobs, &a->job, &OWNERSHIP);
	registry_each(conf->registry, add_pending, a);
	return a;
}

void asker_add(struct asker *a, uint64_t webhook)
{
	struct asking *k = map_get(a->askings, &webhook, sizeof(webhook));
	if (k == NULL) {
		k = mem_new(sizeof(*k));
		k->asker = a;
		k->webhook = webhook;
		k->again = reactor_timer_new(a->conf.reactor, on_again, k);
		map_put(a->askings, &k->webhook, sizeof(k->webhook), k);
	} else if (k->state == ASKED || k->state == JUDGED) {
		return; /* begins anew with what comes of it */
	}
	reactor_timer_clear(k->again);
	question_leave(a->questions, &k->question);
	begin_anew(k);
	questions_move(a->questions);
}

void asker_figures(const struct asker *a, struct asker_figures *out)
{
	*out = a->figures;
	out->pending = map_count(a->askings);
	out->questions = questions_figures(a->questions);
}
