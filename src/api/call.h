/*
 * One call of the API: a request with its path taken apart, what the handlers
 * build on the way, and how they answer. Made by the router, gone with its answer.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "api/api.h"
#include "api/guard.h"
#include "api/portal.h"
#include "base/json_write.h"
#include "domain/name.h"
#include "domain/webhook.h"

#define CALL_RETRY_AFTER_S "5"     /* Retry-After of 429, 503 and 507 */
#define CALL_PAGE_BYTES (1u << 20) /* a page of a list ends behind the entry that passes this */

struct api_counts {
	uint64_t events;     /* published: stored for the first time */
	uint64_t bytes;      /* of their bodies */
	uint64_t repeats;    /* that were stored before */
	uint64_t deliveries; /* made of the events */
	uint64_t cancelled;  /* deliveries, by a call */
};

struct api {
	struct api_conf conf;
	struct api_counts counts;
	const struct http_server *http; /* of the figures */
	struct pattern *patterns;       /* of the table's rows; router.c */
	const char **singles;           /* headers that a request has once; router.c */
	size_t single_count;
	struct samples *samples;   /* the last hour */
	struct troubles *troubles; /* stats_api.c */
	struct map *joining; /* session -> its webhooks that this turn adds; webhooks_api.c */
	struct guard *guard;
	struct api_longest longest;
	struct buf scratch;      /* of one handler at a time */
	struct backup *backup;   /* the one that is under way; backup_api.c */
	struct streams *streams; /* stream_api.c */
	struct pulls *pulls;     /* pull.c */
	struct portal *portal;
};

/* What every call has; a handler that keeps more does so in a struct that starts with it. */
struct call {
	struct op op; /* first: the turn's pointer is ours */
	struct api *api;
	struct http_request *http;
	const struct route *route;
	const struct auth_token *token;
	struct auth_token *own_token;  /* the same where it is a portal link's; freed with it */
	const char *token_name;        /* auth_check()'s; NULL: it needs none */
	char session[SESSION_MAX + 1]; /* of the path; empty where it has none */
	struct uuid id;                /* of the path: the webhook's or the entry's */
	/* of the path, where it calls a webhook so; `id` is then that one's, if it is there */
	char name[WEBHOOK_NAME_MAX + 1];
	struct slice body;      /* of the request, once call_read_body() has been */
	struct buf plain;       /* that body, where it came compressed */
	struct problem problem; /* set by apply() for done() */
};

typedef void (*call_fn)(struct call *c);

struct route {
	const char *method;
	const char *pattern; /* segments; ":session", ":id", ":file" take one each */
	call_fn handle;
	call_fn release;    /* frees what the handler keeps beyond the struct; NULL: nothing */
	const size_t *size; /* of the handler's struct; NULL: a struct call alone */
	bool open;          /* needs no token */
	const char *params; /* of its query, separated by spaces; NULL: none */
};

/*
 * Whether the call may see what becomes of deliveries to the webhook of that number: of those
 * for all sessions with a token for all.
 */
static inline bool call_sees(const struct call *c, uint64_t webhook)
{
	return c->token == NULL || !webhook_is_for_all(webhook);
}

/* Whether what is of `session` may be shown: its path names that, or none and its token may. */
bool call_reaches(const struct call *c, const char *session);

/* Whether the call is about the webhooks for all sessions, which stand for its session then. */
bool call_is_for_all(const struct call *c);

/* Where what the path names is looked for, as words behind "no such webhook". */
const char *call_where(const struct call *c);

/* Finds the webhook of the path; NULL: the call has been answered with 404. */
const struct webhook *call_find_webhook(struct call *c);

/* Sends JSON and ends the call; one that its buffer had no room for is a 500 and a log line. */
void call_reply(struct call *c, int status, const struct json_writer *json);

/* Sends the contract's error shape and ends the call; `field` may be empty. */
void call_fail(struct call *c, int status, const char *field, const char *message);

/*
 * Ends the call with what error `err` and c->problem say: the one place that maps errors to
 * statuses.
 */
void call_fail_err(struct call *c, enum err err);

/* Sends {"success":true,"message":…}. */
void call_succeed(struct call *c, const char *message);

/* Writes what holds a delivery, as the members "held_reason" and "held_until". */
void call_write_hold(struct json_writer *json, const struct dispatch_hold *hold);

/* Sends the same as call_succeed() with what holds the delivery that is meant. */
void call_succeed_held(struct call *c, const char *message, const struct dispatch_hold *hold);

/*
 * Whether the request has a body that says it is JSON; else it has been answered with 411 or
 * 415.
 */
bool call_has_json(struct call *c);

/*
 * Whether the body, if there is one, is in a coding that call_read_body() can undo; else its
 * problem is set, for call_fail_coding() to answer with 415. The head alone is enough to ask.
 */
bool call_has_coding(struct call *c);
void call_fail_coding(struct call *c);

/*
 * Reads the body into c->body, unpacked: there it may have `most` bytes. False: the call has
 * been answered, with 400, 413 or 429.
 */
bool call_read_body(struct call *c, uint64_t most);

/* Lets go of the body: what was made of it is all that is needed. */
void call_drop_body(struct call *c);

/*
 * The same without an answer: ERR_SYNTAX, ERR_INVALID, ERR_TOOBIG, or ERR_FULL where there is
 * no share left, with the problem in words.
 */
MUST_CHECK enum err call_inflate(struct call *c, uint64_t most);

/* Charges for what was made of the body (http_take_input()). False: 429 has been answered. */
bool call_take_input(struct call *c, size_t bytes);

/* Whether the request says it is application/x-ndjson, or a form, and has a body. */
bool call_is_ndjson(const struct call *c);
bool call_is_form(const struct call *c);

/* Stages c->op as INTAKE with these functions. */
void call_stage(struct call *c, enum err (*apply)(struct op *op, struct db_txn *txn),
    void (*done)(struct op *op, enum err result));

/* Frees the call on which nothing has been hung; its request is another's to answer. */
void call_drop(struct call *c);

/* Frees the call; the request has been answered. */
void call_end(struct call *c);

#endif
