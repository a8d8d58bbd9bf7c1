/*
 * YAML files, and JSON as YAML. What is read is JSON, which written as YAML reads again to the
 * same; what is refused is so with its place. A text that is JSON itself is written and read
 * the same way; nothing in what is written tells a terminal anything.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "cli/yaml.h"
#include "domain/json.h"

#define TEXT_MAX (1u << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes canonical JSON, if YAML can say it, and holds what is read from that against it. */
static void check_round(struct slice canonical)
{
	struct problem p = {.message = ""};
	struct buf yaml = BUF_INIT(TEXT_MAX);
	struct buf json = BUF_INIT(TEXT_MAX);
	struct buf again = BUF_INIT(TEXT_MAX);
	if (yaml_write(&yaml, canonical) == OK && !yaml.failed) {
		panic_if(yaml_read(buf_view(&yaml), &json, &p) != OK, "not read: %s",
		    p.message);
		panic_if(json_read_whole(buf_view(&json), &again, &p) != OK, "no JSON");
		panic_if(!slice_eq(buf_view(&again), canonical), "another value");
	}
	for (size_t i = 0; i < yaml.len; i++)
		panic_if((unsigned char)yaml.data[i] < ' ' && yaml.data[i] != '\n',
		    "a control");
	buf_fini(&yaml);
	buf_fini(&json);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	struct problem p = {.message = ""};
	struct buf json = BUF_INIT(TEXT_MAX);
	struct buf canonical = BUF_INIT(TEXT_MAX);
	enum err err = yaml_read(text, &json, &p);
	if (err == OK) {
		panic_if(json_read_whole(buf_view(&json), &canonical, &p) != OK, "no JSON");
		check_round(buf_view(&canonical));
	} else {
		bool has_place = strncmp(p.message, "line ", 5) == 0;
		panic_if(!has_place && strcmp(p.message, "it is empty") != 0,
		    "without its place");
	}
	buf_reset(&canonical);
	if (json_read_whole(text, &canonical, &p) == OK)
		check_round(buf_view(&canonical));
	buf_fini(&json);
	buf_fini(&canonical);
	return 0;
}
