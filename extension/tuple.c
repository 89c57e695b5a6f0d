/*
 * tuple.c
 *		Values of columns as bytes, and what makes two of them the same.
 *
 * The types of most columns are coded here by hand, as their send functions
 * would: a call through fmgr and a palloc for each value would be most of the
 * cost of capture.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/hash.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_locale.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "utils/xml.h"

#include "errors.h"
#include "tuple.h"

/* every seed gives extended hash functions; this one is ours */
#define KEY_HASH_SEED UINT64CONST(0x6361757361646231)

/* ------------------------------------------------------------- types */

static bool
type_is_oid_alias(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return true;
		default:
			return false;
	}
}

static bool
type_is_built_in(Oid type)
{
	return type < FirstGenbkiObjectId;
}

/*
 * The binary form of xml has another declaration than the value; an empty
 * vector's is refused by its own receive function.
 */
static bool
binary_form_is_lossy(Oid type)
{
	return type == XMLOID || type == INT2VECTOROID || type == OIDVECTOROID;
}

bool
tuple_type_is_text(Oid type)
{
	Oid element;
	HeapTuple tup;
	bool has_binary;

	if (!type_is_built_in(type) || type_is_oid_alias(type) ||
		binary_form_is_lossy(type))
		return true;
	element = get_element_type(type);
	if (OidIsValid(element) && tuple_type_is_text(element))
		return true;

	tup = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for type %u", type);
	has_binary = OidIsValid(((Form_pg_type) GETSTRUCT(tup))->typsend) &&
				 OidIsValid(((Form_pg_type) GETSTRUCT(tup))->typreceive);
	ReleaseSysCache(tup);
	return !has_binary;
}

char *
tuple_type_name(Oid type, int32 typmod)
{
	static const char catalog[] = "pg_catalog.";
	char *name;

	name = format_type_extended(type, typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN |
									FORMAT_TYPE_FORCE_QUALIFY);
	if (strncmp(name, catalog, sizeof(catalog) - 1) == 0)
		name += sizeof(catalog) - 1;
	return name;
}

bool
tuple_type_lookup(const char *name, size_t len, Oid *type, int32 *typmod)
{
	int pin = tuple_pin();

	parseTypeString(pnstrdup(name, len), type, typmod, true);
	tuple_unpin(pin);
	return OidIsValid(*type);
}

/* ----------------------------------------------------------- settings */

/*
 * What output and input functions read. Not only sessions differ in these: a
 * database or role may have settings of its own, for our workers too.
 */
static const char *const settings[][2] = {
	{ "datestyle", "ISO, MDY" },
	{ "intervalstyle", "postgres" },
	{ "extra_float_digits", "3" },
	{ "search_path", "pg_catalog, pg_temp" },
	{ "array_nulls", "on" },
	{ "xmloption", "content" },
	{ "lc_monetary", "C" },
};

static bool
is_pinned(int setting)
{
	switch (setting)
	{
		case 0:
			return DateStyle == USE_ISO_DATES && DateOrder == DATEORDER_MDY;
		case 1:
			return IntervalStyle == INTSTYLE_POSTGRES;
		case 2:
			return extra_float_digits == 3;
		case 3:
			return strcmp(namespace_search_path, "pg_catalog, pg_temp") == 0;
		case 4:
			return Array_nulls;
		case 5:
			return xmloption == XMLOPTION_CONTENT;
		default:
			return strcmp(locale_monetary, "C") == 0;
	}
}

int
tuple_pin(void)
{
	int nest_level = 0;

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (is_pinned(i))
			continue;
		if (nest_level == 0)
			nest_level = NewGUCNestLevel();
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	}
	return nest_level;
}

void
tuple_unpin(int nest_level)
{
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
}

/* -------------------------------------------------------------- codec */

