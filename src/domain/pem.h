/* Certificates as text, RFC 7468: whether curl and OpenSSL will be able to take them. */
#ifndef DOMAIN_PEM_H
#define DOMAIN_PEM_H

#include <stdbool.h>

#include "base/slice.h"

/*
 * Whether `text` holds one certificate or more in PEM, with any text between them, and no
 * other block. An encrypted one is refused too: OpenSSL, reading it later, would ask for a
 * passphrase on the terminal and wait for it.
 */
bool pem_is_certificates(struct slice text);

#endif
