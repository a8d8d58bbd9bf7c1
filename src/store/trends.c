/* Counting in memory, rows in the table; see trends.h. */
#include "store/trends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/record.h"

#define VERSION 1
#define HOUR_MS INT64_C(3600000)
#define KEY_SIZE 10
#define DAY_LAST UINT16_MAX /* in a key: the row of the last attempts */
#define HOURS_A_DAY 24
#define ROW_MAX 2000 /* bytes: what is longer would take pages of its own */

#define BUCKETS (HISTOGRAM_BOUNDS + 1)
#define HOUR_SIZE (1 + 4 + 4 + 1 + 2 * BUCKETS)
_Static_assert(1 + HOURS_A_DAY * HOUR_SIZE + RECORD_CHECKSUM + KEY_SIZE <= ROW_MAX,
    "the row of a day stays in its page");

/* What was counted of a webhook since it was last written. After an outage all have one. */
struct fresh {
	TAILQ_ENTRY(fresh) link;
	uint64_t webhook;
	int64_t since_mono_ms;
	int64_t last_ms; /* of the last attempt; so the next two */
	int last_status;
	char *last_error; /* owned; NULL: there was none */
	size_t outcome_count;
	uint8_t outcomes[TREND_LAST_MAX];
	struct trend_hour hour;       /* in which the first attempt ended */
	struct trend_hour *next_hour; /* owned; NULL: none has begun since */
};

TAILQ_HEAD(line, fresh);

struct trends {
	struct map *by_webhook; /* those that wait */
	struct line waiting;    /* the longest first */
	struct line staged;     /* in the open transaction, or in one that was voided */
	size_t written;         /* of the staged ones, by that */
};

struct trends *trends_new(void)
{
	struct trends *t = mem_new(sizeof(*t));
	t->by_webhook = map_new();
	TAILQ_INIT(&t->waiting);
	TAILQ_INIT(&t->staged);
	return t;
}

static void free_line(struct line *l, size_t max)
{
	struct fresh *f;
	for (; max > 0 && (f = TAILQ_FIRST(l)) != NULL; max--) {
		TAILQ_REMOVE(l, f, link);
		free(f->last_error);
		free(f->next_hour);
		free(f);
	}
}

void trends_free(struct trends *t)
{
	if (t == NULL)
		return;
	free_line(&t->waiting, SIZE_MAX);
	free_line(&t->staged, SIZE_MAX);
	map_free(t->by_webhook);
	free(t);
}

static struct fresh *find_fresh(const struct trends *t, uint64_t webhook)
{
	return map_get(t->by_webhook, &webhook, sizeof(webhook));
}

static struct fresh *take_fresh(struct trends *t, uint64_t webhook, int64_t hour)
{
	struct fresh *f = find_fresh(t, webhook);
	if (f != NULL)
		return f;
	f = mem_new(sizeof(*f));
	f->webhook = webhook;
	f->hour.hour = hour;
	f->since_mono_ms = clock_mono_ms();
	map_put(t->by_webhook, &f->webhook, sizeof(f->webhook), f);
	TAILQ_INSERT_TAIL(&t->waiting, f, link);
	return f;
}

/* The part of `hour`; where that is the third that waits, the second's. */
static struct trend_hour *part_of(struct fresh *f, int64_t hour)
{
	if (f->hour.hour == hour && f->next_hour == NULL)
		return &f->hour;
	if (f->next_hour == NULL) {
		f->next_hour = mem_new(sizeof(*f->next_hour));
		f->next_hour->hour = hour;
	}
	return f->next_hour;
}

static void keep_last(struct fresh *f, const struct trend_last *last)
{
	f->last_ms = last->at_ms;
	f->last_status = last->status;
	free(f->last_error);
	f->last_error = NULL;
	if (last->error[0] != '\0')
		f->last_error = mem_copy(last->error, strlen(last->error));
}

