/*
 * mutants.h
 *		What each deliberate mistake of the engine is (-DREP_RAFT_BUG=n).
 */
#ifndef MUTANTS_H
#define MUTANTS_H

static const char *const mutant_names[] = {
	"none",
	"a read is asked again under the ticket of the first try",
	"an entry of an old term is committed by counting",
	"a vote is not persisted",
	"an append is acknowledged before it is durable",
	"a vote is given to a log that is behind",
	"an append is taken without looking at what precedes it",
	"a read is answered before an own-term entry is committed",
	"heartbeat rounds are reused",
	"a proposal is logged before a majority holds its deps",
	"a proposal that is in the log already is logged again",
	"a conflict is no reason to refuse",
	"a new leader does not learn what its log wrote",
	"certification forgets without minding what it forgot",
	"votes are given although a leader was just heard, under a lease",
	"a stamp a day ahead is accepted",
	"copies out of order are taken, refusals of old tries believed",
	"a candidate counts its own vote before it is durable",
	"a second membership change does not wait for the first",
	"the leader counts its own entries before they are durable",
	"a cut log leaves old persists vouching for what was cut",
	"a heartbeat commits what the follower is not known to have",
	"learners count for commit",
	"a term is told before it is durable",
	"a lease is trusted again after somebody was asked to stand",
};

#endif
