/*
 * Numbers, durations, sizes and retry schedules as people write them. What is taken reads as
 * the same when it is written out again, and lies within its limits.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "domain/retry.h"

#define TEN_YEARS_MS (3653LL * 24 * 3600 * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_number(struct slice text)
{
	uint64_t n = 0;
	char printed[21];
	if (str_u64(text, &n) != OK)
		return;
	while (text.len > 1 && text.ptr[0] == '0') {
		text.ptr++;
		text.len--;
	}
	(void)snprintf(printed, sizeof(printed), "%llu", (unsigned long long)n);
	panic_if(!slice_eq(text, slice_of(printed)), "number");
}

static void check_duration(struct slice text)
{
	int64_t ms = -1;
	int64_t again = -1;
	char printed[STR_DURATION_SIZE];
	if (str_duration(text, &ms) != OK)
		return;
	panic_if(ms < 0 || ms > TEN_YEARS_MS, "duration out of bounds");
	str_put_duration(ms, printed);
	panic_if(str_duration(slice_of(printed), &again) != OK || again != ms, "duration");
}

static void check_size(struct slice text)
{
	uint64_t bytes = 0;
	uint64_t again = 0;
	char printed[21];
	if (str_size(text, &bytes) != OK)
		return;
	(void)snprintf(printed, sizeof(printed), "%llu", (unsigned long long)bytes);
	panic_if(str_size(slice_of(printed), &again) != OK || again != bytes, "size");
	bool has_unit = text.ptr[text.len - 1] == 'B';
	panic_if(has_unit && bytes % 1024 != 0, "unit of a size");
}

static void check_schedule(struct slice text)
{
	struct retry_schedule s = {.count = 77};
	struct retry_schedule again = {0};
	struct problem p = {.message = ""};
	struct buf printed = BUF_INIT(RETRY_STEPS_MAX * STR_DURATION_SIZE);
	if (retry_parse(text, "retry", &s, &p) != OK) {
		panic_if(p.message[0] == '\0' || s.count != 77, "refused, and yet touched");
		return;
	}
	panic_if(s.count < 1 || s.count > RETRY_STEPS_MAX, "waits");
	for (uint32_t i = 0; i < s.count; i++) {
		char wait[STR_DURATION_SIZE];
		panic_if(s.wait_ms[i] < 1 || s.wait_ms[i] > RETRY_WAIT_MAX_MS, "wait");
		for (uint64_t random = 0; random < 3; random++) {
			int64_t ms = retry_wait(&s, i + 1, random * (UINT64_MAX / 2));
			panic_if(ms < s.wait_ms[i] * 4 / 5 || ms > s.wait_ms[i] * 6 / 5,
			    "jitter");
		}
		str_put_duration(s.wait_ms[i], wait);
		buf_printf(&printed, "%s%s", i == 0 ? "" : ",", wait);
	}
	panic_if(retry_wait(&s, s.count + 1, 0) != -1, "never ends");
	panic_if(retry_parse(buf_view(&printed), "retry", &again, &p) != OK ||
		memcmp(&s, &again, sizeof(s)) != 0,
	    "reads back as another schedule");
	buf_fini(&printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	check_number(text);
	check_duration(text);
	check_size(text);
	check_schedule(text);
	return 0;
}
