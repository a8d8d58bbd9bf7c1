/*
 * The bodies of the webhooks API: POST and PATCH, and with an odd first byte rotate-secret.
 * A webhook that a body has made is shown as good JSON without its secret; its record comes
 * back as it was; the same PATCH again changes nothing. What is refused is explained, in words
 * that are UTF-8.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/webhook_view.h"
#include "base/log.h"
#include "domain/json.h"
#include "domain/webhook_json.h"

#define SHOWN_MAX (1u << 22) /* bytes */
#define NOW_MS 1767143203500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char extra_event[] = "our.own_event";
static char *const EXTRA_EVENTS[] = {extra_event};
static const struct webhook_rules RULES = {.extra_events = EXTRA_EVENTS,
    .extra_event_count = 1,
    .timeout_ms = 7000,
    .own_proxies = true};

static void check_json(struct slice text)
{
	struct json_reader r;
	struct buf canonical = BUF_INIT(SHOWN_MAX);
	json_init(&r, text);
	panic_if(json_read_value(&r, &canonical) != OK || json_read_end(&r) != OK,
	    "not JSON: %.*s", (int)text.len, text.ptr);
	json_fini(&r);
	buf_fini(&canonical);
}

static void check_problem(const struct problem *p)
{
	struct buf words = BUF_INIT(SHOWN_MAX);
	struct json_writer w = JSON_WRITER(&words);
	panic_if(p->message[0] == '\0', "refused without a word");
	json_open_object(&w, NULL);
	json_write_cstr(&w, "message", p->message);
	json_write_cstr(&w, "field", p->field);
	json_close(&w);
	json_expect_whole(&w);
	check_json(buf_view(&words));
	buf_fini(&words);
}

static void check_shown(const struct webhook *w)
{
	static const struct dispatch_status STATUS = {.circuit = "closed"};
	static const struct trend_last NONE = {0};
	struct buf shown = BUF_INIT(SHOWN_MAX);
	struct json_writer json = JSON_WRITER(&shown);
	webhook_view_write(w, WEBHOOK_WHOLE, &STATUS, &NONE, 0, &json);
	json_expect_whole(&json);
	check_json(buf_view(&shown));
	/* Long enough to stand nowhere else by accident. */
	bool telling = w->secret != NULL && strlen(w->secret) >= 24 &&
	    (w->url == NULL || strstr(w->url, w->secret) == NULL) &&
	    (w->description == NULL || strstr(w->description, w->secret) == NULL);
	panic_if(telling && w->header_count == 0 && w->ca_pem == NULL &&
		memmem(shown.data, shown.len, w->secret, strlen(w->secret)) != NULL,
	    "the secret is shown");
	buf_fini(&shown);
}

/* Encodes `w`, which is to come back from its record as it is. */
static struct buf check_record(const struct webhook *w)
{
	struct buf record = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	struct buf again = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	struct webhook *copy = NULL;
	struct vault_id key;
	webhook_encode(w, NULL, NULL, &record);
	panic_if(record.failed || record.len > WEBHOOK_RECORD_MAX, "a record over its limit");
	struct reader r = reader_of(buf_view(&record));
	panic_if(webhook_decode(&r, NULL, &key, &copy) != OK,
	    "a record that does not come back");
	webhook_encode(copy, NULL, NULL, &again);
	panic_if(!slice_eq(buf_view(&record), buf_view(&again)), "another record");
	webhook_free(copy);
	buf_fini(&again);
	return record;
}

static struct webhook *make_webhook(void)
{
	struct webhook *w = webhook_new();
	webhook_set(&w->session, "s");
	webhook_set(&w->url, "http://receiver.example/");
	webhook_set(&w->secret, "the first secret");
	return w;
}

enum way { PATCH, ROTATION, PUT };

static enum err apply_by(struct webhook *w, enum way way, struct slice body, struct problem *p)
{
	if (way == ROTATION)
		return webhook_apply_rotation(w, body, &RULES, NOW_MS, p);
	return way == PUT ? webhook_apply_whole(w, body, &RULES, p)
			  : webhook_apply(w, body, &RULES, p);
}

static enum err apply(struct webhook *w, enum way way, struct slice body, struct problem *p)
{
	*p = (struct problem){.message = ""};
	enum err err = apply_by(w, way, body, p);
	if (err == OK && w->url != NULL)
		ownership_follow(w, w, false, false, NOW_MS); /* as each change does */
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum way way = data[0] % 2 == 1 ? ROTATION : (data[0] & 2) != 0 ? PUT : PATCH;
	struct slice body = {(const char *)data + 1, size - 1};
	struct problem p;
	struct webhook *w = make_webhook();
	if (apply(w, way, body, &p) != OK) {
		check_problem(&p);
		webhook_free(w);
		return 0;
	}
	panic_if(webhook_check(w, &p) != OK, "without a URL");
	check_shown(w);
	struct buf record = check_record(w);
	if (way != ROTATION) {
		panic_if(apply(w, way, body, &p) != OK, "refused the second time");
		struct buf again = check_record(w);
		panic_if(!slice_eq(buf_view(&record), buf_view(&again)), "a second change");
		buf_fini(&again);
	}
	buf_fini(&record);
	webhook_free(w);
	return 0;
}
