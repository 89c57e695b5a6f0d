/*
 * walk.h
 *		Reads a whole frame, payloads and all, and writes it again.
 *
 * What a decoder accepts must encode to the very same bytes: there is one form
 * only, so that hashes of what was received equal hashes of what was sent.
 * Unit tests and the fuzzer walk the same way.
 */
#ifndef WALK_H
#define WALK_H

#include "change.h"
#include "wire.h"

typedef enum WalkResult
{
	WALK_REJECTED,  /* malformed, and said so */
	WALK_FAITHFUL,  /* accepted, and written again it is the same */
	WALK_UNFAITHFUL /* accepted, and written again it differs */
} WalkResult;

/* arrays large enough for any change */
typedef struct WalkRoom
{
	RepValue key[REP_MAX_COLUMNS];
	RepValue row[REP_MAX_COLUMNS];
	RepField fields[REP_MAX_COLUMNS];
} WalkRoom;

extern void walk_room(RepChange *c, WalkRoom *room);
/* Writes one change with the library's writers. */
extern void walk_write_change(RepWriter *w, const RepDescriptor *d,
							  const RepChange *c);

/* d->columns has room for REP_MAX_COLUMNS. */
extern WalkResult walk_descriptor(const void *data, size_t len,
								  RepDescriptor *d);
/*
 * A payload's descriptors are looked up by hash; one that is unknown is taken
 * as another of ds, so that a fuzzer gets past it.
 */
extern WalkResult walk_payload(const void *data, size_t len,
							   const RepDescriptor *ds, uint32_t nds);
extern WalkResult walk_body(RepFrameType type, RepReader *body);
extern WalkResult walk_frame(const void *data, size_t len);
/* Makes length and checksum of the header right; len >= REP_FRAME_HEADER. */
extern void walk_fix_header(uint8_t *frame, size_t len);

#endif
