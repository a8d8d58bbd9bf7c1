/* Sources of type nats at work; see pull.h. */
#include "api/pull.h"

#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/publish_api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "domain/json.h"
#include "jetstream/js.h"

#define WAIT_MS 1000 /* until it is looked again whether there is room */
#define OUT_MAX (256u << 10)
#define CONSUMER_SIZE 64

/* Messages that are stored together. */
struct load {
	struct intake intake;
	struct js_position at; /* of the last message in the intake, or passed over */
	size_t missed;         /* events in the intake of which a mapping found nothing */
	size_t skipped;        /* messages that cannot be stored */
	bool is_full;          /* one did not fit into the intake: those behind it come again */
};

struct pull {
	struct op op; /* first */
	struct pulls *all;
	struct uuid id;
	struct source *of; /* its own copy of the source's settings: what js borrows from */
	char consumer[CONSUMER_SIZE];
	struct js *js;
	struct reactor_timer *timer;
	struct load next; /* what came since the last apply() */
	struct load sent; /* what that has written: more may come before its commit is told */
	bool is_sent;
	struct js_position stored; /* on disk */
	struct problem problem;    /* of apply, for done */
	size_t room;               /* messages of the next pull: what a turn has taken lately */
	bool staged;
	bool is_paused; /* a session has its share: until the timer */
	bool is_over;   /* to be freed, or begun anew, once it is not staged */
};

struct pulls {
	struct api *api;
	struct map *by_id;
	bool stopping;
};

static struct source_entry *entry_of(const struct pull *p)
{
	return sources_find(p->all->api->conf.sources, &p->id);
}

/* Makes it empty, and at `at`. */
static void reset_load(struct load *l, struct js_position at)
{
	intake_fini(&l->intake);
	*l = (struct load){.at = at, .intake = {.bodies = BUF_INIT(4u * EVENT_BODY_MAX)}};
}

/* What has come is what is written; what comes from here on waits for the next turn. */
static void seal(struct pull *p)
{
	if (p->is_sent)
		return; /* of a transaction that was voided */
	p->is_sent = true;
	p->sent = p->next;
	p->next = (struct load){0};
	reset_load(&p->next, p->sent.at);
}

static struct intake_conf conf_of(const struct pull *p)
{
	const struct api_conf *conf = &p->all->api->conf;
	return (struct intake_conf){.registry = conf->registry,
	    .ids = conf->ids,
	    .scratch = &p->all->api->scratch,
	    .now_ms = clock_wall_ms(),
	    .body_max = conf->body_max};
}

/* Writes what came and how far that is, if it follows what is stored. */
static enum err apply(struct op *op, struct db_txn *txn)
{
	struct pull *p = (struct pull *)op;
	struct source_position position;
	struct intake_conf conf = conf_of(p);
	seal(p);
	enum err err = sources_get_position(txn, p->of, &position);
	bool is_other = position.stream != p->stored.stream || position.seq != p->stored.seq;
	if (err == ERR_NOTFOUND || (err == OK && is_other))
		return ERR_CONFLICT; /* it was removed, or made anew */
	p->problem = (struct problem){.message = ""};
	if (err == OK)
		err = intake_finish(&p->sent.intake, &conf, &p->problem);
	if (err == OK)
		err = publish_write(p->all->api, txn, &p->sent.intake, &p->problem);
	if (err != OK)
		return err;
	position = (struct source_position){p->sent.at.stream, p->sent.at.seq};
	return sources_put_position(txn, p->of, &position);
}

static void begin(struct pulls *all, const struct uuid *id);

static void free_pull(struct pull *p)
{
	js_free(p->js);
	reactor_timer_free(p->timer);
	intake_fini(&p->next.intake);
	intake_fini(&p->sent.intake);
	source_free(p->of);
	free(p);
}

/* It is on disk. */
static void note_stored(struct pull *p)
{
	struct source_entry *e = entry_of(p);
	size_t fresh = publish_tell(p->all->api, &p->sent.intake);
	p->stored = p->sent.at;
	if (e == NULL)
		return;
	e->figures.events += fresh;
	e->figures.missed += p->sent.missed;
	e->figures.refused += p->sent.skipped;
	e->figures.last_ms = clock_wall_ms();
}

static void note_refusal(struct pull *p, const char *why)
{
	struct source_entry *e = entry_of(p);
	if (e != NULL)
		sources_note_refusal(e, why);
}

static void stage(struct pull *p);

/* Whether anything came while the turn before was being stored. */
static bool has_more(const struct pull *p)
{
	return p->next.at.stream != p->stored.stream || p->next.at.seq != p->stored.seq;
}

/* Says how many messages are pulled next: more where all fitted, fewer where they did not. */
static void set_room(struct pull *p, bool fitted)
{
	if (fitted)
		p->room = p->room < PULL_MESSAGES / 2 ? 2 * p->room : PULL_MESSAGES;
	else
		p->room = p->room > 1 ? p->room / 2 : 1;
}

