/*
 * GET /metrics: every figure of the process in Prometheus' text format. Names and units are
 * by its conventions; no label has values that clients choose, but for the names of sources.
 * What it costs does not depend on how many webhooks, events or sessions there are.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/exposition.h"
#include "api/handlers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "courier/client.h"
#include "shares/shares.h"
#include "store/queue.h"

#define METRICS_MAX (4u << 20) /* bytes; about 20 KiB, and 1.6 MiB for SOURCES_MAX sources */
#define SHARE_ROWS_MAX 32      /* resources that are shared; there are fewer */

const char *const TURN_PART_NAMES[TURN_PARTS] = {
    [TURN_EVENTS] = "events",
    [TURN_COMMIT] = "commit",
    [TURN_JOBS] = "jobs",
    [TURN_PUMP] = "pump",
};

static void put_events(const struct api *api, struct buf *out)
{
	const struct api_counts *n = &api->counts;
	exposition_counter(out, "waybill_events_published_total",
	    "Events stored, each answered with a 2xx.", n->events);
	exposition_counter(out, "waybill_events_repeated_total",
	    "Events that were stored before, known by their id or Idempotency-Key.",
	    n->repeats);
	exposition_counter(out, "waybill_events_published_bytes_total",
	    "Bytes of the bodies of stored events.", n->bytes);
	exposition_counter(out, "waybill_deliveries_queued_total",
	    "Deliveries made of stored events.", n->deliveries);
}

/* Deliveries that were cancelled: with their webhooks, by calls, given up when published. */
uint64_t metrics_cancelled(const struct api *api)
{
	return purge_cancelled(api->conf.purge) + forgetter_cancelled(api->conf.forgetter) +
	    api->counts.cancelled + usage_given_up(api->conf.quota.usage);
}

static void put_deliveries(const struct api *api, const struct dispatch_figures *f,
    struct buf *out)
{
	static const char *const CLASSES[DISPATCH_CLASSES] = {"class=\"none\"", "class=\"1xx\"",
	    "class=\"2xx\"", "class=\"3xx\"", "class=\"4xx\"", "class=\"5xx\""};
	static const char OUTCOMES[] = "waybill_deliveries_total";
	static const char ATTEMPTS[] = "waybill_attempts_total";
	exposition_family(out, OUTCOMES, "counter",
	    "Outcomes of deliveries, on disk. Retried: once an attempt that another follows.");
	exposition_whole(out, OUTCOMES, "outcome=\"delivered\"", f->delivered);
	exposition_whole(out, OUTCOMES, "outcome=\"retried\"", f->retried);
	exposition_whole(out, OUTCOMES, "outcome=\"dead\"", f->dead);
	exposition_whole(out, OUTCOMES, "outcome=\"expired\"", f->expired);
	exposition_whole(out, OUTCOMES, "outcome=\"cancelled\"", metrics_cancelled(api));
	exposition_family(out, "waybill_deliveries_given_up_total", "counter",
	    "Cancelled when published: the webhooks for all sessions had their share of the "
	    "store.");
	exposition_whole(out, "waybill_deliveries_given_up_total", "",
	    usage_given_up(api->conf.quota.usage));
	exposition_family(out, ATTEMPTS, "counter",
	    "Attempts that ended, by the receiver's status; none: no answer came.");
	for (size_t i = 0; i < DISPATCH_CLASSES; i++) {
		if (i != 1) /* the final status is never a 1xx */
			exposition_whole(out, ATTEMPTS, CLASSES[i], f->attempts[i]);
	}
}

static void put_latencies(const struct api *api, const struct dispatch_figures *f,
    struct buf *out)
{
	static const char PARTS[] = "waybill_turn_seconds";
	exposition_histogram(out, "waybill_receipt_duration_seconds",
	    "From the publishing of an event to the receiver's 2xx.", &f->receipt);
	exposition_histogram(out, "waybill_attempt_duration_seconds",
	    "From the start of an attempt to its result.", &f->attempt);
	exposition_histogram(out, "waybill_commit_duration_seconds",
	    "Transactions of the store, their flush to disk included.",
	    &turn_figures(api->conf.turn)->commit);
	exposition_histogram(out, "waybill_turn_duration_seconds",
	    "Turns of the loop, without the wait for something to do.", api->conf.turns);
	exposition_family(out, PARTS, "histogram",
	    "The parts of turns: callbacks, the commit, slices of jobs, starts of attempts.");
	for (size_t i = 0; i < TURN_PARTS; i++) {
		char label[64];
		(void)snprintf(label, sizeof(label), "part=\"%s\"", TURN_PART_NAMES[i]);
		exposition_buckets(out, PARTS, label, &api->conf.turn_parts[i]);
	}
	exposition_counter(out, "waybill_commit_failures_total",
	    "Transactions of which nothing was written.",
	    turn_figures(api->conf.turn)->failures);
}

