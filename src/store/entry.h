/*
 * The form of an entry of the journal (docs/cluster.md, section "Entries"); big-endian:
 *
 *   form (1): 1   kind (1)   flags (1)   epoch (8)   turn (8)   schema (4)   before (16)
 *   member (2 + n)   url (2 + n)   length of the rows (4)   the rows, LZ4 where flagged
 *   digest (16): XXH3-128 of every byte before it
 *
 * `before` is the digest of the entry before it in the journal, whoever wrote that: so a
 * missing, doubled, cut or changed entry is seen.
 */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include "base/buf.h"
#include "domain/name.h"

#define ENTRY_MEMBER_MAX 64 /* bytes */
#define ENTRY_URL_MAX 1024  /* bytes */
#define ENTRY_DIGEST 16
#define ENTRY_HEAD_MAX 2048        /* bytes of all but the rows */
#define ENTRY_ROWS_MAX (64u << 20) /* bytes of rows, when they are no longer compressed */

enum entry_kind {
	ENTRY_TURN = 1,  /* rows of a turn, or some of them */
	ENTRY_HEARTBEAT, /* the owner is there */
	ENTRY_TAKEOVER,  /* the member owns the shard, from here on, in this epoch */
	ENTRY_HANDOVER,  /* the owner stops; whoever can takes over at once */
};

/* What text points to is borrowed. */
struct entry {
	enum entry_kind kind;
	bool more;      /* rows of the same turn follow in the next entry */
	uint64_t epoch; /* counts owners, from 1 */
	uint64_t turn;  /* counts turns that wrote rows, over all owners; else the last one's */
	uint32_t schema;
	unsigned char before[ENTRY_DIGEST];
	unsigned char digest[ENTRY_DIGEST]; /* its own; set by both functions below */
	struct slice member;
	struct slice url;  /* where its API is reached, for others to be told */
	struct slice rows; /* of a turn: store/rows.h; of a takeover: random */
};

/* Appends `e`, whose digest it sets; `out` fails where it has no room. */
void entry_encode(struct entry *e, struct buf *out);

/*
 * Reads an entry into *e; its rows lie in `scratch` where they were compressed, which is
 * emptied first. ERR_CORRUPT: it is none, or changed; ERR_CONFLICT: of a form that this program
 * does not know.
 */
MUST_CHECK enum err entry_decode(struct slice bytes, struct buf *scratch, struct entry *e);

/*
 * How far a store is in the journal: a row of DB_META, written by each transaction that
 * entries of the kind ENTRY_TURN have become, on each member alike. With seq 0 it marks a store
 * that had rows before its journal began: `digest` is random, and `before` of the first entry.
 */
struct entry_position {
	uint64_t seq; /* of the turn's last entry; 0: of none */
	uint64_t epoch;
	uint64_t turn;
	unsigned char digest[ENTRY_DIGEST]; /* of that entry */
	uint64_t journal;                   /* which one: its creation, wall ms */
};

struct db_txn;

/* Reads it; all zero where there is none. ERR_CORRUPT, the store's error. */
MUST_CHECK enum err entry_position_get(struct db_txn *txn, struct entry_position *out);

/* Writes it. The sticky error. */
MUST_CHECK enum err entry_position_put(struct db_txn *txn, const struct entry_position *at);

/* Removes it: the store belongs to no journal. The sticky error. */
MUST_CHECK enum err entry_position_del(struct db_txn *txn);

#endif
