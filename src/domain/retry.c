/*
 * When to try again; see retry.h. Dates are read by hand and not by strptime(),
 * because HTTP's names of days and months are English whatever the locale is.
 */
#include "domain/retry.h"

#include <time.h>

#include "base/log.h"
#include "base/str.h"

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define JITTER_PARTS 5             /* ± one fifth; docs/api.md */
#define FIFTY_YEARS_S 1577847600LL /* 50 Gregorian years of 365.2425 days */
#define TM_YEAR_0 1900

const struct retry_schedule RETRY_DEFAULT = {
    .count = 9,
    .wait_ms = {5 * SECOND_MS, 30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS,
	2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS},
};

enum err retry_add(struct retry_schedule *s, struct slice text, const char *field,
    struct problem *p)
{
	int64_t wait_ms = 0;
	if (s->count >= RETRY_STEPS_MAX)
		return problem_set(p, ERR_INVALID, field, "a schedule has at most %d waits",
		    RETRY_STEPS_MAX);
	if (str_duration(slice_trim(text), &wait_ms) != OK || wait_ms < 1 ||
	    wait_ms > RETRY_WAIT_MAX_MS)
		return problem_set(p, ERR_INVALID, field,
		    "a wait is digits and one of ms, s, m, h, d, such as 30s, from 1ms to 7d");
	s->wait_ms[s->count++] = wait_ms;
	return OK;
}

enum err retry_parse(struct slice text, const char *field, struct retry_schedule *out,
    struct problem *p)
{
	struct retry_schedule s = {0};
	size_t from = 0;
	if (text.len == 0)
		return problem_set(p, ERR_INVALID, field,
		    "a schedule names at least one wait, such as 5s,30s,2m");
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.ptr[i] != ',')
			continue;
		enum err err = retry_add(&s, (struct slice){text.ptr + from, i - from}, field,
		    p);
		if (err != OK)
			return err;
		from = i + 1;
	}
	*out = s;
	return OK;
}

int64_t retry_wait(const struct retry_schedule *s, uint32_t attempts, uint64_t random)
{
	panic_if(attempts == 0, "a wait before the first attempt");
	if (attempts > s->count)
		return -1;
	int64_t wait_ms = s->wait_ms[attempts - 1];
	int64_t spread_ms = wait_ms / JITTER_PARTS;
	/* fewer than 2^28 choices: the bias of the modulo is nothing */
	uint64_t choices = 2 * (uint64_t)spread_ms + 1;
	return wait_ms - spread_ms + (int64_t)(random % choices);
}

enum outcome retry_outcome(int status)
{
	if (status >= 200 && status <= 299)
		return OUTCOME_DELIVERED;
	return status == 410 ? OUTCOME_GONE : OUTCOME_RETRY;
}

