/*
 * TLS of requests: whom each trusts, whom it shows itself as, and which sessions it resumes;
 * see client.h. A connection outlives its request: what it needs of these it holds itself.
 */
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/handshake.h"
#include "base/mem.h"
#include "courier/anchors.h"
#include "courier/client_inner.h"
#include "courier/sessions.h"

#define SESSIONS_MAX 1024 /* of TLS that are kept */
#define SESSION_NAME_MAX 512
#define ANCHORS_FOLDER "/nowhere/anchors/"
#define ANCHORS_FOLDER_MAX (sizeof(ANCHORS_FOLDER) + ANCHORS_NAME_SIZE)

/*
 * What a session is kept under: all that decided whether its receiver is who it should be.
 * Empty where that is too long.
 */
static struct slice name_session(const struct client_request *q, char name[SESSION_NAME_MAX])
{
	struct slice host = buf_view(&q->parsed_url);
	size_t scheme = strlen("https://");
	size_t n = scheme;
	while (n < host.len && strchr("/?#", host.ptr[n]) == NULL)
		n++;
	if (q->parsed_url.failed || host.len <= scheme)
		return SLICE("");
	int len = snprintf(name, SESSION_NAME_MAX, "%.*s %d %s %" PRIx64 " %d", (int)n,
	    host.ptr, q->is_insecure, q->anchors == NULL ? "-" : anchors_name(q->anchors),
	    q->proxy_tag, q->is_http2);
	return (struct slice){name, len < SESSION_NAME_MAX ? (size_t)len : 0};
}

/* A connection of `easy` will be made with `ctx`, and no other. */
static CURLcode on_tls_context(CURL *easy, void *ctx, void *arg)
{
	struct client_request *q = arg;
	char name[SESSION_NAME_MAX];
	(void)easy;
	handshake_bound(ctx, q->client->reactor);
	if (q->anchors != NULL)
		anchors_trust(q->anchors, ctx);
	struct slice session = name_session(q, name);
	if (!q->has_identity && session.len > 0)
		sessions_resume(q->client->sessions, ctx, session, q->taker, clock_mono_ms());
	return CURLE_OK;
}

/* What libcurl takes of a text; it reads it only. */
static struct curl_blob blob_of(const char *text)
{
	return (struct curl_blob){.data = (void *)(uintptr_t)text,
	    .len = text == NULL ? 0 : strlen(text),
	    .flags = CURL_BLOB_COPY};
}

/*
 * libcurl would read a text for each connection, and is told of none. It uses a connection
 * again where all that it was told of TLS is the same: so it is told of a folder that is not
 * there, by the anchors' name.
 */
static void set_anchors(struct client_request *q, const char *ca_pem)
{
	const struct client *c = q->client;
	char folder[ANCHORS_FOLDER_MAX];
	anchors_drop(q->anchors);
	q->anchors = ca_pem == NULL ? NULL : anchors_take(c->anchors, ca_pem);
	if (q->anchors != NULL)
		(void)snprintf(folder, sizeof(folder), ANCHORS_FOLDER "%s",
		    anchors_name(q->anchors));
	MUST(curl_easy_setopt(q->easy, CURLOPT_CAPATH, q->anchors == NULL ? NULL : folder));
	MUST(curl_easy_setopt(q->easy, CURLOPT_CAINFO, q->anchors == NULL ? c->ca_file : NULL));
}

static void set_tls(struct client_request *q, const char *ca_pem, bool insecure)
{
	set_anchors(q, ca_pem);
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L));
	q->is_insecure = insecure;
}

void client_tls(struct client_request *q, const char *ca_pem, bool insecure)
{
	if (ca_pem != NULL || insecure)
		set_tls(q, ca_pem, insecure);
}

/*
 * libcurl uses a connection again whose certificate is the same, and does not look at the key:
 * who has the certificate has its key, which was checked. By a session a receiver knows who
 * asks without seeing a certificate, also one that has been replaced since.
 */
void client_identity(struct client_request *q, const char *cert_pem, const char *key_pem)
{
	struct curl_blob cert = blob_of(cert_pem);
	struct curl_blob key = blob_of(key_pem);
	bool has = cert_pem != NULL;
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSLCERT_BLOB, has ? &cert : NULL));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSLKEY_BLOB, has ? &key : NULL));
	q->has_identity = has;
}

void client_begin_tls(struct client_request *q)
{
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_CTX_DATA, q));
	MUST(curl_easy_setopt(q->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L)); /* ours are kept */
	set_tls(q, NULL, false);
}

void client_forget_tls(struct client_request *q)
{
	if (q->anchors != NULL || q->is_insecure)
		set_tls(q, NULL, false);
	if (q->has_identity)
		client_identity(q, NULL, NULL);
}

void client_end_tls(struct client_request *q)
{
	anchors_drop(q->anchors);
}

/* The authorities' file where a request names none: what is configured, or libcurl's own. */
static char *find_ca_file(const struct client_conf *conf)
{
	const char *file = conf->ca_file;
	CURL *easy = file == NULL ? curl_easy_init() : NULL;
	if (easy != NULL)
		(void)curl_easy_getinfo(easy, CURLINFO_CAINFO, &file); /* NULL where it fails */
	char *copy = file == NULL ? NULL : mem_copy(file, strlen(file));
	curl_easy_cleanup(easy);
	return copy;
}

/* As many as there can be connections, of which each receiver mostly has several. */
static size_t most_sessions(const struct client_conf *conf)
{
	bool is_few = conf->connections > 0 && conf->connections < SESSIONS_MAX;
	return is_few ? conf->connections : SESSIONS_MAX;
}

void client_open_trust(struct client *c)
{
	c->sessions = sessions_new(most_sessions(&c->conf));
	c->anchors = anchors_kept_new();
	c->ca_file = find_ca_file(&c->conf);
}

void client_close_trust(struct client *c)
{
	sessions_free(c->sessions);
	anchors_kept_free(c->anchors);
	free(c->ca_file);
}