static void put_last(const struct fresh *f, struct trend_last *out)
{
	*out = (struct trend_last){.at_ms = f->last_ms, .status = f->last_status};
	if (f->last_error != NULL)
		(void)snprintf(out->error, sizeof(out->error), "%s", f->last_error);
}

/* Appends an outcome, and loses the oldest where there are as many as may be. */
static void add_outcome(uint8_t *outcomes, size_t *count, uint8_t outcome)
{
	if (*count == TREND_LAST_MAX)
		memmove(outcomes, outcomes + 1, --*count);
	outcomes[(*count)++] = outcome;
}

static uint8_t outcome_of(int status, bool succeeded)
{
	if (succeeded)
		return 2;
	return status / 100 == 2 ? 1 : (uint8_t)(status / 100);
}

void trends_note(struct trends *t, uint64_t webhook, const struct trend_last *last,
    bool succeeded, int64_t duration_us)
{
	int64_t hour = last->at_ms / HOUR_MS;
	struct fresh *f = take_fresh(t, webhook, hour);
	struct trend_hour *h = part_of(f, hour);
	keep_last(f, last);
	add_outcome(f->outcomes, &f->outcome_count, outcome_of(last->status, succeeded));
	if (succeeded)
		h->succeeded++;
	else
		h->failed++;
	if (last->status != 0)
		histogram_record(&h->answers, duration_us);
}

bool trends_wait(const struct trends *t, int64_t mono_ms)
{
	const struct fresh *f = TAILQ_FIRST(&t->staged);
	if (f == NULL)
		f = TAILQ_FIRST(&t->waiting);
	return f != NULL && f->since_mono_ms < mono_ms;
}

/* Rows */

static struct slice make_key(uint64_t webhook, uint16_t day, unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, webhook);
	out[8] = (unsigned char)(day >> 8);
	out[9] = (unsigned char)day;
	return (struct slice){(const char *)out, KEY_SIZE};
}

static bool parse_key(struct slice key, uint64_t *webhook, uint16_t *day)
{
	struct reader r = reader_of(key);
	*webhook = get_u64(&r);
	*day = get_u16(&r);
	return !r.failed && r.left == 0;
}

/* Counts of a bucket may be large: the largest says by how many bits all of them are cut. */
static void put_hour(struct buf *out, const struct trend_hour *h)
{
	uint64_t most = 0;
	uint8_t shift = 0;
	for (size_t i = 0; i < BUCKETS; i++)
		most = h->answers.counts[i] > most ? h->answers.counts[i] : most;
	while (most >> shift > UINT16_MAX)
		shift++;
	put_u8(out, (uint8_t)(h->hour % HOURS_A_DAY));
	put_u32(out, h->succeeded);
	put_u32(out, h->failed);
	put_u8(out, shift);
	for (size_t i = 0; i < BUCKETS; i++)
		put_u16(out, (uint16_t)(h->answers.counts[i] >> shift));
}

static void get_hour(struct reader *r, uint16_t day, struct trend_hour *h)
{
	uint8_t hour = get_u8(r);
	*h = (struct trend_hour){.hour = (int64_t)day * HOURS_A_DAY + hour};
	h->succeeded = get_u32(r);
	h->failed = get_u32(r);
	uint8_t shift = get_u8(r);
	r->failed = r->failed || hour >= HOURS_A_DAY || shift > 32;
	for (size_t i = 0; !r->failed && i < BUCKETS; i++)
		h->answers.counts[i] = (uint64_t)get_u16(r) << shift;
}

