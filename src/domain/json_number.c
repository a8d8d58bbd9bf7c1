/*
 * Numbers of the JSON reader. A literal is taken as decimal digits and a place
 * for the point; it is never computed with. The only question is whether
 * ECMAScript, which makes a double of it, would print these same digits:
 *
 *   up to 15 digits, no extreme exponent   yes: each such decimal has a double of its own
 *   more than 17 digits                    no: no double needs more
 *   the rest                               asked of the C library, which rounds exactly
 *
 * If yes, they are printed as Number::toString places them (ECMA-262 6.1.6.1.20),
 * else the literal stays as it came. Text for strtod() has no decimal point and
 * that of snprintf() is searched for digits only, so the locale does not matter.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/json_inner.h"

#define DIGITS_MAX DBL_DECIMAL_DIG /* 17: enough for every double */
#define SAFE_POINT 300             /* normal doubles reach from 2.2e-308 to 1.7e308 */
#define TINY_POINT (-330)          /* all below is 0 as a double; the least is 5e-324 */
#define HUGE_POINT 310             /* all above is Infinity */
#define EXPONENT_MAX INT64_C(1000000000000000) /* stands for all above; longer than any text */
#define PLAIN_POINT_MAX 21 /* Number::toString: up to here without an exponent */
#define PLAIN_POINT_MIN (-5)
#define EXPONENT_DIGITS_MAX 3 /* of an integer; doubles have no more */

/* ±0.DIGITS × 10^point */
struct decimal {
	char digits[DIGITS_MAX]; /* no zero in front or behind */
	size_t count;            /* 0 is the number 0 */
	int64_t point;
	bool negative;
	bool overlong; /* more digits than `digits` holds, which is then cut */
};

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static int64_t parse_exponent(const char *p, const char *end)
{
	bool negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	int64_t e = 0;
	for (; p < end && e < EXPONENT_MAX; p++)
		e = e * 10 + (*p - '0');
	if (e > EXPONENT_MAX)
		e = EXPONENT_MAX;
	return negative ? -e : e;
}

/* Takes valid literal `text` apart. */
static void parse_decimal(struct slice text, struct decimal *d)
{
	const char *p = text.ptr;
	const char *end = p + text.len;
	size_t zeros = 0; /* seen behind the last digit kept, not yet known to matter */
	bool fraction = false;
	*d = (struct decimal){.negative = *p == '-'};
	for (p += d->negative; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		if (*p == '0' && d->count == 0) {
			d->point -= fraction;
			continue;
		}
		d->point += !fraction;
		if (*p == '0') {
			zeros++;
			continue;
		}
		if (zeros >= DIGITS_MAX - d->count) {
			d->overlong = true;
			d->count = DIGITS_MAX;
		} else {
			memset(d->digits + d->count, '0', zeros);
			d->count += zeros;
			d->digits[d->count++] = *p;
		}
		zeros = 0;
	}
	if (p < end)
		d->point += parse_exponent(p + 1, end);
}

/* Returns the double next to |d|; d->point is between TINY_POINT and HUGE_POINT. */
static double to_double(const struct decimal *d)
{
	char text[DIGITS_MAX + 8]; /* digits, e, sign, three digits, NUL */
	int exponent = (int)d->point - (int)d->count;
	(void)snprintf(text, sizeof(text), "%.*se%d", (int)d->count, d->digits, exponent);
	return strtod(text, NULL);
}

/* Makes `out` the decimal of `count` digits that is nearest to positive `x`. */
static void round_to(double x, size_t count, struct decimal *out)
{
	char text[DIGITS_MAX + 24]; /* and a decimal point of several bytes */
	(void)snprintf(text, sizeof(text), "%.*e", (int)count - 1, x);
	*out = (struct decimal){.count = count};
	const char *p = text;
	for (size_t i = 0; *p != 'e'; p++) {
		if (is_digit(*p) && i < count)
			out->digits[i++] = *p;
	}
	out->point = parse_exponent(p + 1, p + strlen(p)) + 1;
}

