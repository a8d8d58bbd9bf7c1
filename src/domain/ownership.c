/* What the record says of an endpoint that is asked; see ownership.h. */
#include "domain/ownership.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/webhook.h"

static const char *const WAYS[] = {
    [OWNERSHIP_NOT_ASKED] = NULL,
    [OWNERSHIP_BY_GET] = "get",
    [OWNERSHIP_BY_POST] = "post",
};

static const char *const STATES[] = {
    [OWNERSHIP_UNASKED] = NULL,
    [OWNERSHIP_PENDING] = "pending",
    [OWNERSHIP_VERIFIED] = "verified",
    [OWNERSHIP_FAILED] = "failed",
};

void ownership_fini(struct ownership *o)
{
	free(o->error);
	*o = (struct ownership){0};
}

bool ownership_read_way(const char *text, enum ownership_way *out)
{
	for (int way = OWNERSHIP_BY_GET; way <= OWNERSHIP_BY_POST; way++) {
		if (strcmp(text, WAYS[way]) == 0) {
			*out = (enum ownership_way)way;
			return true;
		}
	}
	return false;
}

/* Whoever was disabled for having failed need not be enabled by hand. */
static void lift(struct webhook *w)
{
	if (!w->enabled && w->disabled_reason != NULL &&
	    strcmp(w->disabled_reason, WEBHOOK_DISABLED_BY_OWNERSHIP) == 0)
		webhook_set_enabled(w, NULL);
}

static void set_state(struct ownership *o, enum ownership_state state, const char *error,
    int64_t now_ms)
{
	o->state = state;
	o->since_ms = now_ms > o->since_ms ? now_ms : o->since_ms + 1;
	webhook_set(&o->error, error);
}

/*
 * Whether both go through the same proxy: one of its owner's may answer in the place of any
 * endpoint.
 */
static bool has_same_proxy(const struct webhook *w, const struct webhook *old)
{
	static const struct proxy_choice NONE;
	return proxy_is_same(w->options == NULL ? &NONE : &w->options->proxy,
	    old->options == NULL ? &NONE : &old->options->proxy);
}

/* Whether an endpoint that has failed is asked once more. */
static bool is_given_another_try(const struct webhook *w, const struct webhook *old)
{
	bool enabled_now = w->enabled && !old->enabled;
	return w->ownership.state == OWNERSHIP_FAILED &&
	    (enabled_now || w->ownership.way != old->ownership.way);
}

void ownership_follow(struct webhook *w, const struct webhook *old, bool wants, bool asks,
    int64_t now_ms)
{
	struct ownership *o = &w->ownership;
	bool moves = old == NULL || strcmp(w->url, old->url) != 0;
	if (o->way == OWNERSHIP_NOT_ASKED && wants && (moves || asks))
		o->way = OWNERSHIP_BY_GET;
	if (o->way == OWNERSHIP_NOT_ASKED) {
		lift(w);
		ownership_fini(o);
		return;
	}
	if (!moves && !asks && o->state != OWNERSHIP_UNASKED && has_same_proxy(w, old) &&
	    !is_given_another_try(w, old))
		return;
	lift(w);
	set_state(o, OWNERSHIP_PENDING, NULL, now_ms);
}

void ownership_conclude(struct webhook *w, const char *why, int64_t now_ms)
{
	set_state(&w->ownership, why == NULL ? OWNERSHIP_VERIFIED : OWNERSHIP_FAILED, why,
	    now_ms);
	if (why != NULL && w->enabled)
		webhook_set_enabled(w, WEBHOOK_DISABLED_BY_OWNERSHIP);
}

const char *ownership_hold(const struct ownership *o)
{
	if (o->state == OWNERSHIP_PENDING)
		return "its endpoint has not repeated the challenge yet";
	return o->state == OWNERSHIP_FAILED ? WEBHOOK_DISABLED_BY_OWNERSHIP : NULL;
}

void ownership_write(const struct ownership *o, struct json_writer *json)
{
	json_write_cstr(json, "verify", WAYS[o->way]);
	if (o->state == OWNERSHIP_UNASKED) {
		json_write_null(json, "ownership");
		return;
	}
	json_open_object(json, "ownership");
	json_write_cstr(json, "state", STATES[o->state]);
	json_write_time_or_null(json, "since", o->since_ms);
	json_write_cstr(json, "error", o->error);
	json_close(json);
}

void ownership_encode(const struct ownership *o, struct buf *out)
{
	put_u8(out, (uint8_t)o->way);
	put_u8(out, (uint8_t)o->state);
	put_i64(out, o->since_ms);
	put_text(out, slice_of(o->error));
}

void ownership_decode(struct reader *r, struct ownership *out)
{
	uint8_t way = get_u8(r);
	uint8_t state = get_u8(r);
	out->since_ms = get_i64(r);
	struct slice error = get_text(r);
	bool asked = way != OWNERSHIP_NOT_ASKED;
	r->failed = r->failed || way > OWNERSHIP_BY_POST || state > OWNERSHIP_FAILED ||
	    asked != (state != OWNERSHIP_UNASKED) || asked != (out->since_ms > 0) ||
	    out->since_ms < 0 || (error.len > 0) != (state == OWNERSHIP_FAILED) ||
	    error.len >= OWNERSHIP_ERROR_MAX ||
	    (error.len > 0 && memchr(error.ptr, '\0', error.len) != NULL);
	if (r->failed)
		return;
	out->way = (enum ownership_way)way;
	out->state = (enum ownership_state)state;
	if (error.len > 0)
		out->error = mem_copy(error.ptr, error.len);
}
