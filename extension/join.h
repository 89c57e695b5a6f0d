/*
 * join.h
 *		join_cluster: this database becomes a node of a cluster that exists.
 *
 *	1. ask the node that `via` leads to (the source) about its cluster
 *	2. have the coordinator admit this node: id, and a member for stability
 *	3. wait until the source has heard of it
 *	4. note the position closed on the source, then take one snapshot there
 *	5. copy from the snapshot: schema, rows (or compare them), shadow tables, tags
 *	6. have the source make durable what was copied; be a node at commit
 *
 * Interrupted after 2 it is called again with the same name and connection
 * string and goes on with the same id; everything else is one transaction
 * here.
 *
 * Invariants
 * 1. The copy begins after the source has applied the admission. That is
 *	  enough for every member: an operation counts as stable at M only by the
 *	  source's acknowledgement among others, which names what the source had
 *	  applied; M uses it after applying the same, the admission included.
 *	  So nothing is stable anywhere, without this node's word, that the
 *	  source had not applied, and the copy not brought.
 * 2. One local transaction: a join that fails or is killed leaves nothing here.
 * 3. A stream's position here was closed before the snapshot; what the copied
 *	  log has above it is met again and skipped by its key.
 * 4. Nothing that was copied can be lost by the source in a crash once the
 *	  local transaction commits.
 */
#ifndef CAUSALDB_JOIN_H
#define CAUSALDB_JOIN_H

#include "postgres.h"

#endif
