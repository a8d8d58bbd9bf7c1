/*
 * A stream, read in order; see js_reader.h.
 *
 *   STOPPED --start--> DOWN --up--> INFO --> CREATING --> PULLING
 *      ^                ^            |           |           |
 *      '--stop, anywhere'            '-- WAITING <-----------'  anything doubtful
 */
#include "jetstream/js_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"
#include "domain/json_at.h"

#define BATCH 1024 /* messages of a pull */
#define BATCH_BYTES                                                                            \
	(4u << 20) /* of a pull, besides one of the largest: what waits at the server */
#define INACTIVE_NS 30000000000 /* until the server forgets a consumer that nobody pulls from */
#define NS_PER_MS 1000000
#define REQUEST_MAX 4096
#define NAME_SIZE (NATS_NAME_MAX + 20)
#define SUBJECT_SIZE (2 * NATS_NAME_MAX + 20)

enum step { STOPPED, DOWN, WAITING, INFO, CREATING, PULLING };

struct js_reader {
	struct js_reader_conf conf;
	struct js_reader_hooks hooks;
	struct nats_call call;
	struct reactor_timer *timer;
	enum step step;
	uint64_t starts;        /* counted, so that a hook's doing is seen */
	uint64_t taken;         /* seq of the last message that was handed over */
	uint64_t next_delivery; /* consumer_seq that has to come */
	size_t left;            /* messages of the pull to come */
	bool is_empty;          /* nothing has come of it */
	int64_t pulled_ms;      /* monotonic */
	bool has_gap;           /* the stream begins behind the next one */
	bool is_told;           /* that all is handed over */
	char consumer[NAME_SIZE];
};

/* Begins anew, later. */
static void doubt(struct js_reader *r, uint64_t refusal, const char *why)
{
	nats_hang_up(&r->call);
	r->step = WAITING;
	reactor_timer_set(r->timer, r->conf.times->again_ms);
	r->hooks.answered(r->hooks.arg, refusal, why);
}

static void ask(struct js_reader *r, enum step step, const char *what, bool has_consumer,
    struct slice body)
{
	char name[SUBJECT_SIZE];
	bool is_pull = step == PULLING;
	int64_t idle_ms = is_pull ? 3 * r->conf.times->beat_ms : r->conf.times->answer_ms;
	(void)snprintf(name, sizeof(name), "%s%s%s", r->conf.stream, has_consumer ? "." : "",
	    has_consumer ? r->consumer : "");
	r->step = step;
	enum err err = js_ask(r->conf.nats, &r->call, r->conf.api, what, name, body, idle_ms,
	    is_pull);
	if (err != OK) { /* the loop tells of it: nothing is told from within a call */
		r->step = WAITING;
		reactor_timer_set(r->timer, r->conf.times->again_ms);
	}
}

static void pull(struct js_reader *r)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	nats_hang_up(&r->call);
	r->left = BATCH;
	r->is_empty = true;
	r->pulled_ms = clock_mono_ms();
	json_open_object(&w, NULL);
	json_write_u64(&w, "batch", BATCH);
	json_write_u64(&w, "max_bytes", BATCH_BYTES + r->conf.message_max);
	json_write_i64(&w, "expires", r->conf.times->expires_ms * NS_PER_MS);
	json_write_i64(&w, "idle_heartbeat", r->conf.times->beat_ms * NS_PER_MS);
	json_close(&w);
	json_expect_whole(&w);
	ask(r, PULLING, "CONSUMER.MSG.NEXT", true, buf_view(&body));
	buf_fini(&body);
}

/* Makes a consumer of a new name, to begin right behind what was handed over. */
static void create(struct js_reader *r)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	unsigned char id[8];
	char hex[2 * sizeof(id) + 1];
	rnd_secret(id, sizeof(id));
	str_hex(id, sizeof(id), hex);
	(void)snprintf(r->consumer, sizeof(r->consumer), "%s-%s", r->conf.member, hex);
	r->next_delivery = 1;
	json_open_object(&w, NULL);
	json_write_cstr(&w, "stream_name", r->conf.stream);
	json_open_object(&w, "config");
	json_write_cstr(&w, "name", r->consumer);
	json_write_cstr(&w, "deliver_policy", "by_start_sequence");
	json_write_u64(&w, "opt_start_seq", r->taken + 1);
	json_write_cstr(&w, "ack_policy", "none");
	json_write_bool(&w, "mem_storage", true);
	json_write_i64(&w, "num_replicas", 1);
	json_write_i64(&w, "inactive_threshold", INACTIVE_NS);
	json_close(&w);
	json_close(&w);
	json_expect_whole(&w);
	ask(r, CREATING, "CONSUMER.CREATE", true, buf_view(&body));
	buf_fini(&body);
}

/*
 * Nothing is left to hand over, as the server sees it. Where the stream is empty and begins
 * behind what was read, messages are missing: the next one shows it.
 */
static void catch_up(struct js_reader *r)
{
	if (r->is_told || r->has_gap)
		return;
	r->is_told = true;
	r->hooks.caught_up(r->hooks.arg);
}

