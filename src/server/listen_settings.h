/* What the settings of the listeners say together, in the form in which api wants it. */
#ifndef SERVER_LISTEN_SETTINGS_H
#define SERVER_LISTEN_SETTINGS_H

#include "http/tls.h"
#include "http/unix_access.h"
#include "server/config.h"

/*
 * The files of certificate and key, borrowed from `c`. *wanted: whether there are any; an
 * address of TLS cannot do without. ERR_INVALID where one is missing that others need.
 */
MUST_CHECK enum err listen_settings_tls(const struct config *c, struct tls_conf *out,
    bool *wanted, struct problem *p);

/* Mode and owner of unix sockets; see unix_access_parse(). */
MUST_CHECK enum err listen_settings_unix_access(const struct config *c, struct unix_access *out,
    struct problem *p);

/*
 * Whether as many tokens are enough for the listeners of `c`: without one only this machine
 * may. ERR_REFUSED, or ERR_INVALID for an address that is none.
 */
MUST_CHECK enum err listen_settings_check_exposure(const struct config *c, size_t tokens,
    struct problem *p);

/*
 * Checks all that can be without listening: the files are there and fit each other, the
 * addresses are this machine's, and for us. One that is in use is fine: a gateway may run.
 */
MUST_CHECK enum err listen_settings_check(const struct config *c, struct problem *p);

#endif
