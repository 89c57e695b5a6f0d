/*
 * consensus.c
 *		The worker that hosts the strong engine of one database.
 *
 * One process a database. It hands the engine what peers say (inbox.h), what
 * backends ask (consensus_desk.h) and the time, has its actions carried out
 * (consensus_engine.h), and as leader's host keeps the engine's members what
 * causaldb.node says.
 *
 * Invariants
 * 1. Whatever one round has made the engine write is durable before the round
 *	  ends; so one sync serves everything that came in during the one before.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "consensus.h"
#include "consensus_desk.h"
#include "consensus_engine.h"
#include "consensus_peer.h"
#include "debug_point.h"
#include "guc.h"
#include "horizon.h"
#include "inbox.h"
#include "step_aside.h"
#include "streams.h"
#include "strong_block.h"
#include "wall.h"

/* pace of heartbeats without and with strong columns in the cluster */
#define IDLE_HEARTBEAT_MS 300
#define BUSY_HEARTBEAT_MS 100
#define MEMBERS_MS 300
/* between two horizons; transactions that take longer to reach the log may be
 * refused */
#define HORIZON_MS 1000
#define MESSAGES_PER_ROUND 64

static NodeShared *node;
static StrongShared *strong;
static RepVersion told[REP_MAX_VECTOR]; /* what the engine knows we hold */
static uint32 ntold = 0;
static MemoryContext round_context;

/* ------------------------------------------------------------ what we hold */

/* Tells the engine what this node holds durably, if that is news. */
static void
tell_held(void)
{
	static RepVersion entries[REP_MAX_VECTOR];
	RepVector v = { entries, 0, REP_MAX_VECTOR };
	RepRaftEvent ev = { .type = REP_EV_HELD };
	XLogRecPtr upto;

	/* `applied` and closed are raised after last_commit_lsn: flushed, they are
	 * durable */
	streams_applied_vector(node, clock_closed(node), &v);
	pg_memory_barrier();
	upto = (XLogRecPtr) pg_atomic_read_u64(&node->last_commit_lsn);
	if (upto != InvalidXLogRecPtr && GetFlushRecPtr(NULL) < upto)
		XLogFlush(upto);
	if (v.len == ntold &&
		memcmp(entries, told, sizeof(RepVersion) * v.len) == 0)
		return;
	memcpy(told, entries, sizeof(RepVersion) * v.len);
	ntold = v.len;
	ev.held = told;
	ev.nheld = ntold;
	consensus_engine_step(&ev, true);
}

/* Tells how far we have applied durably, without making it so. */
static void
tell_applied(void)
{
	static uint64 seen = 0;
	static XLogRecPtr seen_lsn = InvalidXLogRecPtr;
	static uint64 said = 0;
	RepRaftEvent ev = { .type = REP_EV_APPLIED };

	if (seen > said && GetFlushRecPtr(NULL) >= seen_lsn)
	{
		said = ev.index = seen;
		consensus_engine_step(&ev, true);
	}
	if (seen <= said)
	{
		seen = pg_atomic_read_u64(&strong->applied);
		pg_memory_barrier();
		seen_lsn = (XLogRecPtr) pg_atomic_read_u64(&node->last_commit_lsn);
	}
}

/* ------------------------------------------------------------ members */

static const RepRaftMember *
member_of(const RepRaftStatus *s, uint32 id)
{
	for (uint32 i = 0; i < s->nmembers; i++)
		if (s->members[i].node == id)
			return &s->members[i];
	return NULL;
}

/* The next change towards what causaldb.node says; false if there is none. */
static bool
next_change(const RepRaftStatus *s, RepRaftEvent *ev)
{
	static int turn = 0;
	int n;
	const ConsensusNode *nodes = consensus_peer_nodes(&n);

	/* round robin: one that cannot be done yet holds up no other */
	for (int i = 0; i < n; i++)
	{
		const ConsensusNode *it = &nodes[(turn + i) % n];
		const RepRaftMember *m = member_of(s, it->id);

		ev->node = it->id;
		ev->witness = it->witness;
		if (m == NULL && !it->dropped)
			ev->change = REP_CHANGE_ADD;
		else if (m != NULL && it->dropped)
			ev->change = REP_CHANGE_REMOVE;
		else if (m != NULL && !m->voter)
			ev->change = REP_CHANGE_PROMOTE;
		else
			continue;
		turn = (turn + i + 1) % n;
		return true;
	}
	return false;
}

