/*
 * The server that a command talks to: --url, --token and --ca-file, or WAYBILL_URL and
 * WAYBILL_TOKEN.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <stdbool.h>

#include "courier/client.h"
#include "domain/problem.h"

struct remote { /* all borrowed from the command line and the environment */
	const char *url;
	const char *token;   /* NULL: none */
	const char *ca_file; /* authorities of its certificate; NULL: the system's */
};

/* A flag that one command has beyond these. */
struct remote_flag {
	const char *name;   /* NULL: the end of the list */
	const char **value; /* NULL: the flag takes none */
	bool *set;          /* of a flag without a value; else NULL */
};

/* Reads the flags of a command that has `more` of them, as remote_read() does. */
bool remote_read_more(struct remote *r, const struct remote_flag *more, int argc, char **argv,
    int *first);

/*
 * Reads the flags of a command. *first is the first argument behind them. False for a flag that
 * is not one of these, or has no value, with a word on standard error.
 */
bool remote_read(struct remote *r, int argc, char **argv, int *first);

/* Whether the URL is one; ERR_INVALID with the problem in words. */
MUST_CHECK enum err remote_check(const struct remote *r, struct problem *p);

/* Makes a client for it alone; the caller frees it. */
struct client *remote_client(const struct remote *r, struct reactor *reactor);

/* Says on standard error that `command` got no answer, or one that is not as it should be. */
void remote_tell(const struct remote *r, const char *command,
    const struct client_result *result);

/* Adds the token, where there is one. */
void remote_authorize(const struct remote *r, struct client_request *q);

#endif
