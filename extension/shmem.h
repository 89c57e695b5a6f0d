/*
 * shmem.h
 *		What the processes of one server share.
 *
 * One NodeShared for each database that uses causaldb, found by database OID;
 * one BackendSlot for each process, found by its PGPROC number. All of it is
 * in fixed shared memory, so it is gone, and streams begin anew, whenever
 * the postmaster starts or re-initializes.
 *
 * Invariants
 * 1. streams[0 .. nstreams) never move; nstreams grows under `lock`, after the
 *	  slot is filled. A slot is given to another stream only while neither
 *	  worker runs but the apply worker that does it; whoever reads slots
 *	  meanwhile finds that out by shmem_streams_changed.
 * 2. No transaction of a stream that is visible here has a position above its
 *	  `started`; of where nothing is written it need not say how far that is.
 * 3. A slot's `pending` is at most the position its process will log, or
 *	  NO_PENDING. Only its own process writes it.
 */
#ifndef CAUSALDB_SHMEM_H
#define CAUSALDB_SHMEM_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "bounds.h"
#include "guc.h"
#include "stamp.h"

#include "strong_shared.h"

#define NO_PENDING UINT64_MAX

/* a table's name as people read it: schema, point, table, perhaps quoted */
#define TABLE_NAME_LEN (2 * (2 * NAMEDATALEN + 2) + 2)

/* who applies what others have written */
typedef enum ApplyRole
{
	ROLE_APPLY = 0, /* the eventual streams */
	ROLE_PLAYER = 1 /* the strong log */
} ApplyRole;

/* streams that are not retired for which each member has room */
#define OWN_SLOTS 2

/*
 * Streams a node tracks at once; tests need not start nodes hundreds of times.
 * The spare ones are for streams without which what has been taken cannot be
 * applied, and with it the acknowledgements that make room again; and for this
 * node's own start.
 */
#define SPARE_SLOTS (REP_MAX_STREAMS / 4)
#ifdef CAUSALDB_TESTING
#define STREAM_SLOTS guc_stream_slots
#else
#define STREAM_SLOTS (REP_MAX_STREAMS - SPARE_SLOTS)
#endif
#define ALL_STREAM_SLOTS (STREAM_SLOTS + SPARE_SLOTS)

typedef enum NodeState
{
	NODE_UNKNOWN = 0, /* nobody has looked into the catalog yet */
	NODE_LOCAL, /* not in a cluster: history only, stream 0 */
	NODE_OPENING, /* in a cluster; this boot's stream is not open yet */
	NODE_OPEN, /* own stream is open */
	NODE_FENCED /* writes refused; see fence_reason */
} NodeState;

/* whether a node's time is the cluster's; see skew.h */
typedef enum Trust
{
	TRUST_WAITING = 0, /* started; no peer has been asked yet */
	TRUST_ALONE, /* no peer could be reached at the start */
	TRUST_GIVEN,
	TRUST_REFUSED /* all that can be reached are too far away */
} Trust;

/* why the nodes' time does not follow the wall clock */
typedef enum WallRefusal
{
	WALL_FOLLOWED = 0,
	WALL_JUMPED, /* against the time since boot */
	WALL_AWAY /* from every peer */
} WallRefusal;

#define FREE_SLOT (-1)

typedef struct StreamSlot
{
	RepStreamId id;
	int32 local_id; /* causaldb.stream.id, or FREE_SLOT */
	/* deps of a local transaction are the larger of these two: what may be
	 * visible here, and what one that it may have seen has named before, though
	 * applying that has failed since */
	pg_atomic_uint64 started;
	pg_atomic_uint64 named;
	pg_atomic_uint64 applied; /* visible here; releases waiters */
	pg_atomic_uint64 noted; /* applied, as causaldb.stream has it; for relaying */
	pg_atomic_uint64 taken; /* received and kept by the apply worker */
	pg_atomic_uint64 seen; /* largest position any frame has named */
	pg_atomic_uint64 everywhere; /* applied durably by every member */
	/* strong transactions still to come have seen that much (horizon.h), since
	 * the entry at that index */
	pg_atomic_uint64 horizon;
	pg_atomic_uint64 horizon_at;
	pg_atomic_uint64 stable; /* everywhere, and nothing concurrent can come */
	pg_atomic_uint64 final; /* it ends there; 0: not known to have ended */
	pg_atomic_uint32 retired; /* ended and stable: our deps do not name it */

	/* what the apply worker says of the stream; guarded by NodeShared.lock */
	uint64 blocked_at; /* position that waits or is stalled, or 0 */
	RepStreamId waits_for; /* stream it waits for, node 0: none */
	uint64 waits_upto; /* position it waits for */
	TimestampTz waits_since;
	bool stalled;
} StreamSlot;

