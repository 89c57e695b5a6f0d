/*
 * raft_packet.c
 *		A message of the engine with what its entries write, as bytes.
 */
#include "raft_packet.h"

#define HASH_SEED UINT64_C(0x7061636b6574)

void
rep_raft_packet_encode(uint64_t cluster, const RepRaftMessage *m,
					   const uint8_t *const *payloads, RepWriter *w)
{
	size_t start = w->len;
	RepWriter hash;

	rep_write_u64(w, 0);
	rep_write_u8(w, REP_RAFT_PACKET_VERSION);
	rep_write_u64(w, cluster);
	rep_raft_message_encode(m, w);
	for (uint32_t i = 0; i < m->nentries; i++)
		rep_write_bytes(w, payloads == NULL ? NULL : payloads[i],
						m->entries[i].payload_size);
	if (w->full)
		return;
	rep_writer_init(&hash, w->data + start, 8);
	rep_write_u64(&hash, rep_hash64(w->data + start + 8, w->len - start - 8,
									HASH_SEED));
}

bool
rep_raft_packet_decode(const void *data, size_t len, RepArena *a,
					   RepRaftPacket *p)
{
	RepReader r;
	uint64_t hash;

	rep_reader_init(&r, data, len);
	hash = rep_read_u64(&r);
	if (r.bad || hash != rep_hash64(r.data + r.at, len - r.at, HASH_SEED))
		return false;
	if (rep_read_u8(&r) != REP_RAFT_PACKET_VERSION)
		return false;
	p->cluster = rep_read_u64(&r);
	p->payloads = NULL;
	if (r.bad || !rep_raft_message_decode(&r, a, &p->message))
		return false;
	if (p->message.nentries > 0)
	{
		p->payloads =
			rep_arena_array(a, p->message.nentries, sizeof(*p->payloads));
		if (p->payloads == NULL)
			return false;
	}
	for (uint32_t i = 0; i < p->message.nentries; i++)
		p->payloads[i] =
			rep_read_bytes(&r, p->message.entries[i].payload_size);
	return rep_reader_done(&r);
}
