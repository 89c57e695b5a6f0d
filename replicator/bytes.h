/*
 * bytes.h
 *		Bounded reading and writing of byte strings.
 *
 * Everything that crosses a wire or rests in a table is read and written
 * through these two cursors, so that no reader can run past its input and no
 * writer past its buffer.
 *
 * Invariants
 * 1. A reader never reads outside [data, data + len). After the first failed
 *	  read `bad` stays set and every later read returns zero.
 * 2. A writer never writes outside [data, data + cap). After the first write
 *	  that did not fit `full` stays set; `len` goes on counting what would
 *	  have been needed, so a second try can size its buffer.
 * 3. Integers of fixed width are big-endian; varints are little-endian base
 *	  128, at most 10 bytes, shortest form only (a longer form is bad).
 */
#ifndef REP_BYTES_H
#define REP_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RepReader
{
	const uint8_t *data;
	size_t len;
	size_t at;
	bool bad;
} RepReader;

typedef struct RepWriter
{
	uint8_t *data;
	size_t cap;
	size_t len; /* bytes wanted so far; may exceed cap once full */
	bool full;
} RepWriter;

extern void rep_reader_init(RepReader *r, const void *data, size_t len);
extern size_t rep_reader_left(const RepReader *r);
/* Every byte was read, and none was bad. */
extern bool rep_reader_done(const RepReader *r);
extern uint8_t rep_read_u8(RepReader *r);
extern uint16_t rep_read_u16(RepReader *r);
extern uint32_t rep_read_u32(RepReader *r);
extern uint64_t rep_read_u64(RepReader *r);
extern uint64_t rep_read_varint(RepReader *r);
/* A view of the next len bytes (not a copy), or NULL and bad. */
extern const uint8_t *rep_read_bytes(RepReader *r, size_t len);
/* varint length, then the bytes; *len is 0 when bad. */
extern const uint8_t *rep_read_blob(RepReader *r, size_t *len);

extern void rep_writer_init(RepWriter *w, void *data, size_t cap);
extern void rep_write_u8(RepWriter *w, uint8_t v);
extern void rep_write_u16(RepWriter *w, uint16_t v);
extern void rep_write_u32(RepWriter *w, uint32_t v);
extern void rep_write_u64(RepWriter *w, uint64_t v);
extern void rep_write_varint(RepWriter *w, uint64_t v);
extern void rep_write_bytes(RepWriter *w, const void *data, size_t len);
extern void rep_write_blob(RepWriter *w, const void *data, size_t len);
/* bytes rep_write_varint needs for v: 1 to 10 */
extern size_t rep_varint_size(uint64_t v);

/*
 * 64-bit hash of a byte string, seeded; the same on every machine. Used as
 * content address of descriptors, as frame checksum and as link of the hash
 * chain. Not cryptographic: it finds accidents, not forgers.
 */
extern uint64_t rep_hash64(const void *data, size_t len, uint64_t seed);

#endif
