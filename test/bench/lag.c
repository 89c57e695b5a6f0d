/*
 * lag.c
 *		How long after COMMIT has returned a peer shows what was committed.
 *
 *	bench-lag SOURCE PEER SAMPLES RATE WRITERS
 *
 * SOURCE and PEER are connection strings; both have the table
 *	lag (writer int PRIMARY KEY, n int)
 * with rows (0, 0) .. (WRITERS - 1, 0). Together the writers commit RATE
 * transactions a second on the source, each UPDATE lag SET n = n + 1 of the
 * writer's own row, and note when COMMIT has returned. One reader looks at all
 * rows of the peer, sleeps 0.2 ms, looks again: an answer is the first sight of
 * every n that it shows and the answer before did not. All of it is one
 * process and so one clock (CLOCK_MONOTONIC).
 *
 * Prints, one a line: "tps X"; "poll MEDIAN P99" (ms between two answers of
 * the reader, which is what a sight is late by at most); then "STEPS COUNT",
 * the samples by lag in steps of 10 us, negative if a row was seen before
 * COMMIT had returned.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define NAP_NS 200000
#define STEP_NS 10000
#define MAX_WRITERS 64
#define GIVE_UP_NS (INT64_C(60) * 1000000000)

typedef struct Writer
{
	pthread_t thread;
	int number;
	int64_t *returned; /* when COMMIT of n = i + 1 had returned */
	int64_t *seen;     /* when the peer first showed it; 0: not yet */
	int nseen;
	int64_t began;
	int64_t ended;
} Writer;

