/*
 * raft_log.c
 *		The log in memory: entries first..last, and what is durable of them.
 *
 * The invariants are those of raft_log.h.
 */
#include "raft_log.h"
#include "raft_bug.h"

#include <assert.h>

/* slots and bytes that proposals leave free for term starts and members */
#define LOG_RESERVE_ENTRIES(log) (((log)->mask + 1) / 8)
#define LOG_RESERVE_BYTES(log) ((log)->bodies.cap / 4)

void
rep_raft_log_init(RepRaftLog *log, RepArena *a, uint32_t entries,
				  uint32_t bytes)
{
	assert(entries > 0 && (entries & (entries - 1)) == 0);
	log->slots = rep_arena_array(a, entries, sizeof(RepRaftEntry));
	log->at = rep_arena_array(a, entries, sizeof(uint64_t));
	log->mask = entries - 1;
	rep_raft_ring_init(&log->bodies, a, bytes);
	rep_raft_log_reset(log, 0, 0);
}

void
rep_raft_log_reset(RepRaftLog *log, uint64_t base, uint64_t term)
{
	log->base = base;
	log->base_term = term;
	log->last = base;
	log->stable = base;
	log->noutstanding = 0;
	rep_raft_ring_reset(&log->bodies);
}

const RepRaftEntry *
rep_raft_log_get(const RepRaftLog *log, uint64_t index)
{
	if (index <= log->base || index > log->last)
		return NULL;
	return &log->slots[index & log->mask];
}

uint64_t
rep_raft_log_term(const RepRaftLog *log, uint64_t index)
{
	const RepRaftEntry *e = rep_raft_log_get(log, index);

	if (e != NULL)
		return e->term;
	return index == log->base ? log->base_term : 0;
}

uint64_t
rep_raft_log_last_term(const RepRaftLog *log)
{
	return rep_raft_log_term(log, log->last);
}

bool
rep_raft_log_append(RepRaftLog *log, const RepRaftEntry *e)
{
	uint32_t slot = (uint32_t) (e->index & log->mask);
	RepRaftEntry copy = *e;
	uint64_t at;

	assert(e->index == log->last + 1);
	assert(e->term >= rep_raft_log_last_term(log));
	if (log->last - log->base > log->mask)
		return false;
	if (!rep_raft_ring_hold(&log->bodies, &copy, &at))
		return false;
	log->slots[slot] = copy;
	log->at[slot] = at;
	log->last++;
	return true;
}

bool
rep_raft_log_has_room(const RepRaftLog *log, const RepRaftEntry *e)
{
	uint64_t bytes = rep_raft_ring_used(&log->bodies) + rep_raft_body_size(e);

	/* a block that does not fit before the end may waste its own size */
	return log->last - log->base + LOG_RESERVE_ENTRIES(log) <= log->mask &&
		   bytes + rep_raft_body_size(e) + LOG_RESERVE_BYTES(log) <=
			   log->bodies.cap;
}

uint32_t
rep_raft_log_used(const RepRaftLog *log)
{
	uint64_t entries =
		(log->last - log->base) * 100 / ((uint64_t) log->mask + 1);
	uint64_t bytes =
		rep_raft_ring_used(&log->bodies) * 100 / log->bodies.cap;

	return (uint32_t) (entries > bytes ? entries : bytes);
}

void
rep_raft_log_truncate(RepRaftLog *log, uint64_t from)
{
	assert(from > log->base);
	if (from > log->last)
		return;
	rep_raft_ring_cut(&log->bodies, log->at[from & log->mask]);
	log->last = from - 1;
	if (log->stable > log->last)
		log->stable = log->last;
	/* what was under way promises only what is left of it */
	for (uint32_t i = 0; i < log->noutstanding; i++)
		if (log->outstanding[i].upto > log->last && !REP_BUG(20))
			log->outstanding[i].upto = log->last;
}

void
rep_raft_log_compact(RepRaftLog *log, uint64_t upto)
{
	assert(upto >= log->base && upto <= log->last);
	log->base_term = rep_raft_log_term(log, upto);
	rep_raft_ring_release(&log->bodies, upto < log->last
											? log->at[(upto + 1) & log->mask]
											: log->bodies.tail);
	log->base = upto;
	if (log->stable < upto)
		log->stable = upto;
}

const RepRaftEntry *
rep_raft_log_run(const RepRaftLog *log, uint64_t index, uint32_t most,
				 uint32_t *n)
{
	uint64_t run = log->last >= index ? log->last - index + 1 : 0;
	uint64_t to_wrap = (uint64_t) log->mask + 1 - (index & log->mask);

	if (run > to_wrap)
		run = to_wrap;
	if (run > most)
		run = most;
	*n = (uint32_t) run;
	return run == 0 ? NULL : &log->slots[index & log->mask];
}

void
rep_raft_log_persisting(RepRaftLog *log, uint64_t persist)
{
	/*
	 * When the list is full the newest takes the place of the one before it:
	 * that one's part is then known to be durable later than it is, which is
	 * only slow.
	 */
	if (log->noutstanding == REP_RAFT_OUTSTANDING)
		log->noutstanding--;
	log->outstanding[log->noutstanding++] =
		(RepRaftPersist){ persist, log->last };
}

bool
rep_raft_log_persisted(RepRaftLog *log, uint64_t persist)
{
	uint64_t before = log->stable;
	uint32_t done = 0;

	while (done < log->noutstanding &&
		   log->outstanding[done].persist <= persist)
	{
		if (log->outstanding[done].upto > log->stable)
			log->stable = log->outstanding[done].upto;
		done++;
	}
	for (uint32_t i = done; i < log->noutstanding; i++)
		log->outstanding[i - done] = log->outstanding[i];
	log->noutstanding -= done;
	return log->stable > before;
}

uint64_t
rep_raft_log_after(const RepRaftLog *log, uint64_t index)
{
	if (index <= log->stable)
		return 0;
	for (uint32_t i = 0; i < log->noutstanding; i++)
		if (log->outstanding[i].upto >= index)
			return log->outstanding[i].persist;
	assert(false);
	return UINT64_MAX;
}
