/* The settings of the listeners; see listeners.h. */
#include "server/listeners.h"

#include "http/listen_address.h"

/* The first address of `listen` that is for TLS, NULL where there is none. */
static const char *tls_address(const struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		if (listen_is_tls(c->listen.items[i]))
			return c->listen.items[i];
	}
	return NULL;
}

enum err listeners_tls(const struct config *c, struct tls_conf *out, bool *wanted,
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

enum err listeners_unix_access(const struct config *c, struct unix_access *out,
    struct problem *p)
{
	return unix_access_parse(c->unix_mode, c->unix_owner, out, p);
}

enum err listeners_check(const struct config *c, struct problem *p)
{
	struct unix_access unix_access;
	struct tls_conf files;
	bool wanted = false;
	enum err err = listeners_unix_access(c, &unix_access, p);
	if (err == OK)
		err = listeners_tls(c, &files, &wanted, p);
	if (err != OK || !wanted)
		return err;
	struct tls *tls = tls_new(NULL);
	err = tls_load(tls, &files, p);
	tls_free(tls);
	return err;
}
