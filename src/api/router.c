/* The table of calls, and the way from a request to its row; api.h is its interface. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/call.h"
#include "api/handlers.h"
#include "api/pull.h"
#include "api/query.h"
#include "api/samples.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/percent.h"
#include "domain/sign.h"
#include "store/events.h"

#define SEGMENTS_MAX 8      /* of a path; no call has more */
#define PATH_MAX_BYTES 1024 /* of a decoded path; every call's is shorter */
#define SCRATCH_MAX (2 * EVENT_BODY_MAX)

static const struct route ROUTES[] = {
    {"GET", "", handle_ui, NULL, NULL, true, NULL},
    {"GET", "ui", handle_ui, NULL, NULL, true, NULL},
    {"GET", "ui/:file", handle_ui_file, NULL, NULL, true, NULL},
    {"GET", "openapi.yaml", handle_openapi, NULL, NULL, true, NULL},
    {"GET", ".well-known/waybill-keys.json", handle_keys, NULL, NULL, true,
	"limit cursor webhook_id"},
    {"GET", "livez", handle_livez, NULL, NULL, true, NULL},
    {"GET", "health", handle_livez, NULL, NULL, true, NULL},
    {"GET", "readyz", handle_readyz, NULL, NULL, true, NULL},
    {"GET", "metrics", handle_metrics, NULL, NULL, true, NULL},
    {"GET", "api/v1/capabilities", handle_capabilities, NULL, NULL, false, NULL},
    {"GET", "api/v1/token", handle_token, NULL, NULL, false, NULL},
    {"GET", "api/v1/stats", handle_stats, NULL, NULL, false, "top"},
    {"GET", "api/v1/cluster", handle_cluster, NULL, NULL, false, NULL},
    {"POST", "api/v1/cluster/handover", handle_handover, NULL, NULL, false, NULL},
    {"GET", "api/v1/backup", handle_backup, NULL, NULL, false, NULL},
    {"GET", "api/v1/events/stream", handle_stream, NULL, NULL, false,
	"session_id webhook_id status"},
    {"POST", "api/v1/events", handle_publish_any, release_publish, &PUBLISH_CALL_SIZE, false,
	NULL},
    {"POST", "api/v1/sessions/:session/webhook-in", handle_webhook_in, release_publish,
	&PUBLISH_CALL_SIZE, true, NULL},
    {"POST", "in/:door/*", handle_source_in, release_publish, &PUBLISH_CALL_SIZE, true, NULL},
    {"GET", "in/:door/*", handle_source_challenge, NULL, NULL, true, NULL},
    {"POST", "api/v1/sources", handle_source_create, release_source, &SOURCES_CALL_SIZE, false,
	NULL},
    {"GET", "api/v1/sources", handle_source_list, NULL, NULL, false, "limit cursor"},
    {"GET", "api/v1/sources/:id", handle_source_show, NULL, NULL, false, NULL},
    {"PATCH", "api/v1/sources/:id", handle_source_patch, release_source, &SOURCES_CALL_SIZE,
	false, NULL},
    {"DELETE", "api/v1/sources/:id", handle_source_delete, release_source, &SOURCES_CALL_SIZE,
	false, NULL},
    {"POST", "api/v1/sources/:id/rotate", handle_source_rotate, release_source,
	&SOURCES_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/events", handle_publish, release_publish,
	&PUBLISH_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks", handle_webhook_create, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"GET", "api/v1/sessions/:session/webhooks", handle_webhook_list, NULL, NULL, false,
	"limit cursor"},
    {"GET", "api/v1/sessions/:session/webhooks/dlq", handle_dlq_list, NULL, NULL, false,
	"limit cursor webhook_id event since until"},
    {"DELETE", "api/v1/sessions/:session/webhooks/dlq", handle_dlq_purge, NULL, &DLQ_CALL_SIZE,
	false, "webhook_id"},
    {"POST", "api/v1/sessions/:session/webhooks/dlq/replay", handle_dlq_replay_all, NULL,
	&DLQ_CALL_SIZE, false, "webhook_id"},
    {"DELETE", "api/v1/sessions/:session/webhooks/dlq/:id", handle_dlq_delete, NULL, NULL,
	false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/dlq/:id/replay", handle_dlq_replay, NULL,
	&DLQ_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/replay", handle_replay_start, NULL,
	&REPLAY_CALL_SIZE, false, NULL},
    {"GET", "api/v1/sessions/:session/webhooks/:id/replay", handle_replay_show, NULL,
	&REPLAY_CALL_SIZE, false, NULL},
    {"DELETE", "api/v1/sessions/:session/webhooks/:id/replay", handle_replay_cancel, NULL,
	&REPLAY_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/deliveries/:id/retry", handle_delivery_retry, NULL,
	&DELIVERY_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/deliveries/:id/cancel", handle_delivery_cancel, NULL,
	&DELIVERY_CALL_SIZE, false, NULL},
    {"GET", "api/v1/sessions/:session/webhooks/:id/stats", handle_webhook_stats, NULL, NULL,
	false, "hours"},
    {"GET", "api/v1/sessions/:session/deliveries/:id/curl", handle_delivery_curl, NULL, NULL,
	false, "attempt"},
    {"POST", "api/v1/sessions/:session/deliveries/:id/verify-signature", handle_delivery_verify,
	NULL, NULL, false, NULL},
    {"GET", "api/v1/sessions/:session/webhooks/:id", handle_webhook_show, NULL, NULL, false,
	NULL},
    {"PUT", "api/v1/sessions/:session/webhooks/:id", handle_webhook_put, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, "dry_run"},
    {"PATCH", "api/v1/sessions/:session/webhooks/:id", handle_webhook_patch, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"DELETE", "api/v1/sessions/:session/webhooks/:id", handle_webhook_delete, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/enable", handle_webhook_enable,
	release_webhook, &WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/disable", handle_webhook_disable,
	release_webhook, &WEBHOOKS_CALL_SIZE, false, "keep_queueing"},
    {"POST", "api/v1/sessions/:session/webhooks/:id/verify", handle_webhook_verify,
	release_webhook, &WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/try", handle_webhook_try, NULL, NULL, false,
	NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/rotate-secret", handle_webhook_rotate,
	release_webhook, &WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/rotate-key", handle_webhook_rotate_key,
	release_webhook, &WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/test", handle_test, release_publish,
	&PUBLISH_CALL_SIZE, false, NULL},
    {"POST", "api/v1/sessions/:session/webhooks/:id/filter-test", handle_filter_test, NULL,
	NULL, false, NULL},
    {"GET", "api/v1/sessions/:session/events", handle_events_list, NULL, NULL, false,
	"id event since until limit cursor"},
    {"GET", "api/v1/events", handle_events_list, NULL, NULL, false,
	"event since until limit cursor"},
    {"GET", "api/v1/deliveries", handle_deliveries_list, NULL, NULL, false,
	"webhook_id event_id status event since until limit cursor"},
    {"GET", "api/v1/deliveries/:id", handle_delivery_show, NULL, NULL, false, NULL},
    {"GET", "api/v1/dlq", handle_dlq_list, NULL, NULL, false,
	"webhook_id event since until limit cursor"},
    {"POST", "api/v1/dlq/replay", handle_dlq_replay_across, release_across, &ACROSS_CALL_SIZE,
	false, "cursor"},
    {"POST", "api/v1/dlq/:id/replay", handle_dlq_replay, NULL, &DLQ_CALL_SIZE, false, NULL},
    {"DELETE", "api/v1/dlq/:id", handle_dlq_delete, NULL, NULL, false, NULL},
    {"POST", "api/v1/sessions/:session/portal", handle_portal_link, NULL, &PORTAL_CALL_SIZE,
	false, NULL},
    {"DELETE", "api/v1/sessions/:session/portal", handle_portal_revoke, NULL, NULL, false,
	NULL},
    {"POST", "api/v1/portal/rotate-key", handle_portal_rotate, NULL, &PORTAL_CALL_SIZE, false,
	NULL},
    {"DELETE", "api/v1/sessions/:session", handle_session_delete, NULL, &FORGET_CALL_SIZE,
	false, NULL},
    {"GET", "api/v1/sessions/:session", handle_session_show, NULL, NULL, false, NULL},
    {"GET", "api/v1/sessions", handle_sessions_list, NULL, NULL, false, "limit cursor"},
    {"GET", "api/v1/sessions/:session/deliveries", handle_deliveries_list, NULL, NULL, false,
	"webhook_id event_id status event since until limit cursor"},
    {"GET", "api/v1/sessions/:session/deliveries/:id", handle_delivery_show, NULL, NULL, false,
	NULL},
    {"GET", "api/v1/sessions/:session/events/:id", handle_event_show, NULL, NULL, false, NULL},
    {"GET", "api/v1/events/:id", handle_event_show, NULL, NULL, false, NULL},
    {"POST", "api/v1/webhooks", handle_webhook_create, release_webhook, &WEBHOOKS_CALL_SIZE,
	false, NULL},
    {"GET", "api/v1/webhooks", handle_webhook_list, NULL, NULL, false, "limit cursor"},
    {"GET", "api/v1/webhooks/dlq", handle_dlq_list, NULL, NULL, false,
	"limit cursor webhook_id event since until"},
    {"DELETE", "api/v1/webhooks/dlq", handle_dlq_purge, NULL, &DLQ_CALL_SIZE, false,
	"webhook_id"},
    {"POST", "api/v1/webhooks/dlq/replay", handle_dlq_replay_all, NULL, &DLQ_CALL_SIZE, false,
	"webhook_id"},
    {"DELETE", "api/v1/webhooks/dlq/:id", handle_dlq_delete, NULL, NULL, false, NULL},
    {"POST", "api/v1/webhooks/dlq/:id/replay", handle_dlq_replay, NULL, &DLQ_CALL_SIZE, false,
	NULL},
    {"POST", "api/v1/webhooks/:id/replay", handle_replay_start, NULL, &REPLAY_CALL_SIZE, false,
	NULL},
    {"GET", "api/v1/webhooks/:id/replay", handle_replay_show, NULL, &REPLAY_CALL_SIZE, false,
	NULL},
    {"DELETE", "api/v1/webhooks/:id/replay", handle_replay_cancel, NULL, &REPLAY_CALL_SIZE,
	false, NULL},
    {"GET", "api/v1/webhooks/:id/stats", handle_webhook_stats, NULL, NULL, false, "hours"},
    {"GET", "api/v1/webhooks/all", handle_webhooks_all, NULL, NULL, false,
	"state limit cursor"},
    {"GET", "api/v1/webhooks/:id", handle_webhook_find, NULL, NULL, false, NULL},
    {"PUT", "api/v1/webhooks/:id", handle_webhook_put, release_webhook, &WEBHOOKS_CALL_SIZE,
	false, "dry_run"},
    {"PATCH", "api/v1/webhooks/:id", handle_webhook_patch, release_webhook, &WEBHOOKS_CALL_SIZE,
	false, NULL},
    {"DELETE", "api/v1/webhooks/:id", handle_webhook_delete, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/webhooks/:id/enable", handle_webhook_enable, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/webhooks/:id/disable", handle_webhook_disable, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, "keep_queueing"},
    {"POST", "api/v1/webhooks/:id/verify", handle_webhook_verify, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/webhooks/:id/try", handle_webhook_try, NULL, NULL, false, NULL},
    {"POST", "api/v1/webhooks/:id/rotate-secret", handle_webhook_rotate, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/webhooks/:id/rotate-key", handle_webhook_rotate_key, release_webhook,
	&WEBHOOKS_CALL_SIZE, false, NULL},
    {"POST", "api/v1/webhooks/:id/filter-test", handle_filter_test, NULL, NULL, false, NULL},
    {"POST", "api/v1/webhooks/:id/test", handle_test, release_publish, &PUBLISH_CALL_SIZE,
	false, NULL},
};
#define ROUTE_COUNT (sizeof(ROUTES) / sizeof(ROUTES[0]))

/* For requests that match no row. */
static const struct route NO_ROUTE = {"", "", NULL, NULL, NULL, true, NULL};

struct path {
	struct slice segments[SEGMENTS_MAX];
	bool is_encoded[SEGMENTS_MAX]; /* was written with a %XX */
	size_t count;
	char text[PATH_MAX_BYTES];
};

/*
 * A row's path in its parts; a part that begins with ':' is a name or an id, a last one that is
 * "*" is whatever comes, also nothing.
 */
struct pattern {
	struct slice parts[SEGMENTS_MAX];
	size_t count;
};

static void split_pattern(const char *text, struct pattern *pattern)
{
	do {
		size_t len = strcspn(text, "/");
		pattern->parts[pattern->count++] = (struct slice){text, len};
		text += len;
	} while (*text++ != '\0');
}

static struct pattern *split_patterns(void)
{
	struct pattern *patterns = mem_array(ROUTE_COUNT, sizeof(*patterns));
	for (size_t i = 0; i < ROUTE_COUNT; i++)
		split_pattern(ROUTES[i].pattern, &patterns[i]);
	return patterns;
}

static void add_single(struct api *api, const char *name)
{
	for (size_t i = 0; i < api->single_count; i++) {
		if (strcasecmp(api->singles[i], name) == 0)
			return;
	}
	api->singles = mem_resize(api->singles, api->single_count + 1, sizeof(*api->singles));
	api->singles[api->single_count++] = name;
}

/* Lists the headers that have one value: those of calls, and those of signatures. */
static void list_singles(struct api *api)
{
	static const char *const OF_CALLS[] = {"Authorization", "Content-Type",
	    "Idempotency-Key", "Last-Event-ID", "Origin", "X-Webhook-Timestamp"};
	for (size_t i = 0; i < sizeof(OF_CALLS) / sizeof(OF_CALLS[0]); i++)
		add_single(api, OF_CALLS[i]);
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		for (const struct sign_scheme *s = &SIGN_SCHEMES[i]; s != NULL; s = s->beside) {
			for (size_t h = 0; !s->has_lists && s->headers[h] != NULL; h++)
				add_single(api, s->headers[h]);
		}
	}
}

