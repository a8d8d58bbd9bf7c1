/* evhttp as it comes, without our gate: a 202 to each POST; see parts.h. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "parts.h"
#include "publisher.h"

static size_t make_post(void *arg, uint64_t n, uint64_t due_us, char *out)
{
	(void)arg;
	(void)n;
	(void)due_us;
	int head = snprintf(out, PUBLISHER_REQUEST_MAX,
	    "POST /api/v1/sessions/s/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
	    PARTS_PUBLISH_BYTES);
	memset(out + head, 'x', PARTS_PUBLISH_BYTES);
	return (size_t)head + PARTS_PUBLISH_BYTES;
}

/* Publishes to `port` and writes the rate to `out`: the child's whole life. */
static _Noreturn void publish(uint16_t port, double seconds, int out)
{
	struct publisher p = {.port = port,
	    .connections = PARTS_CONNECTIONS,
	    .seconds = seconds,
	    .requests_max = UINT64_MAX,
	    .make = make_post};
	static struct publisher_result r;
	publisher_run(&p, &r);
	double rate = (double)r.accepted * 1e6 / (double)(r.last_us - r.first_us);
	bool is_good = r.accepted > 0 && r.refused == 0 && r.unanswered == 0;
	_exit(is_good && write(out, &rate, sizeof(rate)) == (ssize_t)sizeof(rate) ? 0 : 1);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	(void)arg;
	(void)evbuffer_add(evhttp_request_get_output_buffer(request), "{}", 2);
	evhttp_send_reply(request, 202, "Accepted", NULL);
}

static void on_rate(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	double *rate = arg;
	if (read(fd, rate, sizeof(*rate)) != (ssize_t)sizeof(*rate))
		net_die("the publisher failed");
}

static void serve_until_rate(struct event_base *base, int listener, int result, double *rate)
{
	struct evhttp *http = evhttp_new(base);
	struct event *done = event_new(base, result, EV_READ, on_rate, rate);
	if (http == NULL || done == NULL || event_add(done, NULL) != 0 ||
	    evhttp_accept_socket(http, listener) != 0)
		net_die("evhttp");
	evhttp_set_gencb(http, on_request, NULL);
	while (*rate < 0)
		(void)event_base_loop(base, EVLOOP_ONCE);
	event_free(done);
	evhttp_free(http);
}

double parts_evhttp(double seconds)
{
	uint16_t port = 0;
	int listener = net_listen(&port);
	int result[2];
	if (pipe(result) != 0)
		net_die("pipe");
	pid_t child = net_fork();
	if (child == 0)
		publish(port, seconds, result[1]);
	(void)close(result[1]); /* so that a child that dies is an end of file */
	struct event_base *base = event_base_new();
	if (base == NULL)
		net_die("event_base_new");
	double rate = -1;
	serve_until_rate(base, listener, result[0], &rate);
	event_base_free(base);
	(void)close(result[0]);
	(void)waitpid(child, NULL, 0);
	return rate;
}