static uint32_t add_capped(uint32_t a, uint32_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

static void add_hour(struct trend_hour *to, const struct trend_hour *h)
{
	to->succeeded = add_capped(to->succeeded, h->succeeded);
	to->failed = add_capped(to->failed, h->failed);
	for (size_t i = 0; i < BUCKETS; i++)
		to->answers.counts[i] += h->answers.counts[i];
}

/* The hours of a day, ascending. */
struct day {
	struct trend_hour hours[HOURS_A_DAY];
	size_t count;
};

/* Adds what is of an hour of the day, in its place. */
static void day_add(struct day *d, const struct trend_hour *h)
{
	size_t at = d->count;
	while (at > 0 && d->hours[at - 1].hour > h->hour)
		at--;
	if (at > 0 && d->hours[at - 1].hour == h->hour) {
		add_hour(&d->hours[at - 1], h);
		return;
	}
	memmove(d->hours + at + 1, d->hours + at, (d->count - at) * sizeof(*h));
	d->hours[at] = *h;
	d->count++;
}

static enum err decode_day(struct slice key, uint16_t day, struct slice value, struct day *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_TRENDS, key), &r);
	out->count = 0;
	if (err != OK || get_u8(&r) != VERSION)
		return ERR_CORRUPT;
	while (r.left > 0 && !r.failed && out->count < HOURS_A_DAY) {
		struct trend_hour h;
		get_hour(&r, day, &h);
		bool rises = out->count == 0 || out->hours[out->count - 1].hour < h.hour;
		r.failed = r.failed || !rises;
		out->hours[out->count++] = h;
	}
	return r.failed || r.left > 0 ? ERR_CORRUPT : OK;
}

static enum err decode_last(struct slice key, struct slice value, struct trend *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_TRENDS, key), &r);
	if (err != OK || get_u8(&r) != VERSION)
		return ERR_CORRUPT;
	out->last.at_ms = get_i64(&r);
	out->last.status = get_u16(&r);
	get_cstr(&r, out->last.error, TREND_ERROR_MAX);
	struct slice outcomes = get_bytes(&r, r.left);
	if (r.failed || outcomes.len > TREND_LAST_MAX)
		return ERR_CORRUPT;
	memcpy(out->outcomes, outcomes.ptr, outcomes.len);
	out->outcome_count = outcomes.len;
	return OK;
}

