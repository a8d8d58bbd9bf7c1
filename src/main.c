/* waybill: finds the command and hands over. */
#include <stdio.h>
#include <string.h>

#include "base/flag.h"
#include "cli/commands.h"
#include "server/config.h"
#include "server/serve.h"

#define REMOTE                                                                                 \
	"  --url URL        the gateway; else WAYBILL_URL, else http://127.0.0.1:8080\n"       \
	"  --token T        its token; else WAYBILL_TOKEN\n"                                   \
	"  --ca-file FILE   authorities of its certificate, in PEM; else the system's\n"

#define THING                                                                                  \
	"  --session S      of this session alone; * for what is of all sessions\n"            \
	"  --limit N        so many at most; 50 without it\n"                                  \
	"  --json           as it comes: an object a line\n"
#define FILTERS                                                                                \
	"  --webhook ID     of this webhook alone\n"                                           \
	"  --event E        of events of this name alone\n"                                    \
	"  --since T        not before: 2026-12-01T00:00:00Z, or unix seconds\n"               \
	"  --until T        not after\n"

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *synopsis;
	const char *does;
	const char *flags;
	bool has_settings;
};

static const struct command COMMANDS[] = {
    {"serve", command_serve, "[-c FILE] [--SETTING VALUE]…", "runs the gateway",
	"  -c FILE          settings, a line each: KEY = VALUE\n", true},
    {"check-config", command_check_config, "[-c FILE] [--SETTING VALUE]…",
	"checks a configuration", "  -c FILE          settings, a line each: KEY = VALUE\n",
	true},
    {"listen", command_listen,
	"[--port P] [--secret S] [--public-key K] [--status N] [--body JSON] "
	"[--delivery WISH] [--delay MS]",
	"a receiver for trying things",
	"  --port P         of 127.0.0.1; 9000 without it, 0: one that is free\n"
	"  --secret S       of the webhook: signatures are checked\n"
	"  --public-key K   of the webhook, whpk_…: those by its key pair are\n"
	"  --status N       the answer, 200 to 599; 200 without it\n"
	"  --body JSON      of the answer\n"
	"  --delivery WISH  what it asks for in webhook-delivery: abort or disable\n"
	"  --delay MS       before each answer\n",
	false},
    {"send", command_send, "[--url URL] [--token T] SESSION EVENT [DATA]",
	"publishes one event", REMOTE "  DATA             JSON; {} without it\n", false},
    {"source", command_source,
	"add|list|show|rotate|remove [--url URL] [--token T] [--preset P] [--name N] "
	"[--session S] [--secret S] [--verify-token T] [--body B] [--raw-headers N,N] [ID]",
	"makes and shows sources: doors for other senders",
	REMOTE
	"  add              makes one, and prints the URL and the secret to paste\n"
	"  list             all of them, what came, and why the last was refused\n"
	"  show ID          one of them\n"
	"  rotate ID        draws it a new URL; the old one is closed\n"
	"  remove ID        closes it\n"
	"  --name N         of a new one; needed\n"
	"  --preset P       what it sends: waha, meta, github, … (docs/sources.md)\n"
	"  --session S      that all its events are of; else the sender names it\n"
	"  --secret S       that the sender has made; else one is drawn, if it takes one\n"
	"  --verify-token T that is typed at Meta\n"
	"  --body raw       the sender's own bytes go on, in place of envelopes\n"
	"  --raw-headers N  names of its headers that go along, with commas between them\n",
	false},
    {"export", command_export, "[--url URL] [--token T] [--session S] [--headers] [--yaml]",
	"prints all webhooks and sources as a file for apply",
	REMOTE "  --session S      the webhooks of this session alone\n"
	       "  --headers        with the values of custom headers, which are masked else\n"
	       "  --yaml           as YAML, not JSON\n",
	false},
    {"apply", command_apply, "[--url URL] [--token T] [--dry-run] [--prune] FILE",
	"makes webhooks and sources what a file says",
	REMOTE
	"  --dry-run        prints what differs, and changes nothing; status 3: it does\n"
	"  --prune          deletes what the file does not have, of its sessions\n"
	"  FILE             JSON or YAML, as export prints it; - is standard input\n",
	false},
    {"webhooks", command_things,
	"list|show|disable|enable|replay|delete [--url URL] [--token T] [--session S] "
	"[--state S] [--since T] [--until T] [--status S] [--limit N] [--json] [ID]",
	"lists, shows and changes webhooks",
	REMOTE "  list             those of all sessions, or of one\n"
	       "  show ID          one of them, by its id or its name\n"
	       "  disable ID       delivers nothing to it\n"
	       "  enable ID        delivers to it again\n"
	       "  replay ID        sends its deliveries of some time again\n"
	       "  delete ID        unregisters it\n" THING
	       "  --state S        ok, failing, held or off, of list\n"
	       "  --since T        of replay: of events from then on\n"
	       "  --until T        of replay: of events before then\n"
	       "  --status S       of replay: failed, delivered or all\n",
	false},
    {"deliveries", command_things,
	"list|show|retry|cancel [--url URL] [--token T] [--session S] [--webhook ID] "
	"[--status S] [--event E] [--since T] [--until T] [--limit N] [--json] [ID]",
	"lists, shows, retries and cancels deliveries",
	REMOTE
	"  list             those of all sessions, or of one; the newest first\n"
	"  show ID          one of them, with its attempts\n"
	"  retry ID         sends it now, or again\n"
	"  cancel ID        sends it no more\n" THING FILTERS
	"  --status S       of these alone: pending, delivered, dead, expired, cancelled\n",
	false},
    {"dlq", command_things,
	"list|replay|purge [--url URL] [--token T] [--session S] [--webhook ID] [--event E] "
	"[--since T] [--until T] [--limit N] [--json] [ID]",
	"lists, replays and drops dead letters",
	REMOTE "  list             those of all sessions, or of one\n"
	       "  replay [ID]      sends one again, or all of them\n"
	       "  purge [ID]       drops one, or with --session all of that\n" THING FILTERS,
	false},
    {"sources", command_things,
	"list|show|disable|enable [--url URL] [--token T] [--limit N] [--json] [ID]",
	"lists, shows and switches sources",
	REMOTE "  list             all of them\n"
	       "  show ID          one of them\n"
	       "  disable ID       takes nothing at its door\n"
	       "  enable ID        takes what comes again\n"
	       "  --limit N        so many at most; 50 without it\n"
	       "  --json           as it comes: an object a line\n",
	false},
    {"backup", command_backup, "[--url URL] [--token T] [--ca-file FILE] DIR",
	"copies the store of a running gateway", REMOTE, false},
    {"tail", command_tail,
	"[--url URL] [--token T] [--session S] [--webhook ID] [--status S,…] [--json]",
	"prints what happens, live",
	REMOTE "  --session S      of this session alone\n"
	       "  --webhook ID     of this webhook alone\n"
	       "  --status S,…     of these kinds alone, such as dead,retrying\n"
	       "  --json           as it comes: an object a line\n",
	false},
    {"top", command_top, "[--url URL] [--token T] [--count N] [--once]",
	"shows the webhooks that hurt most",
	REMOTE "  --count N        so many of them\n"
	       "  --once           once, and not again each second\n",
	false},
    {"cluster", command_cluster,
	"init|status|handover|join|detach [-c FILE] [--url URL] [--token T] [DIR]",
	"makes, shows and changes a cluster",
	REMOTE
	"  -c FILE          settings, of init\n"
	"  init             makes the journal, once for all members\n"
	"  status           how the member and the others are\n"
	"  handover         lets a standby be the active\n"
	"  join DIR         copies the active's store; a member that starts does it too\n"
	"  detach DIR       a member's store is one of its own again\n",
	false},
    {"fsck", command_fsck, "DIR", "checks the store of a stopped gateway", "", false},
    {"version", command_version, "", "prints the version", "", false},
};
#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

