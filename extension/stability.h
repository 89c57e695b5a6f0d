/*
 * stability.h
 *		What every member has durably applied, from the acks in the streams.
 *
 * Invariants
 * 1. stable[s] of a shared slot is at or below what each member, this node
 *	  included, has durably applied of stream s (which is `everywhere`), and
 *	  no transaction that has not seen it can still come, no strong one either
 *	  (horizon.h). It never goes back.
 */
#ifndef CAUSALDB_STABILITY_H
#define CAUSALDB_STABILITY_H

#include "wire.h"

#include "shmem.h"

extern void stability_init(NodeShared *node);
/* The members changed: read them again at the next look. */
extern void stability_reload(void);
/* The writer's word that came with the stream, now that it is applied. */
extern void stability_mark(int slot, const RepMark *mark);
/* Recomputes and publishes; true if something is stable or everywhere that was
 * not. Needs a transaction if members changed. */
extern bool stability_look(void);
/* The smallest stable position over the streams that still grow. */
extern uint64 stability_floor(void);

#endif
