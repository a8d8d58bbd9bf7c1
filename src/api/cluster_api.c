/* The calls about the cluster, on the active and on an instance that is in none. */
#include <string.h>

#include "api/cluster_view.h"
#include "api/handlers.h"
#include "base/clock.h"

#define HEIR_MS 15000 /* a member that told of itself within is one to hand over to */

/* How this member stands; false: it is in no cluster. */
static bool view_of(const struct api *api, struct cluster_view *out)
{
	if (api->conf.cluster.view == NULL)
		return false;
	*out = (struct cluster_view){.role = "active"};
	api->conf.cluster.view(api->conf.cluster.arg, out);
	return true;
}

void handle_cluster(struct call *c)
{
	struct cluster_view v;
	struct buf text = BUF_INIT(CLUSTER_VIEW_MAX);
	struct json_writer json = JSON_WRITER(&text);
	if (c->token != NULL) {
		call_fail(c, 403, "", CLUSTER_NEEDS_ALL);
		return;
	}
	if (view_of(c->api, &v))
		cluster_view_write(&v, &json);
	else
		cluster_view_write_single(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

/* Whether another member is there that could take over. */
static bool has_heir(const struct cluster_view *v)
{
	for (size_t i = 0; i < v->member_count; i++) {
		const struct journal_member *m = &v->members[i];
		if (strcmp(m->name, v->member) != 0 && clock_wall_ms() - m->told_ms < HEIR_MS)
			return true;
	}
	return false;
}

void handle_handover(struct call *c)
{
	struct cluster_view v;
	if (c->token != NULL) {
		call_fail(c, 403, "", CLUSTER_NEEDS_ALL);
		return;
	}
	if (!view_of(c->api, &v)) {
		call_fail(c, 409, "", "this instance is in no cluster");
		return;
	}
	if (!has_heir(&v)) {
		call_fail(c, 409, "", "no standby has told of itself lately");
		return;
	}
	struct api *api = c->api;
	call_succeed(c, "handing over");
	api->conf.cluster.hand_over(api->conf.cluster.arg);
}

void cluster_metrics(const struct api *api, struct buf *out)
{
	struct cluster_view v;
	if (view_of(api, &v))
		cluster_view_metrics(&v, out);
}
