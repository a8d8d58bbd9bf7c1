/*
 * Envelopes: the bytes that are stored and signed, and which members are refused.
 * JSON is written with ' for " here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "domain/envelope.h"

#define OUT_MAX (1 << 20)
#define NOW_S 1767143203
#define ROWS_OF(table) (sizeof(table) / sizeof((table)[0]))
#define TEN "0123456789"
#define SESSION_128 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "abcd.~_-"
#define EVENT_64 TEN TEN TEN TEN TEN TEN "a.b_"

struct fixture {
	struct buf text;
	struct json_reader r;
	struct buf scratch;
	struct buf body;
	struct envelope e;
	struct problem p;
};

/* Makes `out` the JSON that `text` means. */
static struct slice quote(const char *text, struct buf *out)
{
	*out = BUF_INIT(OUT_MAX);
	for (; *text != '\0'; text++)
		buf_putc(out, *text == '\'' ? '"' : *text);
	return buf_view(out);
}

static void setup(struct fixture *f, const char *text)
{
	*f = (struct fixture){.scratch = BUF_INIT(OUT_MAX), .body = BUF_INIT(OUT_MAX)};
	json_init(&f->r, quote(text, &f->text));
}

static void teardown(struct fixture *f)
{
	json_fini(&f->r);
	buf_fini(&f->text);
	buf_fini(&f->scratch);
	buf_fini(&f->body);
}

static void check_body(size_t row, const struct buf *body, size_t from, const char *want)
{
	struct buf quoted;
	struct slice made = {body->data + from, body->len - from};
	if (!slice_eq(made, quote(want, &quoted)))
		fail_msg("row %zu: %.*s", row, (int)made.len, made.ptr);
	buf_fini(&quoted);
}

static enum err read_one(struct fixture *f, struct slice session, const char *where)
{
	return envelope_read(&f->r, session, NOW_S, where, &f->scratch, &f->body, &f->e, &f->p);
}

static void test_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *session; /* of the path */
		const char *text;
		const char *body;
	} ROWS[] = {
	    {"s", "{'event':'message'}",
		"{'session_id':'s','event':'message','timestamp':1767143203,'data':{}}"},
	    {"", "{'data': [1.0], 'timestamp': 0, 'event':'e', 'session_id':'a.B~-_9'}",
		"{'session_id':'a.B~-_9','event':'e','timestamp':0,'data':[1]}"},
	    {"s", "{'session_id':'s','event':'e','timestamp':1e9,'data':null}",
		"{'session_id':'s','event':'e','timestamp':1000000000,'data':null}"},
	    {"s", "{'session_id':null,'event':'e','timestamp':null,'id':null,'x':null}",
		"{'session_id':'s','event':'e','timestamp':1767143203,'x':null,'data':{}}"},
	    {"s", "{'event':'e','timestamp':-0.0,'data':''}",
		"{'session_id':'s','event':'e','timestamp':0,'data':''}"},
	    {"s", "{'event':'e','timestamp':253402300799,'data':false}",
		"{'session_id':'s','event':'e','timestamp':253402300799,'data':false}"},
	    /* the id is taken out, unknown members keep their order, the last duplicate wins */
	    {"s",
		"{'zz':1,'id':'x','data':{'b':1,'0':2},'offline':true,'event':'e',"
		"'timestamp':1}",
		"{'session_id':'s','event':'e','timestamp':1,'zz':1,'offline':true,"
		"'data':{'0':2,'b':1}}"},
	    {"s",
		"{'event':5,'x':1,'data':1,'\\u0065vent':'e','y':1,'x':2,'data':2,"
		"'timestamp':'no','timestamp':1}",
		"{'session_id':'s','event':'e','timestamp':1,'x':2,'y':1,'data':2}"},
	    /* array indices come first of all, as JavaScript has them; 01 is none */
	    {"s", "{'01':0,'event':'e','10':1,'timestamp':1,'9':2}",
		"{'9':2,'10':1,'session_id':'s','event':'e','timestamp':1,'01':0,"
		"'data':{}}"},
	    {"s", "{'Event':1,'__proto__':{},'event':'e','timestamp':1,'i\\'d':0}",
		"{'session_id':'s','event':'e','timestamp':1,'Event':1,'__proto__':{},"
		"'i\\'d':0,'data':{}}"},
	    {"", "{'session_id':'" SESSION_128 "','event':'" EVENT_64 "','timestamp':1}",
		"{'session_id':'" SESSION_128 "','event':'" EVENT_64 "','timestamp':1,"
		"'data':{}}"},
	    /* names need their escapes, and get no others */
	    {"Loja S\303\243o Paulo", "{'event':'e','timestamp':1}",
		"{'session_id':'Loja S\303\243o Paulo','event':'e','timestamp':1,'data':{}}"},
	    {"Loja S\303\243o Paulo",
		"{'session_id':'Loja\\u0020S\\u00e3o Paulo','event':'e','timestamp':1}",
		"{'session_id':'Loja S\303\243o Paulo','event':'e','timestamp':1,'data':{}}"},
	    {"", "{'session_id':'\\ud83d\\udcf1 \\/ % + \\u2028','event':'e','timestamp':1}",
		"{'session_id':'\360\237\223\261 / % + \342\200\250','event':'e',"
		"'timestamp':1,'data':{}}"},
	    {"say \"hi\" \\", "{'event':'e','timestamp':1}",
		"{'session_id':'say \\'hi\\' \\\\','event':'e','timestamp':1,'data':{}}"},
	    {"say \"hi\" \\",
		"{'session_id':'say \\u0022hi\\' \\u005c','event':'e','timestamp':1}",
		"{'session_id':'say \\'hi\\' \\\\','event':'e','timestamp':1,'data':{}}"},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct fixture f;
		setup(&f, ROWS[i].text);
		buf_puts(&f.body, "before");
		if (read_one(&f, slice_of(ROWS[i].session), "") != OK)
			fail_msg("row %zu: %s %s", i, f.p.field, f.p.message);
		assert_memory_equal(f.body.data, "before", strlen("before"));
		check_body(i, &f.body, strlen("before"), ROWS[i].body);
		assert_ptr_equal(f.e.body.ptr, f.body.data + strlen("before"));
		assert_int_equal(f.e.body.len, f.body.len - strlen("before"));
		teardown(&f);
	}
}

