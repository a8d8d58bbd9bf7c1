/*
 * The store's file is read through a map, where what the file or the disk no longer has is a
 * signal (SIGBUS) in place of an error. The process then says so and ends with status 1, as for
 * any store that is broken.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

/* Watches the map of the store in folder `dir`, in place of the one before. */
void fault_watch(const char *dir);

/* Watches nothing any more: the signal ends the process as it would have. */
void fault_forget(void);

#endif
