/* Reading a file as a whole; see file.h. */
#include "base/file.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"

enum err file_read(const char *path, struct buf *out)
{
	char piece[4096];
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return ERR_IO;
	/* What stdio reads ahead stays in memory that is freed as it is: it may be a secret. */
	(void)setvbuf(f, NULL, _IONBF, 0);
	size_t n = 0;
	do {
		n = fread(piece, 1, sizeof(piece), f);
		buf_append(out, piece, n);
	} while (n > 0 && !out->failed);
	mem_wipe(piece, sizeof(piece));
	int reason = errno;
	enum err err = OK;
	if (ferror(f))
		err = ERR_IO;
	else if (out->failed)
		err = ERR_TOOBIG;
	(void)fclose(f); /* read-only */
	errno = reason;
	return err;
}
