/*
 * stamp_test.c
 *		Stamps are totally ordered, ticks grow.
 */
#include "stamp.h"
#include "unit.h"

static RepStamp
random_stamp(UnitRng *rng)
{
	RepStamp s;

	/* few values: ties are the point */
	s.hlc = unit_below(rng, 3);
	s.stream.node = unit_below(rng, 3);
	s.stream.boot = unit_below(rng, 3) + ((uint64_t) unit_below(rng, 2) << 40);
	return s;
}

static bool
equal(RepStamp a, RepStamp b)
{
	return a.hlc == b.hlc && a.stream.node == b.stream.node &&
		   a.stream.boot == b.stream.boot;
}

static void
total_order(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 20000; round++)
	{
		RepStamp a = random_stamp(&rng);
		RepStamp b = random_stamp(&rng);
		RepStamp c = random_stamp(&rng);
		int ab = rep_stamp_compare(a, b);

		CHECK(ab == -rep_stamp_compare(b, a));
		CHECK((ab == 0) == equal(a, b));
		if (ab < 0 && rep_stamp_compare(b, c) < 0)
			CHECK(rep_stamp_compare(a, c) < 0);
		if (a.hlc != b.hlc)
			CHECK((ab < 0) == (a.hlc < b.hlc));
		else
			CHECK(ab == rep_stream_compare(a.stream, b.stream));
	}
}

static void
ticks_grow(void)
{
	UnitRng rng = { unit_seed() };
	uint64_t wall = UINT64_C(1700000000000);
	uint64_t last = 0;

	for (int round = 0; round < 100000; round++)
	{
		uint64_t next = rep_hlc_next(last, wall);

		CHECK(next > last && next >= rep_hlc_from_ms(wall));
		last = next;

		/* a clock that stands, runs and jumps back */
		if (unit_once_in(&rng, 50))
			wall += unit_below(&rng, 10);
		if (unit_once_in(&rng, 500))
			wall -= unit_below(&rng, 100);
	}
	CHECK(rep_hlc_to_ms(rep_hlc_from_ms(wall)) == wall);
	CHECK(rep_hlc_to_ms(rep_hlc_from_ms(UINT64_MAX)) ==
		  UINT64_MAX >> REP_HLC_COUNTER_BITS);
	CHECK(rep_hlc_next(7, UINT64_MAX) > rep_hlc_from_ms(wall));
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("stamps are totally ordered", total_order);
	unit_run("ticks grow whatever the wall clock does", ticks_grow);
	return unit_finish();
}
