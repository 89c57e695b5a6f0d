/*
 * script_node.c
 *		The nodes of a script: their engines, disks and links.
 */
#include "script.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void
script_say(Script *s, const char *format, ...)
{
	va_list args;

	fputs("  ", s->out);
	va_start(args, format);
	vfprintf(s->out, format, args);
	va_end(args);
	fputc('\n', s->out);
}

#define LU(x) ((unsigned long) (x))

/* An operation's letter, or what else an entry is. */
static const char *
entry_name(const RepRaftEntry *e)
{
	static char name[8];

	switch (e->kind)
	{
		case REP_ENTRY_NOOP:
			return "noop";
		case REP_ENTRY_CONFIG:
			return "members";
		case REP_ENTRY_HORIZON:
			return "horizon";
		case REP_ENTRY_WRITE:
			snprintf(name, sizeof(name), "%c", (char) ('a' + e->payload));
			return name;
		case REP_ENTRY_ABORT:
			snprintf(name, sizeof(name), "no-%c", (char) ('a' + e->payload));
			return name;
	}
	return "?";
}

static void
entries_text(char *out, size_t size, const RepRaftEntry *e, uint32_t n)
{
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n; i++)
		at +=
			(size_t) snprintf(out + at, size - at, " %lu/%lu:%s",
							  LU(e[i].index), LU(e[i].term), entry_name(&e[i]));
}

static const char *const verdict_names[] = {
	"?",        "committed", "aborted",       "conflict",
	"old base", "skewed",    "below horizon", "deps not held",
	"busy",     "too large", "no leader",     "old stamp"
};

static void
message_text(char *out, size_t size, const RepRaftMessage *m)
{
	char entries[256];

	entries_text(entries, sizeof(entries), m->entries, m->nentries);
	switch (m->type)
	{
		case REP_MSG_PREVOTE:
			snprintf(out, size, "would you vote in term %lu? log %lu/%lu",
					 LU(m->id), LU(m->index), LU(m->log_term));
			break;
		case REP_MSG_VOTE:
			snprintf(out, size, "vote in term %lu! log %lu/%lu%s", LU(m->term),
					 LU(m->index), LU(m->log_term),
					 m->transfer ? ", by the leader's wish" : "");
			break;
		case REP_MSG_PREVOTE_ANSWER:
			snprintf(out, size, m->reject ? "would not" : "would");
			break;
		case REP_MSG_VOTE_ANSWER:
			snprintf(out, size, "%s in term %lu",
					 m->reject ? "does not vote" : "votes", LU(m->term));
			break;
		case REP_MSG_APPEND:
			snprintf(out, size, "append after %lu/%lu:%s, commit %lu",
					 LU(m->index), LU(m->log_term),
					 m->nentries > 0 ? entries : " nothing", LU(m->commit));
			break;
		case REP_MSG_APPEND_ANSWER:
			if (m->reject && m->hint == 0)
				snprintf(out, size, "term is %lu", LU(m->term));
			else if (m->reject)
				snprintf(out, size, "does not fit after %lu, try %lu/%lu",
						 LU(m->hint), LU(m->index), LU(m->log_term));
			else
				snprintf(out, size, "has %lu", LU(m->index));
			break;
		case REP_MSG_HEARTBEAT:
			snprintf(out, size, "heartbeat %lu, commit %lu", LU(m->id),
					 LU(m->commit));
			break;
		case REP_MSG_HEARTBEAT_ANSWER:
			snprintf(out, size, "heard %lu", LU(m->id));
			break;
		case REP_MSG_HELD:
			snprintf(out, size, "holds more");
			break;
		case REP_MSG_SNAPSHOT:
			snprintf(out, size, "snapshot at %lu/%lu", LU(m->index),
					 LU(m->log_term));
			break;
		case REP_MSG_CAMPAIGN:
			snprintf(out, size, "stand for election");
			break;
		case REP_MSG_PROPOSE:
			snprintf(out, size, "propose %s, ticket %lu",
					 entry_name(&m->entries[0]), LU(m->id));
			break;
		case REP_MSG_VERDICT:
			snprintf(out, size, "%s, ticket %lu", verdict_names[m->verdict],
					 LU(m->id));
			break;
		case REP_MSG_READ:
			snprintf(out, size, "which index? ticket %lu", LU(m->id));
			break;
		case REP_MSG_READ_ANSWER:
			snprintf(out, size, "index %lu, ticket %lu", LU(m->index),
					 LU(m->id));
			break;
		case REP_MSG_RELAY:
			snprintf(out, size, "committed after %lu/%lu:%s", LU(m->index),
					 LU(m->log_term), entries);
			break;
	}
}

