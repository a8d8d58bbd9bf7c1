/*
 * GET /api/v1/events/stream: what happens, as it happens (feed/feed.h), as server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 *
 * Each reader is sent a piece when there is something for it and the last piece has left, so
 * one that does not read holds PIECE_BYTES and its position in the feed; after stall_ms it is
 * cut off. A reader that has left shows in the next write: the keep-alive comment is one.
 *
 * Tokens share the streams that there may be (shares.h); without tokens clients do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "api/handlers.h"
#include "api/query.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_stream.h"
#include "shares/shares.h"

#define PIECE_BYTES 65536               /* once a piece has so many it is sent */
#define PIECE_MAX (4 * PIECE_BYTES)     /* with the last message and a gap */
#define KEEP_ALIVE_MS 15000             /* proxies cut what is silent for 60 s, mostly */
#define HEAD ": waybill\nretry: 2000\n" /* ms until a browser reconnects */

struct watcher {
	TAILQ_ENTRY(watcher) link;
	struct streams *streams;
	struct http_stream *stream;
	struct feed_filter filter;
	uint64_t position;          /* in the feed */
	bool busy;                  /* a piece is on its way */
	char taker[CIDR_TEXT_SIZE]; /* who holds it: a token's name, or a client */
	struct auth_token *token;   /* a portal link's, owned; NULL: it is another's */
};

struct streams {
	struct api *api;
	TAILQ_HEAD(, watcher) readers;
	struct shares *shares;      /* one unit is a stream */
	struct reactor_timer *news; /* fires once for all that a turn told */
	struct reactor_timer *keep_alive;
	struct buf piece; /* of one reader at a time */
	bool has_news;
};

static void send_piece(struct watcher *r)
{
	r->busy = true;
	http_stream_send(r->stream, buf_view(&r->streams->piece));
}

/* Sends what the feed has for a reader, if there is something. */
static void serve(struct watcher *r)
{
	struct streams *s = r->streams;
	buf_reset(&s->piece);
	feed_read(s->api->conf.feed, &r->filter, &r->position, PIECE_BYTES, &s->piece);
	if (s->piece.len > 0)
		send_piece(r);
}

static void on_news(void *arg)
{
	struct streams *s = arg;
	struct watcher *next = NULL;
	s->has_news = false;
	for (struct watcher *r = TAILQ_FIRST(&s->readers); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link); /* `r` may be gone by then */
		if (!r->busy)
			serve(r);
	}
}

static void on_told(void *arg)
{
	struct streams *s = arg;
	if (s->has_news)
		return;
	s->has_news = true;
	reactor_timer_fire(s->news);
}

static void forget(struct watcher *r)
{
	struct streams *s = r->streams;
	TAILQ_REMOVE(&s->readers, r, link);
	shares_give(s->shares, slice_of(r->taker), 1);
	if (TAILQ_EMPTY(&s->readers))
		feed_watch(s->api->conf.feed, NULL, NULL);
	auth_token_free(r->token);
	free(r);
}

/* Ends a stream; its reader may come back. */
static void end_stream(struct watcher *r)
{
	if (r->busy) {
		http_stream_abort(r->stream); /* leads to on_gone() */
		return;
	}
	http_stream_end(r->stream);
	forget(r);
}

/* Whether a reader may not read on: by a link that has expired, or is void. */
static bool is_over(const struct watcher *r)
{
	const struct api *api = r->streams->api;
	return r->token != NULL && !portal_stands(api->portal, r->token);
}

/* Tells each reader that it is still there and how far it has come; finds those who left. */
static void keep_alive(struct streams *s)
{
	struct watcher *next = NULL;
	for (struct watcher *r = TAILQ_FIRST(&s->readers); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link); /* `r` may be gone by then */
		if (is_over(r)) {
			end_stream(r);
			continue;
		}
		if (r->busy)
			continue;
		buf_reset(&s->piece);
		buf_puts(&s->piece, ": keep-alive\n");
		feed_put_position(s->api->conf.feed, r->position, &s->piece);
		buf_putc(&s->piece, '\n');
		send_piece(r);
	}
}

static void on_keep_alive(void *arg)
{
	struct streams *s = arg;
	keep_alive(s);
	if (!TAILQ_EMPTY(&s->readers))
		reactor_timer_set(s->keep_alive, KEEP_ALIVE_MS);
}

struct streams *streams_new(struct api *api)
{
	struct streams *s = mem_new(sizeof(*s));
	s->api = api;
	TAILQ_INIT(&s->readers);
	s->shares = shares_new(api->conf.stream_readers_max);
	s->news = reactor_timer_new(api->conf.reactor, on_news, s);
	s->keep_alive = reactor_timer_new(api->conf.reactor, on_keep_alive, s);
	s->piece = BUF_INIT(PIECE_MAX);
	return s;
}

void streams_free(struct streams *s)
{
	reactor_timer_free(s->news);
	reactor_timer_free(s->keep_alive);
	buf_fini(&s->piece);
	shares_free(s->shares);
	free(s);
}

void streams_configure(struct streams *s)
{
	shares_resize(s->shares, s->api->conf.stream_readers_max);
}

const struct shares_figures *streams_figures(const struct streams *s)
{
	return shares_figures(s->shares);
}

void streams_end(struct streams *s)
{
	struct watcher *r = TAILQ_FIRST(&s->readers);
	for (; r != NULL; r = TAILQ_FIRST(&s->readers))
		end_stream(r);
}

