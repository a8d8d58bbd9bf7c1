/* From credentials to tokens; see tokens.h. */
#include "courier/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/percent.h"
#include "base/str.h"
#include "domain/assertion.h"
#include "domain/json_at.h"

#define ANSWER_MAX 65536    /* bytes */
#define TIMEOUT_MS 10000    /* until its head is there */
#define WHOLE_MS 20000      /* until all of it is */
#define LIFE_DEFAULT_S 300  /* where the answer does not say */
#define LIFE_MAX_S 86400    /* whatever it says */
#define MARGIN_PART 10      /* of its life it is not used in the last part of so many… */
#define MARGIN_MAX_MS 60000 /* …at most so long */
#define WAIT_MIN_MS 1000    /* after a failure */
#define WAIT_MAX_MS 300000
#define REFUSE_EVERY_MS 10000
#define SIGN_EVERY_MS 10000 /* a question that is signed, however short tokens last */
#define SHORT_REST_MS 1000  /* after one that was broken off, or lacked something of ours */
#define FORM_MAX 32768      /* bytes of a question: all of it may be percent-encoded */
#define WHY_MAX 320
#define URL_SHOWN_MAX 256

enum state { NONE, QUEUED, ASKED, HAD, FAILED /* or rests: `again` ends it */ };

struct token {
	struct question question; /* first */
	TAILQ_HEAD(, token_waiter) waiters;
	struct tokens *tokens;
	unsigned char key[DIGEST_SIZE];
	size_t taken;
	enum state state;
	char *session;
	struct webhook_auth *auth;
	struct proxy_choice proxy;
	struct reactor_timer *again;
	struct client_request *request; /* while ASKED; so the next */
	struct buf form;
	struct buf answer; /* what has come of it */
	bool is_too_long;
	bool is_too_slow;
	bool is_unsigned; /* the question: its assertion could not be made */
	int64_t asked_ms; /* monotonic, 0: not yet, or refused; so the next two */
	int64_t expires_ms;
	int64_t refused_ms; /* 0: never */
	int64_t wait_ms;    /* after the next failure */
	uint64_t number;
	char *header; /* while HAD */
	char why[WHY_MAX];
};

struct tokens {
	struct reactor *reactor;
	struct client *client;
	struct map *by_key;
	struct questions *questions;
	uint64_t number; /* of the last token */
	uint64_t had;
	uint64_t failed;
};

static bool ask(struct question *q);
static void break_off(struct question *q);

static const struct questions_hooks HOOKS = {ask, break_off};

struct tokens *tokens_new(struct reactor *r, struct client *client)
{
	struct tokens *t = mem_new(sizeof(*t));
	t->reactor = r;
	t->client = client;
	t->by_key = map_new();
	t->questions = questions_new(r, 0, &HOOKS);
	return t;
}

static void wipe(struct buf *b)
{
	mem_wipe(b->data, b->cap);
	buf_fini(b);
}

static void free_token(void *value, void *arg)
{
	struct token *k = value;
	(void)arg;
	webhook_auth_free(k->auth);
	proxy_clear(&k->proxy);
	reactor_timer_free(k->again);
	wipe(&k->form);
	wipe(&k->answer);
	mem_forget(k->header);
	free(k->session);
	free(k);
}

void tokens_free(struct tokens *t)
{
	if (t == NULL)
		return;
	map_each(t->by_key, free_token, NULL);
	map_free(t->by_key);
	questions_free(t->questions);
	free(t);
}

/* All that makes a token another one; nobody can choose one that has another's. */
static void identify(const struct webhook *w, unsigned char out[DIGEST_SIZE])
{
	const struct webhook_auth *a = w->auth;
	struct buf b = BUF_INIT(FORM_MAX);
	(void)buf_reserve(&b, FORM_MAX); /* is the limit */
	put_text(&b, slice_of(w->session));
	webhook_auth_encode(a, &b);
	put_text(&b, slice_of(a->secret));
	webhook_options_encode_proxy(w->options, &b);
	const struct slice all = buf_view(&b);
	digest_of(&all, 1, out);
	wipe(&b);
}

static struct webhook_auth *copy_auth(const struct webhook_auth *a)
{
	struct webhook_auth *copy = webhook_auth_new(a->type);
	webhook_set(&copy->name, a->name);
	webhook_set(&copy->token_url, a->token_url);
	webhook_set(&copy->scope, a->scope);
	webhook_set(&copy->audience, a->audience);
	webhook_set(&copy->key_id, a->key_id);
	copy->posts = a->posts;
	copy->signs = a->signs;
	webhook_auth_set_secret(copy, slice_of(a->secret));
	return copy;
}

