/*
 * The strict request gate; gate.h says what it lets through.
 *
 * A state machine with one function a step. Each takes what it can of the bytes
 * at hand, changes the step where its part ends, and returns where it stopped;
 * it stops before a byte only if it has changed the step. What must outlive a
 * fragment is in struct gate, so a cut can fall anywhere.
 *
 *   START -> METHOD -> TARGET -> VERSION -> LINE_LF
 *                                              |
 *                  FIELD <---------------------+------ FIELD_LF <-+
 *                    +-> NAME -+-> VALUE -------------------------+
 *                    |         '-> KNOWN -------------------------'
 *                    '-> HEAD_LF -> DONE              no body
 *                                -> LENGTH -> DONE    Content-Length
 *                                -> CHUNKS -> DONE    Transfer-Encoding, see gate_chunk.c
 */
#include "http/gate.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum step {
	STEP_START,
	STEP_START_LF,
	STEP_METHOD,
	STEP_TARGET,
	STEP_TARGET_SECOND,
	STEP_TARGET_REST,
	STEP_TARGET_END,
	STEP_VERSION,
	STEP_LINE_LF,
	STEP_FIELD,
	STEP_NAME,
	STEP_VALUE,
	STEP_KNOWN,
	STEP_FIELD_LF,
	STEP_HEAD_LF,
	STEP_LENGTH,
	STEP_CHUNKS,
	STEP_DONE,
	STEP_REFUSED,
};

#define CRLF_LEN 2
#define LENGTH_DIGITS_MAX 19 /* what fits int64_t, which evhttp reads it into */

/* What a byte may be part of. Everything over 0x7e is part of nothing. */
enum {
	IN_TOKEN = 1,  /* RFC 9110 5.6.2: methods and header names */
	IN_TARGET = 2, /* visible ASCII without '#', which evhttp would cut off as a fragment */
	IN_VALUE = 4,  /* visible ASCII, space, tab */
	IN_HOST = 8,   /* RFC 3986 host and port, no more than their letters are checked */
};

/* A sum of the above for each byte; what is over 0x7f stays 0. */
/* clang-format off */
static const unsigned char CLASS[256] = {
     0,  0,  0,  0,  0,  0,  0,  0,  0,  4,  0,  0,  0,  0,  0,  0, /* 0x00 */
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /* 0x10 */
     4, 15,  6,  5, 15, 15, 15, 15, 14, 14, 15, 15, 14, 15, 15,  6, /* 0x20 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 14,  6, 14,  6,  6, /* 0x30 */
     6, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 0x40 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14,  6, 14,  7, 15, /* 0x50 */
     7, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 0x60 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  6,  7,  6, 15,  0, /* 0x70 */
};
/* clang-format on */

/* The first three may have a body; OPTIONS alone may have the target "*". */
static const char *const METHODS[] = {"POST", "PUT", "PATCH", "OPTIONS", "GET", "HEAD",
    "DELETE"};
#define METHOD_COUNT (sizeof(METHODS) / sizeof(METHODS[0]))
#define METHOD_PATCH 2
#define METHOD_OPTIONS 3

enum header {
	HEADER_LENGTH,
	HEADER_CODING,
	HEADER_HOST,
	HEADER_EXPECT,
};

/* The headers that decide where a request ends or what becomes of it. */
static const struct known {
	const char *name;
	unsigned char len;
	unsigned char header;
} KNOWN[] = {
    {"Host", 4, HEADER_HOST},
    {"Content-Length", 14, HEADER_LENGTH},
    {"Expect", 6, HEADER_EXPECT},
    {"Transfer-Encoding", 17, HEADER_CODING},
};
#define KNOWN_COUNT (sizeof(KNOWN) / sizeof(KNOWN[0]))

/* What is said of more than one byte. */
static const char BAD_LINE_END[] = "A line must end with CR LF.";
static const char BAD_LINE[] = "The request line must be a method, a target and a version.";
static const char BAD_METHOD[] = "This method is not implemented.";
static const char BAD_HOST[] = "There must be one Host header, naming a host.";

static bool is_in(char c, unsigned char class)
{
	return (CLASS[(unsigned char)c] & class) != 0;
}

/* Returns the end of the run of bytes of `class` that begins at `p`. */
static const char *skip(const char *p, const char *end, unsigned char class)
{
	while (p < end && is_in(*p, class))
		p++;
	return p;
}

/*
 * The same for values, eight bytes at a time: a byte below 0x20 borrows into its
 * top bit, 0x7f carries into it, and a higher one has it. A tab, and what follows
 * a byte that borrowed, are left to the table.
 */
