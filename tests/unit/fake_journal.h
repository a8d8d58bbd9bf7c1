/*
 * A journal in memory, with every fault that a real one may have. The log is what all members
 * share; each has a way of its own to it, which delays, is cut, or hands over what is bad.
 * Answers come after a random time of up to `delay_ms`, from the member's own loop.
 */
#ifndef TESTS_UNIT_FAKE_JOURNAL_H
#define TESTS_UNIT_FAKE_JOURNAL_H

#include "base/reactor.h"
#include "base/rnd.h"
#include "store/journal.h"

struct fake_log;

struct fake_log *fake_log_new(uint64_t seed);
void fake_log_free(struct fake_log *log); /* behind all ways to it */

uint64_t fake_log_last(const struct fake_log *log);
uint64_t fake_log_first(const struct fake_log *log);

/* The bytes of the entry at `seq`, also of one that was trimmed; borrowed. */
struct slice fake_log_entry(const struct fake_log *log, uint64_t seq);

/* Appends at the end, as anybody might. */
void fake_log_append(struct fake_log *log, struct slice entry);

/* Puts other bytes in the place of an entry, for good. */
void fake_log_change(struct fake_log *log, uint64_t seq, struct slice entry);

void fake_log_trim(struct fake_log *log, uint64_t seq);

/* It is full with so many bytes: appends wait until there is room. */
void fake_log_limit(struct fake_log *log, uint64_t max_bytes);

/* It is lost, and made anew: empty. */
void fake_log_replace(struct fake_log *log);

/* A member tells of itself, as if by a way of its own; told_ms counts as it is given. */
void fake_log_tell(struct fake_log *log, const struct journal_member *m);
const struct journal_member *fake_log_member(const struct fake_log *log, const char *name);

enum fake_fault {
	FAKE_GOOD,
	FAKE_GAP,     /* the entry is left out, and the next one shows it */
	FAKE_MISSING, /* …and the next one has its number */
	FAKE_DOUBLED, /* it is handed over twice */
	FAKE_CUT,     /* without its end */
	FAKE_CHANGED, /* a bit */
};

/* What a member's way does; may be changed at any time. */
struct fake_way {
	int64_t delay_ms;
	bool is_cut;           /* nothing comes through, and it is known */
	bool holds_appends;    /* they arrive when it is over: taken late, or too late */
	bool holds_answers;    /* of what has arrived */
	bool holds_entries;    /* reading hangs without a word */
	enum fake_fault fault; /* of reading… */
	uint64_t fault_seq;    /* …the entry there… */
	unsigned fault_times;  /* …so often */
	uint64_t handed;       /* entries so far */
};

/* A member's way to the log. Freed, what was on its way may still arrive. */
struct journal *fake_journal_new(struct fake_log *log, struct reactor *r);
struct fake_way *fake_way(struct journal *j);

#endif