/* Adds one to the last digit. */
static void step_up(struct decimal *d)
{
	size_t i = d->count;
	while (i > 0 && d->digits[i - 1] == '9')
		d->digits[--i] = '0';
	if (i > 0) {
		d->digits[i - 1]++;
	} else {
		d->digits[0] = '1';
		d->point++;
	}
}

static bool is_same(const struct decimal *a, const struct decimal *b)
{
	return a->point == b->point && a->count == b->count &&
	    memcmp(a->digits, b->digits, a->count) == 0;
}

/*
 * Whether a decimal with fewer digits than `d` stands for `x` too. All that do lie
 * in one interval, and `d` in it: if there is any, a neighbour of `d` with one digit
 * less is one.
 */
static bool has_shorter(const struct decimal *d, double x)
{
	struct decimal other = *d;
	if (--other.count == 0)
		return false;
	if (to_double(&other) == x)
		return true;
	step_up(&other);
	return to_double(&other) == x;
}

/*
 * Whether `d` is the nearest to `x` of the decimals as long that stand for `x`. Below
 * a power of two doubles lie closer than above it: there the nearest of all can be
 * another double's, while its upper neighbour is x's.
 */
static bool is_nearest(const struct decimal *d, double x)
{
	struct decimal other;
	round_to(x, d->count, &other);
	if (!is_same(&other, d) && to_double(&other) != x)
		step_up(&other);
	return is_same(&other, d);
}

/* Whether ECMAScript prints the digits of `d`, not 0, for the double it makes of it. */
static bool is_own_print(const struct decimal *d)
{
	if (d->overlong)
		return false;
	if (d->count <= DBL_DIG && d->point > -SAFE_POINT && d->point < SAFE_POINT)
		return true;
	if (d->point < TINY_POINT || d->point > HUGE_POINT)
		return false;
	double x = to_double(d);
	if (x == 0 || isinf(x))
		return false;
	return !has_shorter(d, x) && is_nearest(d, x);
}

static void put_zeros(struct buf *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		buf_putc(out, '0');
}

/* Appends the digits, with a decimal point behind the first `point`, or zeros up to it. */
static void put_digits(const struct decimal *d, int64_t point, struct buf *out)
{
	size_t whole = (size_t)point < d->count ? (size_t)point : d->count;
	buf_append(out, d->digits, whole);
	put_zeros(out, point - (int64_t)whole);
	if (whole < d->count) {
		buf_putc(out, '.');
		buf_append(out, d->digits + whole, d->count - whole);
	}
}

/* Appends `d` as Number::toString does. */
static void put_decimal(const struct decimal *d, struct buf *out)
{
	if (d->count == 0) {
		buf_putc(out, '0');
		return;
	}
	if (d->negative)
		buf_putc(out, '-');
	if (d->point > 0 && d->point <= PLAIN_POINT_MAX) {
		put_digits(d, d->point, out);
	} else if (d->point <= 0 && d->point >= PLAIN_POINT_MIN) {
		buf_puts(out, "0.");
		put_zeros(out, -d->point);
		buf_append(out, d->digits, d->count);
	} else {
		put_digits(d, 1, out);
		char text[8]; /* e, sign, three digits, NUL */
		int n = snprintf(text, sizeof(text), "e%+d", (int)d->point - 1);
		buf_append(out, text, (size_t)n);
	}
}

void json_put_number(struct slice text, struct buf *out)
{
	struct decimal d;
	parse_decimal(text, &d);
	if (d.count == 0 || is_own_print(&d))
		put_decimal(&d, out);
	else
		buf_slice(out, text);
}

double json_to_double(struct slice text)
{
	struct decimal d;
	parse_decimal(text, &d);
	double x = 0;
	if (d.count > 0 && d.point > HUGE_POINT)
		x = INFINITY;
	else if (d.count > 0 && d.point >= TINY_POINT)
		x = to_double(&d);
	return d.negative ? -x : x;
}

