/*
 * sim.h
 *		A whole cluster of strong engines in one process, from one seed.
 *
 * Virtual time; a network that loses, delays, reorders, doubles and cuts one
 * way; disks that forget or tear what was not synced; clocks that drift and
 * jump; clients that write and read strong registers and write eventual
 * transactions. Checkers look at every step.
 *
 * An episode is one cluster from birth to rest; its seed alone decides
 * everything in it.
 */
#ifndef SIM_H
#define SIM_H

#include "arena.h"
#include "prng.h"
#include "raft.h"
#include "raft_message.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_NODES 7 /* ids 1..7 */
#define SIM_STREAMS 40
#define SIM_REGISTERS 8
#define SIM_CLIENTS 3 /* a node */
#define SIM_LOG 4096  /* entries of one episode */
#define SIM_TERMS 4096
#define SIM_OPS 16384
#define SIM_EVENTUAL 400  /* transactions of one stream */
#define SIM_MESSAGE 4096  /* bytes of one message at most */
#define SIM_INFLIGHT 4096 /* messages under way at most */
#define SIM_HEAP 16384
#define SIM_PERSISTS 512 /* not yet durable, of one node */
#define SIM_OUTBOX 1024
#define SIM_READS 16

#define MS UINT64_C(1000) /* virtual time counts microseconds */
#define SECOND (1000 * MS)

/* what nobody told may be applied: see sim_host.c */
typedef struct SimOp SimOp;

typedef enum SimOpState
{
	OP_OPEN,
	OP_ACKED,   /* its client was told: committed */
	OP_REFUSED, /* its client was told: definitely not */
	OP_ABORTED, /* its client was told: aborted by an ABORT entry */
	OP_UNKNOWN  /* nobody waits any more */
} SimOpState;

/* One strong transaction. */
struct SimOp
{
	RepStamp stamp;
	uint32_t id;
	uint32_t node;
	uint32_t nregisters;
	uint32_t registers[2];
	uint64_t seen[2]; /* version of each that it read */
	uint64_t base;
	uint64_t floor[2]; /* newest version known complete when it began */
	RepVersion deps[SIM_STREAMS + 1];
	uint32_t ndeps;
	RepKey keys[3];
	uint32_t nkeys;
	bool skewed;
	bool orphan; /* its node went down; anybody may resolve it */
	SimOpState state;
	uint64_t commit_index; /* of its WRITE; 0: none */
	uint64_t abort_index;  /* of its first ABORT */
	uint64_t told_index;   /* what the client was told */
	uint64_t begun;
};

typedef struct SimEventual
{
	uint32_t deps[SIM_STREAMS];
	uint64_t strong; /* strong index its node had applied */
	bool lost;
} SimEventual;

typedef struct SimStream
{
	uint32_t node;
	uint32_t boot;
	uint32_t length;
	SimEventual *transactions; /* [SIM_EVENTUAL + 1], from 1 */
} SimStream;

/* one entry as disks and checkers know it */
typedef struct SimEntry
{
	uint64_t term;
	uint64_t prev_term;
	uint32_t op;
	RepRaftEntryKind kind;
	uint32_t nmembers;
	RepRaftMember members[SIM_NODES];
} SimEntry;

typedef struct SimBase
{
	RepRaftBase base;
	RepRaftMember members[SIM_NODES];
} SimBase;

/* what the host keeps in tables: strong state and eventual streams */
typedef struct SimState
{
	uint64_t applied;
	uint64_t versions[SIM_REGISTERS];
	uint32_t seen[SIM_STREAMS];
} SimState;

typedef enum SimPersistKind
{
	PERSIST_STATE,
	PERSIST_CUT, /* cut from index on */
	PERSIST_ENTRY,
	PERSIST_BASE,
	PERSIST_INSTALL
} SimPersistKind;

typedef struct SimPersist
{
	SimPersistKind kind;
	uint64_t number;
	uint64_t index;
	uint64_t term;
	uint32_t vote;
	SimEntry entry;
	SimBase base;
	SimState *state; /* INSTALL; the node's slot */
} SimPersist;

