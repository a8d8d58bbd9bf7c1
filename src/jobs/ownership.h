/*
 * Asks the endpoints of webhooks whether they want what they would be sent, and writes down
 * what they say (domain/ownership.h). Who gives no answer is asked again after 1, 5 and 30 s,
 * and has failed then; another answer than the challenge fails at once.
 *
 * Whoever registers webhooks must not make us knock at any number of doors: questions at a time
 * are shared by sessions, and a session has 60 a minute, repetitions included; others wait in
 * line. A webhook whose auth needs a token waits for that first, which counts as no question.
 */
#ifndef JOBS_OWNERSHIP_H
#define JOBS_OWNERSHIP_H

#include "courier/questions.h"
#include "courier/tokens.h"
#include "dispatch/dispatch.h"
#include "feed/feed.h"
#include "jobs/job.h"
#include "store/registry.h"

#define OWNERSHIP_WAITS 3 /* between questions to one endpoint */

struct ownership_conf {
	struct reactor *reactor; /* all borrowed */
	struct client *client;
	struct tokens *tokens; /* NULL: no webhook's auth is of type oauth2 */
	struct registry *registry;
	const struct vault *vault;
	struct dispatch *dispatch;
	struct feed *feed;                /* NULL: nobody is told of disabled webhooks */
	int64_t wait_ms[OWNERSHIP_WAITS]; /* all 0: as above */
};

struct asker;

/*
 * Makes it, for `jobs` to own; it is freed behind the client, and before the tokens. It begins
 * with the webhooks that are pending: the last run may have been cut off.
 */
struct asker *asker_new(struct jobs *jobs, const struct ownership_conf *conf);

/* The webhook is pending, and the registry knows; or it is so anew. O(1). */
void asker_add(struct asker *a, uint64_t webhook);

struct asker_figures {
	uint64_t verified; /* endpoints, since the start; so the next two */
	uint64_t refused;  /* gave another answer */
	uint64_t silent;   /* gave none, however often they were asked */
	uint64_t pending;
	const struct shares_figures *questions; /* under way, by session */
};

void asker_figures(const struct asker *a, struct asker_figures *out);

#endif
