/*
 * prng.h
 *		Chance from a seed: the same seed gives the same numbers everywhere.
 *
 * Not for secrets. The state is the caller's, so that every simulated node
 * and every schedule can have its own.
 */
#ifndef REP_PRNG_H
#define REP_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RepPrng
{
	uint64_t state;
} RepPrng;

extern void rep_prng_init(RepPrng *p, uint64_t seed);
extern uint64_t rep_prng_next(RepPrng *p);
/* Uniform in [0, bound); 0 when bound is 0. */
extern uint64_t rep_prng_below(RepPrng *p, uint64_t bound);
/* True in `permille` of 1000 calls. */
extern bool rep_prng_chance(RepPrng *p, uint32_t permille);

#endif
