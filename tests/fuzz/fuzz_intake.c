/*
 * What intake_read() has taken are events with canonical bodies that read as envelopes, as
 * many as it says and within the limits; a repeat stands behind the one that it repeats.
 * Whatever is refused has a problem in words.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "api/intake.h"

#define OUT_MAX (1 << 24) /* bytes; above what the fuzzer's longest input can become */
#define EACH_MAX 2000     /* bytes of one event */
#define NOW_MS 1767143203500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_body(struct slice body)
{
	struct json_reader r;
	struct envelope e;
	struct problem p;
	struct buf scratch = BUF_INIT(OUT_MAX);
	struct buf again = BUF_INIT(OUT_MAX);
	json_init(&r, body);
	must(envelope_read(&r, SLICE(""), 0, "", &scratch, &again, &e, &p) == OK);
	must(json_read_end(&r) == OK);
	must(slice_eq(e.body, body));
	json_fini(&r);
	buf_fini(&scratch);
	buf_fini(&again);
}

static void check_items(const struct intake *in)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct intake_item *item = &in->items[i];
		check_body(item->publication.body);
		must(item->repeats <= i);
		must(item->repeats == 0 || in->items[item->repeats - 1].repeats == 0);
		must(i == 0 ||
		    memcmp(in->items[i - 1].publication.event.id.bytes,
			item->publication.event.id.bytes, UUID_SIZE) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte says which form the text has. */
	static const enum intake_form FORMS[] = {INTAKE_ONE, INTAKE_ANY, INTAKE_NDJSON};
	if (size == 0)
		return 0;
	enum intake_form form = FORMS[data[0] % 3];
	struct slice text = {(const char *)data + 1, size - 1};
	struct rnd rnd;
	struct idgen ids;
	struct intake in;
	struct problem p = {.message = ""};
	struct buf scratch = BUF_INIT(OUT_MAX);
	struct registry *registry = registry_new();
	rnd_seed(&rnd, 1);
	idgen_init(&ids, &rnd);
	struct intake_conf conf = {.session = form == INTAKE_ONE ? SLICE("s") : SLICE(""),
	    .registry = registry,
	    .ids = &ids,
	    .scratch = &scratch,
	    .now_ms = NOW_MS,
	    .body_max = EACH_MAX,
	    .batch_max = OUT_MAX};
	enum err err = intake_read(&in, &conf, form, text, &p);
	must((err == OK) == (p.message[0] == '\0'));
	if (err == OK) {
		must(in.is_batch || in.count == 1);
		check_items(&in);
	}
	intake_fini(&in);
	registry_free(registry);
	buf_fini(&scratch);
	return 0;
}
