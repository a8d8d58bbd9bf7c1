/* A member of a cluster; see member.h. */
#include "server/member.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cluster_view.h"
#include "api/standby_api.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cluster/active.h"
#include "cluster/join.h"
#include "cluster/roster.h"
#include "cluster/standby.h"
#include "server/engine.h"
#include "server/listen_settings.h"
#include "server/secrets.h"
#include "store/schema.h"

#define HEARTBEAT_MS 500 /* of silence before the active says that it is there */
#define HOLD_MS 2000     /* without an answer before it starts no attempts */
#define REFUSE_MS 5000   /* …before it takes nothing that writes */
#define MEMBERS_MS 2000  /* between questions how far all are, while a store is copied */
#define TELL_MS 1000     /* between what it tells of itself while it joins */
#define LEAVE_MS 5000    /* for the journal to take the handover */
#define LOOK_AGAIN_MS 2000
#define TICK_MS 200 /* the longest wait of its passes: the supervisor waits for signs */

struct member {
	struct server *server;
	struct membership membership;
	struct client *client; /* its look-ups, and the copy of a store */
	struct journal *journal;
	struct standby_api *api;
	struct standby *standby;
	struct active *active;
	struct join *join;
	struct engine *engine;
	struct reactor_timer *tick;
	struct reactor_signal *signals[3];

	bool looked; /* engine has said what it found */
	enum err engine_result;
	struct problem problem;
	int64_t look_again_ms; /* monotonic */

	struct standby_figures last; /* of the standby that was freed */
	struct journal_end end;      /* as last asked, before the first standby */
	bool asks_members;
	int64_t members_ms; /* monotonic; when they were asked */
	int64_t told_ms;    /* monotonic; when it told of itself, joining */
	struct journal_member *members;
	size_t member_count;
	uint64_t members_told; /* of the standby, up to which they were copied */

	bool saw_other;     /* own the shard, since the process began */
	uint64_t own_epoch; /* the first one of this member's that was read; 0: none */
	uint64_t takeovers;
	bool stops;       /* a signal has come */
	bool reloads;     /* SIGHUP has */
	bool stays;       /* handed over by the API */
	bool handed_over; /* the journal has it, or another owns the shard */
};

/* What is known of the owner, as the standby, or the last one, has read it. */
static const struct standby_figures *figures_of(struct member *m)
{
	if (m->standby != NULL)
		m->last = *standby_figures(m->standby);
	return &m->last;
}

static const char *why_of(const struct member *m, const struct standby_figures *f)
{
	const char *why = NULL;
	if (m->journal != NULL && !m->journal->is_up(m->journal, &why))
		return why;
	if (m->join != NULL)
		return join_why(m->join);
	if (m->problem.message[0] != '\0')
		return m->problem.message;
	return f->why[0] == '\0' ? NULL : f->why;
}

static void view_standby(void *arg, struct cluster_view *out)
{
	struct member *m = arg;
	const struct config *c = &m->server->config;
	const struct standby_figures *f = figures_of(m);
	const char *ignored;
	bool is_own = strcmp(f->owner, c->member) == 0; /* in an epoch that is over */
	uint64_t known_last = f->seq + f->lag;
	*out = (struct cluster_view){.role = m->join != NULL ? "joining" : "standby",
	    .shard = c->shard,
	    .member = c->member,
	    .url = c->cluster_url,
	    .epoch = f->owner_epoch,
	    .active = is_own || f->was_handed_over ? NULL : f->owner,
	    .active_url = is_own || f->was_handed_over ? NULL : f->owner_url,
	    .seq = f->seq,
	    .synced = f->position.seq,
	    .lag = f->lag,
	    .knows_lag = m->join == NULL && f->knows_end,
	    .why = why_of(m, f),
	    .journal_is_up = m->journal != NULL && m->journal->is_up(m->journal, &ignored),
	    .members = m->members,
	    .member_count = m->member_count,
	    .fenced = f->fenced,
	    .takeovers = m->takeovers};
	out->end.last = known_last;
}

