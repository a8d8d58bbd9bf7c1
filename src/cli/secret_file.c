/* See secret_file.h. */
#include "cli/secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"

static void check_mode(FILE *f, const char *path, const char *name)
{
	struct stat st;
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0)
		log_warn("everybody on this machine can read a file of secrets",
		    LOG_S("file", path), LOG_S("setting", name));
}

enum err secret_file_read(const char *path, const char *name, struct buf *out,
    struct problem *p)
{
	char piece[4096];
	enum err err = OK;
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return problem_set(p, ERR_IO, name, "%s: cannot be read: %s", path,
		    strerror(errno));
	setvbuf(f, NULL, _IONBF, 0); /* a buffer of its own would keep them */
	check_mode(f, path, name);
	(void)buf_reserve(out, SECRET_FILE_MAX); /* one that grew would leave them behind */
	size_t n = fread(piece, 1, sizeof(piece), f);
	while (n > 0) {
		buf_append(out, piece, n);
		n = fread(piece, 1, sizeof(piece), f);
	}
	mem_wipe(piece, sizeof(piece));
	if (ferror(f))
		err = problem_set(p, ERR_IO, name, "%s: cannot be read: %s", path,
		    strerror(errno));
	else if (out->failed)
		err = problem_set(p, ERR_TOOBIG, name, "%s: is over 1 MiB", path);
	(void)fclose(f); /* read-only */
	return err;
}

void secret_file_forget(struct buf *text)
{
	if (text->len > 0)
		mem_wipe(text->data, text->len);
	buf_fini(text);
}
