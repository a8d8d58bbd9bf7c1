/*
 * A journal over JetStream for tests/e2e/test_journal.py, which says on standard input what is
 * to be called and reads on standard output what comes of it.
 *
 * usage: journal_main NAME=VALUE…
 *	servers=URL,…  shard= member=
 *	streams=check|make replicas=N max_bytes=N patience=MS (does that, and ends)
 *
 *	append BEHIND TEXT    appended RESULT SEQ
 *	many BEHIND COUNT SIZE  many SEQ of the last, or: many RESULT SEQ of one that was not
 *	last                  last JOURNAL FIRST LAST BYTES MAX_BYTES MAX_ENTRY; last RESULT
 *	read BEHIND           entry SEQ PREVIOUS TEXT; caught_up; replaced
 *	count BEHIND          the same without the entries: caught_up COUNT SEQ CPU_MS
 *	stop, trim SEQ        nothing
 *	tell SYNCED ACTIVE URL  nothing
 *	members               member NAME SYNCED ACTIVE URL; members RESULT COUNT
 *	up                    up, or: down WHY
 */
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
#include "jetstream/js_streams.h"

#define LIST_MAX 8
#define WORDS_MAX 4
#define ENTRY_MAX (8u << 20)
#define INPUT_MAX (1u << 20)

struct driver {
	char **argv;
	struct reactor *reactor;
	struct lookup *lookup;
	struct js_journal_conf conf;
	struct journal *journal;
	struct js_streams *streams;
	struct reactor_io *input;
	struct buf line;
	struct buf entry;
	uint64_t left; /* of many */
	uint64_t size;
	uint64_t number;
	bool is_counting;
	uint64_t entries;
	uint64_t last;
	bool is_over;
	int status;
};

static const char *given(const struct driver *d, const char *name)
{
	size_t n = strlen(name);
	for (char **arg = d->argv + 1; *arg != NULL; arg++) {
		if (strncmp(*arg, name, n) == 0 && (*arg)[n] == '=')
			return *arg + n + 1;
	}
	return NULL;
}

static uint64_t number_of(const char *text, uint64_t otherwise)
{
	uint64_t n = otherwise;
	panic_if(text != NULL && str_u64(slice_of(text), &n) != OK, "no number: %s", text);
	return n;
}

static void on_appended(void *arg, enum err result, uint64_t seq)
{
	(void)arg;
	printf("appended %s %llu\n", err_text(result), (unsigned long long)seq);
}

static void fill_entry(struct driver *d)
{
	buf_reset(&d->entry);
	buf_printf(&d->entry, "%llu ", (unsigned long long)d->number++);
	while (d->entry.len < d->size)
		buf_putc(&d->entry, 'x');
	/* an entry's end tells it from all others */
	buf_printf(&d->entry, "%16llu", (unsigned long long)d->number);
}

static void on_one_of_many(void *arg, enum err result, uint64_t seq)
{
	struct driver *d = arg;
	d->left--;
	if (result != OK) {
		printf("many %s %llu\n", err_text(result), (unsigned long long)seq);
	} else if (d->left == 0) {
		printf("many %llu\n", (unsigned long long)seq);
	} else {
		fill_entry(d);
		d->journal->append(d->journal, seq, buf_view(&d->entry), on_one_of_many, d);
	}
}

static void on_last(void *arg, enum err result, const struct journal_end *end)
{
	(void)arg;
	if (result != OK)
		printf("last %s\n", err_text(result));
	else
		printf("last %llu %llu %llu %llu %llu %llu\n", (unsigned long long)end->journal,
		    (unsigned long long)end->first, (unsigned long long)end->last,
		    (unsigned long long)end->bytes, (unsigned long long)end->max_bytes,
		    (unsigned long long)end->max_entry);
}

static void on_members(void *arg, enum err result, const struct journal_member *m, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count; i++)
		printf("member %s %llu %d %s\n", m[i].name, (unsigned long long)m[i].synced,
		    m[i].is_active, m[i].url);
	printf("members %s %zu\n", err_text(result), count);
}

static void on_entry(void *arg, uint64_t seq, uint64_t previous, struct slice bytes)
{
	struct driver *d = arg;
	panic_if(d->is_counting && seq != previous + 1, "a gap before %llu",
	    (unsigned long long)seq);
	d->entries++;
	d->last = seq;
	if (!d->is_counting)
		printf("entry %llu %llu %.*s\n", (unsigned long long)seq,
		    (unsigned long long)previous, bytes.len < 100 ? (int)bytes.len : 100,
		    bytes.ptr);
}

static void on_caught_up(void *arg)
{
	struct driver *d = arg;
	if (!d->is_counting)
		puts("caught_up");
	else
		printf("caught_up %llu %llu %lld\n", (unsigned long long)d->entries,
		    (unsigned long long)d->last, (long long)clock_processor_us() / 1000);
}

static void on_replaced(void *arg)
{
	(void)arg;
	puts("replaced");
}

/* A word of a line, NUL-terminated; NULL: there are no more. */
static char *word(char **line)
{
	char *at = strsep(line, " ");
	return at == NULL || at[0] == '\0' ? NULL : at;
}

static void read_journal(struct driver *d, const char *behind, bool is_counting)
{
	const struct journal_reader reader = {on_entry, on_caught_up, on_replaced, d};
	d->is_counting = is_counting;
	d->entries = 0;
	d->journal->read(d->journal, number_of(behind, 0), &reader);
}

