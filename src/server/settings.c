/* The table of settings and how their values are read; see settings.h. */
#include "server/settings.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/origin.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/json.h"
#include "domain/json_walk.h"
#include "domain/name.h"
#include "domain/nats_given.h"
#include "domain/proxy.h"
#include "domain/source.h"
#include "domain/url.h"
#include "domain/webhook.h"
#include "http/listen_address.h"
#include "store/events.h"

static const char *const LEVELS[] = {"debug", "info", "warn", "error", NULL};
static const char *const SWITCH[] = {"off", "on", NULL};
static const char *const UNKNOWN[] = {"refuse", "ignore", NULL};
static const char *const FORMATS[] = {"text", "json", NULL};
static const char *const TARGETS[] = {"stderr", "syslog", NULL};

static bool is_event_item(const char *item)
{
	return name_is_event(slice_of(item));
}

static bool is_listen_item(const char *item)
{
	bool local = false;
	struct problem p;
	return listen_address_is_local(item, &local, &p) == OK;
}

static bool is_plain_listen(const char *item)
{
	return is_listen_item(item) && !listen_address_is_tls(item);
}

static bool is_proxy_item(const char *item)
{
	struct cidr network;
	return strcmp(item, "unix") == 0 || cidr_parse(slice_of(item), &network) == OK;
}

/* An address, perhaps with a port, which is then written as where a server listens. */
static bool is_name_server(const char *item)
{
	struct cidr address;
	union listen_address addr;
	socklen_t len = 0;
	struct problem p;
	if (address_parse(slice_of(item), &address) == OK)
		return true;
	return !listen_address_is_tls(item) &&
	    listen_address_parse(item, &addr, &len, &p) == OK &&
	    (addr.sa.sa_family == AF_INET || addr.sa.sa_family == AF_INET6) &&
	    addr.in.sin_port != 0; /* where in6 has its too */
}

/* The name of a shard or a member: a word in names at NATS and in labels of metrics. */
static bool is_cluster_name(const char *text)
{
	static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";
	size_t len = strlen(text);
	return len > 0 && len <= CLUSTER_NAME_MAX && strspn(text, ALLOWED) == len;
}

static bool is_cluster_server(const char *item)
{
	struct nats_server server;
	struct problem p;
	return nats_server_parse(slice_of(item), "cluster", &server, &p) == OK;
}

/* The URL of a server's root, without a path of its own. */
static bool is_root_url(const char *text)
{
	struct problem p;
	struct slice url = slice_of(text);
	const char *host = strstr(text, "://");
	return url_check(url, "cluster_url", &p) == OK && host != NULL &&
	    strpbrk(host + 3, "/?#@") == NULL;
}

static bool is_monitor(const char *item)
{
	return slice_starts(slice_of(item), SLICE("http://")) && is_root_url(item);
}

static bool is_signature(const char *text)
{
	return sign_read_set(slice_of(text)) != 0;
}

static bool is_secret(const char *text)
{
	struct problem p;
	return sign_check_secret(slice_of(text), "", &p) == OK;
}

/* Whether it is a JSON object; what it says is configured_load()'s to read. */
static bool is_object(const char *item)
{
	struct buf canonical = BUF_INIT(SOURCE_SETTINGS_MAX);
	struct problem p;
	bool good = json_read_whole(slice_of(item), &canonical, &p) == OK &&
	    json_is_object(buf_view(&canonical));
	mem_wipe(canonical.data, canonical.len);
	buf_fini(&canonical);
	return good;
}

const char *setting_read_session(const char *item, char session[SESSION_MAX + 1])
{
	size_t len = strcspn(item, "=");
	if (item[len] != '=' || name_read_session((struct slice){item, len}, session) != OK)
		return NULL;
	return item + len + 1;
}

static bool is_inbound_item(const char *item)
{
	char session[SESSION_MAX + 1];
	const char *secret = setting_read_session(item, session);
	return secret != NULL && is_secret(secret);
}

