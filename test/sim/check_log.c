/*
 * check_log.c
 *		Log matching: two logs that have an entry of the same index and term
 *		have the same entry there, and the same term before it; so, by
 *		induction, the same log up to there.
 */
#include "bytes.h"
#include "sim.h"

#include <string.h>

static uint64_t
content(const SimEntry *e)
{
	uint64_t words[3] = { e->prev_term, e->op, e->kind };
	uint64_t h = rep_hash64(words, sizeof(words), 1);

	for (uint32_t i = 0; i < e->nmembers; i++)
	{
		uint32_t m[3] = { e->members[i].node, e->members[i].voter,
						  e->members[i].witness };

		h = rep_hash64(m, sizeof(m), h);
	}
	return h;
}

void
check_matching(Sim *sim, SimNode *n, uint64_t index, const SimEntry *e)
{
	uint64_t key = index << 32 | e->term;
	uint64_t h = content(e);
	uint32_t i = (uint32_t) (key * UINT64_C(0x9e3779b97f4a7c15) >> 48);
	uint32_t probes = 0;

	while (sim->match[i].key != 0 && sim->match[i].key != key)
	{
		i = (i + 1) % SIM_MATCHES;
		if (++probes == SIM_MATCHES)
			sim_fail(sim, "simulator", "too many entries");
	}
	if (sim->match[i].key == 0)
	{
		sim->match[i].key = key;
		sim->match[i].content = h;
	}
	else if (sim->match[i].content != h)
		sim_fail(sim, "log matching",
				 "node %u has another entry %lu of term %lu", n->id,
				 (unsigned long) index, (unsigned long) e->term);
}
