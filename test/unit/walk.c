/*
 * walk.c
 *		Reads a whole frame and writes it again; see walk.h.
 *
 * Not thread-safe: the rooms are static.
 */
#include "walk.h"

#include <stdlib.h>
#include <string.h>

/* definitions kept per frame; more are read and left */
#define WALK_DESCRIPTORS 4

typedef struct Catalog
{
	uint32_t n;
	RepDescriptor ds[WALK_DESCRIPTORS];
} Catalog;

static RepColumn columns_room[WALK_DESCRIPTORS + 1][REP_MAX_COLUMNS];
static RepVersion deps_room[REP_MAX_VECTOR];
static RepVersion acks_room[REP_MAX_VECTOR];
static WalkRoom change_room;

/* What is written again, at most as long as what was read. */
static void
again_begin(RepWriter *again, size_t len)
{
	void *room = malloc(len > 0 ? len : 1);

	if (room == NULL)
		abort();
	rep_writer_init(again, room, len);
}

static WalkResult
again_end(RepWriter *again, const uint8_t *read, size_t len)
{
	bool same = !again->full && again->len == len &&
				(len == 0 || memcmp(again->data, read, len) == 0);

	free(again->data);
	return same ? WALK_FAITHFUL : WALK_UNFAITHFUL;
}

void
walk_room(RepChange *c, WalkRoom *room)
{
	c->key = room->key;
	c->row = room->row;
	c->fields = room->fields;
}

void
walk_write_change(RepWriter *w, const RepDescriptor *d, const RepChange *c)
{
	if (c->kind == REP_CHANGE_META)
	{
		rep_write_meta(w, c->meta, c->body.data, c->body.len);
		return;
	}
	rep_write_change_head(w, c->kind, c->descriptor);
	if (c->kind == REP_CHANGE_TRUNCATE)
	{
		rep_write_u8(w, c->flags);
		return;
	}
	if (c->kind != REP_CHANGE_UPDATE)
	{
		for (uint32_t i = 0; i < d->ncolumns; i++)
			rep_write_value(w, &c->row[i]);
		return;
	}
	for (uint32_t i = 0; i < d->nkeys; i++)
		rep_write_value(w, &c->key[i]);
	rep_write_varint(w, c->nfields);
	for (uint32_t i = 0; i < c->nfields; i++)
		rep_write_field(w, c->fields[i].column, c->fields[i].base,
						&c->fields[i].before, &c->fields[i].after);
}

WalkResult
walk_descriptor(const void *data, size_t len, RepDescriptor *d)
{
	RepWriter again;
	int ncolumns = rep_descriptor_columns(data, len);

	if (!rep_descriptor_decode(data, len, REP_MAX_COLUMNS, d))
		return WALK_REJECTED;
	if (ncolumns < 0 || (uint32_t) ncolumns != d->ncolumns)
		return WALK_UNFAITHFUL;
	again_begin(&again, len);
	rep_descriptor_encode(d, &again);
	return again_end(&again, data, len);
}

static const RepDescriptor *
find_descriptor(const RepDescriptor *ds, uint32_t nds, uint64_t hash,
				uint32_t other)
{
	for (uint32_t i = 0; i < nds; i++)
		if (ds[i].hash == hash)
			return &ds[i];
	return nds == 0 ? NULL : &ds[other % nds];
}

WalkResult
walk_payload(const void *data, size_t len, const RepDescriptor *ds,
			 uint32_t nds)
{
	RepPayload p;
	RepWriter again;
	RepChange c;
	bool accepted;

	if (!rep_payload_open(&p, data, len))
		return WALK_REJECTED;
	walk_room(&c, &change_room);
	again_begin(&again, len);
	rep_payload_begin(&again, p.descriptors, p.ndescriptors);
	accepted = true;
	while (accepted && !rep_payload_at_end(&p))
	{
		int at = rep_payload_peek(&p);
		const RepDescriptor *d =
			at < 0 ? NULL
				   : find_descriptor(ds, nds, p.descriptors[at], (uint32_t) at);

		accepted = rep_payload_next(&p, d, &c);
		if (accepted)
			walk_write_change(&again, d, &c);
		else if (!p.r.bad || rep_payload_at_end(&p))
			abort();
	}
	if (!accepted)
	{
		free(again.data);
		return WALK_REJECTED;
	}
	return again_end(&again, data, len);
}

/* A payload may be malformed in a sound frame; it may not be unfaithful. */
static void
take_payload(const Catalog *known, const uint8_t *data, size_t len,
			 WalkResult *result)
{
	if (walk_payload(data, len, known->ds, known->n) == WALK_UNFAITHFUL)
		*result = WALK_UNFAITHFUL;
}

