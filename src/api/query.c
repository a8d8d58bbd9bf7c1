/* Query parameters; see query.h. */
#include "api/query.h"

#include <stdio.h>

#include "base/str.h"
#include "domain/instant.h"

void query_refuse(struct query *q, const char *name, const char *allowed)
{
	char words[256];
	(void)snprintf(words, sizeof(words), "%s must be %s", name, allowed);
	q->answered = true;
	call_fail(q->call, 400, name, words);
}

/* Undoes %XX; a '+' is a '+', as in RFC 3986. False for what is malformed or too long. */
static bool decode(struct slice raw, char out[QUERY_TEXT_MAX + 1])
{
	size_t len = 0;
	for (size_t i = 0; i < raw.len; i++) {
		int byte = (unsigned char)raw.ptr[i];
		if (byte == '%') {
			int high = i + 2 < raw.len ? str_hex_digit(raw.ptr[i + 1]) : -1;
			int low = high < 0 ? -1 : str_hex_digit(raw.ptr[i + 2]);
			if (low < 0)
				return false;
			byte = high * 16 + low;
			i += 2;
		}
		if (len == QUERY_TEXT_MAX || byte == 0)
			return false;
		out[len++] = (char)byte;
	}
	out[len] = '\0';
	return true;
}

/* Finds the raw value of a parameter. */
static bool find(const struct call *c, struct slice name, struct slice *value)
{
	struct slice query = http_query(c->http);
	while (query.len > 0) {
		struct slice pair = slice_cut(&query, '&');
		if (slice_starts(pair, name) && pair.len > name.len &&
		    pair.ptr[name.len] == '=') {
			*value = (struct slice){pair.ptr + name.len + 1,
			    pair.len - name.len - 1};
			return true;
		}
	}
	return false;
}

bool query_text(struct query *q, const char *name, char out[QUERY_TEXT_MAX + 1])
{
	struct slice raw;
	char text[QUERY_TEXT_MAX + 1];
	if (q->answered || !find(q->call, slice_of(name), &raw))
		return false;
	if (!decode(raw, text)) {
		query_refuse(q, name, "at most 128 bytes, percent-encoded");
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

bool query_number(struct query *q, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	char text[QUERY_TEXT_MAX + 1];
	char allowed[64];
	uint64_t n = 0;
	if (!query_text(q, name, text))
		return false;
	if (str_u64(slice_of(text), &n) == OK && n >= min && n <= max) {
		*out = n;
		return true;
	}
	(void)snprintf(allowed, sizeof(allowed), "an integer from %llu to %llu",
	    (unsigned long long)min, (unsigned long long)max);
	query_refuse(q, name, allowed);
	return false;
}

bool query_uuid(struct query *q, const char *name, struct uuid *out)
{
	char text[QUERY_TEXT_MAX + 1];
	struct uuid id;
	if (!query_text(q, name, text))
		return false;
	if (uuid_parse(slice_of(text), &id) == OK) {
		*out = id;
		return true;
	}
	query_refuse(q, name, "an id as answers have it");
	return false;
}

bool query_time(struct query *q, const char *name, int64_t *out_ms)
{
	char text[QUERY_TEXT_MAX + 1];
	int64_t ms = 0;
	if (!query_text(q, name, text))
		return false;
	if (instant_parse(slice_of(text), &ms) == OK) {
		*out_ms = ms;
		return true;
	}
	query_refuse(q, name, INSTANT_ALLOWED);
	return false;
}
