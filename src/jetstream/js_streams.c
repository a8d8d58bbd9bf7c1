/*
 * The streams of a journal, made and looked at; see js_streams.h.
 *
 *   up --version--> INFO --there--> compared --> the other stream --> told
 *                    '--not there--> MAKING --> INFO
 */
#include "jetstream/js_streams.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/json_at.h"

#define STREAMS 2
#define REQUEST_MAX 4096
#define VALUE_MAX 256
#define ANSWER_MAX (256u << 10)    /* bytes */
#define DUPLICATES_NS 120000000000 /* the server's own */
#define SETTINGS_MAX 24
#define UNLIMITED "-1"

/* A setting of a stream, in JSON. */
struct setting {
	const char *name;
	char value[VALUE_MAX];
};

struct js_streams {
	struct js_streams_conf conf;
	js_streams_fn fn;
	void *arg;
	struct js_journal_names names;
	struct nats *nats;
	struct nats_call call;
	struct reactor_timer *again;
	struct reactor_timer *over; /* the patience is; or all is known, and told by the loop */
	bool is_known;
	size_t at;       /* which stream */
	bool is_making;  /* it is asked to make it */
	bool is_missing; /* one is not there */
	bool is_wrong;   /* one has another setting, or cannot be made */
	struct buf words;
	char why[NATS_ERROR_SIZE]; /* the last answer was none; "" */
};

static const char *stream(const struct js_streams *s)
{
	return s->at == 0 ? s->names.stream : s->names.members;
}

static void on_over(void *arg)
{
	struct js_streams *s = arg;
	const struct nats_status *status = nats_status(s->nats);
	enum err result = s->is_wrong ? ERR_REFUSED : s->is_missing ? ERR_NOTFOUND : OK;
	nats_hang_up(&s->call);
	reactor_timer_clear(s->again);
	if (!s->is_known) {
		result = ERR_BUSY;
		buf_printf(&s->words, "%s: %s\n", status->server->host,
		    s->why[0] != '\0'              ? s->why
			: status->error[0] != '\0' ? status->error
						   : "it does not answer");
	}
	s->is_known = true;
	s->fn(s->arg, result, buf_cstr(&s->words));
}

static void conclude(struct js_streams *s)
{
	s->is_known = true;
	reactor_timer_fire(s->over);
}

static struct setting *put(struct setting *at, const char *name, const char *value)
{
	at->name = name;
	(void)snprintf(at->value, sizeof(at->value), "%s", value);
	return at + 1;
}

static struct setting *put_u64(struct setting *at, const char *name, uint64_t value)
{
	char text[STR_I64_SIZE];
	(void)str_put_i64((int64_t)value, text);
	return put(at, name, text);
}

/*
 * Writes what the stream has to be like; returns how many settings that are. One whose value is
 * "" has to be absent.
 */
static size_t put_settings(const struct js_streams *s, struct setting list[SETTINGS_MAX])
{
	bool is_journal = s->at == 0;
	struct setting *at = list;
	char subjects[VALUE_MAX];
	(void)snprintf(subjects, sizeof(subjects), "[\"%s\"]",
	    is_journal ? s->names.subject : s->names.all_members);
	at = put(at, "subjects", subjects);
	at = put(at, "retention", "\"limits\"");
	at = put(at, "storage", "\"file\"");
	at = put(at, "discard", is_journal ? "\"new\"" : "\"old\"");
	at = put_u64(at, "num_replicas", s->conf.replicas);
	at = is_journal ? put_u64(at, "max_bytes", s->conf.max_bytes)
			: put(at, "max_bytes", UNLIMITED);
	at = put(at, "max_age", "0");
	at = put(at, "max_msgs", UNLIMITED);
	at = put(at, "max_msg_size", UNLIMITED);
	at = put(at, "max_msgs_per_subject", is_journal ? UNLIMITED : "1");
	at = put_u64(at, "duplicate_window", DUPLICATES_NS);
	at = put(at, "allow_direct", "true");
	at = put(at, "deny_purge", "");
	at = put(at, "sealed", "");
	at = put(at, "no_ack", "");
	at = put(at, "mirror", "");
	at = put(at, "sources", "");
	at = put(at, "subject_transform", "");
	return (size_t)(at - list);
}

/* Notes each setting that is another; what is false or null is absent. */
static void compare(struct js_streams *s, struct slice json)
{
	struct json_at info = JSON_AT(json);
	struct setting list[SETTINGS_MAX];
	size_t n = put_settings(s, list);
	for (size_t i = 0; i < n; i++) {
		char path[VALUE_MAX];
		char found[NATS_ERROR_SIZE];
		(void)snprintf(path, sizeof(path), "config/%s", list[i].name);
		nats_put_error(found, json_at(&info, path));
		if (strcmp(found, "false") == 0 || strcmp(found, "null") == 0)
			found[0] = '\0';
		if (strcmp(found, list[i].value) == 0)
			continue;
		s->is_wrong = true;
		buf_printf(&s->words, "stream %s: %s is %s, not %s\n", stream(s), list[i].name,
		    found[0] == '\0' ? "none" : found,
		    list[i].value[0] == '\0' ? "none" : list[i].value);
	}
	json_at_fini(&info);
}

