/*
 * Settings: their defaults, what each kind takes and refuses and in which words, the three
 * sources and their precedence, lists, and everything that may be wrong with a file or a
 * command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config_fixture.h"
#include "server/config.h"
#include "support.h"

static void assert_list(const struct config_list *list, const char *want)
{
	struct buf got = BUF_INIT(10000);
	for (size_t i = 0; i < list->count; i++)
		buf_printf(&got, "%s%s", i == 0 ? "" : " ", list->items[i]);
	assert_string_equal(buf_cstr(&got), want);
	buf_fini(&got);
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;
	const struct config *c = &f->config;
	assert_list(&c->listen, "127.0.0.1:8080");
	assert_list(&c->extra_events, "");
	assert_int_equal(c->addresses.allow_count, 0);
	assert_int_equal(c->retry.count, RETRY_DEFAULT.count);
	assert_memory_equal(c->retry.wait_ms, RETRY_DEFAULT.wait_ms,
	    RETRY_DEFAULT.count * sizeof(int64_t));
	assert_int_equal(c->expiries.count, 4);
	assert_string_equal(c->expiries.items[1].name, "chat_presence");
	assert_true(c->expiries.items[1].after_ms == 120000);
	assert_string_equal(c->expiries.items[2].name, "qr_code");
	assert_true(c->expiries.items[2].after_ms == 60000);
	assert_true(c->expiries.items[3].after_ms == 180000);
	assert_true(c->timeout_ms == 5000);
	assert_true(c->max_body_bytes == 4u << 20);
	assert_true(c->max_batch_bytes == 8u << 20);
	assert_true(c->circuit_failures == 25);
	assert_true(c->circuit_open == 300000);
	assert_true(c->disable_after == 5 * 86400000LL);
	assert_true(c->dead_letter_retention == 30 * 86400000LL);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_int_equal(c->log_format, LOG_TEXT);
	assert_null(c->token);
	assert_null(c->tokens_file);
}

/* One setting of each kind and of its field: a good value at each end, and bad ones. */
static const struct row {
	const char *key;
	const char *good[3];
	const char *bad[8];
	const char *allowed; /* a part of the message */
} ROWS[] = {
    {"listen", {"127.0.0.1:0,tls:0.0.0.0:8443", "[::1]:65535", "unix:/run/waybill.sock"},
	{"localhost", "127.0.0.1", "127.0.0.1:65536", "host.example:80", ":80", "unix:", "",
	    "tls:"},
	"ADDRESS:PORT"},
    {"data", {"/var/lib/waybill", ".", "a folder"}, {""}, "a folder"},
    {"token", {"12345678", NULL, NULL}, {""}, "8 to 512"},
    {"allow_cidr", {"10.0.0.0/8", "fd00::/8,192.168.1.1", NULL},
	{"10.0.0.1/8", "10.0.0.0/33", "private", "10.0.0.0/8,,fd00::/8"}, "host bits zero"},
    {"retry_schedule", {"1ms", "5s, 30s", "7d"}, {"", "5", "5s,", "8d", "0s"}, "1 to 32 waits"},
    {"timeout_ms", {"100", "30000", NULL}, {"", "99", "30001", "-1", "5s", "1e3", "0x64"},
	"100 to 30000"},
    {"default_signature", {"v2", "v1,ed25519", "rfc9421, ed25519"}, {"", "v3", "V1", "v1,v2"},
	"v1, v2, ed25519 or rfc9421, or several with commas, of v1 and v2 one"},
    {"unknown_fields", {"refuse", "ignore", NULL}, {"", "on", "Refuse"}, "refuse or ignore"},
    {"max_in_flight", {"1", "10000", NULL}, {"0", "10001", "99999999999999999999"},
	"1 to 10000"},
    {"frame_ancestors", {"", "https://app.example.com", "http://a:81,https://b"},
	{"app.example.com", "https://a/", "https://a;b", "https://a 'self'", "*", "'none'"},
	"origins"},
    {"extra_events", {"", "our.event", "a,b"}, {"Our", "a b", ",a", "a,,b"}, "[a-z0-9_.]"},
    {"max_body_bytes", {"100", "16MiB", "16384KiB"},
	{"", "99", "16777217", "17MiB", "1MB", "1 MiB", "MiB"}, "100 bytes to 16MiB"},
    {"store_max_bytes", {"16MiB", "16384GiB", "16777216"}, {"16777215", "16385GiB", "0"},
	"16MiB to 16384GiB"},
    {"disk_reserve", {"0", "1GiB", "16384GiB"}, {"", "-1", "16385GiB"}, "0 to 16384GiB"},
    {"max_store_per_session", {"0", "1GiB", "16384GiB"}, {"", "-1", "16385GiB"},
	"0 to 16384GiB"},
    {"session_store_bytes", {"s=1GiB", "a=0, b.c-d=5MiB", ""},
	{"s", "=5", "a b=5", "s=", "s=5x", "s=-1", "s=5=5", "a=1,,b=2"},
	"session=size, sessions percent-encoded"},
    {"session_store_bytes", {"S\303\243o%20P%3d%2C=1", "62@s.whatsapp.net=1,+62=2", NULL},
	{"s%=5", "s*=5", "s%00=5", "%2A=5", "s\377=5", "a/b=5"},
	"session=size, sessions percent-encoded"},
    {"idempotency_retention", {"1m", "8d", "24h"}, {"", "59s", "9d", "0s", "60"}, "1m to 8d"},
    {"circuit_open", {"10ms", "1d", "24h"}, {"", "9ms", "2d", "300", "5 m"}, "10ms to 1d"},
    {"drain_timeout_ms", {"0", "600000", NULL}, {"600001"}, "0 to 600000"},
    {"expire", {"", "presence=2m", "a=1ms , b = 1h"}, {"presence", "=2m", "Presence=2m", "a=2"},
	"event=duration"},
    {"log_level", {"debug", "error", "warn"}, {"", "DEBUG", "warning", "1"},
	"debug, info, warn or error"},
    {"proxy", {"http://proxy:3128", "HTTP://[::1]:1/", "http://10.0.0.1:65535"},
	{"proxy:3128", "http://proxy", "http://[::1]", "https://proxy:3128", "http://u:p@h",
	    "http://proxy:3128/path", "http://proxy:0", "http://proxy:"},
	"http://HOST:PORT"},
    {"log_format", {"text", "json", NULL}, {"", "xml"}, "text or json"},
};

