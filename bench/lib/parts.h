/*
 * What the parts that waybill is made of can do alone. Each runs for about
 * `seconds` with its other end, if it has one, in a child process, and returns
 * how many a second. Whatever fails ends the program.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#define PARTS_CONNECTIONS 64
#define PARTS_PUBLISH_BYTES 250  /* body of a request that comes in */
#define PARTS_DELIVERY_BYTES 400 /* body of one that goes out, and an event on disk */
#define PARTS_COMMIT_EVENTS 64

/* evhttp alone answers 202 to POSTs from that many keep-alive connections. */
double parts_evhttp(double seconds);

/* curl's multi interface alone posts to a receiver, that many in flight. */
double parts_curl(double seconds);

/*
 * LMDB alone puts an event and its queue row and deletes both again, in synced
 * commits of that many events, in a file of its own below `dir`.
 */
double parts_lmdb(double seconds, const char *dir);

#endif