typedef struct SimDisk
{
	uint64_t term;
	uint32_t vote;
	SimBase base;
	uint64_t last;
	SimEntry *log; /* [SIM_LOG] */
	SimState state;
} SimDisk;

typedef struct SimDeferred
{
	uint64_t after;
	uint64_t commit; /* 0: it is a message */
	uint32_t message;
} SimDeferred;

typedef enum SimClientState
{
	CLIENT_IDLE,
	CLIENT_WRITES,
	CLIENT_APPLIES,    /* committed, not yet applied here */
	CLIENT_READS,      /* waits for a read index */
	CLIENT_CATCHES_UP, /* waits to have applied it */
	CLIENT_RESOLVES    /* abort unless present */
} SimClientState;

typedef struct SimClient
{
	SimClientState state;
	uint32_t op;
	uint32_t tries;
	uint64_t read_id;
	uint64_t read_index;
	uint32_t read_register;
	uint64_t read_floor; /* newest version complete when it began */
	uint64_t deadline;
	uint64_t serial; /* of its newest timer */
} SimClient;

typedef struct SimNode
{
	uint32_t id;
	bool exists; /* was started once */
	bool up;
	bool dead; /* for ever */
	bool disk_bad;
	uint32_t boot;
	uint32_t stream;
	uint64_t paused_until;
	uint64_t rate; /* of its steady clock, ppm of true time */
	uint64_t steady_offset;
	int64_t wall_offset_ms;
	uint64_t hlc;
	uint64_t ticket_base;

	RepRaft *engine;
	uint8_t *memory;
	size_t memory_size;
	SimDisk disk;
	SimState now;
	SimState install;     /* being persisted */
	bool install_pending; /* given to the disk, not durable yet */
	SimBase fetch;        /* the snapshot being fetched */
	uint32_t fetch_seen[SIM_STREAMS];
	uint64_t known_commit; /* may be applied */

	SimEntry *mirror; /* the log as last persisted or being persisted */
	uint64_t mirror_last;
	uint64_t mirror_base;

	SimPersist *persists; /* a ring */
	uint32_t persist_head;
	uint32_t npersists;
	uint64_t persist_given;
	uint64_t persist_done;
	uint64_t disk_free_at;
	SimDeferred *outbox; /* a ring */
	uint32_t outbox_head;
	uint32_t noutbox;

	SimClient clients[SIM_CLIENTS];
	RepRaftRole role;
	uint32_t leader;
	uint64_t term;
	uint64_t told_commit;
	uint64_t read_serial;
	uint32_t urge; /* writes its clients are to begin at once */
} SimNode;

typedef enum SimEventKind
{
	SIM_DELIVER,
	SIM_TICK,
	SIM_SYNC,
	SIM_CLIENT,
	SIM_FLUSH,
	SIM_OFFER,
	SIM_RESTART,
	SIM_FAULT,
	SIM_FALL,
	SIM_HEAL,
	SIM_INSTALL,
	SIM_OPERATOR
} SimEventKind;

typedef struct SimEvent
{
	uint64_t at;
	uint64_t order;
	SimEventKind kind;
	uint32_t node;
	uint32_t arg;
	uint64_t serial;
} SimEvent;

typedef enum SimMessageKind
{
	MESSAGE_ENGINE,
	MESSAGE_OFFER
} SimMessageKind;

typedef struct SimMessage
{
	SimMessageKind kind;
	uint32_t from;
	uint32_t to;
	uint32_t size;
	uint32_t copies;
	uint32_t next_free;
	uint64_t term; /* of its sender */
	uint32_t nops;
	uint32_t ops[64];           /* payloads of the entries, in their order */
	uint32_t seen[SIM_STREAMS]; /* OFFER; SNAPSHOT: what the source holds */
	uint64_t snapshot_applied;
	uint8_t bytes[SIM_MESSAGE];
} SimMessage;

typedef struct SimCommitted
{
	SimEntry entry;
	uint64_t commit_term; /* term of whoever told first */
	bool known;
} SimCommitted;

