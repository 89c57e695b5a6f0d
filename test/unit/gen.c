/*
 * gen.c
 *		Random valid inputs; see gen.h.
 */
#include "gen.h"
#include "walk.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_VALUE 40

static uint8_t noise[1024];

static void
noise_fill(void)
{
	UnitRng rng = { 1 };

	if (noise[0] != 0)
		return;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t) (unit_random(&rng) | 1);
}

static RepStreamId
gen_stream(UnitRng *rng)
{
	RepStreamId s;

	s.node = unit_once_in(rng, 8) ? (uint32_t) unit_any_size(rng)
								  : unit_below(rng, 6);
	s.boot = unit_once_in(rng, 2) ? unit_random(rng) : unit_below(rng, 3);
	return s;
}

void
gen_vector(UnitRng *rng, RepVector *v, uint32_t most)
{
	uint32_t n = unit_below(rng, most + 1);

	v->len = 0;
	for (uint32_t i = 0; i < n; i++)
		rep_vector_set(v, gen_stream(rng), unit_any_size(rng));
}

static RepValue
gen_value(UnitRng *rng)
{
	RepValue v = { .null = unit_once_in(rng, 5) };

	noise_fill();
	if (v.null)
		return v;
	v.len = unit_once_in(rng, 10) ? unit_below(rng, 300)
								  : unit_below(rng, MAX_VALUE);
	v.data = noise + unit_below(rng, (uint32_t) (sizeof(noise) - v.len));
	return v;
}

void
gen_descriptor(UnitRng *rng, GenDescriptor *g)
{
	static const char *const types[] = { "integer", "text", "numeric(10,2)",
										 "public.mood" };
	RepDescriptor *d = &g->d;
	uint32_t order[GEN_COLUMNS];
	RepWriter w;

	memset(d, 0, sizeof(*d));
	d->columns = g->columns;
	d->append_only = unit_once_in(rng, 6);
	d->policy = (RepRowPolicy) (1 + unit_below(rng, 3));
	d->schema = "public";
	d->schema_len = 6;
	d->table = "seats";
	d->table_len = 5;
	d->ncolumns = 1 + unit_below(rng, GEN_COLUMNS);
	d->nkeys = d->append_only ? 0 : 1 + unit_below(rng, d->ncolumns);
	for (uint32_t i = 0; i < d->ncolumns; i++)
	{
		RepColumn *c = &g->columns[i];
		uint32_t k = unit_below(rng, i + 1);

		snprintf(g->names[i], sizeof(g->names[i]), "c%u", i);
		c->name = g->names[i];
		c->name_len = strlen(c->name);
		c->type = types[unit_below(rng, 4)];
		c->type_len = strlen(c->type);
		c->text = unit_once_in(rng, 2);
		c->rule = unit_once_in(rng, 3) ? REP_RULE_COUNTER : REP_RULE_LAST_WRITE;
		c->key = 0;

		/* which columns are the key, in random order */
		order[i] = order[k];
		order[k] = i;
	}
	for (uint32_t i = 0; i < d->nkeys; i++)
		g->columns[order[i]].key = i + 1;

	rep_writer_init(&w, g->bytes, sizeof(g->bytes));
	rep_descriptor_encode(d, &w);
	g->len = w.len;
	d->hash = rep_hash64(g->bytes, g->len, 0);
}

static void
gen_update(UnitRng *rng, const RepDescriptor *d, RepChange *c)
{
	for (uint32_t i = 0; i < d->nkeys; i++)
		c->key[i] = gen_value(rng);
	for (uint32_t i = 0; i < d->ncolumns; i++)
	{
		RepField *f = &c->fields[c->nfields];

		if (unit_once_in(rng, 2))
			continue;
		f->column = i;
		f->base =
			d->columns[i].rule == REP_RULE_COUNTER && unit_once_in(rng, 3);
		f->before = gen_value(rng);
		f->after = gen_value(rng);
		c->nfields++;
	}
}

void
gen_change(UnitRng *rng, const RepDescriptor *d, uint32_t index, RepChange *c)
{
	static const RepChangeKind keyed[] = {
		REP_CHANGE_INSERT, REP_CHANGE_UPDATE,   REP_CHANGE_UPDATE,
		REP_CHANGE_DELETE, REP_CHANGE_TRUNCATE, REP_CHANGE_META
	};
	static const RepChangeKind plain[] = { REP_CHANGE_INSERT,
										   REP_CHANGE_TRUNCATE,
										   REP_CHANGE_META };

	c->kind =
		d->nkeys > 0 ? keyed[unit_below(rng, 6)] : plain[unit_below(rng, 3)];
	c->descriptor = c->kind == REP_CHANGE_META ? 0 : index;
	c->nfields = 0;
	c->flags = 0;
	c->meta = 0;
	c->body = (RepValue){ .null = true };
	if (c->kind == REP_CHANGE_META)
	{
		c->meta = (uint32_t) unit_any_size(rng);
		c->body = gen_value(rng);
		c->body.null = false;
	}
	else if (c->kind == REP_CHANGE_TRUNCATE)
		c->flags = (uint8_t) unit_below(rng, 4);
	else if (c->kind == REP_CHANGE_UPDATE)
		gen_update(rng, d, c);
	else
		for (uint32_t i = 0; i < d->ncolumns; i++)
			c->row[i] = gen_value(rng);
}

