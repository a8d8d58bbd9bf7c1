/* The journal in memory; see fake_journal.h. */
#include "fake_journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define STEP_MS 1
#define MEMBERS_MAX 8
#define STRAYS_MAX 8
#define BURST 16 /* entries that one step hands over, at most */
#define UNREACHABLE_MS 100

struct bytes {
	char *data;
	size_t len;
};

/* An append whose member has gone. */
struct stray {
	uint64_t behind;
	struct bytes entry;
	int64_t due_us;
};

struct fake_log {
	struct rnd rnd;
	uint64_t journal;
	uint64_t first;
	uint64_t last;
	uint64_t bytes;
	uint64_t max_bytes;
	struct bytes *entries; /* from seq 1 */
	struct stray strays[STRAYS_MAX];
	size_t stray_count;
	struct journal_member members[MEMBERS_MAX];
	size_t member_count;
};

enum append_phase { APPEND_NONE, APPEND_FLIES, APPEND_STANDS };

struct fake_journal {
	struct journal ops; /* first */
	struct fake_way way;
	struct fake_log *log;
	struct reactor_timer *timer;

	enum append_phase append;
	uint64_t behind;
	struct slice entry;
	journal_append_fn append_fn;
	void *append_arg;
	int64_t append_us; /* when it arrives, or its answer does */
	enum err result;
	uint64_t result_seq;

	journal_last_fn last_fn;
	void *last_arg;
	int64_t last_us;
	journal_members_fn members_fn;
	void *members_arg;
	int64_t members_us;

	bool reads;
	struct journal_reader reader;
	uint64_t reads_journal;
	uint64_t handed;  /* seq of the last entry that was handed over */
	uint64_t read_at; /* …or left out */
	bool told_end;
};

static struct fake_journal *of(struct journal *j)
{
	return (struct fake_journal *)j;
}

static struct bytes copy_of(struct slice s)
{
	return (struct bytes){.data = mem_copy(s.ptr, s.len), .len = s.len};
}

static struct slice view(const struct bytes *b)
{
	return (struct slice){.ptr = b->data, .len = b->len};
}

static void clear(struct fake_log *log)
{
	for (uint64_t seq = 1; seq <= log->last; seq++)
		free(log->entries[seq - 1].data);
	free(log->entries);
	log->entries = NULL;
	log->first = 1;
	log->last = 0;
	log->bytes = 0;
}

struct fake_log *fake_log_new(uint64_t seed)
{
	struct fake_log *log = mem_new(sizeof(*log));
	rnd_seed(&log->rnd, seed);
	log->journal = 1700000000000;
	log->first = 1;
	log->max_bytes = 1ULL << 40;
	return log;
}

void fake_log_free(struct fake_log *log)
{
	clear(log);
	for (size_t i = 0; i < log->stray_count; i++)
		free(log->strays[i].entry.data);
	free(log);
}

uint64_t fake_log_last(const struct fake_log *log)
{
	return log->last;
}

uint64_t fake_log_first(const struct fake_log *log)
{
	return log->first;
}

struct slice fake_log_entry(const struct fake_log *log, uint64_t seq)
{
	panic_if(seq == 0 || seq > log->last, "no such entry");
	return view(&log->entries[seq - 1]);
}

void fake_log_append(struct fake_log *log, struct slice entry)
{
	log->entries = mem_resize(log->entries, log->last + 1, sizeof(*log->entries));
	log->entries[log->last++] = copy_of(entry);
	log->bytes += entry.len;
}

void fake_log_change(struct fake_log *log, uint64_t seq, struct slice entry)
{
	struct bytes *old = &log->entries[seq - 1];
	struct bytes changed = copy_of(entry);
	free(old->data);
	*old = changed;
}

void fake_log_trim(struct fake_log *log, uint64_t seq)
{
	for (; log->first <= seq && log->first <= log->last; log->first++)
		log->bytes -= log->entries[log->first - 1].len;
}

void fake_log_limit(struct fake_log *log, uint64_t max_bytes)
{
	log->max_bytes = max_bytes;
}

void fake_log_replace(struct fake_log *log)
{
	clear(log);
	log->journal++;
}

void fake_log_tell(struct fake_log *log, const struct journal_member *m)
{
	size_t i = 0;
	while (i < log->member_count && strcmp(log->members[i].name, m->name) != 0)
		i++;
	panic_if(i == MEMBERS_MAX, "too many members");
	log->member_count += i == log->member_count ? 1 : 0;
	log->members[i] = *m;
}