static TupleForm
binary_form(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
			return TUPLE_FORM_BOOL;
		case INT2OID:
			return TUPLE_FORM_INT2;
		case INT4OID:
		case OIDOID:
		case DATEOID:
		case FLOAT4OID:
			return TUPLE_FORM_INT4;
		case INT8OID:
		case FLOAT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case CASHOID:
			return TUPLE_FORM_INT8;
		case UUIDOID:
			return TUPLE_FORM_FIXED;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case JSONOID:
			return TUPLE_FORM_VARLENA;
		default:
			return TUPLE_FORM_SEND;
	}
}

/* Text whose output no setting changes is written without pinning any. */
static TupleForm
text_form(Oid type)
{
	Oid base = getBaseType(type);

	if (type == XMLOID)
		return TUPLE_FORM_XML;
	if (get_typtype(base) == TYPTYPE_ENUM)
		return TUPLE_FORM_PLAIN_TEXT;
	switch (base)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
			return TUPLE_FORM_PLAIN_TEXT;
		default:
			return TUPLE_FORM_TEXT;
	}
}

static inline bool
form_is_text(TupleForm form)
{
	return form == TUPLE_FORM_TEXT || form == TUPLE_FORM_PLAIN_TEXT ||
		   form == TUPLE_FORM_XML;
}

/*
 * The type whose text functions code this one: a name alone does not find an
 * overloaded function or operator again, one with argument types does.
 */
static Oid
text_type(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
			return REGPROCEDUREOID;
		case REGOPEROID:
			return REGOPERATOROID;
		case REGPROCARRAYOID:
			return REGPROCEDUREARRAYOID;
		case REGOPERARRAYOID:
			return REGOPERATORARRAYOID;
		default:
			return type;
	}
}

void
tuple_codec_init(TupleCodec *codec, Oid type, int32 typmod, Oid collation,
				 MemoryContext context)
{
	Oid out;
	Oid in;
	bool varlena;

	memset(codec, 0, sizeof(*codec));
	codec->type = type;
	codec->typmod = typmod;
	codec->collation = collation;
	get_typlenbyval(type, &codec->typlen, &codec->typbyval);

	if (tuple_type_is_text(type))
	{
		codec->form = text_form(type);
		getTypeOutputInfo(text_type(type), &out, &varlena);
		getTypeInputInfo(text_type(type), &in, &codec->in_param);
	}
	else
	{
		codec->form = binary_form(type);
		getTypeBinaryOutputInfo(type, &out, &varlena);
		getTypeBinaryInputInfo(type, &in, &codec->in_param);
	}
	fmgr_info_cxt(out, &codec->out, context);
	fmgr_info_cxt(in, &codec->in, context);
}

/* ------------------------------------------------------------- encode */

static inline void
append_counted(StringInfo out, const void *data, size_t len)
{
	tuple_append_varint(out, (uint64) len + 1);
	appendBinaryStringInfo(out, data, (int) len);
}

/* An array says itself what it is an array of; both are arrays of OIDs. */
static Datum
as_array_of(Datum value, Oid array)
{
	ArrayType *copy = DatumGetArrayTypePCopy(value);

	ARR_ELEMTYPE(copy) = get_element_type(array);
	return PointerGetDatum(copy);
}

static bool
is_recoded_array(Oid type)
{
	return type == REGPROCARRAYOID || type == REGOPERARRAYOID;
}

static void
encode_text(TupleCodec *codec, Datum value, StringInfo out)
{
	int pin = codec->form == TUPLE_FORM_TEXT ? tuple_pin() : 0;
	char *text;

	if (is_recoded_array(codec->type))
		value = as_array_of(value, text_type(codec->type));
	text = OutputFunctionCall(&codec->out, value);

	tuple_unpin(pin);
	append_counted(out, text, strlen(text));
	pfree(text);
}

/*
 * The send function's bytes. Send functions of text convert to the client's
 * encoding, so for the call there is none but the server's.
 */
