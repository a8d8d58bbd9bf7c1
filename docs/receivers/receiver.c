/*
 * A receiver of waybill's deliveries: C, libevent and OpenSSL.
 * cc -o receiver receiver.c -levent -lcrypto && SECRET=… [PORT=9000] ./receiver
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
#include <sys/socket.h>
#include <time.h>

#define BODY_MAX (17 << 20) /* over waybill's longest event in canonical form */
#define TOLERANCE_S 300
#define SEEN_MAX 100000
#define ID_MAX 36

static const char *secret;

/* The header's value, "" without one. */
static const char *header(struct evhttp_request *request, const char *name)
{
	const char *value = evhttp_find_header(evhttp_request_get_input_headers(request), name);
	return value != NULL ? value : "";
}

/* The signature over id, time and body as base64; 0 without memory, or for no such key. */
static int sign(const char *id, const char *at, struct evbuffer *body, char out[64])
{
	size_t n = strlen(secret), head = strlen(id) + strlen(at) + 2;
	size_t length = evbuffer_get_length(body);
	unsigned char key[1025], mac[32];
	char *text = malloc(head + length + 1);
	int good = text != NULL && n > 0 && n < sizeof key;
	if (good && strncmp(secret, "whsec_", 6) == 0) {
		int decoded = EVP_DecodeBlock(key, (const unsigned char *)secret + 6,
		    (int)n - 6);
		good = decoded > 0;
		n = (size_t)decoded - (secret[n - 1] == '=') - (secret[n - 2] == '=');
	} else if (good) {
		memcpy(key, secret, n);
	}
	if (good) {
		sprintf(text, "%s.%s.", id, at);
		evbuffer_copyout(body, text + head, length);
		good = HMAC(EVP_sha256(), key, (int)n, (unsigned char *)text, head + length,
			   mac, NULL) != NULL;
	}
	free(text);
	if (good)
		EVP_EncodeBlock((unsigned char *)out, mac, sizeof mac);
	return good;
}

/* Standard Webhooks: over the id and the time too, so that neither can be changed or be old. */
static int is_signed(struct evhttp_request *request, struct evbuffer *body)
{
	const char *id = header(request, "webhook-id"),
		   *at = header(request, "webhook-timestamp");
	const char *given = header(request, "webhook-signature");
	long long off = (long long)time(NULL) - strtoll(at, NULL, 10);
	char wanted[64];
	if (*id == '\0' || strcmp(id, header(request, "X-Webhook-Id")) != 0)
		return 0;
	if (strspn(at, "0123456789") != strlen(at) || off > TOLERANCE_S || off < -TOLERANCE_S)
		return 0;
	if (!sign(id, at, body, wanted))
		return 0;
	for (size_t n; *given != '\0'; given += n + (given[n] == ' ')) { /* two in a rotation */
		n = strcspn(given, " ");
		if (n == 3 + strlen(wanted) && memcmp(given, "v1,", 3) == 0 &&
		    CRYPTO_memcmp(given + 3, wanted, n - 3) == 0)
			return 1;
	}
	return 0;
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
	struct event_base *base = event_base_new();
	struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
	if (http == NULL || secret == NULL)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	evhttp_set_max_body_size(http, BODY_MAX);
	evhttp_set_max_headers_size(http, 65536);
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
