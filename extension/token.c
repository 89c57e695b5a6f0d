/*
 * token.c
 *		See token.h.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "causal.h"
#include "clock.h"
#include "errors.h"
#include "local.h"
#include "member.h"
#include "streams.h"
#include "token.h"
#include "wall.h"

#define TOKEN_VERSION "1:"
#define HEX64 "%016" INT64_MODIFIER "x"
#define MAX_MS ((UINT64CONST(1) << 48) - 1)
#define MAX_COUNTER ((UINT64CONST(1) << REP_HLC_COUNTER_BITS) - 1)
#define YEAR_MS (INT64CONST(366) * 24 * 60 * 60 * 1000)
/* how long to sleep where nothing wakes us: our own commits */
#define OWN_NAP_MS 5
#define NAP_MS 1000

PG_FUNCTION_INFO_V1(causaldb_token);
PG_FUNCTION_INFO_V1(causaldb_wait_for);
PG_FUNCTION_INFO_V1(causaldb_position_time);

typedef struct TokenEntry
{
	RepStreamId stream;
	uint64 position;
} TokenEntry;

/* ------------------------------------------------------------ making */

/*
 * The largest position a snapshot may see of our own stream. A transaction is
 * visible a moment before its position is noted as the last; its slot names
 * it until then, so slots are read first.
 */
static uint64
own_position(NodeShared *node)
{
	int n = clock_slots();
	uint64 *pending = palloc(sizeof(uint64) * n);
	uint64 position = 0;
	int i;

	clock_read_pending(node, pending);
	for (i = 0; i < n; i++)
		if (pending[i] != REP_NOT_PENDING)
			position = Max(position, pending[i]);
	pg_read_barrier();
	position = Max(position, clock_last_position(node));
	pfree(pending);
	return position;
}

static void
write_token(NodeShared *node, StringInfo out)
{
	bool open = pg_atomic_read_u32(&node->state) == NODE_OPEN;
	int n = (int) pg_atomic_read_u32(&node->nstreams);
	int i;

	resetStringInfo(out);
	appendStringInfoString(out, TOKEN_VERSION);
	for (i = 0; i < n; i++)
	{
		StreamSlot *slot = &node->streams[i];
		uint64 position = open && i == node->own_slot
							  ? own_position(node)
							  : pg_atomic_read_u64(&slot->started);

		/* transactions only: a position that was merely called closed may lie
		 * beyond the stream's end */
		if (position == 0 || pg_atomic_read_u32(&slot->retired))
			continue;
		if (out->data[out->len - 1] != ':')
			appendStringInfoChar(out, ',');
		appendStringInfo(out, "%u-" HEX64 "@" UINT64_FORMAT "." UINT64_FORMAT,
						 slot->id.node, slot->id.boot, rep_hlc_to_ms(position),
						 position & MAX_COUNTER);
	}
}

char *
token_make(NodeShared *node)
{
	StringInfoData out;
	uint32 turn;

	initStringInfo(&out);
	do
	{
		turn = shmem_streams_begin(node);
		write_token(node, &out);
	} while (shmem_streams_changed(node, turn));
	return out.data;
}

/* ------------------------------------------------------------ reading */

static void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("malformed token"),
			 errhint("Pass what causaldb.token() returned, unchanged.")));
}

/* An unsigned number of this base that is at most `most`. */
static uint64
number(const char **at, int base, uint64 most)
{
	char *end;
	uint64 value;

	if (base == 16 ? !isxdigit((unsigned char) **at)
				   : !isdigit((unsigned char) **at))
		malformed();
	errno = 0;
	value = strtoull(*at, &end, base);
	if (errno != 0 || value > most)
		malformed();
	*at = end;
	return value;
}

static void
expect(const char **at, char c)
{
	if (**at != c)
		malformed();
	(*at)++;
}

static int
parse(const char *token, TokenEntry *entries)
{
	const char *at = token + strlen(TOKEN_VERSION);
	int n = 0;

	if (strncmp(token, TOKEN_VERSION, strlen(TOKEN_VERSION)) != 0)
		malformed();
	while (*at)
	{
		TokenEntry *entry;

		if (n == REP_MAX_STREAMS)
			malformed();
		if (n > 0)
			expect(&at, ',');
		entry = &entries[n++];
		entry->stream.node = (uint32) number(&at, 10, PG_INT32_MAX);
		expect(&at, '-');
		entry->stream.boot = number(&at, 16, PG_UINT64_MAX);
		expect(&at, '@');
		entry->position = rep_hlc_from_ms(number(&at, 10, MAX_MS));
		expect(&at, '.');
		entry->position |= number(&at, 10, MAX_COUNTER);
	}
	return n;
}

