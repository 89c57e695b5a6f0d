/*
 * apply_transaction.c
 *		See apply_transaction.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "apply_row.h"
#include "apply_transaction.h"
#include "capture.h"
#include "catalog.h"
#include "clock.h"
#include "conflict.h"
#include "debug_point.h"
#include "errors.h"
#include "guc.h"
#include "member.h"
#include "meta.h"
#include "omission.h"
#include "store.h"
#include "streams.h"
#include "tags.h"
#include "target.h"
#include "wall.h"
#include "wire.h"

static NodeShared *node;
static MemoryContext change_context; /* reset after every change */
static MemoryContext transaction_context;
static RepValue *row_values;
static RepValue *key_values;
static RepField *field_values;

/* for errors: where we are */
static const Incoming *at_transaction;
static uint32 at_change;
static const RepDescriptor *at_descriptor; /* NULL: not at a change of rows */

void
apply_transaction_init(NodeShared *n)
{
	node = n;
	change_context = AllocSetContextCreate(TopMemoryContext, "causaldb change", ALLOCSET_DEFAULT_SIZES);
	transaction_context = AllocSetContextCreate(TopMemoryContext, "causaldb transaction", ALLOCSET_DEFAULT_SIZES);
	row_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepValue) * REP_MAX_COLUMNS);
	key_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepValue) * REP_MAX_COLUMNS);
	field_values = MemoryContextAlloc(TopMemoryContext, sizeof(RepField) * REP_MAX_COLUMNS);
}

const char *
apply_transaction_relation(void)
{
	return at_descriptor ? catalog_descriptor_name(at_descriptor) : NULL;
}

static void
say_where(void *arg)
{
	(void) arg;
	if (at_transaction == NULL)
		return;
	errcontext("applying change %u%s%s of transaction " UINT64_FORMAT " of node %u",
			   at_change, at_descriptor ? " on " : "",
			   at_descriptor ? catalog_descriptor_name(at_descriptor) : "",
			   at_transaction->stamp.hlc, at_transaction->stamp.stream.node);
}

static void
malformed(void)
{
	ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("a peer sent a malformed payload")));
}

static char *
meta_text(const RepChange *c)
{
	return pnstrdup((const char *) c->body.data, c->body.len);
}

static void
apply_meta(const Incoming *t, const RepChange *c, ApplyEffects *effects)
{
	switch ((MetaKind) c->meta)
	{
		case META_TAG:
			target_close_all();
			tags_apply(meta_text(c));
			effects->ends_group = true;
			break;
		case META_NODE:
			member_apply(meta_text(c));
			effects->ends_group = true;
			effects->members = true;
			break;
		case META_LOCAL:
			break; /* its log row is all there is to it */
		case META_RETIRE:
			omission_apply(node, t->slot, t->stamp.hlc, c->body.data, c->body.len);
			break;
		case META_OPEN:
			{
				RepReader r;
				RepStreamId previous = {t->stamp.stream.node, 0};
				uint64 final;

				rep_reader_init(&r, c->body.data, c->body.len);
				previous.boot = rep_read_u64(&r);
				final = rep_read_u64(&r);
				if (!rep_reader_done(&r))
					malformed();
				streams_set_final(node, previous, final);
				break;
			}
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("node %u sent a change of kind %u, which this node does not know",
							t->stamp.stream.node, c->meta),
					 errhint("Update causaldb on this node to the version of that node.")));
	}
	CommandCounterIncrement();
}

/* A change that is not of rows and that an operator may set aside. */
static bool
is_refusable(const RepChange *c)
{
	return c->meta == META_TAG || c->meta == META_NODE;
}

/*
 * A witness has no tables: what the log row says of rows and of tags is kept
 * there for others, and nothing else comes of it here.
 */
static bool
is_for_tables(const RepDescriptor *named, const RepChange *c)
{
	return named != NULL || c->meta == META_TAG;
}

/*
 * Whatever code of users a change sets off (checks of domains, defaults,
 * triggers, index expressions) runs as the owner of the table. An ERROR leaves
 * it to the abort to go back.
 */
static void
apply_as_owner(const Incoming *t, CatalogApply *a, RepChange *c)
{
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(a->owner, context | SECURITY_RESTRICTED_OPERATION);
	apply_row_change(t, a, c, at_change);
	DEBUG_POINT("apply_row_done");
	SetUserIdAndSecContext(user, context);
}

/* Reads and carries out every change of one payload. */
static void
apply_payload(const Incoming *t, const void *bytes, size_t len, ApplyEffects *effects)
{
	static RepPayload p;

	if (!rep_payload_open(&p, bytes, len))
		malformed();
	while (!rep_payload_at_end(&p))
	{
		RepChange c = {.row = row_values, .key = key_values, .fields = field_values};
		int d = rep_payload_peek(&p);
		const RepDescriptor *named = NULL;
		CatalogApply *a = NULL;

		CHECK_FOR_INTERRUPTS();
		if (d < -1)
			malformed();
		at_change++;
		if (d >= 0)
		{
			named = catalog_descriptor(p.descriptors[d]);
			if (named == NULL)
				ereport(ERROR, (errcode(ERRORS_MALFORMED), errmsg("a peer named a descriptor it never sent")));
			at_descriptor = named;
			if (!t->aside && !node->witness)
				a = catalog_apply(p.descriptors[d]);
		}
		if (!rep_payload_next(&p, named, &c))
			malformed();
		if (node->witness && is_for_tables(named, &c))
			; /* the log row has it */
		else if (t->aside && (named || is_refusable(&c)))
			conflict_keep_aside(node->streams[t->slot].local_id, t->stamp.hlc, named, &c,
								"set aside by an operator");
		else if (a == NULL)
			apply_meta(t, &c, effects);
		else
			apply_as_owner(t, a, &c);
		MemoryContextReset(change_context);
	}
}

