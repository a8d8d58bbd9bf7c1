/*
 * The ring and its texts; see feed.h. Place n of all time lies in slot n % capacity. A text is
 * made when the first reader comes to it; over text_bytes the oldest texts go first, and are
 * made again if somebody still asks.
 */
#include "feed/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "base/str.h"

#define MESSAGE_MAX 32768 /* bytes: a URL of 2048 and an error, all of it escaped, and room */

struct slot {
	struct happening happening;
	char *text; /* the message; NULL: not made yet, or dropped */
	size_t len;
};

struct feed {
	struct feed_conf conf;
	struct slot *slots;
	uint64_t end;         /* the position of the next happening */
	uint64_t oldest_text; /* no position before it has a text */
	size_t text_bytes;
	void (*news)(void *arg);
	void *news_arg;
};

static const char *const TYPES[HAPPENING_TYPES] = {
    [HAPPENING_PUBLISHED] = "published",
    [HAPPENING_DELIVERED] = "delivered",
    [HAPPENING_RETRYING] = "retrying",
    [HAPPENING_DEAD] = "dead",
    [HAPPENING_EXPIRED] = "expired",
    [HAPPENING_CANCELLED] = "cancelled",
    [HAPPENING_DISABLED] = "disabled",
};

struct feed *feed_new(const struct feed_conf *conf)
{
	struct feed *f = mem_new(sizeof(*f));
	f->conf = *conf;
	f->slots = mem_array(conf->capacity, sizeof(*f->slots));
	return f;
}

void feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->conf.capacity; i++)
		free(f->slots[i].text);
	free(f->slots);
	free(f);
}

static struct slot *slot_of(const struct feed *f, uint64_t position)
{
	return &f->slots[position % f->conf.capacity];
}

static uint64_t oldest(const struct feed *f)
{
	return f->end > f->conf.capacity ? f->end - f->conf.capacity : 0;
}

static void drop_text(struct feed *f, struct slot *slot)
{
	f->text_bytes -= slot->len;
	free(slot->text);
	slot->text = NULL;
	slot->len = 0;
}

void feed_tell(struct feed *f, const struct happening *h)
{
	struct slot *slot = slot_of(f, f->end);
	if (slot->text != NULL)
		drop_text(f, slot);
	slot->happening = *h;
	f->end++;
	if (f->news != NULL)
		f->news(f->news_arg);
}

void feed_tell_disabled(struct feed *f, const struct webhook *w, int64_t now_ms)
{
	struct happening h = {.type = HAPPENING_DISABLED,
	    .at_ms = now_ms,
	    .webhook = w->number,
	    .has_webhook = true,
	    .webhook_id = w->id};
	(void)snprintf(h.session, sizeof(h.session), "%s", w->session);
	(void)snprintf(h.error, sizeof(h.error), "%s", w->disabled_reason);
	feed_tell(f, &h);
}

void feed_watch(struct feed *f, void (*news)(void *arg), void *arg)
{
	f->news = news;
	f->news_arg = arg;
}

uint64_t feed_end(const struct feed *f)
{
	return f->end;
}

void feed_put_position(const struct feed *f, uint64_t position, struct buf *out)
{
	buf_printf(out, "id: %lld-%llu\n", (long long)f->conf.start_ms,
	    (unsigned long long)position);
}

/* `dropped`: how many are missing; 0: nobody knows. */
static void put_gap(const struct feed *f, uint64_t position, uint64_t dropped, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	feed_put_position(f, position, out);
	buf_puts(out, "event: gap\ndata: ");
	json_open_object(&w, NULL);
	if (dropped > 0)
		json_write_u64(&w, "dropped", dropped);
	else
		json_write_null(&w, "dropped");
	json_close(&w);
	json_expect_whole(&w);
	buf_puts(out, "\n\n");
}

uint64_t feed_resume(const struct feed *f, struct slice last_id, struct buf *out)
{
	uint64_t start = 0;
	uint64_t position = 0;
	struct slice rest = last_id;
	if (str_u64(slice_cut(&rest, '-'), &start) == OK && str_u64(rest, &position) == OK &&
	    start == (uint64_t)f->conf.start_ms && position <= f->end)
		return position;
	put_gap(f, oldest(f), 0, out);
	return oldest(f);
}

/* A member that has something to say; else it is left out, as below. */
static void write_text(struct json_writer *w, const char *member, const char *text)
{
	if (text[0] != '\0')
		json_write_cstr(w, member, text);
}

