/* One question to an endpoint; see challenge.h. */
#include "courier/challenge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/attempt.h"
#include "domain/json_at.h"
#include "domain/url.h"

#define ANSWER_MAX 4096 /* bytes */
#define WHOLE_MS 30000  /* until its last piece but one is there: less than as long again */
#define BODY_MAX 2048   /* bytes of a question: names and ids */
#define QUERY "hub.mode=subscribe&hub.challenge="

struct challenge {
	challenge_done_fn done;
	void *arg;
	char text[UUID_TEXT_SIZE]; /* what is to be repeated */
	struct buf body;
	struct buf answer;
	bool is_too_slow;
	int64_t asked_ms;               /* monotonic */
	struct client_request *request; /* until its `done` */
};

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice strip(struct slice s)
{
	while (s.len > 0 && is_white(s.ptr[s.len - 1]))
		s.len--;
	for (; s.len > 0 && is_white(s.ptr[0]); s.len--)
		s.ptr++;
	return s;
}

bool challenge_is_repeated(struct slice challenge, struct slice body)
{
	body = strip(body);
	if (slice_eq(body, challenge))
		return true;
	if (body.len > 2 && body.ptr[0] == '"' && body.ptr[body.len - 1] == '"')
		return slice_eq((struct slice){body.ptr + 1, body.len - 2}, challenge);
	struct json_at j = JSON_AT(body);
	bool is_member = slice_eq(json_at_text(&j, "challenge"), challenge);
	json_at_fini(&j);
	return is_member;
}

static bool on_data(void *arg, struct slice bytes)
{
	struct challenge *ch = arg;
	buf_slice(&ch->answer, bytes);
	ch->is_too_slow = clock_mono_ms() - ch->asked_ms > WHOLE_MS;
	return !ch->answer.failed && !ch->is_too_slow;
}

/* Whether a status says that it could be another one later. */
static bool is_passing(int status)
{
	return status / 100 == 5 || status == 408 || status == 425 || status == 429;
}

static enum challenge_verdict judge(const struct challenge *ch, const struct client_result *r,
    const char **why, char words[static 80])
{
	*why = r->error;
	if (r->given_up || r->shortage != SHORT_OF_NOTHING)
		return CHALLENGE_SHORT;
	if (r->status == 0)
		return CHALLENGE_UNANSWERED;
	if (r->status / 100 != 2) {
		(void)snprintf(words, 80, "HTTP status %d%s", r->status,
		    r->status / 100 == 3 ? ": redirect not followed" : "");
		*why = words;
		if (r->status == 401)
			return CHALLENGE_UNAUTHORIZED;
		return is_passing(r->status) ? CHALLENGE_UNANSWERED : CHALLENGE_REFUSED;
	}
	*why = "its answer takes too long";
	if (ch->is_too_slow)
		return CHALLENGE_UNANSWERED;
	*why = "its answer is over 4096 bytes";
	if (ch->answer.failed)
		return CHALLENGE_REFUSED;
	*why = "its answer is not the challenge";
	if (!challenge_is_repeated(slice_of(ch->text), buf_view(&ch->answer)))
		return CHALLENGE_REFUSED;
	*why = NULL;
	return CHALLENGE_REPEATED;
}

static void on_done(void *arg, const struct client_result *r)
{
	struct challenge *ch = arg;
	const char *why = NULL;
	char words[80];
	enum challenge_verdict verdict = judge(ch, r, &why, words);
	ch->done(ch->arg, verdict, why); /* may free it; `why` is not its own */
}

static void write_url(const struct challenge *ch, const struct webhook *w, struct buf *url)
{
	buf_puts(url, w->url);
	if (w->ownership.way == OWNERSHIP_BY_GET)
		buf_printf(url, "%s" QUERY "%s", strchr(w->url, '?') == NULL ? "?" : "&",
		    ch->text);
}

static void write_body(struct challenge *ch, const struct webhook *w, int64_t now_ms)
{
	struct json_writer json = JSON_WRITER(&ch->body);
	if (w->ownership.way == OWNERSHIP_BY_GET)
		return;
	json_open_object(&json, NULL);
	json_write_cstr(&json, "session_id", w->session);
	json_write_cstr(&json, "event", OWNERSHIP_EVENT);
	json_write_i64(&json, "timestamp", now_ms / 1000);
	json_open_object(&json, "data");
	json_write_cstr(&json, "challenge", ch->text);
	uuid_write(&json, "webhook_id", &w->id);
	json_close(&json);
	json_close(&json);
	json_expect_whole(&json);
}

static struct sign_key *key_of(const char *secret)
{
	return secret == NULL ? NULL : sign_key_new(slice_of(secret));
}

static struct sign_pair *pair_of(const struct ed25519_pair *pair)
{
	return pair == NULL ? NULL : sign_pair_new(pair);
}

/* Signs and sends `a`, whose keys are made for this alone. */
static void send_signed(struct client *c, struct attempt *a, struct challenge *ch)
{
	const struct webhook *w = a->webhook;
	bool overlaps = w->previous_expires_ms > clock_wall_ms();
	bool pair_overlaps = w->previous_pair_expires_ms > clock_wall_ms();
	a->key = key_of(w->secret);
	a->previous_key = key_of(overlaps ? w->previous_secret : NULL);
	a->pair = pair_of(w->pair);
	a->previous_pair = pair_of(pair_overlaps ? w->previous_pair : NULL);
	ch->request = attempt_send(c, a, on_done, ch);
	sign_key_free(a->key);
	sign_key_free(a->previous_key);
	sign_pair_free(a->pair);
	sign_pair_free(a->previous_pair);
}

struct challenge *challenge_send(struct client *c, const struct webhook *w, uint32_t tries,
    const char *authorization, challenge_done_fn done, void *arg)
{
	struct challenge *ch = mem_new(sizeof(*ch));
	struct delivery named = {.attempts = tries};
	struct buf url = BUF_INIT(URL_MAX + sizeof(QUERY) + UUID_TEXT_SIZE + 1);
	uuid_random(&named.id);
	named.event_id = named.id; /* by some schemes the id is signed: it is the challenge */
	uuid_format(&named.id, ch->text);
	ch->done = done;
	ch->arg = arg;
	ch->body = BUF_INIT(BODY_MAX);
	ch->answer = BUF_INIT(ANSWER_MAX);
	ch->asked_ms = clock_mono_ms();
	write_url(ch, w, &url);
	write_body(ch, w, clock_system_ms());
	panic_if(url.failed, "a challenge's URL is over its limit");
	const struct attempt_question question = {.method = w->ownership.way == OWNERSHIP_BY_GET
		? "GET"
		: "POST",
	    .url = buf_cstr(&url),
	    .data = on_data};
	struct attempt a = {.webhook = w,
	    .delivery = &named,
	    .authorization = authorization,
	    .session = slice_of(w->session),
	    .event = SLICE(OWNERSHIP_EVENT),
	    .body = buf_view(&ch->body),
	    .now_ms = clock_system_ms(),
	    .question = &question};
	send_signed(c, &a, ch);
	buf_fini(&url);
	return ch;
}

void challenge_give_up(struct challenge *ch)
{
	client_give_up(ch->request);
}

void challenge_free(struct challenge *ch)
{
	if (ch == NULL)
		return;
	buf_fini(&ch->body);
	buf_fini(&ch->answer);
	free(ch);
}
