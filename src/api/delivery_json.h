/*
 * A delivery with its attempts as the API shows one (docs/api.md). Reads the store, writes
 * JSON, decides nothing.
 */
#ifndef API_DELIVERY_JSON_H
#define API_DELIVERY_JSON_H

#include "api/call.h"
#include "base/json_write.h"
#include "store/events.h"

#define DELIVERY_ATTEMPTS_MAX 100    /* that are shown, the last ones */
#define DELIVERY_JSON_MAX (2u << 20) /* bytes of one with so many, escapes included */

#define DELIVERY_WHOLE_MAX (8u << 20) /* the same with headers */

/* The status as the API names it. */
const char *delivery_status_name(enum delivery_status status);

/* Finds the status of that name; false: there is none. */
bool delivery_status_parse(struct slice name, enum delivery_status *out);

/*
 * Finds the id of a delivery's webhook: the registry's, or where it is gone the last attempt's.
 * All zero where nothing knows it any more. The store's error.
 */
MUST_CHECK enum err delivery_find_webhook(const struct api_conf *conf, struct db_txn *txn,
    const struct delivery *d, struct uuid *id);

/*
 * Writes what a source's sender has sent of event `e`, as the member "raw"; none where that is
 * not kept. The store's error, ERR_CORRUPT.
 */
MUST_CHECK enum err delivery_write_raw(struct db_txn *txn, const struct event *e,
    struct json_writer *json);

/*
 * Writes `d`, a delivery of event `e`; `whole`: its attempts with headers and TLS, as far as
 * they are kept. The store's error; what is written is then of no use.
 */
MUST_CHECK enum err delivery_write(const struct api_conf *conf, struct db_txn *txn,
    const struct event *e, const struct delivery *d, bool whole, struct json_writer *json);

#endif
