/* Faults with a store open: each in a process of its own, which ends as it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/fault.h"
#include "support.h"

#define PAGE 4096

/* How a process ended, what it said, and whether it left a mark. */
struct end {
	int status;
	char said[4096];
	bool has_doubt;
};

static struct end run(void (*fault)(void *map))
{
	struct end e = {0};
	char dir[64];
	char path[80];
	int said[2];
	struct stat st;
	folder_make(dir);
	(void)snprintf(path, sizeof(path), "%s/mark", dir);
	int mark = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(mark >= 0);
	assert_int_equal(pipe(said), 0);
	void *map = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)dup2(said[1], STDERR_FILENO);
		fault_watch("/a/store", mark);
		fault_set_map(map, PAGE);
		fault(map);
		_exit(77);
	}
	(void)close(said[1]);
	assert_int_equal(waitpid(child, &e.status, 0), child);
	ssize_t n = read(said[0], e.said, sizeof(e.said) - 1);
	e.said[n > 0 ? n : 0] = '\0';
	assert_int_equal(fstat(mark, &st), 0);
	e.has_doubt = st.st_size > 0;
	(void)close(said[0]);
	(void)close(mark);
	(void)munmap(map, PAGE);
	folder_remove(dir);
	return e;
}

static void touch(void *at)
{
	*(volatile char *)at = 1;
}

static void *nowhere(void)
{
	return mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int led_astray(void)
{
	touch(nowhere());
	return 0;
}

static int wrecked(void)
{
	abort();
}

static int fine(void)
{
	return 5;
}

static void in_map(void *map)
{
	touch(map);
}

static void in_store(void *map)
{
	(void)map;
	(void)FAULT_IN_STORE(led_astray());
}

static void abort_in_store(void *map)
{
	(void)map;
	(void)FAULT_IN_STORE(wrecked());
}

static void behind_the_file(void *map)
{
	(void)map;
	int fd = memfd_create("short", MFD_CLOEXEC);
	touch(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

static void after_damage(void *map)
{
	(void)map;
	fault_doubt();
	fault_forget();
	touch(nowhere());
}

static void elsewhere(void *map)
{
	(void)map;
	if (FAULT_IN_STORE(fine()) == 5)
		touch(nowhere());
}

static void abort_elsewhere(void *map)
{
	(void)map;
	abort();
}

static void sent_segv(void *map)
{
	(void)map;
	(void)kill(getpid(), SIGSEGV);
}

/* As systemd's watchdog does, also while the store is at work. */
static void sent_abort(void *map)
{
	(void)map;
	pid_t parent = getpid();
	fault_in_store = 1;
	if (fork() == 0) {
		(void)kill(parent, SIGABRT);
		_exit(0);
	}
	for (;;)
		(void)pause();
}

static void forgotten(void *map)
{
	fault_forget();
	touch(map);
}

static const struct {
	const char *name;
	void (*fault)(void *map);
	int signal;        /* that ends it; 0: status 1 */
	const char *words; /* NULL: none */
} FAULTS[] = {
    {"behind the file", behind_the_file, 0, "cannot be read"},
    {"in the map", in_map, 0, "cannot be read"},
    {"in LMDB", in_store, 0, "cannot be read"},
    {"abort in LMDB", abort_in_store, 0, "cannot be read"},
    {"after damage", after_damage, 0, "cannot be read"},
    {"elsewhere", elsewhere, SIGSEGV, "may be damaged"},
    {"abort elsewhere", abort_elsewhere, SIGABRT, "may be damaged"},
    {"sent", sent_segv, SIGSEGV, NULL},
    {"sent by another", sent_abort, SIGABRT, NULL},
    {"forgotten", forgotten, SIGSEGV, NULL},
};

/* It has its own handlers, and words, but for SIGBUS. */
#ifdef __SANITIZE_ADDRESS__
#define WATCHED 1
#else
#define WATCHED (sizeof(FAULTS) / sizeof(FAULTS[0]))
#endif

static void test_each_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < WATCHED; i++) {
		const char *words = FAULTS[i].words;
		struct end e = run(FAULTS[i].fault);
		bool ended = FAULTS[i].signal == 0
		    ? WIFEXITED(e.status) && WEXITSTATUS(e.status) == 1
		    : WIFSIGNALED(e.status) && WTERMSIG(e.status) == FAULTS[i].signal;
		bool said = words == NULL ? e.said[0] == '\0'
					  : strstr(e.said, words) != NULL &&
			strstr(e.said, "waybill fsck /a/store says more\n") != NULL;
		if (!ended || !said || e.has_doubt != (FAULTS[i].signal == 0))
			fail_msg("%s: status %d, doubt %d: %s", FAULTS[i].name, e.status,
			    e.has_doubt, e.said);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_fault)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
