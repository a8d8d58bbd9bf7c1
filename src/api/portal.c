/*
 * Links for tenants; see portal.h. The store's key for them is made by the first call that
 * needs one, and encrypted anew by the first that finds the vault with another first key.
 */
#include "api/portal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/handlers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "base/rnd.h"
#include "base/str.h"
#include "domain/json.h"
#include "store/portal_key.h"
#include "store/portal_series.h"

#define REQUEST_MAX 4096
#define ANSWER_MAX 8192
#define HOST_MAX 300
#define EXPIRES_DEFAULT_MS (60LL * 60 * 1000)
#define EXPIRES_MIN_MS 1000
#define NAME_SIZE 32
#define EXPIRES_MAX_MS PORTAL_SERIES_KEEP_MS /* so long it is known what was revoked */
#define EXPIRES_ALLOWED "expires_in must be a duration from \"1s\" to \"24h\""

struct portal {
	struct mac *mac;  /* keyed; NULL: there is no key so far */
	bool is_current;  /* it is encrypted as it would be now */
	uint64_t changes; /* of the key */
	struct db *db;
};

static void set_key(struct portal *p, const unsigned char key[PORTAL_KEY_SIZE])
{
	mac_free(p->mac);
	p->mac = mac_new(MAC_SHA256, (struct slice){(const char *)key, PORTAL_KEY_SIZE});
}

struct portal *portal_new(struct db *db, const struct vault *vault)
{
	struct portal *p = mem_new(sizeof(*p));
	struct db_txn *txn = NULL;
	unsigned char key[PORTAL_KEY_SIZE];
	p->db = db;
	enum err err = db_read(db, &txn);
	if (err == OK) {
		err = portal_key_get(txn, vault, key, &p->is_current);
		db_read_end(txn);
	}
	if (err == OK)
		set_key(p, key);
	else if (err != ERR_NOTFOUND)
		log_warn("portal links of before are void: their key cannot be read",
		    LOG_S("error", err_text(err)));
	mem_wipe(key, sizeof(key));
	return p;
}

void portal_free(struct portal *p)
{
	if (p == NULL)
		return;
	mac_free(p->mac);
	free(p);
}

/* The series of which the session's links stand; *is_any: of any. The store's error. */
static enum err read_series(const struct portal *p, struct slice session, uint64_t *series,
    bool *is_any)
{
	struct db_txn *txn = NULL;
	bool has_row = false;
	enum err err = db_read(p->db, &txn);
	if (err != OK)
		return err;
	err = portal_series_get(txn, session, series, &has_row);
	db_read_end(txn);
	*is_any = !has_row;
	return err;
}

/* Whether a link of that series may still be used, the code apart. */
static enum portal_verdict judge(const struct portal *p, struct slice session, uint64_t series,
    int64_t expires_ms)
{
	uint64_t now = 0;
	bool is_any = false;
	if (clock_wall_ms() >= expires_ms)
		return PORTAL_OVER;
	enum err err = read_series(p, session, &now, &is_any);
	if (err == ERR_CORRUPT)
		return PORTAL_OVER; /* nobody knows what was revoked; to revoke mends it */
	if (err != OK)
		return PORTAL_UNKNOWN;
	return is_any || now == series ? PORTAL_STANDS : PORTAL_OVER;
}

/* Who answers for what a link takes: all of a session together. */
static void name_taker(const char *session, char out[NAME_SIZE])
{
	unsigned char digest[RECORD_DIGEST];
	record_digest(SLICE("portal"), slice_of(session), digest);
	(void)snprintf(out, NAME_SIZE, "portal %02x%02x%02x%02x%02x%02x", digest[0], digest[1],
	    digest[2], digest[3], digest[4], digest[5]);
}

enum portal_verdict portal_check(const struct portal *p, struct slice header,
    struct auth_token **token)
{
	char name[NAME_SIZE];
	struct portal_grant g;
	if (p->mac == NULL || header.len < 7 || strncasecmp(header.ptr, "Bearer ", 7) != 0)
		return PORTAL_NONE;
	struct slice given = slice_trim((struct slice){header.ptr + 7, header.len - 7});
	if (portal_read(p->mac, given, &g) != OK)
		return PORTAL_NONE;
	enum portal_verdict verdict = judge(p, slice_of(g.session), g.series, g.expires_ms);
	if (verdict != PORTAL_STANDS)
		return verdict;
	name_taker(g.session, name);
	*token = auth_token_new(&(struct auth_link){.session = slice_of(g.session),
	    .name = name,
	    .only_reads = g.only_reads,
	    .generation = p->changes,
	    .series = g.series,
	    .expires_ms = g.expires_ms});
	return PORTAL_STANDS;
}

