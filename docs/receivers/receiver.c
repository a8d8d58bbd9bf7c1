/*
 * A receiver of waybill's deliveries: C, libevent and OpenSSL.
 * cc -o receiver receiver.c -levent -lcrypto
 * SECRET=… [SCHEME=standard|v1|v2|ed25519|rfc9421] [ORIGIN=https://…] [PORT=9000] ./receiver
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#define BODY_MAX (17 << 20) /* over waybill's longest event in canonical form */
#define HEADERS_MAX 65536
#define TOLERANCE_S 300
#define SEEN_MAX 100000
#define ID_MAX 36
#define KEY_MAX 1025
#define SIGNATURE_SIZE 64 /* of Ed25519 */
#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

static const char *secret, *scheme;
static const char *origin; /* of the webhook's URL, for rfc9421: what it is called outside */
static int is_pair; /* secret is the webhook's public key */
static unsigned char key[KEY_MAX];
static size_t key_len;

/* The bytes of base64, its padding there or not; 0 for what is none, or is too long. */
static size_t decode(const char *text, size_t n, unsigned char *out, size_t max)
{
	char whole[KEY_MAX * 4 / 3 + 8];
	size_t digits = n;
	while (digits > 0 && n - digits < 2 && text[digits - 1] == '=')
		digits--;
	if (digits == 0 || digits % 4 == 1 || digits / 4 * 3 + 3 > max || digits + 4 > sizeof whole)
		return 0;
	memcpy(whole, text, digits);
	memset(whole + digits, '=', 4);
	whole[digits] = '\0';
	if (strspn(whole, ALPHABET) != digits)
		return 0;
	whole[digits] = '=';
	EVP_DecodeBlock(out, (unsigned char *)whole, (int)(digits + 3) / 4 * 4);
	return digits * 3 / 4;
}

static int stop(const char *why)
{
	fprintf(stderr, "%s\n", why);
	return 1;
}

/* Takes the key. Without one that is good nothing starts: by an empty one anybody can sign. */
static int read_key(void)
{
	static const char *const SECRETS[] = {"standard", "v1", "v2", "rfc9421"};
	static const char *const PAIRS[] = {"ed25519", "rfc9421"};
	size_t n = secret != NULL ? strlen(secret) : 0;
	int known = 0;
	is_pair = n > 0 && strncmp(secret, "whpk_", 5) == 0;
	if (is_pair || (n > 0 && strncmp(secret, "whsec_", 6) == 0)) {
		const char *text = strchr(secret, '_') + 1;
		key_len = decode(text, strlen(text), key, sizeof key);
	} else if (n < sizeof key) {
		memcpy(key, n > 0 ? secret : "", n);
		key_len = n;
	}
	if (key_len == 0 || strncmp(secret, "whsk_", 5) == 0 || (is_pair && key_len != 32))
		return stop("SECRET must be the webhook's secret, or its public_key");
	if (scheme == NULL || *scheme == '\0')
		scheme = is_pair ? "ed25519" : "standard";
	for (size_t i = 0; i < (is_pair ? 2 : 4); i++)
		known += strcmp(scheme, is_pair ? PAIRS[i] : SECRETS[i]) == 0;
	return known ? 0 : stop("SCHEME must be standard, v1, v2 or rfc9421; "
				"of a public key ed25519 or rfc9421");
}

/* The header's value; "" without one, or with two: which of them would be signed? */
static const char *header(struct evhttp_request *request, const char *name)
{
	const char *value = NULL;
	struct evkeyval *each = NULL;
	TAILQ_FOREACH (each, evhttp_request_get_input_headers(request), next) {
		if (strcasecmp(each->key, name) != 0)
			continue;
		if (value != NULL)
			return "";
		value = each->value;
	}
	return value != NULL ? value : "";
}

static int is_fresh(const char *at, size_t n)
{
	long long off = (long long)time(NULL) - strtoll(at, NULL, 10);
	return n > 0 && n <= 12 && strspn(at, "0123456789") == n && off <= TOLERANCE_S &&
	    off >= -TOLERANCE_S;
}

