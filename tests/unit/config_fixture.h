/* What the tests of the configuration share: one that is read from a file of theirs. */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "server/config.h"
#include "support.h"

#define ARGS_MAX 16

/* A configuration that is read from what a test gives. */
struct fixture {
	char dir[64];
	char path[80];
	struct config config;
	struct problem problem;
	bool usage;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	folder_make(f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/waybill.conf", f->dir);
	config_init(&f->config);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	config_free(&f->config);
	folder_remove(f->dir);
	free(f);
	return 0;
}

static inline void start_over(struct fixture *f)
{
	config_free(&f->config);
	config_init(&f->config);
	f->problem = (struct problem){0};
}

static inline void write_file(struct fixture *f, struct slice text)
{
	FILE *file = fopen(f->path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text.ptr, 1, text.len, file), text.len);
	assert_int_equal(fclose(file), 0);
}

static inline enum err read_text(struct fixture *f, const char *text)
{
	write_file(f, slice_of(text));
	return config_read_file(&f->config, f->path, &f->problem);
}

/* Reads one variable, "WAYBILL_DATA=x". */
static inline enum err read_variable(struct fixture *f, char *variable)
{
	char *environment[] = {variable, NULL};
	return config_read_environment(&f->config, environment, &f->problem);
}

/*
 * Reads a command line, given as one text with the arguments separated by blanks, and an
 * environment given alike. "FILE" stands for the path of the file.
 */
static inline enum err read_all(struct fixture *f, const char *args, const char *environment)
{
	char *argv[ARGS_MAX] = {strdup("serve")};
	char *env[ARGS_MAX] = {NULL};
	int argc = 1;
	size_t vars = 0;
	for (const char *a = args; *a != '\0'; a += *a == ' ' ? 1 : 0) {
		size_t len = strcspn(a, " ");
		bool file = len == 4 && memcmp(a, "FILE", 4) == 0;
		argv[argc++] = file ? strdup(f->path) : strndup(a, len);
		a += len;
	}
	for (const char *e = environment; *e != '\0'; e += *e == ' ' ? 1 : 0) {
		size_t len = strcspn(e, " ");
		env[vars++] = strndup(e, len);
		e += len;
	}
	enum err err = config_read(&f->config, argc, argv, env, &f->usage, &f->problem);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	for (size_t i = 0; i < vars; i++)
		free(env[i]);
	return err;
}

#define CONFIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
