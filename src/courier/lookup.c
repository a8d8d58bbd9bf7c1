/*
 * Names, who asks for them, and what is known of them; see lookup.h. A name is in one state:
 *
 *            asked for              its turn               told
 *     IDLE ------------> WAITING ------------> ASKED ------------> TELLING --> IDLE
 *       ^                 |  ^                   |                    |
 *       '-- nobody asks --'  '-- others wait ----+   asked for again -'--> WAITING
 *
 * IDLE ones are all that is remembered, the longest unused first to go; others are held by who
 * asks. What comes of a query is told after it: those who ask from within that wait anew.
 */
#include "courier/lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "courier/lookup_query.h"
#include "courier/lookup_queue.h"

#define SERVERS_TEXT_MAX 65536 /* bytes of the list of name servers */

enum name_state { IDLE, WAITING, ASKED, TELLING };

/* What came of the last query for a name: which line it waits in. */
enum standing { KNOWN, NEW, LATE, STANDINGS };

LIST_HEAD(asker_list, lookup_asker);
TAILQ_HEAD(name_list, lookup_name);

struct lookup_name {
	struct lookup_place place; /* first: the queue gives it back */
	struct lookup *lookup;
	TAILQ_ENTRY(lookup_name) link; /* IDLE: of those remembered; ASKED: of the line's */
	enum name_state state;
	enum standing standing; /* while WAITING and ASKED its line's too */
	bool displaced;         /* once, since it was last told */
	struct lookup_query *query;
	int64_t asked_ms;   /* monotonic */
	int64_t expires_ms; /* monotonic; up to then the answer is given out */
	struct lookup_answer answer;
	union lookup_address *addresses; /* of the answer */
	struct asker_list askers;
	struct asker_list told; /* those who are being told */
	size_t host_len;
	char host[];
};

/* The names of a standing: those that wait, and those that have a slot. */
struct line {
	struct lookup *lookup;
	struct lookup_queue *waiting;
	struct name_list asked; /* the oldest first */
	size_t asked_count;
	size_t slots;
	int64_t turn_ms;
	struct reactor_timer *turn; /* while some wait: when the oldest gives up its slot */
};

struct lookup {
	struct lookup_query_conf query;
	struct lookup_times times;
	struct buf name_servers;
	char *resolv_conf;
	struct map *names; /* by their names in lower case */
	struct name_list idle;
	size_t idle_count;
	struct line lines[STANDINGS];
	uint64_t ended[LOOKUP_STATUSES];
	uint64_t displaced;
	bool cut_off; /* no name server could be reached, the last time */
	union lookup_address direct_address;
	struct lookup_answer direct; /* of a host that is an address */
};

static const struct lookup_answer NO_NAME = {.status = LOOKUP_NONE};

const char *const LOOKUP_STATUS_NAMES[LOOKUP_STATUSES] = {
    [LOOKUP_OK] = "found",
    [LOOKUP_NONE] = "none",
    [LOOKUP_TIMEOUT] = "silent",
    [LOOKUP_FAILED] = "failed",
    [LOOKUP_OURS] = "unasked",
};

const char *lookup_text(enum lookup_status status)
{
	switch (status) {
	case LOOKUP_OK:
	case LOOKUP_NONE:
		break;
	case LOOKUP_TIMEOUT:
		return "no name server answered";
	case LOOKUP_FAILED:
		return "the name server failed";
	case LOOKUP_OURS:
		return "no name server could be asked";
	}
	return "";
}

/* Addresses */

/* Reads an address as it is usually written. */
static bool read_address(const char *text, union lookup_address *out)
{
	*out = (union lookup_address){.in = {.sin_family = AF_INET}};
	if (inet_pton(AF_INET, text, &out->in.sin_addr) == 1)
		return true;
	*out = (union lookup_address){.in6 = {.sin6_family = AF_INET6}};
	return inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1;
}

/* The same in all spellings that the system takes: "127.1", "0x7f000001", "fe80::1%eth0". */
static bool read_odd_address(const char *text, union lookup_address *out)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	bool fits = found->ai_addrlen <= sizeof(*out);
	*out = (union lookup_address){.any = {.sa_family = AF_UNSPEC}};
	if (fits)
		memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return fits;
}

/* Takes over an answer. */
static void set_answer(struct lookup_name *n, enum lookup_status status,
    const union lookup_address *addresses, size_t count)
{
	n->addresses = mem_resize(n->addresses, count + 1, sizeof(*addresses));
	if (count > 0)
		memcpy(n->addresses, addresses, count * sizeof(*addresses));
	n->answer = (struct lookup_answer){.status = status,
	    .addresses = n->addresses,
	    .count = count};
}

