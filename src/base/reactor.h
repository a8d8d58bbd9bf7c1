/*
 * The event loop: the one user of libevent's core. Watches descriptors, timers
 * and signals; runs one pass at a time, so that the turn can do its work between.
 *
 * Callbacks may change and free any watcher, also the one that is running.
 */
#ifndef BASE_REACTOR_H
#define BASE_REACTOR_H

#include <stdbool.h>
#include <stdint.h>

struct reactor;
struct event_base;

struct reactor *reactor_new(void);

/* Frees the loop after all its watchers. NULL is fine. */
void reactor_free(struct reactor *r);

/* libevent's own handle, for the one other module that needs it: the HTTP listener. */
struct event_base *reactor_base(struct reactor *r);

/*
 * Runs one pass: waits for an event unless `poll`, then calls what is active. What is ready
 * again by then is the next pass's, so that nobody keeps one from its end.
 */
void reactor_pass(struct reactor *r, bool poll);

/* How many passes have begun. */
uint64_t reactor_passes(const struct reactor *r);

struct reactor_io;
typedef void (*reactor_io_fn)(void *arg, int fd, bool readable, bool writable);

/* Watches `fd` for reading and writing as asked; both false pauses it. */
struct reactor_io *reactor_io_new(struct reactor *r, int fd, reactor_io_fn fn, void *arg);
void reactor_io_want(struct reactor_io *io, bool read, bool write);
void reactor_io_free(struct reactor_io *io);

/*
 * Calls who watches `fd` for reading as if it were readable, in this very pass: for a library
 * that has taken bytes from the descriptor and keeps them.
 */
void reactor_nudge(struct reactor *r, int fd);

struct reactor_timer;
typedef void (*reactor_fn)(void *arg);

/* Makes a timer that is not set; setting it again replaces its time. One shot. */
struct reactor_timer *reactor_timer_new(struct reactor *r, reactor_fn fn, void *arg);
void reactor_timer_set(struct reactor_timer *t, int64_t delay_ms);
/* Makes it fire in this very pass, after the callbacks that are active already. */
void reactor_timer_fire(struct reactor_timer *t);

void reactor_timer_clear(struct reactor_timer *t);
void reactor_timer_free(struct reactor_timer *t);

struct reactor_signal;

/* Calls `fn` for each signal `number`. */
struct reactor_signal *reactor_signal_new(struct reactor *r, int number, reactor_fn fn,
    void *arg);
void reactor_signal_free(struct reactor_signal *s);

#endif
