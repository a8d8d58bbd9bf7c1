/* One slice at a time, as an operation of the turn; see renewal.h. */
#include "jobs/renewal.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/webhooks.h"

#define SLICE_MAX 200 /* records a turn: what that takes stays below a commit's flush */

struct renewal {
	struct op op; /* first: the turn's pointer is ours */
	struct renewal_conf conf;
	bool walking;
	bool staged;
	uint64_t last; /* number up to which the walk is committed */
	size_t total;  /* written anew in this walk */

	/* out of apply() */
	uint64_t reached;
	bool ended;
	struct webhook *renewed[SLICE_MAX];
	size_t count;
};

static void forget_slice(struct renewal *r)
{
	while (r->count > 0)
		webhook_free(r->renewed[--r->count]);
	r->reached = r->last;
	r->ended = false;
}

static enum err apply(struct op *op, struct db_txn *txn)
{
	struct renewal *r = (struct renewal *)op;
	enum err err = OK;
	forget_slice(r); /* of a transaction that was voided */
	for (int i = 0; i < SLICE_MAX && err == OK && !r->ended; i++) {
		struct webhook *w = NULL;
		err = webhooks_renew(txn, r->conf.vault, clock_wall_ms(), &r->reached, &w);
		r->ended = err == ERR_NOTFOUND;
		if (err == ERR_CORRUPT)
			log_error("webhook record is corrupt", LOG_N("number", r->reached));
		if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
			err = OK;
		if (w != NULL)
			r->renewed[r->count++] = w;
	}
	return err;
}

/* The slice is on disk: memory follows. */
static void follow(struct renewal *r)
{
	for (size_t i = 0; i < r->count; i++) {
		uint64_t number = r->renewed[i]->number;
		bool deleted = r->renewed[i]->deleted;
		registry_set(r->conf.registry, r->renewed[i]);
		if (!deleted) /* what is left of it is being purged already */
			r->conf.changed(r->conf.arg, number);
	}
	r->total += r->count;
	r->count = 0;
	r->last = r->reached;
	r->walking = !r->ended;
}

static void done(struct op *op, enum err result)
{
	struct renewal *r = (struct renewal *)op;
	r->staged = false;
	if (result != OK) {
		forget_slice(r);
		r->walking = false; /* the next walk finds what is left */
		return;
	}
	follow(r);
	if (r->walking || r->total == 0)
		return;
	char key[VAULT_ID_TEXT_SIZE];
	struct vault_id current = vault_current(r->conf.vault);
	vault_put_id(&current, key);
	log_info("webhooks were written anew", LOG_N("webhooks", r->total),
	    LOG_S("key", vault_is_none(&current) ? "none" : key));
}

struct renewal *renewal_new(const struct renewal_conf *conf)
{
	struct renewal *r = mem_new(sizeof(*r));
	r->conf = *conf;
	r->op.class = OP_PROGRESS;
	r->op.apply = apply;
	r->op.done = done;
	return r;
}

void renewal_free(struct renewal *r)
{
	if (r != NULL)
		forget_slice(r);
	free(r);
}

void renewal_begin(struct renewal *r)
{
	if (r->walking)
		return;
	r->walking = true;
	r->last = 0;
	r->total = 0;
}

void renewal_step(struct renewal *r)
{
	if (!r->walking || r->staged)
		return;
	r->staged = true;
	turn_stage(r->conf.turn, &r->op);
}
