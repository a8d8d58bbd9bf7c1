/* When to try again; see retry.h. */
#include "domain/retry.h"

#include "base/log.h"
#include "base/str.h"

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define JITTER_PARTS 5 /* ± one fifth; docs/api.md */

const struct retry_schedule RETRY_DEFAULT = {
    .count = 9,
    .wait_ms = {5 * SECOND_MS, 30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS,
	2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS},
};

enum err retry_add(struct retry_schedule *s, struct slice text, const char *field,
    struct problem *p)
{
	int64_t wait_ms = 0;
	if (s->count >= RETRY_STEPS_MAX)
		return problem_set(p, ERR_INVALID, field, "a schedule has at most %d waits",
		    RETRY_STEPS_MAX);
	if (str_duration(slice_trim(text), &wait_ms) != OK || wait_ms < 1 ||
	    wait_ms > RETRY_WAIT_MAX_MS)
		return problem_set(p, ERR_INVALID, field,
		    "a wait is digits and one of ms, s, m, h, d, such as 30s, from 1ms to 7d");
	s->wait_ms[s->count++] = wait_ms;
	return OK;
}

enum err retry_parse(struct slice text, const char *field, struct retry_schedule *out,
    struct problem *p)
{
	struct retry_schedule s = {0};
	size_t from = 0;
	if (text.len == 0)
		return problem_set(p, ERR_INVALID, field,
		    "a schedule names at least one wait, such as 5s,30s,2m");
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.ptr[i] != ',')
			continue;
		enum err err = retry_add(&s, (struct slice){text.ptr + from, i - from}, field,
		    p);
		if (err != OK)
			return err;
		from = i + 1;
	}
	*out = s;
	return OK;
}

int64_t retry_wait(const struct retry_schedule *s, uint32_t attempts, uint64_t random)
{
	panic_if(attempts == 0, "a wait before the first attempt");
	if (attempts > s->count)
		return -1;
	int64_t wait_ms = s->wait_ms[attempts - 1];
	int64_t spread_ms = wait_ms / JITTER_PARTS;
	/* fewer than 2^28 choices: the bias of the modulo is nothing */
	uint64_t choices = 2 * (uint64_t)spread_ms + 1;
	return wait_ms - spread_ms + (int64_t)(random % choices);
}

enum outcome retry_outcome(int status)
{
	if (status >= 200 && status <= 299)
		return OUTCOME_DELIVERED;
	return status == 410 ? OUTCOME_GONE : OUTCOME_RETRY;
}

bool retry_is_overload(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}