static bool is_store_item(const char *item)
{
	char session[SESSION_MAX + 1];
	uint64_t bytes = 0;
	const char *size = setting_read_session(item, session);
	return size != NULL && str_size(slice_of(size), &bytes) == OK;
}

#define AT(field) offsetof(struct config, field)

/* Two lines a setting: what it is, and what it takes. */
/* clang-format off */
const struct setting SETTINGS[] = {
    {.name = "listen", KIND_LIST, AT(listen), "127.0.0.1:8080",
	"ADDRESS:PORT, [IPV6]:PORT, both also behind tls:, or unix:PATH, "
	"several separated by commas",
	.is_item = is_listen_item, .fixed = true},
    {.name = "metrics_listen", KIND_TEXT, AT(metrics_listen), NULL,
	"ADDRESS:PORT, [IPV6]:PORT or unix:PATH",
	.is_item = is_plain_listen, .fixed = true},
    {.name = "tls_certificate", KIND_TEXT, AT(tls_certificate), NULL,
	"a PEM file with the server's certificate, then those up to its authority's"},
    {.name = "tls_key", KIND_TEXT, AT(tls_key), NULL,
	"a PEM file with the key of tls_certificate, without a passphrase"},
    {.name = "tls_client_ca", KIND_TEXT, AT(tls_client_ca), NULL,
	"a PEM file with authorities, of which clients then need a certificate"},
    {.name = "unix_mode", KIND_TEXT, AT(unix_mode), "0600",
	"an octal mode from 0000 to 0777", .fixed = true},
    {.name = "unix_owner", KIND_TEXT, AT(unix_owner), NULL,
	"USER, USER:GROUP or :GROUP, names or numbers", .fixed = true},
    {.name = "data", KIND_TEXT, AT(data), "var",
	"a folder for the store", .fixed = true},
    {.name = "make_store", KIND_CHOICE, AT(make_store), "on",
	"off or on", .choices = SWITCH, .fixed = true},
    {.name = "token", KIND_TEXT, AT(token), NULL,
	"8 to 512 printable ASCII characters without spaces"},
    {.name = "tokens_file", KIND_TEXT, AT(tokens_file), NULL,
	"a file with a token a line, sessions behind it limit it to these"},
    {.name = "secret_key", KIND_TEXT, AT(secret_key), NULL,
	"64 hex digits, of openssl rand -hex 32", .fixed = true},
    {.name = "secret_key_file", KIND_TEXT, AT(secret_key_file), NULL,
	"a file with a key of 64 hex digits a line, the one in use first", .fixed = true},
    {.name = "core_dumps", KIND_CHOICE, AT(core_dumps), "off",
	"off or on", .choices = SWITCH, .fixed = true},
    {.name = "allow_cidr", KIND_CIDRS, AT(addresses), NULL,
	"networks such as 10.0.0.0/8 or fd00::/8, host bits zero, separated by commas"},
    {.name = "ca_file", KIND_TEXT, AT(ca_file), NULL,
	"a PEM file with the authorities that receivers' certificates are checked against",
	.fixed = true},
    {.name = "proxy", KIND_TEXT, AT(proxy), NULL,
	"the URL of an HTTP proxy, http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
	.is_item = proxy_is_url, .fixed = true},
    {.name = "webhook_proxies", KIND_CHOICE, AT(webhook_proxies), "off",
	"off or on", .choices = SWITCH, .fixed = true},
    {.name = "name_servers", KIND_LIST, AT(name_servers), NULL,
	"addresses such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53, "
	"separated by commas",
	.is_item = is_name_server, .fixed = true},
    {.name = "retry_schedule", KIND_SCHEDULE, AT(retry), "5s,30s,2m,10m,30m,2h,5h,10h,10h",
	"1 to 32 waits such as 5s,30s,2m"},
    {.name = "timeout_ms", KIND_INTEGER, AT(timeout_ms), "5000",
	"an integer from 100 to 30000", WEBHOOK_TIMEOUT_MIN_MS, WEBHOOK_TIMEOUT_MAX_MS},
    {.name = "default_signature", KIND_TEXT, AT(default_signature), "v1",
	"v1, v2, ed25519 or rfc9421, or several with commas, of v1 and v2 one",
	.is_item = is_signature},
    {.name = "unknown_fields", KIND_CHOICE, AT(unknown_fields), "refuse",
	"refuse or ignore", .choices = UNKNOWN},
    {.name = "verify_endpoints", KIND_CHOICE, AT(verify_endpoints), "off",
	"off or on", .choices = SWITCH},
    {.name = "expire", KIND_EXPIRIES, AT(expiries),
	"presence=2m,chat_presence=2m,qr_code=60s,pair_code=180s",
	"event=duration, several separated by commas, at most 64"},
    {.name = "circuit_failures", KIND_INTEGER, AT(circuit_failures), "25",
	"an integer from 1 to 1000000", 1, 1000000},
    {.name = "circuit_open", KIND_DURATION, AT(circuit_open), "5m",
	"a duration from 10ms to 1d", 10, 86400000},
    {.name = "disable_after", KIND_DURATION, AT(disable_after), "5d",
	"a duration from 1s to 365d", 1000, 31536000000},
    {.name = "max_in_flight", KIND_INTEGER, AT(max_in_flight), "1024",
	"an integer from 1 to 10000", 1, 10000, .fixed = true},
    {.name = "max_per_host", KIND_INTEGER, AT(max_per_host), "128",
	"an integer from 1 to 10000", 1, 10000},
    {.name = "connection_max_age", KIND_DURATION, AT(connection_max_age), "60s",
	"a duration from 1s to 1d", 1000, 86400000, .fixed = true},
    {.name = "cors_origins", KIND_LIST, AT(cors_origins), NULL,
	"origins such as https://app.example.com, separated by commas",
	.is_item = origin_is_origin},
    {.name = "frame_ancestors", KIND_LIST, AT(frame_ancestors), NULL,
	"origins such as https://app.example.com, separated by commas",
	.is_item = origin_is_frame},
    {.name = "allowed_hosts", KIND_LIST, AT(allowed_hosts), NULL,
	"names of hosts, without ports, separated by commas", .is_item = origin_is_host},
    {.name = "extra_events", KIND_LIST, AT(extra_events), NULL,
	"event names of [a-z0-9_.]{1,64}, separated by commas", .is_item = is_event_item},
    {.name = "max_webhooks_per_session", KIND_INTEGER, AT(max_webhooks_per_session), "1000",
	"an integer from 1 to 10000", 1, 10000},
    {.name = "max_queue_per_session", KIND_INTEGER, AT(max_queue_per_session), "1000000",
	"an integer from 0 to 1000000000", 0, 1000000000},
    {.name = "max_store_per_session", KIND_SIZE, AT(max_store_per_session), "0",
	"a size from 0 to 16384GiB", 0, 16ULL << 40},
    {.name = "session_store_bytes", KIND_LIST, AT(session_store_bytes), NULL,
	"session=size, sessions percent-encoded, "
	"several separated by commas", .is_item = is_store_item},
    {.name = "max_body_bytes", KIND_SIZE, AT(max_body_bytes), "4MiB",
	"a size from 100 bytes to 16MiB", 100, EVENT_GIVEN_MAX},
    {.name = "max_batch_bytes", KIND_SIZE, AT(max_batch_bytes), "8MiB",
	"a size from 100 bytes to 32MiB", 100, 2 * EVENT_GIVEN_MAX},
    {.name = "source", KIND_LIST, AT(sources), NULL,
	"a source of type nats as a JSON object, one a value",
	.is_item = is_object, .is_whole = true},
    {.name = "inbound_secret", KIND_TEXT, AT(inbound_secret), NULL,
	"the secret that signs what comes to webhook-in, without white space around it, "
	"behind whsec_ base64",
	.is_item = is_secret},
    {.name = "session_inbound_secrets", KIND_LIST, AT(session_inbound_secrets), NULL,
	"session=secret, sessions percent-encoded, several separated by commas, "
	"each secret as inbound_secret",
	.is_item = is_inbound_item},
    {.name = "max_connections", KIND_INTEGER, AT(max_connections), "1024",
	"an integer from 1 to 100000", 1, 100000},
    {.name = "max_connections_per_address", KIND_INTEGER, AT(max_connections_per_address),
	"256", "an integer from 1 to 100000", 1, 100000},
    {.name = "max_input_bytes", KIND_SIZE, AT(max_input_bytes), "64MiB",
	"a size from 1MiB to 1024GiB", 1u << 20, 1ULL << 40},
    {.name = "max_output_bytes", KIND_SIZE, AT(max_output_bytes), "64MiB",
	"a size from 1MiB to 1024GiB", 1u << 20, 1ULL << 40},
    {.name = "trusted_proxies", KIND_LIST, AT(trusted_proxies), NULL,
	"networks such as 10.0.0.0/8 or fd00::/8, or unix, separated by commas",
	.is_item = is_proxy_item},
    {.name = "head_timeout_ms", KIND_INTEGER, AT(head_timeout_ms), "10000",
	"an integer from 100 to 600000", 100, 600000},
    {.name = "body_timeout_ms", KIND_INTEGER, AT(body_timeout_ms), "30000",
	"an integer from 100 to 600000", 100, 600000},
    {.name = "send_timeout_ms", KIND_INTEGER, AT(send_timeout_ms), "30000",
	"an integer from 100 to 600000", 100, 600000},
    {.name = "idle_timeout_ms", KIND_INTEGER, AT(idle_timeout_ms), "75000",
	"an integer from 1000 to 3600000", 1000, 3600000},
    {.name = "drain_timeout_ms", KIND_INTEGER, AT(drain_timeout_ms), "10000",
	"an integer from 0 to 600000", 0, 600000},
    {.name = "backup_stall_ms", KIND_INTEGER, AT(backup_stall_ms), "60000",
	"an integer from 100 to 600000", 100, 600000},
    {.name = "stream_readers_max", KIND_INTEGER, AT(stream_readers_max), "32",
	"an integer from 0 to 1000", 0, 1000},
    {.name = "retention", KIND_DURATION, AT(retention), "24h",
	"a duration from 0s to 365d", 0, 31536000000},
    {.name = "retention_bytes", KIND_SIZE, AT(retention_bytes), "1GiB",
	"a size from 0 to 16384GiB", 0, 16ULL << 40},
    {.name = "dead_letter_retention", KIND_DURATION, AT(dead_letter_retention), "30d",
	"a duration from 1s to 3650d", 1000, 315360000000},
    {.name = "idempotency_retention", KIND_DURATION, AT(idempotency_retention), "24h",
	"a duration from 1m to 8d", 60000, 691200000},
    {.name = "disk_reserve", KIND_SIZE, AT(disk_reserve), "1GiB",
	"a size from 0 to 16384GiB", 0, 16ULL << 40},
    {.name = "store_max_bytes", KIND_SIZE, AT(store_max_bytes), "64GiB",
	"a size from 16MiB to 16384GiB", 16u << 20, 16ULL << 40, .fixed = true},
    {.name = "log_level", KIND_CHOICE, AT(log_level), "info",
	"debug, info, warn or error", .choices = LEVELS},
    {.name = "log_format", KIND_CHOICE, AT(log_format), "text",
	"text or json", .choices = FORMATS},
    {.name = "log_target", KIND_CHOICE, AT(log_target), "stderr",
	"stderr or syslog", .choices = TARGETS},
    {.name = "log_rate", KIND_INTEGER, AT(log_rate), "10",
	"an integer from 0 to 1000000", 0, 1000000},
    {.name = "cluster", KIND_LIST, AT(cluster), NULL,
	"servers of NATS, nats://HOST:PORT or tls://HOST:PORT, separated by commas",
	.is_item = is_cluster_server, .fixed = true},
    {.name = "shard", KIND_TEXT, AT(shard), NULL,
	"a name of [A-Za-z0-9_-]{1,32}", .is_item = is_cluster_name, .fixed = true},
    {.name = "member", KIND_TEXT, AT(member), NULL,
	"a name of [A-Za-z0-9_-]{1,32}", .is_item = is_cluster_name, .fixed = true},
    {.name = "cluster_url", KIND_TEXT, AT(cluster_url), NULL,
	"http://HOST:PORT or https://HOST:PORT, without a path",
	.is_item = is_root_url, .fixed = true},
    {.name = "cluster_creds_file", KIND_TEXT, AT(cluster_creds_file), NULL,
	"a creds file of NATS", .fixed = true},
    {.name = "cluster_user", KIND_TEXT, AT(cluster_user), NULL,
	"a user of NATS", .fixed = true},
    {.name = "cluster_password_file", KIND_TEXT, AT(cluster_password_file), NULL,
	"a file with the password of cluster_user", .fixed = true},
    {.name = "cluster_nats_token_file", KIND_TEXT, AT(cluster_nats_token_file), NULL,
	"a file with a token of NATS", .fixed = true},
    {.name = "cluster_ca_file", KIND_TEXT, AT(cluster_ca_file), NULL,
	"a PEM file with the authorities of the servers of NATS", .fixed = true},
    {.name = "cluster_token_file", KIND_TEXT, AT(cluster_token_file), NULL,
	"a file with a token that the other members take", .fixed = true},
    {.name = "cluster_replicas", KIND_INTEGER, AT(cluster_replicas), "3",
	"an integer from 1 to 5", 1, 5, .fixed = true},
    {.name = "cluster_max_bytes", KIND_SIZE, AT(cluster_max_bytes), "8GiB",
	"a size from 64MiB to 16384GiB", 64u << 20, 16ULL << 40, .fixed = true},
    {.name = "cluster_monitor", KIND_LIST, AT(cluster_monitor), NULL,
	"URLs such as http://127.0.0.1:8222, separated by commas",
	.is_item = is_monitor, .fixed = true},
    {.name = "takeover_after", KIND_DURATION, AT(takeover_after), "3s",
	"a duration from 1s to 5m", 1000, 300000, .fixed = true},
};
/* clang-format on */
const size_t SETTINGS_COUNT = sizeof(SETTINGS) / sizeof(SETTINGS[0]);
_Static_assert(sizeof(SETTINGS) / sizeof(SETTINGS[0]) <= SETTINGS_MAX, "a mark a setting");

