/*
 * key.c
 *		Keys of rows as users write them: JSON objects.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "key.h"

static Form_pg_attribute
key_attribute(Relation rel, const TupleKey *key, int i)
{
	return TupleDescAttr(RelationGetDescr(rel), key->columns[i].attnum - 1);
}

/* {"a": ..., "b": ...} as the hint shows it */
static char *
example(Relation rel, const TupleKey *key)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(&out, "%s\"%s\": ...", i > 0 ? ", " : "",
						 NameStr(key_attribute(rel, key, i)->attname));
	appendStringInfoChar(&out, '}');
	return out.data;
}

static void
pg_attribute_noreturn() bad_key(Relation rel, const TupleKey *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the key does not name a row of table \"%s\"",
					RelationGetRelationName(rel)),
			 errdetail("It needs a value for each column of the primary key, "
					   "and nothing else."),
			 errhint("Type: '%s'", example(rel, key))));
}

static Datum
value_from_json(Form_pg_attribute att, const JsonbValue *v)
{
	Oid input;
	Oid param;
	char *text;

	switch (v->type)
	{
		case jbvString:
			text = pnstrdup(v->val.string.val, v->val.string.len);
			break;
		case jbvNumeric:
			text = DatumGetCString(
				DirectFunctionCall1(numeric_out,
									NumericGetDatum(v->val.numeric)));
			break;
		case jbvBool:
			text = v->val.boolean ? "true" : "false";
			break;
		case jbvBinary:
			text = JsonbToCString(NULL, v->val.binary.data, v->val.binary.len);
			break;
		default:
			text = NULL;
	}
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key column \"%s\" is null", NameStr(att->attname))));
	getTypeInputInfo(att->atttypid, &input, &param);
	return OidInputFunctionCall(input, text, param, att->atttypmod);
}

void
key_from_jsonb(Relation rel, const TupleKey *key, Jsonb *json, Datum *values)
{
	if (JB_ROOT_IS_SCALAR(json) && key->ncolumns == 1)
	{
		JsonbValue scalar;

		(void) JsonbExtractScalar(&json->root, &scalar);
		values[0] = value_from_json(key_attribute(rel, key, 0), &scalar);
		return;
	}
	if (!JB_ROOT_IS_OBJECT(json) ||
		JsonContainerSize(&json->root) != (uint32) key->ncolumns)
		bad_key(rel, key);
	for (int i = 0; i < key->ncolumns; i++)
	{
		Form_pg_attribute att = key_attribute(rel, key, i);
		JsonbValue *v =
			getKeyJsonValueFromContainer(&json->root, NameStr(att->attname),
										 (int) strlen(NameStr(att->attname)),
										 NULL);

		if (v == NULL)
			bad_key(rel, key);
		values[i] = value_from_json(att, v);
	}
}
