/*
 * Reads server-sent events out of the bytes of a stream, however these are cut
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html): type, data and the last id.
 * It never: holds more than SSE_LINE_MAX of a line or of an event's data.
 */
#ifndef CLI_SSE_H
#define CLI_SSE_H

#include "base/buf.h"

#define SSE_LINE_MAX 65536
#define SSE_TYPE_MAX 64
#define SSE_ID_MAX 64

struct sse {
	void (*event)(void *arg, const char *type, struct slice data); /* borrowed */
	void *arg;
	struct buf line;
	struct buf data;
	bool has_data;
	char type[SSE_TYPE_MAX + 1]; /* empty: none was named */
	char next_id[SSE_ID_MAX + 1];
	char last_id[SSE_ID_MAX + 1]; /* of the last block that was complete */
};

void sse_init(struct sse *s, void (*event)(void *arg, const char *type, struct slice data),
    void *arg);
void sse_fini(struct sse *s);

/* Forgets what is not complete: a new stream begins. The last id stays. */
void sse_begin(struct sse *s);

/* Reads on; false once something is over its limit, and then the stream makes no sense. */
bool sse_read(struct sse *s, struct slice bytes);

#endif
