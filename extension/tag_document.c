/*
 * tag_document.c
 *		See tag_document.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "bytes.h"

#include "errors.h"
#include "tag_document.h"

void
tag_document_add(StringInfo out, const char *name, const char *value)
{
	if (out->len > 1)
		appendStringInfoString(out, ", ");
	escape_json(out, name);
	appendStringInfoString(out, ": ");
	if (value == NULL)
		appendStringInfoString(out, "null");
	else
		escape_json(out, value);
}

void
tag_document_begin(StringInfo out, const char *op, Relation rel)
{
	initStringInfo(out);
	appendStringInfoChar(out, '{');
	tag_document_add(out, "op", op);
	tag_document_add(out, "schema", get_namespace_name(RelationGetNamespace(rel)));
	tag_document_add(out, "table", RelationGetRelationName(rel));
}

void
tag_document_refuse(const char *change, const char *what)
{
	ereport(ERROR,
			(errcode(ERRORS_MALFORMED), errmsg("malformed change of a tag"),
			 errdetail("%s in %s.", what, change)));
}

static char *
jsonb_text(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static List *
jsonb_names(Jsonb *array, const char *change)
{
	JsonbIterator *it = JsonbIteratorInit(&array->root);
	JsonbIteratorToken token;
	JsonbValue v;
	List *names = NIL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (v.type != jbvString)
			tag_document_refuse(change, "A column is not a string");
		names = lappend(names, jsonb_text(&v));
	}
	return names;
}

static void
read_member(TagChange *out, const char *key, JsonbValue *v, const char *change)
{
	struct
	{
		const char *key;
		char **field;
	} texts[] = {
		{ "op", &out->op },         { "schema", &out->schema },
		{ "table", &out->table },   { "level", &out->level },
		{ "column", &out->column }, { "rule", &out->rule },
		{ "policy", &out->policy },
	};

	for (int i = 0; i < (int) lengthof(texts); i++)
		if (strcmp(key, texts[i].key) == 0)
		{
			if (v->type != jbvString)
				tag_document_refuse(change, "A name is not a string");
			*texts[i].field = jsonb_text(v);
		}
	if (v->type != jbvBinary)
		return;
	if (strcmp(key, "columns") == 0)
		out->columns = jsonb_names(JsonbValueToJsonb(v), change);
	else if (strcmp(key, "options") == 0)
		out->options =
			JsonbToCString(NULL, v->val.binary.data, v->val.binary.len);
}

TagChange
tag_document_read(const char *change)
{
	Jsonb *json =
		DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(change)));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue v;
	TagChange out = { 0 };
	char *key = NULL;

	if (!JB_ROOT_IS_OBJECT(json))
		tag_document_refuse(change, "No object");
	while ((token = JsonbIteratorNext(&it, &v, key != NULL)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = jsonb_text(&v);
		else if (token == WJB_VALUE && key != NULL)
		{
			read_member(&out, key, &v, change);
			key = NULL;
		}
	}
	if (out.op == NULL || out.schema == NULL || out.table == NULL)
		tag_document_refuse(change, "A name is missing");
	return out;
}

void
tag_document_add_columns(StringInfo out, List *columns)
{
	ListCell *cell;
	bool first = true;

	if (columns == NIL)
	{
		tag_document_add(out, "columns", NULL);
		return;
	}
	appendStringInfoString(out, ", \"columns\": [");
	foreach (cell, columns)
	{
		if (!first)
			appendStringInfoString(out, ", ");
		first = false;
		escape_json(out, lfirst(cell));
	}
	appendStringInfoChar(out, ']');
}

Datum
tag_document_names(List *columns)
{
	Datum *names = palloc(sizeof(Datum) * list_length(columns));
	int n = 0;
	ListCell *cell;

	foreach (cell, columns)
		names[n++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(
		construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

bool
tag_document_ends_tag(const TagChange *c)
{
	return strcmp(c->op, "unset_consistency") == 0 ||
		   (c->level != NULL && strcmp(c->level, TAG_LEVEL_NONE) == 0);
}

char *
tag_document_with_op(const char *change, const char *op)
{
	TagChange c = tag_document_read(change);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	tag_document_add(&out, "op", op);
	tag_document_add(&out, "schema", c.schema);
	tag_document_add(&out, "table", c.table);
	tag_document_add(&out, "level", c.level ? c.level : TAG_LEVEL_NONE);
	tag_document_add_columns(&out, c.columns);
	appendStringInfoChar(&out, '}');
	return out.data;
}

char *
tag_document_table(const char *change, uint64 *name_hash)
{
	TagChange c = tag_document_read(change);

	*name_hash = rep_hash64(c.table, strlen(c.table),
							rep_hash64(c.schema, strlen(c.schema), 0));
	return quote_qualified_identifier(c.schema, c.table);
}
