/*
 * causaldb.c
 *		The module's entry.
 */
#include "postgres.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
}
