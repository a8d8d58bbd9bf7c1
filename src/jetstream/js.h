/*
 * The messages of one JetStream stream, each handed over once and in order, to somebody who
 * stores where he is together with what he makes of them (docs/nats.md). A durable pull
 * consumer of its own, on a connection of its own.
 *
 * What is stored is the truth: whenever a connection begins, or anything is doubtful, the
 * consumer at the server is made anew to begin right behind it. So nothing that the server has
 * forgotten, delivered to a connection that died or delivered twice is lost or comes twice.
 *
 * It never: pulls more than there is room for, acknowledges what is not stored, hands over a
 * message while an older one is missing, reads a stream that drops what was acknowledged.
 */
#ifndef JETSTREAM_JS_H
#define JETSTREAM_JS_H

#include "jetstream/js_api.h"
#include "nats/nats.h"

#define JS_BATCH_MAX 1024 /* messages of a pull */

/* To be stored as it is. Zeroed: nothing was taken yet. */
struct js_position {
	uint64_t stream; /* its creation, wall ms: one made anew counts from 1 again */
	uint64_t seq;    /* the last message's */
};

struct js_room {
	size_t messages;
	size_t bytes; /* a message that is larger still comes, alone */
};

/* Valid for the call in which it is handed over. */
struct js_message {
	const struct nats_message *message; /* its reply is not for others */
	struct js_position at;              /* what to store with it */
	uint64_t previous; /* the seq that has to be stored before it, or together with it */
	int64_t time_ms;   /* wall clock of the server that stored it */
};

/* Milliseconds. */
struct js_times {
	int64_t answer_ms;  /* until an answer of the API must have come */
	int64_t expires_ms; /* of a pull for which nothing comes */
	int64_t beat_ms;    /* between the server's signs of life in it; a third of the above */
	int64_t wait_ms;    /* before it begins anew; doubles each time */
	int64_t wait_max_ms;
};

extern const struct js_times JS_TIMES; /* 10 s, 30 s, 5 s, 0.5 s up to 30 s */

/* What is pointed to is borrowed for the life of the consumer. */
struct js_conf {
	struct nats_conf nats;
	const char *api;             /* NULL: "$JS.API"; "$JS.DOMAIN.API" of another domain */
	const char *stream;          /* both are nats_is_name() */
	const char *consumer;        /* the durable name: nobody else's */
	const char *const *subjects; /* nats_is_subject(); none: all of the stream */
	size_t subject_count;
	struct js_position from; /* what was stored */
	bool begin_at_end; /* where nothing was: what comes from now on, not what is there */
	const struct js_times *times; /* NULL: JS_TIMES */
};

/* Called from the loop; may do anything but js_free(). */
struct js_hooks {
	/* How much may be pulled now; no message or no byte: nothing until js_go_on(). */
	struct js_room (*room)(void *arg);
	void (*message)(void *arg, const struct js_message *m);
	/* Where it is changes without a message: to be stored before the next one. */
	void (*moved)(void *arg, struct js_position at);
	void *arg;
};

struct js;

struct js *js_new(const struct js_conf *conf, const struct js_hooks *hooks);

/* NULL is fine. */
void js_free(struct js *j);

/* All up to `at` is on disk: it is acknowledged. Goes on as js_go_on() does. */
void js_stored(struct js *j, struct js_position at);

/* What was handed over behind what js_stored() was told is not stored: it comes again. */
void js_again(struct js *j, const char *why);

/* There is room again. */
void js_go_on(struct js *j);

struct js_status {
	uint64_t taken;    /* messages that were handed over */
	uint64_t bytes;    /* of these, headers and payload */
	uint64_t missed;   /* that the stream had dropped before they were taken, at most */
	uint64_t begun;    /* how often the consumer was made */
	uint64_t pending;  /* messages behind the last one, when that came */
	const char *error; /* what is wrong, in ASCII; "" where nothing is */
	const struct nats_status *connection;
};

/* What it points to is borrowed until the loop goes on. */
struct js_status js_status(const struct js *j);

#endif
