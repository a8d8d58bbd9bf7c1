/* Connections by their ends; see kept.h. */
#include "courier/kept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define ENDS_MAX (2 * INET6_ADDRSTRLEN + 2 * sizeof(uint16_t))

struct connection {
	int fd;
	bool is_shared;
	size_t key_len;
	char key[]; /* as long as it is */
};

struct kept {
	struct map *by_ends;
	struct connection **by_fd;
	size_t fd_count;
};

struct kept *kept_new(void)
{
	struct kept *k = mem_new(sizeof(*k));
	k->by_ends = map_new();
	return k;
}

void kept_free(struct kept *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->fd_count; i++)
		free(k->by_fd[i]);
	free(k->by_fd);
	map_free(k->by_ends);
	free(k);
}

/* Writes the ends one after the other, each text with its NUL; returns how long that is. */
static size_t put_key(const struct kept_ends *ends, char out[ENDS_MAX])
{
	const uint16_t ports[] = {(uint16_t)ends->remote_port, (uint16_t)ends->local_port};
	size_t remote_len = strlen(ends->remote) + 1;
	size_t local_len = strlen(ends->local) + 1;
	panic_if(remote_len > INET6_ADDRSTRLEN || local_len > INET6_ADDRSTRLEN,
	    "an address of a connection is too long");
	memcpy(out, ports, sizeof(ports));
	memcpy(out + sizeof(ports), ends->remote, remote_len);
	memcpy(out + sizeof(ports) + remote_len, ends->local, local_len);
	return sizeof(ports) + remote_len + local_len;
}

void kept_put(struct kept *k, int fd, const struct kept_ends *ends)
{
	size_t i = (size_t)fd;
	kept_drop(k, fd);
	k->by_fd = mem_reach(k->by_fd, &k->fd_count, i, sizeof(struct connection *));
	char key[ENDS_MAX];
	size_t len = put_key(ends, key);
	struct connection *one = mem_new(sizeof(*one) + len);
	one->fd = fd;
	one->key_len = len;
	memcpy(one->key, key, len);
	k->by_fd[i] = one;
	map_put(k->by_ends, one->key, one->key_len, one);
}

void kept_drop(struct kept *k, int fd)
{
	size_t i = (size_t)fd;
	if (i >= k->fd_count || k->by_fd[i] == NULL)
		return;
	struct connection *one = k->by_fd[i];
	if (map_get(k->by_ends, one->key, one->key_len) == one)
		(void)map_del(k->by_ends, one->key, one->key_len); /* is `one` */
	k->by_fd[i] = NULL;
	free(one);
}

void kept_share(struct kept *k, int fd, bool is_shared)
{
	size_t i = (size_t)fd;
	if (i < k->fd_count && k->by_fd[i] != NULL)
		k->by_fd[i]->is_shared = is_shared;
}

bool kept_is_stale(const struct kept *k, const struct kept_ends *ends)
{
	char key[ENDS_MAX];
	char byte;
	size_t len = put_key(ends, key);
	const struct connection *one = map_get(k->by_ends, key, len);
	if (one == NULL || one->is_shared)
		return false;
	ssize_t n = recv(one->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
	return n >= 0 || (errno != EAGAIN && errno != EINTR);
}
