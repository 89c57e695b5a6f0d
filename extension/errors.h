/*
 * errors.h
 *		The SQLSTATEs of our refusals, by what they mean here.
 *
 * Not a list of every error: only those that clients and tests tell apart,
 * so that one meaning has one code wherever it is raised.
 */
#ifndef CAUSALDB_ERRORS_H
#define CAUSALDB_ERRORS_H

#include "postgres.h"

#include "utils/errcodes.h"

/* the table cannot be tagged, or not written so: 55000 */
#define ERRORS_UNTAGGABLE ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
/* a node wants to write a table that is not tagged here: 42501 */
#define ERRORS_NOT_TAGGED_HERE ERRCODE_INSUFFICIENT_PRIVILEGE
/* not in this version: 0A000 */
#define ERRORS_NOT_YET ERRCODE_FEATURE_NOT_SUPPORTED
/* bytes from a peer or a table that no writer of ours wrote: XX001 */
#define ERRORS_MALFORMED ERRCODE_DATA_CORRUPTED
/* a wait for other nodes is over its time: 57P03 */
#define ERRORS_TIMED_OUT ERRCODE_CANNOT_CONNECT_NOW
/* a strong statement without leader or majority, nothing was done: 57P03 */
#define ERRORS_NO_QUORUM ERRCODE_CANNOT_CONNECT_NOW
/*
 * The transaction's idempotency key is used, so it is done: 23I01. A violated
 * uniqueness (class 23) that no code of the standard or of PostgreSQL is about
 * (subclasses from I on are free for others). Not of class 40, which clients
 * take as "run it again".
 */
#define ERRORS_KEY_USED MAKE_SQLSTATE('2', '3', 'I', '0', '1')

#endif
