/*
 * raft_core.h
 *		The inside of one engine, shared by the raft_* files only.
 *
 * Who does what: raft_election.c wins or loses elections; raft_catchup.c
 * replaces logs, raft_replicate.c moves entries; raft_propose.c takes
 * proposals in and gives verdicts; raft_read.c finds read indexes;
 * raft_member.c changes members and hands leadership over. None of them calls
 * another, but replicate catchup: what one changes that another must look at,
 * it marks, and raft.c, above them, follows up at the end of the step.
 */
#ifndef REP_RAFT_CORE_H
#define REP_RAFT_CORE_H

#include "certify.h"
#include "prng.h"
#include "raft_bug.h"
#include "raft_log.h"
#include "raft_progress.h"
#include "raft_quorum.h"
#include "raft_ring.h"
#include "raft_stamps.h"
#include "raft_types.h"

/* A proposal that waits outside the log. */
typedef struct RepRaftWaiting
{
	RepRaftEntry entry; /* its body lies in the waiting ring */
	uint64_t at;        /* position there */
	uint32_t from;
	uint64_t ticket;
	uint64_t since_ms;
	bool live; /* false: answered, its room not yet given back */
} RepRaftWaiting;

/* A reader of this node. */
typedef struct RepRaftReader
{
	uint64_t id;     /* the host's */
	uint64_t ticket; /* of the try it is part of; 0: not yet asked */
} RepRaftReader;

/* Somebody who asked this leader for a read index. */
typedef struct RepRaftAsker
{
	uint32_t from;
	uint64_t ticket;
	uint64_t index; /* to be told; 0: nothing of this term is committed yet */
	uint64_t round; /* a majority answering this round confirms it */
} RepRaftAsker;

/* An own proposal without verdict. */
typedef struct RepRaftPending
{
	RepStamp stamp;
	uint64_t ticket; /* newest; 0: the slot is free */
} RepRaftPending;

typedef struct RepRaft
{
	RepRaftOptions o;

	/* durable, as soon as `state_persist` is */
	uint64_t term;
	uint32_t vote;
	uint64_t state_persist; /* number of the newest persist of the two */

	uint64_t persist; /* newest persist number given */
	uint64_t durable; /* newest known durable */
	RepRaftLog log;
	uint64_t commit;
	uint64_t applied; /* durably, by the host */

	/* the base's own copy of what it names */
	uint64_t floor;
	RepVector base_horizon;
	RepRaftMember *base_members;
	uint32_t nbase_members;

	RepRaftMember *members; /* in force: of the newest config in the log */
	uint32_t nmembers;
	uint64_t config_index;
	RepRaftProgress *progress; /* max_members slots, of members or free */
	RepRaftProgress *self;     /* our own slot; NULL: not a member */

	RepRaftRole role;
	uint32_t leader;
	uint64_t term_start; /* LEADER: index of our first entry */
	uint64_t now_ms;
	uint64_t wall_ms;
	uint64_t election_at_ms;
	uint64_t contact_ms; /* when we last heard from a leader, or started */
	uint64_t heartbeat_at_ms;
	uint64_t round; /* newest heartbeat round */
	bool disk_bad;
	bool transfer_vote; /* this candidacy was asked for by the leader */
	bool self_voted;    /* our own vote is durable, and counted */
	uint64_t self_vote_persist;
	RepPrng prng;

	/* leadership being handed over */
	uint32_t transfer_to; /* 0: no */
	uint64_t transfer_until_ms;
	bool campaign_sent; /* in this term; the message may arrive at any time */

	/* what this node holds */
	RepVector held;
	uint64_t held_version;
	bool leader_wants_held;
	uint64_t ticket; /* newest given out */

	/* proposals */
	RepCertify certify;      /* LEADER */
	RepRaftStamps logged;    /* LEADER: stamp -> index, of the whole log */
	RepVector horizon;       /* LEADER: the newest in the log */
	RepRaftWaiting *waiting; /* a ring, in order of arrival */
	uint32_t waiting_head;
	uint32_t nwaiting; /* slots in use, live or not */
	uint32_t live_waiting;
	RepRaftRing waiting_bodies;
	RepRaftStamps pending_slots; /* stamp -> slot + 1 */
	RepRaftPending *pending;
	uint32_t npending;

	/* reads */
	RepRaftReader *readers;
	uint32_t nreaders;
	uint64_t read_ticket; /* the try under way; 0: none */
	uint64_t read_sent_ms;
	RepRaftAsker *askers;
	uint32_t naskers;

	/* a snapshot being fetched by the host */
	uint64_t installing; /* its index; 0: none */
	uint64_t installing_since_ms;

	/* marks: what the end of the step has to look at again */
	bool leader_news;
	bool lost_lead;
	bool term_begins;
	bool want_round; /* of heartbeats, now */
	bool recheck_commit;
	bool recheck_waiting;
	bool recheck_reads;
	bool recheck_transfer;
	uint64_t settled; /* committed entries up to here were looked at */

	/* scratch of the step under way */
	RepArena *arena;
	RepRaftAction *items;
	uint32_t nitems;
	uint32_t max_items;
	uint64_t dirty_from; /* log changed from here on; 0: no */
	bool dirty_cut;
	bool dirty_state;
	uint64_t told_commit;
	uint64_t *scratch; /* max_members values */
	RepRaftBase base_scratch;
} RepRaft;

