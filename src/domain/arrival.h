/* A request of a sender that is no client of the API: what sources look at. Borrowed. */
#ifndef DOMAIN_ARRIVAL_H
#define DOMAIN_ARRIVAL_H

#include "base/slice.h"

struct arrival {
	/* gives a header of `request`; empty where it has none of that name */
	struct slice (*header)(const void *request, const char *name);
	const void *request;
	struct slice query; /* raw, without the '?' */
	struct slice path;  /* raw, what stands behind the door: "a/b" */
	struct slice body;  /* as it came: what is signed */
};

#endif
