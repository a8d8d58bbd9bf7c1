/*
 * curl multi on our loop. What is not obvious, and why:
 *  - Deadlines are timers of the loop, curl's own far behind: curl looks at the
 *    clock before the socket, so a pass stalled by a commit turned answers that had
 *    already arrived into time-outs.
 *  - QUICK_EXIT: without it a transfer that ends during a stuck lookup joins the
 *    resolver's thread and freezes the loop (tests/e2e/test_dns.py).
 *  - CAPATH NULL: with Debian's default curl's CA cache is off and each new TLS
 *    connection parses all of the system's certificates again.
 *  - Easy handles are pooled and keep their constant options, and their last URL parsed.
 *  - Header lines that mean nothing to curl go to it as one item of its list, line breaks
 *    included: it compares each item with all the names that it knows (what that brings:
 *    docs/performance.md). tests/unit/test_client.c has the bytes that come of it.
 *  - No curl function is called from a curl callback, except multi_assign, which
 *    is made for it. The multi's timer is libcurl's: only its callback sets it.
 */
#include "courier/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/handshake.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/watch.h"
#include "domain/retry.h"

#define LINES_MAX (64u << 10)    /* bytes of a request's header lines */
#define URL_TEXT_MAX 8192        /* bytes of a URL that is kept parsed */
#define BACKSTOP_MS 60000L       /* curl's own time-outs, behind ours */
#define CONNECTION_AGE_MAX_S 60L /* an idle connection older than this is not used again */
#define LOOKUP_AGE_MAX_S 5L      /* curl walks all that it knows with each transfer */
#define POOL_MAX 256             /* idle request objects kept */

#define DIGITS "0123456789"
#define DAY_INITIALS "MTWFS" /* of the days of a date in HTTP */

/* Of TLS 1.2, libssl's own but those where the receiver chooses a prime of any length. */
#define CIPHERS "DEFAULT:!kDHE"

#define ADDRESS_MAX 64 /* bytes: an IPv6 address in brackets with a port */

struct client_request {
	TAILQ_ENTRY(client_request) link; /* in the client's ended or idle list */
	struct client *client;
	CURL *easy;
	struct reactor_timer *deadline;
	struct buf lines; /* NUL-separated header lines */
	size_t line_at[CLIENT_HEADERS_MAX];
	struct curl_slist nodes[CLIENT_HEADERS_MAX];
	size_t line_count;
	bool last_is_own;      /* the last line may be continued */
	struct buf parsed_url; /* what `url` was made from */
	CURLU *url;
	client_done_fn done;
	client_data_fn data; /* NULL: an answer is kept, as far as there is room */
	void *arg;
	int64_t started_us;
	int64_t ended_us;
	struct sockaddr_storage tried; /* the last address that was asked for; family 0: none */
	const char *refused_range;     /* why the policy refused the last address tried */
	size_t head_bytes;
	size_t body_bytes;
	int status;       /* of the response that is being read */
	int final_status; /* of the one that counts, once its headers are complete */
	uint32_t timeout_ms;
	bool timed_out;
	bool has_own_tls; /* to be undone before the next request */
	CURLcode code;
	size_t answer_len;
	char answer[CLIENT_ANSWER_KEPT];
	char error[CURL_ERROR_SIZE];
	char words[CURL_ERROR_SIZE + 128];
	char address[ADDRESS_MAX];
};

TAILQ_HEAD(request_list, client_request);

struct client {
	struct reactor *reactor;
	struct client_conf conf;
	CURLM *multi;
	CURLSH *share; /* TLS sessions over all handles, to be resumed */
	struct reactor_timer *timer;
	struct watches *watches;
	struct request_list ended;
	struct request_list idle;
	struct request_list active;
	size_t idle_count;
};

/* A curl call that fails only for a mistake of ours or for want of memory. */
#define MUST(call)                                                                             \
	do {                                                                                   \
		int rc_ = (int)(call);                                                         \
		panic_if(rc_ != 0, "%s failed with %d", #call, rc_);                           \
	} while (0)

static void end_request(struct client_request *q, CURLcode code)
{
	struct client *c = q->client;
	reactor_timer_clear(q->deadline);
	MUST(curl_multi_remove_handle(c->multi, q->easy));
	q->code = code;
	q->ended_us = clock_now_us();
	TAILQ_REMOVE(&c->active, q, link);
	TAILQ_INSERT_TAIL(&c->ended, q, link);
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
		end_request(q, code);
		msg = curl_multi_info_read(c->multi, &left);
	}
}

static void act(struct client *c, curl_socket_t fd, int what)
{
	int running = 0;
	MUST(curl_multi_socket_action(c->multi, fd, what, &running));
	drain(c);
}

