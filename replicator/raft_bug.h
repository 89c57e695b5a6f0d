/*
 * raft_bug.h
 *		Deliberate mistakes, to prove that the simulator can fail.
 *
 * A build with -DREP_RAFT_BUG=n makes mistake n and no other; every other
 * build has none and the compiler drops the branches. The list of what each
 * number means is test/sim/mutants.
 */
#ifndef REP_RAFT_BUG_H
#define REP_RAFT_BUG_H

#ifndef REP_RAFT_BUG
#define REP_RAFT_BUG 0
#endif

#define REP_BUG(n) (REP_RAFT_BUG == (n))

#endif
