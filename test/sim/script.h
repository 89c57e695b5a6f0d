/*
 * script.h
 *		A cluster that does exactly what a script says, and tells it.
 *
 * See script_main.c for the language.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "raft.h"
#include "raft_message.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SCRIPT_NODES 5
#define SCRIPT_LOG 64
#define SCRIPT_QUEUE 512
#define SCRIPT_PERSISTS 64
#define SCRIPT_OUTBOX 128
#define SCRIPT_OPS 26
#define SCRIPT_BYTES 2048

typedef struct ScriptOp
{
	bool known;
	RepRaftEntry entry;
	RepVersion deps[4];
	RepKey keys[4];
} ScriptOp;

typedef struct ScriptEntry
{
	RepRaftEntry entry;
	RepRaftMember members[SCRIPT_NODES];
} ScriptEntry;

/* one durable thing under way: state, or log content from `index` on */
typedef struct ScriptPersist
{
	uint64_t number;
	bool state;
	uint64_t term;
	uint32_t vote;
	uint64_t index;
	uint32_t n;
	ScriptEntry entries[16];
} ScriptPersist;

typedef struct ScriptMessage
{
	uint32_t from;
	uint32_t to;
	uint64_t after;
	size_t size;
	uint32_t nops;
	uint64_t ops[16];
	uint8_t bytes[SCRIPT_BYTES];
} ScriptMessage;

typedef struct ScriptNode
{
	uint32_t id;
	bool up;
	bool slow_disk;
	uint32_t boot;
	uint64_t now_ms;
	RepRaft *engine;
	void *memory;

	uint64_t term; /* durable */
	uint32_t vote;
	uint64_t last;
	ScriptEntry log[SCRIPT_LOG];
	RepRaftMember first[SCRIPT_NODES];
	uint32_t nfirst;
	RepRaftBase offered; /* by the last snapshot */
	RepRaftMember offered_members[SCRIPT_NODES];

	ScriptPersist persists[SCRIPT_PERSISTS];
	uint32_t npersists;
	uint64_t given;
	uint64_t done;
	ScriptMessage outbox[SCRIPT_OUTBOX];
	uint32_t noutbox;
} ScriptNode;

typedef struct Script
{
	FILE *out;
	RepRaftOptions options;
	RepArena step_arena;
	RepArena decode_arena;
	ScriptNode nodes[SCRIPT_NODES + 1];
	bool cut[SCRIPT_NODES + 1][SCRIPT_NODES + 1];
	bool held[SCRIPT_NODES + 1][SCRIPT_NODES + 1]; /* delayed */
	ScriptMessage queue[SCRIPT_QUEUE];
	uint32_t nqueue;
	ScriptOp ops[SCRIPT_OPS];
} Script;

/* script_node.c */
extern void script_say(Script *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void script_start(Script *s, ScriptNode *n);
extern void script_crash(Script *s, ScriptNode *n, uint32_t keep);
extern void script_sync(Script *s, ScriptNode *n);
extern void script_step(Script *s, ScriptNode *n, RepRaftEvent *ev);
/* Delivers what is queued, of one link or (0, 0) of all; how many. */
extern uint32_t script_deliver(Script *s, uint32_t from, uint32_t to);
extern void script_lose(Script *s, uint32_t from, uint32_t to);
extern void script_show(Script *s);

#endif
