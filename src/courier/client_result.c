/* What came of a request, as curl knows it; see client.h. */
#include "courier/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "courier/client_inner.h"
#include "domain/retry.h"

#define TOO_LARGE 100 /* CURLE_TOO_LARGE, from libcurl 8.6 on */
#define DIGITS "0123456789"
#define DAY_INITIALS "MTWFS" /* of the days of a date in HTTP */

/* A moment since curl got the request, in microseconds; 0: it never came. */
static int64_t moment(CURL *easy, CURLINFO which)
{
	curl_off_t us = 0;
	return curl_easy_getinfo(easy, which, &us) == CURLE_OK ? us : 0;
}

enum shortage client_connect_shortage(const struct client_request *q)
{
	long error = 0;
	if (q->shortage != SHORT_OF_NOTHING || !q->opened)
		return q->shortage; /* there was no socket, or no need of one */
	MUST(curl_easy_getinfo(q->easy, CURLINFO_OS_ERRNO, &error));
	return shortage_of_connect((int)error, (const struct sockaddr *)&q->tried);
}

/* What curl had no memory for: an answer's line over its limit is nothing of that kind. */
static bool is_memory_short(const struct client_request *q)
{
	bool has_begun = q->head_bytes > 0 ||
	    moment(q->easy, CURLINFO_STARTTRANSFER_TIME_T) > 0;
	return shortage_allocations() > q->allocations_failed ||
	    (q->code == CURLE_OUT_OF_MEMORY && !has_begun);
}

/* Codes of curl that may mean that a file or a part of its own could not be had. */
static bool may_lack_descriptors(CURLcode code)
{
	return code == CURLE_SSL_CACERT_BADFILE || code == CURLE_FAILED_INIT ||
	    code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CERTPROBLEM;
}

enum shortage client_find_shortage(const struct client_request *q)
{
	if (q->final_status != 0)
		return SHORT_OF_NOTHING;
	if (q->race != NULL && race_shortage(q->race) != SHORT_OF_NOTHING)
		return race_shortage(q->race); /* or another address might have answered */
	if (q->timed_out)
		return q->failed ? q->shortage : SHORT_OF_NOTHING; /* of the first address */
	if (!q->dialed)
		return way_status(q->way) == LOOKUP_OURS ? SHORT_OF_RESOLVER : SHORT_OF_NOTHING;
	if (q->code == CURLE_COULDNT_CONNECT && client_connect_shortage(q) != SHORT_OF_NOTHING)
		return client_connect_shortage(q);
	if (is_memory_short(q))
		return SHORT_OF_MEMORY;
	if (may_lack_descriptors(q->code) && shortage_is_of_descriptors())
		return SHORT_OF_DESCRIPTORS;
	return SHORT_OF_NOTHING;
}

bool client_is_connected(const struct client_request *q)
{
	return !q->opened || moment(q->easy, CURLINFO_CONNECT_TIME_T) != 0;
}

/*
 * Headers over our limit, or a line of them over curl's own, for which it has "out of memory":
 * were it ours, an allocation would have failed.
 */
static bool are_headers_too_long(const struct client_request *q)
{
	bool is_curls = q->code == CURLE_OUT_OF_MEMORY || (int)q->code == TOO_LARGE;
	return q->head_bytes > CLIENT_HEAD_MAX ||
	    (is_curls && q->shortage == SHORT_OF_NOTHING && q->error[0] == '\0');
}

