/* UTF-8 as RFC 3629 section 4 has it: no overlong forms, no surrogates, at most U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD: stands for what is no UTF-8 */

/* Returns the length of the sequence at `p`, not ASCII, of `left` bytes; 0 if malformed. */
static inline size_t utf8_len(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t len = 0;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		len = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		low = p[0] == 0xe0 ? 0xa0 : low;   /* below: overlong */
		high = p[0] == 0xed ? 0x9f : high; /* above: surrogates */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		low = p[0] == 0xf0 ? 0x90 : low;   /* below: overlong */
		high = p[0] == 0xf4 ? 0x8f : high; /* above: past U+10FFFF */
	}
	if (len == 0 || left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

#endif