static void
decode(Script *s, const ScriptMessage *q, RepRaftMessage *m)
{
	RepReader r;

	rep_arena_reset(&s->decode_arena);
	rep_reader_init(&r, q->bytes, q->size);
	if (!rep_raft_message_decode(&r, &s->decode_arena, m))
		script_say(s, "a message cannot be read");
	for (uint32_t i = 0; i < m->nentries; i++)
		((RepRaftEntry *) m->entries)[i].payload = q->ops[i];
}

/* Onto the wire, as the script's trace shows it. */
static void
leave(Script *s, const ScriptMessage *q)
{
	char text[400] = "";
	RepRaftMessage m;

	decode(s, q, &m);
	message_text(text, sizeof(text), &m);
	if (s->cut[q->from][q->to] || s->nqueue == SCRIPT_QUEUE)
	{
		script_say(s, "%u -> %u: %s (lost)", q->from, q->to, text);
		return;
	}
	script_say(s, "%u -> %u: %s", q->from, q->to, text);
	s->queue[s->nqueue++] = *q;
}

static void
keep_entries(ScriptPersist *p, const RepRaftAction *a)
{
	p->index = a->index;
	p->n = a->nentries;
	for (uint32_t i = 0; i < a->nentries; i++)
	{
		p->entries[i].entry = a->entries[i];
		if (a->entries[i].nmembers > 0)
			memcpy(p->entries[i].members, a->entries[i].members,
				   a->entries[i].nmembers * sizeof(RepRaftMember));
	}
}

static void
write_persist(ScriptNode *n, const ScriptPersist *p)
{
	if (p->state)
	{
		n->term = p->term;
		n->vote = p->vote;
		return;
	}
	for (uint32_t i = 0; i < p->n; i++)
		n->log[p->index + i] = p->entries[i];
	n->last = p->index + p->n - 1;
}

static void
act_persist(Script *s, ScriptNode *n, const RepRaftAction *a)
{
	ScriptPersist *p = &n->persists[n->npersists++];
	char text[256];

	memset(p, 0, sizeof(*p));
	p->number = a->persist;
	n->given = a->persist;
	if (a->type == REP_ACT_PERSIST_STATE)
	{
		p->state = true;
		p->term = a->term;
		p->vote = a->vote;
		script_say(s, "%u writes term %lu, vote %u", n->id, LU(a->term),
				   a->vote);
		return;
	}
	keep_entries(p, a);
	entries_text(text, sizeof(text), a->entries, a->nentries);
	script_say(s, "%u writes from %lu on:%s", n->id, LU(a->index), text);
}

static void
act_send(Script *s, ScriptNode *n, const RepRaftAction *a)
{
	ScriptMessage *q = &n->outbox[n->noutbox++];
	RepWriter w;

	q->from = n->id;
	q->to = a->message->to;
	q->after = a->after;
	q->nops = a->message->nentries;
	for (uint32_t i = 0; i < q->nops; i++)
		q->ops[i] = a->message->entries[i].payload;
	rep_writer_init(&w, q->bytes, sizeof(q->bytes));
	rep_raft_message_encode(a->message, &w);
	q->size = w.len;
	if (q->after <= n->done)
	{
		n->noutbox--;
		leave(s, q);
	}
}

