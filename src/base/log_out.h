/*
 * Where log lines go: standard error, or the system's log. It never blocks: a line that cannot
 * be taken at once is not written.
 */
#ifndef BASE_LOG_OUT_H
#define BASE_LOG_OUT_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_SYSLOG_PATH "/dev/log"

/* A line is at most PIPE_BUF bytes: a pipe that is ready takes all of it (POSIX, write). */
#define LOG_LINE_MAX 4096

/* How the system's log ranks a line (RFC 5424 section 6.2.1). */
enum log_severity {
	SEVERITY_ERROR = 3,
	SEVERITY_WARNING = 4,
	SEVERITY_INFO = 6,
	SEVERITY_DEBUG
};

/*
 * From now on lines go to the system's log at the socket `path`, copied, or to standard error
 * with NULL. While nobody listens there they go to standard error as well.
 */
void log_out_open(const char *syslog_path);

/* Writes `line`, which ends with a newline, at most LOG_LINE_MAX bytes; false: it is lost. */
bool log_out_write(enum log_severity severity, const char *line, size_t len);

#endif