static const char *skip_value(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101;
	for (; end - p >= 8; p += 8) {
		uint64_t x = 0;
		memcpy(&x, p, sizeof(x));
		if (((x | (x + ones) | (x - 0x20 * ones)) & 0x80 * ones) != 0)
			break;
	}
	return skip(p, end, IN_VALUE);
}

static bool has_seen(const struct gate *g, enum header header)
{
	return (g->seen & (1U << header)) != 0;
}

/* Ends the message as refused; returns `at`, the byte it is about, for a step to return. */
static const char *refuse(struct gate *g, const char *at, short status, const char *reason)
{
	g->step = STEP_REFUSED;
	g->status = status;
	g->reason = reason;
	return at;
}

/* Takes the one byte that may come here. */
static const char *expect(struct gate *g, const char *p, char byte, enum step next,
    const char *reason)
{
	if (*p != byte)
		return refuse(g, p, 400, reason);
	g->step = (unsigned char)next;
	return p + 1;
}

static void keep(struct gate *g, const char *bytes, size_t n)
{
	if (g->token_len + n > GATE_TOKEN_MAX) {
		g->token_len = GATE_TOKEN_MAX + 1;
		return;
	}
	memcpy(g->token + g->token_len, bytes, n);
	g->token_len = (unsigned char)(g->token_len + n);
}

static bool token_is(const struct gate *g, const char *text, size_t len)
{
	return g->token_len == len && strncasecmp(g->token, text, len) == 0;
}

/*
 * Whether the token is `name`, in lower case, but for what stands between its words:
 * Transfer_Encoding, Content--Length. Nothing to us, but to some proxies it is the same.
 */
static bool is_lookalike(const struct gate *g, const char *name)
{
	if (g->token_len > GATE_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < g->token_len; i++) {
		if (!isalnum((unsigned char)g->token[i]))
			continue;
		name += *name == '-' ? 1 : 0;
		if (tolower((unsigned char)g->token[i]) != *name++)
			return false;
	}
	return *name == '\0';
}

/* RFC 9112 2.2: one empty line before the request is forgiven. It is in no limit. */
static const char *take_start(struct gate *g, const char *p, const char *end)
{
	(void)end;
	if (*p != '\r') {
		g->step = STEP_METHOD;
		return p;
	}
	g->leading++;
	g->step = STEP_START_LF;
	return p + 1;
}

static const char *take_start_lf(struct gate *g, const char *p, const char *end)
{
	(void)end;
	g->leading++;
	return expect(g, p, '\n', STEP_METHOD, BAD_LINE_END);
}

/* Methods are case-sensitive (RFC 9110 9.1). Returns METHOD_COUNT for one that is not ours. */
static size_t find_method(const struct gate *g)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (strlen(METHODS[i]) == g->token_len &&
		    memcmp(METHODS[i], g->token, g->token_len) == 0)
			return i;
	}
	return METHOD_COUNT;
}

static const char *take_method(struct gate *g, const char *p, const char *end)
{
	const char *stop = skip(p, end, IN_TOKEN);
	size_t room = (size_t)(GATE_TOKEN_MAX - g->token_len);
	if ((size_t)(stop - p) > room)
		return refuse(g, p + room, 501, BAD_METHOD);
	keep(g, p, (size_t)(stop - p));
	if (stop == end)
		return stop;
	if (*stop != ' ' || g->token_len == 0)
		return refuse(g, stop, 400, BAD_LINE);
	size_t method = find_method(g);
	if (method == METHOD_COUNT)
		return refuse(g, stop, 501, BAD_METHOD);
	g->method = (unsigned char)method;
	g->token_len = 0;
	g->step = STEP_TARGET;
	return stop + 1;
}

static const char *take_target(struct gate *g, const char *p, const char *end)
{
	(void)end;
	if (*p == '*' && g->method == METHOD_OPTIONS) {
		g->step = STEP_TARGET_END;
		return p + 1;
	}
	return expect(g, p, '/', STEP_TARGET_SECOND,
	    "The request target must be a path that begins with /.");
}

/* evhttp takes what follows a leading // for a host name, everybody else for a path. */
static const char *take_target_second(struct gate *g, const char *p, const char *end)
{
	(void)end;
	if (*p == '/')
		return refuse(g, p, 400, "The request target must not begin with //.");
	g->step = STEP_TARGET_REST;
	return p;
}

