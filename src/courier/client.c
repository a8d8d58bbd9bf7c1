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
 *    is made for it. The multi's timer is libcurl's: only its callback sets it.
 */
#include "courier/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/handshake.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/client_way.h"
#include "courier/watch.h"
#include "domain/retry.h"

#define LINES_MAX (64u << 10)    /* bytes of a request's header lines */
#define URL_TEXT_MAX 8192        /* bytes of a URL that is kept parsed */
#define BACKSTOP_MS 60000L       /* curl's own time-outs, behind ours */
#define CONNECTION_AGE_MAX_S 60L /* an idle connection older than this is not used again */
#define POOL_MAX 256             /* idle request objects kept */
#define SPARE_MS 10000           /* after a socket could not be had: connections are saved… */
#define SPARE_PART 4             /* …one of so many */

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
	struct way *way;
	bool dialed;    /* curl has it, or has had it */
	bool opened;    /* a socket was, since curl was given it last */
	uint64_t taker; /* a hash; 0: of none */
	client_done_fn done;
	client_data_fn data; /* NULL: an answer is kept, as far as there is room */
	client_body_fn read; /* NULL: the body is in memory */
	size_t sent;         /* bytes of the body that were asked for */
	bool body_is_lost;   /* it could not be had while it was sent */
	void *arg;
	int64_t started_us;
	int64_t ended_us;
	struct sockaddr_storage tried; /* the last address that was asked for; family 0: none */
	const char *refused_range;     /* why the policy refused the last address tried */
	enum shortage shortage;        /* why there was no socket for it */
	size_t sockets;                /* and how many there were */
	uint64_t allocations_failed;   /* before the request */
	bool is_sparing;               /* it lets curl close what was idle for a second */
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
	struct ways *ways;
	struct request_list ended;
	struct request_list idle;
	struct request_list active;
	size_t idle_count;
	struct hash_key taker_key; /* or sessions could be named so as to share others' turns */
	size_t active_count;
	size_t sockets; /* open ones of curl's */
	size_t
	    spared; /* while descriptors are short: how many there may be; 0: as configured */
	int64_t spare_until_ms; /* monotonic */
};