static bytea *
call_send(TupleCodec *codec, Datum value)
{
	int client = pg_get_client_encoding();
	bytea *volatile bytes = NULL;

	if (likely(client == GetDatabaseEncoding()))
		return SendFunctionCall(&codec->out, value);
	SetClientEncoding(GetDatabaseEncoding());
	PG_TRY();
	{
		bytes = SendFunctionCall(&codec->out, value);
	}
	PG_FINALLY();
	{
		SetClientEncoding(client);
	}
	PG_END_TRY();
	return bytes;
}

static void
encode_send(TupleCodec *codec, Datum value, StringInfo out)
{
	bytea *bytes = call_send(codec, value);

	append_counted(out, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	pfree(bytes);
}

static void
encode_varlena(Datum value, StringInfo out)
{
	struct varlena *v = (struct varlena *) DatumGetPointer(value);
	struct varlena *plain = pg_detoast_datum_packed(v);

	append_counted(out, VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
	if (plain != v)
		pfree(plain);
}

void
tuple_encode(TupleCodec *codec, Datum value, bool isnull, StringInfo out)
{
	char *at;
	uint16 n16;
	uint32 n32;
	uint64 n64;

	enlargeStringInfo(out, 16);
	at = out->data + out->len;
	if (isnull)
	{
		*at = 0;
		out->len++;
		return;
	}
	switch (codec->form)
	{
		case TUPLE_FORM_BOOL:
			at[0] = 2;
			at[1] = DatumGetChar(value);
			out->len += 2;
			break;
		case TUPLE_FORM_INT2:
			at[0] = 3;
			n16 = pg_hton16(DatumGetUInt16(value));
			memcpy(at + 1, &n16, 2);
			out->len += 3;
			break;
		case TUPLE_FORM_INT4:
			at[0] = 5;
			n32 = pg_hton32(DatumGetUInt32(value));
			memcpy(at + 1, &n32, 4);
			out->len += 5;
			break;
		case TUPLE_FORM_INT8:
			at[0] = 9;
			n64 = pg_hton64(DatumGetUInt64(value));
			memcpy(at + 1, &n64, 8);
			out->len += 9;
			break;
		case TUPLE_FORM_FIXED:
			append_counted(out, DatumGetPointer(value), (size_t) codec->typlen);
			break;
		case TUPLE_FORM_VARLENA:
		case TUPLE_FORM_XML:
			encode_varlena(value, out);
			break;
		case TUPLE_FORM_SEND:
			encode_send(codec, value, out);
			break;
		case TUPLE_FORM_TEXT:
		case TUPLE_FORM_PLAIN_TEXT:
			encode_text(codec, value, out);
			break;
	}
}

/* ------------------------------------------------------------- decode */

static void
pg_attribute_noreturn() bad_value(const TupleCodec *codec)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("malformed value of type %s in a change",
						   format_type_be(codec->type))));
}

static Datum
decode_text(TupleCodec *codec, const RepValue *v)
{
	char *text = pnstrdup((const char *) v->data, v->len);
	int pin;
	Datum value;

	(void) pg_verifymbstr(text, (int) v->len, false);
	pin = codec->form != TUPLE_FORM_PLAIN_TEXT ? tuple_pin() : 0;
	value = InputFunctionCall(&codec->in, text, codec->in_param, codec->typmod);
	tuple_unpin(pin);
	if (is_recoded_array(codec->type))
		value = as_array_of(value, codec->type);
	return value;
}

static Datum
call_receive(TupleCodec *codec, StringInfo buf)
{
	int client = pg_get_client_encoding();
	volatile Datum value = (Datum) 0;

	if (likely(client == GetDatabaseEncoding()))
		return ReceiveFunctionCall(&codec->in, buf, codec->in_param,
								   codec->typmod);
	SetClientEncoding(GetDatabaseEncoding());
	PG_TRY();
	{
		value = ReceiveFunctionCall(&codec->in, buf, codec->in_param,
									codec->typmod);
	}
	PG_FINALLY();
	{
		SetClientEncoding(client);
	}
	PG_END_TRY();
	return value;
}

