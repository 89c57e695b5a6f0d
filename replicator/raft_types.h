/*
 * raft_types.h
 *		What the strong engine takes and gives: entries, messages, events,
 *		actions, options.
 *
 * The rules that go with them are in raft.h.
 */
#ifndef REP_RAFT_TYPES_H
#define REP_RAFT_TYPES_H

#include "arena.h"
#include "certify.h"
#include "stamp.h"
#include "vector.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum RepRaftRole
{
	REP_RAFT_FOLLOWER = 1,
	REP_RAFT_PRECANDIDATE,
	REP_RAFT_CANDIDATE,
	REP_RAFT_LEADER
} RepRaftRole;

typedef struct RepRaftMember
{
	uint32_t node; /* never 0 */
	bool voter;    /* false: a learner */
	bool witness;  /* keeps the log, applies nothing, leads only if it must */
} RepRaftMember;

typedef enum RepRaftEntryKind
{
	REP_ENTRY_NOOP = 1, /* the first of each term */
	REP_ENTRY_WRITE,    /* a strong transaction */
	REP_ENTRY_ABORT,    /* its stamp's transaction shall not be, unless it is;
						 * certified and noted for the keys that it claims */
	REP_ENTRY_CONFIG,   /* members from here on */
	REP_ENTRY_HORIZON   /* deps: what may be forgotten. No WRITE is logged behind
						 * it whose origin had not applied the log up to the
						 * strong position that it names */
} RepRaftEntryKind;

typedef struct RepRaftEntry
{
	uint64_t index;
	uint64_t term;
	RepStamp stamp;         /* of the transaction meant (WRITE, ABORT) */
	const RepVersion *deps; /* sorted by stream */
	const RepKey *keys;
	const RepRaftMember *members; /* CONFIG */
	uint64_t payload;             /* the host's handle, never looked at */
	uint32_t payload_size;        /* bytes, for batching */
	uint32_t ndeps;
	uint32_t nkeys;
	uint32_t nmembers;
	RepRaftEntryKind kind;
} RepRaftEntry;

/* The log up to and with `index` is replaced by the host's state at it. */
typedef struct RepRaftBase
{
	uint64_t index;
	uint64_t term;
	uint64_t floor; /* largest hlc of a stamp in what was replaced */
	const RepRaftMember *members;
	uint32_t nmembers;
	const RepVersion *horizon;
	uint32_t nhorizon;
} RepRaftBase;

typedef enum RepRaftMessageType
{
	REP_MSG_PREVOTE = 1,
	REP_MSG_PREVOTE_ANSWER,
	REP_MSG_VOTE,
	REP_MSG_VOTE_ANSWER,
	REP_MSG_APPEND,
	REP_MSG_APPEND_ANSWER,
	REP_MSG_HEARTBEAT,
	REP_MSG_HEARTBEAT_ANSWER,
	REP_MSG_HELD,
	REP_MSG_SNAPSHOT,
	REP_MSG_CAMPAIGN, /* leader to its successor: stand for election now */
	REP_MSG_PROPOSE,
	REP_MSG_VERDICT,
	REP_MSG_READ,
	REP_MSG_READ_ANSWER,
	REP_MSG_RELAY, /* committed entries, from any member */
	REP_MSG_LAST = REP_MSG_RELAY
} RepRaftMessageType;

typedef enum RepRaftVerdict
{
	REP_VERDICT_COMMITTED = 1, /* in the log at `index`, for ever */
	REP_VERDICT_ABORTED,       /* an ABORT entry came first */
	/* refused, definitely: */
	REP_VERDICT_CONFLICT, /* `key` was written at `index` */
	REP_VERDICT_OLD_BASE, /* base of `key` is below what is remembered */
	REP_VERDICT_SKEWED,   /* the stamp is too far ahead of the leader's clock */
	REP_VERDICT_HORIZON,  /* its origin is behind the horizon */
	REP_VERDICT_NOT_HELD, /* no majority came to hold the deps in time */
	REP_VERDICT_BUSY,     /* a queue is full */
	REP_VERDICT_TOO_LARGE,
	REP_VERDICT_NO_LEADER, /* nothing was sent */
	/* not decided here: */
	REP_VERDICT_OLD_STAMP, /* look it up in what was applied, else ABORT it */
	REP_VERDICT_LAST = REP_VERDICT_OLD_STAMP
} RepRaftVerdict;

