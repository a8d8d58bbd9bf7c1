/*
 * Faults of the store; see fault.h. A handler may call little (signal-safety(7)), so that its
 * line is made beforehand. What else is mapped and could fault, the program and its
 * libraries, is in no better state when its disk fails.
 */
#include "store/fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/log.h"

#define LINE_BYTES 9000 /* a path, twice, and words */
#define DOUBT "It may be damaged: the next start checks all of it.\n"

volatile sig_atomic_t fault_in_store;

struct line {
	char text[LINE_BYTES];
	size_t bytes;
};

static struct {
	struct line is_damaged;
	struct line may_be;
	int doubt_fd;
	bool doubted;
	uintptr_t map;
	size_t map_bytes;
} watched = {.doubt_fd = -1};

static void say(const struct line *line)
{
	if (write(STDERR_FILENO, line->text, line->bytes) < 0)
		return; /* nobody can be told */
}

void fault_doubt(void)
{
	watched.doubted = true;
	if (watched.doubt_fd >= 0 && write(watched.doubt_fd, DOUBT, sizeof(DOUBT) - 1) < 0)
		return; /* the next start is as any other */
}

/* What another process sent, a supervisor's watchdog for one, is no fault. */
static bool is_fault(const siginfo_t *info)
{
	return info->si_signo == SIGABRT ? info->si_pid == getpid() : info->si_code > 0;
}

/* Once pages were found damaged the heap may be, too, which others then meet. */
static bool is_of_store(const siginfo_t *info)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	return fault_in_store || watched.doubted || info->si_signo == SIGBUS ||
	    (info->si_signo == SIGSEGV && at - watched.map < watched.map_bytes);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (is_fault(info) && is_of_store(info)) {
		fault_doubt();
		say(&watched.is_damaged);
		_exit(EXIT_FAILED);
	}
	if (is_fault(info))
		say(&watched.may_be);
	const struct sigaction end = {.sa_handler = SIG_DFL};
	if (sigaction(number, &end, NULL) == 0)
		(void)raise(number); /* delivered when this returns */
}

static void handle(bool watches)
{
#ifdef __SANITIZE_ADDRESS__
	static const int SIGNALS[] = {SIGBUS}; /* it has its own words for the others */
#else
	static const int SIGNALS[] = {SIGBUS, SIGSEGV, SIGABRT};
#endif
	struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};
	if (!watches)
		action = (struct sigaction){.sa_handler = SIG_DFL};
	for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++) {
		if (sigaction(SIGNALS[i], &action, NULL) != 0)
			log_warn("faults cannot be watched", LOG_S("error", strerror(errno)));
	}
}

static void write_line(struct line *line, const char *what, const char *dir)
{
	(void)snprintf(line->text, sizeof(line->text),
	    "waybill: the store in %s %s; waybill fsck %s says more\n", dir, what, dir);
	line->bytes = strlen(line->text);
}

void fault_watch(const char *dir, int doubt_fd)
{
	write_line(&watched.is_damaged,
	    "cannot be read: its file was cut short or is damaged, or the disk fails", dir);
	write_line(&watched.may_be, "may be damaged, or this is a fault of the program's own",
	    dir);
	watched.doubted = false;
	watched.doubt_fd = doubt_fd;
	fault_set_map(NULL, 0);
	handle(true);
}

void fault_set_map(const void *map, size_t bytes)
{
	watched.map = (uintptr_t)map;
	watched.map_bytes = bytes;
}

void fault_forget(void)
{
	watched.doubt_fd = -1;
	if (!watched.doubted)
		handle(false);
	fault_set_map(NULL, 0);
}
