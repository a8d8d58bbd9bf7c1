/*
 * Listening sockets; see listener.h. A socket file is dead when nobody answers on it:
 * a process that was killed leaves it, and bind() refuses the path until it is gone.
 */
#include "http/listener.h"

#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen_address.h"

#define BACKLOG 1024
#define LISTENS_ALREADY 0 /* in place of a backlog */
#define MODE_BITS 0777
#define ACCEPT_PAUSE_MS 100 /* after accept failed for want of descriptors */
#define ACCEPT_LOG_MS 60000 /* between lines that say so */

/* Which file it is, whatever may bear its name later; as long as something has it open. */
struct file_id {
	dev_t device;
	ino_t number;
};

/* A socket, and the file of a unix one. */
struct bound {
	int fd;
	struct file_id file;
};

struct listener {
	struct listener *next;
	struct evconnlistener *ev; /* its owner's */
	char *unix_path;           /* NULL: no unix socket */
	struct file_id file;
};

struct listeners {
	struct listeners *next; /* in `sets` */
	struct reactor *reactor;
	struct unix_access unix_access;
	struct listener *first;
	struct reactor_timer *pause;
	int64_t quiet_until_ms; /* monotonic; no line about accept before */
	bool wanted;            /* what the server has asked for */
	bool accepting;         /* and what is: not while descriptors are short */
};

/* All sets: libevent gives the callback for errors the owner's handle, not ours. */
static struct listeners *sets;

static void set_accepting(struct listeners *ls, bool on)
{
	if (ls->accepting == on)
		return;
	ls->accepting = on;
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		(void)(on ? evconnlistener_enable(l->ev) : evconnlistener_disable(l->ev));
}

static void on_pause_over(void *arg)
{
	struct listeners *ls = arg;
	set_accepting(ls, ls->wanted);
}

static bool has(const struct listeners *ls, const struct evconnlistener *ev)
{
	const struct listener *l = ls->first;
	while (l != NULL && l->ev != ev)
		l = l->next;
	return l != NULL;
}

static void log_accept_error(struct listeners *ls)
{
	if (clock_mono_ms() < ls->quiet_until_ms)
		return;
	log_warn("cannot accept connections", LOG_S("error", strerror(errno)));
	ls->quiet_until_ms = clock_mono_ms() + ACCEPT_LOG_MS;
}

/* Out of descriptors: the listener would spin, so it rests. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
	(void)arg;
	for (struct listeners *ls = sets; ls != NULL; ls = ls->next) {
		if (!has(ls, ev))
			continue;
		log_accept_error(ls);
		set_accepting(ls, false);
		reactor_timer_set(ls->pause, ACCEPT_PAUSE_MS);
	}
}

struct listeners *listeners_new(struct reactor *r, const struct unix_access *unix_access)
{
	struct listeners *ls = mem_new(sizeof(*ls));
	ls->reactor = r;
	ls->unix_access = *unix_access;
	ls->pause = reactor_timer_new(r, on_pause_over, ls);
	ls->wanted = true;
	ls->accepting = true;
	ls->next = sets;
	sets = ls;
	return ls;
}

void listeners_free(struct listeners *ls)
{
	if (ls == NULL)
		return;
	panic_if(ls->first != NULL, "listeners were freed while open");
	struct listeners **at = &sets;
	while (*at != ls)
		at = &(*at)->next;
	*at = ls->next;
	reactor_timer_free(ls->pause);
	free(ls);
}

/* Whether somebody listens on the socket file. One whose backlog is full does, too. */
static bool is_alive(const union listen_address *addr, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 && (connect(fd, &addr->sa, len) == 0 || errno == EAGAIN);
	if (fd >= 0)
		(void)close(fd); /* nothing was written */
	return alive;
}

/* Tells which socket file bears that name; false: none does. */
static bool find_file(const char *path, struct file_id *out)
{
	struct stat st;
	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	*out = (struct file_id){st.st_dev, st.st_ino};
	return true;
}

/* Removes the file, but not another that bears its name by now. */
static void remove_file(const char *path, const struct file_id *file)
{
	struct file_id now;
	if (find_file(path, &now) && now.device == file->device && now.number == file->number)
		(void)unlink(path); /* gone already is fine */
}

static void clear_dead_socket(const union listen_address *addr, socklen_t len)
{
	struct file_id file;
	if (find_file(addr->un.sun_path, &file) && !is_alive(addr, len))
		remove_file(addr->un.sun_path, &file); /* bind() then says what is wrong */
}

static enum err refuse(const char *where, struct problem *p)
{
	return problem_set(p, ERR_IO, "listen", "listen: cannot listen on %s: %s", where,
	    strerror(errno));
}

static enum err bind_inet(int fd, const union listen_address *addr, socklen_t len,
    const char *where, struct problem *p)
{
	int one = 1;
	/* the second: peers that are gone without a word are noticed some day */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) != 0 ||
	    bind(fd, &addr->sa, len) != 0)
		return refuse(where, p);
	return OK;
}