/* One struct for all types; a field not named by the type is zero. */
typedef struct RepRaftMessage
{
	RepRaftMessageType type;
	uint32_t from;
	uint32_t to;
	uint64_t term;     /* the sender's */
	uint64_t index;    /* VOTE: last; APPEND: previous; answers: match or hint;
					 * READ_ANSWER, VERDICT: the index told */
	uint64_t log_term; /* term of the entry at `index` */
	uint64_t commit;
	uint64_t id;           /* PREVOTE: the term asked for; HEARTBEAT: round;
				  * READ, PROPOSE, VERDICT: the asker's ticket */
	uint64_t sent_ms;      /* HEARTBEAT: leader's clock, echoed */
	uint64_t held_version; /* to a follower: newest known; from it: its */
	uint64_t applied;      /* answers: applied (a witness: held) up to here */
	uint64_t hint; /* APPEND_ANSWER that rejects: the append's `index`; else
					* its last entry, above `index` if there was no room */
	bool reject;
	bool transfer;  /* VOTE: the leader itself asked for this election */
	bool want_held; /* proposals wait for deps: tell each change at once */
	RepRaftVerdict verdict;
	RepStamp stamp;
	uint64_t key;
	const RepVersion *held; /* NULL: not told, nothing new */
	uint32_t nheld;
	uint32_t nentries;
	const RepRaftEntry *entries; /* PROPOSE: one, index and term unset */
	const RepRaftBase *base;     /* SNAPSHOT */
} RepRaftMessage;

typedef enum RepRaftChangeKind
{
	REP_CHANGE_ADD = 1, /* as a learner */
	REP_CHANGE_PROMOTE, /* a learner becomes a voter */
	REP_CHANGE_REMOVE
} RepRaftChangeKind;

typedef enum RepRaftEventType
{
	REP_EV_TICK = 1,
	REP_EV_MESSAGE,     /* message */
	REP_EV_PROPOSE,     /* proposal; again with the same stamp: resubmit */
	REP_EV_FORGET,      /* proposal->stamp: its client waits no more */
	REP_EV_READ,        /* id: the host's name for the reader */
	REP_EV_READ_CANCEL, /* id */
	REP_EV_PERSISTED,   /* id: every persist numbered <= id is durable */
	/* held: what this node now holds durably. A closed stream leaves it only
	 * after no proposal can name it. */
	REP_EV_HELD,
	REP_EV_APPLIED,   /* index: durably applied up to here */
	REP_EV_COMPACT,   /* index: replace the log up to here, <= applied */
	REP_EV_INSTALLED, /* base: the host's state is now this one */
	REP_EV_CHANGE,    /* node, change, witness */
	REP_EV_HORIZON,   /* held: a new horizon to put into the log. Every member
					   * had all of it before the entry at its strong position
					   * was appended */
	REP_EV_TRANSFER,  /* node: lead instead of us; 0: the best one */
	REP_EV_RELAY,     /* node, index: send it what is committed above index */
	REP_EV_DISK       /* healthy: whether persisting works */
} RepRaftEventType;

typedef struct RepRaftEvent
{
	RepRaftEventType type;
	bool more; /* another event follows at once: appends may wait for it */
	bool healthy;
	bool witness;
	RepRaftChangeKind change;
	uint32_t node;
	uint64_t now_ms;  /* a clock that never jumps */
	uint64_t wall_ms; /* the wall clock, only to judge stamps; 0: as before */
	uint64_t id;
	uint64_t index;
	const RepRaftMessage *message;
	const RepRaftEntry *proposal;
	const RepVersion *held;
	uint32_t nheld;
	const RepRaftBase *base;
} RepRaftEvent;

