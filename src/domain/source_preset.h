/* What known senders send (docs/sources.md): settings by the name of a preset. */
#ifndef DOMAIN_SOURCE_PRESET_H
#define DOMAIN_SOURCE_PRESET_H

#include <stdbool.h>

#include "base/slice.h"

struct source_preset {
	const char *name;
	const char *settings; /* canonical JSON, without a secret */
	bool makes_secret;    /* the sender takes the one that we draw */
};

extern const struct source_preset SOURCE_PRESETS[];
extern const size_t SOURCE_PRESETS_COUNT;

/* NULL where there is none of that name. */
const struct source_preset *source_preset_find(struct slice name);

#endif
