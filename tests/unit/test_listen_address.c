/*
 * Addresses to listen on, as text: what is read, what is refused, what only this machine
 * can reach, and how clients name the socket.
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
#include <unistd.h>

#include "http/listen_address.h"
#include "support.h"

static void reads_addresses(void **state)
{
	static const struct {
		const char *where;
		int family;
		const char *host; /* or path */
		unsigned port;
		bool is_local;
		bool is_tls;
	} ROWS[] = {
	    {"127.0.0.1:8080", AF_INET, "127.0.0.1", 8080, true, false},
	    {"127.9.9.9:0", AF_INET, "127.9.9.9", 0, true, false},
	    {"0.0.0.0:65535", AF_INET, "0.0.0.0", 65535, false, false},
	    {"192.0.2.1:80", AF_INET, "192.0.2.1", 80, false, false},
	    {"[::1]:80", AF_INET6, "::1", 80, true, false},
	    {"[::]:80", AF_INET6, "::", 80, false, false},
	    {"[2001:db8::1]:80", AF_INET6, "2001:db8::1", 80, false, false},
	    {"tls:127.0.0.1:8443", AF_INET, "127.0.0.1", 8443, true, true},
	    {"tls:0.0.0.0:0", AF_INET, "0.0.0.0", 0, false, true},
	    {"tls:[::1]:8443", AF_INET6, "::1", 8443, true, true},
	    {"tls:[::]:8443", AF_INET6, "::", 8443, false, true},
	    {"unix:/run/x.sock", AF_UNIX, "/run/x.sock", 0, true, false},
	    {"unix:x", AF_UNIX, "x", 0, true, false},
	    {"unix:tls:x", AF_UNIX, "tls:x", 0, true, false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		union listen_address a;
		socklen_t len = 0;
		struct problem p;
		char host[sizeof(a.un.sun_path)] = "";
		bool local = !ROWS[i].is_local;
		unsigned port = 0;
		assert_int_equal(listen_address_parse(ROWS[i].where, &a, &len, &p), OK);
		assert_int_equal(a.sa.sa_family, ROWS[i].family);
		if (a.sa.sa_family == AF_INET) {
			(void)inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host));
			port = ntohs(a.in.sin_port);
			assert_int_equal(len, sizeof(a.in));
		} else if (a.sa.sa_family == AF_INET6) {
			(void)inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host));
			port = ntohs(a.in6.sin6_port);
			assert_int_equal(len, sizeof(a.in6));
		} else {
			(void)snprintf(host, sizeof(host), "%s", a.un.sun_path);
			assert_int_equal(len, sizeof(a.un));
		}
		assert_string_equal(host, ROWS[i].host);
		assert_int_equal(port, ROWS[i].port);
		assert_int_equal(listen_address_is_local(ROWS[i].where, &local, &p), OK);
		assert_int_equal(local, ROWS[i].is_local);
		assert_int_equal(listen_address_is_tls(ROWS[i].where), ROWS[i].is_tls);
	}
}

static void refuses_what_is_none(void **state)
{
	static const char *const ROWS[] = {"", ":", ":80", "80", "localhost:80", "127.0.0.1",
	    "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1: 80", "127.0.0.1:80 ",
	    "127.1:80", "::1:80", "[::1]", "[::1]80", "[::1:80", "::1]:80", "[]:80",
	    "[127.0.0.1]:80", "[::1%lo]:80", "tls:", "tls::443", "tls:443", "tls:localhost:443",
	    "tls:unix:/x", "tls:tls:127.0.0.1:443", "TLS:127.0.0.1:443", "tls:[::1]",
	    "tls://127.0.0.1:443", "https:127.0.0.1:443", "unix:"};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		union listen_address a;
		socklen_t len = 0;
		struct problem p = {.field = ""};
		if (listen_address_parse(ROWS[i], &a, &len, &p) != ERR_INVALID)
			fail_msg("row %zu: '%s' was taken", i, ROWS[i]);
		assert_string_equal(p.field, "listen");
	}
}

static void refuses_a_path_that_is_too_long(void **state)
{
	union listen_address a;
	socklen_t len = 0;
	struct problem p;
	char where[sizeof("unix:") + sizeof(a.un.sun_path)] = "unix:";
	(void)state;
	memset(where + strlen("unix:"), 'x', sizeof(a.un.sun_path));
	assert_int_equal(listen_address_parse(where, &a, &len, &p), ERR_INVALID);
	where[strlen("unix:") + sizeof(a.un.sun_path) - 1] = '\0';
	assert_int_equal(listen_address_parse(where, &a, &len, &p), OK);
	assert_string_equal(a.un.sun_path, where + strlen("unix:"));
}