static void on_again(void *arg);

struct token *tokens_take(struct tokens *t, const struct webhook *w)
{
	unsigned char key[DIGEST_SIZE];
	identify(w, key);
	struct token *k = map_get(t->by_key, key, sizeof(key));
	if (k == NULL) {
		k = mem_new(sizeof(*k));
		TAILQ_INIT(&k->waiters);
		k->tokens = t;
		memcpy(k->key, key, sizeof(key));
		k->session = mem_copy(w->session, strlen(w->session));
		k->auth = copy_auth(w->auth);
		if (w->options != NULL)
			proxy_copy(&w->options->proxy, &k->proxy);
		k->again = reactor_timer_new(t->reactor, on_again, k);
		k->wait_ms = WAIT_MIN_MS;
		map_put(t->by_key, k->key, sizeof(k->key), k);
	}
	k->taken++;
	return k;
}

/* Nobody has it: it goes, unless its answer is still to come. */
static void drop_unused(struct token *k)
{
	if (k->taken > 0 || k->state == ASKED)
		return;
	question_leave(k->tokens->questions, &k->question);
	(void)map_del(k->tokens->by_key, k->key, sizeof(k->key)); /* is `k` */
	free_token(k, NULL);
}

void token_give_back(struct token *k)
{
	if (k == NULL)
		return;
	k->taken--;
	drop_unused(k);
}

static void put_pair(struct buf *form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(form, "%s%s=", form->len > 0 ? "&" : "", name);
	percent_put(form, slice_of(value));
}

/* Shows by a signature who asks. Source: RFC 7523 section 2.2. */
static void put_assertion(struct token *k)
{
	const struct webhook_auth *a = k->auth;
	struct buf text = BUF_INIT(ASSERTION_MAX);
	const struct assertion claims = {slice_of(a->secret), slice_of(a->key_id),
	    slice_of(a->name), slice_of(a->token_url), clock_wall_ms() / 1000};
	k->is_unsigned = assertion_put(&claims, &text) != OK;
	put_pair(&k->form, "client_id", a->name);
	put_pair(&k->form, "client_assertion_type",
	    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	put_pair(&k->form, "client_assertion", buf_cstr(&text));
	wipe(&text);
}

static void write_form(struct token *k)
{
	const struct webhook_auth *a = k->auth;
	k->form = BUF_INIT(FORM_MAX);
	(void)buf_reserve(&k->form, FORM_MAX); /* is the limit: it does not move */
	put_pair(&k->form, "grant_type", "client_credentials");
	put_pair(&k->form, "scope", a->scope);
	put_pair(&k->form, "audience", a->audience);
	if (a->posts) {
		put_pair(&k->form, "client_id", a->name);
		put_pair(&k->form, "client_secret", a->secret);
	}
	if (a->signs)
		put_assertion(k);
	panic_if(k->form.failed, "a question for a token is over its limit");
}

/* Credentials for Basic, each percent-encoded before. Source: RFC 6749 section 2.3.1. */
static void put_basic(struct client_request *q, const struct webhook_auth *a)
{
	struct buf name = BUF_INIT(PERCENT_GROWTH * AUTH_NAME_MAX);
	struct buf secret = BUF_INIT(PERCENT_GROWTH * AUTH_SECRET_MAX);
	(void)buf_reserve(&secret, PERCENT_GROWTH * AUTH_SECRET_MAX); /* is the limit */
	percent_put(&name, slice_of(a->name));
	percent_put(&secret, slice_of(a->secret));
	char *header = webhook_auth_basic(buf_view(&name), buf_view(&secret));
	client_header(q, SLICE("Authorization"), slice_of(header));
	mem_forget(header);
	wipe(&secret);
	buf_fini(&name);
}

static bool on_data(void *arg, struct slice bytes)
{
	struct token *k = arg;
	buf_slice(&k->answer, bytes);
	k->is_too_long = k->answer.failed;
	k->is_too_slow = clock_mono_ms() - k->asked_ms > WHOLE_MS;
	return !k->is_too_long && !k->is_too_slow;
}

static void on_done(void *arg, const struct client_result *r);

/* Its slot is there: asks. */
static bool ask(struct question *q)
{
	struct token *k = (struct token *)q;
	struct client_request *r = client_open(k->tokens->client);
	k->state = ASKED;
	k->asked_ms = clock_mono_ms();
	k->answer = BUF_INIT(ANSWER_MAX);
	(void)buf_reserve(&k->answer, ANSWER_MAX); /* is the limit: no copy is left behind */
	write_form(k);
	k->request = r;
	client_header(r, SLICE("Content-Type"), SLICE("application/x-www-form-urlencoded"));
	client_header(r, SLICE("Accept"), SLICE("application/json"));
	if (!k->auth->posts && !k->auth->signs)
		put_basic(r, k->auth);
	client_taker(r, slice_of(k->session));
	if (!proxy_is_default(&k->proxy))
		client_proxy(r, &k->proxy);
	client_call(r, "POST", k->auth->token_url, buf_view(&k->form), TIMEOUT_MS, on_data,
	    on_done, k);
	return true;
}

static void break_off(struct question *q)
{
	client_give_up(((struct token *)q)->request);
}

/* Asks now, or has it stand in line. */
static void seek(struct token *k)
{
	k->state = QUEUED;
	question_line_up(k->tokens->questions, &k->question, k->session);
	questions_move(k->tokens->questions);
}

static void on_again(void *arg)
{
	struct token *k = arg;
	if (k->state != FAILED)
		return;
	k->state = NONE;
	if (!TAILQ_EMPTY(&k->waiters))
		seek(k);
}

/* The code of an error that RFC 6749 section 5.2 knows, or "": others might be anything. */
static const char *error_code(struct slice answer)
{
	static const char *const CODES[] = {"invalid_request", "invalid_client",
	    "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	    "invalid_target", "access_denied", "server_error", "temporarily_unavailable"};
	struct json_at j = JSON_AT(answer);
	struct slice code = json_at_text(&j, "error");
	const char *found = "";
	for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
		if (slice_eq(code, slice_of(CODES[i])))
			found = CODES[i];
	}
	json_at_fini(&j);
	return found;
}

/* Whether a text may be sent in a header as it is, and stood in JSON as it is. */
static bool is_sendable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '!' || text.ptr[i] > '~' || text.ptr[i] == '"' ||
		    text.ptr[i] == '\\')
			return false;
	}
	return text.len > 0 && text.len < AUTH_HEADER_MAX;
}

