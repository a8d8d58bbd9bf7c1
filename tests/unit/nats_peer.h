/*
 * A NATS server on loopback that says what a test has it say, in the test's own loop: one
 * connection at a time, the newest. Each step that waits fails the test after PEER_PATIENCE_MS.
 */
#ifndef TESTS_UNIT_NATS_PEER_H
#define TESTS_UNIT_NATS_PEER_H

#include "base/buf.h"
#include "base/reactor.h"
#include "domain/nats_given.h"

#define PEER_PATIENCE_MS 20000
#define PEER_INFO                                                                              \
	"INFO {\"headers\":true,\"max_payload\":1000,\"nonce\":\"PXoWU7zWAMt75FY\"}\r\n"

struct peer {
	struct reactor *reactor;
	struct nats_server address;
	int listener;
	struct reactor_io *listening;
	int fd; /* -1: nobody is connected */
	struct reactor_io *io;
	struct buf got;    /* what was sent, but what was expected already */
	unsigned accepted; /* connections */
};

struct peer *peer_new(struct reactor *r);
void peer_free(struct peer *p);

/* Runs the loop until `*flag` differs from `value`. */
void peer_wait(struct peer *p, const unsigned *number, unsigned least);

/* Runs the loop until `text` has been sent, and forgets all up to its end. */
void peer_expect(struct peer *p, const char *text);

/* The same; *word becomes what is sent between `text` and `end`, NUL-terminated. */
void peer_expect_word(struct peer *p, const char *text, const char *end, char *word,
    size_t size);

void peer_say(struct peer *p, const char *text);

/* Says a message to `subject`, over subscription `sid`; `headers`, NULL or a whole block. */
void peer_say_message(struct peer *p, const char *subject, uint64_t sid, const char *reply,
    const char *headers, const char *payload);

void peer_hang_up(struct peer *p);

/* Greets who connects, and lets him in: "INFO", then "PONG" for his "PING". */
void peer_welcome(struct peer *p);

#endif
