/*
 * A webhook as the API shows one (docs/api.md): what its owner may write, how its endpoint
 * stands, and its times. Never its secrets.
 */
#ifndef API_WEBHOOK_VIEW_H
#define API_WEBHOOK_VIEW_H

#include "dispatch/dispatch.h"
#include "domain/webhook_json.h"

/* Writes the object, as it is at `now_ms`, wall. */
void webhook_view_write(const struct webhook *w, enum webhook_form form,
    const struct dispatch_status *status, int64_t now_ms, struct json_writer *json);

#endif
