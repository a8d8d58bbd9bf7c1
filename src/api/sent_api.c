/*
 * What an attempt has sent, for who looks why its receiver did not take it: as a command that
 * sends it again, and whether its signatures are those of a secret that is given. That secret
 * is compared and forgotten.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/handlers.h"
#include "api/query.h"
#include "api/sent.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/json.h"
#include "domain/members.h"

#define ASKED_MAX (2 * SENT_BODY_MAX + 8192) /* bytes of a request to verify */
#define ANSWER_MAX 4096
#define SECRET_MAX 1024 /* bytes, as webhooks have it (docs/api.md) */
#define WHPK "whpk_"

void handle_delivery_curl(struct call *c)
{
	struct query q = {.call = c};
	struct sent sent;
	uint64_t number = 0;
	struct buf text = BUF_INIT(SENT_COMMAND_MAX);
	(void)query_number(&q, "attempt", 1, UINT32_MAX, &number);
	if (q.answered)
		return;
	enum err err = sent_read(c, (uint32_t)number, &sent);
	if (err == OK)
		sent_put_command(&sent, &text);
	if (err == OK && text.failed)
		err = ERR_TOOBIG;
	if (err == OK) {
		http_reply(c->http, 200, "text/plain; charset=utf-8", buf_view(&text));
		call_end(c);
	} else {
		call_fail_err(c, err);
	}
	sent_fini(&sent);
	buf_fini(&text);
}

/* What is asked: with which key, over what. */
struct asked {
	struct buf text; /* the request, canonical; has the secret */
	struct sign_key *key;
	unsigned char public_key[ED25519_PUBLIC_SIZE];
	bool is_public; /* the key is that one */
	uint32_t attempt;
	char *body; /* as the receiver says it came; NULL: as it was sent */
	size_t body_len;
	char *timestamp; /* the same */
};

static void wipe_text(char *text)
{
	if (text != NULL)
		mem_wipe(text, strlen(text));
	free(text);
}

static void asked_fini(struct asked *a)
{
	if (a->text.data != NULL)
		mem_wipe(a->text.data, a->text.len);
	buf_fini(&a->text);
	sign_key_free(a->key);
	free(a->body);
	free(a->timestamp);
}

/* Makes the key of what was pasted. */
static enum err take_secret(struct members *m, struct asked *a)
{
	char *secret = members_text(m, "secret", SECRET_MAX);
	if (secret == NULL)
		members_refuse(m, "secret", "a secret, or a public key (whpk_)");
	if (m->err == OK && strncmp(secret, WHPK, strlen(WHPK)) == 0) {
		a->is_public = true;
		m->err = sign_read_public(slice_of(secret), "secret", a->public_key, m->p);
	} else if (m->err == OK) {
		m->err = sign_check_secret(slice_of(secret), "secret", m->p);
	}
	if (m->err == OK && !a->is_public)
		a->key = sign_key_new(slice_of(secret));
	wipe_text(secret);
	return m->err;
}

static void take_attempt(struct members *m, struct asked *a)
{
	struct slice text = members_get(m, "attempt");
	uint64_t number = 0;
	if (text.ptr == NULL)
		return;
	if (str_u64(text, &number) != OK || number == 0 || number > UINT32_MAX)
		members_refuse(m, "attempt", "the number of an attempt, from 1 on");
	a->attempt = (uint32_t)number;
}

static enum err read_asked(struct call *c, struct asked *a)
{
	enum err err = json_read_whole(c->body, &a->text, &c->problem);
	struct members m = {.object = buf_view(&a->text), .where = "", .p = &c->problem};
	if (err != OK)
		return err;
	if (a->text.data[0] != '{')
		return problem_set(&c->problem, ERR_INVALID, "", "must be an object");
	members_allow(&m, "secret attempt body timestamp");
	take_attempt(&m, a);
	a->body = members_text(&m, "body", SENT_BODY_MAX);
	a->body_len = a->body == NULL ? 0 : strlen(a->body);
	a->timestamp = members_text(&m, "timestamp", STR_I64_SIZE);
	return m.err == OK ? take_secret(&m, a) : m.err;
}

/* The request as it was sent, or as its receiver says that it came. */
struct request {
	const struct sent *sent;
	const char *timestamp; /* in place of the one that was sent; NULL: that one */
};

static struct slice get_header(const void *arg, const char *name)
{
	const struct request *r = arg;
	bool is_time = strcasecmp(name, "X-Webhook-Timestamp") == 0 ||
	    strcasecmp(name, "webhook-timestamp") == 0;
	if (is_time && r->timestamp != NULL)
		return slice_of(r->timestamp);
	struct slice value = attempt_header(buf_view(&r->sent->headers), name);
	return value.ptr == NULL ? SLICE("") : value;
}

/* Which header the signature of a scheme is in. */
static const char *header_of(const struct sign_scheme *s)
{
	return s->headers[0] != NULL ? s->headers[0] : s->beside->headers[0];
}

