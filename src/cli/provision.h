/*
 * What export and apply have in common: the webhooks and sources of a gateway in the form in
 * which a file has them, what the API takes and no more; and how two of these differ.
 */
#ifndef CLI_PROVISION_H
#define CLI_PROVISION_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "cli/asking.h"

/* A webhook that there is. All texts are owned. */
struct known {
	char *session;
	char *id;   /* NULL: it is to be made */
	char *name; /* NULL: none */
	char *url;
	bool is_wanted; /* of apply: the file has it */
};

struct known_list {
	struct known *list;
	size_t count;
};

/*
 * Appends the webhooks of a session, or where it is NULL of all, that the gateway has. False:
 * it has been said why not.
 */
bool known_fetch(struct known_list *l, struct asking *a, const char *session);
/* Adds one that is to be made, and so is wanted. */
void known_add(struct known_list *l, const char *session, const char *name, const char *url);
void known_free(struct known_list *l);

/* Orders them by session, name, URL. */
void known_sort(struct known_list *l);

/* Appends where the API has the webhook, or those of its session, where `id` is NULL. */
void provision_put_path(struct buf *out, const char *session, const char *id);

/* A copy, the caller's, of what a member says; NULL: it is no string. */
char *provision_text_of(struct slice object, const char *member);

/* Whether answers alone have that member: of webhooks, of sources. */
bool provision_is_read_only(struct slice member, bool of_source);

/*
 * Writes a webhook or a source as a file has it, from what the API shows: nothing that it would
 * not take, and no null. Values of headers are masked but where `shows_headers`.
 */
void provision_write(struct json_writer *w, struct slice shown, bool of_source,
    bool shows_headers);

/* Appends a JSON value, its outer three levels a line a member. */
void provision_put_pretty(struct buf *out, struct slice value, unsigned depth);

/*
 * Appends a line for each member in which `new` differs from `old`, both as the API shows them,
 * after "~ change " and `what`; of a source those of `new` alone. Returns how many.
 */
size_t provision_put_changes(struct buf *out, const char *what, struct slice old,
    struct slice new, bool of_source);

#endif
