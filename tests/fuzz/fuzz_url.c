/* url_check(): what it lets through is plain ASCII and what it refuses it explains. */
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "domain/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct slice url = {(const char *)data, size};
	struct problem p = {.message = ""};
	enum err err = url_check(url, "url", &p);
	if (err != OK) {
		panic_if(err != ERR_INVALID || p.message[0] == '\0', "refused without a word");
		return 0;
	}
	panic_if(size < sizeof("http://") || size > URL_MAX, "length");
	panic_if(data[0] != 'h' && data[0] != 'H', "scheme");
	panic_if(data[4] == ':' && data[7] == '/', "no host");
	for (size_t i = 0; i < size; i++) {
		panic_if(data[i] <= ' ' || data[i] >= 0x7f, "a byte that cannot be sent");
		panic_if(data[i] == '#' || data[i] == '\\', "a byte with two readings");
	}
	return 0;
}
