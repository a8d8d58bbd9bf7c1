/* How requests are sent; see webhook_options.h. */
#include "domain/webhook_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/header.h"

/* What there is of it, in the record. */
#define HAS_NO_PROXY 0x01
#define HAS_OWN_PROXY 0x02
#define HAS_EXCEPTIONS 0x04
#define HAS_AGENT 0x08
#define HAS_HTTP2 0x10
#define HAS_GZIP 0x20
#define HAS_ALL 0x3f

struct webhook_options *webhook_options_of(struct webhook_options **o)
{
	if (*o == NULL)
		*o = mem_new(sizeof(**o));
	return *o;
}

void webhook_options_free(struct webhook_options *o)
{
	if (o == NULL)
		return;
	proxy_clear(&o->proxy);
	free(o->user_agent);
	free(o);
}

static uint8_t parts_of(const struct webhook_options *o)
{
	unsigned parts = 0;
	if (o == NULL)
		return 0;
	parts |= o->proxy.kind == PROXY_NONE ? HAS_NO_PROXY : 0;
	parts |= o->proxy.kind == PROXY_OWN ? HAS_OWN_PROXY : 0;
	parts |= o->proxy.exception_count > 0 ? HAS_EXCEPTIONS : 0;
	parts |= o->user_agent != NULL ? HAS_AGENT : 0;
	parts |= o->http2 ? HAS_HTTP2 : 0;
	parts |= o->gzip ? HAS_GZIP : 0;
	return (uint8_t)parts;
}

void webhook_options_tidy(struct webhook_options **o)
{
	if (parts_of(*o) != 0)
		return;
	webhook_options_free(*o);
	*o = NULL;
}

static void put_exceptions(const struct proxy_choice *proxy, struct buf *out)
{
	put_u16(out, (uint16_t)proxy->exception_count);
	for (size_t i = 0; i < proxy->exception_count; i++)
		put_text(out, slice_of(proxy->exceptions[i]));
}

void webhook_options_encode_proxy(const struct webhook_options *o, struct buf *out)
{
	if (o == NULL || proxy_is_default(&o->proxy))
		return;
	put_u8(out, (uint8_t)o->proxy.kind);
	put_text(out, slice_of(o->proxy.url));
	put_exceptions(&o->proxy, out);
}

void webhook_options_encode(const struct webhook_options *o, struct buf *out)
{
	uint8_t parts = parts_of(o);
	put_u8(out, parts);
	if (parts == 0)
		return;
	if ((parts & HAS_EXCEPTIONS) != 0)
		put_exceptions(&o->proxy, out);
	if ((parts & HAS_AGENT) != 0)
		put_text(out, slice_of(o->user_agent));
}

/* A text of at most `max` bytes, not empty; any other fails the reader, as one with a NUL. */
static char *copy_some(struct reader *r, size_t max)
{
	struct slice s = get_text(r);
	r->failed = r->failed || s.len == 0 || s.len > max ||
	    memchr(s.ptr, '\0', s.len) != NULL;
	return mem_copy(s.ptr, s.len);
}

static void decode_exceptions(struct reader *r, struct proxy_choice *proxy)
{
	uint16_t count = get_u16(r);
	r->failed = r->failed || count == 0 || count > PROXY_EXCEPTIONS_MAX;
	if (r->failed)
		return;
	proxy->exceptions = mem_array(count, sizeof(*proxy->exceptions));
	while (proxy->exception_count < count && !r->failed) {
		char *one = copy_some(r, PROXY_EXCEPTION_MAX);
		proxy->exceptions[proxy->exception_count++] = one;
		r->failed = r->failed || !proxy_is_exception(slice_of(one));
	}
}

struct webhook_options *webhook_options_decode(struct reader *r)
{
	uint8_t parts = get_u8(r);
	bool both = (parts & HAS_NO_PROXY) != 0 && (parts & HAS_OWN_PROXY) != 0;
	r->failed = r->failed || parts > HAS_ALL || both;
	if (parts == 0 || r->failed)
		return NULL;
	struct webhook_options *o = mem_new(sizeof(*o));
	if ((parts & HAS_NO_PROXY) != 0)
		o->proxy.kind = PROXY_NONE;
	if ((parts & HAS_OWN_PROXY) != 0)
		o->proxy.kind = PROXY_OWN;
	if ((parts & HAS_EXCEPTIONS) != 0)
		decode_exceptions(r, &o->proxy);
	if ((parts & HAS_AGENT) != 0)
		o->user_agent = copy_some(r, OPTIONS_AGENT_MAX);
	r->failed = r->failed || (o->user_agent != NULL && !header_is_value(o->user_agent));
	o->http2 = (parts & HAS_HTTP2) != 0;
	o->gzip = (parts & HAS_GZIP) != 0;
	return o;
}

void webhook_options_encode_secret(const struct webhook_options *o, struct buf *out)
{
	if (o != NULL && o->proxy.kind == PROXY_OWN)
		put_text(out, slice_of(o->proxy.url));
}

void webhook_options_decode_secret(struct reader *r, struct webhook_options *o)
{
	if (o == NULL || o->proxy.kind != PROXY_OWN)
		return;
	o->proxy.url = copy_some(r, PROXY_URL_MAX);
	r->failed = r->failed || !proxy_is_url(o->proxy.url);
}
