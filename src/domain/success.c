/* Statuses in a table, the condition as a filter with pointers of its own; see success.h. */
#include "domain/success.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "domain/json.h"
#include "domain/json_scan.h"
#include "domain/members.h"

#define STATUS_MIN 200 /* of an answer that is one */
#define STATUS_MAX 599
#define STATUS_GONE 410 /* always says that the webhook is to be disabled */
#define CLASS 100
#define GROWTH 6 /* bytes of canonical JSON for one: 1e20 is written out */

#define STATUSES_RULE                                                                          \
	"null or an array of 1 to 32 statuses, 200 to 599 but for 410, or classes, \"2xx\" "   \
	"to \"5xx\""

struct success {
	char *json;
	size_t json_len;
	bool counts[STATUS_MAX + 1];
	struct filter *answer; /* NULL: the body is not looked at */
	struct pointers *pointers;
};

/* Marks the statuses from `from` on, `count` of them. */
static void mark(struct success *s, uint64_t from, uint64_t count)
{
	for (uint64_t i = from; i < from + count; i++)
		s->counts[i] = i != STATUS_GONE;
}

/* Takes a status or a class; false where it is none. */
static bool take_status(struct success *s, struct slice item)
{
	uint64_t status = 0;
	struct slice text = json_inside(item);
	if (json_type_of(item) == JSON_NUMBER) {
		if (str_u64(item, &status) != OK || status < STATUS_MIN ||
		    status > STATUS_MAX || status == STATUS_GONE)
			return false;
		mark(s, status, 1);
		return true;
	}
	if (json_type_of(item) != JSON_STRING || text.len != 3 || text.ptr[0] < '2' ||
	    text.ptr[0] > '5' || text.ptr[1] != 'x' || text.ptr[2] != 'x')
		return false;
	mark(s, (uint64_t)(text.ptr[0] - '0') * CLASS, CLASS);
	return true;
}

static bool take_statuses(struct success *s, struct slice list)
{
	struct json_scan scan = {.text = list};
	size_t count = 0;
	if (list.ptr == NULL) {
		mark(s, STATUS_MIN, CLASS);
		return true;
	}
	if (json_type_of(list) != JSON_ARRAY)
		return false;
	json_scan_enter(&scan);
	while (json_scan_item(&scan)) {
		if (!take_status(s, json_scan_value(&scan)))
			return false;
		count++;
	}
	return count >= 1 && count <= SUCCESS_STATUSES_MAX;
}

static enum err compile(struct success *s, const char *field, struct problem *p)
{
	char where[32];
	char below[32];
	(void)snprintf(where, sizeof(where), "%s.", field);
	(void)snprintf(below, sizeof(below), "%s.answer", field);
	struct members m = {.object = success_json(s), .where = where, .p = p};
	if (json_type_of(m.object) != JSON_OBJECT || m.object.len > SUCCESS_BYTES_MAX)
		return problem_set(p, ERR_INVALID, field,
		    "%s must be null or an object with statuses, answer or both", field);
	members_allow(&m, "statuses answer");
	struct slice answer = members_get(&m, "answer");
	if (m.err == OK && !take_statuses(s, members_get(&m, "statuses")))
		members_refuse(&m, "statuses", STATUSES_RULE);
	if (m.err == OK && answer.ptr != NULL)
		m.err = filter_compile(answer, below, &s->answer, p);
	if (s->answer != NULL && filter_steps(s->answer) > SUCCESS_STEPS_MAX)
		m.err = problem_set(p, ERR_INVALID, below,
		    "%s must take no more than %d steps: this takes up to %u", below,
		    SUCCESS_STEPS_MAX, filter_steps(s->answer));
	return m.err;
}

enum err success_compile(struct slice json, const char *field, struct success **out,
    struct problem *p)
{
	struct success *s = mem_new(sizeof(*s));
	s->json = mem_copy(json.ptr, json.len);
	s->json_len = json.len;
	enum err err = compile(s, field, p);
	if (err != OK) {
		success_free(s);
		return err;
	}
	if (s->answer != NULL) {
		s->pointers = pointers_new();
		filter_enter(s->answer, s->pointers);
	}
	*out = s;
	return OK;
}

void success_free(struct success *s)
{
	if (s == NULL)
		return;
	if (s->pointers != NULL) {
		filter_leave(s->answer, s->pointers);
		pointers_free(s->pointers);
	}
	filter_free(s->answer);
	free(s->json);
	free(s);
}

struct slice success_json(const struct success *s)
{
	return (struct slice){s->json, s->json_len};
}

bool success_reads(const struct success *s)
{
	return s->answer != NULL;
}

bool success_has_status(const struct success *s, int status)
{
	return status >= STATUS_MIN && status <= STATUS_MAX && s->counts[status];
}

const char *success_check(struct success *s, struct slice body)
{
	struct problem unused;
	uint64_t steps = 0;
	struct buf canonical = BUF_INIT(GROWTH * body.len);
	struct buf decoded = BUF_INIT(GROWTH * body.len);
	const char *why = NULL;
	if (json_read_whole(body, &canonical, &unused) != OK) {
		why = "the answer is not JSON";
	} else {
		pointers_look(s->pointers, buf_view(&canonical), &decoded);
		if (!filter_matches(s->answer, s->pointers, &steps))
			why = "the answer is not what success.answer wants";
	}
	buf_fini(&canonical);
	buf_fini(&decoded);
	return why;
}
