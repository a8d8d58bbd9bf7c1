/* One end of a connection that was accepted, plain or TLS; never blocks. */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;
struct ssl_ctx_st;

struct link {
	int fd;
	struct ssl_st *tls; /* NULL: plain */
};

/* What TLS links are made with: the PEM files of the certificate and its key. */
struct ssl_ctx_st *link_tls_new(const char *cert_file, const char *key_file);
void link_tls_free(struct ssl_ctx_st *tls);

/* Takes `fd` over. `tls`: NULL for a plain one. */
void link_open(struct link *l, int fd, struct ssl_ctx_st *tls);
void link_close(struct link *l);

/* As recv() and send(): -1 with EAGAIN while there is nothing; 0 and other errors end it. */
ssize_t link_recv(struct link *l, char *out, size_t room);
ssize_t link_send(struct link *l, const char *bytes, size_t len);

/* True where bytes are left that no poll would tell of. */
bool link_has_more(const struct link *l);

#endif