/* What is no envelope is the data of one; what cannot be one is refused as ever. */
static void test_any_object(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *event; /* NULL: refused */
		const char *data;  /* NULL: it is an envelope */
	} ROWS[] = {
	    {"{'event':'e','data':1}", "e", NULL},
	    {"{}", "unknown", "{}"},
	    {"{'schedule_id':'1','endpoint':'/x','send_at':1,'message_id':'m','to':'t'}",
		"scheduled_sent",
		"{'schedule_id':'1','endpoint':'/x','send_at':1,'message_id':'m','to':'t'}"},
	    {"{'schedule_id':1,'error':'no','to':'t'}", "scheduled_failed",
		"{'schedule_id':1,'error':'no','to':'t'}"},
	    {"{'schedule_id':1,'error':null}", "scheduled_sent",
		"{'schedule_id':1,'error':null}"},
	    {"{'job_id':'j','session_id':'x','counters':{'sent':1,'pending':10}}",
		"blast_progress",
		"{'job_id':'j','session_id':'x','counters':{'sent':1,'pending':10}}"},
	    {"{'job_id':'j','counters':{'sent':1,'pending':0}}", "blast_completed",
		"{'job_id':'j','counters':{'sent':1,'pending':0}}"},
	    {"{'job_id':'j','counters':{'pending':0,'sent':1}}", "blast_completed",
		"{'job_id':'j','counters':{'pending':0,'sent':1}}"},
	    {"{'job_id':'j','status':'completed','counters':{}}", "blast_completed",
		"{'job_id':'j','status':'completed','counters':{}}"},
	    {"{'job_id':'j','counters':[0]}", "blast_progress",
		"{'job_id':'j','counters':[0]}"},
	    {"{'job_id':'j'}", "unknown", "{'job_id':'j'}"},
	    {"{'event':5,'b':1,'a':{'2':1,'1':2}}", "unknown",
		"{'event':5,'b':1,'a':{'1':2,'2':1}}"},
	    {"{'event':'Not A Name'}", "unknown", "{'event':'Not A Name'}"},
	    {"{'event':'all'}", "unknown", "{'event':'all'}"},
	    {"{'event':'message','timestamp':'soon','session_id':7}", "message",
		"{'event':'message','timestamp':'soon','session_id':7}"},
	    {"{'event':'message','id':'','session_id':'s'}", "message",
		"{'event':'message','id':'','session_id':'s'}"},
	    {"{'event':'message','session_id':'other'}", NULL, NULL},
	    {"[]", NULL, NULL},
	    {"7", NULL, NULL},
	    {"{'event':", NULL, NULL},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct fixture f;
		char want[512];
		setup(&f, ROWS[i].text);
		enum err err = envelope_read_any(&f.r, SLICE("s"), NOW_S, "", &f.scratch,
		    &f.body, &f.e, &f.p);
		if ((err == OK) != (ROWS[i].event != NULL))
			fail_msg("row %zu: %d %s", i, err, f.p.message);
		if (err == OK)
			assert_string_equal(f.e.event, ROWS[i].event);
		if (ROWS[i].data != NULL) {
			(void)snprintf(want, sizeof(want),
			    "{'session_id':'s','event':'%s','timestamp':1767143203,"
			    "'data':%s}",
			    ROWS[i].event, ROWS[i].data);
			check_body(i, &f.body, 0, want);
			assert_string_equal(f.p.message, "");
			assert_string_equal(f.e.id, "");
		}
		teardown(&f);
	}
}