/* Whether the signature, base64, is by the secret or the key pair. */
static int is_by_key(const char *given, size_t n, const char *message, size_t length)
{
	unsigned char signature[SIGNATURE_SIZE + 3], wanted[32];
	size_t size = decode(given, n, signature, sizeof signature);
	int good = 0;
	if (!is_pair)
		return size == sizeof wanted &&
		    HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)message, length,
			wanted, NULL) != NULL &&
		    CRYPTO_memcmp(signature, wanted, size) == 0;
	EVP_PKEY *pair = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, key_len);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (pair != NULL && context != NULL && size == SIGNATURE_SIZE &&
	    EVP_DigestVerifyInit(context, NULL, NULL, NULL, pair) == 1)
		good = EVP_DigestVerify(context, signature, size, (const unsigned char *)message,
			   length) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pair);
	return good;
}

/* What is signed: with a head, that, a point and the body; free it. NULL without memory. */
static char *join(const char *head, const char *body, size_t *length)
{
	size_t n = strlen(head);
	char *text = malloc(n + *length + 2);
	if (text == NULL)
		return NULL;
	size_t start = n > 0 ? (size_t)sprintf(text, "%s.", head) : 0;
	memcpy(text + start, body, *length);
	*length += start;
	return text;
}

/* v1: over the body, and nothing else; v2: over the time too. */
static int is_signed_body(struct evhttp_request *request, const char *body, size_t length)
{
	const char *given = header(request, "X-Webhook-Signature");
	const char *at = strcmp(scheme, "v2") == 0 ? header(request, "X-Webhook-Timestamp") : "";
	unsigned char mac[32];
	char wanted[8 + 2 * sizeof mac] = "sha256=";
	if (strcmp(scheme, "v2") == 0 && !is_fresh(at, strlen(at)))
		return 0;
	char *text = join(at, body, &length);
	int good = text != NULL &&
	    HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)text, length, mac,
		NULL) != NULL;
	free(text);
	for (size_t i = 0; good && i < sizeof mac; i++)
		sprintf(wanted + 7 + 2 * i, "%02x", mac[i]);
	return good && strlen(given) == strlen(wanted) &&
	    CRYPTO_memcmp(given, wanted, strlen(wanted)) == 0;
}

/* Standard Webhooks: over the id and the time too, so that neither can be changed or be old. */
static int is_standard(struct evhttp_request *request, const char *body, size_t length)
{
	const char *at = header(request, "webhook-timestamp");
	const char *given = header(request, "webhook-signature");
	const char *version = is_pair ? "v1a," : "v1,";
	size_t skip = strlen(version);
	char head[HEADERS_MAX];
	int good = 0;
	if (!is_fresh(at, strlen(at)))
		return 0;
	snprintf(head, sizeof head, "%s.%s", header(request, "webhook-id"), at);
	char *text = join(head, body, &length);
	for (size_t n; text != NULL && *given != '\0'; given += n + (given[n] == ' ')) {
		n = strcspn(given, " "); /* two in a rotation */
		good = good || (n > skip && strncmp(given, version, skip) == 0 &&
				   is_by_key(given + skip, n - skip, text, length));
	}
	free(text);
	return good;
}

/* Takes one character; without it *at is NULL, which the others leave so. */
static void take(const char **at, char c)
{
	if (*at != NULL)
		*at = **at == c ? *at + 1 : NULL;
}

/* Takes what is of some characters; its length. */
static size_t take_all(const char **at, const char *characters)
{
	size_t n = *at != NULL ? strspn(*at, characters) : 0;
	if (*at != NULL)
		*at = n > 0 ? *at + n : NULL;
	return n;
}

/* Takes what stands between two labels, or the end. */
static void take_comma(const char **at)
{
	if (*at == NULL || **at == '\0')
		return;
	take(at, ',');
	(void)take_all(at, " ");
}

#define LABEL "abcdefghijklmnopqrstuvwxyz0123456789"

