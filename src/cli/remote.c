/* Where a command sends its requests; see remote.h. */
#include "cli/remote.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/flag.h"
#include "base/log.h"
#include "cli/show.h"
#include "domain/url.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
#define FLAGS_MAX 8
#define AUTHORIZATION_MAX 1024 /* bytes; a token has at most 512 */

/* Sets what flag `index` of `flags` says. */
static void set_flag(const struct remote_flag *flags, int index)
{
	if (flags[index].value != NULL)
		*flags[index].value = optarg;
	else
		*flags[index].set = true;
}

bool remote_read_more(struct remote *r, const struct remote_flag *more, int argc, char **argv,
    int *first)
{
	struct remote_flag flags[FLAGS_MAX] = {{"url", &r->url, NULL},
	    {"token", &r->token, NULL}, {"ca-file", &r->ca_file, NULL}};
	struct option options[FLAGS_MAX + 1] = {{0}};
	size_t count = 3;
	for (; count < FLAGS_MAX && more->name != NULL; more++)
		flags[count++] = *more;
	panic_if(more->name != NULL, "too many flags");
	for (size_t i = 0; i < count; i++)
		options[i] = (struct option){flags[i].name,
		    flags[i].value != NULL ? required_argument : no_argument, NULL, FLAG_FIRST};
	*r = (struct remote){.url = getenv("WAYBILL_URL"), .token = getenv("WAYBILL_TOKEN")};
	if (r->url == NULL)
		r->url = URL_DEFAULT;
	optind = 0; /* glibc: start over */
	opterr = 0;
	int index = 0;
	char why[FLAG_WHY_SIZE];
	int opt = getopt_long(argc, argv, ":", options, &index);
	for (; opt != -1; opt = getopt_long(argc, argv, ":", options, &index)) {
		if (opt != FLAG_FIRST) {
			(void)fprintf(stderr, "waybill %s: %s\n", argv[0],
			    flag_explain(options, argv, opt, why));
			return false;
		}
		set_flag(flags, index);
	}
	*first = optind;
	return true;
}

bool remote_read(struct remote *r, int argc, char **argv, int *first)
{
	const struct remote_flag none = {NULL, NULL, NULL};
	return remote_read_more(r, &none, argc, argv, first);
}

enum err remote_check(const struct remote *r, struct problem *p)
{
	return url_check(slice_of(r->url), "--url", p);
}

struct client *remote_client(const struct remote *r, struct reactor *reactor)
{
	struct client_conf conf = {.user_agent = "waybill/" WAYBILL_VERSION,
	    .ca_file = r->ca_file,
	    .connections = 1};
	return client_new(reactor, &conf);
}

void remote_tell(const struct remote *r, const char *command,
    const struct client_result *result)
{
	if (result->status == 0)
		(void)fprintf(stderr, "%s: %s: ", command, r->url);
	else
		(void)fprintf(stderr, "%s: HTTP status %d: ", command, result->status);
	show_print(stderr, result->status == 0 ? slice_of(result->error) : result->answer);
	(void)fputc('\n', stderr); /* nobody reads it if this fails */
}

void remote_authorize(const struct remote *r, struct client_request *q)
{
	struct buf text = BUF_INIT(AUTHORIZATION_MAX);
	if (r->token == NULL)
		return;
	buf_printf(&text, "Bearer %s", r->token);
	client_header(q, SLICE("Authorization"), buf_view(&text));
	buf_fini(&text);
}
