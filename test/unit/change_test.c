/*
 * change_test.c
 *		Payloads and descriptors: there and back, cut and damaged.
 */
#include "gen.h"
#include "unit.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>

static WalkRoom want_room;
static WalkRoom got_room;
static RepColumn columns[REP_MAX_COLUMNS];

static bool
same_bytes(const void *a, size_t alen, const void *b, size_t blen)
{
	return alen == blen && (alen == 0 || memcmp(a, b, alen) == 0);
}

static bool
same_value(const RepValue *a, const RepValue *b)
{
	return a->null == b->null &&
		   (a->null || same_bytes(a->data, a->len, b->data, b->len));
}

static bool
same_values(const RepValue *a, const RepValue *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!same_value(&a[i], &b[i]))
			return false;
	return true;
}

static bool
same_change(const RepDescriptor *d, const RepChange *a, const RepChange *b)
{
	if (a->kind != b->kind || a->descriptor != b->descriptor)
		return false;
	if (a->kind == REP_CHANGE_META)
		return a->meta == b->meta && same_value(&a->body, &b->body);
	if (a->kind == REP_CHANGE_TRUNCATE)
		return a->flags == b->flags;
	if (a->kind != REP_CHANGE_UPDATE)
		return same_values(a->row, b->row, d->ncolumns);
	if (a->nfields != b->nfields || !same_values(a->key, b->key, d->nkeys))
		return false;
	for (uint32_t i = 0; i < a->nfields; i++)
		if (a->fields[i].column != b->fields[i].column ||
			a->fields[i].base != b->fields[i].base ||
			!same_value(&a->fields[i].before, &b->fields[i].before) ||
			!same_value(&a->fields[i].after, &b->fields[i].after))
			return false;
	return true;
}

static void
changes_travel(void)
{
	UnitRng rng = { unit_seed() };
	int kinds[6] = { 0 };

	for (int round = 0; round < 5000; round++)
	{
		GenDescriptor g;
		RepChange want;
		RepChange got;
		RepPayload p;
		RepWriter w;
		uint8_t b[16384];
		size_t head;
		int index;

		gen_descriptor(&rng, &g);
		walk_room(&want, &want_room);
		walk_room(&got, &got_room);
		gen_change(&rng, &g.d, 0, &want);
		rep_writer_init(&w, b, sizeof(b));
		rep_payload_begin(&w, &g.d.hash, 1);
		head = w.len;
		walk_write_change(&w, &g.d, &want);
		kinds[want.kind]++;

		CHECK(rep_payload_open(&p, b, w.len));
		CHECK(p.ndescriptors == 1 && p.descriptors[0] == g.d.hash);
		CHECK(!rep_payload_at_end(&p));
		index = rep_payload_peek(&p);
		CHECK(index == (want.kind == REP_CHANGE_META ? -1 : 0));
		CHECK(rep_payload_next(&p, index < 0 ? NULL : &g.d, &got));
		CHECK(same_change(&g.d, &want, &got));
		CHECK(got.start == b + head && got.size == w.len - head);
		CHECK(rep_payload_at_end(&p));
		CHECK(rep_payload_peek(&p) == -2);
	}
	for (int k = REP_CHANGE_INSERT; k <= REP_CHANGE_META; k++)
		CHECK(kinds[k] > 100);
}

static void
payload_cut_and_damaged(void)
{
	UnitRng rng = { unit_seed() };
	uint64_t rejected = 0;
	uint64_t accepted = 0;

	for (int round = 0; round < 400; round++)
	{
		GenDescriptor g;
		uint8_t b[16384];
		uint8_t *exact;
		RepWriter w;

		gen_descriptor(&rng, &g);
		rep_writer_init(&w, b, sizeof(b));
		gen_payload(&rng, &g, 1, &w);
		CHECK(walk_payload(b, w.len, &g.d, 1) == WALK_FAITHFUL);

		/* cut between two changes it is a shorter payload, else it is bad */
		for (size_t cut = 0; cut < w.len; cut++)
		{
			exact = unit_exact_copy(b, cut);
			CHECK(walk_payload(exact, cut, &g.d, 1) != WALK_UNFAITHFUL);
			CHECK(cut >= 10 ||
				  walk_payload(exact, cut, &g.d, 1) == WALK_REJECTED);
			free(exact);
		}
		exact = unit_exact_copy(b, w.len);
		for (int i = 0; i < 250; i++)
		{
			size_t at = unit_below(&rng, (uint32_t) w.len);
			uint8_t old = exact[at];
			WalkResult result;

			exact[at] ^= (uint8_t) (1 + unit_below(&rng, 255));
			result = walk_payload(exact, w.len, &g.d, 1);
			CHECK(result != WALK_UNFAITHFUL);
			rejected += result == WALK_REJECTED;
			accepted += result == WALK_FAITHFUL;
			exact[at] = old;
		}
		free(exact);
	}
	unit_note("100000 damaged payloads: %llu rejected, %llu decoded to what "
			  "their bytes say",
			  (unsigned long long) rejected, (unsigned long long) accepted);
	CHECK(rejected > 5000 && accepted > 5000);
}

