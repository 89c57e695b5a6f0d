/*
 * script_main.c
 *		Golden scripts: what the engine does, told line by line.
 *
 *	scripts [--bless] file.script ...
 *
 * A script is its own expected output. Lines that begin with "> " are
 * commands, indented lines are the trace they must give, others are remarks.
 * --bless writes the trace that came instead; read it before you believe it.
 *
 *	batch N					appends carry at most N entries; before `nodes`
 *	nodes 1 2 3w 4l			a cluster (w: witness, l: learner), all up
 *	pass MS					everybody's clock goes on
 *	tick N MS				N's clock goes on, and N looks at it
 *	run						deliver everything until nothing is under way
 *	step					deliver once what is under way
 *	deliver A B				deliver what is under way from A to B
 *	lose A B, lose			or lose it; without names all that is under way
 *	hold A B, release A B	`run` leaves that link's messages waiting
 *	cut A B, heal			messages from A to B are lost from now on
 *	slow N, sync N			N's disk waits; writes become durable now
 *	crash N [KEEP]			N goes down, keeping so many unsynced writes
 *	start N
 *	propose N x k@base ... [!k@base] [seen S:P ...] [ahead MS]
 *							N proposes x; keys are letters, ! shared
 *	claim N x k@base ...	an ABORT of x, which is nowhere, for those keys
 *	again N x, abort N x, forget N x
 *	read N ID, holds N S:P ..., change N add|witness|promote|remove M
 *	horizon N S:P ...		N, leading, logs a horizon
 *	applied N I, compact N I, install N I
 *							N says so; the state installed is the one offered
 *	transfer N M, relay N M INDEX, disk N good|bad
 *	show					everybody's log
 */
#define _POSIX_C_SOURCE 200809L
#include "script.h"

#include <stdlib.h>
#include <string.h>

#define WORDS 16

static ScriptNode *
node(Script *s, const char *word)
{
	int id = word == NULL ? 0 : atoi(word);

	if (id < 1 || id > SCRIPT_NODES)
	{
		fprintf(stderr, "no such node: %s\n", word == NULL ? "" : word);
		exit(2);
	}
	return &s->nodes[id];
}

static uint64_t
number(const char *word)
{
	return word == NULL ? 0 : strtoull(word, NULL, 10);
}

static void
do_nodes(Script *s, char **w, int n)
{
	RepRaftMember members[SCRIPT_NODES];

	for (int i = 1; i < n; i++)
		members[i - 1] =
			(RepRaftMember){ (uint32_t) atoi(w[i]), strchr(w[i], 'l') == NULL,
							 strchr(w[i], 'w') != NULL };
	for (int i = 1; i <= SCRIPT_NODES; i++)
	{
		memcpy(s->nodes[i].first, members, sizeof(members));
		s->nodes[i].nfirst = (uint32_t) (n - 1);
		s->nodes[i].id = (uint32_t) i;
		s->nodes[i].now_ms = 1000;
	}
	for (int i = 1; i < n; i++)
		script_start(s, node(s, w[i]));
}

static void
do_tick(Script *s, char **w)
{
	RepRaftEvent ev = { .type = REP_EV_TICK };
	ScriptNode *n = node(s, w[1]);

	n->now_ms += number(w[2]);
	script_step(s, n, &ev);
}

/* What follows `seen` or `holds`: stream:position, streams being nodes. */
static uint32_t
versions(char **w, int from, int n, RepVersion *out)
{
	uint32_t count = 0;

	for (int i = from; i < n && strchr(w[i], ':') != NULL; i++)
		out[count++] =
			(RepVersion){ { (uint32_t) atoi(w[i]), atoi(w[i]) == 0 ? 0 : 1 },
						  number(strchr(w[i], ':') + 1) };
	return count;
}

static void
do_propose(Script *s, char **w, int n)
{
	uint32_t letter = (uint32_t) (w[2][0] - 'a');
	ScriptOp *op = &s->ops[letter];
	RepRaftEvent ev = { .type = REP_EV_PROPOSE, .proposal = &op->entry };
	uint64_t ms = 1000000 + letter;
	int i = 3;

	memset(op, 0, sizeof(*op));
	op->known = true;
	for (; i < n && strchr(w[i], '@') != NULL; i++)
	{
		const char *k = w[i][0] == '!' ? w[i] + 1 : w[i];

		op->keys[op->entry.nkeys++] =
			(RepKey){ (uint64_t) k[0], number(strchr(k, '@') + 1),
					  w[i][0] == '!' ? REP_KEY_SHARED : REP_KEY_EXCLUSIVE };
	}
	if (i < n && strcmp(w[i], "seen") == 0)
		op->entry.ndeps = versions(w, i + 1, n, op->deps);
	else if (i < n && strcmp(w[i], "ahead") == 0)
		ms += number(w[i + 1]);
	op->entry.kind =
		strcmp(w[0], "claim") == 0 ? REP_ENTRY_ABORT : REP_ENTRY_WRITE;
	op->entry.stamp.hlc = rep_hlc_from_ms(ms);
	op->entry.stamp.stream = (RepStreamId){ (uint32_t) atoi(w[1]), 1 };
	op->entry.payload = letter;
	op->entry.deps = op->deps;
	op->entry.keys = op->keys;
	script_step(s, node(s, w[1]), &ev);
}

