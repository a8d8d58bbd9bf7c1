/* Bodies of deliveries; see payload.h. The data is the envelope's last member. */
#include "domain/payload.h"

#include "base/json_write.h"
#include "base/percent.h"
#include "base/str.h"
#include "domain/json_scan.h"

#define HEAD_MAX 4096 /* bytes; session and name, percent-encoded and escaped, are below it */

const char *const PAYLOAD_NAMES[PAYLOADS] = {
    [PAYLOAD_ENVELOPE] = "envelope",
    [PAYLOAD_DATA] = "data",
    [PAYLOAD_CLOUDEVENTS] = "cloudevents",
};

const char *const PAYLOAD_TYPES[PAYLOADS] = {
    [PAYLOAD_ENVELOPE] = "application/json",
    [PAYLOAD_DATA] = "application/json",
    [PAYLOAD_CLOUDEVENTS] = "application/cloudevents+json",
};

/* The members of an envelope that a body is made of. */
struct parts {
	struct slice timestamp;
	struct slice data;
};

static struct parts find_parts(struct slice envelope)
{
	struct json_scan s = {.text = envelope};
	struct parts parts = {SLICE("0"), {envelope.ptr, 0}};
	struct slice key;
	json_scan_enter(&s);
	while (json_scan_member(&s, &key)) {
		struct slice value = json_scan_value(&s);
		if (slice_eq(key, SLICE("timestamp")))
			parts.timestamp = value;
		else if (slice_eq(key, SLICE("data")))
			parts.data = value;
	}
	return parts;
}

/* Writes a session as a segment of a URI. */
static void write_source(struct slice session, struct json_writer *json)
{
	struct buf source = BUF_INIT(HEAD_MAX);
	buf_puts(&source, "/sessions/");
	percent_put(&source, session);
	json_write_text(json, "source", buf_view(&source));
	buf_fini(&source);
}

/*
 * Writes what precedes the data of a CloudEvent. Source: CloudEvents 1.0.2, JSON event format
 * 1.0.2, structured mode.
 */
static void write_cloudevent(const struct payload_event *e, struct slice timestamp,
    struct buf *head)
{
	struct json_writer json = JSON_WRITER(head);
	uint64_t seconds = 0;
	if (str_u64(timestamp, &seconds) != OK || seconds > INT64_MAX / 1000)
		seconds = 0; /* no envelope that was taken has such a one */
	json_open_object(&json, NULL);
	json_write_cstr(&json, "specversion", "1.0");
	uuid_write(&json, "id", e->id);
	write_source(e->session, &json);
	json_write_text(&json, "type", e->name);
	json_write_text(&json, "subject", e->session);
	json_write_time(&json, "time", (int64_t)seconds * 1000);
	json_write_cstr(&json, "datacontenttype", "application/json");
	json_write_name(&json, SLICE("data"));
}

void payload_make(enum payload form, const struct payload_event *e, struct payload_body *out)
{
	*out = (struct payload_body){.head = BUF_INIT(HEAD_MAX), .len = e->envelope.len};
	if (form == PAYLOAD_ENVELOPE)
		return;
	struct parts parts = find_parts(e->envelope);
	out->at = (size_t)(parts.data.ptr - e->envelope.ptr);
	out->len = parts.data.len;
	if (form == PAYLOAD_CLOUDEVENTS) {
		write_cloudevent(e, parts.timestamp, &out->head);
		out->tail = SLICE("}");
	}
}

void payload_fini(struct payload_body *b)
{
	buf_fini(&b->head);
}

size_t payload_bytes(const struct payload_body *b)
{
	return b->head.len + b->len + b->tail.len;
}
