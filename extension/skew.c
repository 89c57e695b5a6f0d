/*
 * skew.c
 *		See skew.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "guc.h"
#include "skew.h"
#include "wall.h"

/* a drift that is followed: one part in */
#define DRIFT_PART 10
/* how long a start waits for peers that neither answer nor fail */
#define START_WAIT_MS 3000
/* for how long after a start the first peer reached still decides */
#define PROBATION_MS 600000

PG_FUNCTION_INFO_V1(causaldb_accept_clock);

/* what the peers' clocks say of two times: ours, and the wall clock's */
typedef struct Votes
{
	int reached; /* peers whose clock is known */
	int pending; /* peers that have neither answered nor failed yet */
	int near_ours;
	int near_wall;
	int64 from_ours; /* distance of the nearest, ms */
	int64 from_wall;
	int64 nearest_base; /* the peer's that is nearest to ours */
	uint32 nearest_node;
} Votes;

/* ------------------------------------------------------------ peers */

static bool
is_in_this_server(const NodeShared *node, uint32 id)
{
	int i;

	for (i = 0; i < shmem_shared()->nnodes; i++)
	{
		NodeShared *other = shmem_node_at(i);

		if (OidIsValid(other->database) && other->cluster == node->cluster &&
			other->node_id == (int32) id)
			return true;
	}
	return false;
}

/* Apart by at least that much, as an answer may have been on its way. */
static int64
distance(const PeerStatus *peer, int64 base)
{
	int64 apart = peer->clock_base - base;

	return Max(0, Abs(apart) - peer->round_trip_us / 2000);
}

static void
count_peer(Votes *votes, const PeerStatus *peer, int64 ours, int64 wall)
{
	int64 from_ours = distance(peer, ours);
	int64 from_wall = distance(peer, wall);

	if (votes->reached == 0 || from_ours < votes->from_ours)
	{
		votes->from_ours = from_ours;
		votes->nearest_base = peer->clock_base;
		votes->nearest_node = peer->node;
	}
	if (votes->reached == 0 || from_wall < votes->from_wall)
		votes->from_wall = from_wall;
	votes->near_ours += from_ours <= guc_max_clock_skew;
	votes->near_wall += from_wall <= guc_max_clock_skew;
	votes->reached++;
}

static void
count_peers(Votes *votes, NodeShared *node, int64 ours, int64 wall)
{
	int i;

	LWLockAcquire(&node->lock, LW_SHARED);
	for (i = 0; i < REP_MAX_MEMBERS; i++)
	{
		PeerStatus *peer = &node->peers[i];

		if (peer->node == 0 || is_in_this_server(node, peer->node))
			continue;
		if (peer->state == LINK_UP && peer->last_answer != 0)
			count_peer(votes, peer, ours, wall);
		else if (peer->error[0] == '\0')
			votes->pending++;
	}
	LWLockRelease(&node->lock);
}

/* ------------------------------------------------------------ the wall */

static void
refuse_wall(WallRefusal why, int64 jump)
{
	CausalShared *shared = shmem_shared();

	if (shared->wall_refusal == why)
		return;
	if (shared->wall_refusal == WALL_FOLLOWED)
		shared->wall_refused_since = GetCurrentTimestamp();
	shared->wall_refusal = why;
	ereport(LOG,
			(errmsg("causaldb does not follow the wall clock of this server any more"),
			 why == WALL_JUMPED
				 ? errdetail("It has jumped by " INT64_FORMAT " ms against the time since boot.", jump)
				 : errdetail("It is further than causaldb.max_clock_skew from the clocks of all peers."),
			 errhint("Correct the clock. If it is right, type SELECT causaldb.accept_clock(); See causaldb.clock.")));
}

static void
follow_wall(int64 wall, int64 elapsed_ms)
{
	CausalShared *shared = shmem_shared();
	int64 creep = elapsed_ms / DRIFT_PART;
	int64 off = wall - shared->wall_reference;

	shared->wall_reference += Max(-creep, Min(creep, off));
	wall_set_base(wall);
	if (shared->wall_refusal != WALL_FOLLOWED)
		ereport(LOG, (errmsg("causaldb follows the wall clock of this server again")));
	shared->wall_refusal = WALL_FOLLOWED;
}

/* From here on the wall clock is right, whatever it was before. */
static void
accept_wall(int64 wall)
{
	shmem_shared()->wall_reference = wall;
	follow_wall(wall, 0);
}

/* Following would lose touch with the peers' clocks (invariant 1). */
static bool
leads_away(const Votes *votes)
{
	bool refused = shmem_shared()->wall_refusal == WALL_AWAY;

	if (votes->reached == 0)
		return refused;
	return votes->near_wall == 0 && (votes->near_ours > 0 || refused) &&
		   votes->from_wall > votes->from_ours;
}

static void
decide(int64 wall, const Votes *votes)
{
	CausalShared *shared = shmem_shared();
	uint64 now = wall_boot_ms();
	int64 elapsed = shared->wall_looked_at ? (int64) (now - shared->wall_looked_at) : 0;
	bool jumped = Abs(wall - shared->wall_reference) > guc_max_clock_skew;

	shared->wall_looked_at = now;
	if (jumped && votes->near_wall > 0 && votes->near_ours == 0)
	{
		ereport(LOG, (errmsg("causaldb accepts the wall clock of this server, as peers have the same time"),
					  errdetail("It has jumped by " INT64_FORMAT " ms against the time since boot.",
								wall - wall_base())));
		accept_wall(wall);
	}
	else if (jumped)
		refuse_wall(WALL_JUMPED, wall - wall_base());
	else if (leads_away(votes))
		refuse_wall(WALL_AWAY, wall - wall_base());
	else
		follow_wall(wall, elapsed);
}

