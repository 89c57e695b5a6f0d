/*
 * strong_status.c
 *		Who leads, how far the strong log is, handing leadership over, and the
 *		function that peers' consensus processes call.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "raft_packet.h"

#include "clock.h"
#include "errors.h"
#include "inbox.h"
#include "member.h"
#include "remote.h"
#include "shmem.h"
#include "strong_latency.h"
#include "wall.h"

PG_FUNCTION_INFO_V1(causaldb_leader_id);
PG_FUNCTION_INFO_V1(causaldb_strong_raw);
PG_FUNCTION_INFO_V1(causaldb_strong_members);
PG_FUNCTION_INFO_V1(causaldb_transfer_leadership);
PG_FUNCTION_INFO_V1(causaldb_strong_message);

#define TRANSFER_MS 10000
#define LOOK_MS 20

static const char *
role_name(int role)
{
	switch (role)
	{
		case REP_RAFT_FOLLOWER:
			return "follower";
		case REP_RAFT_PRECANDIDATE:
		case REP_RAFT_CANDIDATE:
			return "candidate";
		case REP_RAFT_LEADER:
			return "leader";
		default:
			return "down";
	}
}

/* The node's shared state where there is one, else NULL. */
static StrongShared *
strong_here(void)
{
	NodeShared *node;

	if (!shmem_available())
		return NULL;
	node = shmem_find_node(MyDatabaseId);
	return node == NULL || node->own.boot == 0 ? NULL : &node->strong;
}