static void on_socket_event(void *arg, int fd, bool readable, bool writable)
{
	act(arg, fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
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
	const struct address_policy *policy = q->client->conf.policy;
	if (addr->addrlen <= sizeof(q->tried))
		memcpy(&q->tried, &addr->addr, addr->addrlen);
	if (purpose == CURLSOCKTYPE_IPCXN && policy != NULL && q->client->conf.proxy == NULL &&
	    !address_allowed(policy, &addr->addr, &q->refused_range))
		return CURL_SOCKET_BAD;
	int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd >= 0)
		watch_open(q->client->watches, fd);
	return fd;
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

static size_t on_head_line(char *bytes, size_t size, size_t count, void *arg)
{
	struct client_request *q = arg;
	struct slice line = {.ptr = bytes, .len = size * count};
	q->head_bytes += line.len;
	if (q->head_bytes > CLIENT_HEAD_MAX)
		return 0;
	if (q->final_status != 0)
		return line.len; /* a trailer */
	if (slice_starts(line, SLICE("HTTP/")))
		read_status_line(q, line);
	else if (line.len <= 2 && q->status >= 200)
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
	q->body_bytes += n;
	return q->body_bytes > CLIENT_BODY_MAX ? 0 : n; /* short: curl drops the connection */
}

static void on_deadline(void *arg)
{
	struct client_request *q = arg;
	q->timed_out = true;
	end_request(q, CURLE_OPERATION_TIMEDOUT);
}

static CURLcode on_tls_context(CURL *easy, void *ctx, void *arg)
{
	const struct client *c = arg;
	(void)easy;
	handshake_bound(ctx, c->reactor);
	return CURLE_OK;
}

static void set_tls(struct client_request *q, const char *ca_pem, bool insecure)
{
	struct curl_blob blob = {.flags = CURL_BLOB_COPY};
	blob.len = ca_pem == NULL ? 0 : strlen(ca_pem);
	blob.data = (void *)(uintptr_t)ca_pem; /* curl only reads it */
	MUST(curl_easy_setopt(q->easy, CURLOPT_CAINFO_BLOB, ca_pem == NULL ? NULL : &blob));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L));
	q->has_own_tls = ca_pem != NULL || insecure;
}

void client_tls(struct client_request *q, const char *ca_pem, bool insecure)
{
	if (ca_pem != NULL || insecure)
		set_tls(q, ca_pem, insecure);
}

static void set_constant_options(struct client_request *q)
{
	const struct client *c = q->client;
	CURL *e = q->easy;
	MUST(curl_easy_setopt(e, CURLOPT_PRIVATE, q));
	MUST(curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L));
	MUST(curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L));
	MUST(curl_easy_setopt(e, CURLOPT_PROXY, c->conf.proxy == NULL ? "" : c->conf.proxy));
	MUST(curl_easy_setopt(e, CURLOPT_NOPROXY, "")); /* not the environment's either */
	/* a proxy's answer to CONNECT is not the receiver's */
	MUST(curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L));
	MUST(curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"));
	MUST(curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L));
	MUST(curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1));
	MUST(curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L));
	MUST(curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2));
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CIPHER_LIST, CIPHERS));
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls_context));
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, q->client));
	set_tls(q, NULL, false);
	MUST(curl_easy_setopt(e, CURLOPT_CAPATH, NULL));
	if (c->conf.ca_file != NULL)
		MUST(curl_easy_setopt(e, CURLOPT_CAINFO, c->conf.ca_file));
	MUST(curl_easy_setopt(e, CURLOPT_SHARE, c->share));
	MUST(curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_MAX_S));
	MUST(curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, LOOKUP_AGE_MAX_S));
	MUST(curl_easy_setopt(e, CURLOPT_USERAGENT, c->conf.user_agent));
	MUST(curl_easy_setopt(e, CURLOPT_ERRORBUFFER, q->error));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head_line));
	MUST(curl_easy_setopt(e, CURLOPT_HEADERDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body_bytes));
	MUST(curl_easy_setopt(e, CURLOPT_WRITEDATA, q));
}

static struct client_request *make_request(struct client *c)
{
	struct client_request *q = mem_new(sizeof(*q));
	q->client = c;
	q->lines = BUF_INIT(LINES_MAX);
	q->deadline = reactor_timer_new(c->reactor, on_deadline, q);
	q->easy = curl_easy_init();
	q->url = curl_url();
	q->parsed_url = BUF_INIT(URL_TEXT_MAX);
	panic_if(q->easy == NULL || q->url == NULL, "no curl handle");
	set_constant_options(q);
	return q;
}

static void free_request(struct client_request *q)
{
	curl_easy_cleanup(q->easy);
	curl_url_cleanup(q->url);
	reactor_timer_free(q->deadline);
	buf_fini(&q->lines);
	buf_fini(&q->parsed_url);
	free(q);
}

