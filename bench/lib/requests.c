/* Requests as text; see requests.h. Each body is written behind room for its head. */
#include "requests.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hmac.h"
#include "net.h"
#include "publisher.h"

#define HEAD_ROOM 2048  /* bytes; longer than any head */
#define EVENT_FIXED 256 /* bytes of an event without its text, but for the session's name */
#define SPREAD 2.0      /* standard deviation of a size's logarithm, where it is lognormal */
#define CIRCLE 6.283185307179586

/* Any number from `n`, always the same: the finalizer of splitmix64. */
static uint64_t scatter(uint64_t n)
{
	n += 0x9e3779b97f4a7c15;
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
	n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
	return n ^ (n >> 31);
}

static uint64_t session_of(const struct requests *r, uint64_t n)
{
	return r->first + r->step * ((r->is_random ? scatter(n) : n) % r->sessions);
}

/* Any number above 0, up to 1, from `n`. */
static double fraction(uint64_t n)
{
	return (double)((n >> 11) + 1) / 9007199254740992.0; /* 2 to the 53rd */
}

/* A size around the median, between the least and the most: drawn anew until it is. */
static size_t lognormal(const struct requests *r, uint64_t n)
{
	double size = 0;
	do {
		n = scatter(n);
		double far = sqrt(-2 * log(fraction(n))); /* Box and Muller */
		double normal = far * cos(CIRCLE * fraction(scatter(~n)));
		size = (double)r->median * exp(SPREAD * normal);
	} while (size < (double)r->body || size > (double)r->body_max);
	return (size_t)size;
}

static size_t size_of(const struct requests *r, uint64_t n)
{
	if (r->median > 0)
		return lognormal(r, n);
	if (r->body_max > r->body)
		return r->body + scatter(n) % (r->body_max - r->body + 1);
	return r->body;
}

static size_t room_of(size_t used)
{
	return PUBLISHER_REQUEST_MAX - used;
}

/* Writes `"event":…,"data":{…}}`, filled up so that it ends at `size` of `out`. */
static size_t write_event(struct requests *r, uint64_t n, uint64_t due_us, char *out,
    size_t len)
{
	static const char END[] = "\"}}";
	if (r->start_us == 0)
		r->start_us = due_us;
	uint64_t stamp = due_us - r->start_us >= r->warm_up_us ? due_us : 0;
	size_t size = size_of(r, n);
	size_t from = len;
	len += (size_t)snprintf(out + len, room_of(len),
	    "\"event\":\"message\",\"data\":{\"n\":%" PRIu64 ",\"at\":%" PRIu64 ",\"text\":\"",
	    n, stamp);
	size_t taken = len - from + strlen(END);
	size_t fill = size > taken ? size - taken : 0;
	memset(out + len, 'x', fill);
	memcpy(out + len + fill, END, strlen(END));
	return len + fill + strlen(END);
}

/* Writes the head in front of the body that lies at HEAD_ROOM, and closes the gap. */
static size_t finish(const struct requests *r, const char *path, const char *type, size_t body,
    char *out)
{
	int head = snprintf(out, HEAD_ROOM,
	    "POST /api/v1/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
	    path, r->token, type, body);
	if (head < 0 || head >= HEAD_ROOM)
		net_die("a head is too long");
	memmove(out + head, out + HEAD_ROOM, body);
	return (size_t)head + body;
}

size_t requests_event(void *arg, uint64_t n, uint64_t due_us, char *out)
{
	struct requests *r = arg;
	char path[HEAD_ROOM / 2];
	(void)snprintf(path, sizeof(path), "sessions/%s%" PRIu64 "/events", r->prefix,
	    session_of(r, n));
	size_t len = HEAD_ROOM;
	out[len++] = '{';
	if (r->has_ids)
		len += (size_t)snprintf(out + len, room_of(len), "\"id\":\"e%" PRIu64 "\",", n);
	len = write_event(r, n, due_us, out, len);
	return finish(r, path, "application/json", len - HEAD_ROOM, out);
}

size_t requests_sent(void *arg, uint64_t n, uint64_t due_us, char *out)
{
	struct requests *r = arg;
	char code[HMAC_TEXT_SIZE];
	size_t len = HEAD_ROOM;
	len += (size_t)snprintf(out + len, room_of(len),
	    "{\"sessionId\":\"%s%" PRIu64 "\",\"idempotencyKey\":\"e%" PRIu64
	    "\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",",
	    r->prefix, session_of(r, n), n);
	len = write_event(r, n, due_us, out, len);
	hmac_begin(r->mac);
	hmac_add(r->mac, out + HEAD_ROOM, len - HEAD_ROOM);
	hmac_end(r->mac, code);
	int head = snprintf(out, HEAD_ROOM,
	    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-OpenWA-Signature: %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    r->door, code, len - HEAD_ROOM);
	if (head < 0 || head >= HEAD_ROOM)
		net_die("a head is too long");
	memmove(out + head, out + HEAD_ROOM, len - HEAD_ROOM);
	return (size_t)head + len - HEAD_ROOM;
}

size_t requests_batch(void *arg, uint64_t n, uint64_t due_us, char *out)
{
	struct requests *r = arg;
	size_t len = HEAD_ROOM;
	for (uint64_t i = n * r->batch; i < (n + 1) * r->batch; i++) {
		len += (size_t)snprintf(out + len, room_of(len),
		    "{\"session_id\":\"%s%" PRIu64 "\",", r->prefix, session_of(r, i));
		len = write_event(r, i, due_us, out, len);
		out[len++] = '\n';
	}
	return finish(r, "events", "application/x-ndjson", len - HEAD_ROOM, out);
}

/* Appends the webhook's URL with what stands for {n} and {host}. */
static size_t write_url(const struct requests *r, uint64_t n, char *out, size_t len)
{
	uint32_t address = NET_RECEIVERS + (uint32_t)(n % NET_RECEIVERS_MAX);
	for (const char *p = r->url; *p != '\0'; p++) {
		if (strncmp(p, "{n}", 3) == 0) {
			len += (size_t)snprintf(out + len, room_of(len), "%" PRIu64, n);
			p += 2;
		} else if (strncmp(p, "{host}", 6) == 0) {
			len += (size_t)snprintf(out + len, room_of(len), "%u.%u",
			    (unsigned)(address >> 8 & 0xff), (unsigned)(address & 0xff));
			p += 5;
		} else {
			out[len++] = *p;
		}
	}
	return len;
}

size_t requests_webhook(void *arg, uint64_t n, uint64_t due_us, char *out)
{
	const struct requests *r = arg;
	char path[HEAD_ROOM / 2];
	(void)due_us;
	uint64_t session = session_of(r, n);
	(void)snprintf(path, sizeof(path), "sessions/%s%" PRIu64 "/webhooks", r->prefix,
	    session);
	size_t len = HEAD_ROOM;
	len += (size_t)snprintf(out + len, room_of(len), "{\"url\":\"");
	len = write_url(r, session, out, len);
	len += (size_t)snprintf(out + len, room_of(len),
	    "\",\"secret\":\"bench\",\"max_in_flight\":%u}", r->max_in_flight);
	return finish(r, path, "application/json", len - HEAD_ROOM, out);
}

size_t requests_max(const struct requests *r)
{
	size_t body = r->body_max > r->body ? r->body_max : r->body;
	size_t url = r->url == NULL ? 0 : strlen(r->url);
	return HEAD_ROOM + url + r->batch * (body + EVENT_FIXED + strlen(r->prefix));
}
