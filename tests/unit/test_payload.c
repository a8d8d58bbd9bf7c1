/* What bodies of deliveries are made of envelopes, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "domain/payload.h"
#include "support.h"

static void expect(enum payload form, const char *session, const char *envelope,
    const char *body)
{
	struct payload_body b;
	struct uuid id = make_id(0x1234);
	const struct payload_event e = {&id, slice_of(session), SLICE("message"),
	    slice_of(envelope)};
	struct buf text = BUF_INIT(1u << 16);
	payload_make(form, &e, &b);
	buf_slice(&text, buf_view(&b.head));
	buf_append(&text, envelope + b.at, b.len);
	buf_slice(&text, b.tail);
	assert_string_equal(buf_cstr(&text), body);
	assert_int_equal(payload_bytes(&b), text.len);
	payload_fini(&b);
	buf_fini(&text);
}

#define START                                                                                  \
	"{\"0\":{\"data\":1},\"session_id\":\"s\",\"event\":\"message\","                      \
	"\"timestamp\":1767143203,\"offline\":[{\"data\":2}],"

static void test_forms(void **state)
{
	(void)state;
	expect(PAYLOAD_ENVELOPE, "s", START "\"data\":{\"a\":\"}\"}}",
	    START "\"data\":{\"a\":\"}\"}}");
	expect(PAYLOAD_DATA, "s", START "\"data\":{\"a\":\"}\"}}", "{\"a\":\"}\"}");
	expect(PAYLOAD_DATA, "s", START "\"data\":\"\\\"\"}", "\"\\\"\"");
	expect(PAYLOAD_DATA, "s", START "\"data\":null}", "null");
	expect(PAYLOAD_DATA, "s", START "\"data\":-1.5}", "-1.5");
	expect(PAYLOAD_CLOUDEVENTS, "s", START "\"data\":[]}",
	    "{\"specversion\":\"1.0\",\"id\":\"00000000-0000-0000-0000-000000001234\","
	    "\"source\":\"/sessions/s\",\"type\":\"message\",\"subject\":\"s\","
	    "\"time\":\"2025-12-31T01:06:43.000Z\",\"datacontenttype\":\"application/json\","
	    "\"data\":[]}");
}

static void test_session_in_source(void **state)
{
	(void)state;
	expect(PAYLOAD_CLOUDEVENTS, "a/b \xc3\xa3\"~", "{\"timestamp\":0,\"data\":1}",
	    "{\"specversion\":\"1.0\",\"id\":\"00000000-0000-0000-0000-000000001234\","
	    "\"source\":\"/sessions/a%2Fb%20%C3%A3%22~\",\"type\":\"message\","
	    "\"subject\":\"a/b \xc3\xa3\\\"~\",\"time\":\"1970-01-01T00:00:00.000Z\","
	    "\"datacontenttype\":\"application/json\",\"data\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_session_in_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
