/* Settings and files of secrets; see secrets.h. */
#include "server/secrets.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/settings.h"
#include "store/registry.h"
#include "store/sources.h"

static void check_mode(const char *path, const char *name)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0)
		log_warn("everybody on this machine can read a file of secrets",
		    LOG_S("file", path), LOG_S("setting", name));
}

enum err secrets_read_public(const char *path, const char *name, struct buf *out,
    struct problem *p)
{
	(void)buf_reserve(out, SECRETS_FILE_MAX); /* one that grew would leave them behind */
	enum err err = file_read(path, out);
	if (err == ERR_TOOBIG)
		return problem_set(p, err, name, "%s: %s: is over 1 MiB", name, path);
	if (err != OK)
		return problem_set(p, err, name, "%s: %s: cannot be read: %s", name, path,
		    strerror(errno));
	return OK;
}

enum err secrets_read_file(const char *path, const char *name, struct buf *out,
    struct problem *p)
{
	enum err err = secrets_read_public(path, name, out, p);
	if (err == OK)
		check_mode(path, name);
	return err;
}

void secrets_forget(struct buf *text)
{
	if (text->len > 0)
		mem_wipe(text->data, text->len);
	buf_fini(text);
}

enum err secrets_load_text(const char *path, const char *name, char **out, struct problem *p)
{
	struct buf text = BUF_INIT(SECRETS_FILE_MAX);
	enum err err = secrets_read_file(path, name, &text, p);
	if (err == OK)
		*out = mem_copy(text.data, text.len);
	secrets_forget(&text);
	return err;
}

static enum err add_tokens(struct auth *auth, struct slice text, const char *path,
    struct problem *p)
{
	struct problem why;
	size_t before = auth_count(auth);
	if (auth_add_file(auth, text, &why) != OK)
		return problem_set(p, ERR_INVALID, "tokens_file", "tokens_file: %s: %s", path,
		    why.message);
	if (auth_count(auth) == before) /* one that lost its content must not open the API */
		return problem_set(p, ERR_INVALID, "tokens_file",
		    "tokens_file: %s: holds no token", path);
	if (auth_bare_line(auth) != 0)
		log_warn("a token without sessions reaches all of them: write * behind it",
		    LOG_S("file", path), LOG_N("line", auth_bare_line(auth)));
	return OK;
}

enum err secrets_load_tokens(const struct config *c, struct auth *auth, struct problem *p)
{
	struct buf text = BUF_INIT(SECRETS_FILE_MAX);
	enum err err = OK;
	if (c->token != NULL)
		err = auth_add(auth, slice_of(c->token), p);
	if (err == OK && c->tokens_file != NULL) {
		err = secrets_read_file(c->tokens_file, "tokens_file", &text, p);
		if (err == OK)
			err = add_tokens(auth, buf_view(&text), c->tokens_file, p);
	}
	secrets_forget(&text);
	return err;
}

struct inbound *secrets_load_inbound(const struct config *c)
{
	struct inbound *in = inbound_new();
	if (c->inbound_secret != NULL)
		inbound_add(in, SLICE(""), slice_of(c->inbound_secret));
	for (size_t i = 0; i < c->session_inbound_secrets.count; i++) {
		char session[SESSION_MAX + 1];
		const char *secret = setting_read_session(c->session_inbound_secrets.items[i],
		    session);
		if (secret != NULL) /* as it is in each item of a configuration that was read */
			inbound_add(in, slice_of(session), slice_of(secret));
	}
	return in;
}

static enum err add_lines(struct vault *vault, struct slice text, const char *path,
    struct problem *p)
{
	struct problem why;
	size_t keys = 0;
	for (unsigned number = 1; text.len > 0; number++) {
		struct slice line = slice_cut(&text, '\n');
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		line = slice_trim(line);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		enum err err = vault_add(vault, line, &why);
		if (err != OK)
			return problem_set(p, err, "secret_key_file",
			    "secret_key_file: %s: line %u: %s", path, number, why.message);
		keys++;
	}
	if (keys == 0) /* a file that lost its content must not switch encryption off */
		return problem_set(p, ERR_INVALID, "secret_key_file",
		    "secret_key_file: %s: holds no key", path);
	return OK;
}

enum err secrets_load_keys(const struct config *c, struct vault *vault, struct problem *p)
{
	struct buf text = BUF_INIT(SECRETS_FILE_MAX);
	struct problem why;
	enum err err = OK;
	if (c->secret_key != NULL && vault_add(vault, slice_of(c->secret_key), &why) != OK)
		return problem_set(p, ERR_INVALID, "secret_key", "secret_key: %s", why.message);
	if (c->secret_key_file == NULL)
		return OK;
	err = secrets_read_file(c->secret_key_file, "secret_key_file", &text, p);
	if (err == OK)
		err = add_lines(vault, buf_view(&text), c->secret_key_file, p);
	secrets_forget(&text);
	return err;
}

enum err secrets_check_store(struct db *db, const struct vault *vault, struct problem *p)
{
	struct registry *webhooks = registry_new();
	enum err err = registry_load(webhooks, db, vault, p);
	registry_free(webhooks);
	return err == OK ? sources_try(db, vault, p) : err;
}
