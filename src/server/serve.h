/* waybill serve: the gateway, from its start to its end. */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

/*
 * Reads the configuration of the command line, which lives until the end, runs the gateway and
 * takes it apart. Returns the exit status (base/exit.h); what is wrong is on standard error.
 */
int command_serve(int argc, char **argv);

#endif
