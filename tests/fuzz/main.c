/*
 * Runs a fuzz harness over the files it is given, with any compiler: the part of
 * the fuzzing that `make test` does. Directories are read in the order of their
 * names, without going deeper. Each name is printed before its input runs, so the
 * last line names the culprit of a crash. A run over nothing fails.
 *
 * usage: fuzz_NAME FILE|DIRECTORY…
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH_BYTES 4096

static int runs;

static void die(const char *path)
{
	perror(path);
	exit(1);
}

static void run_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size > 0 ? size : 1); /* no spare byte: sanitizers see its end */
	FILE *f = fopen(path, "rb");
	if (data == NULL || f == NULL || fread(data, 1, size, f) != size)
		die(path);
	(void)fclose(f); /* only read */
	printf("%s\n", path);
	(void)fflush(stdout);
	if (LLVMFuzzerTestOneInput(data, size) != 0) {
		fprintf(stderr, "%s: the harness did not return 0\n", path);
		exit(1);
	}
	free(data);
	runs++;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_path(const char *path, bool may_descend)
{
	struct stat st;
	if (stat(path, &st) != 0)
		die(path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path, (size_t)st.st_size);
		return;
	}
	struct dirent **entries = NULL;
	int n = may_descend ? scandir(path, &entries, is_visible, alphasort) : 0;
	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		char inner[PATH_BYTES];
		int len = snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
		if (len < 0 || (size_t)len >= sizeof(inner))
			die(path);
		run_path(inner, false);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i], true);
	printf("%d inputs\n", runs);
	return runs > 0 ? 0 : 1;
}
