/*
 * Shift-And (Baeza-Yates and Gonnet, 1992): bit i of `seen` says that the first i + 1 bytes of
 * the word end here. No step depends on a comparison, so none is guessed wrong.
 */
#include "base/search.h"

#include <stdint.h>
#include <string.h>

#define SHORT_TEXT 64 /* bytes: less is not worth the table */

static const char *find_bits(struct slice text, struct slice word)
{
	uint64_t places[UINT8_MAX + 1] = {0};
	uint64_t seen = 0;
	const uint64_t last = UINT64_C(1) << (word.len - 1);
	for (size_t i = 0; i < word.len; i++)
		places[(unsigned char)word.ptr[i]] |= UINT64_C(1) << i;
	for (size_t i = 0; i < text.len; i++) {
		seen = (seen << 1 | 1) & places[(unsigned char)text.ptr[i]];
		if ((seen & last) != 0)
			return text.ptr + i + 1 - word.len;
	}
	return NULL;
}

const char *search_find(struct slice text, struct slice word)
{
	if (word.len == 0)
		return text.ptr;
	if (word.len > text.len)
		return NULL;
	if (word.len > SEARCH_QUICK_MAX || text.len < SHORT_TEXT)
		return memmem(text.ptr, text.len, word.ptr, word.len);
	return find_bits(text, word);
}