static void view_active(void *arg, struct cluster_view *out)
{
	struct member *m = ((struct server *)arg)->member;
	const struct config *c = &m->server->config;
	const struct active_figures *f = active_figures(m->active);
	const char *why;
	bool is_up = m->journal->is_up(m->journal, &why);
	*out = (struct cluster_view){.role = "active",
	    .shard = c->shard,
	    .member = c->member,
	    .url = c->cluster_url,
	    .epoch = f->epoch,
	    .active = c->member,
	    .active_url = c->cluster_url,
	    .seq = f->seq,
	    .synced = f->synced,
	    .knows_lag = true,
	    .takes = active_may_take(m->active),
	    .journal_is_up = is_up,
	    .end = f->end,
	    .members = f->members,
	    .member_count = f->member_count,
	    .append = &f->append,
	    .appends = f->appends,
	    .append_bytes = f->bytes,
	    .fenced = m->last.fenced + (active_is_fenced(m->active) ? 1 : 0),
	    .takeovers = m->takeovers};
	out->end.last = f->end.last > f->seq ? f->end.last : f->seq;
	if (!out->takes)
		out->why = is_up ? active_why(m->active) : why;
}

static void on_hand_over(void *arg)
{
	struct server *s = arg;
	s->member->stays = true;
	loop_stop(s->loop);
}

struct api_cluster member_api(struct server *s)
{
	if (s->member == NULL)
		return (struct api_cluster){0};
	return (struct api_cluster){.view = view_active, .hand_over = on_hand_over, .arg = s};
}

static struct standby_api_conf api_conf_of(struct server *s)
{
	return (struct standby_api_conf){.reactor = s->reactor,
	    .auth = s->auth,
	    .peers = s->peers,
	    .proxies = &s->proxies,
	    .origins = server_origins(s),
	    .metrics_apart = s->config.metrics_listen != NULL,
	    .view = view_standby,
	    .arg = s->member};
}

void member_configure(struct server *s)
{
	if (s->member == NULL || s->member->api == NULL)
		return;
	struct standby_api_conf conf = api_conf_of(s);
	standby_api_configure(s->member->api, &conf);
}

static void on_tick(void *arg)
{
	reactor_timer_set(((struct member *)arg)->tick, TICK_MS);
}

static void on_stop(void *arg)
{
	((struct member *)arg)->stops = true;
}

static void on_hangup(void *arg)
{
	((struct member *)arg)->reloads = true;
}

static void watch_signals(struct member *m)
{
	struct reactor *r = m->server->reactor;
	m->signals[0] = reactor_signal_new(r, SIGTERM, on_stop, m);
	m->signals[1] = reactor_signal_new(r, SIGINT, on_stop, m);
	m->signals[2] = reactor_signal_new(r, SIGHUP, on_hangup, m);
}

static void forget_signals(struct member *m)
{
	for (size_t i = 0; i < sizeof(m->signals) / sizeof(m->signals[0]); i++) {
		if (m->signals[i] != NULL)
			reactor_signal_free(m->signals[i]);
		m->signals[i] = NULL;
	}
}

/* One pass of what is no turn yet. */
static void pass(struct member *m)
{
	clock_expire();
	reactor_pass(m->server->reactor, false);
	client_reap(m->client);
	if (m->engine != NULL)
		engine_reap(m->engine);
	if (m->reloads) {
		supervisor_reloading();
		server_reload(m->server);
		supervisor_ready();
	}
	m->reloads = false;
	supervisor_alive(&m->server->supervisor);
}

static void on_members(void *arg, enum err result, const struct journal_member *list,
    size_t count)
{
	struct member *m = arg;
	m->asks_members = false;
	if (result != OK)
		return;
	m->members = mem_resize(m->members, count + 1, sizeof(*m->members));
	if (count > 0)
		memcpy(m->members, list, count * sizeof(*list));
	m->member_count = count;
}

/* Of the standby, which asks: a journal is asked one such question at a time. */
static void copy_members(struct member *m)
{
	const struct standby_figures *f = figures_of(m);
	if (f->members_told == m->members_told)
		return;
	m->members_told = f->members_told;
	on_members(m, OK, f->members, f->member_count);
}

