/*
 * commit_order.c
 *		Overlapping transactions on two nodes, and who saw whom.
 *
 *	commit_order ROUNDS TRANSACTIONS SEED CONNINFO1 CONNINFO2
 *
 * WRITERS connections to each node commit TRANSACTIONS transactions each and
 * round. A transaction writes a row of table t at once, idles, reads which
 * rows of every writer it can see, idles again and commits; so most are
 * overtaken by others that began later. Meanwhile one connection to each node
 * looks again and again which part of the other node's stream is there. After
 * each round the nodes exchange tokens, and then this is counted:
 *
 *	lost		acknowledged here, not on the other node
 *	reordered	arrived on the other node before one with a smaller position
 *	gaps		a look at the other node that had a position, but not all below
 *	older		stamped at or below a transaction that it had seen
 *	deps		depends on a position that is not below its own
 *
 * All are zero, or commit order is broken; the first round with anything else
 * is the last. Prints one line of name=value; exit code 2 where the test
 * itself could not be carried out.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define NODES 2
#define WRITERS 8 /* a node */
#define ALL_WRITERS (NODES * WRITERS)
#define MAX_IDLE_MS 12
#define ROUND_TIMEOUT_S 60

typedef enum Step
{
	STEP_WRITE, /* BEGIN and the INSERT are under way */
	STEP_IDLE_AFTER_WRITE,
	STEP_LOOK,
	STEP_IDLE_AFTER_LOOK,
	STEP_COMMIT,
	STEP_DONE
} Step;

/* one transaction, as its client knows it */
typedef struct Transaction
{
	double began;
	uint64_t position; /* 0: not found in its node's log */
	bool acked;
	int seen[ALL_WRITERS]; /* newest number of each writer */
} Transaction;

typedef struct Writer
{
	PGconn *conn;
	int number;
	Step step;
	double until; /* end of idling */
	int first; /* transactions[0] has this number */
	int next; /* number of the one under way */
	int left; /* of this round */
	Transaction *transactions;
} Writer;

/* what one look at a node saw of the other's stream */
typedef struct Look
{
	uint64_t newest;
	long count;
} Look;

typedef struct Node
{
	const char *conninfo;
	PGconn *conn; /* for all but writing */
	int own; /* causaldb.stream.id of its own stream */
	int of_other; /* here, of the other node's stream */
	char boot[32];
	uint64_t base; /* positions above it are of this round */
	uint64_t *positions; /* its own stream, in order */
	int npositions;
	Look *looks;
	int nlooks;
} Node;

typedef struct Counts
{
	long transactions;
	long overtaken;
	long looks;
	long lost;
	long reordered;
	long gaps;
	long older;
	long deps;
} Counts;

static Node nodes[NODES];
static Writer writers[ALL_WRITERS];
static Counts counts;
static uint64_t random_state;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "commit_order: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

static void *
allocate(void *old, size_t n, size_t size)
{
	void *p = realloc(old, n * size + 1);

	if (p == NULL)
		die("out of memory");
	return p;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static uint32_t
chance(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (random_state >> 33) % n;
}

static PGconn *
connect_to(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(conn));
	return conn;
}

static PGresult *__attribute__((format(printf, 2, 3)))
query(PGconn *conn, const char *format, ...)
{
	char sql[1024];
	va_list args;
	PGresult *res;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		die("%s: %s", sql, PQerrorMessage(conn));
	return res;
}

static uint64_t
number_at(const PGresult *res, int row, int column)
{
	return strtoull(PQgetvalue(res, row, column), NULL, 10);
}

/* ------------------------------------------------------------ the writers */

static void
send_query(Writer *w, const char *sql)
{
	if (!PQsendQuery(w->conn, sql))
		die("%s", PQerrorMessage(w->conn));
}

static Transaction *
current(Writer *w)
{
	return &w->transactions[w->next - w->first];
}

static void
begin(Writer *w)
{
	char sql[128];

	if (w->left == 0)
	{
		w->step = STEP_DONE;
		return;
	}
	w->left--;
	memset(current(w), 0, sizeof(Transaction));
	current(w)->began = now();
	snprintf(sql, sizeof(sql), "BEGIN; INSERT INTO t (writer, number) VALUES (%d, %d)",
			 w->number, w->next);
	send_query(w, sql);
	w->step = STEP_WRITE;
}

static void
look_around(Writer *w)
{
	char sql[128];

	snprintf(sql, sizeof(sql),
			 "SELECT (SELECT max(number) FROM t WHERE writer = w) FROM generate_series(0, %d) w ORDER BY w",
			 ALL_WRITERS - 1);
	send_query(w, sql);
	w->step = STEP_LOOK;
}

