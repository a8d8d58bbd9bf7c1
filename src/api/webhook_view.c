/* The object around what webhook_write() knows; see webhook_view.h. */
#include "api/webhook_view.h"

#include "base/str.h"
#include "domain/webhook_json.h"

/* Appends a time; null where it is 0. */
static void put_time(struct buf *out, const char *key, int64_t wall_ms)
{
	char stamp[STR_TIME_SIZE];
	str_time(wall_ms, stamp);
	if (wall_ms == 0)
		buf_printf(out, ",\"%s\":null", key);
	else
		buf_printf(out, ",\"%s\":\"%s\"", key, stamp);
}

static void put_status(const struct dispatch_status *status, struct buf *out)
{
	buf_printf(out, ",\"circuit\":{\"state\":\"%s\",\"consecutive_failures\":%u",
	    status->circuit, status->failures);
	put_time(out, "failing_since", status->failing_since_ms);
	put_time(out, "opened_at", status->opened_ms);
	put_time(out, "next_probe_at", status->probe_ms);
	buf_printf(out, "},\"in_flight\":%u", status->in_flight);
}

void webhook_view_put(const struct webhook *w, const struct dispatch_status *status,
    int64_t now_ms, struct buf *out)
{
	buf_putc(out, '{');
	webhook_write(w, now_ms, out);
	put_status(status, out);
	put_time(out, "created_at", w->created_ms);
	put_time(out, "updated_at", w->updated_ms);
	buf_putc(out, '}');
}
