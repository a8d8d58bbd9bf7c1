/* The rule in numbers; see share.h. */
#include "shares/share.h"

uint64_t share_equal(const struct share *s, uint64_t held)
{
	uint64_t takers = s->takers + (held == 0 ? 1 : 0); /* who asks is one of them */
	return s->capacity / 2 / (takers == 0 ? 1 : takers);
}

uint64_t share_guarantee(const struct share *s, uint64_t held)
{
	uint64_t equal = share_equal(s, held);
	uint64_t others = s->held - held;
	uint64_t left = s->capacity > others ? (s->capacity - others) / 2 : 0;
	uint64_t guarantee = equal < left ? equal : left;
	return guarantee > 0 ? guarantee : 1;
}

/* Where `held` may grow to by the thresholds: h = PART × (open - others - h), solved for h. */
static uint64_t threshold(const struct share *s, uint64_t held)
{
	uint64_t open = s->capacity - s->capacity / SHARE_RESERVE;
	uint64_t others = s->held - held;
	uint64_t left = open > others ? open - others : 0;
	return left - left / (SHARE_PART + 1) - (left % (SHARE_PART + 1) > 0 ? 1 : 0);
}

uint64_t share_room(const struct share *s, uint64_t held)
{
	uint64_t most = threshold(s, held);
	uint64_t guarantee = share_guarantee(s, held);
	uint64_t left = s->capacity > s->held ? s->capacity - s->held : 0;
	most = most > guarantee ? most : guarantee;
	uint64_t room = most > held ? most - held : 0;
	return room < left ? room : left;
}

bool share_allows(const struct share *s, uint64_t held, uint64_t more)
{
	return more <= share_room(s, held);
}
