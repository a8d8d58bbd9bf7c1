/* waybill: finds the command and hands over. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "server/config.h"
#include "server/serve.h"

static int command_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		(void)fprintf(stderr, "waybill version: takes no argument\n");
		return EXIT_USAGE;
	}
	(void)printf("waybill %s\n", WAYBILL_VERSION);
	return EXIT_OK;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} COMMANDS[] = {
    {"serve", command_serve, "[-c FILE] [--SETTING VALUE]…   runs the gateway"},
    {"check-config", command_check_config,
	"[-c FILE] [--SETTING VALUE]…   checks a configuration"},
    {"listen", command_listen,
	"[--port P] [--secret S] [--status N] [--delay MS]   a receiver for trying things"},
    {"send", command_send,
	"[--url URL] [--token T] SESSION EVENT [DATA]   publishes one event"},
    {"backup", command_backup,
	"[--url URL] [--token T] [--ca-file FILE] DIR   copies the store of a running gateway"},
    {"tail", command_tail,
	"[--url URL] [--token T] [--session S] [--webhook ID] [--status S,…] [--json]   "
	"prints what happens, live"},
    {"top", command_top,
	"[--url URL] [--token T] [--count N] [--once]   shows the webhooks that hurt most"},
    {"fsck", command_fsck, "DIR   checks the store of a stopped gateway"},
    {"version", command_version, "  prints the version"},
};
#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static void print_help(FILE *out)
{
	(void)fprintf(out, "usage: waybill COMMAND …\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		(void)fprintf(out, "  %s %s\n", COMMANDS[i].name, COMMANDS[i].help);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(name, COMMANDS[i].name) == 0)
			return COMMANDS[i].run(argc - 1, argv + 1);
	}
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0) {
		print_help(stdout);
		(void)printf(
		    "\nsettings, each also in the file and as WAYBILL_… in the environment:\n");
		config_print_settings();
		return EXIT_OK;
	}
	print_help(stderr);
	return EXIT_USAGE;
}
