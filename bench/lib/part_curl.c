/* curl alone: as many requests in flight as may be; see parts.h. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "parts.h"

struct run {
	const struct part *part;
	struct poster *poster;
	char *body;
	uint64_t begun;
	uint64_t done;
	uint64_t stop_us;
};

static void fill(struct run *run)
{
	while (poster_has_room(run->poster) && run->begun < run->part->count &&
	    net_now_us() < run->stop_us)
		poster_send(run->poster, run->begun++,
		    (struct slice){run->body, run->part->body}, NULL);
}

static void on_done(void *arg, void *tag)
{
	(void)tag;
	struct run *run = arg;
	run->done++;
	fill(run);
}

uint64_t part_curl(const struct part *p, double *seconds)
{
	struct run run = {.part = p, .body = malloc(p->body + 1)};
	struct event_base *base = event_base_new();
	if (base == NULL || run.body == NULL)
		net_die("curl");
	memset(run.body, 'x', p->body);
	struct poster_conf conf = {.base = base,
	    .url = p->url,
	    .mode = p->mode,
	    .in_flight = p->in_flight,
	    .done = on_done,
	    .arg = &run};
	run.poster = poster_new(&conf);
	uint64_t start_us = net_now_us();
	run.stop_us = start_us + (uint64_t)(p->seconds * 1e6);
	fill(&run);
	while (run.done < run.begun)
		(void)event_base_loop(base, EVLOOP_ONCE);
	*seconds = (double)(net_now_us() - start_us) / 1e6;
	poster_free(run.poster);
	event_base_free(base);
	free(run.body);
	return run.done;
}
