/*
 * wall.c
 *		See wall.h.
 */
#include "postgres.h"

#include <time.h>

#include "storage/ipc.h"

#include "guc.h"
#include "shmem.h"
#include "wall.h"

/* elsewhere than on Linux the monotonic clock is the nearest there is */
#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME CLOCK_MONOTONIC
#endif

static shmem_startup_hook_type previous_startup_hook = NULL;

static uint64
read_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64) now.tv_sec * 1000000 + (uint64) now.tv_nsec / 1000;
}

uint64
wall_boot_ms(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000;
}

TimestampTz
wall_timer(void)
{
	return (TimestampTz) read_us(CLOCK_BOOTTIME);
}

/* A wall clock that tests can make wrong. */
static int64
read_wall_ms(void)
{
	int64 now = (int64) (read_us(CLOCK_REALTIME) / 1000);

#ifdef CAUSALDB_TESTING
	now += guc_clock_offset;
	if (shmem_available())
		now += (int64) pg_atomic_read_u64(&shmem_shared()->drifted_ms);
#endif
	return now;
}

#ifdef CAUSALDB_TESTING
void
wall_drift(int64 elapsed_ms)
{
	pg_atomic_fetch_add_u64(&shmem_shared()->drifted_ms,
							elapsed_ms * guc_clock_drift / 1000);
}
#endif

int64
wall_read_base(void)
{
	return read_wall_ms() - (int64) wall_boot_ms();
}

int64
wall_base(void)
{
	return (int64) pg_atomic_read_u64(&shmem_shared()->wall_base);
}

void
wall_set_base(int64 base)
{
	pg_atomic_write_u64(&shmem_shared()->wall_base, (uint64) base);
}

uint64
wall_ms(void)
{
	if (!shmem_available())
		return (uint64) read_wall_ms();
	return (uint64) ((int64) wall_boot_ms() + wall_base());
}

/* The postmaster is alone here, so there is nothing to lock. */
static void
startup(void)
{
	if (previous_startup_hook)
		previous_startup_hook();
	if (wall_base() == 0)
	{
		wall_set_base(wall_read_base());
		shmem_shared()->wall_reference = wall_base();
	}
}

void
wall_init(void)
{
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}
