/* Percent-encoding; see percent.h. */
#include "base/percent.h"

enum err percent_decode(struct slice s, size_t max, char *out, size_t *len)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		int byte = (unsigned char)s.ptr[i];
		if (byte == '%') {
			byte = percent_byte(s, i);
			i += 2;
		}
		if (byte < 0)
			return ERR_SYNTAX;
		if (n == max)
			return ERR_TOOBIG;
		out[n++] = (char)byte;
	}
	*len = n;
	return OK;
}

static void put_encoded(struct buf *out, char c)
{
	static const char HEX[] = "0123456789ABCDEF"; /* RFC 3986 section 2.1: in capitals */
	unsigned char byte = (unsigned char)c;
	const char text[3] = {'%', HEX[byte >> 4], HEX[byte & 15]};
	buf_append(out, text, sizeof(text));
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

void percent_put(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_unreserved(s.ptr[i]))
			buf_putc(out, s.ptr[i]);
		else
			put_encoded(out, s.ptr[i]);
	}
}

static bool is_visible(char c)
{
	return c > ' ' && c <= '~' && c != '%';
}

bool percent_is_visible(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_visible(s.ptr[i]))
			return false;
	}
	return true;
}

void percent_put_visible(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_visible(s.ptr[i]))
			buf_putc(out, s.ptr[i]);
		else
			put_encoded(out, s.ptr[i]);
	}
}
