/*
 * Requests as libcurl makes them of what the client gives it, byte for byte, and what the
 * client makes of answers. The receiver is a socket on loopback, served in the same thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "courier/client.h"
#include "domain/retry.h"
#include "support.h"

#define TIMEOUT_MS 20000
#define TEXT_MAX 4096
#define BODY "{}"
#define DAY_MS RETRY_AFTER_MAX_MS
#define LONG_LINE 110000 /* bytes: more than curl takes */
#define FILLERS 4        /* connections that a backlog of 0 has no room for */
#define NO_BODY "Content-Length: 0\r\n\r\n"

struct fixture {
	struct reactor *reactor;
	struct reactor_timer *never; /* a loop without anything to wait for does nothing */
	struct client *client;
	int listener;
	uint16_t port;
	char url[64];
	int connection; /* -1: none is open */
	unsigned connections;
	char request[TEXT_MAX];
	size_t request_len;
	const char *answer;
	bool done;
	struct client_seen seen;
	struct client_result result; /* its texts are gone, but for `error` */
	char error[200];
};

/* libc's, counted; and the last one. */
static unsigned sockets_asked;
static int last_socket;

int socket(int domain, int type, int protocol)
{
	sockets_asked++;
	last_socket = (int)syscall(SYS_socket, domain, type, protocol);
	return last_socket;
}

static void on_never(void *arg)
{
	(void)arg;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(f->listener, 5), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&address, &len), 0);
	f->port = ntohs(address.sin_port);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u/hook?a=1", f->port);
	f->connection = -1;
	f->reactor = reactor_new();
	f->never = reactor_timer_new(f->reactor, on_never, NULL);
	reactor_timer_set(f->never, DAY_MS);
	f->client = client_new(f->reactor,
	    &(struct client_conf){.user_agent = "test", .connections = 8});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	client_free(f->client);
	reactor_timer_free(f->never);
	reactor_free(f->reactor);
	if (f->connection >= 0)
		close(f->connection);
	close(f->listener);
	free(f);
	return 0;
}

static void on_done(void *arg, const struct client_result *result)
{
	struct fixture *f = arg;
	f->result = *result;
	client_describe(result, &f->seen);
	(void)snprintf(f->error, sizeof(f->error), "%s", result->error);
	f->done = true;
}

/* The receiver's part of a pass: answers once the request is complete. */
static void serve(struct fixture *f)
{
	if (f->connection < 0) {
		f->connection = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		f->connections += f->connection >= 0;
		return;
	}
	ssize_t n = read(f->connection, f->request + f->request_len,
	    sizeof(f->request) - 1 - f->request_len);
	if (n <= 0)
		return;
	f->request_len += (size_t)n;
	f->request[f->request_len] = '\0';
	if (strstr(f->request, "\r\n\r\n" BODY) == NULL)
		return;
	size_t len = strlen(f->answer);
	assert_int_equal(write(f->connection, f->answer, len), len);
}

/* Sends `q`, which is answered with `answer`, and waits for the result. */
static void send_request(struct fixture *f, struct client_request *q, const char *answer)
{
	f->answer = answer;
	f->request_len = 0;
	f->done = false;
	client_send(q, f->url, &(struct client_body){.text = SLICE(BODY)}, TIMEOUT_MS, on_done,
	    f);
	while (!f->done) {
		reactor_pass(f->reactor, true);
		client_reap(f->client);
		serve(f);
		clock_expire();
	}
}

static void exchange(struct fixture *f, const char *answer)
{
	send_request(f, client_open(f->client), answer);
	assert_string_equal(f->error, "");
}

/* What there is no time for waits for a turn that has some, and is lost in none. */
static void test_turn_is_over(void **state)
{
	struct fixture *f = *state;
	f->answer = "HTTP/1.1 200 OK\r\n" NO_BODY;
	f->request_len = 0;
	f->done = false;
	client_send(client_open(f->client), f->url, &(struct client_body){.text = SLICE(BODY)},
	    TIMEOUT_MS, on_done, f);
	for (int i = 0; i < 50; i++) {
		client_turn(f->client, 0);
		reactor_pass(f->reactor, true);
		client_reap(f->client);
		serve(f);
		clock_expire();
		assert_false(f->done);
	}
	while (!f->done) {
		client_turn(f->client, 1);
		reactor_pass(f->reactor, true);
		client_reap(f->client);
		serve(f);
		clock_expire();
	}
	assert_string_equal(f->error, "");
	client_turn(f->client, INT64_MAX);
	assert_int_equal(client_took(f->client), 0);
}

