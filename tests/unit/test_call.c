/*
 * Answers of calls, out of a connection: JSON that is whole comes as it is; in the place of
 * what its buffer had no room for comes a 500 in the shape of errors, and a log line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/call.h"
#include "base/mem.h"
#include "base/str.h"
#include "support.h"

#define REQUEST "GET /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define WHOLE "{\"things\":[\"first\",\"second\"]}"
#define ANSWER_BYTES 4096

static const struct route ROUTE = {.method = "GET", .pattern = "/things/:session"};

/* Answers with WHOLE out of a buffer of `most` bytes. */
static void on_request(void *most, struct http_request *q)
{
	struct call *c = mem_new(sizeof(*c));
	struct buf text = BUF_INIT(*(const size_t *)most);
	struct json_writer json = JSON_WRITER(&text);
	c->http = q;
	c->route = &ROUTE;
	memcpy(c->session, "s1", sizeof("s1"));
	json_open_object(&json, NULL);
	json_open_array(&json, "things");
	json_write_cstr(&json, NULL, "first");
	json_write_cstr(&json, NULL, "second");
	json_close(&json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

static int connect_to(const char *url)
{
	const char *port = strrchr(url, ':');
	uint64_t number = 0;
	assert_int_equal(str_u64(slice_of(port + 1), &number), OK);
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)number)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The whole answer of a server whose buffer has `most` bytes, until it closes. */
static void exchange(size_t most, struct buf *answer)
{
	static const struct http_conf CONF = {.body_max = 1000,
	    .max_connections = 10,
	    .head_timeout_ms = 60000,
	    .body_timeout_ms = 60000,
	    .idle_timeout_ms = 60000,
	    .send_timeout_ms = 60000,
	    .input_max = 65536};
	char *url = NULL;
	struct problem p;
	struct reactor *reactor = reactor_new();
	const struct http_hooks hooks = {.handle = on_request,
	    .error_body = api_error_body,
	    .arg = &most};
	struct http_server *http = http_new(reactor, &CONF, &hooks);
	assert_int_equal(http_listen(http, "127.0.0.1:0", &url, &p), OK);
	int fd = connect_to(url);
	assert_int_equal(send(fd, REQUEST, strlen(REQUEST), 0), strlen(REQUEST));
	for (ssize_t n = -1; n != 0;) {
		char piece[1024];
		reactor_pass(reactor, true);
		n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n > 0)
			buf_append(answer, piece, (size_t)n);
	}
	assert_int_equal(close(fd), 0);
	http_free(http);
	reactor_free(reactor);
	free(url);
}

static void assert_answer(struct buf *answer, const char *first_line, const char *body)
{
	const char *text = buf_cstr(answer);
	const char *end = strstr(text, "\r\n\r\n");
	assert_non_null(end);
	assert_int_equal(strncmp(text, first_line, strlen(first_line)), 0);
	assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
	assert_string_equal(end + 4, body);
}

static void test_whole_answer(void **state)
{
	(void)state;
	struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct buf lines = BUF_INIT(ANSWER_BYTES);
	struct capture c = begin_capture();
	exchange(strlen(WHOLE), &answer);
	end_capture(&c, &lines);
	assert_answer(&answer, "HTTP/1.1 200 OK\r\n", WHOLE);
	assert_int_equal(lines.len, 0);
	buf_fini(&lines);
	buf_fini(&answer);
}

/* One byte less than it needs: not a byte of it comes out. */
static void test_answer_over_its_limit(void **state)
{
	(void)state;
	struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct buf lines = BUF_INIT(ANSWER_BYTES);
	struct capture c = begin_capture();
	exchange(strlen(WHOLE) - 1, &answer);
	end_capture(&c, &lines);
	assert_answer(&answer, "HTTP/1.1 500 Internal Server Error\r\n",
	    "{\"success\":false,\"error\":{\"code\":500,"
	    "\"message\":\"the answer is over its limit: 28 bytes\"}}");
	const char *line = strstr(buf_cstr(&lines), " level=error ");
	assert_non_null(line);
	assert_string_equal(line,
	    " level=error msg=\"an answer is over its limit\" method=GET path=/things/:session "
	    "session=s1 limit=28\n");
	buf_fini(&lines);
	buf_fini(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_whole_answer),
	    cmocka_unit_test(test_answer_over_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
