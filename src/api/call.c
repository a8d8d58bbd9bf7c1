/* Answers and small questions of calls; see call.h. */
#include "api/call.h"

#include <stdlib.h>
#include <strings.h>

#define ERROR_MAX 4096 /* bytes of an error's JSON */

static void put_error(struct buf *out, int status, const char *field, const char *message)
{
	buf_printf(out, "{\"success\":false,\"error\":{\"code\":%d,\"message\":", status);
	buf_json(out, slice_of(message));
	if (field[0] != '\0') {
		buf_puts(out, ",\"field\":");
		buf_json(out, slice_of(field));
	}
	buf_puts(out, "}}");
}

void api_error_body(int status, const char *message, struct buf *out)
{
	put_error(out, status, "", message);
}

void call_end(struct call *c)
{
	if (c->route->release != NULL)
		c->route->release(c);
	free(c);
}

void call_reply(struct call *c, int status, const struct buf *json)
{
	http_reply(c->http, status, "application/json", buf_view(json));
	call_end(c);
}

void call_fail(struct call *c, int status, const char *field, const char *message)
{
	struct buf json = BUF_INIT(ERROR_MAX);
	put_error(&json, status, field, message);
	if (status == 401)
		http_add_header(c->http, "WWW-Authenticate", "Bearer");
	if (status == 429 || status == 503 || status == 507)
		http_add_header(c->http, "Retry-After", CALL_RETRY_AFTER_S);
	call_reply(c, status, &json);
	buf_fini(&json);
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
	struct buf json = BUF_INIT(ERROR_MAX);
	buf_puts(&json, "{\"success\":true,\"message\":");
	buf_json(&json, slice_of(message));
	buf_putc(&json, '}');
	call_reply(c, 200, &json);
	buf_fini(&json);
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

bool call_is_ndjson(const struct call *c)
{
	return has_body(c) && has_type(c, SLICE("application/x-ndjson"));
}

void call_stage(struct call *c, enum err (*apply)(struct op *op, struct db_txn *txn),
    void (*done)(struct op *op, enum err result))
{
	c->op.class = OP_INTAKE;
	c->op.apply = apply;
	c->op.done = done;
	turn_stage(c->api->conf.turn, &c->op);
}
