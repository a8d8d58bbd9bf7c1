/* waybill check-config: says whether the configuration could be served. */
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "server/config.h"
#include "server/configured.h"
#include "server/listen_settings.h"
#include "server/membership.h"
#include "server/memory.h"
#include "server/secrets.h"
#include "server/serve.h"
#include "store/schema.h"

/* What the messages call the source: the file where there is one. */
static const char *configuration_name(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1] == 'c' && argv[i][2] == '\0')
			return argv[i + 1];
	}
	return "configuration";
}

/* Whether a start could open the store and decrypt what is in it. */
static enum err check_store(const struct config *c, const struct vault *vault,
    struct problem *p)
{
	struct db *db = NULL;
	enum err err = c->make_store == 0 ? db_expect(c->data, p) : OK;
	if (err == OK)
		err = db_try(c->data, c->store_max_bytes, &db, p);
	if (err != OK || db == NULL)
		return err;
	err = schema_check(db, p);
	if (err == OK)
		err = secrets_check_store(db, vault, p);
	db_close(db);
	return err;
}

int command_check_config(int argc, char **argv)
{
	struct config c;
	struct problem p;
	bool usage = false;
	struct auth *auth = auth_new();
	struct vault *vault = vault_new();
	struct configured sources = {0};
	struct membership membership = {0};
	config_init(&c);
	enum err err = config_read(&c, argc, argv, environ, &usage, &p);
	usage = usage && err != OK;
	if (err == OK) {
		memory_apply(&c);
		config_warn(&c);
		err = config_check(&c, &p);
	}
	if (err == OK)
		err = secrets_load_tokens(&c, auth, &p);
	if (err == OK)
		err = listen_settings_check_exposure(&c, auth_count(auth), &p);
	if (err == OK)
		err = configured_load(&c, &sources, &p);
	if (err == OK)
		err = secrets_load_keys(&c, vault, &p);
	if (err == OK)
		err = membership_load(&membership, &c, &p);
	if (err == OK)
		err = listen_settings_check(&c, &p);
	if (err == OK)
		err = check_store(&c, vault, &p);
	if (err != OK)
		serve_explain(usage ? "waybill check-config" : "", c.data, err, &p);
	else
		(void)printf("%s: ok\n", configuration_name(argc, argv));
	membership_fini(&membership);
	vault_free(vault);
	auth_free(auth);
	configured_free(&sources);
	config_free(&c);
	if (err == OK)
		return EXIT_OK;
	return usage ? EXIT_USAGE : EXIT_FAILED;
}