/* Whether the request has a signature of that scheme which the given kind of key can check. */
static bool applies(const struct sign_scheme *s, const struct sent *sent, bool is_public)
{
	struct slice headers = buf_view(&sent->headers);
	struct slice value = attempt_header(headers, header_of(s));
	struct slice version = attempt_header(headers, "X-Webhook-Signature-Version");
	if (value.len == 0)
		return false;
	switch ((enum signature)s->code) {
	case SIGNATURE_V1:
		return !is_public && version.len == 0;
	case SIGNATURE_V2:
		return !is_public && slice_eq(version, slice_of(s->name));
	case SIGNATURE_ED25519:
		return is_public && memmem(value.ptr, value.len, "v1a,", 4) != NULL;
	case SIGNATURE_RFC9421:
		return true;
	}
	return !is_public && memmem(value.ptr, value.len, "v1,", 3) != NULL;
}

static bool is_right(const struct sign_scheme *s, const struct asked *a,
    const struct sent *sent, struct slice body, const char *timestamp)
{
	const struct request r = {sent, timestamp};
	const struct sign_claim claim = {.header = get_header,
	    .request = &r,
	    .method = SLICE("POST"),
	    .target = buf_view(&sent->url),
	    .body = body,
	    .public_key = a->is_public ? a->public_key : NULL,
	    .window_s = INT64_MAX};
	return s->verify(a->key, &claim);
}

/* What is wrong, of the parts in their order: a later one matters only where these fit. */
struct compared {
	size_t signatures;
	bool some_are_by_it; /* of those that were sent, by the given key */
	bool all_are_by_it;
	bool body_fits; /* over the given body they are right too */
	bool time_fits; /* and with the given time */
};

static void compare_scheme(const struct sign_scheme *s, const struct asked *a,
    const struct sent *sent, struct compared *v, struct json_writer *json)
{
	struct slice body = buf_view(&sent->body);
	struct slice given = {a->body, a->body_len};
	if (!applies(s, sent, a->is_public))
		return;
	bool right = is_right(s, a, sent, body, NULL);
	bool body_fits = !right || a->body == NULL || is_right(s, a, sent, given, NULL);
	bool time_fits = !right || a->timestamp == NULL ||
	    is_right(s, a, sent, body, a->timestamp);
	v->signatures++;
	v->some_are_by_it = v->some_are_by_it || right;
	v->all_are_by_it = v->all_are_by_it && right;
	v->body_fits = v->body_fits && body_fits;
	v->time_fits = v->time_fits && time_fits;
	json_open_object(json, NULL);
	json_write_cstr(json, "scheme", s->name);
	json_write_cstr(json, "header", header_of(s));
	json_write_bool(json, "valid", right && body_fits && time_fits);
	json_close(json);
}

struct finding {
	const char *fault; /* NULL: all fits */
	const char *message;
};

static struct finding find_fault(const struct asked *a, const struct compared *v)
{
	if (v->signatures == 0)
		return (struct finding){"unsigned",
		    a->is_public ? "the attempt has no signature by a key pair"
				 : "the attempt has no signature by a secret"};
	if (!v->some_are_by_it)
		return (struct finding){"secret",
		    "the attempt was signed with another secret, or its body was of another "
		    "form than the webhook has now"};
	if (!v->body_fits)
		return (struct finding){"body",
		    "the secret is right; the body that was given is not the one that was "
		    "sent: sign the bytes as they came, before anything parses them"};
	if (!v->time_fits)
		return (struct finding){"timestamp",
		    "the secret is right; the timestamp is not the one that was sent: take "
		    "it from the header, with that attempt's signature"};
	if (!v->all_are_by_it)
		return (struct finding){"secret",
		    "one signature is right, another was made with another secret, as while "
		    "a secret is rotated"};
	return (struct finding){NULL,
	    "all signatures are right: a receiver that refuses them has another secret, "
	    "other bytes of the body, or a clock that is off"};
}

static void answer(struct call *c, const struct asked *a, const struct sent *sent)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	struct compared v = {.all_are_by_it = true, .body_fits = true, .time_fits = true};
	json_open_object(&json, NULL);
	json_write_u64(&json, "attempt", sent->number);
	json_open_array(&json, "signatures");
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++)
		compare_scheme(&SIGN_SCHEMES[i], a, sent, &v, &json);
	compare_scheme(SIGN_SCHEMES[0].beside, a, sent, &v, &json);
	json_close(&json);
	struct finding f = find_fault(a, &v);
	json_write_bool(&json, "valid", f.fault == NULL);
	json_write_cstr(&json, "fault", f.fault);
	json_write_cstr(&json, "message", f.message);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_delivery_verify(struct call *c)
{
	struct asked asked = {.text = BUF_INIT(ASKED_MAX)};
	struct sent sent = {.url = BUF_INIT(0), .headers = BUF_INIT(0), .body = BUF_INIT(0)};
	if (!call_has_json(c) || !call_read_body(c, c->api->conf.body_max))
		return;
	enum err err = read_asked(c, &asked);
	if (err == OK)
		err = sent_read(c, asked.attempt, &sent);
	if (err == OK && sent.body_bytes > SENT_BODY_MAX)
		err = problem_set(&c->problem, ERR_TOOBIG, "",
		    "the body of this delivery has over %u bytes, which are too many to be "
		    "hashed here",
		    SENT_BODY_MAX);
	if (err == OK)
		answer(c, &asked, &sent);
	else
		call_fail_err(c, err);
	sent_fini(&sent);
	asked_fini(&asked);
}
