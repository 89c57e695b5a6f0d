/*
 * strong_set.h
 *		What a strong transaction writes, as it rests in an entry of the log.
 *
 *	set = u8 version (1), varint xid, varint ndescriptors, blob descriptor
 *		  each, blob payload
 *
 * The descriptors are those that the payload (change.h) names; a member may
 * not have them yet. All of the transaction is in here, its eventual fields
 * too, so that any member can play it.
 */
#ifndef REP_STRONG_SET_H
#define REP_STRONG_SET_H

#include "change.h"

#define REP_STRONG_SET_VERSION 1

typedef struct RepStrongSet
{
	uint64_t xid; /* of the origin */
	uint32_t ndescriptors;
	RepReader descriptors; /* stands at the first: rep_read_blob each */
	const uint8_t *payload;
	size_t payload_len;
} RepStrongSet;

/* Then a blob for each descriptor, then one for the payload. */
extern void rep_strong_set_begin(RepWriter *w, uint64_t xid,
								 uint32_t ndescriptors);
/* Views into data; false if malformed. */
extern bool rep_strong_set_decode(const void *data, size_t len,
								  RepStrongSet *set);

#endif
