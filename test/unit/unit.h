/*
 * unit.h
 *		The little that a unit test program needs: TAP, checks, chance.
 *
 * A program calls unit_start, then unit_run for each test, and returns
 * unit_finish(). Options: --seed N, --cases N (where the program asks).
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*UnitTest)(void);

/* Reads the options; prints the seed, so that a failure can be replayed. */
extern void unit_start(int argc, char **argv);
/* Runs one test and prints ok or not ok. */
extern void unit_run(const char *claim, UnitTest test);
/* Prints the plan; the exit status of the program. */
extern int unit_finish(void);
/* --seed, by default always the same. */
extern uint64_t unit_seed(void);
/* --cases, or what the program would do by itself. */
extern uint64_t unit_cases(uint64_t usual);

/* A line of explanation under the running test. */
extern void unit_note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* True if it holds; the first failures of a test are printed. */
#define CHECK(condition) unit_check((condition), #condition, __FILE__, __LINE__)
extern bool unit_check(bool holds, const char *what, const char *file,
					   int line);

/* The same numbers for the same seed, on every machine. */
typedef struct UnitRng
{
	uint64_t state;
} UnitRng;

extern uint64_t unit_random(UnitRng *rng);
/* 0 <= result < n; n > 0 */
extern uint32_t unit_below(UnitRng *rng, uint32_t n);
/* True once in n times. */
extern bool unit_once_in(UnitRng *rng, uint32_t n);
/* 64 bits of any size: small, near a power of two, or all random. */
extern uint64_t unit_any_size(UnitRng *rng);

/* A copy that ends exactly at len, so that one byte too far is seen. */
extern void *unit_exact_copy(const void *data, size_t len);

#endif
