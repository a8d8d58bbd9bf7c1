/*
 * What a damaged store can do to the process. Its file is read through a map, where what the
 * file or the disk lacks is a signal (SIGBUS) in place of an error; and LMDB trusts what it
 * finds in pages: it may be led anywhere (SIGSEGV), or wreck the heap (SIGABRT). The process
 * then says so and ends with status 1, as for any store that is broken, and leaves a mark
 * that has the next start check all pages. A fault outside of the store's code may be the
 * program's own, or come of a heap that was wrecked before: that is said, and the signal ends
 * the process.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include <signal.h>
#include <stddef.h>

/*
 * Watches the store in folder `dir`, in place of the one before. `doubt_fd`: where a fault is
 * noted for the next start, the caller's until fault_forget(); -1: nowhere.
 */
void fault_watch(const char *dir, int doubt_fd);

/* Says where its map is: a fault there is the store's, whoever reads. */
void fault_set_map(const void *map, size_t bytes);

/* Notes that the store is damaged: also for those who have found it without a fault. */
void fault_doubt(void);

/*
 * Watches nothing any more: the signals end the process as they would have. Not where there is
 * doubt: the process ends, and may fault on its way.
 */
void fault_forget(void);

/* Around each call of LMDB's that follows pages: a fault between them is the store's. */
extern volatile sig_atomic_t fault_in_store;

#define FAULT_IN_STORE(call) fault_left((fault_in_store = 1, (call)))

static inline int fault_left(int result)
{
	fault_in_store = 0;
	return result;
}

#endif