/* Reads a row; one that is damaged is as good as none: its counts are lost. */
static enum err get_day(struct db_txn *txn, uint64_t webhook, uint16_t day, struct day *out)
{
	unsigned char key[KEY_SIZE];
	struct slice value;
	struct slice at = make_key(webhook, day, key);
	enum err err = db_get(txn, DB_TRENDS, at, &value);
	if (err == OK)
		err = decode_day(at, day, value, out);
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
		out->count = 0;
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

static enum err get_last(struct db_txn *txn, uint64_t webhook, struct trend *out)
{
	unsigned char key[KEY_SIZE];
	struct slice value;
	struct slice at = make_key(webhook, DAY_LAST, key);
	enum err err = db_get(txn, DB_TRENDS, at, &value);
	if (err == OK)
		err = decode_last(at, value, out);
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
		*out = (struct trend){0};
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

static enum err put_row(struct db_txn *txn, struct slice key, struct buf *value)
{
	record_seal(value, record_at(DB_TRENDS, key));
	return db_put(txn, DB_TRENDS, key, buf_view(value));
}

static enum err put_day(struct db_txn *txn, uint64_t webhook, uint16_t day, const struct day *d)
{
	unsigned char key[KEY_SIZE];
	struct buf value = BUF_INIT(ROW_MAX);
	put_u8(&value, VERSION);
	for (size_t i = 0; i < d->count; i++)
		put_hour(&value, &d->hours[i]);
	enum err err = put_row(txn, make_key(webhook, day, key), &value);
	buf_fini(&value);
	return err;
}

/* Adds the outcomes of memory behind those of the table; its last attempt is the later one. */
static void add_last(struct trend *to, const struct fresh *f)
{
	put_last(f, &to->last);
	for (size_t i = 0; i < f->outcome_count; i++)
		add_outcome(to->outcomes, &to->outcome_count, f->outcomes[i]);
}

static enum err write_last(struct db_txn *txn, const struct fresh *f)
{
	unsigned char key[KEY_SIZE];
	struct trend all;
	struct buf value = BUF_INIT(ROW_MAX);
	enum err err = get_last(txn, f->webhook, &all);
	if (err != OK)
		return err;
	add_last(&all, f);
	put_u8(&value, VERSION);
	put_i64(&value, all.last.at_ms);
	put_u16(&value, (uint16_t)all.last.status);
	put_text(&value, slice_of(all.last.error));
	buf_append(&value, all.outcomes, all.outcome_count);
	err = put_row(txn, make_key(f->webhook, DAY_LAST, key), &value);
	buf_fini(&value);
	return err;
}

static enum err write_hour(struct db_txn *txn, uint64_t webhook, const struct trend_hour *h)
{
	struct day d;
	uint16_t day = (uint16_t)(h->hour / HOURS_A_DAY);
	enum err err = get_day(txn, webhook, day, &d);
	if (err != OK)
		return err;
	day_add(&d, h);
	return put_day(txn, webhook, day, &d);
}

/* Names the webhook's first row, from `day` on. ERR_NOTFOUND. */
static enum err first_row(struct db_txn *txn, uint64_t webhook, uint16_t *day)
{
	unsigned char key[KEY_SIZE];
	struct slice found;
	struct slice value;
	struct db_cursor *cursor = NULL;
	uint64_t whose = 0;
	enum err err = db_cursor(txn, DB_TRENDS, &cursor);
	if (err == OK)
		err = db_seek(cursor, make_key(webhook, *day, key), &found, &value);
	if (err == OK && (!parse_key(found, &whose, day) || whose != webhook))
		err = ERR_NOTFOUND;
	db_cursor_close(cursor);
	return err;
}

/* Removes the rows of days before `until`. */
static enum err drop_before(struct db_txn *txn, uint64_t webhook, unsigned until)
{
	unsigned char key[KEY_SIZE];
	for (;;) {
		uint16_t day = 0;
		enum err err = first_row(txn, webhook, &day);
		if (err == OK && day >= until)
			err = ERR_NOTFOUND;
		if (err == OK)
			err = db_del(txn, DB_TRENDS, make_key(webhook, day, key));
		if (err != OK)
			return err == ERR_NOTFOUND ? OK : err;
	}
}

static enum err write_fresh(struct db_txn *txn, const struct fresh *f)
{
	const struct trend_hour *last = f->next_hour == NULL ? &f->hour : f->next_hour;
	int64_t newest = last->hour / HOURS_A_DAY;
	enum err err = drop_before(txn, f->webhook,
	    newest < TREND_DAYS ? 0 : (unsigned)(newest - TREND_DAYS + 1));
	if (err == OK)
		err = write_hour(txn, f->webhook, &f->hour);
	if (err == OK && f->next_hour != NULL)
		err = write_hour(txn, f->webhook, f->next_hour);
	return err == OK ? write_last(txn, f) : err;
}

/* Lets the first of those that wait join the transaction: what is counted now is another's. */
static struct fresh *stage_first(struct trends *t)
{
	struct fresh *f = TAILQ_FIRST(&t->waiting);
	if (f == NULL)
		return NULL;
	TAILQ_REMOVE(&t->waiting, f, link);
	(void)map_del(t->by_webhook, &f->webhook, sizeof(f->webhook)); /* is `f` */
	TAILQ_INSERT_TAIL(&t->staged, f, link);
	return f;
}

enum err trends_write(struct trends *t, struct db_txn *txn, const struct registry *registry,
    size_t max)
{
	struct fresh *f = TAILQ_FIRST(&t->staged);
	enum err err = OK;
	for (t->written = 0; err == OK && t->written < max; t->written++) {
		if (f == NULL)
			f = stage_first(t);
		if (f == NULL)
			break;
		const struct webhook *w = registry_get(registry, f->webhook);
		if (w != NULL && !w->deleted)
			err = write_fresh(txn, f);
		f = TAILQ_NEXT(f, link);
	}
	return err;
}

void trends_written(struct trends *t)
{
	free_line(&t->staged, t->written);
	t->written = 0;
}

/* Reading */

/* The next of a webhook's that are staged, behind `f`, NULL: the first; NULL: there is none. */
static const struct fresh *next_staged(const struct trends *t, uint64_t webhook,
    const struct fresh *f)
{
	f = f == NULL ? TAILQ_FIRST(&t->staged) : TAILQ_NEXT(f, link);
	while (f != NULL && f->webhook != webhook)
		f = TAILQ_NEXT(f, link);
	return f;
}

enum err trends_last(const struct trends *t, struct db_txn *txn, uint64_t webhook,
    struct trend_last *out)
{
	struct trend all;
	const struct fresh *f = NULL;
	const struct fresh *last = NULL;
	while ((f = next_staged(t, webhook, f)) != NULL)
		last = f;
	f = find_fresh(t, webhook);
	if (f != NULL || last != NULL) {
		put_last(f != NULL ? f : last, out);
		return OK;
	}
	enum err err = get_last(txn, webhook, &all);
	if (err == OK)
		*out = all.last;
	return err;
}

/* Adds the hours of a day to those that were read. */
static void take_day(struct trend *out, const struct day *d, int64_t since_hour)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->hours[i].hour >= since_hour)
			out->hours[out->hour_count++] = d->hours[i];
	}
}

