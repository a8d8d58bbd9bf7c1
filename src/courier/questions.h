/*
 * Questions that endpoints are asked for sessions, few at a time: for tokens, for their
 * ownership. Who wants to ask stands in its session's line; sessions take turns, each with its
 * share of the slots (shares/share.h) and so many questions a minute.
 *
 * The endpoint decides how long a question holds its slot. So a session that has none, while
 * none is free, gets one of the session with the most: the question there that has waited
 * longest, and for QUESTION_SAFE_MS at least, is broken off.
 *
 *   AWAY ──question_line_up()──▶ LINED ──ask()──▶ ASKED ──question_over()──▶ AWAY
 *
 * It never: asks (its owner does), waits for an answer, knows what is asked.
 */
#ifndef COURIER_QUESTIONS_H
#define COURIER_QUESTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/reactor.h"
#include "shares/shares.h"

#define QUESTIONS_MAX 32      /* at a time */
#define QUESTION_SAFE_MS 2000 /* for so long nobody takes its slot */

struct questions;
struct questions_taker;

enum question_state { QUESTION_AWAY, QUESTION_LINED, QUESTION_ASKED };

/* One of its owner's, in a struct of whose it is; zeroed before the first use. */
struct question {
	TAILQ_ENTRY(question) link;    /* in its session's line, or of those that are asked */
	struct questions_taker *taker; /* unless AWAY */
	int64_t asked_ms;              /* monotonic */
	enum question_state state;
	bool is_broken_off;
};

struct questions_hooks {
	/* Asks; false where there is nothing to ask: `q` is away then, and may be freed. */
	bool (*ask)(struct question *q);
	/* Breaks off what was asked; question_over() follows, from a later client_reap(). */
	void (*break_off)(struct question *q);
};

/* `a_minute`: questions of a session; 0: any number. The hooks are borrowed. */
struct questions *questions_new(struct reactor *r, uint32_t a_minute,
    const struct questions_hooks *hooks);

/* Whatever waits or is asked; its questions are not looked at any more. NULL is fine. */
void questions_free(struct questions *qs);

/* Has `q`, which is away, stand in the line of `session`. It is asked from questions_move(). */
void question_line_up(struct questions *qs, struct question *q, const char *session);

/* Takes it out of the line, if it stands there. */
void question_leave(struct questions *qs, struct question *q);

/* What was asked is answered, or was broken off: it is away, and its slot is free. */
void question_over(struct questions *qs, struct question *q);

/* Asks those whose turn it is, as far as there are slots: after any of the above. */
void questions_move(struct questions *qs);

/* Those under way, by session; borrowed until the next call. */
const struct shares_figures *questions_figures(const struct questions *qs);

#endif
