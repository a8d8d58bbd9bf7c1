/*
 * One turn of the program:
 *
 *   1  reactor_pass()    callbacks parse, check and STAGE; curl is told of its sockets
 *   2  client_reap()     attempts that ended are judged; their outcomes are staged
 *   3  turn_commit()     one synced transaction, none if nothing was staged; then the
 *                        held requests are answered and memory follows the disk
 *   4  jobs_step()       what is larger than a turn goes on: a slice of each job is staged
 *      dispatch_pump()   due deliveries that may start are claimed and sent
 *
 * No 2xx before step 3; memory mirrors change only in step 3; no transaction
 * outlives the turn, but a backup's snapshot (store/db.h).
 */
#include "server/loop.h"

#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define TICK_MS 1000    /* housekeeping, and the longest wait: wall clocks jump */
#define GATHER_PASSES 4 /* passes that one commit may gather from */
#define ANSWER_PASSES 3 /* before a slow commit */
#define SLOW_COMMIT_US 5000
#define BODIES_US 5000 /* that a turn polls on while bodies come */
#define READER_CHECK_TICKS 60
#define STORE_RETRY_MS 1000 /* between commits of progress alone while the store fails */
#define PASS_MS 50          /* the longest of those that wait for the last turn */
#define FLUSH_PASSES 10     /* passes that let the last answers leave */
#define MAP_FULL_PERCENT 90 /* of the store's largest size: above, no new events */
#define DISK_FREE_PERCENT 5 /* of the file system, or disk_reserve: below, no new events */
#define COMPANY_MS 3 /* outcomes wait so long for others: a flush costs the same for all… */
#define COMPANY_COMMITS 4 /* …or so many times what commits take lately, on a slow disk… */
#define COMPANY_MAX_MS 30 /* …but no longer than that… */
#define COMPANY_MAX 1024  /* …and not for more than so many */
#define COMMITS_REMEMBERED 8
#define OTHERS_MS 100   /* somebody has asked so lately: those that drain a queue start… */
#define QUEUES_US 500   /* …for so long a turn (a tenth of what attempts take in all)… */
#define QUEUES_PART 8   /* …and for this part of what flushes take lately, and requests… */
#define ANSWERS_TIMES 8 /* …and their sockets are looked at for so many times as long */
#define LONG_TURN_US 50000     /* a turn that took longer is told… */
#define LONG_TURN_LOG_MS 10000 /* …so often at most */
#define LEAVE_MS 1000      /* for attempts under way, where another member is to take over */
#define GATHER_PART 4      /* of what a turn takes, to gather the next one in… */
#define GATHER_MAX_US 2000 /* …at most */
#define REST_MS 5000       /* for the journal to answer for the last turn */
#define JUMP_MS 2000       /* a step of the system's clock that is worth a line */

struct loop {
	struct loop_conf conf;
	struct reactor_timer *wake;
	struct reactor_timer *tick;
	struct reactor_timer *drain;
	struct reactor_signal *terminate;
	struct reactor_signal *interrupt;
	struct reactor_signal *hangup;
	unsigned ticks;
	unsigned signals;
	bool lost;               /* the store's file, under us */
	bool drained_out;        /* the drain's time is over */
	bool reload;             /* asked for, to be done when the turn is over */
	int64_t store_retry_ms;  /* monotonic; progress alone is not tried before */
	int64_t staged_since_ms; /* monotonic; 0: nothing is */
	int64_t asked_ms;        /* monotonic; when a request last wanted to be written */
	int64_t commit_us;       /* what a commit takes, of late */
	int64_t flush_us;        /* what of that is waiting */
	int64_t began_us;        /* monotonic; when the turn's wait was over */
	int64_t marked_us;       /* monotonic; when its last part was */
	uint64_t full_reads;     /* of the HTTP side, when last looked at */
	int64_t part_us[TURN_PARTS];
	int64_t quiet_until_ms; /* monotonic; no line about a long turn before */
	uint64_t long_turns;    /* since the last line */
	int64_t clock_ahead_ms; /* the system's clock, of wall time */
	uint64_t commits;       /* that were followed */
	bool sent_intake;       /* in the turn that the journal has, or had last */
	size_t sent;            /* operations of that turn */
	size_t expected;        /* that it answered, and that waited behind it */
	int64_t answered_us;    /* monotonic; when it was committed */
	bool has_taken;         /* the journal has answered once */
	bool is_disk_low;       /* too little is free for a turn that the journal has */
};

