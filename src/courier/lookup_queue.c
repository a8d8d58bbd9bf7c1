/* Lines of takers, and in each those of its domains; see lookup_queue.h. */
#include "courier/lookup_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

TAILQ_HEAD(place_list, lookup_place);
TAILQ_HEAD(line_list, lookup_line);

/* A taker's or, below it, a domain's; there while something waits in it. */
struct lookup_line {
	TAILQ_ENTRY(lookup_line) link; /* in the order of their turns */
	struct lookup_line *taker;     /* of a domain's; NULL: a taker's */
	struct line_list domains;      /* of a taker's */
	struct place_list places;      /* of a domain's */
	size_t count;                  /* of all that waits in it */
	size_t key_len;
	char key[]; /* the taker; behind it the domain */
};

struct lookup_queue {
	struct map *by_key;
	struct line_list takers;
	size_t count;
};

struct lookup_queue *lookup_queue_new(void)
{
	struct lookup_queue *q = mem_new(sizeof(*q));
	q->by_key = map_new();
	TAILQ_INIT(&q->takers);
	return q;
}

static struct line_list *siblings(struct lookup_queue *q, struct lookup_line *line)
{
	return line->taker == NULL ? &q->takers : &line->taker->domains;
}

static void free_line(struct lookup_queue *q, struct lookup_line *line)
{
	TAILQ_REMOVE(siblings(q, line), line, link);
	(void)map_del(q->by_key, line->key, line->key_len); /* is `line` */
	free(line);
}

void lookup_queue_free(struct lookup_queue *q)
{
	if (q == NULL)
		return;
	while (!TAILQ_EMPTY(&q->takers)) {
		struct lookup_line *taker = TAILQ_FIRST(&q->takers);
		while (!TAILQ_EMPTY(&taker->domains))
			free_line(q, TAILQ_FIRST(&taker->domains));
		free_line(q, taker);
	}
	map_free(q->by_key);
	free(q);
}

/* The last two labels; a dot at the end is none's. */
static struct slice domain_of(struct slice name)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	size_t from = name.len;
	for (unsigned dots = 0; from > 0; from--) {
		if (name.ptr[from - 1] == '.' && ++dots == 2)
			break;
	}
	return (struct slice){name.ptr + from, name.len - from};
}

/* Returns the line of `taker` and `domain`, below `above`; a new one is first or last. */
static struct lookup_line *line_of(struct lookup_queue *q, struct lookup_line *above,
    uint64_t taker, struct slice domain, bool first)
{
	struct lookup_line *line = mem_new(sizeof(*line) + sizeof(taker) + domain.len);
	line->key_len = sizeof(taker) + domain.len;
	memcpy(line->key, &taker, sizeof(taker));
	if (domain.len > 0)
		memcpy(line->key + sizeof(taker), domain.ptr, domain.len);
	struct lookup_line *known = map_get(q->by_key, line->key, line->key_len);
	if (known != NULL) {
		free(line);
		return known;
	}
	line->taker = above;
	TAILQ_INIT(&line->domains);
	TAILQ_INIT(&line->places);
	if (first)
		TAILQ_INSERT_HEAD(siblings(q, line), line, link);
	else
		TAILQ_INSERT_TAIL(siblings(q, line), line, link);
	map_put(q->by_key, line->key, line->key_len, line);
	return line;
}

static void put(struct lookup_queue *q, struct lookup_place *p, uint64_t taker, bool first)
{
	struct lookup_line *own = line_of(q, NULL, taker, (struct slice){0}, first);
	struct lookup_line *line = line_of(q, own, taker, domain_of(p->name), first);
	p->line = line;
	q->count++;
	own->count++;
	line->count++;
	if (first)
		TAILQ_INSERT_HEAD(&line->places, p, link);
	else
		TAILQ_INSERT_TAIL(&line->places, p, link);
}

void lookup_queue_put(struct lookup_queue *q, struct lookup_place *p, uint64_t taker)
{
	put(q, p, taker, true);
}

void lookup_queue_put_last(struct lookup_queue *q, struct lookup_place *p, uint64_t taker)
{
	put(q, p, taker, false);
}

void lookup_queue_drop(struct lookup_queue *q, struct lookup_place *p)
{
	struct lookup_line *line = p->line;
	if (line == NULL)
		return;
	struct lookup_line *taker = line->taker;
	TAILQ_REMOVE(&line->places, p, link);
	p->line = NULL;
	q->count--;
	line->count--;
	taker->count--;
	if (line->count == 0)
		free_line(q, line);
	if (taker->count == 0)
		free_line(q, taker);
}

/* The line whose turn it is goes to the end. */
static struct lookup_line *next_line(struct line_list *lines)
{
	struct lookup_line *line = TAILQ_FIRST(lines);
	TAILQ_REMOVE(lines, line, link);
	TAILQ_INSERT_TAIL(lines, line, link);
	return line;
}

struct lookup_place *lookup_queue_take(struct lookup_queue *q)
{
	if (TAILQ_EMPTY(&q->takers))
		return NULL;
	struct lookup_line *taker = next_line(&q->takers);
	struct lookup_place *p = TAILQ_FIRST(&next_line(&taker->domains)->places);
	lookup_queue_drop(q, p);
	return p;
}

size_t lookup_queue_of(const struct lookup_queue *q, uint64_t taker)
{
	const struct lookup_line *line = map_get(q->by_key, &taker, sizeof(taker));
	return line == NULL ? 0 : line->count;
}

size_t lookup_queue_beside(const struct lookup_place *p)
{
	return p->line->taker->count;
}

size_t lookup_queue_count(const struct lookup_queue *q)
{
	return q->count;
}

bool lookup_queue_is_empty(const struct lookup_queue *q)
{
	return TAILQ_EMPTY(&q->takers);
}
