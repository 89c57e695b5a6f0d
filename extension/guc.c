/*
 * guc.c
 *		Defines the settings.
 */
#include "postgres.h"

#include <limits.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "bounds.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

int guc_max_clock_skew = 60000;
int guc_relay_delay = 1000;
int guc_heartbeat_interval = 200;
int guc_apply_group = 200;
int guc_stall_retry_max = 10000;
int guc_strong_timeout = 10000;
int guc_apply_lock_timeout = 1000;
int guc_strong_reads = STRONG_READS_AUTO;
int guc_max_staleness = 0;
char *guc_idempotency_key = NULL;
LocalTransactionId guc_idempotency_lxid = InvalidLocalTransactionId;
int guc_idempotency_retention = 24 * 60 * 60;
bool guc_leader_lease = false;
int guc_max_databases = 8;
bool guc_capture = true;
int guc_server_identity = SERVER_IDENTITY_SUPERUSER;

static const struct config_enum_entry server_identities[] = {
	{"never", SERVER_IDENTITY_NEVER, false},
	{"superuser", SERVER_IDENTITY_SUPERUSER, false},
	{"always", SERVER_IDENTITY_ALWAYS, false},
	{NULL, 0, false},
};

static const struct config_enum_entry strong_reads[] = {
	{"off", STRONG_READS_OFF, false},
	{"auto", STRONG_READS_AUTO, false},
	{"always", STRONG_READS_ALWAYS, false},
	{NULL, 0, false},
};

#ifdef CAUSALDB_TESTING
char *guc_debug_point = NULL;
char *guc_break = NULL;
int guc_clock_offset = 0;
int guc_clock_drift = 0;
int guc_stream_slots = REP_MAX_STREAMS * 3 / 4;
#endif

/*
 * Says early what the first write would say (maintenance.c). Where roles cannot
 * be looked up, as when a session starts, it is left to that.
 */
static bool
check_capture(bool *value, void **extra, GucSource source)
{
	Oid admin;

	(void) extra;
	if (*value || source < PGC_S_INTERACTIVE || !IsTransactionState() || InitializingParallelWorker)
		return true;
	admin = get_role_oid("causaldb_admin", true);
	if (superuser_arg(GetOuterUserId()) || (OidIsValid(admin) && has_privs_of_role(GetOuterUserId(), admin)))
		return true;
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("permission denied to write tagged tables uncaptured");
	GUC_check_errdetail("It needs the role causaldb_admin.");
	GUC_check_errhint("Have a superuser type: GRANT causaldb_admin TO %s;",
					  quote_identifier(GetUserNameFromId(GetOuterUserId(), false)));
	return false;
}

/*
 * The value remembers in which transaction it was set, so that one that was
 * set for the session is not taken for the next transaction's.
 */
static bool
check_key(char **value, void **extra, GucSource source)
{
	LocalTransactionId *lxid;

	if (**value == '\0')
		return true;
	if (strlen(*value) > REP_MAX_IDEMPOTENCY_KEY)
	{
		GUC_check_errdetail("An idempotency key has at most %d bytes.", REP_MAX_IDEMPOTENCY_KEY);
		GUC_check_errhint("Use a digest of it, such as pg_catalog.md5(...).");
		return false;
	}
	if (source < PGC_S_INTERACTIVE || source == PGC_S_TEST)
	{
		GUC_check_errdetail("An idempotency key is of one transaction.");
		GUC_check_errhint("Type SET LOCAL causaldb.idempotency_key = '...'; in the transaction.");
		return false;
	}
	lxid = compat_guc_malloc(sizeof(*lxid));
	if (lxid == NULL)
		return false;
	*lxid = compat_lxid();
	*extra = lxid;
	return true;
}

static void
assign_key(const char *value, void *extra)
{
	(void) value;
	guc_idempotency_lxid = extra ? *(LocalTransactionId *) extra : InvalidLocalTransactionId;
}