static char
letter_of(const Script *s, RepStamp stamp)
{
	for (uint32_t i = 0; i < SCRIPT_OPS; i++)
		if (s->ops[i].known &&
			rep_stamp_compare(s->ops[i].entry.stamp, stamp) == 0)
			return (char) ('a' + i);
	return '?';
}

static void
act(Script *s, ScriptNode *n, const RepRaftAction *a)
{
	static const char *const roles[] = { "?", "follows", "asks around",
										 "stands", "leads" };

	switch (a->type)
	{
		case REP_ACT_PERSIST_STATE:
		case REP_ACT_PERSIST_ENTRIES:
			act_persist(s, n, a);
			break;
		case REP_ACT_PERSIST_BASE:
			n->given = a->persist;
			script_say(s, "%u keeps its log above %lu", n->id, LU(a->index));
			break;
		case REP_ACT_SEND:
			act_send(s, n, a);
			break;
		case REP_ACT_COMMIT:
			script_say(s, "%u commits %lu", n->id, LU(a->index));
			break;
		case REP_ACT_READ_READY:
			script_say(s, "%u may serve read %lu at %lu", n->id, LU(a->id),
					   LU(a->index));
			break;
		case REP_ACT_READ_FAILED:
			script_say(s, "%u cannot take read %lu", n->id, LU(a->id));
			break;
		case REP_ACT_VERDICT:
			script_say(s, "%u is told of %c: %s at %lu", n->id,
					   letter_of(s, a->stamp), verdict_names[a->verdict],
					   LU(a->index));
			break;
		case REP_ACT_DROP:
			script_say(s, "%u lets go of %c", n->id, letter_of(s, a->stamp));
			break;
		case REP_ACT_INSTALL:
			n->offered = *a->base;
			memcpy(n->offered_members, a->base->members,
				   a->base->nmembers * sizeof(RepRaftMember));
			n->offered.members = n->offered_members;
			n->offered.horizon = NULL;
			n->offered.nhorizon = 0;
			script_say(s, "%u needs the state at %lu", n->id, LU(a->index));
			break;
		case REP_ACT_LEADER:
			script_say(s, "%u %s, term %lu, leader %u", n->id, roles[a->role],
					   LU(a->term), a->node);
			break;
		case REP_ACT_CHANGE_DONE:
			script_say(s, "%u %s the change of %u", n->id,
					   a->ok ? "logs" : "refuses", a->node);
			break;
	}
}

void
script_step(Script *s, ScriptNode *n, RepRaftEvent *ev)
{
	RepRaftActions actions;

	ev->now_ms = n->now_ms;
	ev->wall_ms = 1000000;
	rep_arena_reset(&s->step_arena);
	rep_raft_step(n->engine, ev, &s->step_arena, &actions);
	for (uint32_t i = 0; i < actions.n; i++)
		act(s, n, &actions.items[i]);
	if (!n->slow_disk && n->given > n->done)
		script_sync(s, n);
}

void
script_sync(Script *s, ScriptNode *n)
{
	RepRaftEvent ev = { .type = REP_EV_PERSISTED };
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n->npersists; i++)
		write_persist(n, &n->persists[i]);
	n->npersists = 0;
	n->done = n->given;
	for (uint32_t i = 0; i < n->noutbox; i++)
		if (n->outbox[i].after <= n->done)
			leave(s, &n->outbox[i]);
		else
			n->outbox[kept++] = n->outbox[i];
	n->noutbox = kept;
	ev.id = n->done;
	script_step(s, n, &ev);
}

