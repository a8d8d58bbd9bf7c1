/*
 * What a source of type nats says of its server and stream, ready for use; and what a message's
 * subject says by a template:
 *
 *	wa.events.{}.*		{} is one word or more, here all but the first two and the last
 *	wa.events.>.{}		beside >, which is one word or more, {} is one
 */
#ifndef DOMAIN_SOURCE_NATS_H
#define DOMAIN_SOURCE_NATS_H

#include "domain/json_walk.h"
#include "domain/members.h"
#include "domain/nats_given.h"

#define SOURCE_SERVERS_MAX 8
#define SOURCE_SUBJECTS_MAX 16

/* The members that only such a source has, and those of them that are secrets. */
#define SOURCE_NATS_MEMBERS                                                                    \
	"servers stream subjects begin consumer token user password seed creds ca_pem"
#define SOURCE_NATS_SECRETS "token password seed creds"

struct source_nats {
	struct nats_server servers[SOURCE_SERVERS_MAX];
	size_t server_count;
	char *stream;
	char *consumer;                      /* NULL: one of our making */
	char *subjects[SOURCE_SUBJECTS_MAX]; /* none: all of the stream */
	size_t subject_count;
	bool begin_at_end; /* from what comes on, the first time */
	char *token;       /* NULL: none, as the next ones */
	char *user;
	char *password;
	char *jwt;
	char *ca_pem;
	bool has_key;
	struct nats_key key;
};

/* Reads the members; with an error in `m` it is NULL. source_nats_free() it. */
struct source_nats *source_nats_new(struct members *m);
void source_nats_free(struct source_nats *n); /* wipes; NULL is fine */

/* Whether `text` is a template: the words of a subject, {} once among them, perhaps > once. */
bool subject_is_template(struct slice text);

/* The words of `subject` that {} stands for; ptr is NULL where the template does not fit. */
struct slice subject_take(struct slice template, struct slice subject);

#endif