/* The definitions in front of transactions and chunks. */
static void
take_descriptors(RepReader *r, uint32_t n, Catalog *known, RepWriter *again,
				 WalkResult *result)
{
	known->n = 0;
	for (uint32_t i = 0; i < n && !r->bad; i++)
	{
		size_t len;
		const uint8_t *data = rep_read_blob(r, &len);
		RepDescriptor spare;
		RepDescriptor *d =
			known->n < WALK_DESCRIPTORS ? &known->ds[known->n] : &spare;
		WalkResult one;

		if (data == NULL)
			return;
		rep_interval_descriptor(again, data, len);
		d->columns = columns_room[known->n];
		one = walk_descriptor(data, len, d);
		if (one == WALK_UNFAITHFUL)
			*result = one;
		if (one == WALK_FAITHFUL && d != &spare)
			known->n++;
	}
}

static bool
walk_interval(RepReader *r, RepWriter *again, WalkResult *result)
{
	RepInterval i = { .mark.acks = { acks_room, 0, REP_MAX_VECTOR } };
	RepTransaction t = { .deps = { deps_room, 0, REP_MAX_VECTOR } };
	Catalog known;
	uint64_t before;
	uint64_t chain = 0;

	if (!rep_interval_decode(r, &i))
		return false;
	rep_interval_encode(&i, again);
	take_descriptors(r, i.ndescriptors, &known, again, result);
	if (!rep_interval_decode_count(r, &i))
		return false;
	rep_interval_begin_transactions(again, i.ntransactions);
	before = i.from;
	for (uint32_t n = 0; n < i.ntransactions; n++)
	{
		if (!rep_transaction_decode(r, &t) ||
			!rep_interval_accepts(&i, before, &t))
			return false;
		before = t.position;
		chain = rep_chain_link(chain, (RepStamp){ t.position, i.stream },
							   &t.deps, t.payload, t.payload_len);
		rep_transaction_encode(&t, again);
		take_payload(&known, t.payload, t.payload_len, result);
	}
	return true;
}

static bool
walk_chunks(RepReader *r, RepWriter *again, WalkResult *result)
{
	RepChunks c;
	Catalog known;
	uint64_t chain = 0;

	if (!rep_chunks_decode(r, &c))
		return false;
	rep_chunks_encode(&c, again);
	take_descriptors(r, c.ndescriptors, &known, again, result);
	for (uint32_t n = 0; n < c.nchunks; n++)
	{
		uint64_t ordinal;
		size_t len;
		const uint8_t *payload = rep_chunk_decode(r, &ordinal, &len);

		if (payload == NULL)
			return false;
		chain = rep_chain_chunk(chain, ordinal, payload, len);
		rep_chunk_encode(again, ordinal, payload, len);
		take_payload(&known, payload, len, result);
	}
	return true;
}

WalkResult
walk_body(RepFrameType type, RepReader *body)
{
	const uint8_t *start = body->data + body->at;
	size_t len = rep_reader_left(body);
	RepHello hello = { .applied = { acks_room, 0, REP_MAX_VECTOR } };
	RepAnswer answer = { .applied = { acks_room, 0, REP_MAX_VECTOR } };
	RepWriter again;
	WalkResult inside = WALK_FAITHFUL;
	WalkResult outside;
	bool accepted = false;

	again_begin(&again, len);
	switch (type)
	{
		case REP_FRAME_HELLO:
			accepted = rep_hello_decode(body, &hello);
			if (accepted)
				rep_hello_encode(&hello, &again);
			break;
		case REP_FRAME_INTERVAL:
			accepted = walk_interval(body, &again, &inside);
			break;
		case REP_FRAME_CHUNKS:
			accepted = walk_chunks(body, &again, &inside);
			break;
		case REP_FRAME_ANSWER:
			accepted = rep_answer_decode(body, &answer);
			if (accepted)
				rep_answer_encode(&answer, &again);
			break;
	}
	outside = again_end(&again, start, len);
	if (inside == WALK_UNFAITHFUL)
		return inside;
	return accepted && rep_reader_done(body) ? outside : WALK_REJECTED;
}

WalkResult
walk_frame(const void *data, size_t len)
{
	RepFrameType type;
	RepReader body;

	if (rep_frame_open(data, len, &type, &body) != REP_FRAME_OK)
		return WALK_REJECTED;
	return walk_body(type, &body);
}

void
walk_fix_header(uint8_t *frame, size_t len)
{
	RepFrameType type = (RepFrameType) frame[3];
	RepWriter w = { .data = frame, .cap = len, .len = len, .full = false };

	rep_frame_end(&w, type);
}
