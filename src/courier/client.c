/*
 * curl multi on our loop. What is not obvious, and why:
 *  - Deadlines are timers of the loop, curl's own far behind: curl looks at the
 *    clock before the socket, so a pass stalled by a commit turned answers that had
 *    already arrived into time-outs.
 *  - curl is given a request when there is an address to connect to (client_way.h).
 *  - CAPATH NULL: with Debian's default curl's CA cache is off and each new TLS
 *    connection parses all of the system's certificates again.
 *  - Easy handles are pooled and keep their constant options, and their last URL parsed.
 *  - Header lines that mean nothing to curl go to it as one item of its list, line breaks
 *    included: it compares each item with all the names that it knows (what that brings:
 *    docs/performance.md). tests/unit/test_client.c has the bytes that come of it.
 *  - No curl function is called from a curl callback, except multi_assign, which
 *    is made for it, and getinfo for the TLS of a connection, which a transfer has
 *    only then. The multi's timer is libcurl's: only its callback sets it.
 */
#include "courier/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handshake.h"
#include "base/mem.h"
#include "courier/client_inner.h"

#define URL_TEXT_MAX 8192  /* bytes of a URL that is kept parsed */
#define BACKSTOP_MS 60000L /* curl's own time-outs, behind ours */
#define READ_BYTES 1024L   /* of an answer at a time: of such blocks malloc() keeps some */
#define IDLE_MAX_S 60L     /* what has been idle for longer is not used again */
#define UNASKED_MAX 1024   /* bytes of a body before which no curl asks for leave */
#define LATE_STATUS 408
#define POOL_MAX 256   /* idle request objects kept */
#define SPARE_MS 10000 /* after a socket could not be had: connections are saved… */
#define SPARE_PART 4   /* …one of so many */

/* Of TLS 1.2, libssl's own but those where the receiver chooses a prime of any length. */
#define CIPHERS "DEFAULT:!kDHE"

/*
 * libcurl uses a connection again where it leads through the same address of a proxy, whatever
 * that was told: a tunnel would be for those too who do not know its password. It does so only
 * where all about TLS is the same; so the ciphers of requests with a proxy of their own have
 * one more, which no library knows, and which is another for each such proxy.
 */
#define APART_SIZE (sizeof(CIPHERS) + 19)

#define HTTP2_SINCE 0x080500u /* 8.5.0, as WEBHOOK_HTTP2_LIBCURL has it */

static void limit_connections(struct client *c, size_t most)
{
	MUST(curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)most));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)most));
}

/*
 * Descriptors are short: from now on, for a while, there are fewer connections than the
 * `sockets` that there were, so that something is left for who else needs one. A new one takes
 * the place of an idle one, and curl closes those that were idle for a second.
 */
static void spare_connections(struct client *c, size_t sockets)
{
	size_t most = sockets - sockets / SPARE_PART;
	c->spared = most > 0 ? most : 1;
	c->spare_until_ms = clock_mono_ms() + SPARE_MS;
	limit_connections(c, c->spared);
}

bool client_has_room(struct client *c)
{
	if (c->spared != 0 && clock_mono_ms() >= c->spare_until_ms) {
		c->spared = 0;
		limit_connections(c, c->conf.connections);
	}
	/* curl would let a request wait that finds neither place nor an idle connection */
	return c->spared == 0 || c->active_count < c->spared;
}

/* Closes a socket that stands and that curl has not taken. */
static void drop_prepared(struct client_request *q)
{
	if (q->prepared >= 0)
		(void)close(q->prepared); /* nothing was sent on it */
	q->prepared = -1;
}

static void end_request(struct client_request *q, CURLcode code)
{
	struct client *c = q->client;
	reactor_timer_clear(q->deadline);
	way_stop(q->way);
	drop_prepared(q);
	if (q->dialed)
		MUST(curl_multi_remove_handle(c->multi, q->easy));
	q->code = code;
	q->ended_us = clock_now_us();
	q->shortage = client_find_shortage(q);
	if (q->race != NULL)
		race_stop(q->race);
	if (q->opened && q->final_status != 0)
		way_promote(q->way);
	if (q->shortage == SHORT_OF_DESCRIPTORS && q->code == CURLE_COULDNT_CONNECT)
		spare_connections(c, q->sockets);
	TAILQ_REMOVE(&c->active, q, link);
	c->active_count--;
	TAILQ_INSERT_TAIL(&c->ended, q, link);
}

