/* curl's socket and timer callbacks over libevent; see poster.h. */
#include "poster.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "domain/sign.h"
#include "net.h"

#define LINE_MAX_BYTES 160
#define TIMEOUT_MS 30000L

/* The headers that differ from one request to the next, and those that do not. */
enum {
	LINE_ID,
	LINE_DELIVERY,
	LINE_TIMESTAMP,
	LINE_SIGNATURE,
	LINE_STANDARD_ID,
	LINE_STANDARD_TIMESTAMP,
	LINE_STANDARD_SIGNATURE,
	LINE_COUNT
};
static const char *const FIXED[] = {"Content-Type: application/json",
    "Expect:", "User-Agent: waybill/bench", "X-Webhook-Event: message",
    "X-Webhook-Session: bench0", "X-Webhook-Attempt: 1"};
#define FIXED_COUNT (sizeof(FIXED) / sizeof(FIXED[0]))

struct transfer {
	struct poster *poster;
	struct transfer *next; /* that is free, too */
	CURL *easy;
	void *tag;
	char lines[LINE_COUNT][LINE_MAX_BYTES];
	struct curl_slist kept[LINE_COUNT + FIXED_COUNT]; /* POSTER_REUSED */
	struct curl_slist *made;                          /* POSTER_ANEW */
};

struct poster {
	const struct poster_conf *conf;
	CURLM *multi;
	struct event *timer;
	struct transfer *transfers;
	struct transfer *free;
};

static size_t on_answer(char *bytes, size_t size, size_t n, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * n;
}

/* Takes in what has finished. */
static void reap(struct poster *p)
{
	int left = 0;
	for (;;) {
		const CURLMsg *msg = curl_multi_info_read(p->multi, &left);
		if (msg == NULL)
			return;
		if (msg->data.result != CURLE_OK)
			net_die(curl_easy_strerror(msg->data.result));
		struct transfer *t = NULL;
		long status = 0;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		if (status / 100 != 2)
			net_die("a delivery was refused");
		(void)curl_multi_remove_handle(p->multi, t->easy);
		t->next = p->free;
		p->free = t;
		p->conf->done(p->conf->arg, t->tag);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct poster *p = arg;
	int running = 0;
	int mask = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
	    ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	(void)curl_multi_socket_action(p->multi, fd, mask, &running);
	reap(p);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct poster *p = arg;
	int running = 0;
	(void)curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(p);
}

/* `known`: the event of a socket that curl has told of before. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	(void)easy;
	struct poster *p = arg;
	struct event *event = known;
	if (event != NULL)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		int wanted = ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
		    ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0) | EV_PERSIST;
		event = event_new(p->conf->base, fd, (short)wanted, on_ready, p);
		if (event == NULL || event_add(event, NULL) != 0)
			net_die("event_add");
	}
	(void)curl_multi_assign(p->multi, fd, event);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	struct poster *p = arg;
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	int rc = ms < 0 ? event_del(p->timer) : event_add(p->timer, &wait);
	return rc;
}

static void write_signatures(struct transfer *t, const char *id, int64_t now_s,
    struct slice body)
{
	char hex[SIGN_HEX_SIZE] =
	    "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char standard[SIGN_STANDARD_SIZE] = "v1,MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
	struct sign_key *secret = t->poster->conf->secret;
	if (secret != NULL) {
		sign_body(secret, body, hex);
		sign_standard(secret, slice_of(id), now_s, body, standard);
	}
	(void)snprintf(t->lines[LINE_SIGNATURE], LINE_MAX_BYTES, "X-Webhook-Signature: %s",
	    hex);
	(void)snprintf(t->lines[LINE_STANDARD_SIGNATURE], LINE_MAX_BYTES,
	    "webhook-signature: %s", standard);
}

static void write_lines(struct transfer *t, uint64_t id, struct slice body)
{
	char text[40];
	long long now_s = (long long)time(NULL);
	(void)snprintf(text, sizeof(text), "00000000-0000-7000-8000-%012llx",
	    (unsigned long long)id & 0xffffffffffffULL);
	(void)snprintf(t->lines[LINE_ID], LINE_MAX_BYTES, "X-Webhook-Id: %s", text);
	(void)snprintf(t->lines[LINE_DELIVERY], LINE_MAX_BYTES, "X-Webhook-Delivery: %s", text);
	(void)snprintf(t->lines[LINE_TIMESTAMP], LINE_MAX_BYTES, "X-Webhook-Timestamp: %lld",
	    now_s);
	(void)snprintf(t->lines[LINE_STANDARD_ID], LINE_MAX_BYTES, "webhook-id: %s", text);
	(void)snprintf(t->lines[LINE_STANDARD_TIMESTAMP], LINE_MAX_BYTES,
	    "webhook-timestamp: %lld", now_s);
	write_signatures(t, text, now_s, body);
}

/* Sets what stays the same, where the handle is not reset for each request. */
static void set_fixed(struct transfer *t)
{
	(void)curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_URL, t->poster->conf->url);
	(void)curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
}

