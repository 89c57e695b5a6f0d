/*
 * change.c
 *		Encoding and decoding of descriptors, values and changes.
 *
 * Not for what changes mean: merge.c decides, the host carries out.
 *
 * Invariants
 * 1. Decoding trusts nothing: what it returns true for obeys every rule of
 *	  change.h, and is read inside the given bytes.
 * 2. What is encoded from valid structures decodes to the same, and what
 *	  decodes encodes to the same bytes.
 */
#include "change.h"

#include <assert.h>
#include <string.h>

/* ------------------------------------------------------------------------
 * Descriptors
 * ------------------------------------------------------------------------
 */

void
rep_descriptor_encode(const RepDescriptor *d, RepWriter *w)
{
	rep_write_u8(w, REP_PAYLOAD_VERSION);
	rep_write_u8(w, d->append_only ? REP_DESCRIPTOR_APPEND_ONLY : 0);
	rep_write_u8(w, (uint8_t) d->policy);
	rep_write_blob(w, d->schema, d->schema_len);
	rep_write_blob(w, d->table, d->table_len);
	rep_write_varint(w, d->ncolumns);
	for (uint32_t i = 0; i < d->ncolumns; i++)
	{
		const RepColumn *c = &d->columns[i];

		rep_write_blob(w, c->name, c->name_len);
		rep_write_blob(w, c->type, c->type_len);
		rep_write_u8(w, c->text ? 1 : 0);
		rep_write_u8(w, (uint8_t) c->rule);
		rep_write_varint(w, c->key);
	}
}

/* Everything in front of the columns. */
static void
descriptor_read_head(RepReader *r, RepDescriptor *d)
{
	uint8_t version = rep_read_u8(r);
	uint8_t flags = rep_read_u8(r);
	uint8_t policy = rep_read_u8(r);
	uint64_t ncolumns;

	d->append_only = (flags & REP_DESCRIPTOR_APPEND_ONLY) != 0;
	d->policy = (RepRowPolicy) policy;
	d->schema = (const char *) rep_read_blob(r, &d->schema_len);
	d->table = (const char *) rep_read_blob(r, &d->table_len);
	ncolumns = rep_read_varint(r);
	d->ncolumns = (uint32_t) ncolumns;

	if (version != REP_PAYLOAD_VERSION ||
		(flags & ~REP_DESCRIPTOR_APPEND_ONLY) != 0 ||
		policy < REP_POLICY_UPDATE_WINS || policy > REP_POLICY_STRONG ||
		d->schema_len == 0 || d->table_len == 0 || ncolumns > REP_MAX_COLUMNS)
		r->bad = true;
}

static void
descriptor_read_column(RepReader *r, RepColumn *c)
{
	uint8_t text;
	uint8_t rule;
	uint64_t key;

	c->name = (const char *) rep_read_blob(r, &c->name_len);
	c->type = (const char *) rep_read_blob(r, &c->type_len);
	text = rep_read_u8(r);
	rule = rep_read_u8(r);
	key = rep_read_varint(r);
	c->text = text == 1;
	c->rule = (RepRule) rule;
	c->key = (uint32_t) key;

	if (c->name_len == 0 || c->type_len == 0 || text > 1 ||
		rule < REP_RULE_LAST_WRITE || rule > REP_RULE_STRONG ||
		key > REP_MAX_COLUMNS)
		r->bad = true;
}

/* No name twice; the key ordinals are 1..nkeys, each once; sets nkeys. */
static bool
descriptor_columns_agree(RepDescriptor *d)
{
	uint8_t taken[REP_MAX_COLUMNS + 1] = { 0 };

	d->nkeys = 0;
	for (uint32_t i = 0; i < d->ncolumns; i++)
	{
		const RepColumn *c = &d->columns[i];

		for (uint32_t j = 0; j < i; j++)
			if (d->columns[j].name_len == c->name_len &&
				memcmp(d->columns[j].name, c->name, c->name_len) == 0)
				return false;
		if (c->key == 0)
			continue;
		if (taken[c->key])
			return false;
		taken[c->key] = 1;
		d->nkeys++;
	}

	/* nkeys different ordinals, none above nkeys: that is all of 1..nkeys */
	for (uint32_t i = 0; i < d->ncolumns; i++)
		if (d->columns[i].key > d->nkeys)
			return false;
	return true;
}

