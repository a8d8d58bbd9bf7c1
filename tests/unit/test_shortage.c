/* What counts as a shortage of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "courier/shortage.h"
#include "support.h"

/* The address sanitizer ends the process otherwise, where an allocation cannot be made. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void test_errors_of_the_system(void **state)
{
	static const struct {
		int error;
		enum shortage of;
	} ROWS[] = {
	    {EMFILE, SHORT_OF_DESCRIPTORS},
	    {ENFILE, SHORT_OF_DESCRIPTORS},
	    {ENOMEM, SHORT_OF_MEMORY},
	    {ENOBUFS, SHORT_OF_MEMORY},
	    {ECONNREFUSED, SHORT_OF_NOTHING},
	    {EAFNOSUPPORT, SHORT_OF_NOTHING},
	    {EACCES, SHORT_OF_NOTHING},
	    {ENETUNREACH, SHORT_OF_NOTHING},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++)
		assert_int_equal(shortage_of_errno(ROWS[i].error), ROWS[i].of);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(SHORTAGE_NAMES[SHORT_OF_DESCRIPTORS], "descriptors");
	assert_string_equal(SHORTAGE_NAMES[SHORT_OF_MEMORY], "memory");
	assert_string_equal(SHORTAGE_NAMES[SHORT_OF_RESOLVER], "resolver");
	assert_string_equal(SHORTAGE_NAMES[SHORT_OF_PORTS], "ports");
}

/* Where there is a way, an address to connect from is lacking for want of a port alone. */
static void test_errors_of_connecting(void **state)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_in nowhere = {.sin_family = AF_INET, .sin_port = htons(9)};
	const struct sockaddr *way = (const struct sockaddr *)&here;
	const struct sockaddr *no_way = (const struct sockaddr *)&nowhere;
	(void)state;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	nowhere.sin_addr.s_addr = htonl(INADDR_BROADCAST);
	assert_int_equal(shortage_of_connect(EADDRNOTAVAIL, way), SHORT_OF_PORTS);
	assert_int_equal(shortage_of_connect(EADDRNOTAVAIL, no_way), SHORT_OF_NOTHING);
	assert_int_equal(shortage_of_connect(ECONNREFUSED, way), SHORT_OF_NOTHING);
	assert_int_equal(shortage_of_connect(ENETUNREACH, way), SHORT_OF_NOTHING);
	assert_int_equal(shortage_of_connect(ENOBUFS, way), SHORT_OF_MEMORY);
}

/* Only what could not be had counts. */
static void test_allocations(void **state)
{
	volatile size_t too_much = SIZE_MAX / 4;
	(void)state;
	uint64_t before = shortage_allocations();
	char *text = shortage_strdup("abc");
	assert_string_equal(text, "abc");
	text = shortage_realloc(text, 1000);
	assert_string_equal(text, "abc");
	assert_null(shortage_realloc(text, too_much));
	free(text);
	assert_int_equal(shortage_allocations(), before + 1);
	assert_null(shortage_malloc(too_much));
	assert_null(shortage_calloc(too_much, 8));
	assert_int_equal(shortage_allocations(), before + 3);
	char *zeros = shortage_calloc(2, 2);
	assert_memory_equal(zeros, "\0\0\0\0", 4);
	free(zeros);
	free(shortage_malloc(0));
	assert_int_equal(shortage_allocations(), before + 3);
}

static void test_descriptors(void **state)
{
	(void)state;
	assert_false(shortage_is_of_descriptors());
	descriptors_deny();
	assert_true(shortage_is_of_descriptors());
	descriptors_allow();
	assert_false(shortage_is_of_descriptors());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_errors_of_the_system),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_errors_of_connecting),
	    cmocka_unit_test(test_allocations),
	    cmocka_unit_test(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