static void test_fields(void **state)
{
	(void)state;
	struct fixture f;
	setup(&f,
	    "{'session_id':'main','event':'message','timestamp':12,"
	    "'id':'\\'a\\\\b\\' \\u007e\\/'}");
	assert_int_equal(read_one(&f, SLICE("main"), ""), OK);
	assert_string_equal(f.e.session, "main");
	assert_string_equal(f.e.event, "message");
	assert_string_equal(f.e.id, "\"a\\b\" ~/");
	assert_int_equal(f.e.timestamp_s, 12);
	teardown(&f);

	setup(&f, "{'event':'e'}");
	assert_int_equal(read_one(&f, SLICE("s"), ""), OK);
	assert_string_equal(f.e.session, "s");
	assert_string_equal(f.e.id, "");
	assert_int_equal(f.e.timestamp_s, NOW_S);
	teardown(&f);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *session; /* of the path */
		const char *text;
		const char *field;
		const char *hint; /* a part of the message */
	} ROWS[] = {
	    {"", "{'event':'e'}", "session_id", "required"},
	    {"", "{'event':'e','session_id':1}", "session_id", "string"},
	    {"", "{'event':'e','session_id':null}", "session_id", "required"},
	    {"", "{'event':'e','session_id':''}", "session_id", "1 to 128"},
	    {"", "{'event':'e','session_id':'a\\nb'}", "session_id", "1 to 128"},
	    {"", "{'event':'e','session_id':'a\\u0085'}", "session_id", "1 to 128"},
	    {"", "{'event':'e','session_id':'\\ud83d'}", "session_id", "1 to 128"},
	    {"", "{'event':'e','session_id':'..'}", "session_id", "folded"},
	    {"", "{'event':'e','session_id':'a\\u0000'}", "session_id", "1 to 128"},
	    {"", "{'event':'e','session_id':'x" SESSION_128 "'}", "session_id", "1 to 128"},
	    {"s", "{'event':'e','session_id':'t'}", "session_id", "path"},
	    {"s", "{'event':'e','session_id':'ss'}", "session_id", "path"},
	    {"s", "{'event':'e','session_id':7}", "session_id", "string"},
	    {"s\np", "{'event':'e'}", "session_id", "1 to 128"},
	    {"a\"", "{'event':'e','session_id':'a\\\\'}", "session_id", "path"},
	    {"a\\", "{'event':'e','session_id':'a\\\\\\\\'}", "session_id", "path"},
	    {"s", "{}", "event", "required"},
	    {"s", "{'event':['e']}", "event", "string"},
	    {"s", "{'event':''}", "event", "1 to 64"},
	    {"s", "{'event':'Message'}", "event", "1 to 64"},
	    {"s", "{'event':'a\\''}", "event", "1 to 64"},
	    {"s", "{'event':'x" EVENT_64 "'}", "event", "1 to 64"},
	    {"s", "{'event':'all'}", "event", "every event"},
	    {"s", "{'event':'e','timestamp':1.5}", "timestamp", "unix"},
	    {"s", "{'event':'e','timestamp':-1}", "timestamp", "unix"},
	    {"s", "{'event':'e','timestamp':'1'}", "timestamp", "unix"},
	    {"s", "{'event':null}", "event", "required"},
	    {"s", "{'event':'e','timestamp':253402300800}", "timestamp", "unix"},
	    {"s", "{'event':'e','timestamp':1e21}", "timestamp", "unix"},
	    {"s", "{'event':'e','timestamp':18446744073709551617}", "timestamp", "unix"},
	    {"s", "{'event':'e','id':''}", "id", "1 to 128"},
	    {"s", "{'event':'e','id':5}", "id", "1 to 128"},
	    {"s", "{'event':'e','id':'a\\nb'}", "id", "printable"},
	    {"s", "{'event':'e','id':'a\\u0000b'}", "id", "printable"},
	    {"s", "{'event':'e','id':'\\\\\x7f'}", "id", "printable"},
	    {"s", "{'event':'e','id':'\xc3\xa9'}", "id", "printable"},
	    {"s", "{'event':'e','id':'\\ud800'}", "id", "printable"},
	    {"s", "{'event':'e','id':'x" SESSION_128 "'}", "id", "1 to 128"},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct fixture f;
		char field[64];
		setup(&f, ROWS[i].text);
		if (read_one(&f, slice_of(ROWS[i].session), "[3].") != ERR_INVALID)
			fail_msg("row %zu was not refused", i);
		(void)snprintf(field, sizeof(field), "[3].%s", ROWS[i].field);
		if (strcmp(f.p.field, field) != 0 || strstr(f.p.message, ROWS[i].hint) == NULL)
			fail_msg("row %zu: %s %s", i, f.p.field, f.p.message);
		assert_int_equal(f.body.len, 0);
		teardown(&f);
	}
}

