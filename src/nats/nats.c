/*
 * One connection to a NATS server; see nats.h.
 *
 *   DOWN --timer--> CONNECTING --connected--> GREETING --INFO--> ENTERING --PONG--> UP
 *     ^                  |                        |                  |              |
 *     '------------------'------------------------'------------------'--------------'
 */
#include "nats/nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "domain/json_at.h"

#define INBOX_ID_SIZE 16 /* random bytes: nobody else can guess where answers go */
#define CONNECT_MAX (64u << 10)
#define OWN_MAX (128u << 10) /* bytes of our own lines that may wait to be sent */
#define PINGS_MAX 2
#define VERSION_MINORS 1000 /* of a major version, in nats_status */

/*
 * Answers to questions that have one come to INBOX.TOKEN, all over one subscription. Those that
 * have many each have a subscription of their own, whose number is the token: JetStream's keep
 * the subject that they were published to. The one's subject must not match the others'.
 */
#define INBOX_SID 1
#define MANY "many."

enum state { DOWN, CONNECTING, GREETING, ENTERING, UP };

struct nats {
	struct nats_conf conf;
	struct nats_hooks hooks;
	struct wire *wire;
	struct nats_parser parser;
	enum state state;
	size_t at;                   /* the next server's index, counted on */
	uint64_t failures;           /* in a row */
	struct reactor_timer *timer; /* the next try, the time limit of one, the next ping */
	int pings;                   /* that are not answered */
	int64_t up_ms;               /* monotonic, since when */
	struct nats_status status;
	bool has_headers;
	const char *leaving;        /* why the connection is to end; NULL: it is not */
	char said[NATS_ERROR_SIZE]; /* the last -ERR on this connection */
	char inbox[sizeof("_INBOX.") + 2 * INBOX_ID_SIZE];
	uint64_t last_token;
	TAILQ_HEAD(, nats_call) calls;
	size_t call_count;
	struct rnd rnd;
};

const struct nats_times NATS_TIMES = {10000, 20000, 250, 30000, 5000};

/* Sends what `out` has been given since it had `before` bytes, or takes it off again. */
static enum err send_from(struct nats *n, size_t before)
{
	struct buf *out = wire_out(n->wire);
	if (out->failed) {
		out->failed = false;
		out->len = before;
		return ERR_FULL;
	}
	wire_send(n->wire);
	return OK;
}

/* Says a line of our own, with a number where it has one: it is short, and has to fit. */
static void say(struct nats *n, const char *line, uint64_t number)
{
	struct buf *out = wire_out(n->wire);
	size_t before = out->len;
	buf_puts(out, line);
	if (number > 0)
		buf_printf(out, " %llu", (unsigned long long)number);
	buf_puts(out, "\r\n");
	if (send_from(n, before) != OK)
		reactor_timer_fire(n->timer); /* there is the place to fail */
}

static void end_call(struct nats *n, struct nats_call *c)
{
	if (c->has_many && n->state == UP)
		say(n, "UNSUB", c->token);
	TAILQ_REMOVE(&n->calls, c, link);
	n->call_count--;
	reactor_timer_free(c->timer);
	c->nats = NULL;
}

void nats_hang_up(struct nats_call *call)
{
	if (call->nats != NULL)
		end_call(call->nats, call);
}

static void on_silence(void *arg)
{
	struct nats_call *c = arg;
	end_call(c->nats, c);
	c->fn(c->arg, NULL);
}

/* How long to wait: a moment for the next server, longer and longer once all were tried. */
static int64_t next_wait(struct nats *n)
{
	const struct nats_times *t = n->conf.times;
	uint64_t rounds = n->failures / n->conf.server_count;
	int64_t wait = t->wait_ms;
	for (; rounds > 1 && wait < t->wait_max_ms; rounds--)
		wait *= 2;
	wait = wait < t->wait_max_ms ? wait : t->wait_max_ms;
	wait = rounds == 0 ? t->wait_ms / 4 : wait;
	return wait / 2 + (int64_t)(rnd_next(&n->rnd) % (uint64_t)(wait / 2 + 1));
}

