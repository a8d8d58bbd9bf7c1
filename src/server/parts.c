/* What the parts of the server are told of its configuration; see server.h. */
#include <stdlib.h>

#include "base/log_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/listen_settings.h"
#include "server/member.h"
#include "server/server.h"
#include "server/settings.h"

struct origin_conf server_origins(const struct server *s)
{
	return (struct origin_conf){.origins = s->config.cors_origins.items,
	    .origin_count = s->config.cors_origins.count,
	    .hosts = s->config.allowed_hosts.items,
	    .host_count = s->config.allowed_hosts.count,
	    .frames = s->config.frame_ancestors.items,
	    .frame_count = s->config.frame_ancestors.count};
}

struct api_conf server_api_conf(struct server *s)
{
	return (struct api_conf){.reactor = s->reactor,
	    .db = s->db,
	    .turn = s->turn,
	    .registry = s->registry,
	    .sources = s->sources,
	    .vault = s->vault,
	    .ids = &s->ids,
	    .auth = s->auth,
	    .peers = s->peers,
	    .proxies = &s->proxies,
	    .health = &s->health,
	    .dispatch = s->dispatch,
	    .client = s->client,
	    .policy = &s->config.addresses,
	    .task_runner = s->task_runner,
	    .ordering = s->ordering,
	    .certificates = s->certificates,
	    .asker = s->asker,
	    .tokens = s->tokens,
	    .purge = s->purge,
	    .forgetter = s->forgetter,
	    .feed = s->feed,
	    .oldest = s->oldest,
	    .trends = s->trends,
	    .turns = &s->turns,
	    .turn_parts = s->turn_parts,
	    .rules = {.extra_events = s->config.extra_events.items,
		.extra_event_count = s->config.extra_events.count,
		.timeout_ms = (uint32_t)s->config.timeout_ms,
		.signature = sign_read_set(slice_of(s->config.default_signature)),
		.ignores_unknown = s->config.unknown_fields == 1,
		.own_proxies = s->config.webhook_proxies == 1,
		.old_libcurl = client_lacks_http2(),
		.verifies = s->config.verify_endpoints == 1},
	    .inbound = s->inbound,
	    .origins = server_origins(s),
	    .body_max = s->config.max_body_bytes,
	    .batch_max = s->config.max_batch_bytes,
	    .webhooks_per_session = (uint32_t)s->config.max_webhooks_per_session,
	    .backup_stall_ms = (int64_t)s->config.backup_stall_ms,
	    .stream_readers_max = (uint32_t)s->config.stream_readers_max,
	    .stream_stall_ms = (int64_t)s->config.send_timeout_ms,
	    .quota = {.most = s->config.max_queue_per_session,
		.backlog = s->backlog,
		.registry = s->registry,
		.usage = s->usage},
	    .cluster = member_api(s),
	    .idempotency_ms = s->config.idempotency_retention,
	    .metrics_apart = s->config.metrics_listen != NULL,
	    .started_ms = s->started_ms,
	    .started_mono_ms = s->started_mono_ms};
}

struct http_conf server_http_conf(const struct server *s)
{
	bool batches_larger = s->config.max_batch_bytes > s->config.max_body_bytes;
	return (struct http_conf){.body_max = batches_larger ? s->config.max_batch_bytes
							     : s->config.max_body_bytes,
	    .max_connections = (uint32_t)s->descriptors.connections,
	    .head_timeout_ms = (int64_t)s->config.head_timeout_ms,
	    .body_timeout_ms = (int64_t)s->config.body_timeout_ms,
	    .idle_timeout_ms = (int64_t)s->config.idle_timeout_ms,
	    .send_timeout_ms = (int64_t)s->config.send_timeout_ms,
	    .input_max = s->config.max_input_bytes,
	    .output_max = s->config.max_output_bytes,
	    .peers = s->peers,
	    .unix_access = s->unix_access};
}

struct client_conf server_client_conf(const struct server *s)
{
	return (struct client_conf){.policy = &s->config.addresses,
	    .ca_file = s->config.ca_file,
	    .proxy = s->config.proxy,
	    .own_proxies = s->config.webhook_proxies == 1,
	    .user_agent = "waybill/" WAYBILL_VERSION,
	    .lookup = {.name_servers = s->config.name_servers.items,
		.name_server_count = s->config.name_servers.count},
	    .connections = (uint32_t)s->descriptors.receivers,
	    .connection_max_age_ms = s->config.connection_max_age};
}

