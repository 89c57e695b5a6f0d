/*
 * raft_quorum.h
 *		Counting: what a majority has reached, and whether votes decide.
 */
#ifndef REP_RAFT_QUORUM_H
#define REP_RAFT_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The largest value that more than half of the n values reach: 0 when n is 0.
 * Reorders `values`.
 */
extern uint64_t rep_raft_quorum_value(uint64_t *values, uint32_t n);
/* More than half of n. */
extern uint32_t rep_raft_majority(uint32_t n);

typedef enum RepRaftTally
{
	REP_TALLY_OPEN,
	REP_TALLY_WON,
	REP_TALLY_LOST
} RepRaftTally;

extern RepRaftTally rep_raft_tally(uint32_t voters, uint32_t granted,
								   uint32_t rejected);

#endif
