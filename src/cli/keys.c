/* See keys.h. */
#include "cli/keys.h"

#include "cli/secret_file.h"

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
			return problem_set(p, err, "secret_key_file", "%s: line %u: %s", path,
			    number, why.message);
		keys++;
	}
	if (keys == 0) /* a file that lost its content must not switch encryption off */
		return problem_set(p, ERR_INVALID, "secret_key_file", "%s: holds no key", path);
	return OK;
}

enum err keys_load(const struct config *c, struct vault *vault, struct problem *p)
{
	struct buf text = BUF_INIT(SECRET_FILE_MAX);
	struct problem why;
	enum err err = OK;
	if (c->secret_key != NULL && vault_add(vault, slice_of(c->secret_key), &why) != OK)
		return problem_set(p, ERR_INVALID, "secret_key", "secret_key: %s", why.message);
	if (c->secret_key_file == NULL)
		return OK;
	err = secret_file_read(c->secret_key_file, "secret_key_file", &text, p);
	if (err == OK)
		err = add_lines(vault, buf_view(&text), c->secret_key_file, p);
	secret_file_forget(&text);
	return err;
}
