/*
 * merge_test.c
 *		What a plan says, case by case; merge_proof_test.c shows that plans add
 *		up.
 *
 * Streams are slots 0, 1 and 2 of nodes 1, 2 and 3. Field 0 is absolute, field
 * 1 a counter.
 */
#include "merge.h"
#include "unit.h"

static const RepWrite set_0[] = { { 0, REP_WRITE_SET } };
static const RepWrite add_1[] = { { 1, REP_WRITE_DELTA } };
static const RepWrite set_1[] = { { 1, REP_WRITE_SET } };
static const RepWrite all[] = { { 0, REP_WRITE_SET }, { 1, REP_WRITE_SET } };

static RepFieldPlan fields[4];
static RepPlan plan;

/* An operation at hlc of the slot's stream that has seen deps[0..3). */
static RepOp
op(uint32_t slot, uint64_t hlc, const uint64_t *deps, RepOpKind kind,
   const RepWrite *writes)
{
	RepOp o = { .stamp = { hlc, { slot + 1, 7 } },
				.slot = slot,
				.deps = deps,
				.ndeps = 3,
				.kind = kind,
				.writes = writes };

	o.nwrites = kind == REP_OP_DELETE ? 0 : writes == all ? 2 : 1;
	return o;
}

static const uint64_t nothing[] = { 0, 0, 0 };

static void
merge(const RepOp *t, const RepOp *u, uint32_t nu, RepRowState now,
	  RepRowPolicy policy)
{
	plan.fields = fields;
	rep_merge(t, u, nu, now, policy, &plan);
	CHECK(plan.nfields == t->nwrites);
}

static bool
field_is(uint32_t i, RepFieldAction action, uint32_t other)
{
	return fields[i].action == action && fields[i].other == other;
}

static bool
life_is(RepRowState state, bool revived, uint32_t other, uint32_t loser)
{
	return plan.state == state && plan.revived == revived &&
		   plan.life_other == other && plan.life_loser == loser;
}

static void
seen_or_not(void)
{
	const uint64_t deps[] = { 5, 0 };
	RepOp t = op(2, 9, deps, REP_OP_UPDATE, set_0);
	RepOp o = op(0, 5, nothing, REP_OP_UPDATE, set_0);

	t.ndeps = 2;
	CHECK(rep_op_has_seen(&t, &o));
	o.stamp.hlc = 6;
	CHECK(!rep_op_has_seen(&t, &o));

	/* beyond ndeps is position 0 */
	t.ndeps = 0;
	o.stamp.hlc = 1;
	CHECK(!rep_op_has_seen(&t, &o));

	/* its own stream: by position, then by place; deps do not matter */
	o = t;
	CHECK(!rep_op_has_seen(&t, &o));
	t.ordinal = 1;
	CHECK(rep_op_has_seen(&t, &o) && !rep_op_has_seen(&o, &t));
	o.stamp.hlc = 10;
	CHECK(!rep_op_has_seen(&t, &o) && rep_op_has_seen(&o, &t));
}

static void
nothing_unseen(void)
{
	RepOp t = op(0, 5, nothing, REP_OP_INSERT, all);

	for (int p = REP_POLICY_UPDATE_WINS; p <= REP_POLICY_LAST_WRITE; p++)
	{
		t = op(0, 5, nothing, REP_OP_INSERT, all);
		merge(&t, NULL, 0, REP_ROW_DEAD, (RepRowPolicy) p);
		CHECK(field_is(0, REP_FIELD_SET, REP_NO_OP));
		CHECK(field_is(1, REP_FIELD_SET, REP_NO_OP));
		CHECK(life_is(REP_ROW_ALIVE, false, REP_NO_OP, REP_NO_OP));
		t = op(0, 5, nothing, REP_OP_UPDATE, add_1);
		merge(&t, NULL, 0, REP_ROW_ALIVE, (RepRowPolicy) p);
		CHECK(field_is(0, REP_FIELD_ADD, REP_NO_OP) && fields[0].field == 1);
		CHECK(life_is(REP_ROW_ALIVE, false, REP_NO_OP, REP_NO_OP));
		t = op(0, 5, nothing, REP_OP_DELETE, NULL);
		merge(&t, NULL, 0, REP_ROW_ALIVE, (RepRowPolicy) p);
		CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, REP_NO_OP));
	}
}

