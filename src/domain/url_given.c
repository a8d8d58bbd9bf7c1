/* URLs taken apart just as far as is needed to encode their parts; see url_given.h. */
#include "domain/url_given.h"

#include <idn2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/percent.h"
#include "domain/url.h"

/* Path and query. White space, controls, '\' and '#' are left for url_check() to refuse. */
static void put_rest(struct slice rest, struct buf *out)
{
	static const char STRAY[] = "[]{}|^\"<>`";
	for (size_t i = 0; i < rest.len; i++) {
		unsigned char c = (unsigned char)rest.ptr[i];
		bool is_stray = c >= 0x80 || (c != '\0' && strchr(STRAY, c) != NULL) ||
		    (c == '%' && percent_byte(rest, i) < 0);
		if (is_stray)
			buf_printf(out, "%%%02X", c);
		else
			buf_putc(out, (char)c);
	}
}

static bool is_host_byte(unsigned char c)
{
	return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* Undoes %XX; false for what may not be in a name, lest it be read as more than a host. */
static bool decode_host(struct slice host, struct buf *out)
{
	for (size_t i = 0; i < host.len; i++) {
		int c = host.ptr[i] == '%' ? percent_byte(host, i) : -1;
		i += c >= 0 ? 2 : 0;
		c = c >= 0 ? c : (unsigned char)host.ptr[i];
		if (!is_host_byte((unsigned char)c))
			return false;
		buf_putc(out, (char)c);
	}
	return !out->failed;
}

/* Whether nothing in it would be read as more than a name: U+2100 is mapped to "a/c". */
static bool is_host(const char *s)
{
	while (is_host_byte((unsigned char)*s))
		s++;
	return *s == '\0';
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.ptr[i] >= 0x80)
			return false;
	}
	return true;
}

/* The host, decoded, in its ASCII form. */
static enum err put_name(struct buf *name, struct buf *out, const char *field,
    struct problem *p)
{
	uint8_t *ascii = NULL;
	if (is_ascii(buf_view(name))) {
		buf_slice(out, buf_view(name));
		return OK;
	}
	int result = idn2_lookup_u8((const uint8_t *)buf_cstr(name), &ascii,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (result == IDN2_OK && !is_host((const char *)ascii))
		result = IDN2_DISALLOWED;
	if (result == IDN2_OK)
		buf_puts(out, (const char *)ascii);
	idn2_free(ascii); /* NULL is fine */
	if (result == IDN2_OK)
		return OK;
	return problem_set(p, ERR_INVALID, field,
	    "its host is no international name that could be registered: %s",
	    idn2_strerror(result));
}

/* An authority without credentials: a name, perhaps a port. Others url_check() sees as is. */
static enum err put_authority(struct slice authority, struct buf *out, const char *field,
    struct problem *p)
{
	size_t end = authority.len;
	while (end > 0 && authority.ptr[end - 1] != ':')
		end--;
	struct slice host = {authority.ptr, end == 0 ? authority.len : end - 1};
	struct slice port = {authority.ptr + host.len, authority.len - host.len};
	struct buf name = BUF_INIT(URL_MAX + 1);
	enum err err = OK;
	bool is_name = host.len > 0 && host.ptr[0] != '[' && decode_host(host, &name);
	if (is_name)
		err = put_name(&name, out, field, p);
	else
		buf_slice(out, host);
	if (port.len != 1) /* a ':' alone says nothing */
		buf_slice(out, port);
	buf_fini(&name);
	return err;
}

enum err url_take(struct slice given, struct buf *out, const char *field, struct problem *p)
{
	size_t start = out->len;
	size_t at = 0;
	while (at < given.len && given.ptr[at] != ':')
		at++;
	struct slice scheme = {given.ptr, at};
	struct slice rest = {given.ptr + at, given.len - at};
	if (given.len == 0 || given.len > URL_MAX || !slice_starts(rest, SLICE("://")))
		return url_check(given, field, p); /* which knows what is wrong with it */
	rest = (struct slice){rest.ptr + 3, rest.len - 3};
	size_t end = 0;
	while (end < rest.len && memchr("/?#\\", rest.ptr[end], 4) == NULL)
		end++;
	buf_slice(out, scheme);
	buf_puts(out, "://");
	enum err err = put_authority((struct slice){rest.ptr, end}, out, field, p);
	put_rest((struct slice){rest.ptr + end, rest.len - end}, out);
	if (err == OK && !out->failed)
		err = url_check((struct slice){out->data + start, out->len - start}, field, p);
	return err != OK || !out->failed
	    ? err
	    : problem_set(p, ERR_INVALID, field, "must be a URL of 1 to %d bytes", URL_MAX);
}
