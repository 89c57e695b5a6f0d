/*
 * debug_point.h
 *		Named places where a test may kill, fail or hold this process.
 *
 * Compiled in by -DCAUSALDB_TESTING only; a released module has neither the
 * points nor the settings. `causaldb.debug_point` is a comma-separated list
 * of name:action or name:action:count (act on the count-th arrival, counted
 * by each process), with these actions: kill (SIGKILL of this process),
 * kill_once (not again while the data folder has a file debug_point.NAME),
 * kill_postmaster, error, hang (until the setting changes); or name:delay:ms,
 * which widens a race at every arrival. `causaldb.break`
 * is a list of deliberate mistakes, each of which some test must catch, and
 * `causaldb.clock_offset` and `causaldb.clock_drift` make the wall clock wrong.
 */
#ifndef CAUSALDB_DEBUG_POINT_H
#define CAUSALDB_DEBUG_POINT_H

#ifdef CAUSALDB_TESTING
extern void debug_point_reached(const char *name);
extern bool debug_point_break(const char *name);

#define DEBUG_POINT(name) debug_point_reached(name)
#define BREAK(name) debug_point_break(name)
#else
#define DEBUG_POINT(name) ((void) 0)
#define BREAK(name) false
#endif

#endif