struct api *api_new(const struct api_conf *conf)
{
	struct api *api = mem_new(sizeof(*api));
	api->patterns = split_patterns();
	list_singles(api);
	api->conf = *conf;
	api->guard = guard_new(conf->reactor, conf->peers, conf->proxies);
	api->scratch = BUF_INIT(SCRATCH_MAX);
	api->streams = streams_new(api);
	api->pulls = pulls_new(api);
	api->troubles = troubles_new();
	api->joining = map_new();
	api->portal = portal_new(conf->db, conf->vault);
	api->samples = samples_new(conf->reactor, metrics_totals, api);
	return api;
}

void api_set_server(struct api *api, const struct http_server *http)
{
	api->http = http;
}

void api_configure(struct api *api, const struct api_conf *conf)
{
	streams_end(api->streams);
	api->conf = *conf;
	streams_configure(api->streams);
}

void api_source_changed(struct api *api, const struct uuid *id)
{
	pulls_changed(api->pulls, id);
}

void api_free(struct api *api)
{
	if (api == NULL)
		return;
	guard_free(api->guard);
	portal_free(api->portal);
	pulls_free(api->pulls);
	streams_free(api->streams);
	samples_free(api->samples);
	troubles_free(api->troubles);
	map_free_all(api->joining);
	buf_fini(&api->scratch);
	free(api->patterns);
	free(api->singles);
	free(api);
}

