/* What webhooks' own headers may be called and hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <stdlib.h>

#include "domain/header.h"
#include "support.h"

static void test_reserved(void **state)
{
	(void)state;
	static const char *const RESERVED[] = {"host", "Content-Length", "Content_Length",
	    "content.length", "TRANSFER_ENCODING", "Transfer_encoding", "X_Webhook_Id",
	    "X-Webhook_Signature", "x_webhook_signature_version", "X~Webhook|Event",
	    "webhook_id", "WEBHOOK_SIGNATURE", "Webhook_timestamp", "User_Agent", "TE"};
	static const char *const FREE[] = {"X-Webhook-Secret", "X-Webhook-Token",
	    "X-Webhook-Auth", "X_Webhook_Secret", "X-Webhook-", "X-Webhook", "Webhook-Secret",
	    "webhook", "webhook-", "X-Webhook-Idx", "X-Webhook-I", "X-Webhook--Id",
	    "ContentLength", "Content-Length-", "-Content-Length", "Authorization", "Accept",
	    "X-Signature", "Hosts", "-", "T-E"};
	for (size_t i = 0; i < COUNT(RESERVED); i++) {
		if (!header_is_reserved(RESERVED[i]))
			fail_msg("%s is free", RESERVED[i]);
	}
	for (size_t i = 0; i < COUNT(FREE); i++) {
		if (header_is_reserved(FREE[i]))
			fail_msg("%s is reserved", FREE[i]);
	}
}

static void test_lengths(void **state)
{
	(void)state;
	for (size_t over = 0; over <= 1; over++) {
		char *name = repeat('n', HEADER_NAME_MAX + over);
		char *value = repeat(' ', HEADER_VALUE_MAX + over);
		assert_int_equal(header_is_name(name), over == 0);
		assert_int_equal(header_is_value(value), over == 0);
		free(name);
		free(value);
	}
	assert_false(header_is_name(""));
	assert_true(header_is_value(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reserved),
	    cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