extern RepRaftAction *rep_raft_act(RepRaft *r, RepRaftActionType type);
/* A message from us, zero but for type, from, to and term; not sent yet. */
extern RepRaftMessage *rep_raft_message(RepRaft *r, RepRaftMessageType type,
										uint32_t to);
/* Sends it once every persist up to `after` is durable. */
extern void rep_raft_send(RepRaft *r, const RepRaftMessage *m, uint64_t after);
/* Gives the changes of term, vote and log so far to the host, numbered. */
extern void rep_raft_flush(RepRaft *r);
extern void rep_raft_set_state(RepRaft *r, uint64_t term, uint32_t vote);
extern void rep_raft_become_follower(RepRaft *r, uint64_t term,
									 uint32_t leader);
extern void rep_raft_reset_election_timer(RepRaft *r);
/* False when the log has no room. */
extern bool rep_raft_append_entry(RepRaft *r, const RepRaftEntry *e);
/* Removes uncommitted entries from `from` on. */
extern void rep_raft_cut_log(RepRaft *r, uint64_t from);
extern void rep_raft_set_commit(RepRaft *r, uint64_t commit);
/* We lead, and an entry of our term is committed. */
extern bool rep_raft_established(const RepRaft *r);

extern const RepRaftMember *rep_raft_member(const RepRaft *r, uint32_t node);
extern RepRaftProgress *rep_raft_progress_of(const RepRaft *r, uint32_t node);
extern bool rep_raft_is_voter(const RepRaft *r, uint32_t node);
extern uint32_t rep_raft_voters(const RepRaft *r);
extern void rep_raft_set_members(RepRaft *r, const RepRaftMember *m, uint32_t n,
								 uint64_t index);
/* The members that the log, or else the base, says. */
extern void rep_raft_reload_members(RepRaft *r);
extern bool rep_raft_members_valid(const RepRaftMember *m, uint32_t n,
								   uint32_t most);

/* Bounds and sense of what somebody else made. */
extern bool rep_raft_entry_valid(const RepRaft *r, const RepRaftEntry *e);
extern bool rep_raft_entries_valid(const RepRaft *r, const RepRaftMessage *m);
extern uint64_t rep_raft_take_entries(RepRaft *r, const RepRaftMessage *m);
/* Every dep of e but the strong one is met. */
extern bool rep_raft_holds(const RepVector *held, const RepRaftEntry *e);
/* What we hold goes along, unless version `known` is the newest. */
extern void rep_raft_fill_held(RepRaft *r, RepRaftMessage *m, uint64_t known);
/* The state at index, base <= index <= commit; points into r. */
extern void rep_raft_fill_base(RepRaft *r, RepRaftBase *base, uint64_t index);

#endif
