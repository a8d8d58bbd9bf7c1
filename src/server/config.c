/* The three sources of settings: a file, the environment, flags; see config.h. */
#include "server/config.h"

#include <errno.h>
#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/flag.h"
#include "base/mem.h"
#include "domain/pem.h"
#include "server/settings.h"

#define FILE_MAX_BYTES (1u << 20)
#define CA_MAX_BYTES (16u << 20) /* some fifty times what Debian trusts */
#define ENV_PREFIX "WAYBILL_"
#define FLAG_SIZE 64         /* bytes of a flag's name and a NUL */
#define KNOWN_BYTES 700      /* of the names that an unknown one is answered with */
#define STRANGERS_BYTES 1000 /* of their names, in the line that warns of them */

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
	c->given = (struct config_marks){0};
}

void config_free(struct config *c)
{
	setting_clear_list(&c->listen);
	setting_clear_list(&c->extra_events);
	setting_clear_list(&c->cors_origins);
	setting_clear_list(&c->frame_ancestors);
	setting_clear_list(&c->allowed_hosts);
	free(c->addresses.allow);
	mem_forget(c->token);
	mem_forget(c->inbound_secret);
	mem_forget(c->secret_key);
	setting_clear_list(&c->session_inbound_secrets);
	setting_clear_list(&c->session_store_bytes);
	setting_clear_list(&c->trusted_proxies);
	setting_clear_list(&c->name_servers);
	setting_clear_list(&c->strangers);
	setting_clear_list(&c->sources);
	mem_forget(c->proxy); /* its URL may have a password */
	free(c->tokens_file);
	free(c->secret_key_file);
	free(c->metrics_listen);
	free(c->ca_file);
	free(c->tls_certificate);
	free(c->tls_key);
	free(c->tls_client_ca);
	free(c->unix_owner);
	free(c->unix_mode);
	free(c->default_signature);
	free(c->shard);
	free(c->member);
	setting_clear_list(&c->cluster);
	free(c->cluster_url);
	free(c->cluster_creds_file);
	free(c->cluster_user);
	free(c->cluster_password_file);
	free(c->cluster_nats_token_file);
	free(c->cluster_ca_file);
	free(c->cluster_token_file);
	setting_clear_list(&c->cluster_monitor);
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
	size_t i = 0;
	for (; i < SETTINGS_COUNT && known.len < KNOWN_BYTES; i++)
		buf_printf(&known, "%s%s", i == 0 ? "" : " ", SETTINGS[i].name);
	enum err err = problem_set(p, ERR_INVALID, "", "%.*s: unknown; known are: %s%s",
	    (int)(key.len < 64 ? key.len : 64), key.ptr, buf_cstr(&known),
	    i < SETTINGS_COUNT ? " and those that waybill help serve lists" : "");
	buf_fini(&known);
	return err;
}

/* Reads one line of a file; comments and empty lines are OK. */
static enum err read_line(struct reading *r, struct slice line, struct problem *p)
{
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	line = slice_trim(line);
	if (line.len == 0 || line.ptr[0] == '#')
		return OK;
	if (memchr(line.ptr, '\0', line.len) != NULL)
		return problem_set(p, ERR_INVALID, "", "a line must not hold a NUL byte");
	if (memchr(line.ptr, '=', line.len) == NULL)
		return problem_set(p, ERR_INVALID, "",
		    "a line must be \"key = value\" or a # comment");
	struct slice key = slice_trim(slice_cut(&line, '='));
	const struct setting *s = find_setting(key, false);
	return s == NULL ? unknown_key(key, p) : setting_set(r, s, slice_trim(line), p);
}

enum err config_read_text(struct config *c, const char *name, struct slice text,
    struct problem *p)
{
	struct reading r = {.config = c};
	struct problem why;
	for (unsigned n = 1; text.len > 0; n++) {
		enum err err = read_line(&r, slice_cut(&text, '\n'), &why);
		if (err != OK)
			return problem_set(p, err, why.field, "%s:%u: %s", name, n,
			    why.message);
	}
	return OK;
}

