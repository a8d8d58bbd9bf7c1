/* Helpers of the unit tests; see support.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/record.h"
#include "store/queue.h"
#include "store/usage.h"
#include "support.h"

void folder_make(char path[64])
{
	(void)snprintf(path, 64, "/tmp/waybill-unit-XXXXXX");
	if (mkdtemp(path) == NULL)
		fail_msg("cannot make a folder in /tmp");
}

void folder_remove(const char *path)
{
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			assert_int_equal(unlinkat(dirfd(dir), e->d_name, 0), 0);
	}
	assert_int_equal(closedir(dir), 0);
	assert_int_equal(rmdir(path), 0);
}

void store_open(struct store *s, uint64_t map_bytes)
{
	struct problem p;
	if (db_open(s->dir, map_bytes, &s->db, &p) != OK)
		fail_msg("%s", p.message);
	assert_int_equal(backlog_new(s->db, &s->backlog), OK);
	const struct usage_conf conf = {.backlog = s->backlog};
	assert_int_equal(usage_new(s->db, &conf, &s->usage), OK);
}

void store_close(struct store *s)
{
	usage_free(s->usage);
	backlog_free(s->backlog);
	s->usage = NULL;
	db_close(s->db);
	s->backlog = NULL;
	s->db = NULL;
}

struct store *store_new(uint64_t map_bytes)
{
	struct store *s = mem_new(sizeof(*s));
	folder_make(s->dir);
	store_open(s, map_bytes);
	return s;
}

int store_file(const struct store *s)
{
	char path[100];
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", s->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(lseek(fd, 0, SEEK_END) > STORE_META_PAGES * STORE_PAGE_BYTES);
	return fd;
}

void store_put_page(int fd, off_t at, const char page[STORE_PAGE_BYTES])
{
	assert_int_equal(pwrite(fd, page, STORE_PAGE_BYTES, at), STORE_PAGE_BYTES);
}

void store_damage(const struct store *s)
{
	static const char NOTHING[STORE_PAGE_BYTES];
	int fd = store_file(s);
	off_t end = lseek(fd, 0, SEEK_END);
	for (off_t at = STORE_META_PAGES * (off_t)STORE_PAGE_BYTES; at < end;
	     at += STORE_PAGE_BYTES)
		store_put_page(fd, at, NOTHING);
	assert_int_equal(close(fd), 0);
}

void store_free(struct store *s)
{
	store_close(s);
	folder_remove(s->dir);
	free(s);
}

int store_setup(void **state)
{
	*state = store_new(STORE_MAP_BYTES);
	return 0;
}

int store_teardown(void **state)
{
	store_free(*state);
	return 0;
}

void store_reopen(struct store *s)
{
	store_close(s);
	store_open(s, STORE_MAP_BYTES);
}

struct db_txn *store_begin(struct store *s)
{
	struct db_txn *txn = NULL;
	assert_int_equal(db_begin(s->db, &txn), OK);
	return txn;
}

struct db_txn *store_read(struct store *s)
{
	struct db_txn *txn = NULL;
	assert_int_equal(db_read(s->db, &txn), OK);
	return txn;
}

void store_commit(struct db_txn *txn)
{
	assert_int_equal(db_commit(txn), OK);
}

void store_leave(struct store *s, uint64_t bytes)
{
	struct holding h = usage_total(s->usage);
	uint64_t held = h.n[USAGE_OPEN] + h.n[USAGE_KEYS];
	uint64_t used = held + h.n[USAGE_HISTORY];
	held += backlog_total(s->backlog) * USAGE_LETTER;
	const struct usage_room room = {.capacity = held + bytes,
	    .used_bytes = used,
	    .traffic_bytes = used};
	usage_measure(s->usage, &room);
}

size_t store_count_in(struct db_txn *txn, enum db_table t)
{
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	size_t n = 0;
	assert_int_equal(db_cursor(txn, t, &c), OK);
	while (db_next(c, &key, &value) == OK)
		n++;
	db_cursor_close(c);
	assert_int_equal(db_txn_error(txn), OK);
	return n;
}

size_t store_count(struct store *s, enum db_table t)
{
	struct db_txn *txn = store_read(s);
	size_t n = store_count_in(txn, t);
	db_read_end(txn);
	return n;
}

struct uuid make_id(uint64_t n)
{
	struct uuid id = {{0}};
	codec_store_u64(id.bytes + 8, n);
	return id;
}

struct slice id_bytes(const struct uuid *id)
{
	return (struct slice){.ptr = (const char *)id->bytes, .len = UUID_SIZE};
}

struct webhook *make_webhook(uint64_t number, const char *session, const char *url)
{
	struct webhook *w = webhook_new();
	w->number = number;
	w->id = make_id(number);
	w->created_ms = 1000 + (int64_t)number;
	w->updated_ms = w->created_ms;
	webhook_set(&w->session, session);
	webhook_set(&w->url, url);
	return w;
}

const struct webhook NO_ORDER;
const struct webhook FIFO = {.fifo = true};

struct lane_key *make_key(const char *pointer)
{
	char json[POINTER_BYTES_MAX + 3];
	(void)snprintf(json, sizeof(json), "\"%s\"", pointer);
	struct lane_key *k = lane_key_new(slice_of(json));
	assert_non_null(k);
	return k;
}

char *repeat(char c, size_t n)
{
	char *text = mem_array(n + 1, 1);
	memset(text, c, n);
	return text;
}

void add_header(struct webhook *w, char *name, char *value)
{
	w->headers = mem_resize(w->headers, w->header_count + 1, sizeof(*w->headers));
	w->headers[w->header_count++] = (struct webhook_header){name, value};
}

void add_event(struct webhook *w, char *name)
{
	w->events = mem_resize(w->events, w->event_count + 1, sizeof(*w->events));
	w->events[w->event_count++] = name;
}

struct webhook *make_full_webhook(void)
{
	struct webhook *w = make_webhook(3, "s", "http://a/");
	add_event(w, repeat('m', 7));
	add_header(w, repeat('N', 3), repeat('v', 4));
	add_header(w, repeat('O', 3), repeat('v', 0));
	webhook_set(&w->secret, "whsec_");
	webhook_set(&w->description, "");
	webhook_set_enabled(w, "a reason");
	w->retry = mem_new(sizeof(*w->retry));
	w->retry->count = 2;
	w->retry->wait_ms[0] = 1;
	w->retry->wait_ms[1] = RETRY_WAIT_MAX_MS;
	webhook_set(&w->previous_secret, "");
	w->previous_expires_ms = -1;
	webhook_set(&w->ca_pem, "-");
	w->tls_insecure = true;
	w->rate_limit = 0.001;
	w->signature = SIGNATURE_V2;
	w->failing_since_ms = 1;
	w->fifo = true;
	w->deleted = true;
	return w;
}

struct delivery make_delivery(uint64_t webhook, uint64_t n, int64_t due_ms)
{
	return (struct delivery){
	    .id = make_id(n),
	    .event_id = make_id(n),
	    .webhook = webhook,
	    .place_ms = due_ms,
	    .due_ms = due_ms,
	    .status = DELIVERY_WAITING,
	};
}

#define PIECE_MAX 4000 /* bytes, with the checksum */