void
script_start(Script *s, ScriptNode *n)
{
	RepRaftBase base = { .members = n->first, .nmembers = n->nfirst };
	bool ok;

	n->boot++;
	n->up = true;
	n->given = n->done = 0;
	s->options.node = n->id;
	s->options.seed = n->id;
	s->options.ticket_base = n->boot * 1000;
	if (n->memory == NULL)
		n->memory = calloc(1, rep_raft_size(&s->options));
	n->engine =
		rep_raft_init(n->memory, rep_raft_size(&s->options), &s->options);
	rep_raft_restore_state(n->engine, n->term, n->vote);
	ok = rep_raft_restore_base(n->engine, &base);
	for (uint64_t i = 1; i <= n->last && ok; i++)
	{
		RepRaftEntry e = n->log[i].entry;

		e.members = n->log[i].members;
		if (e.kind == REP_ENTRY_WRITE)
		{
			e.deps = s->ops[e.payload].deps;
			e.keys = s->ops[e.payload].keys;
		}
		ok = rep_raft_restore_entry(n->engine, &e);
	}
	if (!ok || !rep_raft_start(n->engine, n->now_ms, 0))
		script_say(s, "%u cannot start", n->id);
}

void
script_crash(Script *s, ScriptNode *n, uint32_t keep)
{
	uint32_t lost = n->npersists > keep ? n->npersists - keep : 0;

	for (uint32_t i = 0; i < n->npersists && i < keep; i++)
		write_persist(n, &n->persists[i]);
	script_say(s, "%u is down, %u writes lost", n->id, lost);
	n->npersists = 0;
	n->noutbox = 0;
	n->up = false;
}

static bool
link_is(const ScriptMessage *q, uint32_t from, uint32_t to)
{
	return q->from == from && q->to == to;
}

static void
arrive(Script *s, const ScriptMessage *q)
{
	ScriptNode *n = &s->nodes[q->to];
	RepRaftMessage m;
	RepRaftEvent ev = { .type = REP_EV_MESSAGE, .message = &m };
	RepArena arena;
	static uint8_t memory[16384] __attribute__((aligned(16)));
	RepReader r;

	if (!n->up)
		return;
	/* apart from the arena of traces, which a step writes meanwhile */
	rep_arena_init(&arena, memory, sizeof(memory));
	rep_reader_init(&r, q->bytes, q->size);
	rep_raft_message_decode(&r, &arena, &m);
	for (uint32_t i = 0; i < m.nentries; i++)
		((RepRaftEntry *) m.entries)[i].payload = q->ops[i];
	script_step(s, n, &ev);
}

uint32_t
script_deliver(Script *s, uint32_t from, uint32_t to)
{
	static ScriptMessage now[SCRIPT_QUEUE];
	uint32_t nnow = 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->nqueue; i++)
	{
		const ScriptMessage *q = &s->queue[i];
		bool mine = from == 0 ? !s->held[q->from][q->to] : link_is(q, from, to);

		if (mine)
			now[nnow++] = *q;
		else
			s->queue[kept++] = *q;
	}
	s->nqueue = kept;
	for (uint32_t i = 0; i < nnow; i++)
		arrive(s, &now[i]);
	return nnow;
}

void
script_lose(Script *s, uint32_t from, uint32_t to)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->nqueue; i++)
		if (from != 0 && !link_is(&s->queue[i], from, to))
			s->queue[kept++] = s->queue[i];
	script_say(s, "%u messages lost", s->nqueue - kept);
	s->nqueue = kept;
}

void
script_show(Script *s)
{
	for (uint32_t i = 1; i <= SCRIPT_NODES; i++)
	{
		ScriptNode *n = &s->nodes[i];
		RepRaftStatus st;
		char text[400];
		size_t at = 0;

		if (!n->up)
			continue;
		rep_raft_status(n->engine, &st);
		text[0] = '\0';
		for (uint64_t k = st.first; k <= st.last; k++)
		{
			const RepRaftEntry *e = rep_raft_entry_at(n->engine, k);

			at += (size_t) snprintf(text + at, sizeof(text) - at, " %lu/%lu:%s",
									LU(k), LU(e->term), entry_name(e));
		}
		script_say(s, "%u: term %lu, leader %u, committed %lu, log%s", i,
				   LU(st.term), st.leader, LU(st.commit), text);
	}
}
