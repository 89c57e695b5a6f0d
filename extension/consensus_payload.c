/*
 * consensus_payload.c
 *		See consensus_payload.h.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "consensus_payload.h"

typedef struct Key
{
	uint64 hlc;
	uint64 boot;
	uint64 node;
} Key;

typedef struct Payload
{
	Key key;
	dlist_node link; /* in `logged`, by index, or in `loose` */
	uint64 index;    /* in our log, or 0 */
	bool pinned;
	size_t len;
	void *bytes;
} Payload;

static HTAB *payloads = NULL;
static MemoryContext context;
static dlist_head logged = DLIST_STATIC_INIT(logged); /* ascending index */
static dlist_head loose = DLIST_STATIC_INIT(loose);
static size_t total = 0;

void
consensus_payload_init(void)
{
	HASHCTL ctl = { .keysize = sizeof(Key), .entrysize = sizeof(Payload) };

	context = AllocSetContextCreate(TopMemoryContext, "causaldb payloads",
									ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = context;
	payloads = hash_create("causaldb payloads", 1024, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static Key
key_of(RepStamp s)
{
	return (Key){ s.hlc, s.stream.boot, s.stream.node };
}

static Payload *
find(RepStamp stamp)
{
	Key key = key_of(stamp);

	return hash_search(payloads, &key, HASH_FIND, NULL);
}

static void
forget(Payload *p)
{
	Key key = p->key;

	dlist_delete(&p->link);
	total -= p->len;
	pfree(p->bytes);
	(void) hash_search(payloads, &key, HASH_REMOVE, NULL);
}

bool
consensus_payload_put(RepStamp stamp, const void *bytes, size_t len)
{
	Key key = key_of(stamp);
	bool found;
	Payload *p = hash_search(payloads, &key, HASH_ENTER, &found);

	if (found)
		return false;
	p->bytes = MemoryContextAllocHuge(context, len + 1);
	memcpy(p->bytes, bytes, len);
	p->len = len;
	p->index = 0;
	p->pinned = false;
	dlist_push_tail(&loose, &p->link);
	total += len;
	return true;
}

const void *
consensus_payload_get(RepStamp stamp, size_t *len)
{
	Payload *p = find(stamp);

	if (p == NULL)
		return NULL;
	*len = p->len;
	return p->bytes;
}

void
consensus_payload_logged(RepStamp stamp, uint64 index)
{
	Payload *p = find(stamp);

	if (p == NULL)
		return;
	dlist_delete(&p->link);
	p->index = index;
	dlist_push_tail(index > 0 ? &logged : &loose, &p->link);
}

void
consensus_payload_pin(RepStamp stamp, bool pinned)
{
	Payload *p = find(stamp);

	if (p == NULL)
		return;
	p->pinned = pinned;
	if (!pinned && p->index == 0)
		forget(p);
}

void
consensus_payload_drop(RepStamp stamp)
{
	Payload *p = find(stamp);

	if (p != NULL && p->index == 0 && !p->pinned)
		forget(p);
}

void
consensus_payload_cut(uint64 index)
{
	while (!dlist_is_empty(&logged))
	{
		Payload *p = dlist_tail_element(Payload, link, &logged);

		if (p->index < index)
			return;
		dlist_delete(&p->link);
		p->index = 0;
		dlist_push_tail(&loose, &p->link);
	}
}

void
consensus_payload_sweep(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &loose)
	{
		Payload *p = dlist_container(Payload, link, iter.cur);

		if (!p->pinned)
			forget(p);
	}
}

void
consensus_payload_durable(uint64 index)
{
	dlist_mutable_iter iter;

	if (total <= PAYLOAD_CACHE_BYTES)
		return;
	dlist_foreach_modify(iter, &logged)
	{
		Payload *p = dlist_container(Payload, link, iter.cur);

		if (p->index > index || total <= PAYLOAD_CACHE_BYTES)
			return;
		if (!p->pinned)
			forget(p);
	}
}