typedef enum LinkState
{
	LINK_NONE = 0,
	LINK_CONNECTING,
	LINK_GREETING, /* connected, no HELLO answered yet */
	LINK_UP,
	LINK_DOWN,
	LINK_PAUSED /* by causaldb.pause_peer */
} LinkState;

/* what the sender says of one peer; guarded by NodeShared.lock */
typedef struct PeerStatus
{
	uint32 node; /* 0: free */
	LinkState state;
	TimestampTz state_since;
	TimestampTz last_answer;
	int64 clock_base; /* peer's clock minus our time since boot, ms */
	int64 round_trip_us; /* of the last answered frame */
	uint64 own_applied; /* what the peer has applied of our own stream */
	uint64 frames_sent;
	uint64 bytes_sent;
	char error[256];
} PeerStatus;

/* when a peer last sent us a frame, relayed or its own */
typedef struct HeardSlot
{
	pg_atomic_uint32 node; /* 0: free; set under lock */
	pg_atomic_uint64 at; /* TimestampTz; written by the receiving backend */
	pg_atomic_uint32 hellos; /* counts those that were answered */
} HeardSlot;

/* one receiving backend's queue to a worker; guarded by lock */
typedef struct InboxSlot
{
	bool used;
	uint32 handle; /* dsm_handle */
	uint64 serial; /* tells two users of one slot apart */
	int32 pid;
} InboxSlot;

/* queues to one worker */
#define MAX_INBOXES 128

typedef enum JoiningState
{
	JOIN_NONE = 0,
	JOIN_RUNNING,
	JOIN_INTERRUPTED,
	JOIN_DONE
} JoiningState;

/*
 * The join of this database that runs, or ran last; written by the session
 * that joins. Guarded by NodeShared.lock but for the two counters.
 */
typedef struct JoinStatus
{
	JoiningState state;
	int32 pid;
	char name[NAMEDATALEN]; /* of the node to be */
	int32 id; /* its node id, 0 before it is admitted */
	char copy[8];
	char phase[24];
	TimestampTz since; /* the phase */
	char table[2 * NAMEDATALEN + 8]; /* schema-qualified; empty: none */
	int32 table_number; /* from 1 */
	int32 tables;
	pg_atomic_uint64 rows; /* of that table */
	pg_atomic_uint64 bytes;
	uint64 table_bytes; /* what it has there, about */
	uint64 bytes_before; /* what the tables before it had there */
	uint64 bytes_total; /* what all have */
} JoinStatus;
/* to the apply worker, and to the consensus process */
#define ALL_INBOXES (2 * MAX_INBOXES)

typedef struct NodeShared
{
	Oid database; /* InvalidOid: free */
	LWLock lock; /* guards what names it */
	pg_atomic_uint32 state; /* NodeState */
	int32 node_id; /* set before NODE_OPEN, as the next two */
	int32 coordinator;
	bool witness; /* it keeps logs and no tables */
	uint64 cluster;
	RepStreamId own; /* our stream, once NODE_OPEN */
	int own_slot;
	char fence_reason[256]; /* lock */

	pg_atomic_uint32 trust; /* Trust */
	uint64 opened_at; /* of this start; wall_boot_ms */
	bool continued; /* this data folder is where our last stream was written */

	pg_atomic_uint64 hlc;
	pg_atomic_uint64 mark; /* no hlc above it leaves the node */
	pg_atomic_uint64 last_closed; /* closed() never goes back */
	pg_atomic_uint64 last_commit_lsn; /* flushed before anything is shipped */
	pg_atomic_uint64 last_position; /* largest committed of our own stream */
	pg_atomic_uint64 commits; /* local commits that logged something */
	pg_atomic_uint64 last_unique; /* see clock_unique */

	pg_atomic_uint32 graves; /* 1: some process has written one */
	/* counts changes of causaldb.omission; odd while one is about to commit */
	pg_atomic_uint32 omissions;
	pg_atomic_uint32 truncates; /* moves when causaldb.log_key names one more
								 * TRUNCATE, by a commit that is visible */
	pg_atomic_uint32 links_up; /* of the sender; without any, commits wake nobody */

	pg_atomic_uint32 nstreams;
	pg_atomic_uint32 stream_turn; /* odd while slots change their streams */
	StreamSlot streams[REP_MAX_STREAMS];
	ConditionVariable applied_cv; /* some `applied` or the state moved */

	/* workers; lock */
	Latch *apply_latch;
	Latch *sender_latch;
	int32 apply_pid;
	int32 sender_pid;
	uint64 apply_serial; /* counts starts of the apply worker */
	bool apply_reload; /* stalls or set-asides changed by SQL */
	bool sender_reload; /* members changed */
	bool stepping_aside; /* somebody drops or copies the database */
	bool recycling; /* slots are about to change their streams: no sender */

	/* apply worker's lock wait, for views and the watchdog; lock */
	TimestampTz lock_wait_since; /* 0: not waiting */
	int32 lock_wait_pid; /* for whom */
	Oid lock_wait_relation;

	/* by role, the apply worker's and the player's: odd while its open group is
	 * about to commit and has left dead rows (dead.h); written by it alone */
	pg_atomic_uint32 leaving_dead[2];
	/* by role: the table whose lock it waits for, or waited for last; lock */
	char wanted_table[2][TABLE_NAME_LEN];

	uint32 paused[REP_MAX_MEMBERS]; /* peers we take nothing from; lock */
	int npaused;

	JoinStatus join;
	PeerStatus peers[REP_MAX_MEMBERS];
	HeardSlot heard[REP_MAX_MEMBERS];
	InboxSlot inboxes[ALL_INBOXES];
	uint64 inbox_serial;

	StrongShared strong;
} NodeShared;