static void *field_of(struct config *c, const struct setting *s)
{
	return (char *)c + s->offset;
}

static enum err refuse(const struct setting *s, struct problem *p)
{
	return problem_set(p, ERR_INVALID, s->name, "%s: must be %s", s->name, s->allowed);
}

void setting_clear_list(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_forget(list->items[i]); /* one of the lists has secrets */
	free(list->items);
	*list = (struct config_list){0};
}

static void clear_cidrs(struct address_policy *policy)
{
	free(policy->allow);
	*policy = (struct address_policy){0};
}

static enum err add_item(struct config_list *list, const struct setting *s, struct slice item,
    struct problem *p)
{
	char *copy = mem_copy(item.ptr, item.len);
	if (!s->is_item(copy)) {
		mem_forget(copy);
		return refuse(s, p);
	}
	list->items = mem_resize(list->items, list->count + 1, sizeof(char *));
	list->items[list->count++] = copy;
	return OK;
}

static enum err add_cidr(struct address_policy *policy, const struct setting *s,
    struct slice item, struct problem *p)
{
	struct cidr cidr;
	if (cidr_parse(item, &cidr) != OK)
		return refuse(s, p);
	policy->allow = mem_resize(policy->allow, policy->allow_count + 1, sizeof(cidr));
	policy->allow[policy->allow_count++] = cidr;
	return OK;
}

