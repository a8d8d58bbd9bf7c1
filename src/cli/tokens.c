/* Reads the tokens file once, at start. */
#include "cli/tokens.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#define FILE_MAX_BYTES (1u << 20)

static enum err read_file(const char *path, struct buf *out, struct problem *p)
{
	enum err err = file_read(path, out);
	if (err == ERR_TOOBIG)
		return problem_set(p, err, "tokens_file", "%s: is over 1 MiB", path);
	if (err != OK)
		return problem_set(p, err, "tokens_file", "%s: cannot be read: %s", path,
		    strerror(errno));
	return OK;
}

enum err tokens_load(const struct config *c, struct auth *auth, struct problem *p)
{
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	struct problem why;
	enum err err = OK;
	if (c->token != NULL)
		err = auth_add(auth, slice_of(c->token), p);
	if (err == OK && c->tokens_file != NULL) {
		err = read_file(c->tokens_file, &text, p);
		if (err == OK && auth_add_file(auth, buf_view(&text), &why) != OK)
			err = problem_set(p, ERR_INVALID, "tokens_file", "%s: %s",
			    c->tokens_file, why.message);
	}
	mem_wipe(text.data, text.len);
	buf_fini(&text);
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
