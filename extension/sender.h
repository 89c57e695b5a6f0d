/*
 * sender.h
 *		The worker that ships this node's log to its peers.
 */
#ifndef CAUSALDB_SENDER_H
#define CAUSALDB_SENDER_H

#include "postgres.h"

extern PGDLLEXPORT void causaldb_sender_main(Datum database);

#endif