void api_stop(struct api *api)
{
	if (api == NULL)
		return;
	guard_stop(api->guard);
	pulls_stop(api->pulls);
}

/*
 * Decodes a raw path into segments, once. ERR_SYNTAX for a malformed %XX, ERR_NOTFOUND for a
 * path of no call.
 */
static enum err split_path(struct slice raw, struct path *path)
{
	size_t len = 0;
	struct slice *segment = NULL;
	path->count = 0;
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.ptr[i];
		if (len == sizeof(path->text))
			return ERR_NOTFOUND;
		if (c == '/') {
			if (path->count == SEGMENTS_MAX)
				return ERR_NOTFOUND;
			path->is_encoded[path->count] = false;
			segment = &path->segments[path->count++];
			*segment = (struct slice){path->text + len, 0};
			continue;
		}
		if (segment == NULL)
			return ERR_NOTFOUND;
		if (c == '%') {
			int byte = percent_byte(raw, i);
			if (byte < 0)
				return ERR_SYNTAX;
			c = (char)byte;
			i += 2;
			path->is_encoded[path->count - 1] = true;
		}
		path->text[len++] = c;
		segment->len++;
	}
	return OK;
}

/*
 * What is fixed in a path has one spelling: a proxy that lets some calls through and others
 * not by how they begin (/metrics) must see the same as we do. Names and ids have several.
 */
