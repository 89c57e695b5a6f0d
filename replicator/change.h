/*
 * change.h
 *		The payload of a log row or chunk: changes of one transaction.
 *
 * A payload is canonical: the same bytes on every node, so that it is hashed,
 * shipped and stored without translation. Relations travel by descriptor
 * hash, columns by their index in the descriptor.
 *
 *	payload    = u8 version (1), varint ndescriptors, u64 hash each, change*
 *	change     = u8 kind, varint descriptor index (not for REP_CHANGE_META),
 *				 body
 *	INSERT     = value for every column of the descriptor, in order (new)
 *	UPDATE     = value for every key column, in descriptor order (the key),
 *				 varint nfields, then for each: varint (column << 1 | base),
 *				 value old, value new; columns strictly ascending; base = 1
 *				 marks an absolute write to a counter
 *	DELETE     = value for every column of the descriptor, in order (old)
 *	TRUNCATE   = u8 flags (1: restart identity, 2: cascade)
 *	META       = varint meta kind, blob (what it means is the host's)
 *	value      = varint n: 0 is NULL, else n - 1 bytes follow
 *
 * A change of the key is a DELETE and an INSERT. The number of columns and
 * which are keys is known from the descriptor (below), so a reader needs
 * the descriptor to step over a change; rep_change_next takes it.
 *
 * A descriptor says under which names and rules changes were written:
 *
 *	descriptor = u8 version (1), u8 flags, u8 row policy, blob schema, blob
 *				 table, varint ncolumns, column*
 *	column     = blob name, blob type name, u8 format (0 binary, 1 text), u8
 *				 rule, varint key ordinal (0: not a key column, else 1..)
 *
 * Its hash is rep_hash64(bytes, len, 0).
 */
#ifndef REP_CHANGE_H
#define REP_CHANGE_H

#include "bounds.h"
#include "bytes.h"
#include "merge.h"

#define REP_PAYLOAD_VERSION 1

typedef enum RepChangeKind
{
	REP_CHANGE_INSERT = 1,
	REP_CHANGE_UPDATE = 2,
	REP_CHANGE_DELETE = 3,
	REP_CHANGE_TRUNCATE = 4,
	REP_CHANGE_META = 5
} RepChangeKind;

#define REP_TRUNCATE_RESTART_SEQS 1
#define REP_TRUNCATE_CASCADE 2

typedef enum RepRule
{
	REP_RULE_LAST_WRITE = 1,
	REP_RULE_COUNTER = 2,
	REP_RULE_STRONG = 3 /* written by the strong log alone, in its order */
} RepRule;

#define REP_DESCRIPTOR_APPEND_ONLY 1

typedef struct RepColumn
{
	const char *name; /* not terminated: name_len bytes */
	size_t name_len;
	const char *type; /* as format_type says it, schema-qualified if not built
					   * in; not terminated */
	size_t type_len;
	bool text; /* values travel in text form */
	RepRule rule;
	uint32_t key; /* 0: not in the key; else 1-based place in it */
} RepColumn;

typedef struct RepDescriptor
{
	uint64_t hash;
	bool append_only;
	RepRowPolicy policy;
	const char *schema; /* views into the decoded bytes */
	size_t schema_len;
	const char *table;
	size_t table_len;
	uint32_t ncolumns;
	uint32_t nkeys;
	RepColumn *columns; /* caller's array */
} RepDescriptor;

/* Writes the canonical bytes of *d (d->hash is ignored). */
extern void rep_descriptor_encode(const RepDescriptor *d, RepWriter *w);
/* Columns the descriptor in these bytes has, or -1 if it is malformed. */
extern int rep_descriptor_columns(const void *data, size_t len);
/*
 * Decodes into *d, whose columns array has room for `room`; views point into
 * data. False if malformed: trailing bytes, too many columns, key ordinals
 * that are not 1..nkeys exactly once, a duplicate column name, unknown rule,
 * policy or flag.
 */
extern bool rep_descriptor_decode(const void *data, size_t len, uint32_t room,
								  RepDescriptor *d);

/* one value: NULL, or len bytes */
typedef struct RepValue
{
	bool null;
	const uint8_t *data;
	size_t len;
} RepValue;

typedef struct RepField
{
	uint32_t column;
	bool base; /* absolute write to a counter */
	RepValue before;
	RepValue after;
} RepField;

/* one decoded change; arrays are the caller's, sized by the descriptor */
typedef struct RepChange
{
	RepChangeKind kind;
	uint32_t descriptor; /* index into the payload's table */
	uint8_t flags; /* TRUNCATE */
	uint32_t meta; /* META: what kind */
	RepValue body; /* META */
	RepValue *key; /* UPDATE: nkeys values in order of key ordinal columns as
					* they stand in the descriptor */
	RepValue *row; /* INSERT, DELETE: ncolumns values */
	RepField *fields; /* UPDATE */
	uint32_t nfields;
	const uint8_t *start; /* the change's own bytes, for copying */
	size_t size;
} RepChange;

typedef struct RepPayload
{
	RepReader r; /* stands at the next change */
	uint32_t ndescriptors;
	uint64_t descriptors[REP_MAX_PAYLOAD_DESCRIPTORS];
} RepPayload;

/* Reads the head; false if malformed. */
extern bool rep_payload_open(RepPayload *p, const void *data, size_t len);
extern bool rep_payload_at_end(const RepPayload *p);
/*
 * The descriptor index of the next change without consuming it, or -1 for a
 * META change, -2 if malformed.
 */
extern int rep_payload_peek(const RepPayload *p);
/*
 * Decodes the next change. d is the descriptor rep_payload_peek named (NULL
 * for META); out->key, row and fields must have room for d's nkeys, ncolumns
 * and ncolumns. False if malformed; the payload is then unusable.
 */
extern bool rep_payload_next(RepPayload *p, const RepDescriptor *d,
							 RepChange *out);

/* Writers; they append one change. The head is written by rep_payload_begin. */
extern void rep_payload_begin(RepWriter *w, const uint64_t *hashes,
							  uint32_t n);
extern void rep_write_value(RepWriter *w, const RepValue *v);
extern RepValue rep_read_value(RepReader *r);
extern void rep_write_change_head(RepWriter *w, RepChangeKind kind,
								  uint32_t descriptor);
extern void rep_write_field(RepWriter *w, uint32_t column, bool base,
							const RepValue *before, const RepValue *after);
extern void rep_write_meta(RepWriter *w, uint32_t meta, const void *body,
						   size_t len);

#endif