/* Lets curl close what is idle, sooner than usual or as ever, before it opens a connection. */
static void set_age(struct client_request *q)
{
	bool spares = q->client->spared != 0;
	if (spares != q->is_sparing)
		MUST(curl_easy_setopt(q->easy, CURLOPT_MAXAGE_CONN, spares ? 0L : IDLE_MAX_S));
	q->is_sparing = spares;
}

/* Gives the request to curl, which knows where to connect. */
static void dial(struct client_request *q)
{
	q->opened = false;
	q->reuses = false;
	q->failed = false;
	q->sent = 0;
	q->dialed = true;
	set_age(q);
	MUST(curl_multi_add_handle(q->client->multi, q->easy));
}

/* Of several addresses curl has the first; the others are raced, unless it gets through. */

static bool is_race_over(void *arg)
{
	const struct client_request *q = arg;
	return !q->failed && client_is_connected(q);
}

static void on_race_won(void *arg, int fd, const union lookup_address *to)
{
	struct client_request *q = arg;
	if (!q->failed)
		way_demote(q->way); /* it is slow, or worse */
	way_take(q->way, to);
	q->prepared = fd;
	MUST(curl_multi_remove_handle(q->client->multi, q->easy));
	dial(q);
}

static void on_race_lost(void *arg)
{
	struct client_request *q = arg;
	if (!q->failed)
		return; /* curl's may stand yet */
	end_request(q, CURLE_COULDNT_CONNECT);
	reactor_timer_fire(q->client->timer); /* let a pass see it */
}

static void start_race(struct client_request *q)
{
	if (q->race == NULL)
		q->race = race_new(q->client->races, way_route(q->way),
		    &(struct race_hooks){is_race_over, on_race_won, on_race_lost, q});
	race_start(q->race, way_port(q->way), q->taker);
}

/* What curl tried took no connection; false: nothing else may do so. */
static bool has_others(struct client_request *q)
{
	q->shortage = client_connect_shortage(q);
	if (q->refused_range != NULL || q->shortage == SHORT_OF_DESCRIPTORS)
		return false;
	if (q->shortage == SHORT_OF_NOTHING)
		way_demote(q->way);
	q->failed = true;
	if (!q->opened && route_has_next(way_route(q->way)))
		start_race(q); /* sockets of its family cannot be had here */
	return q->race != NULL && race_hurry(q->race);
}

/* It is known where to connect to, or that this cannot be known. */
static void on_way(void *arg)
{
	struct client_request *q = arg;
	if (way_is_found(q->way))
		dial(q);
	else
		end_request(q, CURLE_COULDNT_RESOLVE_HOST);
}

/*
 * A connection that was used before has died before a byte of an answer came, or what came was
 * not for this request: that says nothing of the receiver, and nobody can tell whether it has
 * the request. So it is sent once more, at once, on a connection that is new. curl has done by
 * then what it does itself: where nothing came it tries others, kept ones too, but only five
 * times over all requests of a handle (before 8.17), and not where sending has failed.
 */
static bool can_repeat(const struct client_request *q, CURLcode code)
{
	if (!q->reuses || q->repeats || q->body_is_lost)
		return false;
	return q->stale || (code != CURLE_OK && q->head_bytes == 0);
}

static void repeat(struct client_request *q)
{
	q->repeats = true;
	q->stale = false;
	q->head_bytes = 0;
	q->status = 0;
	q->error[0] = '\0';
	MUST(curl_multi_remove_handle(q->client->multi, q->easy));
	if (!q->is_http2) /* or all streams of the one that died would have one each */
		MUST(curl_easy_setopt(q->easy, CURLOPT_FRESH_CONNECT, 1L));
	dial(q);
}

/* What curl tried has come to an end, and perhaps the request with it. */
static void finish(struct client_request *q, CURLcode code)
{
	if (code == CURLE_COULDNT_CONNECT && has_others(q))
		return;
	if (can_repeat(q, code))
		repeat(q);
	else
		end_request(q, code);
}

