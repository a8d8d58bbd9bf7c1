/*
 * What JetStream's API answers, and the reply subjects of its messages: an answer refuses with
 * words or not at all; a stream that is understood begins at most behind its end; of an
 * acknowledgement's subject each number stands in it. The input's first byte chooses.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "jetstream/js_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_refusal(struct slice json)
{
	char why[NATS_ERROR_SIZE];
	const struct nats_message m = {.payload = json};
	uint64_t refusal = js_refusal(&m, why);
	must((refusal == 0) == (why[0] == '\0'));
	must(refusal != JS_UNANSWERED && memchr(why, '\0', sizeof(why)) != NULL);
	for (const char *at = why; *at != '\0'; at++)
		must(*at >= ' ' && *at <= '~');
}

static void check_info(struct slice json)
{
	struct js_info info;
	if (js_info_read(json, &info))
		must(info.last < UINT64_MAX && info.first <= info.last + 1);
}

/* Whether a word of `s` is this number. */
static bool has_number(struct slice s, uint64_t n)
{
	uint64_t found = 0;
	while (s.len > 0) {
		if (str_u64(slice_cut(&s, '.'), &found) == OK && found == n)
			return true;
	}
	return false;
}

static void check_ack(struct slice reply)
{
	struct js_ack ack;
	if (js_ack_read(reply, &ack))
		must(has_number(reply, ack.seq) && has_number(reply, ack.consumer_seq) &&
		    has_number(reply, ack.time_ns) && has_number(reply, ack.pending));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct slice rest = {(const char *)data + 1, size - 1};
	if (data[0] == 'A') {
		check_ack(rest);
	} else {
		check_refusal(rest);
		check_info(rest);
	}
	return 0;
}
