/*
 * catalog.c
 *		What this database knows of tagged tables and of descriptors.
 *
 * An entry lives in a context of its own. An invalidation takes it out of its
 * cache and puts it on the list of the retired, which the end of the
 * transaction empties: callers may hold it until then.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "catalog_tag.h"
#include "compat.h"
#include "errors.h"
#include "store.h"
#include "tree.h"

/* a cached object's home; the object comes behind it */
typedef struct Home
{
	MemoryContext context;
	struct Home *next_retired;
	Oid relid;
} Home;

typedef struct RelationEntry
{
	Oid relid; /* hash key */
	Home *home;
	CatalogRelation *relation;
} RelationEntry;

typedef struct ApplyEntry
{
	uint64 hash; /* hash key */
	Home *home;
	CatalogApply *apply;
} ApplyEntry;

typedef struct DescriptorEntry
{
	uint64 hash; /* hash key */
	RepDescriptor *descriptor;
} DescriptorEntry;

static HTAB *relations = NULL;
static HTAB *applies = NULL;
static HTAB *descriptors = NULL; /* by content: never invalidated */
static Home *retired = NULL;

/* counts invalidations: a build during which it moved is not cached */
static uint64 invalidations = 0;

/* ------------------------------------------------------- invalidation */

static void
retire(Home *home)
{
	home->next_retired = retired;
	retired = home;
}

static void
on_relcache(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS all;
	RelationEntry *relation;
	ApplyEntry *apply;

	(void) arg;
	invalidations++;
	hash_seq_init(&all, relations);
	while ((relation = hash_seq_search(&all)) != NULL)
		if (!OidIsValid(relid) || relation->relid == relid ||
			relation->relation->root == relid)
		{
			retire(relation->home);
			hash_search(relations, &relation->relid, HASH_REMOVE, NULL);
		}
	hash_seq_init(&all, applies);
	while ((apply = hash_seq_search(&all)) != NULL)
		if (!OidIsValid(relid) || apply->home->relid == relid)
		{
			retire(apply->home);
			hash_search(applies, &apply->hash, HASH_REMOVE, NULL);
		}
}

/* A renamed schema or an altered type: rare, so everything goes. */
static void
on_syscache(Datum arg, int cache, uint32 hash)
{
	(void) cache;
	(void) hash;
	on_relcache(arg, InvalidOid);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	(void) arg;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	while (retired != NULL)
	{
		Home *home = retired;

		retired = home->next_retired;
		MemoryContextDelete(home->context);
	}
}

static HTAB *
make_cache(const char *name, Size keysize, Size entrysize)
{
	HASHCTL ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = CacheMemoryContext;
	return hash_create(name, 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
prepare_caches(void)
{
	if (applies != NULL)
		return;
	relations = make_cache("causaldb tagged tables", sizeof(Oid),
						   sizeof(RelationEntry));
	applies = make_cache("causaldb applied descriptors", sizeof(uint64),
						 sizeof(ApplyEntry));
	descriptors = make_cache("causaldb descriptors", sizeof(uint64),
							 sizeof(DescriptorEntry));
	CacheRegisterRelcacheCallback(on_relcache, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, on_syscache, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_syscache, (Datum) 0);
	RegisterXactCallback(at_end_of_transaction, NULL);
}

static Home *
make_home(Oid relid)
{
	MemoryContext context =
		AllocSetContextCreate(CacheMemoryContext, "causaldb catalog entry",
							  ALLOCSET_SMALL_SIZES);
	Home *home = MemoryContextAllocZero(context, sizeof(Home));

	home->context = context;
	home->relid = relid;
	return home;
}

/* ------------------------------------------------- tables as captured */

/* Place of the attribute in the key, 1.., or 0. */
static uint32
key_place(const TupleKey *key, AttrNumber attnum)
{
	for (int i = 0; i < key->ncolumns; i++)
		if (key->columns[i].attnum == attnum)
			return (uint32) i + 1;
	return 0;
}

static void
read_key(Relation rel, TupleKey *key, MemoryContext context)
{
	Oid oid = compat_primary_key(rel);
	Relation index;
	int bad;

	memset(key, 0, sizeof(*key));
	if (!OidIsValid(oid))
		return;
	index = index_open(oid, AccessShareLock);
	bad = tuple_key_init(key, index, context);
	if (bad > 0)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("the primary key of table \"%s\" has a column that "
						"cannot be hashed",
						RelationGetRelationName(rel))));
	index_close(index, AccessShareLock);
}

