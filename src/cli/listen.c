/*
 * waybill listen: a receiver for trying things. Prints each delivery and whether
 * its signatures are right, and answers as it is told. It repeats challenges, but those whose
 * signatures are wrong.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/flag.h"
#include "base/gunzip.h"
#include "base/json_write.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "domain/httpsig.h"
#include "domain/json_at.h"
#include "domain/ownership.h"
#include "domain/sign.h"
#include "http/http.h"
#include "store/events.h"

#define BODY_MAX EVENT_BODY_MAX /* bytes: what a gateway sends at most */
#define SHOWN_MAX 2000          /* bytes of a body that are printed */
#define LINES_MAX (1u << 20)    /* what is printed of a request: its head is bounded */
#define CHALLENGE_MAX 256       /* bytes of one that is repeated */

enum option_code { PORT = FLAG_FIRST, SECRET, PUBLIC_KEY, STATUS, DELAY, BODY, WISH };

struct listener {
	struct reactor *reactor;
	struct sign_key *key; /* NULL: signatures by a secret are not checked */
	unsigned char public_key[ED25519_PUBLIC_SIZE];
	bool has_public_key; /* the same of those by a key pair */
	uint64_t port;
	uint64_t status;
	uint64_t delay_ms;
	const char *body; /* of answers, JSON; NULL: that it was received */
	const char *wish; /* what their header webhook-delivery says; NULL: there is none */
	uint64_t count;
	bool stop;
};

/* An answer that waits for its delay. */
struct answer {
	struct http_request *http;
	struct listener *listener;
	struct reactor_timer *timer;
	char challenge[CHALLENGE_MAX]; /* what is to be repeated; "": nothing is */
};

static struct slice header_of(const void *request, const char *name)
{
	return http_header(request, name);
}

static void put_value(struct buf *out, const char *label, struct slice value)
{
	buf_printf(out, " %s=", label);
	show_put_word(out, value);
}

/* Appends the body's beginning, up to the end of a character. */
static void put_body(struct buf *out, struct slice body)
{
	size_t shown = body.len < SHOWN_MAX ? body.len : SHOWN_MAX;
	while (shown < body.len && shown > 0 && ((unsigned char)body.ptr[shown] & 0xc0) == 0x80)
		shown--;
	show_put_line(out, (struct slice){body.ptr, shown});
	buf_puts(out, body.len > shown ? "…" : "");
}

/* Whether the body came in gzip; then `out` has what it holds, or has failed. */
static bool undo_gzip(struct http_request *q, struct buf *out)
{
	if (!slice_eq(http_header(q, "Content-Encoding"), SLICE("gzip")))
		return false;
	out->failed = gunzip(http_body(q), out) != OK;
	return true;
}

/*
 * Who sent it may have called us by another name, which Host has. `body`: what it holds, where
 * it came in gzip. Whether it is right.
 */
static bool print_verdict(const struct listener *l, struct http_request *q, struct slice body)
{
	struct buf url = BUF_INIT(LINES_MAX);
	struct buf target = BUF_INIT(LINES_MAX);
	struct slice query = http_query(q);
	buf_puts(&url, "http://");
	buf_slice(&url, http_header(q, "Host"));
	buf_slice(&url, http_path(q));
	buf_puts(&url, query.len > 0 ? "?" : "");
	buf_slice(&url, query);
	httpsig_put_target(buf_view(&url), &target);
	const struct sign_claim claim = {.header = header_of,
	    .request = q,
	    .method = slice_of(http_method(q)),
	    .target = buf_view(&target),
	    .body = body,
	    .content = http_body(q),
	    .public_key = l->has_public_key ? l->public_key : NULL,
	    .window_s = INT64_MAX};
	bool ok = sign_verify_all(l->key, &claim);
	(void)printf("   signature %s\n", ok ? "ok" : "WRONG");
	buf_fini(&url);
	buf_fini(&target);
	return ok;
}

/* The value of hub.challenge in a query, as it is written; empty: there is none. */
static struct slice find_parameter(struct slice query)
{
	const struct slice name = SLICE("hub.challenge=");
	while (query.len > 0 && !slice_starts(query, name))
		(void)slice_cut(&query, '&');
	if (query.len == 0)
		return query;
	query.ptr += name.len;
	query.len -= name.len;
	return slice_cut(&query, '&');
}

