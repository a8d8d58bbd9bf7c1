/* Looks when certificates expire, and tells; see certificates.h. */
#include "jobs/certificates.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define SLICE_MAX 32                /* events a turn */
#define EVERY_S 3600                /* between two looks */
#define LOOKS_A_DAY 24              /* of which the first tells */
#define WARN_MS INT64_C(2592000000) /* 30 days, of what a certificate has left */
#define NOTICE_MAX 8192             /* bytes of an event */

/* An event that tells of a webhook. */
struct notice {
	struct publication event;
	struct buf body;
	uint64_t webhook;
};

struct certificates {
	struct job job; /* first */
	struct certificates_conf conf;
	struct certificates_figures figures;
	unsigned looks;
	int64_t now_ms; /* wall; of the last look */
	uint64_t *told; /* numbers of webhooks that are to be told of; owned */
	size_t count;
	size_t at; /* so many of them were */

	/* out of apply() */
	struct notice notices[SLICE_MAX];
	size_t noticed;
	size_t reached;
};

/* Counts the certificate of a webhook; notes the webhook where it has to be told of. */
static void look_at(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	struct certificates *c = arg;
	if (w->client_cert_expires_ms == 0 || w->deleted)
		return;
	int64_t left_ms = w->client_cert_expires_ms > 0 ? w->client_cert_expires_ms - c->now_ms
							: 0;
	if (left_ms > WARN_MS) {
		c->figures.valid++;
		return;
	}
	if (left_ms > 0)
		c->figures.expiring++;
	else
		c->figures.expired++;
	if (c->looks % LOOKS_A_DAY != 0)
		return;
	c->told = mem_resize(c->told, c->count + 1, sizeof(*c->told));
	c->told[c->count++] = w->number;
}

static void begin(struct job *j)
{
	struct certificates *c = (struct certificates *)j;
	if (c->at < c->count)
		return; /* still telling */
	c->count = 0;
	c->at = 0;
	c->now_ms = clock_wall_ms();
	c->figures = (struct certificates_figures){0};
	registry_each(c->conf.registry, look_at, c);
	c->looks++;
}

static bool has_more(struct job *j)
{
	const struct certificates *c = (const struct certificates *)j;
	return c->at < c->count;
}

static void write_notice(const struct webhook *w, int64_t now_ms, struct notice *n)
{
	struct json_writer json = JSON_WRITER(&n->body);
	n->body = BUF_INIT(NOTICE_MAX);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "session_id", w->session);
	json_write_cstr(&json, "event", n->event.event.name);
	json_write_i64(&json, "timestamp", now_ms / 1000);
	json_open_object(&json, "data");
	uuid_write(&json, "webhook_id", &w->id);
	json_write_cstr(&json, "url", w->url);
	json_write_time(&json, "expires_at", w->client_cert_expires_ms);
	json_close(&json);
	json_close(&json);
	json_expect_whole(&json);
}

static void make_notice(const struct certificates *c, const struct webhook *w, struct notice *n)
{
	struct publication *p = &n->event;
	n->webhook = w->number;
	(void)snprintf(p->event.session, sizeof(p->event.session), "%s", w->session);
	(void)snprintf(p->event.name, sizeof(p->event.name), "webhook.certificate_expiring");
	write_notice(w, c->now_ms, n);
	p->body = buf_view(&n->body);
	(void)publication_match(p,
	    c->conf.registry); /* one event may take any number of steps */
	publication_stamp(p, c->conf.ids, clock_wall_ms());
}

static void forget_slice(struct certificates *c)
{
	while (c->noticed > 0) {
		struct notice *n = &c->notices[--c->noticed];
		publication_fini(&n->event);
		buf_fini(&n->body);
		*n = (struct notice){0};
	}
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct certificates *c = (struct certificates *)j;
	enum err err = OK;
	forget_slice(c); /* of a transaction that was voided */
	c->reached = c->at;
	while (err == OK && c->reached < c->count && c->noticed < max) {
		const struct webhook *w = registry_get(c->conf.registry, c->told[c->reached++]);
		if (w == NULL || w->deleted)
			continue;
		struct notice *n = &c->notices[c->noticed++];
		make_notice(c, w, n);
		err = publication_write(txn, &n->event);
	}
	return err;
}

static void tell(const struct certificates *c, const struct notice *n)
{
	const struct webhook *w = registry_get(c->conf.registry, n->webhook);
	char id[UUID_TEXT_SIZE];
	char expires[STR_TIME_SIZE];
	if (w == NULL)
		return;
	uuid_format(&w->id, id);
	str_time(w->client_cert_expires_ms, expires);
	log_warn("client certificate expires soon, or has", LOG_S("session", w->session),
	    LOG_S("webhook", id), LOG_S("expires", expires));
}

static void done(struct job *j, enum err result)
{
	struct certificates *c = (struct certificates *)j;
	for (size_t i = 0; i < c->noticed; i++) {
		const struct notice *n = &c->notices[i];
		tell(c, n); /* also where the store had no room for the event */
		for (uint32_t d = 0; result == OK && d < n->event.event.deliveries; d++) {
			struct queue_place place = publication_place(&n->event, d);
			dispatch_queued(c->conf.dispatch, n->event.targets[d].webhook, &place);
		}
	}
	c->at = c->reached;
	forget_slice(c);
}

static void release(struct job *j)
{
	struct certificates *c = (struct certificates *)j;
	forget_slice(c);
	free(c->told);
}

static const struct job_kind CERTIFICATES = {.slice_max = SLICE_MAX,
    .every_s = EVERY_S,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

struct certificates *certificates_new(struct jobs *jobs, const struct certificates_conf *conf)
{
	struct certificates *c = mem_new(sizeof(*c));
	c->conf = *conf;
	jobs_add(jobs, &c->job, &CERTIFICATES);
	return c;
}

const struct certificates_figures *certificates_figures(const struct certificates *c)
{
	return &c->figures;
}
