/*
 * apply_work.h
 *		One change of a row on its way into the table, from what it is to
 *		what becomes of it.
 */
#ifndef CAUSALDB_APPLY_WORK_H
#define CAUSALDB_APPLY_WORK_H

#include "grave.h"
#include "merge.h"
#include "target.h"
#include "unseen.h"

/* one field of the incoming change, decoded */
typedef struct Field
{
	int column; /* of the descriptor */
	AttrNumber attnum;
	RepWriteKind kind;
	const RepValue *before;
	const RepValue *after;
} Field;

/* the incoming change, made ready for merging */
typedef struct Work
{
	const Incoming *t;
	CatalogApply *a;
	RepChange *c;
	Target *target;
	Datum key[INDEX_MAX_KEYS]; /* index order */
	uint64 key_hash;
	int nfields;
	Field *fields;
	RepWrite *writes; /* same order */
	RepOp op;
	UnseenOps unseen;
	RowImage *image; /* the dead row's values, or NULL */
	bool replay; /* done before, undone by a TRUNCATE of the whole table */
	const RowImage *kept; /* what the row had then, or NULL */
	const UnseenOp *past; /* what was replayed on the row so far */
	int npast;
} Work;

extern void apply_work_init(NodeShared *node);
/* From t, a and c: key and its hash. */
extern void apply_work_set_key(Work *w);
/* From t, a and c: fields, writes and op, but for op's ordinal. */
extern void apply_work_set_fields(Work *w);
/* Merges it with w->unseen, or just writes it; the row is locked. */
extern void apply_work_do(Work *w, bool alive);
/* Inserts the row of an INSERT, whatever there is. */
extern void apply_work_insert(Work *w);
/*
 * Does an INSERT of a row that nobody else has touched, which is nearly all of
 * them, at the price of one look less. False: it is not one, nothing is done.
 */
extern bool apply_work_insert_first(Work *w);
/* Notes in causaldb.conflict that there is no row to update. */
extern void apply_work_record_missing(const Work *w);
/* A TRUNCATE, of w, undoes that one, which has been applied here. */
extern void apply_work_record_undone(const Work *w, const UnseenOp *o);
/* The target's found row; values are the row's own memory. */
extern RowImage *apply_work_image(Target *t);

#endif
