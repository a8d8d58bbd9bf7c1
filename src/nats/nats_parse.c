/* NATS's text protocol, read; see nats_parse.h. */
#include "nats/nats_parse.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

#define ARGS_MAX 5                /* of HMSG */
#define BODY_KEPT (64u << 10)     /* memory that is kept for the next message */
#define VERSION SLICE("NATS/1.0") /* what headers begin with */

void nats_parser_init(struct nats_parser *p, size_t message_max)
{
	*p = (struct nats_parser){.line = BUF_INIT(NATS_LINE_MAX)};
	p->body = BUF_INIT(message_max + 2);
}

void nats_parser_fini(struct nats_parser *p)
{
	buf_fini(&p->line);
	buf_fini(&p->body);
}

static enum nats_op give_up(struct nats_parser *p, const char *why)
{
	p->error = why;
	return NATS_BROKEN;
}

/* Takes the next word of `line`; false: there is none. */
static bool take_word(struct slice *line, struct slice *word)
{
	*line = slice_trim(*line);
	size_t n = 0;
	while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t')
		n++;
	*word = (struct slice){line->ptr, n};
	*line = (struct slice){line->ptr + n, line->len - n};
	return n > 0;
}

/* Takes the status off the front of headers; those that are none count as no headers. */
static void take_headers(struct nats_message *m, struct slice block)
{
	struct slice line = {block.ptr, 0};
	if (!slice_starts(block, VERSION) || block.len < VERSION.len + 4 ||
	    memcmp(block.ptr + block.len - 4, "\r\n\r\n", 4) != 0)
		return;
	const char *end = memmem(block.ptr, block.len, "\r\n", 2);
	line.len = (size_t)(end - block.ptr);
	m->headers = (struct slice){end + 2, block.len - line.len - 4};
	line = slice_trim((struct slice){line.ptr + VERSION.len, line.len - VERSION.len});
	uint64_t status = 0;
	if (line.len < 3 || str_u64((struct slice){line.ptr, 3}, &status) != OK || status < 100)
		return;
	m->status = (int)status;
	m->status_text = slice_trim((struct slice){line.ptr + 3, line.len - 3});
}

/* Reads what stands behind MSG or HMSG: SUBJECT SID [REPLY] [HEADERS'S SIZE] SIZE. */
static enum nats_op begin_message(struct nats_parser *p, struct slice line, bool has_headers)
{
	struct slice args[ARGS_MAX];
	size_t n = 0;
	size_t least = has_headers ? 4 : 3;
	uint64_t header_size = 0;
	uint64_t size = 0;
	p->message = (struct nats_message){.sid = 0};
	while (n < ARGS_MAX && take_word(&line, &args[n]))
		n++;
	if (slice_trim(line).len > 0 || n < least || n > least + 1)
		return give_up(p, "a message with too few or too many words");
	p->message.subject = args[0];
	if (n > least)
		p->message.reply = args[2];
	if (str_u64(args[1], &p->message.sid) != OK || str_u64(args[n - 1], &size) != OK ||
	    (has_headers && str_u64(args[n - 2], &header_size) != OK) || header_size > size)
		return give_up(p, "a message with a number that is none");
	if (size > NATS_SIZE_MAX)
		return give_up(p, "a message over 64 MiB");
	p->message.size = (size_t)size;
	p->message.is_skipped = size + 2 > p->body.max;
	p->header_size = (size_t)header_size;
	p->body_left = (size_t)size + 2;
	return NATS_MORE;
}

