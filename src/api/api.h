/*
 * The HTTP API of docs/api.md: finds the call that a request makes, checks its
 * token, and hands it to the handler of that call. It parses, checks and stages;
 * it writes nothing itself.
 */
#ifndef API_API_H
#define API_API_H

#include "api/auth.h"
#include "api/inbound.h"
#include "api/intake.h"
#include "api/origin.h"
#include "base/uuid.h"
#include "dispatch/dispatch.h"
#include "domain/webhook_json.h"
#include "feed/feed.h"
#include "http/http.h"
#include "jobs/certificates.h"
#include "jobs/forgetter.h"
#include "jobs/ordering.h"
#include "jobs/ownership.h"
#include "jobs/purge.h"
#include "jobs/task_runner.h"
#include "store/oldest.h"
#include "store/registry.h"
#include "store/sources.h"
#include "store/trends.h"
#include "store/turn.h"

/* How the process is, kept by the loop. */
struct api_health {
	bool stores;           /* the last turn that had something to write could */
	bool waits;            /* for the cluster's journal: nothing that writes is taken… */
	const char *why_waits; /* …and what clients are told then */
	bool has_room;         /* disk and map are below their watermarks */
	bool stopping;
};

/* The parts of a turn of the loop, in order. */
enum turn_part {
	TURN_EVENTS, /* callbacks: requests are parsed and answered, attempts are judged */
	TURN_COMMIT, /* with what follows it in memory, and the answers */
	TURN_JOBS,
	TURN_PUMP, /* attempts are started */
};
#define TURN_PARTS 4

extern const char *const TURN_PART_NAMES[TURN_PARTS]; /* "events", … */

struct cluster_view;

/* The cluster that the process is the active of; all NULL: there is none. */
struct api_cluster {
	void (
	    *view)(void *arg, struct cluster_view *out); /* how it stands; borrowed, for now */
	void (*hand_over)(void *arg); /* lets another member be the active, and ends */
	void *arg;
};

struct api_conf {
	struct reactor *reactor; /* all borrowed */
	struct db *db;
	struct turn *turn;
	struct registry *registry;
	struct sources *sources;
	const struct vault *vault;
	struct idgen *ids;
	const struct auth *auth;
	struct peers *peers;
	const struct proxies *proxies;
	const struct api_health *health;
	struct dispatch *dispatch;
	const struct client *client;
	const struct address_policy *policy; /* for servers that sources name */
	struct task_runner *task_runner;
	struct ordering *ordering;
	const struct certificates *certificates;
	struct asker *asker;
	const struct tokens *tokens;
	const struct purge *purge;
	struct forgetter *forgetter;
	struct feed *feed;
	const struct trends *trends;
	struct oldest *oldest;
	const struct histogram *turns; /* how long they took, without the wait before them */
	const struct histogram *turn_parts; /* the same of their parts */
	struct webhook_rules rules;
	const struct inbound *inbound;
	struct origin_conf origins;
	uint64_t body_max;  /* bytes of one event's request */
	uint64_t batch_max; /* bytes of a batch */
	uint32_t webhooks_per_session;
	struct quota quota;
	struct api_cluster cluster;
	int64_t idempotency_ms;      /* how long idempotency keys are known */
	int64_t backup_stall_ms;     /* how long a backup's reader may take for a slice */
	uint32_t stream_readers_max; /* of the feed, at a time */
	int64_t stream_stall_ms;     /* how long one of them may take for a piece */
	bool metrics_apart;          /* /metrics is served by api_handle_metrics() alone */
	int64_t started_ms;          /* the system's clock when the process began */
	int64_t started_mono_ms;
};

struct api;

struct api *api_new(const struct api_conf *conf);
void api_free(struct api *api);

/*
 * Names the server, borrowed, whose connections and answers the figures are of. Before the
 * first request.
 */
void api_set_server(struct api *api, const struct http_server *http);

/*
 * Changes what calls are served with. Between turns, when no handler runs. Streams end: their
 * readers come back with tokens that are checked anew.
 */
void api_configure(struct api *api, const struct api_conf *conf);

/* The source of that id, one of the configuration, was made, changed or removed. */
void api_source_changed(struct api *api, const struct uuid *id);

/* Answers the requests that are held back, and holds none from now on. NULL is fine. */
void api_stop(struct api *api);
/*
 * Ends a backup, which keeps the store from using its space again, if the file has grown since
 * it began. To be called when the file, of `file_bytes`, cannot grow much more.
 */
void api_relieve(struct api *api, uint64_t file_bytes);

/* The request whose handler took longest. */
struct api_longest {
	int64_t us;                    /* 0: there was none */
	const char *method;            /* of its route; so the next: "POST", … */
	const char *pattern;           /* "sessions/:session/events", … */
	char session[SESSION_MAX + 1]; /* of its path; "": none */
};

/* Tells of the requests since the last time it was asked. */
struct api_longest api_take_longest(struct api *api);

/*
 * For struct http_hooks, whose `arg` is the struct api. A head is refused as the whole request
 * would be: for its path, its method, its token.
 */
void api_handle(void *arg, struct http_request *q);
bool api_handle_head(void *arg, struct http_request *q);

/* In place of api_handle(), where /metrics is served and nothing else. */
void api_handle_metrics(void *arg, struct http_request *q);

/* The contract's error shape. */
void api_error_body(int status, const char *message, struct buf *out);

#endif
