/* Base64; see base64.h. OpenSSL's decoder wants padding and knows no bounds, ours does. */
#include "base/base64.h"

#include <openssl/evp.h>
#include <stdint.h>

void base64_encode(const void *bytes, size_t n, char *out)
{
	(void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
}

/* Returns the value of a digit of the alphabet, or -1. */
static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Returns `s` without its padding; false where the padding is not what its length asks for. */
static bool strip_padding(struct slice *s)
{
	size_t pad = 0;
	while (pad < 2 && pad < s->len && s->ptr[s->len - 1 - pad] == '=')
		pad++;
	bool padded_whole = pad == 0 || s->len % 4 == 0;
	s->len -= pad;
	return padded_whole && s->len % 4 != 1;
}

bool base64_decode(struct slice text, unsigned char *out, size_t *len)
{
	uint32_t bits = 0;
	size_t n = 0;
	if (!strip_padding(&text) || text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int value = digit_value(text.ptr[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		/* digits 1, 2, 3 of a group complete a byte; 4, 2, 0 bits are left over */
		if (i % 4 > 0)
			out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	*len = n;
	return true;
}
