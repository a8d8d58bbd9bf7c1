/* Publishing, for calls that fill their intake in a way of their own. */
#ifndef API_PUBLISH_API_H
#define API_PUBLISH_API_H

#include "api/call.h"
#include "api/intake.h"

/*
 * For calls of PUBLISH_CALL_SIZE that fill their intake themselves: it, what it is read with,
 * and how it is stored. `after`, which may be NULL, is told of it once it is on disk: how many
 * of its events were new.
 */
struct intake *publish_intake(struct call *c);
struct intake_conf publish_conf(const struct call *c);
void publish_stage(struct call *c, int status, void (*after)(struct call *c, size_t fresh));

#endif
