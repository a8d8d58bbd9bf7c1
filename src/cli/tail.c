/*
 * waybill tail: prints what happens as it happens, a line each. When the stream breaks off it
 * goes on behind the last message, for as long as the gateway has that.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/percent.h"
#include "base/reactor.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/sse.h"
#include "domain/name.h"

#define NAME "waybill tail"
#define TIMEOUT_MS 45000 /* between two pieces: three keep-alives */
#define WAIT_LEAST_MS 500
#define WAIT_MOST_MS 10000
#define LINE_MAX_BYTES 65536
#define URL_BYTES 16384

struct tailing {
	struct remote remote;
	const char *session;
	const char *webhook;
	const char *status;
	bool json;
	bool colours;
	struct reactor *reactor;
	struct reactor_timer *again;
	struct client *client;
	struct sse sse;
	int64_t wait_ms; /* before the next attempt */
	bool connected;  /* once at least: then it does not give up */
	bool done;
	int exit_status;
};

static const char *colour_of(struct slice type)
{
	static const struct {
		const char *type;
		const char *colour;
	} COLOURS[] = {
	    {"published", "\033[36m"},
	    {"delivered", "\033[32m"},
	    {"retrying", "\033[33m"},
	    {"dead", "\033[31m"},
	    {"disabled", "\033[35m"},
	    {"gap", "\033[31m"},
	};
	for (size_t i = 0; i < sizeof(COLOURS) / sizeof(COLOURS[0]); i++) {
		if (slice_eq(type, slice_of(COLOURS[i].type)))
			return COLOURS[i].colour;
	}
	return "\033[2m";
}

static void put_field(struct buf *out, const struct show *s, const char *name,
    const char *shown, const char *unit)
{
	struct slice value = show_text(s, name);
	if (value.len == 0)
		return;
	buf_printf(out, " %s", shown);
	show_put(out, value, 0);
	buf_puts(out, unit);
}

/* One message as a line for people. */
static void put_line(const struct tailing *t, struct slice type, const struct show *s,
    struct buf *out)
{
	show_put(out, show_text(s, "at"), 24);
	buf_puts(out, t->colours ? colour_of(type) : "");
	buf_putc(out, ' ');
	show_put(out, type, 9);
	buf_puts(out, t->colours ? "\033[0m" : "");
	struct slice session = show_member(s, "session_id");
	if (session.len > 0) {
		buf_putc(out, ' ');
		show_put_name(out, session, 0);
	}
	put_field(out, s, "event", "", "");
	put_field(out, s, "event_id", "", "");
	put_field(out, s, "attempt", "attempt=", "");
	put_field(out, s, "status", "status=", "");
	put_field(out, s, "duration_ms", "", "ms");
	put_field(out, s, "next_attempt_at", "next=", "");
	put_field(out, s, "url", "", "");
	put_field(out, s, "error", "(", ")");
	put_field(out, s, "dropped", "dropped=", "");
}

static void finish(struct tailing *t, int exit_status)
{
	t->done = true;
	t->exit_status = exit_status;
}

static void on_event(void *arg, const char *type, struct slice data)
{
	struct tailing *t = arg;
	struct buf line = BUF_INIT(SHOW_GROWTH * LINE_MAX_BYTES);
	struct show s = {.count = 0};
	if (t->json) {
		show_put_line(&line, data);
	} else {
		if (show_read(&s, data, LINE_MAX_BYTES) != OK)
			s.count = 0; /* what it is, is known all the same */
		put_line(t, slice_of(type), &s, &line);
		show_fini(&s);
	}
	buf_putc(&line, '\n');
	if (fwrite(line.data, 1, line.len, stdout) != line.len || fflush(stdout) != 0)
		finish(t, EXIT_FAILED);
	buf_fini(&line);
}

static bool on_data(void *arg, struct slice bytes)
{
	struct tailing *t = arg;
	t->connected = true;
	t->wait_ms = WAIT_LEAST_MS;
	return sse_read(&t->sse, bytes) && !t->done;
}

