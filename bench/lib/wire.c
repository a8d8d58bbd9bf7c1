/* Heads of requests and answers; see wire.h. */
#include "wire.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

#define STATUS_AT 9 /* after "HTTP/1.1 " */

bool wire_head(struct slice bytes, struct slice *head)
{
	if (bytes.len == 0)
		return false;
	const char *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
	if (end == NULL)
		return false;
	*head = (struct slice){bytes.ptr, (size_t)(end - bytes.ptr) + 4};
	return true;
}

struct slice wire_header(struct slice head, const char *name)
{
	size_t name_len = strlen(name);
	const char *end = head.ptr + head.len;
	const char *line = memchr(head.ptr, '\n', head.len);
	while (line != NULL && ++line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		if (next == NULL)
			break;
		bool is_it = (size_t)(next - line) > name_len && line[name_len] == ':' &&
		    strncasecmp(line, name, name_len) == 0;
		if (is_it) {
			const char *value = line + name_len + 1;
			return slice_trim((struct slice){value, (size_t)(next - 1 - value)});
		}
		line = next;
	}
	return SLICE("");
}

uint64_t wire_length(struct slice head)
{
	uint64_t n = 0;
	return str_u64(wire_header(head, "Content-Length"), &n) == OK ? n : 0;
}

int wire_status(struct slice head)
{
	uint64_t status = 0;
	if (head.len < STATUS_AT + 3 || memcmp(head.ptr, "HTTP/1.", 7) != 0 ||
	    str_u64((struct slice){head.ptr + STATUS_AT, 3}, &status) != OK)
		return 0;
	return (int)status;
}