static void on_wake(void *arg)
{
	(void)arg; /* the pass returns; the pump does the rest */
}

static void on_drain_over(void *arg)
{
	struct loop *l = arg;
	l->drained_out = true;
}

/* What stays free of a disk of this size, in bytes. */
static uint64_t reserve_of(const struct loop *l, uint64_t disk_bytes)
{
	uint64_t part = disk_bytes / 100 * DISK_FREE_PERCENT;
	return part < l->conf.disk_reserve ? part : l->conf.disk_reserve;
}

/*
 * What the store may take: below the marks above which new events get 507, of its largest size
 * and of what the disk has.
 */
static uint64_t capacity_of(const struct db_usage *u, uint64_t reserve)
{
	uint64_t map = u->max_bytes / 100 * MAP_FULL_PERCENT;
	uint64_t disk = u->file_bytes + u->disk_free_bytes;
	disk = disk > reserve ? disk - reserve : 1;
	return map < disk ? map : disk;
}

/*
 * Measures whether there is room; refuses new events early, so that outcomes can still be
 * written, and ends what makes the file grow.
 */
static void check_room(struct loop *l)
{
	struct db_usage u;
	enum err err = db_usage(l->conf.db, &u);
	if (err != OK) {
		log_error("cannot measure the store", LOG_S("error", err_text(err)));
		return;
	}
	uint64_t reserve = reserve_of(l, u.disk_bytes);
	bool disk_room = db_reserve(l->conf.db) != ERR_NOSPACE && u.disk_free_bytes >= reserve;
	l->is_disk_low = u.disk_free_bytes < reserve / 2;
	bool room = u.used_bytes / MAP_FULL_PERCENT < u.max_bytes / 100 && disk_room;
	if (!disk_room || u.file_bytes / MAP_FULL_PERCENT >= u.max_bytes / 100)
		api_relieve(l->conf.api, u.file_bytes);
	if (room != l->conf.health->has_room)
		log_warn(room ? "the store has room again"
			      : "the store has no room for new events",
		    LOG_N("used_bytes", u.used_bytes), LOG_N("max_bytes", u.max_bytes),
		    LOG_N("disk_free_bytes", u.disk_free_bytes));
	const struct usage_room measured = {.capacity = capacity_of(&u, reserve),
	    .used_bytes = u.used_bytes,
	    .traffic_bytes = u.traffic_bytes,
	    .keys_bytes = u.keys_bytes,
	    .most_bytes = u.max_bytes,
	    .disk_full = !disk_room};
	usage_measure(l->conf.usage, &measured);
	l->conf.health->has_room = room;
	dispatch_keep_attempts(l->conf.dispatch, room);
}

/* Wall time follows the system's clock slowly (base/clock.h); a step of that one is told. */
static void check_clock(struct loop *l)
{
	int64_t ahead_ms = clock_system_ms() - clock_wall_ms();
	int64_t jump_ms = ahead_ms - l->clock_ahead_ms;
	l->clock_ahead_ms = ahead_ms;
	if (jump_ms > JUMP_MS || jump_ms < -JUMP_MS)
		log_warn("the system's clock jumped; times here follow it slowly",
		    LOG_N("by_ms", jump_ms), LOG_N("ahead_ms", ahead_ms));
}

static void on_tick(void *arg)
{
	struct loop *l = arg;
	l->lost = !db_is_there(l->conf.db);
	check_room(l);
	check_clock(l);
	oldest_step(l->conf.oldest);
	if (l->signals == 0)
		jobs_tick(l->conf.jobs);
	if (++l->ticks % READER_CHECK_TICKS == 0)
		db_clear_readers(l->conf.db);
	reactor_timer_set(l->tick, TICK_MS);
}

