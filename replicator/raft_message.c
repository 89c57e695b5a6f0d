/*
 * raft_message.c
 *		The engine's messages as bytes.
 *
 * The invariants are those of raft_message.h.
 */
#include "raft_message.h"

#include <string.h>

#define FLAG_REJECT 1
#define FLAG_TRANSFER 2
#define FLAG_WANT_HELD 4
#define FLAG_HELD 8
#define FLAG_BASE 16
#define FLAG_ALL 31

#define MEMBER_VOTER 1
#define MEMBER_WITNESS 2

/* least bytes of one item, so that a count can be held against what is left */
#define LEAST_VERSION 10
#define LEAST_KEY 10
#define LEAST_MEMBER 2
#define LEAST_ENTRY 7

static void
write_stamp(RepWriter *w, RepStamp s)
{
	rep_write_varint(w, s.hlc);
	rep_write_varint(w, s.stream.node);
	rep_write_u64(w, s.stream.boot);
}

static uint32_t
read_u32(RepReader *r)
{
	uint64_t v = rep_read_varint(r);

	if (v > UINT32_MAX)
		r->bad = true;
	return (uint32_t) v;
}

static RepStamp
read_stamp(RepReader *r)
{
	RepStamp s;

	s.hlc = rep_read_varint(r);
	s.stream.node = read_u32(r);
	s.stream.boot = rep_read_u64(r);
	return s;
}

/* How many items follow; none can be smaller than `least` bytes. */
static uint32_t
read_count(RepReader *r, size_t least)
{
	uint64_t n = rep_read_varint(r);

	if (n > rep_reader_left(r) / least)
		r->bad = true;
	return r->bad ? 0 : (uint32_t) n;
}

static void *
take_array(RepReader *r, RepArena *a, uint32_t n, size_t size)
{
	void *p;

	if (n == 0)
		return NULL;
	p = rep_arena_array(a, n, size);
	if (p == NULL)
		r->bad = true;
	return p;
}

static void
write_versions(RepWriter *w, const RepVersion *v, uint32_t n)
{
	RepVector vector = { .entries = (RepVersion *) v, .len = n };

	rep_vector_encode(&vector, w);
}

static const RepVersion *
read_versions(RepReader *r, RepArena *a, uint32_t *n)
{
	RepReader ahead = *r;
	uint32_t count = read_count(&ahead, LEAST_VERSION);
	RepVector v = { .entries = NULL, .len = 0, .cap = count };

	*n = 0;
	if (ahead.bad)
	{
		r->bad = true;
		return NULL;
	}
	v.entries = take_array(r, a, count, sizeof(RepVersion));
	if (r->bad)
		return NULL;
	rep_vector_decode(r, &v);
	*n = v.len;
	return v.entries;
}

static void
write_members(RepWriter *w, const RepRaftMember *m, uint32_t n)
{
	rep_write_varint(w, n);
	for (uint32_t i = 0; i < n; i++)
	{
		rep_write_varint(w, m[i].node);
		rep_write_u8(w, (uint8_t) ((m[i].voter ? MEMBER_VOTER : 0) |
								   (m[i].witness ? MEMBER_WITNESS : 0)));
	}
}

static const RepRaftMember *
read_members(RepReader *r, RepArena *a, uint32_t *n)
{
	RepRaftMember *m;

	*n = read_count(r, LEAST_MEMBER);
	m = take_array(r, a, *n, sizeof(RepRaftMember));
	for (uint32_t i = 0; i < *n && !r->bad; i++)
	{
		uint8_t flags;

		m[i].node = read_u32(r);
		flags = rep_read_u8(r);
		if (flags & ~(MEMBER_VOTER | MEMBER_WITNESS))
			r->bad = true;
		m[i].voter = flags & MEMBER_VOTER;
		m[i].witness = flags & MEMBER_WITNESS;
	}
	if (r->bad)
		*n = 0;
	return m;
}

static void
write_keys(RepWriter *w, const RepKey *k, uint32_t n)
{
	rep_write_varint(w, n);
	for (uint32_t i = 0; i < n; i++)
	{
		rep_write_u64(w, k[i].hash);
		rep_write_varint(w, k[i].base);
		rep_write_u8(w, (uint8_t) k[i].mode);
	}
}

static const RepKey *
read_keys(RepReader *r, RepArena *a, uint32_t *n)
{
	RepKey *k;

	*n = read_count(r, LEAST_KEY);
	k = take_array(r, a, *n, sizeof(RepKey));
	for (uint32_t i = 0; i < *n && !r->bad; i++)
	{
		k[i].hash = rep_read_u64(r);
		k[i].base = rep_read_varint(r);
		k[i].mode = rep_read_u8(r);
		if (k[i].mode != REP_KEY_EXCLUSIVE && k[i].mode != REP_KEY_SHARED)
			r->bad = true;
	}
	if (r->bad)
		*n = 0;
	return k;
}

void
rep_raft_entry_encode(const RepRaftEntry *e, RepWriter *w)
{
	rep_write_u8(w, (uint8_t) e->kind);
	rep_write_varint(w, e->index);
	rep_write_varint(w, e->term);
	rep_write_varint(w, e->payload_size);
	if (e->kind == REP_ENTRY_WRITE || e->kind == REP_ENTRY_ABORT)
		write_stamp(w, e->stamp);
	write_versions(w, e->deps, e->ndeps);
	write_keys(w, e->keys, e->nkeys);
	write_members(w, e->members, e->nmembers);
}

