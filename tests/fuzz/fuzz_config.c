/*
 * The settings. The input's first byte says what the rest is: the text of a file; the value
 * of one setting, which the second byte chooses; a command line and an environment.
 *
 * What is taken lies within the limits of its setting. A file means the same with comments
 * between its lines. A value means the same in a file, in the environment and as a flag.
 * Whatever is refused is explained, in a file with its name and line.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/settings.h"

#define TEXT_MAX (1u << 20) /* bytes; above what the fuzzer's longest input can become */
#define ARGS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_number(struct buf *b, const struct setting *s, uint64_t n)
{
	bool limited = s->max != 0;
	panic_if(limited && (n < s->min || n > s->max), "%s is over its limits", s->name);
	buf_printf(b, "%llu\n", (unsigned long long)n);
}

static void put_schedule(struct buf *b, const struct retry_schedule *r)
{
	panic_if(r->count < 1 || r->count > RETRY_STEPS_MAX, "waits of a schedule");
	for (uint32_t i = 0; i < r->count; i++) {
		panic_if(r->wait_ms[i] < 1 || r->wait_ms[i] > RETRY_WAIT_MAX_MS, "a wait");
		buf_printf(b, "%lld ", (long long)r->wait_ms[i]);
	}
	buf_putc(b, '\n');
}

static void put_expiries(struct buf *b, const struct config_expiries *list)
{
	panic_if(list->count > JUDGE_EXPIRIES_MAX, "too many expiries");
	for (size_t i = 0; i < list->count; i++)
		buf_printf(b, "%s=%lld ", list->items[i].name,
		    (long long)list->items[i].after_ms);
	buf_putc(b, '\n');
}

static void put_list(struct buf *b, const struct setting *s, const struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		panic_if(!s->is_item(list->items[i]), "%s holds what it may not", s->name);
		buf_printf(b, "%s,", list->items[i]);
	}
	buf_putc(b, '\n');
}

static void put_setting(struct buf *b, const struct setting *s, const void *field)
{
	const struct address_policy *policy = field;
	const char *const *text = field;
	switch (s->kind) {
	case KIND_TEXT:
		panic_if(*text != NULL && (*text)[0] == '\0', "%s is empty", s->name);
		buf_printf(b, "%s\n", *text == NULL ? "" : *text);
		return;
	case KIND_INTEGER:
	case KIND_SIZE:
	case KIND_CHOICE:
	case KIND_DURATION: /* an int64_t that is not negative */
		put_number(b, s, *(const uint64_t *)field);
		return;
	case KIND_SCHEDULE:
		put_schedule(b, field);
		return;
	case KIND_LIST:
		put_list(b, s, field);
		return;
	case KIND_CIDRS:
		buf_append(b, policy->allow, policy->allow_count * sizeof(*policy->allow));
		return;
	case KIND_EXPIRIES:
		put_expiries(b, field);
		return;
	}
}

/* What a reading has led to: its error, and all settings as bytes. */
struct result {
	enum err err;
	struct buf settings;
};

static struct result finish(struct config *c, enum err err, const struct problem *p)
{
	struct result r = {err, BUF_INIT(4 * TEXT_MAX)};
	panic_if(err != OK && p->message[0] == '\0', "refused without a word");
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		put_setting(&r.settings, &SETTINGS[i], (const char *)c + SETTINGS[i].offset);
	config_free(c);
	return r;
}

static void expect_same(struct result *a, struct result *b)
{
	panic_if(a->err != b->err, "taken in one form, refused in the other");
	panic_if(!slice_eq(buf_view(&a->settings), buf_view(&b->settings)), "another meaning");
	buf_fini(&b->settings);
}

static struct result read_text(struct slice text)
{
	struct config c;
	struct problem p = {.message = ""};
	config_init(&c);
	enum err err = config_read_text(&c, "name", text, &p);
	panic_if(err != OK && strncmp(p.message, "name:", 5) != 0, "no name");
	panic_if(err != OK && p.message[5 + strspn(p.message + 5, "0123456789")] != ':',
	    "no line");
	return finish(&c, err, &p);
}

