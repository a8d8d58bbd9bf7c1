/*
 * waybill top: how the gateway is, and the webhooks that hurt most, from GET /api/v1/stats.
 * On a terminal it is drawn anew every 2 s, until it is interrupted; elsewhere once.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/reactor.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/show.h"

#define NAME "waybill top"
#define TIMEOUT_MS 10000
#define EVERY_MS 2000
#define ANSWER_MAX (1u << 20)
#define COUNT_MAX 100

struct watching {
	struct remote remote;
	const char *count;
	bool once;
	bool colours;
	struct reactor *reactor;
	struct reactor_timer *again;
	struct client *client;
	struct buf answer;
	bool done;
	int exit_status;
};

static void finish(struct watching *w, int exit_status)
{
	w->done = true;
	w->exit_status = exit_status;
}

/* The text of a member of a member: "deliveries" "waiting". */
static void put_inner(struct buf *out, const struct show *s, const char *outer,
    const char *inner, const char *shown)
{
	struct show o;
	if (show_read(&o, show_member(s, outer), ANSWER_MAX) == OK) {
		buf_printf(out, "  %s ", shown);
		struct slice value = show_text(&o, inner);
		show_put(out, value.len == 0 ? SLICE("-") : value, 0);
	}
	show_fini(&o);
}

static void put_totals(struct buf *out, const struct show *s)
{
	buf_puts(out, "waybill ");
	show_put(out, show_text(s, "version"), 0);
	buf_puts(out, "  up ");
	show_put(out, show_text(s, "uptime_seconds"), 0);
	buf_puts(out, " s  ");
	show_put(out, show_text(s, "now"), 0);
	buf_puts(out, "\nevents");
	put_inner(out, s, "events", "published", "published");
	buf_puts(out, "\ndeliveries");
	put_inner(out, s, "deliveries", "delivered", "delivered");
	put_inner(out, s, "deliveries", "retried", "retried");
	put_inner(out, s, "deliveries", "dead", "dead");
	put_inner(out, s, "deliveries", "in_flight", "in flight");
	put_inner(out, s, "deliveries", "waiting", "waiting");
	put_inner(out, s, "deliveries", "oldest_waiting_seconds", "oldest, s");
	buf_puts(out, "\ncircuits");
	put_inner(out, s, "circuits", "closed", "closed");
	put_inner(out, s, "circuits", "open", "open");
	put_inner(out, s, "circuits", "half_open", "half open");
	buf_puts(out, "\n\n");
}

/* The state of a webhook in one word, and its colour. */
static struct slice state_of(const struct show *s, const char **colour)
{
	struct slice circuit = show_text(s, "circuit");
	*colour = "\033[31m";
	if (slice_eq(show_member(s, "enabled"), SLICE("false")))
		return SLICE("disabled");
	if (!slice_eq(circuit, SLICE("closed")))
		return circuit;
	*colour = "\033[33m";
	if (show_member(s, "failing_since").len > 0)
		return SLICE("failing");
	*colour = "\033[32m";
	return SLICE("ok");
}

static void put_cell(struct buf *out, const struct show *s, const char *name, size_t width)
{
	struct slice value = show_text(s, name);
	show_put(out, value.len == 0 ? SLICE("-") : value, width);
	buf_putc(out, ' ');
}

static void put_webhook(const struct watching *w, const struct show *s, struct buf *out)
{
	const char *colour = "";
	struct slice state = state_of(s, &colour);
	buf_puts(out, w->colours ? colour : "");
	show_put(out, state, 9);
	buf_puts(out, w->colours ? "\033[0m" : "");
	put_cell(out, s, "waiting", 8);
	put_cell(out, s, "in_flight", 9);
	put_cell(out, s, "consecutive_failures", 6);
	put_cell(out, s, "failing_since", 24);
	put_cell(out, s, "last_status", 6);
	show_put_name(out, show_member(s, "session_id"), 12);
	buf_putc(out, ' ');
	put_cell(out, s, "webhook_id", 36);
	put_cell(out, s, "url", 0);
	struct slice error = show_text(s, "disabled_reason");
	error = error.len > 0 ? error : show_text(s, "last_error");
	if (error.len > 0) {
		buf_putc(out, '(');
		show_put(out, error, 0);
		buf_putc(out, ')');
	}
	buf_putc(out, '\n');
}

