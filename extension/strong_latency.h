/*
 * strong_latency.h
 *		How long strong commits and reads of this node have taken of late.
 *
 * Each is counted by its time, in steps of a quarter of a power of two, so a
 * percentile is at most a quarter too large. Two counts alternate by the
 * minute: what is told is of the last one to two minutes.
 */
#ifndef CAUSALDB_STRONG_LATENCY_H
#define CAUSALDB_STRONG_LATENCY_H

#include "strong_shared.h"

/* Counts one that began then (wall_timer) and ends now. */
extern void strong_latency_note(StrongShared *strong, StrongLatency *latency, TimestampTz began);

/*
 * What so many percent took at most, in ms; false if there was none of late.
 * The caller holds no lock: one that is counted meanwhile counts or not.
 */
extern bool strong_latency_percentile(StrongLatency *latency, int percent, double *ms);

#endif
