/*
 * Entries of the journal and the rows in them: what decodes encodes to an entry that decodes to
 * the same; rows that are cut into parts are all there, in order, and no part is longer than it
 * may be but where it is one row.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "store/entry.h"
#include "store/rows.h"

#define ENTRY_MAX (4u << 20)
#define PART_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(struct slice rows)
{
	struct slice left = rows;
	struct slice part;
	const char *at = rows.ptr;
	while (left.len > 0 && rows_cut(&left, PART_MAX, &part) == OK) {
		struct slice one = part;
		struct slice first;
		panic_if(part.len == 0 || part.ptr != at, "a part is not the next one");
		at += part.len;
		panic_if(rows_cut(&one, 1, &first) != OK, "a row of a part is none");
		panic_if(part.len > PART_MAX && one.len > 0, "a part is too long");
	}
}

static void check_again(struct entry *e)
{
	struct buf out = BUF_INIT(ENTRY_MAX);
	struct buf scratch = BUF_INIT(ENTRY_ROWS_MAX);
	struct entry again;
	entry_encode(e, &out);
	if (!out.failed) {
		panic_if(entry_decode(buf_view(&out), &scratch, &again) != OK,
		    "what was encoded does not decode");
		panic_if(!slice_eq(again.rows, e->rows) || !slice_eq(again.member, e->member) ||
			!slice_eq(again.url, e->url) || again.turn != e->turn ||
			again.more != e->more || again.kind != e->kind,
		    "another comes out");
	}
	buf_fini(&out);
	buf_fini(&scratch);
}

/* The digest is put right, else nothing but it would be tried. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf bytes = BUF_INIT(ENTRY_MAX);
	struct buf scratch = BUF_INIT(ENTRY_ROWS_MAX);
	unsigned char digest[HASH_DIGEST_SIZE];
	struct entry e;
	buf_append(&bytes, data, size);
	hash_digest(data, size, digest);
	buf_append(&bytes, digest, sizeof(digest));
	if (entry_decode(buf_view(&bytes), &scratch, &e) == OK) {
		check_rows(e.rows);
		check_again(&e);
	}
	check_rows((struct slice){(const char *)data, size});
	buf_fini(&bytes);
	buf_fini(&scratch);
	return 0;
}