/* While there is no standby. */
static void ask_members(struct member *m)
{
	if (m->asks_members || clock_mono_ms() - m->members_ms < MEMBERS_MS)
		return;
	m->asks_members = true;
	m->members_ms = clock_mono_ms();
	m->journal->members(m->journal, on_members, m);
}

static void on_looked(void *arg, enum err result, const struct problem *p)
{
	struct member *m = arg;
	m->looked = true;
	m->engine_result = result;
	m->problem = *p;
}

static void begin_look(struct member *m)
{
	const struct engine_conf conf = {.reactor = m->server->reactor,
	    .config = &m->server->config,
	    .membership = &m->membership};
	m->looked = false;
	m->engine = engine_look(&conf, on_looked, m);
}

/* Looks at the engine until it could say something. */
static enum err look(struct member *m, struct problem *p)
{
	begin_look(m);
	while (!m->stops) {
		pass(m);
		if (!m->looked || clock_mono_ms() < m->look_again_ms)
			continue;
		if (m->engine != NULL) {
			engine_free(m->engine);
			m->engine = NULL;
			if (m->engine_result != ERR_BUSY)
				break;
			log_warn("the cluster's engine cannot be asked",
			    LOG_S("error", m->problem.message));
			m->look_again_ms = clock_mono_ms() + LOOK_AGAIN_MS;
			continue;
		}
		begin_look(m);
	}
	if (m->looked && m->engine_result != OK && m->engine_result != ERR_BUSY) {
		*p = m->problem;
		return m->engine_result;
	}
	m->problem.message[0] = '\0';
	return OK;
}

static void begin_journal(struct member *m)
{
	if (m->journal != NULL)
		m->journal->free(m->journal);
	m->asks_members = false;
	const struct js_journal_conf conf = engine_journal_conf(m->server->reactor,
	    client_lookup(m->client), &m->server->config, &m->membership);
	m->journal = js_journal_new(&conf);
}

/* The standby is gone, and what it has asked with it. */
static void end_standby(struct member *m)
{
	(void)figures_of(m);
	standby_free(m->standby);
	m->standby = NULL;
	m->last.members = NULL;
	m->last.member_count = 0;
	m->members_told = 0;
}

/* Whether the store is of a schema before this program's: a start brings it to that. */
static bool is_older(struct db *db)
{
	struct db_txn *txn = NULL;
	uint32_t version = SCHEMA_VERSION;
	if (db_read(db, &txn) != OK)
		return false;
	enum err err = schema_version(txn, &version);
	db_read_end(txn);
	return err == OK && version < SCHEMA_VERSION;
}

/*
 * Whether a start could load what the store has: who cannot would own and not start. It may
 * lack the keys, or be older than who wrote the records.
 */
static bool can_serve(void *arg)
{
	struct member *m = arg;
	struct problem p;
	enum err err = schema_check(m->server->db, &p);
	if (err == OK)
		err = secrets_check_store(m->server->db, m->server->vault, &p);
	m->problem.message[0] = '\0';
	if (err == OK || (err == ERR_CORRUPT && is_older(m->server->db)))
		return true;
	m->problem = p;
	log_error("this member cannot take over", LOG_S("why", p.message));
	return false;
}

/* Keeps who owned the shard before this process does. */
static void note_owner(struct member *m)
{
	bool is_own = strcmp(m->last.owner, m->server->config.member) == 0;
	if (m->last.owner[0] != '\0' && !is_own)
		m->saw_other = true;
	else if (m->last.owner[0] != '\0' && m->own_epoch == 0)
		m->own_epoch = m->last.owner_epoch;
}

