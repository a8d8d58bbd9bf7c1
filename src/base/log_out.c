/*
 * Lines out, without waiting; see log_out.h. syslog(3) is not used: it waits for a log daemon
 * that is stuck, and the loop would wait with it.
 */
#include "base/log_out.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FACILITY_DAEMON 3 /* RFC 5424 section 6.2.1 */
#define HEADER_MAX 64

static struct sockaddr_un syslog_at; /* family 0: standard error */
static int syslog_fd = -1;

void log_out_open(const char *syslog_path)
{
	if (syslog_fd >= 0)
		(void)close(syslog_fd); /* datagrams: nothing is pending */
	syslog_fd = -1;
	syslog_at = (struct sockaddr_un){0};
	if (syslog_path == NULL || strlen(syslog_path) >= sizeof(syslog_at.sun_path))
		return;
	syslog_at.sun_family = AF_UNIX;
	memcpy(syslog_at.sun_path, syslog_path, strlen(syslog_path));
}

static bool connect_syslog(void)
{
	if (syslog_fd >= 0)
		return true;
	syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (syslog_fd >= 0 &&
	    connect(syslog_fd, (struct sockaddr *)&syslog_at, sizeof(syslog_at)) == 0)
		return true;
	if (syslog_fd >= 0)
		(void)close(syslog_fd); /* nothing was sent */
	syslog_fd = -1;
	return false;
}

/*
 * Sends a datagram. *taken: whether the daemon has it, or has too much to do; false: there is
 * no daemon.
 */
static bool send_syslog(enum log_severity severity, const char *line, size_t len, bool *taken)
{
	char datagram[HEADER_MAX + LOG_LINE_MAX];
	if (!connect_syslog())
		return false;
	int head = snprintf(datagram, HEADER_MAX,
	    "<%d>waybill[%d]: ", FACILITY_DAEMON * 8 + (int)severity, (int)getpid());
	size_t text = len - 1; /* a datagram needs no newline */
	memcpy(datagram + head, line, text);
	*taken = send(syslog_fd, datagram, (size_t)head + text, MSG_NOSIGNAL) >= 0;
	if (*taken || errno == EAGAIN || errno == ENOBUFS)
		return true;
	(void)close(syslog_fd); /* the daemon has restarted: another line finds the new one */
	syslog_fd = -1;
	return false;
}

static bool write_stderr(const char *line, size_t len)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
		return false;
	return write(STDERR_FILENO, line, len) >= 0;
}

bool log_out_write(enum log_severity severity, const char *line, size_t len)
{
	bool taken = false;
	if (syslog_at.sun_family == AF_UNIX && send_syslog(severity, line, len, &taken))
		return taken;
	return write_stderr(line, len);
}