static void put_queue(const struct api *api, const struct dispatch_figures *f, struct buf *out)
{
	static const char CIRCUITS[] = "waybill_circuits";
	static const char WEBHOOKS[] = "waybill_webhooks";
	struct registry_figures hooks = registry_figures(api->conf.registry);
	int64_t oldest_ms = 0;
	uint64_t all = hooks.enabled + hooks.disabled;
	uint64_t troubled = f->open + f->half_open;
	exposition_gauge(out, "waybill_queue_depth",
	    "Deliveries that wait, those in flight and those of deleted webhooks included.",
	    backlog_total(api->conf.quota.backlog));
	if (oldest_created(api->conf.oldest, &oldest_ms)) {
		static const char OLDEST[] = "waybill_oldest_waiting_age_seconds";
		int64_t age_ms = oldest_ms == 0 ? 0 : clock_wall_ms() - oldest_ms;
		exposition_family(out, OLDEST, "gauge",
		    "Since the publishing of the oldest delivery that waits; 0 if none does.");
		exposition_real(out, OLDEST, "", age_ms > 0 ? (double)age_ms / 1000 : 0);
	}
	exposition_gauge(out, "waybill_attempts_in_flight", "Attempts under way.",
	    f->in_flight);
	exposition_family(out, CIRCUITS, "gauge",
	    "Webhooks and fallbacks by the state of their circuit.");
	exposition_whole(out, CIRCUITS, "state=\"closed\"",
	    all > troubled ? all - troubled : 0);
	exposition_whole(out, CIRCUITS, "state=\"open\"", f->open);
	exposition_whole(out, CIRCUITS, "state=\"half_open\"", f->half_open);
	exposition_family(out, WEBHOOKS, "gauge", "Webhooks that are registered.");
	exposition_whole(out, WEBHOOKS, "state=\"enabled\"", hooks.enabled);
	exposition_whole(out, WEBHOOKS, "state=\"disabled\"", hooks.disabled);
}

static void put_usage(const struct db_usage *u, struct buf *out)
{
	static const char PAGES[] = "waybill_store_pages";
	uint64_t used = u->used_bytes / u->page_bytes;
	uint64_t all = u->file_bytes / u->page_bytes;
	exposition_family(out, PAGES, "gauge",
	    "Pages of the store's file: with data, and free to be used again.");
	exposition_whole(out, PAGES, "state=\"used\"", used);
	exposition_whole(out, PAGES, "state=\"free\"", all > used ? all - used : 0);
	exposition_gauge(out, "waybill_store_used_bytes", "Bytes of pages with data.",
	    u->used_bytes);
	exposition_gauge(out, "waybill_store_file_bytes", "Size of the store's file.",
	    u->file_bytes);
	exposition_gauge(out, "waybill_store_max_bytes", "The setting store_max_bytes.",
	    u->max_bytes);
	exposition_gauge(out, "waybill_store_disk_free_bytes",
	    "Free bytes of the store's file system.", u->disk_free_bytes);
	exposition_gauge(out, "waybill_store_disk_size_bytes",
	    "Size of the store's file system.", u->disk_bytes);
}

