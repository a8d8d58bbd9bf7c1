/*
 * Masks a webhook's secrets in what its receiver answered: some echo what they were sent, and
 * an answer is kept and shown where a secret is not.
 */
#ifndef DOMAIN_WEBHOOK_MASK_H
#define DOMAIN_WEBHOOK_MASK_H

#include "domain/webhook.h"

#define WEBHOOK_MASK "********" /* what stands for a secret, here and in answers */

/*
 * Copies `text` into `out`, at most `size` bytes, with WEBHOOK_MASK in the place of each secret
 * of `w`, and of each word of a custom header's value and of `sent`, as far as they are long
 * enough not to be met by chance; also of the beginning of one with which `text` ends. Returns
 * the length.
 */
size_t webhook_mask(const struct webhook *w, struct slice sent, struct slice text, char *out,
    size_t size);

#endif