/* Moves the transfers that curl has finished to the ended list. */
static void drain(struct client *c)
{
	int left = 0;
	CURLMsg *msg = curl_multi_info_read(c->multi, &left);
	while (msg != NULL) {
		struct client_request *q = NULL;
		CURLcode code = msg->data.result; /* the message dies with remove_handle */
		MUST(curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&q));
		finish(q, code);
		msg = curl_multi_info_read(c->multi, &left);
	}
}

static void act(struct client *c, curl_socket_t fd, int what)
{
	int running = 0;
	int64_t began_us = clock_now_us();
	MUST(curl_multi_socket_action(c->multi, fd, what, &running));
	drain(c);
	c->turn_us += clock_now_us() - began_us;
}

/* What there is no time for in this turn is told again in the next: sockets are not edges. */
static void on_socket_event(void *arg, int fd, bool readable, bool writable)
{
	const struct client *c = arg;
	if (c->turn_us >= c->most_us)
		return;
	act(arg, fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

void client_turn(struct client *c, int64_t most_us)
{
	c->turn_us = 0;
	c->most_us = most_us;
}

int64_t client_took(const struct client *c)
{
	return c->turn_us;
}

static void on_timer_event(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* curl asks to watch a socket. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct client *c = arg;
	(void)easy;
	(void)socket_arg;
	if (what == CURL_POLL_REMOVE)
		watch_drop(c->watches, fd);
	else
		watch_want(c->watches, fd, (what & CURL_POLL_IN) != 0,
		    (what & CURL_POLL_OUT) != 0);
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct client *c = arg;
	(void)multi;
	if (timeout_ms < 0)
		reactor_timer_clear(c->timer);
	else
		reactor_timer_set(c->timer, timeout_ms);
	return 0;
}

/* The last word before a connection: the address in its final form, after any lookup. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct client_request *q = arg;
	const struct address_policy *policy = way_policy(q->way);
	if (addr->addrlen <= sizeof(q->tried))
		memcpy(&q->tried, &addr->addr, addr->addrlen);
	if (purpose == CURLSOCKTYPE_IPCXN && policy != NULL &&
	    !address_allowed(policy, &addr->addr, &q->refused_range))
		return CURL_SOCKET_BAD;
	int fd = q->prepared;
	q->prepared = -1;
	q->takes_over = fd >= 0;
	if (fd < 0)
		fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd < 0) {
		q->shortage = shortage_of_errno(errno);
		q->sockets = q->client->sockets;
		return CURL_SOCKET_BAD;
	}
	q->opened = true;
	q->reuses = false; /* what curl had begun with has died */
	q->opened_fd = fd;
	q->client->sockets++;
	if (!q->takes_over && route_has_next(way_route(q->way)))
		start_race(q);
	return fd;
}

static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	const struct client_request *q = arg;
	(void)fd;
	(void)purpose;
	return q->takes_over ? CURL_SOCKOPT_ALREADY_CONNECTED : CURL_SOCKOPT_OK;
}

static int on_close_socket(void *arg, curl_socket_t fd)
{
	struct client *c = arg;
	c->sockets--;
	kept_drop(c->kept, fd);
	return close(fd);
}

/* Keeps what is to be said of a connection's TLS: when the transfer is over nobody knows it. */
static void see_tls(struct client_request *q)
{
	struct curl_tlssessioninfo *session = NULL;
	handshake_drop(q->certificate);
	q->certificate = NULL;
	if (curl_easy_getinfo(q->easy, CURLINFO_TLS_SSL_PTR, &session) == CURLE_OK &&
	    session->backend == CURLSSLBACKEND_OPENSSL && session->internals != NULL)
		q->certificate = handshake_peer(session->internals, &q->tls);
}

/*
 * A connection stands, and the request is about to be sent on it, from its first byte: libcurl
 * may do so by itself in place of a connection that has died, and before 8.7 it does not rewind
 * a body of which it has read a part, but sent nothing.
 */