static void
tend_members(void)
{
	static TimestampTz last = 0;
	TimestampTz now = wall_timer();
	RepRaftEvent ev = { .type = REP_EV_CHANGE };
	RepRaftStatus s;

	if (!TimestampDifferenceExceeds(last, now, MEMBERS_MS))
		return;
	last = now;
	rep_raft_status(consensus_engine(), &s);
	if (s.established && s.config_index <= s.commit && next_change(&s, &ev))
		consensus_engine_step(&ev, true);
}

/* One who has left the cluster may propose as long as the engine knows it. */
static bool
has_dropped(const RepRaftStatus *s)
{
	int n;
	const ConsensusNode *nodes = consensus_peer_nodes(&n);

	for (int i = 0; i < n; i++)
		if (nodes[i].dropped && member_of(s, nodes[i].id) != NULL)
			return true;
	return false;
}

/* As leader puts into the log what all members have (horizon.h). */
static void
tend_horizon(void)
{
	static RepVersion entries[REP_MAX_VECTOR];
	static TimestampTz last = 0;
	TimestampTz now = wall_timer();
	RepVector v = { entries, 0, REP_MAX_VECTOR };
	RepRaftEvent ev = { .type = REP_EV_HORIZON };
	RepVector newest;
	RepRaftStatus s;

	if (!horizon_counts(node) || !TimestampDifferenceExceeds(last, now, HORIZON_MS))
		return;
	last = now;
	rep_raft_status(consensus_engine(), &s);
	if (!s.established || has_dropped(&s))
	{
		horizon_forget();
		return;
	}
	newest = rep_raft_horizon(consensus_engine(), s.last);
	if (!horizon_next(node, s.term, s.last, &newest, &v))
		return;
	ev.held = v.entries;
	ev.nheld = v.len;
	consensus_engine_step(&ev, true);
}

static void
transfer(void)
{
	RepRaftEvent ev = { .type = REP_EV_TRANSFER };

	if (strong->transfer_to == 0)
		return;
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	ev.node = strong->transfer_to;
	strong->transfer_to = 0;
	LWLockRelease(&strong->lock);
	consensus_engine_step(&ev, true);
}

/* ------------------------------------------------------------ showing */

static void
show(void)
{
	const RepRaft *raft = consensus_engine();
	RepRaftStatus s;

	rep_raft_status(raft, &s);
	pg_atomic_write_u32(&strong->leader, s.leader);
	pg_atomic_write_u32(&strong->want_held, s.want_held);
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->role = (int) s.role;
	strong->term = s.term;
	strong->first = s.first;
	strong->last = s.last;
	strong->established = s.established;
	strong->nmembers = (int) Min(s.nmembers, REP_MAX_MEMBERS);
	for (int i = 0; i < strong->nmembers; i++)
	{
		StrongMember *m = &strong->members[i];

		m->node = s.members[i].node;
		m->voter = s.members[i].voter;
		m->witness = s.members[i].witness;
		m->known = rep_raft_peer(raft, m->node, &m->match, &m->applied);
		if (m->node == (uint32) node->node_id)
		{
			m->known = true;
			m->match = s.last;
			m->applied = pg_atomic_read_u64(&strong->applied);
		}
	}
	LWLockRelease(&strong->lock);
}

/* ------------------------------------------------------------ one round */

static void
take_messages(void)
{
	for (int n = 0; n < MESSAGES_PER_ROUND; n++)
	{
		size_t len;
		const void *bytes = inbox_next(node, &len);

		if (bytes == NULL)
			return;
		consensus_engine_take(bytes, len);
	}
	/* there may be more */
	SetLatch(MyLatch);
}

