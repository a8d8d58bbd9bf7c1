/* What an attempt has sent; see sent.h. */
#include "api/sent.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "base/utf8.h"
#include "domain/attachment.h"
#include "domain/payload.h"

#define ATTEMPTS_LOOKED_AT 100 /* for one with headers: the last ones, which are shown */

void sent_fini(struct sent *s)
{
	buf_fini(&s->url);
	buf_fini(&s->headers);
	buf_fini(&s->body);
}

static bool take_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	struct sent *s = arg;
	if (!a->has_exchange)
		return true;
	s->found = true;
	s->number = number;
	buf_reset(&s->url);
	buf_slice(&s->url, a->url);
	buf_reset(&s->headers);
	buf_slice(&s->headers, a->exchange.sent);
	return true;
}

static enum err read_attempt(struct call *c, struct db_txn *txn, const struct delivery *d,
    uint32_t number, struct sent *out)
{
	uint32_t back = d->attempts > ATTEMPTS_LOOKED_AT ? d->attempts - ATTEMPTS_LOOKED_AT : 0;
	uint32_t first = number != 0 ? number : back;
	size_t most = number != 0 ? 1 : ATTEMPTS_LOOKED_AT + 1;
	enum err err = attempts_each(txn, &d->id, first, most, take_attempt, out);
	if (err == OK && (!out->found || (number != 0 && out->number != number)))
		return problem_set(&c->problem, ERR_NOTFOUND, "attempt",
		    "no headers of such an attempt are kept: they are of each that failed, of "
		    "one that came after it, and of some of the others");
	return err;
}

/* The form of the body: the webhook's, unless the type that was sent is another one's. */
static enum payload form_of(const struct webhook *w, struct slice type)
{
	enum payload form = w == NULL ? PAYLOAD_ENVELOPE : w->payload;
	if (slice_eq(type, slice_of(PAYLOAD_TYPES[form])))
		return form;
	return slice_eq(type, slice_of(PAYLOAD_TYPES[PAYLOAD_CLOUDEVENTS]))
	    ? PAYLOAD_CLOUDEVENTS
	    : PAYLOAD_ENVELOPE;
}

/* Reads what a source's sender has sent. */
static enum err read_raw(struct db_txn *txn, const struct event *e, struct sent *out)
{
	struct buf bytes = BUF_INIT(EVENT_ATTACHED_MAX);
	struct attachment a;
	size_t n = 0;
	enum err err = buf_reserve(&bytes, e->attached_bytes) ? OK : ERR_CORRUPT;
	if (err == OK)
		err = events_read_body(txn, &e->id, e->body_bytes, bytes.data,
		    e->attached_bytes, &n);
	bytes.len = n;
	if (err == OK)
		err = attachment_decode(buf_view(&bytes), &a);
	if (err == OK) {
		out->body_bytes = a.body.len;
		if (a.body.len <= SENT_BODY_MAX)
			buf_slice(&out->body, a.body);
	}
	buf_fini(&bytes);
	return err;
}

/* Makes the body of the envelope in `text`. */
static void make_body(const struct event *e, enum payload form, const struct buf *text,
    struct sent *out)
{
	const struct payload_event of = {&e->id, slice_of(e->session), slice_of(e->name),
	    buf_view(text)};
	struct payload_body p;
	payload_make(form, &of, &p);
	out->body_bytes = payload_bytes(&p);
	if (out->body_bytes <= SENT_BODY_MAX) {
		buf_slice(&out->body, buf_view(&p.head));
		buf_append(&out->body, text->data + p.at, p.len);
		buf_slice(&out->body, p.tail);
	}
	payload_fini(&p);
}

static enum err read_body(struct call *c, struct db_txn *txn, const struct delivery *d,
    struct sent *out)
{
	struct event e;
	struct buf text = BUF_INIT(EVENT_BODY_MAX);
	const struct webhook *w = registry_get(c->api->conf.registry, d->webhook);
	struct slice type = attempt_header(buf_view(&out->headers), "Content-Type");
	enum payload form = form_of(w, type);
	enum err err = events_get(txn, &d->event_id, &e, &text);
	if (err == OK && e.attached_bytes > 0 && form == PAYLOAD_ENVELOPE)
		err = read_raw(txn, &e, out);
	else if (err == OK)
		make_body(&e, form, &text, out);
	buf_fini(&text);
	return err;
}

enum err sent_read(struct call *c, uint32_t number, struct sent *out)
{
	struct db_txn *txn = NULL;
	struct delivery d;
	struct event e;
	*out = (struct sent){.url = BUF_INIT(URL_MAX),
	    .headers = BUF_INIT(ATTEMPT_HEADERS_MAX),
	    .body = BUF_INIT(SENT_BODY_MAX)};
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = deliveries_find(c, txn, &d, &e);
	if (err == OK)
		err = read_attempt(c, txn, &d, number, out);
	if (err == OK)
		err = read_body(c, txn, &d, out);
	db_read_end(txn);
	return err;
}

/* In single quotes a shell changes nothing, and only a quote has to be said otherwise. */
static void put_quoted(struct buf *out, struct slice text)
{
	buf_putc(out, '\'');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\'')
			buf_puts(out, "'\\''");
		else
			buf_putc(out, text.ptr[i]);
	}
	buf_putc(out, '\'');
}

/*
 * Whether a text comes through a terminal and a clipboard as it is: UTF-8 without control
 * characters but the end of a line.
 */
static bool is_plain(struct slice text)
{
	const unsigned char *p = (const unsigned char *)text.ptr;
	size_t len = 0;
	for (size_t i = 0; i < text.len; i += len) {
		len = p[i] < 0x80 ? 1 : utf8_len(p + i, text.len - i);
		if (len == 0 || (p[i] < ' ' && p[i] != '\n') || p[i] == 0x7f)
			return false;
	}
	return true;
}

/* A command that prints any bytes: each but letters and digits as printf() has it. */
static void put_printf(struct buf *out, struct slice text)
{
	buf_puts(out, "printf '");
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool is_plain_byte = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z');
		char octal[8];
		(void)snprintf(octal, sizeof(octal), is_plain_byte ? "%c" : "\\%03o", c);
		buf_puts(out, octal);
	}
	buf_puts(out, "' | ");
}

/* Headers as curl takes them: "Name;" sends an empty one. */
static void put_command_headers(const struct sent *s, struct buf *out)
{
	struct slice lines = buf_view(&s->headers);
	struct slice name;
	struct slice value;
	while (attempt_next_header(&lines, &name, &value)) {
		struct buf line = BUF_INIT(ATTEMPT_HEADERS_MAX + 2);
		buf_slice(&line, name);
		buf_puts(&line, value.len > 0 ? ": " : ";");
		buf_slice(&line, value);
		buf_puts(out, " \\\n  -H ");
		put_quoted(out, buf_view(&line));
		buf_fini(&line);
	}
}

void sent_put_command(const struct sent *s, struct buf *out)
{
	struct slice body = buf_view(&s->body);
	bool is_file = s->body_bytes > SENT_SHELL_MAX;
	bool is_piped = !is_file && !is_plain(body);
	if (is_piped)
		put_printf(out, body);
	buf_puts(out, "curl --globoff --path-as-is -X POST ");
	put_quoted(out, buf_view(&s->url));
	put_command_headers(s, out);
	buf_puts(out, " \\\n  ");
	if (is_file) {
		buf_puts(out, "--data-binary @body");
	} else if (is_piped) {
		buf_puts(out, "--data-binary @-");
	} else {
		buf_puts(out, "--data-raw ");
		put_quoted(out, body);
	}
	buf_putc(out, '\n');
}
