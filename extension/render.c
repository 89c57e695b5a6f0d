/*
 * render.c
 *		See render.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "render.h"

static void
make_codec(TupleCodec *codec, const RepColumn *column)
{
	Oid type;
	int32 typmod;

	if (!tuple_type_lookup(column->type, column->type_len, &type, &typmod) ||
		tuple_type_is_text(type) != column->text)
	{
		type = column->text ? TEXTOID : BYTEAOID;
		typmod = -1;
	}
	tuple_codec_init(codec, type, typmod, get_typcollation(type), CurrentMemoryContext);
}

void
render_reader(const RepDescriptor *d, CatalogApply *out)
{
	int nkeys = 0;
	uint32 i;

	memset(out, 0, sizeof(*out));
	out->descriptor = *d;
	out->codecs = palloc(sizeof(TupleCodec) * (d->ncolumns + 1));
	out->keys = palloc(sizeof(int) * (d->nkeys + 1));
	for (i = 0; i < d->ncolumns; i++)
	{
		make_codec(&out->codecs[i], &d->columns[i]);
		if (d->columns[i].key != 0)
			out->keys[nkeys++] = (int) i;
	}
}

/*
 * What travels as text is shown as it is: reading it again may fail, as the
 * name of a table that is gone by now does.
 */
char *
render_value(CatalogApply *a, int column, const RepValue *v)
{
	bool isnull;
	Datum value;
	Oid out;
	bool varlena;

	if (a->descriptor.columns[column].text && !v->null)
	{
		(void) pg_verifymbstr((const char *) v->data, (int) v->len, false);
		return pnstrdup((const char *) v->data, v->len);
	}
	value = tuple_decode(&a->codecs[column], v, &isnull);
	if (isnull)
		return NULL;
	getTypeOutputInfo(a->codecs[column].type, &out, &varlena);
	return OidOutputFunctionCall(out, value);
}

static bool
is_bare(Oid type, const char *text)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return true;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return strpbrk(text, "NnIi") == NULL;
		default:
			return false;
	}
}

void
render_json_value(CatalogApply *a, int column, const RepValue *v, StringInfo out)
{
	char *text = render_value(a, column, v);
	Oid type = a->codecs[column].type;

	if (text == NULL)
		appendStringInfoString(out, "null");
	else if (type == BOOLOID)
		appendStringInfoString(out, text[0] == 't' ? "true" : "false");
	else if (is_bare(type, text))
		appendStringInfoString(out, text);
	else
		escape_json(out, text);
}

static void
add_member(CatalogApply *a, int column, const RepValue *v, StringInfo out)
{
	const RepColumn *col = &a->descriptor.columns[column];

	appendStringInfoString(out, out->len == 0 ? "{" : ", ");
	escape_json(out, pnstrdup(col->name, col->name_len));
	appendStringInfoString(out, ": ");
	render_json_value(a, column, v, out);
}

static char *
finish(StringInfo out)
{
	if (out->len == 0)
		return NULL;
	appendStringInfoChar(out, '}');
	return out->data;
}

char *
render_key(CatalogApply *a, const RepChange *c)
{
	StringInfoData out;
	uint32 k;

	initStringInfo(&out);
	for (k = 0; k < a->descriptor.nkeys; k++)
	{
		int column = a->keys[k];

		add_member(a, column, c->kind == REP_CHANGE_UPDATE ? &c->key[k] : &c->row[column], &out);
	}
	return finish(&out);
}

static char *
render_columns(CatalogApply *a, const RepChange *c, bool after)
{
	StringInfoData out;
	uint32 i;

	initStringInfo(&out);
	if (c->kind == REP_CHANGE_UPDATE)
		for (i = 0; i < c->nfields; i++)
			add_member(a, (int) c->fields[i].column, after ? &c->fields[i].after : &c->fields[i].before, &out);
	else if ((c->kind == REP_CHANGE_INSERT) == after)
		for (i = 0; i < a->descriptor.ncolumns; i++)
			add_member(a, (int) i, &c->row[i], &out);
	return finish(&out);
}

char *
render_after(CatalogApply *a, const RepChange *c)
{
	return render_columns(a, c, true);
}

char *
render_before(CatalogApply *a, const RepChange *c)
{
	return render_columns(a, c, false);
}
