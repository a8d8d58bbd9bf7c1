/* Answers and small questions of calls; see call.h. */
#include "api/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/gunzip.h"
#include "base/log.h"

/* Bytes of an error's JSON: a struct problem with all of it escaped, and the rest. */
#define ERROR_MAX (6 * sizeof(struct problem) + 256)

#define CODING_MAX 64 /* bytes of a Content-Encoding that is worth to be named */

bool call_is_for_all(const struct call *c)
{
	return strcmp(c->session, SESSION_ALL) == 0;
}

bool call_reaches(const struct call *c, const char *session)
{
	return c->session[0] != '\0' ? strcmp(c->session, session) == 0
				     : auth_reaches(c->token, slice_of(session));
}

const char *call_where(const struct call *c)
{
	if (c->session[0] == '\0')
		return "in any session that this token reaches";
	return call_is_for_all(c) ? "among those for all sessions" : "in this session";
}

const struct webhook *call_find_webhook(struct call *c)
{
	const struct webhook *w = registry_find(c->api->conf.registry, slice_of(c->session),
	    &c->id);
	if (w == NULL) {
		(void)problem_set(&c->problem, ERR_NOTFOUND, "", "no such webhook %s",
		    call_where(c)); /* returns the error */
		call_fail_err(c, ERR_NOTFOUND);
	}
	return w;
}

static void write_error(struct json_writer *w, int status, const char *field,
    const char *message)
{
	json_open_object(w, NULL);
	json_write_bool(w, "success", false);
	json_open_object(w, "error");
	json_write_i64(w, "code", status);
	json_write_cstr(w, "message", message);
	if (field[0] != '\0')
		json_write_cstr(w, "field", field);
	json_close(w);
	json_close(w);
	json_expect_whole(w);
}

void api_error_body(int status, const char *message, struct buf *out)
{
	struct json_writer json = JSON_WRITER(out);
	write_error(&json, status, "", message);
}

void call_drop(struct call *c)
{
	if (c->own_token != NULL) /* a portal link's, which few calls come with */
		auth_token_free(c->own_token);
	free(c);
}

void call_end(struct call *c)
{
	if (c->route->release != NULL)
		c->route->release(c);
	buf_fini(&c->plain);
	call_drop(c);
}

static void reply(struct call *c, int status, const struct buf *json)
{
	http_reply(c->http, status, "application/json", buf_view(json));
	call_end(c);
}

void call_reply(struct call *c, int status, const struct json_writer *json)
{
	char message[64];
	size_t most = json->out->max;
	if (json_is_whole(json)) {
		reply(c, status, json->out);
		return;
	}
	log_error("an answer is over its limit", LOG_S("method", http_method(c->http)),
	    LOG_S("path", c->route->pattern), LOG_S("session", c->session),
	    LOG_N("limit", most));
	(void)snprintf(message, sizeof(message), "the answer is over its limit: %zu bytes",
	    most);
	call_fail(c, 500, "", message);
}

void call_fail(struct call *c, int status, const char *field, const char *message)
{
	struct buf text = BUF_INIT(ERROR_MAX);
	struct json_writer json = JSON_WRITER(&text);
	write_error(&json, status, field, message);
	if (status == 401)
		http_add_header(c->http, "WWW-Authenticate", "Bearer");
	if (status == 429 || status == 503 || status == 507)
		http_add_header(c->http, "Retry-After", CALL_RETRY_AFTER_S);
	reply(c, status, &text);
	buf_fini(&text);
}

void call_fail_err(struct call *c, enum err err)
{
	static const struct {
		enum err err;
		int status;
		const char *message; /* where the problem has none */
	} STATUSES[] = {
	    {ERR_INVALID, 400, "the request is not valid"},
	    {ERR_SYNTAX, 400, "the request is malformed"},
	    {ERR_NOTFOUND, 404, "there is no such thing here"},
	    {ERR_EXISTS, 409, "it exists already"},
	    {ERR_CONFLICT, 409, "its state does not allow this"},
	    {ERR_REFUSED, 403, "the token does not reach this session"},
	    {ERR_TOOBIG, 413, "the request is over a limit"},
	    {ERR_FULL, 429, "too much waits already; nothing of this was stored"},
	    {ERR_NOSPACE, 507, "there is no room to store this; nothing of it was stored"},
	    {ERR_BUSY, 503, "too much at once; nothing of this was stored"},
	};
	int status = 503;
	const char *message = "the store cannot be written or read; nothing of this was stored";
	for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
		if (STATUSES[i].err == err) {
			status = STATUSES[i].status;
			message = STATUSES[i].message;
		}
	}
	bool explained = c->problem.message[0] != '\0' && status < 500;
	call_fail(c, status, explained ? c->problem.field : "",
	    explained ? c->problem.message : message);
}