/* The signature of a label, base64; NULL where it has none, or two. */
static const char *find_signature(const char *at, const char *label, size_t label_len, size_t *n)
{
	const char *found = NULL;
	while (at != NULL && *at != '\0') {
		const char *name = at;
		size_t name_len = take_all(&at, LABEL);
		take(&at, '=');
		take(&at, ':');
		const char *text = at;
		size_t text_len = take_all(&at, ALPHABET "=");
		take(&at, ':');
		if (at != NULL && name_len == label_len && memcmp(name, label, label_len) == 0) {
			if (found != NULL)
				return NULL;
			found = text;
			*n = text_len;
		}
		take_comma(&at);
	}
	return at != NULL ? found : NULL;
}

/* Appends the line of one component; -1 where the request has no such thing, else its bit. */
static int put_component(struct evhttp_request *request, const char *name, struct evbuffer *base)
{
	static const char *const COVERED[] = {
	    "@method", "@target-uri", "content-digest", "webhook-id"}; /* these at least */
	const char *start = origin != NULL ? origin : "", *value = header(request, name);
	if (strcmp(name, "@method") == 0)
		value = "POST";
	else if (strcmp(name, "@target-uri") == 0)
		value = evhttp_request_get_uri(request);
	if (strcmp(name, "@target-uri") != 0)
		evbuffer_add_printf(base, "\"%s\": %s\n", name, value);
	else if (*start != '\0')
		evbuffer_add_printf(base, "\"%s\": %s%s\n", name, start, value);
	else
		evbuffer_add_printf(base, "\"%s\": http://%s%s\n", name, header(request, "Host"), value);
	for (int i = 0; i < 4; i++) {
		if (strcmp(name, COVERED[i]) == 0)
			return *value != '\0' ? 1 << i : -1;
	}
	return *value != '\0' ? 0 : -1;
}

/* Takes ("NAME" …): appends their lines. 1 where all are there that must be. */
static int take_components(struct evhttp_request *request, const char **at, struct evbuffer *base)
{
	int covered = 0;
	for (char before = '('; *at != NULL && **at != ')'; before = ' ') {
		char name[128];
		take(at, before);
		take(at, '"');
		size_t n = *at != NULL ? strcspn(*at, "\"") : 0;
		if (n == 0 || n >= sizeof name) {
			*at = NULL;
			return 0;
		}
		memcpy(name, *at, n);
		name[n] = '\0';
		*at += n;
		take(at, '"');
		int bit = put_component(request, name, base);
		covered = bit < 0 || covered < 0 ? -1 : covered | bit;
	}
	take(at, ')');
	return covered == 15;
}

/* Takes ;NAME=VALUE …: 1 where the time is good and the algorithm the key's. */
static int take_params(const char **at)
{
	const char *wanted = is_pair ? "\"ed25519\"" : "\"hmac-sha256\"";
	int fresh = 0, known = 0;
	while (*at != NULL && **at == ';') {
		const char *name = ++*at;
		size_t name_len = take_all(at, LABEL);
		take(at, '=');
		const char *value = *at;
		if (*at != NULL && **at == '"') {
			++*at;
			*at += strcspn(*at, "\"\\");
			take(at, '"');
		} else {
			(void)take_all(at, "0123456789");
		}
		size_t n = *at != NULL ? (size_t)(*at - value) : 0;
		if (n > 0 && name_len == 7 && memcmp(name, "created", 7) == 0)
			fresh = is_fresh(value, n);
		if (n > 0 && name_len == 3 && memcmp(name, "alg", 3) == 0)
			known = n == strlen(wanted) && memcmp(value, wanted, n) == 0;
	}
	return *at != NULL && fresh && known;
}