/* The file is made with its mode, and nobody can connect before listen(). */
static enum err bind_unix(struct bound *b, const union listen_address *addr, socklen_t len,
    const struct unix_access *access, const char *where, struct problem *p)
{
	const char *path = addr->un.sun_path;
	clear_dead_socket(addr, len);
	mode_t before = umask(~access->mode & MODE_BITS);
	int rc = bind(b->fd, &addr->sa, len);
	int saved = errno;
	if (rc == 0)
		(void)find_file(path, &b->file); /* one that is gone is not removed */
	(void)umask(before);
	errno = saved;
	if (rc != 0)
		return refuse(where, p);
	bool is_given = access->uid != (uid_t)-1 || access->gid != (gid_t)-1;
	if (!is_given || lchown(path, access->uid, access->gid) == 0)
		return OK;
	(void)problem_set(p, ERR_IO, "unix_owner", "unix_owner: cannot give %s away: %s", path,
	    strerror(errno)); /* returned below */
	remove_file(path, &b->file);
	return ERR_IO;
}

/* Makes a socket that is bound and does not listen yet. */
static enum err bind_socket(const struct unix_access *access, const char *where,
    const union listen_address *addr, socklen_t len, struct bound *out, struct problem *p)
{
	struct bound b = {
	    .fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	if (b.fd < 0)
		return refuse(where, p);
	enum err err = addr->sa.sa_family == AF_UNIX
	    ? bind_unix(&b, addr, len, access, where, p)
	    : bind_inet(b.fd, addr, len, where, p);
	if (err == OK)
		*out = b;
	else
		(void)close(b.fd); /* was never used */
	return err;
}

/* Puts the bound socket in front of all others; `backlog` 0: it listens already. */
static enum err watch(struct listeners *ls, int fd, const char *where, int backlog,
    struct evconnlistener **ev, char **shown, struct problem *p)
{
	struct evconnlistener *made = evconnlistener_new(reactor_base(ls->reactor), NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, backlog, fd);
	if (made == NULL)
		return refuse(where, p);
	evconnlistener_set_error_cb(made, on_accept_error);
	struct listener *l = mem_new(sizeof(*l));
	l->ev = made;
	l->next = ls->first;
	ls->first = l;
	*ev = made;
	*shown = listen_address_show(evconnlistener_get_fd(made), where);
	return OK;
}

enum err listeners_open(struct listeners *ls, const char *where, struct evconnlistener **ev,
    char **shown, struct problem *p)
{
	union listen_address addr;
	socklen_t len = 0;
	enum err err = listen_address_parse(where, &addr, &len, p);
	if (err != OK)
		return err;
	struct bound b;
	err = bind_socket(&ls->unix_access, where, &addr, len, &b, p);
	if (err != OK)
		return err;
	err = watch(ls, b.fd, where, BACKLOG, ev, shown, p);
	if (err != OK) {
		(void)close(b.fd); /* was never used */
		return err;
	}
	ls->first->file = b.file;
	if (addr.sa.sa_family == AF_UNIX)
		ls->first->unix_path = mem_copy(addr.un.sun_path, strlen(addr.un.sun_path));
	return OK;
}

enum err listener_try(const char *where, const struct unix_access *unix_access,
    struct problem *p)
{
	union listen_address addr;
	socklen_t len = 0;
	struct bound b;
	enum err err = listen_address_parse(where, &addr, &len, p);
	if (err != OK)
		return err;
	bool is_unix = addr.sa.sa_family == AF_UNIX;
	if (is_unix && find_file(addr.un.sun_path, &b.file))
		return OK; /* somebody's who listens, or a dead one, which goes at start */
	err = bind_socket(unix_access, where, &addr, len, &b, p);
	if (err != OK) /* closing what was never used leaves errno */
		return errno == EADDRINUSE && !is_unix ? OK : err;
	if (is_unix)
		remove_file(addr.un.sun_path, &b.file);
	(void)close(b.fd); /* was never used */
	return OK;
}

enum err listeners_adopt(struct listeners *ls, int fd, const char *where,
    struct evconnlistener **ev, char **shown, struct problem *p)
{
	int one = 1;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) != 0)
		return refuse(where, p);
	return watch(ls, fd, where, LISTENS_ALREADY, ev, shown, p);
}

void listeners_accept(struct listeners *ls, bool on)
{
	ls->wanted = on;
	set_accepting(ls, on);
}

void listeners_close(struct listeners *ls)
{
	reactor_timer_clear(ls->pause);
	while (ls->first != NULL) {
		struct listener *l = ls->first;
		ls->first = l->next;
		if (l->unix_path != NULL)
			remove_file(l->unix_path, &l->file);
		free(l->unix_path);
		free(l);
	}
}
