/*
 * step_aside.h
 *		Workers and peers leave a database that is dropped or copied.
 *
 * DROP DATABASE and CREATE DATABASE ... TEMPLATE refuse a database in which
 * there are sessions. Ours, and those of peers' senders, must not be in the
 * way: they leave when the command begins and come back if it fails.
 */
#ifndef CAUSALDB_STEP_ASIDE_H
#define CAUSALDB_STEP_ASIDE_H

#include "postgres.h"

/* A worker that has connected to this database must leave it again. */
extern bool step_aside_wanted(Oid database);
/* Takes the hook; from _PG_init while preloading. */
extern void step_aside_init(void);

#endif
