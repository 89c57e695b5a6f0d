/*
 * capture_buffer.h
 *		The changes of the running transaction, in memory and in chunks.
 *
 * Not for what a change says (capture.c writes that), nor for the log row
 * (capture.c asks for its payload).
 *
 * Words
 * segment: changes that become one chunk, or together the log row's payload;
 *	  has an ordinal from when it is started, and a descriptor table.
 * level: the segments of one open subtransaction.
 *
 * Invariants
 * 1. Segments in order of ordinal hold the changes in order of capture. Levels
 *	  from outer to inner hold ascending ordinals.
 * 2. A chunk holds changes of one level, or of levels whose fate is shared
 *	  from then on; it is written under the innermost of them.
 * 3. An ordinal is never given twice to different changes that both stand.
 */
#ifndef CAUSALDB_CAPTURE_BUFFER_H
#define CAUSALDB_CAPTURE_BUFFER_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "catalog.h"

/* a level's buffered bytes above which it writes chunks */
#define CAPTURE_LEVEL_BYTES (64 * 1024)
/* bytes at which a chunk is full: it fills one page */
#define CAPTURE_CHUNK_BYTES 8100

/*
 * Begins a change of rel (NULL: META) and returns where its body goes, after
 * kind and descriptor index. An ERROR before capture_buffer_close needs no
 * clean-up: it aborts the level.
 */
extern StringInfo capture_buffer_open(CatalogRelation *rel, RepChangeKind kind);
/* Ends the change; may write chunks. */
extern void capture_buffer_close(void);

/* Something was captured that still stands. */
extern bool capture_buffer_pending(void);
/*
 * The whole transaction's payload for its log row, in the buffer's memory: the
 * changes themselves, or where they do not fit a META change CHUNKED after
 * the last chunk has been written; *stream then is where chunks are, else -1.
 */
extern StringInfo capture_buffer_finish(int32 *stream);

/*
 * The same in one piece, however large, up to `limit` bytes (ERROR 54000); no
 * chunks are left.
 */
extern StringInfo capture_buffer_finish_whole(size_t limit);

/* Called at the events they are named after; level is the nest level. */
extern void capture_buffer_sub_pre_commit(int nest);
extern void capture_buffer_sub_commit(int nest);
extern void capture_buffer_sub_abort(int nest);
extern void capture_buffer_reset(void);

#endif