static void
largest_stamp_takes_the_field(void)
{
	RepOp u[3];
	RepOp t = op(0, 10, nothing, REP_OP_UPDATE, set_0);

	u[0] = op(1, 8, nothing, REP_OP_UPDATE, set_0);
	u[1] = op(2, 9, nothing, REP_OP_UPDATE, set_0);
	u[2] = op(1, 20, nothing, REP_OP_UPDATE, set_1);
	merge(&t, u, 3, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_SET, 1));

	u[2] = op(1, 11, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 3, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_KEEP, 2));

	/* the same hlc: the node decides, then the boot */
	u[0] = op(1, 10, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_KEEP, 0));
	u[0].stamp.stream = (RepStreamId){ 1, 6 };
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_SET, 0));

	/* two writes of one transaction: the later one counts */
	u[0] = op(1, 8, nothing, REP_OP_UPDATE, set_0);
	u[1] = u[0];
	u[0].ordinal = 4;
	u[1].ordinal = 3;
	merge(&t, u, 2, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_SET, 0));
}

static void
counters(void)
{
	const uint64_t saw_t[] = { 10, 0, 0 };
	RepOp t = op(0, 10, nothing, REP_OP_UPDATE, add_1);
	RepOp u[2];

	/* beside a concurrent base, larger or smaller, a delta counts */
	u[0] = op(1, 12, nothing, REP_OP_UPDATE, set_1);
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_ADD, REP_NO_OP));

	/* not under one that has seen it */
	u[1] = op(2, 11, saw_t, REP_OP_UPDATE, set_1);
	merge(&t, u, 2, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_ADD, REP_NO_OP));
	u[1] = op(2, 13, saw_t, REP_OP_UPDATE, set_1);
	merge(&t, u, 2, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_KEEP, 1));

	/* deltas do not hinder a base; the caller adds them to it */
	t = op(0, 10, nothing, REP_OP_UPDATE, set_1);
	u[0] = op(1, 12, nothing, REP_OP_UPDATE, add_1);
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(field_is(0, REP_FIELD_SET, REP_NO_OP));
	CHECK(rep_op_writes(&u[0], 1) == REP_WRITE_DELTA);
	CHECK(rep_op_writes(&t, 1) == REP_WRITE_SET);
	CHECK(rep_op_writes(&t, 0) == 0);
}

static void
update_wins(void)
{
	const uint64_t saw_t[] = { 10, 0, 0 };
	RepOp write = op(0, 10, nothing, REP_OP_UPDATE, set_0);
	RepOp delete = op(0, 10, nothing, REP_OP_DELETE, NULL);
	RepOp u[2];

	/* against a concurrent delete a write revives, larger or smaller */
	u[0] = op(1, 12, nothing, REP_OP_DELETE, NULL);
	merge(&write, u, 1, REP_ROW_DEAD, REP_POLICY_UPDATE_WINS);
	CHECK(life_is(REP_ROW_ALIVE, true, REP_NO_OP, 0));

	/* not against one that has seen it, though that got here first */
	u[1] = op(2, 11, saw_t, REP_OP_DELETE, NULL);
	merge(&write, u, 2, REP_ROW_DEAD, REP_POLICY_UPDATE_WINS);
	CHECK(life_is(REP_ROW_DEAD, false, 1, REP_NO_OP));

	/* a delete loses against a concurrent write ... */
	u[0] = op(1, 8, nothing, REP_OP_UPDATE, set_0);
	merge(&delete, u, 1, REP_ROW_ALIVE, REP_POLICY_UPDATE_WINS);
	CHECK(life_is(REP_ROW_ALIVE, false, 0, REP_NO_OP));

	/* ... unless another delete has seen that */
	u[1] = op(1, 9, nothing, REP_OP_DELETE, NULL);
	merge(&delete, u, 2, REP_ROW_DEAD, REP_POLICY_UPDATE_WINS);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, REP_NO_OP));
}

