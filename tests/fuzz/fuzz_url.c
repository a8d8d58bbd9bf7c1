/*
 * url_check() against curl's own parser, which reads the URL again when it is sent. What is let
 * through, curl takes too; both see the same scheme, host and port, and an address in its
 * plain form. What is refused is explained.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <curl/curl.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/url.h"
#include "domain/url_given.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A URL taken apart in the plainest way. `port` is empty where none is given. */
struct parts {
	struct slice scheme, host, port;
};

static struct parts split(struct slice url)
{
	struct parts p = {.scheme = slice_cut(&url, ':')};
	url = (struct slice){url.ptr + 2, url.len - 2};
	size_t end = 0;
	while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?')
		end++;
	p.host = (struct slice){url.ptr, end};
	for (size_t i = end; i > 0 && p.host.ptr[i - 1] != ']'; i--) {
		if (p.host.ptr[i - 1] != ':')
			continue;
		p.port = (struct slice){p.host.ptr + i, end - i};
		p.host.len = i - 1;
		break;
	}
	return p;
}

static bool same_text(struct slice a, const char *b)
{
	return a.len == strlen(b) && strncasecmp(a.ptr, b, a.len) == 0;
}

/* Whether two texts are the same address in [ ]. */
static bool same_address(struct slice a, const char *b)
{
	struct in6_addr one;
	struct in6_addr two;
	char *left = mem_copy(a.ptr + 1, a.len - 2);
	char *right = mem_copy(b + 1, strlen(b) - 2);
	bool same = inet_pton(AF_INET6, left, &one) == 1 &&
	    inet_pton(AF_INET6, right, &two) == 1 && memcmp(&one, &two, sizeof(one)) == 0;
	free(left);
	free(right);
	return same;
}

/* Gets a part as curl sees it; curl_free() it. */
static char *get(CURLU *curl, CURLUPart part, unsigned flags)
{
	char *text = NULL;
	CURLUcode code = curl_url_get(curl, part, &text, flags);
	panic_if(code != CURLUE_OK && code != CURLUE_NO_QUERY, "curl: part %d: %s", part,
	    curl_url_strerror(code));
	return text;
}

static void compare(struct slice url, CURLU *curl)
{
	struct parts p = split(url);
	uint64_t port = p.scheme.len == 5 ? 443 : 80;
	char *scheme = get(curl, CURLUPART_SCHEME, 0);
	char *host = get(curl, CURLUPART_HOST, 0);
	char *curls_port = get(curl, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	panic_if(!same_text(p.scheme, scheme), "scheme %s", scheme);
	if (p.host.len > 0 && p.host.ptr[0] == '[')
		panic_if(host[0] != '[' || !same_address(p.host, host), "address %s", host);
	else
		panic_if(!same_text(p.host, host), "host %s", host);
	panic_if(p.port.len > 0 && str_u64(p.port, &port) != OK, "port");
	panic_if(port != strtoull(curls_port, NULL, 10), "port %s", curls_port);
	curl_free(scheme);
	curl_free(host);
	curl_free(curls_port);
}

/* What was let through: nothing of it is read in another way by curl. */
static void check_good(struct slice url)
{
	panic_if(url.len < sizeof("http://") || url.len > URL_MAX, "length");
	for (size_t i = 0; i < url.len; i++) {
		unsigned char c = (unsigned char)url.ptr[i];
		panic_if(c <= ' ' || c >= 0x7f, "a byte that cannot be sent");
		panic_if(c == '#' || c == '\\', "a byte with two readings");
	}
	char *text = mem_copy(url.ptr, url.len);
	CURLU *curl = curl_url();
	CURLUcode code = curl_url_set(curl, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	panic_if(code != CURLUE_OK, "curl: %s", curl_url_strerror(code));
	compare(url, curl);
	curl_url_cleanup(curl);
	free(text);
}

/* What is made of it is good, and stays what it is; what is good is taken as it is. */
static void check_given(struct slice url, bool is_good)
{
	struct problem p = {.message = ""};
	struct buf sent = BUF_INIT(4 * URL_MAX);
	struct buf again = BUF_INIT(4 * URL_MAX);
	enum err err = url_take(url, &sent, "url", &p);
	panic_if(err != OK && (err != ERR_INVALID || p.message[0] == '\0'), "without a word");
	panic_if(is_good && err != OK, "what is good is refused");
	if (err == OK) {
		check_good(buf_view(&sent));
		panic_if(url_take(buf_view(&sent), &again, "url", &p) != OK, "twice");
		panic_if(!slice_eq(buf_view(&sent), buf_view(&again)), "changes again");
	}
	buf_fini(&sent);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct slice url = {(const char *)data, size};
	struct problem p = {.message = ""};
	enum err err = url_check(url, "url", &p);
	panic_if(err != OK && (err != ERR_INVALID || p.message[0] == '\0'),
	    "refused without a word");
	if (err == OK)
		check_good(url);
	check_given(url, err == OK);
	return 0;
}
