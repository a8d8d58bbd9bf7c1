/* The texts of HTTP Message Signatures; see httpsig.h. */
#include "domain/httpsig.h"

#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/str.h"

#define INTEGER_DIGITS_MAX 15 /* RFC 9651 section 3.3.1 */

void httpsig_digest(struct slice body, char out[HTTPSIG_DIGEST_SIZE])
{
	const struct slice head = SLICE("sha-256=:");
	unsigned char digest[DIGEST_SIZE];
	digest_of(&body, 1, digest);
	memcpy(out, head.ptr, head.len);
	base64_encode(digest, sizeof(digest), out + head.len);
	memcpy(out + HTTPSIG_DIGEST_SIZE - 2, ":", 2);
}

static void put_lower(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		buf_putc(out, c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c);
	}
}

void httpsig_put_target(struct slice url, struct buf *out)
{
	struct slice rest = url;
	struct slice scheme = slice_cut(&rest, ':');
	size_t start = rest.len >= 2 ? 2 : rest.len; /* "//" */
	size_t end = start;
	while (end < rest.len && strchr("/?", rest.ptr[end]) == NULL)
		end++;
	struct slice authority = {rest.ptr + start, end - start};
	struct slice path = {rest.ptr + end, rest.len - end};
	bool is_tls = scheme.len == 5;
	struct slice own = is_tls ? SLICE(":443") : SLICE(":80");
	size_t host = authority.len > own.len ? authority.len - own.len : authority.len;
	if (slice_eq((struct slice){authority.ptr + host, authority.len - host}, own))
		authority.len = host;
	put_lower(out, scheme);
	buf_puts(out, "://");
	put_lower(out, authority);
	if (path.len == 0 || path.ptr[0] != '/')
		buf_putc(out, '/');
	buf_slice(out, path);
}

/* A string of structured fields. */
static void put_string(struct buf *out, struct slice s)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.ptr[i]);
	}
	buf_putc(out, '"');
}

void httpsig_put_params(const struct httpsig_field fields[], size_t n,
    const struct httpsig_params *params, struct buf *out)
{
	char created[STR_I64_SIZE];
	buf_putc(out, '(');
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i == 0 ? "" : " ");
		put_string(out, fields[i].name);
	}
	buf_puts(out, ");created=");
	buf_slice(out, str_put_i64(params->created_s, created));
	buf_puts(out, ";keyid=");
	put_string(out, params->key_id);
	if (params->alg.len == 0)
		return;
	buf_puts(out, ";alg=");
	put_string(out, params->alg);
}

void httpsig_put_base(const struct httpsig_field fields[], size_t n, struct slice params,
    struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		put_string(out, fields[i].name);
		buf_puts(out, ": ");
		buf_slice(out, slice_trim(fields[i].value));
		buf_putc(out, '\n');
	}
	put_string(out, SLICE("@signature-params"));
	buf_puts(out, ": ");
	buf_slice(out, params);
}

static void skip(struct slice *s, size_t n)
{
	s->ptr += n;
	s->len -= n;
}

static bool take(struct slice *s, char c)
{
	if (s->len == 0 || s->ptr[0] != c)
		return false;
	skip(s, 1);
	return true;
}

/* Takes a key of a dictionary or a parameter; empty where there is none. */
static struct slice take_key(struct slice *s)
{
	size_t n = 0;
	while (n < s->len &&
	    ((s->ptr[n] >= 'a' && s->ptr[n] <= 'z') || s->ptr[n] == '*' ||
		(n > 0 &&
		    ((s->ptr[n] >= '0' && s->ptr[n] <= '9') || s->ptr[n] == '_' ||
			s->ptr[n] == '-' || s->ptr[n] == '.'))))
		n++;
	struct slice key = {s->ptr, n};
	skip(s, n);
	return key;
}

