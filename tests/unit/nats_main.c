/*
 * A taker of a JetStream stream, for tests/e2e/test_nats.py: it stores what it is handed in a
 * file, at the end of each turn and together with where it is, as waybill does in its store.
 * The file has lines: "M SEQ SUBJECT PAYLOAD" for a message, "C STREAM SEQ" where a turn is
 * whole; what is behind the last of these when it starts was not stored.
 *
 * usage: nats_main NAME=VALUE…
 *	servers=URL,…  token= user= password= seed= creds=FILE ca=FILE
 *	stream= consumer= subjects=A,B api= end=1 (begin at the stream's end)
 *	store=FILE until=N (ends when so many messages are stored)
 *	messages=N bytes=N (room for a pull) message_max=N
 *	refuse=N (the N-th turn is not stored)
 *	die=STEP:N: ends as by kill -9 when it comes there for the N-th time; STEP is handed,
 *		turn, torn, stored or acked
 *	ask=SUBJECT payload= headers=A:1,B:2 (prints the answer and ends)
 *
 * Standard output: "up HOST PORT", "down ERROR", "waits ERROR", "moved SEQ", "answer PAYLOAD".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "jetstream/js.h"

#define LIST_MAX 8
#define KEPT_MAX 16
#define STORE_MAX (64u << 20)
#define ROOM_MESSAGES 100
#define ROOM_BYTES (1u << 20)
#define MESSAGE_MAX (1u << 20)
#define OUT_MAX (1u << 20)

/* Short, so that a test sees what happens in the end. */
static const struct nats_times TIMES = {3000, 500, 20, 200, 1000};
static const struct js_times STEPS = {2000, 3000, 500, 50, 200};

struct taker {
	char **argv;
	struct reactor *reactor;
	struct lookup *lookup;
	struct js *js;
	struct nats *nats; /* for a question */
	struct nats_call call;
	struct buf turn; /* what is to be stored at its end */
	struct js_position at;
	int store;
	uint64_t stored; /* messages */
	uint64_t turns;
	uint64_t dying; /* how often the step has come */
	char said[NATS_ERROR_SIZE + 64];
	void *kept[KEPT_MAX]; /* memory for as long as it runs */
	size_t kept_count;
	bool is_over;
};

static void *keep(struct taker *t, void *memory)
{
	panic_if(t->kept_count == KEPT_MAX, "too much to keep");
	t->kept[t->kept_count++] = memory;
	return memory;
}

static const char *given(const struct taker *t, const char *name)
{
	size_t n = strlen(name);
	for (char **arg = t->argv + 1; *arg != NULL; arg++) {
		if (strncmp(*arg, name, n) == 0 && (*arg)[n] == '=')
			return *arg + n + 1;
	}
	return NULL;
}

static uint64_t number(const struct taker *t, const char *name, uint64_t otherwise)
{
	uint64_t n = otherwise;
	const char *text = given(t, name);
	if (text != NULL && str_u64(slice_of(text), &n) != OK) {
		fprintf(stderr, "%s: a number expected\n", name);
		exit(2);
	}
	return n;
}

static char *read_file(const char *path)
{
	static char bytes[STORE_MAX];
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		return NULL;
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f); /* only read */
	return mem_copy(bytes, n);
}

/* Ends as a kill at this step would end it. */
static void step(struct taker *t, const char *name)
{
	const char *wanted = given(t, "die");
	size_t n = strlen(name);
	uint64_t times = 0;
	if (wanted == NULL || strncmp(wanted, name, n) != 0 || wanted[n] != ':' ||
	    str_u64(slice_of(wanted + n + 1), &times) != OK)
		return;
	if (++t->dying == times)
		(void)kill(getpid(), SIGKILL); /* cannot fail */
}

/* Says a line, but not the same one twice. */
static void say(struct taker *t, const char *what, const char *more)
{
	char line[sizeof(t->said)];
	(void)snprintf(line, sizeof(line), "%s %s", what, more);
	if (strcmp(line, t->said) == 0)
		return;
	memcpy(t->said, line, sizeof(line));
	puts(line);
	(void)fflush(stdout);
}

static void say_status(struct taker *t, const struct nats_status *s, const char *error)
{
	char text[LOOKUP_HOST_MAX + 16];
	(void)snprintf(text, sizeof(text), "%s %u", s->server->host, (unsigned)s->server->port);
	if (!s->is_up && s->error[0] != '\0')
		say(t, "down", s->error);
	else if (s->is_up && error[0] != '\0')
		say(t, "waits", error);
	else if (s->is_up)
		say(t, "up", text);
}

