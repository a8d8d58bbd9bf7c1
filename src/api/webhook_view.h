/*
 * A webhook as the API shows one (docs/api.md): what its owner may write, how its endpoint
 * stands, and its times. Never its secrets.
 */
#ifndef API_WEBHOOK_VIEW_H
#define API_WEBHOOK_VIEW_H

#include "dispatch/dispatch.h"
#include "domain/webhook_json.h"
#include "store/trends.h"

/*
 * How a webhook does, in one word: "off" while it is disabled, "failing" while nothing succeeds
 * or its circuit is not closed, "held" while nothing starts though it may, else "ok".
 */
#define WEBHOOK_STATES "ok, failing, held or off"
const char *webhook_view_state(const struct webhook *w, const struct dispatch_status *status);

/* Whether it is one of these. */
bool webhook_view_knows(const char *state);

/* Writes the object, as it is at `now_ms`, wall. `last`: its last attempt, all 0: none. */
void webhook_view_write(const struct webhook *w, enum webhook_form form,
    const struct dispatch_status *status, const struct trend_last *last, int64_t now_ms,
    struct json_writer *json);

#endif