void put_old_event(struct db_txn *txn, uint8_t version, const struct event *e,
    struct slice body)
{
	unsigned char key[UUID_SIZE + 2] = {0};
	struct buf value = BUF_INIT(PIECE_MAX);
	memcpy(key, e->id.bytes, UUID_SIZE);
	put_u8(&value, version);
	put_i64(&value, e->created_ms);
	if (version == 2)
		put_i64(&value, e->state.settled_ms);
	put_u32(&value, e->deliveries);
	put_u16(&value, (uint16_t)e->state.open_all);
	put_u16(&value, (uint16_t)e->state.open);
	put_u32(&value, e->body_bytes);
	put_text(&value, slice_of(e->session));
	put_text(&value, slice_of(e->name));
	do {
		size_t room = PIECE_MAX - RECORD_CHECKSUM - value.len;
		size_t n = body.len < room ? body.len : room;
		buf_append(&value, body.ptr, n);
		body.ptr += n;
		body.len -= n;
		record_seal(&value, RECORD_ANYWHERE);
		assert_int_equal(db_put(txn, DB_EVENTS,
				     (struct slice){(const char *)key, sizeof(key)},
				     buf_view(&value)),
		    OK);
		buf_reset(&value);
		key[UUID_SIZE + 1]++;
	} while (body.len > 0);
	buf_fini(&value);
}

bool delivery_same(const struct delivery *a, const struct delivery *b)
{
	struct buf left = BUF_INIT(1000);
	struct buf right = BUF_INIT(1000);
	delivery_encode(a, &left);
	delivery_encode(b, &right);
	bool same = !left.failed && !right.failed &&
	    slice_eq(buf_view(&left), buf_view(&right)) &&
	    slice_eq(id_bytes(&a->id), id_bytes(&b->id));
	buf_fini(&left);
	buf_fini(&right);
	return same;
}

struct capture begin_capture(void)
{
	struct capture c = {.file = tmpfile(), .saved = dup(STDERR_FILENO)};
	assert_non_null(c.file);
	assert_true(c.saved >= 0);
	assert_int_equal(dup2(fileno(c.file), STDERR_FILENO), STDERR_FILENO);
	return c;
}

void end_capture(struct capture *c, struct buf *out)
{
	char piece[4096];
	assert_int_equal(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(c->saved), 0);
	rewind(c->file);
	size_t n = fread(piece, 1, sizeof(piece), c->file);
	for (; n > 0; n = fread(piece, 1, sizeof(piece), c->file))
		buf_append(out, piece, n);
	assert_int_equal(fclose(c->file), 0);
}

bool panics(void (*fn)(void *arg), void *arg)
{
	const struct rlimit none = {0};
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
		(void)setrlimit(RLIMIT_CORE, &none); /* a core file would be in the way */
		(void)dup2(nowhere, STDERR_FILENO);  /* so would the panic's words */
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

uint64_t test_seed(uint64_t standard)
{
	const char *given = getenv("WAYBILL_TEST_SEED");
	uint64_t seed = given == NULL ? standard : strtoull(given, NULL, 10);
	print_message("WAYBILL_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static struct rlimit descriptors_before;

void descriptors_deny(void)
{
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors_before), 0);
	const struct rlimit none = {.rlim_max = descriptors_before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

void descriptors_allow(void)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors_before), 0);
}
