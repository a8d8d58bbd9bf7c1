/*
 * Faults of the map; see fault.h. A handler may call little (signal-safety(7)), so that its
 * line is made beforehand. What else is mapped and could fault, the program and its
 * libraries, is in no better state when its disk fails.
 */
#include "store/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/log.h"

#define LINE_BYTES 9000 /* a path, twice, and words */

static struct {
	char text[LINE_BYTES];
	size_t bytes;
} line;

static void on_fault(int number)
{
	(void)number;
	if (write(STDERR_FILENO, line.text, line.bytes) < 0)
		_exit(EXIT_FAILED); /* nobody can be told */
	_exit(EXIT_FAILED);
}

static void handle(void (*handler)(int))
{
	const struct sigaction action = {.sa_handler = handler};
	if (sigaction(SIGBUS, &action, NULL) != 0)
		log_warn("SIGBUS cannot be watched", LOG_S("error", strerror(errno)));
}

void fault_watch(const char *dir)
{
	(void)snprintf(line.text, sizeof(line.text),
	    "waybill: the store in %s cannot be read: its file was cut short, or the disk "
	    "fails; waybill fsck %s says more\n",
	    dir, dir);
	line.bytes = strlen(line.text);
	handle(on_fault);
}

void fault_forget(void)
{
	handle(SIG_DFL);
}