/* Copies the challenge of a request, as far as it is one, and says so. */
static void take_challenge(struct http_request *q, char out[static CHALLENGE_MAX])
{
	struct json_at j = JSON_AT(http_body(q));
	struct slice found = find_parameter(http_query(q));
	if (slice_eq(http_header(q, "X-Webhook-Event"), SLICE(OWNERSHIP_EVENT)) &&
	    found.len == 0)
		found = json_at_text(&j, "data/challenge");
	if (found.len > 0 && found.len < CHALLENGE_MAX) {
		(void)snprintf(out, CHALLENGE_MAX, "%.*s", (int)found.len, found.ptr);
		(void)printf("   challenge repeated\n");
	}
	json_at_fini(&j);
}

/*
 * Whatever is in the request stays within its lines; the verdict has one of its own. Whether it
 * is not wrong.
 */
static bool print_request(const struct listener *l, struct http_request *q)
{
	struct buf text = BUF_INIT(LINES_MAX);
	struct buf plain = BUF_INIT(BODY_MAX);
	bool is_gzip = undo_gzip(q, &plain);
	struct slice body = is_gzip && !plain.failed ? buf_view(&plain) : http_body(q);
	buf_printf(&text, "#%llu %s ", (unsigned long long)l->count, http_method(q));
	show_put_word(&text, http_path(q));
	put_value(&text, "event", http_header(q, "X-Webhook-Event"));
	put_value(&text, "session", http_header(q, "X-Webhook-Session"));
	put_value(&text, "id", http_header(q, "X-Webhook-Id"));
	put_value(&text, "attempt", http_header(q, "X-Webhook-Attempt"));
	if (is_gzip)
		buf_printf(&text, " %s", plain.failed ? "gzip=DAMAGED" : "gzip");
	buf_puts(&text, "\n   ");
	put_body(&text, body);
	(void)printf("%s\n", buf_cstr(&text));
	buf_fini(&text);
	bool ok = (l->key == NULL && !l->has_public_key) || print_verdict(l, q, body);
	buf_fini(&plain);
	return ok;
}

static void send_answer(void *arg)
{
	struct answer *a = arg;
	int status = (int)a->listener->status;
	struct buf text = BUF_INIT(64);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "received", true);
	json_close(&json);
	json_expect_whole(&json);
	if (a->listener->wish != NULL)
		http_add_header(a->http, "webhook-delivery", a->listener->wish);
	if (a->challenge[0] != '\0')
		http_reply(a->http, status, "text/plain", slice_of(a->challenge));
	else
		http_reply(a->http, status, "application/json",
		    a->listener->body == NULL ? buf_view(&text) : slice_of(a->listener->body));
	buf_fini(&text);
	reactor_timer_free(a->timer);
	free(a);
}

static void on_request(void *arg, struct http_request *q)
{
	struct listener *l = arg;
	struct answer *a = calloc(1, sizeof(*a));
	l->count++;
	if (a == NULL)
		abort();
	if (print_request(l, q))
		take_challenge(q, a->challenge);
	(void)fflush(stdout); /* who reads it is gone if this fails */
	a->http = q;
	a->listener = l;
	a->timer = reactor_timer_new(l->reactor, send_answer, a);
	reactor_timer_set(a->timer, (int64_t)l->delay_ms);
}

static void error_body(int status, const char *message, struct buf *out)
{
	struct json_writer json = JSON_WRITER(out);
	(void)status;
	json_write_cstr(&json, NULL, message);
	json_expect_whole(&json);
}

static void on_stop(void *arg)
{
	((struct listener *)arg)->stop = true;
}

/* Reads a number from min to max; false and a message where it is none. */
static bool read_number(const char *flag, const char *text, uint64_t min, uint64_t max,
    uint64_t *out)
{
	if (str_u64(slice_of(text), out) == OK && *out >= min && *out <= max)
		return true;
	(void)fprintf(stderr, "waybill listen: --%s must be an integer from %llu to %llu\n",
	    flag, (unsigned long long)min, (unsigned long long)max);
	return false;
}

static bool set_secret(struct listener *l, struct slice secret)
{
	struct problem p;
	if (sign_check_secret(secret, "--secret", &p) != OK) {
		(void)fprintf(stderr, "waybill listen: %s\n", p.message);
		return false;
	}
	sign_key_free(l->key);
	l->key = sign_key_new(secret);
	return true;
}