enum err config_read_file(struct config *c, const char *path, struct problem *p)
{
	struct buf text = BUF_INIT(FILE_MAX_BYTES);
	enum err err = file_read(path, &text);
	if (err == OK)
		err = config_read_text(c, path, buf_view(&text), p);
	else if (err == ERR_TOOBIG)
		err = problem_set(p, err, "", "%s: is over 1 MiB", path);
	else
		err = problem_set(p, err, "", "%s: cannot be read: %s", path, strerror(errno));
	mem_wipe(text.data, text.len); /* may hold a token */
	buf_fini(&text);
	return err;
}

/* The variables that are the command line's own and no settings: see `waybill send`. */
static bool is_other_variable(struct slice key)
{
	return slice_eq(key, SLICE("URL"));
}

/*
 * The variables that Kubernetes sets for services whose names begin with waybill. No setting is
 * named so; PORT alone may be meant as one, and is theirs by its value.
 * Source: Kubernetes, "Discovering services", environment variables.
 */
static bool is_service_link(const char *variable)
{
	static const char form[] = "^" ENV_PREFIX "([A-Z0-9_]*_)?"
				   "(SERVICE_HOST=|SERVICE_PORT(_[^=]*)?=|"
				   "PORT=(tcp|udp|sctp)://|"
				   "PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?=)";
	regex_t compiled;
	panic_if(regcomp(&compiled, form, REG_EXTENDED | REG_NOSUB) != 0, "bad form of a link");
	bool is = regexec(&compiled, variable, 0, NULL, 0) == 0;
	regfree(&compiled);
	return is;
}

static void add_stranger(struct config_list *list, const char *name, size_t len)
{
	list->items = mem_resize(list->items, list->count + 1, sizeof(char *));
	list->items[list->count++] = mem_copy(name, len);
}

void config_warn(const struct config *c)
{
	struct buf names = BUF_INIT(STRANGERS_BYTES);
	for (size_t i = 0; i < c->strangers.count; i++) {
		const char *name = c->strangers.items[i];
		if (names.len + 1 + strlen(name) < STRANGERS_BYTES)
			buf_printf(&names, "%s%s", names.len == 0 ? "" : " ", name);
	}
	if (c->strangers.count > 0)
		log_warn("variables of the environment are no settings",
		    LOG_N("count", c->strangers.count), LOG_S("names", buf_cstr(&names)));
	buf_fini(&names);
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
		if (s == NULL && is_service_link(*e))
			continue;
		if (s == NULL) {
			add_stranger(&c->strangers, *e, (size_t)(equals - *e));
			continue;
		}
		enum err err = setting_set(&r, s, slice_of(equals + 1), &why);
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
		    FLAG_FIRST + (int)i};
	}
}

/* Walks the flags: in the first pass for -c alone, in the second for the settings. */
static enum err read_flags(struct config *c, int argc, char **argv, bool settings,
    const char **file, struct problem *p)
{
	static char names[SETTINGS_MAX][FLAG_SIZE];
	struct option options[SETTINGS_MAX + 1] = {0};
	struct reading r = {.config = c};
	struct problem why;
	char words[FLAG_WHY_SIZE];
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
			return problem_set(p, ERR_INVALID, "", "%s",
			    flag_explain(options, argv, opt, words));
		if (!settings)
			continue;
		enum err err = setting_set(&r, &SETTINGS[opt - FLAG_FIRST], slice_of(optarg),
		    &why);
		if (err != OK)
			return problem_set(p, err, why.field, "--%s: must be %s",
			    names[opt - FLAG_FIRST], SETTINGS[opt - FLAG_FIRST].allowed);
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

/* Checks that the file of authorities is there and is what curl will want. */
static enum err check_authorities(const char *path, struct problem *p)
{
	struct buf text = BUF_INIT(CA_MAX_BYTES);
	enum err err = file_read(path, &text);
	if (err == ERR_IO)
		err = problem_set(p, err, "ca_file", "ca_file: %s: cannot be read: %s", path,
		    strerror(errno));
	else if (err != OK || !pem_is_certificates(buf_view(&text)))
		err = problem_set(p, ERR_INVALID, "ca_file",
		    "ca_file: %s: must be certificates in PEM and nothing else", path);
	buf_fini(&text);
	return err;
}

enum err config_check(const struct config *c, struct problem *p)
{
	return c->ca_file == NULL ? OK : check_authorities(c->ca_file, p);
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