/* What cannot be measured is left out: an absent figure shows, a wrong one does not. */
static void put_store(const struct api *api, struct buf *out)
{
	const struct api_health *health = api->conf.health;
	struct db_txn *txn = NULL;
	struct db_usage u;
	uint64_t dead = 0;
	if (db_usage(api->conf.db, &u) == OK)
		put_usage(&u, out);
	if (db_read(api->conf.db, &txn) == OK) {
		enum err err = db_rows(txn, DB_DEAD, &dead);
		db_read_end(txn);
		if (err == OK)
			exposition_gauge(out, "waybill_dead_letters", "Dead letters kept.",
			    dead);
	}
	exposition_gauge(out, "waybill_store_writable", "1: the last transaction was written.",
	    health->stores ? 1 : 0);
	exposition_gauge(out, "waybill_store_has_room", "1: new events are taken.",
	    health->has_room ? 1 : 0);
	exposition_gauge(out, "waybill_ready", "1: /readyz is 200.",
	    health->stores && health->has_room && !health->waits && !health->stopping ? 1 : 0);
}

static void put_http(const struct api *api, struct buf *out)
{
	static const char *const CLASSES[HTTP_CLASSES] = {"", "class=\"1xx\"", "class=\"2xx\"",
	    "class=\"3xx\"", "class=\"4xx\"", "class=\"5xx\""};
	static const char ANSWERS[] = "waybill_http_answers_total";
	struct http_figures f;
	http_figures(api->http, &f);
	exposition_gauge(out, "waybill_connections", "Open connections of clients.",
	    f.connections);
	exposition_counter(out, "waybill_connections_accepted_total",
	    "Connections of clients since the start.", f.accepted);
	exposition_counter(out, "waybill_connections_displaced_total",
	    "Connections that were closed to make place for others.", f.displaced);
	exposition_family(out, ANSWERS, "counter", "Answers to clients, by status.");
	for (size_t i = 2; i < HTTP_CLASSES; i++)
		exposition_whole(out, ANSWERS, CLASSES[i], f.answers[i]);
}

/* Something that takers share (shares.h). */
struct share_row {
	const char *resource;
	const struct shares_figures *figures;
};

static void put_share_rows(const struct share_row *rows, size_t n, struct buf *out)
{
	static const struct {
		const char *name;
		const char *type;
		const char *help;
	} FAMILIES[] = {{"waybill_share_capacity", "gauge",
			    "What there is of a resource that is shared."},
	    {"waybill_share_held", "gauge", "What is taken of it, by all together."},
	    {"waybill_share_refused_total", "counter",
		"Times that somebody was refused more of it."}};
	for (size_t i = 0; i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++) {
		exposition_family(out, FAMILIES[i].name, FAMILIES[i].type, FAMILIES[i].help);
		for (size_t j = 0; j < n; j++) {
			const struct shares_figures *f = rows[j].figures;
			const uint64_t values[] = {f->share.capacity, f->share.held,
			    f->refused};
			char label[64];
			(void)snprintf(label, sizeof(label), "resource=\"%s\"",
			    rows[j].resource);
			exposition_whole(out, FAMILIES[i].name, label, values[i]);
		}
	}
}

/* A row for each thing that is shared. */
static void put_shares(const struct api *api, const struct dispatch_figures *f, struct buf *out)
{
	struct http_figures http;
	struct share_row rows[SHARE_ROWS_MAX];
	size_t n = 0;
	const struct shares_figures slots = {.share = f->sched.slots,
	    .refused = f->sched.parks};
	http_figures(api->http, &http);
	for (size_t i = 0; i < HTTP_RESOURCES; i++)
		rows[n++] = (struct share_row){HTTP_RESOURCE_NAMES[i], http.shares[i]};
	struct tokens_figures tokens;
	tokens_figures(api->conf.tokens, &tokens);
	rows[n++] = (struct share_row){"tokens", tokens.questions};
	struct asker_figures asker;
	asker_figures(api->conf.asker, &asker);
	rows[n++] = (struct share_row){"challenges", asker.questions};
	rows[n++] = (struct share_row){"streams", streams_figures(api->streams)};
	rows[n++] = (struct share_row){"slots", &slots};
	rows[n++] = (struct share_row){"store", usage_figures(api->conf.quota.usage)};
	put_share_rows(rows, n, out);
}