static int on_connection(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct client_request *q = arg;
	const struct kept_ends ends = {remote, local, remote_port, local_port};
	q->sent = 0;
	q->reuses = !q->opened;
	if (q->is_https)
		see_tls(q);
	if (q->opened) {
		kept_put(q->client->kept, q->opened_fd, &ends);
		kept_share(q->client->kept, q->opened_fd, q->is_http2); /* perhaps */
	} else {
		q->stale = kept_is_stale(q->client->kept, &ends);
		drop_prepared(q); /* one that leads there too was free */
	}
	return q->stale ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void read_status_line(struct client_request *q, struct slice line)
{
	unsigned status = 0;
	size_t i = 5;
	while (i < line.len && line.ptr[i] != ' ')
		i++;
	for (i++; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9' && status < 1000;
	     i++)
		status = status * 10 + (unsigned)(line.ptr[i] - '0');
	q->status = (int)status;
}

/* The head of the response that counts is complete: its body gets a second, no more. */
static void begin_body(struct client_request *q)
{
	q->final_status = q->status;
	if (q->data != NULL) {
		reactor_timer_set(q->deadline, q->timeout_ms);
		return;
	}
	int64_t passed_ms = (clock_now_us() - q->started_us) / 1000;
	int64_t left_ms = (int64_t)q->timeout_ms - passed_ms;
	reactor_timer_set(q->deadline, left_ms < CLIENT_BODY_MS ? left_ms : CLIENT_BODY_MS);
}

/*
 * A server that has waited long enough for a request may say so (408) and close just when one
 * is on its way: that is no answer to it. A stream of HTTP/2 is of one request alone.
 * Source: RFC 9110 §15.5.9.
 */
static bool is_late_farewell(const struct client_request *q, bool is_stream)
{
	return q->status == LATE_STATUS && !is_stream && q->reuses && !q->repeats;
}

/* Whether a line says what becomes of deliveries. Few begin with its first letter. */
static bool is_wish(struct slice line)
{
	static const struct slice NAME = SLICE_INIT("webhook-delivery:");
	return line.len > NAME.len && (line.ptr[0] == 'w' || line.ptr[0] == 'W') &&
	    strncasecmp(line.ptr, NAME.ptr, NAME.len) == 0;
}

static size_t on_head_line(char *bytes, size_t size, size_t count, void *arg)
{
	struct client_request *q = arg;
	struct slice line = {.ptr = bytes, .len = size * count};
	q->head_bytes += line.len;
	if (q->head_bytes > CLIENT_HEAD_MAX)
		return 0;
	if (q->final_status != 0)
		return line.len; /* a trailer */
	if (slice_starts(line, SLICE("HTTP/"))) {
		bool is_stream = slice_starts(line, SLICE("HTTP/2"));
		if (q->is_http2 && q->opened) /* now it is known */
			kept_share(q->client->kept, q->opened_fd, is_stream);
		read_status_line(q, line);
		q->stale = is_late_farewell(q, is_stream);
		return q->stale ? 0 : line.len;
	}
	if (is_wish(line))
		q->has_wish = true;
	if (line.len <= 2 && q->status >= 200)
		begin_body(q);
	return line.len;
}

static size_t on_body_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct client_request *q = arg;
	size_t n = size * count;
	if (q->data != NULL && q->final_status / 100 == 2) {
		reactor_timer_set(q->deadline, q->timeout_ms);
		return q->data(q->arg, (struct slice){bytes, n}) ? n : 0;
	}
	size_t room = sizeof(q->answer) - q->answer_len;
	size_t kept = n < room ? n : room;
	memcpy(q->answer + q->answer_len, bytes, kept);
	q->answer_len += kept;
	if (q->keeps)
		buf_append(&q->whole, bytes, n);
	q->body_bytes += n;
	return q->body_bytes > CLIENT_BODY_MAX ? 0 : n; /* short: curl drops the connection */
}

/* curl wants bytes of a body that is not in memory. */
static size_t on_body_wanted(char *out, size_t size, size_t count, void *arg)
{
	struct client_request *q = arg;
	size_t n = q->read(q->arg, q->sent, out, size * count);
	q->sent += n;
	q->body_is_lost = n == 0; /* curl asks for no more than there is */
	return n > 0 ? n : CURL_READFUNC_ABORT;
}

