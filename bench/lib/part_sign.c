/* Signatures alone, with a key made once; see parts.h. */
#include <stdlib.h>
#include <string.h>

#include "domain/sign.h"
#include "net.h"
#include "parts.h"

uint64_t part_sign(const struct part *p, double *seconds)
{
	char hex[SIGN_HEX_SIZE];
	char standard[SIGN_STANDARD_SIZE];
	char *body = malloc(p->body + 1);
	if (body == NULL)
		net_die("sign");
	memset(body, 'x', p->body);
	struct slice bytes = {body, p->body};
	struct slice id = SLICE("00000000-0000-7000-8000-000000000000");
	struct sign_key *key = sign_key_new(slice_of(p->secret));
	uint64_t start_us = net_now_us();
	uint64_t stop_us = start_us + (uint64_t)(p->seconds * 1e6);
	uint64_t done = 0;
	for (; net_now_us() < stop_us && done < p->count; done++) {
		sign_body(key, bytes, hex);
		sign_standard(key, id, (int64_t)done, bytes, standard);
	}
	*seconds = (double)(net_now_us() - start_us) / 1e6;
	sign_key_free(key);
	free(body);
	return done;
}