int
rep_descriptor_columns(const void *data, size_t len)
{
	RepReader r;
	RepDescriptor d;

	rep_reader_init(&r, data, len);
	descriptor_read_head(&r, &d);
	return r.bad ? -1 : (int) d.ncolumns;
}

bool
rep_descriptor_decode(const void *data, size_t len, uint32_t room,
					  RepDescriptor *d)
{
	RepReader r;

	rep_reader_init(&r, data, len);
	descriptor_read_head(&r, d);
	if (r.bad || d->ncolumns > room)
		return false;
	for (uint32_t i = 0; i < d->ncolumns && !r.bad; i++)
		descriptor_read_column(&r, &d->columns[i]);
	if (!rep_reader_done(&r) || !descriptor_columns_agree(d))
		return false;
	d->hash = rep_hash64(data, len, 0);
	return true;
}

/* ------------------------------------------------------------------------
 * Values and changes, written
 * ------------------------------------------------------------------------
 */

void
rep_write_value(RepWriter *w, const RepValue *v)
{
	if (v->null)
	{
		rep_write_varint(w, 0);
		return;
	}
	rep_write_varint(w, (uint64_t) v->len + 1);
	rep_write_bytes(w, v->data, v->len);
}

void
rep_payload_begin(RepWriter *w, const uint64_t *hashes, uint32_t n)
{
	assert(n <= REP_MAX_PAYLOAD_DESCRIPTORS);
	rep_write_u8(w, REP_PAYLOAD_VERSION);
	rep_write_varint(w, n);
	for (uint32_t i = 0; i < n; i++)
		rep_write_u64(w, hashes[i]);
}

void
rep_write_change_head(RepWriter *w, RepChangeKind kind, uint32_t descriptor)
{
	rep_write_u8(w, (uint8_t) kind);
	if (kind != REP_CHANGE_META)
		rep_write_varint(w, descriptor);
}

void
rep_write_field(RepWriter *w, uint32_t column, bool base,
				const RepValue *before, const RepValue *after)
{
	rep_write_varint(w, (uint64_t) column << 1 | (base ? 1 : 0));
	rep_write_value(w, before);
	rep_write_value(w, after);
}

void
rep_write_meta(RepWriter *w, uint32_t meta, const void *body, size_t len)
{
	rep_write_change_head(w, REP_CHANGE_META, 0);
	rep_write_varint(w, meta);
	rep_write_blob(w, body, len);
}

/* ------------------------------------------------------------------------
 * Values and changes, read
 * ------------------------------------------------------------------------
 */

RepValue
rep_read_value(RepReader *r)
{
	RepValue v = { .null = true, .data = NULL, .len = 0 };
	uint64_t n = rep_read_varint(r);

	if (n == 0)
		return v;
	if (n - 1 > REP_MAX_VALUE || n - 1 > rep_reader_left(r))
	{
		r->bad = true;
		return v;
	}
	v.null = false;
	v.len = (size_t) (n - 1);
	v.data = rep_read_bytes(r, v.len);
	return v;
}

bool
rep_payload_open(RepPayload *p, const void *data, size_t len)
{
	uint8_t version;
	uint64_t n;

	rep_reader_init(&p->r, data, len);
	p->ndescriptors = 0;
	version = rep_read_u8(&p->r);
	n = rep_read_varint(&p->r);
	if (version != REP_PAYLOAD_VERSION || n > REP_MAX_PAYLOAD_DESCRIPTORS)
		p->r.bad = true;
	for (uint64_t i = 0; i < n && !p->r.bad; i++)
		p->descriptors[i] = rep_read_u64(&p->r);
	if (p->r.bad)
		return false;
	p->ndescriptors = (uint32_t) n;
	return true;
}

bool
rep_payload_at_end(const RepPayload *p)
{
	return rep_reader_done(&p->r);
}