static bool matches(const struct pattern *pattern, const struct path *path)
{
	bool is_open = slice_eq(pattern->parts[pattern->count - 1], SLICE("*"));
	size_t fixed = pattern->count - (is_open ? 1 : 0);
	if (is_open ? path->count < fixed : path->count != fixed)
		return false;
	for (size_t i = fixed; i-- > 0;) { /* most differ at the end */
		struct slice part = pattern->parts[i];
		bool is_fixed = part.len == 0 || part.ptr[0] != ':';
		if (is_fixed && (path->is_encoded[i] || !slice_eq(part, path->segments[i])))
			return false;
	}
	return true;
}

/* HEAD asks for what GET answers, without the body. */
static bool same_method(const char *route, const char *asked)
{
	return strcmp(route, asked) == 0 ||
	    (strcmp(route, "GET") == 0 && strcmp(asked, "HEAD") == 0);
}

/*
 * Finds the row; without one, appends the methods that the path does have to `allow`. A path
 * that rows name in full is theirs alone, and not one with an id of the same letters; these
 * rows come first. But a PUT by such a name is told that no webhook can have it.
 */
static const struct route *find_route(const struct api *api, const char *method,
    const struct path *path, struct buf *allow)
{
	const char *own = NULL;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!matches(&api->patterns[i], path))
			continue;
		if (own == NULL)
			own = ROUTES[i].pattern;
		bool is_own = strcmp(own, ROUTES[i].pattern) == 0;
		if (!is_own && ROUTES[i].handle != handle_webhook_put)
			continue;
		if (same_method(ROUTES[i].method, method))
			return &ROUTES[i];
		bool listed = strstr(buf_cstr(allow), ROUTES[i].method) != NULL;
		if (is_own && !listed)
			buf_printf(allow, "%s%s", allow->len > 0 ? ", " : "", ROUTES[i].method);
	}
	return NULL;
}