/* Reads the store up to its last whole turn, and cuts off what is behind it. */
static void open_store(struct taker *t)
{
	const char *path = given(t, "store");
	char *text = read_file(path);
	size_t whole = 0;
	uint64_t messages = 0;
	struct slice rest = slice_of(text);
	while (text != NULL && rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		messages += line.ptr[0] == 'M';
		if (line.ptr[0] != 'C' || line.ptr[line.len] != '\n')
			continue;
		whole = (size_t)(line.ptr + line.len + 1 - text);
		t->stored = messages;
		(void)slice_cut(&line, ' ');
		if (str_u64(slice_cut(&line, ' '), &t->at.stream) != OK ||
		    str_u64(line, &t->at.seq) != OK)
			panic_if(true, "no position: %s", path);
	}
	free(text);
	t->store = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	panic_if(t->store < 0 || ftruncate(t->store, (off_t)whole) != 0 ||
		lseek(t->store, 0, SEEK_END) < 0,
	    "%s: %s", path, strerror(errno));
}

static void store_bytes(struct taker *t, struct slice bytes)
{
	panic_if(write(t->store, bytes.ptr, bytes.len) != (ssize_t)bytes.len, "store: %s",
	    strerror(errno));
}

/* The end of a turn: all of it is stored, or nothing. */
static void end_turn(struct taker *t)
{
	if (t->turn.len == 0)
		return;
	step(t, "turn");
	if (++t->turns == number(t, "refuse", 0)) {
		buf_reset(&t->turn);
		js_again(t->js, "the turn was refused");
		return;
	}
	buf_printf(&t->turn, "C %llu %llu\n", (unsigned long long)t->at.stream,
	    (unsigned long long)t->at.seq);
	panic_if(t->turn.failed, "a turn too large");
	size_t half = t->turn.len / 2;
	store_bytes(t, (struct slice){t->turn.data, half});
	step(t, "torn");
	store_bytes(t, (struct slice){t->turn.data + half, t->turn.len - half});
	for (size_t i = 0; i < t->turn.len; i++)
		t->stored += t->turn.data[i] == 'M' && (i == 0 || t->turn.data[i - 1] == '\n');
	buf_reset(&t->turn);
	step(t, "stored");
	js_stored(t->js, t->at);
	step(t, "acked");
}

static struct js_room on_room(void *arg)
{
	struct taker *t = arg;
	if (t->turn.len > 0)
		return (struct js_room){0, 0}; /* until it is stored */
	return (struct js_room){number(t, "messages", ROOM_MESSAGES),
	    number(t, "bytes", ROOM_BYTES)};
}

static void on_message(void *arg, const struct js_message *m)
{
	struct taker *t = arg;
	buf_printf(&t->turn, "M %llu ", (unsigned long long)m->at.seq);
	buf_slice(&t->turn, m->message->subject);
	buf_puts(&t->turn, " ");
	if (m->message->is_skipped)
		buf_printf(&t->turn, "skipped %zu", m->message->size);
	buf_slice(&t->turn, m->message->payload);
	buf_puts(&t->turn, "\n");
	t->at = m->at;
	step(t, "handed");
}

static void on_moved(void *arg, struct js_position at)
{
	struct taker *t = arg;
	char text[STR_I64_SIZE];
	(void)str_put_i64((int64_t)at.seq, text);
	say(t, "moved", text);
	t->at = at;
	buf_puts(&t->turn, "P\n");
}

/* Fills `list` with the texts of NAME=A,B,…, which stay. */
static size_t split(struct taker *t, const char *name, char *list[LIST_MAX])
{
	const char *text = given(t, name);
	char *rest = text == NULL ? NULL : keep(t, mem_copy(text, strlen(text)));
	size_t n = 0;
	while (rest != NULL && n < LIST_MAX)
		list[n++] = strsep(&rest, ",");
	return n;
}

static void on_answer(void *arg, const struct nats_message *m)
{
	struct taker *t = arg;
	if (m == NULL)
		puts("answer none");
	else
		printf("answer %d %.*s\n", m->status, (int)m->payload.len, m->payload.ptr);
	t->is_over = true;
}

