/* Socket files: a process that ends removes its own, not one that has come in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/listener.h"
#include "support.h"

#define MODE 0600

struct fixture {
	char dir[64];
	struct sockaddr_un address;
	char where[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 8];
	struct unix_access access;
	int other;  /* another process's; -1: none */
	bool comes; /* once the file is made */
};

static struct fixture *present;

static bool is_there(const struct fixture *f)
{
	return access(f->address.sun_path, F_OK) == 0;
}

/* Another process takes the file for a dead one's, and listens there itself. */
static void take_over(struct fixture *f)
{
	assert_int_equal(unlink(f->address.sun_path), 0);
	f->other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->other, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(listen(f->other, 1), 0);
}

/* libc's; it is called last when a socket is bound. */
mode_t umask(mode_t mask)
{
	if (present->comes && is_there(present)) {
		present->comes = false;
		take_over(present);
	}
	return (mode_t)syscall(SYS_umask, mask);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	folder_make(f->dir);
	f->address.sun_family = AF_UNIX;
	(void)snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/socket", f->dir);
	(void)snprintf(f->where, sizeof(f->where), "unix:%s", f->address.sun_path);
	f->access = (struct unix_access){.mode = MODE, .uid = (uid_t)-1, .gid = (gid_t)-1};
	f->other = -1;
	present = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->other >= 0)
		close(f->other);
	folder_remove(f->dir);
	free(f);
	return 0;
}

/* Opens and closes; whether the other comes meanwhile is up to the test. */
static void serve(struct fixture *f, bool is_taken_over)
{
	struct reactor *r = reactor_new();
	struct listeners *ls = listeners_new(r, &f->access);
	struct evconnlistener *ev = NULL;
	struct problem p;
	char *shown = NULL;
	assert_int_equal(listeners_open(ls, f->where, &ev, &shown, &p), OK);
	assert_true(is_there(f));
	if (is_taken_over)
		take_over(f);
	listeners_close(ls);
	evconnlistener_free(ev);
	listeners_free(ls);
	reactor_free(r);
	free(shown);
}

static void test_own_file_goes(void **state)
{
	struct fixture *f = *state;
	struct problem p;
	serve(f, false);
	assert_false(is_there(f));
	assert_int_equal(listener_try(f->where, &f->access, &p), OK);
	assert_false(is_there(f));
}

static void test_file_of_another_stays(void **state)
{
	struct fixture *f = *state;
	serve(f, true);
	assert_true(is_there(f));
}

static void test_file_of_who_came_meanwhile_stays(void **state)
{
	struct fixture *f = *state;
	struct problem p;
	f->comes = true;
	assert_int_equal(listener_try(f->where, &f->access, &p), OK);
	assert_false(f->comes);
	assert_true(is_there(f));
	assert_int_equal(listener_try(f->where, &f->access, &p), OK); /* it listens there */
	assert_true(is_there(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_own_file_goes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_of_another_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_of_who_came_meanwhile_stays, setup,
		teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
