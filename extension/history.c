/*
 * history.c
 *		The log as field-level history: one row for each written field.
 *
 * Not for conflicts (those have a table). Everything is rendered from the
 * descriptors under which it was written, so history outlives the tables it
 * tells of; a value whose type is gone is shown as bytes.
 *
 * Invariants
 * 1. Rows come in order of stamp (those of the strong log among themselves in
 *	  its order), and within a transaction in order of capture.
 * 2. Memory does not grow with the log: one row a stream is held at a time,
 *	  and results go to a tuplestore within work_mem.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "capture.h"
#include "catalog.h"
#include "compat.h"
#include "errors.h"
#include "key.h"
#include "maintenance.h"
#include "render.h"
#include "stamp.h"
#include "store.h"
#include "tree.h"

PG_FUNCTION_INFO_V1(causaldb_history);
PG_FUNCTION_INFO_V1(causaldb_field_history);

/* what there is to say of one written field; causaldb.history shows all */
enum
{
	OUT_RELATION,
	OUT_OPERATION,
	OUT_KEY,
	OUT_COLUMN,
	OUT_OLD,
	OUT_NEW,
	OUT_STAMP,
	OUT_NODE,
	OUT_COMMITTED_AT,
	OUT_LEVEL,
	OUT_POSITION,
	OUT_STREAM,
	OUT_NATTS
};

/* causaldb.field_history's columns: relation and key are known to who asks */
static const int field_history_columns[] = { OUT_COLUMN, OUT_OPERATION,
											 OUT_OLD,    OUT_NEW,
											 OUT_NODE,   OUT_COMMITTED_AT,
											 OUT_LEVEL,  OUT_STAMP };

/* one stream, as it is read */
typedef struct Source
{
	int32 id;
	int32 node;
	char *node_name; /* NULL: not known here */
	StoreScan *scan; /* NULL: at its end */
	StoreLogRow row;
} Source;

/* which row's history is wanted; relation NULL: all */
typedef struct Filter
{
	Relation relation;
	TupleKey key;
	Datum values[INDEX_MAX_KEYS]; /* in index order */
	const char *column;           /* NULL: all */
} Filter;

/* how to read changes written under one descriptor */
typedef struct Reader
{
	uint64 hash;
	CatalogApply apply; /* descriptor, codecs, keys */
	bool wanted;        /* of the filter's relation */
	int *index_columns; /* place in keys -> index column of the filter's key */
	StringInfoData *images; /* place in keys -> the wanted value's bytes */
	bool *exact;            /* place in keys -> equal only if the bytes are */
	char *name;
	RepChange change; /* room for any change of the descriptor */
} Reader;

typedef struct History
{
	ReturnSetInfo *result;
	const Filter *filter;
	Source *sources;
	int nsources;
	List *readers;
	MemoryContext readers_context;
	MemoryContext change_context; /* reset for every change */
} History;

/* ------------------------------------------------------------- sources */

/* Name of a node, or NULL. */
static char *
node_name(int32 id)
{
	Relation rel = table_open(store_table(STORE_NODE), AccessShareLock);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple tup;
	char *name = NULL;

	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool isnull;

		if (DatumGetInt32(
				heap_getattr(tup, 1, RelationGetDescr(rel), &isnull)) == id)
			name = pstrdup(NameStr(*DatumGetName(
				heap_getattr(tup, 2, RelationGetDescr(rel), &isnull))));
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return name;
}

/* Who wrote the current row of the source. */
static char *
writer_name(const Source *source)
{
	if (source->row.strong)
		return node_name((int32) source->row.stamp.stream.node);
	return source->node_name;
}

static void
next_row(Source *source)
{
	if (source->scan == NULL || store_log_next(source->scan, &source->row))
		return;
	store_end(source->scan);
	source->scan = NULL;
}

