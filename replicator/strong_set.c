/*
 * strong_set.c
 *		What a strong transaction writes, as it rests in an entry of the log.
 */
#include "strong_set.h"

#include <string.h>

/* the first byte: the transaction has no idempotency key, or one */
#define VERSION_PLAIN 1
#define VERSION_KEYED 2

void
rep_strong_set_begin(RepWriter *w, const RepStrongSet *set)
{
	rep_write_u8(w, set->key_len > 0 ? VERSION_KEYED : VERSION_PLAIN);
	rep_write_varint(w, set->xid);
	if (set->key_len > 0)
		rep_write_blob(w, set->key, set->key_len);
	rep_write_varint(w, set->ndescriptors);
}

/* Up to the key. */
static bool
read_head(RepReader *r, RepStrongSet *set)
{
	uint8_t version = rep_read_u8(r);

	set->xid = rep_read_varint(r);
	set->key = NULL;
	set->key_len = 0;
	if (version != VERSION_KEYED)
		return version == VERSION_PLAIN;
	set->key = rep_read_blob(r, &set->key_len);
	return !r->bad && set->key_len > 0 &&
		   set->key_len <= REP_MAX_IDEMPOTENCY_KEY;
}

bool
rep_strong_set_decode(const void *data, size_t len, RepStrongSet *set)
{
	RepReader r;
	uint64_t n;
	size_t size;

	rep_reader_init(&r, data, len);
	if (!read_head(&r, set))
		return false;
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

bool
rep_strong_set_has_key(const void *data, size_t len, const void *key,
					   size_t key_len)
{
	RepStrongSet set;
	RepReader r;

	rep_reader_init(&r, data, len);
	return read_head(&r, &set) && set.key_len == key_len && key_len > 0 &&
		   memcmp(set.key, key, key_len) == 0;
}