/* Whether one label, taken off Signature-Input, signs the request. */
static int take_label(struct evhttp_request *request, const char **at)
{
	struct evbuffer *base = evbuffer_new();
	const char *label = *at;
	size_t n = take_all(at, LABEL), given_len = 0;
	take(at, '=');
	const char *signed_text = *at;
	int good = base != NULL && take_components(request, at, base);
	good = take_params(at) && good;
	const char *given = !good ? NULL
				  : find_signature(header(request, "Signature"), label, n, &given_len);
	if (given != NULL) {
		evbuffer_add_printf(base, "\"@signature-params\": %.*s", (int)(*at - signed_text),
		    signed_text);
		good = is_by_key(given, given_len, (char *)evbuffer_pullup(base, -1),
		    evbuffer_get_length(base));
	}
	if (base != NULL)
		evbuffer_free(base);
	take_comma(at);
	return good && given != NULL;
}

/* HTTP Message Signatures, RFC 9421: over what Signature-Input lists. */
static int is_message_signed(struct evhttp_request *request, const char *body, size_t length)
{
	const char *at = header(request, "Signature-Input");
	unsigned char digest[32];
	char text[48], wanted[64];
	int good = 0;
	if (EVP_Digest(body, length, digest, NULL, EVP_sha256(), NULL) != 1)
		return 0;
	EVP_EncodeBlock((unsigned char *)text, digest, sizeof digest);
	snprintf(wanted, sizeof wanted, "sha-256=:%s:", text);
	if (strcmp(header(request, "Content-Digest"), wanted) != 0)
		return 0;
	while (at != NULL && *at != '\0')
		good = take_label(request, &at) || good;
	return good && at != NULL;
}

static int is_signed(struct evhttp_request *request, struct evbuffer *buffer)
{
	const char *id = header(request, "webhook-id");
	size_t length = evbuffer_get_length(buffer);
	const char *body = length > 0 ? (const char *)evbuffer_pullup(buffer, -1) : "";
	if (body == NULL || *id == '\0' || strcmp(id, header(request, "X-Webhook-Id")) != 0)
		return 0;
	if (strcmp(scheme, "rfc9421") == 0)
		return is_message_signed(request, body, length);
	if (scheme[0] == 'v')
		return is_signed_body(request, body, length);
	return is_standard(request, body, length);
}

/*
 * What was handled, in memory and bounded: after a restart a duplicate passes. To be safe from
 * that, write the id in the same transaction as what the event changes, under a unique key.
 * A ring that is searched from the end: duplicates come soon.
 */
static int handle(const char *id, const char *event, size_t length)
{
	static char seen[SEEN_MAX][ID_MAX + 1];
	static size_t next;
	for (size_t i = 1; i <= SEEN_MAX; i++) {
		const char *one = seen[(next + SEEN_MAX - i) % SEEN_MAX];
		if (*one == '\0')
			break;
		if (strcmp(one, id) == 0)
			return 1;
	}
	if (strlen(id) > ID_MAX || printf("%s %s %zu\n", event, id, length) < 0) /* your work */
		return 0;
	strcpy(seen[next], id);
	next = (next + 1) % SEEN_MAX;
	return 1;
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	int status = 204; /* only after it is handled: after anything else it is sent again */
	(void)arg;
	if (!is_signed(request, body))
		status = 401;
	else if (!handle(header(request, "X-Webhook-Id"), header(request, "X-Webhook-Event"),
		     evbuffer_get_length(body)))
		status = 500;
	evhttp_send_reply(request, status, status == 204 ? "No Content" : "Refused", NULL);
}

int main(void)
{
	const char *port = getenv("PORT");
	struct sockaddr_in own;
	socklen_t size = sizeof own;
	secret = getenv("SECRET");
	scheme = getenv("SCHEME");
	origin = getenv("ORIGIN");
	if (read_key() != 0)
		return 1;
	struct event_base *base = event_base_new();
	struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
	if (http == NULL)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	evhttp_set_max_body_size(http, BODY_MAX);
	evhttp_set_max_headers_size(http, HEADERS_MAX);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_POST);
	evhttp_set_timeout(http, 60);
	evhttp_set_gencb(http, on_request, NULL);
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1",
	    (unsigned short)atoi(port != NULL ? port : "9000"));
	if (bound == NULL ||
	    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&own, &size))
		return 1;
	printf("listening on http://127.0.0.1:%u/\n", ntohs(own.sin_port));
	return event_base_dispatch(base);
}
