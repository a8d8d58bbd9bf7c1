/*
 * waybill cluster: makes the journal of a cluster, shows how its members are, lets a standby be
 * the active, copies the active's store, and makes a member's store one of its own again
 * (docs/cluster.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "domain/json_walk.h"
#include "server/engine.h"
#include "store/entry.h"

#define NAME "waybill cluster"
#define TIMEOUT_MS 20000
#define ANSWER_MAX (256u << 10)
#define DETACH_MAX_BYTES (64ULL << 30) /* as store_max_bytes, unless the store is larger */

static int cluster_init(int argc, char **argv);
static int cluster_status(int argc, char **argv);
static int cluster_handover(int argc, char **argv);
static int cluster_join(int argc, char **argv);
static int cluster_detach(int argc, char **argv);

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0]: the verb */
	const char *usage;
} VERBS[] = {
    {"init", cluster_init, "[-c FILE] [--SETTING VALUE]…"},
    {"status", cluster_status, "[--url URL] [--token T] [--ca-file FILE]"},
    {"handover", cluster_handover, "[--url URL] [--token T] [--ca-file FILE]"},
    {"join", cluster_join, "[--url URL] [--token T] [--ca-file FILE] DIR"},
    {"detach", cluster_detach, "DIR"},
};
#define VERB_COUNT (sizeof(VERBS) / sizeof(VERBS[0]))

static int usage(const char *verb)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (verb == NULL || strcmp(verb, VERBS[i].name) == 0)
			(void)fprintf(stderr, "usage: " NAME " %s %s\n", VERBS[i].name,
			    VERBS[i].usage);
	}
	return EXIT_USAGE;
}

struct looking {
	struct engine *engine;
	bool done;
	enum err result;
	struct problem problem;
};

static void on_looked(void *arg, enum err result, const struct problem *p)
{
	struct looking *l = arg;
	l->done = true;
	l->result = result;
	l->problem = *p;
}

/* Makes the streams of the journal, or finds them as they have to be. */
static enum err make_journal(const struct config *c, const struct membership *m,
    struct problem *p)
{
	struct looking l = {.done = false};
	struct reactor *reactor = reactor_new();
	const struct engine_conf conf = {.reactor = reactor,
	    .config = c,
	    .membership = m,
	    .may_make = true};
	l.engine = engine_look(&conf, on_looked, &l);
	while (!l.done) {
		reactor_pass(reactor, false);
		engine_reap(l.engine);
	}
	engine_free(l.engine);
	reactor_free(reactor);
	*p = l.problem;
	return l.result;
}

