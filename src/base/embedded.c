/* Files that are compiled in; see embedded.h. */
#include "base/embedded.h"

const struct embedded *embedded_find(struct slice name)
{
	for (size_t i = 0; i < EMBEDDED_COUNT; i++) {
		if (slice_eq(slice_of(EMBEDDED[i].name), name))
			return &EMBEDDED[i];
	}
	return NULL;
}
