/* A walk over all records, from number to number; see renewal.h. */
#include "jobs/renewal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/webhooks.h"

#define SLICE_MAX 200 /* records a turn: what that takes stays below a commit's flush */
#define EVERY_S 3600  /* how long a secret that has expired may stay */

struct renewal {
	struct job job; /* first */
	struct renewal_conf conf;
	bool walking;
	uint64_t last; /* number up to which the walk is committed */
	size_t total;  /* written anew in this walk */

	/* out of apply() */
	uint64_t reached;
	bool ended;
	struct webhook *renewed[SLICE_MAX];
	size_t count;
};

/* Begins a walk, unless one is under way. */
static void begin(struct job *j)
{
	struct renewal *r = (struct renewal *)j;
	if (r->walking)
		return;
	r->walking = true;
	r->last = 0;
	r->total = 0;
}

static bool has_more(struct job *j)
{
	return ((struct renewal *)j)->walking;
}

static void forget_slice(struct renewal *r)
{
	while (r->count > 0)
		webhook_free(r->renewed[--r->count]);
	r->reached = r->last;
	r->ended = false;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct renewal *r = (struct renewal *)j;
	enum err err = OK;
	forget_slice(r); /* of a transaction that was voided */
	for (size_t i = 0; i < max && err == OK && !r->ended; i++) {
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
		registry_set(r->conf.registry, r->renewed[i]);
		dispatch_changed(r->conf.dispatch, number, false);
	}
	r->total += r->count;
	r->count = 0;
	r->last = r->reached;
	r->walking = !r->ended;
}

static void done(struct job *j, enum err result)
{
	struct renewal *r = (struct renewal *)j;
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

static void release(struct job *j)
{
	forget_slice((struct renewal *)j);
}

static const struct job_kind RENEWAL = {.slice_max = SLICE_MAX,
    .every_s = EVERY_S,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

void renewal_add(struct jobs *jobs, const struct renewal_conf *conf)
{
	struct renewal *r = mem_new(sizeof(*r));
	r->conf = *conf;
	jobs_add(jobs, &r->job, &RENEWAL);
}