/* Says in words why no final status came. */
static const char *explain(struct client_request *q)
{
	if (q->given_up)
		(void)snprintf(q->words, sizeof(q->words), "broken off, for want of slots");
	else if (q->timed_out && q->shortage == SHORT_OF_NOTHING)
		(void)snprintf(q->words, sizeof(q->words), "timeout after %u ms",
		    q->timeout_ms);
	else if (q->body_is_lost)
		(void)snprintf(q->words, sizeof(q->words),
		    "the stored event could not be read while it was sent");
	else if (!q->dialed)
		way_explain(q->way, q->words, sizeof(q->words));
	else if (q->refused_range != NULL && q->code == CURLE_COULDNT_CONNECT)
		(void)snprintf(q->words, sizeof(q->words),
		    "address refused: %s addresses are not allowed (allow_cidr)",
		    q->refused_range);
	else if (are_headers_too_long(q))
		(void)snprintf(q->words, sizeof(q->words), "answer's headers are over %d bytes",
		    CLIENT_HEAD_MAX);
	else if (q->shortage != SHORT_OF_NOTHING)
		(void)snprintf(q->words, sizeof(q->words), "the gateway is short of %s",
		    SHORTAGE_NAMES[q->shortage]);
	else
		(void)snprintf(q->words, sizeof(q->words), "%s",
		    q->error[0] != '\0' ? q->error : curl_easy_strerror(q->code));
	return q->words;
}

static int64_t between(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? to_us - from_us : 0;
}

/*
 * Fills in how long the parts of a request took; what did not happen stays 0. Of one that curl
 * was not given it would say what it knows of the one before.
 */
static void measure(const struct client_request *q, struct client_result *r)
{
	CURL *easy = q->easy;
	r->dns_us = way_lookup_us(q->way);
	if (!q->dialed)
		return;
	long connections = 0; /* that were made for it; else its moments are of no work */
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections); /* knows it */
	if (connections > 0) {
		int64_t looked_up = moment(easy, CURLINFO_NAMELOOKUP_TIME_T);
		int64_t connected = moment(easy, CURLINFO_CONNECT_TIME_T);
		r->connect_us = between(looked_up, connected);
		if (connected > 0)
			r->tls_us = between(connected,
			    moment(easy, CURLINFO_APPCONNECT_TIME_T));
	}
	if (q->head_bytes > 0)
		r->first_byte_us = between(moment(easy, CURLINFO_PRETRANSFER_TIME_T),
		    moment(easy, CURLINFO_STARTTRANSFER_TIME_T));
}

/* Puts a port behind the text of an address, which is shorter than INET6_ADDRSTRLEN. */
static void put_address(const char *host, int64_t port, char out[ADDRESS_MAX])
{
	char digits[STR_I64_SIZE];
	struct slice number = str_put_i64(port, digits);
	bool is_ipv6 = strchr(host, ':') != NULL;
	size_t len = strlen(host);
	char *at = out;
	if (len + number.len + sizeof("[]:") > ADDRESS_MAX)
		return;
	if (is_ipv6)
		*at++ = '[';
	memcpy(at, host, len);
	at += len;
	if (is_ipv6)
		*at++ = ']';
	*at++ = ':';
	memcpy(at, digits, number.len + 1);
}

/* The address that was asked for last, though no connection came of it. */
static void name_tried(const struct sockaddr_storage *tried, char out[ADDRESS_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	union {
		struct sockaddr_storage any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a = {.any = *tried};
	if (tried->ss_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host)) != NULL)
		put_address(host, ntohs(a.in6.sin6_port), out);
	else if (tried->ss_family == AF_INET &&
	    inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host)) != NULL)
		put_address(host, ntohs(a.in.sin_port), out);
}

/* Puts into `out` where it was connected to, or tried: "127.0.0.1:9000", "": nowhere. */
static void name_address(const struct client_request *q, char out[ADDRESS_MAX])
{
	CURL *easy = q->easy;
	const char *host = NULL;
	long port = 0;
	out[0] = '\0';
	if (!q->dialed)
		return;
	if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &host) != CURLE_OK || host == NULL ||
	    host[0] == '\0' ||
	    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
		name_tried(&q->tried, out);
	else
		put_address(host, port, out);
}

/* The value of the last header `name` of the head that counts, NULL: none. */
static const char *find_header(CURL *easy, const char *name)
{
	struct curl_header *h = NULL;
	size_t last = 0;
	do {
		if (curl_easy_header(easy, name, last, CURLH_HEADER, -1, &h) != CURLHE_OK)
			return NULL;
		last = h->amount - 1;
	} while (h->index != last);
	return h->value;
}