static void put_lookups(const struct api *api, struct buf *out)
{
	static const char NAMES[] = "waybill_lookup_names";
	static const char ENDED[] = "waybill_lookups_total";
	struct lookup_figures f;
	client_lookups(api->conf.client, &f);
	exposition_family(out, NAMES, "gauge",
	    "Names that name servers are asked for, and those that wait for it.");
	exposition_whole(out, NAMES, "state=\"asked\"", f.asked);
	exposition_whole(out, NAMES, "state=\"waiting\"", f.waiting);
	exposition_family(out, ENDED, "counter",
	    "Queries for a name's addresses, by their end; displaced: others waited longer.");
	for (size_t i = 0; i < LOOKUP_STATUSES; i++) {
		char label[64];
		(void)snprintf(label, sizeof(label), "result=\"%s\"", LOOKUP_STATUS_NAMES[i]);
		exposition_whole(out, ENDED, label, f.ended[i]);
	}
	exposition_whole(out, ENDED, "result=\"displaced\"", f.displaced);
}

/* A figure of the sources, a sample for each. */
struct source_family {
	const char *name;
	const char *type;
	const char *help;
	size_t at;       /* where in struct source_figures it stands */
	struct buf *out; /* while they are walked */
};

static void put_source(void *entry, void *arg)
{
	const struct source_entry *e = entry;
	const struct source_family *f = arg;
	char id[UUID_TEXT_SIZE];
	struct buf labels = BUF_INIT(3 * SOURCE_NAME_MAX);
	uuid_format(&e->source->id, id);
	exposition_label(&labels, "source", slice_of(id));
	exposition_label(&labels, "name", slice_of(source_name(e->source)));
	if (f->at != offsetof(struct source_figures, last_ms)) {
		uint64_t value;
		memcpy(&value, (const char *)&e->figures + f->at, sizeof(value));
		exposition_whole(f->out, f->name, buf_cstr(&labels), value);
	} else if (e->figures.last_ms > 0) { /* it is left out where nothing has come */
		exposition_real(f->out, f->name, buf_cstr(&labels),
		    (double)e->figures.last_ms / 1000);
	}
	buf_fini(&labels);
}

static void put_sources(const struct api *api, struct buf *out)
{
	static const struct source_family FAMILIES[] = {
	    {"waybill_source_events_total", "counter", "Events of a source, stored.",
		offsetof(struct source_figures, events), NULL},
	    {"waybill_source_repeats_total", "counter",
		"Events of a source that were stored before.",
		offsetof(struct source_figures, repeats), NULL},
	    {"waybill_source_missed_total", "counter",
		"Events of a source whose session or name was not where it should be.",
		offsetof(struct source_figures, missed), NULL},
	    {"waybill_source_refused_total", "counter",
		"Requests at a source that were not proven, or could not be read.",
		offsetof(struct source_figures, refused), NULL},
	    {"waybill_source_last_received_timestamp_seconds", "gauge",
		"When a source's last request was taken; nothing, where none has come.",
		offsetof(struct source_figures, last_ms), NULL},
	};
	for (size_t i = 0; i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++) {
		struct source_family f = FAMILIES[i];
		f.out = out;
		exposition_family(out, f.name, f.type, f.help);
		sources_each(api->conf.sources, put_source, &f);
	}
}

/* What the gateway itself has lacked. */
static void put_shortages(const struct dispatch_figures *f, struct buf *out)
{
	static const char SHORTAGE[] = "waybill_shortage_total";
	exposition_family(out, SHORTAGE, "counter",
	    "Attempts that were put off, uncounted, as the gateway lacked something.");
	for (size_t i = SHORT_OF_NOTHING + 1; i < SHORTAGES; i++) {
		char label[64];
		(void)snprintf(label, sizeof(label), "of=\"%s\"", SHORTAGE_NAMES[i]);
		exposition_whole(out, SHORTAGE, label, f->shortages[i]);
	}
}

static void put_tokens(const struct api *api, struct buf *out)
{
	static const char QUESTIONS[] = "waybill_token_requests_total";
	struct tokens_figures f;
	tokens_figures(api->conf.tokens, &f);
	exposition_family(out, QUESTIONS, "counter",
	    "Requests for an access token, by what came of them.");
	exposition_whole(out, QUESTIONS, "result=\"ok\"", f.had);
	exposition_whole(out, QUESTIONS, "result=\"failed\"", f.failed);
}

