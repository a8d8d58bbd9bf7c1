/*
 * What the parts of the HTTP server share: http.c has listeners and connections,
 * http_admission.c who may have a connection, http_shares.c what each taker has of the rest,
 * http_work.c whose request is next, http_request.c requests and answers, http_head.c those of
 * which only the head has come, http_stream.c answers without a known length. For them alone.
 */
#ifndef HTTP_HTTP_INNER_H
#define HTTP_HTTP_INNER_H

#include <sys/queue.h>

#include "base/map.h"
#include "base/str.h"
#include "http/gate.h"
#include "http/http.h"
#include "http/http_shares.h"
#include "http/listener.h"
#include "http/tls.h"

struct bufferevent;
struct evhttp;
struct evhttp_request;

/* What a connection is at. Where one has to go for another, the first of these goes first. */
enum standing {
	STANDING_LINGER, /* refused; its peer may still read why */
	STANDING_IDLE,   /* no request, but it has had some */
	STANDING_HEAD,   /* a part of a head, or the first is to come */
	STANDING_BODY,   /* a part of a body */
	STANDING_ANSWER, /* a part of an answer is not taken yet */
	STANDING_BUSY,   /* ours to answer: it stays */
	STANDINGS,
};

struct connection {
	TAILQ_ENTRY(connection) link; /* once it has a slot: in the list of its standing */
	struct http_server *server;
	struct bufferevent *bev;
	bool is_tls;
	bool known;    /* to evhttp: its end will be told */
	bool has_slot; /* counts as one of its client's connections */
	bool is_kept;  /* and that is one of HTTP_SLOTS_KEPT */
	struct reactor_timer *deadline;
	struct gate gate;
	enum gate_state state;
	bool refused; /* nothing more is read of it */
	bool appends; /* more of a body is being put behind what libevent has read */
	enum standing standing;
	struct visitor visitor;
	char client[HTTP_TAKER_SIZE]; /* whose the connection is */
	char taker[HTTP_TAKER_SIZE];  /* whose the request is that is under way */
	char guest[HTTP_TAKER_SIZE];  /* who it is of within the taker's share; "": all of it */
	bool has_body;                /* its taker has one of HTTP_BODIES */
	size_t charged;               /* and so many of HTTP_INPUT */
	size_t output;                /* and so many of HTTP_OUTPUT */
	size_t input;                 /* bytes of the request so far */
	size_t input_most;            /* of them that may lie unread; 0: no limit is near */
	size_t taken;                 /* bytes of the answer that the client took of late */
	struct buf head;              /* of the request, where it came in pieces */
	struct http_request *request; /* the one that is to be answered */
	void (*gone)(void *arg);      /* of the answer that is under way; NULL: nobody asks */
	void *gone_arg;
};
TAILQ_HEAD(connections, connection);

struct http_request {
	STAILQ_ENTRY(http_request) link; /* while it waits for its turn */
	struct http_server *server;
	struct connection *connection; /* NULL: it is gone */
	struct evhttp_request *ev;     /* NULL: only the head has come; the next two */
	struct buf head;               /* a NUL behind the method */
	struct buf answer;             /* lines of the answer's head */
	struct buf body;               /* a large one in one piece, once it was asked for */
	struct cidr peer;
	struct slice path;
	struct slice query;
	struct slice lines; /* of the head, behind the first; where only that has come */
};

/* An evhttp for each kind of listener, as it does not say which one a connection is from. */
struct front {
	struct http_server *server;
	struct evhttp *ev;
	bool is_tls;
};

enum { FRONT_PLAIN, FRONT_TLS, FRONTS };

struct http_server {
	struct reactor *reactor;
	struct http_conf conf;
	struct http_hooks hooks;
	struct gate_limits limits;
	struct front fronts[FRONTS];
	struct tls *tls;
	struct map *connections; /* bufferevent pointer -> connection */
	size_t strangers;        /* of these that have no slot yet, nor were refused one */
	struct connections standing[STANDINGS];
	struct listeners *listeners;
	struct resource resources[HTTP_RESOURCES];
	struct shares *kept;          /* the HTTP_SLOTS_KEPT */
	TAILQ_HEAD(, worker) workers; /* in the order of their turns */
	struct map *workers_by_name;
	struct reactor_timer *work;
	uint64_t work_pass; /* the pass of the loop in which `work_us` was used */
	int64_t work_us;
	bool works_off; /* what is handled now has waited */
	uint32_t held;
	uint64_t full_reads;  /* http_full_reads() */
	uint64_t append_pass; /* the pass of the loop in which `appended` bytes were */
	size_t appended;
	struct http_figures figures; /* but the open connections */
	bool stopped;
	int64_t date_s; /* when `date` was true */
	char date[STR_HTTP_DATE_SIZE];
};

/* An answer is on its way: the client has to take some of it in each send_timeout_ms. */
void http_expect_reading(struct connection *c);

/* Answers past evhttp, which must not see the request, and ends the connection. */
void http_refuse(struct connection *c, int status, const char *message);

/* The same with an answer that is complete. */
void http_refuse_with(struct connection *c, int status, struct slice answer);

/* Sends an error past the bufferevent; the connection is left as it is. */
void http_send_error(struct connection *c, int status, const char *message);

/* Ends a connection at once, whatever it is at; not STANDING_BUSY. `c` is gone. */
void http_end(struct connection *c);

/*
 * Gives a connection a slot, if it may have one: perhaps one that another had. False: it was
 * told that it has none, and only has to be closed.
 */
bool http_admit(struct connection *c);

/* Gives its slot back. */
void http_leave(struct connection *c);

/* Says what a connection that has a slot is at from now on. */
void http_stand(struct connection *c, enum standing standing);

/*
 * The head of a request has come, and its body has not: asks whether that is wanted. False:
 * it is not, and the request has been answered or will be.
 */
bool http_ask_head(struct connection *c);

/* The first value of a header among `lines`; empty: not there. */
struct slice http_head_value(struct slice lines, const char *name);

/* How many lines of it there are. */
size_t http_head_lines(struct slice lines, const char *name);

/* Appends all values of it, separated by commas. */
void http_head_values(struct slice lines, const char *name, struct buf *out);

/* Answers a request of which only the head has come; takes it. */
void http_reply_early(struct http_request *q, int status, const char *content_type,
    struct slice body);

/* Hands a request to the handler. */
void http_handle(struct http_request *q);

void http_open_work(struct http_server *s);
void http_close_work(struct http_server *s);

/* Handles all that waits. */
void http_finish_work(struct http_server *s);

/* Whether its answer may go on for long: it is of HTTP/1.1, and the server does not stop. */
bool http_may_go_on(const struct http_request *q);

/*
 * Has gone(arg) called when the connection ends before the answer does. The server's stop
 * ends it.
 */
void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg);

/* Lets go of a request whose answer is with evhttp, or needs none. */
void http_release(struct http_request *q);

#endif
