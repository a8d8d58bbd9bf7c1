/* Three maps, each entry counted by who uses it; see tenants.h. */
#include "dispatch/tenants.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "domain/name.h"
#include "domain/url.h"

#define HOST_MAX (URL_MAX + 8) /* bytes of a host's name: "[…]:PORT" of a URL */

struct host {
	struct sched_host sched; /* first: the scheduler's pointer is ours */
	uint32_t users;
	char *name; /* "example.org:443", "127.0.0.1:9000" */
};

struct session {
	struct sched_session sched; /* first, as above */
	uint32_t users;
	char *name;
};

struct tenant {
	struct sched_tenant sched; /* first, as above */
	uint32_t users;
};

struct tenants {
	struct sched *sched;
	struct map *hosts;    /* by name */
	struct map *sessions; /* by name */
	struct map *tenants;  /* by session, a NUL and host */
};

struct tenants *tenants_new(struct sched *sched)
{
	struct tenants *t = mem_new(sizeof(*t));
	t->sched = sched;
	t->hosts = map_new();
	t->sessions = map_new();
	t->tenants = map_new();
	return t;
}

void tenants_free(struct tenants *t)
{
	if (t == NULL)
		return;
	panic_if(map_count(t->tenants) > 0, "tenants were freed while in use");
	map_free(t->tenants);
	map_free(t->hosts);
	map_free(t->sessions);
	free(t);
}

static struct host *take_host(struct tenants *t, struct slice name)
{
	struct host *h = map_get(t->hosts, name.ptr, name.len);
	if (h == NULL) {
		h = mem_new(sizeof(*h));
		sched_host_init(&h->sched);
		h->name = mem_copy(name.ptr, name.len);
		map_put(t->hosts, name.ptr, name.len, h);
	}
	h->users++;
	return h;
}

static struct session *take_session(struct tenants *t, struct slice name)
{
	struct session *s = map_get(t->sessions, name.ptr, name.len);
	if (s == NULL) {
		s = mem_new(sizeof(*s));
		sched_session_init(&s->sched);
		s->name = mem_copy(name.ptr, name.len);
		map_put(t->sessions, name.ptr, name.len, s);
	}
	s->users++;
	return s;
}

static void put_key(struct buf *key, struct slice session, struct slice host)
{
	buf_slice(key, session);
	buf_putc(key, '\0');
	buf_slice(key, host);
}

static struct sched_tenant *take(struct tenants *t, struct slice session, struct slice host)
{
	struct buf key = BUF_INIT(SESSION_MAX + 1 + HOST_MAX);
	put_key(&key, session, host);
	struct tenant *tenant = map_get(t->tenants, key.data, key.len);
	if (tenant == NULL) {
		tenant = mem_new(sizeof(*tenant));
		sched_tenant_init(&tenant->sched, &take_host(t, host)->sched,
		    &take_session(t, session)->sched);
		map_put(t->tenants, key.data, key.len, tenant);
	}
	tenant->users++;
	buf_fini(&key);
	return &tenant->sched;
}

struct sched_tenant *tenants_take(struct tenants *t, struct slice session, const char *url)
{
	struct buf host = BUF_INIT(HOST_MAX);
	url_put_host(url, &host);
	struct sched_tenant *tenant = take(t, session, buf_view(&host));
	buf_fini(&host);
	return tenant;
}

struct sched_tenant *tenants_take_at(struct tenants *t, const struct sched_tenant *of,
    const char *address)
{
	return take(t, slice_of(tenants_session(of->session)), slice_of(address));
}

static void give_host_back(struct tenants *t, struct host *h)
{
	if (--h->users > 0)
		return;
	sched_forget_host(t->sched, &h->sched);
	(void)map_del(t->hosts, h->name, strlen(h->name)); /* is `h` */
	free(h->name);
	free(h);
}

static void give_session_back(struct tenants *t, struct session *s)
{
	if (--s->users > 0)
		return;
	sched_forget_session(t->sched, &s->sched);
	(void)map_del(t->sessions, s->name, strlen(s->name)); /* is `s` */
	free(s->name);
	free(s);
}

void tenants_give_back(struct tenants *t, struct sched_tenant *sched)
{
	struct tenant *tenant = (struct tenant *)sched;
	struct host *host = (struct host *)sched->host;
	struct session *session = (struct session *)sched->session;
	if (--tenant->users > 0)
		return;
	struct buf key = BUF_INIT(SESSION_MAX + 1 + HOST_MAX);
	put_key(&key, slice_of(session->name), slice_of(host->name));
	(void)map_del(t->tenants, key.data, key.len); /* is `tenant` */
	buf_fini(&key);
	free(tenant);
	give_host_back(t, host);
	give_session_back(t, session);
}

bool tenants_is_at(const struct sched_tenant *tenant, const char *address)
{
	return strcmp(((const struct host *)tenant->host)->name, address) == 0;
}

const char *tenants_session(const struct sched_session *session)
{
	return ((const struct session *)session)->name;
}
