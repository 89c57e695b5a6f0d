/*
 * unit.c
 *		TAP, checks and chance for unit test programs; see unit.h.
 */
#include "unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* failures printed for one test; more of them say nothing new */
#define MAX_SHOWN 5

static int tests_run;
static int tests_failed;
static int checks_failed; /* of the running test */
static uint64_t option_seed = 1;
static uint64_t option_cases;

void
unit_start(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		uint64_t *option = NULL;

		if (strcmp(argv[i], "--seed") == 0)
			option = &option_seed;
		else if (strcmp(argv[i], "--cases") == 0)
			option = &option_cases;
		if (option == NULL || i + 1 == argc)
		{
			fprintf(stderr, "usage: %s [--seed N] [--cases N]\n", argv[0]);
			exit(2);
		}
		*option = strtoull(argv[++i], NULL, 10);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu\n", (unsigned long long) option_seed);
}

void
unit_run(const char *claim, UnitTest test)
{
	checks_failed = 0;
	test();
	tests_run++;
	if (checks_failed > 0)
		tests_failed++;
	printf("%sok %d - %s\n", checks_failed > 0 ? "not " : "", tests_run, claim);
}

int
unit_finish(void)
{
	printf("1..%d\n", tests_run);
	return tests_failed == 0 && tests_run > 0 ? 0 : 1;
}

uint64_t
unit_seed(void)
{
	return option_seed;
}

uint64_t
unit_cases(uint64_t usual)
{
	return option_cases > 0 ? option_cases : usual;
}

void
unit_note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

bool
unit_check(bool holds, const char *what, const char *file, int line)
{
	if (!holds && ++checks_failed <= MAX_SHOWN)
		unit_note("%s:%d: does not hold: %s", file, line, what);
	return holds;
}

uint64_t
unit_random(UnitRng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t
unit_below(UnitRng *rng, uint32_t n)
{
	return (uint32_t) ((unit_random(rng) >> 32) * n >> 32);
}

bool
unit_once_in(UnitRng *rng, uint32_t n)
{
	return unit_below(rng, n) == 0;
}

uint64_t
unit_any_size(UnitRng *rng)
{
	uint64_t v = unit_random(rng);

	switch (unit_below(rng, 4))
	{
		case 0:
			return v & 0xff;
		case 1:
			return (UINT64_C(1) << unit_below(rng, 64)) - (v & 1);
		case 2:
			return v >> unit_below(rng, 64);
		default:
			return v;
	}
}

void *
unit_exact_copy(const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}
