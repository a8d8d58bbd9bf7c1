/*
 * The fields success and fallback_url: which answers to a webhook's attempts count, and where
 * these go while its circuit is open; see webhook_json_inner.h.
 */
#include <cjson/cJSON.h>
#include <string.h>
#include <strings.h>

#include "domain/url.h"
#include "domain/url_given.h"
#include "domain/webhook_json.h"
#include "domain/webhook_json_inner.h"

enum err webhook_json_take_url(char **out, const cJSON *value, const char *field,
    struct problem *p)
{
	struct buf url = BUF_INIT(4 * URL_MAX); /* more than url_check() lets through */
	enum err err = url_take(slice_of(value->valuestring), &url, field, p);
	if (err == OK)
		webhook_set(out, buf_cstr(&url));
	buf_fini(&url);
	return err;
}

enum err webhook_json_take_fallback(struct webhook *w, const cJSON *value, struct problem *p)
{
	if (cJSON_IsNull(value)) {
		webhook_set(&w->fallback_url, NULL);
		return OK;
	}
	if (!cJSON_IsString(value))
		return problem_set(p, ERR_INVALID, "fallback_url",
		    "fallback_url must be null or a string");
	return webhook_json_take_url(&w->fallback_url, value, "fallback_url", p);
}

enum err webhook_check_asked(const struct webhook *w, struct problem *p)
{
	if (w->fallback_url == NULL || w->url == NULL ||
	    url_is_same_origin(w->url, w->fallback_url))
		return OK;
	return problem_set(p, ERR_INVALID, "fallback_url",
	    "only the endpoint of url repeats a challenge: fallback_url must have the same "
	    "scheme, host and port, or verify be null");
}

enum err webhook_json_check_fallback(const struct webhook *w, struct problem *p)
{
	if (w->fallback_url == NULL)
		return OK;
	if (w->url != NULL && strcmp(w->fallback_url, w->url) == 0)
		return problem_set(p, ERR_INVALID, "fallback_url",
		    "fallback_url must be another URL than url");
	if (w->client_cert_pem != NULL && strncasecmp(w->fallback_url, "https:", 6) != 0)
		return problem_set(p, ERR_INVALID, "fallback_url",
		    "a client certificate is shown in TLS alone: fallback_url must be an https "
		    "URL");
	return OK;
}

void webhook_json_write_answer(const struct webhook *w, struct json_writer *json)
{
	if (w->success == NULL)
		json_write_null(json, "success");
	else
		json_write_raw(json, "success", success_json(w->success));
	json_write_cstr(json, "fallback_url", w->fallback_url);
}
