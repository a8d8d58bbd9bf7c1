/* Phrases and error answers; see http_error.h. */
#include "http/http_error.h"

#include <stddef.h>

#define RETRY_AFTER "Retry-After: " HTTP_RETRY_AFTER_S "\r\n"

const char *http_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} PHRASES[] = {{200, "OK"}, {202, "Accepted"}, {204, "No Content"}, {302, "Found"},
	    {304, "Not Modified"}, {400, "Bad Request"}, {401, "Unauthorized"},
	    {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
	    {408, "Request Timeout"}, {409, "Conflict"}, {411, "Length Required"},
	    {413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
	    {417, "Expectation Failed"}, {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
	    {501, "Not Implemented"}, {503, "Service Unavailable"},
	    {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}};
	for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++) {
		if (PHRASES[i].status == status)
			return PHRASES[i].phrase;
	}
	return "";
}

struct slice http_error_lines(int status)
{
	return status == 429 || status == 503 ? SLICE(RETRY_AFTER) : SLICE("");
}

void http_error_put(struct buf *out, int status, const char *content_type, struct slice lines,
    struct slice body)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", status,
	    http_phrase(status), content_type, body.len);
	buf_slice(out, lines);
	buf_puts(out, "Connection: close\r\n\r\n");
	buf_slice(out, body);
}
