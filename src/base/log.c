/* One line per event to standard error; see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define LINE_MAX_BYTES 8192 /* fields come from peers: what does not fit is left out */
#define LINE_END_BYTES 2    /* "}" and a newline, kept free for them */

static enum log_level least_level = LOG_INFO;
static enum log_format line_format = LOG_TEXT;

static const char *const LEVELS[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level least, enum log_format format)
{
	least_level = least;
	line_format = format;
}

bool log_enabled(enum log_level level)
{
	return level >= least_level;
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

/* Puts `s` in quotes, with '?' for bytes that could spoil a line of UTF-8 or a terminal. */
static void put_quoted(struct buf *b, struct slice s)
{
	char *copy = mem_copy(s.ptr, s.len);
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)copy[i] >= 0x7f)
			copy[i] = '?';
	}
	buf_json(b, (struct slice){copy, s.len});
	free(copy);
}

static void put_value(struct buf *b, const struct log_field *f)
{
	if (f->is_num)
		buf_printf(b, "%lld", (long long)f->num);
	else if (line_format == LOG_TEXT && is_plain(f->str))
		buf_slice(b, f->str);
	else
		put_quoted(b, f->str);
}

static void put_field(struct buf *b, const struct log_field *f)
{
	if (line_format == LOG_JSON) {
		buf_putc(b, b->len == 0 ? '{' : ',');
		buf_json(b, slice_of(f->key));
		buf_putc(b, ':');
	} else {
		if (b->len > 0)
			buf_putc(b, ' ');
		buf_puts(b, f->key);
		buf_putc(b, '=');
	}
	put_value(b, f);
}

static int64_t now_ms(void)
{
	struct timespec ts = {0};
	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	if (level < least_level)
		return;
	int saved = errno;
	char stamp[STR_TIME_SIZE];
	str_time(now_ms(), stamp);
	struct buf line = BUF_INIT(LINE_MAX_BYTES - LINE_END_BYTES);
	put_field(&line, &LOG_S("time", stamp));
	put_field(&line, &LOG_S("level", LEVELS[level]));
	put_field(&line, &LOG_S("msg", msg));
	for (const struct log_field *f = fields; f->key != NULL; f++) {
		size_t before = line.len;
		put_field(&line, f);
		if (line.failed) { /* drop the field that does not fit, keep the line whole */
			line.failed = false;
			line.len = before;
		}
	}
	line.max = LINE_MAX_BYTES;
	if (line_format == LOG_JSON)
		buf_putc(&line, '}');
	buf_putc(&line, '\n');
	ssize_t n = write(STDERR_FILENO, line.data, line.len);
	(void)n; /* nowhere left to report it */
	buf_fini(&line);
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