const struct journal_member *fake_log_member(const struct fake_log *log, const char *name)
{
	for (size_t i = 0; i < log->member_count; i++) {
		if (strcmp(log->members[i].name, name) == 0)
			return &log->members[i];
	}
	return NULL;
}

static bool has_room(const struct fake_log *log, size_t bytes)
{
	return log->bytes + bytes <= log->max_bytes;
}

/* What those who have gone had on its way arrives. */
static void land_strays(struct fake_log *log)
{
	for (size_t i = 0; i < log->stray_count;) {
		struct stray *s = &log->strays[i];
		if (clock_now_us() < s->due_us) {
			i++;
			continue;
		}
		if (s->behind == log->last && has_room(log, s->entry.len))
			fake_log_append(log, view(&s->entry));
		free(s->entry.data);
		*s = log->strays[--log->stray_count];
	}
}

static int64_t soon_us(struct fake_journal *f)
{
	uint64_t most = (uint64_t)f->way.delay_ms * 1000 + 1;
	return clock_now_us() + (int64_t)(rnd_next(&f->log->rnd) % most);
}

static void step_append(struct fake_journal *f)
{
	struct fake_log *log = f->log;
	if (f->append == APPEND_NONE || f->way.is_cut || clock_now_us() < f->append_us)
		return;
	if (f->append == APPEND_FLIES && !f->way.holds_appends && has_room(log, f->entry.len)) {
		f->result = f->behind == log->last ? OK : ERR_CONFLICT;
		f->result_seq = f->behind + 1;
		if (f->result == OK)
			fake_log_append(log, f->entry);
		f->append = APPEND_STANDS;
		f->append_us = soon_us(f);
	} else if (f->append == APPEND_STANDS && !f->way.holds_answers) {
		f->append = APPEND_NONE;
		f->append_fn(f->append_arg, f->result, f->result_seq);
	}
}

static void step_last(struct fake_journal *f)
{
	journal_last_fn fn = f->last_fn;
	const struct fake_log *log = f->log;
	if (fn == NULL || clock_now_us() < f->last_us)
		return;
	const struct journal_end end = {.journal = log->journal,
	    .first = log->first,
	    .last = log->last,
	    .bytes = log->bytes,
	    .max_bytes = log->max_bytes,
	    .copies = 3,
	    .max_entry = 1u << 20};
	f->last_fn = NULL;
	fn(f->last_arg, f->way.is_cut ? ERR_BUSY : OK, f->way.is_cut ? NULL : &end);
}

static void step_members(struct fake_journal *f)
{
	journal_members_fn fn = f->members_fn;
	if (fn == NULL || clock_now_us() < f->members_us)
		return;
	f->members_fn = NULL;
	if (f->way.is_cut)
		fn(f->members_arg, ERR_BUSY, NULL, 0);
	else
		fn(f->members_arg, OK, f->log->members, f->log->member_count);
}

static void hand(struct fake_journal *f, uint64_t seq, uint64_t previous, struct slice bytes)
{
	f->way.handed++;
	f->handed = seq;
	f->reader.entry(f->reader.arg, seq, previous, bytes);
}

/* Hands over the entry at `seq` with the fault; `read_at` is there already. */
static void hand_badly(struct fake_journal *f, uint64_t seq)
{
	struct slice entry = fake_log_entry(f->log, seq);
	uint64_t previous = f->handed;
	struct bytes bad = copy_of(entry);
	f->way.fault_times--;
	switch (f->way.fault) {
	case FAKE_GOOD:
		hand(f, seq, previous, entry);
		break;
	case FAKE_GAP:
		break;
	case FAKE_MISSING:
		if (seq < f->log->last)
			hand(f, seq, previous, fake_log_entry(f->log, seq + 1));
		f->read_at = seq < f->log->last ? seq + 1 : seq;
		break;
	case FAKE_DOUBLED:
		hand(f, seq, previous, entry);
		hand(f, seq, previous, entry);
		break;
	case FAKE_CUT:
		bad.len = rnd_next(&f->log->rnd) % bad.len;
		hand(f, seq, previous, view(&bad));
		break;
	case FAKE_CHANGED:
		bad.data[1 + rnd_next(&f->log->rnd) % (bad.len - 1)] ^= 4;
		hand(f, seq, previous, view(&bad));
		break;
	}
	free(bad.data);
}