/* The key as it is written in the environment or as a flag. */
static void put_name(struct buf *b, const char *key, char from, char to, int shift)
{
	for (; *key != '\0'; key++)
		buf_putc(b, *key == from ? to : (char)(*key >= 'a' ? *key + shift : *key));
}

/* Gives `value` to `key` in source `source`: 0 a file, 1 the environment, 2 a flag. */
static enum err give(struct fixture *f, int source, const char *key, const char *value)
{
	struct buf text = BUF_INIT(1000);
	char command[] = "serve";
	char *argv[] = {command, NULL, NULL};
	char *none[] = {NULL};
	enum err err = OK;
	start_over(f);
	switch (source) {
	case 0:
		buf_printf(&text, "# comment\n\n%s = %s\n", key, value);
		err = read_text(f, buf_cstr(&text));
		break;
	case 1:
		buf_puts(&text, "WAYBILL_");
		put_name(&text, key, '_', '_', 'A' - 'a');
		buf_printf(&text, "=%s", value);
		(void)buf_cstr(&text); /* terminates */
		err = read_variable(f, text.data);
		break;
	default:
		buf_puts(&text, "--");
		put_name(&text, key, '_', '-', 0);
		buf_printf(&text, "=%s", value);
		(void)buf_cstr(&text); /* terminates */
		argv[1] = text.data;
		err = config_read(&f->config, 2, argv, none, &f->usage, &f->problem);
		assert_int_equal(f->usage, err != OK);
		break;
	}
	buf_fini(&text);
	return err;
}

/* Whether the message says where it was, what it was about, and what is allowed. */
static bool is_explained(const struct fixture *f, int source, const struct row *row)
{
	struct buf where = BUF_INIT(1000);
	if (source == 0)
		buf_printf(&where, "%s:3: %s: must be ", f->path, row->key);
	else if (source == 1)
		buf_printf(&where, "WAYBILL_* in the environment: %s: must be ", row->key);
	else
		buf_puts(&where, "--");
	if (source == 2) {
		put_name(&where, row->key, '_', '-', 0);
		buf_puts(&where, ": must be ");
	}
	const char *message = f->problem.message;
	bool explained = strncmp(message, buf_cstr(&where), where.len) == 0 &&
	    strstr(message, row->allowed) != NULL && strcmp(f->problem.field, row->key) == 0;
	buf_fini(&where);
	return explained;
}

