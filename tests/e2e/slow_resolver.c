/*
 * A resolver that hangs, to be preloaded: getaddrinfo() takes a minute to fail for names that
 * end in .slow, and a second for those that end in .late. Names that end in .rebind are at
 * the address that the file REBIND_FILE has at the moment. The others it looks up as ever.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int (
    *lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name);
	size_t end_len = strlen(end);
	return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* Reads the address that a .rebind name is at now; false where there is none. */
static bool read_rebind(char *out, int size)
{
	const char *path = getenv("REBIND_FILE");
	FILE *f = path == NULL ? NULL : fopen(path, "re");
	if (f == NULL)
		return false;
	bool read = fgets(out, size, f) != NULL;
	(void)fclose(f); /* read-only */
	return read;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	const char *name = node == NULL ? "" : node;
	time_t wait_s = ends_in(name, ".slow") ? 60 : ends_in(name, ".late") ? 1 : 0;
	if (wait_s > 0) {
		const struct timespec wait = {.tv_sec = wait_s};
		(void)nanosleep(&wait,
		    NULL); /* a signal shortens it, and nothing depends on it */
		return EAI_AGAIN;
	}
	char rebound[64];
	if (ends_in(name, ".rebind") && read_rebind(rebound, sizeof(rebound)))
		node = rebound;
	lookup_fn next = NULL;
	*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
	return next == NULL ? EAI_SYSTEM : next(node, service, hints, out);
}