static void
open_sources(History *h)
{
	Relation rel = table_open(store_table(STORE_STREAM), AccessShareLock);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple tup;
	int cap = 8;

	h->sources = palloc(sizeof(Source) * cap);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Source *source;
		bool isnull;

		if (h->nsources == cap)
		{
			cap *= 2;
			h->sources = repalloc(h->sources, sizeof(Source) * cap);
		}
		source = &h->sources[h->nsources++];
		source->id =
			DatumGetInt32(heap_getattr(tup, 1, RelationGetDescr(rel), &isnull));
		source->node =
			DatumGetInt32(heap_getattr(tup, 2, RelationGetDescr(rel), &isnull));
		source->node_name = node_name(source->node);
		source->scan =
			store_log_begin(source->id, 0, PG_INT64_MAX, GetActiveSnapshot());
		next_row(source);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* The source whose row has the smallest stamp, or NULL at the end. */
static Source *
first_source(History *h)
{
	Source *first = NULL;

	for (int i = 0; i < h->nsources; i++)
	{
		Source *source = &h->sources[i];

		if (source->scan == NULL)
			continue;
		if (first == NULL || source->row.stamp.hlc < first->row.stamp.hlc ||
			(source->row.stamp.hlc == first->row.stamp.hlc &&
			 source->node < first->node))
			first = source;
	}
	return first;
}

/* ------------------------------------------------------------- readers */

static bool
same_name(const char *name, const char *other, size_t other_len)
{
	return strlen(name) == other_len && memcmp(name, other, other_len) == 0;
}

/* Index column of the filter's key that the descriptor's column is, or -1. */
static int
find_index_column(const Filter *f, const RepColumn *column, Oid type)
{
	for (int i = 0; i < f->key.ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(f->relation),
											  f->key.columns[i].attnum - 1);

		if (att->atttypid == type &&
			same_name(NameStr(att->attname), column->name, column->name_len))
			return i;
	}
	return -1;
}

static bool
is_exact(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID ||
		   type == UUIDOID || type == BOOLOID || type == DATEOID;
}

/* Prepares the comparison of keys; false if no change can be of that row. */
static bool
prepare_filter(Reader *r, const Filter *f)
{
	const RepDescriptor *d = &r->apply.descriptor;

	if (f->relation == NULL)
		return true;
	if (!same_name(get_namespace_name(RelationGetNamespace(f->relation)),
				   d->schema, d->schema_len) ||
		!same_name(RelationGetRelationName(f->relation), d->table,
				   d->table_len) ||
		d->nkeys != (uint32) f->key.ncolumns)
		return false;
	r->index_columns = palloc(sizeof(int) * (d->nkeys + 1));
	r->images = palloc(sizeof(StringInfoData) * (d->nkeys + 1));
	r->exact = palloc(sizeof(bool) * (d->nkeys + 1));
	for (uint32 i = 0; i < d->nkeys; i++)
	{
		int column = r->apply.keys[i];
		TupleCodec *codec = &r->apply.codecs[column];
		int at = find_index_column(f, &d->columns[column], codec->type);

		if (at < 0)
			return false;
		r->index_columns[i] = at;
		r->exact[i] = is_exact(codec->type);
		initStringInfo(&r->images[i]);
		tuple_encode(codec, f->values[at], false, &r->images[i]);
	}
	return true;
}

static Reader *
make_reader(History *h, uint64 hash)
{
	const RepDescriptor *d = catalog_descriptor(hash);
	Reader *r = palloc0(sizeof(Reader));

	if (d == NULL)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("descriptor %016llx is not stored",
							   (unsigned long long) hash)));
	r->hash = hash;
	render_reader(d, &r->apply);
	r->name = catalog_descriptor_name(d);
	r->change.key = palloc(sizeof(RepValue) * (d->nkeys + 1));
	r->change.row = palloc(sizeof(RepValue) * (d->ncolumns + 1));
	r->change.fields = palloc(sizeof(RepField) * (d->ncolumns + 1));
	r->wanted = prepare_filter(r, h->filter);
	return r;
}

static Reader *
find_reader(History *h, uint64 hash)
{
	MemoryContext old;
	Reader *r;
	ListCell *cell;

	foreach (cell, h->readers)
		if (((Reader *) lfirst(cell))->hash == hash)
			return lfirst(cell);
	old = MemoryContextSwitchTo(h->readers_context);
	r = make_reader(h, hash);
	h->readers = lappend(h->readers, r);
	MemoryContextSwitchTo(old);
	return r;
}

/* -------------------------------------------------------------- output */

