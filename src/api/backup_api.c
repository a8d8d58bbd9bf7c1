/*
 * GET /api/v1/backup: the whole store as it is now (backup/backup.h), while everything goes on.
 * One slice is read and sent; when it has left, the next one. The snapshot that it comes from
 * keeps freed pages from being used again, so a backup lasts only as long as its reader reads
 * and the store has room.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "backup/backup.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_stream.h"

#define SLICE_BYTES 65536    /* read in one turn */
#define SLICE_MAX (4u << 20) /* with a row that is larger than all of them */

struct backup {
	struct api *api;
	struct backup_source *source;
	struct http_stream *stream;
	struct buf slice;
	uint64_t bytes;
	uint64_t file_bytes; /* of the store when it began */
};

static void free_backup(struct backup *b)
{
	b->api->backup = NULL;
	backup_source_free(b->source);
	buf_fini(&b->slice);
	free(b);
}

static void end_backup(struct backup *b)
{
	log_info("backup sent", LOG_N("rows", backup_source_rows(b->source)),
	    LOG_N("bytes", b->bytes));
	http_stream_end(b->stream);
	free_backup(b);
}

/* The client left or did not read, or the server stops: what it has is not complete. */
static void on_gone(void *arg)
{
	struct backup *b = arg;
	log_warn("backup was cut off", LOG_N("rows", backup_source_rows(b->source)),
	    LOG_N("bytes", b->bytes));
	free_backup(b);
}

static enum err read_slice(struct backup *b, bool *end)
{
	buf_reset(&b->slice);
	enum err err = backup_source_read(b->source, SLICE_BYTES, &b->slice, end);
	b->bytes += err == OK ? b->slice.len : 0;
	return err;
}

static void send_slice(struct backup *b, bool end)
{
	http_stream_send(b->stream, buf_view(&b->slice));
	if (end)
		end_backup(b);
}

static void on_drained(void *arg)
{
	struct backup *b = arg;
	bool end = false;
	if (read_slice(b, &end) == OK)
		send_slice(b, end);
	else
		http_stream_abort(b->stream); /* the store has logged why */
}

static void begin_stream(struct call *c, struct backup *b, bool end)
{
	const struct http_stream_conf conf = {.drained = on_drained,
	    .gone = on_gone,
	    .arg = b,
	    .stall_ms = c->api->conf.backup_stall_ms};
	log_info("backup begins", LOG_N("file_bytes", b->file_bytes));
	b->stream = http_stream_begin(c->http, 200, "application/octet-stream", &conf);
	call_end(c);
	send_slice(b, end);
}

/* Reads the first slice too, so that what goes wrong at once still gets an error. */
static enum err open_backup(struct api *api, struct backup **out, bool *end)
{
	struct db_usage usage;
	struct backup *b = mem_new(sizeof(*b));
	b->api = api;
	b->slice = BUF_INIT(SLICE_MAX);
	enum err err = db_usage(api->conf.db, &usage);
	if (err == OK)
		err = backup_source_new(api->conf.db, &b->source);
	if (err == OK)
		err = read_slice(b, end);
	if (err != OK) {
		free_backup(b);
		return err;
	}
	b->file_bytes = usage.file_bytes;
	api->backup = b;
	*out = b;
	return OK;
}

void handle_backup(struct call *c)
{
	struct backup *b = NULL;
	bool end = false;
	if (c->token != NULL) {
		call_fail(c, 403, "", "a backup holds all sessions: it needs a token for all");
		return;
	}
	if (strcmp(http_method(c->http), "HEAD") == 0) {
		http_add_header(c->http, "Allow", "GET");
		call_fail(c, 405, "",
		    "a backup has no length to tell before it is read: use GET");
		return;
	}
	if (c->api->conf.health->stopping) {
		call_fail(c, 503, "", "stopping");
		return;
	}
	if (!http_can_stream(c->http)) {
		call_fail(c, 505, "", "a backup needs HTTP/1.1, whose answers have an end");
		return;
	}
	if (c->api->backup != NULL) {
		call_fail(c, 409, "",
		    "a backup is being taken already; there is one at a time");
		return;
	}
	enum err err = open_backup(c->api, &b, &end);
	if (err == OK)
		begin_stream(c, b, end);
	else
		call_fail_err(c, err);
}

void api_relieve(struct api *api, uint64_t file_bytes)
{
	struct backup *b = api->backup;
	if (b == NULL || file_bytes <= b->file_bytes)
		return;
	log_warn("the backup is ended: the store has no room to grow for it",
	    LOG_N("file_bytes", file_bytes));
	http_stream_abort(b->stream);
}
