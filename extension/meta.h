/*
 * meta.h
 *		META changes: what a log row says besides rows of tables.
 *
 * They stand in the payload of an ordinary transaction, so they are ordered,
 * shipped, relayed and applied exactly once like any write.
 *
 * Invariants
 * 1. Applying one is idempotent.
 * 2. A kind this node does not know is an ERROR that stalls the stream: the
 *	  writer is newer, and skipping it would make nodes differ.
 */
#ifndef CAUSALDB_META_H
#define CAUSALDB_META_H

typedef enum MetaKind
{
	META_CHUNKED = 1, /* the changes are in log_chunk: see capture.h */
	META_TAG = 2,     /* JSON text: see tags.h, tags_apply */
	META_NODE = 3,    /* JSON text: see member.h, member_apply */
	META_RETIRE = 5,  /* ended streams that this stream's later deps leave out,
					   * since all of them is stable: u32 node, u64 boot,
					   * u64 final of each */
	META_LOCAL = 6,   /* rows written with causaldb.capture = off: see
					   * maintenance.h; for history only */
	META_OPEN = 4     /* first in a new stream: u64 boot of the node's
					   * previous stream, u64 its final position */
} MetaKind;

#endif
