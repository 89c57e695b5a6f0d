/*
 * supervisor.h
 *		The one process a server that starts the workers of every node.
 */
#ifndef CAUSALDB_SUPERVISOR_H
#define CAUSALDB_SUPERVISOR_H

#include "postgres.h"

extern void supervisor_init(void);
extern PGDLLEXPORT void causaldb_supervisor_main(Datum arg);

#endif
