/* The members, as they tell; see roster.h. */
#include "cluster/roster.h"

const struct journal_member *roster_active(const struct journal_member *m, size_t count)
{
	const struct journal_member *latest = NULL;
	for (size_t i = 0; i < count; i++) {
		bool is_later = latest == NULL || m[i].told_ms > latest->told_ms;
		if (m[i].is_active && is_later)
			latest = &m[i];
	}
	return latest;
}
