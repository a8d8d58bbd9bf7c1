/*
 * What a NATS server sends, taken apart: INFO, MSG, HMSG, PING, PONG, +OK and -ERR
 * (docs.nats.io, "Client Protocol"; headers: ADR-4). Pure: bytes in, one operation at a time
 * out, the same however the bytes are cut.
 *
 * It never: holds more than one line and one message, each with its limit; takes a message
 * that passes its limit apart, as its bytes are passed by; breaks for headers that a publisher
 * has made wrong, for which it is not the server's fault that they came.
 */
#ifndef NATS_NATS_PARSE_H
#define NATS_NATS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define NATS_LINE_MAX (64 << 10)  /* bytes: INFO names all servers of a cluster */
#define NATS_SIZE_MAX (64u << 20) /* bytes of a message; a server's own limit for max_payload */

enum nats_op {
	NATS_MORE, /* all bytes are used, and more are needed */
	NATS_INFO, /* `text` is its JSON */
	NATS_MSG,  /* `message` */
	NATS_PING,
	NATS_PONG,
	NATS_OK,
	NATS_ERR,    /* `text` is what stands between its quotes */
	NATS_BROKEN, /* no NATS: `error` says why, a constant; nothing more can be read */
};

struct nats_message {
	uint64_t sid; /* the subscription's number */
	struct slice subject;
	struct slice reply;   /* where an answer goes; empty: nowhere */
	struct slice headers; /* "Name: value\r\n" each, without the line of the status */
	struct slice payload;
	struct slice status_text; /* "Request Timeout" */
	int status;               /* 100 to 999; 0: none */
	size_t size;              /* bytes of headers and payload as they came */
	bool is_skipped;          /* passed the limit: headers, status and payload are lost */
};

struct nats_parser {
	struct slice text;           /* valid until the next call, as all below */
	struct nats_message message; /* its slices, too */
	const char *error;
	struct buf line;    /* private, as all below */
	struct buf body;    /* headers and payload */
	size_t body_left;   /* bytes of it to come, its CRLF included; 0: a line comes */
	size_t header_size; /* of the body */
	bool is_done;       /* what the buffers hold has been returned */
};

/* Messages of more than `message_max` bytes of headers and payload are skipped. */
void nats_parser_init(struct nats_parser *p, size_t message_max);
void nats_parser_fini(struct nats_parser *p);

/* Reads on to the next operation's end; *used says how many bytes of `bytes` that took. */
enum nats_op nats_parse(struct nats_parser *p, struct slice bytes, size_t *used);

/* The value of the header `name`, in either case; an empty slice without bytes: none. */
struct slice nats_header(const struct nats_message *m, const char *name);

#endif