/* Whether the call is about webhooks for all sessions; those of all sessions are others. */
static bool is_for_all(const struct route *route)
{
	static const struct slice PREFIX = SLICE_INIT("api/v1/webhooks");
	bool across = route->handle == handle_webhook_find ||
	    route->handle == handle_webhooks_all;
	return !across && slice_starts(slice_of(route->pattern), PREFIX);
}

/* Whether the call makes something in its session, which then is there. */
static bool begins_session(const struct route *route)
{
	return route->handle == handle_publish || route->handle == handle_webhook_in ||
	    route->handle == handle_webhook_create || route->handle == handle_webhook_put;
}

/* Fills id, or the name that a webhook is called by in its place. ERR_INVALID, ERR_NOTFOUND. */
static enum err read_id(struct call *c, struct slice collection, struct slice segment)
{
	if (uuid_parse(segment, &c->id) == OK)
		return OK;
	if (slice_eq(collection, SLICE("webhooks")) && name_is_webhook(segment)) {
		memcpy(c->name, segment.ptr, segment.len);
		return OK;
	}
	if (c->route->handle == handle_webhook_put)
		return problem_set(&c->problem, ERR_INVALID, "name",
		    "a webhook's name must be " WEBHOOK_NAME_ALLOWED);
	if (c->session[0] == '\0')
		return problem_set(&c->problem, ERR_NOTFOUND, "", "there is no such id");
	return problem_set(&c->problem, ERR_NOTFOUND, "", "no such id %s", call_where(c));
}

/*
 * Finds the webhook that the path calls by its name: one of the session or, without one, of
 * those for all sessions. What a PUT has not found it makes.
 */
static enum err find_named(struct call *c)
{
	struct slice session = c->session[0] == '\0' ? SLICE(SESSION_ALL)
						     : slice_of(c->session);
	if (c->name[0] == '\0')
		return OK;
	const struct webhook *w = registry_find_named(c->api->conf.registry, session,
	    slice_of(c->name));
	if (w != NULL)
		c->id = w->id;
	else if (c->route->handle != handle_webhook_put)
		return problem_set(&c->problem, ERR_NOTFOUND, "", "no such webhook %s",
		    call_where(c));
	return OK;
}

/* Fills session and id from the path. ERR_INVALID for a session, ERR_NOTFOUND for an id. */
static enum err read_names(struct call *c, const struct path *path)
{
	const struct pattern *pattern = &c->api->patterns[c->route - ROUTES];
	if (is_for_all(c->route))
		memcpy(c->session, SESSION_ALL, sizeof(SESSION_ALL));
	for (size_t i = 0; i < path->count && i < pattern->count; i++) {
		struct slice part = pattern->parts[i];
		struct slice segment = path->segments[i];
		if (slice_eq(part, SLICE(":session"))) {
			if (!name_is_session(segment))
				return problem_set(&c->problem, ERR_INVALID, "session",
				    "a session id must be " SESSION_ALLOWED);
			if (begins_session(c->route) && name_is_folded(segment))
				return problem_set(&c->problem, ERR_INVALID, "session",
				    NAME_FOLDED);
			memcpy(c->session, segment.ptr, segment.len);
		} else if (slice_eq(part, SLICE(":id"))) {
			enum err err = read_id(c, pattern->parts[i - 1], segment);
			if (err != OK)
				return err;
		}
	}
	return OK;
}

