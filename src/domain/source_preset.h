/*
 * What known senders send (docs/sources.md): settings of sources by the name of a preset, as
 * domain/presets.json has them, which is compiled in. What each sends was read from its
 * documentation. There: `makes_secret`, where the sender takes the secret that we draw.
 */
#ifndef DOMAIN_SOURCE_PRESET_H
#define DOMAIN_SOURCE_PRESET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

struct source_preset {
	struct slice settings; /* an object in canonical JSON, without a secret; for good */
	bool makes_secret;
};

/* Finds one; false where there is none of that name. */
bool source_preset_find(struct slice name, struct source_preset *out);

/* Appends the names of all, separated by spaces. */
void source_preset_names(struct buf *out);

#endif