void
skew_look(void)
{
	CausalShared *shared = shmem_shared();
	Votes votes = {0};
	int64 wall;
	int i;

	if (shared->wall_looked_at)
		wall_drift((int64) (wall_boot_ms() - shared->wall_looked_at));
	wall = wall_read_base();
	for (i = 0; i < shared->nnodes; i++)
	{
		NodeShared *node = shmem_node_at(i);

		if (pg_atomic_read_u32(&node->state) != NODE_OPEN)
			continue;
		count_peers(&votes, node, wall_base(), wall);
		/* the sender has, if it could start */
		if (wall_boot_ms() - node->opened_at > START_WAIT_MS)
			skew_judge(node);
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	decide(wall, &votes);
	LWLockRelease(&shared->lock);
}

/* ------------------------------------------------------------ trust */

/*
 * The base by which this node would be stamped: its clock may have come
 * ahead of the time, and stays there.
 */
static int64
stamping_base(NodeShared *node)
{
	int64 hlc_ms = (int64) rep_hlc_to_ms(pg_atomic_read_u64(&node->hlc));

	return Max(wall_base(), hlc_ms - (int64) wall_boot_ms());
}

/*
 * Both count. A start's mark is near the time whatever the clock says; a clock
 * that is behind leaves it standing there, until all peers look ahead.
 */
static Trust
judged(Trust trust, const Votes *votes, int64 since_start_ms)
{
	bool asked = votes->pending == 0 || since_start_ms > START_WAIT_MS;

	if (votes->near_ours > 0 && votes->near_wall > 0)
		return TRUST_GIVEN;
	if (votes->reached > 0)
		return asked ? TRUST_REFUSED : trust;
	if (trust == TRUST_WAITING && asked)
		return TRUST_ALONE;
	if (trust == TRUST_ALONE && since_start_ms > PROBATION_MS)
		return TRUST_GIVEN;
	return trust;
}

void
skew_judge(NodeShared *node)
{
	uint32 trust = pg_atomic_read_u32(&node->trust);
	Votes votes = {0};
	Trust now;

	if (trust == TRUST_GIVEN)
		return;
	count_peers(&votes, node, stamping_base(node), wall_base());
	now = judged((Trust) trust, &votes, (int64) (wall_boot_ms() - node->opened_at));
	if (now == (Trust) trust || !pg_atomic_compare_exchange_u32(&node->trust, &trust, now))
		return;
	if (now == TRUST_REFUSED)
		ereport(LOG,
				(errmsg("causaldb refuses writes to tagged tables, as this node's clock is not the cluster's"),
				 errdetail("%s", skew_detail(node)),
				 errhint("Correct the clock of this server. If it is right, type SELECT causaldb.accept_clock();")));
	else if (trust == TRUST_REFUSED)
		ereport(LOG, (errmsg("causaldb takes writes to tagged tables, as this node's clock is the cluster's now")));
}

char *
skew_detail(NodeShared *node)
{
	int64 ours = stamping_base(node);
	Votes votes = {0};
	int64 apart;

	count_peers(&votes, node, ours, wall_base());
	if (votes.from_wall > votes.from_ours)
	{
		votes = (Votes) {0};
		ours = wall_base();
		count_peers(&votes, node, ours, ours);
	}
	if (votes.reached == 0)
		return pstrdup("Its clock was further than causaldb.max_clock_skew from those of all peers that it could reach.");
	apart = ours - votes.nearest_base;
	return psprintf("Its clock is " INT64_FORMAT " ms %s that of node %u, the nearest of %d that it reaches; causaldb.max_clock_skew is %d ms.",
					Abs(apart), apart > 0 ? "ahead of" : "behind", votes.nearest_node, votes.reached,
					guc_max_clock_skew);
}

/* ------------------------------------------------------------ an operator */

/* causaldb.accept_clock() returns text: what was done */
Datum
causaldb_accept_clock(PG_FUNCTION_ARGS)
{
	CausalShared *shared = shmem_shared();
	NodeShared *node;
	uint32 trust;
	int64 wall;
	int64 moved;

	(void) fcinfo;
	if (!shmem_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no clock to accept"),
				 errdetail("The server was started without causaldb, so stamps follow the wall clock."),
				 errhint("Put shared_preload_libraries = 'causaldb' into postgresql.conf and restart the server.")));
	wall = wall_read_base();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	moved = wall - wall_base();
	accept_wall(wall);
	LWLockRelease(&shared->lock);

	node = shmem_find_node(MyDatabaseId);
	trust = node ? pg_atomic_exchange_u32(&node->trust, TRUST_GIVEN) : TRUST_GIVEN;
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(
		"The time of this server's nodes is that of its wall clock now, " INT64_FORMAT " ms %s it was before.%s "
		"Peers whose clock is behind by more than causaldb.max_clock_skew stall what this node writes; see causaldb.peers.",
		Abs(moved), moved < 0 ? "behind what" : "ahead of what",
		trust == TRUST_REFUSED ? " This node takes writes to tagged tables again." : "")));
}
