/*
 * strong_latency.c
 *		See strong_latency.h.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "strong_latency.h"
#include "wall.h"

#define WINDOW_US INT64CONST(60000000)

static int
step_of(uint64 us)
{
	int high;

	if (us < 4)
		return (int) us;
	high = pg_leftmost_one_pos64(us);
	return Min(4 * (high - 1) + (int) ((us >> (high - 2)) & 3), STRONG_LATENCY_STEPS - 1);
}

/* The least time that is of no step up to this one, in microseconds. */
static uint64
end_of(int step)
{
	return step < 4 ? (uint64) step + 1 : (uint64) (5 + step % 4) << (step / 4 - 1);
}

/* The window that `now` is of. Those in between, of which nothing was counted, are gone. */
static int
window_at(StrongShared *strong, StrongLatency *latency, TimestampTz now)
{
	int64 minute = now / WINDOW_US;

	if (latency->minute != minute)
	{
		LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
		for (int i = 0; i < 2; i++)
			if (latency->minute < minute - i)
				for (int k = 0; k < STRONG_LATENCY_STEPS; k++)
					pg_atomic_write_u32(&latency->count[(minute - i) % 2][k], 0);
		if (latency->minute < minute)
			latency->minute = minute;
		LWLockRelease(&strong->lock);
	}
	return (int) (minute % 2);
}

void
strong_latency_note(StrongShared *strong, StrongLatency *latency, TimestampTz began)
{
	TimestampTz now = wall_timer();
	int window = window_at(strong, latency, now);

	pg_atomic_fetch_add_u32(&latency->count[window][step_of((uint64) Max(now - began, 0))], 1);
}

bool
strong_latency_percentile(StrongLatency *latency, int percent, double *ms)
{
	int64 old = wall_timer() / WINDOW_US - latency->minute;
	uint64 counts[STRONG_LATENCY_STEPS];
	uint64 all = 0;
	uint64 below = 0;

	if (old > 1)
		return false;
	for (int k = 0; k < STRONG_LATENCY_STEPS; k++)
	{
		counts[k] = pg_atomic_read_u32(&latency->count[latency->minute % 2][k]);
		/* nothing of this minute yet: of the last one alone */
		if (old == 0)
			counts[k] += pg_atomic_read_u32(&latency->count[(latency->minute + 1) % 2][k]);
		all += counts[k];
	}
	for (int k = 0; k < STRONG_LATENCY_STEPS && all > 0; k++)
	{
		below += counts[k];
		if (below * 100 >= all * (uint64) percent)
		{
			*ms = (double) end_of(k) / 1000;
			return true;
		}
	}
	return false;
}