bool portal_stands(const struct portal *p, const struct auth_token *token)
{
	const struct auth_link *link = auth_link_of(token);
	return link->generation == p->changes &&
	    judge(p, link->session, link->series, link->expires_ms) == PORTAL_STANDS;
}

struct portal_call {
	struct call call; /* first */
	int64_t lasts_ms;
	bool only_reads;
	bool rotates;
	unsigned char key[PORTAL_KEY_SIZE]; /* out of apply: the store's now */
};

const size_t PORTAL_CALL_SIZE = sizeof(struct portal_call);

static enum err read_member(const struct json_member *m, bool ignores_unknown,
    struct portal_call *pc)
{
	struct problem *p = &pc->call.problem;
	bool is_expiry = slice_eq(m->key, SLICE("expires_in"));
	bool is_default = slice_eq(m->value, SLICE("null"));
	if (is_default && (is_expiry || slice_eq(m->key, SLICE("read_only"))))
		return OK;
	if (is_expiry) {
		struct slice text = m->value;
		bool quoted = text.len >= 2 && text.ptr[0] == '"';
		text = (struct slice){text.ptr + 1, quoted ? text.len - 2 : 0};
		if (!quoted || str_duration(text, &pc->lasts_ms) != OK ||
		    pc->lasts_ms < EXPIRES_MIN_MS || pc->lasts_ms > EXPIRES_MAX_MS)
			return problem_set(p, ERR_INVALID, "expires_in", EXPIRES_ALLOWED);
		return OK;
	}
	if (slice_eq(m->key, SLICE("read_only"))) {
		pc->only_reads = slice_eq(m->value, SLICE("true"));
		if (!pc->only_reads && !slice_eq(m->value, SLICE("false")))
			return problem_set(p, ERR_INVALID, "read_only",
			    "read_only must be true or false");
		return OK;
	}
	if (ignores_unknown)
		return OK;
	return problem_set(p, ERR_INVALID, "", "allowed are expires_in and read_only");
}

static enum err read_request(struct portal_call *pc)
{
	struct json_reader reader;
	struct buf canonical = BUF_INIT(2 * REQUEST_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&reader, pc->call.body);
	enum err err = json_read_members(&reader, &canonical, &members, &count);
	if (err == OK)
		err = json_read_end(&reader);
	if (err != OK)
		(void)json_problem(&reader, err, &pc->call.problem); /* returns `err` */
	for (size_t i = 0; err == OK && i < count; i++)
		err = read_member(&members[i], pc->call.api->conf.rules.ignores_unknown, pc);
	json_fini(&reader);
	buf_fini(&canonical);
	return err;
}

/* Where the one who asks has reached us; empty where that cannot be told. */
static void put_base(const struct call *c, struct buf *out)
{
	struct slice host = http_header(c->http, "Host");
	struct slice proto = http_header(c->http, "X-Forwarded-Proto");
	bool by_proxy = proxies_trust(c->api->conf.proxies, http_peer(c->http));
	bool is_tls = http_is_tls(c->http) || (by_proxy && slice_eq(proto, SLICE("https")));
	for (size_t i = 0; i < host.len; i++) {
		if (host.ptr[i] <= ' ' || host.ptr[i] > '~')
			host.len = 0;
	}
	if (host.len > 0 && host.len <= HOST_MAX)
		buf_printf(out, "http%s://%.*s", is_tls ? "s" : "", (int)host.len, host.ptr);
}

static void answer_link(struct portal_call *pc, uint64_t series)
{
	struct call *c = &pc->call;
	char token[PORTAL_TEXT_SIZE];
	struct portal_grant g = {.only_reads = pc->only_reads, .series = series};
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct buf url = BUF_INIT(PORTAL_TEXT_SIZE + HOST_MAX + 32);
	struct json_writer json = JSON_WRITER(&text);
	g.expires_ms = clock_wall_ms() + pc->lasts_ms;
	memcpy(g.session, c->session, sizeof(g.session));
	rnd_secret(g.id, sizeof(g.id));
	portal_write(c->api->portal->mac, &g, token);
	put_base(c, &url);
	buf_printf(&url, "/ui/#token=%s", token);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "url", buf_cstr(&url));
	json_write_cstr(&json, "token", token);
	json_write_time(&json, "expires_at", g.expires_ms);
	json_write_bool(&json, "read_only", g.only_reads);
	json_close(&json);
	log_info("portal link is made", LOG_S("session", c->session),
	    LOG_S("by", c->token_name), LOG_N("expires_in_s", pc->lasts_ms / 1000),
	    LOG_N("read_only", g.only_reads));
	http_add_header(c->http, "Cache-Control", "no-store");
	call_reply(c, 200, &json);
	mem_wipe(text.data, text.len);
	mem_wipe(url.data, url.len);
	mem_wipe(token, sizeof(token));
	buf_fini(&text);
	buf_fini(&url);
}