/* Adds "event=duration"; the first one for an event counts. */
static enum err add_expiry(struct config_expiries *list, const struct setting *s,
    struct slice item, struct problem *p)
{
	const char *equals = item.len == 0 ? NULL : memchr(item.ptr, '=', item.len);
	if (equals == NULL || list->count == JUDGE_EXPIRIES_MAX)
		return refuse(s, p);
	struct expiry *e = &list->items[list->count];
	size_t key = (size_t)(equals - item.ptr);
	struct slice name = slice_trim((struct slice){item.ptr, key});
	struct slice after = slice_trim((struct slice){equals + 1, item.len - key - 1});
	if (!name_is_event(name) || str_duration(after, &e->after_ms) != OK)
		return refuse(s, p);
	memcpy(e->name, name.ptr, name.len);
	e->name[name.len] = '\0';
	list->count++;
	return OK;
}

/* Empties a list that a higher source says anew. */
static void clear_items(void *field, enum setting_kind kind)
{
	if (kind == KIND_CIDRS)
		clear_cidrs(field);
	else if (kind == KIND_LIST)
		setting_clear_list(field);
	else
		((struct config_expiries *)field)->count = 0;
}

static enum err add_any(void *field, const struct setting *s, struct slice item,
    struct problem *p)
{
	if (s->kind == KIND_CIDRS)
		return add_cidr(field, s, item, p);
	if (s->kind == KIND_LIST)
		return add_item(field, s, item, p);
	return add_expiry(field, s, item, p);
}

