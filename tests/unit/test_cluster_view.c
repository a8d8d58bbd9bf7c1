/* How a member of a cluster is shown, and what is read of the engine's monitoring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/cluster_view.h"
#include "server/engine.h"

static const struct journal_member MEMBERS[] = {
    {.name = "a", .synced = 7, .told_ms = 1000, .is_active = true, .url = "http://a"},
    {.name = "b", .synced = 9, .is_active = true, .url = "http://\"b\""},
};

static struct cluster_view make_view(void)
{
	return (struct cluster_view){.role = "active",
	    .shard = "s",
	    .member = "b",
	    .url = "http://b",
	    .active = "b",
	    .active_url = "http://b",
	    .epoch = 3,
	    .seq = 9,
	    .synced = 9,
	    .knows_lag = true,
	    .takes = true,
	    .journal_is_up = true,
	    .end = {.first = 2, .last = 9, .bytes = 100, .max_bytes = 1000, .copies = 2},
	    .members = MEMBERS,
	    .member_count = 2};
}

static void test_whole(void **state)
{
	(void)state;
	struct cluster_view v = make_view();
	struct buf text = BUF_INIT(CLUSTER_VIEW_MAX);
	struct json_writer json = JSON_WRITER(&text);
	cluster_view_write(&v, &json);
	assert_string_equal(buf_cstr(&text),
	    "{\"role\":\"active\",\"shard\":\"s\",\"member\":\"b\",\"url\":\"http://b\","
	    "\"active_member\":\"b\",\"active\":\"http://b\",\"takes\":true,\"epoch\":3,"
	    "\"seq\":9,\"synced\":9,\"lag\":0,\"why\":null,"
	    "\"journal\":{\"up\":true,\"first\":2,"
	    "\"last\":9,\"bytes\":100,\"max_bytes\":1000,\"copies\":2},\"members\":["
	    "{\"member\":\"a\",\"role\":\"standby\",\"url\":\"http://a\",\"synced\":7,"
	    "\"behind\":2,\"told_at\":\"1970-01-01T00:00:01.000Z\"},"
	    "{\"member\":\"b\",\"role\":\"active\",\"url\":\"http://\\\"b\\\"\",\"synced\":9,"
	    "\"behind\":0,\"told_at\":null}]}");
	buf_fini(&text);
}

static void test_away(void **state)
{
	(void)state;
	struct cluster_view v = {.role = "standby", .active_url = "https://h1:8443"};
	struct buf text = BUF_INIT(1000);
	for (int known = 1; known >= 0; known--) {
		struct json_writer json = JSON_WRITER(&text);
		buf_reset(&text);
		v.active_url = known == 1 ? v.active_url : "";
		cluster_view_write_away(&v, &json);
		assert_string_equal(buf_cstr(&text),
		    known == 1 ? "{\"role\":\"standby\",\"active\":\"https://h1:8443\"}"
			       : "{\"role\":\"standby\",\"active\":null}");
	}
	buf_fini(&text);
}

static void test_metrics(void **state)
{
	(void)state;
	struct cluster_view v = make_view();
	struct buf text = BUF_INIT(65536);
	v.role = "standby";
	v.lag = 4;
	cluster_view_metrics(&v, &text);
	static const char *const LINES[] = {"waybill_cluster_role{role=\"active\"} 0\n",
	    "waybill_cluster_role{role=\"standby\"} 1\n", "waybill_cluster_epoch 3\n",
	    "waybill_cluster_lag_records 4\n", "waybill_cluster_journal_copies 2\n"};
	for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
		assert_non_null(strstr(buf_cstr(&text), LINES[i]));
	buf_fini(&text);
}

/* A member that has not heard of the journal's end says no number that looks like one. */
static void test_unknown(void **state)
{
	(void)state;
	struct cluster_view v = {.role = "standby"};
	struct buf text = BUF_INIT(65536);
	struct json_writer json = JSON_WRITER(&text);
	cluster_view_write(&v, &json);
	assert_non_null(strstr(buf_cstr(&text), "\"lag\":null,"));
	assert_non_null(strstr(buf_cstr(&text), "\"copies\":null}"));
	buf_reset(&text);
	cluster_view_metrics(&v, &text);
	assert_null(strstr(buf_cstr(&text), "lag_records"));
	assert_null(strstr(buf_cstr(&text), "journal_copies"));
	buf_fini(&text);
}

static void test_monitoring(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		enum err err;
	} ROWS[] = {
	    {"{\"jetstream\":{\"config\":{\"sync_interval\":1,\"sync_always\":true}}}", OK},
	    {"{\"jetstream\":{\"config\":{\"sync_always\":false}}}", ERR_REFUSED},
	    {"{\"jetstream\":{\"config\":{\"sync_interval\":120000000000}}}", ERR_REFUSED},
	    {"{\"jetstream\":{\"config\":{\"sync_always\":\"true\"}}}", ERR_REFUSED},
	    {"{\"jetstream\":{}}", ERR_SYNTAX},
	    {"{\"sync_always\":true}", ERR_SYNTAX},
	    {"", ERR_SYNTAX},
	    {"<html>", ERR_SYNTAX},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		assert_int_equal(engine_read_monitor(slice_of(ROWS[i].json)), ROWS[i].err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_away),
	    cmocka_unit_test(test_metrics),
	    cmocka_unit_test(test_unknown),
	    cmocka_unit_test(test_monitoring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