static void put_challenges(const struct api *api, struct buf *out)
{
	static const char ENDPOINTS[] = "waybill_endpoints_challenged_total";
	struct asker_figures f;
	asker_figures(api->conf.asker, &f);
	exposition_family(out, ENDPOINTS, "counter",
	    "Endpoints that were asked whether they want events, by what they said.");
	exposition_whole(out, ENDPOINTS, "result=\"verified\"", f.verified);
	exposition_whole(out, ENDPOINTS, "result=\"refused\"", f.refused);
	exposition_whole(out, ENDPOINTS, "result=\"silent\"", f.silent);
	exposition_gauge(out, "waybill_endpoints_pending",
	    "Endpoints that are being asked; nothing is delivered there meanwhile.", f.pending);
}

/* When webhooks' certificates expire, as of the last look. */
static void put_certificates(const struct api *api, struct buf *out)
{
	static const char CERTIFICATES[] = "waybill_client_certificates";
	const struct certificates_figures *f = certificates_figures(api->conf.certificates);
	exposition_family(out, CERTIFICATES, "gauge",
	    "Certificates that webhooks show their receivers; expiring: within 30 days.");
	exposition_whole(out, CERTIFICATES, "state=\"valid\"", f->valid);
	exposition_whole(out, CERTIFICATES, "state=\"expiring\"", f->expiring);
	exposition_whole(out, CERTIFICATES, "state=\"expired\"", f->expired);
}

static void put_log(struct buf *out)
{
	static const char LINES[] = "waybill_log_lines_total";
	struct log_figures f = log_figures();
	exposition_family(out, LINES, "counter",
	    "Log lines by level, also those that log_rate held back.");
	exposition_whole(out, LINES, "level=\"debug\"", f.lines[LOG_DEBUG]);
	exposition_whole(out, LINES, "level=\"info\"", f.lines[LOG_INFO]);
	exposition_whole(out, LINES, "level=\"warn\"", f.lines[LOG_WARN]);
	exposition_whole(out, LINES, "level=\"error\"", f.lines[LOG_ERROR]);
	exposition_counter(out, "waybill_log_lines_lost_total",
	    "Log lines that nobody took in time.", f.lost);
}

static void put_process(const struct api *api, struct buf *out)
{
	struct process_figures p;
	process_figures(&p);
	exposition_family(out, "waybill_build_info", "gauge",
	    "1, with the version as a label.");
	exposition_whole(out, "waybill_build_info", "version=\"" WAYBILL_VERSION "\"", 1);
	exposition_family(out, "process_cpu_seconds_total", "counter",
	    "User and system processor time.");
	exposition_real(out, "process_cpu_seconds_total", "", p.cpu_s);
	exposition_gauge(out, "process_resident_memory_bytes",
	    "Resident memory of its own, without the mapped store and programs.",
	    p.resident_bytes);
	exposition_gauge(out, "process_open_fds", "Open descriptors.", p.open_fds);
	exposition_gauge(out, "process_max_fds", "The limit of open descriptors.", p.max_fds);
	exposition_family(out, "process_start_time_seconds", "gauge",
	    "When the process began, seconds since 1970.");
	exposition_real(out, "process_start_time_seconds", "",
	    (double)api->conf.started_ms / 1000);
}

void metrics_reply(struct call *c)
{
	struct api *api = c->api;
	struct dispatch_figures f;
	struct buf out = BUF_INIT(METRICS_MAX);
	dispatch_figures(api->conf.dispatch, &f);
	put_events(api, &out);
	put_deliveries(api, &f, &out);
	put_latencies(api, &f, &out);
	put_queue(api, &f, &out);
	put_store(api, &out);
	put_http(api, &out);
	put_shares(api, &f, &out);
	put_lookups(api, &out);
	put_shortages(&f, &out);
	put_sources(api, &out);
	put_tokens(api, &out);
	put_challenges(api, &out);
	put_certificates(api, &out);
	cluster_metrics(api, &out);
	put_log(&out);
	put_process(api, &out);
	http_reply(c->http, 200, EXPOSITION_TYPE, buf_view(&out));
	call_end(c);
	buf_fini(&out);
}

void handle_metrics(struct call *c)
{
	if (c->api->conf.metrics_apart)
		call_fail(c, 404, "", "served at metrics_listen alone");
	else
		metrics_reply(c);
}
