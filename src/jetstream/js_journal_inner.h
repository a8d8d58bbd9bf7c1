/* Of the journal alone: what js_journal.c and its parts share. */
#ifndef JETSTREAM_JS_JOURNAL_INNER_H
#define JETSTREAM_JS_JOURNAL_INNER_H

#include "jetstream/js_journal.h"

#define JS_ID_SIZE (20 + 1 + 2 * ENTRY_DIGEST + 1)

/* The append that is under way. */
struct js_append {
	struct nats_call call;
	struct reactor_timer *timer; /* of the next try */
	journal_append_fn fn;        /* NULL: none is under way */
	void *arg;
	uint64_t seq; /* where it is to stand */
	struct slice entry;
	char id[JS_ID_SIZE];
	char why[NATS_ERROR_SIZE]; /* it is not taken, though the server answers; "" */
};

struct js_last {
	struct nats_call call;
	struct reactor_timer *timer; /* until it can be asked */
	journal_last_fn fn;
	void *arg;
};

struct js_members {
	struct nats_call call;
	struct reactor_timer *timer;
	journal_members_fn fn;
	void *arg;
	uint64_t next;  /* seq from which the next is asked for */
	unsigned asked; /* so often */
	struct journal_member list[JOURNAL_MEMBERS_MAX];
	size_t count;
};

struct js_trim {
	struct nats_call call;
	uint64_t asked; /* all up to this one is being dropped; 0: nothing is */
	uint64_t wanted;
};

struct js_journal {
	struct journal journal; /* the first: what others know of it */
	struct js_journal_conf conf;
	struct js_journal_names names;
	struct nats *nats;
	struct nats_call greeting;
	struct reactor_timer *timer; /* of the next greeting */
	bool is_ready;               /* the server has told of the stream, on this connection */
	bool is_replaced;
	uint64_t id; /* the stream's; 0: not known yet */
	struct js_reader *reader;
	struct journal_reader to; /* whom it reads for */
	bool is_reading;
	uint64_t read_from;
	bool is_begun; /* the reader has been told to */
	struct js_append append;
	struct js_last last;
	struct js_members members;
	struct js_trim trim;
	int64_t silent_ms; /* monotonic, since when nothing was answered; 0: something was */
	char why[NATS_ERROR_SIZE];
};

/* Whether the server is there, and has the stream that it had. */
bool js_journal_is_ready(const struct js_journal *j);

/*
 * Takes note of an answer, which refuses or was not there; 0: of a good one. Says so in the
 * log, and leaves the server where that has lasted.
 */
void js_journal_note(struct js_journal *j, uint64_t refusal, const char *why);

/*
 * Takes note of what was said of the stream. False: it is another one, of which all who have to
 * know were told.
 */
bool js_journal_learn(struct js_journal *j, const struct js_info *info);

void js_append_init(struct js_journal *j);
void js_append_forget(struct js_journal *j); /* nobody is told of it */
void js_append_fini(struct js_journal *j);
void js_append(struct journal *journal, uint64_t behind, struct slice entry,
    journal_append_fn fn, void *arg);

/* It goes on, as the server is there, or is over, as the journal is replaced. */
void js_append_go_on(struct js_journal *j);

void js_members_init(struct js_journal *j);
void js_members_forget(struct js_journal *j);
void js_members_fini(struct js_journal *j);
void js_members_tell(struct journal *journal, const struct journal_member *me);
void js_members_ask(struct journal *journal, journal_members_fn fn, void *arg);

#endif