static void step_reader(struct fake_journal *f)
{
	struct fake_log *log = f->log;
	if (!f->reads || f->way.is_cut || f->way.holds_entries)
		return;
	if (f->reads_journal != log->journal) {
		f->reads = false;
		f->reader.replaced(f->reader.arg);
		return;
	}
	for (int i = 0; i < BURST && f->reads && f->read_at < log->last; i++) {
		uint64_t seq = f->read_at + 1 < log->first ? log->first : f->read_at + 1;
		f->read_at = seq;
		f->told_end = false;
		if (seq > log->last)
			break;
		if (f->way.fault_times > 0 && f->way.fault_seq == seq)
			hand_badly(f, seq);
		else
			hand(f, seq, f->handed, fake_log_entry(log, seq));
	}
	if (f->reads && f->read_at >= log->last && !f->told_end) {
		f->told_end = true;
		f->reader.caught_up(f->reader.arg);
	}
}

static void on_timer(void *arg)
{
	struct fake_journal *f = arg;
	reactor_timer_set(f->timer, STEP_MS);
	land_strays(f->log);
	step_append(f);
	step_last(f);
	step_members(f);
	step_reader(f);
}

static void append(struct journal *j, uint64_t behind, struct slice entry, journal_append_fn fn,
    void *arg)
{
	struct fake_journal *f = of(j);
	panic_if(f->append != APPEND_NONE, "two appends at once");
	f->append = APPEND_FLIES;
	f->behind = behind;
	f->entry = entry;
	f->append_fn = fn;
	f->append_arg = arg;
	f->append_us = soon_us(f);
}

static void last(struct journal *j, journal_last_fn fn, void *arg)
{
	struct fake_journal *f = of(j);
	panic_if(f->last_fn != NULL, "asked twice at once where it ends");
	f->last_fn = fn;
	f->last_arg = arg;
	f->last_us = f->way.is_cut ? clock_now_us() + UNREACHABLE_MS * 1000 : soon_us(f);
}

static void members(struct journal *j, journal_members_fn fn, void *arg)
{
	struct fake_journal *f = of(j);
	panic_if(f->members_fn != NULL, "asked twice at once for the members");
	f->members_fn = fn;
	f->members_arg = arg;
	f->members_us = f->way.is_cut ? clock_now_us() + UNREACHABLE_MS * 1000 : soon_us(f);
}

static void read_behind(struct journal *j, uint64_t behind, const struct journal_reader *r)
{
	struct fake_journal *f = of(j);
	f->reads = r != NULL;
	if (r == NULL)
		return;
	f->reader = *r;
	f->reads_journal = f->log->journal;
	f->handed = behind;
	f->read_at = behind;
	f->told_end = false;
}

static void trim(struct journal *j, uint64_t seq)
{
	if (!of(j)->way.is_cut)
		fake_log_trim(of(j)->log, seq);
}

static void tell(struct journal *j, const struct journal_member *me)
{
	struct journal_member told = *me;
	told.told_ms = clock_system_ms();
	if (!of(j)->way.is_cut)
		fake_log_tell(of(j)->log, &told);
}

static void forget(struct journal *j)
{
	struct fake_journal *f = of(j);
	struct fake_log *log = f->log;
	if (f->append == APPEND_FLIES && !f->way.is_cut && log->stray_count < STRAYS_MAX)
		log->strays[log->stray_count++] = (struct stray){.behind = f->behind,
		    .entry = copy_of(f->entry),
		    .due_us = soon_us(f)};
	f->append = APPEND_NONE;
	f->last_fn = NULL;
	f->members_fn = NULL;
	f->reads = false;
}

static bool is_up(struct journal *j, const char **why)
{
	*why = of(j)->way.is_cut ? "cut off" : "";
	return !of(j)->way.is_cut;
}

static void free_journal(struct journal *j)
{
	forget(j);
	reactor_timer_free(of(j)->timer);
	free(j);
}

struct journal *fake_journal_new(struct fake_log *log, struct reactor *r)
{
	struct fake_journal *f = mem_new(sizeof(*f));
	f->ops = (struct journal){.append = append,
	    .last = last,
	    .read = read_behind,
	    .trim = trim,
	    .tell = tell,
	    .members = members,
	    .forget = forget,
	    .is_up = is_up,
	    .free = free_journal};
	f->log = log;
	f->timer = reactor_timer_new(r, on_timer, f);
	reactor_timer_set(f->timer, STEP_MS);
	return &f->ops;
}

struct fake_way *fake_way(struct journal *j)
{
	return &of(j)->way;
}