/* Makes a link of the session's series. */
static void make_link(struct portal_call *pc)
{
	struct call *c = &pc->call;
	uint64_t series = 0;
	bool is_any = false;
	enum err err = read_series(c->api->portal, slice_of(c->session), &series, &is_any);
	if (err != OK)
		call_fail_err(c, err);
	else
		answer_link(pc, series);
}

/* Finds the key, or makes one: by a call of the same turn there may be one. */
static enum err apply_key(struct op *op, struct db_txn *txn)
{
	struct portal_call *pc = (struct portal_call *)op;
	const struct vault *vault = pc->call.api->conf.vault;
	bool is_current = false;
	enum err err = pc->rotates ? ERR_NOTFOUND
				   : portal_key_get(txn, vault, pc->key, &is_current);
	if (err == ERR_NOTFOUND || err == ERR_REFUSED || err == ERR_CORRUPT)
		rnd_secret(pc->key, sizeof(pc->key));
	else if (err != OK || is_current)
		return err;
	return portal_key_put(txn, vault, pc->key);
}

static void done_key(struct op *op, enum err result)
{
	struct portal_call *pc = (struct portal_call *)op;
	struct portal *p = pc->call.api->portal;
	if (result == OK) {
		set_key(p, pc->key);
		p->is_current = true;
		p->changes += pc->rotates ? 1 : 0;
	}
	mem_wipe(pc->key, sizeof(pc->key));
	if (result != OK) {
		call_fail_err(&pc->call, result);
	} else if (pc->rotates) {
		streams_end_void(pc->call.api->streams);
		call_succeed(&pc->call, "Portal key rotated: links of before are void");
	} else {
		make_link(pc);
	}
}

static enum err apply_revoke(struct op *op, struct db_txn *txn)
{
	struct call *c = (struct call *)op;
	return portal_series_begin(txn, slice_of(c->session), clock_wall_ms());
}

static void done_revoke(struct op *op, enum err result)
{
	struct call *c = (struct call *)op;
	if (result != OK) {
		call_fail_err(c, result);
		return;
	}
	log_info("portal links are revoked", LOG_S("session", c->session),
	    LOG_S("by", c->token_name));
	streams_end_void(c->api->streams);
	call_succeed(c, "Portal links revoked: those of before are void");
}

/* Whether links mean anything here, and the caller may make them; else it is answered. */
static bool may_make(struct call *c)
{
	if (auth_count(c->api->conf.auth) == 0)
		call_fail(c, 409, "",
		    "without a token in the configuration everybody may do everything: "
		    "a link would grant nothing");
	else if (auth_link_of(c->token) != NULL)
		call_fail(c, 403, "", "a link does not make links: this needs a token");
	else
		return true;
	return false;
}

/* Reads the body, if there is one; false: the call has been answered. */
static bool take_body(struct portal_call *pc)
{
	struct call *c = &pc->call;
	if (http_body(c->http).len == 0)
		return true;
	if (!call_has_json(c) || !call_read_body(c, REQUEST_MAX))
		return false;
	if (c->body.len > REQUEST_MAX) {
		call_fail(c, 413, "", "the body of this call is at most 4096 bytes");
		return false;
	}
	enum err err = read_request(pc);
	if (err != OK)
		call_fail_err(c, err);
	return err == OK;
}

void handle_portal_link(struct call *c)
{
	struct portal_call *pc = (struct portal_call *)c;
	const struct portal *p = c->api->portal;
	pc->lasts_ms = EXPIRES_DEFAULT_MS;
	if (!may_make(c) || !take_body(pc))
		return;
	if (p->mac != NULL && p->is_current)
		make_link(pc);
	else
		call_stage(c, apply_key, done_key);
}

void handle_portal_revoke(struct call *c)
{
	if (auth_link_of(c->token) != NULL)
		call_fail(c, 403, "", "a link revokes no links: this needs a token");
	else
		call_stage(c, apply_revoke, done_revoke);
}

void handle_portal_rotate(struct call *c)
{
	struct portal_call *pc = (struct portal_call *)c;
	if (c->token != NULL) {
		call_fail(c, 403, "", "rotating the key of all links needs a token for all");
		return;
	}
	pc->rotates = true;
	call_stage(c, apply_key, done_key);
}
