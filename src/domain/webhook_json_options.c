/* The fields that say how requests are sent; see webhook_json_inner.h. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "domain/header.h"
#include "domain/webhook_json.h"
#include "domain/webhook_json_inner.h"
#include "domain/webhook_mask.h"

#define SCHEME "http://"

static enum err bad(struct problem *p, const char *field, const char *allowed)
{
	return problem_set(p, ERR_INVALID, field, "%s must be %s", field, allowed);
}

static const char *text_of(const cJSON *value)
{
	return cJSON_IsString(value) ? value->valuestring : "";
}

#define SHOWN_MAX (PROXY_URL_MAX + sizeof(WEBHOOK_MASK))

/* Whether webhooks may choose; what they then do is for the operator to allow. */
static enum err check_choice(const struct webhook_rules *rules, const char *field,
    struct problem *p)
{
	if (rules->own_proxies)
		return OK;
	return problem_set(p, ERR_INVALID, field,
	    "%s cannot be chosen here: the setting webhook_proxies is off", field);
}

/* Appends the proxy as answers show it, its credentials as a mask. */
static void put_proxy(const struct proxy_choice *proxy, struct buf *shown)
{
	switch (proxy->kind) {
	case PROXY_SETTING:
		buf_puts(shown, "default");
		break;
	case PROXY_NONE:
		buf_puts(shown, "none");
		break;
	case PROXY_OWN:
		if (proxy->url == NULL) /* its record could not be read whole */
			buf_puts(shown, WEBHOOK_MASK);
		else if (proxy_credentials(proxy->url).len > 0)
			buf_printf(shown, SCHEME WEBHOOK_MASK "%s", strrchr(proxy->url, '@'));
		else
			buf_puts(shown, proxy->url);
		break;
	}
}

/* Whether `text` is what answers show of the proxy that the webhook has. */
static bool is_shown(const struct webhook *w, const char *text)
{
	struct buf shown = BUF_INIT(SHOWN_MAX);
	if (w->options == NULL)
		return false;
	put_proxy(&w->options->proxy, &shown);
	bool same = strcmp(buf_cstr(&shown), text) == 0;
	buf_fini(&shown);
	return same;
}

static bool has_mask(const char *url)
{
	struct slice given = proxy_credentials(url);
	return given.len > 0 &&
	    memmem(given.ptr, given.len, WEBHOOK_MASK, strlen(WEBHOOK_MASK)) != NULL;
}

enum err webhook_json_take_proxy(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	const char *text = cJSON_IsNull(value) ? "default" : text_of(value);
	enum proxy_kind kind = PROXY_OWN;
	if (strcmp(text, "default") == 0)
		kind = PROXY_SETTING;
	else if (strcmp(text, "none") == 0)
		kind = PROXY_NONE;
	else if (!proxy_is_url(text))
		return bad(p, "proxy",
		    "null, \"default\", \"none\" or the URL of an HTTP proxy, http://HOST:PORT "
		    "or http://USER:PASSWORD@HOST:PORT");
	if (kind == PROXY_OWN && has_mask(text))
		return is_shown(w, text)
		    ? OK
		    : problem_set(p, ERR_INVALID, "proxy",
			  "this is the mask that answers show, of another proxy than it has");
	enum err err = kind == PROXY_SETTING ? OK : check_choice(rules, "proxy", p);
	if (err != OK)
		return err;
	struct webhook_options *o = webhook_options_of(&w->options);
	o->proxy.kind = kind;
	webhook_set(&o->proxy.url, kind == PROXY_OWN ? text : NULL);
	return OK;
}

static enum err take_exceptions(struct proxy_choice *proxy, const cJSON *value,
    struct problem *p)
{
	const cJSON *item = NULL;
	int at = 0;
	cJSON_ArrayForEach(item, value)
	{
		char field[32];
		(void)snprintf(field, sizeof(field), "no_proxy[%d]", at++);
		struct slice text = slice_of(text_of(item));
		if (!proxy_is_exception(text))
			return bad(p, field,
			    "a host such as example.org, which stands for those below it too, "
			    "an address or a network");
		proxy->exceptions[proxy->exception_count++] = mem_copy(text.ptr, text.len);
	}
	return OK;
}