/* Reads a whole line, without its end. */
static enum nats_op read_line(struct nats_parser *p, struct slice line)
{
	static const struct {
		const char *name;
		enum nats_op op;
	} OPS[] = {{"INFO", NATS_INFO}, {"PING", NATS_PING}, {"PONG", NATS_PONG},
	    {"+OK", NATS_OK}, {"-ERR", NATS_ERR}};
	struct slice word;
	for (size_t i = 0; i < line.len; i++) {
		if ((unsigned char)line.ptr[i] < ' ' && line.ptr[i] != '\t')
			return give_up(p, "a line with a control byte");
	}
	if (!take_word(&line, &word))
		return give_up(p, "an empty line");
	if (word.len == 3 && strncasecmp(word.ptr, "MSG", 3) == 0)
		return begin_message(p, line, false);
	if (word.len == 4 && strncasecmp(word.ptr, "HMSG", 4) == 0)
		return begin_message(p, line, true);
	for (size_t i = 0; i < sizeof(OPS) / sizeof(OPS[0]); i++) {
		if (word.len != strlen(OPS[i].name) ||
		    strncasecmp(word.ptr, OPS[i].name, word.len) != 0)
			continue;
		p->text = slice_trim(line);
		if (OPS[i].op == NATS_ERR && p->text.len >= 2 && p->text.ptr[0] == '\'')
			p->text = (struct slice){p->text.ptr + 1, p->text.len - 2};
		return OPS[i].op;
	}
	return give_up(p, "a word that is not of the protocol");
}

static enum nats_op finish_message(struct nats_parser *p)
{
	struct nats_message *m = &p->message;
	if (memcmp(p->body.data + p->body.len - 2, "\r\n", 2) != 0)
		return give_up(p, "a message that does not end where it said");
	p->is_done = true;
	if (m->is_skipped)
		return NATS_MSG;
	take_headers(m, (struct slice){p->body.data, p->header_size});
	m->payload = (struct slice){p->body.data + p->header_size, m->size - p->header_size};
	return NATS_MSG;
}

/* Takes bytes of a message; of one that is skipped the last two alone are kept. */
static size_t feed_body(struct nats_parser *p, struct slice bytes)
{
	size_t n = bytes.len < p->body_left ? bytes.len : p->body_left;
	size_t passed = !p->message.is_skipped || p->body_left <= 2 ? 0 : p->body_left - 2;
	passed = passed < n ? passed : n;
	buf_append(&p->body, bytes.ptr + passed, n - passed);
	p->body_left -= n;
	return n;
}

/* Takes bytes of a line; true: it is whole, without its CRLF. */
static bool feed_line(struct nats_parser *p, struct slice bytes, size_t *used)
{
	const char *end = bytes.len == 0 ? NULL : memchr(bytes.ptr, '\n', bytes.len);
	*used = end == NULL ? bytes.len : (size_t)(end - bytes.ptr) + 1;
	buf_append(&p->line, bytes.ptr, *used);
	return end != NULL;
}

/* Forgets what was returned. */
static void begin(struct nats_parser *p)
{
	p->is_done = false;
	buf_reset(&p->line);
	buf_reset(&p->body);
	if (p->body.cap > BODY_KEPT)
		buf_fini(&p->body);
}

enum nats_op nats_parse(struct nats_parser *p, struct slice bytes, size_t *used)
{
	*used = 0;
	if (p->error != NULL)
		return NATS_BROKEN;
	if (p->is_done)
		begin(p);
	if (p->body_left == 0) {
		if (!feed_line(p, bytes, used))
			return p->line.failed ? give_up(p, "a line over 64 KiB") : NATS_MORE;
		if (p->line.failed || p->line.len < 2 || p->line.data[p->line.len - 2] != '\r')
			return give_up(p, "a line over 64 KiB, or one that ends without a CR");
		enum nats_op op = read_line(p, (struct slice){p->line.data, p->line.len - 2});
		p->is_done = op != NATS_MORE;
		if (op != NATS_MORE)
			return op;
	}
	*used += feed_body(p, (struct slice){bytes.ptr + *used, bytes.len - *used});
	return p->body_left > 0 ? NATS_MORE : finish_message(p);
}

struct slice nats_header(const struct nats_message *m, const char *name)
{
	struct slice rest = m->headers;
	size_t n = strlen(name);
	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');
		if (line.len > n + 1 && line.ptr[n] == ':' &&
		    strncasecmp(line.ptr, name, n) == 0)
			return slice_trim((struct slice){line.ptr + n + 1, line.len - n - 2});
	}
	return (struct slice){.ptr = NULL, .len = 0};
}
