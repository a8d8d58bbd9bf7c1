/* retry_after(): whatever a receiver sends, the wait is within its bounds or there is none. */
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "domain/retry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t NOW_MS[] = {0, 951782400000, 1782907200000, 4102444799999};
	const struct slice value = {(const char *)data, size};
	for (size_t i = 0; i < sizeof(NOW_MS) / sizeof(NOW_MS[0]); i++) {
		int64_t wait_ms = -1;
		if (retry_after(value, NOW_MS[i], &wait_ms))
			panic_if(wait_ms < 0 || wait_ms > RETRY_AFTER_MAX_MS, "out of bounds");
		else
			panic_if(wait_ms != -1, "written without a value");
	}
	return 0;
}