static bool
same_descriptor(const RepDescriptor *a, const RepDescriptor *b)
{
	if (a->hash != b->hash || a->append_only != b->append_only ||
		a->policy != b->policy || a->ncolumns != b->ncolumns ||
		a->nkeys != b->nkeys ||
		!same_bytes(a->schema, a->schema_len, b->schema, b->schema_len) ||
		!same_bytes(a->table, a->table_len, b->table, b->table_len))
		return false;
	for (uint32_t i = 0; i < a->ncolumns; i++)
	{
		const RepColumn *x = &a->columns[i];
		const RepColumn *y = &b->columns[i];

		if (x->text != y->text || x->rule != y->rule || x->key != y->key ||
			!same_bytes(x->name, x->name_len, y->name, y->name_len) ||
			!same_bytes(x->type, x->type_len, y->type, y->type_len))
			return false;
	}
	return true;
}

static void
descriptors_travel(void)
{
	UnitRng rng = { unit_seed() };
	uint64_t accepted = 0;

	for (int round = 0; round < 1000; round++)
	{
		GenDescriptor g;
		RepDescriptor d = { .columns = columns };
		uint8_t *exact;

		gen_descriptor(&rng, &g);
		CHECK(walk_descriptor(g.bytes, g.len, &d) == WALK_FAITHFUL);
		CHECK(same_descriptor(&g.d, &d));
		CHECK(!rep_descriptor_decode(g.bytes, g.len, g.d.ncolumns - 1, &d));
		for (size_t cut = 0; cut < g.len; cut++)
		{
			exact = unit_exact_copy(g.bytes, cut);
			CHECK(walk_descriptor(exact, cut, &d) == WALK_REJECTED);
			free(exact);
		}
		exact = unit_exact_copy(g.bytes, g.len);
		for (int i = 0; i < 100; i++)
		{
			size_t at = unit_below(&rng, (uint32_t) g.len);
			uint8_t old = exact[at];
			WalkResult result;

			exact[at] ^= (uint8_t) (1 + unit_below(&rng, 255));
			result = walk_descriptor(exact, g.len, &d);
			CHECK(result != WALK_UNFAITHFUL);
			if (result == WALK_FAITHFUL)
			{
				CHECK(d.hash != g.d.hash);
				accepted++;
			}
			exact[at] = old;
		}
		free(exact);
	}
	CHECK(accepted > 1000);
}

/* Encodes *d and says whether that decodes. */
static bool
sound(const RepDescriptor *d)
{
	RepDescriptor back = { .columns = columns };
	uint8_t b[2048];
	RepWriter w;

	rep_writer_init(&w, b, sizeof(b));
	rep_descriptor_encode(d, &w);
	return rep_descriptor_decode(b, w.len, REP_MAX_COLUMNS, &back);
}

static RepColumn
column(const char *name, uint32_t key)
{
	return (RepColumn){ .name = name,
						.name_len = strlen(name),
						.type = "text",
						.type_len = 4,
						.rule = REP_RULE_LAST_WRITE,
						.key = key };
}

static void
bad_descriptors(void)
{
	RepColumn three[] = { column("a", 2), column("b", 0), column("c", 1) };
	RepDescriptor d = { .policy = REP_POLICY_UPDATE_WINS,
						.schema = "s",
						.schema_len = 1,
						.table = "t",
						.table_len = 1,
						.ncolumns = 3,
						.columns = three };

	CHECK(sound(&d));
	three[0].key = 1;
	CHECK(!sound(&d));
	three[0].key = 3;
	CHECK(!sound(&d));
	three[0].key = REP_MAX_COLUMNS + 1;
	CHECK(!sound(&d));
	three[0] = column("c", 2);
	CHECK(!sound(&d));
	three[0] = column("", 2);
	CHECK(!sound(&d));
	three[0] = column("cc", 2);
	CHECK(sound(&d));
	three[1].rule = (RepRule) (REP_RULE_STRONG + 1);
	CHECK(!sound(&d));
	three[1].rule = (RepRule) 0;
	CHECK(!sound(&d));
	three[1].rule = REP_RULE_COUNTER;
	CHECK(sound(&d));
	d.policy = (RepRowPolicy) 0;
	CHECK(!sound(&d));
	d.policy = (RepRowPolicy) (REP_POLICY_STRONG + 1);
	CHECK(!sound(&d));
	d.policy = REP_POLICY_LAST_WRITE;
	d.table_len = 0;
	CHECK(!sound(&d));
}