typedef enum RepRaftActionType
{
	REP_ACT_PERSIST_STATE = 1, /* term, vote */
	REP_ACT_PERSIST_ENTRIES,   /* cut the log from `index` on, then entries */
	REP_ACT_PERSIST_BASE,      /* base; the log up to base->index may go. After
						   * an install nothing of the old log remains */
	REP_ACT_SEND,              /* message; payloads are the host's to add */
	REP_ACT_COMMIT,            /* apply up to index */
	REP_ACT_READ_READY,  /* reader id: wait until index is applied, then read */
	REP_ACT_READ_FAILED, /* reader id: too many wait */
	REP_ACT_VERDICT,     /* of our own proposal: stamp, verdict, index, key */
	REP_ACT_DROP, /* a proposal held here is forgotten without verdict: stamp */
	REP_ACT_INSTALL,     /* fetch the state of message->from at base, then say
					  * REP_EV_INSTALLED */
	REP_ACT_LEADER,      /* node (0: none), term, role: who leads now */
	REP_ACT_CHANGE_DONE, /* ok, node: whether the change entered the log */
	REP_ACT_LAST = REP_ACT_CHANGE_DONE
} RepRaftActionType;

typedef struct RepRaftAction
{
	RepRaftActionType type;
	bool ok;
	bool install; /* PERSIST_BASE: the whole log is replaced */
	RepRaftRole role;
	RepRaftVerdict verdict;
	uint32_t node;
	uint32_t vote;
	uint32_t nentries;
	uint64_t after;   /* persists that must be durable before; 0: none */
	uint64_t persist; /* PERSIST_*: its number */
	uint64_t term;
	uint64_t index;
	uint64_t id;
	uint64_t key;
	RepStamp stamp;
	const RepRaftEntry *entries;
	const RepRaftBase *base;
	const RepRaftMessage *message;
} RepRaftAction;

typedef struct RepRaftActions
{
	RepRaftAction *items;
	uint32_t n;
} RepRaftActions;

typedef struct RepRaftOptions
{
	uint32_t node;
	uint64_t seed;
	uint64_t ticket_base;
	uint32_t heartbeat_ms;
	uint32_t election_ms;  /* least; a timer is up to twice this */
	uint32_t held_wait_ms; /* how long a proposal may wait for its deps */
	uint32_t retry_ms;     /* reads are asked again, lost appends sent again */
	uint32_t snapshot_ms;  /* a snapshot not answered is offered again */
	uint64_t max_skew_ms;
	bool lease;
	uint32_t lease_drift_percent;
	uint32_t max_members;
	uint32_t max_streams;
	uint32_t log_entries; /* a power of two */
	uint32_t log_bytes;   /* of deps, keys and members in the log */
	uint32_t max_waiting;
	uint32_t waiting_bytes;
	uint32_t max_pending; /* own proposals without verdict */
	uint32_t max_reads;   /* of this node; the leader queues as many askers */
	uint32_t max_keys;    /* key writes remembered for certification */
	uint32_t max_uncommitted; /* entries */
	uint32_t batch_entries;
	uint32_t batch_bytes;
	uint32_t max_inflight; /* appends under way to one member */
} RepRaftOptions;

/* What strong_status shows. Pointers are valid until the next step. */
typedef struct RepRaftStatus
{
	RepRaftRole role;
	uint32_t node;
	uint32_t leader; /* 0: none known */
	uint64_t term;
	uint64_t first;
	uint64_t last;
	uint64_t commit;
	uint64_t applied;
	uint64_t config_index;
	uint32_t nwaiting; /* proposals outside the log */
	uint32_t npending;
	bool established; /* leader with an own-term entry committed */
	bool want_held;   /* proposals wait for what members come to hold */
	uint32_t log_used; /* percent of the room for the log */
	const RepRaftMember *members;
	uint32_t nmembers;
} RepRaftStatus;

#endif
