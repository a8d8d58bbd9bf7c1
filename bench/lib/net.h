/* What every benchmark program needs of the system: the clock and sockets on loopback. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdint.h>
#include <sys/types.h>

/* Prints `text` and what errno says, and exits with 1. */
_Noreturn void net_die(const char *text);

/* Monotonic microseconds, the same clock in every process of the machine. */
uint64_t net_now_us(void);

#define NET_ANY 0u                /* all addresses */
#define NET_LOOPBACK 0x7f000001u  /* 127.0.0.1 */
#define NET_RECEIVERS 0x7f010001u /* 127.1.0.1 and on: receivers, each a host of its own */
#define NET_RECEIVERS_MAX 60000

/* Listens on 127.0.0.1, non-blocking; *port 0 takes a free one and says which. */
int net_listen(uint16_t *port);

/* The same at another address of 127.0.0.0/8, in the host's byte order. */
int net_listen_at(uint32_t address, uint16_t *port);

/* Connects to 127.0.0.1; the socket is non-blocking from then on and sends without delay. */
int net_connect(uint16_t port);

/* Lets the process have as many descriptors as it may. */
void net_raise_descriptors(void);

/* Watches `fd` for input with an epoll instance; `data` comes back with each event. */
void net_watch(int epoll, int fd, uint64_t data);

/* Forks with nothing left in stdout's buffer; returns 0 in the child. */
pid_t net_fork(void);

/* Parses a decimal number of at most `max`, or exits with a usage error that names `option`. */
uint64_t net_number(const char *option, const char *text, uint64_t max);

#endif