static char *
stamp_text(const Source *source)
{
	return psprintf("%llu@%d", (unsigned long long) source->row.stamp.hlc,
					source->row.strong ? (int) source->row.stamp.stream.node
									   : source->node);
}

static TimestampTz
commit_time(uint64 position)
{
	return (TimestampTz) rep_hlc_to_ms(position) * 1000 -
		   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static void
set_text(Datum *values, bool *nulls, int at, const char *text)
{
	nulls[at] = text == NULL;
	if (text != NULL)
		values[at] = CStringGetTextDatum(text);
}

static void
set_name(Datum *values, bool *nulls, int at, const char *name)
{
	nulls[at] = name == NULL;
	if (name != NULL)
		values[at] = DirectFunctionCall1(namein, CStringGetDatum(name));
}

/* From all columns to field_history's. */
static void
project(Datum *values, bool *nulls)
{
	Datum all_values[OUT_NATTS];
	bool all_nulls[OUT_NATTS];

	memcpy(all_values, values, sizeof(all_values));
	memcpy(all_nulls, nulls, sizeof(all_nulls));
	for (int i = 0; i < (int) lengthof(field_history_columns); i++)
	{
		values[i] = all_values[field_history_columns[i]];
		nulls[i] = all_nulls[field_history_columns[i]];
	}
}

/* One row of the result; what is NULL is shown so. */
static void
put_row(History *h, const Source *source, const char *relation,
		const char *operation, const char *key, const char *column,
		const char *old, const char *new)
{
	Datum values[OUT_NATTS];
	bool nulls[OUT_NATTS] = { false };

	set_text(values, nulls, OUT_RELATION, relation);
	set_text(values, nulls, OUT_OPERATION, operation);
	nulls[OUT_KEY] = key == NULL;
	if (key != NULL)
		values[OUT_KEY] = DirectFunctionCall1(jsonb_in, CStringGetDatum(key));
	set_name(values, nulls, OUT_COLUMN, column);
	set_text(values, nulls, OUT_OLD, old);
	set_text(values, nulls, OUT_NEW, new);
	set_text(values, nulls, OUT_STAMP, stamp_text(source));
	set_name(values, nulls, OUT_NODE, writer_name(source));
	values[OUT_COMMITTED_AT] =
		TimestampTzGetDatum(commit_time(source->row.stamp.hlc));
	set_text(values, nulls, OUT_LEVEL,
			 source->row.strong ? "strong" : "eventual");
	values[OUT_POSITION] = UInt64GetDatum(source->row.position);
	values[OUT_STREAM] = Int32GetDatum(source->id);
	if (h->filter->relation != NULL)
		project(values, nulls);
	tuplestore_putvalues(h->result->setResult, h->result->setDesc, values,
						 nulls);
}

static char *
column_name(const Reader *r, int column)
{
	const RepColumn *c = &r->apply.descriptor.columns[column];

	return pnstrdup(c->name, c->name_len);
}

static bool
column_is_wanted(const History *h, const Reader *r, int column)
{
	const RepColumn *c = &r->apply.descriptor.columns[column];

	return h->filter->column == NULL ||
		   same_name(h->filter->column, c->name, c->name_len);
}

/* INSERT and DELETE: a row for each column outside of the key. */
static void
put_whole_row(History *h, const Source *source, Reader *r,
			  const RepChange *change)
{
	bool insert = change->kind == REP_CHANGE_INSERT;
	const char *operation = insert ? "INSERT" : "DELETE";
	char *key = render_key(&r->apply, change);
	const RepDescriptor *d = &r->apply.descriptor;
	bool any = false;

	for (uint32 i = 0; i < d->ncolumns; i++)
	{
		char *value;

		if ((d->columns[i].key != 0 && h->filter->column == NULL) ||
			!column_is_wanted(h, r, (int) i))
			continue;
		value = render_value(&r->apply, (int) i, &change->row[i]);
		put_row(h, source, r->name, operation, key, column_name(r, (int) i),
				insert ? NULL : value, insert ? value : NULL);
		any = true;
	}
	if (!any && h->filter->column == NULL)
		put_row(h, source, r->name, operation, key, NULL, NULL, NULL);
}

static void
put_fields(History *h, const Source *source, Reader *r, const RepChange *change)
{
	char *key = render_key(&r->apply, change);

	for (uint32 i = 0; i < change->nfields; i++)
	{
		const RepField *field = &change->fields[i];
		int column = (int) field->column;

		if (column_is_wanted(h, r, column))
			put_row(h, source, r->name, field->base ? "SET" : "UPDATE", key,
					column_name(r, column),
					render_value(&r->apply, column, &field->before),
					render_value(&r->apply, column, &field->after));
	}
}

/* The change is of the filter's row. */
static bool
key_is_wanted(History *h, Reader *r, const RepChange *change)
{
	const Filter *f = h->filter;

	for (uint32 i = 0; f->relation != NULL && i < r->apply.descriptor.nkeys;
		 i++)
	{
		int column = r->apply.keys[i];
		const RepValue *v = change->kind == REP_CHANGE_UPDATE
								? &change->key[i]
								: &change->row[column];
		RepReader image;
		RepValue wanted;
		TupleKeyColumn *key = &((Filter *) f)->key.columns[r->index_columns[i]];
		bool isnull;
		Datum value;

		rep_reader_init(&image, r->images[i].data, (size_t) r->images[i].len);
		wanted = rep_read_value(&image);
		if (!v->null && v->len == wanted.len &&
			memcmp(v->data, wanted.data, v->len) == 0)
			continue;
		if (r->exact[i] || v->null)
			return false;
		value = tuple_decode(&r->apply.codecs[column], v, &isnull);
		if (!DatumGetBool(FunctionCall2Coll(&key->eq, key->collation, value,
											f->values[r->index_columns[i]])))
			return false;
	}
	return true;
}

static void
put_change(History *h, const Source *source, Reader *r, const RepChange *change)
{
	if (change->kind == REP_CHANGE_TRUNCATE)
		put_row(h, source, r->name, "TRUNCATE", NULL, NULL, NULL, NULL);
	else if (!key_is_wanted(h, r, change))
		return;
	else if (change->kind == REP_CHANGE_UPDATE)
		put_fields(h, source, r, change);
	else
		put_whole_row(h, source, r, change);
}

/* ---------------------------------------------------------------- walk */

static void
pg_attribute_noreturn() malformed(const Source *source)
{
	ereport(ERROR, (errcode(ERRORS_MALFORMED),
					errmsg("malformed payload in causaldb.log"),
					errdetail("Stream %d, position %llu.", source->id,
							  (unsigned long long) source->row.position)));
}

static bool
payload_is_wanted(History *h, const RepPayload *p)
{
	if (h->filter->relation == NULL)
		return true;
	for (uint32 i = 0; i < p->ndescriptors; i++)
		if (find_reader(h, p->descriptors[i])->wanted)
			return true;
	return false;
}

/* What a node has written for itself alone. */
static void
put_local(History *h, const Source *source, const RepChange *change)
{
	char *text;
	char *name =
		maintenance_read(change->body.data, change->body.len, &text);

	if (name == NULL)
		malformed(source);
	put_row(h, source, name[0] == '\0' ? NULL : name, "LOCAL", NULL, NULL, NULL,
			text);
}

/* One payload's changes; true if it says that they are in chunks. */
static bool
walk_payload(History *h, const Source *source, const uint8 *payload, size_t len)
{
	RepPayload p;
	bool chunked = false;

	if (!rep_payload_open(&p, payload, len))
		malformed(source);
	if (p.ndescriptors > 0 && !payload_is_wanted(h, &p))
		return false;
	while (!rep_payload_at_end(&p))
	{
		int index = rep_payload_peek(&p);
		RepChange meta = { 0 };
		Reader *r = index < 0 ? NULL : find_reader(h, p.descriptors[index]);
		RepChange *change = r == NULL ? &meta : &r->change;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (index == -2 ||
			!rep_payload_next(&p, r ? &r->apply.descriptor : NULL, change))
			malformed(source);
		old = MemoryContextSwitchTo(h->change_context);
		if (r != NULL && r->wanted)
			put_change(h, source, r, change);
		else if (r == NULL && change->meta == META_CHUNKED)
			chunked = true;
		else if (r == NULL && change->meta == META_LOCAL &&
				 h->filter->relation == NULL)
			put_local(h, source, change);
		else if (r == NULL && change->meta == META_TAG &&
				 h->filter->relation == NULL)
			put_row(h, source, NULL, "TAG", NULL, NULL, NULL,
					pnstrdup((const char *) change->body.data,
							 change->body.len));
		MemoryContextSwitchTo(old);
		MemoryContextReset(h->change_context);
	}
	return chunked;
}

static void
walk_chunks(History *h, const Source *source)
{
	StoreScan *scan = store_chunks_begin(source->id, source->row.xid, -1,
										 GetActiveSnapshot());
	StoreChunkRow chunk;

	while (store_chunks_next(scan, &chunk))
		(void) walk_payload(h, source, chunk.payload, chunk.payload_len);
	store_end(scan);
}

static void
walk(FunctionCallInfo fcinfo, const Filter *filter)
{
	History h = { 0 };
	Source *source;

	InitMaterializedSRF(fcinfo, 0);
	h.result = (ReturnSetInfo *) fcinfo->resultinfo;
	h.filter = filter;
	h.readers_context = CurrentMemoryContext;
	h.change_context =
		AllocSetContextCreate(CurrentMemoryContext, "causaldb history change",
							  ALLOCSET_DEFAULT_SIZES);
	open_sources(&h);
	while ((source = first_source(&h)) != NULL)
	{
		if (walk_payload(&h, source, source->row.payload,
						 source->row.payload_len))
			walk_chunks(&h, source);
		next_row(source);
	}
	MemoryContextDelete(h.change_context);
}

/* ----------------------------------------------------- what users call */

/* causaldb.read_history(): behind the view causaldb.history */
Datum
causaldb_history(PG_FUNCTION_ARGS)
{
	Filter all = { 0 };

	walk(fcinfo, &all);
	return (Datum) 0;
}

/* History shows what the table showed, so it takes the table's rights. */
static void
check_rights(Relation rel, const char *column)
{
	Oid relid = RelationGetRelid(rel);
	Oid user = GetUserId();
	AclResult may = pg_class_aclcheck(relid, user, ACL_SELECT);

	if (may != ACLCHECK_OK && column != NULL)
		may = pg_attribute_aclcheck(relid, get_attnum(relid, column), user,
									ACL_SELECT);
	if (may != ACLCHECK_OK)
		aclcheck_error(may, OBJECT_TABLE, RelationGetRelationName(rel));
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("history of table \"%s\" would pass by its row "
							   "security",
							   RelationGetRelationName(rel)),
						errhint("Ask as the table's owner or as a role with "
								"BYPASSRLS.")));
}