/* Receive functions may scribble on their input and want it terminated. */
static Datum
decode_receive(TupleCodec *codec, const RepValue *v)
{
	StringInfoData buf;
	Datum value;

	buf.data = palloc(v->len + 1);
	memcpy(buf.data, v->data, v->len);
	buf.data[v->len] = '\0';
	buf.len = (int) v->len;
	buf.maxlen = (int) v->len + 1;
	buf.cursor = 0;
	value = call_receive(codec, &buf);
	if (buf.cursor != buf.len)
		bad_value(codec);
	return value;
}

static bool
decode_by_hand(const TupleCodec *codec, const RepValue *v, Datum *value)
{
	uint16 n16;
	uint32 n32;
	uint64 n64;

	switch (codec->type)
	{
		case INT2OID:
			if (v->len != 2)
				bad_value(codec);
			memcpy(&n16, v->data, 2);
			*value = Int16GetDatum((int16) pg_ntoh16(n16));
			return true;
		case INT4OID:
			if (v->len != 4)
				bad_value(codec);
			memcpy(&n32, v->data, 4);
			*value = Int32GetDatum((int32) pg_ntoh32(n32));
			return true;
		case INT8OID:
			if (v->len != 8)
				bad_value(codec);
			memcpy(&n64, v->data, 8);
			*value = Int64GetDatum((int64) pg_ntoh64(n64));
			return true;
		case TEXTOID:
			(void) pg_verifymbstr((const char *) v->data, (int) v->len, false);
			*value = PointerGetDatum(
				cstring_to_text_with_len((const char *) v->data, (int) v->len));
			return true;
		default:
			return false;
	}
}

Datum
tuple_decode(TupleCodec *codec, const RepValue *v, bool *isnull)
{
	Datum value;

	*isnull = v->null;
	if (v->null)
		return (Datum) 0;
	if (v->len > MaxAllocSize - VARHDRSZ - 1)
		bad_value(codec);
	if (form_is_text(codec->form))
		return decode_text(codec, v);
	if (decode_by_hand(codec, v, &value))
		return value;
	return decode_receive(codec, v);
}

/* -------------------------------------------------------------- image */

static bool
same_stored_bytes(Datum a, Datum b)
{
	struct varlena *va = (struct varlena *) DatumGetPointer(a);
	struct varlena *vb = (struct varlena *) DatumGetPointer(b);
	Size size;

	if (VARATT_IS_EXTERNAL(va) && VARTAG_EXTERNAL(va) != VARTAG_ONDISK)
		return false;
	size = VARSIZE_ANY(va);
	return VARATT_IS_EXTERNAL(va) == VARATT_IS_EXTERNAL(vb) &&
		   VARSIZE_ANY(vb) == size && memcmp(va, vb, size) == 0;
}

bool
tuple_same_image(const TupleCodec *codec, Datum a, bool anull, Datum b,
				 bool bnull)
{
	if (anull || bnull)
		return anull && bnull;
	if (codec->typlen == -1 && same_stored_bytes(a, b))
		return true;
	return datum_image_eq(a, b, codec->typbyval, codec->typlen);
}

/* ---------------------------------------------------------------- key */

/*
 * The extended hash function of a hash family that has this operator, for its
 * own type or, if one is named, for another type of the family.
 */
static Oid
extended_hash_function(Oid eq_operator, Oid other)
{
	CatCList *members;
	Oid function = InvalidOid;

	members = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(eq_operator));
	for (int i = 0; i < members->n_members && !OidIsValid(function); i++)
	{
		Form_pg_amop amop =
			(Form_pg_amop) GETSTRUCT(&members->members[i]->tuple);

		if (amop->amopmethod == HASH_AM_OID &&
			amop->amopstrategy == HTEqualStrategyNumber)
			function = get_opfamily_proc(amop->amopfamily, amop->amoplefttype,
										 amop->amoplefttype, HASHEXTENDED_PROC);
		if (OidIsValid(function) && OidIsValid(other))
		{
			function = get_opfamily_proc(amop->amopfamily, other, other,
										 HASHEXTENDED_PROC);
			break;
		}
	}
	ReleaseSysCacheList(members);
	return function;
}

