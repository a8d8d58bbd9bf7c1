/*
 * HTTP Message Signatures (RFC 9421) over requests, with Content-Digest (RFC 9530): the texts
 * that are signed and sent, written and read. Structured fields (RFC 9651) are read strictly,
 * as far as signatures need them: what has no place here is no signature, not half of one.
 *
 * It never: signs, has a key, asks a clock.
 */
#ifndef DOMAIN_HTTPSIG_H
#define DOMAIN_HTTPSIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define HTTPSIG_FIELDS_MAX 16 /* components of one signature */
#define HTTPSIG_BYTES_MAX 128 /* of a signature that is read */

/* "sha-256=:", 44 base64 characters, ":", NUL */
#define HTTPSIG_DIGEST_SIZE 55

/* A component: a header in lower case, or one that is derived, such as "@method". Borrowed. */
struct httpsig_field {
	struct slice name;
	struct slice value;
};

struct httpsig_params {
	int64_t created_s;
	struct slice key_id; /* visible ASCII and spaces */
	struct slice alg;    /* empty: is not written */
};

/* One member of Signature-Input. Borrowed from the text that it was read from. */
struct httpsig_input {
	struct slice label;
	struct slice text; /* from "(" on: the value of @signature-params */
	struct slice names[HTTPSIG_FIELDS_MAX];
	size_t count;
	int64_t created_s;   /* -1: is not there */
	struct slice key_id; /* as it is written, without its quotes; empty: is not there */
	struct slice alg;    /* the same */
};

/* Content-Digest of a body. */
void httpsig_digest(struct slice body, char out[HTTPSIG_DIGEST_SIZE]);

/*
 * Appends @target-uri of a URL that url_check() lets through: scheme and host in lower case,
 * no port that is the scheme's own, "/" where there is no path.
 */
void httpsig_put_target(struct slice url, struct buf *out);

/* Appends ("NAME" …);created=…;keyid="…";alg="…", as Signature-Input has it of a label. */
void httpsig_put_params(const struct httpsig_field fields[], size_t n,
    const struct httpsig_params *params, struct buf *out);

/* Appends the signature base: a line for each component, and what `params` says of them. */
void httpsig_put_base(const struct httpsig_field fields[], size_t n, struct slice params,
    struct buf *out);

/*
 * Takes the next member off a Signature-Input. False where it is not one of a signature, and
 * then the whole header counts for nothing; not to be asked of an empty rest.
 */
bool httpsig_next(struct slice *rest, struct httpsig_input *out);

/* Finds the bytes under `label` in a Signature. False where there are none, or they do not fit.
 */
bool httpsig_find(struct slice header, struct slice label, unsigned char out[HTTPSIG_BYTES_MAX],
    size_t *len);

#endif
