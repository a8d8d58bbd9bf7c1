/* Allocation that succeeds or ends the process; see mem.h for when to use it. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (p == NULL)
		log_panic("out of memory");
	return p;
}

void *mem_new(size_t size)
{
	return mem_array(1, size);
}

void *mem_resize(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count ? count : 1, size ? size : 1);
	if (p == NULL)
		log_panic("out of memory");
	return p;
}

void *mem_reach(void *old, size_t *count, size_t index, size_t size)
{
	if (index < *count)
		return old;
	char *p = mem_resize(old, index + 1, size);
	memset(p + *count * size, 0, (index + 1 - *count) * size);
	*count = index + 1;
	return p;
}

char *mem_copy(const char *ptr, size_t len)
{
	char *p = mem_array(len + 1, 1);
	if (len > 0)
		memcpy(p, ptr, len);
	return p;
}

void mem_wipe(void *ptr, size_t len)
{
	if (len > 0)
		explicit_bzero(ptr, len);
}

void mem_forget(char *text)
{
	if (text != NULL)
		mem_wipe(text, strlen(text));
	free(text);
}