static void
encode_definition(CatalogRelation *out, Relation rel, MemoryContext context)
{
	RepDescriptor d = { 0 };
	RepWriter w;
	char *schema = get_namespace_name(RelationGetNamespace(rel));

	d.append_only = out->append_only;
	d.policy = out->policy;
	d.schema = schema;
	d.schema_len = strlen(schema);
	d.table = RelationGetRelationName(rel);
	d.table_len = strlen(d.table);
	d.ncolumns = (uint32) out->ncolumns;
	d.columns = palloc0(sizeof(RepColumn) * Max(out->ncolumns, 1));
	for (int i = 0; i < out->ncolumns; i++)
	{
		Form_pg_attribute att =
			TupleDescAttr(RelationGetDescr(rel), out->attnums[i] - 1);
		RepColumn *column = &d.columns[i];

		column->name = NameStr(att->attname);
		column->name_len = strlen(column->name);
		column->type = tuple_type_name(att->atttypid, att->atttypmod);
		column->type_len = strlen(column->type);
		column->text = tuple_type_is_text(att->atttypid);
		column->rule = out->rules[i];
		column->key = key_place(&out->key, att->attnum);
	}
	rep_writer_init(&w, NULL, 0);
	rep_descriptor_encode(&d, &w);
	out->definition_len = w.len;
	out->definition = MemoryContextAlloc(context, w.len);
	rep_writer_init(&w, out->definition, out->definition_len);
	rep_descriptor_encode(&d, &w);
	Assert(!w.full);
	out->hash = rep_hash64(out->definition, out->definition_len, 0);
}

/* Columns that travel: tagged ones and the key, but nothing generated. */
static void
choose_columns(CatalogRelation *out, Relation rel, bool whole, bool strong,
			   const RepRule *rules, MemoryContext context)
{
	TupleDesc desc = RelationGetDescr(rel);
	int natts = Max(desc->natts, 1);

	out->attnums = MemoryContextAlloc(context, sizeof(AttrNumber) * natts);
	out->codecs = MemoryContextAlloc(context, sizeof(TupleCodec) * natts);
	out->rules = MemoryContextAlloc(context, sizeof(RepRule) * natts);
	out->keys = MemoryContextAlloc(context, sizeof(int) * natts);
	out->is_key = MemoryContextAlloc(context, sizeof(bool) * natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool in_key = key_place(&out->key, att->attnum) != 0;
		int at = out->ncolumns;

		if (att->attisdropped || att->attgenerated != '\0')
			continue;
		if (!whole && !in_key && rules[att->attnum] == 0)
			continue;
		out->attnums[at] = att->attnum;
		out->max_attnum = att->attnum;
		tuple_codec_init(&out->codecs[at], att->atttypid, att->atttypmod,
						 att->attcollation, context);
		out->rules[at] = catalog_tag_rule(rules[att->attnum], in_key, strong);
		out->strong |= out->rules[at] == REP_RULE_STRONG;
		out->is_key[at] = in_key;
		if (in_key)
			out->keys[out->nkeys++] = at;
		out->ncolumns++;
	}
}

/* What a tagged root says of its partition: names are the same there. */
static CatalogRelation *
build_partition(Relation rel, Oid root_relid, MemoryContext context)
{
	Relation root = table_open(root_relid, AccessShareLock);
	CatalogRelation *out = catalog_relation_build(root, context);

	if (out != NULL)
	{
		out->relid = RelationGetRelid(rel);
		out->attnums =
			MemoryContextAlloc(context,
							   sizeof(AttrNumber) * Max(out->ncolumns, 1));
		out->max_attnum = 0;
		for (int i = 0; i < out->ncolumns; i++)
		{
			out->attnums[i] =
				tree_written_attribute(rel, root, out->root_attnums[i]);
			out->max_attnum = Max(out->max_attnum, out->attnums[i]);
		}
		if (!out->append_only)
			read_key(rel, &out->key, context);
	}
	table_close(root, NoLock);
	return out;
}