static void done(struct op *op, enum err result)
{
	struct pull *p = (struct pull *)op;
	bool was_full = p->sent.is_full;
	p->staged = false;
	if (result == OK)
		note_stored(p);
	reset_load(&p->sent, p->stored);
	p->is_sent = false;
	if (p->is_over || result == ERR_CONFLICT) {
		struct pulls *all = p->all;
		struct uuid id = p->id;
		free_pull(p);
		begin(all, &id);
		return;
	}
	if (result == OK) {
		set_room(p, !was_full);
		if (has_more(p))
			stage(p);
		js_stored(p->js, p->stored);
		if (was_full)
			js_again(p->js, "a turn takes no more");
		return;
	}
	const char *why = p->problem.message[0] != '\0' ? p->problem.message : err_text(result);
	reset_load(&p->next, p->stored);
	p->is_paused = true;
	set_room(p, false);
	note_refusal(p, why);
	reactor_timer_set(p->timer, WAIT_MS);
	js_again(p->js, "it could not be stored");
}

static void on_timer(void *arg)
{
	struct pull *p = arg;
	p->is_paused = false;
	js_go_on(p->js);
}

static struct js_room on_room(void *arg)
{
	struct pull *p = arg;
	bool waits = p->all->stopping || p->staged || p->is_paused || p->is_over;
	const struct api_health *health = p->all->api->conf.health;
	if (!waits && (health->waits || !health->has_room)) {
		p->is_paused = true;
		reactor_timer_set(p->timer, WAIT_MS);
		waits = true;
	}
	if (waits)
		return (struct js_room){0, 0};
	return (struct js_room){p->room, PULL_BYTES};
}

static void stage(struct pull *p)
{
	if (p->is_sent)
		return; /* done() does */
	p->op.bytes = intake_bytes(&p->next.intake);
	if (p->staged)
		return;
	p->staged = true;
	p->op.class = OP_INTAKE;
	p->op.apply = apply;
	p->op.done = done;
	turn_stage(p->all->api->conf.turn, &p->op);
}

static struct slice no_header(const void *request, const char *name)
{
	(void)name;
	return *(const struct slice *)request;
}

/* A message's events on their way into the intake. */
struct taking {
	struct pull *pull;
	const struct arrival *arrival;
	struct intake_conf conf;
	struct source_event event;
	struct problem problem;
	size_t missed;
	enum err err;
};

static bool take_item(void *arg, struct slice item)
{
	struct taking *t = arg;
	source_map(t->pull->of, t->arrival, item, &t->event);
	t->missed += t->event.missed ? 1 : 0;
	t->err = intake_add(&t->pull->next.intake, &t->conf, &t->event, SLICE(""), 0,
	    &t->problem);
	return t->err == OK;
}

/* Reads a payload into the scratch buffer: JSON, or a string of what is none. */
static enum err read_payload(struct api *api, struct slice payload)
{
	struct buf *scratch = &api->scratch;
	struct problem ignored;
	buf_reset(scratch);
	if (json_read_whole(payload, scratch, &ignored) == OK)
		return OK;
	struct json_writer w = JSON_WRITER(scratch);
	buf_reset(scratch);
	json_write_bytes(&w, NULL, payload);
	return json_is_whole(&w) ? OK : ERR_TOOBIG;
}

/*
 * Takes the events of a message; the intake is as it was where they do not all fit, and the
 * source is told why where it `is_first`: else it comes again.
 */
static enum err take_message(struct pull *p, const struct nats_message *m, bool is_first)
{
	static const struct slice NOTHING = {"", 0};
	struct api *api = p->all->api;
	const struct arrival a = {.header = no_header,
	    .request = &NOTHING,
	    .body = m->payload,
	    .subject = m->subject};
	struct taking t = {.pull = p,
	    .arrival = &a,
	    .conf = conf_of(p),
	    .event = {.data = BUF_INIT(2 * EVENT_BODY_MAX),
		.id = BUF_INIT(2 * EVENT_BODY_MAX)}};
	size_t count = p->next.intake.count;
	size_t bytes = p->next.intake.bodies.len;
	t.err = m->is_skipped ? ERR_TOOBIG : read_payload(api, m->payload);
	if (t.err == OK)
		source_split(p->of, buf_view(&api->scratch), take_item, &t);
	if (t.err == OK) {
		p->next.missed += t.missed;
	} else {
		intake_cut(&p->next.intake, count, bytes);
	}
	if (t.err != OK && is_first)
		note_refusal(p,
		    m->is_skipped ? "a message is over max_body_bytes" : t.problem.message);
	source_event_fini(&t.event);
	return t.err;
}

static void on_message(void *arg, const struct js_message *m)
{
	struct pull *p = arg;
	if (p->next.is_full || p->sent.is_full || p->is_over)
		return; /* it comes again */
	bool is_first = p->next.intake.count == 0;
	if (take_message(p, m->message, is_first) != OK) {
		if (!is_first) { /* perhaps it fits alone */
			p->next.is_full = true;
			return;
		}
		p->next.skipped++;
		log_warn("a message of a stream cannot be stored, and is passed over",
		    LOG_S("source", source_name(p->of)), LOG_N("sequence", m->at.seq),
		    LOG_N("bytes", m->message->size));
	}
	p->next.at = m->at;
	stage(p);
}