/* curl sends again, on another connection. */
static int on_body_rewound(void *arg, curl_off_t offset, int origin)
{
	struct client_request *q = arg;
	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	q->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void on_deadline(void *arg)
{
	struct client_request *q = arg;
	q->timed_out = true;
	if (q->dialed && !q->failed && !client_is_connected(q))
		way_demote(q->way);
	end_request(q, CURLE_OPERATION_TIMEDOUT);
}

void client_proxy(struct client_request *q, const struct proxy_choice *choice)
{
	char ciphers[APART_SIZE];
	q->has_proxy = true;
	way_choose(q->way, choice);
	if (choice->kind != PROXY_OWN)
		return;
	q->proxy_tag = hash_keyed(&q->client->taker_key, choice->url, strlen(choice->url));
	(void)snprintf(ciphers, sizeof(ciphers), CIPHERS ":!%016" PRIx64, q->proxy_tag);
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_CIPHER_LIST, ciphers));
	q->is_apart = true;
}

/* A connection through its own proxy that is not in TLS is for one request alone. */
static void set_alone(struct client_request *q)
{
	long alone = q->is_https ? 0L : 1L;
	MUST(curl_easy_setopt(q->easy, CURLOPT_FRESH_CONNECT, alone));
	MUST(curl_easy_setopt(q->easy, CURLOPT_FORBID_REUSE, alone));
}

static void forget_proxy(struct client_request *q)
{
	way_choose(q->way, NULL);
	q->has_proxy = false;
	if (!q->is_apart)
		return;
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_CIPHER_LIST, CIPHERS));
	MUST(curl_easy_setopt(q->easy, CURLOPT_FRESH_CONNECT, 0L));
	MUST(curl_easy_setopt(q->easy, CURLOPT_FORBID_REUSE, 0L));
	q->is_apart = false;
	q->proxy_tag = 0;
}

bool client_trusts_http2(unsigned version, bool has_it)
{
	return has_it && version >= HTTP2_SINCE;
}

const char *client_lacks_http2(void)
{
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
	bool has_it = (v->features & CURL_VERSION_HTTP2) != 0;
	return client_trusts_http2(v->version_num, has_it) ? NULL : v->version;
}

static void set_http2(struct client_request *q, bool is_on)
{
	long version = is_on ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
	MUST(curl_easy_setopt(q->easy, CURLOPT_HTTP_VERSION, version));
	MUST(curl_easy_setopt(q->easy, CURLOPT_PIPEWAIT, is_on ? 1L : 0L));
	q->is_http2 = is_on;
}

void client_http2(struct client_request *q)
{
	const char *old = client_lacks_http2();
	if (old == NULL) {
		set_http2(q, true);
		return;
	}
	if (!q->client->told_of_http2)
		log_warn("webhooks with http_version 2 are sent in 1.1: libcurl is too old",
		    LOG_S("libcurl", old));
	q->client->told_of_http2 = true;
}

void client_look(struct client_request *q, bool whole)
{
	q->looks = true;
	q->keeps = whole;
	q->whole = BUF_INIT(CLIENT_BODY_MAX);
}

void client_taker(struct client_request *q, struct slice taker)
{
	q->taker = hash_keyed(&q->client->taker_key, taker.ptr, taker.len);
}

static void set_constant_options(struct client_request *q)
{
	const struct client *c = q->client;
	CURL *e = q->easy;
	MUST(curl_easy_setopt(e, CURLOPT_PRIVATE, q));
	MUST(curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L));
	/* a proxy's answer to CONNECT is not the receiver's */
	MUST(curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L));
	MUST(curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"));
	MUST(curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L));
	MUST(curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L));
	MUST(curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1));
	MUST(curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L));
	MUST(curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2));
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CIPHER_LIST, CIPHERS));
	client_begin_tls(q);
	MUST(curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_MAX_S));
	MUST(curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN,
	    (long)(c->conf.connection_max_age_ms / 1000)));
	MUST(curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L)); /* it walks it each time */
	MUST(curl_easy_setopt(e, CURLOPT_BUFFERSIZE, READ_BYTES));
	MUST(curl_easy_setopt(e, CURLOPT_USERAGENT, c->conf.user_agent));
	MUST(curl_easy_setopt(e, CURLOPT_ERRORBUFFER, q->error));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket_made));
	MUST(curl_easy_setopt(e, CURLOPT_SOCKOPTDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket));
	MUST(curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, q->client)); /* outlives q */
	MUST(curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connection));
	MUST(curl_easy_setopt(e, CURLOPT_PREREQDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head_line));
	MUST(curl_easy_setopt(e, CURLOPT_HEADERDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body_bytes));
	MUST(curl_easy_setopt(e, CURLOPT_WRITEDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_READFUNCTION, on_body_wanted));
	MUST(curl_easy_setopt(e, CURLOPT_READDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_body_rewound));
	MUST(curl_easy_setopt(e, CURLOPT_SEEKDATA, q));
}