static void tell(struct driver *d, char *w[WORDS_MAX])
{
	struct journal_member me = {.synced = number_of(w[1], 0),
	    .is_active = w[2] != NULL && w[2][0] == '1'};
	(void)snprintf(me.name, sizeof(me.name), "%s", d->conf.member);
	(void)snprintf(me.url, sizeof(me.url), "%s", w[3] == NULL ? "" : w[3]);
	d->journal->tell(d->journal, &me);
}

static void obey(struct driver *d, char *line)
{
	char *w[WORDS_MAX] = {NULL};
	const char *why = "";
	struct journal *j = d->journal;
	for (size_t i = 0; i < WORDS_MAX; i++)
		w[i] = word(&line);
	if (w[0] == NULL)
		return;
	if (strcmp(w[0], "append") == 0) {
		buf_reset(&d->entry);
		buf_puts(&d->entry, w[2]);
		j->append(j, number_of(w[1], 0), buf_view(&d->entry), on_appended, d);
	} else if (strcmp(w[0], "many") == 0) {
		d->left = number_of(w[2], 1);
		d->size = number_of(w[3], 1);
		fill_entry(d);
		j->append(j, number_of(w[1], 0), buf_view(&d->entry), on_one_of_many, d);
	} else if (strcmp(w[0], "last") == 0) {
		j->last(j, on_last, d);
	} else if (strcmp(w[0], "read") == 0 || strcmp(w[0], "count") == 0) {
		read_journal(d, w[1], w[0][0] == 'c');
	} else if (strcmp(w[0], "stop") == 0) {
		j->read(j, 0, NULL);
	} else if (strcmp(w[0], "trim") == 0) {
		j->trim(j, number_of(w[1], 0));
	} else if (strcmp(w[0], "tell") == 0) {
		tell(d, w);
	} else if (strcmp(w[0], "members") == 0) {
		j->members(j, on_members, d);
	} else if (strcmp(w[0], "up") == 0) {
		if (j->is_up(j, &why))
			puts("up");
		else
			printf("down %s\n", why);
	} else {
		panic_if(true, "no command: %s", w[0]);
	}
}

/* Takes lines; the end of the input ends all, whatever is under way. */
static void on_input(void *arg, int fd, bool readable, bool writable)
{
	struct driver *d = arg;
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	(void)readable;
	(void)writable;
	d->is_over = n <= 0;
	buf_append(&d->line, bytes, n > 0 ? (size_t)n : 0);
	panic_if(d->line.failed, "too much input");
	for (;;) {
		char *end = d->line.len == 0 ? NULL : memchr(d->line.data, '\n', d->line.len);
		if (end == NULL)
			break;
		size_t len = (size_t)(end - d->line.data);
		char *line = mem_copy(d->line.data, len);
		memmove(d->line.data, end + 1, d->line.len - len - 1);
		d->line.len -= len + 1;
		obey(d, line);
		free(line);
	}
}

static void on_streams(void *arg, enum err result, const char *words)
{
	struct driver *d = arg;
	printf("%s\n%s", err_text(result), words);
	d->status = result == OK ? 0 : 1;
	d->is_over = true;
	js_streams_free(d->streams);
	d->streams = NULL;
}

static void set_up(struct driver *d)
{
	static struct nats_server servers[LIST_MAX];
	struct problem p;
	struct slice urls = slice_of(given(d, "servers"));
	const char *streams = given(d, "streams");
	size_t n = 0;
	while (urls.len > 0 && n < LIST_MAX) {
		if (nats_server_parse(slice_cut(&urls, ','), "servers", &servers[n++], &p) !=
		    OK)
			panic_if(true, "%s", p.message);
	}
	d->conf = (struct js_journal_conf){.nats = {.reactor = d->reactor,
					       .lookup = d->lookup,
					       .servers = servers,
					       .server_count = n,
					       .name = "journal_main"},
	    .shard = given(d, "shard"),
	    .member = given(d, "member")};
	if (streams == NULL) {
		d->journal = js_journal_new(&d->conf);
		return;
	}
	d->streams = js_streams_new(
	    &(struct js_streams_conf){.journal = d->conf,
		.replicas = (unsigned)number_of(given(d, "replicas"), 1),
		.max_bytes = number_of(given(d, "max_bytes"), 1u << 30),
		.may_make = strcmp(streams, "make") == 0,
		.patience_ms = (int64_t)number_of(given(d, "patience"), 20000)},
	    on_streams, d);
}

int main(int argc, char **argv)
{
	struct driver d = {.argv = argv,
	    .reactor = reactor_new(),
	    .line = BUF_INIT(INPUT_MAX),
	    .entry = BUF_INIT(ENTRY_MAX)};
	const struct lookup_conf none = {.name_servers = NULL};
	(void)argc;
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	panic_if(sigaction(SIGPIPE, &ignore, NULL) != 0, "no SIG_IGN");
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup(LOG_DEBUG, LOG_TEXT);
	d.lookup = lookup_new(d.reactor, &none);
	set_up(&d);
	if (d.journal != NULL) {
		d.input = reactor_io_new(d.reactor, STDIN_FILENO, on_input, &d);
		reactor_io_want(d.input, true, false);
	}
	while (!d.is_over) {
		clock_expire();
		reactor_pass(d.reactor, false);
	}
	if (d.journal != NULL) {
		reactor_io_free(d.input);
		d.journal->free(d.journal);
	}
	lookup_free(d.lookup);
	reactor_free(d.reactor);
	buf_fini(&d.line);
	buf_fini(&d.entry);
	return d.status;
}
