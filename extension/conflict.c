/*
 * conflict.c
 *		See conflict.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "conflict.h"
#include "render.h"

#define MAX_ARGS 12

/* Arguments of one INSERT, all nullable. */
typedef struct Args
{
	int n;
	Oid types[MAX_ARGS];
	Datum values[MAX_ARGS];
	char nulls[MAX_ARGS];
} Args;

static void
add(Args *args, Oid type, Datum value, bool isnull)
{
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n++] = isnull ? 'n' : ' ';
}

static void
add_text(Args *args, const char *text)
{
	add(args, TEXTOID, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

static void
add_side(Args *args, const ConflictSide *side)
{
	add(args, INT4OID, Int32GetDatum((int32) side->stamp.stream.node), !side->known);
	add(args, INT8OID, Int64GetDatum((int64) side->stamp.hlc), !side->known);
	add_text(args, side->value);
}

/* As ourselves: apply may be the owner of some table at the moment. */
static void
insert(const char *sql, Args *args)
{
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_execute_with_args(sql, args->n, args->types, args->values, args->nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "causaldb could not run \"%s\"", sql);
	SetUserIdAndSecContext(user, context);
}

void
conflict_record(const char *type, const char *relation, const char *key, const char *column,
				const char *rule, const ConflictSide *kept, const ConflictSide *lost,
				const char *outcome)
{
	Args args = {0};

	SPI_connect();
	add_text(&args, type);
	add_text(&args, relation);
	add_text(&args, key);
	add_text(&args, column);
	add_text(&args, rule);
	add_side(&args, kept);
	add_side(&args, lost);
	add_text(&args, outcome);
	insert("INSERT INTO causaldb.conflict (conflict_type, relation, key, column_name, rule, "
		   "kept_node, kept_hlc, kept_value, lost_node, lost_hlc, lost_value, outcome) "
		   "VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		   &args);
	SPI_finish();
}

static const char *
operation_name(RepChangeKind kind)
{
	switch (kind)
	{
		case REP_CHANGE_INSERT:
			return "INSERT";
		case REP_CHANGE_UPDATE:
			return "UPDATE";
		case REP_CHANGE_DELETE:
			return "DELETE";
		case REP_CHANGE_TRUNCATE:
			return "TRUNCATE";
		default:
			return "OTHER";
	}
}

/* The text of a change that is not of rows, as JSON. */
static char *
render_meta(const RepChange *c)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"change\": ");
	escape_json(&out, pnstrdup((const char *) c->body.data, c->body.len));
	appendStringInfoChar(&out, '}');
	return out.data;
}

/*
 * What a type of a user prints stays as the text it came in: reading it would
 * run the checks of its domains, and there may be no table to say as whom.
 */
static void
read_as_text(CatalogApply *reader)
{
	uint32 i;

	for (i = 0; i < reader->descriptor.ncolumns; i++)
		if (reader->codecs[i].type >= FirstNormalObjectId)
			tuple_codec_init(&reader->codecs[i], TEXTOID, -1, DEFAULT_COLLATION_OID, CurrentMemoryContext);
}

void
conflict_keep_aside(int32 stream, uint64 position, const RepDescriptor *d, const RepChange *c,
					const char *reason)
{
	Args args = {0};
	CatalogApply reader;
	bool row = d != NULL && c->kind != REP_CHANGE_TRUNCATE;
	const char *after = NULL;

	if (d)
	{
		render_reader(d, &reader);
		read_as_text(&reader);
	}
	if (row)
		after = render_after(&reader, c);
	else if (!d)
		after = render_meta(c);
	add(&args, INT4OID, Int32GetDatum(stream), false);
	add(&args, INT8OID, Int64GetDatum((int64) position), false);
	add_text(&args, d ? catalog_descriptor_name(d) : NULL);
	add_text(&args, operation_name(c->kind));
	add_text(&args, row ? render_key(&reader, c) : NULL);
	add_text(&args, row ? render_before(&reader, c) : NULL);
	add_text(&args, after);
	add_text(&args, reason);
	SPI_connect();
	insert("INSERT INTO causaldb.lost_found_row (stream, position, relation, operation, key, old_values, new_values, reason) "
		   "VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb, $8)",
		   &args);
	SPI_finish();
}
