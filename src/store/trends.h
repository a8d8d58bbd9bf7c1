/*
 * How the attempts of each webhook went: by hour for a week, the last hundred, and the last.
 * What is new is counted in memory, and added to the table some seconds later: a crash loses
 * the counts of these seconds, never anything that was acknowledged.
 *
 * Table DB_TRENDS, at most TREND_DAYS + 1 rows of less than 2 KB a webhook, gone with it. Key:
 * webhook number (8), day since 1970 (2), or 0xffff: the last attempts. A day has a part for
 * each of its hours in which attempts ended.
 */
#ifndef STORE_TRENDS_H
#define STORE_TRENDS_H

#include <stdbool.h>

#include "base/histogram.h"
#include "store/db.h"
#include "store/registry.h"

#define TREND_DAYS 8 /* today and the seven before */
#define TREND_HOURS (24 * TREND_DAYS)
#define TREND_ERROR_MAX 200 /* bytes of why no answer came */
#define TREND_LAST_MAX 100  /* attempts that are known one by one */

/* The attempts that ended in an hour. */
struct trend_hour {
	int64_t hour; /* since 1970 */
	uint32_t succeeded;
	uint32_t failed;
	struct histogram answers; /* how long those took that were answered; no sum */
};

/* The last attempt of a webhook. */
struct trend_last {
	int64_t at_ms;                   /* wall; when it ended; 0: there was none */
	int status;                      /* HTTP; 0: none came */
	char error[TREND_ERROR_MAX + 1]; /* why, or why it does not count; or empty */
};

struct trend {
	struct trend_last last;
	/*
	 * Oldest first: 2 for one that was taken, whatever its status; 1 for an answer of 2xx
	 * that does not count; else the first digit of the status, 0 where none came.
	 */
	uint8_t outcomes[TREND_LAST_MAX];
	size_t outcome_count;
	struct trend_hour *hours; /* owned; oldest first, only those that have attempts */
	size_t hour_count;
};

struct trends;

struct trends *trends_new(void);
void trends_free(struct trends *t); /* NULL is fine */

/* Counts an attempt of a webhook. `succeeded`: it was taken; `error` may be empty. */
void trends_note(struct trends *t, uint64_t webhook, const struct trend_last *last,
    bool succeeded, int64_t duration_us);

/* Whether something was counted before `mono_ms` and is not in the table. */
bool trends_wait(const struct trends *t, int64_t mono_ms);

/*
 * Adds what was counted of at most `max` webhooks, the longest waiting first, to the table, and
 * drops what is older than TREND_DAYS of these; what was counted of webhooks that are gone is
 * forgotten. After the commit trends_written(); without it the next call begins with the same.
 * What is counted between the two waits for another call. The sticky error.
 */
MUST_CHECK enum err trends_write(struct trends *t, struct db_txn *txn,
    const struct registry *registry, size_t max);
void trends_written(struct trends *t);

/* Reads a webhook's last attempt, from memory or the table. The store's error. */
MUST_CHECK enum err trends_last(const struct trends *t, struct db_txn *txn, uint64_t webhook,
    struct trend_last *out);

/* Reads all of it, memory and table; trend_fini() it. `since_hour`: those from then on. */
MUST_CHECK enum err trends_read(const struct trends *t, struct db_txn *txn, uint64_t webhook,
    int64_t since_hour, struct trend *out);
void trend_fini(struct trend *out);

/* Removes a webhook's rows. The sticky error. */
MUST_CHECK enum err trends_drop(struct db_txn *txn, uint64_t webhook);

/* Takes a row apart for fsck: whose it is. ERR_CORRUPT. */
MUST_CHECK enum err trends_check(struct slice key, struct slice value, uint64_t *webhook);

#endif
