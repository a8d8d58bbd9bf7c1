/* The three sources of settings: a file, the environment, flags; see config.h. */
#include "cli/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/settings.h"

#define FILE_LINE_MAX 8192 /* bytes */
#define ENV_PREFIX "WAYBILL_"
#define FLAG_SIZE 64     /* bytes of a flag's name and a NUL */
#define OPTION_FIRST 256 /* getopt's value of the first setting: no character's */

void config_init(struct config *c)
{
	struct problem p;
	*c = (struct config){0};
	struct reading r = {.config = c};
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *s = &SETTINGS[i];
		if (s->standard == NULL)
			continue;
		panic_if(setting_set(&r, s, slice_of(s->standard), &p) != OK,
		    "bad default of %s", s->name);
	}
}

void config_free(struct config *c)
{
	setting_clear_list(&c->listen);
	setting_clear_list(&c->extra_events);
	free(c->addresses.allow);
	mem_forget(c->token);
	mem_forget(c->inbound_secret);
	mem_forget(c->secret_key);
	setting_clear_list(&c->session_inbound_secrets);
	setting_clear_list(&c->trusted_proxies);
	mem_forget(c->proxy); /* its URL may have a password */
	free(c->tokens_file);
	free(c->secret_key_file);
	free(c->ca_file);
	free(c->tls_certificate);
	free(c->tls_key);
	free(c->tls_client_ca);
	free(c->unix_owner);
	free(c->unix_mode);
	free(c->data);
}

/* Compares a name with a key, which the environment has in capitals. */
static bool same_name(const char *name, struct slice key, bool capitals)
{
	if (strlen(name) != key.len)
		return false;
	for (size_t i = 0; i < key.len; i++) {
		char want = name[i];
		if (capitals && want >= 'a' && want <= 'z')
			want = (char)(want - 'a' + 'A');
		if (key.ptr[i] != want)
			return false;
	}
	return true;
}

static const struct setting *find_setting(struct slice key, bool capitals)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		if (same_name(SETTINGS[i].name, key, capitals))
			return &SETTINGS[i];
	}
	return NULL;
}

static enum err unknown_key(struct slice key, struct problem *p)
{
	struct buf known = BUF_INIT(sizeof(p->message));
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		buf_printf(&known, "%s%s", i == 0 ? "" : " ", SETTINGS[i].name);
	enum err err = problem_set(p, ERR_INVALID, "", "%.*s: unknown; known are: %s",
	    (int)(key.len < 64 ? key.len : 64), key.ptr, buf_cstr(&known));
	buf_fini(&known);
	return err;
}

