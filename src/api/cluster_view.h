/*
 * How a member of a cluster stands, as it is shown: by GET /api/v1/cluster, in the metrics and
 * by a standby's /readyz (docs/cluster.md). Pure: who fills it knows where things stand.
 */
#ifndef API_CLUSTER_VIEW_H
#define API_CLUSTER_VIEW_H

#include "base/histogram.h"
#include "base/json_write.h"
#include "store/journal.h"

#define CLUSTER_NEEDS_ALL "the cluster is about all sessions: it needs a token for all"
#define CLUSTER_VIEW_MAX (256u << 10) /* bytes of its JSON: some dozens of members */

/* All borrowed; NULL and 0 where nothing is known. */
struct cluster_view {
	const char *role; /* "active", "standby" or "joining" */
	const char *shard;
	const char *member;
	const char *url;
	uint64_t epoch;
	const char *active; /* the member that owns the shard; NULL: none is known */
	const char *active_url;
	uint64_t seq;    /* of the last entry that it appended or read */
	uint64_t synced; /* of the last that is on disk here */
	uint64_t lag;    /* entries that are in the journal and were not read here… */
	bool knows_lag;  /* …as far as it knows where that ends */
	bool takes;      /* requests that write are taken */
	const char *why; /* what keeps it from going on, or NULL */
	bool journal_is_up;
	struct journal_end end;
	const struct journal_member *members;
	size_t member_count;
	const struct histogram *append; /* µs; NULL: nothing was appended yet */
	uint64_t appends;               /* entries that were taken */
	uint64_t append_bytes;          /* of them */
	uint64_t fenced;                /* appends at places that another member had taken */
	uint64_t takeovers;             /* of this process */
};

/* Writes it as an object. */
void cluster_view_write(const struct cluster_view *v, struct json_writer *json);

/* What an instance that is in no cluster is shown as. */
void cluster_view_write_single(struct json_writer *json);

/* The body of all that a member answers with 503 as it is not the active. */
void cluster_view_write_away(const struct cluster_view *v, struct json_writer *json);

/* Appends its metrics. */
void cluster_view_metrics(const struct cluster_view *v, struct buf *out);

#endif
