/* Tokens and their scopes; see auth.h. */
#include "api/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/percent.h"
#include "base/str.h"
#include "domain/name.h"

struct auth_token {
	char *text;
	char name[32];
	char **sessions; /* in order; none: every session */
	size_t session_count;
	char *reach;            /* the sessions as one text; NULL: all */
	struct auth_link *link; /* NULL: it is of a set */
};

struct auth {
	struct auth_token *tokens;
	size_t count;
	unsigned bare_line; /* of a tokens file: the first without sessions or "*"; 0: none */
};

struct auth *auth_new(void)
{
	return mem_new(sizeof(struct auth));
}

static void free_scope(struct auth_token *t)
{
	for (size_t n = 0; n < t->session_count; n++)
		free(t->sessions[n]);
	free(t->sessions);
	free(t->reach);
}

void auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->count; i++) {
		struct auth_token *t = &a->tokens[i];
		mem_wipe(t->text, strlen(t->text));
		free(t->text);
		free_scope(t);
	}
	free(a->tokens);
	free(a);
}

enum err auth_add(struct auth *a, struct slice token, struct problem *p)
{
	bool printable = true;
	for (size_t i = 0; i < token.len; i++)
		printable = printable && token.ptr[i] > ' ' && token.ptr[i] <= '~';
	if (!printable || token.len < AUTH_TOKEN_MIN || token.len > AUTH_TOKEN_MAX)
		return problem_set(p, ERR_INVALID, "token",
		    "a token must be 8 to 512 printable ASCII characters without spaces");
	a->tokens = mem_resize(a->tokens, a->count + 1, sizeof(*a->tokens));
	struct auth_token *t = &a->tokens[a->count++];
	*t = (struct auth_token){.text = mem_copy(token.ptr, token.len)};
	(void)snprintf(t->name, sizeof(t->name), "token %zu", a->count);
	return OK;
}

/* Takes the next run of non-blanks off the front of *line; empty at its end. */
static struct slice take_word(struct slice *line)
{
	*line = slice_trim(*line);
	struct slice word = {line->ptr, 0};
	while (
	    word.len < line->len && line->ptr[word.len] != ' ' && line->ptr[word.len] != '\t')
		word.len++;
	line->ptr += word.len;
	line->len -= word.len;
	return word;
}

/* Whether nothing of a line counts from `word` on. Behind its first a word may hold '#'. */
static bool ends_line(struct slice word)
{
	return word.len == 0 || word.ptr[0] == '#';
}

static int compare_sessions(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * Orders the sessions, so that the same ones make the same text; encodes them, so that others
 * make another.
 */
static void name_reach(struct auth_token *t)
{
	struct buf text = BUF_INIT(t->session_count * (PERCENT_GROWTH * SESSION_MAX + 1));
	qsort(t->sessions, t->session_count, sizeof(char *), compare_sessions);
	for (size_t i = 0; i < t->session_count; i++) {
		bool repeated = i > 0 && strcmp(t->sessions[i], t->sessions[i - 1]) == 0;
		if (repeated)
			continue;
		buf_putc(&text, ' ');
		percent_put(&text, slice_of(t->sessions[i]));
	}
	t->reach = mem_copy(text.data, text.len);
	buf_fini(&text);
}

struct auth_token *auth_token_new(const struct auth_link *link)
{
	struct auth_token *t = mem_new(sizeof(*t));
	(void)snprintf(t->name, sizeof(t->name), "%s", link->name);
	t->sessions = mem_array(1, sizeof(char *));
	t->sessions[0] = mem_copy(link->session.ptr, link->session.len);
	t->session_count = 1;
	t->link = mem_new(sizeof(*t->link));
	*t->link = *link;
	t->link->session = slice_of(t->sessions[0]);
	t->link->name = t->name;
	name_reach(t);
	return t;
}

void auth_token_free(struct auth_token *token)
{
	if (token == NULL)
		return;
	free_scope(token);
	free(token->link);
	free(token);
}

const struct auth_link *auth_link_of(const struct auth_token *token)
{
	return token == NULL ? NULL : token->link;
}

/* Adds the sessions behind the token of line `number`; *is_all: "*" is there in their place. */
static enum err add_sessions(struct auth_token *t, struct slice line, unsigned number,
    bool *is_all, struct problem *p)
{
	char session[SESSION_MAX + 1];
	*is_all = false;
	for (struct slice word = take_word(&line); !ends_line(word); word = take_word(&line)) {
		if (slice_eq(word, SLICE("*"))) {
			*is_all = true;
			continue;
		}
		if (name_read_session(word, session) != OK)
			return problem_set(p, ERR_INVALID, "tokens_file",
			    "line %u: a session id must be " SESSION_LISTED, number);
		t->sessions = mem_resize(t->sessions, t->session_count + 1, sizeof(char *));
		t->sessions[t->session_count++] = mem_copy(session, strlen(session));
	}
	if (*is_all && t->session_count > 0)
		return problem_set(p, ERR_INVALID, "tokens_file",
		    "line %u: * stands for all sessions, and alone behind its token", number);
	return OK;
}

static enum err add_line(struct auth *a, struct slice line, unsigned number, struct problem *p)
{
	struct slice word = take_word(&line);
	if (ends_line(word))
		return OK;
	enum err err = auth_add(a, word, p);
	if (err != OK)
		return problem_set(p, err, "tokens_file",
		    "line %u: a token must be 8 to 512 printable ASCII characters", number);
	struct auth_token *t = &a->tokens[a->count - 1];
	bool is_all = false;
	err = add_sessions(t, line, number, &is_all, p);
	if (err != OK)
		return err;
	if (t->session_count > 0)
		name_reach(t);
	else if (!is_all && a->bare_line == 0)
		a->bare_line = number;
	return OK;
}

enum err auth_add_file(struct auth *a, struct slice text, struct problem *p)
{
	unsigned number = 0;
	while (text.len > 0) {
		struct slice line = slice_cut(&text, '\n');
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		enum err err = add_line(a, line, ++number, p);
		if (err != OK)
			return err;
	}
	return OK;
}

unsigned auth_bare_line(const struct auth *a)
{
	return a->bare_line;
}

size_t auth_count(const struct auth *a)
{
	return a->count;
}

bool auth_check(const struct auth *a, struct slice header, const struct auth_token **token,
    const char **name)
{
	const struct auth_token *found = NULL;
	*token = NULL;
	*name = NULL;
	if (a->count == 0)
		return true;
	if (header.len < 7 || strncasecmp(header.ptr, "Bearer ", 7) != 0)
		return false;
	struct slice given = slice_trim((struct slice){header.ptr + 7, header.len - 7});
	for (size_t i = 0; i < a->count;
	     i++) { /* all of them: where it matches must not show */
		if (str_same_secret(given, slice_of(a->tokens[i].text)))
			found = &a->tokens[i];
	}
	if (found == NULL)
		return false;
	*token = found->session_count == 0 ? NULL : found;
	*name = found->name;
	return true;
}

bool auth_reaches(const struct auth_token *token, struct slice session)
{
	if (token == NULL)
		return true;
	for (size_t i = 0; i < token->session_count; i++) {
		if (slice_eq(slice_of(token->sessions[i]), session))
			return true;
	}
	return false;
}

const char *auth_next_session(const struct auth_token *token, const char *session)
{
	for (size_t i = 0; i < token->session_count; i++) {
		if (strcmp(token->sessions[i], session) > 0)
			return token->sessions[i];
	}
	return NULL;
}

struct slice auth_reach(const struct auth_token *token)
{
	return token == NULL ? SLICE("") : slice_of(token->reach);
}
