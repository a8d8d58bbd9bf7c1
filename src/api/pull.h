/*
 * Pulls: the sources of type nats at work. Each takes the messages of its stream
 * (jetstream/js.h) and stores them as events, in one operation of the turn together with how
 * far it is; only what is on disk is acknowledged. So each message becomes its events once,
 * whatever ends when.
 *
 * It never: holds more than one pull's messages (PULL_MESSAGES, PULL_BYTES), pulls while the
 * store has no room, goes on behind a message that a session's share has refused.
 */
#ifndef API_PULL_H
#define API_PULL_H

#include "base/json_write.h"
#include "base/uuid.h"

#define PULL_MESSAGES 256
#define PULL_BYTES (1u << 20) /* a larger message comes alone */

struct api;
struct pulls;

/* Begins with all sources that are there. */
struct pulls *pulls_new(struct api *api);

/* What is under way and not on disk comes again at the next start. NULL is fine. */
void pulls_free(struct pulls *all);

/* Pulls nothing more: the process ends. */
void pulls_stop(struct pulls *all);

/* The source of that id was made, changed or removed. Not from within a hook of js.h. */
void pulls_changed(struct pulls *all, const struct uuid *id);

/* Writes how the pull of the source stands as the member "connection"; nothing for a door. */
void pulls_write(const struct pulls *all, const struct uuid *id, struct json_writer *json);

#endif
