/*
 * Sources: their settings, and what becomes of what senders send. The input: settings, the one
 * header that the request has (whatever its name), query and path, a NUL behind each, then the
 * body.
 *
 * Settings that are refused are so in words; those that are taken are shown as JSON without the
 * secrets, and their record comes back as it was. What a request is mapped to has names that a
 * session and an event may have, and JSON as its data; the same again is a repeat. A proof is
 * judged without a crash; one by Standard Webhooks' preset is right only if it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "domain/json.h"
#include "domain/json_pointer.h"
#include "domain/json_walk.h"
#include "domain/source.h"
#include "domain/url_form.h"

#define TEXT_MAX (1u << 22) /* bytes; above what the longest input can become */
#define NOW_MS 1767143203500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice header_of(const void *request, const char *name)
{
	(void)name;
	return *(const struct slice *)request;
}

/* Reads `text` into canonical JSON; false where it is none. */
static bool read_json(struct slice text, struct buf *canonical)
{
	struct json_reader r;
	json_init(&r, text);
	bool good = json_read_value(&r, canonical) == OK && json_read_end(&r) == OK;
	json_fini(&r);
	return good;
}

static void check_json(struct slice text)
{
	struct buf canonical = BUF_INIT(TEXT_MAX);
	panic_if(!read_json(text, &canonical), "not JSON: %.*s", (int)text.len, text.ptr);
	buf_fini(&canonical);
}

/* What is shown is JSON, and each secret in it is the mask. */
static void check_shown(const struct source *s)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct buf canonical = BUF_INIT(TEXT_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	source_write(s, &json);
	json_close(&json);
	panic_if(!json_is_whole(&json), "shown: too long");
	panic_if(!read_json(buf_view(&text), &canonical), "shown: not JSON");
	struct slice verify = json_walk_find(buf_view(&canonical), SLICE("verify"));
	struct json_walk w = json_walk_in(json_walk_find(verify, SLICE("secrets")));
	while (json_walk_next(&w))
		panic_if(!slice_eq(w.value, SLICE("\"********\"")), "a secret is shown");
	buf_fini(&text);
	buf_fini(&canonical);
}

static void check_record(const struct source *s)
{
	static const unsigned char NONCE[VAULT_NONCE_SIZE];
	struct buf record = BUF_INIT(TEXT_MAX);
	struct vault_id key;
	struct source *back = NULL;
	source_encode(s, NULL, NONCE, &record);
	panic_if(record.failed || record.len > SOURCE_RECORD_MAX, "record: too long");
	struct reader r = reader_of(buf_view(&record));
	panic_if(source_decode(&r, NULL, &key, &back) != OK, "record: cannot be read");
	panic_if(strcmp(back->settings, s->settings) != 0, "record: other settings");
	source_free(back);
	buf_fini(&record);
}

struct mapping {
	const struct source *source;
	const struct arrival *arrival;
	struct source_event event;
	struct source_event again;
	size_t count;
};

static bool check_item(void *arg, struct slice item)
{
	struct mapping *m = arg;
	check_json(item);
	source_map(m->source, m->arrival, item, &m->event);
	panic_if(!name_is_session(slice_of(m->event.session)), "session");
	panic_if(!name_is_event(slice_of(m->event.event)), "event");
	panic_if(m->event.data.failed || m->event.id.failed, "a buffer");
	check_json(buf_view(&m->event.data));
	source_map(m->source, m->arrival, item, &m->again);
	panic_if(!slice_eq(buf_view(&m->event.id), buf_view(&m->again.id)), "no repeat");
	return ++m->count < 100;
}

/* The pointers of the settings into the body, and what is left without what they mean. */
static void check_pointers(struct slice settings, struct slice body)
{
	struct json_walk w = json_walk_in(settings);
	while (json_walk_next(&w)) {
		struct buf text = BUF_INIT(TEXT_MAX);
		struct buf left = BUF_INIT(TEXT_MAX);
		struct slice given = json_is_object(w.value)
		    ? json_walk_find(w.value, SLICE("body"))
		    : w.value;
		(void)json_text_of(given, &text); /* else it is empty: the whole */
		struct json_pointer *p = json_pointer_new(buf_view(&text));
		if (p != NULL) {
			struct slice found = json_pointer_find(p, body);
			if (found.ptr != NULL)
				check_json(found);
			json_pointer_leave_out(&p, 1, body, &left);
			if (text.len > 0)
				check_json(buf_view(&left));
		}
		json_pointer_free(p);
		buf_fini(&text);
		buf_fini(&left);
	}
}

static void check_form(struct slice form)
{
	struct buf name = BUF_INIT(form.len);
	struct buf value = BUF_INIT(form.len);
	size_t bytes = 0;
	size_t len = form.len;
	while (url_form_next(&form, &name, &value))
		bytes += name.len + value.len;
	panic_if(name.failed || value.failed || bytes > len, "a form grows");
	buf_fini(&name);
	buf_fini(&value);
}

static void check_arrival(const struct source *s, const struct arrival *a)
{
	const char *why = NULL;
	struct buf body = BUF_INIT(TEXT_MAX);
	bool good = verify_arrival(source_verify(s), a, NOW_MS, &why);
	panic_if(!good && why == NULL, "refused without a word");
	panic_if(good && !verify_may(source_verify(s), a), "its head alone was refused");
	struct mapping m = {.source = s,
	    .arrival = a,
	    .event = {.data = BUF_INIT(TEXT_MAX), .id = BUF_INIT(TEXT_MAX)},
	    .again = {.data = BUF_INIT(TEXT_MAX), .id = BUF_INIT(TEXT_MAX)}};
	if (read_json(a->body, &body)) {
		source_split(s, buf_view(&body), check_item, &m);
		panic_if(m.count == 0, "nothing came of it");
		check_pointers(slice_of(s->settings), buf_view(&body));
	}
	source_event_fini(&m.event);
	source_event_fini(&m.again);
	buf_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char made[SIGN_SECRET_SIZE];
	struct problem p = {.message = ""};
	struct slice rest = {(const char *)data, size};
	struct slice settings = slice_cut(&rest, '\0');
	struct slice header = slice_cut(&rest, '\0');
	struct arrival a = {.header = header_of, .request = &header};
	a.query = slice_cut(&rest, '\0');
	a.path = slice_cut(&rest, '\0');
	a.body = rest;
	check_form(a.query);
	struct source *s = source_new(NOW_MS);
	enum err err = source_apply(s, settings, made, &p);
	panic_if(err != OK && p.message[0] == '\0', "refused without a word");
	if (err == OK) {
		check_shown(s);
		check_record(s);
		check_arrival(s, &a);
		panic_if(source_apply(s, SLICE("{}"), made, &p) != OK, "a change of nothing");
	}
	source_free(s);
	return 0;
}
