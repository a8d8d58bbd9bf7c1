/* Tokens and inbound secrets of the configuration; see tokens.h. */
#include "cli/tokens.h"

#include <string.h>

#include "cli/secret_file.h"

enum err tokens_load(const struct config *c, struct auth *auth, struct problem *p)
{
	struct buf text = BUF_INIT(SECRET_FILE_MAX);
	struct problem why;
	enum err err = OK;
	if (c->token != NULL)
		err = auth_add(auth, slice_of(c->token), p);
	if (err == OK && c->tokens_file != NULL) {
		err = secret_file_read(c->tokens_file, "tokens_file", &text, p);
		if (err == OK && auth_add_file(auth, buf_view(&text), &why) != OK)
			err = problem_set(p, ERR_INVALID, "tokens_file", "%s: %s",
			    c->tokens_file, why.message);
	}
	secret_file_forget(&text);
	return err;
}

struct inbound *tokens_load_inbound(const struct config *c)
{
	struct inbound *in = inbound_new();
	if (c->inbound_secret != NULL)
		inbound_add(in, SLICE(""), slice_of(c->inbound_secret));
	for (size_t i = 0; i < c->session_inbound_secrets.count; i++) {
		const char *item = c->session_inbound_secrets.items[i]; /* "session=secret" */
		size_t session = strcspn(item, "=");
		inbound_add(in, (struct slice){item, session}, slice_of(item + session + 1));
	}
	return in;
}