/* Moves `pos` over digits; ERR_SYNTAX where there is none. */
static enum err skip_digits(struct json_reader *r)
{
	if (!is_digit(json_next(r)))
		return json_fail(r, "a digit expected");
	while (is_digit(json_next(r)))
		r->pos++;
	return OK;
}

/* Moves `pos` over a number; *is_integer where it has neither fraction nor exponent. */
static enum err scan_number(struct json_reader *r, bool *is_integer)
{
	*is_integer = true;
	if (json_next(r) == '-')
		r->pos++;
	bool zero = json_next(r) == '0';
	enum err err = OK;
	if (zero)
		r->pos++;
	else
		err = skip_digits(r);
	if (zero && is_digit(json_next(r)))
		return json_fail(r, "no digit may follow a leading 0");
	if (err == OK && json_next(r) == '.') {
		*is_integer = false;
		r->pos++;
		err = skip_digits(r);
	}
	if (err == OK && (json_next(r) == 'e' || json_next(r) == 'E')) {
		*is_integer = false;
		r->pos++;
		if (json_next(r) == '+' || json_next(r) == '-')
			r->pos++;
		err = skip_digits(r);
	}
	return err;
}

enum err json_read_number(struct json_reader *r)
{
	size_t from = r->pos;
	bool is_integer = true;
	enum err err = scan_number(r, &is_integer);
	if (err != OK)
		return err;
	struct slice text = {r->text.ptr + from, r->pos - from};
	/* Up to 21 digits of an integer are printed as such or kept as such: all the same. */
	if (is_integer && text.len <= PLAIN_POINT_MAX && !slice_eq(text, SLICE("-0")))
		return OK;
	json_cut(r, from);
	json_put_number(text, r->out);
	return OK;
}

/* Reads e+21, which canonical JSON has where an integer has more than 21 digits. */
static bool read_exponent(struct slice text, size_t *exponent)
{
	size_t from = text.len > 1 && text.ptr[1] == '+' ? 2 : 1;
	*exponent = 0;
	if (text.len == 0)
		return true;
	for (size_t i = from; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		*exponent = *exponent * 10 + (size_t)(text.ptr[i] - '0');
		if (i == from + EXPONENT_DIGITS_MAX)
			return false;
	}
	return true;
}

bool json_integer_of(struct slice number, struct json_integer *out)
{
	size_t i = number.ptr[0] == '-' ? 1 : 0;
	size_t from = i;
	size_t point = SIZE_MAX;
	size_t exponent = 0;
	for (; i < number.len && number.ptr[i] != 'e' && number.ptr[i] != 'E'; i++) {
		if (number.ptr[i] == '.')
			point = i;
	}
	out->is_below = from == 1;
	out->digits = (struct slice){number.ptr + from, i - from};
	if (!read_exponent((struct slice){number.ptr + i, number.len - i}, &exponent) ||
	    (i < number.len && number.ptr[from] == '0'))
		return false;
	size_t behind = point == SIZE_MAX ? 0 : i - point - 1; /* digits, behind the point */
	out->len = out->digits.len - (behind > 0 ? 1 : 0) - behind + exponent;
	return behind <= exponent;
}

/* The next digit; `at` is its place in what is written. */
static char next_digit(const struct json_integer *n, size_t *at)
{
	if (*at < n->digits.len && n->digits.ptr[*at] == '.')
		++*at;
	return *at < n->digits.len ? n->digits.ptr[(*at)++] : '0';
}

int json_integer_compare(const struct json_integer *a, const struct json_integer *b)
{
	size_t at_a = 0;
	size_t at_b = 0;
	if (a->is_below != b->is_below)
		return a->is_below ? -1 : 1;
	int order = a->len < b->len ? -1 : a->len > b->len;
	while (order == 0 && (at_a < a->digits.len || at_b < b->digits.len))
		order = next_digit(a, &at_a) - next_digit(b, &at_b);
	return a->is_below ? -order : order;
}