static void begin_stop(struct loop *l)
{
	int64_t drain_ms = l->conf.drain_timeout_ms;
	if (l->conf.active != NULL && drain_ms > LEAVE_MS)
		drain_ms = LEAVE_MS;
	log_info("stopping", LOG_N("in_flight", dispatch_in_flight(l->conf.dispatch)));
	l->conf.health->stopping = true;
	l->conf.stopping(l->conf.arg);
	http_stop(l->conf.http);
	api_stop(l->conf.api);
	dispatch_stop(l->conf.dispatch);
	reactor_timer_set(l->drain, drain_ms);
}

static void on_signal(void *arg)
{
	struct loop *l = arg;
	if (++l->signals > 1)
		l->drained_out = true;
	else
		begin_stop(l);
}

void loop_stop(struct loop *l)
{
	if (l->signals > 0)
		return;
	l->signals++;
	begin_stop(l);
}

static void on_hangup(void *arg)
{
	struct loop *l = arg;
	l->reload = true;
}

static bool is_over(const struct loop *l)
{
	if (l->signals == 0)
		return false;
	bool drained = dispatch_in_flight(l->conf.dispatch) == 0 &&
	    turn_staged(l->conf.turn) == 0 && !turn_is_appending(l->conf.turn) &&
	    http_held(l->conf.http) == 0;
	return drained || l->drained_out;
}

/* How long outcomes wait: where a commit takes long, so long that most of the time is left. */
static int64_t company_ms(const struct loop *l)
{
	int64_t ms = COMPANY_COMMITS * l->commit_us / 1000;
	ms = ms > COMPANY_MS ? ms : COMPANY_MS;
	return ms < COMPANY_MAX_MS ? ms : COMPANY_MAX_MS;
}

/* Outcomes alone wait a moment for others, or for a request, to share the flush. */
static bool waits_for_company(const struct loop *l)
{
	return turn_may_wait(l->conf.turn) && turn_staged(l->conf.turn) < COMPANY_MAX &&
	    l->signals == 0 && clock_mono_ms() - l->staged_since_ms < company_ms(l);
}

/*
 * Whether those whom the last turn has answered are given a moment to ask again: publishers
 * that wait for each 202 would else be two crowds for good, of which each waits for the other's
 * append.
 */
static bool gathers(const struct loop *l)
{
	if (l->conf.active == NULL || l->signals > 0 ||
	    turn_staged(l->conf.turn) >= l->expected)
		return false;
	int64_t us = l->commit_us / GATHER_PART;
	return clock_now_us() - l->answered_us < (us < GATHER_MAX_US ? us : GATHER_MAX_US);
}

/*
 * Progress alone waits: for company, or while the store fails; requests are tried at once. All
 * wait for the journal to answer for the turn before.
 */
static bool may_commit(const struct loop *l)
{
	if (turn_is_appending(l->conf.turn) || gathers(l))
		return false;
	return turn_staged_intake(l->conf.turn) > 0 ||
	    (clock_mono_ms() >= l->store_retry_ms && !waits_for_company(l));
}

/* Waits for events, unless there is work that needs none. */
static void wait_for_events(struct loop *l)
{
	int64_t delay = dispatch_delay(l->conf.dispatch);
	bool ready = delay == 0 || client_has_ended(l->conf.client) ||
	    (turn_staged(l->conf.turn) > 0 && may_commit(l));
	if (waits_for_company(l) && turn_staged(l->conf.turn) > 0) {
		int64_t left = l->staged_since_ms + company_ms(l) - clock_mono_ms();
		delay = delay < 0 || delay > left ? left : delay;
	}
	if (turn_staged(l->conf.turn) > 0 && delay != 0 && gathers(l))
		delay = 1;
	if (delay > 0)
		reactor_timer_set(l->wake, delay < TICK_MS ? delay : TICK_MS);
	clock_expire();
	int64_t processor_us = clock_processor_us();
	l->began_us = clock_now_us();
	reactor_pass(l->conf.reactor, ready);
	if (!ready) /* the wait is in the same call: what the processor did counts */
		l->began_us = clock_now_us() - (clock_processor_us() - processor_us);
	l->marked_us = l->began_us;
	client_reap(l->conf.client);
}

/* Notes since when something is staged, and when a request has. */
static void note_staged(struct loop *l)
{
	if (turn_staged_intake(l->conf.turn) > 0)
		l->asked_ms = clock_mono_ms();
	if (turn_staged(l->conf.turn) == 0)
		l->staged_since_ms = 0;
	else if (l->staged_since_ms == 0)
		l->staged_since_ms = clock_mono_ms();
}

