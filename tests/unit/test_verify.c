/* Proofs of senders: examples that their makers publish, what is refused, what is masked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "domain/verify.h"
#include "support.h"

struct head {
	const char *name, *value;
};

#define HEADS_MAX 4

struct sent {
	struct head heads[HEADS_MAX];
	const char *body;
	int64_t now_s;
};

static struct slice header_of(const void *request, const char *name)
{
	const struct sent *s = request;
	for (size_t i = 0; i < HEADS_MAX && s->heads[i].name != NULL; i++) {
		if (strcasecmp(s->heads[i].name, name) == 0)
			return slice_of(s->heads[i].value);
	}
	return (struct slice){0};
}

static struct verify *make(const char *conf)
{
	struct problem p = {0};
	struct verify *v = NULL;
	if (verify_new(slice_of(conf), &v, &p) != OK)
		fail_msg("%s: %s: %s", conf, p.field, p.message);
	return v;
}

static bool is_proven(const struct verify *v, const struct sent *s)
{
	const struct arrival a = {.header = header_of, .request = s, .body = slice_of(s->body)};
	const char *why = NULL;
	bool good = verify_arrival(v, &a, s->now_s * 1000, &why);
	assert_true(good || why != NULL);
	assert_true(!good || verify_may(v, &a));
	return good;
}

/* The request is proven; with another body or secret, or without its first header, not. */
static void expect_proof(const char *conf, struct sent s)
{
	struct verify *v = make(conf);
	assert_true(is_proven(v, &s));
	const char *body = s.body;
	s.body = "another";
	assert_false(is_proven(v, &s));
	s.body = body;
	s.heads[0].name = "x-nothing";
	assert_false(is_proven(v, &s));
	verify_free(v);
}

