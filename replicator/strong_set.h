/*
 * strong_set.h
 *		What a strong transaction writes, as it rests in an entry of the log.
 *
 *	set = u8 version, varint xid, [blob idempotency key], varint ndescriptors,
 *		  blob descriptor each, blob payload
 *
 * Version 1 has no idempotency key, version 2 has one of 1 to 255 bytes. The
 * descriptors are those that the payload (change.h) names; a member may not
 * have them yet. All of the transaction is in here, its eventual fields too,
 * so that any member can play it.
 */
#ifndef REP_STRONG_SET_H
#define REP_STRONG_SET_H

#include "change.h"

#define REP_STRONG_SET_HEAD (1 + 10 + 2 + REP_MAX_IDEMPOTENCY_KEY + 10)

typedef struct RepStrongSet
{
	uint64_t xid; /* of the origin */
	const uint8_t *key;
	size_t key_len; /* 0: it has none */
	uint32_t ndescriptors;
	RepReader descriptors; /* stands at the first: rep_read_blob each */
	const uint8_t *payload;
	size_t payload_len;
} RepStrongSet;

/*
 * Writes xid, key and number of descriptors, at most REP_STRONG_SET_HEAD
 * bytes; then a blob for each descriptor, then one for the payload.
 */
extern void rep_strong_set_begin(RepWriter *w, const RepStrongSet *set);
/* Views into data; false if malformed. */
extern bool rep_strong_set_decode(const void *data, size_t len,
								  RepStrongSet *set);
/* The set, of which data may be no more than the head, has that key. */
extern bool rep_strong_set_has_key(const void *data, size_t len,
								   const void *key, size_t key_len);

#endif
