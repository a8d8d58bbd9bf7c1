/* Members of JSON objects that answers have in common, each with the comma behind it. */
#ifndef API_MEMBER_H
#define API_MEMBER_H

#include <stdint.h>

#include "base/buf.h"
#include "domain/id.h"

void member_put_id(struct buf *out, const char *key, const struct uuid *id);

/* `ms`: wall. */
void member_put_time(struct buf *out, const char *key, int64_t ms);

/* Any bytes, as json_put_lossy() has them; null where there are none. */
void member_put_text(struct buf *out, const char *key, struct slice text);

#endif
