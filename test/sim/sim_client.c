/*
 * sim_client.c
 *		Clients: strong writes and reads, eventual writes, and what they do
 *		when the answer does not come.
 */
#include "sim.h"

#include <string.h>

static void
timer(Sim *sim, SimNode *n, SimClient *c, uint64_t in)
{
	c->serial++;
	sim_schedule(sim, sim->now + in, SIM_CLIENT, n->id,
				 (uint32_t) (c - n->clients) | n->boot << 8, c->serial);
}

static void
rest(Sim *sim, SimNode *n, SimClient *c)
{
	c->state = CLIENT_IDLE;
	timer(sim, n, c,
		  sim->quiet_phase ? 20 * MS : 1 + sim_below(sim, sim->think));
}

void
sim_client_begin(Sim *sim, SimNode *n)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		rest(sim, n, &n->clients[i]);
}

void
sim_client_crash(Sim *sim, SimNode *n)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
	{
		SimClient *c = &n->clients[i];

		if (c->state == CLIENT_WRITES || c->state == CLIENT_APPLIES ||
			c->state == CLIENT_RESOLVES)
		{
			sim->ops[c->op].state = OP_UNKNOWN;
			sim->ops[c->op].orphan = true;
			sim->counts.unknowns++;
		}
		c->state = CLIENT_IDLE;
		c->serial++;
	}
}

void
sim_client_leader(Sim *sim, SimNode *n)
{
	/* written at a new leader, while an old one may still trust its lease */
	if (sim->lease_probe && n->leader == n->id)
	{
		n->urge = SIM_CLIENTS;
		for (uint32_t i = 0; i < SIM_CLIENTS; i++)
			if (n->clients[i].state == CLIENT_IDLE)
				timer(sim, n, &n->clients[i], sim_below(sim, 5 * MS));
	}
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		if (n->clients[i].state == CLIENT_WRITES && sim_chance(sim, 700))
			timer(sim, n, &n->clients[i], sim_below(sim, 20 * MS));
}

static RepRaftEntry
proposal(const SimOp *op, RepRaftEntryKind kind)
{
	RepRaftEntry e;

	memset(&e, 0, sizeof(e));
	e.kind = kind;
	e.stamp = op->stamp;
	e.payload = op->id;
	if (kind == REP_ENTRY_ABORT)
		return e;
	e.deps = op->deps;
	e.ndeps = op->ndeps;
	e.keys = op->keys;
	e.nkeys = op->nkeys;
	e.payload_size = 100;
	return e;
}

static void
propose(Sim *sim, SimNode *n, const SimOp *op, RepRaftEntryKind kind)
{
	RepRaftEntry e = proposal(op, kind);
	RepRaftEvent ev = { .type = REP_EV_PROPOSE, .proposal = &e };

	ev.more = sim_chance(sim, 100);
	sim_node_step(sim, n, &ev);
}

static void
forget(Sim *sim, SimNode *n, const SimOp *op)
{
	RepRaftEntry e = proposal(op, REP_ENTRY_ABORT);
	RepRaftEvent ev = { .type = REP_EV_FORGET, .proposal = &e };

	sim_node_step(sim, n, &ev);
}

static void
choose_keys(Sim *sim, SimNode *n, SimOp *op)
{
	/* one hot register, so that there are conflicts */
	uint32_t first =
		sim_chance(sim, 300) ? 0 : (uint32_t) sim_below(sim, SIM_REGISTERS);

	op->nregisters = 1 + sim_chance(sim, 300);
	op->registers[0] = first;
	op->registers[1] =
		(first + 1 + (uint32_t) sim_below(sim, SIM_REGISTERS - 1)) %
		SIM_REGISTERS;
	op->nkeys = op->nregisters;
	for (uint32_t i = 0; i < op->nregisters; i++)
	{
		uint32_t reg = op->registers[i];

		op->keys[i].hash = 0x1000 + reg;
		op->keys[i].base = op->base;
		op->keys[i].mode =
			i == 1 && sim_chance(sim, 500) ? REP_KEY_SHARED : REP_KEY_EXCLUSIVE;
		op->seen[i] = n->now.versions[reg];
		op->floor[i] = sim->complete[reg];
	}
}

