/*
 * A durable pull consumer; see js.h.
 *
 *   DOWN --connected--> STREAM --> DELETING --> CREATING --> PULLING <--> RESTING (no room)
 *    ^                    ^            |            |            |
 *    '--connection lost   '-- WAITING <'------------'------------'  anything doubtful
 */
#include "jetstream/js.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/instant.h"
#include "domain/json_at.h"
#include "jetstream/js_api.h"

#define ACK_WAIT_NS 30000000000 /* until what is not acknowledged would come again */
#define NS_PER_MS 1000000
#define SUBJECT_SIZE 1024
#define REQUEST_MAX (64u << 10)

enum step { DOWN, WAITING, STREAM, DELETING, CREATING, RESTING, PULLING };

struct js {
	struct js_conf conf;
	struct js_hooks hooks;
	struct nats *nats;
	struct nats_call call; /* what is asked now */
	struct reactor_timer *timer;
	int64_t wait_ms;
	enum step step;
	struct js_position stored;
	struct js_position taken;
	uint64_t next_delivery; /* consumer_seq that has to come */
	size_t batch;           /* messages of the pull */
	size_t left;            /* of these to come */
	bool is_alone;          /* one message is pulled, whatever its size */
	bool is_next_alone;
	int64_t pulled_ms;            /* monotonic, when it was asked for */
	char reply[JS_REPLY_MAX + 1]; /* of the last message; "": it is acknowledged */
	char error[NATS_ERROR_SIZE];
	struct js_status status;
};

const struct js_times JS_TIMES = {10000, 30000, 5000, 500, 30000};

/* Begins anew, later. */
static void wait(struct js *j, const char *why)
{
	(void)snprintf(j->error, sizeof(j->error), "%s", why);
	log_warn("NATS consumer waits", LOG_S("stream", j->conf.stream),
	    LOG_S("consumer", j->conf.consumer), LOG_S("error", j->error),
	    LOG_N("wait_ms", j->wait_ms));
	nats_hang_up(&j->call);
	j->step = WAITING;
	reactor_timer_set(j->timer, j->wait_ms);
	j->wait_ms = 2 * j->wait_ms < j->conf.times->wait_max_ms ? 2 * j->wait_ms
								 : j->conf.times->wait_max_ms;
}

/* Asks the API for `what` about the stream, and the consumer where `has_consumer`. */
static void ask(struct js *j, enum step step, const char *what, bool has_consumer,
    struct slice body)
{
	char subject[SUBJECT_SIZE];
	bool is_pull = step == PULLING;
	int64_t idle_ms = is_pull ? 3 * j->conf.times->beat_ms : j->conf.times->answer_ms;
	int n = snprintf(subject, sizeof(subject), "%s.%s.%s%s%s",
	    j->conf.api == NULL ? "$JS.API" : j->conf.api, what, j->conf.stream,
	    has_consumer ? "." : "", has_consumer ? j->conf.consumer : "");
	struct nats_out out = {.subject = {subject, (size_t)n}, .payload = body};
	j->step = step;
	enum err err = n < SUBJECT_SIZE ? nats_ask(j->nats, &j->call, &out, idle_ms, is_pull)
					: ERR_TOOBIG;
	if (err != OK)
		wait(j, err_text(err));
}

static void pull(struct js *j)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	struct js_room room = j->hooks.room(j->hooks.arg);
	nats_hang_up(&j->call);
	j->step = RESTING;
	if (room.messages == 0 || room.bytes == 0)
		return;
	j->is_alone = j->is_next_alone;
	j->left = j->is_alone ? 1 : room.messages < JS_BATCH_MAX ? room.messages : JS_BATCH_MAX;
	j->batch = j->left;
	j->is_next_alone = false;
	j->pulled_ms = clock_mono_ms();
	json_open_object(&w, NULL);
	json_write_u64(&w, "batch", j->left);
	if (!j->is_alone)
		json_write_u64(&w, "max_bytes",
		    room.bytes < INT32_MAX ? room.bytes : INT32_MAX);
	json_write_i64(&w, "expires", j->conf.times->expires_ms * NS_PER_MS);
	json_write_i64(&w, "idle_heartbeat", j->conf.times->beat_ms * NS_PER_MS);
	json_close(&w);
	json_expect_whole(&w);
	ask(j, PULLING, "CONSUMER.MSG.NEXT", true, buf_view(&body));
	buf_fini(&body);
}