static void on_up(void *arg)
{
	struct taker *t = arg;
	struct buf headers = BUF_INIT(MESSAGE_MAX);
	char *list[LIST_MAX];
	say_status(t, nats_status(t->nats), "");
	if (!nats_status(t->nats)->is_up)
		return;
	size_t n = split(t, "headers", list);
	for (size_t i = 0; i < n; i++) {
		struct slice value = slice_of(list[i]);
		struct slice name = slice_cut(&value, ':');
		nats_put_header(&headers, name, value);
	}
	const char *payload = given(t, "payload");
	const struct nats_out out = {slice_of(given(t, "ask")), buf_view(&headers),
	    slice_of(payload)};
	t->call = (struct nats_call){.fn = on_answer, .arg = t};
	enum err err = nats_ask(t->nats, &t->call, &out, STEPS.answer_ms, false);
	if (err != OK) {
		printf("answer %s\n", err_text(err));
		t->is_over = true;
	}
	buf_fini(&headers);
}

static void connect_taker(struct taker *t, struct nats_conf *nats)
{
	char *subjects[LIST_MAX];
	const struct js_hooks hooks = {on_room, on_message, on_moved, t};
	if (given(t, "ask") != NULL) {
		t->nats = nats_new(nats, &(struct nats_hooks){on_up, t});
		return;
	}
	open_store(t);
	struct js_conf conf = {.nats = *nats,
	    .api = given(t, "api"),
	    .stream = given(t, "stream"),
	    .consumer = given(t, "consumer"),
	    .from = t->at,
	    .begin_at_end = given(t, "end") != NULL,
	    .times = &STEPS};
	conf.subject_count = split(t, "subjects", subjects);
	const char **copies = keep(t, mem_array(LIST_MAX, sizeof(*copies)));
	memcpy(copies, subjects, conf.subject_count * sizeof(*copies));
	conf.subjects = copies;
	t->js = js_new(&conf, &hooks);
}

static void set_up(struct taker *t)
{
	static struct nats_server servers[LIST_MAX];
	static struct nats_key key;
	char *urls[LIST_MAX];
	struct problem p;
	struct slice jwt = {NULL, 0};
	struct nats_conf conf = {.reactor = t->reactor,
	    .lookup = t->lookup,
	    .servers = servers,
	    .name = "nats_main",
	    .token = given(t, "token"),
	    .user = given(t, "user"),
	    .password = given(t, "password"),
	    .message_max = number(t, "message_max", MESSAGE_MAX),
	    .out_max = OUT_MAX,
	    .times = &TIMES};
	conf.server_count = split(t, "servers", urls);
	for (size_t i = 0; i < conf.server_count; i++) {
		if (nats_server_parse(slice_of(urls[i]), "servers", &servers[i], &p) != OK)
			panic_if(true, "%s", p.message);
	}
	if (given(t, "ca") != NULL)
		conf.ca_pem = keep(t, read_file(given(t, "ca")));
	char *creds = given(t, "creds") == NULL ? NULL : keep(t, read_file(given(t, "creds")));
	if (creds != NULL && nats_creds_parse(slice_of(creds), &jwt, &key) != OK)
		panic_if(true, "no creds");
	if (given(t, "seed") != NULL && nats_key_parse(slice_of(given(t, "seed")), &key) != OK)
		panic_if(true, "no seed");
	if (jwt.len > 0)
		conf.jwt = keep(t, mem_copy(jwt.ptr, jwt.len));
	if (creds != NULL || given(t, "seed") != NULL)
		conf.key = &key;
	connect_taker(t, &conf);
}

int main(int argc, char **argv)
{
	struct taker t = {.argv = argv, .turn = BUF_INIT(STORE_MAX), .reactor = reactor_new()};
	const struct lookup_conf none = {.name_servers = NULL};
	(void)argc;
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	panic_if(sigaction(SIGPIPE, &ignore, NULL) != 0, "no SIG_IGN");
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_DEBUG, LOG_TEXT);
	t.lookup = lookup_new(t.reactor, &none);
	set_up(&t);
	uint64_t until = number(&t, "until", UINT64_MAX);
	while (!t.is_over) {
		clock_expire();
		reactor_pass(t.reactor, false);
		if (t.js == NULL)
			continue;
		struct js_status status = js_status(t.js);
		say_status(&t, status.connection, status.error);
		end_turn(&t);
		t.is_over = t.stored >= until;
	}
	/* an acknowledgement that is to be sent is sent in the next pass */
	reactor_pass(t.reactor, true);
	js_free(t.js);
	nats_free(t.nats);
	lookup_free(t.lookup);
	reactor_free(t.reactor);
	buf_fini(&t.turn);
	for (size_t i = 0; i < t.kept_count; i++)
		free(t.kept[i]);
	return 0;
}