static void
idle(Writer *w, Step step)
{
	w->until = now() + chance(MAX_IDLE_MS * 1000) / 1e6;
	w->step = step;
}

/* The statement of this step has been answered. */
static void
answered(Writer *w)
{
	switch (w->step)
	{
		case STEP_WRITE:
			idle(w, STEP_IDLE_AFTER_WRITE);
			break;
		case STEP_LOOK:
			idle(w, STEP_IDLE_AFTER_LOOK);
			break;
		case STEP_COMMIT:
			current(w)->acked = true;
			counts.transactions++;
			w->next++;
			begin(w);
			break;
		default:
			die("an answer came from nowhere");
	}
}

/* Takes what has come; answered() when the statement is through. */
static void
receive(Writer *w)
{
	PGresult *res;

	if (!PQconsumeInput(w->conn))
		die("%s", PQerrorMessage(w->conn));
	while (!PQisBusy(w->conn))
	{
		res = PQgetResult(w->conn);
		if (res == NULL)
		{
			answered(w);
			return;
		}
		if (PQresultStatus(res) == PGRES_TUPLES_OK)
			for (int i = 0; i < ALL_WRITERS; i++)
				current(w)->seen[i] = atoi(PQgetvalue(res, i, 0));
		else if (PQresultStatus(res) != PGRES_COMMAND_OK)
			die("a writer failed: %s", PQerrorMessage(w->conn));
		PQclear(res);
	}
}

static void
wake(Writer *w)
{
	if (w->step == STEP_IDLE_AFTER_WRITE)
		look_around(w);
	else
	{
		send_query(w, "COMMIT");
		w->step = STEP_COMMIT;
	}
}

/* ------------------------------------------------------------ the looks */

static void
begin_look(Node *n)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
			 "SELECT max(position), count(*) FROM causaldb.log WHERE stream = %d AND position > %" PRIu64,
			 n->of_other, nodes[n == nodes].base);
	if (!PQsendQuery(n->conn, sql))
		die("%s", PQerrorMessage(n->conn));
}

/* True when the look is over. */
static bool
receive_look(Node *n)
{
	PGresult *res;

	if (!PQconsumeInput(n->conn))
		die("%s", PQerrorMessage(n->conn));
	while (!PQisBusy(n->conn))
	{
		res = PQgetResult(n->conn);
		if (res == NULL)
			return true;
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			die("a look failed: %s", PQerrorMessage(n->conn));
		n->looks = allocate(n->looks, (size_t) n->nlooks + 1, sizeof(Look));
		n->looks[n->nlooks].newest = number_at(res, 0, 0);
		n->looks[n->nlooks++].count = (long) number_at(res, 0, 1);
		PQclear(res);
	}
	return false;
}

/* ------------------------------------------------------------ one round */

static bool
all_done(void)
{
	for (int i = 0; i < ALL_WRITERS; i++)
		if (writers[i].step != STEP_DONE)
			return false;
	return true;
}

static bool
is_idle(const Writer *w)
{
	return w->step == STEP_IDLE_AFTER_WRITE || w->step == STEP_IDLE_AFTER_LOOK;
}