/* Notes what stands in the way for good. */
static void refuse(struct js_streams *s, const char *why)
{
	s->is_wrong = true;
	buf_printf(&s->words, "stream %s: %s\n", stream(s), why);
}

static void ask(struct js_streams *s, const char *what, struct slice body)
{
	enum err err = js_ask(s->nats, &s->call, s->conf.journal.api, what, stream(s), body,
	    s->conf.journal.times->reader.answer_ms, false);
	if (err != OK)
		reactor_timer_set(s->again, s->conf.journal.times->reader.again_ms);
}

static void make(struct js_streams *s)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	struct setting list[SETTINGS_MAX];
	size_t n = put_settings(s, list);
	json_open_object(&w, NULL);
	json_write_cstr(&w, "name", stream(s));
	for (size_t i = 0; i < n; i++) {
		if (list[i].value[0] != '\0')
			json_write_raw(&w, list[i].name, slice_of(list[i].value));
	}
	json_close(&w);
	json_expect_whole(&w);
	s->is_making = true;
	ask(s, "STREAM.CREATE", buf_view(&body));
	buf_fini(&body);
}

static void ask_info(void *arg)
{
	struct js_streams *s = arg;
	s->is_making = false;
	if (nats_status(s->nats)->is_up)
		ask(s, "STREAM.INFO", SLICE(""));
}

/* The next stream; all are seen. */
static void go_on(struct js_streams *s)
{
	if (++s->at < STREAMS)
		ask_info(s);
	else
		conclude(s);
}

static void on_answer(void *arg, const struct nats_message *m)
{
	struct js_streams *s = arg;
	uint64_t refusal = js_refusal(m, s->why);
	if (!nats_status(s->nats)->is_up)
		return; /* on_changed() follows */
	if (refusal == 0 && s->is_making) {
		ask_info(s); /* to see what it has become */
	} else if (refusal == 0) {
		compare(s, m->payload);
		go_on(s);
	} else if (refusal == JS_NO_STREAM && !s->is_making && s->conf.may_make) {
		make(s);
	} else if (refusal == JS_NO_STREAM && !s->is_making) {
		s->is_missing = true;
		buf_printf(&s->words, "stream %s: there is none\n", stream(s));
		go_on(s);
	} else if (refusal == JS_NOT_FOR_ACCOUNT || refusal == JS_DISABLED) {
		refuse(s, s->why);
		conclude(s);
	} else if (s->is_making && !js_is_unserved(refusal)) {
		refuse(s, s->why);
		go_on(s);
	} else { /* while servers elect a leader none has an answer */
		reactor_timer_set(s->again, s->conf.journal.times->reader.again_ms);
	}
}

/* Whether the server can bear a journal; else it is said why not. */
static bool is_good_server(struct js_streams *s, const struct nats_status *status)
{
	if (status->version < JS_SERVER_LEAST)
		buf_printf(&s->words, "server %s: it is version %u.%u, below 2.10\n",
		    status->server->host, status->version / 1000, status->version % 1000);
	else if (status->max_payload < JS_PAYLOAD_LEAST)
		buf_printf(&s->words, "server %s: its max_payload is %llu, below %u\n",
		    status->server->host, (unsigned long long)status->max_payload,
		    JS_PAYLOAD_LEAST);
	else
		return true;
	return false;
}

static void on_changed(void *arg)
{
	struct js_streams *s = arg;
	const struct nats_status *status = nats_status(s->nats);
	if (s->is_known || !status->is_up)
		return;
	if (is_good_server(s, status)) {
		ask_info(s);
		return;
	}
	s->is_wrong = true;
	conclude(s);
}

struct js_streams *js_streams_new(const struct js_streams_conf *conf, js_streams_fn fn,
    void *arg)
{
	struct js_streams *s = mem_new(sizeof(*s));
	*s = (struct js_streams){.conf = *conf,
	    .fn = fn,
	    .arg = arg,
	    .words = BUF_INIT(JS_STREAMS_WORDS_MAX)};
	struct js_journal_conf *journal = &s->conf.journal;
	if (journal->times == NULL)
		journal->times = &JS_JOURNAL_TIMES;
	if (journal->nats.times == NULL)
		journal->nats.times = &JS_JOURNAL_NATS_TIMES;
	journal->nats.message_max = ANSWER_MAX;
	journal->nats.out_max = ANSWER_MAX;
	js_journal_names(journal->shard, &s->names);
	s->call = (struct nats_call){.fn = on_answer, .arg = s};
	s->again = reactor_timer_new(journal->nats.reactor, ask_info, s);
	s->over = reactor_timer_new(journal->nats.reactor, on_over, s);
	reactor_timer_set(s->over, conf->patience_ms);
	s->nats = nats_new(&journal->nats, &(struct nats_hooks){on_changed, s});
	return s;
}

void js_streams_free(struct js_streams *s)
{
	if (s == NULL)
		return;
	nats_free(s->nats); /* ends the call */
	reactor_timer_free(s->again);
	reactor_timer_free(s->over);
	buf_fini(&s->words);
	free(s);
}
