/*
 * Secrets in texts that are not secret; see webhook_mask.h. The words that are masked are
 * sorted, each with the longest other one that it begins with: so a place of the text costs a
 * binary search and not a look at each word, however many its webhook has.
 */
#include "domain/webhook_mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/percent.h"

#define SECRET_MIN 4 /* bytes: of a shorter one anything might be a part */
#define WORD_MIN 8   /* the same of a header's word: "Bearer" is none */

/* in base64, the longer of both forms; see sign_read_private() */
#define PAIR_TEXT_SIZE BASE64_SIZE(sizeof(struct ed25519_pair))

struct word {
	struct slice text;
	size_t
	    shorter; /* index + 1 of the longest other word that it begins with; 0: of none */
};

struct words {
	struct word *list; /* sorted */
	size_t count;
	size_t room;
	char pairs[4][PAIR_TEXT_SIZE]; /* the private keys, as they may be written */
	size_t pair_count;
	char *proxy[2]; /* what a proxy is told, and its password where it was encoded */
};

static void add(struct words *w, struct slice text, size_t min)
{
	if (text.len < min)
		return;
	if (w->count == w->room) {
		w->room = 2 * w->room + 8;
		w->list = mem_resize(w->list, w->room, sizeof(*w->list));
	}
	w->list[w->count++] = (struct word){.text = text};
}

/* How many bytes two texts have in common at their beginnings. */
static size_t common(struct slice a, struct slice b)
{
	size_t most = a.len < b.len ? a.len : b.len;
	size_t n = 0;
	while (n < most && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

static int compare(struct slice a, struct slice b)
{
	int byte = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
	return byte != 0 ? byte : (a.len > b.len) - (a.len < b.len);
}

static int compare_words(const void *a, const void *b)
{
	return compare(((const struct word *)a)->text, ((const struct word *)b)->text);
}

/* Sorts, drops duplicates, and links each word with what it begins with. */
static void order(struct words *w)
{
	size_t kept = 0;
	if (w->count > 0)
		qsort(w->list, w->count, sizeof(*w->list), compare_words);
	for (size_t i = 0; i < w->count; i++) {
		struct word *word = &w->list[i];
		if (kept > 0 && slice_eq(w->list[kept - 1].text, word->text))
			continue;
		size_t before =
		    kept; /* it begins with that one, or with what that begins with */
		while (before > 0 &&
		    common(w->list[before - 1].text, word->text) < w->list[before - 1].text.len)
			before = w->list[before - 1].shorter;
		w->list[kept] = *word;
		w->list[kept++].shorter = before;
	}
	w->count = kept;
}

/* Adds both forms of a private key, each without "whsk_". */
static void add_pair(struct words *words, const struct ed25519_pair *pair)
{
	const size_t forms[] = {sizeof(pair->seed), sizeof(*pair)};
	for (size_t i = 0; pair != NULL && i < sizeof(forms) / sizeof(forms[0]); i++) {
		char *text = words->pairs[words->pair_count++];
		base64_encode(pair, forms[i], text);
		add(words, slice_of(text), SECRET_MIN);
	}
}

static void add_each(struct words *words, struct slice rest)
{
	while (rest.len > 0)
		add(words, slice_cut(&rest, ' '), WORD_MIN);
}

/* Adds what a proxy is told of its credentials: in its URL, undone, and as Basic has them. */
static void add_proxy(struct words *words, const char *url)
{
	struct slice written = proxy_credentials(url);
	char plain[PROXY_URL_MAX];
	size_t len = 0;
	if (written.len > 0 && percent_decode(written, sizeof(plain), plain, &len) == OK) {
		struct slice password = {plain, len};
		struct slice name = slice_cut(&password, ':');
		words->proxy[0] = webhook_auth_basic(name, password);
		words->proxy[1] = mem_copy(password.ptr, password.len);
		add_each(words, slice_of(words->proxy[0]));
		add(words, slice_of(words->proxy[1]), SECRET_MIN);
	}
	(void)slice_cut(&written, ':');
	add(words, written, SECRET_MIN);
	mem_wipe(plain, len);
}

static void gather(struct words *words, const struct webhook *w, struct slice sent)
{
	add(words, slice_of(w->secret), SECRET_MIN);
	add(words, slice_of(w->previous_secret), SECRET_MIN);
	add_pair(words, w->pair);
	add_pair(words, w->previous_pair);
	for (size_t i = 0; i < w->header_count; i++)
		add_each(words, slice_of(w->headers[i].value));
	if (w->auth != NULL) {
		add(words, slice_of(w->auth->secret), SECRET_MIN);
		add_each(words, slice_of(w->auth->header));
		add_each(words, slice_of(w->auth->replaced));
	}
	if (w->options != NULL && w->options->proxy.url != NULL)
		add_proxy(words, w->options->proxy.url);
	add_each(words, sent);
	order(words);
}

/* How many words are not behind `text`. */
static size_t not_behind(const struct words *w, struct slice text)
{
	size_t low = 0;
	size_t high = w->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(w->list[middle].text, text) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * How many bytes of a secret `text` begins with: all of the longest, or the text ends in one.
 */
static size_t secret_at(const struct words *w, struct slice text)
{
	size_t next = not_behind(w, text);
	if (next < w->count && text.len >= SECRET_MIN &&
	    common(w->list[next].text, text) == text.len)
		return text.len;
	size_t i = next;
	while (i > 0 && common(w->list[i - 1].text, text) < w->list[i - 1].text.len)
		i = w->list[i - 1].shorter;
	return i > 0 ? w->list[i - 1].text.len : 0;
}

size_t webhook_mask(const struct webhook *w, struct slice sent, struct slice text, char *out,
    size_t size)
{
	const struct slice mask = SLICE(WEBHOOK_MASK);
	struct words words = {0};
	size_t len = 0;
	if (text.len > 0)
		gather(&words, w, sent);
	while (text.len > 0 && len < size) {
		size_t secret = words.count > 0 ? secret_at(&words, text) : 0;
		size_t taken = secret > 0 ? secret : 1;
		struct slice copied = secret > 0 ? mask : (struct slice){text.ptr, 1};
		size_t room = size - len;
		memcpy(out + len, copied.ptr, copied.len < room ? copied.len : room);
		len += copied.len < room ? copied.len : room;
		text.ptr += taken;
		text.len -= taken;
	}
	mem_wipe(words.pairs, sizeof(words.pairs));
	mem_forget(words.proxy[0]);
	mem_forget(words.proxy[1]);
	free(words.list);
	return len;
}
