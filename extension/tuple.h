/*
 * tuple.h
 *		Values of columns as bytes, and what makes two of them the same.
 *
 * A value travels in its type's binary form when the type, and every type in
 * it, is built in and not an OID alias; else in text form under pinned
 * settings, because OIDs differ between nodes. Either way text is in the
 * server encoding, whatever the session's client encoding is.
 *
 * Not for: which columns are tagged (catalog.h), what a change looks like
 * (replicator/change.h).
 *
 * Invariants
 * 1. tuple_decode of what tuple_encode wrote gives the same image, on every
 *	  node with the same type.
 * 2. Bytes that are not a value of the type are an ERROR; nothing is trusted.
 * 3. Equal keys by the key index's own equality have equal key hashes here.
 *	  The hash is this node's; it is never sent.
 */
#ifndef CAUSALDB_TUPLE_H
#define CAUSALDB_TUPLE_H

#include "postgres.h"

#include "access/attnum.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "change.h"

/* how bytes are made of a datum */
typedef enum TupleForm
{
	TUPLE_FORM_SEND,       /* the type's send function */
	TUPLE_FORM_TEXT,       /* its output function, pinned settings */
	TUPLE_FORM_PLAIN_TEXT, /* its output function; no setting matters */
	TUPLE_FORM_XML,        /* as stored: output drops the declaration */
	TUPLE_FORM_BOOL,       /* the rest: written here */
	TUPLE_FORM_INT2,
	TUPLE_FORM_INT4,
	TUPLE_FORM_INT8,
	TUPLE_FORM_FIXED,  /* pass by reference, bytes as they are */
	TUPLE_FORM_VARLENA /* content of a varlena, bytes as they are */
} TupleForm;

typedef struct TupleCodec
{
	Oid type;
	int32 typmod;
	Oid collation;
	int16 typlen;
	bool typbyval;
	TupleForm form;
	FmgrInfo out; /* send or output */
	FmgrInfo in;  /* receive or input */
	Oid in_param;
} TupleCodec;

/* True if values of the type travel in text form. */
extern bool tuple_type_is_text(Oid type);
/*
 * The type's name as descriptors carry it: with its modifier, and with its
 * schema unless built in. Palloc'd.
 */
extern char *tuple_type_name(Oid type, int32 typmod);
/* The reverse; false if this node has no such type. */
extern bool tuple_type_lookup(const char *name, size_t len, Oid *type,
							  int32 *typmod);

/* Prepares *codec; what it looks up lives as long as `context`. */
extern void tuple_codec_init(TupleCodec *codec, Oid type, int32 typmod,
							 Oid collation, MemoryContext context);
/* Appends the `value` form of change.h. */
extern void tuple_encode(TupleCodec *codec, Datum value, bool isnull,
						 StringInfo out);
/*
 * The datum of *v, in CurrentMemoryContext where it is not by value. ERROR
 * on anything that is not a value of the codec's type.
 */
extern Datum tuple_decode(TupleCodec *codec, const RepValue *v, bool *isnull);
/*
 * Same image: the same bytes once detoasted; not the type's `=`. Two pointers
 * to one toasted value are the same without fetching it.
 */
extern bool tuple_same_image(const TupleCodec *codec, Datum a, bool anull,
							 Datum b, bool bnull);

/* a key: one index, its own equality */
typedef struct TupleKeyColumn
{
	AttrNumber attnum; /* in the table */
	Oid collation;
	Oid eq_operator;
	FmgrInfo hash; /* (value, seed) -> int8 */
	FmgrInfo eq;
} TupleKeyColumn;

typedef struct TupleKey
{
	Oid index;
	int ncolumns;
	TupleKeyColumn *columns; /* in index order */
} TupleKey;

/*
 * Fills *key for a unique btree index without expressions. Returns the number
 * of the first column (1..) whose type cannot be hashed, else 0.
 */
extern int tuple_key_init(TupleKey *key, Relation index, MemoryContext context);
/*
 * From now on the column's hash takes values of another type, which its operator
 * family compares with its own: equal ones have equal hashes. False: the family
 * cannot hash them.
 */
extern bool tuple_key_hash_other(TupleKeyColumn *column, Oid type,
								 MemoryContext context);
/* "a, b": the columns that a primary key could have, for people to choose
 * from; palloc'd. */
extern char *tuple_key_candidates(Relation rel);
/* values in index order, none NULL */
extern uint64 tuple_key_hash(TupleKey *key, const Datum *values);
extern bool tuple_key_equal(TupleKey *key, const Datum *a, const Datum *b);

/*
 * Pins the settings that text forms depend on and returns what tuple_unpin
 * takes; for callers that code many values. An abort undoes it as well.
 */
extern int tuple_pin(void);
extern void tuple_unpin(int nest_level);

/* The varint of bytes.h, into a StringInfo. */
static inline void
tuple_append_varint(StringInfo out, uint64 v)
{
	enlargeStringInfo(out, 10);
	while (v >= 0x80)
	{
		out->data[out->len++] = (char) (v | 0x80);
		v >>= 7;
	}
	out->data[out->len++] = (char) v;
	out->data[out->len] = '\0';
}

#endif