/* A large transaction: its changes are in chunks that came before it. */
static uint64
apply_chunks(const Incoming *t, uint64 chain, ApplyEffects *effects)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	StoreScan *scan;
	StoreChunkRow chunk;
	uint32 n = 0;
	MemoryContext old = MemoryContextSwitchTo(transaction_context);

	scan = store_chunks_begin(node->streams[t->slot].local_id, t->xid, -1, snapshot);
	while (store_chunks_next(scan, &chunk))
	{
		MemoryContextSwitchTo(change_context);
		apply_payload(t, chunk.payload, chunk.payload_len, effects);
		chain = rep_chain_chunk(chain, (uint64) chunk.ordinal, chunk.payload, chunk.payload_len);
		n++;
		MemoryContextSwitchTo(transaction_context);
	}
	store_end(scan);
	MemoryContextSwitchTo(old);
	UnregisterSnapshot(snapshot);
	if (n != t->nchunks)
		ereport(ERROR, (errcode(ERRORS_MALFORMED),
						errmsg("%u of %u chunks of a transaction are here", n, t->nchunks),
						errhint("The peer sends them again when its connection is made anew.")));
	return chain;
}

static void
insert_log_row(const Incoming *t)
{
	StoreDep *deps = palloc(sizeof(StoreDep) * Max(t->deps.len, 1));
	StringInfoData bytes;
	int n = 0;
	uint32 i;

	for (i = 0; i < t->deps.len; i++)
	{
		RepStreamId stream = t->deps.entries[i].stream;
		int slot = shmem_find_stream(node, stream);

		if (slot >= 0)
			deps[n].stream = node->streams[slot].local_id;
		else if (!streams_retired(stream, &deps[n].stream))
			ereport(ERROR,
					(errcode(ERRORS_MALFORMED),
					 errmsg("transaction names a stream of node %u that this node does not know", stream.node),
					 errdetail("It has seen something that has not come here."),
					 errhint("Look at causaldb.streams and causaldb.peers; it is tried again.")));
		deps[n++].position = t->deps.entries[i].position;
	}
	initStringInfo(&bytes);
	store_encode_deps(deps, n, t->stamp.hlc, &bytes);
	store_insert_log(node->streams[t->slot].local_id, incoming_position(t), t->xid,
					 t->index > 0 ? &t->stamp : NULL, bytes.data, bytes.len, t->payload, t->payload_len);
}

/* What does not move our clock does no harm, whatever the time is. */
bool
apply_transaction_skewed(uint64 hlc)
{
	return hlc > clock_read(node) && hlc > rep_hlc_from_ms(wall_ms() + guc_max_clock_skew);
}

void
apply_transaction_check_skew(uint32 writer, uint64 hlc)
{
	int64 ahead = (int64) rep_hlc_to_ms(hlc) - (int64) wall_ms();

	if (apply_transaction_skewed(hlc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the clock of node %u is " INT64_FORMAT " ms ahead", writer, ahead),
				 errdetail("causaldb.max_clock_skew is %d ms.", guc_max_clock_skew),
				 errhint("The stream goes on when this node's clock has caught up; if it is this one that is wrong, correct it. "
						 "To let the stream in at once, type on every node: ALTER SYSTEM SET causaldb.max_clock_skew = '" INT64_FORMAT " s'; SELECT pg_reload_conf(); "
						 "From then on what these nodes write is stamped that far ahead, too.",
						 Min(ahead / 1000 + 60, INT_MAX / 1000))));
}

void
apply_transaction(const Incoming *t, uint64 *chain, ApplyEffects *effects)
{
	ErrorContextCallback callback = {.callback = say_where, .previous = error_context_stack};
	MemoryContext old = MemoryContextSwitchTo(change_context);

	at_transaction = t;
	at_change = 0;
	at_descriptor = NULL;
	error_context_stack = &callback;

	/* the leader has judged the strong ones */
	if (t->index == 0)
		apply_transaction_check_skew(t->stamp.stream.node, t->stamp.hlc);
	PushActiveSnapshot(GetLatestSnapshot());
	*chain = rep_chain_link(*chain, t->stamp, &t->deps, t->payload, t->payload_len);
	if (t->nchunks > 0)
		*chain = apply_chunks(t, *chain, effects);
	else
		apply_payload(t, t->payload, t->payload_len, effects);
	at_descriptor = NULL;
	insert_log_row(t);
	/* the next transaction of the group may not have seen this one */
	CommandCounterIncrement();
	PopActiveSnapshot();
	DEBUG_POINT("apply_logged");

	error_context_stack = callback.previous;
	at_transaction = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(change_context);
	MemoryContextReset(transaction_context);
}