/* The one way down. */
static void fail(struct nats *n, const char *why)
{
	bool was_up = n->state == UP;
	bool was_steady = was_up && clock_mono_ms() - n->up_ms >= n->conf.times->steady_ms;
	(void)snprintf(n->status.error, sizeof(n->status.error), "%s",
	    n->said[0] != '\0' ? n->said : why);
	wire_close(n->wire);
	n->state = DOWN;
	n->leaving = NULL;
	n->status.is_up = false;
	n->failures = was_steady ? 0 : n->failures + 1;
	int64_t wait_ms = next_wait(n);
	log_warn(was_up ? "NATS connection lost" : "NATS connection failed",
	    LOG_S("name", n->conf.name), LOG_S("server", n->status.server->host),
	    LOG_N("port", n->status.server->port), LOG_S("error", n->status.error),
	    LOG_N("wait_ms", wait_ms));
	reactor_timer_set(n->timer, wait_ms);
	while (!TAILQ_EMPTY(&n->calls)) { /* nobody can ask anew while it is down */
		struct nats_call *c = TAILQ_FIRST(&n->calls);
		end_call(n, c);
		c->fn(c->arg, NULL);
	}
	if (was_up)
		n->hooks.changed(n->hooks.arg);
}

static void on_timer(void *arg)
{
	struct nats *n = arg;
	const struct nats_times *t = n->conf.times;
	if (n->state == DOWN) {
		n->state = CONNECTING;
		n->status.server = &n->conf.servers[n->at++ % n->conf.server_count];
		n->said[0] = '\0';
		n->pings = 0;
		reactor_timer_set(n->timer, t->connect_ms);
		wire_open(n->wire, n->status.server->host, n->status.server->port);
	} else if (n->state != UP) {
		fail(n, "the server has not welcomed us in time");
	} else if (n->leaving != NULL) {
		fail(n, n->leaving);
	} else if (n->pings == PINGS_MAX) {
		fail(n, "the server does not answer");
	} else {
		n->pings++;
		reactor_timer_set(n->timer, t->ping_ms);
		say(n, "PING", 0);
	}
}

static void on_stands(void *arg)
{
	struct nats *n = arg;
	n->state = GREETING;
	nats_parser_fini(&n->parser);
	nats_parser_init(&n->parser, n->conf.message_max);
}

static void on_lost(void *arg, const char *why)
{
	fail(arg, why);
}

/* Writes who we are, as the server wants to have it. */
static void write_credentials(const struct nats_conf *conf, struct slice nonce,
    struct json_writer *w)
{
	char signature[NATS_SIGNATURE_SIZE];
	if (conf->token != NULL)
		json_write_bytes(w, "auth_token", slice_of(conf->token));
	if (conf->user != NULL)
		json_write_bytes(w, "user", slice_of(conf->user));
	if (conf->password != NULL)
		json_write_bytes(w, "pass", slice_of(conf->password));
	if (conf->key == NULL || nonce.len == 0)
		return;
	nats_key_sign(conf->key, nonce, signature);
	if (conf->jwt != NULL)
		json_write_bytes(w, "jwt", slice_of(conf->jwt));
	else
		json_write_cstr(w, "nkey", conf->key->public_key);
	json_write_cstr(w, "sig", signature);
}

static void enter(struct nats *n, struct slice nonce, bool is_tls)
{
	struct buf text = BUF_INIT(CONNECT_MAX);
	struct json_writer w = JSON_WRITER(&text);
	json_open_object(&w, NULL);
	json_write_bool(&w, "verbose", false);
	json_write_bool(&w, "pedantic", false);
	json_write_bool(&w, "tls_required", is_tls);
	json_write_cstr(&w, "name", n->conf.name);
	json_write_cstr(&w, "lang", "c");
	json_write_cstr(&w, "version", WAYBILL_VERSION);
	json_write_i64(&w, "protocol", 1);
	json_write_bool(&w, "headers", true);
	json_write_bool(&w, "no_responders", true);
	write_credentials(&n->conf, nonce, &w);
	json_close(&w);
	struct buf *out = wire_out(n->wire);
	n->state = ENTERING;
	if (json_is_whole(&w))
		buf_printf(out, "CONNECT %s\r\nSUB %s.* %d\r\nPING\r\n", buf_cstr(&text),
		    n->inbox, INBOX_SID);
	else
		out->failed = true;
	if (text.data != NULL)
		mem_wipe(text.data, text.cap);
	buf_fini(&text);
	if (send_from(n, 0) != OK)
		fail(n, "what it takes to log in is too long");
}

/* "2.10.4" as 2010. */
static unsigned read_version(struct slice text)
{
	uint64_t major = 0;
	uint64_t minor = 0;
	if (str_u64(slice_cut(&text, '.'), &major) != OK || major > UINT16_MAX ||
	    str_u64(slice_cut(&text, '.'), &minor) != OK || minor >= VERSION_MINORS)
		return 0;
	return (unsigned)(major * VERSION_MINORS + minor);
}

