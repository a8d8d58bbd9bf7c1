/* The object around what webhook_write() knows; see webhook_view.h. */
#include "api/webhook_view.h"

#include <string.h>

static const char *const STATES[] = {"ok", "failing", "held", "off"};

bool webhook_view_knows(const char *state)
{
	for (size_t i = 0; i < sizeof(STATES) / sizeof(STATES[0]); i++) {
		if (strcmp(STATES[i], state) == 0)
			return true;
	}
	return false;
}

const char *webhook_view_state(const struct webhook *w, const struct dispatch_status *status)
{
	if (!w->enabled)
		return STATES[3];
	if (status->failing_since_ms != 0 || strcmp(status->circuit, "closed") != 0)
		return STATES[1];
	return STATES[status->held_reason != NULL ? 2 : 0];
}

static void write_status(const struct dispatch_status *status, struct json_writer *json)
{
	json_open_object(json, "circuit");
	json_write_cstr(json, "state", status->circuit);
	json_write_u64(json, "consecutive_failures", status->failures);
	json_write_time_or_null(json, "failing_since", status->failing_since_ms);
	json_write_time_or_null(json, "opened_at", status->opened_ms);
	json_write_time_or_null(json, "next_probe_at", status->probe_ms);
	json_close(json);
	json_write_u64(json, "in_flight", status->in_flight);
	json_write_cstr(json, "held_reason", status->held_reason);
}

static void write_last(const struct trend_last *last, struct json_writer *json)
{
	if (last->at_ms == 0) {
		json_write_null(json, "last_attempt");
		return;
	}
	json_open_object(json, "last_attempt");
	json_write_time(json, "at", last->at_ms);
	if (last->status != 0)
		json_write_i64(json, "status", last->status);
	else
		json_write_null(json, "status");
	json_write_bytes_or_null(json, "error", slice_of(last->error));
	json_close(json);
}

void webhook_view_write(const struct webhook *w, enum webhook_form form,
    const struct dispatch_status *status, const struct trend_last *last, int64_t now_ms,
    struct json_writer *json)
{
	json_open_object(json, NULL);
	webhook_write(w, form, now_ms, json);
	json_write_cstr(json, "session_id", w->session);
	json_write_cstr(json, "state", webhook_view_state(w, status));
	write_status(status, json);
	write_last(last, json);
	json_write_time_or_null(json, "created_at", w->created_ms);
	json_write_time_or_null(json, "updated_at", w->updated_ms);
	json_close(json);
}
