/*
 * strong_play.h
 *		The worker that applies committed entries of the strong log.
 */
#ifndef CAUSALDB_STRONG_PLAY_H
#define CAUSALDB_STRONG_PLAY_H

#include "postgres.h"

extern PGDLLEXPORT void causaldb_strong_play_main(Datum database);

#endif