static void test_kinds(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		for (int source = 0; source < 3; source++) {
			for (size_t n = 0; n < 3 && ROWS[i].good[n] != NULL; n++) {
				if (give(f, source, ROWS[i].key, ROWS[i].good[n]) != OK)
					fail_msg("source %d, %s = %s: %s", source, ROWS[i].key,
					    ROWS[i].good[n], f->problem.message);
			}
			for (size_t n = 0; n < 8 && ROWS[i].bad[n] != NULL; n++) {
				if (give(f, source, ROWS[i].key, ROWS[i].bad[n]) != ERR_INVALID)
					fail_msg("source %d, %s = %s was taken", source,
					    ROWS[i].key, ROWS[i].bad[n]);
				if (!is_explained(f, source, &ROWS[i]))
					fail_msg("source %d, %s = %s: %s", source, ROWS[i].key,
					    ROWS[i].bad[n], f->problem.message);
			}
		}
	}
}

static void test_values(void **state)
{
	struct fixture *f = *state;
	const struct config *c = &f->config;
	assert_int_equal(read_text(f,
			     "listen = 127.0.0.1:1 , [::1]:2\n"
			     "data=/a b\n"
			     "  token\t=  secret-token \t\r\n"
			     "tokens_file = tokens\n"
			     "allow_cidr = 10.0.0.0/8,fd00::/8\n"
			     "ca_file = ca.pem\n"
			     "proxy = http://proxy:3128\n"
			     "retry_schedule = 1s,2m\n"
			     "timeout_ms = 101\n"
			     "expire = our.event = 1s,message=5d\n"
			     "max_body_bytes = 3KiB\n"
			     "circuit_open = 2h\n"
			     "log_level = error\n"
			     "#log_format = json\n"
			     "log_format = json"),
	    OK);
	assert_list(&c->listen, "127.0.0.1:1 [::1]:2");
	assert_string_equal(c->data, "/a b");
	assert_string_equal(c->token, "secret-token");
	assert_string_equal(c->tokens_file, "tokens");
	assert_string_equal(c->ca_file, "ca.pem");
	assert_string_equal(c->proxy, "http://proxy:3128");
	assert_int_equal(c->addresses.allow_count, 2);
	assert_int_equal(c->addresses.allow[0].bits, 8);
	assert_int_equal(c->addresses.allow[0].addr[0], 10);
	assert_int_equal(c->addresses.allow[1].family, 6);
	assert_int_equal(c->retry.count, 2);
	assert_true(c->retry.wait_ms[0] == 1000 && c->retry.wait_ms[1] == 120000);
	assert_true(c->timeout_ms == 101);
	assert_int_equal(c->expiries.count, 2);
	assert_string_equal(c->expiries.items[0].name, "our.event");
	assert_true(c->expiries.items[0].after_ms == 1000);
	assert_string_equal(c->expiries.items[1].name, "message");
	assert_true(c->max_body_bytes == 3072);
	assert_true(c->circuit_open == 7200000);
	assert_int_equal(c->log_level, LOG_ERROR);
	assert_int_equal(c->log_format, LOG_JSON);
}

static void test_precedence(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *args, *environment;
		uint64_t want;
	} SOURCES[] = {
	    {"", "", 5000},
	    {"-c FILE", "", 1001},
	    {"", "WAYBILL_TIMEOUT_MS=1002", 1002},
	    {"--timeout-ms 1003", "", 1003},
	    {"-c FILE", "WAYBILL_TIMEOUT_MS=1002", 1002},
	    {"--timeout-ms 1003 -c FILE", "", 1003},
	    {"-c FILE --timeout-ms=1003", "WAYBILL_TIMEOUT_MS=1002", 1003},
	    {"--timeout-ms 1003 --timeout-ms 1004", "", 1004},
	    {"", "WAYBILL_TIMEOUT_MS=1002 WAYBILL_DATA=x", 1002},
	};
	write_file(f, SLICE("timeout_ms = 999\ntimeout_ms = 1001\n"));
	for (size_t i = 0; i < COUNT(SOURCES); i++) {
		start_over(f);
		enum err err = read_all(f, SOURCES[i].args, SOURCES[i].environment);
		if (err != OK || f->config.timeout_ms != SOURCES[i].want)
			fail_msg("row %zu: %llu %s", i,
			    (unsigned long long)f->config.timeout_ms, f->problem.message);
	}
}