/* Joins the lines in the transfer's own list: they stay where they are. */
static void link_lines(struct transfer *t)
{
	for (size_t i = 0; i < LINE_COUNT + FIXED_COUNT; i++) {
		bool is_fixed = i >= LINE_COUNT;
		union {
			const char *borrowed;
			char *data; /* curl reads it only */
		} line = {.borrowed = is_fixed ? FIXED[i - LINE_COUNT] : t->lines[i]};
		t->kept[i].data = line.data;
		t->kept[i].next = i + 1 < LINE_COUNT + FIXED_COUNT ? &t->kept[i + 1] : NULL;
	}
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->kept);
}

/* Makes a list of copies, as curl's own function for it does. */
static void make_list(struct transfer *t)
{
	curl_slist_free_all(t->made);
	t->made = NULL;
	for (size_t i = 0; i < LINE_COUNT + FIXED_COUNT; i++) {
		t->made = curl_slist_append(t->made,
		    i < LINE_COUNT ? t->lines[i] : FIXED[i - LINE_COUNT]);
	}
	if (t->made == NULL)
		net_die("headers");
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->made);
}

struct poster *poster_new(const struct poster_conf *conf)
{
	struct poster *p = calloc(1, sizeof(*p));
	if (p == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		net_die("curl");
	p->conf = conf;
	p->multi = curl_multi_init();
	p->timer = event_new(conf->base, -1, 0, on_due, p);
	p->transfers = calloc(conf->in_flight, sizeof(*p->transfers));
	if (p->multi == NULL || p->timer == NULL || p->transfers == NULL)
		net_die("curl");
	(void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	(void)curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	(void)curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)conf->in_flight);
	for (size_t i = 0; i < conf->in_flight; i++) {
		struct transfer *t = &p->transfers[i];
		t->poster = p;
		t->easy = curl_easy_init();
		if (t->easy == NULL)
			net_die("curl_easy_init");
		set_fixed(t);
		link_lines(t);
		t->next = p->free;
		p->free = t;
	}
	return p;
}

void poster_free(struct poster *p)
{
	for (size_t i = 0; i < p->conf->in_flight; i++) {
		curl_easy_cleanup(p->transfers[i].easy);
		curl_slist_free_all(p->transfers[i].made);
	}
	(void)curl_multi_cleanup(p->multi);
	event_free(p->timer);
	free(p->transfers);
	free(p);
	curl_global_cleanup();
}

bool poster_has_room(const struct poster *p)
{
	return p->free != NULL;
}

void poster_send(struct poster *p, uint64_t id, struct slice body, void *tag)
{
	struct transfer *t = p->free;
	p->free = t->next;
	t->tag = tag;
	write_lines(t, id, body);
	if (p->conf->mode == POSTER_ANEW) {
		curl_easy_reset(t->easy);
		set_fixed(t);
		make_list(t);
	}
	(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body.ptr);
	(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	if (curl_multi_add_handle(p->multi, t->easy) != CURLM_OK)
		net_die("curl_multi_add_handle");
}