struct client *client_new(struct reactor *r, const struct client_conf *conf)
{
	struct client *c = mem_new(sizeof(*c));
	MUST(curl_global_init(CURL_GLOBAL_DEFAULT));
	c->reactor = r;
	c->conf = *conf;
	TAILQ_INIT(&c->ended);
	TAILQ_INIT(&c->idle);
	TAILQ_INIT(&c->active);
	c->timer = reactor_timer_new(r, on_timer_event, c);
	c->watches = watches_new(r, on_socket_event, c);
	c->share = curl_share_init();
	c->multi = curl_multi_init();
	panic_if(c->share == NULL || c->multi == NULL, "no curl multi handle");
	MUST(curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c));
	MUST(curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)conf->connections));
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
	TAILQ_FOREACH(q, &c->active, link)
		MUST(curl_multi_remove_handle(c->multi, q->easy));
	free_list(&c->active);
	free_list(&c->ended);
	free_list(&c->idle);
	/* closing its connections still asks for sockets to be unwatched: let it */
	MUST(curl_multi_cleanup(c->multi));
	MUST(curl_share_cleanup(c->share));
	watches_free(c->watches);
	reactor_timer_free(c->timer);
	free(c);
	curl_global_cleanup();
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
	/* curl reads "Name:" as "leave it out" and "Name;" as an empty value */
	add_line(q, name, value.len == 0 ? SLICE(";") : SLICE(": "), value);
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
	q->head_bytes = 0;
	q->body_bytes = 0;
	q->status = 0;
	q->final_status = 0;
	q->timed_out = false;
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
	MUST(curl_easy_setopt(q->easy, CURLOPT_URL, url));
	/* what cannot be parsed curl refuses in its own words */
	bool parsed = curl_url_set(q->url, CURLUPART_URL, url, 0) == CURLUE_OK;
	MUST(curl_easy_setopt(q->easy, CURLOPT_CURLU, parsed ? q->url : NULL));
	if (parsed)
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
	MUST(curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, link_lines(q)));
	MUST(curl_easy_setopt(q->easy, CURLOPT_TIMEOUT_MS, whole_ms));
	MUST(curl_easy_setopt(q->easy, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)timeout_ms + BACKSTOP_MS));
	reactor_timer_set(q->deadline, timeout_ms);
	TAILQ_INSERT_TAIL(&c->active, q, link);
	MUST(curl_multi_add_handle(c->multi, q->easy));
}

void client_send(struct client_request *q, const char *url, struct slice body,
    uint32_t timeout_ms, client_done_fn done, void *arg)
{
	q->done = done;
	q->data = NULL;
	q->arg = arg;
	add_line(q, SLICE("Expect"), SLICE(":"),
	    SLICE("")); /* else large bodies wait up to a second */
	MUST(curl_easy_setopt(q->easy, CURLOPT_POST, 1L));
	MUST(curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, body.ptr));
	MUST(curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len));
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

/* Says in words why no final status came. */
static const char *explain(struct client_request *q)
{
	if (q->timed_out)
		(void)snprintf(q->words, sizeof(q->words), "timeout after %u ms",
		    q->timeout_ms);
	else if (q->refused_range != NULL && q->code == CURLE_COULDNT_CONNECT)
		(void)snprintf(q->words, sizeof(q->words),
		    "address refused: %s addresses are not allowed (allow_cidr)",
		    q->refused_range);
	else if (q->head_bytes > CLIENT_HEAD_MAX)
		(void)snprintf(q->words, sizeof(q->words), "answer's headers are over %d bytes",
		    CLIENT_HEAD_MAX);
	else
		(void)snprintf(q->words, sizeof(q->words), "%s",
		    q->error[0] != '\0' ? q->error : curl_easy_strerror(q->code));
	return q->words;
}

static void recycle(struct client *c, struct client_request *q)
{
	buf_reset(&q->lines);
	q->line_count = 0;
	q->last_is_own = false;
	if (q->has_own_tls)
		set_tls(q, NULL, false);
	if (c->idle_count >= POOL_MAX) {
		free_request(q);
		return;
	}
	TAILQ_INSERT_HEAD(&c->idle, q, link);
	c->idle_count++;
}

/* A moment since the start of the request, in microseconds; 0: it never came. */
static int64_t moment(CURL *easy, CURLINFO which)
{
	curl_off_t us = 0;
	return curl_easy_getinfo(easy, which, &us) == CURLE_OK ? us : 0;
}

static int64_t between(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? to_us - from_us : 0;
}

/*
 * Fills in how long the parts of a transfer took; what did not happen stays 0. `answered`: a
 * head came.
 */