static void close_connection(struct fixture *f)
{
	assert_int_equal(close(f->connection), 0);
	f->connection = -1;
}

/* A listener that is full: connections to it do not come to stand, and are not refused. */
static int dig(int fillers[FILLERS], char url[64])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int hole = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(hole, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(hole, 0), 0);
	assert_int_equal(getsockname(hole, (struct sockaddr *)&address, &len), 0);
	for (int i = 0; i < FILLERS; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&address, len); /* EINPROGRESS */
	}
	(void)snprintf(url, 64, "http://127.0.0.1:%u/", ntohs(address.sin_port));
	return hole;
}

/*
 * libcurl 7.88.1 closes a socket that has not connected without a word (cf_socket_close()), and
 * says only then that nobody wants it: early enough, as it has one address at a time. The next
 * one has the same number, and is watched.
 */
static void test_number_of_one_that_never_connected(void **state)
{
	struct fixture *f = *state;
	int fillers[FILLERS];
	char url[64];
	int hole = dig(fillers, url);
	for (int n = 0; n < 3; n++) {
		f->done = false;
		client_send(client_open(f->client), url,
		    &(struct client_body){.text = SLICE(BODY)}, 50, on_done, f);
		while (!f->done) {
			reactor_pass(f->reactor, false);
			client_reap(f->client);
			clock_expire();
		}
		assert_int_equal(f->result.status, 0);
		int number = last_socket;
		exchange(f, "HTTP/1.1 200 OK\r\nConnection: close\r\n" NO_BODY);
		assert_int_equal(last_socket, number);
		close_connection(f);
	}
	for (int i = 0; i < FILLERS; i++)
		close(fillers[i]);
	close(hole);
}

/* Given up, under way or about to begin, it ends once, and its connection with it. */
static void test_given_up(void **state)
{
	struct fixture *f = *state;
	for (int passes = 0; passes < 6; passes += 5) {
		struct client_request *q = client_open(f->client);
		f->done = false;
		client_send(q, f->url, &(struct client_body){.text = SLICE(BODY)}, TIMEOUT_MS,
		    on_done, f);
		for (int i = 0; i < passes; i++)
			reactor_pass(f->reactor, true);
		client_give_up(q);
		client_give_up(q); /* says nothing */
		assert_false(f->done);
		client_reap(f->client);
		assert_true(f->done && f->result.given_up);
		assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
		assert_false(client_has_ended(f->client));
	}
	f->connection = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(f->connection >= 0);
	while (read(f->connection, f->request, sizeof(f->request)) > 0)
		continue; /* the request, and its end */
	assert_int_equal(read(f->connection, f->request, sizeof(f->request)), 0);
	close_connection(f);
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_false(f->result.given_up);
}

/*
 * Lines that are given to curl as one item of its list, others between them, one without a
 * value: nothing is lost, moved or changed.
 */
static void test_request_on_the_wire(void **state)
{
	struct fixture *f = *state;
	char expected[TEXT_MAX];
	struct client_request *q = client_open(f->client);
	client_header(q, SLICE("Content-Type"), SLICE("application/json"));
	client_own_header(q, SLICE("X-One"), SLICE("1"));
	client_own_header(q, SLICE("X-Two"), SLICE("Host: 2; x"));
	client_own_header(q, SLICE("webhook-id"), SLICE("3"));
	client_header(q, SLICE("Authorization"), SLICE("Bearer x"));
	client_header(q, SLICE("X-Empty"), SLICE(""));
	client_own_header(q, SLICE("X-Four"), SLICE("4"));
	client_own_header(q, SLICE("X-Five"), SLICE("5"));
	send_request(f, q, "HTTP/1.1 204 No Content\r\n\r\n");
	assert_int_equal(f->result.status, 204);
	(void)snprintf(expected, sizeof(expected),
	    "POST /hook?a=1 HTTP/1.1\r\n"
	    "Host: 127.0.0.1:%u\r\n"
	    "User-Agent: test\r\n"
	    "Accept: */*\r\n"
	    "Content-Type: application/json\r\n"
	    "X-One: 1\r\n"
	    "X-Two: Host: 2; x\r\n"
	    "webhook-id: 3\r\n"
	    "Authorization: Bearer x\r\n"
	    "X-Empty:\r\n"
	    "X-Four: 4\r\n"
	    "X-Five: 5\r\n"
	    "Content-Length: 2\r\n"
	    "\r\n" BODY,
	    f->port);
	assert_string_equal(f->request, expected);
}