static void check_text(struct slice text)
{
	struct buf spread = BUF_INIT(TEXT_MAX);
	struct result as_it_is = read_text(text);
	while (text.len > 0) {
		buf_slice(&spread, slice_cut(&text, '\n'));
		buf_puts(&spread, "\n# a = comment\r\n\n");
	}
	struct result with_comments = read_text(buf_view(&spread));
	expect_same(&as_it_is, &with_comments);
	buf_fini(&as_it_is.settings);
	buf_fini(&spread);
}

/* Reads `text`, "--name=value" or "WAYBILL_NAME=value", from where its form says. */
static struct result read_strings(char *text, size_t count)
{
	char command[] = "serve";
	char *argv[ARGS_MAX + 2] = {command};
	char *environment[ARGS_MAX + 1] = {NULL};
	int argc = 1;
	size_t variables = 0;
	bool usage = false;
	struct config c;
	struct problem p = {.message = ""};
	for (size_t i = 0; i < count; i++) {
		if (strncmp(text, "WAYBILL_", 8) == 0)
			environment[variables++] = text;
		else
			argv[argc++] = text;
		text += strlen(text) + 1;
	}
	config_init(&c);
	enum err err = config_read(&c, argc, argv, environment, &usage, &p);
	panic_if(err == OK && usage, "wrong usage, and yet it is fine");
	return finish(&c, err, &p);
}

/* Appends NAME with `from` as `to`, and small letters changed by `shift`. */
static void put_name(struct buf *b, const char *name, char to, int shift)
{
	for (; *name != '\0'; name++)
		buf_putc(b, *name == '_' ? to : (char)(*name + shift));
}

static void check_value(const struct setting *s, struct slice value)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct buf variable = BUF_INIT(TEXT_MAX);
	struct buf flag = BUF_INIT(TEXT_MAX);
	while (value.len > 0 && value.ptr[value.len - 1] == '\r')
		value.len--;
	value = slice_trim(value);
	bool fits = value.len == 0 ||
	    (memchr(value.ptr, '\0', value.len) == NULL &&
		memchr(value.ptr, '\n', value.len) == NULL && value.ptr[value.len - 1] != '\r');
	if (!fits) /* only a file can hold it, or no line of a file */
		return;
	buf_printf(&text, "%s = ", s->name);
	buf_puts(&variable, "WAYBILL_");
	put_name(&variable, s->name, '_', 'A' - 'a');
	buf_puts(&flag, "--");
	put_name(&flag, s->name, '-', 0);
	buf_putc(&variable, '=');
	buf_putc(&flag, '=');
	buf_slice(&text, value);
	buf_slice(&variable, value);
	buf_slice(&flag, value);
	buf_putc(&variable, '\0');
	buf_putc(&flag, '\0');
	struct result of_file = read_text(buf_view(&text));
	struct result of_environment = read_strings(variable.data, 1);
	struct result of_flag = read_strings(flag.data, 1);
	expect_same(&of_file, &of_environment);
	expect_same(&of_file, &of_flag);
	buf_fini(&of_file.settings);
	buf_fini(&text);
	buf_fini(&variable);
	buf_fini(&flag);
}

/* Arguments and variables, with a NUL behind each. No -c: it could name any file or pipe. */
static void check_strings(struct slice text)
{
	struct buf strings = BUF_INIT(TEXT_MAX);
	size_t count = 0;
	while (text.len > 0 && count < ARGS_MAX) {
		struct slice string = slice_cut(&text, '\0');
		if (slice_starts(string, SLICE("-c")))
			continue;
		buf_slice(&strings, string);
		buf_putc(&strings, '\0');
		count++;
	}
	struct result r = read_strings(strings.data, count);
	buf_fini(&r.settings);
	buf_fini(&strings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	if (size < 2)
		return 0;
	switch (data[0] % 3) {
	case 0:
		check_text((struct slice){bytes + 1, size - 1});
		break;
	case 1:
		check_value(&SETTINGS[data[1] % SETTINGS_COUNT],
		    (struct slice){bytes + 2, size - 2});
		break;
	default:
		check_strings((struct slice){bytes + 1, size - 1});
		break;
	}
	return 0;
}
