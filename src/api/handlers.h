/* The handlers of all calls, for the router's table. Each answers its call exactly once. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/call.h"
#include "api/samples.h"
#include "api/webhook_view.h"
#include "shares/shares.h"

/* Sizes of the structs that handlers keep behind a struct call; see struct route. */
extern const size_t PUBLISH_CALL_SIZE;
extern const size_t WEBHOOKS_CALL_SIZE;
extern const size_t DLQ_CALL_SIZE;
extern const size_t DELIVERY_CALL_SIZE;
extern const size_t REPLAY_CALL_SIZE;
extern const size_t SOURCES_CALL_SIZE;
extern const size_t ACROSS_CALL_SIZE;
extern const size_t FORGET_CALL_SIZE;
extern const size_t PORTAL_CALL_SIZE;

/* publish_api.c: publishing */
void handle_publish(struct call *c);
void handle_publish_any(struct call *c);
void handle_webhook_in(struct call *c);
/* Whether the body of such a call is worth reading; false: it has been answered, or will be. */
bool webhook_in_may_come(struct call *c);
void handle_test(struct call *c);
void release_publish(struct call *c);

/* source_in.c: the doors of sources */
void handle_source_in(struct call *c);
void handle_source_challenge(struct call *c);
/* As webhook_in_may_come(). */
bool source_in_may_come(struct call *c);

/* Counts the request at a door as refused, for what its problem says; it answers nothing. */
void source_in_note(struct call *c);

/* sources_api.c: making and changing them */
void handle_source_create(struct call *c);
void handle_source_list(struct call *c);
void handle_source_show(struct call *c);
void handle_source_patch(struct call *c);
void handle_source_delete(struct call *c);
void handle_source_rotate(struct call *c);
void release_source(struct call *c);

/* webhooks_api.c: registering and changing */
void handle_webhook_create(struct call *c);
void handle_webhook_list(struct call *c);
void handle_webhook_show(struct call *c);
void handle_webhook_put(struct call *c);
void handle_webhook_patch(struct call *c);
void handle_webhook_delete(struct call *c);
void handle_webhook_rotate(struct call *c);
void handle_webhook_rotate_key(struct call *c);
void handle_webhook_enable(struct call *c);
void handle_webhook_disable(struct call *c);
void handle_webhook_verify(struct call *c);
void handle_webhook_try(struct call *c);
void release_webhook(struct call *c);

/* Writes a webhook with how its endpoint stands; answers with it; says its state alone. */
void webhook_show(const struct call *c, const struct webhook *w, enum webhook_form form,
    struct json_writer *json);
void webhook_answer(struct call *c, const struct webhook *w);
const char *webhook_state(const struct call *c, const struct webhook *w);

/* trends_api.c: how its attempts went */
void handle_webhook_stats(struct call *c);

/* across_api.c: webhooks and dead letters of all sessions */
void handle_webhook_find(struct call *c);
void handle_webhooks_all(struct call *c);
void handle_dlq_replay_across(struct call *c);
void release_across(struct call *c);

/* keys_api.c: public keys */
void handle_keys(struct call *c);

/* filter_api.c: what a filter says of an event */
void handle_filter_test(struct call *c);

/* dlq_api.c: dead letters */
void handle_dlq_list(struct call *c);
void handle_dlq_replay(struct call *c);
void handle_dlq_delete(struct call *c);
void handle_dlq_replay_all(struct call *c);
void handle_dlq_purge(struct call *c);

/* deliveries_api.c: one delivery */
void handle_delivery_retry(struct call *c);
void handle_delivery_cancel(struct call *c);

/* sent_api.c: what an attempt has sent, to be sent again by hand, and its signatures */
void handle_delivery_curl(struct call *c);
void handle_delivery_verify(struct call *c);

/* replay_api.c: many deliveries of a webhook */
void handle_replay_start(struct call *c);
void handle_replay_show(struct call *c);
void handle_replay_cancel(struct call *c);

/* deliveries_api.c, events_api.c, sessions_api.c: what there is */
void handle_deliveries_list(struct call *c);
void handle_delivery_show(struct call *c);

/*
 * Reads the delivery of the path with its event's head. ERR_NOTFOUND, with the problem in
 * words, also for one of another session.
 */
MUST_CHECK enum err deliveries_find(struct call *c, struct db_txn *txn, struct delivery *d,
    struct event *e);

void handle_events_list(struct call *c);
void handle_event_show(struct call *c);
void handle_sessions_list(struct call *c);
void handle_session_show(struct call *c);
bool session_is_known(const struct call *c, struct slice session);
/* portal.c: links for tenants */
void handle_portal_link(struct call *c);
void handle_portal_revoke(struct call *c);
void handle_portal_rotate(struct call *c);
/* token_api.c: what the caller's token is */
void handle_token(struct call *c);
/* forget_api.c */
void handle_session_delete(struct call *c);
void forget_write(const struct task *r, struct json_writer *json);

/* backup_api.c: copies of the store */
void handle_backup(struct call *c);

/* stream_api.c: what happens, as it happens */
void handle_stream(struct call *c);
struct streams *streams_new(struct api *api);
void streams_free(struct streams *s);
void streams_end(struct streams *s);
void streams_end_void(struct streams *s);  /* those by links that are over, or void */
void streams_configure(struct streams *s); /* after a change of the API's */
const struct shares_figures *streams_figures(const struct streams *s);

/* metrics_api.c: what happens */
void handle_metrics(struct call *c);
void handle_stats(struct call *c);
void metrics_reply(struct call *c);
uint64_t metrics_cancelled(const struct api *api);
void metrics_totals(void *api, struct samples_totals *out);
struct troubles *troubles_new(void); /* whom the statistics name */
void troubles_free(struct troubles *t);
/* ui_api.c: the dashboard */
void handle_ui(struct call *c); /* sends on to it */
void handle_ui_file(struct call *c);

/* ops_api.c: health, what webhooks can choose from, the API's description */
void handle_capabilities(struct call *c);
void handle_openapi(struct call *c);
void handle_livez(struct call *c);
void handle_readyz(struct call *c);

/* cluster_api.c */
void handle_cluster(struct call *c);
void handle_handover(struct call *c);
void cluster_metrics(const struct api *api, struct buf *out);

#endif