CatalogRelation *
catalog_relation_build(Relation rel, MemoryContext context)
{
	Oid root = tree_root(rel);
	CatalogTag tag;
	CatalogRelation *out;

	if (root != RelationGetRelid(rel))
		return build_partition(rel, root, context);
	tag = catalog_tag_read(RelationGetRelid(rel));
	if (!tag.active && !tag.fenced)
		return NULL;
	out = MemoryContextAllocZero(context, sizeof(CatalogRelation));
	out->relid = RelationGetRelid(rel);
	out->root = out->relid;
	out->policy = tag.policy;
	out->fenced = tag.fenced;
	read_key(rel, &out->key, context);
	out->append_only = out->key.ncolumns == 0;
	if (out->append_only && !tag.append_only)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("table \"%s\" has lost its primary key",
						RelationGetRelationName(rel)),
				 errdetail("It was tagged with one, and rows are told apart "
						   "by it on every node."),
				 errhint("Give it the same one again; type: %s",
						 catalog_key_statement(rel))));
	choose_columns(out, rel, tag.whole, tag.strong, catalog_tag_rules(rel),
				   context);
	/* of a table of keys alone, existence is all there is */
	out->strong |= tag.strong;
	if (out->strong)
		out->policy = REP_POLICY_STRONG;
	out->root_attnums = out->attnums;
	out->name_hash = catalog_tag_name_hash(rel);
	if (out->strong)
		out->nuniques = catalog_unique_list(rel, out->name_hash, out->attnums,
											out->rules, out->ncolumns, context,
											&out->uniques);
	encode_definition(out, rel, context);
	return out;
}

