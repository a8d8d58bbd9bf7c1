/* Takers in a map, by name; see shares.h. */
#include "shares/shares.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

struct taker {
	uint64_t held;
};

struct shares {
	struct map *takers; /* only those that hold something */
	struct shares_figures figures;
};

struct shares *shares_new(uint64_t capacity)
{
	struct shares *s = mem_new(sizeof(*s));
	s->takers = map_new();
	s->figures.share.capacity = capacity;
	return s;
}

void shares_free(struct shares *s)
{
	if (s == NULL)
		return;
	map_free_all(s->takers);
	free(s);
}

void shares_resize(struct shares *s, uint64_t capacity)
{
	s->figures.share.capacity = capacity;
}

uint64_t shares_held(const struct shares *s, struct slice taker)
{
	const struct taker *t = map_get(s->takers, taker.ptr, taker.len);
	return t == NULL ? 0 : t->held;
}

uint64_t shares_room(const struct shares *s, struct slice taker)
{
	return share_room(&s->figures.share, shares_held(s, taker));
}

void shares_note_refusal(struct shares_figures *f, struct slice taker)
{
	size_t len = taker.len < SHARES_NAME_MAX ? taker.len : SHARES_NAME_MAX;
	f->refused++;
	memcpy(f->last_refused, taker.ptr, len);
	f->last_refused[len] = '\0';
}

void shares_refuse(struct shares *s, struct slice taker)
{
	shares_note_refusal(&s->figures, taker);
}

enum err shares_take(struct shares *s, struct slice taker, uint64_t n)
{
	if (!share_allows(&s->figures.share, shares_held(s, taker), n)) {
		shares_refuse(s, taker);
		return ERR_FULL;
	}
	shares_force(s, taker, n);
	return OK;
}

void shares_force(struct shares *s, struct slice taker, uint64_t n)
{
	if (n == 0)
		return;
	struct taker *t = map_get(s->takers, taker.ptr, taker.len);
	if (t == NULL) {
		t = mem_new(sizeof(*t));
		map_put(s->takers, taker.ptr, taker.len, t);
		s->figures.share.takers++;
	}
	t->held += n;
	s->figures.share.held += n;
}

void shares_give(struct shares *s, struct slice taker, uint64_t n)
{
	if (n == 0)
		return;
	struct taker *t = map_get(s->takers, taker.ptr, taker.len);
	panic_if(shares_held(s, taker) < n, "a taker gives back more than it holds");
	t->held -= n;
	s->figures.share.held -= n;
	if (t->held > 0)
		return;
	free(map_del(s->takers, taker.ptr, taker.len));
	s->figures.share.takers--;
}

const struct shares_figures *shares_figures(const struct shares *s)
{
	return &s->figures;
}
