/*
 * The HTTP API of docs/api.md: finds the call that a request makes, checks its
 * token, and hands it to the handler of that call. It parses, checks and stages;
 * it writes nothing itself.
 */
#ifndef API_API_H
#define API_API_H

#include "api/auth.h"
#include "api/inbound.h"
#include "api/publish_api.h"
#include "base/histogram.h"
#include "domain/id.h"
#include "domain/webhook_json.h"
#include "feed/feed.h"
#include "http/http.h"
#include "store/queue.h"
#include "store/registry.h"
#include "store/replays.h"
#include "store/turn.h"

/* What is counted outside of the api; for /metrics and the statistics. Since the start. */
struct api_figures {
	uint64_t delivered;
	uint64_t retried;
	uint64_t dead;
	uint64_t expired;
	uint64_t cancelled;
	uint64_t attempts[HTTP_CLASSES]; /* by the first digit of the status; 0: none came */
	struct histogram attempt;
	struct histogram receipt;
	struct histogram turn;
	uint32_t in_flight;
	uint32_t circuits_open;
	uint32_t circuits_half_open;
	struct http_figures http; /* of all servers */
	bool oldest_known;
	int64_t oldest_ms; /* wall; when the oldest waiting delivery was published; 0: none */
};

/* How a webhook's endpoint does. */
struct api_trouble {
	uint64_t webhook;
	struct webhook_status status;
	int last_status;
	const char *last_error; /* NULL: none */
};
typedef void (*api_trouble_fn)(void *arg, const struct api_trouble *t);

/* What others must hear of, after the commit. Set by main: the api includes no dispatcher. */
struct api_hooks {
	void (*queued)(void *arg, uint64_t webhook, const struct queue_place *place);
	void (*changed)(void *arg, uint64_t webhook, bool enabled_now);
	/* a replay was started: its record is on disk */
	void (*replaying)(void *arg, const struct replay_key *key);
	/* not told but asked: how a webhook's endpoint stands; false: nothing is known of it */
	bool (*status)(void *arg, uint64_t webhook, struct webhook_status *out);
	/* nor this: whether an attempt of a webhook's delivery is under way */
	bool (*in_flight)(void *arg, uint64_t webhook, const struct uuid *delivery);
	void (*figures)(void *arg, struct api_figures *out);
	/* calls `fn` for each webhook that has work, or had some lately */
	void (*troubles)(void *arg, api_trouble_fn fn, void *fn_arg);
	void *arg;
};

/* How the process is, kept by main. */
struct api_health {
	bool stores;   /* the last turn that had something to write could */
	bool has_room; /* disk and map are below their watermarks */
	bool stopping;
};

struct api_conf {
	struct reactor *reactor; /* all borrowed */
	struct db *db;
	struct turn *turn;
	struct registry *registry;
	const struct vault *vault;
	struct idgen *ids;
	const struct auth *auth;
	struct peers *peers;
	const struct proxies *proxies;
	const struct api_health *health;
	struct webhook_rules rules;
	const struct inbound *inbound;
	uint64_t body_max;  /* bytes of one event's request */
	uint64_t batch_max; /* bytes of a batch */
	uint32_t webhooks_per_session;
	struct quota quota;
	int64_t backup_stall_ms;     /* how long a backup's reader may take for a slice */
	struct feed *feed;           /* borrowed */
	uint32_t stream_readers_max; /* of the feed, at a time */
	int64_t stream_stall_ms;     /* how long one of them may take for a piece */
	struct api_hooks hooks;
	bool metrics_apart; /* /metrics is served by api_handle_metrics() alone */
	int64_t started_ms; /* the system's clock when the process began */
	int64_t started_mono_ms;
};

struct api;

struct api *api_new(const struct api_conf *conf);
void api_free(struct api *api);

/*
 * Changes what calls are served with. Between turns, when no handler runs. Streams end: their
 * readers come back with tokens that are checked anew.
 */
void api_configure(struct api *api, const struct api_conf *conf);
/* Answers the requests that are held back, and holds none from now on. NULL is fine. */
void api_stop(struct api *api);
/*
 * Ends what keeps the store from using its space again, a backup, if the file has grown since
 * it began. To be called when the file, of `file_bytes`, cannot grow much more.
 */
void api_relieve(struct api *api, uint64_t file_bytes);

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
