/* JetStream's API; see js_api.h. */
#include "jetstream/js_api.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "domain/instant.h"
#include "domain/json_at.h"
#include "domain/json_walk.h"

#define SUBJECT_SIZE 1024
#define ACK_WORDS_MAX 12

enum err js_ask(struct nats *n, struct nats_call *call, const char *api, const char *what,
    const char *name, struct slice body, int64_t idle_ms, bool has_many)
{
	char subject[SUBJECT_SIZE];
	int len = snprintf(subject, sizeof(subject), "%s.%s%s%s", api == NULL ? "$JS.API" : api,
	    what, name == NULL ? "" : ".", name == NULL ? "" : name);
	struct nats_out out = {.subject = {subject, (size_t)len}, .payload = body};
	return len < SUBJECT_SIZE ? nats_ask(n, call, &out, idle_ms, has_many) : ERR_TOOBIG;
}

uint64_t js_refusal(const struct nats_message *m, char why[NATS_ERROR_SIZE])
{
	why[0] = '\0';
	if (m == NULL || m->status == 503) {
		nats_put_error(why,
		    m == NULL ? SLICE("the server's JetStream does not answer")
			      : SLICE("the server has no JetStream, or it is not ready"));
		return JS_UNANSWERED;
	}
	struct json_at answer = JSON_AT(m->payload);
	uint64_t code = json_at_u64(&answer, "error/err_code");
	if (json_at(&answer, "error").len > 0) {
		code = code == 0 ? JS_UNNUMBERED : code;
		nats_put_error(why, json_at_text(&answer, "error/description"));
		if (why[0] == '\0')
			nats_put_error(why, SLICE("an error without a description"));
	}
	json_at_fini(&answer);
	return code;
}

bool js_is_unserved(uint64_t refusal)
{
	return refusal == JS_UNANSWERED || refusal == JS_UNAVAILABLE ||
	    refusal == JS_NOT_LEADER;
}

/* How many servers have all that the leader has, which has answered. */
static uint64_t count_copies(struct json_at *info)
{
	uint64_t copies = 1;
	struct json_walk w = json_walk_in(json_at(info, "cluster/replicas"));
	while (json_walk_next(&w)) {
		bool is_current = slice_eq(json_walk_find(w.value, SLICE("current")),
		    SLICE("true"));
		bool is_away = slice_eq(json_walk_find(w.value, SLICE("offline")),
		    SLICE("true"));
		copies += is_current && !is_away ? 1 : 0;
	}
	return copies;
}

bool js_info_read(struct slice json, struct js_info *out)
{
	struct json_at info = JSON_AT(json);
	int64_t created_ms = 0;
	bool is_read = instant_parse(json_at_text(&info, "created"), &created_ms) == OK &&
	    json_at(&info, "state/last_seq").len > 0;
	struct js_info read = {.id = (uint64_t)created_ms,
	    .first = json_at_u64(&info, "state/first_seq"),
	    .last = json_at_u64(&info, "state/last_seq"),
	    .bytes = json_at_u64(&info, "state/bytes"),
	    .max_bytes = json_at_u64(&info, "config/max_bytes"),
	    .copies = count_copies(&info)};
	if (json_at_u64(&info, "state/messages") == 0)
		read.first = read.last + 1;
	is_read = is_read && read.last < UINT64_MAX && read.first <= read.last + 1;
	if (is_read)
		*out = read;
	json_at_fini(&info);
	return is_read;
}

/* Reads "$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.TIMES.SEQ.DELIVERY.TIME.PENDING[.…]". */
bool js_ack_read(struct slice reply, struct js_ack *out)
{
	struct slice words[ACK_WORDS_MAX];
	size_t n = 0;
	if (reply.len > JS_REPLY_MAX || !slice_starts(reply, SLICE("$JS.ACK.")))
		return false;
	while (n < ACK_WORDS_MAX && reply.len > 0)
		words[n++] = slice_cut(&reply, '.');
	size_t at = n == 9 ? 5 : 7; /* of SEQ */
	return (n == 9 || n >= 11) && str_u64(words[at], &out->seq) == OK &&
	    str_u64(words[at + 1], &out->consumer_seq) == OK &&
	    str_u64(words[at + 2], &out->time_ns) == OK &&
	    str_u64(words[at + 3], &out->pending) == OK;
}

bool js_says(const struct nats_message *m, const char *words)
{
	return m->status_text.len > 0 &&
	    memmem(m->status_text.ptr, m->status_text.len, words, strlen(words)) != NULL;
}
