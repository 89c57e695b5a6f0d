/*
 * causal_test.c
 *		Deliverability and stability over dense positions; stamps and clocks.
 */
#include "causal.h"
#include "unit.h"

#define SLOTS 5

static void
waits_for_the_first_gap(void)
{
	const uint64_t applied[] = { 10, 20, 30 };
	const uint64_t deps[] = { 10, 25, 31, 7 };
	RepDelivery t = { .slot = 0, .before = 10, .deps = deps, .ndeps = 2 };
	RepWait wait = { 99, 99 };

	CHECK(!rep_causal_ready(applied, 3, &t, &wait));
	CHECK(wait.slot == 1 && wait.position == 25);

	/* the predecessor first */
	t.before = 11;
	CHECK(!rep_causal_ready(applied, 3, &t, &wait));
	CHECK(wait.slot == 0 && wait.position == 11);

	/* its own stream in deps is not looked at */
	t = (RepDelivery){ .slot = 1, .before = 20, .deps = deps, .ndeps = 2 };
	CHECK(rep_causal_ready(applied, 3, &t, &wait));

	/* a stream that the array is too short for has position 0 */
	t = (RepDelivery){ .slot = 2, .before = 30, .deps = deps, .ndeps = 4 };
	CHECK(!rep_causal_ready(applied, 3, &t, &wait));
	CHECK(wait.slot == 1 && wait.position == 25);
	t.slot = 1;
	t.before = 20;
	CHECK(!rep_causal_ready(applied, 3, &t, &wait));
	CHECK(wait.slot == 2 && wait.position == 31);
	t = (RepDelivery){ .slot = 7, .before = 0, .deps = NULL, .ndeps = 0 };
	CHECK(rep_causal_ready(applied, 3, &t, &wait));
	t.before = 1;
	CHECK(!rep_causal_ready(applied, 3, &t, &wait));
	CHECK(wait.slot == 7 && wait.position == 1);
}

/*
 * The ring: 0 writes "lost", 1 answers after seeing it, 2 must not show the
 * answer first.
 */
static void
the_ring(void)
{
	uint64_t at_2[] = { 0, 0, 0 };
	const uint64_t none[] = { 0, 0, 0 };
	const uint64_t saw_lost[] = { 100, 0, 0 };
	RepDelivery lost = { 0, 0, none, 3 };
	RepDelivery found = { 1, 0, saw_lost, 3 };
	RepWait wait;

	CHECK(!rep_causal_ready(at_2, 3, &found, &wait));
	CHECK(wait.slot == 0 && wait.position == 100);
	CHECK(rep_causal_ready(at_2, 3, &lost, &wait));
	at_2[0] = 100;
	CHECK(rep_causal_ready(at_2, 3, &found, &wait));

	/* its writer expelled: beyond the cut counts as met */
	at_2[0] = UINT64_MAX;
	CHECK(rep_causal_ready(at_2, 3, &found, &wait));
}

static void
stable_is_the_least_ack(void)
{
	UnitRng rng = { unit_seed() };

	for (int round = 0; round < 2000; round++)
	{
		uint64_t acks[4][SLOTS];
		uint64_t stable[SLOTS];
		uint32_t members = unit_below(&rng, 5);

		for (uint32_t m = 0; m < members; m++)
			for (uint32_t s = 0; s < SLOTS; s++)
				acks[m][s] = unit_any_size(&rng);
		rep_causal_stable(&acks[0][0], members, SLOTS, stable);
		for (uint32_t s = 0; s < SLOTS; s++)
		{
			bool met = members == 0;

			for (uint32_t m = 0; m < members; m++)
			{
				CHECK(stable[s] <= acks[m][s]);
				met |= stable[s] == acks[m][s];
			}
			CHECK(met);
			CHECK(members > 0 || stable[s] == 0);
		}
	}
}

static void
acks_count_when_covered(void)
{
	const uint64_t applied[] = { 10, 20, 30 };
	const uint64_t acks[] = { 10, 19, 30, 1 };

	CHECK(rep_causal_ack_counts(applied, 3, 1, 20, acks, 3));
	CHECK(!rep_causal_ack_counts(applied, 3, 1, 21, acks, 3));
	CHECK(!rep_causal_ack_counts(applied, 3, 1, 20, acks, 4));
	CHECK(!rep_causal_ack_counts(applied, 3, 5, 1, acks, 0));
	CHECK(rep_causal_ack_counts(applied, 3, 5, 0, acks, 0));
}

static void
grace_step_by_step(void)
{
	RepVersion room[1];
	RepVersion v_entries[] = { { { 3, 4 }, 50 }, { { 5, 6 }, 60 } };
	RepVector v = { v_entries, 1, 2 };
	RepAckSlot slots[2];
	RepAckGrace a;
	const int numbers[] = { 7, 9, 11 };
	const uint64_t pending[] = { 100, 101, 102 };

	rep_ack_grace_init(&a, room, 1, slots, 2);
	CHECK(!rep_ack_grace_usable(&a, UINT64_MAX));

	/* too many slots; a vector too long */
	CHECK(!rep_ack_grace_begin(&a, &v, numbers, pending, 3));
	v.len = 2;
	CHECK(!rep_ack_grace_begin(&a, &v, numbers, pending, 2));
	CHECK(a.phase == REP_ACK_IDLE);
	v.len = 1;

	CHECK(rep_ack_grace_begin(&a, &v, numbers, pending, 2));
	v_entries[0].position = 1; /* V was copied */
	CHECK(!rep_ack_grace_usable(&a, UINT64_MAX));

	/* slot 9 ends, slot 7 stays; then it has its stamp */
	CHECK(!rep_ack_grace_poll(&a, (uint64_t[]){ 100, REP_NOT_PENDING }));
	CHECK(a.nwaiting == 1 && a.waiting[0].slot == 7);
	CHECK(!rep_ack_grace_poll(&a, (uint64_t[]){ 100 }));
	CHECK(rep_ack_grace_poll(&a, (uint64_t[]){ 106 }));
	CHECK(!rep_ack_grace_usable(&a, UINT64_MAX));
	rep_ack_grace_finish(&a, 107);
	CHECK(!rep_ack_grace_usable(&a, 106));
	CHECK(rep_ack_grace_usable(&a, 107) && rep_ack_grace_usable(&a, 108));
	CHECK(a.acks.len == 1 && a.acks.entries[0].position == 50);

	/* an idle slot is not waited for: it would never change */
	CHECK(rep_ack_grace_begin(&a, &v, numbers,
							  (uint64_t[]){ REP_NOT_PENDING, 9 }, 2));
	CHECK(a.nwaiting == 1 && a.waiting[0].slot == 9);

	/* nothing pending: usable from the clock on */
	CHECK(rep_ack_grace_begin(&a, &v, NULL, NULL, 0));
	CHECK(rep_ack_grace_poll(&a, NULL));
	rep_ack_grace_finish(&a, 5);
	CHECK(rep_ack_grace_usable(&a, 5) && !rep_ack_grace_usable(&a, 4));
	CHECK(a.acks.entries[0].position == 1);
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("a transaction waits for the first gap", waits_for_the_first_gap);
	unit_run("an answer waits for what it answers", the_ring);
	unit_run("stable is the least of the acks", stable_is_the_least_ack);
	unit_run("acks count where all they name is applied",
			 acks_count_when_covered);
	unit_run("the grace period, step by step", grace_step_by_step);
	return unit_finish();
}
