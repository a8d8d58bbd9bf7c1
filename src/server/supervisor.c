/*
 * The manager of the process; see supervisor.h. A message is one datagram. One that does not
 * get through is not worth a word: a manager that misses it acts by itself.
 */
#include "server/supervisor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/listen_address.h"

#define TLS_NAME "tls" /* how the names of sockets for HTTPS begin */
#define US_PER_MS 1000
#define PINGS 4 /* within the limit: a late turn or two do no harm */

static bool is_listening(int fd)
{
	return sd_is_socket(fd, AF_INET, SOCK_STREAM, 1) > 0 ||
	    sd_is_socket(fd, AF_INET6, SOCK_STREAM, 1) > 0 ||
	    sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
}

static enum err take_socket(struct supervisor *v, int fd, const char *name, struct problem *p)
{
	bool is_tls = strncmp(name, TLS_NAME, strlen(TLS_NAME)) == 0;
	char *where = is_listening(fd) ? listen_address_name(fd, is_tls) : NULL;
	if (where == NULL)
		return problem_set(p, ERR_INVALID, "listen",
		    "listen: descriptor %d that was passed (%.100s) must be a listening stream "
		    "socket of IPv4, IPv6 or, without TLS, unix",
		    fd, name);
	v->sockets.items[v->sockets.count++] = where;
	return OK;
}

static enum err take_sockets(struct supervisor *v, struct problem *p)
{
	char **names = NULL;
	enum err err = OK;
	int count = sd_listen_fds_with_names(1, &names);
	if (count < 0)
		return problem_set(p, ERR_INVALID, "listen",
		    "listen: LISTEN_FDS and LISTEN_FDNAMES cannot be read: %s",
		    strerror(-count));
	if (count == 0)
		return OK;
	v->sockets.items = mem_array((size_t)count, sizeof(*v->sockets.items));
	for (int i = 0; i < count && err == OK; i++)
		err = take_socket(v, v->first + i, names[i], p);
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return err;
}

enum err supervisor_init(struct supervisor *v, struct problem *p)
{
	uint64_t limit_us = 0;
	*v = (struct supervisor){.first = SD_LISTEN_FDS_START};
	if (sd_watchdog_enabled(0, &limit_us) > 0)
		v->ping_ms = (int64_t)(limit_us / US_PER_MS / PINGS) + 1;
	return take_sockets(v, p);
}

void supervisor_fini(struct supervisor *v)
{
	for (size_t i = 0; i < v->sockets.count; i++)
		free(v->sockets.items[i]);
	free(v->sockets.items);
	v->sockets = (struct config_list){0};
}

void supervisor_ready(void)
{
	(void)sd_notify(0, "READY=1\nSTATUS=serving");
}

void supervisor_reloading(void)
{
	/* the time is for Type=notify-reload, which systemd has from version 253 on */
	(void)sd_notifyf(0, "RELOADING=1\nSTATUS=reloading\nMONOTONIC_USEC=%" PRId64,
	    clock_now_us());
}

void supervisor_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=stopping, waits for what is under way");
}

void supervisor_alive(struct supervisor *v)
{
	if (v->ping_ms == 0 || clock_mono_ms() < v->next_ping_ms)
		return;
	v->next_ping_ms = clock_mono_ms() + v->ping_ms;
	(void)sd_notify(0, "WATCHDOG=1");
}