static const char *source;
static const char *peer;
static int each; /* samples a writer */
static int rate;
static int nwriters;
static Writer writers[MAX_WRITERS];

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
sleep_until(int64_t at)
{
	struct timespec t = { at / 1000000000, at % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void
die(PGconn *conn)
{
	fprintf(stderr, "bench-lag: %s", PQerrorMessage(conn));
	exit(1);
}

static PGconn *
connect_and_prepare(const char *dsn, const char *sql)
{
	PGconn *conn = PQconnectdb(dsn);
	PGresult *result;

	if (PQstatus(conn) != CONNECTION_OK)
		die(conn);
	result = PQprepare(conn, "s", sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(conn);
	PQclear(result);
	return conn;
}

/* Keeps to its times of writing; one that is missed is made up for at once. */
static void *
write_rows(void *arg)
{
	Writer *w = arg;
	int64_t period = INT64_C(1000000000) * nwriters / rate;
	PGconn *conn;
	char sql[100];

	snprintf(sql, sizeof(sql), "UPDATE lag SET n = n + 1 WHERE writer = %d",
			 w->number);
	conn = connect_and_prepare(source, sql);
	w->began = now_ns();
	for (int i = 0; i < each; i++)
	{
		PGresult *result;

		sleep_until(w->began + period * i + period * w->number / nwriters);
		result = PQexecPrepared(conn, "s", 0, NULL, NULL, NULL, 0);
		__atomic_store_n(&w->returned[i], now_ns(), __ATOMIC_RELEASE);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			die(conn);
		PQclear(result);
	}
	w->ended = now_ns();
	PQfinish(conn);
	return NULL;
}

/* Notes what the answer shows; true if nothing is missing any more. */
static bool
note_answer(PGresult *result, int64_t at)
{
	bool all = true;

	for (int row = 0; row < PQntuples(result); row++)
	{
		int number = atoi(PQgetvalue(result, row, 0));
		int n = atoi(PQgetvalue(result, row, 1));
		Writer *w = &writers[number];

		if (number < 0 || number >= nwriters || n > each)
		{
			fprintf(stderr, "bench-lag: the peer shows %d of writer %d\n", n,
					number);
			exit(1);
		}
		while (w->nseen < n)
			w->seen[w->nseen++] = at;
		if (w->nseen < each)
			all = false;
	}
	return all;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a;
	int64_t y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* Looks until all is seen; says how far apart its looks were. */
static void
read_rows(PGconn *conn)
{
	size_t npolls = 0;
	size_t cap = 1 << 20;
	int64_t *polls = malloc(cap * sizeof(int64_t));
	int64_t before = now_ns();
	int64_t news = before;
	bool all = false;

	while (!all)
	{
		PGresult *result = PQexecPrepared(conn, "s", 0, NULL, NULL, NULL, 0);
		int64_t at = now_ns();
		int seen = 0;

		if (PQresultStatus(result) != PGRES_TUPLES_OK ||
			PQntuples(result) != nwriters)
			die(conn);
		for (int i = 0; i < nwriters; i++)
			seen -= writers[i].nseen;
		all = note_answer(result, at);
		for (int i = 0; i < nwriters; i++)
			seen += writers[i].nseen;
		PQclear(result);
		if (npolls < cap)
			polls[npolls++] = at - before;
		before = at;
		if (seen > 0)
			news = at;
		if (at - news > GIVE_UP_NS)
		{
			fprintf(stderr,
					"bench-lag: nothing new on the peer for a minute\n");
			exit(1);
		}
		sleep_until(at + NAP_NS);
	}
	qsort(polls, npolls, sizeof(int64_t), compare);
	printf("poll %.3f %.3f\n", (double) polls[npolls / 2] / 1e6,
		   (double) polls[npolls * 99 / 100] / 1e6);
	free(polls);
}

static int64_t
floor_steps(int64_t ns)
{
	return ns >= 0 ? ns / STEP_NS : -((-ns + STEP_NS - 1) / STEP_NS);
}

static void
print_samples(void)
{
	size_t n = (size_t) each * (size_t) nwriters;
	int64_t *steps = malloc(n * sizeof(int64_t));
	size_t filled = 0;

	for (int i = 0; i < nwriters; i++)
		for (int k = 0; k < each; k++)
			steps[filled++] =
				floor_steps(writers[i].seen[k] - writers[i].returned[k]);
	qsort(steps, n, sizeof(int64_t), compare);
	for (size_t i = 0; i < n;)
	{
		size_t end = i;

		while (end < n && steps[end] == steps[i])
			end++;
		printf("%" PRId64 " %zu\n", steps[i], end - i);
		i = end;
	}
	free(steps);
}

static void
print_rate(void)
{
	int64_t began = writers[0].began;
	int64_t ended = writers[0].ended;

	for (int i = 1; i < nwriters; i++)
	{
		began = writers[i].began < began ? writers[i].began : began;
		ended = writers[i].ended > ended ? writers[i].ended : ended;
	}
	printf("tps %.0f\n",
		   (double) each * nwriters / ((double) (ended - began) / 1e9));
}

int
main(int argc, char **argv)
{
	PGconn *conn;

	if (argc != 6 || (nwriters = atoi(argv[5])) < 1 || nwriters > MAX_WRITERS ||
		(rate = atoi(argv[4])) < 1 || (each = atoi(argv[3]) / nwriters) < 1)
	{
		fprintf(stderr, "usage: bench-lag SOURCE PEER SAMPLES RATE WRITERS\n");
		return 2;
	}
	source = argv[1];
	peer = argv[2];
	conn = connect_and_prepare(peer, "SELECT writer, n FROM lag");
	for (int i = 0; i < nwriters; i++)
	{
		writers[i].number = i;
		writers[i].returned = calloc((size_t) each, sizeof(int64_t));
		writers[i].seen = calloc((size_t) each, sizeof(int64_t));
	}
	for (int i = 0; i < nwriters; i++)
		if (pthread_create(&writers[i].thread, NULL, write_rows, &writers[i]) !=
			0)
		{
			fprintf(stderr, "bench-lag: no thread\n");
			return 1;
		}
	read_rows(conn);
	for (int i = 0; i < nwriters; i++)
		pthread_join(writers[i].thread, NULL);
	print_rate();
	print_samples();
	PQfinish(conn);
	return 0;
}
