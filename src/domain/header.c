/* Names and values of webhooks' own headers; see header.h. */
#include "domain/header.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool header_is_name(const char *name)
{
	static const char EXTRA[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 section 5.6.2 */
	for (const char *c = name; *c != '\0'; c++) {
		if (!is_alnum(*c) && strchr(EXTRA, *c) == NULL)
			return false;
	}
	return name[0] != '\0' && strlen(name) <= HEADER_NAME_MAX;
}

/* What a name's byte may be read as: letters have no case, and all marks are one. */
static char folded(char c)
{
	if (!is_alnum(c))
		return '-';
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Whether `name` may be read as `reserved`, which is folded. */
static bool reads_as(const char *name, const char *reserved)
{
	while (*name != '\0' && folded(*name) == *reserved) {
		name++;
		reserved++;
	}
	return *name == '\0' && *reserved == '\0';
}

bool header_is_reserved(const char *name)
{
	static const char *const NAMES[] = {"accept-encoding", "connection", "content-digest",
	    "content-encoding", "content-length", "content-type", "expect", "host",
	    "keep-alive", "proxy-authorization", "proxy-connection", "signature",
	    "signature-input", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
	    "webhook-id", "webhook-signature", "webhook-timestamp", "x-webhook-attempt",
	    "x-webhook-delivery", "x-webhook-event", "x-webhook-id", "x-webhook-session",
	    "x-webhook-signature", "x-webhook-signature-version", "x-webhook-timestamp"};
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (reads_as(name, NAMES[i]))
			return true;
	}
	return false;
}

bool header_is_credential(const char *name)
{
	return strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "Cookie") == 0;
}

bool header_is_value(const char *value)
{
	for (const char *c = value; *c != '\0'; c++) {
		if (*c < 0x20 || *c > 0x7e)
			return false;
	}
	return strlen(value) <= HEADER_VALUE_MAX;
}