static bool is_marked(const struct config_marks *marks, const struct setting *s)
{
	size_t i = (size_t)(s - SETTINGS);
	return (marks->words[i / 64] >> i % 64 & 1) != 0;
}

static void mark(struct config_marks *marks, const struct setting *s)
{
	size_t i = (size_t)(s - SETTINGS);
	marks->words[i / 64] |= 1ULL << i % 64;
}

bool setting_is_given(const struct config *c, const struct setting *s)
{
	return is_marked(&c->given, s);
}

/* Adds comma-separated items to a list, which the source begins anew. */
static enum err set_list(struct reading *r, const struct setting *s, struct slice value,
    struct problem *p)
{
	void *field = field_of(r->config, s);
	if (value.len == 0 && s->kind == KIND_LIST && s->standard != NULL)
		return refuse(s, p); /* such as an address to listen on: none is no choice */
	if (!is_marked(&r->begun, s))
		clear_items(field, s->kind);
	mark(&r->begun, s);
	enum err err = OK;
	while (err == OK && value.len > 0) {
		struct slice item = s->is_whole ? value : slice_cut(&value, ',');
		if (s->is_whole)
			value.len = 0;
		err = add_any(field, s, slice_trim(item), p);
	}
	return err;
}

static enum err set_number(struct config *c, const struct setting *s, struct slice value,
    struct problem *p)
{
	uint64_t n = 0;
	enum err err = s->kind == KIND_SIZE ? str_size(value, &n) : str_u64(value, &n);
	if (err != OK || n < s->min || n > s->max)
		return refuse(s, p);
	*(uint64_t *)field_of(c, s) = n;
	return OK;
}

