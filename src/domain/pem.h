/* Certificates as text, RFC 7468: whether curl and OpenSSL will be able to take them. */
#ifndef DOMAIN_PEM_H
#define DOMAIN_PEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * Whether `text` holds one certificate or more in PEM, with any text between them, and no
 * other block. An encrypted one is refused too: OpenSSL, reading it later, would ask for a
 * passphrase on the terminal and wait for it.
 */
bool pem_is_certificates(struct slice text);

/* When the first of such certificates to do so expires, wall; never 0. */
int64_t pem_expires_ms(struct slice certificates);

enum pem_key {
	PEM_KEY_FITS,
	PEM_KEY_BAD,       /* there is none, or nothing that can be read */
	PEM_KEY_ENCRYPTED, /* as above: there is nobody who could be asked for the passphrase */
	PEM_KEY_OTHER,     /* not that of the first certificate */
	PEM_KEY_DEAR,      /* a signature, one for each handshake, would take too long */
	PEM_KEY_WEAK, /* OpenSSL shows no such certificate: RSA of less than 2048 bits… */
};

/* Whether `key` holds the private key of the first of `certificates`. */
enum pem_key pem_check_key(struct slice certificates, struct slice key);

#endif