enum err webhook_json_take_no_proxy(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	int count = cJSON_GetArraySize(value); /* 0 of a null */
	if ((!cJSON_IsNull(value) && !cJSON_IsArray(value)) || count > PROXY_EXCEPTIONS_MAX)
		return bad(p, "no_proxy", "null or an array of at most 32 hosts");
	enum err err = count == 0 ? OK : check_choice(rules, "no_proxy", p);
	if (err != OK)
		return err;
	struct proxy_choice *proxy = &webhook_options_of(&w->options)->proxy;
	for (size_t i = 0; i < proxy->exception_count; i++)
		free(proxy->exceptions[i]);
	free(proxy->exceptions);
	proxy->exception_count = 0;
	proxy->exceptions = mem_array((size_t)count, sizeof(*proxy->exceptions));
	return take_exceptions(proxy, value, p);
}

enum err webhook_json_take_agent(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	const char *text = text_of(value);
	size_t len = strlen(text);
	(void)rules;
	if (!cJSON_IsNull(value) &&
	    (len == 0 || len > OPTIONS_AGENT_MAX || !header_is_value(text) || text[0] == ' ' ||
		text[len - 1] == ' '))
		return bad(p, "user_agent",
		    "null or a string of 1 to 256 printable ASCII characters, without spaces "
		    "around them");
	webhook_set(&webhook_options_of(&w->options)->user_agent, len == 0 ? NULL : text);
	return OK;
}

enum err webhook_json_take_version(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	const char *text = cJSON_IsNull(value) ? "1.1" : text_of(value);
	bool is_2 = strcmp(text, "2") == 0;
	if (!is_2 && strcmp(text, "1.1") != 0)
		return bad(p, "http_version", "null, \"1.1\" or \"2\"");
	if (is_2 && rules->old_libcurl != NULL)
		return problem_set(p, ERR_INVALID, "http_version",
		    "http_version \"2\" needs libcurl " WEBHOOK_HTTP2_LIBCURL
		    " or newer, with HTTP/2: this machine has %s",
		    rules->old_libcurl);
	webhook_options_of(&w->options)->http2 = is_2;
	return OK;
}

enum err webhook_json_take_encoding(struct webhook *w, const cJSON *value,
    const struct webhook_rules *rules, struct problem *p)
{
	const char *text = cJSON_IsNull(value) ? "identity" : text_of(value);
	bool is_gzip = strcmp(text, "gzip") == 0;
	(void)rules;
	if (!is_gzip && strcmp(text, "identity") != 0)
		return bad(p, "content_encoding", "null, \"identity\" or \"gzip\"");
	webhook_options_of(&w->options)->gzip = is_gzip;
	return OK;
}

enum err webhook_json_check_options(struct webhook *w, struct problem *p)
{
	webhook_options_tidy(&w->options);
	if (w->options == NULL || !w->options->http2 || w->url == NULL ||
	    strncasecmp(w->url, "https:", 6) == 0)
		return OK;
	return problem_set(p, ERR_INVALID, "http_version",
	    "HTTP/2 is agreed on in TLS alone: url must be an https URL");
}

void webhook_json_write_options(const struct webhook_options *o, struct json_writer *json)
{
	static const struct webhook_options NONE;
	struct buf shown = BUF_INIT(SHOWN_MAX);
	if (o == NULL)
		o = &NONE;
	put_proxy(&o->proxy, &shown);
	json_write_text(json, "proxy", buf_view(&shown));
	buf_fini(&shown);
	json_open_array(json, "no_proxy");
	for (size_t i = 0; i < o->proxy.exception_count; i++)
		json_write_cstr(json, NULL, o->proxy.exceptions[i]);
	json_close(json);
	json_write_cstr(json, "user_agent", o->user_agent);
	json_write_cstr(json, "http_version", o->http2 ? "2" : "1.1");
	json_write_cstr(json, "content_encoding", o->gzip ? "gzip" : "identity");
}