CatalogRelation *
catalog_relation(Oid relid)
{
	RelationEntry *entry;
	CatalogRelation *relation;
	MemoryContext scratch;
	MemoryContext old;
	uint64 before;
	Relation rel;
	Home *home;
	bool found;

	prepare_caches();
	entry = hash_search(relations, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->relation;

	before = invalidations;
	home = make_home(relid);
	/* retired until proven good, so that an ERROR below leaves no leak */
	retire(home);
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb catalog build",
							  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	rel = table_open(relid, NoLock);
	relation = catalog_relation_build(rel, home->context);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	if (relation == NULL || before != invalidations || retired != home)
		return relation;

	retired = home->next_retired;
	entry = hash_search(relations, &relid, HASH_ENTER, &found);
	Assert(!found);
	entry->home = home;
	entry->relation = relation;
	return relation;
}

/* -------------------------------------------------------- descriptors */

/*
 * The stored bytes, palloc'd; *committed tells whether they stay whatever
 * becomes of this transaction. Rows never change, so the newest view is right
 * for every reader.
 */
static void *
find_descriptor(uint64 hash, size_t *len, bool *committed)
{
	Relation rel = table_open(store_table(STORE_DESCRIPTOR), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tup;
	void *bytes = NULL;

	*committed = false;
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, UInt64GetDatum(hash));
	scan = systable_beginscan(rel, store_index(STORE_DESCRIPTOR), true,
							  SnapshotSelf, 1, &key);
	while (!*committed && HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool isnull;
		bytea *stored = DatumGetByteaPP(
			heap_getattr(tup, 2, RelationGetDescr(rel), &isnull));

		*len = VARSIZE_ANY_EXHDR(stored);
		bytes = memcpy(palloc(*len + 1), VARDATA_ANY(stored), *len);
		*committed = !TransactionIdIsCurrentTransactionId(
			HeapTupleHeaderGetXmin(tup->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return bytes;
}

static void
insert_descriptor(uint64 hash, const void *bytes, size_t len)
{
	Relation rel = table_open(store_table(STORE_DESCRIPTOR), RowExclusiveLock);
	Datum values[2];
	bool nulls[2] = { false, false };
	bytea *definition = palloc(len + VARHDRSZ);

	SET_VARSIZE(definition, len + VARHDRSZ);
	memcpy(VARDATA(definition), bytes, len);
	values[0] = UInt64GetDatum(hash);
	values[1] = PointerGetDatum(definition);
	store_insert(rel, values, nulls);
	pfree(definition);
	table_close(rel, NoLock);
}

static void
pg_attribute_noreturn() bad_descriptor(uint64 hash)
{
	ereport(ERROR, (errcode(ERRORS_MALFORMED),
					errmsg("descriptor %016llx is malformed",
						   (unsigned long long) hash)));
}

static void
check_name(uint64 hash, const char *name, size_t len, size_t max)
{
	if (len == 0 || len > max || !pg_verifymbstr(name, (int) len, true))
		bad_descriptor(hash);
}

/* Decodes into context, or ERROR; the views are into a copy there. */
static RepDescriptor *
decode_descriptor(uint64 hash, const void *bytes, size_t len,
				  MemoryContext context)
{
	int ncolumns = rep_descriptor_columns(bytes, len);
	RepDescriptor *d;
	void *copy;

	if (ncolumns < 0 || rep_hash64(bytes, len, 0) != hash)
		bad_descriptor(hash);
	copy = memcpy(MemoryContextAlloc(context, len), bytes, len);
	d = MemoryContextAllocZero(context, sizeof(RepDescriptor));
	d->columns =
		MemoryContextAllocZero(context, sizeof(RepColumn) * Max(ncolumns, 1));
	if (!rep_descriptor_decode(copy, len, (uint32) ncolumns, d))
		bad_descriptor(hash);
	check_name(hash, d->schema, d->schema_len, NAMEDATALEN - 1);
	check_name(hash, d->table, d->table_len, NAMEDATALEN - 1);
	for (uint32 i = 0; i < d->ncolumns; i++)
	{
		check_name(hash, d->columns[i].name, d->columns[i].name_len,
				   NAMEDATALEN - 1);
		check_name(hash, d->columns[i].type, d->columns[i].type_len,
				   4 * NAMEDATALEN);
	}
	d->hash = hash;
	return d;
}

void
catalog_put_descriptor(uint64 hash, const void *bytes, size_t len)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb descriptor",
							  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	size_t stored_len;
	bool committed;

	(void) decode_descriptor(hash, bytes, len, scratch);
	if (find_descriptor(hash, &stored_len, &committed) == NULL)
		insert_descriptor(hash, bytes, len);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

void
catalog_check_descriptor(const void *bytes, size_t len)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb descriptor",
							  ALLOCSET_DEFAULT_SIZES);

	(void) decode_descriptor(rep_hash64(bytes, len, 0), bytes, len, scratch);
	MemoryContextDelete(scratch);
}

void *
catalog_get_descriptor(uint64 hash, size_t *len)
{
	bool committed;

	return find_descriptor(hash, len, &committed);
}

void
catalog_store_descriptor(CatalogRelation *rel)
{
	size_t len;
	void *bytes;

	if (rel->stored)
		return;
	bytes = find_descriptor(rel->hash, &len, &rel->stored);
	if (bytes == NULL)
		insert_descriptor(rel->hash, rel->definition, rel->definition_len);
	else
		pfree(bytes);
}

const RepDescriptor *
catalog_descriptor(uint64 hash)
{
	DescriptorEntry *entry;
	RepDescriptor *d;
	size_t len;
	void *bytes;

	prepare_caches();
	entry = hash_search(descriptors, &hash, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->descriptor;
	bytes = catalog_get_descriptor(hash, &len);
	if (bytes == NULL)
		return NULL;
	/* by content, so it is right for ever and never invalidated */
	d = decode_descriptor(hash, bytes, len, CacheMemoryContext);
	pfree(bytes);
	entry = hash_search(descriptors, &hash, HASH_ENTER, NULL);
	entry->descriptor = d;
	return d;
}

char *
catalog_descriptor_name(const RepDescriptor *d)
{
	return quote_qualified_identifier(pnstrdup(d->schema, d->schema_len),
									  pnstrdup(d->table, d->table_len));
}

char *
catalog_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(
										  get_rel_namespace(relid)),
									  get_rel_name(relid));
}

char *
catalog_key_statement(Relation rel)
{
	return psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s);",
					catalog_qualified_name(RelationGetRelid(rel)),
					tuple_key_candidates(rel));
}

/* ---------------------------------------------------- tables as applied */

static const char *
column_name(const RepColumn *column)
{
	return quote_identifier(pnstrdup(column->name, column->name_len));
}

static const char *
column_type(const RepColumn *column)
{
	return pnstrdup(column->type, column->type_len);
}

/* "a, b": the key's columns in order of the key */
static char *
key_list(const RepDescriptor *d)
{
	StringInfoData out;

	initStringInfo(&out);
	for (uint32 place = 1; place <= d->nkeys; place++)
		for (uint32 i = 0; i < d->ncolumns; i++)
			if (d->columns[i].key == place)
				appendStringInfo(&out, "%s%s", place > 1 ? ", " : "",
								 column_name(&d->columns[i]));
	return out.data;
}