static void assert_lines(const char text[], size_t len, const char *expected)
{
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
}

/* What is described is what went over the wire, but for secrets, whatever case they come in. */
static void test_what_is_seen(void **state)
{
	struct fixture *f = *state;
	struct client_request *q = client_open(f->client);
	client_header(q, SLICE("Content-Type"), SLICE("text/x"));
	client_own_header(q, SLICE("X-One"), SLICE("1"));
	client_own_header(q, SLICE("X-Two"), SLICE("Host: 2; x"));
	client_secret_header(q, SLICE("Authorization"), SLICE("Bearer planted"));
	client_secret_header(q, SLICE("X-Empty"), SLICE(""));
	client_header(q, SLICE("X-Void"), SLICE(" "));
	client_own_header(q, SLICE("X-Four"), SLICE("4"));
	send_request(f, q,
	    "HTTP/1.1 103 Early Hints\r\nLink: none\r\n\r\n"
	    "HTTP/1.1 401 No\r\nX-a:  b: c \r\nSET-cookie: planted\r\n"
	    "x-a: 2\r\nAuthentication-Info: planted\r\n"
	    "WWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
	assert_lines(f->seen.sent, f->seen.sent_len,
	    "Content-Type: text/x\nX-One: 1\nX-Two: Host: 2; x\n"
	    "Authorization: ********\nX-Empty: ********\nX-Void: \nX-Four: 4\n");
	assert_lines(f->seen.answered, f->seen.answered_len,
	    "X-a: b: c\nSET-cookie: ********\nx-a: 2\n"
	    "Authentication-Info: ********\nWWW-Authenticate: Basic\nContent-Length: 0\n");
	assert_int_equal(f->seen.http_version, 11);
	assert_string_equal(f->seen.tls, "");
	assert_string_equal(f->seen.subject, "");
	/* the next request of the same handle hides nothing of the one before */
	q = client_open(f->client);
	for (int i = 0; i < 7; i++)
		client_header(q, SLICE("X-Seen"), SLICE("yes"));
	send_request(f, q, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_int_equal(f->seen.sent_len, 7 * strlen("X-Seen: yes\n"));
	assert_null(memchr(f->seen.sent, '*', f->seen.sent_len));
	/* of no request nothing is known */
	client_describe(&(struct client_result){.error = ""}, &f->seen);
	assert_int_equal(f->seen.sent_len + f->seen.answered_len, 0);
}

/* The lines of one request are not the next one's, although its handle is. */
static void test_lines_are_one_requests(void **state)
{
	struct fixture *f = *state;
	struct client_request *q = client_open(f->client);
	client_own_header(q, SLICE("X-One"), SLICE("1"));
	send_request(f, q, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_non_null(strstr(f->request, "X-One: 1\r\n"));
	q = client_open(f->client);
	client_own_header(q, SLICE("X-Two"), SLICE("2"));
	send_request(f, q, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_non_null(strstr(f->request, "X-Two: 2\r\n"));
	assert_null(strstr(f->request, "X-One"));
	assert_int_equal(f->connections, 1);
}

/* How many descriptors the loop's epoll instance watches. */
static size_t count_watched(void)
{
	char path[300];
	char line[200];
	size_t count = 0;
	DIR *dir = opendir("/proc/self/fdinfo");
	assert_non_null(dir);
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", e->d_name);
		FILE *file = fopen(path, "re");
		while (file != NULL && fgets(line, sizeof(line), file) != NULL)
			count += strncmp(line, "tfd:", 4) == 0;
		if (file != NULL)
			assert_int_equal(fclose(file), 0);
	}
	closedir(dir);
	return count;
}

static void expect_watched(struct fixture *f, size_t expected)
{
	reactor_pass(f->reactor, true); /* the kernel is told at the next pass */
	assert_int_equal(count_watched(), expected);
}

/*
 * A socket is watched as long as a transfer is on it, no longer: not between transfers, and
 * neither when its peer has closed or reset it, nor when an answer or a time-out ends it.
 */
static void test_sockets_are_watched_by_transfers_alone(void **state)
{
	struct fixture *f = *state;
	const struct linger at_once = {.l_onoff = 1};
	reactor_pass(f->reactor, true);
	size_t none = count_watched();
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	expect_watched(f, none);
	close_connection(f);
	expect_watched(f, none);
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_int_equal(f->connections, 2);
	assert_int_equal(
	    setsockopt(f->connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close_connection(f);
	expect_watched(f, none);
	exchange(f, "HTTP/1.1 200 OK\r\nConnection: close\r\n" NO_BODY);
	assert_int_equal(f->connections, 3);
	close_connection(f);
	expect_watched(f, none);
	client_send(client_open(f->client), f->url, &(struct client_body){.text = SLICE(BODY)},
	    1, on_done, f);
	f->done = false;
	while (!f->done) {
		reactor_pass(f->reactor, false);
		client_reap(f->client);
	}
	assert_string_equal(f->error, "timeout after 1 ms");
	expect_watched(f, none);
}

/* Waits that are no date's. */
static void test_retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t wait_ms; /* 0: neither seconds nor a date, or nothing to wait for */
	} ROWS[] = {
	    /* seconds */
	    {"0", 0},
	    {"120", 120000},
	    {"00120", 120000},
	    {" 7\t", 7000},
	    {"86400", DAY_MS},
	    {"86401", DAY_MS},
	    {"20260701", DAY_MS}, /* no date, though curl_getdate() takes it for one */
	    {"1000000000", DAY_MS},
	    {"18446744073709551615", DAY_MS},
	    {"99999999999999999999999999999999999999999999", DAY_MS},
	    {"99999999999999999999999999999999999999999999x", 0},
	    {"-1", 0},
	    {"-99991231", 0},
	    {"+1", 0},
	    {"1.5", 0},
	    {"1 2", 0},
	    {"120, 120", 0},
	    {"0x10", 0},
	    {"10s", 0},
	    {"", 0},
	    {"soon", 0},
	    {"31 Dec 9999 23:59:59 GMT", 0},
	    /* IMF-fixdate */
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	    {"Fri, 31 Dec 9999 23:59:59 GMT", DAY_MS},
	    {"Fri, 31 Dec 9999 23:59:59 GMT ", DAY_MS},
	    {"Fri, 31 Dec 9999 23:59:60 GMT", DAY_MS},
	    {"Fri, 31 Dec 9999 23:59:61 GMT", 0},
	    {"Fri, 31 Dec 9999 23:60:00 GMT", 0},
	    {"Fri, 31 Dec 9999 24:00:00 GMT", 0},
	    {"Fri, 00 Dec 9999 23:59:59 GMT", 0},
	    {"Fri, 99 Dec 9999 23:59:59 GMT", 0},
	    {"Fri, 31 Dec 9999 23:59:59 GMTx", 0},
	    {"fri, 31 dec 9999 23:59:59 gmt", 0},
	    {"Mit, 31 Dec 9999 23:59:59 GMT", 0},
	    {"Fri, 31 Dez 9999 23:59:59 GMT", 0},
	    /* RFC 850 */
	    {"Sunday, 06-Nov-94 08:49:37 GMT", 0},
	    {"Wednesday, 31-Dec-69 23:59:59 GMT", DAY_MS},
	    /* asctime */
	    {"Sun Nov  6 08:49:37 1994", 0},
	    {"Fri Dec 31 23:59:59 9999", DAY_MS},
	    {"Thu Dec  9 23:59:59 9999", DAY_MS},
	    {"Thu Dec  0 23:59:59 9999", 0},
	};
	struct fixture *f = *state;
	char answer[TEXT_MAX];
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		(void)snprintf(answer, sizeof(answer),
		    "HTTP/1.1 503 Busy\r\nRetry-After:%s\r\n" NO_BODY, ROWS[i].value);
		exchange(f, answer);
		if (f->result.retry_after_ms != ROWS[i].wait_ms)
			fail_msg("\"%s\": %lld ms", ROWS[i].value,
			    (long long)f->result.retry_after_ms);
	}
}

/* A date in each of its forms is as far away as it is by our clock, to the millisecond. */
static void test_retry_after_a_date(void **state)
{
	static const char *const FORMS[] = {
	    "%a, %d %b %Y %H:%M:%S GMT",
	    "%A, %d-%b-%y %H:%M:%S GMT",
	    "%a %b %e %H:%M:%S %Y",
	};
	struct fixture *f = *state;
	char answer[TEXT_MAX];
	char value[80];
	struct tm tm;
	for (size_t i = 0; i < COUNT(FORMS); i++) {
		int64_t before_ms = clock_wall_ms();
		time_t date_s = (time_t)(before_ms / 1000 + 3600);
		assert_non_null(gmtime_r(&date_s, &tm));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		assert_int_not_equal(strftime(value, sizeof(value), FORMS[i], &tm), 0);
#pragma GCC diagnostic pop
		(void)snprintf(answer, sizeof(answer),
		    "HTTP/1.1 429 Slow\r\nretry-after: %s\r\n" NO_BODY, value);
		exchange(f, answer);
		int64_t wait_ms = f->result.retry_after_ms;
		if (wait_ms > (int64_t)date_s * 1000 - before_ms ||
		    wait_ms < (int64_t)date_s * 1000 - clock_wall_ms())
			fail_msg("\"%s\": %lld ms", value, (long long)wait_ms);
	}
}

/* What counts is the final head alone, and its last line. */
static void test_retry_after_of_the_final_head(void **state)
{
	static const struct {
		const char *answer;
		int64_t wait_ms;
	} ROWS[] = {
	    {"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nRetry-After: 8\r\n"
	     "Retry-After: 9\r\n" NO_BODY,
		9000},
	    {"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nRetry-After: soon\r\n" NO_BODY, 0},
	    {"HTTP/1.1 503 Busy\r\n" NO_BODY, 0}, /* the handle's last answer had some */
	    {"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\nHTTP/1.1 503 Busy\r\n" NO_BODY,
		0},
	    {"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n"
	     "HTTP/1.1 503 Busy\r\nRetry-After: 8\r\n" NO_BODY,
		8000},
	    {"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "1\r\nx\r\n0\r\nRetry-After: 7\r\n\r\n",
		0},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		exchange(f, ROWS[i].answer);
		assert_int_equal(f->result.status, 503);
		if (f->result.retry_after_ms != ROWS[i].wait_ms)
			fail_msg("row %zu: %lld ms", i, (long long)f->result.retry_after_ms);
	}
}

/* What a receiver asks for is in the final head, in any case of letters. */
static void test_wishes(void **state)
{
	static const struct {
		const char *answer;
		enum client_wish want;
	} ROWS[] = {
	    {"HTTP/1.1 500 No\r\nwebhook-delivery: disable\r\n" NO_BODY, WISH_DISABLE},
	    {"HTTP/1.1 200 OK\r\nWebhook-Delivery:ABORT \r\n" NO_BODY, WISH_ABORT},
	    {"HTTP/1.1 200 OK\r\n" NO_BODY, WISH_NONE}, /* the handle's last one had one */
	    {"HTTP/1.1 200 OK\r\nwebhook-delivery: pause\r\n" NO_BODY, WISH_NONE},
	    {"HTTP/1.1 200 OK\r\nwebhook-delivery:\r\n" NO_BODY, WISH_NONE},
	    {"HTTP/1.1 200 OK\r\nwebhook-deliveryx: abort\r\n" NO_BODY, WISH_NONE},
	    {"HTTP/1.1 103 Early Hints\r\nwebhook-delivery: abort\r\n\r\n"
	     "HTTP/1.1 500 No\r\n" NO_BODY,
		WISH_NONE},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		exchange(f, ROWS[i].answer);
		if (f->result.wish != ROWS[i].want)
			fail_msg("row %zu: %d", i, (int)f->result.wish);
	}
}

/* A request whose answer is looked at: Retry-After of a 2xx, and for the next none of it. */
static void test_looked_at(void **state)
{
	static const char ANSWER[] = "HTTP/1.1 200 OK\r\nRetry-After: 7\r\n"
				     "Content-Length: 4\r\n\r\ntrue";
	struct fixture *f = *state;
	struct client_request *q = client_open(f->client);
	client_look(q, true);
	send_request(f, q, ANSWER);
	assert_int_equal(f->result.retry_after_ms, 7000);
	assert_int_equal(f->result.whole.len, 4);
	assert_null(f->result.lacks);
	exchange(f, ANSWER);
	assert_int_equal(f->result.retry_after_ms, 0);
	assert_int_equal(f->result.whole.len, 0);
}

/* A receiver at 127.0.0.`n` and the same port takes over; returns the other's connection. */
static int move_receiver(struct fixture *f, unsigned n)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(f->port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + n);
	int before = f->connection;
	assert_int_equal(close(f->listener), 0);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listener, 5), 0);
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.%u:%u/", n, f->port);
	f->connection = -1;
	return before;
}