static void
begin_write(Sim *sim, SimNode *n, SimClient *c)
{
	SimOp *op = &sim->ops[sim->nops];

	if (sim->nops == SIM_OPS - 1)
	{
		rest(sim, n, c);
		return;
	}
	memset(op, 0, sizeof(*op));
	op->id = sim->nops++;
	op->node = n->id;
	n->hlc = rep_hlc_next(n->hlc, sim_wall_ms(sim, n));
	op->stamp.hlc = n->hlc;
	if (!sim->quiet_phase && sim_chance(sim, 5))
	{
		op->skewed = true;
		op->stamp.hlc += rep_hlc_from_ms(86400 * 1000) + op->id;
	}
	op->stamp.stream.node = n->id;
	op->stamp.stream.boot = n->boot;
	op->base = n->now.applied;
	op->ndeps = sim_host_deps(sim, n, op->deps);
	op->begun = sim->now;
	choose_keys(sim, n, op);
	c->state = CLIENT_WRITES;
	c->op = op->id;
	c->tries = 1;
	timer(sim, n, c, 100 * MS + sim_below(sim, 500 * MS));
	propose(sim, n, op, REP_ENTRY_WRITE);
}

static void
begin_read(Sim *sim, SimNode *n, SimClient *c)
{
	RepRaftEvent ev = { .type = REP_EV_READ };

	c->state = CLIENT_READS;
	c->read_id = ++n->read_serial;
	c->read_register =
		sim_chance(sim, 300) ? 0 : (uint32_t) sim_below(sim, SIM_REGISTERS);
	c->read_floor = sim->complete[c->read_register];
	timer(sim, n, c, 400 * MS + sim_below(sim, 1200 * MS));
	ev.id = c->read_id;
	sim_node_step(sim, n, &ev);
}

/* Somebody else's transaction whose fate nobody knows. */
static bool
adopt_orphan(Sim *sim, SimNode *n, SimClient *c)
{
	for (uint32_t tries = 0; tries < 4 && sim->nops > 1; tries++)
	{
		SimOp *op = &sim->ops[1 + sim_below(sim, sim->nops - 1)];

		if (!op->orphan)
			continue;
		op->orphan = false;
		c->state = CLIENT_RESOLVES;
		c->op = op->id;
		c->tries = 1;
		timer(sim, n, c, 300 * MS);
		propose(sim, n, op, REP_ENTRY_ABORT);
		return true;
	}
	return false;
}

static bool
is_witness(const Sim *sim, const SimNode *n)
{
	RepRaftStatus s;

	(void) sim;
	rep_raft_status(n->engine, &s);
	for (uint32_t i = 0; i < s.nmembers; i++)
		if (s.members[i].node == n->id)
			return s.members[i].witness;
	return true;
}

static void
begin(Sim *sim, SimNode *n, SimClient *c)
{
	uint32_t dice = (uint32_t) sim_below(sim, 1000);

	if (sim->quiet_phase && sim->last_write_acked)
		return;
	/* at the very end a witness's node will do too */
	if (!sim->quiet_phase && is_witness(sim, n))
	{
		rest(sim, n, c);
		return;
	}
	if (sim->quiet_phase)
	{
		begin_write(sim, n, c);
		return;
	}
	if (n->urge > 0)
	{
		n->urge--;
		begin_write(sim, n, c);
		return;
	}
	if (dice < 60 && adopt_orphan(sim, n, c))
		return;
	if (dice < sim->write_share)
		begin_write(sim, n, c);
	else if (dice < 800)
		begin_read(sim, n, c);
	else
	{
		sim_host_eventual(sim, n);
		rest(sim, n, c);
	}
}

static void
retry_write(Sim *sim, SimNode *n, SimClient *c)
{
	SimOp *op = &sim->ops[c->op];

	if (++c->tries <= 4)
	{
		sim->counts.resubmits++;
		timer(sim, n, c, 100 * MS + sim_below(sim, 500 * MS));
		propose(sim, n, op, REP_ENTRY_WRITE);
		return;
	}
	op->state = OP_UNKNOWN;
	if (sim_chance(sim, 700))
	{
		c->state = CLIENT_RESOLVES;
		c->tries = 1;
		timer(sim, n, c, 300 * MS);
		propose(sim, n, op, REP_ENTRY_ABORT);
		return;
	}
	sim->counts.unknowns++;
	op->orphan = true;
	forget(sim, n, op);
	rest(sim, n, c);
}

static void
retry_resolve(Sim *sim, SimNode *n, SimClient *c)
{
	SimOp *op = &sim->ops[c->op];

	if (++c->tries <= 6)
	{
		timer(sim, n, c, 300 * MS);
		propose(sim, n, op, REP_ENTRY_ABORT);
		return;
	}
	op->orphan = true;
	forget(sim, n, op);
	rest(sim, n, c);
}

void
sim_client_act(Sim *sim, SimNode *n, uint32_t client)
{
	SimClient *c = &n->clients[client];
	RepRaftEvent cancel = { .type = REP_EV_READ_CANCEL, .id = c->read_id };

	switch (c->state)
	{
		case CLIENT_IDLE:
			begin(sim, n, c);
			break;
		case CLIENT_WRITES:
			retry_write(sim, n, c);
			break;
		case CLIENT_APPLIES:
			/* committed: it only has to arrive here */
			timer(sim, n, c, SECOND);
			break;
		case CLIENT_RESOLVES:
			retry_resolve(sim, n, c);
			break;
		case CLIENT_READS:
			sim_node_step(sim, n, &cancel);
			rest(sim, n, c);
			break;
		case CLIENT_CATCHES_UP:
			rest(sim, n, c);
			break;
	}
}