/* For how long the token may be used, from when it was asked for. */
static int64_t life_ms(struct json_at *j)
{
	uint64_t seconds = LIFE_DEFAULT_S;
	enum err err = str_u64(json_at_text(j, "expires_in"), &seconds);
	if (err != OK)
		err = str_u64(json_at(j, "expires_in"), &seconds);
	if (err == ERR_TOOBIG || seconds > LIFE_MAX_S)
		seconds = LIFE_MAX_S;
	if (seconds < 1)
		seconds = 1;
	int64_t whole_ms = (int64_t)seconds * 1000;
	int64_t margin_ms = whole_ms / MARGIN_PART;
	return whole_ms - (margin_ms < MARGIN_MAX_MS ? margin_ms : MARGIN_MAX_MS);
}

/* Takes the token out of the answer; NULL, or what is wrong with it. */
static const char *read_answer(struct token *k)
{
	struct json_at j = JSON_AT(buf_view(&k->answer));
	struct slice type = json_at_text(&j, "token_type");
	const char *wrong = NULL;
	if (type.len > 0 && (type.len != 6 || strncasecmp(type.ptr, "bearer", 6) != 0))
		wrong = "its token_type is not Bearer";
	struct slice token = json_at_text(&j, "access_token");
	if (token.len == 0)
		wrong = "its answer has no access_token";
	else if (!is_sendable(token))
		wrong = "its access_token cannot be sent in a header";
	if (wrong == NULL) {
		k->header = mem_new(sizeof("Bearer ") + token.len);
		memcpy(k->header, "Bearer ", 7);
		memcpy(k->header + 7, token.ptr, token.len);
		k->expires_ms = k->asked_ms + life_ms(&j);
	}
	mem_wipe(j.buffers[0].data, j.buffers[0].len);
	mem_wipe(j.buffers[1].data, j.buffers[1].len);
	json_at_fini(&j);
	return wrong;
}

/* Says in `why` what is wrong with what came, if anything is. */
static void judge(struct token *k, const struct client_result *r)
{
	const char *wrong = r->error;
	char words[80];
	if (r->status != 0 && r->status / 100 != 2) {
		const char *code = error_code(r->answer);
		(void)snprintf(words, sizeof(words), "HTTP status %d%s%s%s", r->status,
		    r->status / 100 == 3 ? ": redirect not followed" : "",
		    code[0] != '\0' ? ": " : "", code);
		wrong = words;
	} else if (k->is_too_long) {
		wrong = "its answer is over 65536 bytes";
	} else if (k->is_too_slow) {
		wrong = "its answer takes too long";
	} else if (r->status != 0) {
		wrong = read_answer(k);
	}
	if (wrong != NULL && k->is_unsigned)
		wrong = "its client_key_pem cannot sign";
	k->why[0] = '\0';
	if (wrong != NULL)
		(void)snprintf(k->why, sizeof(k->why), "no token: %s", wrong);
}

