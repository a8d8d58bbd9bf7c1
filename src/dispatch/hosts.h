/*
 * The receiving hosts of webhooks with work: one scheduler's host for each scheme, name and
 * port.
 */
#ifndef DISPATCH_HOSTS_H
#define DISPATCH_HOSTS_H

#include "base/slice.h"
#include "sched/sched.h"

struct hosts;

struct hosts *hosts_new(void);

/* Frees it; no host may be taken. NULL is fine. */
void hosts_free(struct hosts *h);

/* Takes the host of a webhook's URL, made when it is the first; give it back. */
struct sched_host *hosts_take(struct hosts *h, const char *url);
void hosts_give_back(struct hosts *h, struct sched_host *host);

#endif
