/*
 * gen.h
 *		Random vectors, descriptors, payloads and frames, all of them valid.
 */
#ifndef GEN_H
#define GEN_H

#include "change.h"
#include "unit.h"
#include "wire.h"

#define GEN_COLUMNS 12
#define GEN_FRAME_ROOM 65536

/* a descriptor with the memory that it points into */
typedef struct GenDescriptor
{
	RepDescriptor d;
	RepColumn columns[GEN_COLUMNS];
	char names[GEN_COLUMNS][12];
	uint8_t bytes[1024]; /* encoded */
	size_t len;
} GenDescriptor;

/* At most `most` entries, into v->entries. */
extern void gen_vector(UnitRng *rng, RepVector *v, uint32_t most);
extern void gen_descriptor(UnitRng *rng, GenDescriptor *g);
/* One change of the relation; c's arrays have room. Values point to random
 * bytes that stay. */
extern void gen_change(UnitRng *rng, const RepDescriptor *d, uint32_t index,
					   RepChange *c);
/* Head and some changes; n is at most 2. */
extern void gen_payload(UnitRng *rng, const GenDescriptor *gs, uint32_t n,
						RepWriter *w);
/* A whole frame of this type. */
extern void gen_frame(UnitRng *rng, RepFrameType type, RepWriter *w);

#endif
