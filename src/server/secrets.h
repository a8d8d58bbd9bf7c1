/*
 * The secrets of the configuration: the API's tokens, the inbound secrets of other gateways and
 * the keys of the store, of settings and of files. A file that everybody on the machine can
 * read is warned of; what was read is wiped.
 */
#ifndef SERVER_SECRETS_H
#define SERVER_SECRETS_H

#include "api/auth.h"
#include "api/inbound.h"
#include "domain/vault.h"
#include "server/config.h"
#include "store/db.h"

#define SECRETS_FILE_MAX (1u << 20) /* bytes */

/*
 * Appends the bytes of the file that setting `name` names to `out`, whose limit is
 * SECRETS_FILE_MAX; the caller forgets them with secrets_forget(). ERR_IO, ERR_TOOBIG, with the
 * problem in words.
 */
MUST_CHECK enum err secrets_read_file(const char *path, const char *name, struct buf *out,
    struct problem *p);

/* The same of a file that may be everybody's to read: certificates. */
MUST_CHECK enum err secrets_read_public(const char *path, const char *name, struct buf *out,
    struct problem *p);

/* Wipes and frees. */
void secrets_forget(struct buf *text);

/*
 * Adds `token` and the tokens of `tokens_file` to `auth`; a file without any is an error.
 * ERR_IO, ERR_INVALID or ERR_TOOBIG, with the problem in words.
 */
MUST_CHECK enum err secrets_load_tokens(const struct config *c, struct auth *auth,
    struct problem *p);

/*
 * Reads the file that setting `name` names; *out is the caller's, to be wiped by mem_forget().
 * ERR_IO, ERR_TOOBIG over 1 MiB, with the problem in words.
 */
MUST_CHECK enum err secrets_load_text(const char *path, const char *name, char **out,
    struct problem *p);

/* Makes the set of inbound secrets, which the caller frees. */
struct inbound *secrets_load_inbound(const struct config *c);

/*
 * Adds secret_key, then the keys of secret_key_file: one a line, lines that begin with '#' and
 * empty ones are none. ERR_IO, ERR_INVALID or ERR_TOOBIG, with the problem in words that say
 * nothing of a key.
 */
MUST_CHECK enum err secrets_load_keys(const struct config *c, struct vault *vault,
    struct problem *p);

/*
 * Whether a start could decrypt all that the store holds, of whatever table; writes nothing.
 * ERR_REFUSED names the key that the vault lacks; ERR_CORRUPT or the store's error.
 */
MUST_CHECK enum err secrets_check_store(struct db *db, const struct vault *vault,
    struct problem *p);

#endif
