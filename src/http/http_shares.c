/*
 * What takers have of the server: bodies, bytes of requests, bytes of answers; see http.h.
 * A connection knows what it has, and whose that is; here that is taken and given back.
 */
#include "base/clock.h"
#include "base/log.h"
#include "http/http_inner.h"

#define SMALL_BODY 65536        /* bytes; such a one is taken although there is no share left */
#define SMALL_ANSWER 16384      /* bytes; the same of answers, errors among them */
#define LOG_EVERY_MS 1000       /* lines that somebody was refused */
#define LOG_SAME_EVERY_MS 60000 /* such lines that name the same one again */

const char *const HTTP_RESOURCE_NAMES[HTTP_RESOURCES] = {
    [HTTP_CONNECTIONS] = "connections",
    [HTTP_BODIES] = "bodies",
    [HTTP_INPUT] = "input_bytes",
    [HTTP_OUTPUT] = "output_bytes",
};

static struct shares *shares_of(const struct connection *c, enum http_resource what)
{
	return c->server->resources[what].shares;
}

/* What the guests of the taker of `c` hold; NULL: nothing. */
static struct shares *guests_of(const struct connection *c, enum http_resource what)
{
	return map_get(c->server->resources[what].guests, c->taker, strlen(c->taker));
}

/* Takes so many for the taker, and within its share for the guest. */
static void force(struct connection *c, enum http_resource what, uint64_t n)
{
	shares_force(shares_of(c, what), slice_of(c->taker), n);
	if (c->guest[0] == '\0' || n == 0)
		return;
	struct shares *guests = guests_of(c, what);
	if (guests == NULL) {
		guests = shares_new(0);
		map_put(c->server->resources[what].guests, c->taker, strlen(c->taker), guests);
	}
	shares_force(guests, slice_of(c->guest), n);
}

static void give(struct connection *c, enum http_resource what, uint64_t n)
{
	shares_give(shares_of(c, what), slice_of(c->taker), n);
	if (c->guest[0] == '\0' || n == 0)
		return;
	struct shares *guests = guests_of(c, what);
	shares_give(guests, slice_of(c->guest), n);
	if (shares_figures(guests)->share.held == 0)
		shares_free(
		    map_del(c->server->resources[what].guests, c->taker, strlen(c->taker)));
}

/* How much more it may have: of what its taker may, a guest has a share in turn. */
static uint64_t room(const struct connection *c, enum http_resource what)
{
	uint64_t most = shares_room(shares_of(c, what), slice_of(c->taker));
	struct shares *guests = c->guest[0] == '\0' ? NULL : guests_of(c, what);
	if (guests == NULL)
		return most;
	struct share share = shares_figures(guests)->share;
	share.capacity = share.held + most;
	uint64_t own = share_room(&share, shares_held(guests, slice_of(c->guest)));
	return own < most ? own : most;
}

static void free_guests(void *guests, void *arg)
{
	(void)arg;
	shares_free(guests);
}

void http_open_shares(struct http_server *s)
{
	for (size_t i = 0; i < HTTP_RESOURCES; i++) {
		s->resources[i].shares = shares_new(0);
		s->resources[i].guests = map_new();
	}
	s->kept = shares_new(HTTP_SLOTS_KEPT);
}

void http_close_shares(struct http_server *s)
{
	for (size_t i = 0; i < HTTP_RESOURCES; i++) {
		shares_free(s->resources[i].shares);
		map_each(s->resources[i].guests, free_guests, NULL);
		map_free(s->resources[i].guests);
	}
	shares_free(s->kept);
}

void http_size_shares(struct http_server *s)
{
	uint32_t half = s->conf.max_connections / 2;
	shares_resize(s->resources[HTTP_CONNECTIONS].shares, s->conf.max_connections);
	shares_resize(s->resources[HTTP_BODIES].shares, half > 0 ? half : 1);
	shares_resize(s->resources[HTTP_INPUT].shares, s->conf.input_max);
	shares_resize(s->resources[HTTP_OUTPUT].shares, s->conf.output_max);
}

void http_note_refusal(struct http_server *s, enum http_resource what, const char *taker)
{
	struct resource *r = &s->resources[what];
	int64_t now_ms = clock_mono_ms();
	bool is_same = strcmp(r->named, taker) == 0;
	shares_refuse(r->shares, slice_of(taker));
	if (now_ms < r->quiet_until_ms || (is_same && now_ms < r->quiet_named_ms))
		return;
	log_warn("refused, as its share is used up",
	    LOG_S("resource", HTTP_RESOURCE_NAMES[what]), LOG_S("taker", taker));
	memcpy(r->named, taker, strlen(taker) + 1); /* both are of HTTP_TAKER_SIZE */
	r->quiet_until_ms = now_ms + LOG_EVERY_MS;
	r->quiet_named_ms = now_ms + LOG_SAME_EVERY_MS;
}