/* A list may be repeated within a source, and a higher source begins it anew. */
static void test_lists(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *args, *environment, *want;
	} SOURCES[] = {
	    {"-c FILE", "", "f1 f2 f3"},
	    {"-c FILE", "WAYBILL_EXTRA_EVENTS=e1,e2", "e1 e2"},
	    {"-c FILE --extra-events a1 --extra-events=a2,a3", "WAYBILL_EXTRA_EVENTS=e1",
		"a1 a2 a3"},
	    {"-c FILE --extra-events=", "", ""},
	    {"-c FILE", "WAYBILL_EXTRA_EVENTS=", ""},
	};
	write_file(f,
	    SLICE("extra_events = f1\nallow_cidr = 10.0.0.0/8\n"
		  "listen = 127.0.0.1:1\nextra_events = f2 , f3\n"
		  "listen = 127.0.0.1:2\nexpire = a=1s\nexpire = b=1s\n"));
	for (size_t i = 0; i < COUNT(SOURCES); i++) {
		start_over(f);
		assert_int_equal(read_all(f, SOURCES[i].args, SOURCES[i].environment), OK);
		assert_list(&f->config.extra_events, SOURCES[i].want);
		assert_list(&f->config.listen,
		    "127.0.0.1:1 127.0.0.1:2"); /* the default went */
		assert_int_equal(f->config.addresses.allow_count, 1);
		assert_int_equal(f->config.expiries.count, 2);
	}
	start_over(f);
	assert_int_equal(read_all(f, "-c FILE --allow-cidr=fd00::/8 --expire c=1s", ""), OK);
	assert_int_equal(f->config.addresses.allow_count, 1);
	assert_int_equal(f->config.addresses.allow[0].family, 6);
	assert_int_equal(f->config.expiries.count, 1);
	assert_string_equal(f->config.expiries.items[0].name, "c");
}

static void test_expiries_are_limited(void **state)
{
	struct fixture *f = *state;
	for (size_t over = 0; over <= 1; over++) {
		struct buf text = BUF_INIT(10000);
		start_over(f);
		buf_puts(&text, "expire = ");
		for (size_t i = 0; i < JUDGE_EXPIRIES_MAX + over; i++)
			buf_printf(&text, "%se%zu=1s", i == 0 ? "" : ",", i);
		assert_int_equal(read_text(f, buf_cstr(&text)), over > 0 ? ERR_INVALID : OK);
		buf_fini(&text);
	}
}

/* What curl would not take for a proxy is refused: it would quote the password. */
static void test_proxies(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *proxy;
		bool good;
	} PROXIES[] = {
	    {"http://proxy:3128", true},
	    {"http://proxy", false}, /* curl would take port 1080 */
	    {"http://proxy:", false},
	    {"http://[::1]:3128", true},
	    {"http://user:pass@proxy:3128", true},
	    {"http://user:p%40s%7Es@proxy:3128/", true},
	    {"https://proxy:3128", false},
	    {"socks5://user:pass@proxy:1", false},
	    {"proxy:3128", false},
	    {"user:pass@proxy:3128", false},
	    {"http://user:p@ss@proxy:3128", false},
	    {"http://user:p/ss@proxy:3128", false},
	    {"http://user:p%zzs@proxy:3128", false},
	    {"http://user:p%00s@proxy:3128", false},
	    {"http://user:pass%2@proxy:3128", false},
	    {"http://user:pass@proxy:0", false},
	    {"http://user:pass@proxy:65536", false},
	    {"http://user:pass@", false},
	    {"http://", false},
	};
	for (size_t i = 0; i < COUNT(PROXIES); i++) {
		char variable[100];
		start_over(f);
		(void)snprintf(variable, sizeof(variable), "WAYBILL_PROXY=%s",
		    PROXIES[i].proxy);
		enum err err = read_all(f, "", variable);
		if (err != (PROXIES[i].good ? OK : ERR_INVALID))
			fail_msg("row %zu: %s", i, f->problem.message);
		if (err != OK && strstr(f->problem.message, "pass@") != NULL)
			fail_msg("row %zu: %s", i, f->problem.message);
	}
}