static void
do_again(Script *s, char **w, RepRaftEventType type, RepRaftEntryKind kind)
{
	RepRaftEntry e = s->ops[w[2][0] - 'a'].entry;
	RepRaftEvent ev = { .type = type, .proposal = &e };

	e.kind = kind;
	if (kind == REP_ENTRY_ABORT)
		e.ndeps = e.nkeys = 0;
	script_step(s, node(s, w[1]), &ev);
}

static void
do_change(Script *s, char **w)
{
	RepRaftEvent ev = { .type = REP_EV_CHANGE };

	ev.node = (uint32_t) number(w[3]);
	ev.witness = strcmp(w[2], "witness") == 0;
	ev.change = strcmp(w[2], "promote") == 0  ? REP_CHANGE_PROMOTE
				: strcmp(w[2], "remove") == 0 ? REP_CHANGE_REMOVE
											  : REP_CHANGE_ADD;
	script_step(s, node(s, w[1]), &ev);
}

/* Commands that are one event of one node. */
static bool
do_event(Script *s, char **w, int n)
{
	RepVersion held[8];
	RepRaftEvent ev = { 0 };

	if (strcmp(w[0], "read") == 0)
	{
		ev.type = REP_EV_READ;
		ev.id = number(w[2]);
	}
	else if (strcmp(w[0], "holds") == 0)
	{
		ev.type = REP_EV_HELD;
		ev.nheld = versions(w, 2, n, held);
		ev.held = held;
	}
	else if (strcmp(w[0], "horizon") == 0)
	{
		ev.type = REP_EV_HORIZON;
		ev.nheld = versions(w, 2, n, held);
		ev.held = held;
	}
	else if (strcmp(w[0], "applied") == 0 || strcmp(w[0], "compact") == 0)
	{
		ev.type = w[0][0] == 'a' ? REP_EV_APPLIED : REP_EV_COMPACT;
		ev.index = number(w[2]);
	}
	else if (strcmp(w[0], "install") == 0)
	{
		ev.type = REP_EV_INSTALLED;
		ev.base = &node(s, w[1])->offered;
	}
	else if (strcmp(w[0], "transfer") == 0)
	{
		ev.type = REP_EV_TRANSFER;
		ev.node = (uint32_t) number(w[2]);
	}
	else if (strcmp(w[0], "relay") == 0)
	{
		ev.type = REP_EV_RELAY;
		ev.node = (uint32_t) number(w[2]);
		ev.index = number(w[3]);
	}
	else if (strcmp(w[0], "disk") == 0)
	{
		ev.type = REP_EV_DISK;
		ev.healthy = strcmp(w[2], "good") == 0;
	}
	else
		return false;
	script_step(s, node(s, w[1]), &ev);
	return true;
}

static void
do_run(Script *s)
{
	uint32_t rounds = 0;

	while (script_deliver(s, 0, 0) > 0)
		if (++rounds == 100)
		{
			script_say(s, "it does not come to rest");
			return;
		}
}

/* Commands about links, disks and nodes as such. */
static bool
do_world(Script *s, char **w, int n)
{
	uint32_t a = n > 1 ? (uint32_t) atoi(w[1]) : 0;
	uint32_t b = n > 2 ? (uint32_t) atoi(w[2]) : 0;

	if (strcmp(w[0], "run") == 0)
		do_run(s);
	else if (strcmp(w[0], "step") == 0)
		script_deliver(s, 0, 0);
	else if (strcmp(w[0], "deliver") == 0)
		script_deliver(s, a, b);
	else if (strcmp(w[0], "lose") == 0)
		script_lose(s, a, b);
	else if (strcmp(w[0], "hold") == 0)
		s->held[a][b] = true;
	else if (strcmp(w[0], "release") == 0)
		s->held[a][b] = false;
	else if (strcmp(w[0], "cut") == 0)
		s->cut[a][b] = true;
	else if (strcmp(w[0], "heal") == 0)
		memset(s->cut, 0, sizeof(s->cut));
	else if (strcmp(w[0], "slow") == 0)
		node(s, w[1])->slow_disk = true;
	else if (strcmp(w[0], "sync") == 0)
		script_sync(s, node(s, w[1]));
	else if (strcmp(w[0], "crash") == 0)
		script_crash(s, node(s, w[1]), b);
	else if (strcmp(w[0], "start") == 0)
		script_start(s, node(s, w[1]));
	else if (strcmp(w[0], "show") == 0)
		script_show(s);
	else if (strcmp(w[0], "pass") == 0)
		for (int i = 1; i <= SCRIPT_NODES; i++)
			s->nodes[i].now_ms += number(w[1]);
	else
		return false;
	return true;
}