static void
read_filter_key(Filter *f, Jsonb *key)
{
	Oid oid = compat_primary_key(f->relation);
	Relation index;

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRORS_UNTAGGABLE),
						errmsg("table \"%s\" has no primary key",
							   RelationGetRelationName(f->relation)),
						errhint("Look into causaldb.history.")));
	index = index_open(oid, AccessShareLock);
	if (tuple_key_init(&f->key, index, CurrentMemoryContext) > 0)
		ereport(ERROR,
				(errcode(ERRORS_UNTAGGABLE),
				 errmsg("the key of table \"%s\" cannot be compared",
						RelationGetRelationName(f->relation)),
				 errdetail("A column of it is of a type without a hash "
						   "function, so the table was never tagged."),
				 errhint("Look into causaldb.history.")));
	index_close(index, AccessShareLock);
	key_from_jsonb(f->relation, &f->key, key, f->values);
}

/* causaldb.field_history(relation, key, column_name) */
Datum
causaldb_field_history(PG_FUNCTION_ARGS)
{
	Filter f = { 0 };

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("relation and key must be given")));
	f.relation = tree_open_root(PG_GETARG_OID(0), AccessShareLock);
	if (!PG_ARGISNULL(2))
		f.column = NameStr(*PG_GETARG_NAME(2));
	check_rights(f.relation, f.column);
	read_filter_key(&f, PG_GETARG_JSONB_P(1));
	walk(fcinfo, &f);
	table_close(f.relation, AccessShareLock);
	return (Datum) 0;
}
