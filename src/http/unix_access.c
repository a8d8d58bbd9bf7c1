/* Mode and owner of unix sockets as text; see unix_access.h. */
#include "http/unix_access.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define MODE_DIGITS_MAX 4
#define MODE_MAX 0777
#define ID_MAX (UINT32_MAX - 1) /* the next one stands for none */

static enum err parse_mode(const char *text, mode_t *out, struct problem *p)
{
	size_t len = strlen(text);
	unsigned long mode = strtoul(text, NULL, 8);
	if (len == 0 || len > MODE_DIGITS_MAX || strspn(text, "01234567") != len ||
	    mode > MODE_MAX)
		return problem_set(p, ERR_INVALID, "unix_mode",
		    "unix_mode: must be an octal mode from 0000 to 0777, such as 0660");
	*out = (mode_t)mode;
	return OK;
}

static enum err find_user(const char *name, uid_t *out, struct problem *p)
{
	uint64_t number = 0;
	const struct passwd *user = getpwnam(name);
	if (user != NULL) {
		*out = user->pw_uid;
	} else {
		if (str_u64(slice_of(name), &number) != OK || number > ID_MAX)
			return problem_set(p, ERR_NOTFOUND, "unix_owner",
			    "unix_owner: there is no user %.100s", name);
		*out = (uid_t)number;
	}
	return OK;
}

static enum err find_group(const char *name, gid_t *out, struct problem *p)
{
	uint64_t number = 0;
	const struct group *group = getgrnam(name);
	if (group != NULL) {
		*out = group->gr_gid;
	} else {
		if (str_u64(slice_of(name), &number) != OK || number > ID_MAX)
			return problem_set(p, ERR_NOTFOUND, "unix_owner",
			    "unix_owner: there is no group %.100s", name);
		*out = (gid_t)number;
	}
	return OK;
}

/* Takes "USER", "USER:GROUP" or ":GROUP" apart, in place. */
static enum err parse_owner(char *user, struct unix_access *out, struct problem *p)
{
	char *colon = strchr(user, ':');
	const char *group = NULL;
	if (colon != NULL) {
		*colon = '\0';
		group = colon + 1;
	}
	if (group == NULL ? user[0] == '\0' : group[0] == '\0')
		return problem_set(p, ERR_INVALID, "unix_owner",
		    "unix_owner: must be USER, USER:GROUP or :GROUP, names or numbers");
	enum err err = OK;
	if (user[0] != '\0')
		err = find_user(user, &out->uid, p);
	if (err == OK && group != NULL)
		err = find_group(group, &out->gid, p);
	return err;
}

enum err unix_access_parse(const char *mode, const char *owner, struct unix_access *out,
    struct problem *p)
{
	struct unix_access access = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	enum err err = parse_mode(mode, &access.mode, p);
	if (err == OK && owner != NULL) {
		char *copy = mem_copy(owner, strlen(owner));
		err = parse_owner(copy, &access, p);
		free(copy);
	}
	if (err == OK)
		*out = access;
	return err;
}