void
gen_payload(UnitRng *rng, const GenDescriptor *gs, uint32_t n, RepWriter *w)
{
	uint64_t hashes[2] = { 0 };
	static WalkRoom room;
	RepChange c;

	assert(n <= 2);
	for (uint32_t i = 0; i < n; i++)
		hashes[i] = gs[i].d.hash;
	rep_payload_begin(w, hashes, n);
	walk_room(&c, &room);
	for (uint32_t k = n == 0 ? 0 : unit_below(rng, 4); k > 0; k--)
	{
		uint32_t index = unit_below(rng, n);

		gen_change(rng, &gs[index].d, index, &c);
		walk_write_change(w, &gs[index].d, &c);
	}
}

/* Writes n definitions as blobs. */
static void
gen_definitions(UnitRng *rng, GenDescriptor *gs, uint32_t n, RepWriter *w)
{
	for (uint32_t i = 0; i < n; i++)
	{
		gen_descriptor(rng, &gs[i]);
		rep_interval_descriptor(w, gs[i].bytes, gs[i].len);
	}
}

static void
gen_interval(UnitRng *rng, RepWriter *w)
{
	RepVersion entries[4];
	GenDescriptor gs[2];
	RepInterval i = { .stream = gen_stream(rng) };
	uint64_t position;

	i.from = unit_any_size(rng) >> 1;
	i.to = i.from + 100 + (unit_any_size(rng) >> 2);
	i.mark.closed = unit_any_size(rng);
	i.mark.chain = unit_random(rng);
	i.mark.acked_at = unit_once_in(rng, 3) ? 0 : i.to;
	i.mark.acks = (RepVector){ entries, 0, 4 };
	if (i.mark.acked_at > 0)
		gen_vector(rng, &i.mark.acks, 4);
	i.ndescriptors = unit_below(rng, 3);
	i.ntransactions = unit_below(rng, 4);
	rep_interval_encode(&i, w);
	gen_definitions(rng, gs, i.ndescriptors, w);
	rep_interval_begin_transactions(w, i.ntransactions);
	position = i.from;
	for (uint32_t k = 0; k < i.ntransactions; k++)
	{
		RepTransaction t = { .deps = { entries, 0, 4 } };
		uint8_t payload[8192];
		RepWriter p;

		position += 1 + unit_below(rng, 20);
		t.position = position;
		t.xid = unit_any_size(rng);
		t.nchunks = unit_once_in(rng, 5) ? unit_below(rng, 300) : 0;
		do
			gen_vector(rng, &t.deps, 4);
		while (!rep_interval_accepts(&i, position - 1, &t));
		rep_writer_init(&p, payload, sizeof(payload));
		gen_payload(rng, gs, i.ndescriptors, &p);
		t.payload = payload;
		t.payload_len = p.len;
		rep_transaction_encode(&t, w);
	}
}

static void
gen_chunks(UnitRng *rng, RepWriter *w)
{
	GenDescriptor gs[2];
	RepChunks c = { .stream = gen_stream(rng), .xid = unit_any_size(rng) };

	c.ndescriptors = unit_below(rng, 3);
	c.nchunks = unit_below(rng, 4);
	rep_chunks_encode(&c, w);
	gen_definitions(rng, gs, c.ndescriptors, w);
	for (uint32_t k = 0; k < c.nchunks; k++)
	{
		uint8_t payload[8192];
		RepWriter p;

		rep_writer_init(&p, payload, sizeof(payload));
		gen_payload(rng, gs, c.ndescriptors, &p);
		rep_chunk_encode(w, k, payload, p.len);
	}
}

void
gen_frame(UnitRng *rng, RepFrameType type, RepWriter *w)
{
	RepVersion entries[6];
	RepHello hello = { .applied = { entries, 0, 6 } };
	RepAnswer answer = { .applied = { entries, 0, 6 } };

	rep_frame_begin(w);
	switch (type)
	{
		case REP_FRAME_HELLO:
			hello.from = gen_stream(rng);
			hello.cluster = unit_random(rng);
			hello.encoding = unit_below(rng, 40);
			hello.hlc = unit_any_size(rng);
			gen_vector(rng, &hello.applied, 6);
			rep_hello_encode(&hello, w);
			break;
		case REP_FRAME_INTERVAL:
			gen_interval(rng, w);
			break;
		case REP_FRAME_CHUNKS:
			gen_chunks(rng, w);
			break;
		case REP_FRAME_ANSWER:
			answer.hlc = unit_any_size(rng);
			answer.taken = unit_any_size(rng);
			gen_vector(rng, &answer.applied, 6);
			rep_answer_encode(&answer, w);
			break;
	}
	rep_frame_end(w, type);
}