/* All writers at once, until each has committed its share. */
static void
write_all(int share)
{
	struct pollfd fds[ALL_WRITERS + NODES];
	bool looking[NODES] = {true, true};
	double end = now() + ROUND_TIMEOUT_S;

	for (int i = 0; i < ALL_WRITERS; i++)
	{
		Writer *w = &writers[i];

		w->left = share;
		w->transactions = allocate(w->transactions, (size_t) (w->next - w->first + share),
								   sizeof(Transaction));
		begin(w);
	}
	for (int i = 0; i < NODES; i++)
		begin_look(&nodes[i]);
	while (!all_done() || looking[0] || looking[1])
	{
		if (now() > end)
			die("the writers are not through after %d s", ROUND_TIMEOUT_S);
		for (int i = 0; i < ALL_WRITERS; i++)
		{
			bool waits = !is_idle(&writers[i]) && writers[i].step != STEP_DONE;

			fds[i].fd = waits ? PQsocket(writers[i].conn) : -1;
			fds[i].events = POLLIN;
		}
		for (int i = 0; i < NODES; i++)
		{
			fds[ALL_WRITERS + i].fd = looking[i] ? PQsocket(nodes[i].conn) : -1;
			fds[ALL_WRITERS + i].events = POLLIN;
		}
		if (poll(fds, ALL_WRITERS + NODES, 1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		for (int i = 0; i < ALL_WRITERS; i++)
		{
			if (is_idle(&writers[i]) && now() >= writers[i].until)
				wake(&writers[i]);
			else if (fds[i].fd >= 0 && fds[i].revents)
				receive(&writers[i]);
		}
		for (int i = 0; i < NODES; i++)
			if (fds[ALL_WRITERS + i].fd >= 0 && fds[ALL_WRITERS + i].revents &&
				receive_look(&nodes[i]))
			{
				looking[i] = !all_done();
				if (looking[i])
					begin_look(&nodes[i]);
			}
	}
}

/* Each node gets to where the other is. */
static void
exchange(void)
{
	for (int i = 0; i < NODES; i++)
	{
		PGresult *token = query(nodes[i].conn, "SELECT causaldb.token()");

		PQclear(query(nodes[!i].conn, "SELECT causaldb.wait_for('%s', '30 s')",
					  PQgetvalue(token, 0, 0)));
		PQclear(token);
	}
}

/* ------------------------------------------------------------ the count */

static uint64_t
read_varint(const unsigned char **at, const unsigned char *end)
{
	uint64_t v = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7)
	{
		unsigned char c = *(*at)++;

		v |= (uint64_t) (c & 0x7f) << shift;
		if ((c & 0x80) == 0)
			return v;
	}
	die("deps of a log row cannot be read");
}

/* Some dependency is not below the position: its distance is not positive. */
static bool
has_wrong_deps(const char *text)
{
	size_t len;
	unsigned char *bytes = PQunescapeBytea((const unsigned char *) text, &len);
	const unsigned char *at = bytes;
	uint64_t n = read_varint(&at, bytes + len);
	bool wrong = false;

	for (; n > 0; n--)
	{
		uint64_t distance;

		(void) read_varint(&at, bytes + len);
		distance = read_varint(&at, bytes + len);
		/* zig-zag: odd is negative */
		if (distance == 0 || (distance & 1))
			wrong = true;
	}
	PQfreemem(bytes);
	return wrong;
}

/* The node's own stream, and which transaction is where in it. */
static void
read_own(Node *n)
{
	PGresult *res = query(n->conn,
						  "SELECT l.position, t.writer, t.number, l.deps FROM causaldb.log l"
						  " LEFT JOIN t ON t.xid::xid = l.xmin AND t.writer >= 0 AND t.writer / %d = %d"
						  " WHERE l.stream = %d AND l.position > %" PRIu64 " ORDER BY l.position",
						  WRITERS, (int) (n - nodes), n->own, n->base);

	n->npositions = PQntuples(res);
	n->positions = allocate(n->positions, (size_t) n->npositions, sizeof(uint64_t));
	for (int i = 0; i < n->npositions; i++)
	{
		n->positions[i] = number_at(res, i, 0);
		if (!PQgetisnull(res, i, 1))
		{
			Writer *w = &writers[atoi(PQgetvalue(res, i, 1))];
			int number = atoi(PQgetvalue(res, i, 2));

			if (number >= w->first && number < w->next)
				w->transactions[number - w->first].position = n->positions[i];
		}
		counts.deps += has_wrong_deps(PQgetvalue(res, i, 3));
	}
	PQclear(res);
}

/* Own positions of n up to p. */
static int
rank_of(const Node *n, uint64_t p)
{
	int low = 0;
	int high = n->npositions;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (n->positions[middle] <= p)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The other node's stream, in the order in which it came here. */
static void
count_arrivals(Node *here, const Node *from)
{
	PGresult *res = query(here->conn,
						  "SELECT position FROM causaldb.log WHERE stream = %d AND position > %" PRIu64
						  " ORDER BY xmin::text::int8, cmin::text::int8",
						  here->of_other, from->base);
	int n = PQntuples(res);
	uint64_t last = 0;

	for (int i = 0; i < n; i++)
	{
		uint64_t p = number_at(res, i, 0);

		counts.reordered += p <= last;
		last = p;
	}
	if (n != from->npositions)
		counts.lost += labs((long) from->npositions - n);
	for (int i = 0; i < here->nlooks; i++)
		counts.gaps += rank_of(from, here->looks[i].newest) != here->looks[i].count;
	counts.looks += here->nlooks;
	here->nlooks = 0;
	PQclear(res);
}

/* Rows themselves: all that was acknowledged, on both nodes. */
static void
count_rows(Node *here, int share)
{
	for (int i = 0; i < ALL_WRITERS; i++)
	{
		Writer *w = &writers[i];
		PGresult *res = query(here->conn, "SELECT count(*) FROM t WHERE writer = %d AND number BETWEEN %d AND %d",
							  w->number, w->next - share, w->next - 1);

		counts.lost += share - (long) number_at(res, 0, 0);
		PQclear(res);
	}
}

static void
count_stamps(Writer *w, int share)
{
	for (int number = w->next - share; number < w->next; number++)
	{
		Transaction *b = &w->transactions[number - w->first];

		if (b->position == 0)
		{
			counts.lost++;
			continue;
		}
		for (int i = 0; i < ALL_WRITERS; i++)
		{
			Writer *other = &writers[i];
			int seen = b->seen[i];

			if (other != w && seen >= other->first && seen < other->next &&
				other->transactions[seen - other->first].position >= b->position)
				counts.older++;
		}
	}
}

static int
by_position(const void *a, const void *b)
{
	uint64_t p = (*(Transaction *const *) a)->position;
	uint64_t q = (*(Transaction *const *) b)->position;

	return p < q ? -1 : p > q;
}

/* Transactions that were stamped after one of their node that began later. */
static void
count_overtaken(const Node *n, int share)
{
	Transaction **sorted = allocate(NULL, (size_t) share * WRITERS, sizeof(*sorted));
	int first = (int) (n - nodes) * WRITERS;
	double latest = 0;
	int k = 0;

	for (int i = first; i < first + WRITERS; i++)
		for (int number = writers[i].next - share; number < writers[i].next; number++)
			sorted[k++] = &writers[i].transactions[number - writers[i].first];
	qsort(sorted, (size_t) k, sizeof(*sorted), by_position);
	for (int i = 0; i < k; i++)
	{
		counts.overtaken += sorted[i]->began < latest;
		if (sorted[i]->began > latest)
			latest = sorted[i]->began;
	}
	free(sorted);
}

static void
count_all(int share)
{
	for (int i = 0; i < NODES; i++)
		read_own(&nodes[i]);
	for (int i = 0; i < NODES; i++)
	{
		count_arrivals(&nodes[i], &nodes[!i]);
		count_rows(&nodes[i], share);
		count_overtaken(&nodes[i], share);
	}
	for (int i = 0; i < ALL_WRITERS; i++)
		count_stamps(&writers[i], share);
}

/* ------------------------------------------------------------ all of it */

static void
open_nodes(char **conninfo)
{
	for (int i = 0; i < NODES; i++)
	{
		Node *n = &nodes[i];
		PGresult *res;

		n->conninfo = conninfo[i];
		n->conn = connect_to(n->conninfo);
		res = query(n->conn, "SELECT id, boot FROM causaldb.stream_status() WHERE own");
		n->own = atoi(PQgetvalue(res, 0, 0));
		snprintf(n->boot, sizeof(n->boot), "%s", PQgetvalue(res, 0, 1));
		PQclear(res);
	}
	for (int i = 0; i < NODES; i++)
	{
		PGresult *res = query(nodes[i].conn, "SELECT id FROM causaldb.stream_status() WHERE boot = %s",
							  nodes[!i].boot);

		if (PQntuples(res) != 1)
			die("the nodes do not know each other's streams");
		nodes[i].of_other = atoi(PQgetvalue(res, 0, 0));
		PQclear(res);
	}
}

static void
open_writers(void)
{
	for (int i = 0; i < ALL_WRITERS; i++)
	{
		Writer *w = &writers[i];
		PGresult *res;

		w->number = i;
		w->conn = connect_to(nodes[i / WRITERS].conninfo);
		res = query(w->conn, "SELECT coalesce(max(number), 0) + 1 FROM t WHERE writer = %d", i);
		w->first = w->next = atoi(PQgetvalue(res, 0, 0));
		PQclear(res);
	}
}

static void
set_bases(void)
{
	for (int i = 0; i < NODES; i++)
	{
		PGresult *res = query(nodes[i].conn, "SELECT coalesce(max(position), 0) FROM causaldb.log WHERE stream = %d",
							  nodes[i].own);

		nodes[i].base = number_at(res, 0, 0);
		PQclear(res);
	}
}

int
main(int argc, char **argv)
{
	int rounds;
	int share;
	int round = 0;

	if (argc != 6)
		die("usage: commit_order ROUNDS TRANSACTIONS SEED CONNINFO1 CONNINFO2");
	rounds = atoi(argv[1]);
	share = atoi(argv[2]);
	random_state = strtoull(argv[3], NULL, 10);
	open_nodes(argv + 4);
	open_writers();
	do
	{
		set_bases();
		write_all(share);
		exchange();
		count_all(share);
	} while (++round < rounds &&
			 counts.lost + counts.reordered + counts.gaps + counts.older + counts.deps == 0);
	printf("rounds=%d transactions=%ld overtaken=%ld looks=%ld lost=%ld reordered=%ld gaps=%ld older=%ld deps=%ld\n",
		   round, counts.transactions, counts.overtaken, counts.looks, counts.lost, counts.reordered,
		   counts.gaps, counts.older, counts.deps);
	return 0;
}
