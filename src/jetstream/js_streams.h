/*
 * The two streams of a shard's journal (js_journal.h): made once, by `waybill cluster init`,
 * and looked at by each member that starts. On a connection of its own.
 *
 * It never: changes or removes a stream that is there.
 */
#ifndef JETSTREAM_JS_STREAMS_H
#define JETSTREAM_JS_STREAMS_H

#include "jetstream/js_journal.h"

#define JS_SERVER_LEAST 2010          /* version: 2.10 */
#define JS_PAYLOAD_LEAST (512u << 10) /* bytes of max_payload: any row of a store has room */
#define JS_STREAMS_WORDS_MAX 2048

struct js_streams_conf {
	struct js_journal_conf journal; /* all but `member` */
	unsigned replicas;              /* 1 to 5; 3 outlive a machine */
	uint64_t max_bytes;             /* of the journal */
	bool may_make;                  /* streams that are not there */
	int64_t patience_ms; /* for a server that is not ready, or cannot be reached */
};

/*
 * Called once, from the loop; may free. OK: both are there, and as they have to be. Else, in
 * `words` (borrowed), why not, one reason a line, and
 *   ERR_REFUSED: a setting is another, or the server is none that will do
 *   ERR_NOTFOUND: they are not there
 *   ERR_BUSY: no server could say
 */
typedef void (*js_streams_fn)(void *arg, enum err result, const char *words);

struct js_streams;

struct js_streams *js_streams_new(const struct js_streams_conf *conf, js_streams_fn fn,
    void *arg);

/* At any moment; what is under way is not answered. NULL is fine. */
void js_streams_free(struct js_streams *s);

#endif