bool
rep_raft_entry_decode(RepReader *r, RepArena *a, RepRaftEntry *e)
{
	memset(e, 0, sizeof(*e));
	e->kind = rep_read_u8(r);
	if (e->kind < REP_ENTRY_NOOP || e->kind > REP_ENTRY_HORIZON)
		r->bad = true;
	e->index = rep_read_varint(r);
	e->term = rep_read_varint(r);
	e->payload_size = read_u32(r);
	if (e->kind == REP_ENTRY_WRITE || e->kind == REP_ENTRY_ABORT)
		e->stamp = read_stamp(r);
	e->deps = read_versions(r, a, &e->ndeps);
	e->keys = read_keys(r, a, &e->nkeys);
	e->members = read_members(r, a, &e->nmembers);
	return !r->bad;
}

void
rep_raft_base_encode(const RepRaftBase *b, RepWriter *w)
{
	rep_write_varint(w, b->index);
	rep_write_varint(w, b->term);
	rep_write_varint(w, b->floor);
	write_members(w, b->members, b->nmembers);
	write_versions(w, b->horizon, b->nhorizon);
}

bool
rep_raft_base_decode(RepReader *r, RepArena *a, RepRaftBase *b)
{
	b->index = rep_read_varint(r);
	b->term = rep_read_varint(r);
	b->floor = rep_read_varint(r);
	b->members = read_members(r, a, &b->nmembers);
	b->horizon = read_versions(r, a, &b->nhorizon);
	return !r->bad;
}

void
rep_raft_message_encode(const RepRaftMessage *m, RepWriter *w)
{
	rep_write_u8(w, REP_RAFT_MESSAGE_VERSION);
	rep_write_u8(w, (uint8_t) m->type);
	rep_write_u8(w, (uint8_t) ((m->reject ? FLAG_REJECT : 0) |
							   (m->transfer ? FLAG_TRANSFER : 0) |
							   (m->want_held ? FLAG_WANT_HELD : 0) |
							   (m->held != NULL ? FLAG_HELD : 0) |
							   (m->base != NULL ? FLAG_BASE : 0)));
	rep_write_varint(w, m->from);
	rep_write_varint(w, m->to);
	rep_write_varint(w, m->term);
	rep_write_varint(w, m->index);
	rep_write_varint(w, m->log_term);
	rep_write_varint(w, m->commit);
	rep_write_varint(w, m->id);
	rep_write_varint(w, m->sent_ms);
	rep_write_varint(w, m->held_version);
	rep_write_varint(w, m->applied);
	rep_write_varint(w, m->hint);
	if (m->type == REP_MSG_VERDICT)
	{
		rep_write_u8(w, (uint8_t) m->verdict);
		write_stamp(w, m->stamp);
		rep_write_u64(w, m->key);
	}
	if (m->held != NULL)
		write_versions(w, m->held, m->nheld);
	if (m->base != NULL)
		rep_raft_base_encode(m->base, w);
	rep_write_varint(w, m->nentries);
	for (uint32_t i = 0; i < m->nentries; i++)
		rep_raft_entry_encode(&m->entries[i], w);
}

static void
read_verdict(RepReader *r, RepRaftMessage *m)
{
	m->verdict = rep_read_u8(r);
	if (m->verdict < REP_VERDICT_COMMITTED || m->verdict > REP_VERDICT_LAST)
		r->bad = true;
	m->stamp = read_stamp(r);
	m->key = rep_read_u64(r);
}

static void
read_base(RepReader *r, RepArena *a, RepRaftMessage *m)
{
	RepRaftBase *base = rep_arena_alloc(a, sizeof(RepRaftBase));

	if (base == NULL || !rep_raft_base_decode(r, a, base))
	{
		r->bad = true;
		return;
	}
	m->base = base;
}

static void
read_entries(RepReader *r, RepArena *a, RepRaftMessage *m)
{
	RepRaftEntry *entries;

	m->nentries = read_count(r, LEAST_ENTRY);
	entries = take_array(r, a, m->nentries, sizeof(RepRaftEntry));
	m->entries = entries;
	for (uint32_t i = 0; i < m->nentries && !r->bad; i++)
		rep_raft_entry_decode(r, a, &entries[i]);
}

bool
rep_raft_message_decode(RepReader *r, RepArena *a, RepRaftMessage *m)
{
	uint8_t flags;

	memset(m, 0, sizeof(*m));
	if (rep_read_u8(r) != REP_RAFT_MESSAGE_VERSION)
		r->bad = true;
	m->type = rep_read_u8(r);
	if (m->type < REP_MSG_PREVOTE || m->type > REP_MSG_LAST)
		r->bad = true;
	flags = rep_read_u8(r);
	if (flags & ~FLAG_ALL)
		r->bad = true;
	m->reject = flags & FLAG_REJECT;
	m->transfer = flags & FLAG_TRANSFER;
	m->want_held = flags & FLAG_WANT_HELD;
	m->from = read_u32(r);
	m->to = read_u32(r);
	m->term = rep_read_varint(r);
	m->index = rep_read_varint(r);
	m->log_term = rep_read_varint(r);
	m->commit = rep_read_varint(r);
	m->id = rep_read_varint(r);
	m->sent_ms = rep_read_varint(r);
	m->held_version = rep_read_varint(r);
	m->applied = rep_read_varint(r);
	m->hint = rep_read_varint(r);
	if (m->type == REP_MSG_VERDICT)
		read_verdict(r, m);
	if (flags & FLAG_HELD && !r->bad)
	{
		m->held = read_versions(r, a, &m->nheld);
		/* an empty vector is told too: it must not look like none */
		if (m->nheld == 0 && !r->bad)
			m->held = take_array(r, a, 1, sizeof(RepVersion));
	}
	if (flags & FLAG_BASE && !r->bad)
		read_base(r, a, m);
	read_entries(r, a, m);
	return !r->bad;
}