static void
take_asks(void)
{
	ConsensusAsk ask;

	if (!consensus_desk_wanted())
		return;
	while (consensus_desk_next(&ask))
	{
		RepRaftEvent ev = { 0 };

		switch (ask.type)
		{
			case ASK_PROPOSE:
				DEBUG_POINT("consensus_proposing");
				ev.type = REP_EV_PROPOSE;
				ev.proposal = &ask.entry;
				break;
			case ASK_FORGET:
				ev.type = REP_EV_FORGET;
				ev.proposal = &ask.entry;
				break;
			case ASK_READ:
				ev.type = REP_EV_READ;
				ev.id = ask.id;
				break;
			case ASK_CANCEL:
				ev.type = REP_EV_READ_CANCEL;
				ev.id = ask.id;
				break;
		}
		consensus_engine_step(&ev, true);
		if (ask.type == ASK_FORGET)
			consensus_desk_forgotten(ask.entry.stamp);
	}
}

static uint32
pace(void)
{
	return pg_atomic_read_u32(&strong->used) ? BUSY_HEARTBEAT_MS
											 : IDLE_HEARTBEAT_MS;
}

static void
one_round(void)
{
	static uint64 ticked = 0;
	uint64 now = consensus_engine_now_ms();
	RepRaftEvent ev = { .type = REP_EV_TICK };
	bool tick = now - ticked >= BUSY_HEARTBEAT_MS / 2;

	take_messages();
	take_asks();
	transfer();
	if (tick)
	{
		ticked = now;
		tell_applied();
		strong_block_look(node);
		consensus_engine_compact(BREAK("compact_all"));
		consensus_engine_tend_install();
		tend_members();
		tend_horizon();
		/* old proposals and given-up readers are looked for */
		pg_atomic_write_u32(&strong->wanted, 1);
	}
	if (pg_atomic_read_u32(&strong->want_held) ||
		(tick && pg_atomic_read_u32(&strong->used)) ||
		(tick && ntold == 0))
		tell_held();
	/* appends of the whole round go out with this */
	consensus_engine_step(&ev, false);
	consensus_engine_settle();
	consensus_desk_advance(consensus_engine_pass);
	if (consensus_engine_leader_news())
		consensus_desk_resubmit();
	if (tick)
		consensus_engine_set_heartbeat(pace());
	show();
}

/* ------------------------------------------------------------ start, end */

static void
leave(int code, Datum arg)
{
	(void) code;
	(void) arg;
	pg_atomic_write_u32(&strong->leader, 0);
	consensus_engine_end_lease(strong);
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->consensus_pid = 0;
	strong->consensus_latch = NULL;
	strong->role = 0;
	LWLockRelease(&strong->lock);
	consensus_peer_close();
}

/* False where another process is the database's consensus process. */
static bool
register_process(void)
{
	bool ours;

	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	ours = strong->consensus_pid == 0 ||
		   BackendPidGetProc(strong->consensus_pid) == NULL;
	if (ours)
		strong->consensus_pid = MyProcPid;
	LWLockRelease(&strong->lock);
	if (ours)
		before_shmem_exit(leave, (Datum) 0);
	return ours;
}

static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
start(Oid database)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	if (step_aside_wanted(database))
		proc_exit(0);
	pgstat_report_appname("causaldb consensus");
	set("search_path", "pg_catalog, pg_temp");
	set("statement_timeout", "0");
	set("lock_timeout", "0");
	set("idle_in_transaction_session_timeout", "0");

	node = shmem_node();
	strong = &node->strong;
	if (!register_process())
		proc_exit(0);
	round_context = AllocSetContextCreate(
		TopMemoryContext, "causaldb consensus round", ALLOCSET_DEFAULT_SIZES);
	consensus_peer_init(node);
	consensus_peer_load();
	DEBUG_POINT("consensus_starts");
	consensus_engine_end_lease(strong);
	consensus_engine_start(node);
	consensus_engine_set_lease(guc_leader_lease);
	consensus_desk_init(node);
	inbox_open(node, INBOX_CONSENSUS);

	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	LWLockAcquire(&strong->lock, LW_EXCLUSIVE);
	strong->consensus_latch = MyLatch;
	strong->consensus_serial++;
	LWLockRelease(&strong->lock);
	LWLockRelease(&node->lock);
}

void
causaldb_consensus_main(Datum database)
{
	start(DatumGetObjectId(database));
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			consensus_engine_set_lease(guc_leader_lease);
		}
		MemoryContextSwitchTo(round_context);
		if (strong->reload)
			consensus_peer_load();
		consensus_peer_tend();
		one_round();
		MemoryContextSwitchTo(round_context);
		consensus_peer_wait(pace() / 2);
		MemoryContextReset(round_context);
	}
}