static struct client_request *make_request(struct client *c)
{
	struct client_request *q = mem_new(sizeof(*q));
	q->client = c;
	q->lines = BUF_INIT(CLIENT_LINES_MAX);
	q->prepared = -1;
	q->deadline = reactor_timer_new(c->reactor, on_deadline, q);
	q->easy = curl_easy_init();
	q->url = curl_url();
	q->parsed_url = BUF_INIT(URL_TEXT_MAX);
	panic_if(q->easy == NULL || q->url == NULL, "no curl handle");
	set_constant_options(q);
	q->way = way_new(c->ways, q->easy, on_way, q);
	return q;
}

static void free_request(struct client_request *q)
{
	race_free(q->race);
	way_free(q->way);
	curl_easy_cleanup(q->easy);
	curl_url_cleanup(q->url);
	reactor_timer_free(q->deadline);
	handshake_drop(q->certificate);
	client_end_tls(q);
	buf_fini(&q->lines);
	buf_fini(&q->parsed_url);
	buf_fini(&q->whole);
	free(q);
}

struct client *client_new(struct reactor *r, const struct client_conf *conf)
{
	struct client *c = mem_new(sizeof(*c));
	MUST(curl_global_init_mem(CURL_GLOBAL_DEFAULT, shortage_malloc, free, shortage_realloc,
	    shortage_strdup, shortage_calloc));
	c->reactor = r;
	c->conf = *conf;
	TAILQ_INIT(&c->ended);
	TAILQ_INIT(&c->idle);
	TAILQ_INIT(&c->active);
	hash_key_draw(&c->taker_key);
	c->ways = ways_new(r, &c->conf);
	c->races = races_new(r, ways_failures(c->ways));
	c->timer = reactor_timer_new(r, on_timer_event, c);
	c->kept = kept_new();
	c->most_us = INT64_MAX;
	c->watches = watches_new(r, on_socket_event, c);
	client_open_trust(c);
	c->multi = curl_multi_init();
	panic_if(c->multi == NULL, "no curl multi handle");
	MUST(curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c));
	limit_connections(c, conf->connections);
	return c;
}

static void free_list(struct request_list *list)
{
	while (!TAILQ_EMPTY(list)) {
		struct client_request *q = TAILQ_FIRST(list);
		TAILQ_REMOVE(list, q, link);
		free_request(q);
	}
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	struct client_request *q;
	TAILQ_FOREACH(q, &c->active, link) {
		way_stop(q->way);
		drop_prepared(q);
		if (q->dialed)
			MUST(curl_multi_remove_handle(c->multi, q->easy));
	}
	free_list(&c->active);
	free_list(&c->ended);
	free_list(&c->idle);
	/* closing its connections still asks for sockets to be unwatched: let it */
	MUST(curl_multi_cleanup(c->multi));
	client_close_trust(c);
	watches_free(c->watches);
	kept_free(c->kept);
	races_free(c->races);
	ways_free(c->ways);
	reactor_timer_free(c->timer);
	free(c);
	curl_global_cleanup();
}

struct lookup *client_lookup(const struct client *c)
{
	return ways_lookup(c->ways);
}

void client_lookups(const struct client *c, struct lookup_figures *out)
{
	ways_lookups(c->ways, out);
}

struct client_request *client_open(struct client *c)
{
	struct client_request *q = TAILQ_FIRST(&c->idle);
	if (q == NULL)
		return make_request(c);
	TAILQ_REMOVE(&c->idle, q, link);
	c->idle_count--;
	return q;
}