static void connect_again(struct tailing *t)
{
	reactor_timer_set(t->again, t->wait_ms);
	t->wait_ms = t->wait_ms * 2 < WAIT_MOST_MS ? t->wait_ms * 2 : WAIT_MOST_MS;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct tailing *t = arg;
	if (t->done)
		return;
	if (r->status != 200)
		remote_tell(&t->remote, NAME, r);
	else
		(void)fprintf(stderr, NAME ": the stream ended; connecting again\n");
	bool is_passing = r->status == 0 || r->status == 200 || r->status == 503 ||
	    r->status == 429;
	if (t->connected && is_passing)
		connect_again(t);
	else
		finish(t, EXIT_FAILED);
}

static void put_parameter(struct buf *url, const char **mark, const char *name,
    const char *value)
{
	if (value == NULL)
		return;
	buf_printf(url, "%s%s=%s", *mark, name, value);
	*mark = "&";
}

static void put_session(struct buf *url, const char **mark, const char *session)
{
	put_parameter(url, mark, "session_id", session == NULL ? NULL : "");
	if (session != NULL)
		percent_put(url, slice_of(session));
}

static void on_again(void *arg)
{
	struct tailing *t = arg;
	struct client_request *q = client_open(t->client);
	struct buf url = BUF_INIT(URL_BYTES);
	const char *mark = "?";
	sse_begin(&t->sse);
	remote_authorize(&t->remote, q);
	if (t->sse.last_id[0] != '\0')
		client_header(q, SLICE("Last-Event-ID"), slice_of(t->sse.last_id));
	buf_printf(&url, "%s/api/v1/events/stream", t->remote.url);
	put_session(&url, &mark, t->session);
	put_parameter(&url, &mark, "webhook_id", t->webhook);
	put_parameter(&url, &mark, "status", t->status);
	client_fetch(q, buf_cstr(&url), TIMEOUT_MS, on_data, on_answer, t);
	buf_fini(&url);
}

static void on_signal(void *arg)
{
	finish(arg, EXIT_OK);
}

static int follow(struct tailing *t)
{
	t->reactor = reactor_new();
	struct reactor_signal *interrupt = reactor_signal_new(t->reactor, SIGINT, on_signal, t);
	struct reactor_signal *terminate = reactor_signal_new(t->reactor, SIGTERM, on_signal,
	    t);
	t->again = reactor_timer_new(t->reactor, on_again, t);
	t->client = remote_client(&t->remote, t->reactor);
	sse_init(&t->sse, on_event, t);
	on_again(t);
	while (!t->done) {
		reactor_pass(t->reactor, false);
		client_reap(t->client);
	}
	client_free(t->client);
	sse_fini(&t->sse);
	reactor_timer_free(t->again);
	reactor_signal_free(interrupt);
	reactor_signal_free(terminate);
	reactor_free(t->reactor);
	return t->exit_status;
}

/* Whether a value can stand in a URL as it is; the gateway says what else is wrong with it. */
static bool is_plain(const char *name, const char *value)
{
	static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._~-,";
	if (value == NULL || (value[0] != '\0' && value[strspn(value, PLAIN)] == '\0'))
		return true;
	(void)fprintf(stderr, NAME ": --%s: letters, digits and . _ ~ - , only\n", name);
	return false;
}

static bool is_session(const char *session)
{
	if (session == NULL || name_is_session(slice_of(session)))
		return true;
	(void)fprintf(stderr, NAME ": --session: " SESSION_ALLOWED "\n");
	return false;
}

int command_tail(int argc, char **argv)
{
	struct tailing t = {.wait_ms = WAIT_LEAST_MS};
	struct problem p;
	int first = 0;
	const struct remote_flag flags[] = {{"session", &t.session, NULL},
	    {"webhook", &t.webhook, NULL}, {"status", &t.status, NULL}, {"json", NULL, &t.json},
	    {NULL, NULL, NULL}};
	if (!remote_read_more(&t.remote, flags, argc, argv, &first))
		return EXIT_USAGE;
	if (first != argc) {
		(void)fprintf(stderr,
		    "usage: waybill tail [--url URL] [--token T] [--ca-file FILE] "
		    "[--session S] [--webhook ID] [--status STATUS,…] [--json]\n");
		return EXIT_USAGE;
	}
	if (remote_check(&t.remote, &p) != OK) {
		(void)fprintf(stderr, NAME ": %s\n", p.message);
		return EXIT_USAGE;
	}
	if (!is_session(t.session) || !is_plain("webhook", t.webhook) ||
	    !is_plain("status", t.status))
		return EXIT_USAGE;
	t.colours = show_has_colours();
	return follow(&t);
}