/* Reads one line of a file; comments and empty lines are OK. */
static enum err read_line(struct reading *r, struct slice line, struct problem *p)
{
	while (
	    line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
		line.len--;
	line = slice_trim(line);
	if (line.len == 0 || line.ptr[0] == '#')
		return OK;
	const char *equals = memchr(line.ptr, '=', line.len);
	if (equals == NULL)
		return problem_set(p, ERR_INVALID, "",
		    "a line must be \"key = value\" or a # comment");
	struct slice key = slice_trim((struct slice){line.ptr, (size_t)(equals - line.ptr)});
	struct slice value = slice_trim(
	    (struct slice){equals + 1, line.len - (size_t)(equals - line.ptr) - 1});
	const struct setting *s = find_setting(key, false);
	return s == NULL ? unknown_key(key, p) : setting_set(r, s, value, p);
}

enum err config_read_file(struct config *c, const char *path, struct problem *p)
{
	struct reading r = {.config = c};
	struct problem why;
	char line[FILE_LINE_MAX];
	enum err err = OK;
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return problem_set(p, ERR_IO, "", "%s: cannot be read: %s", path,
		    strerror(errno));
	for (unsigned n = 1; err == OK && fgets(line, sizeof(line), f) != NULL; n++) {
		size_t len = strlen(line);
		if (len == sizeof(line) - 1 && line[len - 1] != '\n')
			err = problem_set(&why, ERR_TOOBIG, "", "a line is at most 8190 bytes");
		else
			err = read_line(&r, (struct slice){line, len}, &why);
		if (err != OK)
			err = problem_set(p, err, why.field, "%s:%u: %s", path, n, why.message);
	}
	if (err == OK && ferror(f))
		err = problem_set(p, ERR_IO, "", "%s: cannot be read: %s", path,
		    strerror(errno));
	(void)fclose(f); /* read-only */
	return err;
}

/* The variables that are the command line's own and no settings: see `waybill send`. */
static bool is_other_variable(struct slice key)
{
	return slice_eq(key, SLICE("URL"));
}

enum err config_read_environment(struct config *c, char *const *environment, struct problem *p)
{
	struct reading r = {.config = c};
	struct problem why;
	for (char *const *e = environment; *e != NULL; e++) {
		struct slice text = slice_of(*e);
		const char *equals = memchr(text.ptr, '=', text.len);
		if (equals == NULL || !slice_starts(text, SLICE(ENV_PREFIX)))
			continue;
		struct slice key = {text.ptr + sizeof(ENV_PREFIX) - 1,
		    (size_t)(equals - text.ptr) - (sizeof(ENV_PREFIX) - 1)};
		if (is_other_variable(key))
			continue;
		const struct setting *s = find_setting(key, true);
		enum err err = s == NULL ? unknown_key(key, &why)
					 : setting_set(&r, s, slice_of(equals + 1), &why);
		if (err != OK)
			return problem_set(p, err, why.field,
			    ENV_PREFIX "* in the environment: %s", why.message);
	}
	return OK;
}

/* Writes a setting's name as a flag has it, without the dashes in front. */
static void put_flag(const struct setting *s, char out[FLAG_SIZE])
{
	(void)snprintf(out, FLAG_SIZE, "%s", s->name);
	for (char *ch = out; *ch != '\0'; ch++)
		*ch = *ch == '_' ? '-' : *ch;
}

/* Fills getopt's table: a flag for each setting, whose value tells the setting's index. */
static void make_options(struct option *options, char (*names)[FLAG_SIZE])
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		put_flag(&SETTINGS[i], names[i]);
		options[i] = (struct option){names[i], required_argument, NULL,
		    OPTION_FIRST + (int)i};
	}
}

/* Names the flag, but not what stands behind it: it may be a secret. */
static enum err refuse_flag(const char *given, int opt, struct problem *p)
{
	return problem_set(p, ERR_INVALID, "", "%.*s: %s", (int)strcspn(given, "="), given,
	    opt == ':' ? "needs a value" : "unknown flag");
}

/* Walks the flags: in the first pass for -c alone, in the second for the settings. */
static enum err read_flags(struct config *c, int argc, char **argv, bool settings,
    const char **file, struct problem *p)
{
	static char names[SETTINGS_MAX][FLAG_SIZE];
	struct option options[SETTINGS_MAX + 1] = {0};
	struct reading r = {.config = c};
	struct problem why;
	make_options(options, names);
	optind = 0; /* glibc: start over */
	opterr = 0;
	for (;;) {
		int opt = getopt_long(argc, argv, ":c:", options, NULL);
		if (opt == -1)
			break;
		if (opt == 'c') {
			*file = optarg;
			continue;
		}
		if (opt == '?' || opt == ':')
			return refuse_flag(argv[optind - 1], opt, p);
		if (!settings)
			continue;
		enum err err = setting_set(&r, &SETTINGS[opt - OPTION_FIRST], slice_of(optarg),
		    &why);
		if (err != OK)
			return problem_set(p, err, why.field, "--%s: must be %s",
			    names[opt - OPTION_FIRST], SETTINGS[opt - OPTION_FIRST].allowed);
	}
	if (optind < argc)
		return problem_set(p, ERR_INVALID, "", "%s: unexpected argument", argv[optind]);
	return OK;
}

enum err config_read(struct config *c, int argc, char **argv, char *const *environment,
    bool *usage, struct problem *p)
{
	const char *file = NULL;
	*usage = true;
	enum err err = read_flags(c, argc, argv, false, &file, p);
	if (err != OK)
		return err;
	*usage = false;
	if (file != NULL)
		err = config_read_file(c, file, p);
	if (err == OK)
		err = config_read_environment(c, environment, p);
	if (err != OK)
		return err;
	err = read_flags(c, argc, argv, true, &file, p);
	*usage = err != OK;
	return err;
}

void config_print_settings(void)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		char flag[FLAG_SIZE];
		put_flag(&SETTINGS[i], flag);
		(void)printf("  --%-26s %s (default: %s)\n", flag, SETTINGS[i].allowed,
		    SETTINGS[i].standard == NULL ? "none" : SETTINGS[i].standard);
	}
}