/* A curl call that fails only for a mistake of ours or for want of memory. */
#define MUST(call)                                                                             \
	do {                                                                                   \
		int rc_ = (int)(call);                                                         \
		panic_if(rc_ != 0, "%s failed with %d", #call, rc_);                           \
	} while (0)

/* What of our own was lacking, where that is why no final status came. */
static enum shortage find_shortage(const struct client_request *q)
{
	if (q->final_status != 0 || q->timed_out)
		return SHORT_OF_NOTHING;
	if (q->code == CURLE_COULDNT_CONNECT)
		return q->shortage;
	if (q->code == CURLE_OUT_OF_MEMORY && shortage_allocations() > q->allocations_failed)
		return SHORT_OF_MEMORY;
	if (!q->dialed && way_status(q->way) == LOOKUP_OURS)
		return SHORT_OF_RESOLVER;
	if (q->code == CURLE_SSL_CACERT_BADFILE && shortage_is_of_descriptors())
		return SHORT_OF_DESCRIPTORS;
	return SHORT_OF_NOTHING;
}

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

static void end_request(struct client_request *q, CURLcode code)
{
	struct client *c = q->client;
	reactor_timer_clear(q->deadline);
	way_stop(q->way);
	if (q->dialed)
		MUST(curl_multi_remove_handle(c->multi, q->easy));
	q->code = code;
	q->ended_us = clock_now_us();
	q->shortage = find_shortage(q);
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
		MUST(curl_easy_setopt(q->easy, CURLOPT_MAXAGE_CONN,
		    spares ? 0L : CONNECTION_AGE_MAX_S));
	q->is_sparing = spares;
}

/* Gives the request to curl, which knows where to connect. */
static void dial(struct client_request *q)
{
	q->opened = false;
	q->sent = 0;
	q->dialed = true;
	set_age(q);
	MUST(curl_multi_add_handle(q->client->multi, q->easy));
}

/* The next address, where the one before took no connection; false: there is none. */
static bool dial_next(struct client_request *q)
{
	if (!way_next(q->way))
		return false;
	MUST(curl_multi_remove_handle(q->client->multi, q->easy));
	dial(q);
	return true;
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

/* Moves the transfers that curl has finished to the ended list. */
static void drain(struct client *c)
{
	int left = 0;
	CURLMsg *msg = curl_multi_info_read(c->multi, &left);
	while (msg != NULL) {
		struct client_request *q = NULL;
		CURLcode code = msg->data.result; /* the message dies with remove_handle */
		MUST(curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&q));
		if (code != CURLE_COULDNT_CONNECT || !dial_next(q))
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
	if (fd < 0) {
		q->shortage = shortage_of_errno(errno);
		q->sockets = q->client->sockets;
		return CURL_SOCKET_BAD;
	}
	q->opened = true;
	q->client->sockets++;
	watch_open(q->client->watches, fd);
	return fd;
}

static int on_close_socket(void *arg, curl_socket_t fd)
{
	struct client *c = arg;
	c->sockets--;
	return close(fd);
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

/* A moment since curl got the request, in microseconds; 0: it never came. */
static int64_t moment(CURL *easy, CURLINFO which)
{
	curl_off_t us = 0;
	return curl_easy_getinfo(easy, which, &us) == CURLE_OK ? us : 0;
}

static void on_deadline(void *arg)
{
	struct client_request *q = arg;
	q->timed_out = true;
	if (q->dialed && q->opened && moment(q->easy, CURLINFO_CONNECT_TIME_T) == 0)
		way_demote(q->way);
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
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls_context));
	MUST(curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, q->client));
	set_tls(q, NULL, false);
	MUST(curl_easy_setopt(e, CURLOPT_CAPATH, NULL));
	if (c->conf.ca_file != NULL)
		MUST(curl_easy_setopt(e, CURLOPT_CAINFO, c->conf.ca_file));
	MUST(curl_easy_setopt(e, CURLOPT_SHARE, c->share));
	MUST(curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_MAX_S));
	MUST(curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L)); /* it walks it each time */
	MUST(curl_easy_setopt(e, CURLOPT_USERAGENT, c->conf.user_agent));
	MUST(curl_easy_setopt(e, CURLOPT_ERRORBUFFER, q->error));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket));
	MUST(curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, q));
	MUST(curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket));
	MUST(curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, q->client)); /* outlives q */
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
	q->lines = BUF_INIT(LINES_MAX);
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
	way_free(q->way);
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
	MUST(curl_global_init_mem(CURL_GLOBAL_DEFAULT, shortage_malloc, free, shortage_realloc,
	    shortage_strdup, shortage_calloc));
	c->reactor = r;
	c->conf = *conf;
	TAILQ_INIT(&c->ended);
	TAILQ_INIT(&c->idle);
	TAILQ_INIT(&c->active);
	hash_key_draw(&c->taker_key);
	c->ways = ways_new(r, &c->conf);
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
		if (q->dialed)
			MUST(curl_multi_remove_handle(c->multi, q->easy));
	}
	free_list(&c->active);
	free_list(&c->ended);
	free_list(&c->idle);
	/* closing its connections still asks for sockets to be unwatched: let it */
	MUST(curl_multi_cleanup(c->multi));
	MUST(curl_share_cleanup(c->share));
	watches_free(c->watches);
	ways_free(c->ways);
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
	q->dialed = false;
	q->body_is_lost = false;
	q->shortage = SHORT_OF_NOTHING;
	q->allocations_failed = shortage_allocations();
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
	way_set_host(q->way, (struct slice){0});
	MUST(curl_easy_setopt(q->easy, CURLOPT_URL, url));
	/* what cannot be parsed curl refuses in its own words */
	bool parsed = curl_url_set(q->url, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK;
	MUST(curl_easy_setopt(q->easy, CURLOPT_CURLU, parsed ? q->url : NULL));
	if (!parsed)
		return;
	char *host = NULL;
	MUST(curl_url_get(q->url, CURLUPART_HOST, &host, 0));
	way_set_host(q->way, slice_of(host));
	curl_free(host);
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
	add_line(q, SLICE("Expect"), SLICE(":"),
	    SLICE("")); /* else large bodies wait up to a second */
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

/* Says in words why no final status came. */
static const char *explain(struct client_request *q)
{
	if (q->timed_out)
		(void)snprintf(q->words, sizeof(q->words), "timeout after %u ms",
		    q->timeout_ms);
	else if (q->body_is_lost)
		(void)snprintf(q->words, sizeof(q->words),
		    "the stored event could not be read while it was sent");
	else if (!q->dialed)
		way_explain(q->way, q->words, sizeof(q->words));
	else if (q->refused_range != NULL && q->code == CURLE_COULDNT_CONNECT)
		(void)snprintf(q->words, sizeof(q->words),
		    "address refused: %s addresses are not allowed (allow_cidr)",
		    q->refused_range);
	else if (q->head_bytes > CLIENT_HEAD_MAX)
		(void)snprintf(q->words, sizeof(q->words), "answer's headers are over %d bytes",
		    CLIENT_HEAD_MAX);
	else if (q->shortage != SHORT_OF_NOTHING)
		(void)snprintf(q->words, sizeof(q->words), "the gateway is short of %s",
		    SHORTAGE_NAMES[q->shortage]);
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
	q->taker = 0;
	if (q->has_own_tls)
		set_tls(q, NULL, false);
	if (c->idle_count >= POOL_MAX) {
		free_request(q);
		return;
	}
	TAILQ_INSERT_HEAD(&c->idle, q, link);
	c->idle_count++;
}

static int64_t between(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? to_us - from_us : 0;
}

/*
 * Fills in how long the parts of a request took; what did not happen stays 0. Of one that curl
 * was not given it would say what it knows of the one before.
 */
static void measure(const struct client_request *q, struct client_result *r)
{
	CURL *easy = q->easy;
	r->dns_us = way_lookup_us(q->way);
	if (!q->dialed)
		return;
	long connections = 0; /* that were made for it; else its moments are of no work */
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections); /* knows it */
	if (connections > 0) {
		int64_t looked_up = moment(easy, CURLINFO_NAMELOOKUP_TIME_T);
		int64_t connected = moment(easy, CURLINFO_CONNECT_TIME_T);
		r->connect_us = between(looked_up, connected);
		if (connected > 0)
			r->tls_us = between(connected,
			    moment(easy, CURLINFO_APPCONNECT_TIME_T));
	}
	if (q->head_bytes > 0)
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
static void name_address(const struct client_request *q, char out[ADDRESS_MAX])
{
	CURL *easy = q->easy;
	const char *host = NULL;
	long port = 0;
	out[0] = '\0';
	if (!q->dialed)
		return;
	if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &host) != CURLE_OK || host == NULL ||
	    host[0] == '\0' ||
	    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
		name_tried(&q->tried, out);
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
		    .shortage = q->shortage,
		    .answer = {.ptr = q->answer, .len = q->answer_len},
		    .retry_after_ms = q->final_status >= 300 ? asked_wait(q->easy) : 0,
		    .lookup = way_status(q->way),
		    .duration_us = q->ended_us - q->started_us,
		    .address = q->address,
		    .url = buf_cstr(&q->parsed_url),
		};
		if (q->dialed)
			MUST(curl_easy_getinfo(q->easy, CURLINFO_EFFECTIVE_URL, &result.url));
		name_address(q, q->address);
		measure(q, &result);
		q->done(q->arg, &result);
		recycle(c, q);
	}
}
