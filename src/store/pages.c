/*
 * LMDB's file, page by page; see pages.h. Source of the layout: the structures MDB_page,
 * MDB_meta, MDB_db and MDB_node of mdb.c, version 0.9.24.
 *
 *   page   number 8 | pad 2 | flags 2 | lower 2, upper 2 (or run of pages 4) | offsets 2 each …
 *          free space from lower to upper, nodes from upper to the page's end
 *   node   size of value, or child page (low 2, high 2) | flags 2, or child's top 2 |
 *          size of key 2 | key | value, or the first page of a run that has it 8
 *   tree   page bytes 4 | flags 2 | depth 2 | branch, leaf and run pages, rows, root: 8 each
 *   meta   page head | magic 4 | version 4 | address 8 | map size 8 | tree of free pages |
 *          tree of tables | last page 8 | transaction 8; pages 0 and 1, the later one counts
 */
#include "store/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"

#define HEAD 16 /* bytes of a page's head */
#define NODE 8  /* bytes of a node's head */
#define TREE 48 /* bytes of a tree's record */
#define META_TREES (HEAD + 24)
#define META_LAST_PAGE (META_TREES + 2 * TREE)
#define META_TXN (META_LAST_PAGE + 8)
#define MAGIC 0xBEEFC0DEu
#define FORMAT 1
#define PAGE_BRANCH 0x01
#define PAGE_LEAF 0x02
#define PAGE_RUN 0x04
#define PAGE_META 0x08
#define VALUE_IN_RUN 0x01
#define VALUE_IS_TREE 0x02
#define TREE_INTEGER_KEYS 0x08
#define FILE_ALONE 0x4000 /* of the environment, kept with the free pages' tree; may be there */
#define NO_PAGE UINT64_MAX
#define FIRST_PAGE 2 /* behind the two meta pages */
#define DEPTH_MAX 32 /* LMDB's own limit */
#define PAGE_BYTES_MIN 512
#define PAGE_BYTES_MAX 32768
#define PAGES_MAX (1ULL << 32) /* 16 TiB of 4 KiB: no setting allows a larger file */

struct tree {
	uint16_t flags;
	uint16_t depth;
	uint64_t branches;
	uint64_t leaves;
	uint64_t run_pages;
	uint64_t rows;
	uint64_t root;
};

struct file {
	int fd;
	struct problem *p;
	size_t page_bytes;
	uint64_t last_page;
	unsigned char *seen; /* a bit a page */
};

/* A walk through one tree. */
struct walk {
	struct file *f;
	bool integer_keys;
	bool is_free_list; /* its values name pages */
	bool is_main;      /* its values are trees */
	uint16_t depth;
	struct tree found;
};

static uint16_t u16(const unsigned char *at)
{
	uint16_t n;
	memcpy(&n, at, sizeof(n));
	return n;
}

static uint32_t u32(const unsigned char *at)
{
	uint32_t n;
	memcpy(&n, at, sizeof(n));
	return n;
}

static uint64_t u64(const unsigned char *at)
{
	uint64_t n;
	memcpy(&n, at, sizeof(n));
	return n;
}

static enum err damaged(struct file *f, uint64_t page, const char *what)
{
	return problem_set(f->p, ERR_CORRUPT, "data", "page %llu of the file %s",
	    (unsigned long long)page, what);
}

static enum err read_at(struct file *f, uint64_t page, unsigned char *out, size_t bytes)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t n = pread(f->fd, out + done, bytes - done,
		    (off_t)(page * f->page_bytes + done));
		if (n == 0)
			return damaged(f, page, "is behind its end: it is cut short");
		if (n < 0 && errno != EINTR)
			return problem_set(f->p, ERR_IO, "data", "cannot read the file: %s",
			    strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return OK;
}

/* Notes that a page is used. */
static enum err use(struct file *f, uint64_t page)
{
	if (page < FIRST_PAGE || page > f->last_page)
		return damaged(f, page, "is named, and is not one of it");
	unsigned char bit = (unsigned char)(1u << page % 8);
	if ((f->seen[page / 8] & bit) != 0)
		return damaged(f, page, "is used twice");
	f->seen[page / 8] |= bit;
	return OK;
}