/* One more pass of this turn, which waits for nothing. */
static void poll_on(struct loop *l)
{
	reactor_pass(l->conf.reactor, true);
	client_reap(l->conf.client);
}

/* Polls on while each pass brings more, so that one flush serves many requests. */
static void gather(struct loop *l)
{
	size_t before = 0;
	for (int i = 0; i < GATHER_PASSES && turn_staged(l->conf.turn) > before; i++) {
		before = turn_staged(l->conf.turn);
		poll_on(l);
	}
}

/*
 * Nobody is answered while a commit lasts. Where it takes long, who needs none (a probe) has an
 * answer before: to take a connection, to read from it and to write to it are a pass each.
 */
static void answer_first(struct loop *l)
{
	if (l->commit_us < SLOW_COMMIT_US || turn_staged(l->conf.turn) == 0 || !may_commit(l))
		return;
	for (int i = 0; i < ANSWER_PASSES; i++)
		poll_on(l);
}

/* Whether a body has filled a read since the last look. */
static bool has_full_read(struct loop *l)
{
	uint64_t before = l->full_reads;
	l->full_reads = http_full_reads(l->conf.http);
	return l->full_reads != before;
}

/*
 * Polls on while large bodies come, for as long as a turn may: a read takes 4 KiB of each, and
 * such a body is not to take a thousand turns that others fill.
 */
static void take_bodies(struct loop *l)
{
	int64_t until_us = 0;
	while (has_full_read(l)) {
		int64_t now_us = clock_now_us();
		if (until_us == 0)
			until_us = now_us + BODIES_US;
		else if (now_us >= until_us)
			return;
		poll_on(l);
	}
}

/* Keeps whether the store can be written, as a turn has found. */
static void note_stored(struct loop *l, enum err err)
{
	bool stored = err == OK;
	if (stored != l->conf.health->stores)
		log_warn(stored ? "the store can be written again"
				: "the store cannot be written",
		    LOG_S("result", err_text(err)));
	l->conf.health->stores = stored;
	if (!stored)
		l->store_retry_ms = clock_mono_ms() + STORE_RETRY_MS;
}

/* A commit of a turn is over, or has failed. */
static void follow_commit(struct loop *l, bool had_intake, enum err err)
{
	l->commits = turn_commits(l->conf.turn);
	l->commit_us += (turn_figures(l->conf.turn)->commit_us - l->commit_us) /
	    COMMITS_REMEMBERED;
	if (had_intake && err != ERR_BROKEN)
		check_room(l); /* at once: a burst must not get past it */
	note_stored(l, err);
}

static enum err commit(struct loop *l)
{
	if (turn_staged(l->conf.turn) == 0 || !may_commit(l))
		return OK;
	bool had_intake = turn_staged_intake(l->conf.turn) > 0;
	enum err err = turn_commit(l->conf.turn);
	l->staged_since_ms = 0;
	follow_commit(l, had_intake, err);
	return err == ERR_BROKEN ? err : OK;
}

/*
 * Whether a turn may go to the journal. What that has taken is the others', and has to be
 * committed here too: room for it is there before.
 */
static bool has_room_behind(struct loop *l)
{
	if (db_reserve(l->conf.db) != ERR_NOSPACE && !l->is_disk_low)
		return true;
	turn_refuse(l->conf.turn);
	note_stored(l, ERR_NOSPACE);
	return false;
}

/* Begins a turn's transaction, whose commit comes with the journal's answer. */
static enum err send_turn(struct loop *l)
{
	if (turn_commits(l->conf.turn) != l->commits) {
		follow_commit(l, l->sent_intake, OK);
		l->expected = l->sent + turn_staged(l->conf.turn);
		l->answered_us = clock_now_us();
	}
	bool is_due = turn_staged(l->conf.turn) > 0 && may_commit(l);
	if (is_due && !has_room_behind(l))
		return OK;
	if (!is_due && turn_staged(l->conf.turn) > 0)
		return OK;
	l->sent_intake = turn_staged_intake(l->conf.turn) > 0;
	size_t staged = turn_staged(l->conf.turn);
	enum err err = turn_commit(l->conf.turn); /* also says whether the store has parted */
	if (is_due) {
		l->sent = staged - turn_staged(l->conf.turn);
		l->staged_since_ms = 0;
	}
	if (err != OK)
		note_stored(l, err);
	return err == ERR_BROKEN ? err : OK;
}