static void test_published_examples(void **state)
{
	(void)state;
	/* docs.github.com, "Validating webhook deliveries" */
	expect_proof(
	    "{\"type\":\"hmac\",\"header\":\"X-Hub-Signature-256\",\"prefix\":\"sha256=\","
	    "\"secrets\":[\"It's a Secret to Everybody\"]}",
	    (struct sent){
		{{"x-hub-signature-256",
		    "sha256="
		    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"Hello, World!", 0});
	/* as Slack's documentation says; the code is of Python's hmac */
	expect_proof("{\"type\":\"hmac\",\"header\":\"X-Slack-Signature\",\"prefix\":\"v0=\","
		     "\"signed\":\"v0:{timestamp}:{body}\",\"timestamp\":{\"header\":"
		     "\"X-Slack-Request-Timestamp\"},"
		     "\"secrets\":[\"wrong\",\"8f742231b10e8888\"]}",
	    (struct sent){
		{{"X-Slack-Signature",
		     "v0=a1de08de6546d0cf53b16f3726f79a0f80dbb48e8004bd255f5dd6ad9ee5a5fb"},
		    {"X-Slack-Request-Timestamp", "1531420618"}},
		"token=x&team_id=T1", 1531420618});
	/* the libraries of Standard Webhooks */
	expect_proof("{\"type\":\"hmac\",\"header\":\"webhook-signature\",\"prefix\":\"v1,\","
		     "\"delimiter\":\" \",\"encoding\":\"base64\",\"signed\":"
		     "\"{id}.{timestamp}.{body}\",\"id\":{\"header\":\"webhook-id\"},"
		     "\"timestamp\":{\"header\":\"webhook-timestamp\"},\"secret_encoding\":"
		     "\"base64\",\"secrets\":[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}",
	    (struct sent){{{"webhook-signature",
			       "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v2,x"},
			      {"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
			      {"webhook-timestamp", "1614265330"}},
		"{\"test\": 2432232314}", 1614265330});
}

static void test_hex_in_either_case(void **state)
{
	(void)state;
	struct verify *v = make("{\"type\":\"hmac\",\"header\":\"X\",\"hash\":\"sha1\","
				"\"secrets\":[\"Jefe\"]}");
	struct sent s = {{{"X", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"}},
	    "what do ya want for nothing?", 0};
	assert_true(is_proven(v, &s));
	s.heads[0].value = " EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79 ";
	assert_true(is_proven(v, &s));
	s.heads[0].value = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c78";
	assert_false(is_proven(v, &s));
	s.heads[0].value = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79aa";
	assert_false(is_proven(v, &s));
	verify_free(v);
}

static void test_tolerance(void **state)
{
	(void)state;
	static const char CONF[] =
	    "{\"type\":\"hmac\",\"header\":\"X\",\"timestamp\":{\"header\":\"T\"},"
	    "\"unit\":\"ms\","
	    "\"tolerance\":\"10s\",\"hash\":\"sha1\",\"secrets\":[\"Jefe\"]}";
	struct verify *v = make(CONF);
	struct sent s = {{{"X", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"}, {"T", "1000000"}},
	    "what do ya want for nothing?", 1000};
	static const struct {
		int64_t now_s;
		bool good;
	} TIMES[] = {{989, false}, {990, true}, {1000, true}, {1010, true}, {1011, false}};
	for (size_t i = 0; i < COUNT(TIMES); i++) {
		s.now_s = TIMES[i].now_s;
		assert_int_equal(is_proven(v, &s), TIMES[i].good);
	}
	s.now_s = 1000;
	static const char *const NONE[] = {"", "-1", "1e6", "9223372036854775808", "x"};
	for (size_t i = 0; i < COUNT(NONE); i++) {
		s.heads[1].value = NONE[i];
		assert_false(is_proven(v, &s));
	}
	verify_free(v);
}

static void test_tokens(void **state)
{
	(void)state;
	struct verify *v = make("{\"type\":\"token\",\"header\":\"X-Gitlab-Token\","
				"\"secrets\":[\"one\",\"two\"]}");
	struct sent s = {{{"x-gitlab-token", "two"}}, "", 0};
	assert_true(is_proven(v, &s));
	s.heads[0].value = "tw";
	assert_false(is_proven(v, &s));
	s.heads[0].value = "";
	assert_false(is_proven(v, &s));
	verify_free(v);
	v = make("{\"type\":\"token\",\"header\":\"Authorization\",\"prefix\":\"Bearer \","
		 "\"secrets\":[\"one\"]}");
	s.heads[0] = (struct head){"Authorization", "Bearer one"};
	assert_true(is_proven(v, &s));
	s.heads[0].value = "one";
	assert_false(is_proven(v, &s));
	verify_free(v);
	v = make("{\"type\":\"basic\",\"secrets\":[\"Aladdin:open sesame\"]}"); /* RFC 7617 */
	s.heads[0].value = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
	assert_true(is_proven(v, &s));
	s.heads[0].value = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZg==";
	assert_false(is_proven(v, &s));
	verify_free(v);
	v = make("{\"type\":\"none\"}");
	s.heads[0].name = NULL;
	assert_true(is_proven(v, &s));
	verify_free(v);
	verify_free(NULL);
}

static void test_problems(void **state)
{
	(void)state;
	static const struct {
		const char *conf, *field;
	} BAD[] = {
	    {"17", "verify"},
	    {"{}", "verify.type"},
	    {"{\"type\":\"rsa\"}", "verify.type"},
	    {"{\"type\":\"none\",\"header\":\"X\"}", "verify.header"},
	    {"{\"type\":\"hmac\",\"secrets\":[\"s\"]}", "verify.header"},
	    {"{\"type\":\"hmac\",\"header\":\"a b\",\"secrets\":[\"s\"]}", "verify.header"},
	    {"{\"type\":\"hmac\",\"header\":\"X\"}", "verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[]}", "verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"\"]}", "verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[17]}", "verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"********\"]}",
		"verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"a\",\"b\",\"c\",\"d\",\"e\","
	     "\"f\",\"g\",\"h\",\"i\"]}",
		"verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"-\"],\"secret_encoding\":"
	     "\"base64\"}",
		"verify.secrets"},
	    {"{\"type\":\"basic\",\"secrets\":[\"no colon\"]}", "verify.secrets"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"hash\":\"md5\"}",
		"verify.hash"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":\"{time}\"}",
		"verify.signed"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":\"a{body\"}",
		"verify.signed"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":\"a\"}",
		"verify.signed"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":"
	     "\"{body}.{body}\"}",
		"verify.signed"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":"
	     "\"{timestamp}{body}\"}",
		"verify.timestamp"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"signed\":"
	     "\"{id}{body}\"}",
		"verify.id"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"timestamp\":{}}",
		"verify.timestamp.header"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"timestamp\":\"T\"}",
		"verify.timestamp"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"tolerance\":\"2d\"}",
		"verify.tolerance"},
	    {"{\"type\":\"hmac\",\"header\":\"X\",\"secrets\":[\"s\"],\"delimiter\":\", \"}",
		"verify.delimiter"},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct verify *v = NULL;
		struct problem p = {0};
		assert_int_equal(verify_new(slice_of(BAD[i].conf), &v, &p), ERR_INVALID);
		if (strcmp(p.field, BAD[i].field) != 0)
			fail_msg("%s: %s: %s", BAD[i].conf, p.field, p.message);
		assert_null(v);
	}
}

static void test_masked(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct json_writer w = JSON_WRITER(&out);
	verify_write_masked(SLICE("{\"type\":\"token\",\"header\":\"X\",\"secrets\":[\"one\","
				  "\"two\"]}"),
	    NULL, &w);
	assert_string_equal(buf_cstr(&out),
	    "{\"type\":\"token\",\"header\":\"X\",\"secrets\":[\"********\",\"********\"]}");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_published_examples),
	    cmocka_unit_test(test_hex_in_either_case),
	    cmocka_unit_test(test_tolerance),
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_problems),
	    cmocka_unit_test(test_masked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
