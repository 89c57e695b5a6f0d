/*
 * route.c
 *		See route.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tupconvert.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "route.h"

/* one partitioned table on the way down */
typedef struct Level
{
	Relation rel;
	PartitionKey key;
	List *expressions;       /* ExprState, as in the key */
	TupleConversionMap *map; /* from the root's form; NULL: the same */
	TupleTableSlot *row;     /* in this level's form, if there is a map */
} Level;

struct Route
{
	EState *estate;
	Relation root;
	List *levels; /* Level; the root's comes first */
};

static Level *
add_level(Route *route, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(route->estate->es_query_cxt);
	Level *level = palloc0(sizeof(Level));

	level->rel = rel;
	level->key = RelationGetPartitionKey(rel);
	level->expressions =
		ExecPrepareExprList(level->key->partexprs, route->estate);
	level->map = convert_tuples_by_name(RelationGetDescr(route->root),
										RelationGetDescr(rel));
	if (level->map != NULL)
		level->row = ExecInitExtraTupleSlot(route->estate, RelationGetDescr(rel),
											&TTSOpsVirtual);
	route->levels = lappend(route->levels, level);
	MemoryContextSwitchTo(old);
	return level;
}

Route *
route_open(Relation root, EState *estate)
{
	Route *route = MemoryContextAllocZero(estate->es_query_cxt, sizeof(Route));

	route->estate = estate;
	route->root = root;
	(void) add_level(route, root);
	return route;
}

static Level *
find_level(Route *route, Oid relid)
{
	ListCell *cell;

	foreach (cell, route->levels)
		if (RelationGetRelid(((Level *) lfirst(cell))->rel) == relid)
			return lfirst(cell);
	return add_level(route, table_open(relid, RowExclusiveLock));
}

static void
key_values(Route *route, Level *level, TupleTableSlot *row, Datum *values,
		   bool *isnull)
{
	ExprContext *context = GetPerTupleExprContext(route->estate);
	ListCell *expression = list_head(level->expressions);

	context->ecxt_scantuple = row;
	for (int i = 0; i < level->key->partnatts; i++)
	{
		AttrNumber attnum = level->key->partattrs[i];

		if (attnum != 0)
		{
			values[i] = slot_getattr(row, attnum, &isnull[i]);
			continue;
		}
		values[i] = ExecEvalExprSwitchContext(lfirst(expression), context,
											  &isnull[i]);
		expression = lnext(level->expressions, expression);
	}
}

static int
find_range(PartitionKey key, PartitionBoundInfo bounds, Datum *values,
		   const bool *isnull)
{
	bool equal;

	/* no range has a NULL */
	for (int i = 0; i < key->partnatts; i++)
		if (isnull[i])
			return -1;
	return bounds->indexes[partition_range_datum_bsearch(key->partsupfunc,
														 key->partcollation,
														 bounds,
														 key->partnatts, values,
														 &equal) +
						   1];
}

static int
find_list(PartitionKey key, PartitionBoundInfo bounds, Datum value, bool isnull)
{
	bool equal = false;
	int at;

	if (isnull)
		return bounds->null_index;
	at = partition_list_bsearch(key->partsupfunc, key->partcollation, bounds,
								value, &equal);
	return at >= 0 && equal ? bounds->indexes[at] : -1;
}

/* Place among the level's partitions, or -1. */
static int
find_partition(PartitionKey key, PartitionBoundInfo bounds, Datum *values,
			   bool *isnull)
{
	int found;

	if (key->strategy == PARTITION_STRATEGY_HASH)
		found = bounds->indexes[compute_partition_hash_value(
									key->partnatts, key->partsupfunc,
									key->partcollation, values, isnull) %
								(uint64) bounds->nindexes];
	else if (key->strategy == PARTITION_STRATEGY_LIST)
		found = find_list(key, bounds, values[0], isnull[0]);
	else
		found = find_range(key, bounds, values, isnull);
	return found >= 0 ? found : bounds->default_index;
}

Oid
route_find(Route *route, TupleTableSlot *row)
{
	Level *level = linitial(route->levels);

	for (;;)
	{
		PartitionDesc parts = RelationGetPartitionDesc(level->rel, true);
		Datum values[PARTITION_MAX_KEYS];
		bool isnull[PARTITION_MAX_KEYS];
		int found;

		if (parts->nparts == 0)
			return InvalidOid;
		key_values(route, level,
				   level->map == NULL
					   ? row
					   : execute_attr_map_slot(level->map->attrMap, row,
											   level->row),
				   values, isnull);
		found = find_partition(level->key, parts->boundinfo, values, isnull);
		if (found < 0)
			return InvalidOid;
		if (parts->is_leaf[found])
			return parts->oids[found];
		level = find_level(route, parts->oids[found]);
	}
}

void
route_close(Route *route)
{
	ListCell *cell;

	for_each_from(cell, route->levels, 1)
		table_close(((Level *) lfirst(cell))->rel, NoLock);
}