/* `rest`: bytes that came with it; nothing that is said before TLS counts. */
static void on_info(struct nats *n, size_t rest)
{
	struct json_at info = JSON_AT(n->parser.text);
	uint64_t max_payload = json_at_u64(&info, "max_payload");
	n->has_headers = slice_eq(json_at(&info, "headers"), SLICE("true"));
	bool must = n->status.server->is_tls || n->conf.ca_pem != NULL;
	bool is_required = slice_eq(json_at(&info, "tls_required"), SLICE("true"));
	bool may = is_required || slice_eq(json_at(&info, "tls_available"), SLICE("true"));
	bool is_first = n->state == GREETING;
	n->status.max_payload = max_payload > 0 ? max_payload : n->status.max_payload;
	if (is_first)
		n->status.version = read_version(json_at_text(&info, "version"));
	if (is_first && must && !may) {
		fail(n, "the server offers no TLS");
	} else if (is_first && (must || is_required) && rest > 0) {
		fail(n, "the server speaks before TLS");
	} else if (is_first && max_payload == 0) {
		fail(n, "the server's greeting is not understood");
	} else if (is_first) {
		if (must || is_required)
			wire_secure(n->wire);
		enter(n, json_at_text(&info, "nonce"), must || is_required);
	}
	json_at_fini(&info);
}

static void on_pong(struct nats *n)
{
	n->pings = 0;
	if (n->state != ENTERING)
		return;
	n->state = UP;
	n->status.is_up = true;
	n->up_ms = clock_mono_ms();
	n->status.connections++;
	reactor_timer_set(n->timer, n->conf.times->ping_ms);
	log_info("NATS connected", LOG_S("name", n->conf.name),
	    LOG_S("server", n->status.server->host), LOG_N("port", n->status.server->port));
	n->hooks.changed(n->hooks.arg);
}

void nats_put_error(char out[NATS_ERROR_SIZE], struct slice text)
{
	size_t n = text.len < NATS_ERROR_SIZE ? text.len : NATS_ERROR_SIZE - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
	out[n] = '\0';
}

/* An error after which the server closes the connection, but for one. */
static void on_error(struct nats *n, struct slice text)
{
	if (slice_starts(text, SLICE("Permissions Violation")))
		log_warn("NATS server refuses", LOG_S("name", n->conf.name),
		    LOG_V("error", text));
	else
		nats_put_error(n->said, text);
}

/* Hands an answer to who has asked; there is nobody for one that comes late. */
static void on_message(struct nats *n, const struct nats_message *m)
{
	size_t prefix = strlen(n->inbox) + 1;
	uint64_t token = m->sid;
	struct nats_call *c = NULL;
	if (token == INBOX_SID &&
	    (m->subject.len <= prefix ||
		str_u64((struct slice){m->subject.ptr + prefix, m->subject.len - prefix},
		    &token) != OK))
		return;
	TAILQ_FOREACH(c, &n->calls, link) { /* the oldest is answered first, mostly */
		if (c->token == token)
			break;
	}
	if (c == NULL)
		return;
	if (c->has_many)
		reactor_timer_set(c->timer, c->idle_ms);
	else
		end_call(n, c);
	c->fn(c->arg, m);
}

static void on_bytes(void *arg, struct slice bytes)
{
	struct nats *n = arg;
	while (bytes.len > 0 && n->state >= GREETING) {
		size_t used = 0;
		enum nats_op op = nats_parse(&n->parser, bytes, &used);
		bytes = (struct slice){bytes.ptr + used, bytes.len - used};
		if (n->state == GREETING && op != NATS_MORE && op != NATS_INFO &&
		    op != NATS_ERR) {
			fail(n, "the server does not speak NATS");
			return;
		}
		switch (op) {
		case NATS_INFO:
			on_info(n, bytes.len);
			break;
		case NATS_MSG:
			on_message(n, &n->parser.message);
			break;
		case NATS_PING:
			say(n, "PONG", 0);
			break;
		case NATS_PONG:
			on_pong(n);
			break;
		case NATS_ERR:
			on_error(n, n->parser.text);
			break;
		case NATS_BROKEN:
			fail(n, n->parser.error);
			return;
		case NATS_MORE:
		case NATS_OK:
			break;
		}
	}
}

void nats_put_header(struct buf *headers, struct slice name, struct slice value)
{
	if (memchr(name.ptr, ':', name.len) != NULL || !nats_is_name(name) ||
	    (value.len > 0 &&
		(memchr(value.ptr, '\r', value.len) != NULL ||
		    memchr(value.ptr, '\n', value.len) != NULL)))
		headers->failed = true;
	buf_slice(headers, name);
	buf_puts(headers, ": ");
	buf_slice(headers, value);
	buf_puts(headers, "\r\n");
}

