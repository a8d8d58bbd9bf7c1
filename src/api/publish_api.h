/* Publishing, for calls that fill their intake in a way of their own. */
#ifndef API_PUBLISH_API_H
#define API_PUBLISH_API_H

#include "api/call.h"
#include "api/intake.h"

/* For calls of PUBLISH_CALL_SIZE that fill their intake themselves: it, and how it is read. */
struct intake *publish_intake(struct call *c);
struct intake_conf publish_conf(const struct call *c);

/* Takes the memory of many events from the caller's share; false: the call was answered 429. */
MUST_CHECK bool publish_take_batch(struct call *c);

/* Stores it. `after`, or NULL, is told once it is on disk how many of its events were new. */
void publish_stage(struct call *c, int status, void (*after)(struct call *c, size_t fresh));

/*
 * For those who come with events of their own, without keys: writes those of `in`, if their
 * sessions have room (intake_admit()). After the commit publish_tell() counts them and tells
 * of them; it returns how many were new.
 */
MUST_CHECK enum err publish_write(struct api *api, struct db_txn *txn, const struct intake *in,
    struct problem *p);
size_t publish_tell(struct api *api, const struct intake *in);

#endif