/* Defines all settings; called once, from _PG_init. */
void
guc_init(void)
{
	DefineCustomIntVariable("causaldb.max_clock_skew",
							"How far clocks may be apart.",
							"A stream that is further ahead of our clock is stalled until that has caught up; a wall clock that jumps further is not followed.",
							&guc_max_clock_skew, 60000, 1000, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.relay_delay",
							"How long a peer's position in a stream stands still before this node relays it.",
							NULL, &guc_relay_delay, 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.heartbeat_interval",
							"Time between two frames on an idle link.",
							NULL, &guc_heartbeat_interval, 200, 10, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.apply_group",
							"Transactions of peers that are applied in one local commit at most.",
							NULL, &guc_apply_group, 200, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.stall_retry_max",
							"Longest pause between two tries of a transaction that cannot be applied.",
							NULL, &guc_stall_retry_max, 10000, 10, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.apply_lock_timeout",
							"How long a local transaction may hold up the strong log by its locks before it is aborted.",
							NULL, &guc_apply_lock_timeout, 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.strong_timeout",
							"How long a strong statement waits for the leader and a majority.",
							NULL, &guc_strong_timeout, 10000, 10, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("causaldb.strong_reads",
							 "Which statements wait until this node has all strong writes acknowledged before them.",
							 "auto: those that depend on strong columns, or on rows of tables that have some. always: every one. off: none, reads may be old.",
							 &guc_strong_reads, STRONG_READS_AUTO, strong_reads,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.max_staleness",
							"How old what a strong read sees may be, so that it need not ask the leader.",
							"0: not at all.",
							&guc_max_staleness, 0, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("causaldb.idempotency_key",
							   "Names the transaction, so that it takes effect once however often it is sent.",
							   "Set it with SET LOCAL, in a transaction that writes strong columns.",
							   &guc_idempotency_key, "", PGC_USERSET,
							   GUC_DISALLOW_IN_FILE, check_key, assign_key, NULL);
	DefineCustomIntVariable("causaldb.idempotency_retention",
							"How long an idempotency key is kept.",
							NULL, &guc_idempotency_retention, 24 * 60 * 60, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("causaldb.leader_lease",
							 "Whether strong reads at the leader rest on its lease, without asking the other nodes.",
							 "It is right only while clocks run at rates no more than 10 % apart.",
							 &guc_leader_lease, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("causaldb.capture",
							 "Whether writes of tagged tables are captured, so that other nodes get them.",
							 "Off is for maintenance of this node alone; it needs the role causaldb_admin and is noted in causaldb.history.",
							 &guc_capture, true, PGC_USERSET,
							 GUC_DISALLOW_IN_FILE, check_capture, NULL, NULL);
	DefineCustomEnumVariable("causaldb.server_identity",
							 "Which connection strings may use what the server's operating system user can prove.",
							 "Peer and ident, a password file, a certificate or Kerberos; the others need a password.",
							 &guc_server_identity, SERVER_IDENTITY_SUPERUSER, server_identities,
							 PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("causaldb.max_databases",
								"Databases of this server that can have causaldb's shared state.",
								NULL, &guc_max_databases, 8, 1, 64,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
#ifdef CAUSALDB_TESTING
	DefineCustomStringVariable("causaldb.debug_point",
							   "Where to kill, fail or hold: name:action[:count], ...",
							   NULL, &guc_debug_point, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("causaldb.break",
							   "Deliberate mistakes to make, for tests that must catch them.",
							   NULL, &guc_break, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.clock_offset",
							"How far this server's wall clock is ahead of the machine's.",
							NULL, &guc_clock_offset, 0, INT_MIN, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.clock_drift",
							"How many milliseconds this server's wall clock gains in a second.",
							NULL, &guc_clock_drift, 0, -100000, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("causaldb.stream_slots",
							"Streams this node tracks at once.",
							NULL, &guc_stream_slots, REP_MAX_STREAMS * 3 / 4, 4, REP_MAX_STREAMS * 3 / 4,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
#endif
	MarkGUCPrefixReserved("causaldb");
}
