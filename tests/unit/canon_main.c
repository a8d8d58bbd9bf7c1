/*
 * The JSON reader as a filter, for json_differential.py: on standard input texts,
 * each as a line with its length in bytes and then the bytes and a newline; on
 * standard output one line for each: "= CANONICAL" or "! OFFSET ERROR".
 * (A canonical text has no raw newline.)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "domain/json.h"

#define OUT_MAX (16 << 20) /* bytes, far above what the script sends */

/* Reads the length in front of a text; false at the end of the input. */
static bool read_length(size_t *len)
{
	char line[32];
	uint64_t n = 0;
	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	struct slice digits = {line, strcspn(line, "\n")};
	if (str_u64(digits, &n) != OK || n > OUT_MAX) {
		fprintf(stderr, "canon: a length expected\n");
		exit(2);
	}
	*len = (size_t)n;
	return true;
}

static char *read_text(size_t len)
{
	char *text = mem_array(len, 1); /* no spare byte: a sanitizer sees one read too many */
	if (fread(text, 1, len, stdin) != len || getchar() != '\n') {
		fprintf(stderr, "canon: %zu bytes and a newline expected\n", len);
		exit(2);
	}
	return text;
}

static void print_canonical(struct slice text)
{
	struct json_reader r;
	struct buf out = BUF_INIT(OUT_MAX);
	json_init(&r, text);
	enum err err = json_read_value(&r, &out);
	if (err == OK)
		err = json_read_end(&r);
	if (err == OK)
		printf("= %s\n", buf_cstr(&out));
	else
		printf("! %zu %s\n", r.pos, r.error);
	buf_fini(&out);
	json_fini(&r);
}

int main(void)
{
	size_t len = 0;
	while (read_length(&len)) {
		char *text = read_text(len);
		print_canonical((struct slice){text, len});
		free(text);
	}
	return 0;
}
