/* waybill send SESSION EVENT [DATA]: publishes one event through the API. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/reactor.h"
#include "cli/commands.h"
#include "courier/client.h"
#include "domain/json.h"
#include "domain/name.h"
#include "domain/url.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
#define DATA_MAX (4u << 20) /* bytes; above what a gateway takes */
#define TIMEOUT_MS 30000

struct sending {
	const char *url;
	const char *token;   /* NULL: none */
	const char *ca_file; /* NULL: the system's */
	const char *session;
	const char *event;
	const char *data;
	int exit_status;
	bool done;
};

static void on_answer(void *arg, const struct client_result *r)
{
	struct sending *s = arg;
	bool ok = r->status >= 200 && r->status < 300;
	s->done = true;
	s->exit_status = ok ? EXIT_OK : EXIT_FAILED;
	if (ok)
		(void)printf("%.*s\n", (int)r->answer.len, r->answer.ptr);
	else if (r->status != 0)
		(void)fprintf(stderr, "waybill send: HTTP status %d: %.*s\n", r->status,
		    (int)r->answer.len, r->answer.ptr);
	else
		(void)fprintf(stderr, "waybill send: %s: %s\n", s->url, r->error);
}

/* Checks what would be refused anyway, with a better word here. */
static bool check(const struct sending *s)
{
	struct problem p;
	if (!name_is_session(slice_of(s->session)))
		(void)fprintf(stderr,
		    "waybill send: SESSION must match [A-Za-z0-9._~-]{1,128}\n");
	else if (!name_is_event(slice_of(s->event)))
		(void)fprintf(stderr, "waybill send: EVENT must match [a-z0-9_.]{1,64}\n");
	else if (url_check(slice_of(s->url), "--url", &p) != OK)
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
	buf_puts(body, "{\"event\":");
	buf_json(body, slice_of(s->event));
	buf_puts(body, ",\"data\":");
	json_init(&r, slice_of(s->data));
	enum err err = json_read_value(&r, body);
	if (err == OK)
		err = json_read_end(&r);
	if (err != OK) {
		(void)json_problem(&r, err, &p); /* returns `err` */
		(void)fprintf(stderr, "waybill send: DATA: %s\n", p.message);
	}
	json_fini(&r);
	buf_putc(body, '}');
	return err == OK && !body->failed;
}

static int post(struct sending *s, const struct buf *body)
{
	struct client_conf conf = {.user_agent = "waybill/" WAYBILL_VERSION,
	    .ca_file = s->ca_file,
	    .connections = 1};
	struct reactor *reactor = reactor_new();
	struct client *client = client_new(reactor, &conf);
	struct client_request *q = client_open(client);
	struct buf text = BUF_INIT(8192);
	client_header(q, SLICE("Content-Type"), SLICE("application/json"));
	if (s->token != NULL) {
		buf_printf(&text, "Bearer %s", s->token);
		client_header(q, SLICE("Authorization"), buf_view(&text));
		buf_reset(&text);
	}
	buf_printf(&text, "%s/api/v1/sessions/%s/events", s->url, s->session);
	client_send(q, buf_cstr(&text), buf_view(body), TIMEOUT_MS, on_answer, s);
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
	static const struct option OPTIONS[] = {{"url", required_argument, NULL, 'u'},
	    {"token", required_argument, NULL, 't'}, {"ca-file", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0}};
	struct sending s = {.url = getenv("WAYBILL_URL"), .token = getenv("WAYBILL_TOKEN")};
	struct buf body = BUF_INIT(DATA_MAX);
	if (s.url == NULL)
		s.url = URL_DEFAULT;
	optind = 0; /* glibc: start over */
	int opt = getopt_long(argc, argv, "", OPTIONS, NULL);
	for (; opt != -1; opt = getopt_long(argc, argv, "", OPTIONS, NULL)) {
		if (opt == '?')
			return EXIT_USAGE;
		if (opt == 'u')
			s.url = optarg;
		else if (opt == 't')
			s.token = optarg;
		else
			s.ca_file = optarg;
	}
	if (argc - optind < 2 || argc - optind > 3) {
		(void)fprintf(stderr,
		    "usage: waybill send [--url URL] [--token T] [--ca-file FILE] "
		    "SESSION EVENT [DATA]\n");
		return EXIT_USAGE;
	}
	s.session = argv[optind];
	s.event = argv[optind + 1];
	s.data = argc - optind == 3 ? argv[optind + 2] : "{}";
	int status = EXIT_USAGE;
	if (check(&s) && make_body(&s, &body))
		status = post(&s, &body);
	buf_fini(&body);
	return status;
}