static void
told_committed(Sim *sim, SimNode *n, SimClient *c, uint64_t index)
{
	SimOp *op = &sim->ops[c->op];

	op->told_index = index;
	check_once_told(sim, op, REP_VERDICT_COMMITTED, index);
	c->state = CLIENT_APPLIES;
	timer(sim, n, c, n->now.applied >= index ? 0 : SECOND);
	if (n->now.applied >= index)
		sim_client_applied(sim, n);
}

static void
told_aborted(Sim *sim, SimNode *n, SimClient *c)
{
	SimOp *op = &sim->ops[c->op];

	sim->counts.aborts++;
	op->state = OP_ABORTED;
	check_once_told(sim, op, REP_VERDICT_ABORTED, 0);
	rest(sim, n, c);
}

static void
count_refusal(Sim *sim, RepRaftVerdict verdict)
{
	sim->counts.conflicts += verdict == REP_VERDICT_CONFLICT;
	sim->counts.skewed += verdict == REP_VERDICT_SKEWED;
	sim->counts.not_held += verdict == REP_VERDICT_NOT_HELD;
	sim->counts.old_bases += verdict == REP_VERDICT_OLD_BASE;
	sim->counts.old_stamps += verdict == REP_VERDICT_OLD_STAMP;
}

static void
verdict_to(Sim *sim, SimNode *n, SimClient *c, const RepRaftAction *a)
{
	SimOp *op = &sim->ops[c->op];

	count_refusal(sim, a->verdict);
	if (a->verdict == REP_VERDICT_COMMITTED)
		told_committed(sim, n, c, a->index);
	else if (a->verdict == REP_VERDICT_ABORTED)
		told_aborted(sim, n, c);
	else if (a->verdict == REP_VERDICT_OLD_STAMP && a->index > 0)
	{
		/* an ABORT entry stands there; the tables know what came before */
		if (op->commit_index != 0 && op->commit_index < a->index)
			told_committed(sim, n, c, op->commit_index);
		else
			told_aborted(sim, n, c);
	}
	else if (c->state == CLIENT_RESOLVES)
		return;
	else if (a->verdict == REP_VERDICT_OLD_STAMP)
	{
		c->state = CLIENT_RESOLVES;
		c->tries = 1;
		timer(sim, n, c, 1);
	}
	else
	{
		op->state = OP_REFUSED;
		check_once_told(sim, op, a->verdict, 0);
		rest(sim, n, c);
	}
}

void
sim_client_verdict(Sim *sim, SimNode *n, const RepRaftAction *a)
{
	sim_trace(sim, "  node %u verdict %d on %lu at %lu", n->id, a->verdict,
			  (unsigned long) a->stamp.hlc, (unsigned long) a->index);
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
	{
		SimClient *c = &n->clients[i];

		if ((c->state == CLIENT_WRITES || c->state == CLIENT_RESOLVES) &&
			rep_stamp_compare(sim->ops[c->op].stamp, a->stamp) == 0)
			verdict_to(sim, n, c, a);
	}
}

void
sim_client_read_ready(Sim *sim, SimNode *n, uint64_t id, uint64_t index)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
	{
		SimClient *c = &n->clients[i];

		if (c->state == CLIENT_READS && c->read_id == id)
		{
			c->state = CLIENT_CATCHES_UP;
			c->read_index = index;
			if (n->now.applied >= index)
				sim_client_applied(sim, n);
		}
	}
}

static void
finish_write(Sim *sim, SimNode *n, SimClient *c)
{
	SimOp *op = &sim->ops[c->op];

	op->state = OP_ACKED;
	sim->counts.acks++;
	check_linear_write(sim, op);
	if (sim->quiet_phase)
		sim->last_write_acked = true;
	rest(sim, n, c);
}

static void
finish_read(Sim *sim, SimNode *n, SimClient *c)
{
	sim->counts.reads++;
	check_linear_read(sim, n, c->read_register, c->read_floor);
	rest(sim, n, c);
}

void
sim_client_applied(Sim *sim, SimNode *n)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
	{
		SimClient *c = &n->clients[i];

		if (c->state == CLIENT_APPLIES &&
			sim->ops[c->op].told_index <= n->now.applied)
			finish_write(sim, n, c);
		else if (c->state == CLIENT_CATCHES_UP &&
				 c->read_index <= n->now.applied)
			finish_read(sim, n, c);
	}
}
