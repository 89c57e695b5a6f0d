/*
 * linear_main.c
 *		Checks histories written down by clients.
 *
 *	build/linear [--quiet] FILE...
 *
 * A line of a file is one operation: when it was asked and answered (any unit,
 * one clock; "-" for an answer that never came), who asked, the register, and
 * what it was:
 *
 *	120 180 c1 seat7 read 4
 *	125 -   c2 seat7 write 5
 *	130 190 c3 seat7 cas 4 6
 *	140 200 c4 seat7 differs 4
 *
 * Registers begin as 0 unless a line "init seat7 3" says otherwise. Lines that
 * begin with # are comments. Prints each register that no order explains, and
 * what came next where the longest order ended. Exit status: 0 all is
 * linearizable, 1 not, 2 bad input or too hard.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"

#define LIMIT 20000000

typedef struct
{
	char name[64];
	int64_t initial;
	LinearOp *ops;
	size_t n;
	size_t size;
} Register;

static Register *registers;
static size_t nregisters;

static void *
more_memory(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (p == NULL)
		abort();
	return p;
}

static Register *
find_register(const char *name)
{
	size_t i;

	for (i = 0; i < nregisters; i++)
		if (strcmp(registers[i].name, name) == 0)
			return &registers[i];
	registers = more_memory(registers, (nregisters + 1) * sizeof(Register));
	memset(&registers[nregisters], 0, sizeof(Register));
	snprintf(registers[nregisters].name, sizeof(registers[nregisters].name), "%s", name);
	return &registers[nregisters++];
}

static bool
parse_line(const char *text, int line)
{
	LinearOp op = {.line = line};
	char start[32];
	char end[32];
	char client[64];
	char name[64];
	char what[16];
	long long x = 0;
	long long y = 0;
	Register *r;
	int n;

	if (sscanf(text, " init %63s %lld", name, &x) == 2)
	{
		find_register(name)->initial = x;
		return true;
	}
	n = sscanf(text, "%31s %31s %63s %63s %15s %lld %lld", start, end, client, name, what, &x, &y);
	if (n < 6)
		return false;
	op.start = strtoll(start, NULL, 10);
	op.end = strcmp(end, "-") == 0 ? LINEAR_NEVER : strtoll(end, NULL, 10);
	op.value = x;
	if (op.end < op.start)
		return false;
	if (strcmp(what, "read") == 0)
		op.kind = LINEAR_READ;
	else if (strcmp(what, "write") == 0)
		op.kind = LINEAR_WRITE;
	else if (strcmp(what, "cas") == 0 && n == 7)
	{
		op.kind = LINEAR_CAS;
		op.expected = x;
		op.value = y;
	}
	else if (strcmp(what, "differs") == 0)
	{
		op.kind = LINEAR_DIFFERS;
		op.expected = x;
	}
	else
		return false;
	r = find_register(name);
	if (r->n == r->size)
	{
		r->size = r->size ? r->size * 2 : 64;
		r->ops = more_memory(r->ops, r->size * sizeof(LinearOp));
	}
	r->ops[r->n++] = op;
	return true;
}

static bool
parse_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char text[512];
	int line = 0;

	if (in == NULL)
	{
		perror(path);
		return false;
	}
	while (fgets(text, sizeof(text), in))
	{
		line++;
		if (text[strspn(text, " \t\n")] == '\0' || text[0] == '#')
			continue;
		if (!parse_line(text, line))
		{
			fprintf(stderr, "%s:%d: no operation: %s", path, line, text);
			fclose(in);
			return false;
		}
	}
	fclose(in);
	return true;
}

static void
print_line(const char *path, int wanted)
{
	FILE *in = fopen(path, "r");
	char text[512];
	int line = 0;

	while (in && fgets(text, sizeof(text), in))
		if (++line == wanted)
			printf("    %d: %s", line, text);
	if (in)
		fclose(in);
}

static int
check_file(const char *path, bool quiet)
{
	int status = 0;
	size_t i;
	int k;

	registers = NULL;
	nregisters = 0;
	if (!parse_file(path))
		return 2;
	for (i = 0; i < nregisters; i++)
	{
		Register *r = &registers[i];
		size_t n = r->n;
		LinearResult result = linear_check(r->ops, n, r->initial, LIMIT);

		if (result.verdict == LINEAR_YES)
		{
			if (!quiet)
				printf("%s: %s is linearizable: %zu operations, %zu configurations\n",
					   path, r->name, n, result.configurations);
			continue;
		}
		status = result.verdict == LINEAR_NO && status != 2 ? 1 : 2;
		printf("%s: %s %s: %zu of %zu operations have an order, then none of these can follow:\n",
			   path, r->name, result.verdict == LINEAR_NO ? "is NOT linearizable" : "is too hard to check",
			   result.reached, n);
		for (k = 0; k < result.nstuck; k++)
			print_line(path, result.stuck[k]);
	}
	for (i = 0; i < nregisters; i++)
		free(registers[i].ops);
	free(registers);
	return status;
}

int
main(int argc, char **argv)
{
	bool quiet = argc > 1 && strcmp(argv[1], "--quiet") == 0;
	int status = 0;
	int i;

	for (i = quiet ? 2 : 1; i < argc; i++)
	{
		int one = check_file(argv[i], quiet);

		status = one > status ? one : status;
	}
	return status;
}
