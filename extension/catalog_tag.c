/*
 * catalog_tag.c
 *		Rows of causaldb.tag and tag_column, as they stand now.
 *
 * They are read with the latest snapshot, as catalogs are: a transaction that
 * began before a tag was set writes under it all the same.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog_tag.h"
#include "store.h"

enum
{
	TAG_RELID = 1,
	TAG_LEVEL,
	TAG_WHOLE,
	TAG_APPEND_ONLY,
	TAG_ROW_POLICY,
	TAG_BECOMES,
	TAG_BECOMING
};

enum
{
	TAG_COLUMN_RELID = 1,
	TAG_COLUMN_ATTNUM,
	TAG_COLUMN_LEVEL,
	TAG_COLUMN_RULE
};

static bool
is_text(Datum value, const char *word)
{
	return strcmp(TextDatumGetCString(value), word) == 0;
}

static RepRowPolicy
policy_by_name(const char *name)
{
	if (strcmp(name, "delete_wins") == 0)
		return REP_POLICY_DELETE_WINS;
	if (strcmp(name, "last_write") == 0)
		return REP_POLICY_LAST_WRITE;
	return REP_POLICY_UPDATE_WINS;
}

CatalogTag
catalog_tag_read(Oid relid)
{
	Relation rel = table_open(store_table(STORE_TAG), AccessShareLock);
	/* of now, as GetLatestSnapshot, but allowed in parallel queries too */
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(rel)));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	CatalogTag tag = { 0 };

	ScanKeyInit(&key, TAG_RELID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, store_index(STORE_TAG), true, snapshot, 1,
							  &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
	{
		Datum values[TAG_BECOMING];
		bool nulls[TAG_BECOMING];

		heap_deform_tuple(tup, RelationGetDescr(rel), values, nulls);
		tag.tagged = true;
		tag.active = !is_text(values[TAG_LEVEL - 1], "none");
		tag.strong = is_text(values[TAG_LEVEL - 1], "strong");
		tag.whole = DatumGetBool(values[TAG_WHOLE - 1]);
		tag.append_only = DatumGetBool(values[TAG_APPEND_ONLY - 1]);
		tag.policy =
			policy_by_name(TextDatumGetCString(values[TAG_ROW_POLICY - 1]));
		tag.fenced = !nulls[TAG_BECOMES - 1];
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return tag;
}

RepRule *
catalog_tag_rules(Relation target)
{
	Relation rel = table_open(store_table(STORE_TAG_COLUMN), AccessShareLock);
	/* of now, as GetLatestSnapshot, but allowed in parallel queries too */
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(rel)));
	RepRule *rules =
		palloc0(sizeof(RepRule) * (RelationGetNumberOfAttributes(target) + 1));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;

	ScanKeyInit(&key, TAG_COLUMN_RELID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(target)));
	scan = systable_beginscan(rel, store_index(STORE_TAG_COLUMN), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool isnull;
		AttrNumber attnum =
			DatumGetInt16(heap_getattr(tup, TAG_COLUMN_ATTNUM,
									   RelationGetDescr(rel), &isnull));
		Datum rule =
			heap_getattr(tup, TAG_COLUMN_RULE, RelationGetDescr(rel), &isnull);

		Datum level =
			heap_getattr(tup, TAG_COLUMN_LEVEL, RelationGetDescr(rel), &isnull);

		if (attnum <= 0 || attnum > RelationGetNumberOfAttributes(target))
			continue;
		if (is_text(level, "strong"))
			rules[attnum] = REP_RULE_STRONG;
		else
			rules[attnum] = is_text(rule, "counter") ? REP_RULE_COUNTER
													 : REP_RULE_LAST_WRITE;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return rules;
}

RepRule
catalog_tag_rule(RepRule own, bool in_key, bool strong)
{
	/* a key is as strong as the existence of the row that it names */
	if (in_key)
		return REP_RULE_LAST_WRITE;
	if (own != 0)
		return own;
	return strong ? REP_RULE_STRONG : REP_RULE_LAST_WRITE;
}

uint64
catalog_tag_name_hash(Relation rel)
{
	const char *schema = get_namespace_name(RelationGetNamespace(rel));
	const char *name = RelationGetRelationName(rel);

	return rep_hash64(name, strlen(name),
					  rep_hash64(schema, strlen(schema), 0));
}

uint64
catalog_tag_descriptor_hash(const RepDescriptor *d)
{
	return rep_hash64(d->table, d->table_len,
					  rep_hash64(d->schema, d->schema_len, 0));
}
