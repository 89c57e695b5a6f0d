/*
 * progress.c
 *		See progress.h.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "identity.h"
#include "progress.h"

#define FOLDER "causaldb"
#define STATUS_COLUMNS 14

PG_FUNCTION_INFO_V1(causaldb_join_status);

static NodeShared *joining = NULL; /* by this transaction */
static bool finished = false;

/* ------------------------------------------------------------ the file */

static void
file_path(char *path)
{
	snprintf(path, MAXPGPATH, "%s/%u.join", FOLDER, MyDatabaseId);
}

static void
write_file(const JoinStatus *join)
{
	char path[MAXPGPATH];
	char fresh[MAXPGPATH + 8];
	char text[NAMEDATALEN + 64];
	int len;
	int fd;

	file_path(path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (MakePGDirectory(FOLDER) < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", FOLDER)));
	/* the name comes last: it may hold anything but a zero byte */
	len = snprintf(text, sizeof(text), "%d %s %s", join->id, join->copy, join->name);
	fd = OpenTransientFile(fresh, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", fresh)));
	errno = 0;
	if (write(fd, text, len) != len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", fresh)));
	}
	CloseTransientFile(fd);
	(void) durable_rename(fresh, path, ERROR);
}

/* What a join before the server's last start has left; false if nothing. */
static bool
read_file(JoinStatus *join)
{
	char path[MAXPGPATH];
	char text[NAMEDATALEN + 64];
	int at = 0;
	int n;
	int fd;

	file_path(path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return false;
	n = (int) read(fd, text, sizeof(text) - 1);
	CloseTransientFile(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "%d %7s %n", &join->id, join->copy, &at) != 2 || at == 0)
		return false;
	strlcpy(join->name, text + at, sizeof(join->name));
	join->state = JOIN_INTERRUPTED;
	return true;
}

static void
remove_file(void)
{
	char path[MAXPGPATH];

	file_path(path);
	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}

/* ------------------------------------------------------------ saying */

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	bool done = event == XACT_EVENT_COMMIT && finished;

	(void) arg;
	if (joining == NULL || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	LWLockAcquire(&joining->lock, LW_EXCLUSIVE);
	joining->join.state = done ? JOIN_DONE : JOIN_INTERRUPTED;
	joining->join.pid = 0;
	joining->join.since = GetCurrentTimestamp();
	LWLockRelease(&joining->lock);
	if (done)
		remove_file();
	joining = NULL;
	finished = false;
}

void
progress_begin(const char *name, const char *copy)
{
	static bool registered = false;
	NodeShared *node = shmem_node();
	JoinStatus *join = &node->join;

	if (!registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	registered = true;
	LWLockAcquire(&node->lock, LW_EXCLUSIVE);
	join->state = JOIN_RUNNING;
	join->pid = MyProcPid;
	strlcpy(join->name, name, sizeof(join->name));
	strlcpy(join->copy, copy, sizeof(join->copy));
	strlcpy(join->phase, "source", sizeof(join->phase));
	join->since = GetCurrentTimestamp();
	join->id = 0;
	join->table[0] = '\0';
	join->table_number = 0;
	join->tables = 0;
	pg_atomic_write_u64(&join->rows, 0);
	pg_atomic_write_u64(&join->bytes, 0);
	join->table_bytes = join->bytes_before = join->bytes_total = 0;
	LWLockRelease(&node->lock);
	joining = node;
	finished = false;
}

void
progress_admitted(int32 id)
{
	LWLockAcquire(&joining->lock, LW_EXCLUSIVE);
	joining->join.id = id;
	LWLockRelease(&joining->lock);
	write_file(&joining->join);
}

void
progress_phase(const char *phase)
{
	JoinStatus *join = &joining->join;

	LWLockAcquire(&joining->lock, LW_EXCLUSIVE);
	strlcpy(join->phase, phase, sizeof(join->phase));
	join->since = GetCurrentTimestamp();
	join->table[0] = '\0';
	join->bytes_before += join->table_bytes;
	join->table_bytes = 0;
	pg_atomic_write_u64(&join->rows, 0);
	pg_atomic_write_u64(&join->bytes, 0);
	LWLockRelease(&joining->lock);
}

void
progress_total(int tables, uint64 bytes)
{
	LWLockAcquire(&joining->lock, LW_EXCLUSIVE);
	joining->join.tables = tables;
	joining->join.bytes_total = bytes;
	LWLockRelease(&joining->lock);
}

void
progress_table(const char *table, uint64 bytes)
{
	JoinStatus *join = &joining->join;

	LWLockAcquire(&joining->lock, LW_EXCLUSIVE);
	strlcpy(join->table, table, sizeof(join->table));
	join->table_number++;
	join->bytes_before += join->table_bytes;
	join->table_bytes = bytes;
	pg_atomic_write_u64(&join->rows, 0);
	pg_atomic_write_u64(&join->bytes, 0);
	LWLockRelease(&joining->lock);
}

void
progress_finish(void)
{
	finished = true;
}

JoinStatus *
progress_counters(void)
{
	return joining ? &joining->join : NULL;
}

/* ------------------------------------------------------------ showing */

typedef struct Row
{
	Datum values[STATUS_COLUMNS];
	bool nulls[STATUS_COLUMNS];
	int n;
} Row;

static void
put(Row *row, Datum value, bool known)
{
	row->values[row->n] = known ? value : (Datum) 0;
	row->nulls[row->n++] = !known;
}

/* An empty text is not known. */
static void
put_text(Row *row, const char *text)
{
	put(row, text[0] ? CStringGetTextDatum(text) : (Datum) 0, text[0] != '\0');
}

static void
emit(FunctionCallInfo fcinfo, const JoinStatus *join)
{
	static const char *const states[] = {"none", "running", "interrupted", "done"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64 rows = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &join->rows));
	uint64 bytes = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &join->bytes));
	bool copying = join->table[0] != '\0';
	NameData name;
	Row row = {.n = 0};

	namestrcpy(&name, join->name);
	put(&row, NameGetDatum(&name), true);
	put(&row, Int32GetDatum(join->id), join->id != 0);
	put_text(&row, join->copy);
	put_text(&row, states[join->state]);
	put_text(&row, join->phase);
	put(&row, TimestampTzGetDatum(join->since), join->since != 0);
	put(&row, Int32GetDatum(join->pid), join->pid != 0);
	put_text(&row, join->table);
	put(&row, Int32GetDatum(join->table_number), join->tables != 0);
	put(&row, Int32GetDatum(join->tables), join->tables != 0);
	put(&row, Int64GetDatum((int64) rows), copying);
	put(&row, Int64GetDatum((int64) bytes), copying);
	put(&row, Int64GetDatum((int64) (join->bytes_before + Min(bytes, join->table_bytes))), join->bytes_total != 0);
	put(&row, Int64GetDatum((int64) join->bytes_total), join->bytes_total != 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

/* causaldb.join_status(): the join of this database, if there was one */
Datum
causaldb_join_status(PG_FUNCTION_ARGS)
{
	NodeShared *node = shmem_available() ? shmem_find_node(MyDatabaseId) : NULL;
	JoinStatus join;

	InitMaterializedSRF(fcinfo, 0);
	memset(&join, 0, sizeof(join));
	if (node)
	{
		LWLockAcquire(&node->lock, LW_SHARED);
		join = node->join;
		LWLockRelease(&node->lock);
	}
	/* a file that outlived its join's commit by a crash says nothing */
	if (join.state == JOIN_NONE && (identity_read().node != 0 || !read_file(&join)))
		return (Datum) 0;
	emit(fcinfo, &join);
	return (Datum) 0;
}