static void add_hours(struct day *d, const struct fresh *f, uint16_t day)
{
	if (f->hour.hour / HOURS_A_DAY == day)
		day_add(d, &f->hour);
	if (f->next_hour != NULL && f->next_hour->hour / HOURS_A_DAY == day)
		day_add(d, f->next_hour);
}

/* Adds what memory has of a day. */
static void add_fresh(const struct trends *t, uint64_t webhook, uint16_t day, struct day *d)
{
	const struct fresh *f = NULL;
	while ((f = next_staged(t, webhook, f)) != NULL)
		add_hours(d, f, day);
	f = find_fresh(t, webhook);
	if (f != NULL)
		add_hours(d, f, day);
}

/* Adds the last attempts that memory has. */
static void add_fresh_last(const struct trends *t, uint64_t webhook, struct trend *out)
{
	const struct fresh *f = NULL;
	while ((f = next_staged(t, webhook, f)) != NULL)
		add_last(out, f);
	f = find_fresh(t, webhook);
	if (f != NULL)
		add_last(out, f);
}

enum err trends_read(const struct trends *t, struct db_txn *txn, uint64_t webhook,
    int64_t since_hour, struct trend *out)
{
	uint16_t day = since_hour <= 0 ? 0 : (uint16_t)(since_hour / HOURS_A_DAY);
	struct day *d = mem_new(sizeof(*d));
	*out = (struct trend){0};
	enum err err = get_last(txn, webhook, out);
	out->hours = mem_array((TREND_DAYS + 1) * HOURS_A_DAY, sizeof(*out->hours));
	add_fresh_last(t, webhook, out);
	for (size_t days = 0; err == OK && days <= TREND_DAYS; days++, day++) {
		err = get_day(txn, webhook, day, d);
		add_fresh(t, webhook, day, d);
		if (err == OK)
			take_day(out, d, since_hour);
	}
	free(d);
	return err;
}

void trend_fini(struct trend *out)
{
	free(out->hours);
	out->hours = NULL;
}

enum err trends_drop(struct db_txn *txn, uint64_t webhook)
{
	return drop_before(txn, webhook, DAY_LAST + 1u);
}

enum err trends_check(struct slice key, struct slice value, uint64_t *webhook)
{
	struct trend last;
	uint16_t number = 0;
	if (!parse_key(key, webhook, &number))
		return ERR_CORRUPT;
	if (number == DAY_LAST)
		return decode_last(key, value, &last);
	struct day *day = mem_new(sizeof(*day));
	enum err err = decode_day(key, number, value, day);
	free(day);
	return err;
}
