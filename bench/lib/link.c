/* Connections with and without OpenSSL; see link.h. */
#include "link.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

struct ssl_ctx_st *link_tls_new(const char *cert_file, const char *key_file)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, cert_file) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1)
		net_die("the certificate or its key can't be used");
	return tls;
}

void link_tls_free(struct ssl_ctx_st *tls)
{
	SSL_CTX_free(tls);
}

void link_open(struct link *l, int fd, struct ssl_ctx_st *tls)
{
	*l = (struct link){.fd = fd};
	if (tls == NULL)
		return;
	l->tls = SSL_new(tls);
	if (l->tls == NULL || SSL_set_fd(l->tls, fd) != 1)
		net_die("TLS");
	SSL_set_accept_state(l->tls);
}

void link_close(struct link *l)
{
	if (l->tls != NULL) {
		(void)SSL_shutdown(l->tls); /* tells the peer; no answer is waited for */
		SSL_free(l->tls);
	}
	(void)close(l->fd);
}

/* Turns what OpenSSL returned into what a system call would. */
static ssize_t result_of(struct link *l, int n)
{
	if (n > 0)
		return n;
	int error = SSL_get_error(l->tls, n);
	ERR_clear_error();
	bool is_early = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
	errno = is_early ? EAGAIN : ECONNRESET;
	return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static int int_of(size_t n)
{
	return n > 1 << 30 ? 1 << 30 : (int)n;
}

ssize_t link_recv(struct link *l, char *out, size_t room)
{
	if (l->tls == NULL)
		return recv(l->fd, out, room, 0);
	return result_of(l, SSL_read(l->tls, out, int_of(room)));
}

ssize_t link_send(struct link *l, const char *bytes, size_t len)
{
	if (l->tls == NULL)
		return send(l->fd, bytes, len, MSG_NOSIGNAL);
	return result_of(l, SSL_write(l->tls, bytes, int_of(len)));
}

bool link_has_more(const struct link *l)
{
	return l->tls != NULL && SSL_has_pending(l->tls) == 1;
}
