/* RFC 3339 without the C library's locale and time zones; see instant.h. */
#include "domain/instant.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define SECONDS_MAX 253402300799 /* the end of the year 9999 */
#define DAY_S 86400

/* Takes exactly `count` digits off the front of *s. */
static bool take_number(struct slice *s, size_t count, int64_t *out)
{
	uint64_t n = 0;
	if (s->len < count || str_u64((struct slice){s->ptr, count}, &n) != OK)
		return false;
	s->ptr += count;
	s->len -= count;
	*out = (int64_t)n;
	return true;
}

static bool take_char(struct slice *s, const char *any_of)
{
	if (s->len == 0 || s->ptr[0] == '\0' || strchr(any_of, s->ptr[0]) == NULL)
		return false;
	s->ptr++;
	s->len--;
	return true;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970 to that day; -1 where there is none such. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (year < 1970 || month < 1 || month > 12 || day < 1)
		return -1;
	int64_t length = LENGTHS[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
	if (day > length)
		return -1;
	int64_t years = year - 1;
	int64_t days = years * 365 + years / 4 - years / 100 + years / 400 - 719162;
	for (int64_t m = 1; m < month; m++)
		days += LENGTHS[m - 1] + (m == 2 && is_leap(year) ? 1 : 0);
	return days + day - 1;
}

static bool take_date(struct slice *s, int64_t *seconds)
{
	int64_t year = 0;
	int64_t month = 0;
	int64_t day = 0;
	if (!take_number(s, 4, &year) || !take_char(s, "-") || !take_number(s, 2, &month) ||
	    !take_char(s, "-") || !take_number(s, 2, &day))
		return false;
	int64_t days = days_of(year, month, day);
	*seconds = days * DAY_S;
	return days >= 0;
}

static bool take_clock(struct slice *s, int64_t *seconds, int64_t *ms)
{
	int64_t hour = 0;
	int64_t minute = 0;
	int64_t second = 0;
	if (!take_number(s, 2, &hour) || !take_char(s, ":") || !take_number(s, 2, &minute) ||
	    !take_char(s, ":") || !take_number(s, 2, &second))
		return false;
	*seconds += hour * 3600 + minute * 60 + second;
	*ms = 0;
	if (take_char(s, ".")) {
		int64_t digit = 0;
		int64_t worth = 100;
		if (s->len == 0 || s->ptr[0] < '0' || s->ptr[0] > '9')
			return false;
		for (; take_number(s, 1, &digit); worth /= 10)
			*ms += digit * worth;
	}
	return hour <= 23 && minute <= 59 && second <= 60; /* a leap second is the next one */
}

static bool take_zone(struct slice *s, int64_t *seconds)
{
	int64_t hours = 0;
	int64_t minutes = 0;
	if (take_char(s, "Zz"))
		return true;
	int64_t sign = s->len > 0 && s->ptr[0] == '-' ? -1 : 1;
	if (!take_char(s, "+-") || !take_number(s, 2, &hours) || !take_char(s, ":") ||
	    !take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*seconds -= sign * (hours * 3600 + minutes * 60);
	return true;
}

enum err instant_parse(struct slice text, int64_t *out_ms)
{
	uint64_t whole = 0;
	int64_t seconds = 0;
	int64_t ms = 0;
	if (str_u64(text, &whole) == OK) {
		if (whole > SECONDS_MAX)
			return ERR_SYNTAX;
		*out_ms = (int64_t)whole * 1000;
		return OK;
	}
	if (!take_date(&text, &seconds) || !take_char(&text, "Tt ") ||
	    !take_clock(&text, &seconds, &ms) || !take_zone(&text, &seconds) || text.len != 0 ||
	    seconds < 0 || seconds > SECONDS_MAX)
		return ERR_SYNTAX;
	*out_ms = seconds * 1000 + ms;
	return OK;
}
