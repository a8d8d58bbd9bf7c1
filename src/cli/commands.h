/* The commands of the program. Each gets what follows its name and returns the exit status. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "base/exit.h"

int command_check_config(int argc,
    char **argv); /* check_config.c: reads the configuration, starts nothing */
int command_listen(int argc, char **argv);  /* listen.c: a receiver for trying things */
int command_send(int argc, char **argv);    /* send.c: publishes one event */
int command_backup(int argc, char **argv);  /* backup.c: copies the store of a gateway */
int command_tail(int argc, char **argv);    /* tail.c: prints what happens, as it happens */
int command_source(int argc, char **argv);  /* doors.c: makes and shows sources */
int command_things(int argc, char **argv);  /* things.c: webhooks, deliveries, dlq, sources */
int command_export(int argc, char **argv);  /* export.c: webhooks and sources as a file */
int command_apply(int argc, char **argv);   /* apply.c: makes them what a file says */
int command_top(int argc, char **argv);     /* top.c: shows the webhooks that hurt */
int command_cluster(int argc, char **argv); /* cluster.c: its journal and its members */
int command_fsck(int argc, char **argv);    /* fsck.c: checks a stopped store */

#endif