/* Follows until something else is to be done. */
static enum err follow(struct member *m, struct problem *p)
{
	struct server *s = m->server;
	const struct standby_conf conf = {.reactor = s->reactor,
	    .db = s->db,
	    .journal = m->journal,
	    .member = s->config.member,
	    .url = s->config.cluster_url,
	    .rnd = &s->rnd,
	    .takeover_after_ms = s->config.takeover_after,
	    .may_take_over = true,
	    .may_found = true,
	    .can_serve = can_serve,
	    .arg = m};
	enum err err = standby_new(&conf, &m->standby);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the store: %s", err_text(err));
	while (!m->stops && figures_of(m)->state == STANDBY_FOLLOWS && db_is_there(s->db)) {
		pass(m);
		copy_members(m);
		note_owner(m);
	}
	bool lost = m->last.state == STANDBY_FOLLOWS && !m->stops;
	end_standby(m);
	if (lost)
		return problem_set(p, ERR_BROKEN, "data", "the store in %s is lost",
		    s->config.data);
	if (m->last.state == STANDBY_STOPPED)
		return problem_set(p, ERR_CONFLICT, "cluster", "cluster: %s", m->last.why);
	return OK;
}

/* Where the API of the active is; NULL: nobody knows, or it was this member. */
static const char *find_active(const struct member *m)
{
	const char *own = m->server->config.member;
	const struct journal_member *active = roster_active(m->members, m->member_count);
	if (active != NULL && active->url[0] != '\0')
		return strcmp(active->name, own) != 0 ? active->url : NULL;
	return m->last.owner_url[0] != '\0' && strcmp(m->last.owner, own) != 0
	    ? m->last.owner_url
	    : NULL;
}

/* It has nothing on disk yet: what its copy lacks, when that is whole, must still be there. */
static void tell_joining(struct member *m)
{
	const struct config *c = &m->server->config;
	struct journal_member me = {.synced = 0};
	if (clock_mono_ms() - m->told_ms < TELL_MS)
		return;
	m->told_ms = clock_mono_ms();
	(void)snprintf(me.name, sizeof(me.name), "%s", c->member);
	(void)snprintf(me.url, sizeof(me.url), "%s", c->cluster_url);
	m->journal->tell(m->journal, &me);
}

/* Makes the store a copy of the active's, in place of what it was. */
static enum err join(struct member *m, struct problem *p)
{
	struct server *s = m->server;
	const struct join_conf conf = {.client = m->client,
	    .data = s->config.data,
	    .token = m->membership.token};
	db_close(s->db);
	s->db = NULL;
	m->join = join_new(&conf);
	while (!m->stops && !join_is_over(m->join)) {
		join_offer(m->join, find_active(m));
		pass(m);
		ask_members(m);
		tell_joining(m);
		join_step(m->join);
	}
	enum err err = join_is_over(m->join) ? join_end(m->join, p) : OK;
	join_free(m->join);
	m->join = NULL;
	return err == OK && !m->stops ? server_open_db(s, p) : err;
}

/*
 * Whether another process may have owned the shard before, and have attempts under way. Where
 * no entry came to say who wrote what the store has, what the members told does.
 */
static bool was_others(const struct member *m)
{
	const char *own = m->server->config.member;
	const struct journal_member *active = roster_active(m->members, m->member_count);
	bool is_first = m->last.position.epoch == 1;
	bool was_own = m->own_epoch != 0 && m->own_epoch < m->last.position.epoch;
	if (m->saw_other || was_own || is_first)
		return m->saw_other;
	return active == NULL || strcmp(active->name, own) != 0;
}

/* The shard is this member's: from here on each commit goes through the journal. */
static enum err begin_active(struct member *m, struct problem *p)
{
	struct server *s = m->server;
	const struct active_conf conf = {.reactor = s->reactor,
	    .db = s->db,
	    .journal = m->journal,
	    .member = s->config.member,
	    .url = s->config.cluster_url,
	    .from = m->last.position,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .hold_ms = HOLD_MS,
	    .refuse_ms = REFUSE_MS,
	    .max_entry = JS_ENTRY_MAX};
	m->takeovers++;
	s->taken_over_ms = was_others(m) ? clock_wall_ms() : 0;
	enum err err = active_new(&conf, &m->active);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the store: %s", err_text(err));
	log_info("this member owns the shard", LOG_S("shard", s->config.shard),
	    LOG_S("member", s->config.member), LOG_N("epoch", m->last.position.epoch));
	return OK;
}