static void measure(CURL *easy, bool answered, struct client_result *r)
{
	long connections = 0; /* that were made for it; else its moments are of no work */
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections); /* knows it */
	if (connections > 0) {
		int64_t looked_up = moment(easy, CURLINFO_NAMELOOKUP_TIME_T);
		int64_t connected = moment(easy, CURLINFO_CONNECT_TIME_T);
		r->dns_us = looked_up;
		r->connect_us = between(looked_up, connected);
		if (connected > 0)
			r->tls_us = between(connected,
			    moment(easy, CURLINFO_APPCONNECT_TIME_T));
	}
	if (answered)
		r->first_byte_us = between(moment(easy, CURLINFO_PRETRANSFER_TIME_T),
		    moment(easy, CURLINFO_STARTTRANSFER_TIME_T));
}

/* The address that was asked for last, though no connection came of it. */
static void name_tried(const struct sockaddr_storage *tried, char out[ADDRESS_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	union {
		struct sockaddr_storage any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a = {.any = *tried};
	if (tried->ss_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, ADDRESS_MAX, "[%s]:%u", host, ntohs(a.in6.sin6_port));
	else if (tried->ss_family == AF_INET &&
	    inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, ADDRESS_MAX, "%s:%u", host, ntohs(a.in.sin_port));
}

/* Puts into `out` where it was connected to, or tried: "127.0.0.1:9000", "": nowhere. */
static void name_address(CURL *easy, const struct sockaddr_storage *tried,
    char out[ADDRESS_MAX])
{
	const char *host = NULL;
	long port = 0;
	out[0] = '\0';
	if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &host) != CURLE_OK || host == NULL ||
	    host[0] == '\0' ||
	    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
		name_tried(tried, out);
	else if (strchr(host, ':') != NULL)
		(void)snprintf(out, ADDRESS_MAX, "[%s]:%ld", host, port);
	else
		(void)snprintf(out, ADDRESS_MAX, "%s:%ld", host, port);
}

/* The value of the last Retry-After of the head that counts, NULL: none. */
static const char *find_retry_after(CURL *easy)
{
	struct curl_header *h = NULL;
	size_t last = 0;
	do {
		if (curl_easy_header(easy, "Retry-After", last, CURLH_HEADER, -1, &h) !=
		    CURLHE_OK)
			return NULL;
		last = h->amount - 1;
	} while (h->index != last);
	return h->value;
}

/*
 * How long the answer asks to be left alone. Not by CURLINFO_RETRY_AFTER: libcurl takes that
 * from a 1xx head too, cuts it off at six hours (8.14), and counts dates in whole seconds of
 * the system's clock. Ours is by the one that due times are by (base/clock.h): what is due at a
 * date is due at that very time, unless the system's clock is set meanwhile.
 */
static int64_t asked_wait(CURL *easy)
{
	const char *value = find_retry_after(easy);
	uint64_t seconds = 0;
	if (value == NULL)
		return 0;
	if (value[strspn(value, DIGITS)] == '\0') {
		enum err err = str_u64(slice_of(value), &seconds);
		if (err == ERR_TOOBIG || seconds > RETRY_AFTER_MAX_MS / 1000)
			return RETRY_AFTER_MAX_MS;
		return (int64_t)seconds * 1000; /* 0 where there is no digit at all */
	}
	/* curl_getdate() takes digits alone for a date too; those of HTTP begin with a day */
	if (strchr(DAY_INITIALS, value[0]) == NULL)
		return 0;
	time_t date_s = curl_getdate(value, NULL);
	int64_t wait_ms = (int64_t)date_s * 1000 - clock_wall_ms(); /* -1: not a date */
	wait_ms = wait_ms < 0 ? 0 : wait_ms;
	return wait_ms < RETRY_AFTER_MAX_MS ? wait_ms : RETRY_AFTER_MAX_MS;
}

bool client_has_ended(const struct client *c)
{
	return !TAILQ_EMPTY(&c->ended);
}

void client_reap(struct client *c)
{
	while (!TAILQ_EMPTY(&c->ended)) {
		struct client_request *q = TAILQ_FIRST(&c->ended);
		TAILQ_REMOVE(&c->ended, q, link);
		struct client_result result = {
		    .status = q->final_status,
		    .error = q->final_status != 0 ? "" : explain(q),
		    .answer = {.ptr = q->answer, .len = q->answer_len},
		    .retry_after_ms = q->final_status >= 300 ? asked_wait(q->easy) : 0,
		    .duration_us = q->ended_us - q->started_us,
		    .address = q->address,
		};
		MUST(curl_easy_getinfo(q->easy, CURLINFO_EFFECTIVE_URL, &result.url));
		name_address(q->easy, &q->tried, q->address);
		measure(q->easy, q->head_bytes > 0, &result);
		q->done(q->arg, &result);
		recycle(c, q);
	}
}
