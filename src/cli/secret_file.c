/* See secret_file.h. */
#include "cli/secret_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static void check_mode(const char *path, const char *name)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0)
		log_warn("everybody on this machine can read a file of secrets",
		    LOG_S("file", path), LOG_S("setting", name));
}

enum err secret_file_read(const char *path, const char *name, struct buf *out,
    struct problem *p)
{
	(void)buf_reserve(out, SECRET_FILE_MAX); /* one that grew would leave them behind */
	enum err err = file_read(path, out);
	if (err == ERR_TOOBIG)
		return problem_set(p, err, name, "%s: is over 1 MiB", path);
	if (err != OK)
		return problem_set(p, err, name, "%s: cannot be read: %s", path,
		    strerror(errno));
	check_mode(path, name);
	return OK;
}

void secret_file_forget(struct buf *text)
{
	if (text->len > 0)
		mem_wipe(text->data, text->len);
	buf_fini(text);
}
