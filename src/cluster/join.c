/* A copy of the active's store; see join.h. */
#include "cluster/join.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define FETCH_MS 60000 /* until the answer begins, and between two pieces of it */
#define AGAIN_MS 3000  /* behind a copy that broke off */
#define URL_MAX 2048
#define PATH_BYTES 4400

#define STORE_FILE "waybill.mdb"
static const char *const FILES[] = {STORE_FILE, "waybill.mdb-lock", "waybill.lock"};

struct join {
	struct join_conf conf;
	char url[URL_MAX]; /* "": none is known */
	struct backup_sink *sink;
	bool fetches;
	bool over;
	enum err result;
	int64_t again_ms; /* monotonic; no copy is begun before */
	uint64_t bytes;
	struct problem broken; /* why the sink took no more */
	char why[512];
};

static void path_of(const struct join *j, const char *folder, const char *file,
    char out[PATH_BYTES])
{
	int n = snprintf(out, PATH_BYTES, "%s/%s%s%s", j->conf.data, folder,
	    file[0] == '\0' ? "" : "/", file);
	panic_if(n < 0 || n >= PATH_BYTES, "the path of a store's folder is too long");
}

static bool is_gone(const char *path)
{
	return unlink(path) == 0 || errno == ENOENT;
}

/* Removes a folder that has a store, and the store. False: errno. */
static bool remove_store(const struct join *j, const char *folder)
{
	char path[PATH_BYTES];
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		path_of(j, folder, FILES[i], path);
		if (!is_gone(path) && errno != ENOTDIR)
			return false;
	}
	path_of(j, folder, "", path);
	return rmdir(path) == 0 || errno == ENOENT;
}

struct join *join_new(const struct join_conf *conf)
{
	struct join *j = mem_new(sizeof(*j));
	j->conf = *conf;
	(void)snprintf(j->why, sizeof(j->why),
	    "no active is known whose store could be copied");
	return j;
}

void join_offer(struct join *j, const char *url)
{
	(void)snprintf(j->url, sizeof(j->url), "%s", url == NULL ? "" : url);
}

/* Nothing came of it; another copy is begun later. */
static void break_off(struct join *j, const char *what, const char *why)
{
	(void)snprintf(j->why, sizeof(j->why), "%s: %s", what, why);
	log_warn("the store could not be copied, it is tried again", LOG_S("error", j->why),
	    LOG_N("bytes", j->bytes));
	backup_sink_free(j->sink);
	j->sink = NULL;
	j->fetches = false;
	j->again_ms = clock_mono_ms() + AGAIN_MS;
}

static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd); /* read-only */
	return synced;
}

/* Removes the stores that were kept aside before. */
static void forget_older(const struct join *j)
{
	DIR *d = opendir(j->conf.data);
	if (d == NULL)
		return;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		bool is_old = strncmp(e->d_name, JOIN_ASIDE_PREFIX,
				  strlen(JOIN_ASIDE_PREFIX)) == 0;
		if (is_old && !remove_store(j, e->d_name))
			log_warn("a store that was kept aside cannot be removed",
			    LOG_S("folder", e->d_name), LOG_S("error", strerror(errno)));
	}
	(void)closedir(d); /* read-only */
}

/* Gives the old store a second name, in a folder of its own. False: errno. */
static bool keep_aside(const struct join *j)
{
	char name[64];
	char from[PATH_BYTES];
	char to[PATH_BYTES];
	forget_older(j);
	(void)snprintf(name, sizeof(name), JOIN_ASIDE_PREFIX "%" PRId64, clock_wall_ms());
	path_of(j, STORE_FILE, "", from);
	path_of(j, name, "", to);
	if (mkdir(to, 0700) != 0)
		return false;
	path_of(j, name, STORE_FILE, to);
	if (link(from, to) != 0 && errno != ENOENT)
		return false;
	log_info("the old store is kept aside", LOG_S("folder", name));
	return true;
}

/* Puts the copy, which is whole, in place of the store. False: errno. */
static bool swap(const struct join *j)
{
	char from[PATH_BYTES];
	char to[PATH_BYTES];
	if (!keep_aside(j))
		return false;
	path_of(j, "waybill.mdb-lock", "", to);
	if (!is_gone(to)) /* LMDB's table of readers, of the other file */
		return false;
	path_of(j, JOIN_FOLDER, STORE_FILE, from);
	path_of(j, STORE_FILE, "", to);
	return rename(from, to) == 0 && sync_folder(j->conf.data);
}

static void finish(struct join *j)
{
	struct problem p;
	enum err err = backup_sink_finish(j->sink, &p);
	if (err != OK) {
		break_off(j, "the copy is not whole", p.message);
		return;
	}
	backup_sink_free(j->sink);
	j->sink = NULL;
	j->fetches = false;
	j->over = true;
	j->result = swap(j) ? OK : ERR_IO;
	if (j->result != OK)
		(void)snprintf(j->why, sizeof(j->why),
		    "the copy cannot take the store's place: %s", strerror(errno));
	else
		log_info("the store is a copy of the active's", LOG_S("active", j->url),
		    LOG_N("bytes", j->bytes));
}

static bool on_data(void *arg, struct slice bytes)
{
	struct join *j = arg;
	j->bytes += bytes.len;
	return backup_sink_write(j->sink, bytes, &j->broken) == OK;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct join *j = arg;
	char words[128];
	(void)snprintf(words, sizeof(words), "it answered with status %d%s", r->status,
	    r->status == 401 || r->status == 403
		? ": cluster_token_file has no token for all sessions there"
		: "");
	if (j->broken.message[0] != '\0')
		break_off(j, "the copy cannot be written", j->broken.message);
	else if (r->status != 200)
		break_off(j, j->url, r->status == 0 ? r->error : words);
	else
		finish(j);
}

static void fetch(struct join *j)
{
	char folder[PATH_BYTES];
	struct problem p;
	j->bytes = 0;
	j->broken.message[0] = '\0';
	path_of(j, JOIN_FOLDER, "", folder);
	if (!remove_store(j, JOIN_FOLDER)) {
		break_off(j, folder, strerror(errno));
		return;
	}
	if (backup_sink_new(folder, &j->sink, &p) != OK) {
		break_off(j, folder, p.message);
		return;
	}
	j->fetches = true;
	j->why[0] = '\0';
	log_info("copies the store of the active", LOG_S("active", j->url));
	struct client_request *q = client_open(j->conf.client);
	struct buf text = BUF_INIT(URL_MAX + 512);
	if (j->conf.token != NULL) {
		buf_printf(&text, "Bearer %s", j->conf.token);
		client_header(q, SLICE("Authorization"), buf_view(&text));
		buf_reset(&text);
	}
	buf_printf(&text, "%s/api/v1/backup", j->url);
	client_fetch(q, buf_cstr(&text), FETCH_MS, on_data, on_answer, j);
	buf_fini(&text);
}

void join_step(struct join *j)
{
	if (!j->fetches && !j->over && j->url[0] != '\0' && clock_mono_ms() >= j->again_ms)
		fetch(j);
}

bool join_is_over(const struct join *j)
{
	return j->over;
}

const char *join_why(const struct join *j)
{
	return j->why;
}

enum err join_end(struct join *j, struct problem *p)
{
	if (j->result == OK)
		return OK;
	return problem_set(p, j->result, "data", "data: %s", j->why);
}

void join_free(struct join *j)
{
	if (j == NULL)
		return;
	backup_sink_free(j->sink);
	if (!remove_store(j, JOIN_FOLDER))
		log_warn("a copy that is not whole cannot be removed",
		    LOG_S("error", strerror(errno)));
	free(j);
}
