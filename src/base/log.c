/* One line per event, and how many of a kind; see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/log_out.h"
#include "base/printable.h"
#include "base/str.h"

#define LINE_END_BYTES 2 /* "}" and a newline, kept free for them */
#define KINDS 1024       /* kinds of lines that are counted apart; more share a count */
#define BURST_S 10       /* seconds' worth of lines of a kind that may come at once */
/* Bytes of a value of `n` in quotes: six for a control, three for a byte of any other. */
#define QUOTED_MAX(n) (PRINTABLE_GROWTH * (n) + 2)
#define SESSION_KINDS 4 /* a session's webhooks together have so many times what one may */

static enum log_level least_level = LOG_INFO;
static enum log_format line_format = LOG_TEXT;
static uint32_t kind_per_second;
static struct log_figures figures;
static uint64_t lost; /* lines that nobody took, since the last that was taken */

/* One kind of lines: a message, for one webhook or for one session. */
static struct kind {
	int64_t refilled_us; /* 0: no line yet */
	double tokens;
	uint64_t held_back;
} kinds[KINDS];

static const struct {
	const char *name;
	enum log_severity severity;
} LEVELS[] = {{"debug", SEVERITY_DEBUG}, {"info", SEVERITY_INFO}, {"warn", SEVERITY_WARNING},
    {"error", SEVERITY_ERROR}};

void log_setup(enum log_level least, enum log_format format)
{
	least_level = least;
	line_format = format;
}

void log_limit(uint32_t per_second)
{
	kind_per_second = per_second;
}

bool log_enabled(enum log_level level)
{
	return level >= least_level;
}

/* The kind of a message with the field `key`, if there is one. */
static struct kind *kind_of(const char *msg, const struct log_field *fields, const char *key)
{
	uint64_t hash = hash_checksum(msg, strlen(msg));
	for (const struct log_field *f = fields; f->key != NULL; f++) {
		if (strcmp(f->key, key) != 0)
			continue;
		hash ^= hash_checksum(f->str.ptr, f->str.len);
		hash ^= hash_checksum(key,
		    strlen(key)); /* a session may be called as a webhook */
	}
	return &kinds[hash % KINDS];
}

/* Adds what a kind, of which `rate` lines a second may be written, may write by now. */
static void refill(struct kind *k, double rate)
{
	int64_t now_us = clock_now_us();
	k->tokens += (double)(now_us - k->refilled_us) / 1e6 * rate;
	if (k->refilled_us == 0 || k->tokens > rate * BURST_S)
		k->tokens = rate * BURST_S;
	k->refilled_us = now_us;
}

static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
			return false;
	}
	return s.len > 0;
}

/* Writes `s` as JSON that is printable: escapes for what a terminal would act upon. */
static void write_quoted(struct json_writer *w, const char *name, struct slice s)
{
	struct buf json = BUF_INIT(QUOTED_MAX(s.len));
	struct buf shown = BUF_INIT(QUOTED_MAX(s.len));
	struct json_writer value = JSON_WRITER(&json);
	json_write_bytes(&value, NULL, s);
	printable_put(&shown, buf_view(&json), false);
	json_write_raw(w, name, buf_view(&shown));
	buf_fini(&json);
	buf_fini(&shown);
}

/* key=value; a value that is not plain is put as JSON would have it. */
static void put_text_field(struct buf *b, const struct log_field *f)
{
	struct json_writer value = JSON_WRITER(b);
	buf_printf(b, "%s%s=", b->len > 0 ? " " : "", f->key);
	if (f->is_num)
		json_write_i64(&value, NULL, f->num);
	else if (is_plain(f->str))
		buf_slice(b, f->str);
	else
		write_quoted(&value, NULL, f->str);
}

/* `line`: the object of the line where that is JSON; else only its buffer counts. */
static void put_field(struct json_writer *line, const struct log_field *f)
{
	if (line_format == LOG_TEXT)
		put_text_field(line->out, f);
	else if (f->is_num)
		json_write_i64(line, f->key, f->num);
	else
		write_quoted(line, f->key, f->str);
}

/* Puts a field, or nothing of it where the line would become too long. */
static void put_whole_field(struct json_writer *line, const struct log_field *f)
{
	const struct json_writer before = *line;
	size_t len = line->out->len;
	put_field(line, f);
	if (line->out->failed) {
		*line = before;
		line->out->failed = false;
		line->out->len = len;
	}
}

static void write_line(enum log_level level, const char *msg, const struct log_field *fields,
    uint64_t held_back)
{
	char stamp[STR_TIME_SIZE];
	str_time(clock_system_ms(), stamp);
	struct buf text = BUF_INIT(LOG_LINE_MAX - LINE_END_BYTES);
	struct json_writer line = JSON_WRITER(&text);
	if (line_format == LOG_JSON)
		json_open_object(&line, NULL);
	put_field(&line, &LOG_S("time", stamp));
	put_field(&line, &LOG_S("level", LEVELS[level].name));
	put_field(&line, &LOG_S("msg", msg));
	if (held_back > 0)
		put_field(&line, &LOG_N("held_back", held_back));
	if (lost > 0)
		put_field(&line, &LOG_N("lost", lost));
	for (const struct log_field *f = fields; f->key != NULL; f++)
		put_whole_field(&line, f);
	text.max = LOG_LINE_MAX;
	if (line_format == LOG_JSON)
		json_close(&line);
	buf_putc(&text, '\n');
	lost = log_out_write(LEVELS[level].severity, text.data, text.len) ? 0 : lost + 1;
	figures.lost += lost > 0 ? 1 : 0;
	buf_fini(&text);
}

struct log_figures log_figures(void)
{
	return figures;
}

/* A line needs a token of its webhook's kind and one of its session's. */
static void write_limited(enum log_level level, const char *msg, const struct log_field *fields)
{
	struct kind *k = kind_of(msg, fields, "webhook");
	struct kind *session = kind_of(msg, fields, "session");
	if (kind_per_second > 0) {
		refill(k, kind_per_second);
		refill(session, (double)kind_per_second * SESSION_KINDS);
		if (k->tokens < 1 || session->tokens < 1) {
			k->held_back++;
			return;
		}
		k->tokens -= 1;
		session->tokens -= k == session ? 0 : 1; /* one for a line about neither */
	}
	write_line(level, msg, fields, k->held_back);
	k->held_back = 0;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	if (!log_enabled(level))
		return;
	int saved = errno;
	figures.lines[level]++;
	if (level == LOG_DEBUG)
		write_line(level, msg, fields, 0);
	else
		write_limited(level, msg, fields);
	errno = saved;
}

void log_panic(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)fprintf(stderr, "waybill: panic: ");
	(void)vfprintf(stderr, fmt, args);
	(void)fprintf(stderr, "\n");
	va_end(args);
	abort();
}