/*
 * Opens a payload of one descriptor with these bytes as its first change; its
 * arrays have exactly the room that is asked for.
 */
static bool
change_decodes(const RepDescriptor *d, const char *bytes, size_t len)
{
	RepPayload p;
	RepChange c;
	RepWriter w;
	uint8_t b[200];
	bool decoded;

	c.key = unit_exact_copy(want_room.key, d->nkeys * sizeof(RepValue));
	c.row = unit_exact_copy(want_room.row, d->ncolumns * sizeof(RepValue));
	c.fields =
		unit_exact_copy(want_room.fields, d->ncolumns * sizeof(RepField));
	rep_writer_init(&w, b, sizeof(b));
	rep_payload_begin(&w, &d->hash, 1);
	rep_write_bytes(&w, bytes, len);
	decoded = rep_payload_open(&p, b, w.len) && rep_payload_next(&p, d, &c) &&
			  rep_payload_at_end(&p);
	free(c.key);
	free(c.row);
	free(c.fields);
	return decoded;
}

#define DECODES(d, bytes) change_decodes((d), (bytes), sizeof(bytes) - 1)

static void
bad_changes(void)
{
	RepColumn two[] = { column("a", 1), column("b", 0) };
	RepDescriptor d = { .ncolumns = 2, .nkeys = 1, .columns = two };
	RepDescriptor keyless = { .ncolumns = 2, .columns = two };
	static uint8_t many[3000];
	RepPayload p;

	/* update of column 1, key 'k': NULL becomes 'x' */
	CHECK(DECODES(&d, "\2\0\2k\1\2\0\2x"));
	CHECK(!DECODES(&keyless, "\2\0\1\2\0\2x"));
	CHECK(!DECODES(NULL == &d ? NULL : &d,
				   "\2\1\2k\1\2\0\2x"));     /* descriptor 1 */
	CHECK(!DECODES(&d, "\2\0\2k\1\3\0\2x")); /* base, but not a counter */
	two[1].rule = REP_RULE_COUNTER;
	CHECK(DECODES(&d, "\2\0\2k\1\3\0\2x"));
	CHECK(!DECODES(&d, "\2\0\2k\1\4\0\2x")); /* column 2 of 2 */
	CHECK(DECODES(&d, "\2\0\2k\2\0\0\0\2\0\2x"));
	CHECK(!DECODES(&d, "\2\0\2k\2\2\0\0\0\0\2x"));      /* descending */
	CHECK(!DECODES(&d, "\2\0\2k\2\2\0\0\2\0\2x"));      /* twice */
	CHECK(!DECODES(&d, "\2\0\2k\3\0\0\0\2\0\0\4\0\0")); /* three of two */
	CHECK(!DECODES(&d, "\2\0\2k\3\0\0\0\2\0\0\2\0\0"));

	CHECK(DECODES(&d, "\3\0\2k\0"));
	CHECK(!DECODES(&keyless, "\3\0\2k\0"));
	CHECK(DECODES(&keyless, "\1\0\2k\0"));
	CHECK(DECODES(&d, "\4\0\3"));
	CHECK(!DECODES(&d, "\4\0\4")); /* unknown flag */
	CHECK(!DECODES(&d, "\0\0\0\0"));
	CHECK(!DECODES(&d, "\6\0\0\0"));
	CHECK(DECODES(&d, "\5\7\3abc"));
	CHECK(!DECODES(&d, "\5\7\4abc"));
	CHECK(!DECODES(&d, "\5\x80\x80\x80\x80\x10\0")); /* meta kind 2^32 */

	/* heads: version, number of descriptors */
	CHECK(rep_payload_open(&p, "\1\0", 2) && rep_payload_at_end(&p));
	CHECK(!rep_payload_open(&p, "\2\0", 2));
	CHECK(!rep_payload_open(&p, "\1\1", 2));
	many[0] = 1;
	many[1] = 0x80; /* 256 */
	many[2] = 2;
	CHECK(!rep_payload_open(&p, many, sizeof(many)));
	many[1] = 0xff; /* 255 */
	many[2] = 1;
	CHECK(rep_payload_open(&p, many, 3 + 255 * 8));
	CHECK(p.ndescriptors == REP_MAX_PAYLOAD_DESCRIPTORS);
}

int
main(int argc, char **argv)
{
	unit_start(argc, argv);
	unit_run("changes travel", changes_travel);
	unit_run("payloads cut and damaged are rejected or mean what they say",
			 payload_cut_and_damaged);
	unit_run("descriptors travel; cut or damaged they are not the same",
			 descriptors_travel);
	unit_run("descriptors that break a rule are rejected", bad_descriptors);
	unit_run("changes that break a rule are rejected", bad_changes);
	return unit_finish();
}
