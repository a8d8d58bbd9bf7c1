/*
 * The tokens file, read a second time in the plainest way: each token that stands in it is let
 * through, for the sessions behind it or for all; and nothing else is. A bad line is named.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "base/buf.h"
#include "base/log.h"

#define HEADER_MAX 2000 /* bytes; above AUTH_TOKEN_MAX */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the next word of a line; what counts no more, a comment, is taken as a whole. */
static struct slice next_word(struct slice *line)
{
	size_t from = 0;
	while (from < line->len && (line->ptr[from] == ' ' || line->ptr[from] == '\t'))
		from++;
	size_t to = from;
	while (to < line->len && line->ptr[to] != ' ' && line->ptr[to] != '\t')
		to++;
	struct slice word = {line->ptr + from, to - from};
	if (word.len > 0 && word.ptr[0] == '#')
		word.len = 0;
	*line = word.len == 0 ? SLICE("") : (struct slice){line->ptr + to, line->len - to};
	return word;
}

static struct slice next_line(struct slice *text)
{
	struct slice line = slice_cut(text, '\n');
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* Undoes the %XX of a word; those that are there have two digits, as it was taken. */
static void undo_percent(struct slice word, struct buf *out)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = word.ptr[i];
		if (c == '%') {
			const char digits[3] = {word.ptr[i + 1], word.ptr[i + 2]};
			c = (char)strtoul(digits, NULL, 16);
			i += 2;
		}
		buf_putc(out, c);
	}
}

static bool lets_through(const struct auth *a, struct slice token,
    const struct auth_token **out)
{
	struct buf header = BUF_INIT(HEADER_MAX);
	buf_puts(&header, "Bearer ");
	buf_slice(&header, token);
	const char *name = NULL;
	bool through = auth_check(a, buf_view(&header), out, &name);
	buf_fini(&header);
	return through;
}

/* Whether a later line of `text` begins with the same token: the last one counts. */
static bool comes_again(struct slice text, struct slice token)
{
	while (text.len > 0) {
		struct slice line = next_line(&text);
		if (slice_eq(next_word(&line), token))
			return true;
	}
	return false;
}

static void check_token(const struct auth *a, struct slice token, struct slice sessions)
{
	const struct auth_token *found = NULL;
	panic_if(!lets_through(a, token, &found), "not let through");
	struct slice session = next_word(&sessions);
	bool is_all = session.len == 0 || slice_eq(session, SLICE("*"));
	panic_if(is_all != (found == NULL), "scope");
	for (; !is_all && session.len > 0; session = next_word(&sessions)) {
		struct buf name = BUF_INIT(session.len);
		undo_percent(session, &name);
		panic_if(!auth_reaches(found, buf_view(&name)), "does not reach its session");
		buf_fini(&name);
	}
	panic_if(found != NULL && auth_reaches(found, SLICE("a\nsession of nobody")), "reach");
	struct slice shorter = {token.ptr, token.len - 1};
	panic_if(shorter.len < AUTH_TOKEN_MIN && lets_through(a, shorter, &found), "too short");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	struct problem p = {.message = ""};
	struct auth *a = auth_new();
	size_t count = 0;
	enum err err = auth_add_file(a, text, &p);
	panic_if(err != OK && strncmp(p.message, "line ", 5) != 0, "refused without its line");
	while (err == OK && text.len > 0) {
		struct slice line = next_line(&text);
		struct slice token = next_word(&line);
		count += token.len > 0 ? 1 : 0;
		if (token.len > 0 && !comes_again(text, token))
			check_token(a, token, line);
	}
	panic_if(err == OK && auth_count(a) != count, "number of tokens");
	auth_free(a);
	return 0;
}
