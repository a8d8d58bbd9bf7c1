/* Brings the configured tokens, of the setting and of the tokens file, into one set. */
#ifndef CLI_TOKENS_H
#define CLI_TOKENS_H

#include "api/auth.h"
#include "api/inbound.h"
#include "cli/config.h"

/* ERR_IO, ERR_INVALID or ERR_TOOBIG, with the problem in words. */
MUST_CHECK enum err tokens_load(const struct config *c, struct auth *auth, struct problem *p);

/* Makes the set of inbound secrets, which the caller frees. */
struct inbound *tokens_load_inbound(const struct config *c);

#endif