void call_succeed(struct call *c, const char *message)
{
	struct buf text = BUF_INIT(ERROR_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message", message);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void call_write_hold(struct json_writer *json, const struct dispatch_hold *hold)
{
	json_write_cstr(json, "held_reason", hold->reason);
	json_write_time_or_null(json, "held_until", hold->until_ms);
}

void call_succeed_held(struct call *c, const char *message, const struct dispatch_hold *hold)
{
	struct buf text = BUF_INIT(ERROR_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message", message);
	call_write_hold(&json, hold);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

static bool has_body(const struct call *c)
{
	return http_header(c->http, "Content-Length").len > 0 ||
	    http_header(c->http, "Transfer-Encoding").len > 0;
}

/* Whether the media type is `want`, whatever its parameters. */
static bool has_type(const struct call *c, struct slice want)
{
	struct slice type = http_header(c->http, "Content-Type");
	struct slice media = slice_trim(slice_cut(&type, ';'));
	return media.len == want.len && strncasecmp(media.ptr, want.ptr, want.len) == 0;
}

bool call_has_json(struct call *c)
{
	if (!has_body(c)) {
		call_fail(c, 411, "", "this call needs a body: Content-Length or chunked");
		return false;
	}
	if (has_type(c, SLICE("application/json")))
		return true;
	call_fail(c, 415, "", "Content-Type must be application/json");
	return false;
}

/* The request's codings, one behind the other; empty for none. */
static struct slice coding_of(const struct call *c, char text[CODING_MAX + 1])
{
	struct buf list = BUF_INIT(CODING_MAX);
	http_header_list(c->http, "Content-Encoding", &list);
	size_t len = list.failed ? 0 : list.len;
	if (len > 0)
		memcpy(text, list.data, len);
	if (list.failed)
		text[len++] = '?'; /* more than any that is known */
	buf_fini(&list);
	struct slice coding = slice_trim((struct slice){text, len});
	bool is_none = coding.len == 8 && strncasecmp(coding.ptr, "identity", 8) == 0;
	return is_none ? SLICE("") : coding;
}

static bool is_gzip(struct slice coding)
{
	return (coding.len == 4 && strncasecmp(coding.ptr, "gzip", 4) == 0) ||
	    (coding.len == 6 && strncasecmp(coding.ptr, "x-gzip", 6) == 0);
}

bool call_has_coding(struct call *c)
{
	char text[CODING_MAX + 1];
	struct slice coding = coding_of(c, text);
	if (coding.len == 0 || is_gzip(coding) || !has_body(c))
		return true;
	(void)problem_set(&c->problem, ERR_INVALID, "",
	    "Content-Encoding %.*s is not known here; gzip is, and none at all",
	    (int)coding.len, coding.ptr);
	return false;
}

void call_fail_coding(struct call *c)
{
	http_add_header(c->http, "Accept-Encoding", "gzip"); /* RFC 9110 section 15.5.16 */
	call_fail(c, 415, "", c->problem.message);
}

#define NO_INPUT_SHARE "too many bytes of requests of this client or token are under way"

bool call_take_input(struct call *c, size_t bytes)
{
	bool may = http_take_input(c->http, bytes);
	if (!may)
		call_fail(c, 429, "", NO_INPUT_SHARE);
	return may;
}

/* Says that a body cannot be inflated, as one of `most` bytes. */
static enum err refuse_gzip(struct call *c, enum err err, uint64_t most)
{
	if (err == ERR_TOOBIG)
		return problem_set(&c->problem, err, "",
		    "the body is over %llu bytes once inflated", (unsigned long long)most);
	if (err == ERR_INVALID)
		return problem_set(&c->problem, err, "",
		    "the gzip is flushed too often: it may have %d blocks, and one more for "
		    "each KiB that it holds",
		    GUNZIP_BLOCKS);
	return problem_set(&c->problem, ERR_SYNTAX, "",
	    "Content-Encoding says gzip: the body is none, is damaged or is cut short");
}

enum err call_inflate(struct call *c, uint64_t most)
{
	char text[CODING_MAX + 1];
	c->body = http_body(c->http);
	if (!is_gzip(coding_of(c, text)))
		return OK;
	size_t room = http_input_room(c->http);
	c->plain = BUF_INIT(room < most ? room : most);
	enum err err = gunzip(c->body, &c->plain);
	c->body = buf_view(&c->plain);
	bool lacks_room = room < most && err == ERR_TOOBIG;
	if (err != OK && !lacks_room)
		return refuse_gzip(c, err, most);
	size_t needed = lacks_room ? room + 1 : c->plain.len; /* or more: nobody knows */
	if (http_take_input(c->http, needed) && !lacks_room)
		return OK;
	return problem_set(&c->problem, ERR_FULL, "", NO_INPUT_SHARE);
}

bool call_read_body(struct call *c, uint64_t most)
{
	enum err err = call_inflate(c, most);
	if (err != OK)
		call_fail_err(c, err);
	return err == OK;
}

void call_drop_body(struct call *c)
{
	c->body = SLICE("");
	http_drop_body(c->http);
	buf_fini(&c->plain);
}

bool call_is_ndjson(const struct call *c)
{
	return has_body(c) && has_type(c, SLICE("application/x-ndjson"));
}

bool call_is_form(const struct call *c)
{
	return has_body(c) && has_type(c, SLICE("application/x-www-form-urlencoded"));
}

void call_stage(struct call *c, enum err (*apply)(struct op *op, struct db_txn *txn),
    void (*done)(struct op *op, enum err result))
{
	c->op.class = OP_INTAKE;
	c->op.apply = apply;
	c->op.done = done;
	turn_stage(c->api->conf.turn, &c->op);
}
