/*
 * apply.h
 *		The worker that applies what peers have written.
 */
#ifndef CAUSALDB_APPLY_H
#define CAUSALDB_APPLY_H

#include "postgres.h"

extern PGDLLEXPORT void causaldb_apply_main(Datum database);

#endif
