/*
 * wall.h
 *		The wall clock, as the nodes of this server take it.
 *
 * The operating system's wall clock is read here and nowhere else, and by
 * few: what everybody else asks is wall_ms(), the machine's time since boot
 * plus a base in shared memory. The supervisor moves that base after the wall
 * clock as long as it believes it (skew.h), so a clock that is set wrong
 * never reaches a stamp. No memory of it outlives the postmaster: a start
 * takes the wall clock as it finds it.
 *
 * Units: milliseconds, of the epoch 1970 for times of day.
 *
 * Invariants
 * 1. wall_ms() advances with CLOCK_BOOTTIME, but where the base is moved.
 * 2. Only the postmaster at its start, and holders of CausalShared.lock, move
 *	  the base.
 */
#ifndef CAUSALDB_WALL_H
#define CAUSALDB_WALL_H

#include "utils/timestamp.h"

/* Registers what sets the base at the server's start; after shmem_init. */
extern void wall_init(void);

/* The time this server's nodes go by; without preload, the wall clock's. */
extern uint64 wall_ms(void);

/* The machine's time since its boot, suspended or not. */
extern uint64 wall_boot_ms(void);

/*
 * The same in microseconds, as a TimestampTz that has no meaning but its
 * distance to another one: for time-outs, which a wall clock that is set must
 * neither fire nor hold up.
 */
extern TimestampTz wall_timer(void);

/* What wall_ms() adds to the time since boot. */
extern int64 wall_base(void);
/* Moves it. The caller holds CausalShared.lock. */
extern void wall_set_base(int64 base);
/* What it would have to be for wall_ms() to be the wall clock's time. */
extern int64 wall_read_base(void);

/* Makes the clock of a testing build drift for that much longer. */
#ifdef CAUSALDB_TESTING
extern void wall_drift(int64 elapsed_ms);
#else
#define wall_drift(elapsed_ms) ((void) 0)
#endif

#endif