/* Takes a string; what is within its quotes, an escape as it stands. */
static bool take_string(struct slice *s, struct slice *out)
{
	size_t n = 1;
	if (s->len == 0 || s->ptr[0] != '"')
		return false;
	for (; n < s->len && s->ptr[n] != '"'; n++) {
		unsigned char c = (unsigned char)s->ptr[n];
		if (c < 0x20 || c > 0x7e)
			return false;
		if (c != '\\')
			continue;
		if (++n == s->len || (s->ptr[n] != '"' && s->ptr[n] != '\\'))
			return false;
	}
	if (n == s->len)
		return false;
	*out = (struct slice){s->ptr + 1, n - 1};
	skip(s, n + 1);
	return true;
}

/* Takes an integer that is not negative, as it is written again. */
static bool take_integer(struct slice *s, int64_t *out)
{
	size_t n = 0;
	uint64_t value = 0;
	while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9')
		n++;
	bool good = n > 0 && n <= INTEGER_DIGITS_MAX && (n == 1 || s->ptr[0] != '0') &&
	    str_u64((struct slice){s->ptr, n}, &value) == OK;
	*out = (int64_t)value;
	skip(s, n);
	return good;
}

/* Takes ("NAME" …): no component has parameters, none is named twice. */
static bool take_names(struct slice *s, struct httpsig_input *out)
{
	out->count = 0;
	if (!take(s, '('))
		return false;
	while (!take(s, ')')) {
		struct slice name;
		if ((out->count > 0 && !take(s, ' ')) || out->count == HTTPSIG_FIELDS_MAX ||
		    !take_string(s, &name) || name.len == 0)
			return false;
		for (size_t i = 0; i < out->count; i++) {
			if (slice_eq(out->names[i], name))
				return false;
		}
		out->names[out->count++] = name;
	}
	return true;
}

/* Takes ;NAME=VALUE, a string or an integer. */
static bool take_param(struct slice *s, struct httpsig_input *out)
{
	struct slice text = {s->ptr, 0};
	int64_t number = 0;
	struct slice key = take_key(s);
	if (key.len == 0 || !take(s, '='))
		return false;
	bool is_text = s->len > 0 && s->ptr[0] == '"';
	if (!(is_text ? take_string(s, &text) : take_integer(s, &number)))
		return false;
	if (slice_eq(key, SLICE("created"))) {
		out->created_s = number;
		return !is_text;
	}
	if (slice_eq(key, SLICE("keyid")))
		out->key_id = text;
	else if (slice_eq(key, SLICE("alg")))
		out->alg = text;
	else
		return true;
	return is_text;
}

/* Takes what stands between two members: a comma, perhaps white space; or the end. */
static bool take_comma(struct slice *s)
{
	*s = slice_trim(*s);
	if (s->len == 0)
		return true;
	bool good = take(s, ',');
	*s = slice_trim(*s);
	return good && s->len > 0;
}

bool httpsig_next(struct slice *rest, struct httpsig_input *out)
{
	*out = (struct httpsig_input){.created_s = -1};
	out->label = take_key(rest);
	if (out->label.len == 0 || !take(rest, '='))
		return false;
	const char *start = rest->ptr;
	if (!take_names(rest, out))
		return false;
	while (take(rest, ';')) {
		if (!take_param(rest, out))
			return false;
	}
	out->text = (struct slice){start, (size_t)(rest->ptr - start)};
	return take_comma(rest);
}

bool httpsig_find(struct slice header, struct slice label, unsigned char out[HTTPSIG_BYTES_MAX],
    size_t *len)
{
	bool found = false;
	while (header.len > 0) {
		struct slice key = take_key(&header);
		if (key.len == 0 || !take(&header, '=') || !take(&header, ':') ||
		    memchr(header.ptr, ':', header.len) == NULL)
			return false;
		struct slice text = slice_cut(&header, ':');
		if (!take_comma(&header))
			return false;
		if (!slice_eq(key, label))
			continue;
		if (found || text.len > HTTPSIG_BYTES_MAX / 3 * 4 ||
		    !base64_decode(text, out, len))
			return false;
		found = true;
	}
	return found;
}
