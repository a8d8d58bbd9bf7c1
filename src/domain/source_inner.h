/* What the files of a source share: its plan. For nobody else; source.h is the interface. */
#ifndef DOMAIN_SOURCE_INNER_H
#define DOMAIN_SOURCE_INNER_H

#include "domain/attachment.h"
#include "domain/json_pointer.h"
#include "domain/source.h"
#include "domain/source_nats.h"

#define SOURCE_DROPS_MAX 16

enum value_from {
	FROM_NOTHING,
	FROM_TEXT,
	FROM_BODY,
	FROM_HEADER,
	FROM_QUERY,
	FROM_PATH,
	FROM_SUBJECT
};

/* Where in a request a value is. */
struct source_value {
	enum value_from from;
	char *text; /* the literal, the name of the header or parameter, or a template */
	struct json_pointer *pointer; /* of FROM_BODY */
	unsigned segment;             /* of FROM_PATH, from 1 */
};

enum time_unit { UNIT_S, UNIT_MS, UNIT_ISO };

struct source_plan {
	char *name;
	char *preset; /* NULL: none */
	bool enabled;
	bool is_stream;
	char *refused;            /* why this version does not take it; NULL: it does */
	struct source_nats *nats; /* NULL: it is a door */
	struct verify *verify;    /* NULL: it is none */
	struct source_value session;
	struct source_value event;
	struct source_value event_id;
	struct source_value timestamp;
	enum time_unit unit;
	struct json_pointer *data;  /* NULL: the whole */
	struct json_pointer *split; /* NULL: one event */
	struct json_pointer *drop[SOURCE_DROPS_MAX];
	size_t drops;
	char *form;
	enum source_challenge challenge;
	char *verify_token;
	bool is_raw; /* the sender's bytes go on as they came… */
	char *raw_headers[ATTACHMENT_HEADERS_MAX]; /* …and these of its headers */
	size_t raw_header_count;
	bool by_id; /* repeats have the id alone in common, else event and id */
	int64_t retention_ms;
};

/* Makes a plan of whole settings in canonical JSON. ERR_INVALID. */
MUST_CHECK enum err source_plan_new(struct slice settings, struct source_plan **out,
    struct problem *p);

/* Makes one of settings that are not taken, `why`: its name and preset, and disabled. */
struct source_plan *source_plan_refused(struct slice settings, const char *why);

void source_plan_free(struct source_plan *plan); /* NULL is fine */

#endif
