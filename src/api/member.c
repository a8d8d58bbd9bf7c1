/* Members of answers; see member.h. */
#include "api/member.h"

#include "base/str.h"
#include "domain/json.h"

void member_put_id(struct buf *out, const char *key, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	buf_printf(out, "\"%s\":\"%s\",", key, text);
}

void member_put_time(struct buf *out, const char *key, int64_t ms)
{
	char stamp[STR_TIME_SIZE];
	str_time(ms, stamp);
	buf_printf(out, "\"%s\":\"%s\",", key, stamp);
}

void member_put_text(struct buf *out, const char *key, struct slice text)
{
	buf_printf(out, "\"%s\":", key);
	if (text.len == 0)
		buf_puts(out, "null");
	else
		json_put_lossy(text, out);
	buf_putc(out, ',');
}