void streams_end_void(struct streams *s)
{
	struct watcher *next = NULL;
	for (struct watcher *r = TAILQ_FIRST(&s->readers); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link); /* `r` may be gone by then */
		if (is_over(r))
			end_stream(r);
	}
}

static void on_drained(void *arg)
{
	struct watcher *r = arg;
	r->busy = false;
	serve(r);
}

static void on_gone(void *arg)
{
	forget(arg);
}

static bool token_reaches(const void *token, struct slice session)
{
	return auth_reaches(token, session);
}

/* Whether the session of the filter is one, and the token's; else the call is answered. */
static bool read_session(struct query *q, struct feed_filter *filter)
{
	struct call *c = q->call;
	char session[QUERY_TEXT_MAX + 1];
	if (!query_session(q, "session_id", "a session id: " SESSION_ALLOWED, session))
		return !q->answered;
	memcpy(filter->session, session, strlen(session));
	if (auth_reaches(c->token, slice_of(session)))
		return true;
	call_fail_err(c, ERR_REFUSED);
	return false;
}

/* Reads the filter; false: the call has been answered. */
static bool read_filter(struct call *c, struct feed_filter *filter)
{
	struct query q = {.call = c};
	char text[QUERY_TEXT_MAX + 1];
	*filter = (struct feed_filter){.arg = c->token};
	if (c->token != NULL)
		filter->reaches = token_reaches;
	if (!read_session(&q, filter))
		return false;
	filter->has_webhook = query_uuid(&q, "webhook_id", &filter->webhook);
	if (!query_text(&q, "status", text))
		return !q.answered;
	enum err err = feed_parse_types(slice_of(text), &filter->types, &c->problem);
	if (err != OK)
		call_fail_err(c, err);
	return err == OK;
}

/* Who answers for a stream: the token, else the client. */
static void name_taker(const struct call *c, char out[CIDR_TEXT_SIZE])
{
	if (c->token_name != NULL) {
		(void)snprintf(out, CIDR_TEXT_SIZE, "%s", c->token_name);
		return;
	}
	struct cidr client = guard_client(c->api->guard, c->http);
	cidr_format(&client, out);
}

/* Begins the stream that `taker` has taken. */
static void begin(struct call *c, const struct feed_filter *filter,
    const char taker[CIDR_TEXT_SIZE])
{
	struct streams *s = c->api->streams;
	struct watcher *r = mem_new(sizeof(*r));
	const struct http_stream_conf conf = {.drained = on_drained,
	    .gone = on_gone,
	    .arg = r,
	    .stall_ms = c->api->conf.stream_stall_ms};
	struct slice last_id = http_header(c->http, "Last-Event-ID");
	r->streams = s;
	memcpy(r->taker, taker, sizeof(r->taker));
	r->filter = *filter;
	r->token = c->own_token; /* the filter borrows it */
	c->own_token = NULL;
	r->position = feed_end(c->api->conf.feed);
	buf_reset(&s->piece);
	buf_puts(&s->piece, HEAD);
	if (last_id.len == 0)
		feed_put_position(c->api->conf.feed, r->position, &s->piece);
	buf_putc(&s->piece, '\n');
	if (last_id.len > 0)
		r->position = feed_resume(c->api->conf.feed, last_id, &s->piece);
	if (TAILQ_EMPTY(&s->readers))
		reactor_timer_set(s->keep_alive, KEEP_ALIVE_MS);
	TAILQ_INSERT_TAIL(&s->readers, r, link);
	feed_watch(c->api->conf.feed, on_told, s);
	http_add_header(c->http, "Cache-Control", "no-store");
	http_add_header(c->http, "X-Accel-Buffering", "no"); /* nginx would collect it */
	r->stream = http_stream_begin(c->http, 200, "text/event-stream", &conf);
	send_piece(r);
	call_end(c);
}

/* Takes a stream for whoever answers for it; false: the call has been answered. */
static bool take_share(struct call *c, char taker[CIDR_TEXT_SIZE])
{
	struct streams *s = c->api->streams;
	name_taker(c, taker);
	if (shares_take(s->shares, slice_of(taker), 1) == OK)
		return true;
	log_warn("refused, as its share is used up", LOG_S("resource", "streams"),
	    LOG_S("taker", taker));
	keep_alive(s); /* some may have left: the next attempt will find their place */
	call_fail(c, 503, "",
	    "as many streams are open as your share of stream_readers_max allows; "
	    "try again later");
	return false;
}

/* Whether the request can have a stream, shares apart; else it has been answered. */
static bool may_begin(struct call *c)
{
	if (strcmp(http_method(c->http), "HEAD") == 0) {
		http_add_header(c->http, "Allow", "GET");
		call_fail(c, 405, "", "a stream has no length to tell: use GET");
	} else if (c->api->conf.health->stopping) {
		call_fail(c, 503, "", "stopping");
	} else if (!http_can_stream(c->http)) {
		call_fail(c, 505, "", "a stream needs HTTP/1.1");
	} else {
		return true;
	}
	return false;
}

void handle_stream(struct call *c)
{
	struct feed_filter filter;
	char taker[CIDR_TEXT_SIZE];
	if (read_filter(c, &filter) && may_begin(c) && take_share(c, taker))
		begin(c, &filter, taker);
}
