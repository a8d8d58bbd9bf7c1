/* Listening addresses as text; see listen_address.h. */
#include "http/listen_address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/address.h"

#define TLS_PREFIX "tls:"

static enum err refuse_address(const char *where, struct problem *p)
{
	return problem_set(p, ERR_INVALID, "listen",
	    "listen: %.100s: must be ADDRESS:PORT, [IPV6]:PORT, tls:ADDRESS:PORT, "
	    "tls:[IPV6]:PORT or unix:PATH, such as 127.0.0.1:8080",
	    where);
}

static enum err parse_unix(const char *path, struct sockaddr_un *un, struct problem *p)
{
	if (path[0] == '\0' || strlen(path) >= sizeof(un->sun_path))
		return problem_set(p, ERR_INVALID, "listen",
		    "listen: unix:PATH must name a path of 1 to %zu bytes",
		    sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path));
	return OK;
}

bool listen_address_is_tls(const char *where)
{
	return strncmp(where, TLS_PREFIX, strlen(TLS_PREFIX)) == 0;
}

enum err listen_address_parse(const char *where, union listen_address *addr, socklen_t *len,
    struct problem *p)
{
	char host[INET6_ADDRSTRLEN + 2] = "";
	uint64_t port = 0;
	*addr = (union listen_address){0};
	*len = sizeof(addr->un);
	if (strncmp(where, "unix:", 5) == 0)
		return parse_unix(where + 5, &addr->un, p);
	const char *start = where + (listen_address_is_tls(where) ? strlen(TLS_PREFIX) : 0);
	const char *colon = strrchr(start, ':');
	size_t host_len = colon == NULL ? 0 : (size_t)(colon - start);
	if (host_len == 0 || host_len >= sizeof(host) ||
	    str_u64(slice_of(colon + 1), &port) != OK || port > UINT16_MAX)
		return refuse_address(where, p);
	memcpy(host, start, host_len);
	if (inet_pton(AF_INET, host, &addr->in.sin_addr) == 1) {
		addr->in.sin_family = AF_INET;
		addr->in.sin_port = htons((uint16_t)port);
		*len = sizeof(addr->in);
		return OK;
	}
	bool bracketed = host[0] == '[' && host[host_len - 1] == ']';
	host[host_len - 1] = '\0';
	if (!bracketed || inet_pton(AF_INET6, host + 1, &addr->in6.sin6_addr) != 1)
		return refuse_address(where, p);
	addr->in6.sin6_family = AF_INET6;
	addr->in6.sin6_port = htons((uint16_t)port);
	*len = sizeof(addr->in6);
	return OK;
}

enum err listen_address_is_local(const char *where, bool *local, struct problem *p)
{
	union listen_address addr;
	socklen_t len = 0;
	enum err err = listen_address_parse(where, &addr, &len, p);
	if (err == OK)
		*local = addr.sa.sa_family == AF_UNIX || address_is_loopback(&addr.sa);
	return err;
}

/* unix:PATH, of a socket whose address has `len` bytes. */
static bool name_unix(const struct sockaddr_un *un, socklen_t len, struct buf *out)
{
	size_t start = offsetof(struct sockaddr_un, sun_path);
	if (len <= start) /* bound to nothing */
		return false;
	bool is_abstract = un->sun_path[0] == '\0';
	size_t max = len - start - (is_abstract ? 1 : 0);
	const char *name = un->sun_path + (is_abstract ? 1 : 0);
	buf_printf(out, "unix:%s%.*s", is_abstract ? "@" : "", (int)strnlen(name, max), name);
	return true;
}

char *listen_address_name(int fd, bool is_tls)
{
	union listen_address addr = {0};
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN] = ""; /* has room for either */
	const char *prefix = is_tls ? TLS_PREFIX : "";
	struct buf text = BUF_INIT(512);
	bool known = getsockname(fd, &addr.sa, &len) == 0;
	if (addr.sa.sa_family == AF_UNIX) {
		known = known && !is_tls && name_unix(&addr.un, len, &text);
	} else if (addr.sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &addr.in6.sin6_addr, host, sizeof(host));
		buf_printf(&text, "%s[%s]:%u", prefix, host, ntohs(addr.in6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &addr.in.sin_addr, host, sizeof(host));
		buf_printf(&text, "%s%s:%u", prefix, host, ntohs(addr.in.sin_port));
	}
	char *name = known ? mem_copy(buf_cstr(&text), text.len) : NULL;
	buf_fini(&text);
	return name;
}

/* Writes how clients name the address that `fd` is bound to. */
char *listen_address_show(int fd, const char *where)
{
	union listen_address addr = {0};
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN] = "";
	const char *scheme = listen_address_is_tls(where) ? "https" : "http";
	struct buf text = BUF_INIT(512);
	if (getsockname(fd, &addr.sa, &len) != 0 || addr.sa.sa_family == AF_UNIX) {
		buf_puts(&text, where);
	} else if (addr.sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &addr.in6.sin6_addr, host,
		    sizeof(host)); /* has room */
		buf_printf(&text, "%s://[%s]:%u", scheme, host, ntohs(addr.in6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &addr.in.sin_addr, host, sizeof(host)); /* has room */
		buf_printf(&text, "%s://%s:%u", scheme, host, ntohs(addr.in.sin_port));
	}
	char *shown = mem_copy(buf_cstr(&text), text.len);
	buf_fini(&text);
	return shown;
}
