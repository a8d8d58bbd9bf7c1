/* Portal tokens; see portal.h. */
#include "domain/portal.h"

#include <string.h>

#include "base/codec.h"
#include "base/mem.h"
#include "base/str.h"

#define PREFIX SLICE("wbp_")
#define VERSION 2
#define FLAG_ONLY_READS 1
#define CONTEXT ((struct slice){"waybill portal", sizeof("waybill portal")})

bool portal_is_token(struct slice text)
{
	return slice_starts(text, PREFIX);
}

static void code_of(struct mac *mac, struct slice grant, unsigned char out[MAC_SIZE_MAX])
{
	const struct slice parts[] = {CONTEXT, grant};
	(void)mac_of(mac, parts, 2, out); /* returns PORTAL_CODE_SIZE */
}

/* Turns the standard alphabet into that of URLs, or back. */
static void translate(char *text, const char from[2], const char to[2])
{
	for (; *text != '\0'; text++) {
		if (*text == from[0])
			*text = to[0];
		else if (*text == from[1])
			*text = to[1];
	}
}

void portal_write(struct mac *mac, const struct portal_grant *g, char out[PORTAL_TEXT_SIZE])
{
	unsigned char code[MAC_SIZE_MAX];
	struct buf bytes = BUF_INIT(PORTAL_BYTES_MAX);
	put_u8(&bytes, VERSION);
	put_u8(&bytes, g->only_reads ? FLAG_ONLY_READS : 0);
	put_u64(&bytes, g->series);
	put_i64(&bytes, g->expires_ms);
	buf_append(&bytes, g->id, PORTAL_ID_SIZE);
	buf_slice(&bytes, slice_of(g->session));
	code_of(mac, buf_view(&bytes), code);
	buf_append(&bytes, code, PORTAL_CODE_SIZE);
	memcpy(out, PREFIX.ptr, PREFIX.len);
	base64_encode(bytes.data, bytes.len, out + PREFIX.len);
	translate(out, "+/", "-_");
	out[strcspn(out, "=")] = '\0';
	buf_fini(&bytes);
}

/* Decodes the text behind the prefix; false where it is no base64url. */
static bool decode(struct slice text, unsigned char out[PORTAL_BYTES_MAX], size_t *len)
{
	char copy[PORTAL_TEXT_SIZE];
	if (text.len > BASE64_SIZE(PORTAL_BYTES_MAX) - 1 || memchr(text.ptr, '\0', text.len) ||
	    memchr(text.ptr, '+', text.len) || memchr(text.ptr, '/', text.len) ||
	    memchr(text.ptr, '=', text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	translate(copy, "-_", "+/");
	return base64_decode((struct slice){copy, text.len}, out, len) &&
	    *len > PORTAL_CODE_SIZE;
}

static enum err read_grant(struct slice bytes, struct portal_grant *out)
{
	struct reader r = reader_of(bytes);
	struct portal_grant g = {.session = ""};
	uint8_t version = get_u8(&r);
	uint8_t flags = get_u8(&r);
	g.only_reads = (flags & FLAG_ONLY_READS) != 0;
	g.series = get_u64(&r);
	g.expires_ms = get_i64(&r);
	struct slice id = get_bytes(&r, PORTAL_ID_SIZE);
	memcpy(g.id, id.ptr, id.len);
	struct slice session = get_bytes(&r, r.left);
	if (r.failed || version != VERSION || flags > FLAG_ONLY_READS ||
	    !name_is_session(session))
		return ERR_REFUSED;
	memcpy(g.session, session.ptr, session.len);
	*out = g;
	return OK;
}

enum err portal_read(struct mac *mac, struct slice text, struct portal_grant *out)
{
	unsigned char bytes[PORTAL_BYTES_MAX + 3]; /* base64 of three at a time */
	unsigned char code[MAC_SIZE_MAX];
	size_t len = 0;
	if (!portal_is_token(text) ||
	    !decode((struct slice){text.ptr + PREFIX.len, text.len - PREFIX.len}, bytes, &len))
		return ERR_REFUSED;
	struct slice grant = {(const char *)bytes, len - PORTAL_CODE_SIZE};
	code_of(mac, grant, code);
	if (!str_same_secret((struct slice){(const char *)code, PORTAL_CODE_SIZE},
		(struct slice){grant.ptr + grant.len, PORTAL_CODE_SIZE}))
		return ERR_REFUSED;
	return read_grant(grant, out);
}
