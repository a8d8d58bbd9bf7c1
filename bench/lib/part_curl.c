/*
 * curl's multi interface, driven by its socket callbacks over epoll, posting to
 * a receiver in a child; see parts.h. All options are set anew for each transfer,
 * as every delivery has its own.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "parts.h"
#include "receiver.h"

#define EVENTS_MAX 256
#define SIGNATURE                                                                              \
	"X-Webhook-Signature: "                                                                \
	"sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct transfer {
	CURL *easy;
	struct curl_slist *headers;
};

struct courier {
	CURLM *multi;
	int epoll;
	bool has_timer;
	uint64_t timer_us; /* when curl wants to be called */
	char url[64];
	char body[PARTS_DELIVERY_BYTES];
	struct transfer transfers[PARTS_CONNECTIONS];
	uint64_t begun;
	uint64_t done;
	uint64_t stop_us; /* no transfer is begun after it */
	int running;
};

/* `known`: not NULL for a descriptor that epoll has. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	(void)easy;
	struct courier *c = arg;
	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL); /* may be closed already */
		return 0;
	}
	struct epoll_event event = {.data.fd = fd};
	event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) |
	    ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
	int op = known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	if (epoll_ctl(c->epoll, op, fd, &event) != 0)
		net_die("epoll_ctl");
	return curl_multi_assign(c->multi, fd, c) == CURLM_OK ? 0 : -1;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	struct courier *c = arg;
	c->has_timer = ms >= 0;
	c->timer_us = net_now_us() + (ms > 0 ? (uint64_t)ms * 1000 : 0);
	return 0;
}

static size_t on_answer(char *bytes, size_t size, size_t n, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * n;
}

/* Makes what a signed delivery has. */
static struct curl_slist *make_headers(uint64_t n)
{
	static const char *const FIXED[] = {"Content-Type: application/json",
	    "Expect:", "User-Agent: waybill/bench", "X-Webhook-Event: message",
	    "X-Webhook-Session: s", "X-Webhook-Attempt: 1", "X-Webhook-Timestamp: 1767143203",
	    SIGNATURE};
	char id[64];
	(void)snprintf(id, sizeof(id), "X-Webhook-Id: %036llu", (unsigned long long)n);
	struct curl_slist *list = curl_slist_append(NULL, id);
	for (size_t i = 0; list != NULL && i < sizeof(FIXED) / sizeof(FIXED[0]); i++)
		list = curl_slist_append(list, FIXED[i]);
	if (list == NULL)
		net_die("headers");
	return list;
}

static void begin(struct courier *c, struct transfer *t)
{
	curl_slist_free_all(t->headers);
	t->headers = make_headers(c->begun++);
	curl_easy_reset(t->easy);
	(void)curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_URL, c->url);
	(void)curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, c->body);
	(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)sizeof(c->body));
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, 5000L);
	if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
		net_die("curl_multi_add_handle");
	c->running++;
}

/* Takes in what has finished; a handle that is free begins the next transfer. */
static void reap(struct courier *c)
{
	int left = 0;
	for (;;) {
		const CURLMsg *msg = curl_multi_info_read(c->multi, &left);
		if (msg == NULL)
			return;
		if (msg->data.result != CURLE_OK)
			net_die(curl_easy_strerror(msg->data.result));
		struct transfer *t = NULL;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		(void)curl_multi_remove_handle(c->multi, t->easy);
		c->done++;
		c->running--;
		if (net_now_us() < c->stop_us)
			begin(c, t);
	}
}

static void act(struct courier *c, const struct epoll_event *event)
{
	int running = 0;
	int mask = ((event->events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
	    ((event->events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
	    ((event->events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
	(void)curl_multi_socket_action(c->multi, event->data.fd, mask, &running);
	reap(c);
}

static void act_on_timer(struct courier *c)
{
	int running = 0;
	if (!c->has_timer || net_now_us() < c->timer_us)
		return;
	c->has_timer = false;
	(void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

static void drive(struct courier *c)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now = net_now_us();
	int wait_ms = -1;
	if (c->has_timer)
		wait_ms = c->timer_us <= now ? 0 : (int)((c->timer_us - now + 999) / 1000);
	int n = epoll_wait(c->epoll, events, EVENTS_MAX, wait_ms);
	for (int i = 0; i < n; i++)
		act(c, &events[i]);
	act_on_timer(c);
}

static void open_courier(struct courier *c, uint16_t port)
{
	c->multi = curl_multi_init();
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->multi == NULL || c->epoll < 0)
		net_die("curl");
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)PARTS_CONNECTIONS);
	memset(c->body, 'x', sizeof(c->body));
	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u/hook", (unsigned)port);
	for (size_t i = 0; i < PARTS_CONNECTIONS; i++) {
		c->transfers[i].easy = curl_easy_init();
		if (c->transfers[i].easy == NULL)
			net_die("curl_easy_init");
	}
}

static void close_courier(struct courier *c)
{
	for (size_t i = 0; i < PARTS_CONNECTIONS; i++) {
		curl_easy_cleanup(c->transfers[i].easy);
		curl_slist_free_all(c->transfers[i].headers);
	}
	(void)curl_multi_cleanup(c->multi);
	(void)close(c->epoll);
}

/* Receives until SIGTERM: the child's whole life. */
static _Noreturn void receive(int listener)
{
	static struct receiver_route all = {.path = "/", .status = 200};
	struct receiver conf = {&listener, 1, &all, 1};
	receiver_run(&conf);
	_exit(0);
}

double parts_curl(double seconds)
{
	uint16_t port = 0;
	int listener = net_listen(&port);
	pid_t child = net_fork();
	if (child == 0)
		receive(listener);
	(void)close(listener);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		net_die("curl_global_init");
	static struct courier c;
	open_courier(&c, port);
	uint64_t start_us = net_now_us();
	c.stop_us = start_us + (uint64_t)(seconds * 1e6);
	for (size_t i = 0; i < PARTS_CONNECTIONS; i++)
		begin(&c, &c.transfers[i]);
	while (c.running > 0)
		drive(&c);
	double rate = (double)c.done * 1e6 / (double)(net_now_us() - start_us);
	close_courier(&c);
	curl_global_cleanup();
	(void)kill(child, SIGTERM);
	(void)waitpid(child, NULL, 0);
	return rate;
}
