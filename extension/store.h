/*
 * store.h
 *		The shadow tables, read and written without SQL.
 *
 * log, log_chunk, and by name every other table of ours. Not for what the
 * bytes mean (replicator/change.h), nor for who writes when (capture.h, the
 * applier).
 *
 * Invariants
 * 1. (stream, position) is unique: a second insert is ERROR 23505, which is
 *	  the proof against applying twice.
 * 2. Iterators give rows in key order, and only what their snapshot sees.
 *	  Bytes handed out live until the next call on the same iterator.
 */
#ifndef CAUSALDB_STORE_H
#define CAUSALDB_STORE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "stamp.h"

/* tables of ours whose OIDs are cached */
typedef enum StoreTable
{
	STORE_LOG,
	STORE_LOG_CHUNK,
	STORE_DESCRIPTOR,
	STORE_TAG,
	STORE_TAG_COLUMN,
	STORE_STREAM,
	STORE_NODE,
	STORE_LOCAL_NODE,
	STORE_STRONG_LOG,
	STORE_IDEMPOTENCY
} StoreTable;
#define STORE_NTABLES (STORE_IDEMPOTENCY + 1)

/* stands for the hash in causaldb.log_key where the transaction has a TRUNCATE */
#define STORE_TRUNCATE_HASH UINT64CONST(0x54525543)

/* The schema causaldb, or InvalidOid where the extension is not installed. */
extern Oid store_schema(void);
/* ERROR 55000 if the extension is not (or only in part) installed. */
extern Oid store_table(StoreTable table);
/* its first index: the primary key, or descriptor's index on hash */
extern Oid store_index(StoreTable table);

/* Inserts a tuple of the open table, with its index entries. */
extern void store_insert(Relation rel, Datum *values, bool *nulls);

/* xid names the transaction's chunks; 0 if it has none, which rests as NULL
 * and takes no room. stamp: of a strong transaction, whose position is its
 * index; else NULL. */
extern void store_insert_log(int32 stream, uint64 position, uint64 xid,
							 const RepStamp *stamp, const void *deps,
							 size_t deps_len, const void *payload,
							 size_t payload_len);
extern void store_insert_chunk(int32 stream, uint64 xid, int32 ordinal,
							   const void *payload, size_t payload_len);

typedef struct StoreLogRow
{
	int32 stream;
	uint64 position;
	uint64 xid; /* the origin's; names its chunks; 0 if it has none */
	bool strong;
	RepStamp stamp; /* strong: whose; else only its hlc is set, the position */
	const uint8 *deps;
	size_t deps_len;
	const uint8 *payload;
	size_t payload_len;
} StoreLogRow;

typedef struct StoreChunkRow
{
	int32 stream;
	uint64 xid;
	int32 ordinal;
	const uint8 *payload;
	size_t payload_len;
} StoreChunkRow;

typedef struct StoreScan StoreScan;

/* Rows of one stream in (after, upto], ascending. */
extern StoreScan *store_log_begin(int32 stream, uint64 after, uint64 upto,
								  Snapshot snapshot);
extern bool store_log_next(StoreScan *scan, StoreLogRow *row);
/* Chunks of one transaction with ordinal > after_ordinal (-1: all). */
extern StoreScan *store_chunks_begin(int32 stream, uint64 xid,
									 int32 after_ordinal, Snapshot snapshot);
extern bool store_chunks_next(StoreScan *scan, StoreChunkRow *row);
extern void store_end(StoreScan *scan);

/* One row; its bytes are palloc'd. False if the snapshot has none. */
extern bool store_log_fetch(int32 stream, uint64 position, Snapshot snapshot,
							StoreLogRow *row);
/* The largest position of the stream the snapshot sees, or 0. */
extern uint64 store_last_position(int32 stream, Snapshot snapshot);

/*
 * deps as they rest in the log: varint count, then for each entry varint
 * stream id (of this node), zig-zag varint of position - dep. `position` is
 * the hlc of the transaction's stamp.
 */
typedef struct StoreDep
{
	int32 stream; /* causaldb.stream.id */
	uint64 position;
} StoreDep;

extern void store_encode_deps(const StoreDep *deps, int ndeps, uint64 position,
							  StringInfo out);
/* Entries written to deps[0..room); ERROR XX001 if malformed or too many. */
extern int store_decode_deps(const void *bytes, size_t len, uint64 position,
							 StoreDep *deps, int room);

#endif
