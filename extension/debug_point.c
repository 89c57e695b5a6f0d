/*
 * debug_point.c
 *		See debug_point.h.
 */
#include "postgres.h"

#include "debug_point.h"

#ifdef CAUSALDB_TESTING

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "guc.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#define MAX_POINTS 64

/* arrivals at each point in this process, by order of first arrival */
static struct
{
	const char *name;
	int count;
} arrivals[MAX_POINTS];

/*
 * The part of the list `list` that begins with `name` and a separator, or
 * NULL; *rest points behind the name.
 */
static bool
list_has(const char *list, const char *name, const char **rest)
{
	size_t len = strlen(name);

	while (list && *list)
	{
		while (*list == ' ' || *list == ',')
			list++;
		if (strncmp(list, name, len) == 0 &&
			(list[len] == '\0' || list[len] == ',' || list[len] == ':'))
		{
			*rest = list + len;
			return true;
		}
		list = strchr(list, ',');
	}
	return false;
}

static int
arrive(const char *name)
{
	int i;

	for (i = 0; i < MAX_POINTS && arrivals[i].name; i++)
		if (strcmp(arrivals[i].name, name) == 0)
			return ++arrivals[i].count;
	if (i < MAX_POINTS)
	{
		arrivals[i].name = name;
		arrivals[i].count = 1;
	}
	return 1;
}

/*
 * Whether this is the first kill or error at the point since the test removed the
 * marker; a server that restarts by itself would die there for ever.
 */
static bool
is_first_kill(const char *name)
{
	char path[MAXPGPATH];
	int fd;

	snprintf(path, sizeof(path), "debug_point.%s", name);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void
hold(const char *name)
{
	const char *rest;

	elog(LOG, "causaldb holds at debug point \"%s\"", name);
	while (list_has(guc_debug_point, name, &rest))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 20, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* a backend reloads between statements only; we are inside one */
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* Acts if the setting names this point. */
void
debug_point_reached(const char *name)
{
	const char *rest;
	char action[32] = "";
	int want = 1;

	/* once new sessions have a setting, no worker gets past a point without */
	if (IsBackgroundWorker && ConfigReloadPending)
		ProcessConfigFile(PGC_SIGHUP);
	if (guc_debug_point == NULL || guc_debug_point[0] == '\0' ||
		!list_has(guc_debug_point, name, &rest))
		return;
	if (sscanf(rest, ":%31[a-z_]:%d", action, &want) < 1)
		return;
	if (strcmp(action, "delay") == 0)
	{
		pg_usleep(want * 1000L);
		return;
	}
	if (arrive(name) != want && strcmp(action, "hang") != 0)
		return;

	if (strcmp(action, "kill") == 0 ||
		(strcmp(action, "kill_once") == 0 && is_first_kill(name)))
	{
		fprintf(stderr, "causaldb kills process %d at debug point \"%s\"\n",
				MyProcPid, name);
		kill(MyProcPid, SIGKILL);
		pg_usleep(10000000L);
	}
	else if (strcmp(action, "kill_postmaster") == 0)
	{
		fprintf(stderr, "causaldb kills the postmaster at debug point \"%s\"\n", name);
		kill(PostmasterPid, SIGKILL);
		kill(MyProcPid, SIGKILL);
		pg_usleep(10000000L);
	}
	else if (strcmp(action, "error") == 0 ||
			 (strcmp(action, "error_once") == 0 && is_first_kill(name)))
		elog(ERROR, "causaldb fails at debug point \"%s\"", name);
	else if (strcmp(action, "hang") == 0)
		hold(name);
}

/* The deliberate mistake of this name is switched on. */
bool
debug_point_break(const char *name)
{
	const char *rest;

	return guc_break && guc_break[0] && list_has(guc_break, name, &rest);
}

#endif
