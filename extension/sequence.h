/*
 * sequence.h
 *		Sequences of a table whose rows have been copied.
 *
 * serial and identity columns get their values from sequences, which copied
 * rows have not moved: the next local INSERT would meet a copied key.
 */
#ifndef CAUSALDB_SEQUENCE_H
#define CAUSALDB_SEQUENCE_H

#include "postgres.h"

/*
 * Moves the sequences behind the table's integer columns to the largest value
 * there (the smallest, where they count down). They never go back.
 */
extern void sequence_follow(Oid relid);

#endif