static enum err follow_until_owner(struct member *m, bool *owns, struct problem *p)
{
	enum err err = look(m, p);
	if (err == OK && !m->stops)
		err = server_open_db(m->server, p);
	if (err != OK || m->stops)
		return err;
	while (err == OK && !m->stops) {
		begin_journal(m); /* anew behind each copy: it may be another one */
		err = follow(m, p);
		if (err != OK || m->stops)
			break;
		*owns = m->last.state == STANDBY_OWNS;
		err = *owns ? begin_active(m, p) : join(m, p);
		if (*owns)
			break;
	}
	return err;
}

/* Whatever comes from here on is answered at once, in the words of who is not the active. */
static void answer_as_standby(struct member *m)
{
	const struct http_hooks hooks = {.handle = standby_api_handle,
	    .head = standby_api_head,
	    .error_body = api_error_body,
	    .arg = m->api};
	const struct http_hooks metrics = {.handle = standby_api_metrics,
	    .error_body = api_error_body,
	    .arg = m->api};
	server_set_hooks(m->server, &hooks, &metrics);
}

enum err member_follow(struct server *s, bool *owns, struct problem *p)
{
	struct member *m = mem_new(sizeof(*m));
	m->server = s;
	s->member = m;
	*owns = false;
	enum err err = membership_load(&m->membership, &s->config, p);
	if (err != OK)
		return err;
	const struct client_conf client = {.user_agent = "waybill/" WAYBILL_VERSION,
	    .ca_file = s->config.ca_file,
	    .lookup = {.name_servers = s->config.name_servers.items,
		.name_server_count = s->config.name_servers.count},
	    .connections = 1};
	m->client = client_new(s->reactor, &client);
	m->tick = reactor_timer_new(s->reactor, on_tick, m);
	on_tick(m);
	struct standby_api_conf api = api_conf_of(s);
	m->api = standby_api_new(&api);
	answer_as_standby(m);
	err = server_listen_now(s, p);
	if (err != OK)
		return err;
	supervisor_ready();
	watch_signals(m);
	err = follow_until_owner(m, owns, p);
	forget_signals(m);
	return err;
}

void member_serve(struct server *s)
{
	if (s->member == NULL)
		return;
	standby_api_stop(s->member->api);
	reactor_timer_clear(s->member->tick);
	active_serve(s->member->active, s->turn);
}

struct active *member_active(const struct server *s)
{
	return s->member == NULL ? NULL : s->member->active;
}

bool member_is_fenced(const struct server *s)
{
	return s->member != NULL && s->member->active != NULL &&
	    active_is_fenced(s->member->active);
}

bool member_stays(const struct server *s)
{
	return s->member != NULL && s->member->stays;
}

static void on_handed_over(void *arg)
{
	((struct member *)arg)->handed_over = true;
}

void member_leave(struct server *s)
{
	struct member *m = s->member;
	if (m == NULL || m->active == NULL || active_is_fenced(m->active))
		return;
	if (turn_is_appending(s->turn)) {
		log_warn("nothing is handed over: the journal has not answered in time",
		    LOG_S("member", s->config.member));
		return;
	}
	int64_t until_ms = clock_mono_ms() + LEAVE_MS;
	answer_as_standby(m); /* no turn follows that would answer what comes now */
	on_tick(m);
	active_hand_over(m->active, on_handed_over, m);
	while (!m->handed_over && clock_mono_ms() < until_ms) {
		reactor_pass(s->reactor, false);
		clock_expire();
	}
	if (m->handed_over)
		log_info("the shard was handed over", LOG_S("shard", s->config.shard));
	else
		log_warn("the journal has not taken the handover",
		    LOG_S("shard", s->config.shard));
}

void member_stop(struct server *s)
{
	if (s->member != NULL)
		standby_api_stop(s->member->api);
}

void member_free(struct member *m)
{
	if (m == NULL)
		return;
	forget_signals(m);
	engine_free(m->engine);
	join_free(m->join);
	standby_free(m->standby);
	active_free(m->active);
	standby_api_stop(m->api);
	standby_api_free(m->api);
	if (m->journal != NULL)
		m->journal->free(m->journal);
	client_free(m->client);
	if (m->tick != NULL)
		reactor_timer_free(m->tick);
	free(m->members);
	membership_fini(&m->membership);
	free(m);
}
