/* The object around what webhook_write() knows; see webhook_view.h. */
#include "api/webhook_view.h"

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

void webhook_view_write(const struct webhook *w, enum webhook_form form,
    const struct dispatch_status *status, int64_t now_ms, struct json_writer *json)
{
	json_open_object(json, NULL);
	webhook_write(w, form, now_ms, json);
	write_status(status, json);
	json_write_time_or_null(json, "created_at", w->created_ms);
	json_write_time_or_null(json, "updated_at", w->updated_ms);
	json_close(json);
}
