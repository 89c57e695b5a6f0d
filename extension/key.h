/*
 * key.h
 *		Keys of rows as users write them: JSON objects.
 *
 * {"id": 7} names the row whose primary key column id is 7; a key of one
 * column may also be its bare value. Values are read by the column types'
 * input functions.
 */
#ifndef CAUSALDB_KEY_H
#define CAUSALDB_KEY_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/relcache.h"

#include "tuple.h"

/*
 * Fills values[] in index order. ERROR 22023 unless the object has exactly
 * the key's columns, none null.
 */
extern void key_from_jsonb(Relation rel, const TupleKey *key, Jsonb *json,
						   Datum *values);

#endif