/* `token`: the answer's; 0: none is wanted. */
static enum err publish(struct nats *n, const struct nats_out *m, uint64_t token, bool has_many)
{
	static const struct slice VERSION = SLICE_INIT("NATS/1.0\r\n");
	size_t header_size = m->headers.len == 0 ? 0 : VERSION.len + m->headers.len + 2;
	if (n->state != UP)
		return ERR_BUSY;
	if (!nats_is_subject(m->subject) || (header_size > 0 && !n->has_headers))
		return ERR_INVALID;
	if (header_size + m->payload.len > n->status.max_payload)
		return ERR_TOOBIG;
	struct buf *out = wire_out(n->wire);
	size_t before = out->len;
	if (has_many)
		buf_printf(out, "SUB %s.%s%llu %llu\r\n", n->inbox, MANY,
		    (unsigned long long)token, (unsigned long long)token);
	buf_puts(out, header_size > 0 ? "HPUB " : "PUB ");
	buf_slice(out, m->subject);
	if (token != 0)
		buf_printf(out, " %s.%s%llu", n->inbox, has_many ? MANY : "",
		    (unsigned long long)token);
	if (header_size > 0)
		buf_printf(out, " %zu", header_size);
	buf_printf(out, " %zu\r\n", header_size + m->payload.len);
	if (header_size > 0) {
		buf_slice(out, VERSION);
		buf_slice(out, m->headers);
		buf_puts(out, "\r\n");
	}
	buf_slice(out, m->payload);
	buf_puts(out, "\r\n");
	out->failed = out->failed || out->len > n->conf.out_max;
	return send_from(n, before);
}

enum err nats_publish(struct nats *n, const struct nats_out *out)
{
	return publish(n, out, 0, false);
}

enum err nats_ask(struct nats *n, struct nats_call *call, const struct nats_out *out,
    int64_t idle_ms, bool has_many)
{
	nats_hang_up(call);
	enum err err = n->call_count == NATS_CALLS_MAX
	    ? ERR_FULL
	    : publish(n, out, ++n->last_token, has_many);
	if (err != OK)
		return err;
	call->nats = n;
	call->token = n->last_token;
	call->idle_ms = idle_ms;
	call->has_many = has_many;
	call->timer = reactor_timer_new(n->conf.reactor, on_silence, call);
	reactor_timer_set(call->timer, idle_ms);
	TAILQ_INSERT_TAIL(&n->calls, call, link);
	n->call_count++;
	return OK;
}

void nats_next(struct nats *n, const char *why)
{
	if (n->state != UP)
		return;
	n->leaving = why;
	reactor_timer_fire(n->timer);
}

const struct nats_status *nats_status(const struct nats *n)
{
	return &n->status;
}

struct nats *nats_new(const struct nats_conf *conf, const struct nats_hooks *hooks)
{
	struct nats *n = mem_new(sizeof(*n));
	unsigned char id[INBOX_ID_SIZE];
	char hex[2 * INBOX_ID_SIZE + 1];
	const struct wire_hooks wire = {on_stands, on_bytes, on_lost, n};
	panic_if(conf->server_count == 0, "NATS without a server");
	*n = (struct nats){.conf = *conf, .hooks = *hooks, .status.server = conf->servers};
	n->last_token = INBOX_SID;
	if (conf->times == NULL)
		n->conf.times = &NATS_TIMES;
	n->wire = wire_new(&(struct wire_conf){.reactor = conf->reactor,
			       .lookup = conf->lookup,
			       .policy = conf->policy,
			       .taker = conf->taker,
			       .ca_pem = conf->ca_pem,
			       .out_max = conf->out_max + OWN_MAX},
	    &wire);
	rnd_seed_system(&n->rnd);
	rnd_secret(id, sizeof(id));
	str_hex(id, sizeof(id), hex);
	(void)snprintf(n->inbox, sizeof(n->inbox), "_INBOX.%s", hex);
	TAILQ_INIT(&n->calls);
	nats_parser_init(&n->parser, conf->message_max);
	n->timer = reactor_timer_new(conf->reactor, on_timer, n);
	reactor_timer_fire(n->timer);
	return n;
}

void nats_free(struct nats *n)
{
	if (n == NULL)
		return;
	while (!TAILQ_EMPTY(&n->calls))
		end_call(n, TAILQ_FIRST(&n->calls));
	wire_free(n->wire);
	nats_parser_fini(&n->parser);
	reactor_timer_free(n->timer);
	free(n);
}
