/* Calls of the API, one after another; see asking.h. */
#include "cli/asking.h"

#include <stdio.h>

#include "cli/show.h"
#include "domain/json.h"
#include "domain/json_walk.h"

#define TIMEOUT_MS 30000
#define URL_BYTES_MAX 16384

void asking_open(struct asking *a)
{
	a->reactor = reactor_new();
	a->client = remote_client(&a->remote, a->reactor);
	a->answer = BUF_INIT(ASKING_MAX);
	a->canonical = BUF_INIT(2 * ASKING_MAX);
}

void asking_close(struct asking *a)
{
	buf_fini(&a->answer);
	buf_fini(&a->canonical);
	client_free(a->client);
	reactor_free(a->reactor);
}

static bool on_data(void *arg, struct slice bytes)
{
	struct asking *a = arg;
	buf_slice(&a->answer, bytes);
	return !a->answer.failed;
}

static bool read_answer(struct asking *a)
{
	struct json_reader r;
	buf_reset(&a->canonical);
	json_init(&r, buf_view(&a->answer));
	bool good = json_read_value(&r, &a->canonical) == OK && json_read_end(&r) == OK &&
	    json_is_object(buf_view(&a->canonical));
	json_fini(&r);
	return good;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct asking *a = arg;
	a->done = true;
	a->good = r->status >= 200 && r->status < 300;
	if (!a->good) {
		remote_tell(&a->remote, a->command, r);
	} else if (!read_answer(a)) {
		a->good = false;
		(void)fprintf(stderr, "%s: the answer is none of a waybill\n", a->command);
	}
}

bool asking_call(struct asking *a, const char *method, const char *path, struct slice body)
{
	struct client_request *q = client_open(a->client);
	struct buf url = BUF_INIT(URL_BYTES_MAX);
	buf_reset(&a->answer);
	a->done = false;
	if (body.len > 0)
		client_header(q, SLICE("Content-Type"), SLICE("application/json"));
	remote_authorize(&a->remote, q);
	buf_printf(&url, "%s%s", a->remote.url, path);
	client_call(q, method, buf_cstr(&url), body, TIMEOUT_MS, on_data, on_answer, a);
	while (!a->done) {
		reactor_pass(a->reactor, false);
		client_reap(a->client);
	}
	buf_fini(&url);
	return a->good;
}

bool asking_print(struct buf *out)
{
	bool good = !out->failed &&
	    (out->len == 0 || fwrite(out->data, 1, out->len, stdout) == out->len) &&
	    fflush(stdout) == 0;
	buf_reset(out);
	return good;
}

void asking_put_value(struct buf *out, struct slice value)
{
	struct buf text = BUF_INIT(value.len);
	if (json_text_of(value, &text))
		show_put_line(out, buf_view(&text));
	else if (value.ptr == NULL || slice_eq(value, SLICE("null")))
		buf_putc(out, '-');
	else
		show_put_line(out, value);
	buf_fini(&text);
}