static void add_line(struct client_request *q, struct slice name, struct slice rest,
    struct slice value)
{
	panic_if(q->line_count == CLIENT_HEADERS_MAX, "too many request headers");
	q->line_at[q->line_count++] = q->lines.len;
	q->last_is_own = false;
	buf_slice(&q->lines, name);
	buf_slice(&q->lines, rest);
	buf_slice(&q->lines, value);
	buf_putc(&q->lines, '\0');
}

void client_header(struct client_request *q, struct slice name, struct slice value)
{
	/* curl reads "Name:", also with spaces, as "leave it out", "Name;" as an empty value */
	struct slice bare = slice_trim(value);
	add_line(q, name, bare.len == 0 ? SLICE(";") : SLICE(": "), bare);
}

void client_own_header(struct client_request *q, struct slice name, struct slice value)
{
	if (!q->last_is_own) {
		add_line(q, name, SLICE(": "), value);
	} else {
		q->lines.len--; /* the NUL */
		buf_slice(&q->lines, SLICE("\r\n"));
		buf_slice(&q->lines, name);
		buf_slice(&q->lines, SLICE(": "));
		buf_slice(&q->lines, value);
		buf_putc(&q->lines, '\0');
	}
	q->last_is_own = true;
}

void client_secret_header(struct client_request *q, struct slice name, struct slice value)
{
	client_header(q, name, value);
	q->hidden |= UINT64_C(1) << (q->line_count - 1);
}

/* Links the lines as curl wants them; curl only reads the nodes. */
static struct curl_slist *link_lines(struct client_request *q)
{
	panic_if(q->lines.failed, "request headers over their limit");
	for (size_t i = 0; i < q->line_count; i++) {
		q->nodes[i].data = q->lines.data + q->line_at[i];
		q->nodes[i].next = i + 1 < q->line_count ? &q->nodes[i + 1] : NULL;
	}
	return q->line_count > 0 ? q->nodes : NULL;
}

static void clear_result(struct client_request *q)
{
	q->tried.ss_family = AF_UNSPEC;
	q->refused_range = NULL;
	q->dialed = false;
	q->failed = false;
	q->body_is_lost = false;
	q->stale = false;
	q->shortage = SHORT_OF_NOTHING;
	q->allocations_failed = shortage_allocations();
	q->head_bytes = 0;
	q->body_bytes = 0;
	q->status = 0;
	q->final_status = 0;
	q->timed_out = false;
	q->given_up = false;
	q->ended_us = 0;
	q->has_wish = false;
	if (q->keeps)
		buf_reset(&q->whole);
	q->answer_len = 0;
	q->error[0] = '\0';
}

/*
 * curl parses a URL for each request, unless it is given one that is parsed. It is given the
 * text as well: that is what it tries again with, and what it shows.
 */
static void set_url(struct client_request *q, const char *url)
{
	struct slice text = slice_of(url);
	if (slice_eq(buf_view(&q->parsed_url), text))
		return;
	buf_reset(&q->parsed_url);
	way_set_host(q->way, (struct slice){0}, 0);
	MUST(curl_easy_setopt(q->easy, CURLOPT_URL, url));
	/* what cannot be parsed curl refuses in its own words */
	bool parsed = curl_url_set(q->url, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK;
	MUST(curl_easy_setopt(q->easy, CURLOPT_CURLU, parsed ? q->url : NULL));
	if (!parsed)
		return;
	char *host = NULL;
	MUST(curl_url_get(q->url, CURLUPART_HOST, &host, 0));
	way_set_host(q->way, slice_of(host), way_url_port(q->url));
	curl_free(host);
	q->is_https = strncasecmp(url, "https:", 6) == 0;
	buf_slice(&q->parsed_url, text);
}

/* Starts a request whose method and body are set. `whole_ms`: curl's own limit, 0: none. */
static void start(struct client_request *q, const char *url, uint32_t timeout_ms, long whole_ms)
{
	struct client *c = q->client;
	clear_result(q);
	q->timeout_ms = timeout_ms;
	q->started_us = clock_now_us();
	set_url(q, url);
	if (q->is_apart)
		set_alone(q);
	MUST(curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, link_lines(q)));
	MUST(curl_easy_setopt(q->easy, CURLOPT_TIMEOUT_MS, whole_ms));
	MUST(curl_easy_setopt(q->easy, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)timeout_ms + BACKSTOP_MS));
	reactor_timer_set(q->deadline, timeout_ms);
	TAILQ_INSERT_TAIL(&c->active, q, link);
	c->active_count++;
	if (!way_find(q->way, q->taker))
		return;
	on_way(q);
	if (!q->dialed)
		reactor_timer_fire(c->timer); /* it has ended: let a pass see it */
}

