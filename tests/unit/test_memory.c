/* The limit of memory as control groups tell it, and the defaults by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/memory.h"
#include "support.h"

#define MIB (1024ULL * 1024)

struct root {
	char dir[64];
};

static int setup(void **state)
{
	struct root *r = calloc(1, sizeof(*r));
	folder_make(r->dir);
	*state = r;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct root *r = *state;
	assert_int_equal(nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(r);
	return 0;
}

/* Writes a file below the root, and the folders that it is in. */
static void put(const struct root *r, const char *name, const char *text)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	for (char *at = path + strlen(r->dir) + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		(void)mkdir(path, 0700); /* may be there */
		*at = '/';
	}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void expect(const struct root *r, uint64_t bytes)
{
	assert_int_equal(memory_of_groups(r->dir), bytes);
}

static void test_nothing_there(void **state)
{
	expect(*state, UINT64_MAX);
	put(*state, "proc/self/cgroup", "");
	expect(*state, UINT64_MAX);
	put(*state, "proc/self/cgroup", "0::/\n");
	expect(*state, UINT64_MAX);
}

static void test_group_and_those_above(void **state)
{
	put(*state, "proc/self/cgroup", "0::/system.slice/waybill.service\n");
	put(*state, "sys/fs/cgroup/system.slice/memory.max", "5000\n");
	expect(*state, 5000);
	put(*state, "sys/fs/cgroup/system.slice/waybill.service/memory.max", "max\n");
	expect(*state, 5000);
	put(*state, "sys/fs/cgroup/system.slice/waybill.service/memory.high", "4000\n");
	expect(*state, 4000);
	put(*state, "sys/fs/cgroup/system.slice/other.service/memory.max", "1\n");
	put(*state, "sys/fs/cgroup/system.slice/memory.max", "3000\n");
	expect(*state, 3000);
}

/* A container's own group is the topmost that it sees. */
static void test_names_from_outside(void **state)
{
	put(*state, "proc/self/cgroup", "0::/../../docker/0a1b\n");
	put(*state, "sys/fs/cgroup/memory.max", "7000");
	expect(*state, 7000);
	put(*state, "proc/self/cgroup",
	    "12:cpu,cpuacct:/docker/0a1b\n5:hugetlb,memory:/docker/0a1b\n0::/x\n");
	put(*state, "sys/fs/cgroup/memory/memory.limit_in_bytes", "6000\n");
	expect(*state, 6000);
	put(*state, "sys/fs/cgroup/memory/docker/0a1b/memory.limit_in_bytes",
	    "9223372036854771712\n");
	expect(*state, 6000);
}

static void test_what_is_no_number(void **state)
{
	static const char *const TEXTS[] = {"", "\n", "max", "-1\n", "64M\n", " 5\n",
	    "99999999999999999999999\n",
	    "00000000000000000000000000000000000000000000000000000000000000000000005\n"};
	put(*state, "proc/self/cgroup", "nonsense\n:::\n0::\nmemory\n1:memory\n");
	for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
		put(*state, "sys/fs/cgroup/memory.max", TEXTS[i]);
		expect(*state, UINT64_MAX);
	}
}

/* Whatever the limit: the defaults by it are within it, and none is over what it was. */
static void test_defaults_are_within(void **state)
{
	(void)state;
	static const uint64_t LIMITS[] = {64, 65, 96, 100, 128, 250, 256, 500, 512, 1000, 1024,
	    4096};
	for (size_t i = 0; i < sizeof(LIMITS) / sizeof(LIMITS[0]); i++) {
		struct config standard;
		struct config c;
		config_init(&standard);
		config_init(&c);
		size_t lowered = memory_fit(&c, LIMITS[i] * MIB);
		assert_true(memory_wanted(&c) <= LIMITS[i] * MIB);
		assert_true(c.max_body_bytes <= standard.max_body_bytes);
		assert_true(c.max_connections <= standard.max_connections);
		assert_int_equal(lowered > 0, LIMITS[i] < 1024);
		config_free(&c);
		config_free(&standard);
	}
}

/* What is allowed at least stays, so that any limit can be served with. */
static void test_hardly_any(void **state)
{
	(void)state;
	struct config c;
	config_init(&c);
	assert_true(memory_fit(&c, 1) > 0);
	assert_int_equal(c.max_body_bytes, 100);
	assert_int_equal(c.max_input_bytes, MIB);
	assert_int_equal(c.max_in_flight, 1);
	assert_true(memory_wanted(&c) > 1);
	config_free(&c);
}

/* Given is what any source says, also where it is the default. */
static void test_given_stays(void **state)
{
	(void)state;
	struct config c;
	struct problem p;
	char variable[] = "WAYBILL_MAX_OUTPUT_BYTES=32MiB";
	char *variables[] = {variable, NULL};
	config_init(&c);
	assert_int_equal(
	    config_read_text(&c, "conf", slice_of("max_input_bytes = 64MiB\n"), &p), OK);
	assert_int_equal(config_read_environment(&c, variables, &p), OK);
	assert_true(memory_fit(&c, 64 * MIB) > 0);
	assert_int_equal(c.max_input_bytes, 64 * MIB);
	assert_int_equal(c.max_output_bytes, 32 * MIB);
	assert_int_equal(c.max_body_bytes, 2 * MIB);
	assert_true(memory_wanted(&c) > 64 * MIB);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_group_and_those_above, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_names_from_outside, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_is_no_number, setup, teardown),
	    cmocka_unit_test(test_defaults_are_within),
	    cmocka_unit_test(test_hardly_any),
	    cmocka_unit_test(test_given_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
