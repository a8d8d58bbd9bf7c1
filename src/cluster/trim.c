/* The trimming of the journal; see trim.h. */
#include "cluster/trim.h"

#include <string.h>

/* The journal's clock, as late as anybody has been heard by it. */
static int64_t latest_ms(const struct journal_member *m, size_t count)
{
	int64_t latest = 0;
	for (size_t i = 0; i < count; i++)
		latest = m[i].told_ms > latest ? m[i].told_ms : latest;
	return latest;
}

uint64_t trim_to(const char *self, uint64_t synced, const struct journal_end *end,
    const struct journal_member *m, size_t count)
{
	int64_t since_ms = latest_ms(m, count) - TRIM_FORGET_MS;
	uint64_t least = UINT64_MAX;
	uint64_t most = 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(m[i].name, self) == 0 || m[i].told_ms <= since_ms)
			continue;
		least = m[i].synced < least ? m[i].synced : least;
		most = m[i].synced > most ? m[i].synced : most;
	}
	uint64_t others = end->bytes > end->max_bytes / 2 ? most : least;
	if (least == UINT64_MAX) /* nobody has a second copy */
		return 0;
	return others < synced ? others : synced;
}