static void
delete_wins(void)
{
	const uint64_t saw_t[] = { 10, 0, 0 };
	const uint64_t saw_both[] = { 10, 12, 0 };
	RepOp write = op(0, 10, nothing, REP_OP_UPDATE, set_0);
	RepOp delete = op(0, 10, nothing, REP_OP_DELETE, NULL);
	RepOp u[2];

	u[0] = op(1, 8, nothing, REP_OP_DELETE, NULL);
	merge(&write, u, 1, REP_ROW_DEAD, REP_POLICY_DELETE_WINS);
	CHECK(life_is(REP_ROW_DEAD, false, 0, REP_NO_OP));

	/* a delete buries a concurrent write */
	u[0] = op(1, 12, nothing, REP_OP_UPDATE, set_0);
	merge(&delete, u, 1, REP_ROW_ALIVE, REP_POLICY_DELETE_WINS);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, 0));

	/* not one that has seen it and every other delete */
	u[0] = op(2, 13, saw_t, REP_OP_INSERT, all);
	merge(&delete, u, 1, REP_ROW_ALIVE, REP_POLICY_DELETE_WINS);
	CHECK(life_is(REP_ROW_ALIVE, false, 0, REP_NO_OP));
	u[1] = op(1, 12, nothing, REP_OP_DELETE, NULL);
	merge(&delete, u, 2, REP_ROW_DEAD, REP_POLICY_DELETE_WINS);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, REP_NO_OP));
	u[0] = op(2, 13, saw_both, REP_OP_INSERT, all);
	merge(&delete, u, 2, REP_ROW_ALIVE, REP_POLICY_DELETE_WINS);
	CHECK(life_is(REP_ROW_ALIVE, false, 0, REP_NO_OP));
}

static void
last_write(void)
{
	RepOp write = op(0, 10, nothing, REP_OP_UPDATE, set_0);
	RepOp delete = op(0, 10, nothing, REP_OP_DELETE, NULL);
	RepOp u[2];

	u[0] = op(1, 9, nothing, REP_OP_DELETE, NULL);
	merge(&write, u, 1, REP_ROW_DEAD, REP_POLICY_LAST_WRITE);
	CHECK(life_is(REP_ROW_ALIVE, true, REP_NO_OP, 0));
	u[1] = op(2, 10, nothing, REP_OP_DELETE, NULL);
	merge(&write, u, 2, REP_ROW_DEAD, REP_POLICY_LAST_WRITE);
	CHECK(life_is(REP_ROW_DEAD, false, 1, REP_NO_OP));

	u[0] = op(1, 9, nothing, REP_OP_UPDATE, set_0);
	merge(&delete, u, 1, REP_ROW_ALIVE, REP_POLICY_LAST_WRITE);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, 0));
	u[0] = op(1, 11, nothing, REP_OP_UPDATE, set_0);
	merge(&delete, u, 1, REP_ROW_ALIVE, REP_POLICY_LAST_WRITE);
	CHECK(life_is(REP_ROW_ALIVE, false, 0, REP_NO_OP));
	u[1] = op(2, 12, nothing, REP_OP_DELETE, NULL);
	merge(&delete, u, 2, REP_ROW_DEAD, REP_POLICY_LAST_WRITE);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, REP_NO_OP));
}

/* The values of a dead row go on being merged: its grave. */
static void
dead_rows_merge(void)
{
	const uint64_t saw_t[] = { 10, 0, 0 };
	RepOp t = op(0, 10, nothing, REP_OP_UPDATE, set_0);
	RepOp u[2];

	u[0] = op(1, 12, saw_t, REP_OP_DELETE, NULL);
	u[1] = op(2, 9, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 2, REP_ROW_DEAD, REP_POLICY_UPDATE_WINS);
	CHECK(plan.state == REP_ROW_DEAD);
	CHECK(field_is(0, REP_FIELD_SET, 1));
}

