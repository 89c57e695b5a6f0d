/*
 * conflict.h
 *		Records merges that discarded something, and values set aside.
 */
#ifndef CAUSALDB_CONFLICT_H
#define CAUSALDB_CONFLICT_H

#include "catalog.h"
#include "incoming.h"

typedef struct ConflictSide
{
	bool known; /* false: nothing of ours, only what stood there */
	RepStamp stamp;
	const char *value; /* as text, or NULL */
} ConflictSide;

/* types have PostgreSQL 18's names where it has one */
extern void conflict_record(const char *type, const char *relation, const char *key,
							const char *column, const char *rule, const ConflictSide *kept,
							const ConflictSide *lost, const char *outcome);
/*
 * The change's values go to causaldb.lost_found. d is the descriptor it was
 * written under, NULL for a change that is not of rows; its table need not
 * be here.
 */
extern void conflict_keep_aside(int32 stream, uint64 position, const RepDescriptor *d,
								const RepChange *c, const char *reason);

#endif