/* Names */

static void free_name(struct lookup_name *n)
{
	lookup_query_free(n->query);
	free(n->addresses);
	free(n);
}

static void forget(struct lookup *l, struct lookup_name *n)
{
	TAILQ_REMOVE(&l->idle, n, link);
	l->idle_count--;
	(void)map_del(l->names, n->host, n->host_len); /* is `n` */
	free_name(n);
}

/* Nothing is to be done for it: it is the last to be forgotten. */
static void set_idle(struct lookup *l, struct lookup_name *n)
{
	n->state = IDLE;
	TAILQ_INSERT_TAIL(&l->idle, n, link);
	l->idle_count++;
	if (l->idle_count > LOOKUP_NAMES_MAX)
		forget(l, TAILQ_FIRST(&l->idle));
}

static void leave_idle(struct lookup *l, struct lookup_name *n)
{
	TAILQ_REMOVE(&l->idle, n, link);
	l->idle_count--;
}

static struct lookup_name *add_name(struct lookup *l, struct slice host)
{
	struct lookup_name *n = mem_new(sizeof(*n) + host.len + 1);
	memcpy(n->host, host.ptr, host.len);
	n->host_len = host.len;
	n->place.name = (struct slice){n->host, n->host_len};
	n->lookup = l;
	n->standing = NEW;
	LIST_INIT(&n->askers);
	LIST_INIT(&n->told);
	map_put(l->names, n->host, n->host_len, n);
	set_idle(l, n);
	return n;
}

/* Queries */

static void pump(struct line *line);

/* Puts a name that somebody asks for in the line of its standing, to be pumped then. */
static struct line *wait_in_line(struct lookup *l, struct lookup_name *n)
{
	struct line *line = &l->lines[n->standing];
	uint64_t taker = LIST_FIRST(&n->askers)->taker;
	n->state = WAITING;
	if (n->displaced || n->standing == LATE)
		lookup_queue_put_last(line->waiting, &n->place, taker);
	else
		lookup_queue_put(line->waiting, &n->place, taker);
	return line;
}

/* Another taker asks for a name that waits: it moves to the taker of whom fewer wait. */
static void change_place(struct lookup *l, struct lookup_name *n, uint64_t taker)
{
	struct lookup_queue *waiting = l->lines[n->standing].waiting;
	if (lookup_queue_of(waiting, taker) + 1 >= lookup_queue_beside(&n->place))
		return;
	lookup_queue_drop(waiting, &n->place);
	(void)wait_in_line(l, n);
}

/* Tells who asked; nobody asks for it twice, but some may ask anew. */
static void tell(struct lookup *l, struct lookup_name *n)
{
	struct lookup_asker *a;
	n->state = TELLING;
	while ((a = LIST_FIRST(&n->askers)) != NULL) {
		LIST_REMOVE(a, link);
		LIST_INSERT_HEAD(&n->told, a, link);
	}
	while ((a = LIST_FIRST(&n->told)) != NULL) {
		LIST_REMOVE(a, link);
		a->name = NULL;
		a->fn(a->arg, &n->answer);
	}
	if (LIST_EMPTY(&n->askers))
		set_idle(l, n);
	else
		pump(wait_in_line(l, n));
}

/* Takes a name out of its slot. */
static struct line *leave_slot(struct lookup *l, struct lookup_name *n)
{
	struct line *line = &l->lines[n->standing];
	lookup_query_free(n->query);
	n->query = NULL;
	TAILQ_REMOVE(&line->asked, n, link);
	line->asked_count--;
	return line;
}

static int64_t lifetime_ms(const struct lookup *l, const struct lookup_found *found)
{
	switch (found->status) {
	case LOOKUP_OK:
		if (found->ttl_s * 1000 < l->times.ttl_min_ms)
			return l->times.ttl_min_ms;
		return found->ttl_s * 1000 < LOOKUP_TTL_MAX_MS ? found->ttl_s * 1000
							       : LOOKUP_TTL_MAX_MS;
	case LOOKUP_NONE:
		return l->times.none_ms;
	case LOOKUP_TIMEOUT:
	case LOOKUP_FAILED:
	case LOOKUP_OURS:
		break;
	}
	return 0;
}