/* Slot 2 is the strong log: deps[2] is an index. */
static RepOp
strong_op(uint64_t index, uint64_t hlc, const uint64_t *deps, RepOpKind kind,
		  const RepWrite *writes)
{
	RepOp o = op(2, hlc, deps, kind, writes);

	o.stamp.stream.node = 1;
	o.index = index;
	return o;
}

static void
strong_is_seen_by_index(void)
{
	const uint64_t saw_4[] = { 0, 0, 4 };
	RepOp t = op(0, 10, saw_4, REP_OP_UPDATE, set_0);
	RepOp o = strong_op(4, 99, nothing, REP_OP_UPDATE, set_0);
	RepOp later = strong_op(6, 50, saw_4, REP_OP_UPDATE, set_0);

	CHECK(rep_op_has_seen(&t, &o));
	o.index = 5;
	CHECK(!rep_op_has_seen(&t, &o));
	/* later in the log is not to have seen */
	CHECK(!rep_op_has_seen(&later, &o));
	o.index = 4;
	CHECK(rep_op_has_seen(&later, &o));
	/* of one transaction: by place */
	o = later;
	later.ordinal = 1;
	CHECK(rep_op_has_seen(&later, &o) && !rep_op_has_seen(&o, &later));
}

static void
strong_columns_and_life(void)
{
	static const RepWrite strong[] = { { 0, REP_WRITE_STRONG } };
	RepOp t = strong_op(5, 10, nothing, REP_OP_UPDATE, strong);
	RepOp u[2];

	/* written under two tags, a column has the value of the larger stamp */
	u[0] = op(0, 5, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(field_is(0, REP_FIELD_SET, 0));
	u[0] = op(0, 30, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 1, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(field_is(0, REP_FIELD_KEEP, 0));
	merge(&u[0], &t, 1, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(field_is(0, REP_FIELD_SET, 0));
	u[0] = op(0, 5, nothing, REP_OP_UPDATE, set_0);
	merge(&u[0], &t, 1, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(field_is(0, REP_FIELD_KEEP, 0));
	u[0] = strong_op(4, 20, nothing, REP_OP_UPDATE, strong);
	u[1] = op(0, 30, nothing, REP_OP_UPDATE, set_0);

	/* eventual columns merge by stamp, strong transactions' ones too */
	t = strong_op(5, 10, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 2, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(field_is(0, REP_FIELD_KEEP, 1));

	/* an UPDATE revives nothing, a strong INSERT does, a DELETE ends it */
	u[0] = strong_op(4, 20, nothing, REP_OP_DELETE, NULL);
	t = op(0, 30, nothing, REP_OP_UPDATE, set_0);
	merge(&t, u, 1, REP_ROW_DEAD, REP_POLICY_STRONG);
	CHECK(life_is(REP_ROW_DEAD, false, 0, REP_NO_OP));
	t = strong_op(5, 10, nothing, REP_OP_INSERT, all);
	merge(&t, u, 1, REP_ROW_DEAD, REP_POLICY_STRONG);
	CHECK(plan.state == REP_ROW_ALIVE);
	t = strong_op(6, 10, nothing, REP_OP_DELETE, NULL);
	merge(&t, u + 1, 1, REP_ROW_ALIVE, REP_POLICY_STRONG);
	CHECK(life_is(REP_ROW_DEAD, false, REP_NO_OP, 0));
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("seen is read from deps, positions and places", seen_or_not);
	unit_run("with nothing unseen T is simply done", nothing_unseen);
	unit_run("the largest stamp takes the field; the loser is named",
			 largest_stamp_takes_the_field);
	unit_run("deltas count unless the base has seen them", counters);
	unit_run("life by update_wins", update_wins);
	unit_run("life by delete_wins", delete_wins);
	unit_run("life by last_write", last_write);
	unit_run("a dead row's values are merged all the same", dead_rows_merge);
	unit_run("strong operations are seen by index", strong_is_seen_by_index);
	unit_run("the stamp decides strong columns, the log life",
			 strong_columns_and_life);
	return unit_finish();
}