/* An array or row hashes only if what is in it does. */
static bool
contents_can_hash(Oid type)
{
	Oid base = getBaseType(type);
	char kind = get_typtype(base);

	if (!OidIsValid(get_element_type(base)) && kind != TYPTYPE_COMPOSITE &&
		kind != TYPTYPE_RANGE && kind != TYPTYPE_MULTIRANGE)
		return true;
	return OidIsValid(lookup_type_cache(base, TYPECACHE_HASH_EXTENDED_PROC)
						  ->hash_extended_proc);
}

int
tuple_key_init(TupleKey *key, Relation index, MemoryContext context)
{
	int n = IndexRelationGetNumberOfKeyAttributes(index);

	key->index = RelationGetRelid(index);
	key->ncolumns = n;
	key->columns = MemoryContextAllocZero(context, sizeof(TupleKeyColumn) * n);
	for (int i = 0; i < n; i++)
	{
		TupleKeyColumn *column = &key->columns[i];
		Oid family = index->rd_opfamily[i];
		Oid type = index->rd_opcintype[i];
		Oid hash;

		column->attnum = index->rd_index->indkey.values[i];
		column->collation = index->rd_indcollation[i];
		column->eq_operator =
			get_opfamily_member(family, type, type, BTEqualStrategyNumber);
		if (!OidIsValid(column->eq_operator))
			return i + 1;
		hash = extended_hash_function(column->eq_operator, InvalidOid);
		if (!OidIsValid(hash) ||
			!contents_can_hash(TupleDescAttr(index->rd_att, i)->atttypid))
			return i + 1;
		fmgr_info_cxt(hash, &column->hash, context);
		fmgr_info_cxt(get_opcode(column->eq_operator), &column->eq, context);
	}
	return 0;
}

bool
tuple_key_hash_other(TupleKeyColumn *column, Oid type, MemoryContext context)
{
	Oid hash = extended_hash_function(column->eq_operator, type);

	if (OidIsValid(hash))
		fmgr_info_cxt(hash, &column->hash, context);
	return OidIsValid(hash);
}

char *
tuple_key_candidates(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData out;
	int n = 0;

	initStringInfo(&out);
	for (int i = 0; i < desc->natts && n < INDEX_MAX_KEYS; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		TypeCacheEntry *type;

		if (att->attisdropped || att->attgenerated != '\0')
			continue;
		type = lookup_type_cache(att->atttypid, TYPECACHE_BTREE_OPFAMILY |
													TYPECACHE_HASH_EXTENDED_PROC);
		if (!OidIsValid(type->btree_opf) ||
			!OidIsValid(type->hash_extended_proc))
			continue;
		appendStringInfo(&out, "%s%s", n++ > 0 ? ", " : "",
						 quote_identifier(NameStr(att->attname)));
	}
	return n > 0 ? out.data : "...";
}

uint64
tuple_key_hash(TupleKey *key, const Datum *values)
{
	uint64 hash = KEY_HASH_SEED;

	for (int i = 0; i < key->ncolumns; i++)
	{
		TupleKeyColumn *column = &key->columns[i];
		Datum one = FunctionCall2Coll(&column->hash, column->collation,
									  values[i], UInt64GetDatum(KEY_HASH_SEED));

		hash = hash_combine64(hash, DatumGetUInt64(one));
	}
	return hash;
}

bool
tuple_key_equal(TupleKey *key, const Datum *a, const Datum *b)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		TupleKeyColumn *column = &key->columns[i];

		if (!DatumGetBool(
				FunctionCall2Coll(&column->eq, column->collation, a[i], b[i])))
			return false;
	}
	return true;
}