static enum standing standing_after(enum lookup_status status, enum standing before)
{
	switch (status) {
	case LOOKUP_OK:
	case LOOKUP_NONE:
		return KNOWN;
	case LOOKUP_TIMEOUT:
	case LOOKUP_FAILED:
		return LATE;
	case LOOKUP_OURS:
		break;
	}
	return before;
}

/* Says once that name servers cannot be asked, and once that they can be again. */
static void watch_servers(struct lookup *l, const struct lookup_found *found, const char *host)
{
	bool ours = found->status == LOOKUP_OURS;
	if (ours == l->cut_off || (!ours && !found->heard))
		return;
	l->cut_off = ours;
	log_warn(ours ? "no name server can be asked" : "name servers answer again",
	    LOG_S("host", host), LOG_S("error", ours ? found->why : "none"));
}

static void on_found(void *arg, const struct lookup_found *found)
{
	struct lookup_name *n = arg;
	struct lookup *l = n->lookup;
	l->ended[found->status]++;
	watch_servers(l, found, n->host);
	set_answer(n, found->status, found->addresses, found->count);
	n->expires_ms = clock_mono_ms() + lifetime_ms(l, found);
	struct line *line = leave_slot(l, n); /* frees `found` */
	n->standing = standing_after(n->answer.status, n->standing);
	n->displaced = false;
	tell(l, n);
	pump(line);
}

/* Takes the slot of a name that has had its turn; those who ask for it wait on. */
static void displace(struct lookup *l, struct lookup_name *n)
{
	struct line *left = leave_slot(l, n);
	l->displaced++;
	if (n->displaced)
		n->standing = LATE;
	n->displaced = true;
	if (LIST_EMPTY(&n->askers)) {
		set_idle(l, n);
		return;
	}
	struct line *next = wait_in_line(l, n);
	if (next != left) /* it is pumped by who wants the slot */
		pump(next);
}

/* Makes a slot in a line where others wait; false: there is none, and a timer runs. */
static bool has_slot(struct line *line)
{
	if (line->asked_count < line->slots)
		return true;
	struct lookup_name *oldest = TAILQ_FIRST(&line->asked);
	int64_t left_ms = oldest->asked_ms + line->turn_ms - clock_mono_ms();
	if (left_ms > 0) {
		reactor_timer_set(line->turn, left_ms);
		return false;
	}
	displace(line->lookup, oldest);
	return true;
}

static void pump(struct line *line)
{
	struct lookup *l = line->lookup;
	while (!lookup_queue_is_empty(line->waiting) && has_slot(line)) {
		struct lookup_name *n = (void *)lookup_queue_take(line->waiting);
		n->state = ASKED;
		n->asked_ms = clock_mono_ms();
		TAILQ_INSERT_TAIL(&line->asked, n, link);
		line->asked_count++;
		n->query = lookup_query_new(&l->query, n->host, on_found, n);
	}
}

static void on_turn(void *arg)
{
	pump(arg);
}

/* What others call */

static void make_line(struct lookup *l, enum standing s, size_t slots, int64_t turn_ms)
{
	struct line *line = &l->lines[s];
	*line = (struct line){.lookup = l, .slots = slots, .turn_ms = turn_ms};
	line->waiting = lookup_queue_new();
	TAILQ_INIT(&line->asked);
	line->turn = reactor_timer_new(l->query.reactor, on_turn, line);
}

struct lookup *lookup_new(struct reactor *r, const struct lookup_conf *conf)
{
	static const struct lookup_times STANDARD = {LOOKUP_TTL_MIN_MS, LOOKUP_NONE_MS,
	    LOOKUP_QUERY_MS};
	struct lookup *l = mem_new(sizeof(*l));
	l->times = conf->times != NULL ? *conf->times : STANDARD;
	l->query = (struct lookup_query_conf){.reactor = r, .query_ms = l->times.query_ms};
	l->name_servers = BUF_INIT(SERVERS_TEXT_MAX);
	for (size_t i = 0; i < conf->name_server_count; i++)
		buf_printf(&l->name_servers, "%s%s", i > 0 ? "," : "", conf->name_servers[i]);
	if (conf->name_server_count > 0)
		l->query.name_servers = buf_cstr(&l->name_servers);
	if (conf->resolv_conf != NULL)
		l->resolv_conf = mem_copy(conf->resolv_conf, strlen(conf->resolv_conf));
	l->query.resolv_conf = l->resolv_conf;
	l->names = map_new();
	TAILQ_INIT(&l->idle);
	make_line(l, KNOWN, LOOKUP_SLOTS_KNOWN, LOOKUP_TURN_MS);
	make_line(l, NEW, LOOKUP_SLOTS_NEW, LOOKUP_TURN_MS);
	make_line(l, LATE, LOOKUP_SLOTS_LATE, LOOKUP_LATE_TURN_MS);
	l->direct = (struct lookup_answer){.status = LOOKUP_OK,
	    .addresses = &l->direct_address,
	    .count = 1,
	    .is_direct = true};
	return l;
}