static char *
create_table_statement(const RepDescriptor *d)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "CREATE TABLE %s (", catalog_descriptor_name(d));
	for (uint32 i = 0; i < d->ncolumns; i++)
		appendStringInfo(&out, "%s%s %s", i > 0 ? ", " : "",
						 column_name(&d->columns[i]),
						 column_type(&d->columns[i]));
	if (d->nkeys > 0)
		appendStringInfo(&out, ", PRIMARY KEY (%s)", key_list(d));
	appendStringInfoString(&out, ");");
	return out.data;
}

static Oid
lock_local_table(const RepDescriptor *d)
{
	RangeVar *name = makeRangeVar(pnstrdup(d->schema, d->schema_len),
								  pnstrdup(d->table, d->table_len), -1);
	Oid relid = RangeVarGetRelid(name, RowExclusiveLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s does not exist", catalog_descriptor_name(d)),
				 errdetail("Another node changed rows of it."),
				 errhint("Type: %s", create_table_statement(d))));
	if (get_rel_relkind(relid) != RELKIND_RELATION &&
		get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("%s is not a table", catalog_descriptor_name(d)),
						errdetail("It is one on the node that changed rows of "
								  "it.")));
	return relid;
}

/* Values written under one modifier must not change under the other. */
static bool
modifiers_agree(Oid type, int32 theirs, int32 ours)
{
	return ours < 0 || ours == theirs || type == VARCHAROID;
}

static void
check_type(const RepDescriptor *d, const RepColumn *column,
		   Form_pg_attribute att)
{
	Oid type;
	int32 typmod;

	if (!tuple_type_lookup(column->type, column->type_len, &type, &typmod))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s does not exist", column_type(column)),
				 errdetail("Column %s of table %s has it on the node that "
						   "changed rows.",
						   column_name(column), catalog_descriptor_name(d)),
				 errhint("Create the type here, then type: ALTER TABLE %s "
						 "ALTER COLUMN %s TYPE %s;",
						 catalog_descriptor_name(d), column_name(column),
						 column_type(column))));
	if (type != att->atttypid ||
		!modifiers_agree(type, typmod, att->atttypmod) ||
		column->text != tuple_type_is_text(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column %s of table %s is of type %s here",
						column_name(column), catalog_descriptor_name(d),
						format_type_with_typemod(att->atttypid,
												 att->atttypmod)),
				 errdetail("On the node that changed rows it is of type %s.",
						   column_type(column)),
				 errhint("Type: ALTER TABLE %s ALTER COLUMN %s TYPE %s;",
						 catalog_descriptor_name(d), column_name(column),
						 column_type(column))));
	if (att->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column %s of table %s is generated here",
						column_name(column), catalog_descriptor_name(d)),
				 errdetail("On the node that changed rows it is an ordinary "
						   "column."),
				 errhint("Type: ALTER TABLE %s ALTER COLUMN %s DROP "
						 "EXPRESSION;",
						 catalog_descriptor_name(d), column_name(column))));
}

void
catalog_refuse_missing(const CatalogApply *a, int column)
{
	const RepDescriptor *d = &a->descriptor;
	const RepColumn *c = &d->columns[column];

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column %s of table %s does not exist",
						   column_name(c), catalog_descriptor_name(d)),
					errdetail("Another node changed it."),
					errhint("Type: ALTER TABLE %s ADD COLUMN %s %s;",
							catalog_descriptor_name(d), column_name(c),
							column_type(c))));
}

/*
 * A column that this node has not or no longer is in nobody's way until
 * something is written to it: its value is kept in the log as it came.
 */
static void
map_missing(CatalogApply *out, int column, MemoryContext context)
{
	const RepColumn *c = &out->descriptor.columns[column];
	Oid type = c->text ? TEXTOID : BYTEAOID;

	if (c->key != 0)
		catalog_refuse_missing(out, column);
	out->attnums[column] = InvalidAttrNumber;
	tuple_codec_init(&out->codecs[column], type, -1, get_typcollation(type),
					 context);
}

