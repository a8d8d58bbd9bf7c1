/*
 * The order of members at any depth: against a plain model, and at what cost. Each byte is
 * moved a few times, however deep it lies: memcpy() counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rnd.h"
#include "domain/json.h"
#include "support.h"

#define TEXT_MAX (64u << 20)
#define LARGE (1u << 20) /* bytes of the innermost value */
#define DEPTH 30         /* arrays in objects: twice as deep */
#define COPIES 4         /* of each byte: into the output as it was read, in order, and back */

static size_t moved; /* bytes, by memcpy() and memmove() in this process */

static void *move(void *to, const void *from, size_t n)
{
	volatile unsigned char *t = to; /* or this becomes a call of one of those below */
	const unsigned char *f = from;
	moved += n;
	if ((uintptr_t)to <= (uintptr_t)from) {
		for (size_t i = 0; i < n; i++)
			t[i] = f[i];
	} else {
		for (size_t i = n; i > 0; i--)
			t[i - 1] = f[i - 1];
	}
	return to;
}

/* In place of libc's, for all that is linked with this test. */
void *memmove(void *to, const void *from, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);

void *memmove(void *to, const void *from, size_t n)
{
	return move(to, from, n);
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	return move(to, from, n);
}

/* Cost */

/* `before`, DEPTH times, a string of LARGE bytes, and as many times `behind`. */
static struct buf make_deep(const char *before, const char *behind)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	for (int i = 0; i < DEPTH; i++)
		buf_puts(&text, before);
	buf_putc(&text, '"');
	for (size_t i = 0; i < LARGE; i++)
		buf_putc(&text, 'x');
	buf_putc(&text, '"');
	for (int i = 0; i < DEPTH; i++)
		buf_puts(&text, behind);
	assert_false(text.failed);
	return text;
}

static void assert_cheap(size_t before, size_t bytes)
{
	size_t n = moved - before;
	if (n > COPIES * bytes)
		fail_msg("%zu bytes were moved for a text of %zu", n, bytes);
}

static void check_sort(const char *before, const char *behind, const char *want)
{
	struct buf text = make_deep(before, behind);
	struct buf out = BUF_INIT(TEXT_MAX);
	assert_true(buf_reserve(&out, text.len)); /* to grow is no matter of the order */
	size_t begun = moved;
	assert_int_equal(json_sort(buf_view(&text), &out), OK);
	assert_cheap(begun, text.len);
	assert_true(slice_starts(buf_view(&out), slice_of(want)));
	buf_fini(&text);
	buf_fini(&out);
}

static void test_cost_of_sorting(void **state)
{
	(void)state;
	check_sort("{\"b\":", ",\"a\":1}", "{\"a\":1,\"b\":{\"a\":1,\"b\":{");
	check_sort("{\"b\":1,\"a\":", "}", "{\"a\":{\"a\":{");
	check_sort("{\"b\":1,\"a\":[1,", "]}", "{\"a\":[1,{\"a\":[1,{");
}

/* The same for what every event is read with: array indices and names that come twice. */
static void check_read(const char *before, const char *behind, const char *want)
{
	struct buf text = make_deep(before, behind);
	struct buf out = BUF_INIT(TEXT_MAX);
	struct json_reader r;
	const struct json_member *members = NULL;
	size_t count = 0;
	assert_true(buf_reserve(&out, 2 * text.len));
	json_init(&r, buf_view(&text));
	size_t begun = moved;
	assert_int_equal(json_read_value(&r, &out), OK);
	assert_cheap(begun, text.len);
	assert_true(slice_starts(buf_view(&out), slice_of(want)));
	json_fini(&r);
	json_init(&r, buf_view(&text));
	size_t whole = out.len;
	begun = moved;
	assert_int_equal(json_read_members(&r, &out, &members, &count), OK);
	assert_cheap(begun, text.len);
	assert_int_equal(out.len, 2 * whole);
	assert_memory_equal(out.data, out.data + whole, whole);
	json_fini(&r);
	buf_fini(&text);
	buf_fini(&out);
}

static void test_cost_of_reading(void **state)
{
	(void)state;
	check_read("{\"b\":", ",\"7\":1}", "{\"7\":1,\"b\":{\"7\":1,\"b\":{");
	check_read("{\"b\":1,\"b\":", "}", "{\"b\":{\"b\":{");
	check_read("{\"b\":1,\"7\":[2,", "]}", "{\"7\":[2,{\"7\":[2,{");
}

/* The model: a random value, as it is written, in canonical order, and sorted */

enum form { GIVEN, CANONICAL, SORTED, FORMS };

struct texts {
	struct buf of[FORMS];
};

struct member {
	char key[8];
	struct texts value;
};

#define MEMBERS_MAX 50 /* more than those that are compared in pairs */

static struct texts make_texts(void)
{
	struct texts t;
	for (int f = 0; f < FORMS; f++)
		t.of[f] = BUF_INIT(TEXT_MAX);
	return t;
}

static void free_texts(struct texts *t)
{
	for (int f = 0; f < FORMS; f++)
		buf_fini(&t->of[f]);
}

static void put_all(struct texts *t, const char *text)
{
	for (int f = 0; f < FORMS; f++)
		buf_puts(&t->of[f], text);
}

static void make_value(struct rnd *rnd, int depth, struct texts *out);

