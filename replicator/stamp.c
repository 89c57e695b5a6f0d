/*
 * stamp.c
 *		Order of streams and stamps; arithmetic of hybrid logical clocks.
 *
 * Not for the clock itself: the host keeps it in shared memory and passes the
 * wall time in.
 */
#include "stamp.h"

int
rep_stream_compare(RepStreamId a, RepStreamId b)
{
	if (a.node != b.node)
		return a.node < b.node ? -1 : 1;
	if (a.boot != b.boot)
		return a.boot < b.boot ? -1 : 1;
	return 0;
}

int
rep_stamp_compare(RepStamp a, RepStamp b)
{
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return rep_stream_compare(a.stream, b.stream);
}

uint64_t
rep_hlc_next(uint64_t last, uint64_t wall_ms)
{
	uint64_t wall = rep_hlc_from_ms(wall_ms);

	return wall > last ? wall : last + 1;
}

uint64_t
rep_hlc_from_ms(uint64_t ms)
{
	const uint64_t most = UINT64_MAX >> REP_HLC_COUNTER_BITS;

	/* a wall clock of the year 10889 must not wrap to the past */
	return (ms < most ? ms : most) << REP_HLC_COUNTER_BITS;
}

uint64_t
rep_hlc_to_ms(uint64_t hlc)
{
	return hlc >> REP_HLC_COUNTER_BITS;
}
