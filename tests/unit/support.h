/*
 * What several unit tests share: a store in a folder of its own that goes away with
 * the test, objects to put into it, and seeds. A helper whose step fails ends the test.
 */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "domain/delivery.h"
#include "domain/webhook.h"
#include "store/db.h"
#include "store/events.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define STORE_MAP_BYTES (64u << 20) /* more than any test writes, but those of a full store */

/* A certificate in PEM; `nl` is what ends a line, "\n" or as JSON has it "\\n". */
#define TEST_CERTIFICATE(nl)                                                                   \
	"-----BEGIN CERTIFICATE-----" nl                                                       \
	"MIIBGzCBzqADAgECAgEBMAUGAytlcDAMMQowCAYDVQQDDAF0MCAXDTI2MTEyMzE2" nl                  \
	"MzE1NFoYDzIxMjYxMDMwMTYzMTU0WjAMMQowCAYDVQQDDAF0MCowBQYDK2VwAyEA" nl                  \
	"syLTRxufsB0MzQh1eGOdLmO4P5J15qtmZ6RpviyIJ/qjUzBRMB0GA1UdDgQWBBRh" nl                  \
	"xGMeaMTPuMqU2CfcF0q7OwV27DAfBgNVHSMEGDAWgBRhxGMeaMTPuMqU2CfcF0q7" nl                  \
	"OwV27DAPBgNVHRMBAf8EBTADAQH/MAUGAytlcANBAF6j+6a0kDTCHGPKHH3VAcql" nl                  \
	"P8C9F1tJk/bEaV4HyOmuBDWeYnBi4Aao8vf+L0SoHiAsB2Ppkjwua+k7S/vOrQ4=" nl                  \
	"-----END CERTIFICATE-----" nl

/* A folder, and the store in it. */
struct store {
	char dir[64];
	struct db *db;
	struct backlog *backlog; /* goes along with it */
	struct usage *usage;     /* the same */
};

/* For cmocka: *state is a struct store with a fresh, open store; then all of it is removed. */
int store_setup(void **state);
int store_teardown(void **state);

/* A row of a cmocka test table, with a store of its own. */
#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, store_setup, store_teardown)

/* The same with a file of at most `map_bytes`. */
struct store *store_new(uint64_t map_bytes);
void store_free(struct store *s);

/* Opens the store in its folder, and closes it. */
void store_open(struct store *s, uint64_t map_bytes);
void store_close(struct store *s);

/* Closes the store and opens it again, with STORE_MAP_BYTES. */
void store_reopen(struct store *s);

struct db_txn *store_begin(struct store *s);
struct db_txn *store_read(struct store *s);
void store_commit(struct db_txn *txn);

/*
 * Leaves the sessions so many bytes that they may still hold, all together; the store's pages
 * are just what is counted.
 */
void store_leave(struct store *s, uint64_t bytes);

/* The rows of table `t`, as a transaction of their own sees them, or as `txn` does. */
size_t store_count(struct store *s, enum db_table t);
size_t store_count_in(struct db_txn *txn, enum db_table t);

#define STORE_PAGE_BYTES 4096
#define STORE_META_PAGES 2

/* The store's file, to be read and overwritten under the open store; close() it. */
int store_file(const struct store *s);

/* Overwrites one page of it. */
void store_put_page(int fd, off_t at, const char page[STORE_PAGE_BYTES]);

/* Overwrites, under the open store, every page but the first two. */
void store_damage(const struct store *s);

/* Makes an empty folder; folder_remove() removes it and the files in it. */
void folder_make(char path[64]);
void folder_remove(const char *path);

/* An id that sorts as `n` does. */
struct uuid make_id(uint64_t n);

/* The bytes of an id, borrowed. */
struct slice id_bytes(const struct uuid *id);

/* A webhook as it would be registered; webhook_free() it. */
struct webhook *make_webhook(uint64_t number, const char *session, const char *url);

/* Webhooks of which nothing but their ordering counts. */
extern const struct webhook NO_ORDER;
extern const struct webhook FIFO;

/* A key of an ordering, by its pointer; it becomes the webhook's. */
struct lane_key *make_key(const char *pointer);

/* Another with one of each optional part, and every flag that the first does not have. */
struct webhook *make_full_webhook(void);

/* `n` times `c`; free() it. */
char *repeat(char c, size_t n);

/* Appends to a webhook's filter and headers what becomes its own. */
void add_event(struct webhook *w, char *name);
void add_header(struct webhook *w, char *name, char *value);

/* Delivery `n`, waiting, of event `n`, due and placed at `due_ms`, queued at 0. */
struct delivery make_delivery(uint64_t webhook, uint64_t n, int64_t due_ms);

/* Writes an event as version 1 or 2 of its record had it, with `state` in it. */
void put_old_event(struct db_txn *txn, uint8_t version, const struct event *e,
    struct slice body);

/* Compares two deliveries in all that is stored of them, and their ids. */
bool delivery_same(const struct delivery *a, const struct delivery *b);

/* Standard error while it goes to a file. */
struct capture {
	FILE *file;
	int saved;
};

struct capture begin_capture(void);

/* Ends it, and appends what was written to `out`. */
void end_capture(struct capture *c, struct buf *out);

/* Whether fn(arg), called in a child process, ends in log_panic(). */
bool panics(void (*fn)(void *arg), void *arg);

/* Leaves the process no descriptor to open, and as many as before. */
void descriptors_deny(void);
void descriptors_allow(void);

/* WAYBILL_TEST_SEED of the environment, else `standard`; prints it. */
uint64_t test_seed(uint64_t standard);

#endif
