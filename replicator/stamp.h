/*
 * stamp.h
 *		Streams, hybrid logical clock values and stamps.
 *
 * An hlc has 48 bits of milliseconds since the Unix epoch above a 16-bit
 * counter; it grows in every tick and never runs behind what was observed.
 * (Kulkarni et al., "Logical Physical Clocks", 2014.) A stamp, (hlc, node,
 * boot), is identity and total order of a transaction at once.
 */
#ifndef REP_STAMP_H
#define REP_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define REP_HLC_COUNTER_BITS 16

/* who writes a stream: one start (boot) of one node */
typedef struct RepStreamId
{
	uint32_t node;
	uint64_t boot;
} RepStreamId;

typedef struct RepStamp
{
	uint64_t hlc;
	RepStreamId stream;
} RepStamp;

/* <0, 0, >0: order by node, then boot */
extern int rep_stream_compare(RepStreamId a, RepStreamId b);
/* <0, 0, >0: order by hlc, then node, then boot */
extern int rep_stamp_compare(RepStamp a, RepStamp b);
/* The hlc of a tick: above `last`, and not below the wall clock. */
extern uint64_t rep_hlc_next(uint64_t last, uint64_t wall_ms);
extern uint64_t rep_hlc_from_ms(uint64_t ms);
extern uint64_t rep_hlc_to_ms(uint64_t hlc);

#endif