static bool is_open(int connection)
{
	char byte;
	ssize_t n = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	assert_true(n == 0 || (n < 0 && errno == EAGAIN));
	return n != 0;
}

/* Below its bound of connections an idle one is kept; at it, it makes place. */
static void test_idle_connection_makes_place(void **state)
{
	struct fixture *f = *state;
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	int first = move_receiver(f, 2);
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_true(is_open(first));
	assert_int_equal(close(first), 0);
	client_free(f->client);
	assert_int_equal(close(f->connection), 0);
	f->connection = -1;
	f->client = client_new(f->reactor,
	    &(struct client_conf){.user_agent = "test", .connections = 1});
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	int second = move_receiver(f, 3);
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_false(is_open(second));
	assert_int_equal(close(second), 0);
}

/*
 * What lies on a kept connection when a request comes was not asked for: it is no answer to it,
 * however often the request's object has been used before.
 */
static void test_unasked_answer(void **state)
{
	static const char LATE[] = "HTTP/1.1 500 Unasked\r\n" NO_BODY;
	struct fixture *f = *state;
	int late[3];
	for (unsigned n = 0; n < COUNT(late); n++) {
		exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
		assert_int_equal(f->result.status, 200);
		assert_int_equal(f->connections, n + 1);
		exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
		assert_int_equal(f->connections, n + 1); /* it is kept */
		assert_int_equal(write(f->connection, LATE, strlen(LATE)), strlen(LATE));
		assert_int_equal(poll(&(struct pollfd){last_socket, POLLIN, 0}, 1, 1000), 1);
		late[n] = f->connection;
		f->connection = -1;
	}
	for (unsigned n = 0; n < COUNT(late); n++)
		assert_int_equal(close(late[n]), 0);
}

