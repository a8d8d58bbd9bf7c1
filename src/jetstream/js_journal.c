/*
 * A journal over JetStream: its connection, reading, trimming, and where it ends; see
 * js_journal.h. Appends: js_journal_append.c; members: js_journal_members.c.
 *
 * Each connection begins with a greeting: what the server has to say of the stream. Until that
 * has come nothing else is asked.
 */
#include "jetstream/js_journal_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"

#define REQUEST_MAX 64
#define OUT_MAX (JS_ENTRY_MAX + (1u << 20)) /* an entry, and what else is asked */

const struct js_journal_times JS_JOURNAL_TIMES = {{2000, 300, 30000, 500}, 4000};
const struct nats_times JS_JOURNAL_NATS_TIMES = {3000, 2000, 100, 1000, 5000};

static struct js_journal *of(struct journal *journal)
{
	return (struct js_journal *)journal;
}

bool js_journal_is_ready(const struct js_journal *j)
{
	return j->is_ready && !j->is_replaced && nats_status(j->nats)->is_up;
}

void js_journal_note(struct js_journal *j, uint64_t refusal, const char *why)
{
	int64_t now_ms = clock_mono_ms();
	if (refusal == 0 && j->why[0] != '\0')
		log_info("journal answers again", LOG_S("stream", j->names.stream));
	if (refusal != 0 && strcmp(j->why, why) != 0)
		log_warn("journal does not answer", LOG_S("stream", j->names.stream),
		    LOG_S("error", why));
	(void)snprintf(j->why, sizeof(j->why), "%s", why);
	if (!js_is_unserved(refusal)) {
		j->silent_ms = 0;
	} else if (j->silent_ms == 0) { /* it was waited for since it was asked */
		j->silent_ms = now_ms - j->conf.times->reader.answer_ms;
	} else if (now_ms - j->silent_ms >= j->conf.times->leave_ms) {
		j->silent_ms = 0;
		if (j->conf.nats.server_count > 1)
			nats_next(j->nats, "the server's JetStream does not answer");
	}
}

bool js_journal_learn(struct js_journal *j, const struct js_info *info)
{
	if (j->id == 0)
		j->id = info->id;
	if (j->id == info->id)
		return !j->is_replaced;
	if (j->is_replaced)
		return false;
	log_error("journal was made anew: this is another one",
	    LOG_S("stream", j->names.stream));
	j->is_replaced = true;
	js_append_go_on(j);
	js_reader_stop(j->reader);
	if (j->is_reading) {
		j->is_reading = false;
		j->to.replaced(j->to.arg);
	}
	return false;
}

/* Makes the reader begin, once the server is there. */
static void begin_reading(struct js_journal *j)
{
	if (!j->is_reading)
		return;
	if (j->is_begun)
		js_reader_connected(j->reader, true);
	else
		js_reader_start(j->reader, j->read_from);
	j->is_begun = true;
}

static void purge(struct js_journal *j);

static void on_greeting(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	struct js_info info;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	if (!nats_status(j->nats)->is_up)
		return; /* on_changed() follows */
	if (refusal == 0 && !js_info_read(m->payload, &info)) {
		refusal = JS_UNNUMBERED;
		(void)snprintf(why, sizeof(why), "%s", JS_ODD_INFO);
	}
	js_journal_note(j, refusal, why);
	if (refusal != 0) {
		reactor_timer_set(j->timer, j->conf.times->reader.again_ms);
		return;
	}
	j->is_ready = js_journal_learn(j, &info);
	if (j->is_ready) {
		js_append_go_on(j);
		begin_reading(j);
		purge(j);
	}
}

static void greet(void *arg)
{
	struct js_journal *j = arg;
	enum err err = js_ask(j->nats, &j->greeting, j->conf.api, "STREAM.INFO",
	    j->names.stream, SLICE(""), j->conf.times->reader.answer_ms, false);
	if (err != OK)
		reactor_timer_set(j->timer, j->conf.times->reader.again_ms);
}

static void on_changed(void *arg)
{
	struct js_journal *j = arg;
	j->is_ready = false;
	j->silent_ms = 0;
	if (j->is_replaced)
		return; /* there is nothing to go on with */
	reactor_timer_clear(j->timer);
	reactor_timer_clear(j->append.timer);
	if (nats_status(j->nats)->is_up)
		greet(j);
	else
		js_reader_connected(j->reader, false);
}