static int cluster_init(int argc, char **argv)
{
	struct config c;
	struct membership m = {0};
	struct problem p;
	bool wrong = false;
	config_init(&c);
	enum err err = config_read(&c, argc, argv, environ, &wrong, &p);
	if (err == OK && c.cluster.count == 0)
		err = problem_set(&p, ERR_INVALID, "cluster",
		    "cluster: is missing: there is nothing to make without it");
	if (err == OK)
		err = membership_load(&m, &c, &p);
	if (err == OK)
		err = make_journal(&c, &m, &p);
	if (err != OK)
		(void)fprintf(stderr, NAME " init: %s\n", p.message);
	else
		(void)printf("the journal of shard %s is there, on %llu of the servers\n",
		    c.shard, (unsigned long long)c.cluster_replicas);
	membership_fini(&m);
	config_free(&c);
	if (err != OK)
		return wrong ? EXIT_USAGE : EXIT_FAILED;
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* A question to a member, and its answer. */
struct asking {
	struct remote remote;
	struct buf answer;
	bool done;
	bool good;
};

static bool on_data(void *arg, struct slice bytes)
{
	struct asking *a = arg;
	buf_slice(&a->answer, bytes);
	return !a->answer.failed;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct asking *a = arg;
	a->done = true;
	a->good = r->status == 200;
	if (!a->good)
		remote_tell(&a->remote, NAME, r);
}

/* False with a word on standard error. */
static bool ask(struct asking *a, const char *method, const char *path)
{
	struct reactor *reactor = reactor_new();
	struct client *client = remote_client(&a->remote, reactor);
	struct client_request *q = client_open(client);
	struct buf url = BUF_INIT(8192);
	remote_authorize(&a->remote, q);
	buf_printf(&url, "%s/api/v1/cluster%s", a->remote.url, path);
	client_call(q, method, buf_cstr(&url), SLICE(""), TIMEOUT_MS, on_data, on_answer, a);
	while (!a->done) {
		reactor_pass(reactor, false);
		client_reap(client);
	}
	buf_fini(&url);
	client_free(client);
	reactor_free(reactor);
	return a->good;
}

/* Reads the flags of a command that asks a member, and nothing else. EXIT_OK. */
static int read_flags(struct asking *a, int argc, char **argv)
{
	struct problem p;
	int first = 0;
	a->answer = BUF_INIT(ANSWER_MAX);
	if (!remote_read(&a->remote, argc, argv, &first))
		return EXIT_USAGE;
	if (first != argc)
		return usage(argv[0]);
	if (remote_check(&a->remote, &p) != OK) {
		(void)fprintf(stderr, NAME " %s: %s\n", argv[0], p.message);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static void put_named(struct buf *out, const struct show *s, const char *name)
{
	struct slice value = show_text(s, name);
	buf_printf(out, "%s ", name);
	show_put(out, value.len == 0 ? SLICE("-") : value, 0);
	buf_puts(out, "  ");
}

static void put_member(struct buf *out, struct slice json)
{
	static const struct {
		const char *name;
		size_t width;
	} COLUMNS[] = {{"member", 12}, {"role", 8}, {"synced", 12}, {"behind", 8},
	    {"told_at", 24}, {"url", 0}};
	for (size_t i = 0; i < sizeof(COLUMNS) / sizeof(COLUMNS[0]); i++) {
		struct slice value = json_walk_find(json, slice_of(COLUMNS[i].name));
		if (value.len >= 2 && value.ptr[0] == '"')
			value = (struct slice){value.ptr + 1, value.len - 2};
		show_put(out, value.len == 0 ? SLICE("-") : value, COLUMNS[i].width);
		buf_putc(out, COLUMNS[i].width == 0 ? '\n' : ' ');
	}
}

static void put_members(struct buf *out, struct slice array)
{
	struct json_walk w = json_walk_in(array);
	show_put(out, SLICE("MEMBER"), 13);
	show_put(out, SLICE("ROLE"), 9);
	show_put(out, SLICE("SYNCED"), 13);
	show_put(out, SLICE("BEHIND"), 9);
	show_put(out, SLICE("TOLD AT"), 25);
	buf_puts(out, "URL\n");
	while (json_walk_next(&w))
		put_member(out, w.value);
}

/* How many servers of NATS have all of the journal, where that is known. */
static void put_copies(struct buf *out, struct slice journal)
{
	struct slice copies = json_walk_find(journal, SLICE("copies"));
	if (copies.len == 0 || slice_eq(copies, SLICE("null")))
		return;
	buf_puts(out, "copies ");
	show_put(out, copies, 0);
}

static bool print_status(const struct asking *a)
{
	static const char *const NAMED[] = {"shard", "member", "epoch", "seq", "lag"};
	struct show s;
	struct buf out = BUF_INIT(4 * ANSWER_MAX);
	enum err err = show_read(&s, buf_view(&a->answer), ANSWER_MAX);
	if (err == OK) {
		put_named(&out, &s, "role");
		for (size_t i = 0; i < sizeof(NAMED) / sizeof(NAMED[0]); i++) {
			if (show_member(&s, NAMED[i]).len > 0)
				put_named(&out, &s, NAMED[i]);
		}
		put_copies(&out, show_member(&s, "journal"));
		if (show_member(&s, "why").len > 0) {
			buf_puts(&out, "\nwhy ");
			show_put_line(&out, show_text(&s, "why"));
		}
		buf_putc(&out, '\n');
		if (show_member(&s, "members").len > 0)
			put_members(&out, show_member(&s, "members"));
	}
	show_fini(&s);
	bool good = err == OK && fwrite(out.data, 1, out.len, stdout) == out.len &&
	    fflush(stdout) == 0;
	buf_fini(&out);
	return good;
}

static int cluster_status(int argc, char **argv)
{
	struct asking a = {.done = false};
	int status = read_flags(&a, argc, argv);
	if (status == EXIT_OK)
		status = ask(&a, "GET", "") && print_status(&a) ? EXIT_OK : EXIT_FAILED;
	buf_fini(&a.answer);
	return status;
}

static int cluster_handover(int argc, char **argv)
{
	struct asking a = {.done = false};
	int status = read_flags(&a, argc, argv);
	if (status == EXIT_OK)
		status = ask(&a, "POST", "/handover") ? EXIT_OK : EXIT_FAILED;
	if (status == EXIT_OK) {
		(void)printf("%s hands over\n", a.remote.url);
		status = fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
	}
	buf_fini(&a.answer);
	return status;
}

/* A backup has its place in the journal: who is started on it goes on from there. */
static int cluster_join(int argc, char **argv)
{
	return command_backup(argc, argv);
}

static enum err detach(const char *dir, bool *was, struct problem *p)
{
	struct db *db = NULL;
	struct db_txn *txn = NULL;
	struct entry_position at;
	enum err err = db_expect(dir, p);
	if (err == OK)
		err = db_open(dir, DETACH_MAX_BYTES, &db, p);
	if (err != OK)
		return err;
	err = db_begin(db, &txn);
	if (err == OK) {
		err = entry_position_get(txn, &at);
		*was = err == OK && (at.seq != 0 || at.journal != 0);
		if (err == OK && *was)
			err = entry_position_del(txn);
		if (err == OK)
			err = db_commit(txn);
		else
			db_abort(txn);
	}
	db_close(db);
	return err == OK
	    ? OK
	    : problem_set(p, err, "", "%s cannot be changed: %s", dir, err_text(err));
}

static int cluster_detach(int argc, char **argv)
{
	struct problem p;
	bool was = false;
	if (argc != 2 || argv[1][0] == '-')
		return usage("detach");
	if (detach(argv[1], &was, &p) != OK) {
		(void)fprintf(stderr, NAME " detach: %s\n", p.message);
		return EXIT_FAILED;
	}
	(void)printf(was ? "%s: belongs to no cluster any more\n"
			 : "%s: belonged to no cluster\n",
	    argv[1]);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int command_cluster(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++) {
		if (strcmp(argv[1], VERBS[i].name) == 0)
			return VERBS[i].run(argc - 1, argv + 1);
	}
	return usage(NULL);
}
