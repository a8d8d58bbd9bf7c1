/* The settings of a cluster; see membership.h. */
#include "server/membership.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/pem.h"
#include "server/secrets.h"
#include "server/settings.h"

#define CLUSTER_PREFIX "cluster_"
#define CREDS_FILE "cluster_creds_file"
#define PASSWORD_FILE "cluster_password_file"
#define NATS_TOKEN_FILE "cluster_nats_token_file"
#define CA_FILE "cluster_ca_file"
#define TOKEN_FILE "cluster_token_file"

static enum err lacks(const char *field, const char *needed_by, struct problem *p)
{
	return problem_set(p, ERR_INVALID, field, "%s: is missing: %s needs it", field,
	    needed_by);
}

static enum err excludes(const char *field, const char *other, struct problem *p)
{
	return problem_set(p, ERR_INVALID, field, "%s: does not go with %s: one of them", field,
	    other);
}

/* Names the first setting of a cluster that was given; NULL: none was. */
static const char *given_setting(const struct config *c)
{
	static const char *const OTHERS[] = {"shard", "member", "takeover_after"};
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *name = SETTINGS[i].name;
		bool is_of_cluster = strncmp(name, CLUSTER_PREFIX, strlen(CLUSTER_PREFIX)) == 0;
		for (size_t j = 0; j < sizeof(OTHERS) / sizeof(OTHERS[0]); j++)
			is_of_cluster = is_of_cluster || strcmp(name, OTHERS[j]) == 0;
		if (is_of_cluster && setting_is_given(c, &SETTINGS[i]))
			return name;
	}
	return NULL;
}

enum err membership_check(const struct config *c, struct problem *p)
{
	if (c->cluster.count == 0) {
		const char *given = given_setting(c);
		return given == NULL ? OK : lacks("cluster", given, p);
	}
	if (c->shard == NULL)
		return lacks("shard", "cluster", p);
	if (c->member == NULL)
		return lacks("member", "cluster", p);
	if (c->cluster_url == NULL)
		return lacks("cluster_url", "cluster", p);
	if (c->cluster_password_file != NULL && c->cluster_user == NULL)
		return lacks("cluster_user", PASSWORD_FILE, p);
	if (c->cluster_user != NULL && c->cluster_password_file == NULL)
		return lacks(PASSWORD_FILE, "cluster_user", p);
	if (c->cluster_creds_file != NULL && c->cluster_user != NULL)
		return excludes("cluster_user", CREDS_FILE, p);
	if (c->cluster_nats_token_file != NULL && c->cluster_user != NULL)
		return excludes("cluster_user", NATS_TOKEN_FILE, p);
	if (c->cluster_nats_token_file != NULL && c->cluster_creds_file != NULL)
		return excludes(CREDS_FILE, NATS_TOKEN_FILE, p);
	return OK;
}

static enum err load_servers(struct membership *m, const struct config *c, struct problem *p)
{
	enum err err = OK;
	m->servers = mem_array(c->cluster.count, sizeof(*m->servers));
	for (size_t i = 0; i < c->cluster.count && err == OK; i++) {
		err = nats_server_parse(slice_of(c->cluster.items[i]), "cluster",
		    &m->servers[m->server_count], p);
		m->server_count++;
	}
	return err;
}

/* Reads a file's first line; NULL and OK where the setting names none. */
static enum err load_line(const char *path, const char *name, char **out, struct problem *p)
{
	char *text = NULL;
	if (path == NULL)
		return OK;
	enum err err = secrets_load_text(path, name, &text, p);
	if (err != OK)
		return err;
	struct slice left = slice_of(text);
	struct slice line = slice_cut(&left, '\n');
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	line = slice_trim(line);
	if (line.len > 0)
		*out = mem_copy(line.ptr, line.len);
	mem_forget(text);
	if (*out == NULL)
		return problem_set(p, ERR_INVALID, name, "%s: %s: its first line is empty",
		    name, path);
	return OK;
}

static enum err load_creds(struct membership *m, const char *path, struct problem *p)
{
	struct slice jwt;
	if (path == NULL)
		return OK;
	enum err err = secrets_load_text(path, CREDS_FILE, &m->creds, p);
	if (err != OK)
		return err;
	if (nats_creds_parse(slice_of(m->creds), &jwt, &m->key) != OK)
		return problem_set(p, ERR_INVALID, CREDS_FILE,
		    CREDS_FILE ": %s: must be a creds file: a user's JWT and seed", path);
	m->jwt = mem_copy(jwt.ptr, jwt.len);
	return OK;
}

static enum err load_authorities(struct membership *m, const char *path, struct problem *p)
{
	if (path == NULL)
		return OK;
	struct buf text = BUF_INIT(SECRETS_FILE_MAX); /* no secret */
	enum err err = secrets_read_public(path, CA_FILE, &text, p);
	if (err == OK)
		m->ca_pem = mem_copy(text.data, text.len);
	buf_fini(&text);
	if (err == OK && !pem_is_certificates(slice_of(m->ca_pem)))
		err = problem_set(p, ERR_INVALID, CA_FILE,
		    CA_FILE ": %s: must be certificates in PEM and nothing else", path);
	return err;
}

enum err membership_load(struct membership *m, const struct config *c, struct problem *p)
{
	*m = (struct membership){.user = c->cluster_user};
	enum err err = membership_check(c, p);
	if (err != OK || c->cluster.count == 0)
		return err;
	err = load_servers(m, c, p);
	if (err == OK)
		err = load_creds(m, c->cluster_creds_file, p);
	if (err == OK)
		err = load_line(c->cluster_password_file, PASSWORD_FILE, &m->password, p);
	if (err == OK)
		err = load_line(c->cluster_nats_token_file, NATS_TOKEN_FILE, &m->nats_token, p);
	if (err == OK)
		err = load_authorities(m, c->cluster_ca_file, p);
	if (err == OK)
		err = load_line(c->cluster_token_file, TOKEN_FILE, &m->token, p);
	return err;
}

void membership_fini(struct membership *m)
{
	free(m->servers);
	mem_forget(m->password);
	mem_forget(m->nats_token);
	mem_forget(m->creds);
	mem_forget(m->jwt);
	free(m->ca_pem);
	mem_forget(m->token);
	mem_wipe(&m->key, sizeof(m->key));
	*m = (struct membership){0};
}

struct nats_conf membership_nats(const struct membership *m, const struct config *c)
{
	return (struct nats_conf){.servers = m->servers,
	    .server_count = m->server_count,
	    .name = c->member,
	    .token = m->nats_token,
	    .user = m->user,
	    .password = m->password,
	    .key = m->jwt == NULL ? NULL : &m->key,
	    .jwt = m->jwt,
	    .ca_pem = m->ca_pem};
}
