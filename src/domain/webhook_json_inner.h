/*
 * What the parts of webhooks' JSON share: webhook_json.c has the table of fields,
 * webhook_json_auth.c those by which a webhook shows its receiver who it is. For them alone.
 */
#ifndef DOMAIN_WEBHOOK_JSON_INNER_H
#define DOMAIN_WEBHOOK_JSON_INNER_H

#include "base/json_write.h"
#include "domain/problem.h"
#include "domain/webhook.h"

struct cJSON;

/* Applies the value of `auth`. ERR_INVALID, and the problem names the member. */
MUST_CHECK enum err webhook_json_take_auth(struct webhook *w, const struct cJSON *value,
    struct problem *p);

/* Writes the member `auth`, with masks for its secrets; null where `a` is NULL. */
void webhook_json_write_auth(const struct webhook_auth *a, struct json_writer *json);

#endif
