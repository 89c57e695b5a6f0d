/*
 * consensus.h
 *		The worker that hosts the strong engine of one database.
 */
#ifndef CAUSALDB_CONSENSUS_H
#define CAUSALDB_CONSENSUS_H

#include "postgres.h"

extern PGDLLEXPORT void causaldb_consensus_main(Datum database);

#endif