/* What may go on is what the journal lets: without its answers another may own the shard. */
static enum err follow_journal(struct loop *l)
{
	struct active *a = l->conf.active;
	if (active_is_fenced(a))
		return ERR_CONFLICT;
	bool waits = !active_may_take(a);
	if (waits != l->conf.health->waits && l->has_taken)
		log_warn(waits ? "nothing that writes is taken" : "all is taken again",
		    LOG_S("why", waits ? active_why(a) : "the journal answers, and has room"),
		    LOG_N("waits_ms", active_figures(a)->waits_ms));
	l->has_taken = l->has_taken || !waits;
	l->conf.health->waits = waits;
	l->conf.health->why_waits = active_why(a);
	if (waits && l->has_taken)
		turn_refuse(l->conf.turn);
	dispatch_pause(l->conf.dispatch, !active_may_start(a));
	return OK;
}

static enum err write_turn(struct loop *l)
{
	if (l->conf.active == NULL)
		return commit(l);
	enum err err = follow_journal(l);
	return err == OK ? send_turn(l) : err;
}

static void reload(struct loop *l)
{
	l->reload = false;
	l->conf.reload(l->conf.arg);
}

/* A part of the turn is over. */
static void mark(struct loop *l, enum turn_part part)
{
	int64_t now_us = clock_now_us();
	l->part_us[part] = now_us - l->marked_us;
	l->marked_us = now_us;
	histogram_record(&l->conf.turn_parts[part], l->part_us[part]);
}

static enum turn_part largest_part(const struct loop *l)
{
	enum turn_part largest = TURN_EVENTS;
	for (enum turn_part part = TURN_EVENTS; part < TURN_PARTS; part++) {
		if (l->part_us[part] > l->part_us[largest])
			largest = part;
	}
	return largest;
}

/* Everybody waited for this turn: says for how long, what took it, and whose request most. */
static void tell_long_turn(struct loop *l, int64_t turn_us, const struct api_longest *request)
{
	l->long_turns++;
	if (clock_mono_ms() < l->quiet_until_ms)
		return;
	l->quiet_until_ms = clock_mono_ms() + LONG_TURN_LOG_MS;
	log_info("a turn took long", LOG_N("ms", turn_us / 1000),
	    LOG_S("part", TURN_PART_NAMES[largest_part(l)]),
	    LOG_N("events_ms", l->part_us[TURN_EVENTS] / 1000),
	    LOG_N("commit_ms", l->part_us[TURN_COMMIT] / 1000),
	    LOG_N("jobs_ms", l->part_us[TURN_JOBS] / 1000),
	    LOG_N("pump_ms", l->part_us[TURN_PUMP] / 1000),
	    LOG_N("request_ms", request->us / 1000),
	    LOG_S("method", request->us > 0 ? request->method : ""),
	    LOG_S("path", request->us > 0 ? request->pattern : ""),
	    LOG_S("session", request->session), LOG_N("turns", l->long_turns));
	l->long_turns = 0;
}

/* Keeps how long the turn took. */
static void note_turn(struct loop *l)
{
	int64_t turn_us = l->marked_us - l->began_us;
	struct api_longest request = api_take_longest(l->conf.api);
	histogram_record(l->conf.turns, turn_us);
	if (turn_us > LONG_TURN_US)
		tell_long_turn(l, turn_us, &request);
}

/*
 * Shares the turn between who publishes and who drains a queue: in long turns, of which each
 * starts and ends as many attempts as it can, the one would wait for the other.
 */
static void share_turn(struct loop *l)
{
	int64_t asked_us = l->part_us[TURN_EVENTS] - client_took(l->conf.client);
	int64_t us = QUEUES_US + (l->flush_us + asked_us) / QUEUES_PART;
	if (clock_mono_ms() - l->asked_ms > OTHERS_MS || us > DISPATCH_PUMP_US)
		us = DISPATCH_PUMP_US;
	client_turn(l->conf.client, ANSWERS_TIMES * us);
	dispatch_bound_queues(l->conf.dispatch, us);
}

