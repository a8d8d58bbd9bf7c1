/* waybill send SESSION EVENT [DATA]: publishes one event through the API. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json_write.h"
#include "base/percent.h"
#include "base/reactor.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "domain/json.h"
#include "domain/name.h"

#define DATA_MAX (4u << 20) /* bytes; above what a gateway takes */
#define BODY_REST_MAX 1024  /* bytes of a body besides */
#define TIMEOUT_MS 30000

struct sending {
	struct remote remote;
	const char *session;
	const char *event;
	const char *data;
	int exit_status;
	bool done;
};

static void print_answer(struct slice answer)
{
	show_print(stdout, answer);
	(void)putchar('\n'); /* who reads it is gone if this fails */
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct sending *s = arg;
	bool ok = r->status >= 200 && r->status < 300;
	s->done = true;
	s->exit_status = ok ? EXIT_OK : EXIT_FAILED;
	if (ok)
		print_answer(r->answer);
	else
		remote_tell(&s->remote, "waybill send", r);
}

/* Checks what would be refused anyway, with a better word here. */
static bool check(const struct sending *s)
{
	struct problem p;
	if (!name_is_session(slice_of(s->session)))
		(void)fprintf(stderr, "waybill send: SESSION must be " SESSION_ALLOWED "\n");
	else if (name_is_folded(slice_of(s->session)))
		(void)fprintf(stderr, "waybill send: SESSION: " NAME_FOLDED "\n");
	else if (!name_is_event(slice_of(s->event)))
		(void)fprintf(stderr, "waybill send: EVENT must match [a-z0-9_.]{1,64}\n");
	else if (remote_check(&s->remote, &p) != OK)
		(void)fprintf(stderr, "waybill send: %s\n", p.message);
	else
		return true;
	return false;
}

/*
 * Writes the request's body; DATA is canonicalised on the way, so that it is JSON for
 * certain.
 */
static bool make_body(const struct sending *s, struct buf *body)
{
	struct json_reader r;
	struct problem p;
	struct buf data = BUF_INIT(DATA_MAX);
	struct json_writer w = JSON_WRITER(body);
	json_init(&r, slice_of(s->data));
	enum err err = json_read_value(&r, &data);
	if (err == OK)
		err = json_read_end(&r);
	if (err == OK) {
		json_open_object(&w, NULL);
		json_write_cstr(&w, "event", s->event);
		json_write_raw(&w, "data", buf_view(&data));
		json_close(&w);
		json_expect_whole(&w);
	} else {
		(void)json_problem(&r, err, &p); /* returns `err` */
		(void)fprintf(stderr, "waybill send: DATA: %s\n", p.message);
	}
	json_fini(&r);
	buf_fini(&data);
	return err == OK;
}

static int post(struct sending *s, const struct buf *body)
{
	struct reactor *reactor = reactor_new();
	struct client *client = remote_client(&s->remote, reactor);
	struct client_request *q = client_open(client);
	struct buf text = BUF_INIT(8192);
	client_header(q, SLICE("Content-Type"), SLICE("application/json"));
	remote_authorize(&s->remote, q);
	buf_printf(&text, "%s/api/v1/sessions/", s->remote.url);
	percent_put(&text, slice_of(s->session));
	buf_puts(&text, "/events");
	const struct client_body whole = {.text = buf_view(body)};
	client_send(q, buf_cstr(&text), &whole, TIMEOUT_MS, on_answer, s);
	while (!s->done) {
		reactor_pass(reactor, false);
		client_reap(client);
	}
	buf_fini(&text);
	client_free(client);
	reactor_free(reactor);
	return s->exit_status;
}

int command_send(int argc, char **argv)
{
	struct sending s = {.done = false};
	struct buf body = BUF_INIT(DATA_MAX + BODY_REST_MAX);
	int first = 0;
	if (!remote_read(&s.remote, argc, argv, &first))
		return EXIT_USAGE;
	if (argc - first < 2 || argc - first > 3) {
		(void)fprintf(stderr,
		    "usage: waybill send [--url URL] [--token T] [--ca-file FILE] "
		    "SESSION EVENT [DATA]\n");
		return EXIT_USAGE;
	}
	s.session = argv[first];
	s.event = argv[first + 1];
	s.data = argc - first == 3 ? argv[first + 2] : "{}";
	int status = EXIT_USAGE;
	if (check(&s) && make_body(&s, &body))
		status = post(&s, &body);
	buf_fini(&body);
	return status;
}