/* Makes the consumer, to begin right behind what is stored. */
static void create(struct js *j)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	bool is_one = j->conf.subject_count == 1;
	json_open_object(&w, NULL);
	json_write_cstr(&w, "stream_name", j->conf.stream);
	json_open_object(&w, "config");
	json_write_cstr(&w, "durable_name", j->conf.consumer);
	json_write_cstr(&w, "deliver_policy", "by_start_sequence");
	json_write_u64(&w, "opt_start_seq", j->stored.seq + 1);
	json_write_cstr(&w, "ack_policy", "all");
	json_write_i64(&w, "ack_wait", ACK_WAIT_NS);
	json_write_i64(&w, "max_ack_pending", 2 * JS_BATCH_MAX);
	if (is_one)
		json_write_cstr(&w, "filter_subject", j->conf.subjects[0]);
	if (j->conf.subject_count > 1) {
		json_open_array(&w, "filter_subjects"); /* since server 2.10 */
		for (size_t i = 0; i < j->conf.subject_count; i++)
			json_write_cstr(&w, NULL, j->conf.subjects[i]);
		json_close(&w);
	}
	json_close(&w);
	json_close(&w);
	j->next_delivery = 1;
	j->reply[0] = '\0';
	if (json_is_whole(&w))
		ask(j, CREATING, "CONSUMER.DURABLE.CREATE", true, buf_view(&body));
	else
		wait(j, "too many subjects");
	buf_fini(&body);
}

/* Looks whether the stream is the one that it was, and where to begin in it. */
static void on_stream(struct js *j, struct json_at *info)
{
	int64_t created_ms = 0;
	bool is_read = instant_parse(json_at_text(info, "created"), &created_ms) == OK;
	uint64_t id = (uint64_t)created_ms;
	uint64_t first = json_at_u64(info, "state/first_seq");
	uint64_t last = json_at_u64(info, "state/last_seq");
	if (!slice_eq(json_at_text(info, "config/retention"), SLICE("limits"))) {
		wait(j, "the stream's retention is not \"limits\"");
		return;
	}
	if (!is_read) {
		wait(j, "the server's answer about the stream is not understood");
		return;
	}
	if (j->stored.stream != id || j->stored.seq > last) {
		bool is_first = j->stored.stream == 0;
		if (!is_first)
			log_warn("NATS stream was made anew: it is read from its beginning",
			    LOG_S("stream", j->conf.stream), LOG_N("seq", j->stored.seq));
		j->stored = (struct js_position){id,
		    is_first && j->conf.begin_at_end ? last : 0};
		j->hooks.moved(j->hooks.arg, j->stored);
	} else if (first > j->stored.seq + 1) {
		j->status.missed += first - j->stored.seq - 1;
		log_warn("NATS stream has dropped messages that were not taken yet",
		    LOG_S("stream", j->conf.stream), LOG_N("from", j->stored.seq + 1),
		    LOG_N("to", first - 1));
	}
	j->taken = j->stored;
	ask(j, DELETING, "CONSUMER.DELETE", true, SLICE(""));
}

static void take(struct js *j, const struct nats_message *m, const struct js_ack *ack)
{
	if (ack->consumer_seq != j->next_delivery) {
		wait(j, "a message of the server's has not come");
		return;
	}
	j->next_delivery++;
	j->left--;
	j->wait_ms = j->conf.times->wait_ms;
	if (ack->seq > j->taken.seq) { /* else it comes again, while it is being stored */
		uint64_t previous = j->taken.seq;
		j->taken.seq = ack->seq;
		(void)snprintf(j->reply, sizeof(j->reply), "%.*s", (int)m->reply.len,
		    m->reply.ptr);
		j->status.taken++;
		j->status.bytes += m->size;
		j->status.pending = ack->pending;
		const struct js_message message = {m, j->taken, previous,
		    (int64_t)(ack->time_ns / NS_PER_MS)};
		j->hooks.message(j->hooks.arg, &message);
	}
	if (j->step == PULLING && j->left == 0)
		pull(j);
}

/*
 * The server's word on a pull. That it has ended may come before its messages: where they are
 * replicated these wait for the others. One that ends too soon without any, again and again,
 * would be the server's way to keep us busy.
 */