static void write_id(struct json_writer *w, const char *member, bool is_there,
    const struct uuid *id)
{
	if (is_there)
		uuid_write(w, member, id);
}

static void write_number(struct json_writer *w, const char *member, int64_t n)
{
	if (n != 0)
		json_write_i64(w, member, n);
}

static void write_happening(const struct feed *f, const struct happening *h, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	const struct webhook *hook = h->has_webhook ? registry_get(f->conf.registry, h->webhook)
						    : NULL;
	json_open_object(&w, NULL);
	json_write_time(&w, "at", h->at_ms);
	json_write_cstr(&w, "type", TYPES[h->type]);
	write_text(&w, "session_id", h->session);
	write_text(&w, "event", h->event);
	write_id(&w, "event_id", h->has_event, &h->event_id);
	write_id(&w, "delivery_id", h->has_delivery, &h->delivery_id);
	write_id(&w, "webhook_id", h->has_webhook, &h->webhook_id);
	if (hook != NULL)
		write_text(&w, "url", hook->url);
	write_number(&w, "attempt", h->attempt);
	write_number(&w, "status", h->status);
	write_text(&w, "error", h->error);
	if (h->duration_us > 0)
		json_write_thousandths(&w, "duration_ms", (double)h->duration_us / 1000);
	if (h->next_ms != 0)
		json_write_time(&w, "next_attempt_at", h->next_ms);
	json_close(&w);
	json_expect_whole(&w);
}

/* Drops texts, the oldest first, but not the one at `keep`. */
static void bound_texts(struct feed *f, uint64_t keep)
{
	if (f->oldest_text < oldest(f))
		f->oldest_text = oldest(f);
	for (; f->text_bytes > f->conf.text_bytes && f->oldest_text < f->end;
	     f->oldest_text++) {
		if (f->oldest_text != keep)
			drop_text(f, slot_of(f, f->oldest_text));
	}
}

/* The message at `position`, made where it is not there. */
static struct slice text_at(struct feed *f, uint64_t position)
{
	struct slot *slot = slot_of(f, position);
	if (slot->text == NULL) {
		struct buf text = BUF_INIT(MESSAGE_MAX);
		feed_put_position(f, position + 1, &text);
		buf_printf(&text, "event: %s\ndata: ", TYPES[slot->happening.type]);
		write_happening(f, &slot->happening, &text);
		buf_puts(&text, "\n\n");
		slot->text = mem_copy(text.data, text.len);
		slot->len = text.len;
		f->text_bytes += text.len;
		buf_fini(&text);
		if (position < f->oldest_text)
			f->oldest_text = position;
		bound_texts(f, position);
	}
	return (struct slice){slot->text, slot->len};
}

static bool wants(const struct feed_filter *filter, const struct happening *h)
{
	if (filter->types != 0 && (filter->types & (1u << h->type)) == 0)
		return false;
	if (filter->session[0] != '\0' && strcmp(filter->session, h->session) != 0)
		return false;
	if (filter->has_webhook &&
	    (!h->has_webhook || !uuid_eq(&filter->webhook, &h->webhook_id)))
		return false;
	if (filter->reaches == NULL)
		return true;
	return !webhook_is_for_all(h->webhook) &&
	    filter->reaches(filter->arg, slice_of(h->session));
}

void feed_read(struct feed *f, const struct feed_filter *filter, uint64_t *position,
    size_t bytes, struct buf *out)
{
	if (*position < oldest(f)) {
		uint64_t dropped = oldest(f) - *position;
		*position = oldest(f);
		put_gap(f, *position, dropped, out);
	}
	for (; *position < f->end && out->len < bytes; (*position)++) {
		if (wants(filter, &slot_of(f, *position)->happening))
			buf_slice(out, text_at(f, *position));
	}
}

enum err feed_parse_types(struct slice text, uint32_t *types, struct problem *p)
{
	*types = 0;
	do {
		struct slice name = slice_cut(&text, ',');
		uint32_t bit = 0;
		for (size_t i = 0; i < HAPPENING_TYPES; i++) {
			if (slice_eq(name, slice_of(TYPES[i])))
				bit = 1u << i;
		}
		if (bit == 0)
			return problem_set(p, ERR_INVALID, "status",
			    "status must be published, delivered, retrying, dead, expired, "
			    "cancelled or disabled, or several of them separated by commas");
		*types |= bit;
	} while (text.len > 0);
	return OK;
}