static void on_message(void *arg, uint64_t seq, uint64_t previous, struct slice payload)
{
	struct js_journal *j = arg;
	j->to.entry(j->to.arg, seq, previous, payload);
}

static void on_caught_up(void *arg)
{
	struct js_journal *j = arg;
	j->to.caught_up(j->to.arg);
}

static bool on_info(void *arg, const struct js_info *info)
{
	return js_journal_learn(arg, info);
}

static void on_answered(void *arg, uint64_t refusal, const char *why)
{
	js_journal_note(arg, refusal, why);
}

static void journal_read(struct journal *journal, uint64_t behind,
    const struct journal_reader *reader)
{
	struct js_journal *j = of(journal);
	js_reader_stop(j->reader);
	j->is_reading = reader != NULL;
	j->is_begun = false;
	j->read_from = behind;
	if (reader != NULL)
		j->to = *reader;
	if (js_journal_is_ready(j))
		begin_reading(j);
	else if (j->is_replaced && j->is_reading)
		reactor_timer_fire(j->timer);
}

/* The next greeting; or there is another journal, and who has begun to read is to be told. */
static void on_timer(void *arg)
{
	struct js_journal *j = arg;
	if (!j->is_replaced) {
		greet(j);
	} else if (j->is_reading) {
		j->is_reading = false;
		j->to.replaced(j->to.arg);
	}
}

static void tell_last(struct js_journal *j, enum err result, const struct journal_end *end)
{
	journal_last_fn fn = j->last.fn;
	j->last.fn = NULL;
	fn(j->last.arg, result, end);
}

static void on_last(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	struct js_info info;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	uint64_t payload = nats_status(j->nats)->max_payload;
	if (nats_status(j->nats)->is_up)
		js_journal_note(j, refusal, why);
	if (refusal != 0 || !js_info_read(m->payload, &info)) {
		tell_last(j, ERR_BUSY, NULL);
		return;
	}
	payload = payload < JS_ENTRY_MAX ? payload : JS_ENTRY_MAX;
	const struct journal_end end = {.journal = info.id,
	    .first = info.first,
	    .last = info.last,
	    .bytes = info.bytes,
	    .max_bytes = info.max_bytes,
	    .copies = info.copies,
	    .max_entry = payload > JS_HEADERS_MAX ? payload - JS_HEADERS_MAX : 0};
	(void)js_journal_learn(j, &info);
	tell_last(j, OK, &end);
}

static void ask_last(void *arg)
{
	struct js_journal *j = arg;
	enum err err = js_ask(j->nats, &j->last.call, j->conf.api, "STREAM.INFO",
	    j->names.stream, SLICE(""), j->conf.times->reader.answer_ms, false);
	if (err != OK)
		tell_last(j, ERR_BUSY, NULL);
}

static void journal_last(struct journal *journal, journal_last_fn fn, void *arg)
{
	struct js_journal *j = of(journal);
	panic_if(j->last.fn != NULL, "two questions for the end at a time");
	j->last.fn = fn;
	j->last.arg = arg;
	if (nats_status(j->nats)->is_up)
		reactor_timer_fire(j->last.timer);
	else /* a moment, in which it may come to be */
		reactor_timer_set(j->last.timer, j->conf.times->reader.again_ms);
}

static void on_purged(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	uint64_t asked = j->trim.asked;
	j->trim.asked = 0;
	if (refusal != 0) /* it is dropped with what comes next */
		log_warn("journal is not trimmed", LOG_S("stream", j->names.stream),
		    LOG_S("error", why));
	else if (j->trim.wanted > asked)
		purge(j);
	else
		j->trim.wanted = 0;
}

static void purge(struct js_journal *j)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	if (j->trim.wanted == 0 || j->trim.asked != 0 || !js_journal_is_ready(j))
		return;
	json_open_object(&w, NULL);
	json_write_u64(&w, "seq", j->trim.wanted + 1); /* the first that stays */
	json_close(&w);
	json_expect_whole(&w);
	enum err err = js_ask(j->nats, &j->trim.call, j->conf.api, "STREAM.PURGE",
	    j->names.stream, buf_view(&body), j->conf.times->reader.answer_ms, false);
	j->trim.asked = err == OK ? j->trim.wanted : 0;
	buf_fini(&body);
}