static void on_status(struct js *j, const struct nats_message *m)
{
	char text[NATS_ERROR_SIZE];
	bool is_large = m->status == 409 && js_says(m, "MaxBytes");
	bool is_end = is_large || m->status == 404 || m->status == 408 ||
	    (m->status == 409 && js_says(m, "Batch Completed"));
	bool is_early = clock_mono_ms() - j->pulled_ms < j->conf.times->expires_ms / 2;
	uint64_t undelivered = j->left;
	if (m->status == 100) /* it is alive */
		return;
	if (str_u64(nats_header(m, "Nats-Pending-Messages"), &undelivered) != OK ||
	    undelivered > j->left)
		undelivered = j->left;
	bool is_empty = undelivered == j->batch;
	if (!is_end || (is_empty && (is_large ? j->is_alone : is_early))) {
		nats_put_error(text, m->status_text);
		wait(j,
		    text[0] == '\0' ? "the server's answer to a pull is not understood" : text);
		return;
	}
	j->is_next_alone = is_large && is_empty; /* else it would be told the same for ever */
	j->wait_ms = j->conf.times->wait_ms;
	j->left -= undelivered;
	if (j->left == 0)
		pull(j);
}

static void on_api_answer(struct js *j, const struct nats_message *m)
{
	struct json_at answer = JSON_AT(m->payload);
	char text[NATS_ERROR_SIZE];
	uint64_t code = json_at_u64(&answer, "error/code");
	if (code != 0 && !(j->step == DELETING && code == 404)) {
		nats_put_error(text, json_at_text(&answer, "error/description"));
		wait(j, text[0] == '\0' ? "an error without a description" : text);
	} else if (j->step == STREAM) {
		on_stream(j, &answer);
	} else if (j->step == DELETING) {
		create(j);
	} else if (j->conf.subject_count > 1 &&
	    json_at(&answer, "config/filter_subjects").len == 0) {
		wait(j, "the server takes one subject: several need version 2.10");
	} else {
		j->status.begun++;
		j->error[0] = '\0';
		pull(j);
	}
	json_at_fini(&answer);
}

static void on_answer(void *arg, const struct nats_message *m)
{
	struct js *j = arg;
	struct js_ack ack;
	if (!nats_status(j->nats)->is_up)
		return; /* on_changed() follows */
	if (m == NULL)
		wait(j, "the server's JetStream does not answer");
	else if (m->status == 503)
		wait(j, "the server has no JetStream, or it is not ready");
	else if (j->step != PULLING)
		on_api_answer(j, m);
	else if (js_ack_read(m->reply, &ack))
		take(j, m, &ack);
	else
		on_status(j, m);
}

static void begin(void *arg)
{
	struct js *j = arg;
	j->is_next_alone = false;
	ask(j, STREAM, "STREAM.INFO", false, SLICE(""));
}

static void on_changed(void *arg)
{
	struct js *j = arg;
	reactor_timer_clear(j->timer);
	j->step = DOWN;
	if (!nats_status(j->nats)->is_up)
		return;
	j->wait_ms = j->conf.times->wait_ms;
	begin(j);
}

void js_stored(struct js *j, struct js_position at)
{
	struct nats_out ack = {.subject = slice_of(j->reply), .payload = SLICE("+ACK")};
	j->stored = at;
	if (at.stream == j->taken.stream && at.seq > j->taken.seq)
		j->taken = at; /* it was handed over before the consumer was made anew */
	/* what is not said now is said with the next: it is for all before it */
	if (at.seq == j->taken.seq && ack.subject.len > 0 && nats_publish(j->nats, &ack) == OK)
		j->reply[0] = '\0';
	js_go_on(j);
}

void js_again(struct js *j, const char *why)
{
	if (j->step > WAITING)
		wait(j, why);
}

void js_go_on(struct js *j)
{
	if (j->step == RESTING)
		pull(j);
}

struct js_status js_status(const struct js *j)
{
	struct js_status status = j->status;
	status.connection = nats_status(j->nats);
	status.error = j->step == DOWN ? status.connection->error : j->error;
	return status;
}

struct js *js_new(const struct js_conf *conf, const struct js_hooks *hooks)
{
	struct js *j = mem_new(sizeof(*j));
	*j = (struct js){.conf = *conf, .hooks = *hooks, .stored = conf->from};
	if (conf->times == NULL)
		j->conf.times = &JS_TIMES;
	j->wait_ms = j->conf.times->wait_ms;
	j->call = (struct nats_call){.fn = on_answer, .arg = j};
	j->timer = reactor_timer_new(conf->nats.reactor, begin, j);
	j->nats = nats_new(&conf->nats, &(struct nats_hooks){on_changed, j});
	return j;
}

void js_free(struct js *j)
{
	if (j == NULL)
		return;
	nats_free(j->nats);
	reactor_timer_free(j->timer);
	free(j);
}
