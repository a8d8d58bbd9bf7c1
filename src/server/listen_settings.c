/* The settings of the listeners; see listen_settings.h. */
#include "server/listen_settings.h"

#include <string.h>

#include "http/listen_address.h"
#include "http/listener.h"

/* The first address of `listen` that is for TLS, NULL where there is none. */
static const char *tls_address(const struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		if (listen_address_is_tls(c->listen.items[i]))
			return c->listen.items[i];
	}
	return NULL;
}

enum err listen_settings_tls(const struct config *c, struct tls_conf *out, bool *wanted,
    struct problem *p)
{
	const char *address = tls_address(c);
	*wanted = address != NULL || c->tls_certificate != NULL || c->tls_key != NULL ||
	    c->tls_client_ca != NULL;
	if (*wanted && (c->tls_certificate == NULL || c->tls_key == NULL)) {
		const char *missing = c->tls_certificate == NULL ? "tls_certificate"
								 : "tls_key";
		return problem_set(p, ERR_INVALID, missing, "%s: is not set, but needed by %s",
		    missing, address == NULL ? "the other tls_ settings" : address);
	}
	*out = (struct tls_conf){.certificate = c->tls_certificate,
	    .key = c->tls_key,
	    .client_ca = c->tls_client_ca};
	return OK;
}

enum err listen_settings_unix_access(const struct config *c, struct unix_access *out,
    struct problem *p)
{
	return unix_access_parse(c->unix_mode, c->unix_owner, out, p);
}

enum err listen_settings_check_exposure(const struct config *c, size_t tokens,
    struct problem *p)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		bool local = false;
		enum err err = listen_address_is_local(c->listen.items[i], &local, p);
		if (err != OK)
			return err;
		if (!local && tokens == 0)
			return problem_set(p, ERR_REFUSED, "listen",
			    "listen: %s is not loopback: that needs a token or a tokens_file",
			    c->listen.items[i]);
	}
	return OK;
}

/* Whether the two are one address; of port 0 each is another. */
static bool is_same_address(const char *a, const char *b)
{
	union listen_address first;
	union listen_address second;
	socklen_t len = 0;
	struct problem p;
	if (listen_address_parse(a, &first, &len, &p) != OK ||
	    listen_address_parse(b, &second, &len, &p) != OK)
		return false;
	bool is_any = first.sa.sa_family != AF_UNIX && first.in.sin_port == 0; /* in6's too */
	return !is_any && memcmp(&first, &second, sizeof(first)) == 0;
}

/* Checks one address: where it could be listened on, and that none before it is the same. */
static enum err check_address(const struct config *c, size_t before, const char *where,
    const struct unix_access *access, struct problem *p)
{
	for (size_t i = 0; i < before; i++) {
		if (is_same_address(c->listen.items[i], where))
			return problem_set(p, ERR_INVALID, "listen",
			    "listen: %s is there twice", where);
	}
	return listener_try(where, access, p);
}

static enum err check_addresses(const struct config *c, const struct unix_access *access,
    struct problem *p)
{
	enum err err = OK;
	for (size_t i = 0; err == OK && i < c->listen.count; i++)
		err = check_address(c, i, c->listen.items[i], access, p);
	if (err == OK && c->metrics_listen != NULL)
		err = check_address(c, c->listen.count, c->metrics_listen, access, p);
	return err;
}

enum err listen_settings_check(const struct config *c, struct problem *p)
{
	struct unix_access unix_access;
	struct tls_conf files;
	bool wanted = false;
	enum err err = listen_settings_unix_access(c, &unix_access, p);
	if (err == OK)
		err = check_addresses(c, &unix_access, p);
	if (err == OK)
		err = listen_settings_tls(c, &files, &wanted, p);
	if (err != OK || !wanted)
		return err;
	struct tls *tls = tls_new(NULL);
	err = tls_load(tls, &files, p);
	tls_free(tls);
	return err;
}