/*
 * How long the answer asks to be left alone. Not by CURLINFO_RETRY_AFTER: libcurl takes that
 * from a 1xx head too, cuts it off at six hours (8.14), and counts dates in whole seconds of
 * the system's clock. Ours is by the one that due times are by (base/clock.h): what is due at a
 * date is due at that very time, unless the system's clock is set meanwhile.
 */
static int64_t asked_wait(CURL *easy)
{
	const char *value = find_header(easy, "Retry-After");
	uint64_t seconds = 0;
	if (value == NULL)
		return 0;
	if (value[strspn(value, DIGITS)] == '\0') {
		enum err err = str_u64(slice_of(value), &seconds);
		if (err == ERR_TOOBIG || seconds > RETRY_AFTER_MAX_MS / 1000)
			return RETRY_AFTER_MAX_MS;
		return (int64_t)seconds * 1000; /* 0 where there is no digit at all */
	}
	/* curl_getdate() takes digits alone for a date too; those of HTTP begin with a day */
	if (strchr(DAY_INITIALS, value[0]) == NULL)
		return 0;
	time_t date_s = curl_getdate(value, NULL);
	int64_t wait_ms = (int64_t)date_s * 1000 - clock_wall_ms(); /* -1: not a date */
	wait_ms = wait_ms < 0 ? 0 : wait_ms;
	return wait_ms < RETRY_AFTER_MAX_MS ? wait_ms : RETRY_AFTER_MAX_MS;
}

/* Where a redirect leads, in `words`; whoever wrote it may have put anything there. */
static struct slice find_location(struct client_request *q)
{
	const char *value = q->final_status / 100 == 3 ? find_header(q->easy, "Location")
						       : NULL;
	size_t len = 0;
	for (; value != NULL && value[len] != '\0' && len < CLIENT_LOCATION_MAX; len++)
		q->words[len] = value[len] > ' ' && value[len] <= '~' ? value[len] : '?';
	return (struct slice){q->words, len};
}

/* What the answer asks for; anything else is nothing. */
static enum client_wish find_wish(CURL *easy)
{
	const char *value = find_header(easy, "webhook-delivery");
	if (value != NULL && strcasecmp(value, "disable") == 0)
		return WISH_DISABLE;
	return value != NULL && strcasecmp(value, "abort") == 0 ? WISH_ABORT : WISH_NONE;
}

/* Why what is kept of the body is not all of it; NULL: it is. */
static const char *find_lack(const struct client_request *q)
{
	if (q->body_bytes > CLIENT_BODY_MAX)
		return "the answer is over 65536 bytes";
	if (q->timed_out || q->code != CURLE_OK)
		return "the answer broke off, or took too long";
	return NULL;
}

void client_put_result(struct client_request *q, struct client_result *out)
{
	*out = (struct client_result){
	    .status = q->final_status,
	    .error = q->final_status != 0 ? "" : explain(q),
	    .given_up = q->given_up,
	    .shortage = q->shortage,
	    .answer = {.ptr = q->answer, .len = q->answer_len},
	    .location = find_location(q),
	    .retry_after_ms = q->final_status >= 300 || (q->looks && q->final_status != 0)
		? asked_wait(q->easy)
		: 0,
	    .lookup = way_status(q->way),
	    .duration_us = q->ended_us - q->started_us,
	    .address = q->address,
	    .is_proxys = way_is_set(q->way),
	    .url = buf_cstr(&q->parsed_url),
	    .request = q,
	};
	if (q->has_wish && q->final_status != 0)
		out->wish = find_wish(q->easy);
	if (q->keeps) {
		out->whole = buf_view(&q->whole);
		out->lacks = find_lack(q);
	}
	if (q->dialed)
		MUST(curl_easy_getinfo(q->easy, CURLINFO_EFFECTIVE_URL, &out->url));
	name_address(q, q->address);
	measure(q, out);
}