static void
command(Script *s, char *line)
{
	char *w[WORDS + 1] = { 0 };
	int n = 0;

	for (char *p = strtok(line, " \n"); p != NULL && n < WORDS;
		 p = strtok(NULL, " \n"))
		w[n++] = p;
	if (n == 0)
		return;
	if (strcmp(w[0], "nodes") == 0)
		do_nodes(s, w, n);
	else if (strcmp(w[0], "batch") == 0)
		s->options.batch_entries = (uint32_t) number(w[1]);
	else if (strcmp(w[0], "tick") == 0)
		do_tick(s, w);
	else if (strcmp(w[0], "propose") == 0 || strcmp(w[0], "claim") == 0)
		do_propose(s, w, n);
	else if (strcmp(w[0], "again") == 0)
		do_again(s, w, REP_EV_PROPOSE, REP_ENTRY_WRITE);
	else if (strcmp(w[0], "abort") == 0)
		do_again(s, w, REP_EV_PROPOSE, REP_ENTRY_ABORT);
	else if (strcmp(w[0], "forget") == 0)
		do_again(s, w, REP_EV_FORGET, REP_ENTRY_WRITE);
	else if (strcmp(w[0], "change") == 0)
		do_change(s, w);
	else if (!do_event(s, w, n) && !do_world(s, w, n))
		script_say(s, "no such command: %s", w[0]);
}

static Script *
new_script(void)
{
	Script *s = calloc(1, sizeof(Script));
	RepRaftOptions *o = &s->options;
	size_t need;

	rep_raft_defaults(o);
	o->heartbeat_ms = 50;
	o->election_ms = 300;
	o->held_wait_ms = 1000;
	o->retry_ms = 100;
	o->max_members = SCRIPT_NODES;
	o->max_streams = 16;
	o->log_entries = SCRIPT_LOG;
	o->log_bytes = 16384;
	o->max_waiting = 8;
	o->waiting_bytes = 8192;
	o->max_pending = 8;
	o->max_reads = 8;
	o->max_keys = 32;
	need = rep_raft_arena_size(o);
	rep_arena_init(&s->step_arena, calloc(1, need), need);
	rep_arena_init(&s->decode_arena, calloc(1, 16384), 16384);
	return s;
}

static void
free_script(Script *s)
{
	for (int i = 1; i <= SCRIPT_NODES; i++)
		free(s->nodes[i].memory);
	free(s->step_arena.base);
	free(s->decode_arena.base);
	free(s);
}

/* The script with the trace that comes now; the caller frees it. */
static char *
play(const char *text)
{
	Script *s = new_script();
	char *result = NULL;
	size_t size = 0;
	char line[256];

	s->out = open_memstream(&result, &size);
	while (*text != '\0')
	{
		size_t n = strcspn(text, "\n");

		if (n < sizeof(line) && strncmp(text, "  ", 2) != 0)
		{
			fwrite(text, 1, n, s->out);
			fputc('\n', s->out);
			memcpy(line, text, n);
			line[n] = '\0';
			if (strncmp(line, "> ", 2) == 0)
				command(s, line + 2);
		}
		text += n + (text[n] == '\n');
	}
	fclose(s->out);
	free_script(s);
	return result;
}

static char *
read_file(const char *name)
{
	FILE *f = fopen(name, "r");
	char *text = calloc(1, 1 << 20);

	if (f == NULL || text == NULL)
	{
		perror(name);
		exit(2);
	}
	text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* Where two texts part, so that a failure shows the line. */
static void
tell_difference(const char *want, const char *got)
{
	int line = 1;

	while (*want != '\0' && strcspn(want, "\n") == strcspn(got, "\n") &&
		   strncmp(want, got, strcspn(want, "\n")) == 0)
	{
		size_t n = strcspn(want, "\n") + 1;

		want += n;
		got += n;
		line++;
	}
	printf("# line %d: expected %.*s\n#   but came %.*s\n", line,
		   (int) strcspn(want, "\n"), want, (int) strcspn(got, "\n"), got);
}

int
main(int argc, char **argv)
{
	bool bless = argc > 1 && strcmp(argv[1], "--bless") == 0;
	int failed = 0;

	printf("1..%d\n", argc - 1 - bless);
	for (int i = 1 + bless; i < argc; i++)
	{
		char *want = read_file(argv[i]);
		char *got = play(want);
		bool same = strcmp(want, got) == 0;

		if (bless)
		{
			FILE *f = fopen(argv[i], "w");

			if (f != NULL)
			{
				fputs(got, f);
				fclose(f);
			}
			same = true;
		}
		printf("%sok %d - %s\n", same ? "" : "not ", i - bless, argv[i]);
		if (!same)
			tell_difference(want, got);
		failed += !same;
		free(want);
		free(got);
	}
	return failed != 0;
}
