/*
 * What the system says of this process: processor time, memory, descriptors. A handful of
 * system calls, made only when somebody asks.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdint.h>

struct process_figures {
	double cpu_s;            /* user and system */
	uint64_t resident_bytes; /* of its own; 0: not known; so the next two */
	uint64_t open_fds;
	uint64_t max_fds;
};

/*
 * Reads them. Descriptors are counted one by one where the kernel does not keep their number
 * (before Linux 6.2); then the count may be up to 10 s old.
 */
void process_figures(struct process_figures *out);

#endif