/* ------------------------------------------------------------ waiting */

TimestampTz
token_time(uint64 position)
{
	return (TimestampTz) rep_hlc_to_ms(position) * 1000 -
		   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

int64
token_milliseconds(const Interval *interval)
{
	double ms = interval->time / 1000.0 +
				((double) interval->month * DAYS_PER_MONTH + interval->day) *
					86400000.0;

	if (ms <= 0)
		return 0;
	return ms > YEAR_MS ? YEAR_MS : (int64) ms;
}

/* What this node holds of a stream; *own: nothing wakes us when it grows. */
static uint64
held(NodeShared *node, RepStreamId stream, bool *known, bool *own)
{
	int i = shmem_find_stream(node, stream);

	*known = i >= 0;
	*own = *known && i == node->own_slot &&
		   pg_atomic_read_u32(&node->state) == NODE_OPEN;
	if (!*known)
		return 0;
	return *own ? clock_closed(node)
				: pg_atomic_read_u64(&node->streams[i].applied);
}

static char *
describe(NodeShared *node, const TokenEntry *entry)
{
	Member *member = member_by_id((int32) entry->stream.node);
	char *asked = pstrdup(timestamptz_to_str(token_time(entry->position)));
	bool known;
	bool own;
	uint64 have = held(node, entry->stream, &known, &own);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "Stream " HEX64 " of node %u (%s) ",
					 entry->stream.boot, entry->stream.node,
					 member ? member->name : "not known here yet");
	if (known)
		appendStringInfo(&out,
						 "is here up to %s (%u); the token asks for %s (%u).",
						 timestamptz_to_str(token_time(have)),
						 (unsigned) (have & MAX_COUNTER), asked,
						 (unsigned) (entry->position & MAX_COUNTER));
	else
		appendStringInfo(
			&out, "has not reached this node; the token asks for %s (%u).",
			asked, (unsigned) (entry->position & MAX_COUNTER));
	return out.data;
}

static void
load_retired(void)
{
	LocalRights rights;

	local_enter(&rights);
	streams_load_retired();
	local_leave(&rights);
}

bool
token_wait(NodeShared *node, const char *token, int64 timeout_ms, char **lag)
{
	TokenEntry *entries = palloc(sizeof(TokenEntry) * REP_MAX_STREAMS);
	int n = parse(token, entries);
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(wall_timer(), timeout_ms);
	int32 retired_id;
	int at = 0;

	load_retired();
	ConditionVariablePrepareToSleep(&node->applied_cv);
	while (at < n)
	{
		bool known;
		bool own;
		long left;

		/* positions only grow, so what was met once is not looked at again */
		if (streams_retired(entries[at].stream, &retired_id) ||
			held(node, entries[at].stream, &known, &own) >=
			entries[at].position)
		{
			at++;
			continue;
		}
		left = TimestampDifferenceMilliseconds(wall_timer(), deadline);
		if (left <= 0)
			break;
		/* it may have been retired, and given up its slot, since we asked */
		if (!known)
			load_retired();
		(void) ConditionVariableTimedSleep(&node->applied_cv,
										   Min(left, own ? OWN_NAP_MS : NAP_MS),
										   PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
	if (at < n)
		*lag = describe(node, &entries[at]);
	pfree(entries);
	return at >= n;
}

/* ------------------------------------------------------------ SQL */

Datum
causaldb_token(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_TEXT_P(cstring_to_text(token_make(member_node())));
}

Datum
causaldb_wait_for(PG_FUNCTION_ARGS)
{
	NodeShared *node = member_node();
	char *token = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *lag = NULL;

	if (!token_wait(node, token, token_milliseconds(PG_GETARG_INTERVAL_P(1)),
					&lag))
		ereport(
			ERROR,
			(errcode(ERRORS_TIMED_OUT),
			 errmsg("this node has not caught up with the token in time"),
			 errdetail("%s", lag),
			 errhint(
				 "Look at causaldb.streams and causaldb.peers, or wait longer: causaldb.wait_for(token, '5 min').")));
	PG_RETURN_VOID();
}

/* causaldb.position_time(position): its wall-clock time */
Datum
causaldb_position_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(token_time((uint64) PG_GETARG_INT64(0)));
}
