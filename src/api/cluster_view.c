/* How a member stands, as JSON and as metrics; see cluster_view.h. */
#include "api/cluster_view.h"

#include <stdio.h>
#include <string.h>

#include "api/exposition.h"

static void write_text_or_null(struct json_writer *json, const char *name, const char *text)
{
	if (text == NULL || text[0] == '\0')
		json_write_null(json, name);
	else
		json_write_bytes(json, name, slice_of(text));
}

static void write_u64_or_null(struct json_writer *json, const char *name, uint64_t value,
    bool is_known)
{
	if (is_known)
		json_write_u64(json, name, value);
	else
		json_write_null(json, name);
}

static void write_member(const struct cluster_view *v, const struct journal_member *m,
    struct json_writer *json)
{
	uint64_t behind = v->end.last > m->synced ? v->end.last - m->synced : 0;
	/* one that has died tells of itself as it was */
	bool owns = v->active != NULL && strcmp(m->name, v->active) == 0;
	json_open_object(json, NULL);
	write_text_or_null(json, "member", m->name);
	json_write_cstr(json, "role", owns ? "active" : "standby");
	write_text_or_null(json, "url", m->url);
	json_write_u64(json, "synced", m->synced);
	json_write_u64(json, "behind", behind);
	json_write_time_or_null(json, "told_at", m->told_ms);
	json_close(json);
}

static void write_journal(const struct cluster_view *v, struct json_writer *json)
{
	json_open_object(json, "journal");
	json_write_bool(json, "up", v->journal_is_up);
	json_write_u64(json, "first", v->end.first);
	json_write_u64(json, "last", v->end.last);
	json_write_u64(json, "bytes", v->end.bytes);
	json_write_u64(json, "max_bytes", v->end.max_bytes);
	write_u64_or_null(json, "copies", v->end.copies, v->end.copies > 0);
	json_close(json);
}

void cluster_view_write(const struct cluster_view *v, struct json_writer *json)
{
	json_open_object(json, NULL);
	json_write_cstr(json, "role", v->role);
	write_text_or_null(json, "shard", v->shard);
	write_text_or_null(json, "member", v->member);
	write_text_or_null(json, "url", v->url);
	write_text_or_null(json, "active_member", v->active);
	write_text_or_null(json, "active", v->active_url);
	json_write_bool(json, "takes", v->takes);
	json_write_u64(json, "epoch", v->epoch);
	json_write_u64(json, "seq", v->seq);
	json_write_u64(json, "synced", v->synced);
	write_u64_or_null(json, "lag", v->lag, v->knows_lag);
	write_text_or_null(json, "why", v->why);
	write_journal(v, json);
	json_open_array(json, "members");
	for (size_t i = 0; i < v->member_count; i++)
		write_member(v, &v->members[i], json);
	json_close(json);
	json_close(json);
}

void cluster_view_write_single(struct json_writer *json)
{
	json_open_object(json, NULL);
	json_write_cstr(json, "role", "single");
	json_close(json);
}

void cluster_view_write_away(const struct cluster_view *v, struct json_writer *json)
{
	json_open_object(json, NULL);
	json_write_cstr(json, "role", v->role);
	write_text_or_null(json, "active", v->active_url);
	json_close(json);
}

void cluster_view_metrics(const struct cluster_view *v, struct buf *out)
{
	static const char ROLE[] = "waybill_cluster_role";
	static const char *const ROLES[] = {"active", "standby", "joining"};
	exposition_family(out, ROLE, "gauge", "1 for the role that this member has.");
	for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
		char label[32];
		(void)snprintf(label, sizeof(label), "role=\"%s\"", ROLES[i]);
		exposition_whole(out, ROLE, label, strcmp(v->role, ROLES[i]) == 0 ? 1 : 0);
	}
	exposition_gauge(out, "waybill_cluster_epoch", "Counts owners of the shard.", v->epoch);
	if (v->knows_lag)
		exposition_gauge(out, "waybill_cluster_lag_records",
		    "Entries of the journal that were not read here.", v->lag);
	exposition_gauge(out, "waybill_cluster_journal_up", "1: the journal answers.",
	    v->journal_is_up ? 1 : 0);
	exposition_gauge(out, "waybill_cluster_journal_bytes", "Bytes of the journal.",
	    v->end.bytes);
	exposition_gauge(out, "waybill_cluster_journal_max_bytes",
	    "Bytes that the journal may have.", v->end.max_bytes);
	if (v->end.copies > 0)
		exposition_gauge(out, "waybill_cluster_journal_copies",
		    "Servers of NATS that have all of the journal.", v->end.copies);
	exposition_counter(out, "waybill_cluster_appended_bytes_total",
	    "Bytes of the entries that were appended.", v->append_bytes);
	exposition_counter(out, "waybill_cluster_fenced_total",
	    "Appends that another member was faster with.", v->fenced);
	exposition_counter(out, "waybill_cluster_takeovers_total",
	    "Times that this process took the shard over.", v->takeovers);
	if (v->append != NULL)
		exposition_histogram(out, "waybill_cluster_append_duration_seconds",
		    "From an entry's append to the journal's answer.", v->append);
}