struct dispatch_conf server_dispatch_conf(struct server *s)
{
	return (struct dispatch_conf){.db = s->db,
	    .turn = s->turn,
	    .registry = s->registry,
	    .vault = s->vault,
	    .client = s->client,
	    .tokens = s->tokens,
	    .trends = s->trends,
	    .judge = {.retry = &s->config.retry,
		.expiries = s->config.expiries.items,
		.expiry_count = s->config.expiries.count,
		.circuit_failures = (uint32_t)s->config.circuit_failures,
		.disable_after_ms = s->config.disable_after,
		.registry = s->registry,
		.rnd = &s->rnd,
		.ids = &s->ids},
	    .sched = {.slots = (uint32_t)s->descriptors.attempts,
		.per_host = (uint32_t)s->config.max_per_host,
		.circuit_failures = (uint32_t)s->config.circuit_failures,
		.circuit_open_ms = s->config.circuit_open},
	    .feed = s->feed,
	    .taken_over_ms = s->taken_over_ms};
}

struct task_runner_conf server_task_runner_conf(struct server *s)
{
	return (struct task_runner_conf){.db = s->db,
	    .registry = s->registry,
	    .backlog = s->backlog,
	    .dispatch = s->dispatch,
	    .oldest = s->oldest,
	    .has_room = &s->health.has_room,
	    .most = s->config.max_queue_per_session};
}

struct retention server_retention(const struct server *s)
{
	return (struct retention){.settled_ms = s->config.retention,
	    .settled_bytes = s->config.retention_bytes,
	    .dead_letters_ms = s->config.dead_letter_retention};
}

struct usage_conf server_usage_conf(struct server *s)
{
	const struct config_list *list = &s->config.session_store_bytes;
	struct usage_allotment *allotments = mem_array(list->count + 1, sizeof(*allotments));
	struct usage_conf conf = {.backlog = s->backlog,
	    .registry = s->registry,
	    .per_session = s->config.max_store_per_session,
	    .allotments = allotments};
	for (size_t i = 0; i < list->count; i++) {
		struct usage_allotment *a = &allotments[conf.allotment_count];
		const char *size = setting_read_session(list->items[i], a->session);
		if (size != NULL && str_size(slice_of(size), &a->bytes) == OK)
			conf.allotment_count++;
	}
	return conf;
}

void server_free_usage_conf(struct usage_conf *conf)
{
	free((void *)(uintptr_t)conf->allotments); /* made above, const for its readers */
	conf->allotments = NULL;
}

void server_setup_log(const struct server *s)
{
	const struct config *c = &s->config;
	log_setup((enum log_level)c->log_level, (enum log_format)c->log_format);
	log_out_open(c->log_target == 0 ? NULL : LOG_SYSLOG_PATH);
	log_limit((uint32_t)c->log_rate);
}

void server_share_descriptors(struct server *s)
{
	struct descriptor_shares *shares = &s->descriptors;
	const struct descriptor_needs needs = {.connections = s->config.max_connections,
	    .servers = s->config.metrics_listen == NULL ? 1 : 2,
	    .attempts = s->config.max_in_flight};
	if (shares->attempts == 0) {
		*shares = descriptors_share(s->descriptor_limit, &needs);
	} else {
		uint64_t left = descriptors_left(s->descriptor_limit, shares, needs.servers);
		shares->connections = left < needs.connections ? left : needs.connections;
	}
	if (shares->connections < needs.connections || shares->attempts < needs.attempts)
		log_warn("fewer descriptors than max_connections and max_in_flight may need",
		    LOG_N("limit", s->descriptor_limit),
		    LOG_N("wanted", descriptors_wanted(&needs)),
		    LOG_N("max_connections", shares->connections),
		    LOG_N("max_in_flight", shares->attempts));
}

void server_set_proxies(struct server *s)
{
	const struct config_list *list = &s->config.trusted_proxies;
	struct proxies *proxies = &s->proxies;
	proxies->networks = mem_resize(proxies->networks, list->count + 1,
	    sizeof(*proxies->networks));
	proxies->count = 0;
	proxies->is_unix = false;
	for (size_t i = 0; i < list->count; i++) {
		if (cidr_parse(slice_of(list->items[i]), &proxies->networks[proxies->count]) ==
		    OK)
			proxies->count++;
		else
			proxies->is_unix = true; /* the one item that is no network */
	}
}

struct config_list server_listen(const struct server *s)
{
	return s->supervisor.sockets.count > 0 ? s->supervisor.sockets : s->config.listen;
}

enum err server_load_tls(struct server *s, const struct config *c, struct problem *p)
{
	struct tls_conf tls;
	bool wanted = false;
	enum err err = listen_settings_tls(c, &tls, &wanted, p);
	return err == OK && wanted ? http_load_tls(s->http, &tls, p) : err;
}