/* Writes the turn, and keeps how long it waited for the disk. */
static enum err write_timed(struct loop *l)
{
	uint64_t before = turn_commits(l->conf.turn);
	int64_t processor_us = turn_staged(l->conf.turn) > 0 ? clock_processor_us() : 0;
	enum err err = write_turn(l);
	mark(l, TURN_COMMIT);
	if (turn_commits(l->conf.turn) == before || processor_us == 0)
		return err;
	int64_t us = l->part_us[TURN_COMMIT] - (clock_processor_us() - processor_us);
	l->flush_us += (us - l->flush_us) / COMMITS_REMEMBERED;
	return err;
}

static enum err turn_once(struct loop *l)
{
	wait_for_events(l);
	gather(l);
	take_bodies(l);
	answer_first(l);
	note_staged(l);
	mark(l, TURN_EVENTS);
	enum err err = l->lost ? ERR_BROKEN : write_timed(l);
	clock_expire(); /* the commit took its time */
	if (err == OK && l->signals == 0)
		jobs_step(l->conf.jobs);
	mark(l, TURN_JOBS);
	share_turn(l);
	if (err == OK)
		dispatch_pump(l->conf.dispatch);
	if (l->reload)
		reload(l);
	mark(l, TURN_PUMP);
	note_turn(l);
	l->conf.turned(l->conf.arg);
	return err;
}

struct loop *loop_new(const struct loop_conf *conf)
{
	struct loop *l = mem_new(sizeof(*l));
	struct reactor *r = conf->reactor;
	l->conf = *conf;
	conf->health->waits = conf->active != NULL; /* until it has answered */
	conf->health->why_waits = "the cluster's journal has not answered yet";
	l->terminate = reactor_signal_new(r, SIGTERM, on_signal, l);
	l->interrupt = reactor_signal_new(r, SIGINT, on_signal, l);
	l->hangup = reactor_signal_new(r, SIGHUP, on_hangup, l);
	l->wake = reactor_timer_new(r, on_wake, l);
	l->tick = reactor_timer_new(r, on_tick, l);
	l->drain = reactor_timer_new(r, on_drain_over, l);
	conf->health->stores = true;
	conf->health->has_room = true;
	return l;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	reactor_timer_free(l->wake);
	reactor_timer_free(l->tick);
	reactor_timer_free(l->drain);
	reactor_signal_free(l->terminate);
	reactor_signal_free(l->interrupt);
	reactor_signal_free(l->hangup);
	free(l);
}

void loop_configure(struct loop *l, int64_t drain_timeout_ms, uint64_t disk_reserve)
{
	l->conf.drain_timeout_ms = drain_timeout_ms;
	l->conf.disk_reserve = disk_reserve;
}

/* Writes what is left when nothing more comes. */
static enum err write_rest(struct loop *l)
{
	int64_t until_ms = clock_mono_ms() + REST_MS;
	enum err err = turn_commit(l->conf.turn);
	while (err == OK && turn_is_appending(l->conf.turn) && clock_mono_ms() < until_ms) {
		reactor_timer_set(l->wake, PASS_MS);
		reactor_pass(l->conf.reactor, false);
		clock_expire();
		err = turn_commit(l->conf.turn);
	}
	if (l->conf.active != NULL && active_is_fenced(l->conf.active))
		return ERR_CONFLICT;
	return err == ERR_BROKEN ? err : OK; /* told already */
}

enum err loop_run(struct loop *l)
{
	enum err err = OK;
	on_tick(l);
	while (err == OK && !is_over(l))
		err = turn_once(l);
	client_turn(l->conf.client, INT64_MAX); /* passes follow, and no turn */
	if (err == OK)
		err = write_rest(l);
	http_stop(l->conf.http);
	for (int i = 0; i < FLUSH_PASSES; i++) {
		reactor_pass(l->conf.reactor, true);
		turn_refuse(
		    l->conf.turn); /* what came meanwhile, on a connection that is open */
	}
	return err;
}
