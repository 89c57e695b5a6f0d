/*
 * vector.h
 *		A vector: stream -> position, as it travels and rests.
 *
 * Invariants
 * 1. Entries are sorted by stream (node, then boot), no stream twice.
 * 2. A stream that is not in a vector has position 0 in it.
 *
 * Encoding (rep_vector_encode): varint count, then for each entry varint
 * node, u64 boot, varint position.
 */
#ifndef REP_VECTOR_H
#define REP_VECTOR_H

#include "bounds.h"
#include "bytes.h"
#include "stamp.h"

typedef struct RepVersion
{
	RepStreamId stream;
	uint64_t position;
} RepVersion;

typedef struct RepVector
{
	RepVersion *entries; /* caller's memory */
	uint32_t len;
	uint32_t cap;
} RepVector;

extern uint64_t rep_vector_get(const RepVector *v, RepStreamId s);
/* Sets or inserts; false if there is no room. */
extern bool rep_vector_set(RepVector *v, RepStreamId s, uint64_t position);
/* Every entry of `need` is met by `have`. */
extern bool rep_vector_covers(const RepVector *have, const RepVector *need);
extern void rep_vector_encode(const RepVector *v, RepWriter *w);
/* Sets r->bad on unsorted, doubled or too many entries. */
extern void rep_vector_decode(RepReader *r, RepVector *v);

#endif
