/*
 * How far the members of a shard are; see js_journal.h. What they tell are messages of a stream
 * that has the last one of each, in JSON; they are read one after the other, by the stream's
 * leader, upwards: who tells anew meanwhile moves to its end and is met there again.
 */
#include "jetstream/js_journal_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/str.h"
#include "domain/instant.h"
#include "domain/json_at.h"

#define REQUEST_MAX 1024
#define TOLD_MAX 2048
#define ASKED_MAX                                                                              \
	(16 * JOURNAL_MEMBERS_MAX) /* questions: of members that are gone too, and some move */

void js_members_tell(struct journal *journal, const struct journal_member *me)
{
	struct js_journal *j = (struct js_journal *)journal;
	struct buf body = BUF_INIT(TOLD_MAX);
	struct json_writer w = JSON_WRITER(&body);
	char subject[2 * JS_JOURNAL_NAME_SIZE];
	int n = snprintf(subject, sizeof(subject), "%.*s%s",
	    (int)strlen(j->names.all_members) - 1, j->names.all_members, me->name);
	json_open_object(&w, NULL);
	json_write_u64(&w, "synced", me->synced);
	json_write_bool(&w, "active", me->is_active);
	json_write_bytes(&w, "url", slice_of(me->url));
	json_close(&w);
	const struct nats_out out = {.subject = {subject, (size_t)n},
	    .payload = buf_view(&body)};
	enum err err = json_is_whole(&w) && js_journal_is_ready(j) ? nats_publish(j->nats, &out)
								   : ERR_BUSY;
	if (err != OK) /* it is told the next time */
		log_debug("members were not told", LOG_S("error", err_text(err)));
	buf_fini(&body);
}

static void finish(struct js_journal *j, enum err result)
{
	struct js_members *m = &j->members;
	journal_members_fn fn = m->fn;
	nats_hang_up(&m->call);
	reactor_timer_clear(m->timer);
	m->fn = NULL;
	fn(m->arg, result, m->list, result == OK ? m->count : 0);
}

static void put_text(char *out, size_t size, struct slice text)
{
	(void)snprintf(out, size, "%.*s", (int)text.len, text.ptr);
}

/* Of those in the list, the one who was not heard of for longest: perhaps gone for good. */
static struct journal_member *earliest(struct js_members *m)
{
	struct journal_member *e = m->list;
	for (size_t i = 1; i < m->count; i++)
		e = m->list[i].told_ms < e->told_ms ? &m->list[i] : e;
	return e;
}

/*
 * Adds what a member has told, or puts it in the place of what it told before; where there are
 * too many, of what was told the longest ago.
 */
static void add(struct js_members *m, struct slice subject, int64_t told_ms, struct slice told)
{
	struct json_at it = JSON_AT(told);
	struct journal_member *at = m->list;
	bool is_told = json_at(&it, "synced").len > 0; /* else it is no word of a member's */
	while (subject.len > 0 && memchr(subject.ptr, '.', subject.len) != NULL)
		(void)slice_cut(&subject, '.');
	while (at < m->list + m->count && !slice_eq(slice_of(at->name), subject))
		at++;
	if (at == m->list + JOURNAL_MEMBERS_MAX)
		at = earliest(m);
	bool is_wanted = at == m->list + m->count || at->told_ms <= told_ms;
	if (is_told && is_wanted && subject.len > 0 && subject.len < sizeof(at->name)) {
		m->count += at == m->list + m->count;
		*at = (struct journal_member){.synced = json_at_u64(&it, "synced"),
		    .told_ms = told_ms,
		    .is_active = slice_eq(json_at(&it, "active"), SLICE("true"))};
		put_text(at->name, sizeof(at->name), subject);
		put_text(at->url, sizeof(at->url), json_at_text(&it, "url"));
	}
	json_at_fini(&it);
}

/* Reads one message of STREAM.MSG.GET. False: it is none, or one of before. */
static bool read_message(struct js_members *m, struct slice json)
{
	struct json_at answer = JSON_AT(json);
	unsigned char told[TOLD_MAX];
	char subject[NATS_SUBJECT_MAX + 1];
	size_t len = 0;
	int64_t told_ms = 0;
	uint64_t seq = json_at_u64(&answer, "message/seq");
	struct slice data = json_at_text(&answer, "message/data");
	bool is_next = seq >= m->next;
	bool is_whole = data.len <= TOLD_MAX && base64_decode(data, told, &len);
	is_whole = instant_parse(json_at_text(&answer, "message/time"), &told_ms) == OK &&
	    is_whole;
	put_text(subject, sizeof(subject), json_at_text(&answer, "message/subject"));
	json_at_fini(&answer);
	m->next = seq + 1;
	if (is_next && is_whole)
		add(m, slice_of(subject), told_ms, (struct slice){(const char *)told, len});
	return is_next;
}

static void ask_next(struct js_journal *j)
{
	struct js_members *m = &j->members;
	struct buf body = BUF_INIT(REQUEST_MAX);
	struct json_writer w = JSON_WRITER(&body);
	json_open_object(&w, NULL);
	json_write_u64(&w, "seq", m->next);
	json_write_cstr(&w, "next_by_subj", j->names.all_members);
	json_close(&w);
	json_expect_whole(&w);
	m->asked++;
	enum err err = m->asked > ASKED_MAX
	    ? ERR_BUSY
	    : js_ask(j->nats, &m->call, j->conf.api, "STREAM.MSG.GET", j->names.members,
		  buf_view(&body), j->conf.times->reader.answer_ms, false);
	if (err != OK)
		finish(j, ERR_BUSY);
	buf_fini(&body);
}

static void on_member(void *arg, const struct nats_message *m)
{
	struct js_journal *j = arg;
	char why[NATS_ERROR_SIZE];
	uint64_t refusal = js_refusal(m, why);
	/* of a stream with a leader of its own: nothing of it says how the journal is */
	if (refusal == JS_NO_MESSAGE)
		finish(j, OK);
	else if (refusal != 0 || !read_message(&j->members, m->payload))
		finish(j, ERR_BUSY);
	else
		ask_next(j);
}

static void on_timer(void *arg)
{
	struct js_journal *j = arg;
	if (js_journal_is_ready(j))
		ask_next(j);
	else
		finish(j, ERR_BUSY);
}

void js_members_ask(struct journal *journal, journal_members_fn fn, void *arg)
{
	struct js_journal *j = (struct js_journal *)journal;
	struct js_members *m = &j->members;
	panic_if(m->fn != NULL, "two questions for the members at a time");
	m->fn = fn;
	m->arg = arg;
	m->next = 1;
	m->asked = 0;
	m->count = 0;
	if (js_journal_is_ready(j))
		reactor_timer_fire(m->timer);
	else
		reactor_timer_set(m->timer, j->conf.times->reader.again_ms);
}

void js_members_init(struct js_journal *j)
{
	j->members.call = (struct nats_call){.fn = on_member, .arg = j};
	j->members.timer = reactor_timer_new(j->conf.nats.reactor, on_timer, j);
}

void js_members_forget(struct js_journal *j)
{
	nats_hang_up(&j->members.call);
	reactor_timer_clear(j->members.timer);
	j->members.fn = NULL;
}

void js_members_fini(struct js_journal *j)
{
	nats_hang_up(&j->members.call);
	reactor_timer_free(j->members.timer);
}
