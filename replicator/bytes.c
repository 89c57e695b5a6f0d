/*
 * bytes.c
 *		Bounded reading and writing of byte strings, and their hash.
 *
 * The invariants are those of bytes.h.
 */
#include "bytes.h"

#include <string.h>

/* Odd, without a pattern, about half of the bits set. */
#define REP_HASH_A UINT64_C(0x9d6f0a7c4be35281)
#define REP_HASH_B UINT64_C(0xc3a5c85c97cb3127)
#define REP_HASH_C UINT64_C(0xe58f1d3b62a90c75)

void
rep_reader_init(RepReader *r, const void *data, size_t len)
{
	r->data = data;
	r->len = len;
	r->at = 0;
	r->bad = false;
}

size_t
rep_reader_left(const RepReader *r)
{
	return r->bad ? 0 : r->len - r->at;
}

bool
rep_reader_done(const RepReader *r)
{
	return !r->bad && r->at == r->len;
}

const uint8_t *
rep_read_bytes(RepReader *r, size_t len)
{
	const uint8_t *p;

	if (r->bad || len > r->len - r->at)
	{
		r->bad = true;
		return NULL;
	}

	/* data may be NULL when there is nothing; NULL would mean bad */
	p = r->data == NULL ? (const uint8_t *) "" : r->data + r->at;
	r->at += len;
	return p;
}

/* A big-endian integer of `size` bytes. */
static uint64_t
read_fixed(RepReader *r, int size)
{
	const uint8_t *p = rep_read_bytes(r, (size_t) size);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (int i = 0; i < size; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t
rep_read_u8(RepReader *r)
{
	return (uint8_t) read_fixed(r, 1);
}

uint16_t
rep_read_u16(RepReader *r)
{
	return (uint16_t) read_fixed(r, 2);
}

uint32_t
rep_read_u32(RepReader *r)
{
	return (uint32_t) read_fixed(r, 4);
}

uint64_t
rep_read_u64(RepReader *r)
{
	return read_fixed(r, 8);
}

uint64_t
rep_read_varint(RepReader *r)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 70; shift += 7)
	{
		uint8_t b = rep_read_u8(r);

		if (r->bad)
			return 0;
		v |= (uint64_t) (b & 0x7f) << shift;
		if (b & 0x80)
			continue;

		/* a last byte of zero is padding; the tenth has room for one bit */
		if ((b == 0 && shift > 0) || (shift == 63 && b > 1))
			break;
		return v;
	}
	r->bad = true;
	return 0;
}

const uint8_t *
rep_read_blob(RepReader *r, size_t *len)
{
	uint64_t n = rep_read_varint(r);
	const uint8_t *p = NULL;

	if (n > rep_reader_left(r))
		r->bad = true;
	if (!r->bad)
		p = rep_read_bytes(r, (size_t) n);
	*len = p == NULL ? 0 : (size_t) n;
	return p;
}

void
rep_writer_init(RepWriter *w, void *data, size_t cap)
{
	w->data = data;
	w->cap = cap;
	w->len = 0;
	w->full = false;
}

void
rep_write_bytes(RepWriter *w, const void *data, size_t len)
{
	if (!w->full && len > w->cap - w->len)
		w->full = true;
	if (!w->full && len > 0)
		memcpy(w->data + w->len, data, len);
	w->len += len;
}

/* v as a big-endian integer of `size` bytes. */
static void
write_fixed(RepWriter *w, uint64_t v, int size)
{
	uint8_t b[8];

	for (int i = 0; i < size; i++)
		b[i] = (uint8_t) (v >> 8 * (size - 1 - i));
	rep_write_bytes(w, b, (size_t) size);
}

void
rep_write_u8(RepWriter *w, uint8_t v)
{
	write_fixed(w, v, 1);
}

void
rep_write_u16(RepWriter *w, uint16_t v)
{
	write_fixed(w, v, 2);
}

void
rep_write_u32(RepWriter *w, uint32_t v)
{
	write_fixed(w, v, 4);
}

void
rep_write_u64(RepWriter *w, uint64_t v)
{
	write_fixed(w, v, 8);
}

void
rep_write_varint(RepWriter *w, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;

	while (v >= 0x80)
	{
		b[n++] = (uint8_t) (v | 0x80);
		v >>= 7;
	}
	b[n++] = (uint8_t) v;
	rep_write_bytes(w, b, n);
}

void
rep_write_blob(RepWriter *w, const void *data, size_t len)
{
	rep_write_varint(w, len);
	rep_write_bytes(w, data, len);
}

size_t
rep_varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >= 0x80)
	{
		v >>= 7;
		n++;
	}
	return n;
}

/* The high half of the 128-bit product folded onto the low half. */
static inline uint64_t
hash_fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ unsigned __int128 p = (unsigned __int128) a * b;

	return (uint64_t) p ^ (uint64_t) (p >> 64);
#else
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	uint64_t mid = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	uint64_t mid2 = (a & UINT32_MAX) * (b >> 32) + (mid & UINT32_MAX);
	uint64_t high = (a >> 32) * (b >> 32) + (mid >> 32) + (mid2 >> 32);

	return (mid2 << 32 | (low & UINT32_MAX)) ^ high;
#endif
}

/* Eight bytes, little-endian on every machine. */
static inline uint64_t
hash_word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

/* The last 1 to 7 bytes as a word. */
static inline uint64_t
hash_tail(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t) p[i] << 8 * i;
	return v;
}

/*
 * Two lanes take alternate words, so that two multiplications are under way
 * at once. One factor is always a constant: a product of state and data would
 * let one unlucky word wipe out everything before it. The length goes in
 * first, which makes it safe to pad the tail with zeros.
 */
uint64_t
rep_hash64(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t x = hash_fold(seed ^ REP_HASH_A, REP_HASH_C);
	uint64_t y = hash_fold((uint64_t) len ^ REP_HASH_B, REP_HASH_A) ^ seed;
	size_t left = len;

	for (; left >= 16; left -= 16, p += 16)
	{
		x = hash_fold(x ^ hash_word(p), REP_HASH_A) + REP_HASH_B;
		y = hash_fold(y ^ hash_word(p + 8), REP_HASH_B) + REP_HASH_C;
	}
	if (left >= 8)
	{
		x = hash_fold(x ^ hash_word(p), REP_HASH_A) + REP_HASH_B;
		left -= 8;
		p += 8;
	}
	if (left > 0)
		y = hash_fold(y ^ hash_tail(p, left), REP_HASH_B) + REP_HASH_C;

	/* finish: cross the lanes twice, so that each bit of either reaches all */
	x = hash_fold(x ^ (y << 32 | y >> 32), REP_HASH_C);
	y = hash_fold(y ^ (x << 17 | x >> 47), REP_HASH_A);
	x = hash_fold(x ^ y ^ REP_HASH_B, REP_HASH_B);
	return x ^ x >> 29;
}
