/* What was said on the wire, as it may be shown; see client.h. */
#include "courier/client.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/handshake.h"
#include "courier/client_inner.h"
#include "domain/header.h"

/* Lines that grow, whole ones alone. */
struct lines {
	char *text;
	size_t len;
	bool full;
};

static void put_line(struct lines *out, struct slice name, struct slice value)
{
	size_t len = name.len + value.len + sizeof(": \n") - 1;
	out->full = out->full || len > CLIENT_SEEN_MAX - out->len;
	if (out->full)
		return;
	char *at = out->text + out->len;
	memcpy(at, name.ptr, name.len);
	memcpy(at + name.len, ": ", 2);
	memcpy(at + name.len + 2, value.ptr, value.len);
	at[len - 1] = '\n';
	out->len += len;
}

/* A line as curl was given it: "Name: value", "Name;" for an empty value, "Name:" for none. */
static void put_given(struct lines *out, struct slice line, bool is_hidden)
{
	struct slice value = line;
	struct slice name = slice_cut(&value, ':');
	if (name.len == line.len && name.len > 0 && name.ptr[name.len - 1] == ';')
		name.len--;
	else if (value.len == 0)
		return; /* what curl would set is left out */
	put_line(out, name, is_hidden ? SLICE(CLIENT_HIDDEN) : slice_trim(value));
}

/* The headers of the request; an item of curl's list may have several of them. */
static void put_sent(const struct client_request *q, struct lines *out)
{
	for (size_t i = 0; i < q->line_count; i++) {
		struct slice rest = slice_of(q->lines.data + q->line_at[i]);
		bool is_hidden = (q->hidden >> i & 1) != 0;
		while (rest.len > 0) {
			struct slice line = slice_cut(&rest, '\n');
			if (line.len > 0 && line.ptr[line.len - 1] == '\r')
				line.len--;
			put_given(out, line, is_hidden);
		}
	}
}

/* Whether a header of an answer gives its reader something to show who he is. */
static bool gives_credential(const char *name)
{
	return header_is_credential(name) || strncasecmp(name, "Set-Cookie", 10) == 0 ||
	    strcasecmp(name, "Authentication-Info") == 0 ||
	    strncasecmp(name, "Proxy-Auth", 10) == 0;
}

static void put_answered(const struct client_request *q, struct lines *out)
{
	struct curl_header *h = curl_easy_nextheader(q->easy, CURLH_HEADER, -1, NULL);
	for (; h != NULL; h = curl_easy_nextheader(q->easy, CURLH_HEADER, -1, h))
		put_line(out, slice_of(h->name),
		    gives_credential(h->name) ? SLICE(CLIENT_HIDDEN) : slice_of(h->value));
}

/* HTTP's version as a number; 0 also where curl knows one that we do not. */
static int version_of(CURL *easy)
{
	long version = CURL_HTTP_VERSION_NONE;
	MUST(curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version));
	switch (version) {
	case CURL_HTTP_VERSION_1_0:
		return 10;
	case CURL_HTTP_VERSION_1_1:
		return 11;
	case CURL_HTTP_VERSION_2_0:
		return 20;
	default:
		return 0;
	}
}

void client_describe(const struct client_result *r, struct client_seen *out)
{
	const struct client_request *q = r->request;
	struct lines sent = {.text = out->sent};
	struct lines answered = {.text = out->answered};
	out->http_version = 0;
	out->tls = "";
	out->subject[0] = '\0';
	out->expires_ms = INT64_MIN;
	if (q != NULL)
		put_sent(q, &sent);
	if (q != NULL && q->dialed && q->final_status != 0) {
		out->http_version = version_of(q->easy);
		put_answered(q, &answered);
	}
	if (q != NULL && q->tls != NULL)
		out->tls = q->tls;
	if (q != NULL && q->certificate != NULL)
		handshake_describe(q->certificate, out->subject, sizeof(out->subject),
		    &out->expires_ms);
	out->sent_len = sent.len;
	out->answered_len = answered.len;
}