/* Reads an array of webhooks and appends a line for each. The reader's error. */
static enum err put_webhooks(const struct watching *w, struct slice array, struct buf *out)
{
	struct json_reader r;
	struct buf item = BUF_INIT(ANSWER_MAX);
	bool more = false;
	json_init(&r, array);
	enum err err = json_read_array(&r);
	if (err == OK)
		err = json_read_item(&r, true, &more);
	while (err == OK && more) {
		struct show s;
		buf_reset(&item);
		err = json_read_value(&r, &item);
		if (err != OK)
			break;
		err = show_read(&s, buf_view(&item), ANSWER_MAX);
		if (err == OK)
			put_webhook(w, &s, out);
		show_fini(&s);
		if (err == OK)
			err = json_read_item(&r, false, &more);
	}
	json_fini(&r);
	buf_fini(&item);
	return err;
}

/* Prints the answer; false for one that is not as expected. */
static bool print_stats(const struct watching *w)
{
	struct show s;
	struct buf out = BUF_INIT(4 * ANSWER_MAX);
	enum err err = show_read(&s, buf_view(&w->answer), ANSWER_MAX);
	if (!w->once)
		buf_puts(&out, "\033[H\033[J"); /* to the top, and clear what is below */
	if (err == OK) {
		put_totals(&out, &s);
		buf_puts(&out, "STATE     WAITING  IN-FLIGHT FAILED ");
		show_put(&out, SLICE("SINCE"), 25);
		buf_puts(&out, "STATUS SESSION      ");
		show_put(&out, SLICE("WEBHOOK"), 37);
		buf_puts(&out, "URL\n");
		err = put_webhooks(w, show_member(&s, "top"), &out);
	}
	show_fini(&s);
	bool good = err == OK && fwrite(out.data, 1, out.len, stdout) == out.len &&
	    fflush(stdout) == 0;
	buf_fini(&out);
	return good;
}

static bool on_data(void *arg, struct slice bytes)
{
	struct watching *w = arg;
	buf_slice(&w->answer, bytes);
	return !w->answer.failed;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct watching *w = arg;
	bool good = false;
	if (r->status != 200)
		remote_tell(&w->remote, NAME, r);
	else if (!print_stats(w))
		(void)fprintf(stderr, NAME ": the answer is not one of /api/v1/stats\n");
	else
		good = true;
	if (w->once)
		finish(w, good ? EXIT_OK : EXIT_FAILED);
	else
		reactor_timer_set(w->again, EVERY_MS);
}

static void on_again(void *arg)
{
	struct watching *w = arg;
	struct client_request *q = client_open(w->client);
	struct buf url = BUF_INIT(8192);
	buf_reset(&w->answer);
	remote_authorize(&w->remote, q);
	buf_printf(&url, "%s/api/v1/stats?top=%s", w->remote.url, w->count);
	client_fetch(q, buf_cstr(&url), TIMEOUT_MS, on_data, on_answer, w);
	buf_fini(&url);
}

static void on_signal(void *arg)
{
	finish(arg, EXIT_OK);
}

static int watch(struct watching *w)
{
	w->reactor = reactor_new();
	struct reactor_signal *interrupt = reactor_signal_new(w->reactor, SIGINT, on_signal, w);
	struct reactor_signal *terminate = reactor_signal_new(w->reactor, SIGTERM, on_signal,
	    w);
	w->again = reactor_timer_new(w->reactor, on_again, w);
	w->client = remote_client(&w->remote, w->reactor);
	w->answer = BUF_INIT(ANSWER_MAX);
	on_again(w);
	while (!w->done) {
		reactor_pass(w->reactor, false);
		client_reap(w->client);
	}
	client_free(w->client);
	buf_fini(&w->answer);
	reactor_timer_free(w->again);
	reactor_signal_free(interrupt);
	reactor_signal_free(terminate);
	reactor_free(w->reactor);
	return w->exit_status;
}

int command_top(int argc, char **argv)
{
	struct watching w = {.count = "20"};
	struct problem p;
	uint64_t count = 0;
	int first = 0;
	const struct remote_flag flags[] = {{"count", &w.count, NULL}, {"once", NULL, &w.once},
	    {NULL, NULL, NULL}};
	if (!remote_read_more(&w.remote, flags, argc, argv, &first))
		return EXIT_USAGE;
	if (first != argc) {
		(void)fprintf(stderr,
		    "usage: waybill top [--url URL] [--token T] [--ca-file FILE] "
		    "[--count N] [--once]\n");
		return EXIT_USAGE;
	}
	if (remote_check(&w.remote, &p) != OK) {
		(void)fprintf(stderr, NAME ": %s\n", p.message);
		return EXIT_USAGE;
	}
	if (str_u64(slice_of(w.count), &count) != OK || count < 1 || count > COUNT_MAX) {
		(void)fprintf(stderr, NAME ": --count: an integer from 1 to %d\n", COUNT_MAX);
		return EXIT_USAGE;
	}
	w.once = w.once || isatty(STDOUT_FILENO) != 1;
	w.colours = show_has_colours();
	return watch(&w);
}