#define SIM_MATCHES 65536

typedef struct SimMatch
{
	uint64_t key;
	uint64_t content;
} SimMatch;

typedef struct SimCounts
{
	uint64_t steps;
	uint64_t episodes;
	uint64_t elections;
	uint64_t commits;
	uint64_t conflicts;
	uint64_t crashes;
	uint64_t blackouts;
	uint64_t torn;
	uint64_t cuts;
	uint64_t reads;
	uint64_t lease_reads;
	uint64_t acks;
	uint64_t resubmits;
	uint64_t duplicates;
	uint64_t aborts;
	uint64_t skewed;
	uint64_t not_held;
	uint64_t old_bases;
	uint64_t old_stamps;
	uint64_t unknowns;
	uint64_t transfers;
	uint64_t changes;
	uint64_t snapshots;
	uint64_t compactions;
	uint64_t relays;
	uint64_t pauses;
	uint64_t jumps;
	uint64_t eventual;
	uint64_t messages;
	uint64_t lost;
} SimCounts;

typedef struct Sim
{
	uint64_t seed;
	RepPrng prng;
	uint64_t now;
	uint64_t order;
	bool trace;
	bool quiet_phase; /* no more faults: everything must come to rest */
	uint64_t step_limit;
	uint64_t steps;

	/* this episode's weather */
	uint32_t loss; /* permille */
	uint32_t doubling;
	uint64_t delay;
	uint64_t disk_delay;
	uint64_t think;
	uint64_t fault_every;
	bool lease;
	bool steady_jumps;
	uint32_t first_voters;
	uint32_t batch_entries;
	uint32_t max_inflight;
	bool slow_votes;  /* votes travel long, and voters fall after them */
	bool figure8;     /* leaders fall between two of their first appends */
	bool lease_probe; /* leaders are cut from one follower, little is logged */
	uint64_t fall_within; /* of becoming leader */
	uint32_t kill_share;  /* permille of new leaders that soon fall */
	uint32_t write_share; /* permille of client operations */

	SimEvent *heap;
	uint32_t nheap;
	SimMessage *messages;
	uint32_t free_message;
	bool cut[SIM_NODES + 1][SIM_NODES + 1];

	SimNode nodes[SIM_NODES + 1];
	RepArena step_arena;
	RepArena decode_arena;

	SimOp *ops;
	uint32_t nops;
	SimStream streams[SIM_STREAMS];
	uint32_t nstreams;
	uint32_t sorted[SIM_STREAMS]; /* streams by (node, boot) */
	const SimMessage *delivering;
	bool last_write_acked; /* of the quiet phase */

	/* what the checkers know */
	SimCommitted *committed; /* [SIM_LOG] */
	uint64_t top;            /* newest index committed anywhere */
	uint32_t *leader_of;     /* term -> node */
	uint32_t *leader_boot;
	SimMatch *match; /* log matching: (index, term) -> content */
	uint64_t versions[SIM_REGISTERS]; /* after `top` */
	uint64_t complete[SIM_REGISTERS]; /* newest version known complete */
	RepRaftMember members[SIM_NODES]; /* of the newest committed config */
	uint32_t nmembers;
	SimCounts counts;
} Sim;