static void free_any(void *value, void *arg)
{
	(void)arg;
	free_name(value);
}

void lookup_free(struct lookup *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < STANDINGS; i++) {
		lookup_queue_free(l->lines[i].waiting);
		reactor_timer_free(l->lines[i].turn);
	}
	map_each(l->names, free_any, NULL);
	map_free(l->names);
	buf_fini(&l->name_servers);
	free(l->resolv_conf);
	free(l);
}

/* Copies the host, an IPv6 address without its brackets, into `out`; its length, 0: no host. */
static size_t copy_host(struct slice host, char out[LOOKUP_HOST_MAX + 1])
{
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = (struct slice){host.ptr + 1, host.len - 2};
	bool rooted = host.len > 0 && host.ptr[host.len - 1] == '.';
	size_t len = host.len - (rooted ? 1 : 0);
	if (len == 0 || len >= LOOKUP_HOST_MAX || memchr(host.ptr, '\0', host.len) != NULL)
		return 0;
	memcpy(out, host.ptr, host.len);
	out[host.len] = '\0';
	return host.len;
}

static void lower(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
	}
}

/* Whether it is localhost or a name below that; `host` is in lower case. */
static bool is_local(struct slice host)
{
	static const struct slice LOCAL = SLICE_INIT("localhost");
	if (host.ptr[host.len - 1] == '.')
		host.len--;
	if (host.len < LOCAL.len)
		return false;
	size_t before = host.len - LOCAL.len;
	return slice_eq((struct slice){host.ptr + before, LOCAL.len}, LOCAL) &&
	    (before == 0 || host.ptr[before - 1] == '.');
}

static void answer_local(struct lookup_name *n)
{
	const union lookup_address both[] = {
	    {.in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}},
	    {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}},
	};
	set_answer(n, LOOKUP_OK, both, sizeof(both) / sizeof(both[0]));
	n->expires_ms = INT64_MAX;
}

const struct lookup_answer *lookup_ask(struct lookup *l, struct slice host,
    struct lookup_asker *asker)
{
	char text[LOOKUP_HOST_MAX + 1];
	struct slice key = {text, copy_host(host, text)};
	if (key.len == 0)
		return &NO_NAME;
	if (read_address(text, &l->direct_address))
		return &l->direct;
	lower(text);
	struct lookup_name *n = map_get(l->names, key.ptr, key.len);
	if (n == NULL) {
		if (read_odd_address(text, &l->direct_address))
			return &l->direct;
		n = add_name(l, key);
		if (is_local(key))
			answer_local(n);
	}
	bool known = n->expires_ms > clock_mono_ms();
	if (n->state == IDLE)
		leave_idle(l, n);
	if (n->state == IDLE && known)
		set_idle(l, n); /* as the last one used */
	if (known)
		return &n->answer;
	asker->name = n;
	LIST_INSERT_HEAD(&n->askers, asker, link);
	if (n->state == IDLE)
		pump(wait_in_line(l, n));
	else if (n->state == WAITING)
		change_place(l, n, asker->taker);
	return NULL;
}

void lookup_cancel(struct lookup *l, struct lookup_asker *asker)
{
	struct lookup_name *n = asker->name;
	if (n == NULL)
		return;
	LIST_REMOVE(asker, link);
	asker->name = NULL;
	if (n->state != WAITING || !LIST_EMPTY(&n->askers))
		return; /* a query that is under way goes on: its answer will be of use */
	lookup_queue_drop(l->lines[n->standing].waiting, &n->place);
	set_idle(l, n);
}

void lookup_figures(const struct lookup *l, struct lookup_figures *out)
{
	*out = (struct lookup_figures){.displaced = l->displaced};
	memcpy(out->ended, l->ended, sizeof(out->ended));
	for (size_t i = 0; i < STANDINGS; i++) {
		out->asked += l->lines[i].asked_count;
		out->waiting += lookup_queue_count(l->lines[i].waiting);
	}
}