static int compare(const char *a, const char *b)
{
	size_t x = strlen(a);
	size_t y = strlen(b);
	return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

static bool is_index(const struct member *m)
{
	return json_is_index(slice_of(m->key));
}

/* Whether `a` comes before `b`, where `a` was first to be named. */
static bool is_before(const struct member *a, const struct member *b, enum form form)
{
	if (form == GIVEN || (form == CANONICAL && !is_index(a) && !is_index(b)))
		return true;
	if (form == CANONICAL && is_index(a) != is_index(b))
		return is_index(a);
	return compare(a->key, b->key) < 0;
}

/* Writes members by taking the next of all again and again. */
static void put_members(const struct member *m, size_t count, enum form form, struct buf *out)
{
	bool done[MEMBERS_MAX] = {false};
	buf_putc(out, '{');
	for (size_t n = 0; n < count; n++) {
		size_t next = count;
		for (size_t i = 0; i < count; i++) {
			if (!done[i] && (next == count || !is_before(&m[next], &m[i], form)))
				next = i;
		}
		done[next] = true;
		buf_printf(out, "%s\"%s\":", n == 0 ? "" : ",", m[next].key);
		buf_slice(out, buf_view(&m[next].value.of[form]));
	}
	buf_putc(out, '}');
}

/* Of those with one name keeps the first's place and the last's value. */
static size_t drop_duplicates(struct member *m, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		size_t same = 0;
		while (same < kept && strcmp(m[same].key, m[i].key) != 0)
			same++;
		struct member at = m[same];
		m[same] = m[i];
		m[i] = at; /* is freed with the rest */
		kept += same == kept ? 1 : 0;
	}
	return kept;
}

static void make_object(struct rnd *rnd, int depth, struct texts *out)
{
	struct member m[MEMBERS_MAX];
	size_t count = rnd_next(rnd) % (depth == 1 ? MEMBERS_MAX : 4);
	for (size_t i = 0; i < count; i++) {
		const char *head = rnd_next(rnd) % 2 == 0 ? "" : "k";
		unsigned number = (unsigned)(rnd_next(rnd) % 40);
		(void)snprintf(m[i].key, sizeof(m[i].key), "%s%u", head, number);
		m[i].value = make_texts();
		make_value(rnd, depth - 1, &m[i].value);
	}
	put_members(m, count, GIVEN, &out->of[GIVEN]);
	size_t kept = drop_duplicates(m, count);
	put_members(m, kept, CANONICAL, &out->of[CANONICAL]);
	put_members(m, kept, SORTED, &out->of[SORTED]);
	for (size_t i = 0; i < count; i++)
		free_texts(&m[i].value);
}

static void make_value(struct rnd *rnd, int depth, struct texts *out)
{
	uint64_t kind = depth == 0 ? 0 : rnd_next(rnd) % 5;
	if (kind == 0) {
		put_all(out, rnd_next(rnd) % 2 == 0 ? "1" : "\"{\\\"b\\\":1,\\\"a\\\":2}\"");
	} else if (kind == 1) {
		put_all(out, "[");
		for (uint64_t n = rnd_next(rnd) % 4; n > 0; n--) {
			make_value(rnd, depth - 1, out);
			put_all(out, n == 1 ? "" : ",");
		}
		put_all(out, "]");
	} else {
		make_object(rnd, depth, out);
	}
}

/* Whether the members that were handed out are those that the text has. */
static void check_members(const struct buf *out, size_t at, const struct json_member *members,
    size_t count)
{
	struct buf again = BUF_INIT(TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		buf_printf(&again, "%c\"", i == 0 ? '{' : ',');
		buf_slice(&again, members[i].key);
		buf_puts(&again, "\":");
		buf_slice(&again, members[i].value);
	}
	buf_puts(&again, count == 0 ? "{}" : "}");
	assert_int_equal(again.len, out->len - at);
	assert_memory_equal(again.data, out->data + at, again.len);
	buf_fini(&again);
}

static void check_value(struct json_reader *r, const struct texts *t, struct buf *out)
{
	const struct json_member *members = NULL;
	size_t count = 0;
	size_t at = out->len; /* values share a buffer */
	bool is_object = t->of[GIVEN].data[0] == '{';
	r->text = buf_view(&t->of[GIVEN]);
	r->pos = 0;
	if (is_object)
		assert_int_equal(json_read_members(r, out, &members, &count), OK);
	else
		assert_int_equal(json_read_value(r, out), OK);
	struct slice got = {out->data + at, out->len - at};
	if (!slice_eq(got, buf_view(&t->of[CANONICAL])))
		fail_msg("canonical: %.*s", (int)got.len, got.ptr);
	if (is_object)
		check_members(out, at, members, count);
	at = out->len;
	assert_int_equal(json_sort(buf_view(&t->of[GIVEN]), out), OK);
	got = (struct slice){out->data + at, out->len - at};
	if (!slice_eq(got, buf_view(&t->of[SORTED])))
		fail_msg("sorted: %.*s", (int)got.len, got.ptr);
}

static void test_random(void **state)
{
	(void)state;
	struct rnd rnd;
	struct json_reader r;
	rnd_seed(&rnd, 7);
	json_init(&r, SLICE(""));
	for (int n = 0; n < 3000; n++) {
		struct texts t = make_texts();
		struct buf out = BUF_INIT(TEXT_MAX);
		make_value(&rnd, 6, &t);
		buf_puts(&out, "before");
		check_value(&r, &t, &out);
		check_value(&r, &t, &out);
		buf_fini(&out);
		free_texts(&t);
	}
	json_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cost_of_sorting),
	    cmocka_unit_test(test_cost_of_reading),
	    cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