bool retry_is_overload(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* What is left to read of a date; once something was not as expected, `failed` stays. */
struct scan {
	struct slice rest;
	bool failed;
};

static void skip_text(struct scan *sc, struct slice text)
{
	if (sc->failed || !slice_starts(sc->rest, text)) {
		sc->failed = true;
		return;
	}
	sc->rest.ptr += text.len;
	sc->rest.len -= text.len;
}

static int read_digits(struct scan *sc, size_t n)
{
	uint64_t number = 0;
	if (sc->failed || sc->rest.len < n ||
	    str_u64((struct slice){sc->rest.ptr, n}, &number) != OK) {
		sc->failed = true;
		return 0;
	}
	sc->rest.ptr += n;
	sc->rest.len -= n;
	return (int)number;
}

/* Reads one of `names` and returns which. */
static int read_name(struct scan *sc, const struct slice names[], int n)
{
	for (int i = 0; !sc->failed && i < n; i++) {
		if (slice_starts(sc->rest, names[i])) {
			skip_text(sc, names[i]);
			return i;
		}
	}
	sc->failed = true;
	return 0;
}

static const struct slice DAYS[] = {
    SLICE_INIT("Mon"),
    SLICE_INIT("Tue"),
    SLICE_INIT("Wed"),
    SLICE_INIT("Thu"),
    SLICE_INIT("Fri"),
    SLICE_INIT("Sat"),
    SLICE_INIT("Sun"),
};

static const struct slice LONG_DAYS[] = {
    SLICE_INIT("Monday"),
    SLICE_INIT("Tuesday"),
    SLICE_INIT("Wednesday"),
    SLICE_INIT("Thursday"),
    SLICE_INIT("Friday"),
    SLICE_INIT("Saturday"),
    SLICE_INIT("Sunday"),
};

static const struct slice MONTHS[] = {
    SLICE_INIT("Jan"),
    SLICE_INIT("Feb"),
    SLICE_INIT("Mar"),
    SLICE_INIT("Apr"),
    SLICE_INIT("May"),
    SLICE_INIT("Jun"),
    SLICE_INIT("Jul"),
    SLICE_INIT("Aug"),
    SLICE_INIT("Sep"),
    SLICE_INIT("Oct"),
    SLICE_INIT("Nov"),
    SLICE_INIT("Dec"),
};

#define DAY_COUNT 7
#define MONTH_COUNT 12

static void read_time_of_day(struct scan *sc, struct tm *tm)
{
	tm->tm_hour = read_digits(sc, 2);
	skip_text(sc, SLICE(":"));
	tm->tm_min = read_digits(sc, 2);
	skip_text(sc, SLICE(":"));
	tm->tm_sec = read_digits(sc, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the form of today. */
static bool read_imf(struct scan sc, struct tm *tm)
{
	(void)read_name(&sc, DAYS,
	    DAY_COUNT); /* whether it is that date's day is not our concern */
	skip_text(&sc, SLICE(", "));
	tm->tm_mday = read_digits(&sc, 2);
	skip_text(&sc, SLICE(" "));
	tm->tm_mon = read_name(&sc, MONTHS, MONTH_COUNT);
	skip_text(&sc, SLICE(" "));
	tm->tm_year = read_digits(&sc, 4) - TM_YEAR_0;
	skip_text(&sc, SLICE(" "));
	read_time_of_day(&sc, tm);
	skip_text(&sc, SLICE(" GMT"));
	return !sc.failed && sc.rest.len == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT"; the year is still to be completed. */
static bool read_rfc850(struct scan sc, struct tm *tm)
{
	(void)read_name(&sc, LONG_DAYS, DAY_COUNT);
	skip_text(&sc, SLICE(", "));
	tm->tm_mday = read_digits(&sc, 2);
	skip_text(&sc, SLICE("-"));
	tm->tm_mon = read_name(&sc, MONTHS, MONTH_COUNT);
	skip_text(&sc, SLICE("-"));
	tm->tm_year = read_digits(&sc, 2);
	skip_text(&sc, SLICE(" "));
	read_time_of_day(&sc, tm);
	skip_text(&sc, SLICE(" GMT"));
	return !sc.failed && sc.rest.len == 0;
}

/* "Sun Nov  6 08:49:37 1994", as C's asctime() prints it. */
static bool read_asctime(struct scan sc, struct tm *tm)
{
	(void)read_name(&sc, DAYS, DAY_COUNT);
	skip_text(&sc, SLICE(" "));
	tm->tm_mon = read_name(&sc, MONTHS, MONTH_COUNT);
	skip_text(&sc, SLICE(" "));
	bool one_digit = slice_starts(sc.rest, SLICE(" "));
	if (one_digit)
		skip_text(&sc, SLICE(" "));
	tm->tm_mday = read_digits(&sc, one_digit ? 1 : 2);
	skip_text(&sc, SLICE(" "));
	read_time_of_day(&sc, tm);
	skip_text(&sc, SLICE(" "));
	tm->tm_year = read_digits(&sc, 4) - TM_YEAR_0;
	return !sc.failed && sc.rest.len == 0;
}

static int64_t seconds_of(struct tm tm)
{
	return timegm(&tm); /* normalises its argument, here a copy */
}

/*
 * Completes a year of two digits: the latest one that is not more than 50 years in
 * the future (RFC 9110 section 5.6.7).
 */
static bool complete_year(struct tm *tm, int64_t now_s)
{
	time_t now = (time_t)now_s;
	struct tm today;
	if (gmtime_r(&now, &today) == NULL)
		return false;
	int century = (today.tm_year + TM_YEAR_0) / 100 + 1;
	tm->tm_year += century * 100 - TM_YEAR_0;
	while (seconds_of(*tm) > now_s + FIFTY_YEARS_S)
		tm->tm_year -= 100;
	return true;
}

/* Whether the date exists; timegm() would make March of the 30th of February. */
static bool is_date(const struct tm *tm)
{
	static const int DAYS_IN[MONTH_COUNT] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
	    31};
	int year = tm->tm_year + TM_YEAR_0;
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	int days = tm->tm_mon == 1 && leap ? 29 : DAYS_IN[tm->tm_mon];
	bool leap_second = tm->tm_sec == 60; /* RFC 9110 allows it, wherever it is */
	return tm->tm_mday >= 1 && tm->tm_mday <= days && tm->tm_hour <= 23 &&
	    tm->tm_min <= 59 && (tm->tm_sec <= 59 || leap_second);
}

static bool read_date(struct slice text, int64_t now_s, int64_t *date_s)
{
	const struct scan sc = {.rest = text};
	struct tm tm = {0};
	bool read = read_imf(sc, &tm) || read_asctime(sc, &tm) ||
	    (read_rfc850(sc, &tm) && complete_year(&tm, now_s));
	if (!read || !is_date(&tm))
		return false;
	*date_s = seconds_of(tm);
	return true;
}

/* Reads digits only; what does not fit in 64 bits is the longest wait there is. */
static bool read_seconds(struct slice text, int64_t *seconds)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	}
	uint64_t n = 0;
	const int64_t most = RETRY_AFTER_MAX_MS / SECOND_MS;
	enum err err = str_u64(text, &n);
	*seconds = err == ERR_TOOBIG || n > (uint64_t)most ? most : (int64_t)n;
	return err != ERR_SYNTAX;
}

bool retry_after(struct slice value, int64_t now_ms, int64_t *wait_ms)
{
	struct slice text = slice_trim(value);
	int64_t seconds = 0;
	int64_t wait = 0;
	if (read_seconds(text, &seconds))
		wait = seconds * SECOND_MS;
	else if (read_date(text, now_ms / SECOND_MS, &seconds))
		wait = seconds * SECOND_MS - now_ms;
	else
		return false;
	if (wait < 0)
		wait = 0;
	*wait_ms = wait < RETRY_AFTER_MAX_MS ? wait : RETRY_AFTER_MAX_MS;
	return true;
}