static struct call *make_call(struct api *api, struct http_request *q,
    const struct route *route)
{
	struct call *c = mem_new(route->size == NULL ? sizeof(*c) : *route->size);
	c->api = api;
	c->http = q;
	c->route = route;
	return c;
}

static void answer_no_route(struct api *api, struct http_request *q, enum err err,
    struct buf *allow)
{
	struct call *c = make_call(api, q, &NO_ROUTE);
	if (err == ERR_SYNTAX) {
		call_fail(c, 400, "", "the path has a '%' without two hexadecimal digits");
		return;
	}
	if (allow->len == 0) {
		call_fail(c, 404, "", "there is no such call");
		return;
	}
	http_add_header(q, "Allow", buf_cstr(allow));
	call_fail(c, 405, "",
	    "this path does not have this method; the Allow header lists those it has");
}

/* Who answers for what a call takes: its token, else its client. */
static void name_taker(struct call *c, const char *token)
{
	char text[CIDR_TEXT_SIZE];
	if (token != NULL) {
		http_set_taker(c->http, slice_of(token));
	} else if (proxies_trust(c->api->conf.proxies, http_peer(c->http))) {
		struct cidr client = guard_client(c->api->guard, c->http);
		cidr_format(&client, text);
		http_set_taker(c->http, slice_of(text));
	} /* else it is the connection's client already */
}

/* The others are for probes, scrapers and browsers, which add parameters of their own. */
static bool is_api(const struct route *route)
{
	return strncmp(route->pattern, "api/", 4) == 0;
}

/* Where no token keeps others out: whether it is no page of another site that calls. */
static bool is_no_stranger(struct call *c)
{
	const char *field = "";
	if (auth_count(c->api->conf.auth) > 0 || !is_api(c->route))
		return true;
	const char *why = origin_refuse(&c->api->conf.origins, c->http, &field);
	if (why != NULL)
		call_fail(c, 403, field, why);
	return why == NULL;
}

/*
 * Whether no header that has one value is there twice: which of them counts differs between us,
 * a proxy and a library. The gate looks at those that say where a request ends, and at Host.
 */
static bool has_no_twins(struct call *c)
{
	for (size_t i = 0; i < c->api->single_count; i++) {
		const char *name = c->api->singles[i];
		if (http_header_lines(c->http, name) > 1) {
			call_fail(c, 400, name, "is given twice, and may be given once");
			return false;
		}
	}
	return true;
}

/* Whether the body's coding is known here; else the call has been answered. */
static bool may_be_read(struct call *c)
{
	if (call_has_coding(c))
		return true;
	if (c->route->handle == handle_source_in)
		source_in_note(c);
	call_fail_coding(c);
	return false;
}

static bool only_reads(const struct route *route)
{
	return strcmp(route->method, "GET") == 0 || route->handle == handle_filter_test ||
	    route->handle == handle_delivery_verify;
}

/*
 * Whether the call may be begun now: one that writes would wait for the journal, which may be
 * another's by the time it answers, or write to a session that is being deleted.
 */
static bool may_write(struct call *c)
{
	const struct usage *usage = c->api->conf.quota.usage;
	const struct auth_link *link = auth_link_of(c->token);
	if (only_reads(c->route))
		return true;
	if (link != NULL && link->only_reads) {
		call_fail(c, 403, "", "this link is for reading alone");
		return false;
	}
	/* of an open call nobody knows yet whether its session is told of it: intake_admit() */
	if (!c->route->open && c->route->handle != handle_session_delete &&
	    usage_is_closed(usage, slice_of(c->session))) {
		call_fail(c, 409, "", FORGETTER_REFUSAL);
		return false;
	}
	if (!c->api->conf.health->waits)
		return true;
	call_fail(c, 503, "", c->api->conf.health->why_waits);
	return false;
}

