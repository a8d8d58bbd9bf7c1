/*
 * A journal (store/journal.h) that is a stream of NATS JetStream (docs/cluster.md). Entries are
 * messages of WAYBILL_<shard>; how far members are are those of WAYBILL_<shard>_MEMBERS, which
 * has the last one of each. js_streams.h makes both streams, and says whether they are as they
 * have to be.
 *
 * One connection, to one server at a time. An append is sent until it is sure what became of
 * it: the server compares the place, and knows the entry again by an id that is made of it
 * (which it forgets after two minutes; nothing depends on that). Where an entry stands in its
 * place already, or may, that is read and compared. A server that answers nothing of use for
 * some seconds, as one does that is cut off from the others, is left for the next.
 *
 * It never: takes silence for an answer, or a place that is empty for a lost race; goes on in
 * a stream that was made anew; tells from within a call; has more under way than one of each.
 */
#ifndef JETSTREAM_JS_JOURNAL_H
#define JETSTREAM_JS_JOURNAL_H

#include "jetstream/js_reader.h"
#include "store/journal.h"

#define JS_ENTRY_MAX (8u << 20) /* bytes, whatever the server would take */
#define JS_HEADERS_MAX 512      /* bytes of an append's */
#define JS_JOURNAL_NAME_SIZE (NATS_NAME_MAX + 32)

struct js_journal_times {
	struct js_reader_times reader;
	int64_t leave_ms; /* without an answer before the server is left for the next one */
};

/* 2 s, 0.3 s, 30 s, 0.5 s; 4 s */
extern const struct js_journal_times JS_JOURNAL_TIMES;

/* Of the connection: 3 s, 2 s, 0.1 s up to 1 s, 5 s. */
extern const struct nats_times JS_JOURNAL_NATS_TIMES;

/* What is pointed to is borrowed for the life of the journal. */
struct js_journal_conf {
	struct nats_conf nats; /* message_max, out_max are set here; times: NULL: those above */
	const char *api;       /* NULL: "$JS.API" */
	const char *shard;     /* nats_is_name(), of at most NATS_NAME_MAX - 16 bytes */
	const char *member;    /* nats_is_name(), of at most ENTRY_MEMBER_MAX bytes */
	const struct js_journal_times *times; /* NULL: JS_JOURNAL_TIMES */
};

/* How its streams and their subjects are called. */
struct js_journal_names {
	char stream[JS_JOURNAL_NAME_SIZE];
	char subject[JS_JOURNAL_NAME_SIZE];
	char members[JS_JOURNAL_NAME_SIZE];
	char all_members[JS_JOURNAL_NAME_SIZE]; /* a wildcard for the last word */
};

void js_journal_names(const char *shard, struct js_journal_names *out);

/* Connects; journal->free() it. */
struct journal *js_journal_new(const struct js_journal_conf *conf);

#endif