static void journal_trim(struct journal *journal, uint64_t seq)
{
	struct js_journal *j = of(journal);
	j->trim.wanted = seq > j->trim.wanted ? seq : j->trim.wanted;
	purge(j);
}

static bool journal_is_up(struct journal *journal, const char **why)
{
	const struct js_journal *j = of(journal);
	const struct nats_status *status = nats_status(j->nats);
	if (j->is_replaced)
		*why = "the journal was made anew: this is another one";
	else if (!status->is_up)
		*why = status->error[0] != '\0' ? status->error : "not connected yet";
	else if (!j->is_ready && j->why[0] == '\0')
		*why = "the server has not told of the stream yet";
	else if (j->why[0] != '\0')
		*why = j->why;
	else
		*why = j->append.why;
	return js_journal_is_ready(j) && (*why)[0] == '\0';
}

static void journal_forget(struct journal *journal)
{
	struct js_journal *j = of(journal);
	journal_read(journal, 0, NULL);
	js_append_forget(j);
	js_members_forget(j);
	nats_hang_up(&j->last.call);
	reactor_timer_clear(j->last.timer);
	j->last.fn = NULL;
}

static void journal_free(struct journal *journal)
{
	struct js_journal *j = of(journal);
	js_reader_free(j->reader);
	js_append_fini(j);
	js_members_fini(j);
	nats_free(j->nats); /* ends all calls */
	reactor_timer_free(j->last.timer);
	reactor_timer_free(j->timer);
	free(j);
}

void js_journal_names(const char *shard, struct js_journal_names *out)
{
	(void)snprintf(out->stream, sizeof(out->stream), "WAYBILL_%s", shard);
	(void)snprintf(out->members, sizeof(out->members), "WAYBILL_%s_MEMBERS", shard);
	(void)snprintf(out->subject, sizeof(out->subject), "waybill.%s.journal", shard);
	(void)snprintf(out->all_members, sizeof(out->all_members), "waybill.%s.members.*",
	    shard);
}

static void make_reader(struct js_journal *j)
{
	const struct js_reader_conf conf = {.reactor = j->conf.nats.reactor,
	    .nats = j->nats,
	    .api = j->conf.api,
	    .stream = j->names.stream,
	    .member = j->conf.member,
	    .message_max = JS_ENTRY_MAX,
	    .times = &j->conf.times->reader};
	const struct js_reader_hooks hooks = {on_message, on_caught_up, on_info, on_answered,
	    j};
	j->reader = js_reader_new(&conf, &hooks);
}

struct journal *js_journal_new(const struct js_journal_conf *conf)
{
	struct js_journal *j = mem_new(sizeof(*j));
	panic_if(strlen(conf->shard) > NATS_NAME_MAX - 16 ||
		strlen(conf->member) > ENTRY_MEMBER_MAX,
	    "a name that is too long");
	*j = (struct js_journal){.conf = *conf,
	    .journal = {js_append, journal_last, journal_read, journal_trim, js_members_tell,
		js_members_ask, journal_forget, journal_is_up, journal_free}};
	if (conf->times == NULL)
		j->conf.times = &JS_JOURNAL_TIMES;
	if (conf->nats.times == NULL)
		j->conf.nats.times = &JS_JOURNAL_NATS_TIMES;
	j->conf.nats.message_max = JS_ENTRY_MAX;
	j->conf.nats.out_max = OUT_MAX;
	js_journal_names(conf->shard, &j->names);
	j->greeting = (struct nats_call){.fn = on_greeting, .arg = j};
	j->last.call = (struct nats_call){.fn = on_last, .arg = j};
	j->trim.call = (struct nats_call){.fn = on_purged, .arg = j};
	j->timer = reactor_timer_new(conf->nats.reactor, on_timer, j);
	j->last.timer = reactor_timer_new(conf->nats.reactor, ask_last, j);
	js_append_init(j);
	js_members_init(j);
	j->nats = nats_new(&j->conf.nats, &(struct nats_hooks){on_changed, j});
	make_reader(j);
	return &j->journal;
}
