/*
 * sim_fault.c
 *		What goes wrong, and the operator who changes the members meanwhile.
 */
#include "sim.h"

#include <string.h>

static SimNode *
any_node(Sim *sim)
{
	SimNode *n = &sim->nodes[1 + sim_below(sim, SIM_NODES)];

	return n->exists && n->up ? n : NULL;
}

/* The node that leads the newest term, as it thinks itself. */
SimNode *
sim_leader(Sim *sim)
{
	SimNode *best = NULL;

	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		SimNode *n = &sim->nodes[i];

		if (n->up && n->role == REP_RAFT_LEADER &&
			(best == NULL || n->term > best->term))
			best = n;
	}
	return best;
}

static void
crash_for(Sim *sim, SimNode *n, uint64_t down)
{
	/* a restart needs a stream of its own */
	if (n == NULL || sim->nstreams + SIM_NODES >= SIM_STREAMS)
		return;
	sim_node_crash(sim, n);
	sim_schedule(sim, sim->now + down, SIM_RESTART, n->id, n->boot, 0);
}

static void
crash(Sim *sim, SimNode *n)
{
	crash_for(sim, n, 20 * MS + sim_below(sim, 2 * SECOND));
}

static void
blackout(Sim *sim)
{
	if (sim->nstreams + 2 * SIM_NODES >= SIM_STREAMS)
		return;
	sim->counts.blackouts++;
	for (uint32_t i = 1; i <= SIM_NODES; i++)
		if (sim->nodes[i].up)
			crash(sim, &sim->nodes[i]);
}

static void
cut_pair(Sim *sim)
{
	uint32_t a = 1 + (uint32_t) sim_below(sim, SIM_NODES);
	uint32_t b = 1 + (uint32_t) sim_below(sim, SIM_NODES);

	sim->cut[a][b] = true;
	if (sim_chance(sim, 400))
		sim->cut[b][a] = true;
}

/* Nobody hears `id`, it hears nobody, or both. */
static void
cut_node(Sim *sim, uint32_t id)
{
	bool in = sim_chance(sim, 700);
	bool out = !in || sim_chance(sim, 600);

	for (uint32_t i = 1; i <= SIM_NODES; i++)
	{
		if (in)
			sim->cut[i][id] = true;
		if (out)
			sim->cut[id][i] = true;
	}
}

static void
cut_halves(Sim *sim)
{
	uint64_t side = sim_below(sim, 1 << SIM_NODES);

	for (uint32_t a = 1; a <= SIM_NODES; a++)
		for (uint32_t b = 1; b <= SIM_NODES; b++)
			if ((side >> (a - 1) & 1) != (side >> (b - 1) & 1))
				sim->cut[a][b] = true;
}

/* A voter and the leader do not hear each other; both hear the rest. */
static void
cut_leader_from_one(Sim *sim, uint32_t leader)
{
	uint32_t b = sim->members[sim_below(sim, sim->nmembers)].node;
	RepRaftEvent ev = { .type = REP_EV_TRANSFER, .node = b };

	/* asked to stand just before, it may do so much later */
	if (sim->lease_probe && sim_chance(sim, 500))
		sim_node_step(sim, &sim->nodes[leader], &ev);
	sim->cut[leader][b] = true;
	sim->cut[b][leader] = sim_chance(sim, 700);
}

/* A follower stands for election while the others still hear the leader. */
static void
probe_lease(Sim *sim)
{
	SimNode *leader = sim_leader(sim);

	sim_heal(sim);
	if (leader == NULL)
		return;
	sim->counts.cuts++;
	cut_leader_from_one(sim, leader->id);
	sim_schedule(sim, sim->now + 400 * MS + sim_below(sim, 300 * MS), SIM_HEAL,
				 0, 0, 0);
}

static void
cut(Sim *sim)
{
	SimNode *leader = sim_leader(sim);
	uint32_t dice = (uint32_t) sim_below(sim, 12);

	sim->counts.cuts++;
	if (dice >= 10 && leader != NULL)
		cut_leader_from_one(sim, leader->id);
	else if (dice < 3)
		cut_pair(sim);
	else if (dice < 6 && leader != NULL)
		cut_node(sim, leader->id);
	else if (dice < 7)
		cut_node(sim, 1 + (uint32_t) sim_below(sim, SIM_NODES));
	else
		cut_halves(sim);
	sim_trace(sim, "cut %u", dice);
	sim_schedule(sim, sim->now + 50 * MS + sim_below(sim, 2 * SECOND), SIM_HEAL,
				 0, 0, 0);
}

static void
pause_node(Sim *sim, SimNode *n)
{
	if (n == NULL)
		return;
	sim->counts.pauses++;
	n->paused_until = sim->now + 20 * MS + sim_below(sim, SECOND);
	sim_trace(sim, "node %u pauses", n->id);
}

static void
jump(Sim *sim, SimNode *n)
{
	if (n == NULL)
		return;
	sim->counts.jumps++;
	n->wall_offset_ms = (int64_t) sim_below(sim, 1000) - 500;
	/* a steady clock jumps only forward, and never under a lease */
	if (sim->steady_jumps && sim_chance(sim, 500))
		n->steady_offset += sim_below(sim, 2 * SECOND);
}

