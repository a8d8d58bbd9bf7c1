/* The settings of a cluster: what goes together, and the files that they name. */
#include "config_fixture.h"
#include "server/membership.h"

#define WHOLE                                                                                  \
	"cluster = nats://127.0.0.1:4222, tls://h2:4333\nshard = main\nmember = a\n"           \
	"cluster_url = https://a.example.com:8443\n"

static enum err load(struct fixture *f, const char *text)
{
	struct membership m;
	start_over(f);
	assert_int_equal(config_read_text(&f->config, "conf", slice_of(text), &f->problem), OK);
	enum err err = membership_load(&m, &f->config, &f->problem);
	membership_fini(&m);
	return err;
}

static void test_what_does_not_go_together(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text;
		const char *words; /* NULL: it is fine */
	} ROWS[] = {
	    {"", NULL},
	    {WHOLE, NULL},
	    {"shard = main\n", "cluster: is missing: shard needs it"},
	    {"member = a\n", "cluster: is missing: member needs it"},
	    {"takeover_after = 3s\n", "cluster: is missing: takeover_after needs it"},
	    {"cluster_replicas = 3\n", "cluster: is missing: cluster_replicas needs it"},
	    {"cluster = h1\n", "shard: is missing: cluster needs it"},
	    {"cluster = h1\nshard = s\n", "member: is missing: cluster needs it"},
	    {"cluster = h1\nshard = s\nmember = m\n", "cluster_url: is missing"},
	    {WHOLE "cluster_user = u\n", "cluster_password_file: is missing"},
	    {WHOLE "cluster_password_file = u\n", "cluster_user: is missing"},
	    {WHOLE "cluster_user = u\ncluster_password_file = p\ncluster_creds_file = c\n",
		"cluster_user: does not go with cluster_creds_file"},
	    {WHOLE "cluster_user = u\ncluster_password_file = p\ncluster_nats_token_file = c\n",
		"cluster_user: does not go with cluster_nats_token_file"},
	    {WHOLE "cluster_creds_file = u\ncluster_nats_token_file = c\n",
		"cluster_creds_file: does not go with cluster_nats_token_file"},
	    {WHOLE "cluster_creds_file = nowhere\n", "cluster_creds_file: nowhere: cannot be"},
	    {WHOLE "cluster_token_file = nowhere\n", "cluster_token_file: nowhere: cannot be"},
	    {WHOLE "cluster_ca_file = nowhere\n", "cluster_ca_file: nowhere: cannot be read"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		enum err err = load(f, ROWS[i].text);
		if ((err == OK) != (ROWS[i].words == NULL) ||
		    (err != OK && strstr(f->problem.message, ROWS[i].words) == NULL))
			fail_msg("row %zu: %s", i, f->problem.message);
	}
}

static void test_bad_values(void **state)
{
	struct fixture *f = *state;
	static const char *const ROWS[] = {"cluster = http://h1", "cluster = nats://u:p@h1",
	    "shard = a.b", "shard = a b", "shard = *", "member = >", "member = a/b",
	    "shard = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "cluster_url = nats://h1",
	    "cluster_url = https://h1/api", "cluster_url = h1", "cluster_url = https://h1?x",
	    "cluster_monitor = https://h1:8222", "cluster_monitor = http://h1:8222/varz",
	    "cluster_replicas = 0", "cluster_replicas = 6", "cluster_max_bytes = 1MiB",
	    "takeover_after = 10ms"};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		start_over(f);
		if (config_read_text(&f->config, "conf", slice_of(ROWS[i]), &f->problem) == OK)
			fail_msg("%s: was taken", ROWS[i]);
	}
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	struct membership m;
	struct buf text = BUF_INIT(4096);
	write_file(f, SLICE(" s3cret \r\nsomething else\n"));
	buf_printf(&text,
	    WHOLE "cluster_user = u\ncluster_password_file = %s\ncluster_token_file = %s\n",
	    f->path, f->path);
	assert_int_equal(config_read_text(&f->config, "c", buf_view(&text), &f->problem), OK);
	assert_int_equal(membership_load(&m, &f->config, &f->problem), OK);
	struct nats_conf nats = membership_nats(&m, &f->config);
	assert_string_equal(nats.user, "u");
	assert_string_equal(nats.password, "s3cret");
	assert_string_equal(m.token, "s3cret");
	assert_string_equal(nats.name, "a");
	assert_null(nats.key);
	assert_null(nats.token);
	assert_int_equal(nats.server_count, 2);
	assert_string_equal(nats.servers[1].host, "h2");
	assert_true(nats.servers[1].is_tls);
	membership_fini(&m);

	write_file(f, SLICE("\nbehind an empty line\n"));
	assert_int_equal(membership_load(&m, &f->config, &f->problem), ERR_INVALID);
	assert_non_null(strstr(f->problem.message, "its first line is empty"));
	membership_fini(&m);
	buf_fini(&text);
}

static void test_files_that_are_not_what_they_should_be(void **state)
{
	struct fixture *f = *state;
	static const char *const NAMES[] = {"cluster_creds_file", "cluster_ca_file"};
	write_file(f, SLICE("neither a creds file nor a certificate\n"));
	for (size_t i = 0; i < COUNT(NAMES); i++) {
		struct buf text = BUF_INIT(4096);
		buf_printf(&text, WHOLE "%s = %s\n", NAMES[i], f->path);
		assert_int_equal(load(f, buf_cstr(&text)), ERR_INVALID);
		assert_non_null(strstr(f->problem.message, "must be"));
		assert_null(strstr(f->problem.message, "neither"));
		buf_fini(&text);
	}
}

/* A setting beyond the 64th has a mark of its own: lists begin anew in a higher source. */
static void test_marks_of_the_last_settings(void **state)
{
	struct fixture *f = *state;
	struct slice lower = SLICE("cluster = h1,h2\ncluster_monitor = http://h1:8222\n");
	assert_int_equal(config_read_text(&f->config, "c", lower, &f->problem), OK);
	assert_int_equal(config_read_text(&f->config, "c",
			     SLICE("cluster = h3\ncluster = h4\n"), &f->problem),
	    OK);
	assert_int_equal(f->config.cluster.count, 2);
	assert_string_equal(f->config.cluster.items[0], "h3");
	assert_int_equal(f->config.cluster_monitor.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_what_does_not_go_together, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_files, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_files_that_are_not_what_they_should_be, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(test_marks_of_the_last_settings, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
