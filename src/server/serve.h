/* waybill serve: the gateway, from its start to its end. */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "base/err.h"
#include "domain/problem.h"

/*
 * Reads the configuration of the command line, which lives until the end, runs the gateway and
 * takes it apart. Returns the exit status (base/exit.h); what is wrong is on standard error.
 */
int command_serve(int argc, char **argv);

/*
 * Says on standard error why nothing was started, behind `command` where there is one, and
 * names fsck where the store in `data` may be damaged.
 */
void serve_explain(const char *command, const char *data, enum err err,
    const struct problem *p);

#endif