static void
disk_fails(Sim *sim, SimNode *n)
{
	RepRaftEvent ev = { .type = REP_EV_DISK };

	if (n == NULL)
		return;
	n->disk_bad = !n->disk_bad;
	ev.healthy = !n->disk_bad;
	sim_node_step(sim, n, &ev);
}

static void
relay(Sim *sim, SimNode *from)
{
	SimNode *to = any_node(sim);
	RepRaftEvent ev = { .type = REP_EV_RELAY };

	if (from == NULL || to == NULL || from == to)
		return;
	sim->counts.relays++;
	ev.node = to->id;
	ev.index = to->told_commit;
	sim_node_step(sim, from, &ev);
}

static void
transfer(Sim *sim)
{
	SimNode *n = sim_leader(sim);
	RepRaftEvent ev = { .type = REP_EV_TRANSFER };

	if (n == NULL)
		return;
	sim->counts.transfers++;
	if (sim_chance(sim, 500))
		ev.node = 1 + (uint32_t) sim_below(sim, SIM_NODES);
	sim_node_step(sim, n, &ev);
}

/* Who has just won, or voted, goes down, or silent. */
void
sim_fall(Sim *sim, const SimEvent *ev)
{
	SimNode *n = &sim->nodes[ev->node];

	if (sim->quiet_phase || !n->up || n->boot != ev->arg)
		return;
	if (sim->slow_votes)
		crash_for(sim, n, 1 + sim_below(sim, 40 * MS));
	else if (sim_chance(sim, sim->figure8 ? 200 : 600))
		crash(sim, n);
	else
	{
		sim->counts.cuts++;
		cut_node(sim, ev->node);
		sim_schedule(sim, sim->now + 50 * MS + sim_below(sim, SECOND), SIM_HEAL,
					 0, 0, 0);
	}
}

void
sim_fault(Sim *sim)
{
	uint32_t dice = (uint32_t) sim_below(sim, 1000);

	if (sim->quiet_phase)
		return;
	if (sim->lease_probe && sim_chance(sim, 800))
		probe_lease(sim);
	else if (dice < 120)
		crash(sim, any_node(sim));
	else if (dice < 200)
		crash(sim, sim_leader(sim));
	else if (dice < 215)
		blackout(sim);
	else if (dice < 480)
		cut(sim);
	else if (dice < 600)
		pause_node(sim, any_node(sim));
	else if (dice < 650)
		pause_node(sim, sim_leader(sim));
	else if (dice < 760)
		jump(sim, any_node(sim));
	else if (dice < 800)
		disk_fails(sim, any_node(sim));
	else if (dice < 900)
		relay(sim, any_node(sim));
	else
		transfer(sim);
	sim_schedule(sim, sim->now + sim_below(sim, sim->fault_every), SIM_FAULT, 0,
				 0, 0);
}

void
sim_heal(Sim *sim)
{
	memset(sim->cut, 0, sizeof(sim->cut));
	sim_trace(sim, "heal");
}

static void
change(Sim *sim, SimNode *leader, RepRaftChangeKind kind, uint32_t node,
	   bool witness)
{
	RepRaftEvent ev = {
		.type = REP_EV_CHANGE, .change = kind, .node = node, .witness = witness
	};

	sim_trace(sim, "operator: change %d of node %u", kind, node);
	sim_node_step(sim, leader, &ev);
}

/* Adds, promotes or removes one member, if somebody leads. */
void
sim_operator(Sim *sim)
{
	SimNode *leader = sim_leader(sim);
	uint32_t dice = (uint32_t) sim_below(sim, 10);
	RepRaftStatus s;
	uint32_t voters = 0;

	if (sim->quiet_phase)
		return;
	sim_schedule(sim, sim->now + sim_below(sim, 3 * SECOND), SIM_OPERATOR, 0, 0,
				 0);
	if (leader == NULL)
		return;
	rep_raft_status(leader->engine, &s);
	for (uint32_t i = 0; i < s.nmembers; i++)
		voters += s.members[i].voter;
	/* twice at once, to see the second refused */
	for (uint32_t twice = 0; twice < 2; twice++)
		for (uint32_t i = 0; i < s.nmembers; i++)
			if (!s.members[i].voter && dice < 6)
			{
				change(sim, leader, REP_CHANGE_PROMOTE, s.members[i].node,
					   false);
				rep_raft_status(leader->engine, &s);
			}
	if (dice < 5)
	{
		for (uint32_t i = 1; i <= SIM_NODES; i++)
			if (!sim->nodes[i].exists && sim->nstreams < SIM_STREAMS)
			{
				sim_node_start(sim, &sim->nodes[i]);
				change(sim, leader, REP_CHANGE_ADD, i, sim_chance(sim, 250));
				break;
			}
	}
	else if (dice < 8 && voters > 2)
	{
		change(sim, leader, REP_CHANGE_REMOVE,
			   s.members[sim_below(sim, s.nmembers)].node, false);
		if (sim_chance(sim, 300))
			change(sim, leader, REP_CHANGE_REMOVE,
				   s.members[sim_below(sim, s.nmembers)].node, false);
	}
}
