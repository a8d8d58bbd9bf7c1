/*
 * The pages of a store's file, read as LMDB 0.9 lays them out but not through LMDB, which
 * maps the file and trusts what it finds: on a file that is cut short or mangled it may end
 * the process, or free a page that is in use. Checked before LMDB sees it, such a file is an
 * error like others.
 *
 * The format is the machine's: 64 bits, its byte order.
 */
#ifndef STORE_PAGES_H
#define STORE_PAGES_H

#include <stdint.h>

#include "domain/problem.h"

/*
 * Proves of the file `fd`, which nobody writes, that the last commit's trees are whole: each
 * page where the tree says, of its kind, and used once, by one tree or the list of free pages;
 * all nodes within their pages, all keys in order and where a search finds them; all counts
 * right. What lies in values is not looked at, but the list's. ERR_CORRUPT, ERR_IO; with the
 * problem in words. O(file), of memory a bit a page.
 */
MUST_CHECK enum err pages_check(int fd, struct problem *p);

/*
 * The same for a start, which should not take long: a file of more than `whole_max` bytes is
 * checked whole only where it ends before its last page does, which pages that were free when
 * they were new may leave so. What LMDB reads of a file that passes lies before its end.
 */
MUST_CHECK enum err pages_check_quickly(int fd, uint64_t whole_max, struct problem *p);

#endif
