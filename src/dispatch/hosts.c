/* Hosts by the part of the URL before the path, counted by who uses them; see hosts.h. */
#include "dispatch/hosts.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

struct host {
	struct sched_host sched; /* first: the scheduler's pointer is ours */
	uint32_t users;
	size_t len;
	char origin[];
};

struct hosts {
	struct map *by_origin;
};

struct hosts *hosts_new(void)
{
	struct hosts *h = mem_new(sizeof(*h));
	h->by_origin = map_new();
	return h;
}

void hosts_free(struct hosts *h)
{
	if (h == NULL)
		return;
	panic_if(map_count(h->by_origin) > 0, "hosts were freed while in use");
	map_free(h->by_origin);
	free(h);
}

/* "https://Example.org:8443" of a URL that url_check() let through. */
static struct slice origin_of(const char *url)
{
	const char *authority = strstr(url, "://");
	size_t scheme = authority == NULL ? 0 : (size_t)(authority - url) + 3;
	return (struct slice){url, scheme + strcspn(url + scheme, "/?#")};
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

struct sched_host *hosts_take(struct hosts *h, const char *url)
{
	struct slice origin = origin_of(url);
	struct host *host = mem_new(sizeof(*host) + origin.len);
	for (size_t i = 0; i < origin.len; i++)
		host->origin[i] = lower(origin.ptr[i]);
	host->len = origin.len;
	struct host *known = map_get(h->by_origin, host->origin, host->len);
	if (known != NULL) {
		free(host);
		known->users++;
		return &known->sched;
	}
	sched_host_init(&host->sched);
	host->users = 1;
	map_put(h->by_origin, host->origin, host->len, host);
	return &host->sched;
}

void hosts_give_back(struct hosts *h, struct sched_host *sched)
{
	struct host *host = (struct host *)sched;
	if (--host->users > 0)
		return;
	(void)map_del(h->by_origin, host->origin, host->len); /* is `host` */
	free(host);
}