/* sim_main.c */
extern void sim_fail(Sim *sim, const char *checker, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
extern void sim_trace(Sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern uint64_t sim_below(Sim *sim, uint64_t bound);
extern bool sim_chance(Sim *sim, uint32_t permille);

/* sim_net.c */
extern void sim_schedule(Sim *sim, uint64_t at, SimEventKind kind,
						 uint32_t node, uint32_t arg, uint64_t serial);
extern bool sim_next(Sim *sim, SimEvent *ev);
extern SimMessage *sim_message_new(Sim *sim, uint32_t *slot);
extern void sim_message_free(Sim *sim, uint32_t slot);
extern void sim_message_send(Sim *sim, uint32_t slot);

/* sim_node.c */
extern void sim_node_start(Sim *sim, SimNode *n);
extern void sim_node_crash(Sim *sim, SimNode *n);
extern void sim_node_step(Sim *sim, SimNode *n, RepRaftEvent *ev);
extern void sim_node_sync(Sim *sim, SimNode *n);
extern void sim_node_deliver(Sim *sim, SimNode *n, uint32_t slot);
extern uint64_t sim_steady_ms(const Sim *sim, const SimNode *n);
extern uint64_t sim_wall_ms(const Sim *sim, const SimNode *n);
extern void sim_options(const Sim *sim, const SimNode *n, RepRaftOptions *o);

/* sim_disk.c */
extern void sim_disk_give(Sim *sim, SimNode *n, const RepRaftAction *a);
extern void sim_disk_done(Sim *sim, SimNode *n, uint64_t upto);
extern void sim_disk_crash(Sim *sim, SimNode *n);
extern SimEntry sim_entry(const Sim *sim, const RepRaftEntry *e,
						  uint64_t prev_term);

/* sim_host.c */
extern void sim_host_apply(Sim *sim, SimNode *n);
extern void sim_host_flush(Sim *sim, SimNode *n);
extern void sim_host_offer(Sim *sim, SimNode *n);
extern void sim_host_take_offer(Sim *sim, SimNode *n, const SimMessage *m);
extern void sim_host_eventual(Sim *sim, SimNode *n);
extern uint32_t sim_host_deps(const Sim *sim, const SimNode *n,
							  RepVersion *deps);
extern uint32_t sim_host_held(const Sim *sim, const SimNode *n,
							  RepVersion *held);
extern bool sim_host_covers(const Sim *sim, const uint32_t *seen,
							const SimOp *op);
extern void sim_host_install(Sim *sim, SimNode *n, const RepRaftBase *base,
							 const uint32_t *seen);
extern bool sim_new_stream(Sim *sim, SimNode *n);

/* sim_client.c */
extern void sim_client_act(Sim *sim, SimNode *n, uint32_t client);
extern void sim_client_verdict(Sim *sim, SimNode *n, const RepRaftAction *a);
extern void sim_client_read_ready(Sim *sim, SimNode *n, uint64_t id,
								  uint64_t index);
extern void sim_client_applied(Sim *sim, SimNode *n);
/* Somebody leads now: who waits for a verdict asks again soon. */
extern void sim_client_leader(Sim *sim, SimNode *n);
extern void sim_client_crash(Sim *sim, SimNode *n);
extern void sim_client_begin(Sim *sim, SimNode *n);

/* sim_fault.c */
extern void sim_fault(Sim *sim);
extern void sim_fall(Sim *sim, const SimEvent *ev);
extern void sim_heal(Sim *sim);
extern void sim_operator(Sim *sim);
extern SimNode *sim_leader(Sim *sim);

/* one file a checker */
extern void check_election(Sim *sim, SimNode *n);
extern void check_matching(Sim *sim, SimNode *n, uint64_t index,
						   const SimEntry *e);
extern void check_leader(Sim *sim, SimNode *n);
extern void check_machine(Sim *sim, SimNode *n, uint64_t upto);
extern void check_durable(Sim *sim, SimNode *n, uint64_t index);
extern void check_durable_term(Sim *sim, const SimNode *n, uint64_t term);
extern void check_durable_at_rest(Sim *sim);
extern void check_deps(Sim *sim, SimNode *n, uint64_t index);
extern void check_once_committed(Sim *sim, uint64_t index);
extern void check_once_told(Sim *sim, SimOp *op, RepRaftVerdict verdict,
							uint64_t index);
extern void check_once_at_rest(Sim *sim);
extern void check_winner(Sim *sim, SimNode *n, uint64_t index);
extern void check_linear_write(Sim *sim, SimOp *op);
extern void check_linear_read(Sim *sim, SimNode *n, uint32_t reg,
							  uint64_t floor);
extern void check_causal_strong(Sim *sim, SimNode *n, const SimOp *op);
extern void check_causal_eventual(Sim *sim, SimNode *n, uint32_t stream,
								  uint32_t position);

#endif
