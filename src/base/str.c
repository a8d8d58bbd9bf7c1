/* Text conversions; see str.h. */
#include "base/str.h"

#include <stdio.h>
#include <time.h>

#define TEN_YEARS_MS (3653LL * 24 * 3600 * 1000)
#define YEAR_9999_END_MS 253402300799999LL

enum err str_u64(struct slice s, uint64_t *out)
{
	uint64_t n = 0;
	if (s.len == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return ERR_SYNTAX;
		uint64_t digit = (uint64_t)(s.ptr[i] - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return ERR_TOOBIG;
		n = n * 10 + digit;
	}
	*out = n;
	return OK;
}

struct slice str_put_i64(int64_t n, char out[STR_I64_SIZE])
{
	char digits[STR_I64_SIZE];
	size_t at = sizeof(digits);
	size_t len = 0;
	uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (n < 0)
		out[len++] = '-';
	memcpy(out + len, digits + at, sizeof(digits) - at);
	len += sizeof(digits) - at;
	out[len] = '\0';
	return (struct slice){out, len};
}

struct unit {
	struct slice name;
	uint64_t factor;
};

/* Parses digits followed by exactly one of the units; a nameless unit allows none. */
static enum err parse_units(struct slice s, const struct unit *units, size_t n, uint64_t *out)
{
	size_t digits = 0;
	while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
		digits++;
	uint64_t number = 0;
	enum err err = str_u64((struct slice){s.ptr, digits}, &number);
	if (err != OK)
		return err;
	struct slice name = {s.ptr + digits, s.len - digits};
	for (size_t i = 0; i < n; i++) {
		if (!slice_eq(name, units[i].name))
			continue;
		if (number > UINT64_MAX / units[i].factor)
			return ERR_TOOBIG;
		*out = number * units[i].factor;
		return OK;
	}
	return ERR_SYNTAX;
}

static const struct unit DURATIONS[] = {
    {SLICE_INIT("ms"), 1},
    {SLICE_INIT("s"), 1000},
    {SLICE_INIT("m"), 60000},
    {SLICE_INIT("h"), 3600000},
    {SLICE_INIT("d"), 86400000},
};
#define DURATIONS_COUNT (sizeof(DURATIONS) / sizeof(DURATIONS[0]))

enum err str_duration(struct slice s, int64_t *out_ms)
{
	uint64_t ms = 0;
	enum err err = parse_units(s, DURATIONS, DURATIONS_COUNT, &ms);
	if (err != OK)
		return err;
	if (ms > (uint64_t)TEN_YEARS_MS)
		return ERR_TOOBIG;
	*out_ms = (int64_t)ms;
	return OK;
}

void str_put_duration(int64_t ms, char out[STR_DURATION_SIZE])
{
	size_t u = ms == 0 ? 0 : DURATIONS_COUNT - 1;
	while (u > 0 && (uint64_t)ms % DURATIONS[u].factor != 0)
		u--;
	(void)snprintf(out, STR_DURATION_SIZE, "%llu%s",
	    (unsigned long long)ms / DURATIONS[u].factor, DURATIONS[u].name.ptr);
}

enum err str_size(struct slice s, uint64_t *out_bytes)
{
	static const struct unit UNITS[] = {
	    {SLICE_INIT(""), 1},
	    {SLICE_INIT("KiB"), 1ULL << 10},
	    {SLICE_INIT("MiB"), 1ULL << 20},
	    {SLICE_INIT("GiB"), 1ULL << 30},
	};
	return parse_units(s, UNITS, sizeof(UNITS) / sizeof(UNITS[0]), out_bytes);
}

void str_hex(const void *bytes, size_t n, char *out)
{
	static const char HEX[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = HEX[p[i] >> 4];
		out[2 * i + 1] = HEX[p[i] & 15];
	}
	out[2 * n] = '\0';
}

bool str_same_secret(struct slice a, struct slice b)
{
	unsigned char diff = a.len == b.len ? 0 : 1;
	for (size_t i = 0; i < a.len && b.len > 0; i++)
		diff |= (unsigned char)((unsigned char)a.ptr[i] ^
		    (unsigned char)b.ptr[i % b.len]);
	return diff == 0;
}

/* The nearest time that four digits of a year can name. */
static int64_t bound_ms(int64_t wall_ms)
{
	if (wall_ms < 0)
		return 0;
	return wall_ms > YEAR_9999_END_MS ? YEAR_9999_END_MS : wall_ms;
}

void str_http_date(int64_t wall_ms, char out[STR_HTTP_DATE_SIZE])
{
	struct tm tm = {0};
	time_t secs = (time_t)(bound_ms(wall_ms) / 1000);
	(void)gmtime_r(&secs, &tm); /* cannot fail within these years */
	/* the names are English: no program of ours sets a locale */
	(void)strftime(out, STR_HTTP_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

void str_time(int64_t wall_ms, char out[STR_TIME_SIZE])
{
	wall_ms = bound_ms(wall_ms);
	time_t secs = (time_t)(wall_ms / 1000);
	struct tm tm = {0};
	(void)gmtime_r(&secs, &tm); /* cannot fail within these years */
	size_t n = strftime(out, STR_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, STR_TIME_SIZE - n, ".%03dZ", (int)(wall_ms % 1000));
}
