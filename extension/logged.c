/*
 * logged.c
 *		See logged.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "errors.h"
#include "logged.h"
#include "meta.h"

/* room for one change of any descriptor */
static RepValue *row_values = NULL;
static RepValue *key_values;
static RepField *field_values;

static void
room_for(RepChange *change)
{
	if (row_values == NULL)
	{
		row_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepValue) * REP_MAX_COLUMNS);
		key_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepValue) * REP_MAX_COLUMNS);
		field_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepField) * REP_MAX_COLUMNS);
	}
	change->row = row_values;
	change->key = key_values;
	change->fields = field_values;
}

static void
malformed(void)
{
	ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("malformed payload in causaldb.log")));
}

/*
 * How the descriptor's table is written here, or NULL if it cannot be (the
 * table, or a column, is gone or differs): then nothing is merged with it.
 */
static CatalogApply *
apply_here(uint64 hash)
{
	const RepDescriptor *d = catalog_descriptor(hash);
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context = CurrentMemoryContext;
	CatalogApply *volatile apply = NULL;

	if (d == NULL)
		return NULL;
	if (catalog_apply_known(hash))
		return catalog_apply(hash);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		apply = catalog_apply(hash);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		apply = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return apply;
}

void
logged_key(CatalogApply *a, const RepChange *c, Datum *key)
{
	Oid user;
	int context;
	int k;

	/* the table need not be that of the change being applied, and checks of
	 * its domains are for its own owner to run */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(a->owner, context | SECURITY_RESTRICTED_OPERATION);
	for (k = 0; k < a->key.ncolumns; k++)
	{
		int column = a->key_columns[k];
		const RepValue *v = c->kind == REP_CHANGE_UPDATE ? &c->key[a->key_places[k]] : &c->row[column];
		bool isnull;

		key[k] = tuple_decode(&a->codecs[column], v, &isnull);
		if (isnull)
			malformed();
	}
	SetUserIdAndSecContext(user, context);
}

bool
logged_only_adds(const CatalogApply *a, const RepChange *c)
{
	uint32 i;

	if (c->kind != REP_CHANGE_UPDATE)
		return false;
	for (i = 0; i < c->nfields; i++)
		if (c->fields[i].base || a->descriptor.columns[c->fields[i].column].rule != REP_RULE_COUNTER)
			return false;
	return true;
}

void
logged_each_change(const uint8 *payload, size_t len, LoggedVisit visit, void *arg)
{
	RepPayload *p = palloc(sizeof(RepPayload));
	uint32 ordinal = 0;
	int known = -1; /* descriptor of the change before */
	const RepDescriptor *desc = NULL;
	CatalogApply *a = NULL;

	if (!rep_payload_open(p, payload, len))
		malformed();
	while (!rep_payload_at_end(p))
	{
		int d = rep_payload_peek(p);
		RepChange c;

		room_for(&c);
		if (d >= 0 && d != known)
		{
			desc = catalog_descriptor(p->descriptors[d]);
			a = desc ? apply_here(p->descriptors[d]) : NULL;
			known = d;
		}
		if (d < -1 || (d >= 0 && desc == NULL) || !rep_payload_next(p, d >= 0 ? desc : NULL, &c))
			malformed();
		ordinal++;
		if (d >= 0 && a && c.kind != REP_CHANGE_META &&
			!visit(a, &c, ordinal, arg))
			break;
	}
	pfree(p);
}

bool
logged_is_chunked(const StoreLogRow *row)
{
	RepPayload *p = palloc(sizeof(RepPayload));
	RepChange c;
	bool chunked;

	chunked = rep_payload_open(p, row->payload, row->payload_len) && rep_payload_peek(p) == -1 &&
		rep_payload_next(p, NULL, &c) && c.meta == META_CHUNKED;
	pfree(p);
	return chunked;
}
