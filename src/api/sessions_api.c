/*
 * Sessions: those that have webhooks or events that are kept, in the order of their ids' bytes.
 *
 * Nothing holds the sessions in order: those with events are found in the store, a step each;
 * those with webhooks by one walk over the registry, which is in memory, that keeps the least.
 */
#include "api/handlers.h"
#include "api/query.h"
#include "store/events.h"
#include "store/queue.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define STEPS_MAX 2000         /* sessions with events that one call looks at */
#define ANSWER_MAX (64u << 10) /* bytes: a page of the longest names */

struct name {
	char text[SESSION_MAX + 1];
};

struct page {
	struct call *call;
	uint64_t limit;
	struct name after; /* only those behind it */
	size_t count;
	struct name
	    names[PAGE_MAX + 1]; /* in order; one more than fits says that there are more */
};

/* The place of `name` among the names; *found where it is there. */
static size_t place_of(const struct page *page, const char *name, bool *found)
{
	size_t low = 0;
	size_t high = page->count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (strcmp(page->names[mid].text, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < page->count && strcmp(page->names[low].text, name) == 0;
	return low;
}

/* Takes a session in, where it is behind the cursor, within reach, and among the least. */
static void consider(struct page *page, const char *name)
{
	bool found = false;
	if (strcmp(name, page->after.text) <= 0)
		return;
	size_t at = place_of(page, name, &found);
	if (found || at > page->limit || !auth_reaches(page->call->token, slice_of(name)))
		return;
	size_t kept = page->count <= page->limit ? page->count : page->limit;
	memmove(&page->names[at + 1], &page->names[at], (kept - at) * sizeof(page->names[0]));
	memcpy(page->names[at].text, name, strlen(name) + 1);
	page->count = kept + 1;
}

static void on_webhook(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	if (!w->deleted)
		consider(arg, w->session);
}

/*
 * Takes in sessions with events; *last is how far it came where there may be others before the
 * greatest that is kept. The store's error.
 */
static enum err find_with_events(struct page *page, struct name *last)
{
	struct db_txn *txn = NULL;
	struct name at = page->after;
	bool through = false;
	enum err err = db_read(page->call->api->conf.db, &txn);
	if (err != OK)
		return err;
	for (int i = 0; err == OK && !through && i < STEPS_MAX; i++) {
		err = history_next_session(txn, slice_of(at.text), at.text);
		through = page->count > page->limit &&
		    strcmp(at.text, page->names[page->limit].text) >= 0;
		if (err == OK && !through)
			consider(page, at.text);
	}
	db_read_end(txn);
	if (err == OK && !through)
		*last = at;
	return err == ERR_NOTFOUND ? OK : err;
}

static void write_session(struct page *page, const char *name, struct json_writer *json)
{
	const struct api_conf *conf = &page->call->api->conf;
	size_t webhooks = 0;
	(void)registry_session(conf->registry, slice_of(name), &webhooks); /* only counted */
	json_open_object(json, NULL);
	json_write_cstr(json, "id", name);
	json_write_u64(json, "webhooks", webhooks);
	json_write_u64(json, "waiting",
	    backlog_of_session(conf->quota.backlog, conf->registry, slice_of(name)));
	json_close(json);
}

/* Answers with those up to `last`, where the walk over those with events came no further. */
static void answer(struct page *page, const char *last)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	const char *next = last[0] != '\0' ? last : NULL;
	size_t shown = 0;
	json_open_object(&json, NULL);
	json_open_array(&json, "sessions");
	for (; shown < page->count && shown < page->limit; shown++) {
		if (next != NULL && strcmp(page->names[shown].text, last) > 0)
			break;
		write_session(page, page->names[shown].text, &json);
	}
	json_close(&json);
	if (shown == page->limit && shown < page->count)
		next = page->names[shown - 1].text;
	json_write_cstr(&json, "next_cursor", next);
	json_close(&json);
	call_reply(page->call, 200, &json);
	buf_fini(&text);
}

/* Reads ?limit= and ?cursor=; false: the call has been answered. */
static bool read_page(struct page *page)
{
	char cursor[QUERY_TEXT_MAX + 1];
	struct query q = {.call = page->call};
	page->limit = PAGE_DEFAULT;
	(void)query_number(&q, "limit", 1, PAGE_MAX, &page->limit);
	if (!query_text(&q, "cursor", cursor))
		return !q.answered;
	if (name_is_session(slice_of(cursor)))
		memcpy(page->after.text, cursor, strlen(cursor) + 1);
	else
		query_refuse(&q, "cursor", "the next_cursor of an earlier answer");
	return !q.answered;
}

void handle_sessions_list(struct call *c)
{
	struct page page = {.call = c};
	struct name last = {0};
	if (!read_page(&page))
		return;
	registry_each(c->api->conf.registry, on_webhook, &page);
	enum err err = find_with_events(&page, &last);
	if (err == OK)
		answer(&page, last.text);
	else
		call_fail_err(c, err);
}
