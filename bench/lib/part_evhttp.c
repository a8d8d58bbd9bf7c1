/* evhttp as it comes, without our gate: a 202 to each POST; see parts.h. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>

#include "net.h"
#include "parts.h"

static void on_request(struct evhttp_request *request, void *arg)
{
	(void)arg;
	(void)evbuffer_add(evhttp_request_get_output_buffer(request), "{}", 2);
	evhttp_send_reply(request, 202, "Accepted", NULL);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)event_base_loopbreak(arg);
}

void part_evhttp(const struct part *p)
{
	(void)p;
	uint16_t port = 0;
	int listener = net_listen(&port);
	struct event_base *base = event_base_new();
	struct evhttp *http = base == NULL ? NULL : evhttp_new(base);
	struct event *term = base == NULL ? NULL : evsignal_new(base, SIGTERM, on_signal, base);
	if (http == NULL || term == NULL || event_add(term, NULL) != 0 ||
	    evhttp_accept_socket(http, listener) != 0)
		net_die("evhttp");
	evhttp_set_gencb(http, on_request, NULL);
	(void)printf("evhttp ready on http://127.0.0.1:%u\n", (unsigned)port);
	(void)fflush(stdout);
	(void)event_base_dispatch(base);
	event_free(term);
	evhttp_free(http);
	event_base_free(base);
}