static const char *take_target_rest(struct gate *g, const char *p, const char *end)
{
	p = skip(p, end, IN_TARGET);
	if (p < end)
		g->step = STEP_TARGET_END;
	return p;
}

static const char *take_target_end(struct gate *g, const char *p, const char *end)
{
	(void)end;
	if (*p == '\r' || *p == '\n')
		return refuse(g, p, 400, BAD_LINE);
	return expect(g, p, ' ', STEP_VERSION,
	    "The request target may hold visible ASCII characters only, and no #.");
}

/* Reads "HTTP/1.x"; `at` is the byte after it. */
static const char *end_version(struct gate *g, const char *at)
{
	bool is_http = g->token_len == 8 && memcmp(g->token, "HTTP/", 5) == 0 &&
	    isdigit((unsigned char)g->token[5]) && g->token[6] == '.' &&
	    isdigit((unsigned char)g->token[7]);
	if (!is_http)
		return refuse(g, at, 400, BAD_LINE);
	if (g->token[5] != '1' || g->token[7] > '1')
		return refuse(g, at, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
	g->version = (unsigned char)(g->token[7] - '0');
	g->step = STEP_LINE_LF;
	return at + 1;
}

static const char *take_version(struct gate *g, const char *p, const char *end)
{
	const char *stop = skip(p, end, IN_TARGET);
	keep(g, p, (size_t)(stop - p));
	if (stop == end)
		return stop;
	if (*stop != '\r')
		return refuse(g, stop, 400, *stop == '\n' ? BAD_LINE_END : BAD_LINE);
	return end_version(g, stop);
}

/* Says how the line whose name has just ended is read on. */
static const char *end_name(struct gate *g, const char *at)
{
	if (g->token_len == 0)
		return refuse(g, at, 400, "A header must have a name.");
	g->step = STEP_VALUE;
	for (size_t i = 0; i < KNOWN_COUNT; i++) {
		if (!token_is(g, KNOWN[i].name, KNOWN[i].len))
			continue;
		g->header = KNOWN[i].header;
		g->step = STEP_KNOWN;
		g->token_len = 0;
		return at + 1;
	}
	if (is_lookalike(g, "transfer-encoding") || is_lookalike(g, "content-length"))
		return refuse(g, at, 400, "This header's name must be written with one -.");
	return at + 1;
}

static const char *take_line_lf(struct gate *g, const char *p, const char *end)
{
	(void)end;
	return expect(g, p, '\n', STEP_FIELD, BAD_LINE_END);
}

static const char *take_name(struct gate *g, const char *p, const char *end)
{
	const char *stop = skip(p, end, IN_TOKEN);
	keep(g, p, (size_t)(stop - p));
	if (stop == end)
		return stop;
	if (*stop == ':')
		return end_name(g, stop);
	if (*stop == ' ' || *stop == '\t')
		return refuse(g, stop, 400, "A header's name must hold no space.");
	return refuse(g, stop, 400, "A header's name must be a token and end with a colon.");
}

static const char *take_field(struct gate *g, const char *p, const char *end)
{
	if (*p == '\r') {
		g->step = STEP_HEAD_LF;
		return p + 1;
	}
	if (*p == ' ' || *p == '\t')
		return refuse(g, p, 400, "A header line must not begin with a space.");
	if (g->headers == g->limits->headers_max) {
		g->allowed = g->limits->headers_max;
		return refuse(g, p, 431, "There are too many headers.");
	}
	g->headers++;
	g->token_len = 0;
	g->has_gap = false;
	g->step = STEP_NAME;
	return take_name(g, p, end);
}

static const char *refuse_value(struct gate *g, const char *at)
{
	if (*at == '\n')
		return refuse(g, at, 400, BAD_LINE_END);
	return refuse(g, at, 400, "A header's value must be printable ASCII.");
}

/* Goes on after the CR at `at`; takes the LF too where it is at hand, as it mostly is. */
static const char *end_field(struct gate *g, const char *at, const char *end)
{
	bool has_lf = end - at > 1 && at[1] == '\n';
	g->step = has_lf ? STEP_FIELD : STEP_FIELD_LF;
	return has_lf ? at + 2 : at + 1;
}

static const char *take_value(struct gate *g, const char *p, const char *end)
{
	p = skip_value(p, end);
	if (p == end)
		return p;
	return *p == '\r' ? end_field(g, p, end) : refuse_value(g, p);
}

/* Parses the Content-Length in the token. */
static bool parse_length(struct gate *g)
{
	if (g->token_len == 0 || g->token_len > LENGTH_DIGITS_MAX)
		return false;
	uint64_t length = 0;
	for (size_t i = 0; i < g->token_len; i++) {
		if (!isdigit((unsigned char)g->token[i]))
			return false;
		length = length * 10 + (uint64_t)(g->token[i] - '0');
	}
	g->length = length;
	return true;
}

/* Returns what is wrong with the known header whose value is in the token, or NULL. */
static const char *find_fault(struct gate *g, enum header header, bool is_repeated)
{
	bool is_good = !is_repeated;
	switch (header) {
	case HEADER_LENGTH:
		is_good = is_good && parse_length(g);
		return is_good ? NULL : "Content-Length must be one decimal number, once.";
	case HEADER_CODING:
		is_good = is_good && token_is(g, "chunked", 7);
		return is_good ? NULL : "Transfer-Encoding must be chunked, once.";
	case HEADER_HOST:
		return is_good && g->token_len > 0 ? NULL : BAD_HOST;
	case HEADER_EXPECT:
		is_good = is_good && token_is(g, "100-continue", 12);
		return is_good ? NULL : "The only expectation met here is 100-continue.";
	}
	return NULL;
}

static const char *end_known(struct gate *g, const char *at)
{
	bool is_repeated = has_seen(g, g->header);
	g->seen = (unsigned char)(g->seen | 1U << g->header);
	g->step = STEP_FIELD_LF;
	const char *fault = find_fault(g, g->header, is_repeated);
	if (fault != NULL)
		return refuse(g, at, g->header == HEADER_EXPECT ? 417 : 400, fault);
	return at + 1;
}

/*
 * Collects a known header's value without the spaces around it. Spaces inside are right
 * in none of them. Tabs around it are what RFC 9110 5.5 allows, but not every reader
 * strips them: where they would change how a request is framed they are refused.
 */
static const char *take_known(struct gate *g, const char *p, const char *end)
{
	unsigned char class = g->header == HEADER_HOST ? IN_HOST : IN_TARGET;
	while (p < end && *p != '\r') {
		const char *stop = skip(p, end, class);
		bool is_blank = *p == ' ' || (*p == '\t' && g->header == HEADER_HOST);
		if (stop == p && is_blank) {
			g->has_gap = g->token_len > 0;
			p++;
			continue;
		}
		if (!is_in(*p, IN_VALUE))
			return refuse_value(g, p);
		if (stop == p || g->has_gap) {
			g->token_len = 0; /* the empty value, a fault of each */
			return end_known(g, p);
		}
		keep(g, p, (size_t)(stop - p));
		p = stop;
	}
	return p == end ? p : end_known(g, p);
}

/* Checks what only the whole head can tell; `at` is its last byte. */
static const char *check_head(struct gate *g, const char *at)
{
	bool has_coding = has_seen(g, HEADER_CODING);
	bool has_length = has_seen(g, HEADER_LENGTH);
	bool may_have_body = g->method <= METHOD_PATCH;
	if (g->version > 0 && !has_seen(g, HEADER_HOST))
		return refuse(g, at, 400, BAD_HOST);
	if (has_coding && has_length)
		return refuse(g, at, 400, "Content-Length excludes Transfer-Encoding.");
	if (has_coding && g->version == 0)
		return refuse(g, at, 400, "HTTP/1.0 has no Transfer-Encoding.");
	if (!may_have_body && (has_coding || g->length > 0))
		return refuse(g, at, 400, "This method takes no body.");
	if (g->length > g->limits->body_max) {
		g->allowed = g->limits->body_max;
		return refuse(g, at, 413, "The body has too many bytes.");
	}
	return at + 1;
}

static const char *take_head_lf(struct gate *g, const char *p, const char *end)
{
	(void)end;
	if (*p != '\n')
		return refuse(g, p, 400, BAD_LINE_END);
	const char *next = check_head(g, p);
	if (g->step == STEP_REFUSED)
		return next;
	g->is_chunked = has_seen(g, HEADER_CODING);
	g->step = STEP_DONE;
	if (g->length > 0)
		g->step = STEP_LENGTH;
	if (g->is_chunked)
		g->step = STEP_CHUNKS;
	g->left = g->length;
	gate_chunk_init(&g->chunk, g->limits->body_max);
	/* A server ignores the expectation of an HTTP/1.0 client (RFC 9110 10.1.1). */
	g->wants_continue = has_seen(g, HEADER_EXPECT) && g->version > 0 &&
	    g->step != STEP_DONE;
	return next;
}

static void skip_data(struct gate *g, uint64_t n)
{
	g->left -= n;
	if (g->left == 0)
		g->step = STEP_DONE;
}

/* Passes bytes of any value, as many as the Content-Length says. */
static const char *take_data(struct gate *g, const char *p, const char *end)
{
	uint64_t n = (uint64_t)(end - p) < g->left ? (uint64_t)(end - p) : g->left;
	skip_data(g, n);
	return p + n;
}

static const char *take_chunks(struct gate *g, const char *p, const char *end)
{
	size_t used = 0;
	enum gate_chunk_state state = gate_chunk_feed(&g->chunk, p, (size_t)(end - p), &used);
	if (state == GATE_CHUNK_REFUSED) {
		g->allowed = g->chunk.status == 413 ? g->limits->body_max : 0;
		return refuse(g, p + used, g->chunk.status, g->chunk.reason);
	}
	if (state == GATE_CHUNK_DONE)
		g->step = STEP_DONE;
	return p + used;
}

/* Takes at least one of the bytes from `p` to `end`, or changes the step. */
typedef const char *(*step_fn)(struct gate *g, const char *p, const char *end);

static const step_fn STEPS[] = {
    [STEP_START] = take_start,
    [STEP_START_LF] = take_start_lf,
    [STEP_METHOD] = take_method,
    [STEP_TARGET] = take_target,
    [STEP_TARGET_SECOND] = take_target_second,
    [STEP_TARGET_REST] = take_target_rest,
    [STEP_TARGET_END] = take_target_end,
    [STEP_VERSION] = take_version,
    [STEP_LINE_LF] = take_line_lf,
    [STEP_FIELD] = take_field,
    [STEP_NAME] = take_name,
    [STEP_VALUE] = take_value,
    [STEP_KNOWN] = take_known,
    [STEP_FIELD_LF] = take_line_lf,
    [STEP_HEAD_LF] = take_head_lf,
    [STEP_LENGTH] = take_data,
    [STEP_CHUNKS] = take_chunks,
};

/* Runs the steps of the request line, or of the headers, as far as its limit allows. */
static const char *run_head(struct gate *g, const char *p, const char *end)
{
	bool in_line = g->step <= STEP_LINE_LF;
	unsigned char last = in_line ? STEP_LINE_LF : STEP_HEAD_LF;
	size_t limit = in_line ? g->limits->line_max + CRLF_LEN : g->limits->head_max;
	if (g->head >= limit && in_line) {
		g->allowed = g->limits->line_max;
		return refuse(g, p, 414, "The request line has too many bytes.");
	}
	if (g->head >= limit) {
		g->allowed = g->limits->head_max;
		return refuse(g, p, 431, "The head has too many bytes.");
	}
	if ((size_t)(end - p) > limit - g->head)
		end = p + (limit - g->head);
	const char *next = p;
	while (next < end && g->step <= last)
		next = STEPS[g->step](g, next, end);
	g->head += (size_t)(next - p);
	return next;
}

void gate_init(struct gate *g, const struct gate_limits *limits)
{
	*g = (struct gate){.step = STEP_START, .limits = limits};
}

bool gate_is_idle(const struct gate *g)
{
	return g->step == STEP_START;
}

static enum gate_state state_of(const struct gate *g)
{
	if (g->step == STEP_REFUSED)
		return GATE_REFUSED;
	if (g->step == STEP_DONE)
		return GATE_DONE;
	return g->step <= STEP_HEAD_LF ? GATE_HEAD : GATE_BODY;
}

uint64_t gate_data(const struct gate *g)
{
	if (g->step == STEP_LENGTH)
		return g->left;
	return g->step == STEP_CHUNKS ? gate_chunk_data(&g->chunk) : 0;
}

enum gate_state gate_skip(struct gate *g, uint64_t n)
{
	if (n > 0 && g->step == STEP_LENGTH)
		skip_data(g, n);
	else if (n > 0 && g->step == STEP_CHUNKS)
		gate_chunk_skip(&g->chunk, n);
	return state_of(g);
}

enum gate_state gate_feed(struct gate *g, const char *bytes, size_t n, size_t *used)
{
	const char *p = bytes;
	const char *end = bytes + n;
	while (p < end && g->step < STEP_DONE) {
		bool is_counted = g->step >= STEP_METHOD && g->step <= STEP_HEAD_LF;
		p = is_counted ? run_head(g, p, end) : STEPS[g->step](g, p, end);
	}
	*used = (size_t)(p - bytes);
	return state_of(g);
}
