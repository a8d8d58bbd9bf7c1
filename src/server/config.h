/*
 * The configuration: one table of settings, each readable from a file, from the
 * environment and from a flag, in rising precedence (docs/operations.md).
 * `retry_schedule = 5s,30s` in a file is WAYBILL_RETRY_SCHEDULE and --retry-schedule.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "dispatch/judge.h"
#include "domain/address.h"
#include "domain/problem.h"
#include "domain/retry.h"

#define SETTINGS_MAX 128

/* A mark for each of the settings. */
struct config_marks {
	uint64_t words[SETTINGS_MAX / 64];
};

struct config_list {
	char **items;
	size_t count;
};

struct config {
	struct config_list listen;
	char *metrics_listen; /* NULL: where the API is served */
	struct config_list extra_events;
	struct config_list cors_origins;
	struct config_list frame_ancestors;
	struct config_list allowed_hosts;
	struct address_policy addresses;
	struct retry_schedule retry;
	struct config_expiries {
		struct expiry items[JUDGE_EXPIRIES_MAX];
		size_t count;
	} expiries;
	int64_t circuit_open;          /* ms */
	int64_t connection_max_age;    /* ms */
	int64_t disable_after;         /* ms */
	int64_t retention;             /* ms */
	int64_t dead_letter_retention; /* ms */
	uint64_t retention_bytes;
	uint64_t max_batch_bytes;
	struct config_list session_inbound_secrets; /* "session=secret" */
	char *inbound_secret;                       /* NULL: none */
	char *proxy;                                /* NULL: none */
	uint64_t webhook_proxies;                   /* 0 off, 1 on */
	struct config_list name_servers;            /* none: those of resolv.conf */
	uint64_t circuit_failures;
	uint64_t max_per_host;
	char *data;
	uint64_t make_store;   /* 0: a start makes no store where there is none */
	char *token;           /* NULL: none */
	char *tokens_file;     /* NULL: none */
	char *secret_key;      /* NULL: none; hex */
	char *secret_key_file; /* NULL: none */
	uint64_t core_dumps;   /* 0: none are written */
	char *ca_file;         /* NULL: the system's */
	char *tls_certificate; /* NULL: none; so the next three */
	char *tls_key;
	char *tls_client_ca;
	char *unix_owner;
	char *unix_mode;
	uint64_t log_level;  /* enum log_level */
	uint64_t log_format; /* enum log_format */
	uint64_t log_target; /* 0 standard error, 1 the system's log */
	uint64_t log_rate;   /* lines of a kind a second; 0: any number */
	uint64_t timeout_ms;
	char *default_signature;   /* names of SIGN_SCHEMES */
	uint64_t verify_endpoints; /* 1: all have to repeat a challenge */
	uint64_t unknown_fields;   /* 0 refused, 1 ignored */
	uint64_t max_body_bytes;
	uint64_t max_connections;
	uint64_t max_connections_per_address;
	uint64_t max_input_bytes;
	uint64_t max_output_bytes;
	uint64_t send_timeout_ms;
	struct config_list trusted_proxies; /* networks, and "unix" */
	struct config_list sources;         /* JSON, see configured.h */
	uint64_t max_in_flight;
	uint64_t max_webhooks_per_session;
	uint64_t max_queue_per_session;         /* deliveries; 0: any number */
	uint64_t max_store_per_session;         /* bytes; 0: by the rule alone */
	uint64_t disk_reserve;                  /* bytes */
	struct config_list session_store_bytes; /* "session=size" */
	int64_t idempotency_retention;          /* ms */
	uint64_t head_timeout_ms;
	uint64_t body_timeout_ms;
	uint64_t idle_timeout_ms;
	uint64_t drain_timeout_ms;
	uint64_t store_max_bytes;
	uint64_t backup_stall_ms;
	uint64_t stream_readers_max;
	char *shard; /* NULL: none; so the next two texts */
	char *member;
	struct config_list cluster; /* servers of NATS; none: no cluster */
	char *cluster_url;
	char *cluster_creds_file; /* NULL: none; so the texts below */
	char *cluster_user;
	char *cluster_password_file;
	char *cluster_nats_token_file;
	char *cluster_ca_file;
	char *cluster_token_file;
	struct config_list cluster_monitor; /* URLs of NATS's monitoring */
	uint64_t cluster_replicas;
	uint64_t cluster_max_bytes;
	int64_t takeover_after;       /* ms */
	struct config_marks given;    /* which settings somebody gave */
	struct config_list strangers; /* variables that begin as settings do, and are none */
};

/* Sets every default. config_free() it. */
void config_init(struct config *c);

/* Frees what `c` owns, wiping the secrets in it. */
void config_free(struct config *c);

/*
 * Reads the settings in the text of a file: "key = value" a line, '#' starts a comment line.
 * `name` is the file's, for ERR_INVALID with p->message "NAME:LINE: key: what is allowed".
 */
MUST_CHECK enum err config_read_text(struct config *c, const char *name, struct slice text,
    struct problem *p);

/* Reads the settings of a file. ERR_INVALID as above, ERR_IO, or ERR_TOOBIG over 1 MiB. */
MUST_CHECK enum err config_read_file(struct config *c, const char *path, struct problem *p);

/*
 * Reads WAYBILL_… variables. One that is no setting goes to `strangers`, but for those that
 * Kubernetes sets for services of that name. ERR_INVALID for a bad value.
 */
MUST_CHECK enum err config_read_environment(struct config *c, char *const *environment,
    struct problem *p);

/*
 * Reads the command line of `serve` and `check-config` behind the command's name:
 * -c FILE first of all, then the environment, then the flags. ERR_INVALID or ERR_IO
 * with the problem in words; *usage says that the command line itself was wrong.
 */
MUST_CHECK enum err config_read(struct config *c, int argc, char **argv,
    char *const *environment, bool *usage, struct problem *p);

/*
 * Checks what the settings name outside of themselves: the file of authorities. ERR_IO,
 * ERR_INVALID with the problem in words.
 */
MUST_CHECK enum err config_check(const struct config *c, struct problem *p);

/* Warns of the variables that are no settings. */
void config_warn(const struct config *c);

/* Prints one line for each setting: its flag, what is allowed, its default. */
void config_print_settings(void);

#endif