/* Whether the token lets the call in; else it has been answered, or will be. */
static bool is_let_in(struct call *c)
{
	const struct auth *auth = c->api->conf.auth;
	struct slice token = http_header(c->http, "Authorization");
	if (auth_check(auth, token, &c->token, &c->token_name))
		return true;
	enum portal_verdict verdict = portal_check(c->api->portal, token, &c->own_token);
	if (verdict == PORTAL_STANDS) {
		c->token = c->own_token;
		c->token_name = auth_link_of(c->token)->name;
		return true;
	}
	if (verdict == PORTAL_UNKNOWN) {
		call_fail_err(c, ERR_STORE);
		return false;
	}
	bool is_over = verdict == PORTAL_OVER;
	guard_refuse(c->api->guard, c, token.len > 0 && !is_over,
	    is_over ? "this link has expired, or is void: ask for a new one"
		    : "a valid token is needed: Authorization: Bearer TOKEN");
	return false;
}

/* Checks who calls and what for. OK, or the call has been answered. */
static enum err admit(struct call *c, const struct path *path)
{
	if (is_api(c->route) && !has_no_twins(c))
		return ERR_INVALID;
	if (!is_no_stranger(c))
		return ERR_REFUSED;
	if (!c->route->open && !guard_admits(c->api->guard, c))
		return ERR_REFUSED;
	if (!c->route->open && !is_let_in(c))
		return ERR_REFUSED;
	name_taker(c, c->token_name);
	enum err err = read_names(c, path);
	if (err == OK && c->session[0] != '\0' && !auth_reaches(c->token, slice_of(c->session)))
		err = is_for_all(c->route)
		    ? problem_set(&c->problem, ERR_REFUSED, "",
			  "webhooks for all sessions need a token for all")
		    : ERR_REFUSED;
	if (err == OK)
		err = find_named(c);
	if (err != OK)
		call_fail_err(c, err);
	else if ((is_api(c->route) && !query_admit(c)) || !may_be_read(c) || !may_write(c))
		err = ERR_INVALID;
	return err;
}

/* Runs the handler of the call, which is gone with it, and keeps which one took longest. */
static void run(struct api *api, struct call *c)
{
	struct api_longest l = {.method = c->route->method, .pattern = c->route->pattern};
	int64_t began_us = clock_now_us();
	memcpy(l.session, c->session, sizeof(l.session));
	c->route->handle(c);
	l.us = clock_now_us() - began_us;
	if (l.us > api->longest.us)
		api->longest = l;
}

struct api_longest api_take_longest(struct api *api)
{
	struct api_longest l = api->longest;
	api->longest = (struct api_longest){0};
	return l;
}

/* Finds the call that a request makes, if it may; NULL: it has been answered, or will be. */
static struct call *begin_call(struct api *api, struct http_request *q)
{
	struct path path;
	struct buf allow = BUF_INIT(128);
	struct call *c = NULL;
	const struct route *route = NULL;
	origin_put_headers(&api->conf.origins, q);
	enum err err = split_path(http_path(q), &path);
	if (err == OK)
		route = find_route(api, http_method(q), &path, &allow);
	if (route == NULL) {
		if (!origin_answer_preflight(&api->conf.origins, q, buf_cstr(&allow)))
			answer_no_route(api, q, err, &allow);
	} else {
		c = make_call(api, q, route);
		if (admit(c, &path) != OK)
			c = NULL;
	}
	buf_fini(&allow);
	return c;
}

void api_handle(void *arg, struct http_request *q)
{
	struct call *c = begin_call(arg, q);
	if (c == NULL)
		return;
	if (http_waits(q))
		call_drop(c);
	else
		run(arg, c);
}

bool api_handle_head(void *arg, struct http_request *q)
{
	struct call *c = begin_call(arg, q);
	if (c == NULL || (c->route->handle == handle_webhook_in && !webhook_in_may_come(c)) ||
	    (c->route->handle == handle_source_in && !source_in_may_come(c)))
		return false;
	call_drop(c); /* it begins anew with the body */
	return true;
}

void api_handle_metrics(void *arg, struct http_request *q)
{
	static const struct route METRICS = {"GET", "metrics", NULL, NULL, NULL, true, NULL};
	struct call *c = make_call(arg, q, &METRICS);
	if (!slice_eq(http_path(q), SLICE("/metrics"))) {
		call_fail(c, 404, "", "there is no such call");
	} else if (!same_method("GET", http_method(q))) {
		http_add_header(q, "Allow", "GET");
		call_fail(c, 405, "", "this path does not have this method");
	} else {
		metrics_reply(c);
	}
}
