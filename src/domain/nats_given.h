/*
 * What people give to reach a NATS server: its URL; a user's key, which is an Ed25519 seed, or
 * the text of a creds file, which has one behind a JWT (docs.nats.io, "NKeys", "JWT").
 *
 * It never: reads a file, keeps a text that it was given, logs.
 */
#ifndef DOMAIN_NATS_GIVEN_H
#define DOMAIN_NATS_GIVEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

#define NATS_HOST_MAX 254    /* bytes of a name in the DNS, with its last dot */
#define NATS_SUBJECT_MAX 512 /* bytes: far below the 4096 of a line to a server */
#define NATS_NAME_MAX 128    /* bytes; names of files at the server */

struct nats_server {
	char host[NATS_HOST_MAX + 1]; /* without brackets */
	uint16_t port;
	bool is_tls; /* tls://: it has to speak TLS before it is told anything */
};

/*
 * Reads "nats://HOST[:PORT]", "tls://HOST[:PORT]" or "HOST[:PORT]"; the port is 4222 where none
 * is given. ERR_INVALID with the problem on `field`: user and password have no place here.
 */
MUST_CHECK enum err nats_server_parse(struct slice url, const char *field,
    struct nats_server *out, struct problem *p);

#define NATS_SEED_SIZE 32
#define NATS_PUBLIC_SIZE 57    /* 56 of base32, a NUL */
#define NATS_SIGNATURE_SIZE 87 /* 64 bytes in base64url, a NUL */

struct nats_key {
	unsigned char seed[NATS_SEED_SIZE];
	char public_key[NATS_PUBLIC_SIZE]; /* "UB…": what the server knows a user by */
};

/* Whether `s` may be a subject, also one with wildcards: words between dots, none empty. */
bool nats_is_subject(struct slice s);

/* Whether `s` may be the name of a stream or a consumer: one word of a subject, no wildcard. */
bool nats_is_name(struct slice s);

/* Reads a user's seed, "SUA…". ERR_SYNTAX: it is none, or one character of it is wrong. */
MUST_CHECK enum err nats_key_parse(struct slice seed, struct nats_key *out);

/*
 * Finds in the text of a creds file the user's JWT, a slice of it, and the key. ERR_SYNTAX:
 * one of them is missing or wrong.
 */
MUST_CHECK enum err nats_creds_parse(struct slice text, struct slice *jwt,
    struct nats_key *out);

/* Signs what the server's INFO has as `nonce`. */
void nats_key_sign(const struct nats_key *key, struct slice nonce,
    char out[NATS_SIGNATURE_SIZE]);

#endif
