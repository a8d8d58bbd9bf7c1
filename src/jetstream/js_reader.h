/*
 * The messages of a JetStream stream, in order, for somebody who keeps the place himself: a
 * pull consumer that is the server's memory alone and acknowledges nothing, on a connection
 * that others use, too. Whatever is doubtful, it is made anew to begin right behind the last
 * message that was handed over; so none is handed over twice, and one that is missing is seen.
 *
 * The consumer has one replica, and lies where the cluster puts it: on a server that has
 * fallen behind it ends where that one's stream does. That is not known here; who acts upon
 * having read all has to compare.
 */
#ifndef JETSTREAM_JS_READER_H
#define JETSTREAM_JS_READER_H

#include "jetstream/js_api.h"

/* Milliseconds. */
struct js_reader_times {
	int64_t answer_ms;  /* until an answer of the API must have come */
	int64_t again_ms;   /* before it begins anew */
	int64_t expires_ms; /* of a pull for which nothing comes */
	int64_t beat_ms; /* between the server's signs of life; three are missing: doubtful */
};

/* What is pointed to is borrowed. */
struct js_reader_conf {
	struct reactor *reactor;
	struct nats *nats;
	const char *api; /* NULL: "$JS.API" */
	const char *stream;
	const char *member; /* what its consumers' names begin with; nats_is_name() */
	size_t message_max; /* bytes of the largest message, with its headers */
	const struct js_reader_times *times;
};

/* Called from the loop; may stop and start the reader, not free it. */
struct js_reader_hooks {
	void (*message)(void *arg, uint64_t seq, uint64_t previous, struct slice payload);
	/* All there was is handed over; once behind each js_reader_start() and each message. */
	void (*caught_up)(void *arg);
	/*
	 * What the server has said of the stream, before each time a consumer is made. False:
	 * it is not the one to read, and reading has ended.
	 */
	bool (*info)(void *arg, const struct js_info *info);
	/* An answer that was not there or refuses; 0: a good one has come. */
	void (*answered)(void *arg, uint64_t refusal, const char *why);
	void *arg;
};

struct js_reader;

/* It reads nothing yet. */
struct js_reader *js_reader_new(const struct js_reader_conf *conf,
    const struct js_reader_hooks *hooks);
void js_reader_free(struct js_reader *r); /* before its connection; NULL is fine */

/* Reads on behind `seq`; the connection has to be up. */
void js_reader_start(struct js_reader *r, uint64_t seq);

/* Ends reading. */
void js_reader_stop(struct js_reader *r);

/* The connection is up again, or was lost: goes on where it was, or waits for it. */
void js_reader_connected(struct js_reader *r, bool is_up);

#endif
