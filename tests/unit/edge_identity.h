/*
 * What edge_client.h leaves out: how webhooks show who they are, which none here does, and what
 * is seen of an attempt.
 */
#ifndef UNIT_EDGE_IDENTITY_H
#define UNIT_EDGE_IDENTITY_H

#include "base/log.h"
#include "courier/client.h"

void client_secret_header(struct client_request *q, struct slice name, struct slice value)
{
	client_header(q, name, value);
}

/* Only what an attempt that ends here has been given is known: nothing. */
void client_describe(const struct client_result *r, struct client_seen *out)
{
	(void)r;
	*out = (struct client_seen){.tls = "", .expires_ms = INT64_MIN};
}

void client_identity(struct client_request *q, const char *cert_pem, const char *key_pem)
{
	(void)q;
	(void)cert_pem;
	(void)key_pem;
}

/* For tokens alone, which no webhook here needs. */
void client_call(struct client_request *q, const char *method, const char *url,
    struct slice text, uint32_t timeout_ms, client_data_fn data, client_done_fn done, void *arg)
{
	(void)q;
	(void)text;
	(void)timeout_ms;
	(void)data;
	(void)done;
	(void)arg;
	log_panic("nobody expects a %s to %s", method, url);
}

void client_proxy(struct client_request *q, const struct proxy_choice *choice)
{
	(void)q;
	(void)choice;
}

void client_http2(struct client_request *q)
{
	(void)q;
}

#endif
