/* Files of settings and what they name: what is wrong in which line, what cannot be read. */
#include "config_fixture.h"

static void test_bad_files(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text;
		const char *where; /* behind the path */
		const char *words;
	} FILES[] = {
	    {"timeout_ms\n", ":1: ", "key = value"},
	    {"data = x\n\nnope = 1\n",
		":3: ", "nope: unknown; known are: listen metrics_listen tls_"},
	    {"Data = x\n", ":1: ", "unknown"},
	    {"log-level = info\n", ":1: ", "unknown"},
	    {"LOG_LEVEL = info\n", ":1: ", "unknown"},
	    {"WAYBILL_DATA = x\n", ":1: ", "unknown"},
	    {"= x\n", ":1: ", "unknown"},
	    {"data = x # no comment\nlog_level = info # nor here\n", ":2: ", "log_level"},
	    {"# fine\n\n \t\n\t# fine\ntimeout_ms = 1", ":5: ", "timeout_ms"},
	};
	for (size_t i = 0; i < COUNT(FILES); i++) {
		struct buf want = BUF_INIT(1000);
		start_over(f);
		buf_printf(&want, "%s%s", f->path, FILES[i].where);
		if (read_text(f, FILES[i].text) != ERR_INVALID ||
		    strncmp(f->problem.message, buf_cstr(&want), want.len) != 0 ||
		    strstr(f->problem.message, FILES[i].words) == NULL)
			fail_msg("row %zu: %s", i, f->problem.message);
		buf_fini(&want);
	}
}

static void test_unreadable_files(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(config_read_file(&f->config, f->path, &f->problem), ERR_IO);
	assert_non_null(strstr(f->problem.message, f->path));
	assert_int_equal(config_read_file(&f->config, f->dir, &f->problem), ERR_IO);
	assert_int_equal(read_all(f, "-c FILE", ""), ERR_IO);
	assert_false(f->usage);
	write_file(f, SLICE(""));
	assert_int_equal(read_all(f, "-c FILE", ""), OK);
}

/* A line may be as long as the file; one byte more than a file may have is refused. */
static void test_long_files(void **state)
{
	struct fixture *f = *state;
	const char *last = "\ntimeout_ms = 7000";
	for (size_t over = 0; over <= 1; over++) {
		struct buf text = BUF_INIT(2u << 20);
		buf_puts(&text, "data = ");
		while (text.len < (1u << 20) - strlen(last) + over)
			buf_putc(&text, 'x');
		size_t value = text.len - strlen("data = ");
		buf_puts(&text, last);
		start_over(f);
		enum err err = read_text(f, buf_cstr(&text));
		assert_int_equal(err, over > 0 ? ERR_TOOBIG : OK);
		assert_int_equal(f->config.timeout_ms, over > 0 ? 5000 : 7000);
		if (over > 0)
			assert_non_null(strstr(f->problem.message, "over 1 MiB"));
		else
			assert_int_equal(strlen(f->config.data), value);
		buf_fini(&text);
	}
}

/* A NUL is an error of its line, wherever it stands, but in a comment; nothing is cut. */
static void test_nul(void **state)
{
	struct fixture *f = *state;
	static const struct slice LINES[] = {SLICE_INIT("timeout_ms = 70\00000"),
	    SLICE_INIT("timeout_ms = 7000\0"), SLICE_INIT("timeout\0_ms = 7000"),
	    SLICE_INIT("listen = 127.0.0.1:1\0, nowhere"), SLICE_INIT("data = a\0b"),
	    SLICE_INIT("\0")};
	for (size_t i = 0; i < COUNT(LINES); i++) {
		struct buf text = BUF_INIT(1000);
		start_over(f);
		buf_puts(&text, "log_level = info\n# a comment\n");
		buf_slice(&text, LINES[i]);
		buf_puts(&text, "\ntimeout_ms = 6000\n");
		assert_int_equal(config_read_text(&f->config, "name", buf_view(&text),
				     &f->problem),
		    ERR_INVALID);
		assert_string_equal(f->problem.message,
		    "name:3: a line must not hold a NUL byte");
		assert_true(f->config.timeout_ms == 5000);
		buf_fini(&text);
	}
	start_over(f);
	assert_int_equal(config_read_text(&f->config, "name", SLICE("# \0\ntimeout_ms = 6000"),
			     &f->problem),
	    OK);
	assert_true(f->config.timeout_ms == 6000);
}

/* The file of authorities is looked at before anything is sent. */
static void test_authorities(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text; /* NULL: there is no such file */
		enum err err;
	} FILES[] = {
	    {TEST_CERTIFICATE("\n"), OK},
	    {"", ERR_INVALID},
	    {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", ERR_INVALID},
	    {NULL, ERR_IO},
	};
	assert_int_equal(config_check(&f->config, &f->problem), OK);
	for (size_t i = 0; i < COUNT(FILES); i++) {
		start_over(f);
		if (FILES[i].text != NULL)
			write_file(f, slice_of(FILES[i].text));
		else
			assert_int_equal(remove(f->path), 0);
		assert_int_equal(read_all(f, "--ca-file FILE", ""), OK);
		assert_int_equal(config_check(&f->config, &f->problem), FILES[i].err);
		if (FILES[i].err != OK) {
			assert_string_equal(f->problem.field, "ca_file");
			assert_non_null(strstr(f->problem.message, f->path));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CONFIG_TEST(test_bad_files),
	    CONFIG_TEST(test_unreadable_files),
	    CONFIG_TEST(test_long_files),
	    CONFIG_TEST(test_nul),
	    CONFIG_TEST(test_authorities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