static void test_environment(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *variables;
		bool good;
	} ROWS_OF_ENVIRONMENT[] = {
	    {"PATH=/bin TIMEOUT_MS=1 waybill_timeout_ms=1 XWAYBILL_DATA=x", true},
	    {"WAYBILL_URL=http://127.0.0.1:8080", true},
	    {"WAYBILL", true},
	    {"WAYBILL_NOPE=1", true},
	    {"WAYBILL_timeout_ms=1000", true},
	    {"WAYBILL_=1", true},
	    {"WAYBILL_TIMEOUT-MS=1000", true},
	    {"WAYBILL_DATA=", false},
	};
	for (size_t i = 0; i < COUNT(ROWS_OF_ENVIRONMENT); i++) {
		start_over(f);
		enum err err = read_all(f, "", ROWS_OF_ENVIRONMENT[i].variables);
		if (err != (ROWS_OF_ENVIRONMENT[i].good ? OK : ERR_INVALID) ||
		    f->config.timeout_ms != 5000)
			fail_msg("row %zu: %s", i, f->problem.message);
		if (err != OK && (f->usage || strstr(f->problem.message, "WAYBILL_") == NULL))
			fail_msg("row %zu: %s", i, f->problem.message);
	}
}

/* A source is one value, commas and all; the lines of a file add up. */
static void test_sources(void **state)
{
	struct fixture *f = *state;
	struct problem p = {0};
	assert_int_equal(config_read_text(&f->config, "f",
			     SLICE("source = {\"a\":1, \"b\":[2,3]}\nsource={\"c\":4}\n"), &p),
	    OK);
	assert_int_equal(f->config.sources.count, 2);
	assert_string_equal(f->config.sources.items[0], "{\"a\":1, \"b\":[2,3]}");
	assert_string_equal(f->config.sources.items[1], "{\"c\":4}");
	static const char *const BAD[] = {"{", "[{}]", "1", "{} {}", "{\"a\":1},{\"b\":2}",
	    "x=y"};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		char line[64];
		(void)snprintf(line, sizeof(line), "\nsource = %s\n", BAD[i]);
		assert_int_equal(config_read_text(&f->config, "f", slice_of(line), &p),
		    ERR_INVALID);
		assert_string_equal(p.message,
		    "f:2: source: must be a source of type nats as a JSON object, one a value");
	}
}

static void test_command_lines(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *args;
		const char *words; /* NULL: it is fine */
	} LINES[] = {
	    {"--data x", NULL},
	    {"--data=x --", NULL},
	    {"--nope", "--nope: unknown flag"},
	    {"--data x --nope=1", "--nope: unknown flag"}, /* what stands behind stays unsaid */
	    {"-x", "-x: unknown flag"},
	    {"-xy", "-x: unknown flag"},
	    {"--data x -xc", "-x: unknown flag"},
	    {"-x --data y", "-x: unknown flag"},
	    {"--data", "--data: needs a value"},
	    {"-c", "-c: needs a value"},
	    {"--log_level info", "unknown flag"},
	    {"extra", "extra: unexpected argument"},
	    {"--data x extra", "extra: unexpected argument"},
	    {"-- --data", "--data: unexpected argument"},
	    {"--timeout-ms 1", "--timeout-ms: must be an integer from 100 to 30000"},
	    {"--listen 127.0.0.1:1,nowhere", "--listen: must be ADDRESS:PORT"},
	};
	for (size_t i = 0; i < COUNT(LINES); i++) {
		start_over(f);
		enum err err = read_all(f, LINES[i].args, "");
		bool good = LINES[i].words == NULL;
		if ((err == OK) != good || f->usage == good ||
		    (!good && strstr(f->problem.message, LINES[i].words) == NULL))
			fail_msg("row %zu: %s", i, f->problem.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CONFIG_TEST(test_defaults),
	    CONFIG_TEST(test_kinds),
	    CONFIG_TEST(test_values),
	    CONFIG_TEST(test_precedence),
	    CONFIG_TEST(test_lists),
	    CONFIG_TEST(test_expiries_are_limited),
	    CONFIG_TEST(test_environment),
	    CONFIG_TEST(test_proxies),
	    CONFIG_TEST(test_sources),
	    CONFIG_TEST(test_command_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
