/*
 * What the parts of the client share: client.c has the requests and curl's callbacks,
 * client_result.c what came of a request, client_tls.c whom it trusts. For them alone, who
 * include curl's header before it.
 */
#ifndef COURIER_CLIENT_INNER_H
#define COURIER_CLIENT_INNER_H

#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "courier/client.h"
#include "courier/client_way.h"
#include "courier/kept.h"
#include "courier/race.h"
#include "courier/watch.h"

#define ADDRESS_MAX 64 /* bytes: an IPv6 address in brackets with a port */

struct client_request {
	TAILQ_ENTRY(client_request) link; /* in the client's ended or idle list */
	struct client *client;
	CURL *easy;
	struct reactor_timer *deadline;
	struct buf lines; /* NUL-separated header lines */
	size_t line_at[CLIENT_HEADERS_MAX];
	struct curl_slist nodes[CLIENT_HEADERS_MAX];
	size_t line_count;
	bool last_is_own; /* the last line may be continued */
	uint64_t hidden;  /* a bit for each line whose value is not to be shown */
	bool is_https;
	struct x509_st *certificate; /* the receiver's; NULL: none was seen */
	const char *tls;             /* the version of a connection with TLS; NULL: none */
	struct buf parsed_url;       /* what `url` was made from */
	CURLU *url;
	struct way *way;
	struct race *race; /* for the addresses after the first; NULL: none has been needed */
	int prepared;      /* a socket that stands, for curl to take; -1: none */
	bool takes_over;   /* curl has taken it */
	bool dialed;       /* curl has it, or has had it */
	bool opened;       /* a socket was, since curl was given it last */
	bool reuses;       /* it is sent on a connection that was used before */
	int opened_fd;     /* the last one that was */
	bool stale;     /* something that nobody asked for lay on the connection that is kept */
	bool repeats;   /* it is sent once more, on a connection that is new */
	bool failed;    /* what curl tried, while a race goes on */
	uint64_t taker; /* a hash; 0: of none */
	client_done_fn done;
	client_data_fn data; /* NULL: an answer is kept, as far as there is room */
	client_body_fn read; /* NULL: the body is in memory */
	size_t sent;         /* bytes of the body that were asked for */
	bool body_is_lost;   /* it could not be had while it was sent */
	void *arg;
	int64_t started_us;
	int64_t ended_us;
	struct sockaddr_storage tried; /* the last address that was asked for; family 0: none */
	const char *refused_range;     /* why the policy refused the last address tried */
	enum shortage shortage;        /* why there was no socket for it */
	size_t sockets;                /* and how many there were */
	uint64_t allocations_failed;   /* before the request */
	bool is_sparing;               /* it lets curl close what was idle for a second */
	size_t head_bytes;
	size_t body_bytes;
	int status;       /* of the response that is being read */
	int final_status; /* of the one that counts, once its headers are complete */
	uint32_t timeout_ms;
	bool timed_out;
	bool given_up;
	bool is_insecure;        /* to be undone before the next request; so the next two */
	struct anchors *anchors; /* its own; NULL: the configured ones */
	bool has_identity;
	bool has_own_method; /* the same */
	bool has_proxy;      /* the same; so the next two */
	bool is_apart;       /* the proxy is its own, and so are the connections through it */
	uint64_t proxy_tag;  /* then a number of that proxy */
	bool is_http2;
	CURLcode code;
	bool looks;    /* for what a failure asks, whatever the status */
	bool has_wish; /* a head has webhook-delivery */
	bool keeps;    /* all of the body, in `whole` */
	struct buf whole;
	size_t answer_len;
	char answer[CLIENT_ANSWER_KEPT];
	char error[CURL_ERROR_SIZE];
	char words[CURL_ERROR_SIZE + 128];
	char address[ADDRESS_MAX];
};

TAILQ_HEAD(request_list, client_request);

struct client {
	struct reactor *reactor;
	struct client_conf conf;
	CURLM *multi;
	struct sessions *sessions;
	struct anchors_kept *anchors;
	char *ca_file; /* the configured one, or libcurl's own; NULL: it has none */
	struct reactor_timer *timer;
	struct watches *watches;
	struct kept *kept;
	struct ways *ways;
	struct races *races;
	struct request_list ended;
	struct request_list idle;
	struct request_list active;
	size_t idle_count;
	struct hash_key taker_key; /* or sessions could be named so as to share others' turns */
	size_t active_count;
	size_t sockets; /* open ones of curl's */
	size_t
	    spared; /* while descriptors are short: how many there may be; 0: as configured */
	int64_t spare_until_ms; /* monotonic */
	int64_t turn_us;        /* what attempts have taken of this turn… */
	int64_t most_us;        /* …and may take */
	bool told_of_http2;     /* that there is none */
};

_Static_assert(CLIENT_HEADERS_MAX <= 64, "each line has its bit");

/* A curl call that fails only for a mistake of ours or for want of memory. */
#define MUST(call)                                                                             \
	do {                                                                                   \
		int rc_ = (int)(call);                                                         \
		panic_if(rc_ != 0, "%s failed with %d", #call, rc_);                           \
	} while (0)

/* What of our own was lacking for the connection that curl could not make. */
enum shortage client_connect_shortage(const struct client_request *q);

/* What of our own was lacking, where that is why no final status came. */
enum shortage client_find_shortage(const struct client_request *q);

/* Whether the present connection has come to stand, or an earlier one is used. */
bool client_is_connected(const struct client_request *q);

/* Says what came of a request that has ended; the texts are the request's. */
void client_put_result(struct client_request *q, struct client_result *out);

/* What a client keeps for all its requests of trust: made, and freed behind all connections. */
void client_open_trust(struct client *c);
void client_close_trust(struct client *c);

/* Sets of a new request what of TLS never changes; forgets what was its last use's; ends it. */
void client_begin_tls(struct client_request *q);
void client_forget_tls(struct client_request *q);
void client_end_tls(struct client_request *q);

#endif
