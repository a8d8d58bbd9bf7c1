/*
 * An append, tried until it is sure what became of it; see js_journal.h.
 *
 *   SENDING --taken---------------------------------------> told
 *    ^   '---wrong last sequence,
 *    |       a duplicate-------> LOOKING --it stands------> told: it is ours, or another's
 *    |                                 '--none--> ENDS --its place was dropped--> told
 *    '---- after a moment, from anywhere -----------'
 *
 * That the server names another last sequence says nothing of whose entry that is: it may be
 * this one, sent before; it may be one that is under way yet and will be lost with its leader.
 * So the entry that stands there is read, and where none does it is sent again.
 */
#include "jetstream/js_journal_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/str.h"
#include "domain/json_at.h"

#define REQUEST_MAX 64
#define FULL                                                                                   \
	"the journal ends at %" PRIu64 ", before %" PRIu64                                     \
	", which was there: it has lost entries"

static void again(struct js_journal *j)
{
	reactor_timer_set(j->append.timer, j->conf.times->reader.again_ms);
}

static void finish(struct js_journal *j, enum err result)
{
	struct js_append *a = &j->append;
	journal_append_fn fn = a->fn;
	nats_hang_up(&a->call);
	reactor_timer_clear(a->timer);
	a->fn = NULL;
	a->why[0] = '\0';
	fn(a->arg, result, a->seq);
}

/* Says once why it is not taken. */
static void wait(struct js_journal *j, const char *why)
{
	struct js_append *a = &j->append;
	if (strcmp(a->why, why) != 0)
		log_warn("journal takes no entry", LOG_S("stream", j->names.stream),
		    LOG_S("error", why));
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
	again(j);
}

/* An answer that is none. One that did not come was waited for already. */
static void miss(struct js_journal *j, const struct nats_message *m, uint64_t refusal,
    const char *why)
{
	js_journal_note(j, refusal, why);
	if (m == NULL)
		reactor_timer_fire(j->append.timer);
	else
		again(j);
}

static void on_end(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	struct js_info info;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	if (!js_journal_is_ready(j))
		return;
	if (refusal != 0) {
		miss(j, m, refusal, why);
	} else if (!js_info_read(m->payload, &info)) {
		wait(j, JS_ODD_INFO);
	} else if (js_journal_learn(j, &info)) {
		if (info.first > j->append.seq) {
			finish(j, ERR_CONFLICT);
		} else if (info.last + 1 < j->append.seq) {
			(void)snprintf(why, sizeof(why), FULL, info.last, j->append.seq - 1);
			wait(j, why);
		} else {
			again(j);
		}
	}
}

static void on_found(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	struct js_append *a = &j->append;
	char why[NATS_ERROR_SIZE];
	uint64_t seq = 0;
	if (!js_journal_is_ready(j))
		return;
	if (m == NULL || m->status == 503) {
		miss(j, m, js_refusal(m, why), why);
	} else if (m->is_skipped) { /* larger than any of ours */
		finish(j, ERR_CONFLICT);
	} else if (m->status == 0 && str_u64(nats_header(m, "Nats-Sequence"), &seq) == OK &&
	    seq == a->seq) {
		finish(j, slice_eq(m->payload, a->entry) ? OK : ERR_CONFLICT);
	} else { /* not there, or at who has been asked not yet */
		enum err err = js_ask(j->nats, &a->call, j->conf.api, "STREAM.INFO",
		    j->names.stream, SLICE(""), j->conf.times->reader.answer_ms, false);
		a->call.fn = on_end;
		if (err != OK)
			again(j);
	}
}

static void look(struct js_journal *j)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	json_open_object(&w, NULL);
	json_write_u64(&w, "seq", j->append.seq);
	json_close(&w);
	json_expect_whole(&w);
	enum err err = js_ask(j->nats, &j->append.call, j->conf.api, "DIRECT.GET",
	    j->names.stream, buf_view(&body), j->conf.times->reader.answer_ms, false);
	j->append.call.fn = on_found;
	if (err != OK)
		again(j);
	buf_fini(&body);
}