/*
 * Kind and descriptor of the change at r: the descriptor's index, -1 for
 * META, -2 (and r->bad) if malformed.
 */
static int
change_read_head(RepReader *r, uint32_t ndescriptors, RepChangeKind *kind)
{
	uint8_t k = rep_read_u8(r);
	uint64_t index;

	*kind = (RepChangeKind) k;
	if (k == REP_CHANGE_META)
		return -1;
	index = rep_read_varint(r);
	if (r->bad || k < REP_CHANGE_INSERT || k > REP_CHANGE_META ||
		index >= ndescriptors)
	{
		r->bad = true;
		return -2;
	}
	return (int) index;
}

int
rep_payload_peek(const RepPayload *p)
{
	RepReader ahead = p->r;
	RepChangeKind kind;
	int index = change_read_head(&ahead, p->ndescriptors, &kind);

	return ahead.bad ? -2 : index;
}

static void
change_read_row(RepReader *r, const RepDescriptor *d, RepValue *row)
{
	for (uint32_t i = 0; i < d->ncolumns && !r->bad; i++)
		row[i] = rep_read_value(r);
}

static void
change_read_update(RepReader *r, const RepDescriptor *d, RepChange *out)
{
	uint64_t n;
	uint64_t next = 0;

	for (uint32_t i = 0; i < d->nkeys && !r->bad; i++)
		out->key[i] = rep_read_value(r);
	n = rep_read_varint(r);
	if (d->nkeys == 0 || n > d->ncolumns)
		r->bad = true;
	for (uint64_t i = 0; i < n && !r->bad; i++)
	{
		RepField *f = &out->fields[i];
		uint64_t head = rep_read_varint(r);
		uint64_t column = head >> 1;

		f->base = (head & 1) != 0;
		if (column < next || column >= d->ncolumns ||
			(f->base && d->columns[column].rule != REP_RULE_COUNTER))
		{
			r->bad = true;
			return;
		}
		f->column = (uint32_t) column;
		f->before = rep_read_value(r);
		f->after = rep_read_value(r);
		next = column + 1;
	}
	out->nfields = r->bad ? 0 : (uint32_t) n;
}

static void
change_read_meta(RepReader *r, RepChange *out)
{
	uint64_t meta = rep_read_varint(r);

	if (meta > UINT32_MAX)
		r->bad = true;
	out->meta = (uint32_t) meta;
	out->body.data = rep_read_blob(r, &out->body.len);
	out->body.null = false;
}

static void
change_read_truncate(RepReader *r, RepChange *out)
{
	out->flags = rep_read_u8(r);
	if (out->flags & ~(REP_TRUNCATE_RESTART_SEQS | REP_TRUNCATE_CASCADE))
		r->bad = true;
}

/* The body of a change of a relation. */
static void
change_read_body(RepReader *r, const RepDescriptor *d, RepChange *out)
{
	switch (out->kind)
	{
		case REP_CHANGE_INSERT:
			change_read_row(r, d, out->row);
			return;
		case REP_CHANGE_UPDATE:
			change_read_update(r, d, out);
			return;
		case REP_CHANGE_DELETE:
			/* a row of a table without key cannot be named */
			if (d->nkeys == 0)
				r->bad = true;
			change_read_row(r, d, out->row);
			return;
		case REP_CHANGE_TRUNCATE:
			change_read_truncate(r, out);
			return;
		case REP_CHANGE_META:
			break;
	}
	r->bad = true;
}

bool
rep_payload_next(RepPayload *p, const RepDescriptor *d, RepChange *out)
{
	RepReader *r = &p->r;
	size_t start = r->at;
	int index = change_read_head(r, p->ndescriptors, &out->kind);

	out->descriptor = index < 0 ? 0 : (uint32_t) index;
	out->flags = 0;
	out->meta = 0;
	out->body = (RepValue){ .null = true };
	out->nfields = 0;

	if (r->bad)
		return false;
	if (index == -1)
		change_read_meta(r, out);
	else if (d == NULL)
		r->bad = true;
	else
		change_read_body(r, d, out);
	if (r->bad)
		return false;

	out->start = r->data + start;
	out->size = r->at - start;
	return true;
}