void client_send(struct client_request *q, const char *url, const struct client_body *body,
    uint32_t timeout_ms, client_done_fn done, void *arg)
{
	q->done = done;
	q->data = NULL;
	q->arg = arg;
	if (body->text.len > UNASKED_MAX) /* curl would wait up to a second for the answer */
		add_line(q, SLICE("Expect"), SLICE(":"), SLICE(""));
	MUST(curl_easy_setopt(q->easy, CURLOPT_POST, 1L));
	q->read = body->read;
	MUST(curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS,
	    body->read != NULL ? NULL : body->text.ptr));
	MUST(
	    curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->text.len));
	start(q, url, timeout_ms, (long)timeout_ms + BACKSTOP_MS);
}

void client_fetch(struct client_request *q, const char *url, uint32_t timeout_ms,
    client_data_fn data, client_done_fn done, void *arg)
{
	q->done = done;
	q->data = data;
	q->arg = arg;
	MUST(curl_easy_setopt(q->easy, CURLOPT_HTTPGET, 1L));
	start(q, url, timeout_ms, 0);
}

void client_call(struct client_request *q, const char *method, const char *url,
    struct slice text, uint32_t timeout_ms, client_data_fn data, client_done_fn done, void *arg)
{
	q->done = done;
	q->data = data;
	q->arg = arg;
	q->read = NULL;
	q->has_own_method = true;
	if (text.len > UNASKED_MAX)
		add_line(q, SLICE("Expect"), SLICE(":"), SLICE(""));
	MUST(curl_easy_setopt(q->easy, text.len > 0 ? CURLOPT_POST : CURLOPT_HTTPGET, 1L));
	if (text.len > 0) {
		MUST(curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, text.ptr));
		MUST(curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)text.len));
	}
	MUST(curl_easy_setopt(q->easy, CURLOPT_CUSTOMREQUEST, method));
	start(q, url, timeout_ms, 0);
}

static void recycle(struct client *c, struct client_request *q)
{
	if (q->has_own_method)
		MUST(curl_easy_setopt(q->easy, CURLOPT_CUSTOMREQUEST, NULL));
	q->has_own_method = false;
	buf_reset(&q->lines);
	q->line_count = 0;
	q->last_is_own = false;
	q->hidden = 0;
	q->taker = 0;
	if (q->looks) {
		buf_fini(&q->whole);
		q->looks = false;
		q->keeps = false;
	}
	if (q->tls != NULL) {
		handshake_drop(q->certificate);
		q->certificate = NULL;
		q->tls = NULL;
	}
	client_forget_tls(q);
	if (q->repeats)
		MUST(curl_easy_setopt(q->easy, CURLOPT_FRESH_CONNECT, 0L));
	q->repeats = false;
	if (q->has_proxy)
		forget_proxy(q);
	if (q->is_http2)
		set_http2(q, false);
	if (c->idle_count >= POOL_MAX) {
		free_request(q);
		return;
	}
	TAILQ_INSERT_HEAD(&c->idle, q, link);
	c->idle_count++;
}

void client_give_up(struct client_request *q)
{
	if (q->ended_us != 0)
		return;
	q->given_up = true;
	end_request(q, CURLE_ABORTED_BY_CALLBACK);
	reactor_timer_fire(q->client->timer); /* let a pass see it */
}

bool client_has_ended(const struct client *c)
{
	return !TAILQ_EMPTY(&c->ended);
}

void client_reap(struct client *c)
{
	int64_t began_us = clock_now_us();
	while (!TAILQ_EMPTY(&c->ended)) {
		struct client_request *q = TAILQ_FIRST(&c->ended);
		TAILQ_REMOVE(&c->ended, q, link);
		struct client_result result;
		client_put_result(q, &result);
		q->done(q->arg, &result);
		recycle(c, q);
	}
	c->turn_us += clock_now_us() - began_us;
}