static void on_moved(void *arg, struct js_position at)
{
	struct pull *p = arg;
	p->next.at = at;
	stage(p);
}

/* Where the source was; zeroed where it was nowhere. */
static enum err read_position(struct pull *p)
{
	struct db_txn *txn = NULL;
	struct source_position position = {0};
	enum err err = db_read(p->all->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = sources_get_position(txn, p->of, &position);
	db_read_end(txn);
	p->stored = (struct js_position){position.stream, position.seq};
	reset_load(&p->next, p->stored);
	reset_load(&p->sent, p->stored);
	return err;
}

static void connect_pull(struct pull *p)
{
	const struct api_conf *api = &p->all->api->conf;
	const struct source_nats *n = source_nats(p->of);
	const struct js_hooks hooks = {on_room, on_message, on_moved, p};
	struct js_conf conf = {.nats = {.reactor = api->reactor,
				   .lookup = client_lookup(api->client),
				   .policy = api->policy,
				   .taker = 0,
				   .servers = n->servers,
				   .server_count = n->server_count,
				   .name = "waybill",
				   .token = n->token,
				   .user = n->user,
				   .password = n->password,
				   .key = n->has_key ? &n->key : NULL,
				   .jwt = n->jwt,
				   .ca_pem = n->ca_pem,
				   .message_max = api->body_max,
				   .out_max = OUT_MAX},
	    .stream = n->stream,
	    .consumer = n->consumer != NULL ? n->consumer : p->consumer,
	    .subjects = (const char *const *)n->subjects,
	    .subject_count = n->subject_count,
	    .from = p->stored,
	    .begin_at_end = n->begin_at_end};
	p->js = js_new(&conf, &hooks);
}

/* A copy of a source that lives as long as what borrows from it. */
static struct source *copy_source(const struct source *s)
{
	char made[SIGN_SECRET_SIZE];
	struct problem ignored = {.message = ""};
	struct source *copy = source_new(s->created_ms);
	copy->id = s->id;
	copy->is_configured = s->is_configured;
	panic_if(source_apply(copy, slice_of(s->settings), made, &ignored) != OK,
	    "a source's settings cannot be read again");
	return copy;
}

/* Begins the pull of a source, if there is one that takes a stream. */
static void begin(struct pulls *all, const struct uuid *id)
{
	struct source_entry *e = sources_find(all->api->conf.sources, id);
	char name[UUID_TEXT_SIZE];
	(void)map_del(all->by_id, id->bytes, UUID_SIZE); /* the former one */
	if (e == NULL || source_nats(e->source) == NULL || !source_is_enabled(e->source) ||
	    all->stopping)
		return;
	struct pull *p = mem_new(sizeof(*p));
	p->all = all;
	p->id = *id;
	p->room = PULL_MESSAGES;
	p->of = copy_source(e->source);
	p->timer = reactor_timer_new(all->api->conf.reactor, on_timer, p);
	uuid_format(id, name);
	(void)snprintf(p->consumer, sizeof(p->consumer), "waybill-%s", name);
	if (read_position(p) != OK) {
		log_error("a source's place cannot be read: it takes nothing",
		    LOG_S("source", source_name(p->of)));
		free_pull(p);
		return;
	}
	map_put(all->by_id, id->bytes, UUID_SIZE, p);
	connect_pull(p);
}

static void begin_entry(void *entry, void *arg)
{
	begin(arg, &((struct source_entry *)entry)->source->id);
}

struct pulls *pulls_new(struct api *api)
{
	struct pulls *all = mem_new(sizeof(*all));
	all->api = api;
	all->by_id = map_new();
	sources_each(api->conf.sources, begin_entry, all);
	return all;
}

static void free_one(void *pull, void *arg)
{
	(void)arg;
	free_pull(pull);
}

void pulls_free(struct pulls *all)
{
	if (all == NULL)
		return;
	map_each(all->by_id, free_one, NULL);
	map_free(all->by_id);
	free(all);
}

void pulls_stop(struct pulls *all)
{
	all->stopping = true;
}

void pulls_changed(struct pulls *all, const struct uuid *id)
{
	struct pull *p = map_get(all->by_id, id->bytes, UUID_SIZE);
	if (p != NULL && p->staged) {
		p->is_over = true; /* done() begins the next one */
		return;
	}
	if (p != NULL)
		free_pull(p);
	begin(all, id);
}

void pulls_write(const struct pulls *all, const struct uuid *id, struct json_writer *json)
{
	const struct pull *p = map_get(all->by_id, id->bytes, UUID_SIZE);
	if (p == NULL)
		return;
	struct js_status s = js_status(p->js);
	const struct nats_status *n = s.connection;
	json_open_object(json, "connection");
	json_write_bool(json, "is_up", n->is_up);
	json_write_bytes(json, "server", slice_of(n->server->host));
	json_write_bytes_or_null(json, "error", slice_of(n->is_up ? s.error : n->error));
	json_write_u64(json, "sequence", p->stored.seq);
	json_write_u64(json, "pending", s.pending);
	json_write_u64(json, "lost", s.missed);
	json_close(json);
}
