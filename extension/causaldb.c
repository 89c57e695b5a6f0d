/*
 * causaldb.c
 *		Where the server enters: starts every part, in order.
 *
 * Nothing calls this file.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "admin.h"
#include "clock.h"
#include "guc.h"
#include "secret.h"
#include "shmem.h"
#include "step_aside.h"
#include "strong_key.h"
#include "strong_read.h"
#include "supervisor.h"
#include "victim.h"
#include "wall.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/*
 * Preloaded: settings, shared memory, callbacks and the supervisor. Loaded by
 * a session only: settings and callbacks; history is local then.
 */
void
_PG_init(void)
{
	guc_init();
	clock_init();
	admin_init();
	secret_init();
	strong_key_init();
	if (process_shared_preload_libraries_in_progress)
	{
		shmem_init();
		wall_init();
		supervisor_init();
		step_aside_init();
		strong_read_init();
		victim_init();
	}
}