/* causaldb.leader_id() returns int4: NULL if no leader is known */
Datum
causaldb_leader_id(PG_FUNCTION_ARGS)
{
	StrongShared *strong = strong_here();
	uint32 leader = strong ? pg_atomic_read_u32(&strong->leader) : 0;

	if (leader == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32((int32) leader);
}

/* causaldb.strong_raw(): one row about this node */
Datum
causaldb_strong_raw(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrongShared *strong = strong_here();
	Datum values[17];
	bool nulls[17] = { false };
	StrongLatency *latencies[2];
	uint64 now = wall_boot_ms();
	uint64 until;
	int n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (strong == NULL)
		return (Datum) 0;
	LWLockAcquire(&strong->lock, LW_SHARED);
	values[n++] = CStringGetTextDatum(role_name(strong->role));
	values[n++] = Int64GetDatum((int64) strong->term);
	values[n++] =
		Int64GetDatum((int64) pg_atomic_read_u64(&strong->commit));
	values[n++] =
		Int64GetDatum((int64) pg_atomic_read_u64(&strong->applied));
	values[n++] = Int64GetDatum((int64) strong->first);
	values[n++] = Int64GetDatum((int64) strong->last);
	values[n++] = BoolGetDatum(pg_atomic_read_u32(&strong->used) != 0);
	values[n++] = Int64GetDatum((int64) strong->proposals);
	values[n++] = Int64GetDatum((int64) strong->committed);
	values[n++] = Int64GetDatum((int64) strong->conflicts);
	values[n++] = Int64GetDatum((int64) strong->refused);
	values[n++] = Int64GetDatum((int64) strong->replayed);
	LWLockRelease(&strong->lock);
	until = pg_atomic_read_u64(&strong->lease_until);
	nulls[n] = until <= now;
	values[n++] = Int64GetDatum((int64) (until - now));
	latencies[0] = &strong->commits;
	latencies[1] = &strong->reads;
	for (int i = 0; i < 4; i++)
	{
		double ms = 0;

		nulls[n] = !strong_latency_percentile(latencies[i / 2], i % 2 ? 99 : 50, &ms);
		values[n++] = Float8GetDatum(ms);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/* causaldb.strong_members(): members as this node's engine has them */
Datum
causaldb_strong_members(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrongShared *strong = strong_here();
	StrongMember members[REP_MAX_MEMBERS];
	int n;

	InitMaterializedSRF(fcinfo, 0);
	if (strong == NULL)
		return (Datum) 0;
	LWLockAcquire(&strong->lock, LW_SHARED);
	n = strong->nmembers;
	memcpy(members, strong->members, sizeof(StrongMember) * n);
	LWLockRelease(&strong->lock);
	for (int i = 0; i < n; i++)
	{
		bool unknown = !members[i].known;
		Datum values[5] = { Int32GetDatum((int32) members[i].node),
							BoolGetDatum(members[i].voter),
							BoolGetDatum(members[i].witness),
							Int64GetDatum((int64) members[i].match),
							Int64GetDatum((int64) members[i].applied) };
		bool nulls[5] = { false, false, false, unknown, unknown };

		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/* ------------------------------------------------------------ transfer */

static void
pause_a_little(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 LOOK_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* We lead: asks our engine to hand over, and waits until it has. */
static void
hand_over(NodeShared *node, const Member *to)
{
	StrongShared *strong = &node->strong;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->transfer_to = (uint32) to->id;
	LWLockRelease(&strong->lock);
	shmem_wake_consensus(node);
	for (int waited = 0; waited < TRANSFER_MS; waited += LOOK_MS)
	{
		if (pg_atomic_read_u32(&strong->leader) == (uint32) to->id)
			return;
		pause_a_little();
	}
	ereport(ERROR,
			(errcode(ERRORS_NO_QUORUM),
			 errmsg("node \"%s\" did not come to lead in %d s", to->name,
					TRANSFER_MS / 1000),
			 errhint("It must be up and have all of the strong log: look at "
					 "causaldb.strong_status.")));
}

static void
ask_leader(uint32 leader, const char *name)
{
	Member *m = member_by_id((int32) leader);
	Remote *remote;

	if (m == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %u leads but is not known here yet", leader),
				 errhint("Try again when causaldb.nodes shows it.")));
	remote = remote_connect(member_dsn(m), psprintf("node %s", m->name), 5000);
	(void) remote_query(remote, "SELECT causaldb.transfer_leadership($1)", 1,
						&name);
	remote_close(remote);
}

/* causaldb.transfer_leadership(node_name name) */
Datum
causaldb_transfer_leadership(PG_FUNCTION_ARGS)
{
	NodeShared *node = member_node();
	char *name = pstrdup(NameStr(*PG_GETARG_NAME(0)));
	Member *to = member_by_name(name);
	uint32 leader = pg_atomic_read_u32(&node->strong.leader);

	if (to == NULL || strcmp(to->state, "dropped") == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no node \"%s\"", name),
						errhint("Type SELECT name FROM causaldb.nodes;")));
	if (strcmp(to->role, "witness") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node \"%s\" is a witness", name),
				 errdetail("A witness leads only until it has handed over to a "
						   "node with tables."),
				 errhint("Choose another one: SELECT name FROM causaldb.nodes "
						 "WHERE role = 'member';")));
	if (leader == 0)
		ereport(ERROR, (errcode(ERRORS_NO_QUORUM),
						errmsg("no leader of the strong log is known to this node"),
						errhint("Look at causaldb.strong_status and causaldb.peers.")));
	if (leader == (uint32) to->id)
		PG_RETURN_VOID();
	if (leader == (uint32) node->node_id)
		hand_over(node, to);
	else
		ask_leader(leader, name);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------ messages */

static bool
is_packet(const void *bytes, size_t len, uint64 cluster)
{
	RepRaftPacket p;
	bool ok = false;

	/* a message is small but for what its entries write */
	for (size_t room = 64 * 1024; room <= 64 * 1024 * 1024; room *= 16)
	{
		void *memory = palloc_extended(room, MCXT_ALLOC_HUGE);
		RepArena a;

		rep_arena_init(&a, memory, room);
		ok = rep_raft_packet_decode(bytes, len, &a, &p);
		pfree(memory);
		if (ok || !a.full)
			break;
	}
	return ok && p.cluster == cluster;
}

static bool
readable(const void *bytes, size_t len, uint64 cluster)
{
	RepReader r;
	bool ok = true;

	rep_reader_init(&r, bytes, len);
	while (ok && rep_reader_left(&r) > 0)
	{
		size_t n;
		const uint8 *packet = rep_read_blob(&r, &n);

		ok = !r.bad && is_packet(packet, n, cluster);
	}
	return ok;
}

/*
 * causaldb.strong_message(message bytea) returns bool: packets of a peer's
 * consensus process for ours, each after its length. Nothing is promised but that it was handed on. An empty one
 * says that the session exists.
 */
Datum
causaldb_strong_message(PG_FUNCTION_ARGS)
{
	bytea *message = PG_GETARG_BYTEA_PP(0);
	NodeShared *node = member_node();

	if (clock_state(node) != NODE_OPEN || node->stepping_aside)
		ereport(ERROR, (errcode(ERRCODE_CANNOT_CONNECT_NOW),
						errmsg("this node is not ready yet"),
						errhint("The peer tries again by itself.")));
	if (VARSIZE_ANY_EXHDR(message) == 0)
	{
		/* only that it is there, so that it is sent away in time */
		inbox_attach(node, INBOX_CONSENSUS);
		PG_RETURN_BOOL(true);
	}
	if (!readable(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message),
				  node->cluster))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("malformed strong message from a peer")));
	inbox_send(node, INBOX_CONSENSUS, VARDATA_ANY(message),
			   VARSIZE_ANY_EXHDR(message));
	PG_RETURN_BOOL(true);
}
