/*
 * guc.h
 *		The settings of causaldb; doc/operating.md explains each.
 */
#ifndef CAUSALDB_GUC_H
#define CAUSALDB_GUC_H

#include "postgres.h"

extern int guc_max_clock_skew; /* ms a peer's clock may be ahead of ours */
extern int guc_relay_delay; /* ms a peer stands still before we relay */
extern int guc_heartbeat_interval; /* ms between frames on an idle link */
extern int guc_apply_group; /* transactions in one local commit at most */
extern int guc_stall_retry_max; /* ms between retries at most */
extern int guc_apply_lock_timeout; /* ms a client may hold up the strong log */
extern int guc_strong_timeout; /* ms a strong statement waits for the cluster */

/* causaldb.strong_reads: which statements wait for the strong log */
typedef enum StrongReads
{
	STRONG_READS_OFF,
	STRONG_READS_AUTO,
	STRONG_READS_ALWAYS
} StrongReads;

extern int guc_strong_reads;
extern int guc_max_staleness; /* ms; 0: none */
extern char *guc_idempotency_key; /* "": none */
extern LocalTransactionId guc_idempotency_lxid; /* that it was set in */
extern int guc_idempotency_retention; /* s a key is kept */
extern bool guc_leader_lease; /* readers at the leader ask nobody */
extern bool guc_capture; /* off: writes of tagged tables stay on this node */
/* whose connection strings may use the server's own identity: see dsn.h */
typedef enum ServerIdentity
{
	SERVER_IDENTITY_NEVER,
	SERVER_IDENTITY_SUPERUSER,
	SERVER_IDENTITY_ALWAYS
} ServerIdentity;

extern int guc_server_identity; /* ServerIdentity */
extern int guc_max_databases; /* databases of this server that can be nodes */

#ifdef CAUSALDB_TESTING
extern char *guc_debug_point;
extern char *guc_break;
extern int guc_stream_slots; /* in place of STREAM_SLOTS */
extern int guc_clock_offset; /* ms our wall clock is wrong by */
extern int guc_clock_drift; /* ms it gains in a second */
#endif

extern void guc_init(void);

#endif
