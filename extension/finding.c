/*
 * finding.c
 *		See finding.h.
 */
#include "postgres.h"

#include "finding.h"

void
finding_add(List **all, int level, int sqlstate, const char *aspect, char *says,
			char *detail, char *hint)
{
	Finding *f = palloc(sizeof(Finding));

	f->level = level;
	f->sqlstate = sqlstate;
	f->aspect = aspect;
	f->says = says;
	f->detail = detail;
	f->hint = hint;
	*all = lappend(*all, f);
}

const Finding *
finding_refusal(List *all)
{
	ListCell *cell;

	foreach (cell, all)
		if (((Finding *) lfirst(cell))->level == ERROR)
			return lfirst(cell);
	return NULL;
}

static void
raise_one(const Finding *f)
{
	ereport(f->level, ((f->level == ERROR ? errcode(f->sqlstate) : 0),
					   errmsg_internal("%s", f->says),
					   f->detail ? errdetail_internal("%s", f->detail) : 0,
					   f->hint ? errhint("%s", f->hint) : 0));
}

void
finding_raise(List *all)
{
	const Finding *refusal = finding_refusal(all);
	ListCell *cell;

	if (refusal != NULL)
		raise_one(refusal);
	foreach (cell, all)
		if (((Finding *) lfirst(cell))->level != FINDING_FACT)
			raise_one(lfirst(cell));
}