static void shows_what_a_socket_is_bound_to(void **state)
{
	static const struct {
		const char *where;
		const char *shown; /* with the port at %u */
	} ROWS[] = {{"127.0.0.1:0", "http://127.0.0.1:%u"}, {"[::1]:0", "http://[::1]:%u"},
	    {"tls:127.0.0.1:0", "https://127.0.0.1:%u"}, {"tls:[::1]:0", "https://[::1]:%u"}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		union listen_address a;
		socklen_t len = 0;
		struct problem p;
		assert_int_equal(listen_address_parse(ROWS[i].where, &a, &len, &p), OK);
		int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);
		if (fd < 0 || bind(fd, &a.sa, len) != 0) {
			assert_int_equal(a.sa.sa_family, AF_INET6); /* may be switched off */
			if (fd >= 0)
				close(fd);
			continue;
		}
		char *shown = listen_address_show(fd, ROWS[i].where);
		unsigned port = 0;
		assert_int_equal(getsockname(fd, &a.sa, &len), 0);
		assert_int_equal(sscanf(strrchr(shown, ':'), ":%u", &port), 1);
		assert_int_equal(port, ntohs(a.in.sin_port)); /* at the same place in both */
		char *expected = NULL;
		const char *mark = strchr(ROWS[i].shown, '%');
		assert_true(asprintf(&expected, "%.*s%u", (int)(mark - ROWS[i].shown),
				ROWS[i].shown, port) > 0);
		assert_string_equal(shown, expected);
		free(expected);
		free(shown);
		close(fd);
	}
}

/* A socket bound to what `where` says; -1 where the system has no such addresses. */
static int bound_to(const char *where)
{
	union listen_address a;
	socklen_t len = 0;
	struct problem p;
	assert_int_equal(listen_address_parse(where, &a, &len, &p), OK);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);
	if (fd >= 0 && bind(fd, &a.sa, len) == 0)
		return fd;
	assert_int_equal(a.sa.sa_family, AF_INET6); /* may be switched off */
	if (fd >= 0)
		close(fd);
	return -1;
}

static void names_a_socket_as_listen_would(void **state)
{
	static const struct {
		const char *where;
		bool is_tls;
		const char *begin; /* of its name, up to the port */
	} ROWS[] = {{"127.0.0.1:0", false, "127.0.0.1:"}, {"[::1]:0", false, "[::1]:"},
	    {"127.0.0.1:0", true, "tls:127.0.0.1:"}, {"[::1]:0", true, "tls:[::1]:"}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		union listen_address bound, named;
		socklen_t len = sizeof(bound), named_len = 0;
		struct problem p;
		int fd = bound_to(ROWS[i].where);
		if (fd < 0)
			continue;
		char *name = listen_address_name(fd, ROWS[i].is_tls);
		assert_int_equal(strncmp(name, ROWS[i].begin, strlen(ROWS[i].begin)), 0);
		assert_int_equal(listen_address_is_tls(name), ROWS[i].is_tls);
		assert_int_equal(getsockname(fd, &bound.sa, &len), 0);
		assert_int_equal(listen_address_parse(name, &named, &named_len, &p), OK);
		assert_int_equal(named.in.sin_port, bound.in.sin_port); /* of both families */
		assert_int_not_equal(named.in.sin_port, 0);
		free(name);
		close(fd);
	}
}

static void names_unix_sockets(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0waybill-test-abstract"};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 22);
	char expected[64];
	(void)state;
	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "waybill-%013d", (int)getpid());
	snprintf(expected, sizeof(expected), "unix:@waybill-%013d", (int)getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_null(listen_address_name(fd, false)); /* not bound yet */
	assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
	char *name = listen_address_name(fd, false);
	assert_string_equal(name, expected);
	assert_null(listen_address_name(fd, true)); /* unix sockets have no TLS */
	free(name);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_addresses),
	    cmocka_unit_test(refuses_what_is_none),
	    cmocka_unit_test(refuses_a_path_that_is_too_long),
	    cmocka_unit_test(shows_what_a_socket_is_bound_to),
	    cmocka_unit_test(names_a_socket_as_listen_would),
	    cmocka_unit_test(names_unix_sockets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
