/* Brings the configured keys of the store, of the setting and of the file, into a vault. */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

#include "cli/config.h"
#include "domain/vault.h"

/*
 * Adds secret_key, then the keys of secret_key_file: one a line, lines that begin with '#' and
 * empty ones are none. ERR_IO, ERR_INVALID or ERR_TOOBIG, with the problem in words that say
 * nothing of a key.
 */
MUST_CHECK enum err keys_load(const struct config *c, struct vault *vault, struct problem *p);

#endif