typedef struct BackendSlot
{
	pg_atomic_uint64 pending;
	Oid database; /* written by its own process before the first pending */
	StrongRead read; /* StrongShared.lock of that database */
	pg_atomic_uint64 awaited; /* index of the strong log that it waits to see
							   * applied here, 0: none; its own process writes it */
	/* why it is aborted (victim.h); written by the consensus process */
	LocalTransactionId victim; /* the transaction, or InvalidLocalTransactionId */
	char victim_table[TABLE_NAME_LEN]; /* where it was in the way; empty: not known */
} BackendSlot;

typedef struct CausalShared
{
	LWLock lock; /* guards allocation of nodes and `wanted` */
	Latch *supervisor_latch;
	int nslots;
	int nnodes;
	bool stopped_cleanly; /* the server's last stop was no crash; set at its start */

	/* the nodes' time, see wall.h; lock, but for reading the first */
	pg_atomic_uint64 wall_base; /* int64: ms over the time since boot */
	int64 wall_reference; /* it, with no more than a drift since the start */
	WallRefusal wall_refusal;
	TimestampTz wall_refused_since;
	uint64 wall_looked_at; /* wall_boot_ms */
#ifdef CAUSALDB_TESTING
	pg_atomic_uint64 drifted_ms; /* int64 */
#endif
	/* followed by NodeShared[nnodes], BackendSlot[nslots] */
} CausalShared;

extern void shmem_init(void);
/* The library was preloaded and shared memory is attached. */
extern bool shmem_available(void);
extern CausalShared *shmem_shared(void);
/* This database's state, allocated at first use; error when all are taken. */
extern NodeShared *shmem_node(void);
extern NodeShared *shmem_node_at(int i);
extern NodeShared *shmem_find_node(Oid database);
extern void shmem_release_node(Oid database);
extern BackendSlot *shmem_my_slot(void);
extern BackendSlot *shmem_slot_at(int i);

/* Slot number of a stream, or -1. Lock-free. */
extern int shmem_find_stream(NodeShared *node, RepStreamId id);
extern int shmem_find_stream_by_local(NodeShared *node, int32 local_id);
/* Adds a stream, in a free slot if there is one; error 54000 if all are in use. */
extern int shmem_add_stream(NodeShared *node, RepStreamId id, int32 local_id,
							uint64 applied);
/*
 * Whether there is room for this stream of a peer. However often one member
 * starts, the others keep room for OWN_SLOTS each: what a member that was away
 * writes when it comes back, its acknowledgements, is what makes room again.
 * By then it may have seen streams that have no room here: the spare slots are
 * for what the head of another stream waits for.
 */
extern bool shmem_has_room(NodeShared *node, RepStreamId stream);
/* Takes their slots from streams; see invariant 1. */
extern void shmem_free_streams(NodeShared *node, const int *slots, int n);
/*
 * A process that reads several fields of slots and is neither worker: begin,
 * read, and once more from the beginning if they have changed.
 */
extern uint32 shmem_streams_begin(NodeShared *node);
extern bool shmem_streams_changed(NodeShared *node, uint32 turn);
/* The peer's slot, taken if it has none yet; NULL when all are taken. */
extern HeardSlot *shmem_heard_slot(NodeShared *node, uint32 peer);
/* How often the peer has said HELLO here; 0 if never. */
extern uint32 shmem_hellos(NodeShared *node, uint32 peer);
/* Nothing that this node has written is to be taken; see pause.h. */
extern bool shmem_is_paused(NodeShared *node, uint32 peer);
extern void shmem_wake_sender(NodeShared *node);
extern void shmem_wake_apply(NodeShared *node);
extern void shmem_wake_consensus(NodeShared *node);
extern void shmem_wake_supervisor(void);

static inline uint64
shmem_max_u64(pg_atomic_uint64 *p, uint64 v)
{
	uint64 old = pg_atomic_read_u64(p);

	while (old < v && !pg_atomic_compare_exchange_u64(p, &old, v))
		;
	return old;
}

#endif