static void on_info(struct js_reader *r, const struct nats_message *m)
{
	char why[NATS_ERROR_SIZE];
	struct js_info info;
	uint64_t starts = r->starts;
	if (!js_info_read(m->payload, &info)) {
		doubt(r, JS_UNNUMBERED, JS_ODD_INFO);
		return;
	}
	if (!r->hooks.info(r->hooks.arg, &info)) {
		if (r->starts == starts)
			js_reader_stop(r);
	} else if (r->starts == starts && info.last < r->taken) {
		(void)snprintf(why, sizeof(why),
		    "the journal ends at %llu, before %llu, which was read: it has lost "
		    "entries, or a server that is behind has answered",
		    (unsigned long long)info.last, (unsigned long long)r->taken);
		doubt(r, JS_UNNUMBERED, why);
	} else if (r->starts == starts) {
		r->has_gap = info.first > r->taken + 1;
		create(r);
	}
}

static void take(struct js_reader *r, const struct nats_message *m, const struct js_ack *ack)
{
	uint64_t starts = r->starts;
	uint64_t previous = r->taken;
	if (ack->consumer_seq != r->next_delivery || ack->seq <= r->taken) {
		doubt(r, JS_UNNUMBERED, "a message of the server's has not come");
		return;
	}
	if (m->is_skipped) { /* nothing behind it can be handed over */
		doubt(r, JS_UNNUMBERED, "an entry is larger than any of ours");
		return;
	}
	r->next_delivery++;
	r->left--;
	r->is_empty = false;
	r->taken = ack->seq;
	r->has_gap = false;
	r->is_told = false;
	r->hooks.message(r->hooks.arg, ack->seq, previous, m->payload);
	if (r->starts == starts && ack->pending == 0)
		catch_up(r);
	if (r->starts == starts && r->step == PULLING && r->left == 0)
		pull(r);
}

/* The server's word on a pull: it is alive, it ends it, or something is wrong. */
static void on_status(struct js_reader *r, const struct nats_message *m)
{
	char text[NATS_ERROR_SIZE];
	bool is_end = m->status == 404 || m->status == 408 ||
	    (m->status == 409 && (js_says(m, "Batch Completed") || js_says(m, "MaxBytes")));
	bool is_early = clock_mono_ms() - r->pulled_ms < r->conf.times->expires_ms / 2;
	if (m->status == 100) {
		catch_up(r);
	} else if (is_end && !(r->is_empty && is_early)) { /* …which would be without end */
		pull(r);
	} else {
		nats_put_error(text, m->status_text);
		doubt(r, JS_UNNUMBERED,
		    text[0] == '\0' ? "the server's answer to a pull is not understood" : text);
	}
}

static void on_created(struct js_reader *r, const struct nats_message *m)
{
	uint64_t starts = r->starts;
	struct json_at answer = JSON_AT(m->payload);
	bool is_all = slice_eq(json_at(&answer, "num_pending"), SLICE("0"));
	json_at_fini(&answer);
	if (is_all)
		catch_up(r);
	if (r->starts == starts)
		pull(r);
}

static void on_api_answer(struct js_reader *r, const struct nats_message *m)
{
	char why[NATS_ERROR_SIZE];
	uint64_t starts = r->starts;
	uint64_t refusal = js_refusal(m, why);
	if (refusal != 0) {
		doubt(r, refusal, why);
		return;
	}
	r->hooks.answered(r->hooks.arg, 0, "");
	if (r->starts != starts)
		return;
	if (r->step == INFO)
		on_info(r, m);
	else
		on_created(r, m);
}

static void on_answer(void *arg, const struct nats_message *m)
{
	struct js_reader *r = arg;
	struct js_ack ack;
	if (!nats_status(r->conf.nats)->is_up)
		r->step = DOWN; /* js_reader_connected() follows */
	else if (m == NULL || m->status == 503 || r->step != PULLING)
		on_api_answer(r, m);
	else if (js_ack_read(m->reply, &ack))
		take(r, m, &ack);
	else
		on_status(r, m);
}

static void begin(void *arg)
{
	struct js_reader *r = arg;
	if (nats_status(r->conf.nats)->is_up)
		ask(r, INFO, "STREAM.INFO", false, SLICE(""));
	else
		r->step = DOWN;
}

void js_reader_connected(struct js_reader *r, bool is_up)
{
	if (r->step == STOPPED)
		return;
	nats_hang_up(&r->call);
	reactor_timer_clear(r->timer);
	r->step = DOWN;
	if (is_up)
		begin(r);
}

void js_reader_start(struct js_reader *r, uint64_t seq)
{
	js_reader_stop(r);
	r->taken = seq;
	r->is_told = false;
	begin(r);
}

void js_reader_stop(struct js_reader *r)
{
	r->starts++;
	r->step = STOPPED;
	nats_hang_up(&r->call);
	reactor_timer_clear(r->timer);
}

struct js_reader *js_reader_new(const struct js_reader_conf *conf,
    const struct js_reader_hooks *hooks)
{
	struct js_reader *r = mem_new(sizeof(*r));
	*r = (struct js_reader){.conf = *conf, .hooks = *hooks};
	r->call = (struct nats_call){.fn = on_answer, .arg = r};
	r->timer = reactor_timer_new(conf->reactor, begin, r);
	return r;
}

void js_reader_free(struct js_reader *r)
{
	if (r == NULL)
		return;
	nats_hang_up(&r->call);
	reactor_timer_free(r->timer);
	free(r);
}