static void
map_columns(CatalogApply *out, Relation rel, MemoryContext context)
{
	const RepDescriptor *d = &out->descriptor;
	TupleDesc desc = RelationGetDescr(rel);
	int nkeys = 0;

	out->attnums =
		MemoryContextAlloc(context, sizeof(AttrNumber) * (d->ncolumns + 1));
	out->codecs =
		MemoryContextAlloc(context, sizeof(TupleCodec) * (d->ncolumns + 1));
	out->keys = MemoryContextAlloc(context, sizeof(int) * (d->nkeys + 1));
	for (uint32 i = 0; i < d->ncolumns; i++)
	{
		const RepColumn *column = &d->columns[i];
		AttrNumber attnum =
			get_attnum(RelationGetRelid(rel),
					   pnstrdup(column->name, column->name_len));
		Form_pg_attribute att;

		if (attnum <= 0)
		{
			map_missing(out, (int) i, context);
			continue;
		}
		att = TupleDescAttr(desc, attnum - 1);
		check_type(d, column, att);
		out->attnums[i] = attnum;
		tuple_codec_init(&out->codecs[i], att->atttypid, att->atttypmod,
						 att->attcollation, context);
		if (column->key != 0)
			out->keys[nkeys++] = (int) i;
	}
}

/* Place in out->keys of the attribute, or -1. */
static int
find_key(const CatalogApply *out, AttrNumber attnum)
{
	for (uint32 i = 0; i < out->descriptor.nkeys; i++)
		if (out->attnums[out->keys[i]] == attnum)
			return (int) i;
	return -1;
}

static void
map_key(CatalogApply *out, Relation rel, MemoryContext context)
{
	const RepDescriptor *d = &out->descriptor;
	bool same = true;

	if (d->nkeys == 0)
		return;
	read_key(rel, &out->key, context);
	out->key_columns = MemoryContextAlloc(context, sizeof(int) * d->nkeys);
	out->key_places = MemoryContextAlloc(context, sizeof(int) * d->nkeys);
	same = out->key.ncolumns == (int) d->nkeys;
	for (int i = 0; same && i < out->key.ncolumns; i++)
	{
		int place = find_key(out, out->key.columns[i].attnum);

		same = place >= 0;
		out->key_places[i] = place;
		out->key_columns[i] = same ? out->keys[place] : -1;
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("the primary key of table %s is another one here",
						catalog_descriptor_name(d)),
				 errdetail("On the node that changed rows it is (%s).",
						   key_list(d)),
				 errhint("Drop the primary key if there is one, then type: "
						 "ALTER TABLE %s ADD PRIMARY KEY (%s);",
						 catalog_descriptor_name(d), key_list(d))));
}

static CatalogApply *
build_apply(const RepDescriptor *d, Oid relid, MemoryContext context)
{
	CatalogApply *out = MemoryContextAllocZero(context, sizeof(CatalogApply));
	Relation rel = table_open(relid, NoLock);

	if (!catalog_tag_read(relid).tagged)
		ereport(ERROR,
				(errcode(ERRORS_NOT_TAGGED_HERE),
				 errmsg("table %s is not tagged here",
						catalog_descriptor_name(d)),
				 errdetail("Another node changed rows of it. Nodes write to "
						   "tagged tables only."),
				 errhint("Type: SELECT causaldb.set_consistency(%s, "
						 "'eventual');",
						 quote_literal_cstr(catalog_descriptor_name(d)))));
	out->descriptor = *d; /* its views live for ever */
	out->relid = relid;
	out->owner = rel->rd_rel->relowner;
	map_columns(out, rel, context);
	map_key(out, rel, context);
	table_close(rel, NoLock);
	return out;
}

CatalogApply *
catalog_apply(uint64 hash)
{
	ApplyEntry *entry;
	const RepDescriptor *d;
	CatalogApply *apply;
	MemoryContext scratch;
	MemoryContext old;
	uint64 before;
	Oid relid;
	Home *home;

	prepare_caches();
	entry = hash_search(applies, &hash, HASH_FIND, NULL);
	if (entry != NULL)
	{
		LockRelationOid(entry->home->relid, RowExclusiveLock);
		/* the lock may have brought news */
		entry = hash_search(applies, &hash, HASH_FIND, NULL);
		if (entry != NULL)
			return entry->apply;
	}

	d = catalog_descriptor(hash);
	if (d == NULL)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("descriptor %016llx is not stored",
							   (unsigned long long) hash)));
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb catalog build",
							  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	relid = lock_local_table(d);
	before = invalidations;
	home = make_home(relid);
	retire(home);
	apply = build_apply(d, relid, home->context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	if (before != invalidations || retired != home)
		return apply;

	retired = home->next_retired;
	entry = hash_search(applies, &hash, HASH_ENTER, NULL);
	entry->home = home;
	entry->apply = apply;
	return apply;
}

bool
catalog_apply_known(uint64 hash)
{
	prepare_caches();
	return hash_search(applies, &hash, HASH_FIND, NULL) != NULL;
}
