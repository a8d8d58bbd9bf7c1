/* Text for terminals; see printable.h. */
#include "base/printable.h"

#include "base/utf8.h"

/* The code point of a sequence of `len` bytes. */
static uint32_t decode(const unsigned char *p, size_t len)
{
	uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

/*
 * Ranges that are not shown as they are, from and to: controls, what Unicode 15 has in general
 * category Cf, Zl and Zp (DerivedGeneralCategory.txt), and what is drawn as nothing
 * (Default_Ignorable_Code_Point in DerivedCoreProperties.txt).
 */
static const uint32_t HIDDEN[][2] = {{0x0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x34f, 0x34f},
    {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd}, {0x70f, 0x70f}, {0x890, 0x891},
    {0x8e2, 0x8e2}, {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
    {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
    {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};

bool printable_hides(uint32_t c)
{
	for (size_t i = 0; i < sizeof(HIDDEN) / sizeof(HIDDEN[0]); i++) {
		if (c >= HIDDEN[i][0] && c <= HIDDEN[i][1])
			return true;
	}
	return false;
}

static void put_escaped(struct buf *out, uint32_t c)
{
	if (c == '\n' || c == '\r' || c == '\t')
		buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
	else if (c <= 0xffff)
		buf_printf(out, "\\u%04x", (unsigned)c);
	else /* the two surrogates of UTF-16 */
		buf_printf(out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
		    (unsigned)(0xdc00 + (c & 0x3ff)));
}

void printable_put(struct buf *out, struct slice text, bool is_word)
{
	const unsigned char *p = (const unsigned char *)text.ptr;
	const unsigned char *end = p + text.len;
	while (p < end) {
		size_t len = *p < 0x80 ? 1 : utf8_len(p, (size_t)(end - p));
		uint32_t c = decode(p, len == 0 ? 1 : len);
		if (len == 0)
			buf_printf(out, "\\x%02x", *p);
		else if (printable_hides(c) || (is_word && c == ' '))
			put_escaped(out, c);
		else
			buf_append(out, p, len);
		p += len == 0 ? 1 : len;
	}
}
