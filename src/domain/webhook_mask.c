/* Secrets in texts that are not secret; see webhook_mask.h. */
#include "domain/webhook_mask.h"

#define SECRET_MIN 4 /* bytes: of a shorter one anything might be a part */
#define WORD_MIN 8   /* the same of a header's word: "Bearer" is none */

/* How much of `text` is `secret`, all of it or the beginning that `text` ends with; else 0. */
static size_t match(struct slice text, struct slice secret, size_t min)
{
	size_t n = 0;
	while (n < text.len && n < secret.len && text.ptr[n] == secret.ptr[n])
		n++;
	bool whole = n == secret.len || n == text.len;
	return whole && secret.len >= min && n >= SECRET_MIN ? n : 0;
}

static size_t longer(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* How many bytes of a secret `text` begins with. */
static size_t secret_at(const struct webhook *w, struct slice text)
{
	size_t found = longer(match(text, slice_of(w->secret), SECRET_MIN),
	    match(text, slice_of(w->previous_secret), SECRET_MIN));
	for (size_t i = 0; i < w->header_count; i++) {
		struct slice rest = slice_of(w->headers[i].value);
		while (rest.len > 0)
			found = longer(found, match(text, slice_cut(&rest, ' '), WORD_MIN));
	}
	return found;
}

size_t webhook_mask(const struct webhook *w, struct slice text, char *out, size_t size)
{
	const struct slice mask = SLICE(WEBHOOK_MASK);
	bool has_secrets = w->secret != NULL || w->previous_secret != NULL ||
	    w->header_count > 0;
	size_t len = 0;
	while (text.len > 0 && len < size) {
		size_t secret = has_secrets ? secret_at(w, text) : 0;
		size_t taken = secret > 0 ? secret : 1;
		struct slice copied = secret > 0 ? mask : (struct slice){text.ptr, 1};
		size_t room = size - len;
		memcpy(out + len, copied.ptr, copied.len < room ? copied.len : room);
		len += copied.len < room ? copied.len : room;
		text.ptr += taken;
		text.len -= taken;
	}
	return len;
}
