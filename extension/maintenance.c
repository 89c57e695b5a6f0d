/*
 * maintenance.c
 *		See maintenance.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "bytes.h"
#include "guc.h"
#include "maintenance.h"

#define KINDS (MAINTENANCE_TRUNCATE + 1)

typedef struct Note
{
	int nest; /* of the subtransaction that wrote */
	Oid root;
	Oid role;
	uint64 counts[KINDS];
} Note;

static List *notes = NIL; /* Note, in memory of the transaction */

/* Whoever gave itself the setting may have changed its role since. */
static void
check_rights(void)
{
	Oid admin = get_role_oid("causaldb_admin", true);
	Oid role = GetOuterUserId();

	if (superuser_arg(role) ||
		(OidIsValid(admin) && has_privs_of_role(role, admin)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to write tagged tables uncaptured"),
			 errdetail("causaldb.capture is off, which needs the role "
					   "causaldb_admin."),
			 errhint("Type: SET causaldb.capture = on;")));
}

static Note *
find_note(int nest, Oid root, Oid role)
{
	ListCell *cell;
	MemoryContext old;
	Note *note;

	foreach (cell, notes)
	{
		note = lfirst(cell);
		if (note->nest == nest && note->root == root && note->role == role)
			return note;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	note = palloc0(sizeof(Note));
	note->nest = nest;
	note->root = root;
	note->role = role;
	notes = lappend(notes, note);
	MemoryContextSwitchTo(old);
	return note;
}

void
maintenance_count(Oid root, MaintenanceKind kind)
{
	check_rights();
	find_note(GetCurrentTransactionNestLevel(), root, GetOuterUserId())
		->counts[kind]++;
}

bool
maintenance_pending(void)
{
	return notes != NIL;
}

static void
append_note(StringInfo out, const Note *note)
{
	static const char *const names[KINDS] = { "inserted", "updated", "deleted",
											  "truncated" };

	appendStringInfoString(out, "{\"by\": ");
	escape_json(out, GetUserNameFromId(note->role, false));
	for (int i = 0; i < KINDS; i++)
		if (note->counts[i] > 0)
			appendStringInfo(out, ", \"%s\": " UINT64_FORMAT, names[i],
							 note->counts[i]);
	appendStringInfoChar(out, '}');
}

bool
maintenance_take(StringInfo body)
{
	Note *note;
	char *table;
	char *name;
	uint16 len;

	if (notes == NIL)
		return false;
	note = linitial(notes);
	notes = list_delete_first(notes);
	table = get_rel_name(note->root);
	/* NULL: the transaction has dropped the table since */
	name = table == NULL
			   ? ""
			   : quote_qualified_identifier(get_namespace_name(
												get_rel_namespace(note->root)),
											table);
	len = (uint16) strlen(name);
	appendStringInfoChar(body, (char) (len & 0xFF));
	appendStringInfoChar(body, (char) (len >> 8));
	appendStringInfoString(body, name);
	append_note(body, note);
	return true;
}

char *
maintenance_read(const void *body, size_t len, char **text)
{
	const uint8 *bytes = body;
	size_t name_len;

	if (len < 2)
		return NULL;
	name_len = bytes[0] | (size_t) bytes[1] << 8;
	if (name_len > len - 2 ||
		!pg_verifymbstr((const char *) bytes + 2, (int) len - 2, true))
		return NULL;
	*text = pnstrdup((const char *) bytes + 2 + name_len, len - 2 - name_len);
	return pnstrdup((const char *) bytes + 2, name_len);
}

/* The inner level's counts are added to those of the outer one. */
void
maintenance_sub_commit(int nest)
{
	ListCell *cell;

	foreach (cell, notes)
	{
		Note *inner = lfirst(cell);
		Note *outer;

		if (inner->nest != nest)
			continue;
		outer = find_note(nest - 1, inner->root, inner->role);
		for (int i = 0; i < KINDS; i++)
			outer->counts[i] += inner->counts[i];
	}
	maintenance_sub_abort(nest);
}

void
maintenance_sub_abort(int nest)
{
	ListCell *cell;

	foreach (cell, notes)
		if (((Note *) lfirst(cell))->nest >= nest)
			notes = foreach_delete_current(notes, cell);
}

void
maintenance_reset(void)
{
	notes = NIL;
}