static void on_taken(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	if (!js_journal_is_ready(j))
		return; /* it is sent again when it is */
	if (js_is_unserved(refusal)) {
		miss(j, m, refusal, why);
	} else if (refusal == JS_WRONG_LAST || refusal == JS_WRONG_LAST_UNTOLD) {
		look(j);
	} else if (refusal != 0) {
		js_journal_note(j, 0, "");
		wait(j, why);
	} else {
		struct json_at answer = JSON_AT(m->payload);
		/* one that is known again is looked at: an id is no proof of whose it is */
		bool is_taken = json_at_u64(&answer, "seq") == j->append.seq &&
		    !slice_eq(json_at(&answer, "duplicate"), SLICE("true"));
		json_at_fini(&answer);
		js_journal_note(j, 0, "");
		if (is_taken)
			finish(j, OK);
		else
			look(j);
	}
}

static void send_entry(struct js_journal *j)
{
	struct js_append *a = &j->append;
	struct buf headers = BUF_INIT(JS_HEADERS_MAX);
	char behind[STR_I64_SIZE];
	nats_put_header(&headers, SLICE("Nats-Msg-Id"), slice_of(a->id));
	nats_put_header(&headers, SLICE("Nats-Expected-Last-Sequence"),
	    str_put_i64((int64_t)(a->seq - 1), behind));
	nats_put_header(&headers, SLICE("Nats-Expected-Stream"), slice_of(j->names.stream));
	panic_if(headers.failed, "the headers of an append");
	const struct nats_out out = {slice_of(j->names.subject), buf_view(&headers), a->entry};
	a->call.fn = on_taken;
	enum err err = nats_ask(j->nats, &a->call, &out, j->conf.times->reader.answer_ms,
	    false);
	if (err == OK || err == ERR_BUSY)
		reactor_timer_clear(a->timer);
	else
		wait(j,
		    err == ERR_TOOBIG ? "the server's max_payload is below an entry"
				      : err_text(err));
	buf_fini(&headers);
}

static void on_timer(void *arg)
{
	js_append_go_on(arg);
}

void js_append_go_on(struct js_journal *j)
{
	if (j->append.fn == NULL)
		return;
	if (j->is_replaced)
		finish(j, ERR_CONFLICT);
	else if (js_journal_is_ready(j))
		send_entry(j);
}

/* What the server knows the entry by: its place, and the digest at its end. */
static void make_id(struct js_append *a)
{
	size_t n = a->entry.len < ENTRY_DIGEST ? a->entry.len : ENTRY_DIGEST;
	int len = snprintf(a->id, sizeof(a->id), "%" PRIu64 "-", a->seq);
	str_hex(a->entry.ptr + a->entry.len - n, n, a->id + len);
}

void js_append(struct journal *journal, uint64_t behind, struct slice entry,
    journal_append_fn fn, void *arg)
{
	struct js_journal *j = (struct js_journal *)journal;
	struct js_append *a = &j->append;
	panic_if(a->fn != NULL, "two appends at a time");
	a->fn = fn;
	a->arg = arg;
	a->seq = behind + 1;
	a->entry = entry;
	make_id(a);
	if (j->is_replaced)
		reactor_timer_fire(a->timer);
	else
		js_append_go_on(j);
}

void js_append_init(struct js_journal *j)
{
	j->append.call = (struct nats_call){.fn = on_taken, .arg = j};
	j->append.timer = reactor_timer_new(j->conf.nats.reactor, on_timer, j);
}

void js_append_forget(struct js_journal *j)
{
	nats_hang_up(&j->append.call);
	reactor_timer_clear(j->append.timer);
	j->append.fn = NULL;
	j->append.why[0] = '\0';
}

void js_append_fini(struct js_journal *j)
{
	nats_hang_up(&j->append.call);
	reactor_timer_free(j->append.timer);
}
