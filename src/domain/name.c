/*
 * Names that clients choose; see name.h. The alphabets are written out as
 * ranges: the locale has no say in what an event may be called.
 */
#include "domain/name.h"

#include <string.h>

#include "base/percent.h"
#include "base/utf8.h"
#include "base/uuid.h"

/* Source: docs/api.md; first the published page's, then its successor's. */
const char *const NAME_EVENTS[] = {
    "all",
    "message",
    "receipt",
    "presence",
    "chat_presence",
    "group_update",
    "joined_group",
    "qr_code",
    "pair_code",
    "connected",
    "disconnected",
    "logged_out",

    "picture_update",
    "user_about_update",
    "push_name_update",
    "contact_update",
    "device_list_update",
    "pin_update",
    "mute_update",
    "archive_update",
    "mark_chat_as_read",
    "undecryptable_message",
    "client_outdated",
    "offline_sync_preview",
    "offline_sync_completed",
    "scheduled_sent",
    "scheduled_failed",
    "blast_progress",
    "blast_completed",
    "account_locked",
    "call_log_sync",
    "stream_error",
    "enc_decrypt_failed",
    "incoming_call",
    "send_result",
};

const size_t NAME_EVENTS_COUNT = sizeof(NAME_EVENTS) / sizeof(NAME_EVENTS[0]);

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The length of the character at `p`, of `left` bytes; 0 for a control or what is no UTF-8. */
static size_t session_char(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
	size_t len = utf8_len(p, left);
	bool is_c1 = len == 2 && p[0] == 0xc2 && p[1] <= 0x9f; /* U+0080 to U+009F */
	return is_c1 ? 0 : len;
}

static bool is_event_char(char c)
{
	return is_lower_or_digit(c) || c == '_' || c == '.';
}

bool name_is_session(struct slice s)
{
	return name_is_kept(s) && !slice_eq(s, SLICE(SESSION_ALL));
}

bool name_is_kept(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	if (s.len == 0 || s.len > SESSION_MAX)
		return false;
	for (size_t i = 0; i < s.len;) {
		size_t len = session_char(p + i, s.len - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

static bool is_listed_char(char c)
{
	static const char MARKS[] = "._~-@:+%";
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80 ||
	    (c != '\0' && strchr(MARKS, c) != NULL);
}

enum err name_read_session(struct slice written, char out[SESSION_MAX + 1])
{
	size_t len = 0;
	for (size_t i = 0; i < written.len; i++) {
		if (!is_listed_char(written.ptr[i]))
			return ERR_INVALID;
	}
	if (percent_decode(written, SESSION_MAX, out, &len) != OK ||
	    !name_is_session((struct slice){out, len}))
		return ERR_INVALID;
	out[len] = '\0';
	return OK;
}

bool name_is_folded(struct slice s)
{
	return slice_eq(s, SLICE(".")) || slice_eq(s, SLICE(".."));
}

bool name_is_event(struct slice s)
{
	if (s.len == 0 || s.len > EVENT_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_event_char(s.ptr[i]))
			return false;
	}
	return true;
}

bool name_put_session(struct slice s, char out[SESSION_MAX + 1])
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t n = 0;
	for (size_t i = 0; i < s.len;) {
		size_t len = session_char(p + i, s.len - i);
		size_t taken = len == 0 ? 1 : len;
		if (n + taken > SESSION_MAX)
			break;
		memcpy(out + n, len == 0 ? "_" : s.ptr + i, taken);
		i += taken;
		n += taken;
	}
	out[n] = '\0';
	if (n > 0 &&
	    (!name_is_session((struct slice){out, n}) ||
		name_is_folded((struct slice){out, n})))
		out[0] = '_';
	return n > 0;
}

bool name_put_event(struct slice s, char out[EVENT_MAX + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < s.len && n < EVENT_MAX; i++) {
		char c = s.ptr[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		if (is_event_char(c))
			out[n++] = c;
		else if (n > 0 && out[n - 1] != '.')
			out[n++] = '.';
	}
	while (n > 0 && out[n - 1] == '.')
		n--;
	out[n] = '\0';
	if (strcmp(out, "all") == 0)
		out[0] = '\0';
	return out[0] != '\0';
}

static bool is_webhook_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    c == '.' || c == '_' || c == '-';
}

bool name_is_webhook(struct slice s)
{
	static const struct slice RESERVED[] = {SLICE_INIT("dlq"), SLICE_INIT("all"),
	    SLICE_INIT("."), SLICE_INIT("..")};
	struct uuid id;
	if (s.len == 0 || s.len > WEBHOOK_NAME_MAX || uuid_parse(s, &id) == OK)
		return false;
	for (size_t i = 0; i < sizeof(RESERVED) / sizeof(RESERVED[0]); i++) {
		if (slice_eq(s, RESERVED[i]))
			return false;
	}
	for (size_t i = 0; i < s.len; i++) {
		if (!is_webhook_char(s.ptr[i]))
			return false;
	}
	return true;
}

/* Takes a * off the end; whether there was one. */
static bool cut_star(struct slice *s)
{
	bool has_star = s->len > 0 && s->ptr[s->len - 1] == '*';
	s->len -= has_star ? 1 : 0;
	return has_star;
}

bool name_is_pattern(struct slice s)
{
	(void)cut_star(&s); /* with one or without */
	return name_is_event(s);
}

static bool covers(struct slice pattern, struct slice event)
{
	if (slice_eq(pattern, SLICE("all")))
		return true;
	return cut_star(&pattern) ? slice_starts(event, pattern) : slice_eq(event, pattern);
}

bool name_is_covered(struct slice event, char *const patterns[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (covers(slice_of(patterns[i]), event))
			return true;
	}
	return false;
}

static bool is_listed(struct slice s, const char *const names[], size_t n)
{
	struct slice start = s;
	bool has_star = cut_star(&start);
	for (size_t i = 0; i < n; i++) {
		struct slice name = slice_of(names[i]);
		bool begins = has_star && !slice_eq(name, SLICE("all")) &&
		    slice_starts(name, start);
		if (begins || slice_eq(name, s))
			return true;
	}
	return false;
}

bool name_is_subscribable(struct slice s, char *const extra[], size_t n)
{
	return is_listed(s, NAME_EVENTS, NAME_EVENTS_COUNT) ||
	    is_listed(s, (const char *const *)extra, n);
}
