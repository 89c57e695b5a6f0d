/*
 * prng.c
 *		A counter put through a mixer (Steele, Lea, Flood: SplitMix, 2014).
 */
#include "prng.h"

void
rep_prng_init(RepPrng *p, uint64_t seed)
{
	p->state = seed;
}

uint64_t
rep_prng_next(RepPrng *p)
{
	uint64_t z = p->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t
rep_prng_below(RepPrng *p, uint64_t bound)
{
	/* the upper half of the product: no division, bias below 2^-32 */
	if (bound <= UINT32_MAX)
		return (rep_prng_next(p) >> 32) * bound >> 32;
	return rep_prng_next(p) % bound;
}

bool
rep_prng_chance(RepPrng *p, uint32_t permille)
{
	return rep_prng_below(p, 1000) < permille;
}
