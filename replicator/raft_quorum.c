/*
 * raft_quorum.c
 *		Counting: what a majority has reached, and whether votes decide.
 */
#include "raft_quorum.h"

uint32_t
rep_raft_majority(uint32_t n)
{
	return n / 2 + 1;
}

uint64_t
rep_raft_quorum_value(uint64_t *values, uint32_t n)
{
	if (n == 0)
		return 0;
	/* insertion sort, largest first: n is a handful */
	for (uint32_t i = 1; i < n; i++)
	{
		uint64_t v = values[i];
		uint32_t j = i;

		for (; j > 0 && values[j - 1] < v; j--)
			values[j] = values[j - 1];
		values[j] = v;
	}
	return values[rep_raft_majority(n) - 1];
}

RepRaftTally
rep_raft_tally(uint32_t voters, uint32_t granted, uint32_t rejected)
{
	uint32_t majority = rep_raft_majority(voters);

	if (voters > 0 && granted >= majority)
		return REP_TALLY_WON;
	/* the rest could not make a majority any more */
	if (voters - rejected < majority)
		return REP_TALLY_LOST;
	return REP_TALLY_OPEN;
}