static int compare(const struct walk *w, struct slice a, struct slice b)
{
	if (w->integer_keys) {
		uint64_t left = u64((const unsigned char *)a.ptr);
		uint64_t right = u64((const unsigned char *)b.ptr);
		return left < right ? -1 : left > right;
	}
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* A page of a tree, and the keys that may be in it: from `low` on, below `high`. */
struct spot {
	uint64_t page;
	const unsigned char *bytes;
	const struct slice *low; /* NULL: any */
	const struct slice *high;
	unsigned level; /* 1: the root */
};

/* The pages that a record of the free list names: their number, then they, falling. */
static enum err use_free(struct file *f, uint64_t page, struct slice value)
{
	const unsigned char *at = (const unsigned char *)value.ptr;
	uint64_t count = value.len < 8 ? NO_PAGE : u64(at);
	if (count > value.len / 8 - 1)
		return damaged(f, page, "has a list of free pages that is too short");
	for (uint64_t i = 1; i <= count; i++) {
		if (i > 1 && u64(at + 8 * i) >= u64(at + 8 * (i - 1)))
			return damaged(f, page, "has a list of free pages out of order");
		enum err err = use(f, u64(at + 8 * i));
		if (err != OK)
			return err;
	}
	return OK;
}

/* Checks the run of pages that has a large value, and its pages' list where it is one. */
static enum err check_run(struct walk *w, uint64_t first, size_t bytes)
{
	struct file *f = w->f;
	uint64_t pages = (HEAD - 1 + bytes) / f->page_bytes + 1;
	if (first > f->last_page || pages > f->last_page - first + 1)
		return damaged(f, first, "begins a value that is behind its end");
	enum err err = OK;
	for (uint64_t i = 0; err == OK && i < pages; i++)
		err = use(f, first + i);
	if (err != OK)
		return err;
	w->found.run_pages += pages;
	unsigned char *value = mem_array(HEAD + bytes, 1);
	err = read_at(f, first, value, HEAD + bytes);
	if (err == OK &&
	    (u64(value) != first || u16(value + 10) != PAGE_RUN || u32(value + 12) != pages))
		err = damaged(f, first, "is not the large value that it should be");
	if (err == OK && w->is_free_list)
		err = use_free(f, first, (struct slice){(char *)value + HEAD, bytes});
	free(value);
	return err;
}

static enum err check_tree(struct file *f, const unsigned char *record, bool is_free_list,
    bool is_main);

/* Checks the value of a leaf's node, whose head and key lie within the page. */
static enum err check_value(struct walk *w, const struct spot *at, size_t offset, size_t *end)
{
	const unsigned char *node = at->bytes + offset;
	size_t bytes = u32(node);
	uint16_t flags = u16(node + 4);
	const unsigned char *value = node + NODE + u16(node + 6);
	size_t here = flags == VALUE_IN_RUN ? 8 : bytes;
	w->found.rows++;
	*end = (size_t)(value - at->bytes) + here;
	if (*end > w->f->page_bytes)
		return damaged(w->f, at->page, "has a value that reaches over its end");
	if (flags == VALUE_IN_RUN)
		return check_run(w, u64(value), bytes);
	if (flags != (w->is_main ? VALUE_IS_TREE : 0) || (w->is_main && bytes != TREE))
		return damaged(w->f, at->page, "has a value of a kind that is not used");
	if (w->is_main)
		return check_tree(w->f, value, false, false);
	if (w->is_free_list)
		return use_free(w->f, at->page, (struct slice){(const char *)value, bytes});
	return OK;
}

static enum err check_page(struct walk *w, const struct spot *at);

/* Finds node `i`: its offset, its key. */
static enum err find_node(struct walk *w, const struct spot *at, size_t i, size_t *offset,
    struct slice *key)
{
	*offset = u16(at->bytes + HEAD + 2 * i);
	if (*offset < u16(at->bytes + 14) || *offset + NODE > w->f->page_bytes)
		return damaged(w->f, at->page, "has a row outside of its rows");
	*key = (struct slice){(const char *)at->bytes + *offset + NODE,
	    u16(at->bytes + *offset + 6)};
	if (*offset + NODE + key->len > w->f->page_bytes)
		return damaged(w->f, at->page, "has a key that reaches over its end");
	return OK;
}

/* Checks that `key` lies behind `before`, if that is not NULL, and where its spot allows. */
static enum err check_key(struct walk *w, const struct spot *at, struct slice key,
    const struct slice *before)
{
	if (key.len == 0 || (w->integer_keys && key.len != 8))
		return damaged(w->f, at->page, "has a key of a length that is not used");
	if ((before != NULL && compare(w, key, *before) <= 0) ||
	    (at->low != NULL && compare(w, key, *at->low) < 0) ||
	    (at->high != NULL && compare(w, key, *at->high) >= 0))
		return damaged(w->f, at->page, "has keys that are not in order");
	return OK;
}

static size_t even(size_t n)
{
	return n + (n & 1);
}

static enum err check_leaf(struct walk *w, const struct spot *at, size_t count)
{
	struct slice before = {0};
	size_t filled = 0;
	w->found.leaves++;
	for (size_t i = 0; i < count; i++) {
		struct slice key;
		size_t offset = 0;
		size_t end = 0;
		enum err err = find_node(w, at, i, &offset, &key);
		if (err == OK)
			err = check_key(w, at, key, i > 0 ? &before : NULL);
		if (err == OK)
			err = check_value(w, at, offset, &end);
		if (err != OK)
			return err;
		filled += even(end - offset);
		before = key;
	}
	if (filled != w->f->page_bytes - u16(at->bytes + 14))
		return damaged(w->f, at->page, "has rows that overlap");
	return OK;
}

/* The first key of a branch means nothing: all that is below the second goes that way. */
static enum err check_branch(struct walk *w, const struct spot *at, size_t count)
{
	w->found.branches++;
	if (at->level >= w->depth)
		return damaged(w->f, at->page, "lies deeper than its tree is");
	for (size_t i = 0; i < count; i++) {
		struct slice key;
		struct slice high = {0};
		size_t offset = 0;
		size_t next = 0;
		enum err err = find_node(w, at, i, &offset, &key);
		if (err == OK && i + 1 < count)
			err = find_node(w, at, i + 1, &next, &high);
		if (err == OK && i + 1 < count)
			err = check_key(w, at, high, i > 0 ? &key : NULL);
		if (err != OK)
			return err;
		const struct spot child = {
		    .page = (uint64_t)u16(at->bytes + offset + 4) << 32 |
			u32(at->bytes + offset),
		    .low = i > 0 ? &key : at->low,
		    .high = i + 1 < count ? &high : at->high,
		    .level = at->level + 1,
		};
		err = check_page(w, &child);
		if (err != OK)
			return err;
	}
	return OK;
}

static enum err check_bytes(struct walk *w, const struct spot *at)
{
	uint16_t flags = u16(at->bytes + 10);
	uint16_t lower = u16(at->bytes + 12);
	uint16_t upper = u16(at->bytes + 14);
	bool is_leaf = flags == PAGE_LEAF;
	size_t least = is_leaf ? 1 : 2;
	if (u64(at->bytes) != at->page || flags != (is_leaf ? PAGE_LEAF : PAGE_BRANCH))
		return damaged(w->f, at->page, "is not the page that it should be");
	if (lower < HEAD + 2 * least || lower % 2 != 0 || lower > upper ||
	    upper > w->f->page_bytes)
		return damaged(w->f, at->page, "has a head that is mangled");
	size_t count = (lower - HEAD) / 2u;
	if (!is_leaf)
		return check_branch(w, at, count);
	if (at->level != w->depth)
		return damaged(w->f, at->page, "lies less deep than its tree is");
	return check_leaf(w, at, count);
}

static enum err check_page(struct walk *w, const struct spot *at)
{
	enum err err = use(w->f, at->page);
	if (err != OK)
		return err;
	unsigned char *bytes = mem_array(w->f->page_bytes, 1);
	err = read_at(w->f, at->page, bytes, w->f->page_bytes);
	if (err == OK) {
		struct spot read = *at;
		read.bytes = bytes;
		err = check_bytes(w, &read);
	}
	free(bytes);
	return err;
}

static void read_tree(const unsigned char *record, struct tree *t)
{
	*t = (struct tree){.flags = u16(record + 4),
	    .depth = u16(record + 6),
	    .branches = u64(record + 8),
	    .leaves = u64(record + 16),
	    .run_pages = u64(record + 24),
	    .rows = u64(record + 32),
	    .root = u64(record + 40)};
}

static enum err check_tree(struct file *f, const unsigned char *record, bool is_free_list,
    bool is_main)
{
	struct tree t;
	read_tree(record, &t);
	struct walk w = {.f = f,
	    .integer_keys = is_free_list,
	    .is_free_list = is_free_list,
	    .is_main = is_main,
	    .depth = t.depth};
	uint16_t flags = t.flags & (is_free_list ? ~FILE_ALONE : UINT16_MAX);
	if (flags != (is_free_list ? TREE_INTEGER_KEYS : 0) || t.depth > DEPTH_MAX)
		return problem_set(f->p, ERR_CORRUPT, "data", "a table's record is mangled");
	if (t.root != NO_PAGE) {
		enum err err = check_page(&w, &(struct spot){.page = t.root, .level = 1});
		if (err != OK)
			return err;
	}
	if (w.found.branches != t.branches || w.found.leaves != t.leaves ||
	    w.found.run_pages != t.run_pages || w.found.rows != t.rows)
		return problem_set(f->p, ERR_CORRUPT, "data",
		    "a table's pages or rows are not as many as it counts");
	return OK;
}

/* Reads meta page `n` and checks what is the same in each. */
static enum err read_meta(struct file *f, uint64_t n, unsigned char out[PAGE_BYTES_MIN])
{
	enum err err = read_at(f, n, out, PAGE_BYTES_MIN);
	if (err != OK)
		return err;
	if (u64(out) != n || u16(out + 10) != PAGE_META || u32(out + HEAD) != MAGIC ||
	    u32(out + HEAD + 4) != FORMAT)
		return damaged(f, n, "is not the head of a store");
	return OK;
}

/* Finds the later meta page. Transaction n writes page n % 2: the other one has n - 1. */
static enum err find_meta(struct file *f, unsigned char out[PAGE_BYTES_MIN])
{
	unsigned char other[PAGE_BYTES_MIN];
	f->page_bytes = PAGE_BYTES_MIN; /* page 0 tells */
	enum err err = read_meta(f, 0, out);
	if (err != OK)
		return err;
	f->page_bytes = u32(out + META_TREES);
	if (f->page_bytes < PAGE_BYTES_MIN || f->page_bytes > PAGE_BYTES_MAX ||
	    (f->page_bytes & (f->page_bytes - 1)) != 0)
		return damaged(f, 0, "is not the head of a store");
	err = read_meta(f, 1, other);
	if (err != OK)
		return err;
	uint64_t txn = u64(out + META_TXN);
	uint64_t other_txn = u64(other + META_TXN);
	bool is_new = txn == 0 && other_txn == 0;
	bool other_is_later = other_txn == txn + 1 && other_txn % 2 == 1;
	if (!is_new && !other_is_later && !(txn == other_txn + 1 && txn % 2 == 0))
		return damaged(f, 0, "and page 1 are not of two commits, one after the other");
	if (u32(other + META_TREES) != f->page_bytes)
		return damaged(f, 1, "is not the head of a store");
	if (other_is_later)
		memcpy(out, other, PAGE_BYTES_MIN);
	return OK;
}

/* Fills `f`, and `meta` with the head that counts. */
static enum err read_head(struct file *f, unsigned char meta[PAGE_BYTES_MIN])
{
	enum err err = find_meta(f, meta);
	if (err != OK)
		return err;
	f->last_page = u64(meta + META_LAST_PAGE);
	if (f->last_page < FIRST_PAGE - 1 || f->last_page >= PAGES_MAX)
		return damaged(f, 0, "is not the head of a store");
	return OK;
}

static enum err check_trees(struct file *f, const unsigned char meta[PAGE_BYTES_MIN])
{
	f->seen = mem_array(f->last_page / 8 + 1, 1);
	enum err err = check_tree(f, meta + META_TREES, true, false);
	if (err == OK)
		err = check_tree(f, meta + META_TREES + TREE, false, true);
	free(f->seen);
	return err;
}

enum err pages_check(int fd, struct problem *p)
{
	struct file f = {.fd = fd, .p = p};
	unsigned char meta[PAGE_BYTES_MIN];
	enum err err = read_head(&f, meta);
	return err == OK ? check_trees(&f, meta) : err;
}

enum err pages_check_quickly(int fd, uint64_t whole_max, struct problem *p)
{
	struct file f = {.fd = fd, .p = p};
	struct stat st;
	unsigned char meta[PAGE_BYTES_MIN];
	enum err err = read_head(&f, meta);
	if (err == OK && fstat(fd, &st) != 0)
		err = problem_set(p, ERR_IO, "data", "cannot read the file: %s",
		    strerror(errno));
	if (err != OK)
		return err;
	uint64_t bytes = (uint64_t)st.st_size;
	bool has_all = bytes >= (f.last_page + 1) * f.page_bytes;
	return has_all && bytes > whole_max ? OK : check_trees(&f, meta);
}