static void give_all(struct connection *c)
{
	give(c, HTTP_BODIES, c->has_body ? 1 : 0);
	give(c, HTTP_INPUT, c->charged);
	give(c, HTTP_OUTPUT, c->output);
}

static void force_all(struct connection *c)
{
	force(c, HTTP_BODIES, c->has_body ? 1 : 0);
	force(c, HTTP_INPUT, c->charged);
	force(c, HTTP_OUTPUT, c->output);
}

/* Copies a taker's name, cut to its size. */
static void set_name(struct slice name, char out[HTTP_TAKER_SIZE])
{
	size_t len = name.len < HTTP_TAKER_SIZE ? name.len : HTTP_TAKER_SIZE - 1;
	memcpy(out, name.ptr, len);
	out[len] = '\0';
}

/* Whether the taker's name is that one, as far as it is kept. */
static bool is_taker(const struct connection *c, struct slice taker)
{
	taker.len = taker.len < HTTP_TAKER_SIZE ? taker.len : HTTP_TAKER_SIZE - 1;
	return slice_eq(taker, slice_of(c->taker));
}

void http_charge_to(struct connection *c, struct slice taker)
{
	if (is_taker(c, taker) && c->guest[0] == '\0')
		return;
	give_all(c);
	set_name(taker, c->taker);
	c->guest[0] = '\0';
	force_all(c);
}

void http_charge_guest(struct connection *c, struct slice taker)
{
	if (is_taker(c, taker))
		return;
	give_all(c);
	if (c->guest[0] == '\0')
		set_name(slice_of(c->taker), c->guest);
	set_name(taker, c->taker);
	force_all(c);
}

bool http_charge_body(struct connection *c)
{
	if (room(c, HTTP_BODIES) == 0) {
		http_note_refusal(c->server, HTTP_BODIES, c->taker);
		http_refuse(c, 429,
		    "Too many requests of this client or token wait for their bodies.");
		return false;
	}
	force(c, HTTP_BODIES, 1);
	c->has_body = true;
	return true;
}

/* Charges for what is not charged of a connection's input; false: there is no share left. */
static bool take_input(struct connection *c)
{
	size_t more = c->input - c->charged;
	if (c->input > SMALL_BODY && room(c, HTTP_INPUT) < more) {
		http_note_refusal(c->server, HTTP_INPUT, c->taker);
		return false;
	}
	force(c, HTTP_INPUT, more);
	c->charged = c->input;
	return true;
}

bool http_charge_input(struct connection *c)
{
	bool may = take_input(c);
	if (!may)
		http_refuse(c, 429,
		    "Too many bytes of requests of this client or token are under way.");
	return may;
}

size_t http_input_room(const struct http_request *q)
{
	const struct connection *c = q->connection;
	if (c == NULL)
		return SIZE_MAX;
	size_t small = c->input < SMALL_BODY ? SMALL_BODY - c->input : 0;
	uint64_t most = room(c, HTTP_INPUT);
	size_t owed = c->input - c->charged;
	size_t left = most > owed ? most - owed : 0;
	return small > left ? small : left;
}

bool http_take_input(struct http_request *q, size_t bytes)
{
	struct connection *c = q->connection;
	if (c == NULL)
		return true; /* nobody waits for the answer, and what is published counts */
	c->input += bytes;
	if (take_input(c))
		return true;
	c->input -= bytes;
	return false;
}

void http_end_body(struct connection *c)
{
	if (c->has_body)
		give(c, HTTP_BODIES, 1);
	c->has_body = false;
}

void http_forget_input(struct connection *c)
{
	http_end_body(c);
	give(c, HTTP_INPUT, c->charged);
	c->charged = 0;
	c->input = 0;
	buf_fini(&c->head);
}

/* What is small is not charged: most answers are, and leave at once. */
void http_charge_output(struct connection *c, size_t length)
{
	size_t due = length > SMALL_ANSWER ? length : 0;
	if (due > c->output)
		force(c, HTTP_OUTPUT, due - c->output);
	else
		give(c, HTTP_OUTPUT, c->output - due);
	c->output = due;
}

bool http_may_answer(struct connection *c, size_t bytes)
{
	if (bytes <= SMALL_ANSWER || bytes <= room(c, HTTP_OUTPUT))
		return true;
	http_note_refusal(c->server, HTTP_OUTPUT, c->taker);
	return false;
}
