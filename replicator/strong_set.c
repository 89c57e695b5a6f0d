/*
 * strong_set.c
 *		What a strong transaction writes, as it rests in an entry of the log.
 */
#include "strong_set.h"

void
rep_strong_set_begin(RepWriter *w, uint64_t xid, uint32_t ndescriptors)
{
	rep_write_u8(w, REP_STRONG_SET_VERSION);
	rep_write_varint(w, xid);
	rep_write_varint(w, ndescriptors);
}

bool
rep_strong_set_decode(const void *data, size_t len, RepStrongSet *set)
{
	RepReader r;
	uint64_t n;
	size_t size;

	rep_reader_init(&r, data, len);
	if (rep_read_u8(&r) != REP_STRONG_SET_VERSION)
		return false;
	set->xid = rep_read_varint(&r);
	n = rep_read_varint(&r);
	if (n > REP_MAX_PAYLOAD_DESCRIPTORS)
		return false;
	set->ndescriptors = (uint32_t) n;
	set->descriptors = r;
	for (uint32_t i = 0; i < set->ndescriptors; i++)
		(void) rep_read_blob(&r, &size);
	set->payload = rep_read_blob(&r, &set->payload_len);
	return rep_reader_done(&r);
}
