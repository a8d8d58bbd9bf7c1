/* Where a command sends its requests; see remote.h. */
#include "cli/remote.h"

#include <getopt.h>
#include <stdlib.h>

#include "base/buf.h"
#include "domain/url.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
#define AUTHORIZATION_MAX 1024 /* bytes; a token has at most 512 */

bool remote_read(struct remote *r, int argc, char **argv, int *first)
{
	static const struct option OPTIONS[] = {{"url", required_argument, NULL, 'u'},
	    {"token", required_argument, NULL, 't'}, {"ca-file", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0}};
	*r = (struct remote){.url = getenv("WAYBILL_URL"), .token = getenv("WAYBILL_TOKEN")};
	if (r->url == NULL)
		r->url = URL_DEFAULT;
	optind = 0; /* glibc: start over */
	int opt = getopt_long(argc, argv, "", OPTIONS, NULL);
	for (; opt != -1; opt = getopt_long(argc, argv, "", OPTIONS, NULL)) {
		if (opt == '?')
			return false;
		if (opt == 'u')
			r->url = optarg;
		else if (opt == 't')
			r->token = optarg;
		else
			r->ca_file = optarg;
	}
	*first = optind;
	return true;
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

void remote_authorize(const struct remote *r, struct client_request *q)
{
	struct buf text = BUF_INIT(AUTHORIZATION_MAX);
	if (r->token == NULL)
		return;
	buf_printf(&text, "Bearer %s", r->token);
	client_header(q, SLICE("Authorization"), buf_view(&text));
	buf_fini(&text);
}