static void test_id_length(void **state)
{
	(void)state;
	struct fixture f;
	/* Escapes count as what they stand for: 126 plain, a quote and a backslash. */
	setup(&f,
	    "{'event':'e','id':'" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
	    "abcdef\\'\\\\'}");
	assert_int_equal(read_one(&f, SLICE("s"), ""), OK);
	assert_int_equal(strlen(f.e.id), ENVELOPE_ID_MAX);
	teardown(&f);
}

static void test_not_an_envelope(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err err;
		const char *message;
	} ROWS[] = {
	    {"", ERR_SYNTAX, "malformed JSON at byte 0: an object expected"},
	    {"x", ERR_SYNTAX, "malformed JSON at byte 0: a value expected"},
	    {"[1", ERR_SYNTAX, "malformed JSON at byte 2: a comma or ] expected"},
	    {"{'event':'e'", ERR_SYNTAX, "malformed JSON at byte 12: a comma or } expected"},
	    {" 5", ERR_INVALID, "an event must be a JSON object"},
	    {"[]", ERR_INVALID, "an event must be a JSON object"},
	    {"'e'", ERR_INVALID, "an event must be a JSON object"},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct fixture f;
		setup(&f, ROWS[i].text);
		if (read_one(&f, SLICE("s"), "[7].") != ROWS[i].err)
			fail_msg("row %zu", i);
		if (strcmp(f.p.message, ROWS[i].message) != 0 || strcmp(f.p.field, "[7]") != 0)
			fail_msg("row %zu: %s %s", i, f.p.field, f.p.message);
		teardown(&f);
	}
}

/* Whatever the limit of either buffer: all of it, or nothing and a buffer that can go on. */
static void test_limits(void **state)
{
	(void)state;
	static const char TEXT[] = "{'event':'e','1':[1e20],'data':'x'}";
	bool passed = false;
	for (size_t max = 0; !passed; max++) {
		struct fixture f;
		setup(&f, TEXT);
		f.body.max = max;
		enum err err = read_one(&f, SLICE("s"), "");
		passed = err == OK;
		if (!passed) {
			assert_int_equal(err, ERR_TOOBIG);
			assert_int_equal(f.body.len, 0);
			assert_false(f.body.failed);
			assert_non_null(strstr(f.p.message, "limit"));
		}
		assert_true(max < 4 * strlen(TEXT));
		teardown(&f);
	}
	struct fixture f;
	setup(&f, TEXT);
	f.scratch.max = strlen(TEXT) / 2;
	assert_int_equal(read_one(&f, SLICE("s"), ""), ERR_TOOBIG);
	assert_non_null(strstr(f.p.message, "limit"));
	teardown(&f);
}

static void test_batch(void **state)
{
	(void)state;
	struct fixture f;
	bool more = false;
	setup(&f,
	    "[{'event':'a','timestamp':1}, {'event':'b','timestamp':2,'id':'i'},"
	    "{'event':'C'}]");
	assert_int_equal(json_read_array(&f.r), OK);
	assert_int_equal(json_read_item(&f.r, true, &more), OK);
	assert_int_equal(read_one(&f, SLICE("s"), "[0]."), OK);
	assert_string_equal(f.e.event, "a");
	assert_int_equal(json_read_item(&f.r, false, &more), OK);
	assert_int_equal(read_one(&f, SLICE("s"), "[1]."), OK);
	assert_string_equal(f.e.id, "i");
	static const char BOTH[] = "{'session_id':'s','event':'a','timestamp':1,'data':{}}"
				   "{'session_id':'s','event':'b','timestamp':2,'data':{}}";
	check_body(1, &f.body, 0, BOTH);
	assert_int_equal(json_read_item(&f.r, false, &more), OK);
	assert_true(more);
	assert_int_equal(read_one(&f, SLICE("s"), "[2]."), ERR_INVALID);
	assert_string_equal(f.p.field, "[2].event");
	check_body(2, &f.body, 0, BOTH);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_any_object),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_id_length),
	    cmocka_unit_test(test_not_an_envelope),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_batch),
	};
	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