/* What was printed is of use only where it got through. */
static int finish(void)
{
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int command_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		(void)fprintf(stderr, "waybill version: takes no argument\n");
		return EXIT_USAGE;
	}
	(void)printf("waybill %s\n", WAYBILL_VERSION);
	return finish();
}

static void print_settings(void)
{
	(void)printf(
	    "\nsettings, each also in the file and as WAYBILL_… in the environment:\n");
	config_print_settings();
}

static void print_commands(FILE *out)
{
	(void)fprintf(out, "usage: waybill COMMAND …\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		(void)fprintf(out, "  %s%s%s   %s\n", COMMANDS[i].name,
		    COMMANDS[i].synopsis[0] == '\0' ? "" : " ", COMMANDS[i].synopsis,
		    COMMANDS[i].does);
	(void)fprintf(out, "\nwaybill help COMMAND, or waybill COMMAND --help, says more.\n");
}

static int print_command(const struct command *c)
{
	(void)printf("usage: waybill %s%s%s\n\n%s\n", c->name,
	    c->synopsis[0] == '\0' ? "" : " ", c->synopsis, c->does);
	if (c->flags[0] != '\0')
		(void)printf("\n%s", c->flags);
	if (c->has_settings)
		print_settings();
	return finish();
}

/* NULL with a word on standard error: there is none of that name. */
static const struct command *find_command(const char *name)
{
	struct flag_guess guess = {.word = name};
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(name, COMMANDS[i].name) == 0)
			return &COMMANDS[i];
		flag_guess(&guess, COMMANDS[i].name);
	}
	flag_guess(&guess, "help");
	(void)fprintf(stderr, "waybill: %s: unknown %s", name,
	    name[0] == '-' ? "flag" : "command");
	if (guess.name != NULL)
		(void)fprintf(stderr, "; did you mean %s?", guess.name);
	(void)fprintf(stderr, "\nwaybill help lists what there is.\n");
	return NULL;
}

static int command_help(int argc, char **argv)
{
	if (argc > 2) {
		(void)fprintf(stderr, "waybill help: takes one COMMAND\n");
		return EXIT_USAGE;
	}
	if (argc == 2) {
		const struct command *c = find_command(argv[1]);
		return c == NULL ? EXIT_USAGE : print_command(c);
	}
	print_commands(stdout);
	print_settings();
	return finish();
}

/* Whether one of the arguments, before a "--", asks for help. */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "help") == 0 && !asks_for_help(argc - 1, argv + 1))
		return command_help(argc - 1, argv + 1);
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return command_help(1, argv + 1);
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return command_version(1, argv + 1);
	const struct command *c = find_command(name);
	if (c == NULL)
		return EXIT_USAGE;
	if (asks_for_help(argc - 1, argv + 1))
		return print_command(c);
	return c->run(argc - 1, argv + 1);
}
