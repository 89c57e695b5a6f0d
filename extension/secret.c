/*
 * secret.c
 *		See secret.h.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#include "secret.h"

/* What has connection strings among its arguments or in its rows. */
static const char *const words[] = {
	"create_cluster", "join_cluster", "alter_node",
	"admit_node",     "order_dsn",    "causaldb.node",
};

static emit_log_hook_type earlier_hook = NULL;

/* the statement, by its start, in which secret_begin was called, and for whom */
static TimestampTz began_at = 0;
static const char *began_for = NULL;

/* ------------------------------------------------------------ finding */

static bool
begins_with(const char *text, const char *word)
{
	return pg_strncasecmp(text, word, strlen(word)) == 0;
}

static bool
is_of_a_name(char c)
{
	return isalnum((unsigned char) c) || c == '_';
}

/* The word of the list that stands here, or NULL. */
static const char *
named_at(const char *text)
{
	int i;

	for (i = 0; i < (int) lengthof(words); i++)
		if (begins_with(text, words[i]) &&
			!is_of_a_name(text[strlen(words[i])]))
			return words[i];
	return NULL;
}

/* The first of them that the text has, or NULL. */
static const char *
named_in(const char *text)
{
	bool inside = false; /* of a word */

	for (; text && *text; text++)
	{
		const char *word = inside ? NULL : named_at(text);

		if (word)
			return word;
		inside = is_of_a_name(*text);
	}
	return NULL;
}

/* The one that this statement is about, or NULL. */
static const char *
running(void)
{
	if (began_for && began_at == GetCurrentStatementStartTimestamp())
		return began_for;
	return named_in(debug_query_string);
}

/* ------------------------------------------------------------ hiding */

static void
replace(char **text, char *other)
{
	if (*text)
		pfree(*text);
	*text = other;
}

static char *
in_place_of(const char *word)
{
	return psprintf("... %s ... -- not shown: it may hold a password", word);
}

/* "duration: 1 ms  statement: TEXT" and its like: all but the text stays. */
static void
hide_in_message(ErrorData *error, const char *word)
{
	char *text =
		debug_query_string ? strstr(error->message, debug_query_string) : NULL;
	char *head =
		text ? pnstrdup(error->message, text - error->message) : pstrdup("");

	replace(&error->message, psprintf("%s%s", head, in_place_of(word)));
	pfree(head);
}

/* A syntax error quotes from where it stands, possibly to the end. */
static void
hide_what_is_near(ErrorData *error)
{
	char *near = strstr(error->message, " at or near ");

	if (near)
		*near = '\0';
}

static void
hide(ErrorData *error)
{
	const char *word = running();
	const char *named;

	/* whoever logs a text of a statement says so */
	if (error->hide_stmt && error->message &&
		(named = named_in(error->message)) != NULL)
		hide_in_message(error, named);
	if (error->context && (named = named_in(error->context)) != NULL)
		replace(&error->context, in_place_of(named));
	if (word == NULL)
		return;
	error->hide_stmt = true;
	if (error->sqlerrcode == ERRCODE_SYNTAX_ERROR && error->message)
		hide_what_is_near(error);
	if (error->context && strstr(error->context, "parameters:"))
		replace(&error->context, in_place_of(word));
	if (error->detail && begins_with(error->detail, "parameters:"))
		replace(&error->detail, NULL);
	if (error->internalquery && named_in(error->internalquery))
		replace(&error->internalquery, in_place_of(word));
}

static void
show_instead(const char *word)
{
	char *instead = in_place_of(word);

	pgstat_report_activity(STATE_RUNNING, instead);
	pfree(instead);
}

/* Invariant 1; an error before the function ran is where invariant 2 begins. */
static void
look_at_message(ErrorData *error)
{
	const char *word = NULL;

	hide(error);
	if (error->elevel >= ERROR && (word = running()) != NULL)
		show_instead(word);
	if (earlier_hook)
		earlier_hook(error);
}

void
secret_begin(const char *function)
{
	began_at = GetCurrentStatementStartTimestamp();
	began_for = function;
	show_instead(function);
}

void
secret_init(void)
{
	earlier_hook = emit_log_hook;
	emit_log_hook = look_at_message;
}