/* Without a descriptor the result is nobody's fault but ours; from then on idle ones go. */
static void test_no_descriptor(void **state)
{
	struct fixture *f = *state;
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
	assert_true(client_has_room(f->client));
	int first = move_receiver(f, 2);
	descriptors_deny();
	sockets_asked = 0;
	send_request(f, client_open(f->client), "");
	descriptors_allow();
	assert_int_equal(sockets_asked, 1); /* nothing has died that was used before */
	assert_int_equal(f->result.status, 0);
	assert_int_equal(f->result.shortage, SHORT_OF_DESCRIPTORS);
	assert_string_equal(f->error, "the gateway is short of descriptors");
	assert_true(is_open(first));
	assert_true(client_has_room(f->client));
	exchange(f, "HTTP/1.1 200 OK\r\n" NO_BODY);
	assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
	assert_false(is_open(first));
	assert_int_equal(close(first), 0);
}

/* Who refuses, and who answers with more than curl takes in a line, is at fault itself. */
static void test_receivers_fault(void **state)
{
	struct fixture *f = *state;
	const int buffer = LONG_LINE;
	char *line = repeat('x', LONG_LINE);
	char *answer = calloc(1, LONG_LINE + 100);
	assert_int_equal(
	    setsockopt(f->listener, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
	(void)snprintf(answer, LONG_LINE + 100, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", line);
	send_request(f, client_open(f->client), answer);
	assert_int_equal(f->result.status, 0);
	assert_string_equal(f->error, "answer's headers are over 65536 bytes");
	assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
	free(answer);
	free(line);
	close_connection(f);
	assert_int_equal(close(move_receiver(f, 2)), -1);
	assert_int_equal(shutdown(f->listener, SHUT_RDWR), 0);
	send_request(f, client_open(f->client), "");
	assert_int_equal(f->result.status, 0);
	assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
}

/* Has the client made anew, with a setting's proxy and a policy, each perhaps none. */
static void remake(struct fixture *f, const char *proxy, const struct address_policy *policy,
    bool own_proxies)
{
	client_free(f->client);
	f->client = client_new(f->reactor,
	    &(struct client_conf){.user_agent = "test",
		.connections = 8,
		.proxy = proxy,
		.policy = policy,
		.own_proxies = own_proxies});
}

/* Sends a request to `url`; the proxy, if any, is the fixture's receiver. */
static void send_by(struct fixture *f, const struct proxy_choice *choice, const char *url)
{
	struct client_request *q = client_open(f->client);
	(void)snprintf(f->url, sizeof(f->url), "%s", url);
	if (choice != NULL)
		client_proxy(q, choice);
	if (f->connection >= 0)
		close_connection(f);
	send_request(f, q, "HTTP/1.1 200 OK\r\n" NO_BODY);
}

static bool was_asked(const struct fixture *f, const char *line)
{
	return strstr(f->request, line) != NULL;
}

/* One handle, one way after the other: none leaves anything to the next. */
static void test_ways(void **state)
{
	struct fixture *f = *state;
	char own[64];
	char set[64];
	char direct[64];
	char host[] = "127.0.0.0/8";
	char *hosts[] = {host};
	const struct address_policy none = {0};
	struct cidr loopback;
	assert_int_equal(cidr_parse(SLICE("127.0.0.0/8"), &loopback), OK);
	const struct address_policy all = {&loopback, 1};
	(void)snprintf(own, sizeof(own), "http://own:pw@127.0.0.1:%u", f->port);
	(void)snprintf(set, sizeof(set), "http://set:pw@127.0.0.1:%u", f->port);
	(void)snprintf(direct, sizeof(direct), "http://127.0.0.1:%u/", f->port);
	const struct proxy_choice by_own = {.kind = PROXY_OWN, .url = own};
	const struct proxy_choice by_none = {.kind = PROXY_NONE};
	const struct proxy_choice excepted = {PROXY_OWN, own, hosts, 1};
	remake(f, set, &all, true);
	for (int round = 0; round < 2; round++) {
		send_by(f, &by_own, "http://receiver.invalid/a");
		assert_int_equal(f->result.status, 200);
		assert_true(was_asked(f, "POST http://receiver.invalid/a HTTP/1.1\r\n"));
		assert_true(was_asked(f, "Proxy-Authorization: Basic b3duOnB3\r\n"));
		assert_false(f->result.is_proxys);
		send_by(f, NULL, "http://receiver.invalid/b");
		assert_true(was_asked(f, "POST http://receiver.invalid/b HTTP/1.1\r\n"));
		assert_true(was_asked(f, "Proxy-Authorization: Basic c2V0OnB3\r\n"));
		assert_true(f->result.is_proxys);
		send_by(f, &excepted, direct);
		assert_true(was_asked(f, "POST / HTTP/1.1\r\n"));
		assert_false(was_asked(f, "Proxy-"));
		send_by(f, &excepted, "http://receiver.invalid/c");
		assert_true(was_asked(f, "POST http://receiver.invalid/c HTTP/1.1\r\n"));
		send_by(f, &by_none, direct);
		assert_true(was_asked(f, "POST / HTTP/1.1\r\n"));
		assert_false(was_asked(f, "Proxy-"));
	}
	/* the policy is for the proxy's address, but for that of the configuration */
	remake(f, set, &none, true);
	send_by(f, &by_own, "http://192.0.2.1/");
	assert_string_equal(f->error,
	    "address refused: loopback addresses are not allowed (allow_cidr)");
	send_by(f, &by_none, direct);
	assert_string_equal(f->error,
	    "address refused: loopback addresses are not allowed (allow_cidr)");
	send_by(f, NULL, "http://192.0.2.1/");
	assert_int_equal(f->result.status, 200);
}

/* Where webhooks may not choose, what was chosen before is not another way: it fails. */
static void test_ways_that_are_refused(void **state)
{
	static const char REFUSED[] =
	    "the webhook's choice of a proxy is refused (webhook_proxies)";
	struct fixture *f = *state;
	char own[64];
	char direct[64];
	char host[] = "127.0.0.1";
	char *hosts[] = {host};
	(void)snprintf(own, sizeof(own), "http://127.0.0.1:%u", f->port);
	(void)snprintf(direct, sizeof(direct), "http://127.0.0.1:%u/", f->port);
	const struct proxy_choice by_own = {.kind = PROXY_OWN, .url = own};
	const struct proxy_choice by_none = {.kind = PROXY_NONE};
	const struct proxy_choice excepted = {PROXY_SETTING, NULL, hosts, 1};
	const struct proxy_choice own_excepted = {PROXY_OWN, own, hosts, 1};
	remake(f, NULL, NULL, false);
	send_by(f, &by_own, direct);
	assert_string_equal(f->error, REFUSED);
	assert_int_equal(f->result.shortage, SHORT_OF_NOTHING);
	send_by(f, &own_excepted, direct);
	assert_string_equal(f->error, REFUSED);
	send_by(f, &by_none, direct); /* there is none */
	assert_string_equal(f->error, "");
	remake(f, own, NULL, false);
	send_by(f, &by_none, direct);
	assert_string_equal(f->error, REFUSED);
	send_by(f, &excepted, direct);
	assert_string_equal(f->error, REFUSED);
	send_by(f, &excepted, "http://192.0.2.1/"); /* goes through it, as all do */
	assert_string_equal(f->error, "");
}

/* In plain text a connection through a proxy of its own is for one request. */
static void test_own_proxy_is_connected_to_each_time(void **state)
{
	struct fixture *f = *state;
	char own[64];
	(void)snprintf(own, sizeof(own), "http://127.0.0.1:%u", f->port);
	const struct proxy_choice by_own = {.kind = PROXY_OWN, .url = own};
	remake(f, own, NULL, true);
	send_by(f, NULL, "http://receiver.invalid/");
	int kept = f->connection;
	f->connection = -1;
	send_by(f, &by_own, "http://receiver.invalid/");
	assert_int_equal(f->connections, 2);
	assert_true(is_open(kept));
	assert_false(is_open(f->connection));
	assert_int_equal(close(kept), 0);
}

static void test_http2_by_version(void **state)
{
	(void)state;
	assert_false(client_trusts_http2(0x075801, true)); /* 7.88.1 */
	assert_false(client_trusts_http2(0x080401, true));
	assert_true(client_trusts_http2(0x080500, true));
	assert_true(client_trusts_http2(0x080e01, true)); /* 8.14.1 */
	assert_true(client_trusts_http2(0x090000, true));
	assert_false(client_trusts_http2(0x080e01, false));
}

/* Asked for in plain text, or of a libcurl that lacks it, it is 1.1 on the wire. */
static void test_http2_is_1_1_without_tls(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		struct client_request *q = client_open(f->client);
		client_http2(q);
		send_request(f, q, "HTTP/1.1 200 OK\r\n" NO_BODY);
		assert_int_equal(f->result.status, 200);
		assert_true(was_asked(f, "POST /hook?a=1 HTTP/1.1\r\n"));
		assert_false(was_asked(f, "Upgrade"));
	}
	assert_int_equal(f->connections, 1);
}

#define CLIENT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CLIENT_TEST(test_request_on_the_wire),
	    CLIENT_TEST(test_what_is_seen),
	    CLIENT_TEST(test_lines_are_one_requests),
	    CLIENT_TEST(test_sockets_are_watched_by_transfers_alone),
	    CLIENT_TEST(test_retry_after),
	    CLIENT_TEST(test_retry_after_a_date),
	    CLIENT_TEST(test_wishes),
	    CLIENT_TEST(test_turn_is_over),
	    CLIENT_TEST(test_given_up),
	    CLIENT_TEST(test_number_of_one_that_never_connected),
	    CLIENT_TEST(test_looked_at),
	    CLIENT_TEST(test_retry_after_of_the_final_head),
	    CLIENT_TEST(test_idle_connection_makes_place),
	    CLIENT_TEST(test_unasked_answer),
	    CLIENT_TEST(test_no_descriptor),
	    CLIENT_TEST(test_receivers_fault),
	    CLIENT_TEST(test_ways),
	    CLIENT_TEST(test_ways_that_are_refused),
	    CLIENT_TEST(test_own_proxy_is_connected_to_each_time),
	    cmocka_unit_test(test_http2_by_version),
	    CLIENT_TEST(test_http2_is_1_1_without_tls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