static bool set_public_key(struct listener *l, struct slice key)
{
	struct problem p;
	l->has_public_key = sign_read_public(key, "--public-key", l->public_key, &p) == OK;
	if (!l->has_public_key)
		(void)fprintf(stderr, "waybill listen: %s\n", p.message);
	return l->has_public_key;
}

static bool set_wish(struct listener *l, const char *wish)
{
	l->wish = wish;
	if (strcmp(wish, "abort") == 0 || strcmp(wish, "disable") == 0)
		return true;
	(void)fprintf(stderr, "waybill listen: --delivery must be abort or disable\n");
	return false;
}

/* Takes one option; false where it was refused, in words. */
static bool take_option(struct listener *l, int opt, const char *text)
{
	switch ((enum option_code)opt) {
	case PORT:
		return read_number("port", text, 0, 65535, &l->port);
	case STATUS:
		return read_number("status", text, 200, 599, &l->status);
	case DELAY:
		return read_number("delay", text, 0, 3600000, &l->delay_ms);
	case BODY:
		l->body = text;
		return true;
	case WISH:
		return set_wish(l, text);
	case SECRET:
		return set_secret(l, slice_of(text));
	case PUBLIC_KEY:
		return set_public_key(l, slice_of(text));
	}
	return false;
}

static bool read_options(struct listener *l, int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"port", required_argument, NULL, PORT},
	    {"secret", required_argument, NULL, SECRET},
	    {"public-key", required_argument, NULL, PUBLIC_KEY},
	    {"status", required_argument, NULL, STATUS},
	    {"delay", required_argument, NULL, DELAY}, {"body", required_argument, NULL, BODY},
	    {"delivery", required_argument, NULL, WISH}, {NULL, 0, NULL, 0}};
	char why[FLAG_WHY_SIZE];
	optind = 0; /* glibc: start over */
	opterr = 0;
	int opt = getopt_long(argc, argv, ":", OPTIONS, NULL);
	for (; opt != -1; opt = getopt_long(argc, argv, ":", OPTIONS, NULL)) {
		bool is_known = opt >= FLAG_FIRST;
		if (!is_known)
			(void)fprintf(stderr, "waybill listen: %s\n",
			    flag_explain(OPTIONS, argv, opt, why));
		if (!is_known || !take_option(l, opt, optarg))
			return false;
	}
	if (optind < argc)
		(void)fprintf(stderr, "waybill listen: unexpected argument %s\n", argv[optind]);
	return optind == argc;
}

static int serve(struct listener *l)
{
	static const struct http_conf CONF = {.body_max = BODY_MAX,
	    .max_connections = 1000,
	    .head_timeout_ms = 10000,
	    .body_timeout_ms = 60000,
	    .idle_timeout_ms = 120000,
	    .send_timeout_ms = 60000,
	    .input_max = 64 * BODY_MAX,
	    .output_max = 64 * BODY_MAX};
	const struct http_hooks hooks = {.handle = on_request,
	    .error_body = error_body,
	    .arg = l};
	char where[64];
	char *shown = NULL;
	struct problem p;
	l->reactor = reactor_new();
	struct http_server *http = http_new(l->reactor, &CONF, &hooks);
	struct reactor_signal *term = reactor_signal_new(l->reactor, SIGTERM, on_stop, l);
	struct reactor_signal *interrupt = reactor_signal_new(l->reactor, SIGINT, on_stop, l);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)l->port);
	enum err err = http_listen(http, where, &shown, &p);
	if (err != OK) {
		(void)fprintf(stderr, "waybill listen: %s\n", p.message);
	} else {
		(void)printf("listening on %s/\n", shown);
		(void)fflush(stdout); /* who reads it is gone if this fails */
		while (!l->stop || http_held(http) > 0)
			reactor_pass(l->reactor, false);
	}
	free(shown);
	reactor_signal_free(term);
	reactor_signal_free(interrupt);
	http_free(http);
	reactor_free(l->reactor);
	return err == OK ? EXIT_OK : EXIT_FAILED;
}

int command_listen(int argc, char **argv)
{
	struct listener l = {.status = 200, .port = 9000};
	int status = EXIT_USAGE;
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	if (sigaction(SIGPIPE, &ignore, NULL) == 0 && read_options(&l, argc, argv))
		status = serve(&l);
	sign_key_free(l.key);
	return status;
}