static enum err set_duration(struct config *c, const struct setting *s, struct slice value,
    struct problem *p)
{
	int64_t ms = 0;
	if (str_duration(value, &ms) != OK || (uint64_t)ms < s->min || (uint64_t)ms > s->max)
		return refuse(s, p);
	*(int64_t *)field_of(c, s) = ms;
	return OK;
}

static enum err set_choice(struct config *c, const struct setting *s, struct slice value,
    struct problem *p)
{
	for (uint64_t i = 0; s->choices[i] != NULL; i++) {
		if (slice_eq(value, slice_of(s->choices[i]))) {
			*(uint64_t *)field_of(c, s) = i;
			return OK;
		}
	}
	return refuse(s, p);
}

static enum err set_text(struct config *c, const struct setting *s, struct slice value,
    struct problem *p)
{
	char **field = field_of(c, s);
	if (value.len == 0)
		return refuse(s, p);
	char *copy = mem_copy(value.ptr, value.len);
	if (s->is_item != NULL && !s->is_item(copy)) {
		mem_forget(copy);
		return refuse(s, p);
	}
	mem_forget(*field); /* may be a secret */
	*field = copy;
	return OK;
}

static bool same_list(const struct config_list *a, const struct config_list *b)
{
	bool same = a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Exchanges `size` bytes, so that each configuration goes on owning what it frees. */
static void exchange(void *a, void *b, size_t size)
{
	char kept[sizeof(struct config_list)];
	panic_if(size > sizeof(kept), "a field is larger than expected");
	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

bool setting_carry(const struct setting *s, struct config *now, struct config *next)
{
	void *a = field_of(now, s);
	void *b = field_of(next, s);
	bool same = false;
	switch (s->kind) {
	case KIND_TEXT:
		same = same_text(*(char **)a, *(char **)b);
		exchange(a, b, sizeof(char *));
		break;
	case KIND_LIST:
		same = same_list(a, b);
		exchange(a, b, sizeof(struct config_list));
		break;
	case KIND_INTEGER:
	case KIND_SIZE:
	case KIND_CHOICE:
		same = *(uint64_t *)a == *(uint64_t *)b;
		exchange(a, b, sizeof(uint64_t));
		break;
	case KIND_DURATION:
		same = *(int64_t *)a == *(int64_t *)b;
		exchange(a, b, sizeof(int64_t));
		break;
	case KIND_SCHEDULE:
	case KIND_CIDRS:
	case KIND_EXPIRIES:
		log_panic("%s cannot be fixed", s->name);
	}
	return !same;
}

static enum err set_any(struct reading *r, const struct setting *s, struct slice value,
    struct problem *p)
{
	switch (s->kind) {
	case KIND_TEXT:
		return set_text(r->config, s, value, p);
	case KIND_INTEGER:
	case KIND_SIZE:
		return set_number(r->config, s, value, p);
	case KIND_CHOICE:
		return set_choice(r->config, s, value, p);
	case KIND_LIST:
	case KIND_CIDRS:
	case KIND_EXPIRIES:
		return set_list(r, s, value, p);
	case KIND_DURATION:
		return set_duration(r->config, s, value, p);
	case KIND_SCHEDULE:
		if (retry_parse(value, s->name, field_of(r->config, s), p) != OK)
			return refuse(s, p);
		return OK;
	}
	return ERR_INVALID;
}

enum err setting_set(struct reading *r, const struct setting *s, struct slice value,
    struct problem *p)
{
	enum err err = set_any(r, s, value, p);
	if (err == OK)
		mark(&r->config->given, s);
	return err;
}

static const struct setting *number_of_name(const char *name)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *s = &SETTINGS[i];
		if (strcmp(s->name, name) == 0 &&
		    (s->kind == KIND_INTEGER || s->kind == KIND_SIZE))
			return s;
	}
	log_panic("%s is no setting with a number", name);
}

uint64_t setting_number(const struct config *c, const char *name)
{
	return *(const uint64_t *)((const char *)c + number_of_name(name)->offset);
}

bool setting_lower(struct config *c, const char *name, uint64_t most)
{
	const struct setting *s = number_of_name(name);
	uint64_t *value = field_of(c, s);
	most = most > s->min ? most : s->min;
	if (is_marked(&c->given, s) || *value <= most)
		return false;
	*value = most;
	return true;
}
