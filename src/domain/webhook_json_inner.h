/*
 * What the parts of webhooks' JSON share: webhook_json.c has the table of fields,
 * webhook_json_auth.c those by which a webhook shows its receiver who it is,
 * webhook_json_options.c those that say how requests are sent, webhook_json_answer.c those
 * about answers and where else to go. For them alone.
 */
#ifndef DOMAIN_WEBHOOK_JSON_INNER_H
#define DOMAIN_WEBHOOK_JSON_INNER_H

#include "base/json_write.h"
#include "domain/problem.h"
#include "domain/webhook.h"

struct cJSON;
struct webhook_rules;

/* The name of a field, by its place in the table; NULL behind the last one. */
const char *webhook_json_field(size_t i);

/*
 * Makes of the whole webhook, as a body has it, what has to change in `w`: adds a null for what
 * it leaves out, takes out what is to stay as it is, and puts in the secrets that it has not.
 * ERR_INVALID, for a mask of what is not there.
 */
MUST_CHECK enum err webhook_json_complete(struct cJSON *object, const struct webhook *w,
    struct problem *p);

/* The same for the value of `auth`. */
void webhook_json_keep_auth(struct cJSON *value, const struct webhook *w);

/* Applies the value of `auth`. ERR_INVALID, and the problem names the member. */
MUST_CHECK enum err webhook_json_take_auth(struct webhook *w, const struct cJSON *value,
    struct problem *p);

/* Writes the member `auth`, with masks for its secrets; null where `a` is NULL. */
void webhook_json_write_auth(const struct webhook_auth *a, struct json_writer *json);

/* Applies the value of a field in PEM to *out. ERR_INVALID. */
MUST_CHECK enum err webhook_json_take_pem(char **out, const struct cJSON *value,
    const char *field, size_t max, struct problem *p);

/*
 * Checks a client certificate and its key, one of which was given: both are there, or none,
 * they can be read, and fit together. Sets when it expires. ERR_INVALID.
 */
MUST_CHECK enum err webhook_json_check_identity(struct webhook *w, struct problem *p);

/*
 * Apply the values of `proxy`, `no_proxy`, `user_agent`, `http_version` and `content_encoding`.
 * ERR_INVALID.
 */
MUST_CHECK enum err webhook_json_take_proxy(struct webhook *w, const struct cJSON *value,
    const struct webhook_rules *rules, struct problem *p);
MUST_CHECK enum err webhook_json_take_no_proxy(struct webhook *w, const struct cJSON *value,
    const struct webhook_rules *rules, struct problem *p);
MUST_CHECK enum err webhook_json_take_agent(struct webhook *w, const struct cJSON *value,
    const struct webhook_rules *rules, struct problem *p);
MUST_CHECK enum err webhook_json_take_version(struct webhook *w, const struct cJSON *value,
    const struct webhook_rules *rules, struct problem *p);
MUST_CHECK enum err webhook_json_take_encoding(struct webhook *w, const struct cJSON *value,
    const struct webhook_rules *rules, struct problem *p);

/*
 * Checks what these say beside the others, and drops them where they say nothing. ERR_INVALID.
 */
MUST_CHECK enum err webhook_json_check_options(struct webhook *w, struct problem *p);

/* Writes these members, of NULL too; a proxy's credentials are a mask. */
void webhook_json_write_options(const struct webhook_options *o, struct json_writer *json);

/* Applies a string, the value of `field`, as the URL of a receiver. ERR_INVALID. */
MUST_CHECK enum err webhook_json_take_url(char **out, const struct cJSON *value,
    const char *field, struct problem *p);

/* Applies the value of `fallback_url`. ERR_INVALID. */
MUST_CHECK enum err webhook_json_take_fallback(struct webhook *w, const struct cJSON *value,
    struct problem *p);

/* Checks it beside the other fields. ERR_INVALID. */
MUST_CHECK enum err webhook_json_check_fallback(const struct webhook *w, struct problem *p);

/* Writes the members `success` and `fallback_url`. */
void webhook_json_write_answer(const struct webhook *w, struct json_writer *json);

#endif