/* Asks again after `ms`, which says nothing of the endpoint. */
static void rest(struct token *k, int64_t ms)
{
	k->state = FAILED;
	reactor_timer_set(k->again, ms);
}

/* For how long the key that signs may not do so again. */
static int64_t signed_rest_ms(const struct token *k)
{
	int64_t rest_ms = k->asked_ms + SIGN_EVERY_MS - clock_mono_ms();
	return k->auth->signs && k->asked_ms != 0 && rest_ms > 0 ? rest_ms : 0;
}

static void tell_waiters(struct token *k)
{
	while (!TAILQ_EMPTY(&k->waiters)) {
		struct token_waiter *w = TAILQ_FIRST(&k->waiters);
		token_leave(w);
		w->fn(w->arg);
	}
}

static void fail(struct token *k)
{
	size_t shown = strcspn(k->auth->token_url, "?"); /* there may be a key behind it */
	char url[URL_SHOWN_MAX];
	(void)snprintf(url, sizeof(url), "%.*s", (int)shown, k->auth->token_url);
	log_warn("webhooks wait for a token", LOG_S("session", k->session),
	    LOG_S("token_url", url), LOG_S("reason", k->why), LOG_N("next_ms", k->wait_ms));
	k->tokens->failed++;
	rest(k, k->wait_ms);
	k->wait_ms = 2 * k->wait_ms < WAIT_MAX_MS ? 2 * k->wait_ms : WAIT_MAX_MS;
}

static void on_done(void *arg, const struct client_result *r)
{
	struct token *k = arg;
	struct tokens *t = k->tokens;
	judge(k, r);
	wipe(&k->form);
	wipe(&k->answer);
	k->is_too_long = false;
	k->is_too_slow = false;
	question_over(t->questions, &k->question);
	if (r->given_up || r->shortage != SHORT_OF_NOTHING) {
		int64_t signed_ms = signed_rest_ms(k);
		rest(k, signed_ms > SHORT_REST_MS ? signed_ms : SHORT_REST_MS);
	} else if (k->why[0] != '\0') {
		fail(k);
	} else {
		k->state = HAD;
		k->number = ++t->number;
		k->wait_ms = WAIT_MIN_MS;
		t->had++;
		tell_waiters(k);
	}
	drop_unused(k);
	questions_move(t->questions);
}

static void forget(struct token *k)
{
	mem_forget(k->header);
	k->header = NULL;
	k->number = 0;
	k->state = NONE;
}

/*
 * Asks, unless its key has signed a moment ago: a signature takes milliseconds of everybody's,
 * and an endpoint may say that its tokens last for a second.
 */
static void renew(struct token *k)
{
	int64_t rest_ms = signed_rest_ms(k);
	if (rest_ms == 0) {
		seek(k);
		return;
	}
	(void)snprintf(k->why, sizeof(k->why),
	    "no token: the last one is over, and client_key_pem signs once in 10 seconds");
	rest(k, rest_ms);
}

bool token_want(struct token *k, struct token_waiter *w)
{
	if (k->state == HAD && clock_mono_ms() < k->expires_ms)
		return true;
	if (k->state == HAD)
		forget(k);
	if (w->token == NULL) {
		w->token = k;
		TAILQ_INSERT_TAIL(&k->waiters, w, link);
	}
	if (k->state == NONE)
		renew(k);
	return false;
}

void token_leave(struct token_waiter *w)
{
	if (w->token == NULL)
		return;
	TAILQ_REMOVE(&w->token->waiters, w, link);
	w->token = NULL;
}

const char *token_header(const struct token *k)
{
	return k->header;
}

uint64_t token_number(const struct token *k)
{
	return k->number;
}

bool token_refuse(struct token *k)
{
	int64_t now_ms = clock_mono_ms();
	if (k->state != HAD || (k->refused_ms != 0 && now_ms - k->refused_ms < REFUSE_EVERY_MS))
		return false;
	k->refused_ms = now_ms;
	k->asked_ms = 0; /* another is asked for at once */
	forget(k);
	return true;
}

const char *token_why(const struct token *k)
{
	return k->state == HAD || k->why[0] == '\0' ? NULL : k->why;
}

void tokens_figures(const struct tokens *t, struct tokens_figures *out)
{
	*out = (struct tokens_figures){.had = t->had,
	    .failed = t->failed,
	    .questions = questions_figures(t->questions)};
}
